"""Picture files: which there are, in what order, how large they are, and their pixels."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageOps

from selfpose.data import video
from selfpose.data.reader import Frame

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
BLOCK = 64
"""Pictures in memory at a time."""
_EXIF_ORIENTATION = 0x0112

Size = tuple[int, int]


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """An open picture; whatever Pillow finds wrong with it as one ``ValueError``."""
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such picture") from None
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from error


def read_rgb(path: str | Path) -> UInt8[ndarray, "H W 3"]:
    """Any picture file → RGB, rotated as EXIF says, transparency laid over white."""
    with _opened(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I;16"):
            # Pillow's own conversion would cut all values above 255 off
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.mode in ("I", "F"):
            raise ValueError("32 bits a pixel, of unknown range: save it with 8")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))


def picture_size(path: str | Path) -> Size:
    """Width and height, px, of a picture as it is shown: rotated as EXIF says."""
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def frame_size(frame: Frame) -> Size:
    """Width and height, px, of a picture or a video's frame, as it is shown."""
    return picture_size(frame.path) if frame.index is None else video.frame_size(frame.path)


def read_pictures(frames: Sequence[Frame]) -> Iterator[UInt8[ndarray, "H W 3"]]:
    """Pictures of a clip's frames, in order, a block at a time; a video is decoded once."""
    if frames and frames[0].index is not None:
        yield from video.read_frames(frames[0].path, [int(f.index or 0) for f in frames])
        return
    with ThreadPoolExecutor() as pool:
        for at in range(0, len(frames), BLOCK):
            yield from pool.map(lambda frame: read_rgb(frame.path), frames[at : at + BLOCK])


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts names as people number them.

    >>> [p.name for p in sorted([Path("f10.png"), Path("f9.png")], key=natural)]
    ['f9.png', 'f10.png']
    """
    pieces = re.split(r"([0-9]+)", path.as_posix())
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in pieces]


def files_by_clip(folder: Path, *, videos: bool = True) -> dict[str, list[Path]]:
    """Files by the name of their clip: a sub-folder's pictures, a video, a loose picture.

    In the order of names as people number them; what begins with a point is passed over.
    """
    clips: dict[str, list[Path]] = {}
    files = [p for p in folder.rglob("*") if p.is_file()]
    for path in sorted(files, key=lambda p: natural(p.relative_to(folder))):
        where, suffix = path.relative_to(folder), path.suffix.lower()
        if any(part.startswith(".") for part in where.parts):
            continue
        if suffix in SUFFIXES and len(where.parts) > 1:
            clips.setdefault(where.parent.as_posix(), []).append(path)
        elif suffix in SUFFIXES or (videos and suffix in video.SUFFIXES):
            clips[where.as_posix()] = [path]
    return clips


def to_frames(files: Sequence[Path]) -> tuple[Frame, ...]:
    """The frames of a clip: pictures as they are, those of a video counted."""
    if files[0].suffix.lower() in video.SUFFIXES:
        return tuple(Frame(path=files[0], index=i) for i in range(video.count_frames(files[0])))
    return tuple(Frame(path=path) for path in files)


def clip_size(frames: Sequence[Frame]) -> Size:
    """The one width and height, px, of a clip's pictures; ``ValueError`` if there are several."""
    size = frame_size(frames[0])
    for frame in frames[1:] if frames[0].index is None else ():
        if (other := frame_size(frame)) != size:
            raise ValueError(
                f"{frame.path}: is {other} px, but {frames[0].path.name} beside it {size} px; a "
                "sub-folder is one static camera's clip, so put other pictures elsewhere"
            )
    return size
