"""Poses of picture files: any size, named folders, a table and figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from selfpose.camera import PixelScale
from selfpose.evaluation.predict import find_pictures, predict_files, predict_pictures
from selfpose.model import Architecture, PosePipeline, save
from selfpose.skeleton import HUMAN_17


@pytest.fixture
def gradient() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([4 * rows, 4 * columns, rows + columns], axis=-1).astype(np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    small = Architecture(image_size=32, skeleton_size=16, width_phi=8, width_omega=8, flow_width=8)
    scale = PixelScale(length_px=8.0)
    pipeline = PosePipeline(skeleton=HUMAN_17, architecture=small, scale=scale)
    save(pipeline, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_folders_give_their_pictures_in_order(tmp_path: Path, gradient: np.ndarray) -> None:
    (tmp_path / "clip").mkdir()
    for name in ("b.png", "a.JPG", "clip/f10.png", "clip/f9.png", "clip/.hidden.png"):
        Image.fromarray(gradient).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [p.name for p in find_pictures([tmp_path])] == ["a.JPG", "b.png", "f9.png", "f10.png"]
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{name}: no picture"):
            find_pictures([tmp_path / name])


def test_a_larger_copy_of_a_picture_has_the_same_pose_at_its_own_scale(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    Image.fromarray(gradient).save(tmp_path / "small.png")
    Image.fromarray(gradient.repeat(3, axis=0).repeat(3, axis=1)).save(tmp_path / "large.png")
    poses = predict_pictures(weights, [tmp_path / "small.png", tmp_path / "large.png"])
    torch.testing.assert_close(3 * poses.pose_2d[0], poses.pose_2d[1], atol=1.5, rtol=0)
    torch.testing.assert_close(poses.pose_3d[0], poses.pose_3d[1], atol=0.05, rtol=0)
    assert (poses.pose_3d[:, HUMAN_17.root] == 0).all()
    # in the square of 32 px the picture of 60 × 40 is padded by 10 above and below
    inside = poses.prediction.pose_2d[0] * (60 / 32) - torch.tensor([0.0, 10.0])
    torch.testing.assert_close(poses.pose_2d[0], inside)


def test_one_broken_picture_leaves_no_half_result(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    Image.fromarray(gradient).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(ValueError, match=r"bad\.png"):
        predict_files(weights, [tmp_path / "good.png", tmp_path / "bad.png"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_become_a_table_and_figures_which_the_next_call_passes_over(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    out, pictures = tmp_path / "out", [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    for path in pictures:
        path.parent.mkdir()
        Image.fromarray(gradient).save(path)
    assert predict_files(weights, [tmp_path], out=out, figures=False) == pictures
    assert [p.name for p in out.iterdir()] == ["poses.csv"]
    table = pd.read_csv(out / "poses.csv")
    assert table.picture.unique().tolist() == [path.as_posix() for path in pictures]
    assert table.joint.tolist() == 2 * list(HUMAN_17.joints)
    poses = predict_pictures(weights, pictures)
    told = torch.cat([poses.pose_2d, poses.pose_3d], dim=-1).flatten(0, 1).double()
    kept = torch.from_numpy(table[["x_px", "y_px", "x", "y", "z"]].to_numpy())
    torch.testing.assert_close(kept, told, rtol=1e-3, atol=1e-4)
    for _ in range(2):
        assert predict_files(weights, [tmp_path], out=out) == pictures
    assert sorted(p.name for p in out.glob("*.png")) == ["0000-1.png", "0001-1.png"]
    with pytest.raises(FileNotFoundError, match="all pictures found lie within"):
        predict_files(weights, [out], out=out)
