"""Frames of video files, one after another: an optional part that needs PyAV.

``pip install 'selfpose[video]'`` brings it. Frames stand upright, as a player shows them: the
rotation that telephones write into their files is applied.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}


def require_decoder(path: str | Path) -> ModuleType:
    """The package ``av``, needed to read ``path``.

    Raises
    ------
    ValueError
        If it is not installed; the error says how to get it.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"{path}: reading videos needs the package 'av'; install it with "
            "pip install 'selfpose[video]', or save the frames as pictures"
        ) from error
    return av


def count_frames(path: str | Path) -> int:
    """How many frames a video holds, counted by its packets without decoding them.

    What a file's header says is often rounded or missing; its packets are there one a frame.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no readable video, or holds no frame.
    """
    with _opened(path) as (container, stream):
        n = sum(packet.size > 0 for packet in container.demux(stream))
    if not n:
        raise ValueError(f"{path}: the video holds no frame; is the file cut short?")
    return n


def frame_size(path: str | Path) -> tuple[int, int]:
    """Width and height, px, of a video's upright frames.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no readable video.
    """
    height, width = next(read_frames(path, [0])).shape[:2]
    return width, height


def read_frames(path: str | Path, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Some frames of a video, in order, decoding each once and keeping none.

    Parameters
    ----------
    path
        The video; its first video stream is read.
    indices
        Numbers of the frames from zero, increasing.

    Yields
    ------
    (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the indices do not increase or pass the end, or the video cannot be decoded.
    """
    wanted = [int(i) for i in indices]
    if any(b <= a for a, b in zip([-1, *wanted], wanted, strict=False)):
        raise ValueError(f"{path}: frame numbers must increase from 0 on, got {wanted[:8]}")
    if not wanted:
        return
    queue = iter(wanted)
    following = next(queue)
    number = -1
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if number != following:
                continue
            yield _upright(path, frame)
            try:
                following = next(queue)
            except StopIteration:
                return
    raise ValueError(
        f"{path}: asked for frame {following}, but only {number + 1} frames can be decoded; is the "
        "file cut short?"
    )


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """The open container and its first video stream; the decoder's errors as ``ValueError``."""
    path = Path(path)
    av = require_decoder(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: holds no video stream")
            yield container, container.streams.video[0]
    except (av.FFmpegError, UnicodeDecodeError) as error:
        fault = getattr(error, "strerror", None) or "broken text in it"
        raise ValueError(f"{path}: not a readable video ({fault})") from error


def _upright(path: str | Path, frame: Any) -> NDArray[np.uint8]:
    pixels = frame.to_ndarray(format="rgb24")
    # Counter-clockwise degrees to turn the stored frame by, as np.rot90 turns
    quarters, rest = divmod(round(frame.rotation), 90)
    if rest:
        raise ValueError(
            f"{path}: its frames are to be turned by {frame.rotation}°, not by quarter turns; save "
            "the video upright"
        )
    return np.ascontiguousarray(np.rot90(pixels, quarters))


__all__ = ["SUFFIXES", "count_frames", "frame_size", "read_frames", "require_decoder"]
