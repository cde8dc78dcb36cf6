"""Frames of video files, by PyAV: ``pip install 'selfpose[video]'``.

Frames stand upright, as a player shows them: the rotation that telephones write is applied.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """The open container and its first video stream; the decoder's errors as ``ValueError``."""
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"{path}: reading videos needs PyAV: pip install 'selfpose[video]', or save the frames "
            "as pictures"
        ) from error
    try:
        with av.open(str(path)) as container:
            yield container, container.streams.video[0]
    except (av.FFmpegError, UnicodeDecodeError, IndexError) as error:
        fault = getattr(error, "strerror", None) or "no video in it"
        raise ValueError(f"{path}: not a readable video ({fault})") from error


def count_frames(path: str | Path) -> int:
    """How many frames a video holds, counted by its packets: headers are often wrong."""
    with _opened(path) as (container, stream):
        n = sum(packet.size > 0 for packet in container.demux(stream))
    if not n:
        raise ValueError(f"{path}: the video holds no frame; is the file cut short?")
    return n


def frame_size(path: str | Path) -> tuple[int, int]:
    """Width and height, px, of a video's upright frames."""
    height, width = next(read_frames(path, [0])).shape[:2]
    return width, height


def read_frames(path: str | Path, indices: Sequence[int]) -> Iterator[UInt8[ndarray, "H W 3"]]:
    """The frames of increasing numbers ``indices`` (from zero), RGB, each decoded once."""
    wanted = set(indices)
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                wanted.remove(number)
                # counter-clockwise degrees to turn the stored frame by, as np.rot90 turns
                turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield np.ascontiguousarray(turned)
            if not wanted:
                return
    if wanted:
        raise ValueError(f"{path}: frame {min(wanted)} cannot be decoded; is the file cut short?")
