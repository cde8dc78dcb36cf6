"""People as the drawing needs them: their parts, clothes, skin and hair.

A figure is some twenty rounded cones drawn from 22 points, those of the trunk and head flattened;
:mod:`selfpose.synthetic.cones` draws them.
"""

from dataclasses import dataclass
from typing import Any

import torch

from jaxtyping import Float, UInt8
from torch import Tensor
from selfpose.synthetic.cones import (
    Light,
    Looks,
    Model,
    Part,
    Surface,
    draw_bodies,
    frame_axes,
    hsv_to_rgb,
    sample_lights,
)
from selfpose.data.points import FIGURE_POINTS
from selfpose.skeleton import HUMAN_17


def _limbs() -> tuple[Part, ...]:
    parts: list[Part] = []
    for side in ("left", "right"):
        shoulder, elbow, wrist, hand, hip, knee, ankle, toe = (
            f"{side}_{name}"
            for name in ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "toe")
        )
        parts += [
            Part(
                name=f"{side}_collar",
                start=(("thorax", 0.85), ("spine", 0.15)),
                end=((shoulder, 0.92), ("spine", 0.08)),
                radii=(68.0, 58.0),
            ),
            Part(
                name=f"{side}_upper_arm",
                start=((shoulder, 1.0),),
                end=((elbow, 1.0),),
                radii=(56.0, 41.0),
            ),
            Part(
                name=f"{side}_forearm",
                start=((elbow, 1.0),),
                end=((wrist, 1.0),),
                radii=(41.0, 29.0),
            ),
            Part(
                name=f"{side}_hand",
                start=((wrist, 0.85), (hand, 0.15)),
                end=((hand, 0.85), (wrist, 0.15)),
                radii=(36.0, 27.0),
            ),
            Part(
                name=f"{side}_thigh",
                start=((hip, 0.9), ("hip", 0.1)),
                end=((knee, 1.0),),
                radii=(92.0, 58.0),
            ),
            Part(
                name=f"{side}_shin", start=((knee, 1.0),), end=((ankle, 1.0),), radii=(58.0, 40.0)
            ),
            Part(
                name=f"{side}_foot",
                start=((ankle, 1.12), (toe, -0.12)),
                end=((toe, 0.92), (ankle, 0.08)),
                radii=(46.0, 32.0),
            ),
        ]
    return tuple(parts)


PARTS: tuple[Part, ...] = (
    Part(
        name="pelvis",
        start=(("hip", 1.05), ("spine", -0.05)),
        end=(("spine", 0.9), ("hip", 0.1)),
        radii=(112.0, 98.0),
        frame="pelvis",
        width=1.5,
    ),
    Part(
        name="chest",
        start=(("spine", 1.0),),
        end=(("thorax", 0.72), ("spine", 0.28)),
        radii=(98.0, 112.0),
        frame="chest",
        width=1.5,
    ),
    Part(name="neck", start=(("thorax", 1.0),), end=(("neck", 1.0),), radii=(58.0, 52.0)),
    Part(
        name="head",
        start=(("neck", 1.0),),
        end=(("neck", 0.12), ("head", 0.88)),
        radii=(78.0, 96.0),
        frame="head",
        width=0.84,
    ),
    Part(
        name="nose",
        start=(("nose", 0.85), ("head", 0.15)),
        end=(("nose", 1.0),),
        radii=(12.0, 18.0),
    ),
    *_limbs(),
)
PART_NAMES = tuple(part.name for part in PARTS)
FRAMES = ("", "pelvis", "chest", "head")


@dataclass(frozen=True, kw_only=True)
class Appearance(Looks):
    """How n people look; colours are RGB in [0, 1].

    Parameters
    ----------
    inner, outer
        (n, parts, 3) the two colours of each part: towards its start and its end for limbs, front
        and back for the trunk, face and hair for the head.
    split
        (n, parts) where along a limb the inner colour gives way (above 1: nowhere).
    front_width
        (n,) half-width of the mark on the shirt's front, as the sine of the angle from straight
        ahead; 0 for none.
    hairline
        (n,) how far the hair comes forward.
    stripes
        (n,) contrast of the horizontal stripes of the shirt, 0 for none.
    build
        (n, parts) factor on the radii of each part.
    """

    front_width: Float[Tensor, " n"]
    hairline: Float[Tensor, " n"]
    stripes: Float[Tensor, " n"]


def sample_appearance(n: int, *, seed: int) -> Appearance:
    """Draw n people's clothes, hair, skin and build; the same seed gives the same people."""
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    def chance(p: float) -> Tensor:
        return torch.rand(n, generator=g) < p

    tone = uniform(0.0, 1.0)
    pale, dark = torch.tensor([0.93, 0.76, 0.66]), torch.tensor([0.38, 0.24, 0.17])
    skin = torch.lerp(pale, dark, tone[:, None] ** 1.3) + uniform(-0.03, 0.03, 3)
    hair = hsv_to_rgb(uniform(0.03, 0.13), uniform(0.3, 0.8), uniform(0.06, 0.5) ** 1.2)
    grey = chance(0.15)
    hair = torch.where(grey[:, None], uniform(0.35, 0.85)[:, None].expand(n, 3), hair)
    shirt = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.05, 0.85), uniform(0.25, 0.95))
    # The mark on the front must stand out: another hue, and darker on light shirts.
    front_value = torch.where(shirt.mean(-1) > 0.5, uniform(0.08, 0.35), uniform(0.75, 1.0))
    front = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.0, 0.8), front_value)
    # Of the shirt's front: plain, a wide panel, a stripe, or all of another colour.
    kind = torch.multinomial(torch.tensor([0.15, 0.35, 0.3, 0.2]), n, True, generator=g)
    front_width = torch.where(kind == 1, uniform(0.55, 0.8), uniform(0.2, 0.4))
    front_width = torch.where(kind == 0, torch.zeros(n), front_width)
    front_width = torch.where(kind == 3, torch.full((n,), 1.5), front_width)
    denim = hsv_to_rgb(uniform(0.55, 0.68), uniform(0.2, 0.7), uniform(0.12, 0.5))
    cloth = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.0, 0.7), uniform(0.1, 0.75))
    trousers = torch.where(chance(0.5)[:, None], denim, cloth)
    shoes = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.0, 0.5), uniform(0.05, 0.9))
    # Where sleeves and trouser legs end, in bones from the trunk.
    sleeve = torch.where(chance(0.45), uniform(0.35, 0.9), uniform(1.75, 2.2))
    leg = torch.where(chance(0.25), uniform(0.75, 1.1), torch.full((n,), 2.2))
    girth = (0.1 * torch.randn(n, generator=g).clamp(-1.6, 2)).exp()
    belly = girth * (0.07 * torch.randn(n, generator=g).clamp(-1.5, 2)).exp()

    colour = {"pelvis": (trousers, shirt), "chest": (front, shirt), "neck": (skin, skin)}
    colour |= {"head": (skin, hair), "nose": (skin, skin)}
    limb = {"collar": (shirt, shirt), "upper_arm": (shirt, skin), "forearm": (shirt, skin)}
    limb |= {"hand": (skin, skin), "thigh": (trousers, skin), "shin": (trousers, skin)}
    limb |= {"foot": (shoes, shoes)}
    ends = {"upper_arm": sleeve, "forearm": sleeve - 1, "thigh": leg, "shin": leg - 1}
    ends |= {"pelvis": uniform(0.25, 0.8)}
    inner, outer, split, build = [], [], [], []
    for name in PART_NAMES:
        kind_of = name.removeprefix("left_").removeprefix("right_")
        a, b = colour[name] if name in colour else limb[kind_of]
        inner.append(a)
        outer.append(b)
        split.append(ends.get(kind_of, torch.full((n,), 2.0)))
        bony = kind_of in ("head", "nose", "hand", "foot", "neck")
        build.append(torch.ones(n) if bony else belly if name in ("pelvis", "chest") else girth)
    return Appearance(
        inner=torch.stack(inner, dim=1).clamp(0, 1),
        outer=torch.stack(outer, dim=1).clamp(0, 1),
        split=torch.stack(split, dim=1),
        front_width=front_width,
        hairline=uniform(-0.1, 0.25),
        stripes=torch.where(chance(0.25), uniform(0.15, 0.5), torch.zeros(n)),
        build=torch.stack(build, dim=1),
    )


def _axes(points: Tensor) -> Tensor:
    """Right, down and forward axes of pelvis, chest and head: (B, 4, 3, 3), rows are axes.

    The first of the four is the camera's own frame, for the parts that have none.
    """

    def at(name: str) -> Tensor:
        return points[:, FIGURE_POINTS.index(name)]

    pelvis = frame_axes(at("right_hip") - at("left_hip"), at("hip") - at("spine"))
    chest = frame_axes(at("right_shoulder") - at("left_shoulder"), at("spine") - at("thorax"))
    down = at("neck") - at("head")
    head = frame_axes(torch.linalg.cross(down, at("nose") - at("neck")), down)
    camera = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    return torch.stack([camera, pelvis, chest, head], dim=1)


def _paint(appearance: Appearance, at: Surface) -> Tensor:
    """Which of a part's two colours shows: along a limb, around the trunk, face against hair."""
    frame = torch.tensor([FRAMES.index(part.frame) for part in PARTS], device=at.part.device)
    frame = frame[at.part]
    inner = at.along < at.of(appearance.split)
    chest = (at.forward > 0.05) & (at.right.abs() < at.scene(appearance.front_width))
    face = at.forward + 0.35 * at.down - at.scene(appearance.hairline) > 0.05 * (at.along > 0.6)
    inner = torch.where(frame == FRAMES.index("chest"), chest, inner)
    inner = torch.where(frame == FRAMES.index("head"), face, inner)
    colour = torch.where(inner[:, None], at.of(appearance.inner), at.of(appearance.outer))
    band = (torch.sin(at.along * 26.0) > 0).float() * at.scene(appearance.stripes)
    striped = (frame == FRAMES.index("chest")) & ~chest
    return colour * (1 - band * striped)[:, None]


HUMAN = Model(
    skeleton=HUMAN_17,
    points=FIGURE_POINTS,
    parts=PARTS,
    frames=FRAMES,
    axes=_axes,
    paint=_paint,
    sample_looks=sample_appearance,
    reference_mm=700.0,
    centre=("hip",),
    aim=("hip",),
)


def draw_figures(
    points: Float[Tensor, "B 22 3"], *, appearance: Appearance, **scene: Any
) -> tuple[UInt8[Tensor, "B 3 S S"], Float[Tensor, "B S S"]]:
    """Draw people: :func:`selfpose.synthetic.cones.draw_bodies` of ``HUMAN``, with its arguments.

    Parameters
    ----------
    points
        ``FIGURE_POINTS`` in mm, camera frame, z > 0.
    appearance
        One entry for each picture (see its ``select``).
    """
    return draw_bodies(points, model=HUMAN, looks=appearance, **scene)


def measure_speed(*, image_size: int = 64, n: int = 1024, **options: Any) -> float:
    """Pictures drawn a second, for ``make bench``: ``n`` moving people on plain backgrounds."""
    import time

    from selfpose.synthetic.motion import sample_motion

    points = sample_motion(n_clips=n // 16, n_frames=16, seed=0).points.flatten(0, 1)
    points = points - points[:, :1] + torch.tensor([0.0, 0.0, 7000.0])
    n = len(points)
    scene: dict[str, Any] = {
        "appearance": sample_appearance(n, seed=0),
        "light": sample_lights(n, seed=0),
        "focal_px": torch.full((n,), 2.2 * image_size),
        "principal": torch.full((n, 2), image_size / 2),
        "backgrounds": torch.full((1, 3, image_size, image_size), 128, dtype=torch.uint8),
    }
    draw_figures(points, **scene, **options)
    begin = time.perf_counter()
    draw_figures(points, **scene, **options)
    return n / (time.perf_counter() - begin)


__all__ = [
    "HUMAN",
    "PARTS",
    "PART_NAMES",
    "Appearance",
    "Light",
    "Part",
    "draw_figures",
    "hsv_to_rgb",
    "measure_speed",
    "sample_appearance",
    "sample_lights",
]
