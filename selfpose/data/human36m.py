"""Human3.6M, from the two kinds of files with pictures in which people hold it.

Both give the 17 joints of ``HUMAN_17``, mm in the camera's frame, and one clip for each sequence
and camera. Numbers of frames count from zero at the source's 50 frames a second, so that "every
64th frame" is those with ``number % 64 == 0``.

In three sequences of S9 the 3D poses do not lie where the pictures show the person; papers leave
them out or not, and seldom say. They are kept, and :mod:`selfpose.evaluation.protocols` reports
numbers with and without them; ``drop_bad_s9=True`` leaves them out.

Source: Ionescu, Papava, Olaru, Sminchisescu, Human3.6M, PAMI 2014.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selfpose.data.arrays import expect, load_h5
from selfpose.data.reader import SPLITS, Camera, Clip, Frame, Reader, Split
from selfpose.data.shared import FileReader, MMPoseTables, existing
from selfpose.skeleton import HUMAN_17

# Of the 32 joints in the files: hip, right leg, left leg; spine to head; left arm, right arm.
_JOINTS = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
SUBJECTS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
BAD_S9 = {"Greeting": "Greeting-2", "SittingDown 1": "SittingDown-2", "Waiting 1": "Waiting-1"}
"""The three sequences of S9 by the names of the source's files → by h36m-fetch's count."""
# The same activity under two names, by subject or by tool.
_ACTIVITY = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}


def _activity(sequence: str) -> str:
    """``Directions 1`` or ``Directions-1`` → ``Directions``; one name for each activity."""
    name = re.split(r"[ -]", sequence)[0]
    return _ACTIVITY.get(name, name)


def is_bad_s9(subject: str, sequence: str) -> bool:
    """Whether this is one of the three sequences, by its own name or by its clip's.

    >>> is_bad_s9("S9", "S9/SittingDown 1/54138969"), is_bad_s9("S9", "Greeting 1")
    (True, False)
    """
    name = sequence.removeprefix(f"{subject}/").split("/")[0]
    return subject == "S9" and name in {*BAD_S9, *BAD_S9.values()}


@dataclass(kw_only=True)
class MMPoseHuman36M(MMPoseTables):
    """MMPose's ``h36m_train.npz`` and ``h36m_test.npz``, also in ``annotation_body3d/fps10``."""

    drop_bad_s9: bool = False

    name = "human36m-mmpose"
    files: ClassVar = {s: f"h36m_{s}.npz" for s in SPLITS}
    # S9/S9_Directions_1.54138969/S9_Directions_1.54138969_000001.jpg
    pictures: ClassVar = dict.fromkeys(SPLITS, r"(S\d+)_([A-Za-z]+(?:[_ ]\d+)?)\.(\d{8})")

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, in the order of its table, which is held meanwhile."""
        for clip in self.table_clips(split):
            if not (self.drop_bad_s9 and is_bad_s9(clip.subject, clip.name)):
                activity = _activity(clip.name.split("/")[1])
                yield replace(clip, activity=activity, static=True)


def _annotations(root: str | Path) -> list[Path]:
    return sorted([p for f in ("processed/", "") for p in Path(root).glob(f"{f}S*/*/annot.h5")])


@dataclass(kw_only=True)
class FetchHuman36M(FileReader):
    """h36m-fetch's ``S*/<activity>-<n>/annot.h5`` with ``imageSequence/<camera>/img_000001.jpg``.

    Training frames are those in which some joint moved 40 mm or more, test frames every 64th.
    ``root`` is the folder ``processed``, or the one that holds it. ``universal`` reads
    ``pose/3d-univ``, the poses scaled to one skeleton; ``poses_only`` asks for no pictures.
    """

    universal: bool = False
    poses_only: bool = False
    drop_bad_s9: bool = False

    name = "human36m-fetch"
    skeleton = HUMAN_17

    def __post_init__(self) -> None:
        self._files = _annotations(self.root)
        if not self._files:
            raise FileNotFoundError(f"{self.root}: holds no S1/Directions-1/annot.h5 or the like")
        self._suffix = "-univ" if self.universal else ""

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split: by subject, sequence, camera; one file is held at a time."""
        for subject in SUBJECTS[split]:
            for path in (p for p in self._files if p.parts[-3] == subject):
                if not (self.drop_bad_s9 and is_bad_s9(subject, path.parts[-2])):
                    yield from self._read(path)

    def _read(self, path: Path) -> Iterator[Clip]:
        subject, sequence = path.parts[-3:-1]
        pose = f"pose/3d{self._suffix}"
        arrays = load_h5(path, ("pose/2d", pose, "frame", "camera"))
        frames, n = arrays["frame"].astype(int), len(arrays["frame"])
        poses_2d = expect(path, "pose/2d", arrays["pose/2d"], n, 32, 2)[:, _JOINTS]
        poses_3d = expect(path, pose, arrays[pose], n, 32, 3)[:, _JOINTS]
        for camera in np.unique(arrays["camera"]):  # of one sequence a video is corrupt
            rows = np.flatnonzero(arrays["camera"] == camera)
            rows = rows[np.argsort(frames[rows], kind="stable")]
            pictures = None
            if not self.poses_only:
                folder = path.parent / "imageSequence" / str(camera)
                pictures = tuple(Frame(path=folder / f"img_{k:06d}.jpg") for k in frames[rows])
                existing(pictures[0].path, "extract it with h36m-fetch, or take poses_only")
            key = f"intrinsics{self._suffix}/{camera}"
            fx, cx, fy, cy = expect(path, key, load_h5(path, (key,))[key], 4).tolist()
            yield Clip(
                name=f"{subject}/{sequence}/{camera}",
                subject=subject,
                activity=_activity(sequence),
                pictures=pictures,
                poses_2d=poses_2d[rows],
                poses_3d=poses_3d[rows],
                camera=Camera(focal=(fx, fy), principal=(cx, cy)),
                static=True,
                numbers=frames[rows] - 1,
            )


def Human36M(
    *,
    root: str | Path,
    images: str | Path | None = None,
    universal: bool = False,
    poses_only: bool = False,
    drop_bad_s9: bool = False,
) -> Reader:
    """The reader of whichever files a folder holds: h36m-fetch's, else MMPose's."""
    options: dict[str, Any] = {"root": root, "poses_only": poses_only, "drop_bad_s9": drop_bad_s9}
    if _annotations(root):
        return FetchHuman36M(universal=universal, **options)
    return MMPoseHuman36M(images=images, **options)
