"""Human3.6M's two formats, written small in their true layout and read back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from write_human import FOCAL, PRINCIPAL, by_name, mmpose_table, picture, seen, to_32

from selfpose.data.human36m import FetchHuman36M, Human36M, MMPoseHuman36M, is_bad_s9
from selfpose.data.reader import Clip

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
T = 24
AZIMUTH = dict(zip(CAMERAS, (0.3, 1.7, 3.2, 4.6), strict=True))
FETCHED = {
    "Directions 1": "Directions-1",
    "TakingPhoto": "TakingPhoto-1",
    "Greeting": "Greeting-2",
    "Walking 1": "Walking-1",
}
SEQUENCES = {"S1": ["Directions 1", "TakingPhoto"], "S9": ["Greeting", "Walking 1"]}


def pose(subject: str, sequence: str, camera: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px, (T, 17, 3) mm: what every reader must give back."""
    return seen(T, seed=seed(subject, sequence), azimuth=AZIMUTH[camera])


def seed(subject: str, sequence: str) -> int:
    return sum(map(ord, subject + sequence))


def write_mmpose(root: Path, *, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """``annotation_body3d/fps10/h36m_*.npz`` and one picture for each clip."""
    folder = root / "annotation_body3d" / "fps10"
    folder.mkdir(parents=True)
    for split, subject in (("train", "S1"), ("test", "S9")):
        clips = []
        for sequence in SEQUENCES[subject]:
            for camera in CAMERAS:
                base = f"{subject}_{sequence.replace(' ', '_')}.{camera}"
                names = [f"{subject}/{base}/{base}_{5 * i + 1:06d}.jpg" for i in range(T)]
                clips.append((names, *pose(subject, sequence, camera)))
                picture(root / "images" / names[0])
        arrays = mmpose_table(clips)
        if edit is not None:
            edit(arrays)
        np.savez(folder / f"h36m_{split}.npz", **arrays)
    return root


def write_fetch(root: Path, *, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """``processed/S*/<activity>-<n>/annot.h5`` with the first picture of each camera."""
    for subject, sequence in ((s, q) for s, sequences in SEQUENCES.items() for q in sequences):
        folder = root / "processed" / subject / FETCHED[sequence]
        lens = np.stack([FOCAL, PRINCIPAL], -1).ravel()  # fx, cx, fy, cy
        flat, space = zip(*(pose(subject, sequence, camera) for camera in CAMERAS), strict=True)
        content = {f"{k}/{c}": lens for c in CAMERAS for k in ("intrinsics", "intrinsics-univ")} | {
            "pose/2d": to_32(np.concatenate(flat)),
            "pose/3d": to_32(np.concatenate(space)),
            "pose/3d-univ": to_32(np.concatenate(space) * 0.95),
            "frame": np.tile(64 * np.arange(T) + 1, len(CAMERAS)),
            "camera": np.repeat([int(camera) for camera in CAMERAS], T),
        }
        for camera in CAMERAS:
            picture(folder / "imageSequence" / camera / "img_000001.jpg")
        if edit is not None:
            edit(content)
        with h5py.File(folder / "annot.h5", "w") as file:
            for key, value in content.items():
                file[key] = value
    return root


def check(clip: Clip, flat: np.ndarray, space: np.ndarray) -> None:
    np.testing.assert_allclose(clip.poses_2d, flat)
    np.testing.assert_allclose(clip.poses_3d, space, atol=1e-6)
    assert clip.camera is not None
    np.testing.assert_allclose(clip.camera.focal, FOCAL, rtol=1e-6)
    np.testing.assert_allclose(clip.camera.principal, PRINCIPAL, rtol=1e-6)
    assert clip.static
    assert clip.subject == clip.name.split("/")[0]


class TestMMPose:
    def test_reads_back_what_was_written(self, tmp_path: Path) -> None:
        reader = MMPoseHuman36M(root=write_mmpose(tmp_path))
        train, test = by_name(reader, "train"), by_name(reader, "test")
        assert len(train) == len(test) == 2 * 4
        for name, clip in (train | test).items():
            flat, space = pose(*name.split("/"))
            check(clip, flat, space)
            assert clip.numbers.tolist() == [5 * i for i in range(T)]
            np.testing.assert_allclose(clip.boxes[:, :2], flat.mean(1))
            assert (clip.boxes[:, 2] == 700).all()
            assert clip.pictures[0].path.is_file()
            assert clip.pictures[-1].path.name.endswith("_000116.jpg")
        assert {c.activity for c in train.values()} == {"Directions", "Photo"}

    def test_bad_sequences_of_s9_are_known_by_name_or_left_out(self, tmp_path: Path) -> None:
        root = write_mmpose(tmp_path)
        kept = by_name(MMPoseHuman36M(root=root), "test")
        for name, clip in kept.items():
            assert is_bad_s9(clip.subject, name) == name.startswith("S9/Greeting/")
        dropped = by_name(MMPoseHuman36M(root=root, drop_bad_s9=True), "test")
        assert dropped.keys() == {n for n in kept if "Greeting" not in n}

    def test_rows_in_any_order_and_joints_that_are_not_known(self, tmp_path: Path) -> None:
        def shuffle(arrays: dict[str, Any]) -> None:
            arrays["part"][5, 3] = 0
            order = np.random.default_rng(0).permutation(len(arrays["S"]))
            arrays |= {k: v[order] for k, v in arrays.items()}

        clips = by_name(MMPoseHuman36M(root=write_mmpose(tmp_path, edit=shuffle)), "train")
        for name, clip in clips.items():
            flat, _ = pose(*name.split("/"))
            if name == "S1/Directions 1/54138969":
                flat[5, 3] = np.nan
            np.testing.assert_allclose(clip.poses_2d, flat)

    def test_pictures_are_asked_for_unless_poses_are_enough(self, tmp_path: Path) -> None:
        root = write_mmpose(tmp_path)
        (root / "images").rename(root / "elsewhere")
        with pytest.raises(FileNotFoundError, match=r"images: not there; .*poses_only"):
            MMPoseHuman36M(root=root)
        (clip, *_) = MMPoseHuman36M(root=root, images=root / "elsewhere").clips("test")
        assert clip.pictures[0].path.is_file()
        clips = by_name(MMPoseHuman36M(root=root, poses_only=True), "test")
        assert all(clip.pictures is None for clip in clips.values())
        (root / "elsewhere" / "S1").rename(root / "S1")
        with pytest.raises(FileNotFoundError, match=r"000001\.jpg: not there; h36m_train\.npz"):
            list(MMPoseHuman36M(root=root, images=root / "elsewhere").clips("train"))

    @pytest.mark.parametrize(
        ("edit", "word"),
        [
            (lambda a: a.pop("S"), "cannot be read .*S is not a file"),
            (lambda a: a.update(part=a["part"][:, :14]), r"part: found \(192, 14, 3\)"),
            (lambda a: a.update(part=a["part"][::-1]), "Directions 1/54138969: no camera"),
            (
                lambda a: a.update(imgname=np.array(["x.jpg"] * 192)),
                "'x.jpg' is no name of a train",
            ),
        ],
    )
    def test_a_file_of_something_else_is_named(
        self, tmp_path: Path, edit: Callable[[dict[str, Any]], None], word: str
    ) -> None:
        reader = MMPoseHuman36M(root=write_mmpose(tmp_path, edit=edit))
        with pytest.raises(ValueError, match=rf"h36m_train\.npz: .*{word}"):
            list(reader.clips("train"))


class TestFetch:
    @pytest.mark.parametrize("universal", [False, True])
    def test_reads_back_what_was_written(self, tmp_path: Path, universal: bool) -> None:
        reader = FetchHuman36M(root=write_fetch(tmp_path), universal=universal)
        clips = by_name(reader, "train") | by_name(reader, "test")
        assert len(clips) == 2 * 2 * 4
        sequences = {action: sequence for sequence, action in FETCHED.items()}
        for name, clip in clips.items():
            subject, action, camera = name.split("/")
            sequence = sequences[action]
            flat, space = pose(subject, sequence, camera)
            check(clip, flat, space * (0.95 if universal else 1))
            assert clip.numbers.tolist() == [64 * i for i in range(T)]
            assert clip.pictures[1].path.name == "img_000065.jpg"
            assert is_bad_s9(clip.subject, clip.name) == (action == "Greeting-2")

    def test_missing_data_sets_pictures_and_files(self, tmp_path: Path) -> None:
        root = write_fetch(tmp_path, edit=lambda a: a.pop("pose/3d"))
        with pytest.raises(ValueError, match=r"Directions-1/annot\.h5: cannot be read .*3d"):
            list(FetchHuman36M(root=root).clips("train"))
        (root / "processed/S1/Directions-1/imageSequence").rename(root / "away")
        with pytest.raises(FileNotFoundError, match=r"img_000001\.jpg: not there.*poses_only"):
            list(FetchHuman36M(root=root, universal=True).clips("train"))
        clips = FetchHuman36M(root=root / "processed", universal=True, poses_only=True)
        assert all(clip.pictures is None for clip in clips.clips("train"))
        with pytest.raises(FileNotFoundError, match=r"holds no S1/Directions-1/annot\.h5"):
            FetchHuman36M(root=root / "processed" / "S1")

    def test_a_camera_may_be_missing(self, tmp_path: Path) -> None:
        def drop(content: dict[str, Any]) -> None:
            keep = content["camera"] != int(CAMERAS[0])
            for key in ("pose/2d", "pose/3d", "frame", "camera"):
                content[key] = content[key][keep]
            del content[f"intrinsics/{CAMERAS[0]}"]

        names = by_name(FetchHuman36M(root=write_fetch(tmp_path, edit=drop)), "test")
        assert len(names) == 2 * 3
        assert not any(CAMERAS[0] in name for name in names)


def test_whichever_files_a_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds neither h36m_train\.npz nor h36m_test"):
        Human36M(root=tmp_path)
    for write in (write_mmpose, write_fetch):
        reader = Human36M(root=write(tmp_path), drop_bad_s9=True)
        assert reader.describe()["drop_bad_s9"] is True
        assert str(tmp_path) not in str(reader.describe())
        assert len(by_name(reader, "train")) == 8
        assert len(by_name(reader, "test")) == 4
    assert isinstance(reader, FetchHuman36M)
