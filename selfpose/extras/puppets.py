"""Pictures painted from what the method has: the person of a picture, posed as an unpaired pose.

Ours. A puppet has limbs of one thickness each (measured from silhouettes, or learnt), the colours
of the picture along the limbs that Ω found in it, the depths that Λ gives the unpaired pose, and
the camera's background. We chose its pose, so Φ and Ω can be told where they are wrong, without any
label of any picture.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from selfpose.render import pixel_centres
from selfpose.skeleton import Skeleton

ALONG = (0.25, 0.8)  # where a bone's colours are read: sleeves and trouser legs end in between


def half_brightness_radius(gamma: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The distance from a bone at which κ with that γ has fallen to a half: √(ln 2 / γ).

    >>> half_brightness_radius(torch.tensor([69.3147]))
    tensor([0.1000])
    """
    return (math.log(2) / gamma).sqrt()


def sample_limb_colours(
    image: Float[Tensor, "b 3 H W"],
    foreground: Float[Tensor, "b 1 H W"],
    pose: Float[Tensor, "b J 2"],
    skeleton: Skeleton,
    *,
    generator: torch.Generator,
    chance: float = 0.25,
) -> Float[Tensor, "b B 2 3"]:
    """Two colours for each bone, read from a picture along the limbs ``pose`` = Ω(Φ(x)) in it.

    A colour read outside the foreground, and each bone's with probability ``chance``, is replaced
    by that of a random pixel of the foreground: while ``pose`` is still wrong, puppets wear the
    person's colours in disorder. A limb and its mirror twin wear the same. All in [0, 1].
    """
    b, n_bones, device = len(image), skeleton.n_bones, image.device
    # Soft foregrounds are never quite zero, which adds up over a picture of a small body.
    foreground = (foreground > 0.5).to(image.dtype)
    bones = torch.tensor(skeleton.bones, device=device)
    start, end = pose[:, bones[:, 0], None], pose[:, bones[:, 1], None]
    spots = start + (end - start) * pose.new_tensor(ALONG)[:, None]  # (b, B, 2, xy)
    read = functional.grid_sample(image, 2 * spots - 1, align_corners=False).permute(0, 2, 3, 1)
    inside = functional.grid_sample(foreground, 2 * spots - 1, align_corners=False)[:, 0]

    # A random pixel of the foreground: the one at a uniform share of its cumulated cover.
    share = torch.rand(b, 2 * n_bones, generator=generator).to(device)
    cover = (foreground.flatten(1) + 1e-4).cumsum(dim=1)
    pixel = torch.searchsorted(cover, share * cover[:, -1:]).clamp(max=cover.shape[1] - 1)
    anywhere = image.flatten(2).gather(2, pixel[:, None].expand(-1, 3, -1))
    anywhere = anywhere.mT.reshape(b, n_bones, 2, 3)

    trusted = torch.rand(b, n_bones, 1, generator=generator).to(device) >= chance
    trusted = trusted & (inside > torch.rand(b, n_bones, 2, generator=generator).to(device))
    colour = torch.where(trusted[..., None], read, anywhere)

    left_shown = (torch.rand(b, 1, generator=generator) < 0.5).to(device)
    sides = [[side == s for s in skeleton.bone_sides] for side in ("left", "right")]
    left, right = torch.tensor(sides, device=device)
    hidden = torch.where(left_shown, right, left)[..., None, None]
    return torch.where(hidden, colour[:, list(skeleton.flipped_bones)], colour)


def draw_puppets(
    pose: Float[Tensor, "b J 2"],
    depth: Float[Tensor, "b J"],
    radius: Float[Tensor, "b B"],
    colour: Float[Tensor, "b B 2 3"],
    light: Float[Tensor, "b 3"],
    bones: tuple[tuple[int, int], ...],
    *,
    size: int,
) -> tuple[Float[Tensor, "b 3 H W"], Float[Tensor, "b 1 H W"]]:
    """Limbs as round rods, the nearest to the camera in front: RGB and cover, in [0, 1].

    Parameters
    ----------
    pose, depth, radius
        Joints in [0, 1] image coordinates, depth offsets (away from the camera is positive) and
        half the thickness of each limb in the same unit.
    colour
        RGB in [0, 1] of each limb's first and second half.
    light
        (rightwards, downwards, fall-off towards the limbs' edges) of the shading.
    """
    b, centres = len(pose), pixel_centres(size, pose)
    px, py = centres[:, 0], centres[:, 1]
    shape = (b, size * size)
    nearest = pose.new_full(shape, torch.inf)
    winner = torch.zeros(shape, dtype=torch.long, device=pose.device)
    along, shade, cover = pose.new_zeros(shape), pose.new_ones(shape), pose.new_zeros(shape)
    for n, (i, j) in enumerate(bones):
        ax, ay = pose[:, i, :1], pose[:, i, 1:]
        bx, by = pose[:, j, :1] - ax, pose[:, j, 1:] - ay
        dx, dy = px - ax, py - ay
        r = ((dx * bx + dy * by) / (bx * bx + by * by).clamp(min=1e-12)).clamp_(0, 1)
        dx, dy, thick = dx - r * bx, dy - r * by, radius[:, n : n + 1]
        distance_sq = dx * dx + dy * dy
        bulge = (thick * thick - distance_sq).clamp_(min=0).sqrt_()
        surface = torch.lerp(depth[:, i : i + 1], depth[:, j : j + 1], r) - bulge
        covered = ((thick - distance_sq.sqrt_()) * size + 0.5).clamp_(0, 1)
        # Half a pixel covered hides what is behind. Else the limb that covers most is seen.
        rank = torch.where(covered >= 0.5, surface, 1e3 - covered)
        front = (covered > 0) & (rank < nearest)
        nearest = torch.where(front, rank, nearest)
        winner.masked_fill_(front, n)
        along = torch.where(front, r, along)
        side = (dx * light[:, :1] + dy * light[:, 1:2]) / thick
        shade = torch.where(front, 1 + side - light[:, 2:] * (1 - bulge / thick), shade)
        cover = torch.maximum(cover, covered)
    rows = torch.arange(b, device=pose.device)[:, None]
    painted = colour[rows, winner, (along > 0.5).long()] * shade[..., None]
    painted = painted.clamp(0, 1).mT.reshape(b, 3, size, size)
    return painted, cover.reshape(b, 1, size, size)


def draw_light(n: int, *, generator: torch.Generator) -> Float[Tensor, "n 3"]:
    """Random shading for :func:`draw_puppets`."""
    across = 0.35 * torch.randn(n, 2, generator=generator)
    return torch.cat([across, 0.5 * torch.rand(n, 1, generator=generator)], dim=1)


def vary_radius(
    radius: Float[Tensor, " B"], n: int, *, generator: torch.Generator
) -> Float[Tensor, "n B"]:
    """Thickness for n puppets: some people are thick, some limbs thicker than others."""
    person = 0.25 * torch.randn(n, 1, generator=generator)
    limb = 0.15 * torch.randn(n, len(radius), generator=generator)
    return radius * (person + limb).exp().to(radius.device)
