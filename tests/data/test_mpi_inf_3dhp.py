"""MPI-INF-3DHP's formats, written small in their true layout and read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from write_human import (
    FOCAL,
    MPI_TEST_17,
    by_name,
    mmpose_table,
    picture,
    seen,
    to_28,
    to_cells,
    write_mat73,
)

from selfpose.data.mpi_inf_3dhp import CHEST_HEIGHT, MMPoseMPIInf3DHP, MPIInf3DHP
from selfpose.data.reader import Reader

T = 24
SEQUENCES = (("S1", "Seq1"), ("S1", "Seq2"), ("S2", "Seq1"))
UNIVERSAL = 0.93


def train_pose(subject: str, sequence: str, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px and (T, 17, 3) mm: what every reader must give back."""
    return seen(T, seed=sum(map(ord, subject + sequence)), azimuth=0.45 * camera)


def check_pose(sequence: str) -> tuple[np.ndarray, np.ndarray]:
    return seen(T, seed=int(sequence[2:]), azimuth=0.2)


def write_train(root: Path, *, version: str = "5", pictures: str = "frames") -> Path:
    """``S*/Seq*/annot.mat``: cells of 14 cameras, (T, 84) and (T, 56), as MATLAB saves them."""
    for subject, sequence in SEQUENCES:
        folder = root / subject / sequence
        poses = [train_pose(subject, sequence, camera) for camera in range(14)]
        content: dict[str, Any] = {
            "annot2": [to_28(flat).reshape(T, 56) for flat, _ in poses],
            "annot3": [to_28(space).reshape(T, 84) for _, space in poses],
            "univ_annot3": [to_28(space * UNIVERSAL).reshape(T, 84) for _, space in poses],
        }
        folder.mkdir(parents=True, exist_ok=True)
        if version == "7.3":
            write_mat73(folder / "annot.mat", content)
        else:
            cells = {k: to_cells(v) for k, v in content.items()}
            scipy.io.savemat(folder / "annot.mat", cells, do_compression=True)
        for camera in CHEST_HEIGHT if pictures == "frames" else ():
            for n in range(1, T + 1, 5):  # people extract some
                picture(folder / "imageFrames" / f"video_{camera}" / f"frame_{n:06d}.jpg")
    return root


def write_test(root: Path) -> Path:
    """``TS*/annot_data.mat``, MATLAB 7.3, with its pictures."""
    for sequence in ("TS1", "TS5"):
        flat, space = check_pose(sequence)

        def matlab(poses: np.ndarray) -> np.ndarray:
            """(T, 17, C) of HUMAN_17 → C × 17 × 1 × T in the file's order."""
            return to_28(poses)[:, MPI_TEST_17].transpose(2, 1, 0)[:, :, None]

        content: dict[str, Any] = {
            "annot2": matlab(flat),
            "annot3": matlab(space),
            "univ_annot3": matlab(space * UNIVERSAL),
            "valid_frame": (np.arange(T) % 7 != 3).astype(float)[None],
            "activity_annotation": np.repeat([1.0, 3.0, 1.0], [10, 8, 6])[None],
        }
        (root / sequence).mkdir(parents=True, exist_ok=True)
        write_mat73(root / sequence / "annot_data.mat", content)
        for n in range(1, T + 1):
            picture(root / sequence / "imageSequence" / f"img_{n:06d}.jpg")
    return root


def write_mmpose(root: Path) -> Path:
    """``annotations/mpi_inf_3dhp_*.npz`` and one picture for each clip."""
    poses = {
        "train": {f"S1_Seq1_Cam{c}": train_pose("S1", "Seq1", c) for c in (0, 1, 2, 4)},
        "test_valid": {name: check_pose(name) for name in ("TS1", "TS5")},
    }
    (root / "annotations").mkdir(parents=True)
    for split, clips in poses.items():
        rows = [
            (
                [f"{base}_{i + 1:06d}.jpg" for i in range(T)],
                *(to_28(p)[:, MPI_TEST_17] for p in pair),
            )
            for base, pair in clips.items()
        ]
        np.savez(root / "annotations" / f"mpi_inf_3dhp_{split}.npz", **mmpose_table(rows))
        for names, *_ in rows:
            picture(root / "images" / names[0])
    return root


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("universal", [False, True])
def test_training_files_read_back(tmp_path: Path, version: str, universal: bool) -> None:
    reader = MPIInf3DHP(root=write_train(tmp_path, version=version), universal=universal)
    assert isinstance(reader, Reader)
    clips = by_name(reader, "train")
    assert list(clips) == [f"{s}/{q}/{c}" for s, q in SEQUENCES for c in CHEST_HEIGHT]
    assert list(reader.clips("test")) == []
    shown = np.arange(0, T, 5)
    for name, clip in clips.items():
        subject, sequence, camera = name.split("/")
        flat, space = train_pose(subject, sequence, int(camera))
        np.testing.assert_allclose(clip.poses_2d, flat[shown])
        np.testing.assert_allclose(clip.poses_3d, space[shown] * (UNIVERSAL if universal else 1))
        assert clip.numbers.tolist() == shown.tolist()
        np.testing.assert_allclose(clip.camera.focal, FOCAL)
        assert all(frame.path.is_file() for frame in clip.pictures)
        assert clip.pictures[1].path.name == "frame_000006.jpg"
        assert clip.subject == subject
        assert clip.static


def test_other_cameras_and_poses_alone(tmp_path: Path) -> None:
    root = write_train(tmp_path, pictures="none")
    clips = by_name(MPIInf3DHP(root=root, cameras=(13, 3), poses_only=True), "train")
    assert {name.split("/")[2] for name in clips} == {"3", "13"}
    assert all(clip.pictures is None and len(clip) == T for clip in clips.values())
    with pytest.raises(ValueError, match="expected numbers from 0 to 13"):
        MPIInf3DHP(root=root, cameras=(14,))


def test_frames_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_train(tmp_path, pictures="none")
    for subject, sequence in SEQUENCES:
        picture(root / subject / sequence / "imageSequence" / "video_4.avi")
    # four fewer than are annotated
    monkeypatch.setattr("selfpose.data.mpi_inf_3dhp.count_frames", lambda path: T - 4)
    clip = by_name(MPIInf3DHP(root=root, cameras=(4,)), "train")["S1/Seq2/4"]
    assert [frame.index for frame in clip.pictures] == list(range(T - 4))
    assert {frame.path.name for frame in clip.pictures} == {"video_4.avi"}
    np.testing.assert_allclose(clip.poses_3d, train_pose("S1", "Seq2", 4)[1][: T - 4])
    with pytest.raises(FileNotFoundError, match=r"video_0\.avi: not there; .*poses_only"):
        list(MPIInf3DHP(root=root).clips("train"))


@pytest.mark.parametrize("universal", [False, True])
def test_test_files_read_back(tmp_path: Path, universal: bool) -> None:
    reader = MPIInf3DHP(root=write_test(tmp_path), universal=universal)
    clips = by_name(reader, "test")
    assert list(reader.clips("train")) == []
    assert list(clips) == [f"{s}/{n:06d}" for s in ("TS1", "TS5") for n in (0, 10, 18)]
    for sequence in ("TS1", "TS5"):
        parts = [clip for clip in clips.values() if clip.subject == sequence]
        flat, space = check_pose(sequence)
        scale = UNIVERSAL if universal else 1
        np.testing.assert_allclose(np.concatenate([c.poses_2d for c in parts]), flat)
        np.testing.assert_allclose(np.concatenate([c.poses_3d for c in parts]), space * scale)
        assert np.concatenate([c.numbers for c in parts]).tolist() == list(range(T))
        valid = np.concatenate([c.valid for c in parts])
        assert valid.tolist() == [n % 7 != 3 for n in range(T)]
        assert [c.activity for c in parts] == ["Standing/Walking", "Sitting", "Standing/Walking"]
        for clip in parts:
            assert clip.static == (sequence == "TS1")
            np.testing.assert_allclose(clip.camera.focal, FOCAL)
            names = [int(frame.path.stem.removeprefix("img_")) - 1 for frame in clip.pictures]
            assert names == clip.numbers.tolist()
    (tmp_path / "TS1" / "imageSequence" / "img_000024.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"img_000024\.jpg: not there"):
        list(reader.clips("test"))


def test_mmposes_tables_read_back(tmp_path: Path) -> None:
    reader = MMPoseMPIInf3DHP(root=write_mmpose(tmp_path))
    train, test = by_name(reader, "train"), by_name(reader, "test")
    assert list(train) == ["S1/Seq1/0", "S1/Seq1/2", "S1/Seq1/4"]
    assert list(test) == ["TS1", "TS5"]
    for name, clip in (train | test).items():
        known = check_pose(name) if name in test else train_pose("S1", "Seq1", int(name[-1]))
        np.testing.assert_allclose(clip.poses_2d, known[0])
        np.testing.assert_allclose(clip.poses_3d, known[1], atol=1e-6)
        assert clip.numbers.tolist() == list(range(T))
        assert (clip.boxes[:, 2] == 700).all()
        assert clip.static == (name != "TS5")
    (tmp_path / "annotations/mpi_inf_3dhp_test_valid.npz").rename(
        tmp_path / "annotations/mpi_inf_3dhp_test_all.npz"
    )
    assert list(by_name(MMPoseMPIInf3DHP(root=tmp_path), "test")) == ["TS1", "TS5"]


def test_where_the_files_may_lie(tmp_path: Path) -> None:
    for reader in (MPIInf3DHP, MMPoseMPIInf3DHP):
        with pytest.raises(FileNotFoundError, match=f"{tmp_path.name}: holds neither"):
            reader(root=tmp_path)
    write_train(tmp_path / "train", pictures="none")
    write_test(tmp_path / "mpi_inf_3dhp_test_set")
    reader = MPIInf3DHP(root=tmp_path, poses_only=True)
    assert len(by_name(reader, "train")) == 3 * 5
    assert len(by_name(reader, "test")) == 2 * 3
