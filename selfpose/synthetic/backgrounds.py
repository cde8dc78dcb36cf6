"""Backgrounds to draw people in front of, from a flat colour to clutter that looks like limbs."""

from typing import Literal, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from selfpose.synthetic.sampling import Sampler, hsv_to_rgb, single_thread

Difficulty = Literal["none", "plain", "structured", "cluttered"]
DIFFICULTIES: tuple[str, ...] = get_args(Difficulty)


class _Painter(Sampler):
    """n square canvases with coordinates in [0, 1], painted on all at once."""

    def __init__(self, n: int, size: int, generator: torch.Generator) -> None:
        super().__init__(generator, n, 1, 1, 1)
        self.n, self.size = n, size
        line = (torch.arange(size) + 0.5) / size
        self.x, self.y = line[None, None, None, :], line[None, None, :, None]
        self.canvas = torch.zeros(n, 3, size, size)

    def colour(self, *, saturation: float = 0.5, low: float = 0.2, high: float = 0.95) -> Tensor:
        hue, sat, value = torch.rand(3, self.n, generator=self.generator)
        rgb = hsv_to_rgb(hue, saturation * sat, low + (high - low) * value)
        return rgb[:, :, None, None]

    def gradient(self) -> Tensor:
        """Two near colours, one passing into the other in a random direction."""
        first = self.colour(saturation=0.4)
        second = (first + 0.3 * (self.colour() - 0.5)).clamp(0, 1)
        angle = self.uniform(0.0, 6.2832)
        ramp = 0.5 + (self.x - 0.5) * angle.cos() + (self.y - 0.5) * angle.sin()
        return first + (second - first) * ramp.clamp(0, 1)

    def mottle(self, cells: int, strength: float) -> Tensor:
        coarse = torch.randn(self.n, 1, cells, cells, generator=self.generator)
        smooth = interpolate(coarse, size=self.size, mode="bilinear", align_corners=False)
        return strength * smooth

    def pattern(self) -> Tensor:
        """Stripes one way or the other, or checks: (n, 1, S, S) of ±1."""
        fx, fy = self.uniform(3.0, 11.0), self.uniform(3.0, 11.0)
        px, py = self.uniform(0.0, 1.0), self.uniform(0.0, 1.0)
        across = torch.sign(torch.sin(6.2832 * (fx * self.x + px)))
        along = torch.sign(torch.sin(6.2832 * (fy * self.y + py)))
        both = across * along
        kind = torch.randint(3, (self.n, 1, 1, 1), generator=self.generator)
        return torch.where(kind == 0, across, torch.where(kind == 1, along, both))

    def paint(self, where: Tensor, colour: Tensor) -> None:
        self.canvas = torch.where(where, colour, self.canvas)

    def box(self, *, largest: float, patterned: float) -> None:
        w, h = self.uniform(0.06, largest), self.uniform(0.06, largest)
        where = ((self.x - self.uniform(0.0, 1.0)).abs() < w / 2) & (
            (self.y - self.uniform(0.0, 1.0)).abs() < h / 2
        )
        contrast = self.uniform(0.05, 0.2) * self.chance(patterned)
        shade = 1 + 0.25 * (self.y - 0.5)
        self.paint(where, self.colour(saturation=0.7) * shade + contrast * self.pattern())

    def disc(self) -> None:
        rx, ry = self.uniform(0.03, 0.15), self.uniform(0.03, 0.15)
        u, v = (self.x - self.uniform(0.0, 1.0)) / rx, (self.y - self.uniform(0.0, 1.0)) / ry
        rho = u * u + v * v
        self.paint(rho < 1, self.colour(saturation=0.8) * (1.1 - 0.4 * rho))

    def bar(self) -> None:
        """A shaded bar about as long and thick as a limb, often of the colour of skin."""
        angle, length = self.uniform(0.0, 3.1416), self.uniform(0.06, 0.2)
        thick = self.uniform(0.012, 0.03)
        u, v = self.x - self.uniform(0.0, 1.0), self.y - self.uniform(0.0, 1.0)
        along, aside = u * angle.cos() + v * angle.sin(), v * angle.cos() - u * angle.sin()
        aside = (along.abs() - length / 2).clamp(min=0).hypot(aside) / thick
        pale, dark = torch.tensor([[0.93, 0.76, 0.66], [0.38, 0.24, 0.17]]).view(2, 1, 3, 1, 1)
        skin = torch.lerp(pale, dark, self.uniform(0.0, 1.0))
        colour = torch.where(self.chance(0.5), skin, self.colour(saturation=0.8))
        self.paint(aside < 1, colour * (1.05 - 0.4 * aside * aside))


@single_thread()
def sample_backgrounds(
    n: int, size: int, *, difficulty: Difficulty, seed: int
) -> UInt8[Tensor, "n 3 S S"]:
    """Draw n backgrounds of ``size`` px.

    ``none``: one flat colour; ``plain``: gradients; ``structured``: walls, floors, boxes, checks
    and stripes; ``cluttered``: many textured shapes, limb-like bars among them.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"unknown difficulty {difficulty!r}; choose from {DIFFICULTIES}")
    p = _Painter(n, size, torch.Generator().manual_seed(seed))
    if difficulty == "none":
        p.canvas = p.colour(saturation=0.4).expand(n, 3, size, size)
    else:
        p.canvas = p.gradient() + p.mottle(4, 0.03)
    if difficulty in ("structured", "cluttered"):
        wall = p.uniform(0.02, 0.1) * p.chance(0.5)
        p.canvas = p.canvas + wall * p.pattern()
        edge = p.uniform(0.55, 0.9) + p.uniform(-0.1, 0.1) * (p.x - 0.5)
        tiles = p.uniform(0.03, 0.14) * p.chance(0.6)
        p.paint(p.y > edge, p.colour(saturation=0.5) * (0.75 + 0.35 * p.y) + tiles * p.pattern())
        for _ in range(4):
            p.box(largest=0.4, patterned=0.4)
    if difficulty == "cluttered":
        for _ in range(5):
            p.box(largest=0.25, patterned=0.7)
            p.disc()
            for _ in range(3):
                p.bar()
        p.canvas = p.canvas + p.mottle(max(size // 3, 4), 0.04)
    return (255 * p.canvas).round().clamp(0, 255).to(torch.uint8)
