"""Reading any picture file, and predicting files from the command line's function."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from selfpose.camera import PixelScale
from selfpose.evaluation.predict import (
    CSV_COLUMNS,
    find_pictures,
    predict_files,
    predict_pictures,
    read_picture,
)
from selfpose.model import Architecture, PosePipeline, save
from selfpose.skeleton import HUMAN_17


@pytest.fixture
def gradient() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([4 * rows, 4 * columns, rows + columns], axis=-1).astype(np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    architecture = Architecture(
        image_size=32, skeleton_size=16, width_phi=8, width_omega=8, width_lambda=16,
        flow_blocks=1, flow_width=8, delta=5.0,
    )  # fmt: skip
    pipeline = PosePipeline(
        skeleton=HUMAN_17, architecture=architecture, scale=PixelScale(length_px=8.0)
    )
    save(pipeline, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_square_picture_of_the_right_size_comes_back_as_it_is(tmp_path: Path) -> None:
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", size=16)
    assert torch.equal(read, torch.from_numpy(pixels).permute(2, 0, 1))


def test_oblong_pictures_are_padded_by_their_border(tmp_path: Path, gradient: np.ndarray) -> None:
    Image.fromarray(gradient).save(tmp_path / "wide.png")
    read = read_picture(tmp_path / "wide.png", size=60)
    assert torch.equal(read[:, 10:50], torch.from_numpy(gradient).permute(2, 0, 1))
    assert torch.equal(read[:, 0], read[:, 10])
    assert torch.equal(read[:, 59], read[:, 49])


def test_grey_alpha_and_rotated_pictures_are_understood(
    tmp_path: Path, gradient: np.ndarray
) -> None:
    grey = Image.fromarray(gradient[..., 0])
    grey.save(tmp_path / "grey.png")
    channels = read_picture(tmp_path / "grey.png", size=60)
    assert torch.equal(channels[0], channels[2])

    clear = np.dstack([gradient, np.zeros(gradient.shape[:2], np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", size=20) == 255).all()

    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(gradient).save(tmp_path / "turned.png", exif=exif)
    turned = read_picture(tmp_path / "turned.png", size=60)
    assert torch.equal(
        turned[:, 10:50], torch.from_numpy(gradient[::-1, ::-1].copy()).permute(2, 0, 1)
    )


def test_sixteen_bits_keep_their_greys_and_thirty_two_are_refused(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(257 * grey).save(tmp_path / "deep.png")
    read = read_picture(tmp_path / "deep.png", size=16)
    assert torch.equal(read, torch.from_numpy(grey.astype(np.uint8)).expand(3, 16, 16))

    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "deeper.tiff")
    with pytest.raises(ValueError, match=r"deeper\.tiff: not a readable picture \(32 bits"):
        read_picture(tmp_path / "deeper.tiff", size=16)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_broken_pictures_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png: not a readable picture"):
        read_picture(tmp_path / "broken.png", size=16)
    with pytest.raises(FileNotFoundError, match="no such picture"):
        read_picture(tmp_path / "absent.png", size=16)


def test_folders_give_their_pictures_in_order(tmp_path: Path, gradient: np.ndarray) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        if name == "notes.txt":
            (tmp_path / name).write_text("no picture")
        else:
            Image.fromarray(gradient).save(tmp_path / name)
    assert [p.name for p in find_pictures([tmp_path])] == ["a.JPG", "b.png"]
    (tmp_path / "clip").mkdir()
    for name in ("f10.png", "f9.png", ".hidden.png"):
        Image.fromarray(gradient).save(tmp_path / "clip" / name)
    assert [p.name for p in find_pictures([tmp_path])] == ["a.JPG", "b.png", "f9.png", "f10.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        find_pictures([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="no such picture or folder"):
        find_pictures([tmp_path / "nowhere"])


def test_predicting_files_writes_poses_and_figures(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    Image.fromarray(gradient).save(tmp_path / "person.png")
    predict_files(weights, [tmp_path / "person.png"], out=tmp_path / "out", progress=False)
    told = json.loads((tmp_path / "out" / "poses.json").read_text())
    (person,) = told["pictures"]
    assert person["file"] == (tmp_path / "person.png").as_posix()
    assert set(person["pose_2d_px"]) == set(HUMAN_17.joints)
    assert person["pose_3d"]["hip"] == pytest.approx([0, 0, 0], abs=1e-5)
    with Image.open(tmp_path / "out" / person["figure"]) as figure:
        assert figure.size[0] > 300
    with (tmp_path / "out" / "poses.csv").open(newline="") as file:
        rows = {row["joint"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(HUMAN_17.joints)
    for joint, row in rows.items():
        told = [*person["pose_2d_px"][joint], *person["pose_3d"][joint]]
        kept = [float(row[key]) for key in CSV_COLUMNS[2:]]
        assert kept == pytest.approx(told, rel=1e-3, abs=1e-4)


def test_a_larger_copy_of_a_picture_has_the_same_pose_at_its_own_scale(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    Image.fromarray(gradient).save(tmp_path / "small.png")
    Image.fromarray(gradient.repeat(3, axis=0).repeat(3, axis=1)).save(tmp_path / "large.png")
    poses = predict_pictures(weights, [tmp_path / "small.png", tmp_path / "large.png"])
    torch.testing.assert_close(3 * poses.pose_2d[0], poses.pose_2d[1], atol=1.5, rtol=0)
    torch.testing.assert_close(poses.pose_3d[0], poses.pose_3d[1], atol=0.05, rtol=0)
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


def test_pictures_of_one_name_in_two_folders_are_told_apart(
    tmp_path: Path, gradient: np.ndarray, weights: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(gradient).save(tmp_path / folder / "0001.png")
    predict_files(weights, [tmp_path], out=tmp_path / "out", progress=False, figures=False)
    told = json.loads((tmp_path / "out" / "poses.json").read_text())["pictures"]
    assert [p["file"][-10:] for p in told] == ["a/0001.png", "b/0001.png"]
    assert [p["figure"] for p in told] == [None, None]
    with (tmp_path / "out" / "poses.csv").open(newline="") as file:
        assert len({row["picture"] for row in csv.DictReader(file)}) == 2
    assert not list((tmp_path / "out").glob("*.png"))
    # the figures that a call leaves are no pictures of the next
    for _ in range(2):
        assert len(predict_files(weights, [tmp_path], out=tmp_path / "out", progress=False)) == 2
    with pytest.raises(FileNotFoundError, match="all pictures found lie within"):
        predict_files(weights, [tmp_path / "out"], out=tmp_path / "out", progress=False)
