"""Bodies of rounded cones, shaded, in plain torch: what draws people, hands, animals and machines.

A body is some twenty rounded cones (two spheres of different size and all that lies between), some
of them flattened. Drawing has two passes. The first finds, part by part and in a small window
around each, which part is nearest to the camera at each pixel; the second shades only the pixels
that a body covers. Both use the exact solution for a ray and a rounded cone under weak perspective:
every part is projected with its own depth, then met by parallel rays.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from selfpose.skeleton import Skeleton
from selfpose.synthetic.sampling import Number, Sampler, single_thread, weights

_EPS = 1e-6
_FINE = 4096  # steps of a colour, so that samples add up to the same bits in any order


@dataclass(frozen=True)
class Part:
    """A rounded cone between two spots, weighted sums of points such as "0.9 hip + 0.1 spine".

    Radii are in mm for a body of average build. ``frame`` names the body part whose axes flatten
    and mark the cone ("" for the camera's): its half-width along the frame's right axis is
    ``width`` times its depth.
    """

    name: str
    start: str
    end: str
    radii: tuple[Number, Number]
    frame: str = ""
    width: float = 1.0


def both_sides(*parts: Part) -> tuple[Part, ...]:
    """The parts of the left side, then of the right: a star stands for ``left_`` or ``right_``."""
    return tuple(
        replace(p, name=s + p.name, start=p.start.replace("*", s), end=p.end.replace("*", s))
        for s in ("left_", "right_")
        for p in parts
    )


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """How n bodies look: two colours of each part, RGB in [0, 1], for the model's ``paint``.

    ``split`` is where along a part the inner colour gives way (above 1: nowhere), ``build`` a
    factor on its radii.
    """

    inner: Float[Tensor, "n parts 3"]
    outer: Float[Tensor, "n parts 3"]
    split: Float[Tensor, "n parts"]
    build: Float[Tensor, "n parts"]


_Looks = TypeVar("_Looks", bound="Appearance | Light")


def select(looks: _Looks, index: Int[Tensor, " B"]) -> _Looks:
    """The rows with these numbers, repeats allowed: one for each picture."""
    return replace(looks, **{name: value[index] for name, value in vars(looks).items()})


Look = tuple[Tensor, Tensor, Tensor, Tensor]  # inner, outer, split and build of a part


def by_part(parts: Iterable[Part], looks: Mapping[str, Look], default: Look) -> dict[str, Tensor]:
    """The fields of an appearance; ``looks`` names parts without their side."""
    names = [part.name.removeprefix("left_").removeprefix("right_") for part in parts]
    columns = zip(*(looks.get(name, default) for name in names), strict=True)
    stacked = [torch.stack(column, dim=1) for column in columns]
    return dict(zip(("inner", "outer", "split", "build"), stacked, strict=True))


@dataclass(frozen=True)
class Surface:
    """What the pixels of a batch of pictures see of its bodies: N samples."""

    image: Int[Tensor, " N"]
    part: Int[Tensor, " N"]
    along: Float[Tensor, " N"]  # place along the part, 0 at its start and 1 at its end
    right: Float[Tensor, " N"]  # the normal in the part's own frame
    down: Float[Tensor, " N"]
    forward: Float[Tensor, " N"]

    def of(self, table: Tensor) -> Tensor:
        """Rows of a (pictures, parts, ...) table, one for each sample."""
        return table.flatten(0, 1).index_select(0, self.image * table.shape[1] + self.part)

    def scene(self, table: Tensor) -> Tensor:
        """Rows of a (pictures, ...) table, one for each sample."""
        return table.index_select(0, self.image)


def paint_along(looks: Appearance, at: Surface) -> Float[Tensor, "N 3"]:
    """The inner colour up to the split, the outer one beyond."""
    inner = at.along < at.of(looks.split)
    return torch.where(inner[:, None], at.of(looks.inner), at.of(looks.outer))


Named = Callable[[str], Float[Tensor, "B 3"]]  # points by name


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A kind of body, as the drawing needs it.

    It is drawn from named ``points``, the skeleton's joints first. ``frames`` gives the frames that
    parts name by their directions right and down; down is kept, right made perpendicular.
    ``sample_appearance`` takes a number of bodies and a ``seed``; ``paint`` gives RGB before light.
    ``reference_mm`` is the mean distance of the root and the top, as cameras see it: it sets the
    scale of pictures. The mean of the points ``centre`` is kept on the body's path, and the camera
    looks at the mean height of the points ``aim``.
    """

    skeleton: Skeleton
    points: tuple[str, ...]
    parts: tuple[Part, ...]
    frames: Mapping[str, Callable[[Named], tuple[Tensor, Tensor]]] = field(default_factory=dict)
    sample_appearance: Callable[..., Appearance]
    paint: Callable[[Any, Surface], Float[Tensor, "N 3"]] = paint_along
    reference_mm: float
    centre: tuple[str, ...]
    aim: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Light:
    """One distant lamp and an even ambience for each of n scenes: RGB strengths.

    ``direction`` are unit vectors towards the lamp, camera frame.
    """

    direction: Float[Tensor, "n 3"]
    ambient: Float[Tensor, "n 3"]
    lamp: Float[Tensor, "n 3"]


def sample_lights(n: int, *, seed: int) -> Light:
    """Draw n lights, from above and rather from the camera's side; seeded."""
    s = Sampler(torch.Generator().manual_seed(seed), n)
    across, down, away = s.uniform(-1, 1), s.uniform(-0.3, -1.0), s.uniform(-0.25, -1.0)
    ambient = s.uniform(0.5, 0.75, 1)
    tint = 1 + s.normal(0.05, 3, clip=(-2, 2))
    return Light(
        direction=normalize(torch.stack([across, down, away], dim=-1), dim=-1),
        ambient=(ambient * tint).clamp(0, 1),
        lamp=((1.25 - ambient) * (2 - tint)).clamp(0, 1),
    )


@cache
def _table(model: Model) -> dict[str, Tensor]:
    """The parts as tensors; frame 0 is the camera's, then they stand as in ``model.frames``."""
    parts, frames = model.parts, ["", *model.frames]
    ends = torch.zeros(2, len(parts), len(model.points))  # weights over the points
    for k, part in enumerate(parts):
        for row, spot in zip(ends[:, k], (part.start, part.end), strict=True):
            for name, weight in weights(spot).items():
                row[model.points.index(name)] = weight
    return {
        "ends": ends,
        "radii": torch.tensor([part.radii for part in parts], dtype=torch.float32),
        "frame": torch.tensor([frames.index(part.frame) for part in parts]),
        "width": torch.tensor([part.width for part in parts]),
    }


def _axes(model: Model, points: Tensor) -> Float[Tensor, "B frames 3 3"]:
    """Right, down and forward axes of every frame as rows, the camera's first."""
    axes = [torch.eye(3).expand(len(points), 3, 3)]
    for directions in model.frames.values():
        right, down = directions(lambda name: points[:, model.points.index(name)])
        down = normalize(down, dim=-1)
        right = normalize(right - (right * down).sum(-1, keepdim=True) * down, dim=-1)
        axes.append(torch.stack([right, down, torch.linalg.cross(right, down)], dim=1))
    return torch.stack(axes, dim=1)


def _flattening(right: Tensor, width: Tensor) -> Tensor:
    """Maps (..., 3, 3) that undo a part's flattening and keep the viewing rays along z.

    A part as wide as ``width`` times its depth becomes round when the space is squeezed along its
    ``right`` axis; a rotation then brings the squeezed rays back to z, so that pixels go to pixels.
    """
    squeeze = (1 / width - 1)[..., None, None]
    eye = torch.eye(3)
    m = eye + squeeze * right[..., :, None] * right[..., None, :]
    z = normalize(m[..., :, 2], dim=-1)
    x = eye[0].expand_as(z)
    x = normalize(x - (x * z).sum(-1, keepdim=True) * z, dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-2) @ m


@dataclass(frozen=True)
class _Cones:
    """The parts of B bodies in px, as the passes need them."""

    start: Float[Tensor, "B P 3"]  # depth too, from the root
    axis: Float[Tensor, "B P 3"]  # from start to end, after the map
    radius: Float[Tensor, "B P"]  # at the start
    taper: Float[Tensor, "B P"]  # radius at the end less that at the start
    undo: Float[Tensor, "B P 3 3"]  # the map of _flattening
    low: Float[Tensor, "B P 2"]  # bounding box
    high: Float[Tensor, "B P 2"]


def _points_to_cones(
    model: Model, points: Tensor, axes: Tensor, build: Tensor, focal: Tensor, principal: Tensor
) -> _Cones:
    table, root = _table(model), points[:, model.skeleton.root, 2]
    ends = table["ends"] @ points[:, None]  # (B, 2, P, 3)
    scale = focal / ends[..., 2].clamp(min=1.0)
    middle = focal / root.clamp(min=1.0)  # px for a mm at the root
    flat = ends[..., :2] * scale[..., None] + principal[:, None, None]
    z = middle[:, None, None] * (ends[..., 2] - root[:, None, None])
    start, end = torch.cat([flat, z[..., None]], dim=-1).unbind(dim=1)
    radius = table["radii"].T * build[:, None] * scale
    undo = _flattening(axes[:, table["frame"], 0], table["width"].expand(len(points), -1))
    reach = (radius * table["width"].clamp(min=1.0))[..., None]
    return _Cones(
        start=start,
        axis=(undo @ (end - start)[..., None])[..., 0],
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


def _nearest_part(model: Model, cones: _Cones, side: int) -> Tensor:
    """Which part each pixel sees: (B, side²) int16, −1 for none."""
    b = len(cones.start)
    depth = torch.full((b * side * side,), float("inf"))
    seen = torch.full((b * side * side,), -1, dtype=torch.int16)
    first = cones.low.floor()
    extent = (cones.high.ceil() - first).amax(dim=(0, 2)).clamp(1, side).int().tolist()
    flattened = _table(model)["frame"].tolist()
    names = torch.arange(len(model.parts), dtype=torch.int16)
    offset = torch.arange(b)[:, None, None] * (side * side)
    for k, size in enumerate(extent):
        corner = first[:, k].clamp(0, side - size)
        steps = torch.arange(size)
        xs, ys = (corner[:, i, None].long() + steps for i in (0, 1))
        at = (offset + ys[:, :, None] * side + xs[:, None, :]).reshape(-1)
        x = ((xs + 0.5) - cones.start[:, k, 0, None])[:, None, :]
        y = ((ys + 0.5) - cones.start[:, k, 1, None])[:, :, None]
        axis = tuple(a[:, None, None] for a in cones.axis[:, k].unbind(-1))
        m = cones.undo[:, k, None, None]
        u, v = x, y
        if flattened[k]:
            u = m[..., 0, 0] * x + m[..., 0, 1] * y
            v = m[..., 1, 0] * x + m[..., 1, 1] * y
        t, q = _meet(u, v, axis, cones.radius[:, k, None, None], cones.taper[:, k, None, None])
        z = t * axis[2] - q.clamp(min=0).sqrt()
        if flattened[k]:
            z = (z - m[..., 2, 0] * x - m[..., 2, 1] * y) / m[..., 2, 2]
        z = (z + cones.start[:, k, 2, None, None]).reshape(-1)
        # gather and scatter are many times faster here than indexing.
        old = depth.gather(0, at)
        nearer = (q.reshape(-1) > 0) & (z < old)
        depth.scatter_(0, at, torch.where(nearer, z, old))
        seen.scatter_(0, at, torch.where(nearer, names[k], seen.gather(0, at)))
    return seen.view(b, side * side)


def _shade(
    model: Model, cones: _Cones, axes: Tensor, looks: Appearance, light: Light, seen: Tensor
) -> tuple[Int[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Colours of the covered pixels, and their places in the flat (B · side²)."""
    side = round(seen.shape[1] ** 0.5)
    place = (seen.reshape(-1) >= 0).nonzero()[:, 0]
    image, pixel = place // (side * side), place % (side * side)
    part = seen.reshape(-1).gather(0, place).long()
    cone = image * len(model.parts) + part

    def of(tensor: Tensor) -> Tensor:
        return tensor.flatten(0, 1).index_select(0, cone)

    offset = torch.stack([(pixel % side) + 0.5, (pixel // side) + 0.5], dim=-1)
    offset = offset - of(cones.start)[:, :2]
    m, axis = of(cones.undo), of(cones.axis)
    xy = (m[:, :2, :2] @ offset[..., None])[..., 0]
    t, q = _meet(xy[:, 0], xy[:, 1], axis.unbind(-1), of(cones.radius), of(cones.taper))
    outward = torch.cat([xy - t[:, None] * axis[:, :2], -q.clamp(min=0).sqrt()[:, None]], dim=-1)
    normal = normalize((m.mT @ outward[..., None])[..., 0], dim=-1)
    own = (axes[image, _table(model)["frame"][part]] @ normal[..., None])[..., 0]
    colour = model.paint(looks, Surface(image, part, t, *own.unbind(-1)))
    direction, ambient, lamp = (v.index_select(0, image) for v in vars(light).values())
    facing = (normal * direction).sum(-1, keepdim=True).clamp(min=0)
    rim = 0.82 + 0.18 * (-normal[:, 2:]).clamp(0, 1)  # edges see less of the ambience
    return place, colour * (ambient * rim + lamp * facing)


@single_thread()
def draw_bodies(
    points: Float[Tensor, "B P 3"],
    *,
    model: Model,
    appearance: Appearance,
    light: Light,
    focal_px: float,
    principal: Float[Tensor, "B 2"],
    backgrounds: UInt8[Tensor, "#B 3 S S"],
    supersample: int = 2,
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B S S"]]:
    """Draw bodies of one kind: RGB in 0..255, and the share of each pixel that is covered.

    ``points`` are the model's in mm, camera frame, z > 0; every picture has its own appearance,
    light and principal point (px), and ``supersample``² samples a pixel.
    """
    b, side = len(points), backgrounds.shape[-1] * supersample
    focal = torch.tensor(focal_px * supersample)
    axes = _axes(model, points)
    cones = _points_to_cones(model, points, axes, appearance.build, focal, principal * supersample)
    seen = _nearest_part(model, cones, side)
    place, colour = _shade(model, cones, axes, appearance, light, seen)
    samples = torch.zeros(b * side * side, 4)
    colour = torch.cat([colour.clamp(0, 1), torch.ones_like(colour[:, :1])], dim=-1)
    samples[place] = (colour * _FINE).round() / _FINE
    pixels = avg_pool2d(samples.view(b, side, side, 4).permute(0, 3, 1, 2), supersample)
    mask = pixels[:, 3]
    return backgrounds.float() * (1 - mask[:, None]) + 255 * pixels[:, :3], mask
