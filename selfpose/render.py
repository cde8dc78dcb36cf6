"""κ, the differentiable renderer that draws a 2D pose as a skeleton image."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from selfpose.skeleton import Skeleton

CHANNEL_SIDES = {1: (("left", "right", "centre"),), 3: (("left",), ("right",), ("centre",))}


def pixel_centres(size: int, like: Tensor) -> Float[Tensor, "HW 2"]:
    """(x, y) of every pixel centre of a square image that spans [0, 1]², row by row."""
    ticks = (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def segment_distance_sq(
    points: Float[Tensor, "*#b P 2"], start: Float[Tensor, "*#b P 2"], end: Float[Tensor, "*#b P 2"]
) -> Float[Tensor, "*b P"]:
    """Squared distance of points to segments: min over r ∈ [0, 1] of ‖e − (r u_i + (1 − r) u_j)‖².

    A segment of length zero is a point.
    """
    along = end - start
    length_sq = (along * along).sum(dim=-1).clamp(min=1e-12)
    r = (((points - start) * along).sum(dim=-1) / length_sq).clamp(0, 1)
    offset = points - start - r[..., None] * along
    return (offset * offset).sum(dim=-1)


@torch.no_grad()
def nearest_bone(
    pose: Float[Tensor, "n J 2"],
    bones: list[tuple[int, int]],
    size: int,
    weight: Float[Tensor, " B"] | None = None,
) -> Int[Tensor, "n HW"]:
    """Index of the bone nearest to each pixel: the arg-min inside κ, without gradient.

    ``weight`` multiplies the squared distance to each bone.
    """
    centres = pixel_centres(size, pose)
    px, py = centres[:, 0], centres[:, 1]
    best = pose.new_full((len(pose), len(centres)), torch.inf)
    winner = torch.zeros(best.shape, dtype=torch.long, device=pose.device)
    for n, (i, j) in enumerate(bones):
        ax, ay = pose[:, i, :1], pose[:, i, 1:]
        bx, by = pose[:, j, :1] - ax, pose[:, j, 1:] - ay
        dx, dy = px - ax, py - ay
        r = ((dx * bx + dy * by) / (bx * bx + by * by).clamp(min=1e-12)).clamp_(0, 1)
        distance = (dx - r * bx).square_() + (dy - r * by).square_()
        if weight is not None:
            distance *= weight[n]
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        winner.masked_fill_(nearer, n)
    return winner


def draw_bones(
    pose: Float[Tensor, "*b J 2"],
    bones: list[tuple[int, int]],
    *,
    size: int,
    gamma: float | Float[Tensor, " B"],
) -> Float[Tensor, "*b H W"]:
    """κ(u)_e = exp(−γ · min over (i, j) ∈ C, r ∈ [0, 1] of ‖e − (r u_i + (1 − r) u_j)‖²).

    Parameters
    ----------
    pose, bones
        u, joints in an image that spans [0, 1]² (x right, y down); C, pairs of joint indices.
    size
        Side of the image in pixels.
    gamma
        γ; a limb's brightness falls to a half at a distance of √(ln 2 / γ). One for each bone
        draws limbs of different thickness (ours), and may carry gradients.

    Returns
    -------
    A skeleton image in (0, 1] for each pose. Gradients reach the two joints of the bone nearest
    to each pixel. Source: Sosa & Hogg 2023, after Jakab et al. 2020.
    """
    flat = pose.reshape(-1, *pose.shape[-2:])
    each = gamma.detach() if isinstance(gamma, Tensor) else None
    winner = nearest_bone(flat, bones, size, each)
    ends = torch.tensor(bones, device=pose.device)[winner]  # (n, HW, 2)
    rows = torch.arange(len(flat), device=pose.device)[:, None]
    distance = segment_distance_sq(
        pixel_centres(size, pose), flat[rows, ends[..., 0]], flat[rows, ends[..., 1]]
    )
    sharpness = gamma[winner] if isinstance(gamma, Tensor) else gamma
    return torch.exp(-sharpness * distance).reshape(*pose.shape[:-2], size, size)


def draw_skeleton(
    pose: Float[Tensor, "*b J 2"], skeleton: Skeleton, *, size: int, gamma: float, channels: int = 1
) -> Float[Tensor, "*b K H W"]:
    """The skeleton image of a pose: κ over all bones, or κ for each side of the body.

    ``channels=1`` is the paper's image. ``channels=3`` draws left, right and centre bones apart,
    so that the image tells them from each other (ours); sides that the body does not have stay
    black. Other arguments as in :func:`draw_bones`.
    """
    layers = []
    for sides in CHANNEL_SIDES[channels]:
        named = zip(skeleton.bones, skeleton.bone_sides, strict=True)
        bones = [bone for bone, side in named if side in sides]
        black = pose.new_zeros(*pose.shape[:-2], size, size)
        layers.append(draw_bones(pose, bones, size=size, gamma=gamma) if bones else black)
    return torch.stack(layers, dim=-3)


def exchange_sides(image: Float[Tensor, "*b K H W"]) -> Float[Tensor, "*b K H W"]:
    """A skeleton image of three channels with left and right exchanged; of one, as it is."""
    return image if image.shape[-3] == 1 else image[..., [1, 0, 2], :, :]
