"""Two bones and a hinge that reach for a target: the inverse kinematics of arms and legs."""

import math

from torch.nn.functional import normalize

from torch import Tensor


def flexion_to_reach(first: Tensor, second: Tensor, degrees: float) -> Tensor:
    """Distance between the ends of two bones whose hinge is flexed by ``degrees``."""
    cos = math.cos(math.radians(degrees))
    return (first.square() + second.square() + 2 * first * second * cos).sqrt()


def two_bones(
    start: Tensor,
    target: Tensor,
    pole: Tensor,
    *,
    first: Tensor,
    second: Tensor,
    limits: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Middle and end of two bones that reach for a target: (..., 3) each.

    ``limits``, of the middle joint's flexion in degrees (0 is straight), bound how near and how far
    the end can be; a target beyond is reached for in its direction. The middle joint bends towards
    ``pole``.
    """
    straightest, tightest = limits
    far = flexion_to_reach(first, second, straightest)
    near = flexion_to_reach(first, second, tightest)
    offset = target - start
    direction = normalize(offset, dim=-1)
    reach = offset.norm(dim=-1).clamp(near, far)
    along = (first.square() - second.square() + reach.square()) / (2 * reach)
    aside = (first.square() - along.square()).clamp(min=0).sqrt()
    bend = normalize(pole - (pole * direction).sum(-1, keepdim=True) * direction, dim=-1)
    middle = start + along[..., None] * direction + aside[..., None] * bend
    return middle, start + reach[..., None] * direction


__all__ = ["flexion_to_reach", "two_bones"]
