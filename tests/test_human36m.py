"""Human3.6M's three formats, written small in their true layout and read back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from write_human import FOCAL, PRINCIPAL, person, picture, seen, to_32, to_camera, to_pixels

from selfpose.data.checks import check_clip
from selfpose.data.human36m import (
    CAMERAS,
    FetchHuman36M,
    Human36M,
    MMPoseHuman36M,
    VideoPose3DHuman36M,
)
from selfpose.data.reader import Clip, Reader
from selfpose.evaluation.protocols.human36m import is_bad_s9
from selfpose.skeleton import HUMAN_17

T = 24
AZIMUTH = dict(zip(CAMERAS, (0.3, 1.7, 3.2, 4.6), strict=True))
SEQUENCES = {"S1": ["Directions 1", "TakingPhoto"], "S9": ["Greeting", "Walking 1"]}


def pose(subject: str, sequence: str, camera: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px, (T, 17, 3) mm: what every reader must give back."""
    return seen(T, seed=seed(subject, sequence), azimuth=AZIMUTH[camera])


def seed(subject: str, sequence: str) -> int:
    return sum(map(ord, subject + sequence))


def write_mmpose(root: Path, *, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """``annotation_body3d/fps10/h36m_*.npz`` and one tiny picture for each clip."""
    for split, subject in (("train", "S1"), ("test", "S9")):
        rows: dict[str, list[Any]] = {k: [] for k in ("imgname", "center", "scale", "part", "S")}
        for sequence in SEQUENCES[subject]:
            for camera in CAMERAS:
                flat, space = pose(subject, sequence, camera)
                base = f"{subject}_{sequence.replace(' ', '_')}.{camera}"
                names = [f"{subject}/{base}/{base}_{5 * i + 1:06d}.jpg" for i in range(T)]
                low, high = flat.min(1), flat.max(1)
                ones = np.ones((T, 17, 1))
                rows["imgname"] += names
                rows["center"].append((low + high) / 2)
                rows["scale"].append(1.2 * (high - low).max(-1) / 200)
                rows["part"].append(np.concatenate([flat, ones], -1))
                rows["S"].append(np.concatenate([space / 1000, ones], -1))
                picture(root / "images" / names[0])
        arrays = {k: np.concatenate(v) for k, v in rows.items() if k != "imgname"}
        arrays["imgname"] = np.array(rows["imgname"])
        if edit is not None:
            edit(arrays)
        path = root / "annotation_body3d" / "fps10" / f"h36m_{split}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    return root


def to_world_file(world: np.ndarray) -> np.ndarray:
    """mm with y down → metres with z up, float32, as VideoPose3D keeps them."""
    z_up = np.stack([world[..., 0], world[..., 2], -world[..., 1]], axis=-1)
    return (z_up / 1000).astype(np.float32)


def bend(points: np.ndarray) -> np.ndarray:
    """Pixels through a lens that distorts, with coefficients of the size of Human3.6M's."""
    plane = points[..., :2] / points[..., 2:]
    r2 = (plane**2).sum(-1, keepdims=True)
    tangential = np.array([-0.0009, -0.0014])
    radial = 1 - 0.207 * r2 + 0.248 * r2**2 - 0.003 * r2**3
    bent = plane * (radial + (plane * tangential).sum(-1, keepdims=True)) + r2 * tangential
    return bent * FOCAL + PRINCIPAL


def write_videopose3d(root: Path, *, lens: bool = True) -> Path:
    """Both pickled ``.npz``; 2D runs on for three frames, as it does in the true files."""
    space: dict[str, Any] = {}
    flat: dict[str, Any] = {}
    for subject, sequences in SEQUENCES.items():
        space[subject], flat[subject] = {}, {}
        for sequence in sequences:
            name = sequence.replace("TakingPhoto", "Photo")
            world = person(T, seed=seed(subject, sequence))
            longer = np.concatenate([world, world[-3:]])
            space[subject][name] = to_32(to_world_file(world))
            views = [to_camera(longer, azimuth=AZIMUTH[c]) for c in CAMERAS]
            shown = [bend(v) if lens else to_pixels(v) for v in views]
            flat[subject][name] = [v.astype(np.float32) for v in shown]
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=space)
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [[4, 5], [1, 2]]}
    np.savez_compressed(root / "data_2d_h36m_gt.npz", positions_2d=flat, metadata=metadata)
    return root


def write_fetch(root: Path, *, edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """``processed/S*/<activity>-<n>/annot.h5`` with the first picture of each camera."""
    for subject, sequences in SEQUENCES.items():
        for sequence in sequences:
            action = {"Greeting": "Greeting-2", "Directions 1": "Directions-1"}.get(
                sequence, f"{sequence.split()[0]}-1"
            )
            folder = root / "processed" / subject / action
            frames = 64 * np.arange(T) + 1
            parts: dict[str, list[np.ndarray]] = {}
            lenses = {}
            for camera in CAMERAS:
                flat, space = pose(subject, sequence, camera)
                own = {
                    "pose/2d": to_32(flat),
                    "pose/3d": to_32(space),
                    "pose/3d-univ": to_32(space * 0.95),
                    "frame": frames,
                    "camera": np.full(T, int(camera)),
                    "subject": np.full(T, int(subject[1:])),
                    "action": np.full(T, 2),
                    "subaction": np.full(T, int(action[-1])),
                }
                for key, value in own.items():
                    parts.setdefault(key, []).append(value)
                values = np.stack([FOCAL, PRINCIPAL], -1).ravel()  # fx, cx, fy, cy
                lenses |= {f"intrinsics/{camera}": values, f"intrinsics-univ/{camera}": values}
                picture(folder / "imageSequence" / camera / f"img_{frames[0]:06d}.jpg")
            content: dict[str, Any] = {k: np.concatenate(v) for k, v in parts.items()} | lenses
            if edit is not None:
                edit(content)
            with h5py.File(folder / "annot.h5", "w") as file:
                for key, value in content.items():
                    file[key] = value
    return root


def by_name(reader: Reader, split: Any) -> dict[str, Clip]:
    clips = {clip.name: clip for clip in reader.clips(split)}
    assert [c.name for c in reader.clips(split)] == list(clips)  # the same again, none twice
    return clips


class TestMMPose:
    def test_reads_back_what_was_written(self, tmp_path: Path) -> None:
        reader = MMPoseHuman36M(root=write_mmpose(tmp_path))
        train, test = by_name(reader, "train"), by_name(reader, "test")
        assert len(train) == len(test) == 2 * 4
        for name, clip in (train | test).items():
            subject, sequence, camera = name.split("/")
            flat, space = pose(subject, sequence, camera)
            np.testing.assert_allclose(clip.poses_2d, flat)
            np.testing.assert_allclose(clip.poses_3d, space, atol=1e-6)
            assert clip.subject == subject
            assert clip.numbers is not None
            assert clip.numbers.tolist() == [5 * i for i in range(T)]
            assert clip.static
            assert clip.camera is not None
            np.testing.assert_allclose(clip.camera.focal, FOCAL, rtol=1e-6)
            np.testing.assert_allclose(clip.camera.principal, PRINCIPAL, rtol=1e-6)
            assert clip.boxes is not None
            low, high = flat.min(1), flat.max(1)
            np.testing.assert_allclose(clip.boxes[:, :2], (low + high) / 2)
            np.testing.assert_allclose(clip.boxes[:, 2], 1.2 * (high - low).max(-1))
            assert clip.pictures is not None
            assert clip.pictures[0].path.is_file()
            assert clip.pictures[-1].path.name.endswith("_000116.jpg")
            assert check_clip(clip, HUMAN_17) == []
        assert {c.activity for c in train.values()} == {"Directions", "Photo"}

    def test_bad_sequences_of_s9_are_known_by_name_or_left_out(self, tmp_path: Path) -> None:
        root = write_mmpose(tmp_path)
        kept = by_name(MMPoseHuman36M(root=root), "test")
        for name, clip in kept.items():
            assert is_bad_s9(clip.subject, name) == name.startswith("S9/Greeting/")
            assert clip.valid is None
        dropped = by_name(MMPoseHuman36M(root=root, drop_bad_s9=True), "test")
        assert dropped.keys() == {n for n in kept if "Greeting" not in n}

    def test_pictures_are_asked_for_unless_poses_are_enough(self, tmp_path: Path) -> None:
        root = write_mmpose(tmp_path)
        (root / "images" / "S9").rename(tmp_path / "elsewhere")
        with pytest.raises(FileNotFoundError, match=r"000001\.jpg: no such picture.*option images"):
            list(MMPoseHuman36M(root=root).clips("test"))
        shutil.rmtree(root / "images")
        with pytest.raises(FileNotFoundError, match=r"images: no such folder.*poses_only=True"):
            MMPoseHuman36M(root=root)
        clips = by_name(MMPoseHuman36M(root=root, poses_only=True), "test")
        assert all(clip.pictures is None for clip in clips.values())

    def test_a_folder_without_the_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"holds neither h36m_train\.npz nor"):
            MMPoseHuman36M(root=tmp_path)

    def test_one_split_alone(self, tmp_path: Path) -> None:
        root = write_mmpose(tmp_path)
        (root / "annotation_body3d" / "fps10" / "h36m_test.npz").unlink()
        reader = MMPoseHuman36M(root=root)
        assert list(reader.clips("test")) == []
        assert len(by_name(reader, "train")) == 8

    FAULTS: ClassVar[Any] = {
        "no 3D": (lambda a: a.pop("S"), "has no array 'S'"),
        "14 joints": (lambda a: a.update(part=a["part"][:, :14]), r"part: expected the shape"),
        "fewer poses": (lambda a: a.update(S=a["S"][:-1]), "S: expected the shape"),
        "text": (lambda a: a.update(scale=a["scale"].astype(str)), "scale: expected an array of n"),
        "numbered": (
            lambda a: a.update(imgname=np.arange(len(a["S"]))),
            "imgname: expected a list",
        ),
        "empty": (lambda a: a.update({k: v[:0] for k, v in a.items()}), "imgname: holds no frame"),
        "nan": (lambda a: a["S"].__setitem__((3, 2, 1), np.nan), "S: holds numbers that are not"),
        "infinite": (lambda a: a["part"].__setitem__((3, 2, 1), np.inf), "part: holds numbers"),
        "mm": (lambda a: a["S"].__imul__(1000), "expected about 259 mm; are these millimetres"),
        "inches": (lambda a: a["S"].__imul__(1 / 25.4), "are these inches"),
        "centred": (lambda a: a["S"].__isub__(a["S"][:, :1].copy()), "behind the camera"),
        "sides of 3D": (
            lambda a: a.update(S=a["S"][:, list(HUMAN_17.flip)]),
            "knees bend backwards in 100%",
        ),
        "sides of both": (
            lambda a: a.update(
                S=a["S"][:, list(HUMAN_17.flip)], part=a["part"][:, list(HUMAN_17.flip)]
            ),
            "are left and right swapped",
        ),
        "arms of 2D": (
            lambda a: a.update(part=a["part"][:, [*range(11), 14, 15, 16, 11, 12, 13]]),
            "from the 2D poses, expected 2 px",
        ),
        "another order": (lambda a: a.update(S=a["S"][:, ::-1]), "joints in another order"),
        "other frames": (lambda a: a.update(part=a["part"][::-1]), "from the 2D poses"),
        "y up": (
            lambda a: (a["S"].__imul__([1, -1, 1, 1]), a["part"].__imul__([1, -1, 1])),
            "swapped|head is below",
        ),
        "names": (lambda a: a.update(imgname=np.array(["x.jpg"] * len(a["S"]))), "is no name of a"),
        "twice": (
            lambda a: a.update(imgname=np.array([a["imgname"][0]] * len(a["S"]))),
            "stands there twice",
        ),
        "way out": (
            lambda a: a.update(imgname=np.char.add("../../", a["imgname"])),
            "leads out of the folder",
        ),
        "objects": (lambda a: a.update(S=np.array([{}] * 3)), "holds Python objects"),
    }

    @pytest.mark.parametrize("name", FAULTS)
    def test_each_fault_has_one_line(self, tmp_path: Path, name: str) -> None:
        edit, word = self.FAULTS[name]
        root = write_mmpose(tmp_path, edit=edit)
        reader = MMPoseHuman36M(root=root)
        with pytest.raises(ValueError, match=rf"h36m_train\.npz: .*({word})") as caught:
            list(reader.clips("train"))
        assert "\n" not in str(caught.value)

    def test_swapped_files(self, tmp_path: Path) -> None:
        folder = write_mmpose(tmp_path) / "annotation_body3d" / "fps10"
        (folder / "h36m_test.npz").rename(folder / "x.npz")
        (folder / "h36m_train.npz").rename(folder / "h36m_test.npz")
        with pytest.raises(ValueError, match=r"holds S1, but test is S9, S11; have the two files"):
            list(MMPoseHuman36M(root=tmp_path).clips("test"))


class TestVideoPose3D:
    @pytest.mark.parametrize("lens", [False, True])
    def test_the_world_comes_back_in_each_cameras_frame(self, tmp_path: Path, lens: bool) -> None:
        reader = VideoPose3DHuman36M(root=write_videopose3d(tmp_path, lens=lens))
        clips = by_name(reader, "train") | by_name(reader, "test")
        assert len(clips) == 2 * 2 * 4
        for name, clip in clips.items():
            subject, sequence, camera = name.split("/")
            flat, space = pose(subject, sequence.replace("Photo", "TakingPhoto"), camera)
            assert clip.poses_2d is not None
            assert len(clip) == T
            np.testing.assert_allclose(clip.poses_3d, space, atol=0.05)  # mm, from float32 metres
            np.testing.assert_allclose(clip.poses_2d, bend(space) if lens else flat, atol=1e-3)
            assert clip.pictures is None
            assert check_clip(clip, HUMAN_17) == []
        assert is_bad_s9("S9", clips["S9/Greeting/54138969"].name)
        assert clips["S1/Photo/54138969"].activity == "Photo"

    def test_cameras_that_do_not_fit_are_refused(self, tmp_path: Path) -> None:
        root = write_videopose3d(tmp_path)
        path = root / "data_2d_h36m_gt.npz"
        flat = np.load(path, allow_pickle=True)["positions_2d"].item()  # our own file
        flat["S1"]["Directions 1"][2] += np.random.default_rng(0).normal(0, 12, (T + 3, 17, 2))
        flat["S1"]["Photo"][2] += np.random.default_rng(1).normal(0, 12, (T + 3, 17, 2))
        np.savez(path, positions_2d=flat)
        with pytest.raises(ValueError, match=r"gt\.npz: S1/58860488: no camera .*detected poses"):
            list(VideoPose3DHuman36M(root=root).clips("train"))

    @pytest.mark.parametrize(
        ("edit", "word"),
        [
            (lambda space, flat: space["S1"].pop("Photo"), None),
            (lambda space, flat: flat["S1"].pop("Photo"), "gt.npz: S1/Photo: expected a list of 4"),
            (lambda space, flat: flat.pop("S1"), "gt.npz: has no subject S1"),
            (lambda space, flat: flat["S1"]["Photo"].pop(), "S1/Photo: expected a list of 4"),
            (
                lambda space, flat: flat["S1"]["Photo"].__setitem__(1, np.zeros((5, 17, 2))),
                "S1/Photo/1: 5 frames, but 24 in 3D",
            ),
            (
                lambda space, flat: flat["S1"]["Photo"].__setitem__(1, np.zeros((30, 16, 2))),
                "S1/Photo/1: expected the shape",
            ),
            (
                lambda space, flat: space["S1"].__setitem__("Photo", np.zeros((24, 20, 3))),
                "3d_h36m.npz: S1/Photo: expected 32 or 17 joints",
            ),
            (
                lambda space, flat: space["S1"].__setitem__("Photo", np.full((9, 32, 3), np.nan)),
                "3d_h36m.npz: S1/Photo: holds numbers that are not finite",
            ),
            (
                lambda space, flat: space["S1"].__setitem__("Photo", "walk"),
                "3d_h36m.npz: S1/Photo: expected an array of numbers, got str",
            ),
            (lambda space, flat: space.clear(), "holds none of Human3.6M's subjects"),
            (lambda space, flat: space.update(S1=[1]), "expected a dict of subjects"),
            (
                lambda space, flat: [v.__imul__(1000) for v in space["S1"].values()],
                "are these millimetres",
            ),
            (
                lambda space, flat: [v.__imul__([1, 1, -1]) for v in space["S1"].values()],
                "mirrored",
            ),
        ],
    )
    def test_faults(self, tmp_path: Path, edit: Any, word: str | None) -> None:
        root = write_videopose3d(tmp_path)
        paths = root / "data_3d_h36m.npz", root / "data_2d_h36m_gt.npz"
        space, flat = (
            np.load(p, allow_pickle=True)[k].item()
            for p, k in zip(paths, ("positions_3d", "positions_2d"), strict=True)
        )
        edit(space, flat)
        np.savez(paths[0], positions_3d=space)
        np.savez(paths[1], positions_2d=flat)
        reader = VideoPose3DHuman36M(root=root)
        if word is None:  # 2D poses of which there is no 3D are left aside
            assert len(by_name(reader, "train")) == 4
            return
        with pytest.raises(ValueError, match=word) as caught:
            list(reader.clips("train"))
        assert "\n" not in str(caught.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        (write_videopose3d(tmp_path) / "data_2d_h36m_gt.npz").unlink()
        with pytest.raises(FileNotFoundError, match=r"gt\.npz: no such file; VideoPose3D's"):
            VideoPose3DHuman36M(root=tmp_path)


class TestFetch:
    @pytest.mark.parametrize("universal", [False, True])
    def test_reads_back_what_was_written(self, tmp_path: Path, universal: bool) -> None:
        reader = FetchHuman36M(root=write_fetch(tmp_path), universal=universal)
        clips = by_name(reader, "train") | by_name(reader, "test")
        assert len(clips) == 2 * 2 * 4
        sequences = {"Directions-1": "Directions 1", "Greeting-2": "Greeting"}
        for name, clip in clips.items():
            subject, action, camera = name.split("/")
            sequence = sequences.get(action, {"S1": "TakingPhoto", "S9": "Walking 1"}[subject])
            flat, space = pose(subject, sequence, camera)
            np.testing.assert_allclose(clip.poses_2d, flat)
            np.testing.assert_allclose(clip.poses_3d, space * (0.95 if universal else 1))
            assert clip.camera is not None
            np.testing.assert_allclose(clip.camera.focal, FOCAL)
            assert clip.numbers is not None
            assert (clip.numbers % 64 == 0).all()
            assert clip.pictures is not None
            assert clip.pictures[1].path.name == "img_000065.jpg"
            assert is_bad_s9(clip.subject, clip.name) == (
                name[:2] == "S9" and action == "Greeting-2"
            )
            assert check_clip(clip, HUMAN_17) == []

    FAULTS: ClassVar[Any] = {
        "no 3D": (lambda a: a.pop("pose/3d"), "universal=True"),
        "no 2D": (lambda a: a.pop("pose/2d"), "has no dataset 'pose/2d'"),
        "17 joints": (lambda a: a.update({"pose/3d": a["pose/3d"][:, :17]}), "expected the shape"),
        "whose": (lambda a: a["subject"].__iadd__(1), "subject: holds another one"),
        "camera": (lambda a: a["camera"].__iadd__(1), "camera: expected frames of the cameras"),
        "twice": (lambda a: a["frame"].__imul__(0), "frame: expected numbers from 1"),
        "nan": (lambda a: a["pose/2d"].__setitem__(0, np.nan), "pose/2d: holds numbers"),
        "lens": (
            lambda a: a.update({f"intrinsics/{c}": np.array([0.0, 1, 2, 3]) for c in CAMERAS}),
            "positive focal lengths",
        ),
        "another lens": (
            lambda a: a.update({f"intrinsics/{c}": np.array([900.0, 5, 9, 3]) for c in CAMERAS}),
            "focal|px",
        ),
        "metres": (lambda a: a["pose/3d"].__imul__(0.001), "are these metres"),
    }

    @pytest.mark.parametrize("name", FAULTS)
    def test_each_fault_has_one_line(self, tmp_path: Path, name: str) -> None:
        edit, word = self.FAULTS[name]
        reader = FetchHuman36M(root=write_fetch(tmp_path, edit=edit))
        with pytest.raises(ValueError, match=rf"Directions-1/annot\.h5: .*({word})") as caught:
            list(reader.clips("train"))
        assert "\n" not in str(caught.value)

    def test_missing_pictures_and_files(self, tmp_path: Path) -> None:
        root = write_fetch(tmp_path)
        shutil.rmtree(root / "processed" / "S1" / "Directions-1" / "imageSequence")
        with pytest.raises(FileNotFoundError, match=r"no such picture.*poses_only=True"):
            list(FetchHuman36M(root=root).clips("train"))
        clips = FetchHuman36M(root=root / "processed", poses_only=True).clips("train")
        assert all(clip.pictures is None for clip in clips)
        with pytest.raises(FileNotFoundError, match=r"holds no S1/Directions-1/annot\.h5"):
            FetchHuman36M(root=root / "processed" / "S1")

    def test_a_camera_may_be_missing(self, tmp_path: Path) -> None:
        def drop(content: dict[str, Any]) -> None:
            keep = content["camera"] != int(CAMERAS[0])
            for key in ("pose/2d", "pose/3d", "frame", "camera", "subject"):
                content[key] = content[key][keep]

        names = by_name(FetchHuman36M(root=write_fetch(tmp_path, edit=drop)), "test")
        assert len(names) == 2 * 3
        assert not any(CAMERAS[0] in name for name in names)


def test_whichever_files_a_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds none of h36m_train"):
        Human36M(root=tmp_path)
    for write, word in (
        (write_videopose3d, "VideoPose3D"),
        (write_fetch, "h36m-fetch"),
        (write_mmpose, "MMPose"),
    ):
        reader = Human36M(root=write(tmp_path), drop_bad_s9=True)
        assert word in str(reader.describe()["format"])
        assert len(by_name(reader, "train")) == 8
        assert len(by_name(reader, "test")) == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    kind=st.sampled_from(["mmpose", "videopose3d", "fetch"]),
    cut=st.floats(0, 0.999),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
    cutting=st.booleans(),
)
def test_mangled_files_are_never_half_read(
    tmp_path: Path, kind: str, cut: float, flips: list[tuple[float, int]], cutting: bool
) -> None:
    """Every clip that does come out has the shape and plausibility of a whole one."""
    root = tmp_path / kind
    write = {"mmpose": write_mmpose, "videopose3d": write_videopose3d, "fetch": write_fetch}[kind]
    if not root.exists():
        write(root)
        target = next(
            p
            for p in sorted(root.rglob("*"))
            if p.suffix in (".npz", ".h5") and "test" not in p.name
        )
        target.with_suffix(".good").write_bytes(target.read_bytes())
    good = next(root.rglob("*.good"))
    target = next(
        p for p in good.parent.iterdir() if p.stem == good.stem and p != good and p.is_file()
    )
    data = bytearray(good.read_bytes())
    for where, what in flips:
        data[int(where * (len(data) - 1))] ^= what
    target.write_bytes(bytes(data[: int(cut * len(data))] if cutting else data))
    reader: Reader
    caught: Exception | None = None
    try:
        if kind == "mmpose":
            reader = MMPoseHuman36M(root=root)
        elif kind == "videopose3d":
            reader = VideoPose3DHuman36M(root=root)
        else:
            reader = FetchHuman36M(root=root)
        clips = list(reader.clips("train"))
    except Exception as error:  # the next lines say which it must be
        caught = error
    else:
        assert all(
            clip.poses_3d is not None and clip.poses_3d.shape[1:] == (17, 3) for clip in clips
        )
    assert caught is None or type(caught) in (ValueError, FileNotFoundError)
    assert caught is None or str(root) in str(caught)
    assert "\n" not in str(caught)
