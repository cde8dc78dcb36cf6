"""From a picture file and a box about the subject to the square picture that the networks see."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from selfpose.data.picture_files import picture_fault
from selfpose.data.reader import Camera

BOX_MARGIN = 1.25
"""Side of a subject's box over the longer side of its 2D pose's extent, as the field crops."""


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Any picture file → RGB, (H, W, 3) uint8.

    EXIF rotation is applied, transparency laid over white, grey of 8 or 16 bits turned to RGB.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no readable picture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such picture")
    try:
        with Image.open(path) as opened:
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
    except (
        *(UnidentifiedImageError, Image.DecompressionBombError),
        *(OSError, SyntaxError, ValueError),
    ) as error:
        raise ValueError(f"{path}: not a readable picture ({picture_fault(error)})") from error


def pose_to_box(pose: NDArray[np.floating], *, margin: float = BOX_MARGIN) -> NDArray[np.float64]:
    """The square about a 2D pose: (..., J, 2) px → (..., 3) centre x, centre y, side.

    Unknown joints (NaN) are left out.

    Raises
    ------
    ValueError
        If a pose has no extent: fewer than two joints known, or all in one place.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of poses without any joint: see below
        low, high = np.nanmin(pose, axis=-2), np.nanmax(pose, axis=-2)
    side = margin * (high - low).max(axis=-1)
    if not (side > 0).all():
        raise ValueError("a 2D pose has no extent: its joints are unknown or all in one place")
    return np.concatenate([(low + high) / 2, side[..., None]], axis=-1)


def crop_picture(
    pixels: NDArray[np.uint8], box: NDArray[np.floating], *, size: int
) -> NDArray[np.uint8]:
    """The square of a picture, resized: (H, W, 3) → (size, size, 3).

    What lies outside the picture repeats its border, so that no black edge gives the box away.

    Raises
    ------
    ValueError
        If the box is not finite, has no side, or does not touch the picture.
    """
    height, width = pixels.shape[:2]
    x, y, side = (float(v) for v in box)
    left, top, right, bottom = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    if not (np.isfinite(box).all() and side > 0):
        raise ValueError(f"a box needs a centre and a positive side, got {(x, y, side)}")
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError(
            f"the box {left:.0f}..{right:.0f} × {top:.0f}..{bottom:.0f} px does not touch the "
            f"picture of {width}×{height} px; do boxes and pictures have the same size?"
        )
    if side > 4 * max(width, height):
        raise ValueError(
            f"the box's side of {side:.0f} px is far larger than the picture of {width}×{height} px"
        )
    # Whole pixels about the box, a few more for the filter; outside, the border's.
    reach = int(np.ceil(3 * max(1.0, side / size)))
    columns = np.arange(int(np.floor(left)) - reach, int(np.ceil(right)) + reach)
    rows = np.arange(int(np.floor(top)) - reach, int(np.ceil(bottom)) + reach)
    near = pixels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    inner = (left - columns[0], top - rows[0], right - columns[0], bottom - rows[0])
    resized = Image.fromarray(near).resize((size, size), Image.Resampling.LANCZOS, box=inner)
    return np.array(resized)


def points_to_crop(
    points: NDArray[np.floating], box: NDArray[np.floating], *, size: int
) -> NDArray[np.float64]:
    """Pixels of the picture → pixels of its crop: (..., J, 2) with boxes (..., 3).

    >>> points_to_crop(np.array([[30.0, 10.0]]), np.array([20.0, 10.0, 40.0]), size=64).tolist()
    [[48.0, 32.0]]
    """
    box = np.asarray(box, dtype=float)[..., None, :]
    return (points - box[..., :2] + box[..., 2:] / 2) * (size / box[..., 2:])


def camera_through_crop(camera: Camera, box: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotations (..., 3, 3) that turn the camera to look at the middle of each box (..., 3).

    A crop away from the picture's middle sees its subject from a little to the side. Seen by a
    camera that looks straight at it, the same body has the pose R v: what a network that knows the
    crop alone can tell.
    """
    box = np.asarray(box, dtype=float)
    centre = (box[..., :2] - np.array(camera.principal)) / np.array(camera.focal)
    ray = np.concatenate([centre, np.ones_like(centre[..., :1])], axis=-1)
    z = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    # Least rotation from the ray to the axis: the vertical stays as upright as it can.
    a, b, c = z[..., 0], z[..., 1], z[..., 2]
    k = 1 / (1 + c)
    rows = [1 - k * a * a, -k * a * b, -a, -k * a * b, 1 - k * b * b, -b, a, b, c]
    return np.stack(rows, axis=-1).reshape(*a.shape, 3, 3)


__all__ = [
    "BOX_MARGIN",
    "camera_through_crop",
    "crop_picture",
    "points_to_crop",
    "pose_to_box",
    "read_rgb",
]
