"""MPI-INF-3DHP: the original training and test files, and MMPose's tables of them.

All give the 17 joints of ``HUMAN_17``, mm in the camera's frame. The data set's own words differ:
its *neck* lies between the shoulders and is ``HUMAN_17``'s *thorax*, its *head* is the middle of
the head, ``HUMAN_17``'s *neck*, and its *head_top* the crown, ``HUMAN_17``'s *head*. So the two
data sets agree on places, not on words, and on the places within a few cm only.

``annot3`` holds a person's own measures; ``univ_annot3`` the same poses scaled to one skeleton of a
common size, with which the official evaluation works. Numbers of frames count from zero.

Source: Mehta, Rhodin, Casas, Fua, Sotnychenko, Xu, Theobalt, Monocular 3D Human Pose Estimation In
The Wild, 3DV 2017.
"""

import dataclasses
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpose.data.checks import (
    MAX_REPROJECTION_PX,
    estimate_camera,
    expect_array,
    require_plausible,
    require_split,
)
from selfpose.data.joint_orders import MPI_17, MPI_28, mpi_to_human_17
from selfpose.data.mmpose import find_pictures, find_table, read_table, table_to_clips
from selfpose.data.reader import SPLITS, Camera, Clip, Frame, Reader, Split
from selfpose.data.safe import load_mat
from selfpose.data.video import count_frames
from selfpose.skeleton import HUMAN_17

N_CAMERAS = 14
CHEST_HEIGHT = (0, 2, 4, 7, 8)
ACTIVITIES: dict[int, str] = {
    1: "Standing/Walking",
    2: "Exercising",
    3: "Sitting",
    4: "Reaching/Crouching",
    5: "On the floor",
    6: "Sports",
    7: "Miscellaneous",
}
_STUDIO = ("TS1", "TS2", "TS3", "TS4")  # the other two are outdoors
_TRAIN_PLACES = ("S*/Seq*/annot.mat", "train/S*/Seq*/annot.mat")
_TEST_PLACES = tuple(
    f"{place}TS*/annot_data.mat"
    for place in ("", "test/", "mpi_inf_3dhp_test_set/", "test/mpi_inf_3dhp_test_set/")
)
_TABLES: dict[Split, tuple[str, ...]] = {
    "train": ("mpi_inf_3dhp_train.npz",),
    "test": ("mpi_inf_3dhp_test_valid.npz", "mpi_inf_3dhp_test_all.npz", "mpi_inf_3dhp_test.npz"),
}


def _checked_cameras(cameras: tuple[int, ...]) -> tuple[int, ...]:
    if not cameras or any(c not in range(N_CAMERAS) for c in cameras):
        raise ValueError(f"cameras={cameras}: expected numbers from 0 to {N_CAMERAS - 1}")
    return tuple(sorted(set(cameras)))


def _files(root: Path, places: tuple[str, ...]) -> list[Path]:
    """The files of the first place that has any, S2 before S10."""
    found = (sorted(root.glob(place), key=_by_number) for place in places)
    return next((files for files in found if files), [])


def _by_number(path: Path) -> list[int]:
    return [int(n) for part in path.parts[-3:] for n in re.findall(r"\d+", part)]


class MPIInf3DHPTrain:
    """The training files: ``S1/Seq1/annot.mat`` with videos or pictures beside it.

    Pictures are looked for as ``imageFrames/video_0/frame_000001.jpg``, of which any may be
    missing (only frames with a picture are read), and else as the videos
    ``imageSequence/video_0.avi``, which need the extra ``video``.

    Parameters
    ----------
    root
        The folder that holds ``S1`` to ``S8``, or a folder ``train`` with them.
    cameras
        Which of the 14 cameras; by default the five at the height of the chest.
    universal
        Read ``univ_annot3`` in the place of ``annot3``.
    poses_only
        Read no pictures and do not ask for them.

    Raises
    ------
    FileNotFoundError
        If there is no ``annot.mat``, or neither pictures nor videos beside one.
    ValueError
        If there is no such camera.
    """

    name = "mpi-inf-3dhp-train"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        cameras: tuple[int, ...] = CHEST_HEIGHT,
        universal: bool = False,
        poses_only: bool = False,
    ) -> None:
        root = Path(root)
        self._files = _files(root, _TRAIN_PLACES)
        if not self._files:
            raise FileNotFoundError(
                f"{root}: holds no S1/Seq1/annot.mat; give the folder with the training subjects "
                "S1 to S8"
            )
        self._cameras = _checked_cameras(cameras)
        self._universal = universal
        self._annot = "univ_annot3" if universal else "annot3"
        self._poses_only = poses_only
        for path in [] if poses_only else self._files:
            if not ((path.parent / "imageFrames").is_dir() or _videos(path).is_dir()):
                raise FileNotFoundError(
                    f"{path.parent}: holds neither imageFrames nor imageSequence; extract the "
                    "archive's videos there, or ask for poses_only=True"
                )

    def clips(self, split: Split) -> Iterator[Clip]:
        """The training clips, by subject, sequence and camera; one file is held at a time."""
        require_split(split)
        if split == "test":
            return
        for n, path in enumerate(self._files):
            for clip in self._read(path):
                if n == 0 and clip.name.endswith(f"/{self._cameras[0]}"):
                    require_plausible(clip, self.skeleton, path=path, projected=not self._universal)
                yield clip

    def _read(self, path: Path) -> Iterator[Clip]:
        content = load_mat(path, names=("annot2", self._annot))
        subject, sequence = path.parts[-3:-1]
        for camera in self._cameras:
            flat = _camera_cell(content, "annot2", camera, 2, path)
            space = _camera_cell(content, self._annot, camera, 3, path)
            if len(flat) != len(space):
                raise ValueError(
                    f"{path}: camera {camera}: {len(flat)} frames in annot2, {len(space)} in "
                    f"{self._annot}"
                )
            lens = _lens(space, flat, universal=self._universal)
            pictures, numbers = self._pictures(path, camera, len(flat))
            yield Clip(
                name=f"{subject}/{sequence}/{camera}",
                subject=subject,
                pictures=pictures,
                poses_2d=flat[numbers],
                poses_3d=space[numbers],
                camera=lens,
                static=True,
                numbers=numbers,
            )

    def _pictures(
        self, path: Path, camera: int, n: int
    ) -> tuple[tuple[Frame, ...] | None, NDArray[np.intp]]:
        """The frames of which there is a picture, among the n that have a pose."""
        everything = np.arange(n)
        if self._poses_only:
            return None, everything
        folder = path.parent / "imageFrames" / f"video_{camera}"
        if folder.is_dir():
            there = {p.name for p in folder.iterdir()}
            numbers = np.array(
                [i for i in range(n) if f"frame_{i + 1:06d}.jpg" in there], dtype=np.intp
            )
            if len(numbers) == 0:
                raise FileNotFoundError(
                    f"{folder}: holds no picture of an annotated frame, expected "
                    "frame_000001.jpg and so on; extract the video's frames there"
                )
            return tuple(Frame(path=folder / f"frame_{i + 1:06d}.jpg") for i in numbers), numbers
        video = _videos(path) / f"video_{camera}.avi"
        if not video.is_file():
            raise FileNotFoundError(
                f"{video}: no such video, and no folder {folder}; extract the archive of camera "
                f"{camera}, name the cameras you have with cameras=, or ask for poses_only=True"
            )
        numbers = everything[: count_frames(video)]  # some annotations run on after the video
        return tuple(Frame(path=video, index=int(i)) for i in numbers), numbers

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return {
            "format": "MPI-INF-3DHP annot.mat",
            "joint_order": f"28 by name ({', '.join(MPI_28)}), of which 17",
            "units": "mm",
            "poses": self._annot,
            "frame_rate": "25 or 50, by sequence",
            "cameras": list(self._cameras),
            "subjects": sorted({path.parts[-3] for path in self._files}),
            "files": len(self._files),
        }


def _videos(path: Path) -> Path:
    return path.parent / "imageSequence"


def _lens(
    space: NDArray[np.float64], flat: NDArray[np.float64], *, universal: bool
) -> Camera | None:
    """The camera that fits the poses; poses scaled to another size need not fit any."""
    fitted = estimate_camera(space, flat)
    if fitted is None or (universal and fitted[1] > MAX_REPROJECTION_PX):
        return None
    return fitted[0]


def _camera_cell(
    content: dict[str, Any], key: str, camera: int, c: int, path: Path
) -> NDArray[np.float64]:
    """One camera's (T, 28 · C) numbers of a cell array → (T, 17, C)."""
    cells = content[key]
    if not isinstance(cells, list) or len(cells) != N_CAMERAS:
        raise ValueError(f"{path}: {key}: expected a cell array of {N_CAMERAS} cameras")
    what = f"{key}, camera {camera}"
    rows = expect_array(cells[camera], (None, len(MPI_28) * c), path=path, what=what)
    if len(rows) == 0:
        raise ValueError(f"{path}: {what}: holds no frame")
    return mpi_to_human_17(rows.reshape(len(rows), len(MPI_28), c))


class MPIInf3DHPTest:
    """The test files: ``TS1/annot_data.mat`` (MATLAB 7.3) with ``imageSequence/img_000001.jpg``.

    One clip for each stretch of one activity; ``valid`` is the file's ``valid_frame``, and a clip's
    ``subject`` is its sequence, ``TS1`` to ``TS6``, over which papers average.

    Parameters
    ----------
    root
        The folder that holds ``TS1`` to ``TS6``, or a folder ``test`` or
        ``mpi_inf_3dhp_test_set`` with them.
    universal
        Read ``univ_annot3`` in the place of ``annot3``.
    poses_only
        Read no pictures and do not ask for them.

    Raises
    ------
    FileNotFoundError
        If there is no ``annot_data.mat``, or no pictures beside one.
    """

    name = "mpi-inf-3dhp-test"
    skeleton = HUMAN_17

    def __init__(
        self, *, root: str | Path, universal: bool = False, poses_only: bool = False
    ) -> None:
        root = Path(root)
        self._files = _files(root, _TEST_PLACES)
        if not self._files:
            raise FileNotFoundError(
                f"{root}: holds no TS1/annot_data.mat; give the folder with the test sequences TS1 "
                "to TS6"
            )
        self._universal = universal
        self._annot = "univ_annot3" if universal else "annot3"
        self._poses_only = poses_only
        for path in [] if poses_only else self._files:
            if not _videos(path).is_dir():
                raise FileNotFoundError(
                    f"{_videos(path)}: no such folder of pictures; extract the test set there, or "
                    "ask for poses_only=True"
                )

    def clips(self, split: Split) -> Iterator[Clip]:
        """The test clips, by sequence and time; one file is held at a time."""
        require_split(split)
        if split == "train":
            return
        for n, path in enumerate(self._files):
            for m, clip in enumerate(self._read(path)):
                if n == m == 0:
                    require_plausible(clip, self.skeleton, path=path, projected=not self._universal)
                yield clip

    def _read(self, path: Path) -> Iterator[Clip]:
        names = ("annot2", self._annot, "valid_frame", "activity_annotation")
        content = load_mat(path, names=names)
        flat = _test_poses(content, "annot2", 2, path)
        space = _test_poses(content, self._annot, 3, path)
        n = len(flat)
        if len(space) != n:
            raise ValueError(f"{path}: {n} frames in annot2, {len(space)} in {self._annot}")
        valid = _one_a_frame(content, "valid_frame", n, path) != 0
        activity = _one_a_frame(content, "activity_annotation", n, path)
        lens = _lens(space[valid], flat[valid], universal=self._universal)
        sequence = path.parts[-2]
        bounds = [0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), n]
        for start, stop in pairwise(bounds):
            numbers = np.arange(start, stop)
            code = int(activity[start])
            yield Clip(
                name=f"{sequence}/{start:06d}",
                subject=sequence,
                activity=ACTIVITIES.get(code, f"activity {code}"),
                pictures=self._pictures(path, numbers),
                poses_2d=flat[numbers],
                poses_3d=space[numbers],
                camera=lens,
                static=sequence in _STUDIO,
                numbers=numbers,
                valid=valid[numbers],
            )

    def _pictures(self, path: Path, numbers: NDArray[np.intp]) -> tuple[Frame, ...] | None:
        if self._poses_only:
            return None
        pictures = tuple(Frame(path=_videos(path) / f"img_{i + 1:06d}.jpg") for i in numbers)
        for frame in (pictures[0], pictures[-1]):
            if not frame.path.is_file():
                raise FileNotFoundError(
                    f"{frame.path}: no such picture, which {path.name} has a pose for; extract the "
                    "test set again, or ask for poses_only=True"
                )
        return pictures

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return {
            "format": "MPI-INF-3DHP annot_data.mat",
            "joint_order": f"17 by name ({', '.join(MPI_17)})",
            "units": "mm",
            "poses": self._annot,
            "frame_rate": "25 or 50, by sequence",
            "subjects": [path.parts[-2] for path in self._files],
            "files": len(self._files),
        }


def _test_poses(content: dict[str, Any], key: str, c: int, path: Path) -> NDArray[np.float64]:
    """MATLAB's C × 17 × 1 × T → (T, 17, C)."""
    array = content[key]
    shape = array.shape if isinstance(array, np.ndarray) else ()
    if len(shape) < 4 and shape[:2] == (c, 17):  # MATLAB leaves out last axes of length 1
        array = array.reshape(*shape, *(1,) * (4 - len(shape)))
    array = expect_array(array, (c, 17, 1, None), path=path, what=f"{key}, MATLAB's axes")
    if array.shape[-1] == 0:
        raise ValueError(f"{path}: {key}: holds no frame")
    return mpi_to_human_17(np.ascontiguousarray(array[:, :, 0].transpose(2, 1, 0)))


def _one_a_frame(content: dict[str, Any], key: str, n: int, path: Path) -> NDArray[np.float64]:
    array = content[key]
    if isinstance(array, np.ndarray):
        array = array.astype(np.float64) if array.dtype == bool else array
        array = array.ravel() if max(array.shape) == array.size else array
    return expect_array(array, (n,), path=path, what=key)


class MMPoseMPIInf3DHP:
    """MMPose's ``mpi_inf_3dhp_train.npz`` and ``mpi_inf_3dhp_test_valid.npz`` with its pictures.

    Of the test set the valid frames alone if the file is ``…_valid.npz``; ``…_all.npz``, which does
    not say which frames are valid, is read if there is no other.

    Parameters
    ----------
    root
        The folder that holds the files, itself or in ``annotations``.
    images
        The folder of pictures, ``root/images`` if not given.
    cameras
        Which cameras of the training set; by default the five at the height of the chest.
    poses_only
        Read no pictures and do not ask for them.

    Raises
    ------
    FileNotFoundError
        If neither file is there, or no folder of pictures.
    ValueError
        If there is no such camera.
    """

    name = "mpi-inf-3dhp-mmpose"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        images: str | Path | None = None,
        cameras: tuple[int, ...] = CHEST_HEIGHT,
        poses_only: bool = False,
    ) -> None:
        root = Path(root)
        found = {s: find_table(root, ("", "annotations"), _TABLES[s]) for s in SPLITS}
        self._tables = {s: path for s, path in found.items() if path is not None}
        if not self._tables:
            raise FileNotFoundError(
                f"{root}: holds neither {_TABLES['train'][0]} nor {_TABLES['test'][0]}, itself or "
                "in annotations; give the folder that MMPose's preprocessing wrote"
            )
        self._cameras = _checked_cameras(cameras)
        self._images = find_pictures(root, images, poses_only=poses_only)

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, in the order of its file; the file's table is held meanwhile."""
        require_split(split)
        path = self._tables.get(split)
        if path is None:
            return
        first = True
        for clip in table_to_clips(
            read_table(path),
            images=self._images,
            parse=_parse_train_name if split == "train" else _parse_test_name,
            describe=_describe,
            to_order=mpi_to_human_17,
        ):
            if split == "train" and int(clip.name.rsplit("/", 1)[1]) not in self._cameras:
                continue
            if first:
                require_plausible(clip, self.skeleton, path=path)
                first = False
            yield dataclasses.replace(clip, static=split == "train" or clip.subject in _STUDIO)

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return {
            "format": "MMPose npz",
            "joint_order": f"17 by name ({', '.join(MPI_17)})",
            "units": "metres",
            "poses": "annot3",
            "frame_rate": "25 or 50, by sequence",
            "cameras": list(self._cameras),
            "files": sorted(path.name for path in self._tables.values()),
        }


def _parse_train_name(name: str) -> tuple[tuple[str, ...], int]:
    """``S1_Seq1_Cam0_000001.jpg`` → (S1, Seq1, 0), 1."""
    match = re.fullmatch(r"(?:.*/)?(S\d+)_(Seq\d+)_Cam(\d+)_(\d+)\.\w+", name)
    if match is None:
        raise ValueError(f"{name!r} is no training picture's, expected S1_Seq1_Cam0_000001.jpg")
    return match.groups()[:3], int(match.group(4))


def _parse_test_name(name: str) -> tuple[tuple[str, ...], int]:
    """``TS1_000001.jpg`` → (TS1,), 1."""
    match = re.fullmatch(r"(?:.*/)?(TS\d+)_(\d+)\.\w+", name)
    if match is None:
        raise ValueError(f"{name!r} is no test picture's, expected TS1_000001.jpg")
    return (match.group(1),), int(match.group(2))


def _describe(sequence: tuple[str, ...]) -> dict[str, str]:
    return {"name": "/".join(sequence), "subject": sequence[0], "activity": ""}


class MPIInf3DHP:
    """MPI-INF-3DHP from whichever files a folder holds: MMPose's, else the original ones.

    Of the original ones there may be the training files, the test files, or both.

    Parameters
    ----------
    root
        See :class:`MMPoseMPIInf3DHP`, :class:`MPIInf3DHPTrain`, :class:`MPIInf3DHPTest`.
    cameras, universal, poses_only
        As there; ``universal`` needs the original files.

    Raises
    ------
    FileNotFoundError
        If no file of either kind is there, or no pictures.
    ValueError
        If ``universal`` is asked of MMPose's files, or there is no such camera.
    """

    name = "mpi-inf-3dhp"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        cameras: tuple[int, ...] = CHEST_HEIGHT,
        universal: bool = False,
        poses_only: bool = False,
    ) -> None:
        root = Path(root)
        self._parts: dict[Split, Reader] = {}
        if any(find_table(root, ("", "annotations"), names) for names in _TABLES.values()):
            if universal:
                raise ValueError(
                    f"{root}: MMPose's files hold annot3 alone; universal=True needs the original "
                    "annot.mat and annot_data.mat"
                )
            both = MMPoseMPIInf3DHP(root=root, cameras=cameras, poses_only=poses_only)
            self._parts = {"train": both, "test": both}
            return
        _checked_cameras(cameras)
        options: dict[str, Any] = {"root": root, "universal": universal, "poses_only": poses_only}
        if _files(root, _TRAIN_PLACES):
            self._parts["train"] = MPIInf3DHPTrain(cameras=cameras, **options)
        if _files(root, _TEST_PLACES):
            self._parts["test"] = MPIInf3DHPTest(**options)
        if not self._parts:
            raise FileNotFoundError(
                f"{root}: holds none of mpi_inf_3dhp_train.npz, S1/Seq1/annot.mat and "
                "TS1/annot_data.mat; give the folder with the data set's files"
            )

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split; none if the folder has no files of it."""
        require_split(split)
        if split in self._parts:
            yield from self._parts[split].clips(split)

    def describe(self) -> dict[str, object]:
        """Facts for records, one entry a split."""
        return {split: part.describe() for split, part in self._parts.items()}


__all__ = [
    "ACTIVITIES",
    "CHEST_HEIGHT",
    "N_CAMERAS",
    "MMPoseMPIInf3DHP",
    "MPIInf3DHP",
    "MPIInf3DHPTest",
    "MPIInf3DHPTrain",
]
