"""What a reader of a data set's files hands over: clips of one camera, one after another.

A reader yields one clip at a time, with paths in the place of pictures, so that a data set of a
million frames needs no more memory than its longest clip. Crops and the division into unlabelled
pictures and unpaired poses come after it, in :mod:`selfpose.data.prepare`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer, Real
from numpy import ndarray

from selfpose.skeleton import Skeleton

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture: a file, or, with an ``index`` from zero, one frame of a video file."""

    path: Path
    index: int | None = None


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera without distortion; lengths in px of the original picture."""

    focal: tuple[float, float]
    principal: tuple[float, float]

    def project(self, points: Float[ndarray, "*b 3"]) -> Float[ndarray, "*b 2"]:
        """Points in the camera's frame → pixels: u = f x / z + c."""
        return points[..., :2] / points[..., 2:] * np.array(self.focal) + np.array(self.principal)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """T frames of one subject before one camera, labelled as far as the source goes.

    Pixels are those of the original pictures: x right, y down, pixel centres at integer + 0.5.
    Space is the camera's frame: mm, x right, y down, z forward. Without ``pictures`` the poses are
    of use as unpaired ones. The square ``boxes`` about the subject (centre x, centre y, side) are
    made from ``poses_2d`` where they are not given, else of the whole picture.
    """

    name: str  # unique in the data set, the same on every machine: "S9/Directions 1/54138969"
    subject: str = ""
    activity: str = ""
    pictures: tuple[Frame, ...] | None = None
    poses_2d: Float[ndarray, "T J 2"] | None = None  # px; NaN where a joint is not known
    poses_3d: Float[ndarray, "T J 3"] | None = None  # mm
    boxes: Real[ndarray, "T 3"] | None = None  # px
    camera: Camera | None = None
    static: bool = False  # a camera that stands still: the frames' median is the background
    numbers: Integer[ndarray, " T"] | None = None  # of the frames in the source; None: 0, 1, …
    valid: Bool[ndarray, " T"] | None = None  # which frames count by the source's own rules

    def __len__(self) -> int:
        frames = self.poses_2d if self.pictures is None else self.pictures
        assert frames is not None, "a clip holds pictures or 2D poses"
        return len(frames)


@runtime_checkable
class Reader(Protocol):
    """Reads one data set's files; constructed with the folder (``root=``) and its options."""

    @property
    def name(self) -> str: ...

    @property
    def skeleton(self) -> Skeleton: ...

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, always in the same order; none if the source has no such split."""
        ...

    def describe(self) -> dict[str, object]:
        """JSON-able facts for records and ``selfpose data check``. No absolute path."""
        ...
