"""Four-legged animals as the drawing needs them: barrel, legs, head with muzzle and ears, coat."""

from dataclasses import dataclass

import torch

from jaxtyping import Float
from torch import Tensor
from selfpose.bodies import QUADRUPED
from selfpose.synthetic.cones import Looks, Model, Part, Surface, frame_axes, hsv_to_rgb
from selfpose.synthetic.quadrupeds import ANIMAL_POINTS

_FRAMES = ("", "trunk", "head")


def _sides(side: str) -> tuple[Part, ...]:
    front, hind = f"{side}_front", f"{side}_hind"

    def part(
        name: str, start: str, end: str, radii: tuple[float, float], *, whole: float = 1.0
    ) -> Part:
        first = ((start, whole), (end, 1 - whole)) if whole < 1 else ((start, 1.0),)
        return Part(name=f"{side}_{name}", start=first, end=((end, 1.0),), radii=radii)

    return (
        part("shoulder", "chest", f"{front}_elbow", (78.0, 56.0), whole=0.7),
        part("forearm", f"{front}_elbow", f"{front}_wrist", (52.0, 33.0)),
        part("front_cannon", f"{front}_wrist", f"{front}_paw", (32.0, 28.0)),
        Part(
            name=f"{side}_front_foot",
            start=((f"{front}_paw", 1.0),),
            end=((f"{front}_paw", 1.12), (f"{front}_wrist", -0.12)),
            radii=(29.0, 36.0),
        ),
        part("thigh", "rump", f"{hind}_knee", (98.0, 62.0), whole=0.72),
        part("shin", f"{hind}_knee", f"{hind}_hock", (60.0, 33.0)),
        part("hind_cannon", f"{hind}_hock", f"{hind}_paw", (33.0, 28.0)),
        Part(
            name=f"{side}_hind_foot",
            start=((f"{hind}_paw", 1.0),),
            end=((f"{hind}_paw", 1.1), (f"{hind}_hock", -0.1)),
            radii=(29.0, 36.0),
        ),
        Part(
            name=f"{side}_ear",
            start=(("poll", 0.7), (f"{side}_ear", 0.3)),
            end=((f"{side}_ear", 1.0),),
            radii=(24.0, 9.0),
        ),
    )


_PARTS: tuple[Part, ...] = (
    Part(
        name="fore_barrel",
        start=(("chest", 0.85), ("withers", 0.15)),
        end=(("belly", 0.9), ("spine", 0.1)),
        radii=(128.0, 126.0),
        frame="trunk",
        width=0.84,
    ),
    Part(
        name="hind_barrel",
        start=(("rump", 0.9), ("pelvis", 0.1)),
        end=(("belly", 0.9), ("spine", 0.1)),
        radii=(108.0, 126.0),
        frame="trunk",
        width=0.86,
    ),
    Part(
        name="lower_neck",
        start=(("withers", 0.55), ("chest", 0.45)),
        end=(("neck", 1.0),),
        radii=(98.0, 70.0),
    ),
    Part(name="upper_neck", start=(("neck", 1.0),), end=(("head", 1.0),), radii=(70.0, 58.0)),
    Part(
        name="skull",
        start=(("head", 0.92), ("nose", 0.08)),
        end=(("head", 0.55), ("nose", 0.45)),
        radii=(68.0, 54.0),
        frame="head",
        width=0.9,
    ),
    Part(
        name="muzzle",
        start=(("head", 0.5), ("nose", 0.5)),
        end=(("nose", 0.96), ("head", 0.04)),
        radii=(46.0, 34.0),
        frame="head",
        width=0.9,
    ),
    Part(
        name="nose",
        start=(("nose", 1.04), ("head", -0.04)),
        end=(("nose", 1.1), ("head", -0.1)),
        radii=(28.0, 22.0),
    ),
    Part(
        name="tail_near",
        start=(("tail_root", 1.0),),
        end=(("tail_root", 0.5), ("tail", 0.5)),
        radii=(30.0, 28.0),
    ),
    Part(
        name="tail_far",
        start=(("tail_root", 0.5), ("tail", 0.5)),
        end=(("tail", 1.02), ("tail_root", -0.02)),
        radii=(28.0, 23.0),
    ),
    *_sides("left"),
    *_sides("right"),
)


@dataclass(frozen=True, kw_only=True)
class Coats(Looks):
    """How n animals look: the coat's inner colour, the outer one where it is marked.

    Parameters
    ----------
    belly
        (n,) how far the light belly comes up, as the cosine of the angle from straight down;
        above 1: not at all.
    patches
        (n, 3) of the trunk: how many along it, their phase, and how much of it they cover (below
        −1: none).
    """

    belly: Float[Tensor, " n"]
    patches: Float[Tensor, "n 3"]


def _axes(points: Tensor) -> Tensor:
    def at(name: str) -> Tensor:
        return points[:, ANIMAL_POINTS.index(name)]

    trunk = at("withers") - at("pelvis")
    down = at("belly") - at("spine")
    trunk = frame_axes(torch.linalg.cross(down, trunk), down)
    ahead = at("nose") - at("head")
    right = at("right_ear") - at("left_ear")
    head = frame_axes(right, torch.linalg.cross(ahead, right))
    camera = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    return torch.stack([camera, trunk, head], dim=1)


def _paint(coats: Coats, at: Surface) -> Tensor:
    """Marked beyond the split; on the trunk a light belly and patches, alike on both sides."""
    trunk = torch.tensor([part.frame == "trunk" for part in _PARTS], device=at.part.device)
    trunk = trunk[at.part]
    hind = (at.part == 1).float()
    number, phase, cover = at.scene(coats.patches).unbind(-1)
    # One pattern runs from the chest over the seam of the two barrels to the rump.
    place = 0.5 + (0.5 - hind) * (at.along - 1)
    wave = torch.sin(number * place * 6.28 + phase + 1.5 * at.down) + 0.5 * torch.sin(
        2.3 * number * place * 6.28 + 2 * phase - 2.5 * at.down
    )
    marked = torch.where(trunk, wave < cover, at.along > at.of(coats.split))
    marked = marked | (trunk & (at.down > at.scene(coats.belly)))
    return torch.where(marked[:, None], at.of(coats.outer), at.of(coats.inner))


def sample_coats(n: int, *, seed: int) -> Coats:
    """Draw n animals' coats and girth, alike on both sides; the same seed gives the same."""
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    def chance(p: float) -> Tensor:
        return torch.rand(n, generator=g) < p

    coat = hsv_to_rgb(uniform(0.03, 0.12), uniform(0.25, 0.8), uniform(0.12, 0.9))
    grey = uniform(0.12, 0.95)[:, None].expand(n, 3)
    coat = torch.where(chance(0.25)[:, None], grey, coat)
    cream = hsv_to_rgb(uniform(0.08, 0.13), uniform(0.02, 0.3), uniform(0.85, 1.0))
    black = hsv_to_rgb(uniform(0.03, 0.1), uniform(0.1, 0.5), uniform(0.04, 0.15))
    dark_marks = (coat.mean(dim=-1) > 0.55) | chance(0.2)
    mark = torch.where(dark_marks[:, None], black, cream)
    mane = torch.where(chance(0.5)[:, None], black, coat * 0.6)
    socks = torch.where(chance(0.45), uniform(0.2, 0.9), torch.full((n,), 2.0))
    blaze = torch.where(chance(0.5), uniform(0.2, 0.8), torch.full((n,), 2.0))
    girth = (0.08 * torch.randn(n, generator=g).clamp(-1.5, 2)).exp()
    belly = girth * (0.05 * torch.randn(n, generator=g).clamp(-1.5, 2)).exp()
    inner, outer, split, build = [], [], [], []
    never = torch.full((n,), 2.0)
    for part in _PARTS:
        kind = part.name.removeprefix("left_").removeprefix("right_")
        dark = kind in ("nose", "front_foot", "hind_foot")
        hair = kind in ("tail_near", "tail_far")
        inner.append(black if dark else mane if hair else coat * 0.8 if kind == "ear" else coat)
        outer.append(black if dark else mark)
        ends = {"front_cannon": socks, "hind_cannon": socks, "muzzle": blaze}
        ends |= {"tail_far": blaze + 0.2, "lower_neck": never}
        split.append(ends.get(kind, never))
        build.append(belly if part.frame == "trunk" else girth)
    patches = torch.stack([uniform(0.8, 2.2), uniform(0.0, 6.28), uniform(-0.9, 0.5)], dim=-1)
    patches[:, 2] = torch.where(chance(0.5), patches[:, 2], -5.0)
    return Coats(
        inner=torch.stack(inner, dim=1).clamp(0, 1),
        outer=torch.stack(outer, dim=1).clamp(0, 1),
        split=torch.stack(split, dim=1),
        build=torch.stack(build, dim=1),
        belly=torch.where(chance(0.5) & ~dark_marks, uniform(0.35, 0.75), never),
        patches=patches,
    )


ANIMAL = Model(
    skeleton=QUADRUPED,
    points=ANIMAL_POINTS,
    parts=_PARTS,
    frames=_FRAMES,
    axes=_axes,
    paint=_paint,
    sample_looks=sample_coats,
    reference_mm=430.0,
    centre=("withers", "withers", "pelvis"),
    aim=("withers", "spine", "left_front_paw", "right_front_paw", "head"),
)

__all__ = ["ANIMAL", "Coats", "sample_coats"]
