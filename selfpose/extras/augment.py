"""The same random changes of view for pictures and for unpaired poses. Ours, not the paper's."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from selfpose.skeleton import Skeleton

TURN_DEG, LOG_SCALE, SHIFT = 10.0, 0.1, 0.05  # the largest; a shift in sides of the picture


@dataclass(frozen=True, kw_only=True)
class ViewChange:
    """For each sample a mirroring, then a turn, a scale and a shift about the picture's middle.

    ``matrix`` (b, 2, 2) and ``shift`` (b, 2) act on coordinates in [0, 1]²; ``mirrored`` (b).
    """

    matrix: Tensor
    shift: Tensor
    mirrored: Tensor

    def move_poses(
        self, pose: Float[Tensor, "b J 2"], skeleton: Skeleton
    ) -> Float[Tensor, "b J 2"]:
        """Where the joints go; a mirrored person's left is then called right."""
        swapped = pose[:, list(skeleton.flip)]
        pose = torch.where(self.mirrored[:, None, None], swapped, pose)
        return (pose - 0.5) @ self.matrix.mT + 0.5 + self.shift[:, None]

    def move_images(self, image: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """The pictures seen the same way; beyond the border its last pixels repeat."""
        inverse = torch.linalg.inv(self.matrix)
        # grid_sample works in [-1, 1]: the middle is 0, and a shift counts double.
        offset = -(inverse @ (2 * self.shift)[..., None])
        theta = torch.cat([inverse, offset], dim=-1)
        grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def draw_view_change(
    n: int, *, generator: torch.Generator, device: torch.device | str = "cpu", mirror: bool = True
) -> ViewChange:
    """Uniform turns, logarithms of scales and shifts, each in ± its largest; half are mirrored."""
    u = (2 * torch.rand(n, 4, generator=generator) - 1).to(device)
    mirrored = (torch.rand(n, generator=generator).to(device) < 0.5) & mirror
    angle, scale = u[:, 0] * math.radians(TURN_DEG), torch.exp(u[:, 1] * LOG_SCALE)
    c, s = scale * angle.cos(), scale * angle.sin()
    sign = torch.where(mirrored, -1.0, 1.0)
    matrix = torch.stack([c * sign, -s, s * sign, c], dim=-1).unflatten(-1, (2, 2))
    return ViewChange(matrix=matrix, shift=u[:, 2:] * SHIFT, mirrored=mirrored)
