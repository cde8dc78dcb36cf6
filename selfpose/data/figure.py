"""Pictures of people: shaded, clothed figures with volume, drawn from 22 points in plain torch.

A figure is some twenty rounded cones (two spheres of different size and all that lies between),
those of the trunk and head flattened. Drawing has two passes. The first finds, part by part and in
a small window around each, which part is nearest to the camera at each pixel; the second shades
only the pixels that a figure covers. Both use the exact solution for a ray and a rounded cone under
weak perspective: every part is projected with its own depth, then met by parallel rays.
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from torch.nn.functional import normalize

from selfpose._typing import Float, Int, Tensor, UInt8
from selfpose.data.points import FIGURE_POINTS
from selfpose.data.threads import single_thread

_EPS = 1e-6
_FINE = 4096  # steps of a colour while samples are added up


@dataclass(frozen=True, kw_only=True)
class Part:
    """A rounded cone between two spots, each a weighted sum of figure points.

    Radii are in mm for a person of average build. ``frame`` names the body part whose axes flatten
    and mark the cone: its sideways half-width is ``width`` times its depth.
    """

    name: str
    start: tuple[tuple[str, float], ...]
    end: tuple[tuple[str, float], ...]
    radii: tuple[float, float]
    frame: str = ""  # "", "pelvis", "chest" or "head"
    width: float = 1.0


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


@cache
def _table(device: str) -> dict[str, Tensor]:
    """The parts as tensors: weights of start and end over the points, radii, frames, widths."""
    start, end = torch.zeros(2, len(PARTS), len(FIGURE_POINTS))
    for k, part in enumerate(PARTS):
        for weights, spots in ((start, part.start), (end, part.end)):
            for name, weight in spots:
                weights[k, FIGURE_POINTS.index(name)] += weight
    return {
        "start": start.to(device),
        "end": end.to(device),
        "radii": torch.tensor([part.radii for part in PARTS], device=device),
        "frame": torch.tensor([FRAMES.index(part.frame) for part in PARTS], device=device),
        "width": torch.tensor([part.width for part in PARTS], device=device),
    }


@dataclass(frozen=True, kw_only=True)
class Appearance:
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

    inner: Float[Tensor, "n parts 3"]
    outer: Float[Tensor, "n parts 3"]
    split: Float[Tensor, "n parts"]
    front_width: Float[Tensor, " n"]
    hairline: Float[Tensor, " n"]
    stripes: Float[Tensor, " n"]
    build: Float[Tensor, "n parts"]

    def __len__(self) -> int:
        return len(self.inner)

    def select(self, index: Int[Tensor, " B"]) -> "Appearance":
        """The people with these numbers, repeats allowed: one for each picture."""
        return Appearance(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: str | torch.device) -> "Appearance":
        """The same on another device."""
        return Appearance(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Light:
    """One distant lamp and an even ambience for each of n scenes.

    Parameters
    ----------
    direction
        (n, 3) unit vectors towards the lamp, camera frame.
    ambient, lamp
        (n, 3) RGB strengths.
    """

    direction: Float[Tensor, "n 3"]
    ambient: Float[Tensor, "n 3"]
    lamp: Float[Tensor, "n 3"]

    def __len__(self) -> int:
        return len(self.direction)

    def select(self, index: Int[Tensor, " B"]) -> "Light":
        """The lights with these numbers."""
        return Light(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: str | torch.device) -> "Light":
        """The same on another device."""
        return Light(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours from hue, saturation and value in [0, 1]: (...,) each → (..., 3).

    >>> hsv_to_rgb(torch.tensor(1 / 3), torch.tensor(1.0), torch.tensor(0.5))
    tensor([0.0000, 0.5000, 0.0000])
    """
    k = (torch.tensor([5.0, 3.0, 1.0]) + 6 * hue[..., None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)


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


def sample_lights(n: int, *, seed: int) -> Light:
    """Draw n lights, from above and rather from the camera's side; seeded."""
    g = torch.Generator().manual_seed(seed)
    across = -1 + 2 * torch.rand(n, generator=g)
    down = -0.3 - 0.7 * torch.rand(n, generator=g)
    away = -0.25 - 0.75 * torch.rand(n, generator=g)
    ambient = 0.5 + 0.25 * torch.rand(n, 1, generator=g)
    tint = 1 + 0.05 * torch.randn(n, 3, generator=g).clamp(-2, 2)
    return Light(
        direction=normalize(torch.stack([across, down, away], dim=-1), dim=-1),
        ambient=(ambient * tint).clamp(0, 1),
        lamp=((1.25 - ambient) * (2 - tint)).clamp(0, 1),
    )


def _axes(points: Tensor) -> Tensor:
    """Right, down and forward axes of pelvis, chest and head: (B, 4, 3, 3), rows are axes.

    The first of the four is the camera's own frame, for the parts that have none.
    """

    def at(name: str) -> Tensor:
        return points[:, FIGURE_POINTS.index(name)]

    def frame(right: Tensor, down: Tensor) -> Tensor:
        down = normalize(down, dim=-1)
        right = normalize(right - (right * down).sum(-1, keepdim=True) * down, dim=-1)
        return torch.stack([right, down, torch.linalg.cross(right, down)], dim=1)

    pelvis = frame(at("right_hip") - at("left_hip"), at("hip") - at("spine"))
    chest = frame(at("right_shoulder") - at("left_shoulder"), at("spine") - at("thorax"))
    down = at("neck") - at("head")
    head = frame(torch.linalg.cross(down, at("nose") - at("neck")), down)
    camera = torch.eye(3, device=points.device).expand(len(points), 3, 3)
    return torch.stack([camera, pelvis, chest, head], dim=1)


def _flattening(right: Tensor, width: Tensor) -> Tensor:
    """Maps (..., 3, 3) that undo a part's flattening and keep the viewing rays along z.

    A part as wide as ``width`` times its depth becomes round when the space is squeezed along its
    ``right`` axis; a rotation then brings the squeezed rays back to z, so that pixels go to pixels.
    """
    squeeze = (1 / width - 1)[..., None, None]
    eye = torch.eye(3, device=right.device)
    m = eye + squeeze * right[..., :, None] * right[..., None, :]
    z = normalize(m[..., :, 2], dim=-1)
    x = eye[0].expand_as(z)
    x = normalize(x - (x * z).sum(-1, keepdim=True) * z, dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-2) @ m


@dataclass(frozen=True)
class _Cones:
    """Parts in pixels, as the passes need them: (B, P, ...)."""

    start: Tensor  # (B, P, 3) px; depth in px too, from the figure's root
    axis: Tensor  # (B, P, 3) from start to end, after the map
    radius: Tensor  # (B, P) at the start
    taper: Tensor  # (B, P) radius at the end less that at the start
    undo: Tensor  # (B, P, 3, 3) the map of _flattening
    low: Tensor  # (B, P, 2) bounding box, px
    high: Tensor


def _points_to_cones(
    points: Tensor, axes: Tensor, build: Tensor, focal_px: Tensor, principal: Tensor
) -> _Cones:
    table = _table(str(points.device))
    ends = torch.stack([table["start"], table["end"]]) @ points[:, None]  # (B, 2, P, 3)
    depth = ends[..., 2].clamp(min=1.0)
    scale = focal_px[:, None, None] / depth
    middle = focal_px / points[:, 0, 2].clamp(min=1.0)  # px for a mm at the root
    flat = ends[..., :2] * scale[..., None] + principal[:, None, None]
    z = middle[:, None, None] * (ends[..., 2] - points[:, :1, None, 2])
    at = torch.cat([flat, z[..., None]], dim=-1)
    radius = table["radii"].T * build[:, None] * scale
    undo = _flattening(axes[:, table["frame"], 0], table["width"].expand(radius.shape[0], -1))
    start, end = at[:, 0], at[:, 1]
    axis = (undo @ (end - start)[..., None])[..., 0]
    reach = (radius * table["width"].clamp(min=1.0))[..., None]
    return _Cones(
        start=start,
        axis=axis,
        radius=radius[:, 0],
        taper=radius[:, 1] - radius[:, 0],
        undo=undo,
        low=(flat - reach).amin(dim=1),
        high=(flat + reach).amax(dim=1),
    )


def _meet(
    x: Tensor, y: Tensor, axis: tuple[Tensor, ...], radius: Tensor, taper: Tensor
) -> tuple[Tensor, Tensor]:
    """Where a ray at (x, y) from the cone's start meets it: place along the axis, and q.

    q = r(t)² − distance² is positive for a hit; the surface lies √q before the axis. Along the
    axis, −√q is convex where the ray hits, so the nearest point is the stationary one or the
    nearer end.
    """
    ax, ay, az = axis
    flat = ax * ax + ay * ay - taper * taper
    q1 = 2 * (radius * taper + x * ax + y * ay)
    q0 = radius * radius - x * x - y * y
    steep = 0.5 / flat.clamp(min=_EPS)
    root = (
        (q1 * q1 + 4 * q0 * flat).clamp(min=0) * (0.25 / (flat + az * az).clamp(min=_EPS))
    ).sqrt()
    t = ((q1 - 2 * az * root) * steep).clamp(0, 1)
    q = q0 + t * (q1 - t * flat)
    # Seen nearly end on, the smaller end may hide in the larger: then the silhouette decides.
    widest = (q1 * steep).clamp(0, 1)
    q_widest = q0 + widest * (q1 - widest * flat)
    miss = q <= 0
    return torch.where(miss, widest, t), torch.where(miss, q_widest, q)


def _nearest_part(cones: _Cones, side: int) -> Tensor:
    """Which part each pixel sees: (B, side²) int16, −1 for none."""
    b = len(cones.start)
    device = cones.start.device
    depth = torch.full((b * side * side,), float("inf"), device=device)
    seen = torch.full((b * side * side,), -1, dtype=torch.int16, device=device)
    first = cones.low.floor()
    extent = (cones.high.ceil() - first).amax(dim=(0, 2)).clamp(1, side).int().tolist()
    frames = _table(str(device))["frame"].tolist()
    names = torch.arange(len(PARTS), dtype=torch.int16, device=device)
    offset = torch.arange(b, device=device)[:, None, None] * (side * side)
    for k, size in enumerate(extent):
        corner = first[:, k].clamp(0, side - size)
        steps = torch.arange(size, device=device)
        xs, ys = (corner[:, i, None].long() + steps for i in (0, 1))
        at = (offset + ys[:, :, None] * side + xs[:, None, :]).reshape(-1)
        x = ((xs + 0.5) - cones.start[:, k, 0, None])[:, None, :]
        y = ((ys + 0.5) - cones.start[:, k, 1, None])[:, :, None]
        axis = tuple(a[:, None, None] for a in cones.axis[:, k].unbind(-1))
        radius, taper = cones.radius[:, k, None, None], cones.taper[:, k, None, None]
        if frames[k]:
            m = cones.undo[:, k, None, None]
            t, q = _meet(
                m[..., 0, 0] * x + m[..., 0, 1] * y,
                m[..., 1, 0] * x + m[..., 1, 1] * y,
                axis,
                radius,
                taper,
            )
            z = t * axis[2] - q.clamp(min=0).sqrt()
            z = (z - m[..., 2, 0] * x - m[..., 2, 1] * y) / m[..., 2, 2]
        else:
            t, q = _meet(x, y, axis, radius, taper)
            z = t * axis[2] - q.clamp(min=0).sqrt()
        z = (z + cones.start[:, k, 2, None, None]).reshape(-1)
        # gather and scatter are many times faster here than indexing.
        old = depth.gather(0, at)
        nearer = (q.reshape(-1) > 0) & (z < old)
        depth.scatter_(0, at, torch.where(nearer, z, old))
        seen.scatter_(0, at, torch.where(nearer, names[k], seen.gather(0, at)))
    return seen.view(b, side * side)


def _shade(
    cones: _Cones, axes: Tensor, appearance: Appearance, light: Light, seen: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Colours of the covered pixels: their places in the flat (B · side²), and (N, 3) RGB."""
    place = (seen.reshape(-1) >= 0).nonzero()[:, 0]
    image = place // (side * side)
    part = seen.reshape(-1).gather(0, place).long()
    pixel = place % (side * side)
    cone = image * len(PARTS) + part

    def of(tensor: Tensor) -> Tensor:
        return tensor.flatten(0, 1).index_select(0, cone)

    offset = torch.stack([(pixel % side) + 0.5, (pixel // side) + 0.5], dim=-1)
    offset = offset - of(cones.start)[:, :2]
    m = of(cones.undo)
    xy = (m[:, :2, :2] @ offset[..., None])[..., 0]
    axis, radius, taper = of(cones.axis), of(cones.radius), of(cones.taper)
    t, q = _meet(xy[:, 0], xy[:, 1], axis.unbind(-1), radius, taper)
    outward = torch.cat([xy - t[:, None] * axis[:, :2], -q.clamp(min=0).sqrt()[:, None]], dim=-1)
    normal = normalize((m.mT @ outward[..., None])[..., 0], dim=-1)

    frame = _table(str(place.device))["frame"][part]
    right, down, forward = ((axes[image, frame] @ normal[..., None])[..., 0]).unbind(-1)
    # Which of the part's two colours: along a limb, around the trunk, face against hair.
    inner = t < of(appearance.split)
    width = appearance.front_width.index_select(0, image)
    chest = (forward > 0.05) & (right.abs() < width)
    face = forward + 0.35 * down - appearance.hairline.index_select(0, image) > 0.05 * (t > 0.6)
    inner = torch.where(frame == FRAMES.index("chest"), chest, inner)
    inner = torch.where(frame == FRAMES.index("head"), face, inner)
    colour = torch.where(inner[:, None], of(appearance.inner), of(appearance.outer))
    band = (torch.sin(t * 26.0) > 0).float() * appearance.stripes.index_select(0, image)
    striped = (frame == FRAMES.index("chest")) & ~chest
    colour = colour * (1 - band * striped)[:, None]

    facing = (normal * light.direction.index_select(0, image)).sum(-1, keepdim=True).clamp(min=0)
    rim = 0.82 + 0.18 * (-normal[:, 2:]).clamp(0, 1)  # edges see less of the ambience
    return place, colour * (
        light.ambient.index_select(0, image) * rim + light.lamp.index_select(0, image) * facing
    )


def _draw_chunk(
    points: Tensor,
    appearance: Appearance,
    light: Light,
    focal_px: Tensor,
    principal: Tensor,
    backgrounds: Tensor,
    supersample: int,
) -> tuple[Tensor, Tensor]:
    b, size = len(points), backgrounds.shape[-1]
    side = size * supersample
    axes = _axes(points)
    cones = _points_to_cones(
        points, axes, appearance.build, focal_px * supersample, principal * supersample
    )
    seen = _nearest_part(cones, side)
    place, colour = _shade(cones, axes, appearance, light, seen, side)
    row, column = (place % (side * side)) // side, place % side
    target = (place // (side * side)) * (size * size)
    target = target + (row // supersample) * size + column // supersample
    # Whole numbers add up to the same in any order: the same picture from run to run on a GPU too.
    layer = torch.zeros(b * size * size, 4, dtype=torch.int32, device=points.device)
    share = torch.cat([colour.clamp(0, 1), torch.ones_like(colour[:, :1])], dim=-1)
    layer.index_add_(0, target, (share * _FINE).round_().int())
    layer = layer.float() / (_FINE * supersample**2)
    layer = layer.view(b, size, size, 4).permute(0, 3, 1, 2)
    mask = layer[:, 3].contiguous()
    images = backgrounds * (1 - mask[:, None]) + 255 * layer[:, :3]
    return images, mask


@single_thread()
def draw_figures(
    points: Float[Tensor, "B 22 3"],
    *,
    appearance: Appearance,
    light: Light,
    focal_px: Float[Tensor, " B"],
    principal: Float[Tensor, "B 2"],
    backgrounds: UInt8[Tensor, "#B 3 S S"] | Float[Tensor, "#B 3 S S"],
    supersample: int = 2,
    noise: float = 0.0,
    seed: int = 0,
    chunk: int = 64,
) -> tuple[UInt8[Tensor, "B 3 S S"], Float[Tensor, "B S S"]]:
    """Draw people in front of backgrounds.

    Parameters
    ----------
    points
        ``FIGURE_POINTS`` in mm, camera frame, z > 0.
    appearance, light
        One entry for each picture (see their ``select``).
    focal_px, principal
        Pinhole camera of each picture, px.
    backgrounds
        RGB in 0..255, one for each picture or one for all; square.
    supersample
        Samples along each side of a pixel.
    noise
        Standard deviation of the sensor's noise, grey levels.
    seed
        Of the noise.
    chunk
        Pictures drawn at once: few enough to stay in the cache.

    Returns
    -------
    images, mask
        RGB pictures, and how much of each pixel the person covers, in [0, 1].

    Raises
    ------
    ValueError
        If the counts differ, a background is not square, or a point is not finite or not in front
        of the camera.
    """
    b = len(points)
    counts = {"appearance": len(appearance), "light": len(light), "focal_px": len(focal_px)}
    counts |= {"principal": len(principal)}
    if bad := {name: n for name, n in counts.items() if n != b}:
        raise ValueError(f"expected one entry for each of the {b} pictures, got {bad}")
    if backgrounds.shape[-1] != backgrounds.shape[-2] or len(backgrounds) not in (1, b):
        raise ValueError(
            f"backgrounds: expected {b} square pictures or one, got {tuple(backgrounds.shape)}"
        )
    if not torch.isfinite(points).all() or (b and float(points[..., 2].min()) <= 0):
        raise ValueError(
            "points must be finite and in front of the camera (z > 0, mm); is the frame the "
            "camera's, and not the world's?"
        )
    if supersample < 1 or chunk < 1:
        raise ValueError("supersample and chunk must be 1 or more")
    generator = torch.Generator(device=points.device).manual_seed(seed)
    size = backgrounds.shape[-1]
    images = torch.empty(b, 3, size, size, dtype=torch.uint8, device=points.device)
    masks = torch.empty(b, size, size, device=points.device)
    for i in range(0, b, chunk):
        rows = torch.arange(i, min(i + chunk, b), device=points.device)
        behind = backgrounds if len(backgrounds) == 1 else backgrounds[rows]
        drawn, masks[rows] = _draw_chunk(
            points[rows],
            appearance.select(rows),
            light.select(rows),
            focal_px[rows],
            principal[rows],
            behind.float(),
            supersample,
        )
        if noise:
            drawn += noise * torch.randn(drawn.shape, generator=generator, device=drawn.device)
        images[rows] = drawn.round_().clamp_(0, 255).to(torch.uint8)
    return images, masks


def measure_speed(*, image_size: int = 64, n: int = 1024, **options: Any) -> float:
    """Pictures drawn a second, for ``make bench``: ``n`` moving people on plain backgrounds."""
    import time

    from selfpose.data.motion import sample_motion

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
