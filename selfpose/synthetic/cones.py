"""Bodies of rounded cones, shaded, in plain torch: what draws people, hands, animals and machines.

A body is some twenty rounded cones (two spheres of different size and all that lies between), some
of them flattened. Drawing has two passes. The first finds, part by part and in a small window
around each, which part is nearest to the camera at each pixel; the second shades only the pixels
that a body covers. Both use the exact solution for a ray and a rounded cone under weak perspective:
every part is projected with its own depth, then met by parallel rays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch.nn.functional import normalize

from jaxtyping import Float, Int, UInt8
from torch import Tensor
from selfpose.synthetic.threads import single_thread
from selfpose.skeleton import Skeleton

_EPS = 1e-6
_FINE = 4096  # steps of a colour while samples are added up


@dataclass(frozen=True, kw_only=True)
class Part:
    """A rounded cone between two spots, each a weighted sum of the model's points.

    Radii are in mm for a body of average build. ``frame`` names the body part whose axes flatten
    and mark the cone: its half-width along the frame's first axis is ``width`` times its depth.
    """

    name: str
    start: tuple[tuple[str, float], ...]
    end: tuple[tuple[str, float], ...]
    radii: tuple[float, float]
    frame: str = ""  # one of the model's frames; "" for the camera's
    width: float = 1.0


_Rows = TypeVar("_Rows", bound="Scenes")


class Scenes:
    """Tensors with one row for each of n scenes: a base for dataclasses of nothing else."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def select(self: _Rows, index: Int[Tensor, " B"]) -> _Rows:
        """The scenes with these numbers, repeats allowed: one for each picture."""
        return type(self)(**{name: value[index] for name, value in vars(self).items()})

    def to(self: _Rows, device: str | torch.device) -> _Rows:
        """The same on another device."""
        return type(self)(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Looks(Scenes):
    """How n bodies look, whatever they are; colours are RGB in [0, 1].

    Parameters
    ----------
    inner, outer
        (n, parts, 3) the two colours of each part; which shows where is for the model's ``paint``.
    split
        (n, parts) where along a part the inner colour gives way (above 1: nowhere).
    build
        (n, parts) factor on the radii of each part.
    """

    inner: Float[Tensor, "n parts 3"]
    outer: Float[Tensor, "n parts 3"]
    split: Float[Tensor, "n parts"]
    build: Float[Tensor, "n parts"]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What the pixels of a batch of pictures see of its bodies: N samples.

    Parameters
    ----------
    image, part
        (N,) which picture of the batch, and which part of the model.
    along
        (N,) place along the part, 0 at its start and 1 at its end.
    right, down, forward
        (N,) the surface's normal in the part's own frame.
    """

    image: Tensor
    part: Tensor
    along: Tensor
    right: Tensor
    down: Tensor
    forward: Tensor
    n_parts: int

    def of(self, table: Tensor) -> Tensor:
        """Rows of a (pictures, parts, ...) table, one for each sample."""
        cone = self.image * self.n_parts + self.part
        return table.flatten(0, 1).index_select(0, cone)

    def scene(self, table: Tensor) -> Tensor:
        """Rows of a (pictures, ...) table, one for each sample."""
        return table.index_select(0, self.image)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A kind of body, as the drawing needs it.

    Parameters
    ----------
    skeleton
        The joints of the labels; they are the first of ``points``.
    points
        Names of the P points that a body is drawn from.
    parts
        The cones, in any order.
    frames
        Names of the frames that parts may refer to; the first is "", the camera's.
    axes
        (B, P, 3) points → (B, frames, 3, 3); the rows of each are right, down and forward.
    paint
        Looks and a surface → (N, 3) RGB before light.
    sample_looks
        A number of bodies and a seed → their looks.
    reference_mm
        Mean distance of the root and the top, as cameras see it: it sets the scale of pictures.
    centre, aim
        Points whose mean is kept on the body's path, and whose mean height the camera looks at.
    """

    skeleton: Skeleton
    points: tuple[str, ...]
    parts: tuple[Part, ...]
    frames: tuple[str, ...]
    axes: Callable[[Tensor], Tensor]
    paint: Callable[[Any, Surface], Tensor]
    sample_looks: Callable[..., Looks]
    reference_mm: float
    centre: tuple[str, ...]
    aim: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.points[: self.skeleton.n_joints] != self.skeleton.joints:
            raise ValueError(f"{self.skeleton.name}: the points must begin with the joints")
        used = {name for part in self.parts for name, _ in (*part.start, *part.end)}
        if unknown := (used | {*self.centre, *self.aim}) - set(self.points):
            raise ValueError(f"{self.skeleton.name}: there are no points {sorted(unknown)}")
        if unknown := {part.frame for part in self.parts} - set(self.frames):
            raise ValueError(f"{self.skeleton.name}: there are no frames {sorted(unknown)}")

    def indices(self, names: tuple[str, ...]) -> list[int]:
        """Places of some points in the order of ``points``."""
        return [self.points.index(name) for name in names]


@dataclass(frozen=True, kw_only=True)
class Light(Scenes):
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


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours from hue, saturation and value in [0, 1]: (...,) each → (..., 3).

    >>> hsv_to_rgb(torch.tensor(1 / 3), torch.tensor(1.0), torch.tensor(0.5))
    tensor([0.0000, 0.5000, 0.0000])
    """
    k = (torch.tensor([5.0, 3.0, 1.0]) + 6 * hue[..., None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)


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


@cache
def _table(model: Model, device: str) -> dict[str, Tensor]:
    """The parts as tensors: weights of start and end over the points, radii, frames, widths."""
    parts, points = model.parts, model.points
    start, end = torch.zeros(2, len(parts), len(points))
    for k, part in enumerate(parts):
        for weights, spots in ((start, part.start), (end, part.end)):
            for name, weight in spots:
                weights[k, points.index(name)] += weight
    return {
        "start": start.to(device),
        "end": end.to(device),
        "radii": torch.tensor([part.radii for part in parts], device=device),
        "frame": torch.tensor([model.frames.index(part.frame) for part in parts], device=device),
        "width": torch.tensor([part.width for part in parts], device=device),
    }


def frame_axes(right: Tensor, down: Tensor) -> Tensor:
    """Orthonormal right, down and forward axes, the rows of (B, 3, 3); ``down`` is kept."""
    down = normalize(down, dim=-1)
    right = normalize(right - (right * down).sum(-1, keepdim=True) * down, dim=-1)
    return torch.stack([right, down, torch.linalg.cross(right, down)], dim=1)


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
    model: Model,
    points: Tensor,
    axes: Tensor,
    build: Tensor,
    focal_px: Tensor,
    principal: Tensor,
) -> _Cones:
    table, root = _table(model, str(points.device)), model.skeleton.root
    ends = torch.stack([table["start"], table["end"]]) @ points[:, None]  # (B, 2, P, 3)
    depth = ends[..., 2].clamp(min=1.0)
    scale = focal_px[:, None, None] / depth
    middle = focal_px / points[:, root, 2].clamp(min=1.0)  # px for a mm at the root
    flat = ends[..., :2] * scale[..., None] + principal[:, None, None]
    z = middle[:, None, None] * (ends[..., 2] - points[:, root : root + 1, None, 2])
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


def _nearest_part(model: Model, cones: _Cones, side: int) -> Tensor:
    """Which part each pixel sees: (B, side²) int16, −1 for none."""
    b = len(cones.start)
    device = cones.start.device
    depth = torch.full((b * side * side,), float("inf"), device=device)
    seen = torch.full((b * side * side,), -1, dtype=torch.int16, device=device)
    first = cones.low.floor()
    extent = (cones.high.ceil() - first).amax(dim=(0, 2)).clamp(1, side).int().tolist()
    frames = _table(model, str(device))["frame"].tolist()
    names = torch.arange(len(model.parts), dtype=torch.int16, device=device)
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
    model: Model,
    cones: _Cones,
    axes: Tensor,
    looks: Looks,
    light: Light,
    seen: Tensor,
    side: int,
) -> tuple[Tensor, Tensor]:
    """Colours of the covered pixels: their places in the flat (B · side²), and (N, 3) RGB."""
    place = (seen.reshape(-1) >= 0).nonzero()[:, 0]
    image = place // (side * side)
    part = seen.reshape(-1).gather(0, place).long()
    pixel = place % (side * side)
    cone = image * len(model.parts) + part

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

    frame = _table(model, str(place.device))["frame"][part]
    right, down, forward = ((axes[image, frame] @ normal[..., None])[..., 0]).unbind(-1)
    surface = Surface(
        image=image,
        part=part,
        along=t,
        right=right,
        down=down,
        forward=forward,
        n_parts=len(model.parts),
    )
    colour = model.paint(looks, surface)
    facing = (normal * light.direction.index_select(0, image)).sum(-1, keepdim=True).clamp(min=0)
    rim = 0.82 + 0.18 * (-normal[:, 2:]).clamp(0, 1)  # edges see less of the ambience
    return place, colour * (
        light.ambient.index_select(0, image) * rim + light.lamp.index_select(0, image) * facing
    )


def _draw_chunk(
    model: Model,
    points: Tensor,
    looks: Looks,
    light: Light,
    focal_px: Tensor,
    principal: Tensor,
    backgrounds: Tensor,
    supersample: int,
) -> tuple[Tensor, Tensor]:
    b, size = len(points), backgrounds.shape[-1]
    side = size * supersample
    axes = model.axes(points)
    cones = _points_to_cones(
        model, points, axes, looks.build, focal_px * supersample, principal * supersample
    )
    seen = _nearest_part(model, cones, side)
    place, colour = _shade(model, cones, axes, looks, light, seen, side)
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
def draw_bodies(
    points: Float[Tensor, "B P 3"],
    *,
    model: Model,
    looks: Looks,
    light: Light,
    focal_px: Float[Tensor, " B"],
    principal: Float[Tensor, "B 2"],
    backgrounds: UInt8[Tensor, "#B 3 S S"] | Float[Tensor, "#B 3 S S"],
    supersample: int = 2,
    noise: float = 0.0,
    seed: int = 0,
    chunk: int = 64,
) -> tuple[UInt8[Tensor, "B 3 S S"], Float[Tensor, "B S S"]]:
    """Draw bodies of one kind in front of backgrounds.

    Parameters
    ----------
    points
        The model's points in mm, camera frame, z > 0.
    model
        The kind of body.
    looks, light
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
        RGB pictures, and how much of each pixel the body covers, in [0, 1].

    Raises
    ------
    ValueError
        If the counts differ, a background is not square, or a point is not finite or not in front
        of the camera.
    """
    b = len(points)
    if points.shape[1:] != (len(model.points), 3):
        raise ValueError(
            f"{model.skeleton.name}: expected {len(model.points)} points in 3D for each picture, "
            f"got {tuple(points.shape)}"
        )
    counts = {"looks": len(looks), "light": len(light), "focal_px": len(focal_px)}
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
            model,
            points[rows],
            looks.select(rows),
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


__all__ = [
    "Light",
    "Looks",
    "Model",
    "Part",
    "Scenes",
    "Surface",
    "draw_bodies",
    "frame_axes",
    "hsv_to_rgb",
    "sample_lights",
]
