"""MPI-INF-3DHP: the original training and test files, and MMPose's tables of them.

All give the 17 joints of ``HUMAN_17``, mm in the camera's frame. Its *thorax*, *neck* and *head*
are called *neck*, *head* and *head_top* here, and lie within a few cm of Human3.6M's places.
``annot3`` holds a person's own measures, ``univ_annot3`` the same poses scaled to one skeleton, on
which the official evaluation works.

Source: Mehta, Rhodin, Casas, Fua, Sotnychenko, Xu, Theobalt, Monocular 3D Human Pose Estimation In
The Wild, 3DV 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from selfpose.data.arrays import expect, load_mat
from selfpose.data.reader import SPLITS, Clip, Frame, Split
from selfpose.data.shared import FileReader, MMPoseTables, existing, fit_camera
from selfpose.data.video import count_frames
from selfpose.skeleton import HUMAN_17

# Joints of the training files, and of the test files and both of MMPose's.
MPI_28 = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *("left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    *("right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
    *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
)
MPI_17 = (
    *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head"),
)
_IN_MPI = {"hip": "pelvis", "thorax": "neck", "neck": "head", "head": "head_top"}
MPI_28_TO_17, MPI_17_TO_17 = (
    [order.index(_IN_MPI.get(joint, joint)) for joint in HUMAN_17.joints]
    for order in (MPI_28, MPI_17)
)

CHEST_HEIGHT = (0, 2, 4, 7, 8)  # of the 14 cameras
ACTIVITIES = (
    *("", "Standing/Walking", "Exercising", "Sitting", "Reaching/Crouching", "On the floor"),
    *("Sports", "Miscellaneous"),
)
_STUDIO = ("TS1", "TS2", "TS3", "TS4")  # the other two are outdoors
_PLACES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"{f}S*/Seq*/annot.mat" for f in ("", "train/")),
    "test": tuple(f"{f}TS*/annot_data.mat" for f in ("", "test/", "mpi_inf_3dhp_test_set/")),
}


@dataclass(kw_only=True)
class MPIInf3DHP(FileReader):
    """The original files: ``S1/Seq1/annot.mat`` to train, ``TS1/annot_data.mat`` to test, or both.

    ``S1`` to ``S8`` may lie in ``train``, ``TS1`` to ``TS6`` in ``test`` or
    ``mpi_inf_3dhp_test_set``. Training pictures are ``imageFrames/video_0/frame_000001.jpg``, of
    which any may be missing (only frames with a picture are read), else the videos
    ``imageSequence/video_0.avi``, which need the extra ``video``; test pictures are
    ``imageSequence/img_000001.jpg``. A test clip is a stretch of one activity, its ``subject`` the
    sequence, over which papers average. ``cameras`` are those of the 14 that are read of the
    training set; ``universal`` reads ``univ_annot3`` in the place of ``annot3``.
    """

    cameras: tuple[int, ...] = CHEST_HEIGHT
    universal: bool = False
    poses_only: bool = False

    name = "mpi-inf-3dhp"
    skeleton = HUMAN_17

    def __post_init__(self) -> None:
        if not self.cameras or not set(self.cameras) <= set(range(14)):
            raise ValueError(f"cameras={self.cameras}: expected numbers from 0 to 13")
        root = Path(self.root)
        self._files = {s: sorted(p for f in fs for p in root.glob(f)) for s, fs in _PLACES.items()}
        if not any(self._files.values()):
            raise FileNotFoundError(
                f"{root}: holds neither S1/Seq1/annot.mat nor TS1/annot_data.mat; MMPose's tables "
                "are read as mpi-inf-3dhp-mmpose"
            )
        self._annot = "univ_annot3" if self.universal else "annot3"

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, by subject and sequence; one file is held at a time."""
        for path in self._files[split]:
            yield from self._train(path) if split == "train" else self._test(path)

    def _train(self, path: Path) -> Iterator[Clip]:
        """``annot2`` and ``annot3`` are cells of 14 cameras: (T, 28 · 2) px and (T, 28 · 3) mm."""
        content = load_mat(path, ("annot2", self._annot))
        subject, sequence = path.parts[-3:-1]
        for camera in sorted(set(self.cameras)):
            t = len(content["annot2"][camera])
            flat = expect(path, "annot2", content["annot2"][camera], t, 56).reshape(t, 28, 2)
            space = expect(path, self._annot, content[self._annot][camera], t, 84).reshape(t, 28, 3)
            poses_2d, poses_3d = flat[:, MPI_28_TO_17], space[:, MPI_28_TO_17]
            name = f"{subject}/{sequence}/{camera}"
            pictures, numbers = self._train_pictures(path, camera, t)
            yield Clip(
                name=name,
                subject=subject,
                pictures=pictures,
                poses_2d=poses_2d[numbers],
                poses_3d=poses_3d[numbers],
                camera=fit_camera(poses_3d, poses_2d, f"{path}: {name}", resized=self.universal),
                static=True,
                numbers=numbers,
            )

    def _train_pictures(
        self, path: Path, camera: int, t: int
    ) -> tuple[tuple[Frame, ...] | None, Int[np.ndarray, " N"]]:
        """The frames of which there is a picture, among the t that have a pose."""
        numbers = np.arange(t)
        if self.poses_only:
            return None, numbers
        folder = path.parent / "imageFrames" / f"video_{camera}"
        if folder.is_dir():
            there = {p.name for p in folder.iterdir()}
            numbers = numbers[[f"frame_{i + 1:06d}.jpg" in there for i in numbers]]
            if len(numbers) == 0:
                raise FileNotFoundError(f"{folder}: no frame_000001.jpg or the like of {path.name}")
            return tuple(Frame(path=folder / f"frame_{i + 1:06d}.jpg") for i in numbers), numbers
        video = existing(
            path.parent / "imageSequence" / f"video_{camera}.avi",
            f"nor is {folder}: extract the videos, name the cameras you have, or take poses_only",
        )
        numbers = numbers[: count_frames(video)]  # some annotations run on after the video
        return tuple(Frame(path=video, index=int(i)) for i in numbers), numbers

    def _test(self, path: Path) -> Iterator[Clip]:
        """``annot2`` and ``annot3`` are C × 17 × 1 × T by MATLAB's axes, px and mm."""
        per_frame = ("valid_frame", "activity_annotation")
        content = load_mat(path, ("annot2", self._annot, *per_frame))
        t = content["annot2"].shape[-1]
        poses_2d, poses_3d = (
            expect(path, key, content[key], c, 17, 1, t)[:, :, 0].T[:, MPI_17_TO_17]
            for key, c in (("annot2", 2), (self._annot, 3))
        )
        valid, activity = (expect(path, key, content[key].ravel(), t) for key in per_frame)
        valid = valid != 0
        sequence = path.parts[-2]
        camera = fit_camera(poses_3d[valid], poses_2d[valid], str(path), resized=self.universal)
        for start, stop in pairwise([0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), t]):
            pictures = None
            if not self.poses_only:
                folder = path.parent / "imageSequence"
                shown = range(start + 1, stop + 1)
                pictures = tuple(Frame(path=folder / f"img_{i:06d}.jpg") for i in shown)
                existing(pictures[-1].path, "extract the test set there, or take poses_only")
            yield Clip(
                name=f"{sequence}/{start:06d}",
                subject=sequence,
                activity=ACTIVITIES[int(activity[start])],
                pictures=pictures,
                poses_2d=poses_2d[start:stop],
                poses_3d=poses_3d[start:stop],
                camera=camera,
                static=sequence in _STUDIO,
                numbers=np.arange(start, stop),
                valid=valid[start:stop],
            )


@dataclass(kw_only=True)
class MMPoseMPIInf3DHP(MMPoseTables):
    """MMPose's ``mpi_inf_3dhp_train.npz`` and ``…_test_valid.npz`` (else ``…_test_all.npz``)."""

    cameras: tuple[int, ...] = CHEST_HEIGHT

    name = "mpi-inf-3dhp-mmpose"
    joints: ClassVar = MPI_17_TO_17
    files: ClassVar = {s: f"mpi_inf_3dhp_{s}*.npz" for s in SPLITS}
    pictures: ClassVar = {"train": r"(S\d+)_(Seq\d+)_Cam(\d+)", "test": r"(TS\d+)"}

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, in the order of its table, which is held meanwhile."""
        for clip in self.table_clips(split):
            if split == "test" or int(clip.name.split("/")[-1]) in self.cameras:
                yield replace(clip, static=split == "train" or clip.subject in _STUDIO)
