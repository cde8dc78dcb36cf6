"""Does a clip stand still? What its median shows is its background only if it does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfpose.data.prepare import read_pictures
from selfpose.data.reader import Clip
from selfpose.data.rows import even_rows

FRAMES = 9
"""Pictures looked at, spread over the clip."""
NEAR = 16
"""Grey levels about the median that noise, shadows and compression leave."""
STILL = 0.75
"""Share of the picture in which the median must be a background. Subjects that move through it
hide each place for less than half of the time; only where they stay put it is none."""
_SIDE = 96


def background_share(clip: Clip) -> float:
    """Share of the picture whose median is met in more than half of some pictures of a clip.

    Raises
    ------
    ValueError, FileNotFoundError
        If a picture is broken or missing.
    """
    assert clip.pictures is not None
    rows = even_rows(len(clip), most=FRAMES)
    with ThreadPoolExecutor(1) as pool:
        small = [
            np.asarray(Image.fromarray(p).resize((_SIDE, _SIDE), Image.Resampling.BOX))
            for p in read_pictures([clip.pictures[int(k)] for k in rows], pool)
        ]
    return still_share(np.stack(small))


def still_share(pictures: NDArray[np.integer]) -> float:
    """Share of the pixels that lie near their median in more than half of (n, H, W, 3) pictures.

    >>> wall, light = np.full((5, 4, 4, 3), 90), 30 * np.arange(5).reshape(5, 1, 1, 1)
    >>> still_share(wall), still_share(wall + light)
    (1.0, 0.0)
    """
    median = np.median(pictures, axis=0)
    near = np.abs(pictures - median).max(axis=-1) <= NEAR
    return float((near.mean(axis=0) > 0.5).mean())


__all__ = ["STILL", "background_share", "still_share"]
