"""One trip round the rotation cycle: lift, rotate, project, lift again, rotate back, project."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfpose.camera import (
    DEPTH_OFFSET,
    MIN_DEPTH,
    azimuth_rotation,
    elevation_rotation,
    lift,
    project,
    rotate_about_root,
)

Lifting = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Λ: 2D poses (b, J, 2) → depth offsets (b, J) and elevations (b)."""


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """What one cycle passes through; ``_rotated`` is the paper's tilde, ``_back`` its prime.

    Poses (b, J, 2) on the normalised plane or (b, J, 3) in method units, camera frame; angles (b)
    in radians.
    """

    pose_2d: Tensor  # y
    depth_offset: Tensor  # d = Λ(y)
    elevation: Tensor  # α = Λ(y)
    elevation_removed: Tensor  # taken out by R_e: α, or one drawn from a fixed distribution
    pose_3d: Tensor  # v
    azimuth_drawn: Tensor  # of R_a
    elevation_drawn: Tensor  # put back in by R_eᵀ
    rotation: Tensor  # R
    pose_3d_rotated: Tensor  # ṽ = R v
    pose_2d_rotated: Tensor  # ỹ
    depth_offset_rotated: Tensor  # Λ(ỹ)
    elevation_rotated: Tensor  # Λ(ỹ)
    pose_3d_relifted: Tensor  # ṽ'
    pose_3d_back: Tensor  # v' = Rᵀ ṽ'
    pose_2d_back: Tensor  # y'


def draw_angles(
    elevation: Float[Tensor, " b"], *, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Azimuths from U(−π, π), elevations from N(μₑ, σₑ) of the batch's predicted elevations.

    Moments are taken without gradient. Source: Sosa & Hogg 2023, after ElePose.
    """
    n = len(elevation)
    uniform = torch.rand(n, generator=generator).to(elevation)
    normal = torch.randn(n, generator=generator).to(elevation)
    fixed = elevation.detach()
    spread = fixed.std() if n > 1 else fixed.new_zeros(())
    return (2 * uniform - 1) * math.pi, fixed.mean() + spread * normal


@dataclass(frozen=True, kw_only=True)
class FixedElevation:
    """A distribution of camera elevations that is assumed, not learnt: N(mean, sd), radians."""

    mean: float
    sd: float

    def draw(
        self, like: Float[Tensor, " b"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, " b"]:
        """One elevation for each element of ``like`` (radians)."""
        return self.mean + self.sd * torch.randn(len(like), generator=generator).to(like)


def view_change(
    elevation: Float[Tensor, "*b"],
    azimuth_drawn: Float[Tensor, "*b"],
    elevation_drawn: Float[Tensor, "*b"],
) -> Float[Tensor, "*b 3 3"]:
    """R = R_eᵀ R_a R_e: take the predicted elevation out, turn about the vertical, tilt again.

    In the paper's notation R_e removes an elevation; in ours ``elevation_rotation`` adds one, so
    the matrix reads R_x(drawn) · R_y(azimuth) · R_x(predicted)ᵀ.
    """
    return (
        elevation_rotation(elevation_drawn)
        @ azimuth_rotation(azimuth_drawn)
        @ elevation_rotation(elevation).mT
    )


def project_ahead(pose: Float[Tensor, "*b J 3"]) -> Float[Tensor, "*b J 2"]:
    """Projection with depths kept at 1 or more, so that no joint passes behind the camera."""
    depth = pose[..., 2:].clamp(min=MIN_DEPTH)
    return project(torch.cat([pose[..., :2], depth], dim=-1))


def rotation_cycle(
    pose_2d: Float[Tensor, "b J 2"],
    lifter: Lifting,
    *,
    root: int,
    delta: float = DEPTH_OFFSET,
    angles: tuple[Tensor, Tensor] | None = None,
    fixed_elevation: FixedElevation | None = None,
    generator: torch.Generator | None = None,
) -> Cycle:
    """y → Λ → v → R → ṽ → projection ỹ → Λ → ṽ' → Rᵀ → v' → projection y'.

    Parameters
    ----------
    pose_2d, lifter
        y, root-centred poses on the normalised plane; Λ.
    root, delta
        The joint that the pose is turned about, and its depth Δ.
    angles
        (azimuths, elevations put back in) to use in place of drawn ones, radians.
    fixed_elevation
        Where the elevations taken out and put back in are drawn from, in place of Λ's predictions:
        no gradient then reaches Λ's elevation.
    """
    depth_offset, elevation = lifter(pose_2d)
    pose_3d = lift(pose_2d, depth_offset, delta=delta)
    azimuth_drawn, elevation_drawn = angles or draw_angles(elevation, generator=generator)
    removed = elevation
    if fixed_elevation is not None:
        removed = fixed_elevation.draw(elevation, generator=generator)
        if angles is None:
            elevation_drawn = fixed_elevation.draw(elevation, generator=generator)
    rotation = view_change(removed, azimuth_drawn, elevation_drawn)
    rotated = rotate_about_root(pose_3d, rotation, root=root)
    pose_2d_rotated = project_ahead(rotated)
    depth_offset_rotated, elevation_rotated = lifter(pose_2d_rotated)
    relifted = lift(pose_2d_rotated, depth_offset_rotated, delta=delta)
    back = rotate_about_root(relifted, rotation.mT, root=root)
    return Cycle(
        pose_2d=pose_2d,
        depth_offset=depth_offset,
        elevation=elevation,
        elevation_removed=removed,
        pose_3d=pose_3d,
        azimuth_drawn=azimuth_drawn,
        elevation_drawn=elevation_drawn,
        rotation=rotation,
        pose_3d_rotated=rotated,
        pose_2d_rotated=pose_2d_rotated,
        depth_offset_rotated=depth_offset_rotated,
        elevation_rotated=elevation_rotated,
        pose_3d_relifted=relifted,
        pose_3d_back=back,
        pose_2d_back=project_ahead(back),
    )
