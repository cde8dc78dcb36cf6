"""MMPose's ``.npz`` annotations of 3D human pose: one table of frames, pictures beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from selfpose.data.checks import estimate_camera, expect_array
from selfpose.data.reader import Clip, Frame
from selfpose.data.safe import load_npz

_KEYS = ("imgname", "center", "scale", "part", "S")
_BOX_PX = 200.0  # "scale" is the side of the box over 200 px
Sequence = TypeVar("Sequence")


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one annotation file.

    Parameters
    ----------
    path
        The file.
    names
        N names of pictures, relative to the folder of pictures.
    boxes
        (N, 3): centre x, centre y, side, px.
    poses_2d
        (N, 17, 2) px; NaN where a joint is marked as unknown and has no coordinates.
    poses_3d
        (N, 17, 3) mm, camera frame.
    """

    path: Path
    names: tuple[str, ...]
    boxes: NDArray[np.float64]
    poses_2d: NDArray[np.float64]
    poses_3d: NDArray[np.float64]


def read_table(path: Path) -> Table:
    """Read and check one annotation file; metres become mm.

    Raises
    ------
    ValueError
        Names the file, the array and what was expected.
    FileNotFoundError
        If there is no such file.
    """
    arrays = load_npz(path)
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ValueError(
            f"{path}: has no array {missing[0]!r}, expected MMPose's {', '.join(_KEYS)}; "
            f"it has {', '.join(sorted(arrays)) or 'none'}"
        )
    names = arrays["imgname"]
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise ValueError(
            f"{path}: imgname: expected a list of file names, got {names.dtype} of {names.shape}"
        )
    n = len(names)
    if n == 0:
        raise ValueError(f"{path}: imgname: holds no frame")
    text = names.astype(str) if names.dtype.kind == "U" else np.char.decode(names, "utf-8")
    # Popped and changed in place: the largest file holds 0.3 GB of poses, and once is enough.
    part = expect_array(arrays.pop("part"), (n, 17, 3), path=path, what="part")
    space = expect_array(arrays.pop("S"), (n, 17, 4), path=path, what="S")
    center = expect_array(arrays["center"], (n, 2), path=path, what="center")
    scale = expect_array(arrays["scale"], (n,), path=path, what="scale")
    part[(part == 0).all(-1)] = np.nan
    space *= 1000.0
    return Table(
        path=path,
        names=tuple(text.tolist()),
        boxes=np.concatenate([center, scale[:, None] * _BOX_PX], axis=-1),
        poses_2d=part[..., :2],
        poses_3d=space[..., :3],
    )


def table_to_clips(
    table: Table,
    *,
    images: Path | None,
    parse: Callable[[str], tuple[Sequence, int]],
    describe: Callable[[Sequence], dict[str, str]],
    to_order: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Iterator[Clip]:
    """One clip for each sequence and camera, in the order of the table, frames by number.

    Parameters
    ----------
    images
        The folder of pictures; ``None`` for poses alone.
    parse
        Picture's name → its sequence (anything hashable) and the file's number, which counts from
        one; ``ValueError`` if the name is another.
    describe
        Sequence → ``name``, ``subject`` and ``activity`` of its clip.
    to_order
        Poses of 17 joints in the file's order → in that of the skeleton.

    Raises
    ------
    ValueError, FileNotFoundError
        Names the file and the fault.
    """
    rows: dict[Sequence, list[tuple[int, int]]] = {}
    for row, name in enumerate(table.names):
        try:
            sequence, number = parse(name)
        except ValueError as error:
            raise ValueError(f"{table.path}: imgname: {error}") from None
        rows.setdefault(sequence, []).append((number, row))
    for sequence, numbered in rows.items():
        numbered.sort()
        numbers, chosen = (np.array(column) for column in zip(*numbered, strict=True))
        facts = describe(sequence)
        if (np.diff(numbers) == 0).any():
            raise ValueError(f"{table.path}: {facts['name']}: the same frame stands there twice")
        pictures = None
        if images is not None:
            pictures = tuple(
                Frame(path=_inside(images, table.names[row], table.path)) for row in chosen
            )
            if not pictures[0].path.is_file():
                raise FileNotFoundError(
                    f"{pictures[0].path}: no such picture, which {table.path.name} names; extract "
                    "the pictures, name their folder with the option images, or take poses alone "
                    "(poses_only=True)"
                )
        poses_2d, poses_3d = to_order(table.poses_2d[chosen]), to_order(table.poses_3d[chosen])
        fitted = estimate_camera(poses_3d, poses_2d)
        yield Clip(
            name=facts["name"],
            subject=facts["subject"],
            activity=facts["activity"],
            pictures=pictures,
            poses_2d=poses_2d,
            poses_3d=poses_3d,
            boxes=table.boxes[chosen],
            camera=None if fitted is None else fitted[0],
            numbers=numbers - 1,
        )


def _inside(images: Path, name: str, path: Path) -> Path:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{path}: imgname: {name!r} leads out of the folder of pictures")
    return images.joinpath(*relative.parts)


def find_table(root: Path, folders: tuple[str, ...], names: tuple[str, ...]) -> Path | None:
    """The first of some names in the first of some folders below ``root`` that holds it."""
    places = [root / folder / name for folder in folders for name in names]
    return next((place for place in places if place.is_file()), None)


def find_pictures(root: Path, images: str | Path | None, *, poses_only: bool) -> Path | None:
    """The folder of pictures, ``root/images`` if none is named; ``None`` for poses alone.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    if poses_only:
        return None
    folder = Path(images) if images else root / "images"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder of pictures; extract them there, name their folder with the "
            "option images, or take poses alone (poses_only=True)"
        )
    return folder


__all__ = ["Table", "find_pictures", "find_table", "read_table", "table_to_clips"]
