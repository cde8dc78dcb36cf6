"""Hands as the drawing needs them: skin, a lighter palm, nails, a cuff."""

import torch

from torch import Tensor
from selfpose.bodies import FINGERS, HAND_21
from selfpose.synthetic.cones import Looks, Model, Part, Surface, frame_axes, hsv_to_rgb
from selfpose.synthetic.hands import HAND_POINTS

_FRAMES = ("", "palm")


def _finger_parts(finger: str) -> tuple[Part, ...]:
    base, second, third, tip = (f"{finger}_{k}" for k in (1, 2, 3, 4))
    thumb = finger == "thumb"
    thick = {"thumb": 1.15, "little": 0.86}.get(finger, 1.0)
    r = [thick * radius for radius in ((15.0, 11.0, 9.5, 8.0) if thumb else (10.0, 8.8, 7.8, 6.6))]
    root = Part(
        name=f"{finger}_metacarpal",
        start=(("wrist", 1.0),) if thumb else (("wrist", 0.75), (base, 0.25)),
        end=((base, 1.0),),
        radii=(15.0, 15.0) if thumb else (13.0, 11.5),
        frame="palm",
    )
    return (
        root,
        Part(name=f"{finger}_near", start=((base, 1.0),), end=((second, 1.0),), radii=(r[0], r[1])),
        Part(name=f"{finger}_mid", start=((second, 1.0),), end=((third, 1.0),), radii=(r[1], r[2])),
        Part(
            name=f"{finger}_far",
            start=((third, 1.0),),
            end=((tip, 0.92), (third, 0.08)),
            radii=(r[2], r[3]),
        ),
        Part(
            name=f"{finger}_nail",
            start=((f"{finger}_nail", 1.0),),
            end=((f"{finger}_nail", 0.7), (tip, 0.3)),
            radii=(4.4 * thick, 4.4 * thick),
        ),
    )


_PARTS: tuple[Part, ...] = (
    Part(
        name="cuff",
        start=(("cuff", 0.75), ("wrist", 0.25)),
        end=(("cuff", 1.0),),
        radii=(26.0, 28.0),
        frame="palm",
        width=1.2,
    ),
    Part(
        name="forearm",
        start=(("wrist", 1.0),),
        end=(("cuff", 0.8), ("wrist", 0.2)),
        radii=(19.0, 21.0),
        frame="palm",
        width=1.3,
    ),
    Part(
        name="palm",
        start=(("wrist", 0.75), ("middle_1", 0.15), ("ring_1", 0.1)),
        end=(("middle_1", 0.55), ("ring_1", 0.25), ("wrist", 0.2)),
        radii=(14.0, 14.5),
        frame="palm",
        width=2.3,
    ),
    Part(
        name="web",
        start=(("thumb_2", 0.8), ("index_1", 0.2)),
        end=(("index_1", 0.75), ("wrist", 0.25)),
        radii=(9.0, 10.0),
        frame="palm",
    ),
    *(part for finger in FINGERS for part in _finger_parts(finger)),
)


def _axes(points: Tensor) -> Tensor:
    def at(name: str) -> Tensor:
        return points[:, HAND_POINTS.index(name)]

    palm = frame_axes(at("index_1") - at("little_1"), at("wrist") - at("middle_1"))
    camera = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    return torch.stack([camera, palm], dim=1)


def _paint(looks: Looks, at: Surface) -> Tensor:
    """The inner colour on the palm's side, the outer one on the back and beyond the split."""
    framed = torch.tensor([bool(part.frame) for part in _PARTS], device=at.part.device)[at.part]
    inner = torch.where(framed, at.forward < -0.1, at.along < at.of(looks.split))
    return torch.where(inner[:, None], at.of(looks.inner), at.of(looks.outer))


def sample_hand_looks(n: int, *, seed: int) -> Looks:
    """Draw n hands' skin, nails, sleeve and thickness; the same seed gives the same hands."""
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=g)

    tone = uniform(0.0, 1.0, 1)
    pale, dark = torch.tensor([0.95, 0.76, 0.65]), torch.tensor([0.38, 0.24, 0.17])
    back = torch.lerp(pale, dark, tone**1.3) + uniform(-0.03, 0.03, 3)
    # Palms differ less than backs do.
    palm = torch.lerp(back, torch.tensor([0.93, 0.72, 0.62]), 0.15 + 0.35 * tone)
    nail = torch.lerp(back, torch.tensor([0.98, 0.82, 0.8]), 0.55)
    painted = hsv_to_rgb(uniform(0.85, 1.1) % 1, uniform(0.5, 0.95), uniform(0.35, 0.95))
    nail = torch.where(uniform(0.0, 1.0, 1) < 0.25, painted, nail)
    sleeve = hsv_to_rgb(uniform(0.0, 1.0), uniform(0.1, 0.85), uniform(0.15, 0.95))
    girth = (0.08 * torch.randn(n, generator=g).clamp(-1.5, 2)).exp()
    inner, outer = [], []
    for part in _PARTS:
        nails, cuff = part.name.endswith("nail"), part.name == "cuff"
        inner.append(nail if nails else sleeve if cuff else palm if part.frame else back)
        outer.append(nail if nails else sleeve if cuff else back)
    return Looks(
        inner=torch.stack(inner, dim=1).clamp(0, 1),
        outer=torch.stack(outer, dim=1).clamp(0, 1),
        split=torch.full((n, len(_PARTS)), 2.0),
        build=girth[:, None].expand(n, len(_PARTS)).clone(),
    )


HAND = Model(
    skeleton=HAND_21,
    points=HAND_POINTS,
    parts=_PARTS,
    frames=_FRAMES,
    axes=_axes,
    paint=_paint,
    sample_looks=sample_hand_looks,
    reference_mm=86.0,
    centre=("wrist", "middle_1", "middle_1"),
    aim=("middle_1", "middle_1", "index_2"),
)

__all__ = ["HAND", "sample_hand_looks"]
