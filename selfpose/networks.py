"""Φ, Ω, Λ and D: the paper's three networks and the critic of its game."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from selfpose.render import pixel_centres


def conv_block(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    """3×3 (or strided 4×4) convolution, group normalisation, leaky ReLU."""
    kernel, padding = (3, 1) if stride == 1 else (4, 1)
    groups = next(g for g in range(max(1, min(8, n_out // 4)), 0, -1) if n_out % g == 0)
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False),
        nn.GroupNorm(groups, n_out),
        nn.LeakyReLU(0.2),
    )


class UNet(nn.Module):
    """Encoder–decoder with skips: ``depth`` halvings of the resolution, then ``climbs`` doublings.

    Channels double downwards from ``width`` to ``4 * width``; the output is linear.
    """

    def __init__(self, *, n_in: int, n_out: int, width: int, depth: int, climbs: int) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError("images must be 8 px or larger")
        widths = [min(width * 2**level, 4 * width) for level in range(depth)]
        self.down = nn.ModuleList()
        for level, w in enumerate(widths):
            before = widths[level - 1] if level else n_in
            self.down.append(nn.Sequential(conv_block(before, w, stride=2), conv_block(w, w)))
        self.up = nn.ModuleList()
        current = widths[-1]
        for climb in range(climbs):
            level = depth - 2 - climb
            skip = widths[level] if level >= 0 else 0
            w = widths[max(level, 0)]
            self.up.append(conv_block(current + skip, w))
            current = w
        self.head = nn.Conv2d(current, n_out, 3, 1, 1)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b k h w"]:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            if skips:
                x = torch.cat([x, skips.pop()], dim=1)
            x = block(x)
        return self.head(x)


def halvings(from_size: int, to_size: int) -> int:
    """How many halvings lead from one image side to another."""
    steps = (from_size // to_size).bit_length() - 1 if to_size else 0
    if steps < 0 or to_size * 2**steps != from_size:
        raise ValueError(
            f"a side of {to_size} px cannot be reached from {from_size} px by halving; choose "
            "sizes that are powers of two apart"
        )
    return steps


class SkeletonEncoder(nn.Module):
    """Φ: picture (b, 3, H, W) in [−1, 1] → skeleton image (b, K, h, h) in (0, 1).

    An encoder–decoder after Jakab et al. 2020; H / h is a power of two.
    """

    def __init__(
        self, *, image_size: int, skeleton_size: int, channels: int, width: int = 32
    ) -> None:
        super().__init__()
        depth = halvings(image_size, 4)
        climbs = depth - halvings(image_size, skeleton_size)
        self.net = UNet(n_in=3, n_out=channels, width=width, depth=depth, climbs=climbs)
        # Skeleton images are mostly black: start there, so that the first game is about limbs.
        nn.init.constant_(self.net.head.bias, -2.0)  # type: ignore[arg-type]

    def forward(self, image: Float[Tensor, "b 3 H H"]) -> Float[Tensor, "b K h h"]:
        return torch.sigmoid(self.net(image))


def soft_argmax(logits: Float[Tensor, "*b h h2"]) -> Float[Tensor, "*b 2"]:
    """Expected (x, y) of the softmax over a map, in [0, 1] image coordinates.

    >>> peak = torch.full((4, 4), -1e4); peak[1, 3] = 0.0
    >>> soft_argmax(peak)
    tensor([0.8750, 0.3750])
    """
    weights = logits.flatten(-2).softmax(dim=-1)
    return weights @ pixel_centres(logits.shape[-1], logits)


class PoseRegressor(nn.Module):
    """Ω: skeleton image (b, K, h, h) → 2D joints (b, J, 2) in [0, 1] image coordinates.

    One heat map a joint, read by a soft-argmax, so that a shifted skeleton gives a shifted pose.
    """

    def __init__(
        self, *, skeleton_size: int, channels: int, n_joints: int, width: int = 24
    ) -> None:
        super().__init__()
        depth = halvings(skeleton_size, 4)
        self.net = UNet(n_in=channels, n_out=n_joints, width=width, depth=depth, climbs=depth - 1)

    def forward(self, skeleton_image: Float[Tensor, "b K h h"]) -> Float[Tensor, "b J 2"]:
        return soft_argmax(self.net(2 * skeleton_image - 1))


class ResidualBlock(nn.Module):
    """Two linear layers with a shortcut, after Martinez et al. 2017 (without batch norm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "*b w"]) -> Float[Tensor, "*b w"]:
        hidden = functional.leaky_relu(self.first(x), 0.01)
        return x + functional.leaky_relu(self.second(hidden), 0.01)


class Lifter(nn.Module):
    """Λ: 2D pose (b, J, 2) on the normalised plane → depth offsets d (b, J), elevation α (b).

    Two residual branches over a shared first layer, as in ElePose. Offsets are relative to the
    root's, whose offset is zero, so the root lies at depth Δ. Radians; α > 0 looks down.
    """

    def __init__(self, *, n_joints: int, root: int, width: int = 256, n_blocks: int = 2) -> None:
        super().__init__()
        self.root = root
        self.stem = nn.Linear(2 * n_joints, width)
        self.depth_branch = nn.Sequential(*(ResidualBlock(width) for _ in range(n_blocks)))
        self.elevation_branch = nn.Sequential(*(ResidualBlock(width) for _ in range(n_blocks)))
        self.depth_head = nn.Linear(width, n_joints)
        self.elevation_head = nn.Linear(width, 1)
        # Start flat and level: the first cycles then see small, unbiased depths.
        for head in (self.depth_head, self.elevation_head):
            nn.init.normal_(head.weight, std=1e-2)
            nn.init.zeros_(head.bias)

    def forward(self, pose: Float[Tensor, "*b J 2"]) -> tuple[Tensor, Tensor]:
        # The plane's coordinates are about a tenth of a unit: bring them to order one.
        x = functional.leaky_relu(self.stem(10 * pose.flatten(-2)), 0.01)
        depth = self.depth_head(self.depth_branch(x))
        elevation = self.elevation_head(self.elevation_branch(x))[..., 0]
        return depth - depth[..., self.root : self.root + 1], elevation


class Discriminator(nn.Module):
    """D: skeleton image (b, K, h, h) → logit (b), high for drawings of real 2D poses.

    It also sees the standard deviation over the batch (Karras et al. 2018), so that a batch of
    equal skeletons gives itself away.
    """

    def __init__(self, *, skeleton_size: int, channels: int, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = channels
        for level in range(halvings(skeleton_size, 4)):
            n_out = min(width * 2**level, 4 * width)
            layers += [nn.Conv2d(n_in, n_out, 4, 2, 1), nn.LeakyReLU(0.2)]
            n_in = n_out
        self.features = nn.Sequential(*layers)
        self.mix = nn.Conv2d(n_in + 1, n_in, 3, 1, 1)
        self.head = nn.Linear(16 * n_in, 1)

    def forward(self, skeleton_image: Float[Tensor, "b K h h"]) -> Float[Tensor, " b"]:
        x = self.features(2 * skeleton_image - 1)
        spread = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)
        x = functional.leaky_relu(self.mix(x), 0.2)
        return self.head(x.flatten(1))[:, 0]
