"""Where a camera stood, from points in the world and their pixels: for files that do not say.

VideoPose3D's files hold 3D poses in the world's frame and 2D poses for each camera, but no camera.
A clip of a person who walks about holds thousands of known points, which fix the camera: a linear
solution first (direct linear transform), then least squares over pixels with a lens that distorts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import rq
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

_MAX_POINTS = 3000  # enough for a hundredth of a pixel, and quick


@dataclass(frozen=True, kw_only=True)
class Resection:
    """A camera found from points: how the world lies before it, and how well that explains them.

    Parameters
    ----------
    rotation
        (3, 3), world → camera frame (x right, y down, z forward).
    translation
        (3,), the world's origin in the camera's frame, in the units of the points.
    error
        Median distance in px between the pixels and the projected points, lens distortion included.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    error: float

    def to_camera(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 3) in the world's frame → the camera's frame."""
        return points @ self.rotation.T + self.translation


def resect(points: NDArray[np.floating], pixels: NDArray[np.floating]) -> Resection:
    """Find the camera that sees points (..., 3) of the world at pixels (..., 2).

    The lens may distort radially (three coefficients) and tangentially (two), by the model with
    which Human3.6M's 2D poses were made. Points may have any unit; the world may be turned any way
    but not mirrored.

    Raises
    ------
    ValueError
        If fewer than 20 points are known, they lie in a plane or a line, or no camera sees them
        all before it. Source: Hartley & Zisserman, Multiple View Geometry, 7.1 (the linear
        solution, with the normalisation of 4.4).
    """
    world = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    seen = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    known = np.isfinite(world).all(-1) & np.isfinite(seen).all(-1)
    world, seen = world[known], seen[known]
    if len(world) < 20:
        raise ValueError(f"{len(world)} points are known, expected 20 at least to find a camera")
    chosen = np.unique(np.linspace(0, len(world) - 1, _MAX_POINTS).astype(np.intp))
    world, seen = world[chosen], seen[chosen]
    centre, spread = world.mean(0), float(world.std())
    middle, size = seen.mean(0), float(seen.std())
    if spread == 0 or size == 0:
        raise ValueError("all points, or all pixels, are one")
    x, u = (world - centre) / spread, (seen - middle) / size
    focal, principal, rotation, translation = _linear(x, u)
    # Parameters in the normalised units of x and u, so that all of them are of about one size.
    start = np.concatenate(
        [np.log(focal), principal, Rotation.from_matrix(rotation).as_rotvec(), translation]
    )
    start = np.concatenate([start, np.zeros(5)])
    with np.errstate(all="ignore"):
        solved = least_squares(
            lambda p: np.nan_to_num(_project(x, p) - u, nan=1e6, posinf=1e6, neginf=-1e6).ravel(),
            start,
            method="lm",
            x_scale=1.0,
        ).x
        error = np.median(np.linalg.norm(_project(x, solved) - u, axis=-1)) * size
    rotation = Rotation.from_rotvec(solved[4:7]).as_matrix()
    translation = solved[7:10]
    if ((x @ rotation.T + translation)[:, 2] <= 0).any() or not np.isfinite(error):
        raise ValueError("no camera sees all of the points before it")
    return Resection(
        rotation=rotation,
        translation=translation * spread - rotation @ centre,
        error=float(error),
    )


def _project(x: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    focal, principal, radial, tangential = np.exp(p[0:2]), p[2:4], p[10:13], p[13:15]
    at = x @ Rotation.from_rotvec(p[4:7]).as_matrix().T + p[7:10]
    plane = at[:, :2] / at[:, 2:]
    r2 = (plane**2).sum(-1, keepdims=True)
    stretch = 1 + r2 ** np.arange(1, 4) @ radial + plane @ tangential
    return (plane * stretch[:, None] + r2 * tangential) * focal + principal


def _linear(x: NDArray[np.float64], u: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Focal lengths, principal point, rotation and translation of the linear solution."""
    homogeneous = np.concatenate([x, np.ones((len(x), 1))], axis=-1)
    zero = np.zeros_like(homogeneous)
    rows = np.concatenate(
        [
            np.concatenate([homogeneous, zero, -u[:, :1] * homogeneous], axis=-1),
            np.concatenate([zero, homogeneous, -u[:, 1:] * homogeneous], axis=-1),
        ]
    )
    _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
    if singular[-2] < 1e-7 * singular[0]:
        raise ValueError("the points lie in a plane or a line: they fix no camera")
    matrix = vectors[-1].reshape(3, 4)
    if np.median(homogeneous @ matrix[2]) < 0:
        matrix = -matrix
    upper, rotation = rq(matrix[:, :3])
    signs = np.sign(np.diag(upper))
    signs[signs == 0] = 1.0
    upper, rotation = upper * signs, signs[:, None] * rotation
    if np.linalg.det(rotation) < 0:
        raise ValueError("the world is mirrored against the pictures: is a coordinate negated?")
    translation = np.linalg.solve(upper, matrix[:, 3])
    upper = upper / upper[2, 2]
    return np.diag(upper)[:2].copy(), upper[:2, 2].copy(), rotation, translation


__all__ = ["Resection", "resect"]
