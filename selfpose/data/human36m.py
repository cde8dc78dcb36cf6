"""Human3.6M, from the three kinds of files in which people hold it.

The original videos and CDF files are turned into smaller ones by tools of the field; each of their
formats has a reader here. All give the 17 joints of ``HUMAN_17``, mm in the camera's frame, and one
clip for each sequence and camera. Numbers of frames count from zero at the source's 50 frames a
second, so that "every 64th frame" is those with ``number % 64 == 0``.

Train S1, S5, S6, S7, S8; test S9, S11. In three sequences of S9 the 3D poses do not lie where the
pictures show the person; papers leave them out or not, and seldom say. Their names depend on the
tool: ``Greeting``, ``SittingDown 1`` and ``Waiting 1`` by the files' names, ``Greeting-2``,
``SittingDown-2`` and ``Waiting-1`` by h36m-fetch's count. They are kept, and the protocol
(:mod:`selfpose.evaluation.protocols.human36m`) reports numbers with and without them; ``drop_bad_s9=True``
leaves them out.

Source: Ionescu, Papava, Olaru, Sminchisescu, Human3.6M, PAMI 2014.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from selfpose.data.checks import (
    MAX_REPROJECTION_PX,
    estimate_camera,
    expect_array,
    require_plausible,
    require_split,
)
from selfpose.data.joint_orders import human36m_to_human_17
from selfpose.data.mmpose import find_pictures, find_table, read_table, table_to_clips
from selfpose.data.reader import SPLITS, Camera, Clip, Frame, Reader, Split
from selfpose.data.resection import Resection, resect
from selfpose.data.safe import load_npz, open_h5, read_h5
from selfpose.skeleton import HUMAN_17

SUBJECTS: dict[Split, tuple[str, ...]] = {
    "train": ("S1", "S5", "S6", "S7", "S8"),
    "test": ("S9", "S11"),
}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
BAD_S9 = ("Greeting", "SittingDown 1", "Waiting 1")
BAD_S9_FETCH = ("Greeting-2", "SittingDown-2", "Waiting-1")
_FPS = 50
_MMPOSE_FOLDERS = (
    "",
    "annotation_body3d/fps10",
    "annotation_body3d/fps50",
    "annotation_body3d",
)
# The same activity under two names, by subject or by tool.
_ACTIVITY = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}


def _activity(sequence: str) -> str:
    """``Directions 1`` or ``Directions-1`` → ``Directions``; one name for each activity."""
    name = re.split(r"[ \-_]", sequence)[0]
    return _ACTIVITY.get(name, name)


def _is_left_out(clip: Clip, sequence: str, *, drop: bool) -> bool:
    """Whether this is one of the bad sequences of S9, and these are not wanted."""
    return drop and clip.subject == "S9" and sequence in BAD_S9 + BAD_S9_FETCH


class MMPoseHuman36M:
    """MMPose's ``h36m_train.npz`` and ``h36m_test.npz``, with the pictures it extracts.

    Parameters
    ----------
    root
        The folder that holds the files, or MMPose's ``processed`` folder, in which they lie under
        ``annotation_body3d/fps10`` (10 frames a second: every fifth number) or ``fps50``.
    images
        The folder of pictures, ``root/images`` if not given.
    poses_only
        Read no pictures and do not ask for them.
    drop_bad_s9
        Leave out the three bad sequences of S9.

    Raises
    ------
    FileNotFoundError
        If neither file is there, or no folder of pictures.
    """

    name = "human36m-mmpose"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        images: str | Path | None = None,
        poses_only: bool = False,
        drop_bad_s9: bool = False,
    ) -> None:
        root = Path(root)
        found = {s: find_table(root, _MMPOSE_FOLDERS, (f"h36m_{s}.npz",)) for s in SPLITS}
        self._tables = {s: path for s, path in found.items() if path is not None}
        if not self._tables:
            raise FileNotFoundError(
                f"{root}: holds neither h36m_train.npz nor h36m_test.npz, itself or in "
                "annotation_body3d/fps10; give the folder that MMPose's preprocessing wrote"
            )
        self._images = find_pictures(root, images, poses_only=poses_only)
        self._drop = drop_bad_s9

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, in the order of its file; the file's table is held meanwhile."""
        require_split(split)
        path = self._tables.get(split)
        if path is None:
            return
        for n, clip in enumerate(
            table_to_clips(
                read_table(path),
                images=self._images,
                parse=_parse_name,
                describe=_describe,
                to_order=human36m_to_human_17,
            )
        ):
            if clip.subject not in SUBJECTS[split]:
                raise ValueError(
                    f"{path}: holds {clip.subject}, but {split} is {', '.join(SUBJECTS[split])}; "
                    "have the two files been swapped?"
                )
            if n == 0:
                require_plausible(clip, self.skeleton, path=path)
            if not _is_left_out(clip, clip.name.split("/")[1], drop=self._drop):
                yield dataclasses.replace(clip, static=True)

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return _facts("MMPose npz", "17, HUMAN_17", "metres", self._drop) | {
            "files": sorted(path.name for path in self._tables.values()),
        }


def _parse_name(name: str) -> tuple[tuple[str, str, str], int]:
    """``S9/…/S9_Directions_1.54138969_000001.jpg`` → (S9, Directions 1, 54138969), 1."""
    match = re.fullmatch(r"(?:.*/)?(S\d+)_([A-Za-z]+(?:[_ ]\d+)?)\.(\d{8})_(\d+)\.\w+", name)
    if match is None:
        raise ValueError(
            f"{name!r} is no name of a Human3.6M picture, expected one like "
            "S9_Directions_1.54138969_000001.jpg"
        )
    subject, sequence, camera, number = match.groups()
    return (subject, sequence.replace("_", " "), camera), int(number)


def _describe(sequence: tuple[str, str, str]) -> dict[str, str]:
    subject, name, _ = sequence
    return {"name": "/".join(sequence), "subject": subject, "activity": _activity(name)}


class VideoPose3DHuman36M:
    """VideoPose3D's ``data_3d_h36m.npz`` and ``data_2d_h36m_gt.npz``: poses alone, no pictures.

    The 3D poses are in the world's frame and no camera is given. Each subject's four cameras are
    found from its own poses (:func:`selfpose.data.resection.resect`), which must then explain the
    2D poses within 2 px. Both files are pickles: they go through the restricted unpickler, and are
    held in memory whole (about 0.5 GB) while clips are read.

    Parameters
    ----------
    root
        The folder that holds both files.
    drop_bad_s9
        Leave out the three bad sequences of S9.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    """

    name = "human36m-videopose3d"
    skeleton = HUMAN_17

    def __init__(self, *, root: str | Path, drop_bad_s9: bool = False) -> None:
        self._path_3d = Path(root) / "data_3d_h36m.npz"
        self._path_2d = Path(root) / "data_2d_h36m_gt.npz"
        for path in (self._path_3d, self._path_2d):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: no such file; VideoPose3D's prepare_data_h36m writes data_3d_h36m.npz"
                    " and prepare_data_2d_h36m_gt writes data_2d_h36m_gt.npz"
                )
        self._drop = drop_bad_s9

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split: by subject, sequence in the files' order, camera."""
        require_split(split)
        space = _subjects(self._path_3d, "positions_3d")
        flat = _subjects(self._path_2d, "positions_2d")
        first = True
        for subject in SUBJECTS[split]:
            if subject not in space or subject not in flat:
                if subject in space or subject in flat:
                    missing = self._path_2d if subject in space else self._path_3d
                    raise ValueError(f"{missing}: has no subject {subject}, the other file has")
                continue
            poses = {
                sequence: self._sequence(subject, sequence, value, flat[subject])
                for sequence, value in space[subject].items()
            }
            cameras = self._cameras(subject, poses)
            for sequence, (world, pixels) in poses.items():
                for camera, found, seen in zip(CAMERAS, cameras, pixels, strict=True):
                    clip = self._clip(subject, sequence, camera, found.to_camera(world), seen)
                    if first:
                        require_plausible(clip, self.skeleton, path=self._path_3d)
                        first = False
                    if not _is_left_out(clip, sequence, drop=self._drop):
                        yield clip

    def _sequence(
        self, subject: str, sequence: Any, value: Any, flat: dict[Any, Any]
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """One sequence: (T, 17, 3) mm in the world, and four times (T, 17, 2) px."""
        what = f"{subject}/{sequence}"
        world = expect_array(value, (None, None, 3), path=self._path_3d, what=what)
        try:
            world = human36m_to_human_17(world) * 1000.0
        except ValueError as error:
            raise ValueError(f"{self._path_3d}: {what}: {error}") from None
        views = flat.get(sequence)
        if not isinstance(views, (list, tuple, np.ndarray)) or len(views) != len(CAMERAS):
            raise ValueError(
                f"{self._path_2d}: {what}: expected a list of {len(CAMERAS)} cameras' poses"
            )
        pixels = []
        for n, view in enumerate(views):
            seen = expect_array(view, (None, 17, 2), path=self._path_2d, what=f"{what}/{n}")
            if len(seen) < len(world):
                raise ValueError(
                    f"{self._path_2d}: {what}/{n}: {len(seen)} frames, but {len(world)} in 3D"
                )
            pixels.append(seen[: len(world)])  # the videos run on after the motion capture
        if len(world) == 0:
            raise ValueError(f"{self._path_3d}: {what}: holds no frame")
        return world, pixels

    def _cameras(
        self,
        subject: str,
        poses: dict[Any, tuple[NDArray[np.float64], list[NDArray[np.float64]]]],
    ) -> list[Resection]:
        """A subject's four cameras, from some frames of all its sequences."""
        found = []
        for n, camera in enumerate(CAMERAS):
            step = [max(1, len(world) // 40) for world, _ in poses.values()]
            sequences = list(zip(step, poses.values(), strict=True))
            points = np.concatenate([world[::k].reshape(-1, 3) for k, (world, _) in sequences])
            pixels = np.concatenate([seen[n][::k].reshape(-1, 2) for k, (_, seen) in sequences])
            try:
                camera_found = resect(points, pixels)
            except ValueError as error:
                raise ValueError(f"{self._path_2d}: {subject}/{camera}: {error}") from None
            if not camera_found.error <= MAX_REPROJECTION_PX:
                raise ValueError(
                    f"{self._path_2d}: {subject}/{camera}: no camera takes the 3D poses nearer than"
                    f" {camera_found.error:.3g} px (median) to the 2D poses, expected "
                    f"{MAX_REPROJECTION_PX:g} px: are these detected poses, not the true ones?"
                )
            found.append(camera_found)
        return found

    def _clip(
        self,
        subject: str,
        sequence: str,
        camera: str,
        points: NDArray[np.float64],
        pixels: NDArray[np.float64],
    ) -> Clip:
        fitted = estimate_camera(points, pixels)
        return Clip(
            name=f"{subject}/{sequence}/{camera}",
            subject=subject,
            activity=_activity(sequence),
            poses_2d=pixels,
            poses_3d=points,
            camera=None if fitted is None else fitted[0],
            numbers=np.arange(len(points)),
        )

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return _facts("VideoPose3D npz", "32, of which 17", "metres, world", self._drop) | {
            "files": [self._path_2d.name, self._path_3d.name],
            "cameras": "found from the poses",
        }


def _subjects(path: Path, key: str) -> dict[Any, dict[Any, Any]]:
    arrays = load_npz(path, pickled=True)
    if key not in arrays:
        raise ValueError(f"{path}: has no array {key!r}; it has {', '.join(sorted(arrays))}")
    value = arrays[key]
    subjects = value.item() if value.dtype == object and value.ndim == 0 else None
    if not isinstance(subjects, dict) or not all(isinstance(v, dict) for v in subjects.values()):
        raise ValueError(f"{path}: {key}: expected a dict of subjects, each a dict of sequences")
    if not any(s in subjects for split in SPLITS for s in SUBJECTS[split]):
        raise ValueError(f"{path}: {key}: holds none of Human3.6M's subjects S1, S5, … S11")
    if not all(isinstance(name, str) for v in subjects.values() for name in v):
        raise ValueError(f"{path}: {key}: expected sequences by name")
    return subjects


class FetchHuman36M:
    """h36m-fetch's ``S*/<activity>-<n>/annot.h5`` with ``imageSequence/<camera>/img_000001.jpg``.

    Training frames are those in which some joint moved 40 mm or more, test frames every 64th.

    Parameters
    ----------
    root
        The folder ``processed``, or the one that holds it.
    universal
        Read ``pose/3d-univ``, the poses scaled to one skeleton, in the place of ``pose/3d``.
    poses_only
        Read no pictures and do not ask for them.
    drop_bad_s9
        Leave out the three bad sequences of S9.

    Raises
    ------
    FileNotFoundError
        If there is no ``annot.h5`` below the folder.
    """

    name = "human36m-fetch"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        universal: bool = False,
        poses_only: bool = False,
        drop_bad_s9: bool = False,
    ) -> None:
        root = Path(root)
        self._root = root / "processed" if (root / "processed").is_dir() else root
        known = [s for split in SPLITS for s in SUBJECTS[split]]
        self._files = {s: sorted((self._root / s).glob("*/annot.h5")) for s in known}
        if not any(self._files.values()):
            raise FileNotFoundError(
                f"{root}: holds no S1/Directions-1/annot.h5 or the like; give the folder "
                "'processed' that h36m-fetch wrote"
            )
        self._pose = "pose/3d-univ" if universal else "pose/3d"
        self._lens = "intrinsics-univ" if universal else "intrinsics"
        self._poses_only = poses_only
        self._drop = drop_bad_s9

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split: by subject, sequence, camera; one file is held at a time."""
        require_split(split)
        first = True
        for subject in SUBJECTS[split]:
            for path in self._files[subject]:
                for clip in self._read(path, subject):
                    if first:
                        require_plausible(clip, self.skeleton, path=path)
                        first = False
                    if not _is_left_out(clip, path.parent.name, drop=self._drop):
                        yield clip

    def _read(self, path: Path, subject: str) -> Iterator[Clip]:
        with open_h5(path) as file:
            if self._pose not in file:
                raise ValueError(
                    f"has no dataset {self._pose!r}; older versions of h36m-fetch wrote "
                    "'pose/3d-univ' alone: ask for universal=True"
                )
            arrays = {k: read_h5(file, k) for k in ("pose/2d", self._pose, "frame", "camera")}
            whose = read_h5(file, "subject") if "subject" in file else None
            lenses = {c: self._camera(file, path, c) for c in CAMERAS}
        flat = expect_array(arrays["pose/2d"], (None, 32, 2), path=path, what="pose/2d")
        n = len(flat)
        space = expect_array(arrays[self._pose], (n, 32, 3), path=path, what=self._pose)
        frames = expect_array(arrays["frame"], (n,), path=path, what="frame").astype(np.int64)
        camera = expect_array(arrays["camera"], (n,), path=path, what="camera").astype(np.int64)
        if whose is not None and (whose != int(subject[1:])).any():
            raise ValueError(f"{path}: subject: holds another one than its folder {subject} says")
        if n == 0 or not np.isin(camera, [int(c) for c in CAMERAS]).all():
            raise ValueError(f"{path}: camera: expected frames of the cameras {', '.join(CAMERAS)}")
        for name in CAMERAS:
            rows = np.flatnonzero(camera == int(name))
            if len(rows) == 0:
                continue  # one sequence lacks a camera, whose video is corrupt
            rows = rows[np.argsort(frames[rows], kind="stable")]
            if (np.diff(frames[rows]) == 0).any() or frames[rows].min() < 1:
                raise ValueError(f"{path}: frame: expected numbers from 1, each once for a camera")
            poses_2d, poses_3d = (human36m_to_human_17(p[rows]) for p in (flat, space))
            yield Clip(
                name=f"{subject}/{path.parent.name}/{name}",
                subject=subject,
                activity=_activity(path.parent.name),
                pictures=self._pictures(path, name, frames[rows]),
                poses_2d=poses_2d,
                poses_3d=poses_3d,
                camera=lenses[name],
                static=True,
                numbers=frames[rows] - 1,
            )

    def _camera(self, file: h5py.File, path: Path, camera: str) -> Camera | None:
        key = f"{self._lens}/{camera}"
        if key not in file:
            return None
        values = expect_array(read_h5(file, key), (4,), path=path, what=key)
        fx, cx, fy, cy = values.tolist()
        return Camera(focal=(fx, fy), principal=(cx, cy))

    def _pictures(
        self, path: Path, camera: str, frames: NDArray[np.int64]
    ) -> tuple[Frame, ...] | None:
        if self._poses_only:
            return None
        folder = path.parent / "imageSequence" / camera
        pictures = tuple(Frame(path=folder / f"img_{n:06d}.jpg") for n in frames)
        if not pictures[0].path.is_file():
            raise FileNotFoundError(
                f"{pictures[0].path}: no such picture; extract the frames with h36m-fetch, or ask "
                "for poses_only=True"
            )
        return pictures

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        facts = _facts("h36m-fetch annot.h5", "32, of which 17", "mm", self._drop)
        return facts | {"poses": self._pose, "files": sum(map(len, self._files.values()))}


class Human36M:
    """Human3.6M from whichever files a folder holds: MMPose's, h36m-fetch's or VideoPose3D's.

    Parameters
    ----------
    root
        See :class:`MMPoseHuman36M`, :class:`FetchHuman36M`, :class:`VideoPose3DHuman36M`; the first
        of them whose files are there is used.
    images
        MMPose: the folder of pictures, where they are not beside the annotations.
    universal
        h36m-fetch: the poses scaled to one skeleton.
    poses_only
        Read no pictures and do not ask for them; VideoPose3D's files have none.
    drop_bad_s9
        Leave out the three bad sequences of S9.

    Raises
    ------
    FileNotFoundError
        If no file of any kind is there, or no pictures.
    """

    name = "human36m"
    skeleton = HUMAN_17

    def __init__(
        self,
        *,
        root: str | Path,
        images: str | Path | None = None,
        universal: bool = False,
        poses_only: bool = False,
        drop_bad_s9: bool = False,
    ) -> None:
        root = Path(root)
        pictures: dict[str, Any] = {"root": root, "poses_only": poses_only}
        self._reader: Reader
        if any(find_table(root, _MMPOSE_FOLDERS, (f"h36m_{split}.npz",)) for split in SPLITS):
            self._reader = MMPoseHuman36M(drop_bad_s9=drop_bad_s9, images=images, **pictures)
        elif any(any(root.glob(f"{place}S*/*/annot.h5")) for place in ("", "processed/")):
            self._reader = FetchHuman36M(drop_bad_s9=drop_bad_s9, universal=universal, **pictures)
        elif any((root / name).is_file() for name in ("data_3d_h36m.npz", "data_2d_h36m_gt.npz")):
            self._reader = VideoPose3DHuman36M(root=root, drop_bad_s9=drop_bad_s9)
        else:
            raise FileNotFoundError(
                f"{root}: holds none of h36m_train.npz (MMPose), S1/Directions-1/annot.h5 "
                "(h36m-fetch) and data_3d_h36m.npz (VideoPose3D); give the folder with one of them"
            )

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split."""
        return self._reader.clips(split)

    def describe(self) -> dict[str, object]:
        """Facts for records."""
        return self._reader.describe()


def _facts(source: str, joints: str, units: str, drop: bool) -> dict[str, object]:
    return {
        "format": source,
        "joint_order": joints,
        "units": units,
        "frame_rate": _FPS,
        "subjects": {split: list(SUBJECTS[split]) for split in SPLITS},
        "bad_s9": "left out" if drop else "kept",
    }


__all__ = [
    "BAD_S9",
    "BAD_S9_FETCH",
    "CAMERAS",
    "SUBJECTS",
    "FetchHuman36M",
    "Human36M",
    "MMPoseHuman36M",
    "VideoPose3DHuman36M",
]
