"""Desk lamps as the drawing needs them: a disc for a foot, two arms, a counterweight, a shade."""

import torch

from torch import Tensor
from selfpose.bodies import MACHINE
from selfpose.synthetic.cones import Looks, Model, Part, Surface, frame_axes, hsv_to_rgb
from selfpose.synthetic.machines import LAMP_POINTS

_FRAMES = ("", "foot")


def _ball(name: str, point: str, radius: float) -> Part:
    return Part(name=name, start=((point, 1.0),), end=((point, 1.0),), radii=(radius, radius))


_PARTS: tuple[Part, ...] = (
    # The frame's first axis is the vertical: a ball much wider than high.
    Part(
        name="foot",
        start=(("foot", 1.0),),
        end=(("foot", 1.0),),
        radii=(98.0, 98.0),
        frame="foot",
        width=0.24,
    ),
    Part(
        name="knob",
        start=(("knob", 1.0),),
        end=(("knob", 1.06), ("foot", -0.06)),
        radii=(27.0, 25.0),
    ),
    Part(name="stem", start=(("foot", 1.0),), end=(("stem", 1.0),), radii=(38.0, 25.0)),
    Part(name="lower_arm", start=(("stem", 1.0),), end=(("elbow", 1.0),), radii=(19.0, 17.0)),
    _ball("elbow", "elbow", 28.0),
    Part(name="tail", start=(("elbow", 1.0),), end=(("counterweight", 1.0),), radii=(14.0, 14.0)),
    _ball("counterweight", "counterweight", 37.0),
    Part(name="upper_arm", start=(("elbow", 1.0),), end=(("neck", 1.0),), radii=(17.0, 16.0)),
    _ball("neck", "neck", 25.0),
    Part(name="cap", start=(("neck", 0.4), ("cap", 0.6)), end=(("cap", 1.0),), radii=(26.0, 36.0)),
    Part(
        name="shade",
        start=(("cap", 1.0),),
        end=(("cap", 0.18), ("rim", 0.82)),
        radii=(38.0, 84.0),
    ),
    Part(name="bulb", start=(("rim", 1.0),), end=(("bulb", 1.0),), radii=(77.0, 76.0)),
)
_PLAIN_METAL = ("elbow", "neck", "counterweight", "tail")


def _axes(points: Tensor) -> Tensor:
    def at(name: str) -> Tensor:
        return points[:, LAMP_POINTS.index(name)]

    camera = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    foot = frame_axes(at("stem") - at("foot"), at("knob") - at("foot"))
    return torch.stack([camera, foot], dim=1)


def _paint(looks: Looks, at: Surface) -> Tensor:
    """The inner colour up to the split, the outer one beyond."""
    inner = at.along < at.of(looks.split)
    return torch.where(inner[:, None], at.of(looks.inner), at.of(looks.outer))


def sample_lamp_looks(n: int, *, seed: int) -> Looks:
    """Draw n lamps' paint, metal, light and thickness; the same seed gives the same lamps."""
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    def chance(p: float) -> Tensor:
        return torch.rand(n, 1, generator=g) < p

    paint = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.45, 0.95), uniform(0.3, 0.95))
    enamel = uniform(0.1, 0.95, 1).expand(n, 3)
    paint = torch.where(chance(0.25), enamel, paint)
    metal = hsv_to_rgb(uniform(0.05, 0.65), uniform(0.0, 0.12), uniform(0.3, 0.8))
    dark = metal * uniform(0.3, 0.6, 1)
    second = torch.where(chance(0.5), paint, metal)
    knob = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.5, 1.0), uniform(0.6, 1.0))
    # The light is warm or cold, and brighter than anything painted.
    glow = torch.lerp(
        torch.tensor([1.0, 0.9, 0.6]), torch.tensor([0.95, 0.98, 1.0]), uniform(0.0, 1.0, 1)
    )
    band = torch.where(chance(0.4)[:, 0], uniform(0.6, 0.85), torch.full((n,), 2.0))
    girth = (0.1 * torch.randn(n, generator=g).clamp(-1.5, 2)).exp()
    named = {"bulb": 1.45 * glow, "knob": knob, "shade": paint, "cap": paint, "foot": paint}
    named |= dict.fromkeys(_PLAIN_METAL, dark)
    inner = [named.get(part.name, second) for part in _PARTS]
    outer = [second if part.name == "shade" else named.get(part.name, second) for part in _PARTS]
    split = [band if part.name == "shade" else torch.full((n,), 2.0) for part in _PARTS]
    return Looks(
        inner=torch.stack(inner, dim=1),
        outer=torch.stack(outer, dim=1),
        split=torch.stack(split, dim=1),
        build=girth[:, None].expand(n, len(_PARTS)).clone(),
    )


LAMP = Model(
    skeleton=MACHINE,
    points=LAMP_POINTS,
    parts=_PARTS,
    frames=_FRAMES,
    axes=_axes,
    paint=_paint,
    sample_looks=sample_lamp_looks,
    reference_mm=280.0,
    centre=("foot", "foot", "neck"),
    aim=("foot", "elbow", "neck"),
)

__all__ = ["LAMP", "sample_lamp_looks"]
