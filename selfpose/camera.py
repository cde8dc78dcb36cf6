"""Perspective projection, lifting, rotations, and the one place where pixels become method units.

Camera frame throughout: x right, y down, z forward. Method units: one unit is a tenth of the
camera's distance, so a pose's root lies at depth Δ = 10 and the mean hip–head distance is 1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfpose.skeleton import Skeleton

DEPTH_OFFSET = 10.0  # Δ
MIN_DEPTH = 1.0
REFERENCE_LENGTH_2D = 0.1  # of the mean root–top distance in the normalised plane


def project(points: Float[Tensor, "*b J 3"]) -> Float[Tensor, "*b J 2"]:
    """Perspective projection (x, y, z) → (x / z, y / z) onto the normalised plane.

    >>> project(torch.tensor([[2.0, -4.0, 10.0]]))
    tensor([[ 0.2000, -0.4000]])
    """
    return points[..., :2] / points[..., 2:]


def lift(
    pose: Float[Tensor, "*b J 2"],
    depth_offset: Float[Tensor, "*b J"],
    *,
    delta: float = DEPTH_OFFSET,
) -> Float[Tensor, "*b J 3"]:
    """Back-project joints of the normalised plane to depths z = max(1, d + Δ): v = (x z, y z, z).

    d and Δ, the camera's distance, in method units. ``project(lift(y, d))`` is ``y`` for every d.
    Source: Sosa & Hogg 2023, the lifting equation.
    """
    z = (depth_offset + delta).clamp(min=MIN_DEPTH)
    return torch.cat([pose * z[..., None], z[..., None]], dim=-1)


def elevation_rotation(angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """R_x(α): from an upright frame to that of a camera raised by α, looking down (radians).

    A level camera's forward axis (0, 0, 1) moves up in the picture (y < 0) when α grows:

    >>> elevation_rotation(torch.tensor(torch.pi / 6)) @ torch.tensor([0.0, 0.0, 1.0])
    tensor([ 0.0000, -0.5000,  0.8660])
    """
    c, s = angle.cos(), angle.sin()
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    rows = (one, zero, zero, zero, c, -s, zero, s, c)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def azimuth_rotation(angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """R_y(θ): rotation about the vertical axis of an upright frame (radians)."""
    c, s = angle.cos(), angle.sin()
    one, zero = torch.ones_like(c), torch.zeros_like(c)
    rows = (c, zero, s, zero, one, zero, -s, zero, c)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def rotate_about_root(
    pose: Float[Tensor, "*b J 3"], rotation: Float[Tensor, "*b 3 3"], *, root: int
) -> Float[Tensor, "*b J 3"]:
    """Rotate a pose about its root joint, which stays where it is."""
    centre = pose[..., root : root + 1, :]
    return (pose - centre) @ rotation.mT + centre


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """The map between image pixels and the normalised plane: y = (p − p_root) · 0.1 / length.

    One constant for a whole data set: the mean root–top distance of its *unpaired* 2D poses, in
    pixels. A scale estimated from each picture would leak its label.
    """

    length_px: float

    def __post_init__(self) -> None:
        if not 0 < self.length_px < float("inf"):
            raise ValueError(
                f"the unpaired poses' mean root-top distance must be positive: {self.length_px} px"
            )

    @classmethod
    def from_poses(cls, poses: Float[Tensor, "N J 2"], skeleton: Skeleton) -> "PixelScale":
        """Measure the constant on a set of 2D poses in pixels."""
        spans = (poses[:, skeleton.top] - poses[:, skeleton.root]).norm(dim=-1)
        return cls(length_px=float(spans.mean()))

    def pixels_to_plane(self, pose: Float[Tensor, "*b J 2"], root: int) -> Float[Tensor, "*b J 2"]:
        """Pixels → root-centred joints on the normalised plane."""
        return (pose - pose[..., root : root + 1, :]) * (REFERENCE_LENGTH_2D / self.length_px)

    def plane_to_pixels(
        self, pose: Float[Tensor, "*b J 2"], root_px: Float[Tensor, "*b 2"]
    ) -> Float[Tensor, "*b J 2"]:
        """Normalised plane → pixels, with the root put at ``root_px``."""
        return pose * (self.length_px / REFERENCE_LENGTH_2D) + root_px[..., None, :]
