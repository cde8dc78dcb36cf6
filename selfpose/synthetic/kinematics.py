"""Rotations, steps, and two bones that reach for a target: what moving bodies share.

Frames have their axes right, down and forward in the columns of (..., 3, 3).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from selfpose.camera import azimuth_rotation, elevation_rotation


def roll_rotation(angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation about the forward axis: the head goes to the person's right for angle > 0."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack((c, -s, zero, s, c, zero, zero, zero, one), -1).unflatten(-1, (3, 3))


def turned(yaw: Tensor, forward: Tensor, right: Tensor) -> Float[Tensor, "*b 3 3"]:
    """Yaw, then a lean forward and to the right, in the yawed frame."""
    return azimuth_rotation(yaw) @ elevation_rotation(-forward) @ roll_rotation(right)


def along(
    frame: Float[Tensor, "*b 3 3"], x: Tensor | float, y: Tensor | float, z: Tensor | float
) -> Float[Tensor, "*b 3"]:
    """x · right + y · down + z · forward of a frame."""
    parts = [torch.as_tensor(v)[..., None] * frame[..., :, k] for k, v in enumerate((x, y, z))]
    return parts[0] + parts[1] + parts[2]


def two_bone_ik(
    start: Float[Tensor, "*b 3"],
    target: Float[Tensor, "*b 3"],
    pole: Float[Tensor, "*b 3"],
    *,
    first: Tensor,
    second: Tensor,
    limits: tuple[float, float],
) -> tuple[Float[Tensor, "*b 3"], Float[Tensor, "*b 3"]]:
    """Middle and end of two bones that reach for a target: the inverse kinematics of a limb.

    ``limits``, of the middle joint's flexion in degrees (0 is straight), bound how near and how far
    the end can be; a target beyond is reached for in its direction. The middle joint bends towards
    ``pole``.
    """

    def span(degrees: float) -> Tensor:
        cos = math.cos(math.radians(degrees))
        return (first.square() + second.square() + 2 * first * second * cos).sqrt()

    straightest, tightest = limits
    offset = target - start
    direction = normalize(offset, dim=-1)
    reach = offset.norm(dim=-1).clamp(span(tightest), span(straightest))
    ahead = (first.square() - second.square() + reach.square()) / (2 * reach)
    aside = (first.square() - ahead.square()).clamp(min=0).sqrt()
    bend = normalize(pole - (pole * direction).sum(-1, keepdim=True) * direction, dim=-1)
    middle = start + ahead[..., None] * direction + aside[..., None] * bend
    return middle, start + reach[..., None] * direction


def step_cycle(phase: Tensor, stance: float) -> tuple[Tensor, Tensor, Tensor]:
    """A foot's place in its cycle, from phases in [0, 1): on the floor up to ``stance``, then not.

    Returns forward, the place along the step in [-1, 1]; up, the height in about [0, 1]; and the
    share of the swing that is done.
    """
    swing = ((phase - stance) / (1 - stance)).clamp(0, 1)
    on_floor = 1 - 2 * (phase / stance).clamp(0, 1)
    # Both ends of the swing take over the stance's speed, so that the foot never jerks.
    ease = swing * swing * (3 - 2 * swing)
    slope = -2 * (1 - stance) / stance
    in_air = -1 + 2 * ease + slope * (swing * (1 - swing) * (1 - 2 * swing))
    forward = torch.where(phase < stance, on_floor, in_air)
    up = torch.sin(math.pi * swing) ** 2 * (1.25 - 0.5 * swing)
    return forward, up, swing
