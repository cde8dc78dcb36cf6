"""Squares about a subject: of the picture, of its 2D points, and of the camera that saw it."""

import warnings

import numpy as np
from jaxtyping import Float, Real, UInt8
from numpy import ndarray
from PIL import Image

from selfpose.data.reader import Camera

BOX_MARGIN = 1.25
"""Side of a subject's box over the longer side of its 2D pose's extent, as the field crops."""


def pose_to_box(
    pose: Float[ndarray, "*b J 2"], *, margin: float = BOX_MARGIN
) -> Float[ndarray, "*b 3"]:
    """The square about the known joints of a 2D pose, px → centre x, centre y, side."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of poses without any joint: see below
        low, high = np.nanmin(pose, axis=-2), np.nanmax(pose, axis=-2)
    side = margin * (high - low).max(axis=-1)
    if not (side > 0).all():
        raise ValueError("a 2D pose has no extent: its joints are unknown or all in one place")
    return np.concatenate([(low + high) / 2, side[..., None]], axis=-1)


def whole_box(size: Real[ndarray, "*b 2"] | tuple[int, int]) -> Float[ndarray, "*b 3"]:
    """Widths and heights → squares that hold the whole picture.

    >>> whole_box((40, 20)).tolist()
    [20.0, 10.0, 40.0]
    """
    size = np.asarray(size, dtype=np.float64)
    return np.concatenate([size / 2, size.max(axis=-1, keepdims=True)], axis=-1)


def crop_picture(
    pixels: UInt8[ndarray, "H W 3"], box: Real[ndarray, "3"], *, size: int
) -> UInt8[ndarray, "{size} {size} 3"]:
    """The square of a picture, resized.

    What lies outside the picture repeats its border, so that no black edge gives the box away.
    """
    height, width = pixels.shape[:2]
    x, y, side = (float(v) for v in box)
    left, top, right, bottom = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    touches = left < width and right > 0 and top < height and bottom > 0
    if not (touches and 0 < side <= 4 * max(width, height)):  # not so for NaN either
        raise ValueError(
            f"the box at ({x:.0f}, {y:.0f}) of side {side:.0f} px does not fit the picture of "
            f"{width}×{height} px; do boxes and pictures count the same pixels?"
        )
    # Whole pixels about the box, a few more for the filter; outside, the border's.
    margin = int(np.ceil(3 * max(1.0, side / size)))
    columns = np.arange(int(np.floor(left)) - margin, int(np.ceil(right)) + margin)
    rows = np.arange(int(np.floor(top)) - margin, int(np.ceil(bottom)) + margin)
    near = pixels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    inner = (left - columns[0], top - rows[0], right - columns[0], bottom - rows[0])
    resized = Image.fromarray(near).resize((size, size), Image.Resampling.LANCZOS, box=inner)
    return np.array(resized)


def points_to_crop(
    points: Float[ndarray, "*b J 2"], box: Real[ndarray, "*#b 3"], *, size: int
) -> Float[ndarray, "*b J 2"]:
    """Pixels of the picture → pixels of its crop.

    >>> points_to_crop(np.array([[30.0, 10.0]]), np.array([20.0, 10.0, 40.0]), size=64).tolist()
    [[48.0, 32.0]]
    """
    box = np.asarray(box, dtype=float)[..., None, :]
    return (points - box[..., :2] + box[..., 2:] / 2) * (size / box[..., 2:])


def camera_through_crop(camera: Camera, box: Real[ndarray, "*b 3"]) -> Float[ndarray, "*b 3 3"]:
    """Rotations R that turn the camera to look at the middle of each box.

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
