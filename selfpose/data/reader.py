"""What a reader of a data set's files hands over: clips of one camera, one after another.

A reader looks at files lazily: it yields one clip at a time, with paths in the place of pictures,
so that a data set of a million frames needs no more memory than its longest clip. Crops, units and
the split into unlabelled pictures and unpaired poses come after it, in
:mod:`selfpose.data.prepare`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selfpose.skeleton import Skeleton

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture: a file, or one frame of a video file.

    ``index`` counts the frames of a video from zero; ``None`` for a file that is a picture.
    """

    path: Path
    index: int | None = None


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera without distortion; lengths in px of the original picture."""

    focal: tuple[float, float]
    principal: tuple[float, float]

    def __post_init__(self) -> None:
        values = (*self.focal, *self.principal)
        if not (np.isfinite(values).all() and min(self.focal) > 0):
            raise ValueError(f"a camera needs positive focal lengths and finite numbers: {self}")

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 3) in the camera's frame → pixels (..., 2)."""
        return points[..., :2] / points[..., 2:] * np.array(self.focal) + np.array(self.principal)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """T frames of one subject before one camera, labelled as far as the source goes.

    Parameters
    ----------
    name
        Unique within the data set, the same on every machine: ``S9/Directions 1/54138969``.
    subject, activity
        Whom it shows, and what is done; ``""`` where unknown.
    pictures
        T pictures, or ``None``: poses alone, of use as unpaired ones.
    poses_2d
        (T, J, 2) px of the original pictures (x right, y down, pixel centres at integer + 0.5);
        NaN where a joint is not known.
    poses_3d
        (T, J, 3) mm in the camera's frame (x right, y down, z forward).
    boxes
        (T, 3): centre x, centre y and side, px, of a square about the subject. ``None``: made from
        ``poses_2d`` where there are some, else the whole picture.
    camera
        ``None`` where unknown; the poses' projection is then not checked.
    static
        The camera stands still and the frames are in the order of time, so that their median is
        the background.
    numbers
        (T,) numbers of the frames in the source, for protocols that take every 64th; 0, 1, …
        where the source has none.
    valid
        (T,) which frames count by the source's own rules; ``None``: all.

    Raises
    ------
    ValueError
        If lengths or shapes disagree, or the clip holds neither pictures nor 2D poses.
    """

    name: str
    subject: str = ""
    activity: str = ""
    pictures: tuple[Frame, ...] | None = None
    poses_2d: NDArray[np.floating] | None = None
    poses_3d: NDArray[np.floating] | None = None
    boxes: NDArray[np.floating] | None = None
    camera: Camera | None = None
    static: bool = False
    numbers: NDArray[np.integer] | None = None
    valid: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.pictures is None and self.poses_2d is None:
            raise ValueError(f"clip {self.name!r} holds neither pictures nor 2D poses")
        t = len(self)
        expected: dict[str, tuple[int | None, ...]] = {
            "pictures": (t,),
            "poses_2d": (t, None, 2),
            "poses_3d": (t, None, 3),
            "boxes": (t, 3),
            "numbers": (t,),
            "valid": (t,),
        }
        for what, shape in expected.items():
            value = getattr(self, what)
            got = (
                None if value is None else np.shape(value) if what != "pictures" else (len(value),)
            )
            if got is not None and (
                len(got) != len(shape)
                or any(e not in (None, g) for e, g in zip(shape, got, strict=True))
            ):
                raise ValueError(f"clip {self.name!r}: {what} has shape {got}, expected {shape}")

    def __len__(self) -> int:
        for value in (self.pictures, self.poses_2d):
            if value is not None:
                return len(value)
        return 0


@runtime_checkable
class Reader(Protocol):
    """Reads one data set's files.

    Constructed with the folder (``root=``) and options by keyword. The constructor looks at once
    for what must be there and raises ``FileNotFoundError`` or ``ValueError`` with the file, the
    fault and the cure; it reads no picture.
    """

    name: str
    skeleton: Skeleton

    def clips(self, split: Split) -> Iterator[Clip]:
        """The clips of a split, always in the same order; none if the source has no such split."""
        ...

    def describe(self) -> dict[str, object]:
        """JSON-able facts for records and ``selfpose data check``: format, source's joint order,
        units, frame rate, subjects. No absolute path."""
        ...


__all__ = ["SPLITS", "Camera", "Clip", "Frame", "Reader", "Split"]
