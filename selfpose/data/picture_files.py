"""Picture files and videos in a folder: which there are, in what order, and how large they are."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from selfpose.data import video
from selfpose.data.reader import Frame

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_EXIF_ORIENTATION = 0x0112

Size = tuple[int, int]


def picture_size(path: str | Path) -> Size:
    """Width and height, px, of a picture as it is shown: rotated as EXIF says.

    Raises
    ------
    ValueError
        If it is no readable picture.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except (
        *(UnidentifiedImageError, Image.DecompressionBombError),
        *(OSError, SyntaxError, ValueError),
    ) as error:
        raise ValueError(
            f"{path}: not a readable picture ({picture_fault(error)}); mend or remove it"
        ) from error
    return (height, width) if turned else (width, height)


def picture_fault(error: Exception) -> str:
    """What was wrong with a picture file, in a few words and without its path."""
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no known kind of picture"
    return " ".join(str(error).split()) or type(error).__name__


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts names as people number them.

    >>> [p.name for p in sorted([Path("f10.png"), Path("f9.png")], key=natural)]
    ['f9.png', 'f10.png']
    """
    pieces = re.split(r"([0-9]+)", path.as_posix())
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in pieces]


def is_video(path: Path) -> bool:
    """By its ending."""
    return path.suffix.lower() in video.SUFFIXES


def files_by_clip(folder: Path, *, videos: bool = True) -> dict[str, list[Path]]:
    """Files by the name of their clip: a sub-folder's pictures, a video, a loose picture.

    In the order of names as people number them; what begins with a point is passed over.
    """
    clips: dict[str, list[Path]] = {}
    files = [p for p in folder.rglob("*") if p.is_file()]
    for path in sorted(files, key=lambda p: natural(p.relative_to(folder))):
        where = path.relative_to(folder)
        if any(part.startswith(".") for part in where.parts):
            continue
        if path.suffix.lower() in SUFFIXES and len(where.parts) > 1:
            clips.setdefault(where.parent.as_posix(), []).append(path)
        elif path.suffix.lower() in SUFFIXES or (videos and is_video(path)):
            clips[where.as_posix()] = [path]
    return clips


def to_frames(files: Sequence[Path]) -> tuple[Frame, ...]:
    """The frames of a clip: pictures as they are, those of a video counted."""
    if is_video(files[0]):
        return tuple(Frame(path=files[0], index=i) for i in range(video.count_frames(files[0])))
    return tuple(Frame(path=path) for path in files)


def clip_size(files: Sequence[Path]) -> Size:
    """The one width and height, px, of a clip's pictures.

    Raises
    ------
    ValueError
        If a picture is unreadable, or of another size than the first.
    """
    if is_video(files[0]):
        return video.frame_size(files[0])
    size = picture_size(files[0])
    for path in files[1:]:
        if (other := picture_size(path)) != size:
            raise ValueError(
                f"{path}: is {size_text(other)} px, but {files[0].name} beside it is "
                f"{size_text(size)} px; a sub-folder is one static camera's clip, so put other "
                "pictures elsewhere"
            )
    return size


def size_text(size: Sequence[int | float]) -> str:
    """Width×height, for messages."""
    return f"{size[0]:g}×{size[1]:g}"


def whole_box(size: Size | NDArray[np.float64]) -> NDArray[np.float64]:
    """Widths and heights (…, 2) → squares (…, 3), centre and side, that hold the whole picture.

    >>> whole_box((40, 20)).tolist()
    [20.0, 10.0, 40.0]
    """
    size = np.asarray(size, dtype=np.float64)
    return np.concatenate([size / 2, size.max(axis=-1, keepdims=True)], axis=-1)


__all__ = [
    "SUFFIXES",
    "Size",
    "clip_size",
    "files_by_clip",
    "is_video",
    "natural",
    "picture_fault",
    "picture_size",
    "size_text",
    "to_frames",
    "whole_box",
]
