"""MPI-INF-3DHP's formats, written small in their true layout and read back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from write_human import (
    FOCAL,
    MPI_TEST_17,
    person,
    picture,
    seen,
    to_28,
    to_savemat,
    write_mat73,
)

from selfpose.data.checks import bone_lengths, check_clip
from selfpose.data.joint_orders import (
    HUMAN36M_32_TO_17,
    MPI_17,
    MPI_28,
    human36m_to_human_17,
    mpi_to_human_17,
)
from selfpose.data.mpi_inf_3dhp import (
    CHEST_HEIGHT,
    MMPoseMPIInf3DHP,
    MPIInf3DHP,
    MPIInf3DHPTest,
    MPIInf3DHPTrain,
)
from selfpose.data.reader import Clip, Reader
from selfpose.skeleton import HUMAN_17

T = 24
SEQUENCES = (("S1", "Seq1"), ("S1", "Seq2"), ("S10", "Seq1"), ("S2", "Seq1"))
UNIVERSAL = 0.93
Edit = Callable[[dict[str, Any]], Any]


def train_pose(subject: str, sequence: str, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px and (T, 17, 3) mm: what every reader must give back."""
    return seen(T, seed=sum(map(ord, subject + sequence)), azimuth=0.45 * camera)


def check_pose(sequence: str) -> tuple[np.ndarray, np.ndarray]:
    return seen(T, seed=int(sequence[2:]), azimuth=0.2)


def write_train(
    root: Path, *, version: str = "5", pictures: str = "frames", edit: Edit | None = None
) -> Path:
    """``S*/Seq*/annot.mat``: cells of 14 cameras, (T, 84) and (T, 56), as MATLAB saves them."""
    for subject, sequence in SEQUENCES:
        folder = root / subject / sequence
        poses = [train_pose(subject, sequence, camera) for camera in range(14)]
        content: dict[str, Any] = {
            "annot2": [to_28(flat).reshape(T, 56) for flat, _ in poses],
            "annot3": [to_28(space).reshape(T, 84) for _, space in poses],
            "univ_annot3": [to_28(space * UNIVERSAL).reshape(T, 84) for _, space in poses],
            "cameras": np.arange(14.0)[None],
            "frames": np.arange(float(T))[:, None],
        }
        if edit is not None:
            edit(content)
        folder.mkdir(parents=True, exist_ok=True)
        if version == "7.3":
            write_mat73(folder / "annot.mat", content)
        else:
            scipy.io.savemat(folder / "annot.mat", to_savemat(content), do_compression=True)
        for camera in CHEST_HEIGHT if pictures == "frames" else ():
            for n in range(1, T + 1, 5):  # people extract some
                picture(folder / "imageFrames" / f"video_{camera}" / f"frame_{n:06d}.jpg")
    return root


def write_test(root: Path, *, edit: Edit | None = None) -> Path:
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
            "bb_crop": np.zeros((34, T)),
        }
        if edit is not None:
            edit(content)
        (root / sequence).mkdir(parents=True, exist_ok=True)
        write_mat73(root / sequence / "annot_data.mat", content)
        for n in range(1, T + 1):
            picture(root / sequence / "imageSequence" / f"img_{n:06d}.jpg")
    return root


def write_mmpose(root: Path, *, edit: Edit | None = None) -> Path:
    """``annotations/mpi_inf_3dhp_*.npz`` and one picture for each clip."""
    clips = [
        *((f"S1_Seq1_Cam{c}", "train", train_pose("S1", "Seq1", c)) for c in (0, 1, 2, 4)),
        *((name, "test_valid", check_pose(name)) for name in ("TS1", "TS5")),
    ]
    for split in ("train", "test_valid"):
        rows: dict[str, list[Any]] = {k: [] for k in ("imgname", "center", "scale", "part", "S")}
        for base, whose, (flat, space) in clips:
            if whose != split:
                continue
            flat, space = to_28(flat)[:, MPI_TEST_17], to_28(space)[:, MPI_TEST_17]
            inside = np.ones((T, 17, 1))
            rows["imgname"].append([f"{base}_{i + 1:06d}.jpg" for i in range(T)])
            rows["center"].append(flat.mean(1))
            rows["scale"].append(np.full(T, 3.5))
            rows["part"].append(np.concatenate([flat, inside], -1))
            rows["S"].append(np.concatenate([space / 1000, inside], -1))
            picture(root / "images" / f"{base}_000001.jpg")
        arrays: dict[str, Any] = {k: np.concatenate(v) for k, v in rows.items()}
        if edit is not None:
            edit(arrays)
        path = root / "annotations" / f"mpi_inf_3dhp_{split}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    return root


def by_name(reader: Reader, split: Any) -> dict[str, Clip]:
    clips = {clip.name: clip for clip in reader.clips(split)}
    assert [c.name for c in reader.clips(split)] == list(clips)  # the same again, none twice
    return clips


class TestJointOrders:
    def test_orders_are_matched_by_name(self) -> None:
        pose = person(3)
        for order in (to_28(pose), to_28(pose)[:, MPI_TEST_17]):
            np.testing.assert_array_equal(mpi_to_human_17(order), pose)
        assert [MPI_28[i] for i in MPI_TEST_17] == list(MPI_17)

    def test_the_measures_are_where_they_belong(self) -> None:
        lengths = dict(
            zip(
                [HUMAN_17.joints[child] for _, child in HUMAN_17.bones],
                bone_lengths(mpi_to_human_17(to_28(person(5))), HUMAN_17),
                strict=True,
            )
        )
        assert lengths["right_knee"] == pytest.approx(450)
        assert lengths["left_wrist"] == pytest.approx(250)
        assert lengths["thorax"] == pytest.approx(255)

    def test_wrong_numbers_of_joints(self) -> None:
        with pytest.raises(ValueError, match="expected 28 or 17 joints"):
            mpi_to_human_17(np.zeros((2, 32, 3)))
        with pytest.raises(ValueError, match="expected 32 or 17 joints"):
            human36m_to_human_17(np.zeros((2, 28, 3)))
        assert len(set(HUMAN36M_32_TO_17)) == 17


class TestTrain:
    @pytest.mark.parametrize("version", ["5", "7.3"])
    @pytest.mark.parametrize("universal", [False, True])
    def test_reads_back_what_was_written(
        self, tmp_path: Path, version: str, universal: bool
    ) -> None:
        root = write_train(tmp_path, version=version)
        reader = MPIInf3DHPTrain(root=root, universal=universal)
        clips = by_name(reader, "train")
        assert list(clips)[:5] == [f"S1/Seq1/{c}" for c in CHEST_HEIGHT]
        assert list(clips)[-1] == "S10/Seq1/8"  # after S2: by number
        assert list(reader.clips("test")) == []
        shown = np.arange(0, T, 5)
        for name, clip in clips.items():
            subject, sequence, camera = name.split("/")
            flat, space = train_pose(subject, sequence, int(camera))
            np.testing.assert_allclose(clip.poses_2d, flat[shown])
            np.testing.assert_allclose(
                clip.poses_3d, space[shown] * (UNIVERSAL if universal else 1)
            )
            assert clip.numbers is not None
            assert clip.numbers.tolist() == shown.tolist()
            assert clip.camera is not None
            np.testing.assert_allclose(clip.camera.focal, FOCAL)
            assert clip.pictures is not None
            assert all(frame.path.is_file() for frame in clip.pictures)
            assert clip.pictures[1].path.name == "frame_000006.jpg"
            assert clip.subject == subject
            assert check_clip(clip, HUMAN_17) == []

    def test_other_cameras(self, tmp_path: Path) -> None:
        root = write_train(tmp_path, pictures="none")
        clips = by_name(MPIInf3DHPTrain(root=root, cameras=(13, 3), poses_only=True), "train")
        assert {name.split("/")[2] for name in clips} == {"3", "13"}
        assert all(clip.pictures is None and len(clip) == T for clip in clips.values())
        with pytest.raises(ValueError, match="expected numbers from 0 to 13"):
            MPIInf3DHPTrain(root=root, cameras=(14,), poses_only=True)

    def test_frames_of_videos(self, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        root = write_train(tmp_path, pictures="none")
        for subject, sequence in SEQUENCES:
            path = root / subject / sequence / "imageSequence" / "video_4.avi"
            path.parent.mkdir()
            with av.open(str(path), "w") as file:
                stream = file.add_stream("mpeg4", rate=25)
                stream.width = stream.height = 32
                for n in range(T - 4):  # four fewer than are annotated
                    shade = np.full((32, 32, 3), 10 * n, dtype=np.uint8)
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
                file.mux(stream.encode(None))
        clips = by_name(MPIInf3DHPTrain(root=root, cameras=(4,)), "train")
        clip = clips["S1/Seq2/4"]
        assert clip.pictures is not None
        assert len(clip) == T - 4
        assert [frame.index for frame in clip.pictures] == list(range(T - 4))
        assert {frame.path.name for frame in clip.pictures} == {"video_4.avi"}
        np.testing.assert_allclose(clip.poses_3d, train_pose("S1", "Seq2", 4)[1][: T - 4])
        with pytest.raises(FileNotFoundError, match=r"video_0\.avi: no such video.*cameras="):
            list(MPIInf3DHPTrain(root=root).clips("train"))

    def test_missing_pictures(self, tmp_path: Path) -> None:
        root = write_train(tmp_path)
        folder = root / "S1" / "Seq1" / "imageFrames" / "video_0"
        for path in folder.iterdir():
            path.rename(path.with_suffix(".png"))
        with pytest.raises(FileNotFoundError, match="video_0: holds no picture of an annotated"):
            list(MPIInf3DHPTrain(root=root).clips("train"))
        shutil.rmtree(folder.parent)
        with pytest.raises(FileNotFoundError, match=r"Seq1: holds neither imageFrames nor"):
            MPIInf3DHPTrain(root=root)

    FAULTS: ClassVar[Any] = {
        "no 2D": (lambda a: a.pop("annot2"), "has no variable 'annot2'"),
        "13 cameras": (lambda a: a["annot3"].pop(), "annot3: expected a cell array of 14"),
        "no cells": (lambda a: a.update(annot2=np.zeros((T, 56))), "annot2: expected a cell array"),
        "17 joints": (
            lambda a: a.update(annot3=[x[:, :51] for x in a["annot3"]]),
            "annot3, camera 0: expected the shape",
        ),
        "frames": (
            lambda a: a.update(annot3=[x[1:] for x in a["annot3"]]),
            "camera 0: 24 frames in annot2, 23 in annot3",
        ),
        "no frame": (
            lambda a: a.update({k: [x[:0] for x in a[k]] for k in ("annot2", "annot3")}),
            "holds no frame|expected the shape",
        ),
        "text": (lambda a: a.update(annot2=["a"] * 14), "expected an array of numbers, got str"),
        "nan": (lambda a: a["annot3"][0].__setitem__((2, 12), np.nan), "not finite"),
        "metres": (lambda a: [x.__imul__(1e-3) for x in a["annot3"]], "are these metres"),
        "one camera for all": (
            lambda a: a.update(annot3=a["annot3"][4:] + a["annot3"][:4]),
            "from the 2D poses",
        ),
        "sides": (
            lambda a: a.update(
                annot3=[
                    x.reshape(T, 28, 3)[
                        :,
                        [*range(8), *range(13, 18), *range(8, 13), *range(23, 28), *range(18, 23)],
                    ].reshape(T, 84)
                    for x in a["annot3"]
                ]
            ),
            "swapped|from the 2D poses",
        ),
        "order": (
            lambda a: a.update(annot3=[x[:, ::-1] for x in a["annot3"]]),
            "order|behind|bones",
        ),
    }

    @pytest.mark.parametrize("name", FAULTS)
    @pytest.mark.parametrize("version", ["5", "7.3"])
    def test_each_fault_has_one_line(self, tmp_path: Path, name: str, version: str) -> None:
        edit, word = self.FAULTS[name]
        reader = MPIInf3DHPTrain(root=write_train(tmp_path, version=version, edit=edit))
        with pytest.raises(ValueError, match=rf"Seq1/annot\.mat: .*({word})") as caught:
            list(reader.clips("train"))
        assert "\n" not in str(caught.value)


class TestTest:
    @pytest.mark.parametrize("universal", [False, True])
    def test_reads_back_what_was_written(self, tmp_path: Path, universal: bool) -> None:
        reader = MPIInf3DHPTest(root=write_test(tmp_path), universal=universal)
        clips = by_name(reader, "test")
        assert list(reader.clips("train")) == []
        assert list(clips) == [f"{s}/{n:06d}" for s in ("TS1", "TS5") for n in (0, 10, 18)]
        for sequence in ("TS1", "TS5"):
            parts = [clip for clip in clips.values() if clip.subject == sequence]
            flat, space = check_pose(sequence)
            scale = UNIVERSAL if universal else 1
            np.testing.assert_allclose(np.concatenate([c.poses_2d for c in parts]), flat)
            np.testing.assert_allclose(np.concatenate([c.poses_3d for c in parts]), space * scale)
            numbers = np.concatenate([c.numbers for c in parts])
            assert numbers.tolist() == list(range(T))
            valid = np.concatenate([c.valid for c in parts])
            assert valid.tolist() == [n % 7 != 3 for n in range(T)]
            assert [c.activity for c in parts] == [
                "Standing/Walking",
                "Sitting",
                "Standing/Walking",
            ]
            assert all(c.static == (sequence == "TS1") for c in parts)
            for clip in parts:
                assert check_clip(clip, HUMAN_17) == []
                assert clip.numbers is not None
                assert clip.pictures is not None
                names = [int(frame.path.stem.removeprefix("img_")) - 1 for frame in clip.pictures]
                assert names == clip.numbers.tolist()

    def test_one_frame_alone(self, tmp_path: Path) -> None:
        """MATLAB leaves out last axes of length one."""

        def first(content: dict[str, Any]) -> None:
            for key in ("annot2", "annot3"):
                content[key] = content[key][:, :, 0, 0]
            for key in ("valid_frame", "activity_annotation"):
                content[key] = content[key][:, :1]

        (clip,) = [
            c
            for c in MPIInf3DHPTest(root=write_test(tmp_path, edit=first)).clips("test")
            if c.subject == "TS1"
        ]
        np.testing.assert_allclose(clip.poses_3d, check_pose("TS1")[1][:1])

    FAULTS: ClassVar[Any] = {
        "no valid": (lambda a: a.pop("valid_frame"), "has no variable 'valid_frame'"),
        "valid": (
            lambda a: a.update(valid_frame=a["valid_frame"][:, :-1]),
            r"valid_frame: expected the shape \(24\)",
        ),
        "28 joints": (
            lambda a: a.update(annot3=np.zeros((3, 28, 1, T))),
            "annot3, MATLAB's axes: expected the shape",
        ),
        "axes": (
            lambda a: a.update(annot3=a["annot3"].transpose(3, 2, 1, 0)),
            "annot3, MATLAB's axes: expected the shape",
        ),
        "text": (lambda a: a.update(annot2="walk"), "annot2.*expected an array of numbers"),
        "cells": (lambda a: a.update(annot2=[np.zeros((2, 17))]), "got list"),
        "nan": (lambda a: a["annot3"].__setitem__((0, 3, 0, 5), np.nan), "not finite"),
        "frames": (
            lambda a: a.update(annot3=a["annot3"][..., :-2]),
            "24 frames in annot2, 22 in annot3",
        ),
        "metres": (lambda a: a["annot3"].__imul__(1e-3), "are these metres"),
        "sides": (
            lambda a: a.update(
                {
                    k: a[k][:, [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14, 15, 16]]
                    for k in ("annot2", "annot3")
                }
            ),
            "swapped",
        ),
    }

    @pytest.mark.parametrize("name", FAULTS)
    def test_each_fault_has_one_line(self, tmp_path: Path, name: str) -> None:
        edit, word = self.FAULTS[name]
        reader = MPIInf3DHPTest(root=write_test(tmp_path, edit=edit))
        with pytest.raises(ValueError, match=rf"TS1/annot_data\.mat: .*{word}") as caught:
            list(reader.clips("test"))
        assert "\n" not in str(caught.value)

    def test_missing_pictures(self, tmp_path: Path) -> None:
        root = write_test(tmp_path)
        (root / "TS1" / "imageSequence" / "img_000024.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"img_000024\.jpg: no such picture"):
            list(MPIInf3DHPTest(root=root).clips("test"))
        shutil.rmtree(root / "TS5" / "imageSequence")
        with pytest.raises(FileNotFoundError, match=r"imageSequence: no such folder.*poses_only"):
            MPIInf3DHPTest(root=root)
        clips = MPIInf3DHPTest(root=root, poses_only=True).clips("test")
        assert all(clip.pictures is None for clip in clips)


class TestMMPose:
    def test_reads_back_what_was_written(self, tmp_path: Path) -> None:
        reader = MMPoseMPIInf3DHP(root=write_mmpose(tmp_path))
        train, test = by_name(reader, "train"), by_name(reader, "test")
        assert list(train) == ["S1/Seq1/0", "S1/Seq1/2", "S1/Seq1/4"]
        assert list(test) == ["TS1", "TS5"]
        for name, clip in (train | test).items():
            parts = name.split("/")
            known = check_pose(name) if name in test else train_pose("S1", "Seq1", int(parts[2]))
            np.testing.assert_allclose(clip.poses_2d, known[0])
            np.testing.assert_allclose(clip.poses_3d, known[1], atol=1e-6)
            assert clip.numbers is not None
            assert clip.numbers.tolist() == list(range(T))
            assert clip.boxes is not None
            assert (clip.boxes[:, 2] == 700).all()
            assert check_clip(clip, HUMAN_17) == []

    @pytest.mark.parametrize(
        ("edit", "word"),
        [
            (
                lambda a: a.update(imgname=np.array(["TS1.jpg"] * len(a["S"]))),
                "picture's, expected",
            ),
            (lambda a: a["S"].__imul__(1e3), "are these millimetres"),
            (lambda a: a.update(part=a["part"][:, list(HUMAN_17.flip)]), "px"),
            (lambda a: a.pop("scale"), "has no array 'scale'"),
            (
                lambda a: a.update({k: to_28(a[k])[:, MPI_TEST_17] for k in ("part", "S")}),
                "order|px|bones|behind",
            ),
        ],
    )
    def test_faults(self, tmp_path: Path, edit: Edit, word: str) -> None:
        reader = MMPoseMPIInf3DHP(root=write_mmpose(tmp_path, edit=edit))
        with pytest.raises(ValueError, match=rf"mpi_inf_3dhp_train\.npz: .*({word})"):
            list(reader.clips("train"))


class TestEither:
    def test_the_original_files(self, tmp_path: Path) -> None:
        write_train(tmp_path / "train", pictures="none")
        write_test(tmp_path / "test" / "mpi_inf_3dhp_test_set")
        reader = MPIInf3DHP(root=tmp_path, poses_only=True)
        assert len(by_name(reader, "train")) == 4 * 5
        assert len(by_name(reader, "test")) == 2 * 3
        assert set(reader.describe()) == {"train", "test"}
        shutil.rmtree(tmp_path / "train")
        reader = MPIInf3DHP(root=tmp_path, poses_only=True)
        assert list(reader.clips("train")) == []

    def test_mmposes_files(self, tmp_path: Path) -> None:
        reader = MPIInf3DHP(root=write_mmpose(tmp_path))
        assert len(by_name(reader, "train")) == 3
        assert len(by_name(reader, "test")) == 2
        with pytest.raises(ValueError, match="annot3 alone"):
            MPIInf3DHP(root=tmp_path, universal=True)

    def test_nothing(self, tmp_path: Path) -> None:
        for reader in (MPIInf3DHP, MPIInf3DHPTrain, MPIInf3DHPTest, MMPoseMPIInf3DHP):
            with pytest.raises(FileNotFoundError, match=rf"{tmp_path.name}: holds n"):
                reader(root=tmp_path)

    @pytest.mark.usefixtures("without_shape_checks")
    def test_an_unknown_split(self, tmp_path: Path) -> None:
        reader: Any = MPIInf3DHP(root=write_mmpose(tmp_path))
        with pytest.raises(ValueError, match="unknown split 'val'; known: train, test"):
            list(reader.clips("val"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    kind=st.sampled_from(["train", "train 7.3", "test"]),
    cut=st.none() | st.floats(0, 0.999),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
)
def test_mangled_files_are_never_half_read(
    tmp_path: Path, kind: str, cut: float | None, flips: list[tuple[float, int]]
) -> None:
    root = tmp_path / kind
    if not root.exists():
        write_test(root) if kind == "test" else write_train(root, version=kind[6:] or "5")
    target = next(root.glob("*1/annot_data.mat"), root / "S1" / "Seq1" / "annot.mat")
    good = target.with_suffix(".good")
    if not good.exists():
        good.write_bytes(target.read_bytes())
    data = bytearray(good.read_bytes())
    for where, what in flips:
        data[int(where * (len(data) - 1))] ^= what
    target.write_bytes(bytes(data if cut is None else data[: int(cut * len(data))]))
    caught: Exception | None = None
    try:
        clips = list(MPIInf3DHP(root=root).clips("test" if kind == "test" else "train"))
        assert all(c.poses_3d is not None and c.poses_3d.shape[1:] == (17, 3) for c in clips)
    except Exception as error:  # the next lines say which it must be
        caught = error
    assert caught is None or type(caught) in (ValueError, FileNotFoundError)
    assert caught is None or str(target) in str(caught)
    assert "\n" not in str(caught)
