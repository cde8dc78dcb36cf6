"""Film moving bodies with static cameras: each clip has its own body, background and light."""

import math
from dataclasses import dataclass

import torch
from tqdm import tqdm

from jaxtyping import Float, Int, UInt8
from torch import Tensor
from selfpose.camera import azimuth_rotation, elevation_rotation, project
from selfpose.synthetic.background import Difficulty, sample_backgrounds
from selfpose.synthetic.cones import Model, draw_bodies, sample_lights
from selfpose.synthetic.figure import HUMAN


@dataclass(frozen=True, kw_only=True)
class CameraSpread:
    """How cameras differ from clip to clip, and how bodies move before them.

    The defaults are for people.

    Parameters
    ----------
    elevation_mean, elevation_sd, elevation_range
        Degrees; positive looks down.
    distance_mm, distance_spread
        Of the camera from the body, and its relative spread either way.
    reference_share
        Mean root–top distance (the model's ``reference_mm``; hip–head for people) over the
        picture's side: sets the focal length.
    jitter
        Of the crop's centre, over the picture's side, either way.
    stage_mm
        Least and largest half-width of the path on which the body moves to and fro across the
        picture during a clip. One that never leaves its place hides the background behind it for
        good; with a path wider than the body, the median of a clip's pictures is its
        background.
    """

    elevation_mean: float = 10.0
    elevation_sd: float = 10.0
    elevation_range: tuple[float, float] = (-15.0, 40.0)
    distance_mm: float = 7000.0
    distance_spread: float = 0.05
    reference_share: float = 0.26
    jitter: float = 0.04
    stage_mm: tuple[float, float] = (420.0, 550.0)

    def __post_init__(self) -> None:
        low, high = self.elevation_range
        if not (self.distance_mm > 0 and 0 <= self.distance_spread < 0.5 and low <= high):
            raise ValueError(
                "cameras need a distance > 0, a spread of it in [0, 0.5), and an elevation range "
                f"that rises; got {self}"
            )
        if not low <= self.elevation_mean <= high:
            raise ValueError(
                f"the cameras' mean elevation must lie in their range of {low:g} to {high:g} "
                f"degrees, got {self.elevation_mean:g}"
            )
        if not 0 < self.reference_share < 1:
            raise ValueError(f"reference_share must lie in (0, 1), got {self.reference_share}")


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What the cameras saw; N = clips × frames, frame after frame, clip after clip.

    Parameters
    ----------
    poses_2d, poses_3d
        (N, J, 2) px and (N, J, 3) mm in the camera frame.
    sequence
        (N,) the clip of each picture, counted from zero.
    elevation
        (clips,) of the cameras, radians.
    images, mask
        (N, 3, S, S) uint8 pictures and (N, S, S) true cover of the body (for checks, never for
        training); ``None`` where only projected.
    """

    poses_2d: Float[Tensor, "N J 2"]
    poses_3d: Float[Tensor, "N J 3"]
    sequence: Int[Tensor, " N"]
    elevation: Float[Tensor, " clips"]
    images: UInt8[Tensor, "N 3 S S"] | None = None
    mask: Float[Tensor, "N S S"] | None = None


@dataclass(frozen=True, kw_only=True)
class _View:
    """Points before the cameras."""

    points: Tensor  # (clips, frames, P, 3) mm, camera frame
    focal_px: float
    principal: Tensor  # (clips, 2) px
    elevation: Tensor  # (clips,)


def _seeds(seed: int, n: int) -> list[int]:
    """Independent seeds derived from one."""
    return torch.randint(2**31, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def _to_camera(
    points: Tensor, model: Model, image_size: int, seed: int, cameras: CameraSpread
) -> _View:
    clips, frames = points.shape[:2]
    g = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(clips, generator=g)

    low, high = (math.radians(x) for x in cameras.elevation_range)
    elevation = math.radians(cameras.elevation_sd) * torch.randn(clips, generator=g)
    elevation = (math.radians(cameras.elevation_mean) + elevation).clamp(low, high)
    azimuth = uniform(-math.pi, math.pi)
    spread = cameras.distance_spread
    distance = cameras.distance_mm * uniform(1 - spread, 1 + spread)
    # To and fro across the picture one to two and a half times, with a little depth to it.
    turn = 2 * math.pi * (uniform(1.0, 2.5)[:, None] * torch.arange(frames) / max(frames, 2))
    turn = turn + uniform(0.0, 2 * math.pi)[:, None]
    width = uniform(*cameras.stage_mm)[:, None]
    path = torch.stack([width * turn.sin(), 0 * turn, 0.2 * width * (0.7 * turn).cos()], dim=-1)
    jitter = cameras.jitter * (2 * torch.rand(clips, 2, generator=g) - 1)

    device = points.device
    # The body follows the path, not its own way over the floor; the camera looks at a mean height.
    place, aim = (
        points[:, :, model.indices(names)].mean(dim=2, keepdim=True)
        for names in (model.centre, model.aim)
    )
    stand = aim[..., 1:2].mean(dim=1, keepdim=True)
    across = torch.tensor([1.0, 0.0, 1.0], device=device)
    local = points - place * across - stand * (1 - across)
    local = local @ azimuth_rotation(azimuth).to(device)[:, None].mT
    local = local + path.to(device)[:, :, None]
    local = local @ elevation_rotation(elevation).to(device)[:, None].mT
    local[..., 2] += distance.to(device)[:, None, None]
    return _View(
        points=local,
        focal_px=cameras.reference_share * image_size * cameras.distance_mm / model.reference_mm,
        principal=(image_size * (0.5 + jitter)).to(device),
        elevation=elevation,
    )


def _check(points: Tensor, model: Model, image_size: int) -> None:
    expected = (len(model.points), 3)
    if points.ndim != 4 or 0 in points.shape or tuple(points.shape[2:]) != expected:
        raise ValueError(
            f"{model.skeleton.name}: expected points (clips, frames, {expected[0]}, 3), got "
            f"{tuple(points.shape)}"
        )
    if image_size < 8:
        raise ValueError(f"image_size must be 8 px or more, got {image_size}")
    if not torch.isfinite(points).all():
        clip = int((~torch.isfinite(points)).flatten(1).any(dim=1).nonzero()[0, 0])
        raise ValueError(f"the points of clip {clip} hold NaN or infinite values")


def _footage(view: _View, model: Model) -> Footage:
    clips, frames = view.points.shape[:2]
    joints = view.points[:, :, : model.skeleton.n_joints]
    pixels = view.focal_px * project(joints) + view.principal[:, None, None]
    return Footage(
        poses_2d=pixels.flatten(0, 1),
        poses_3d=joints.flatten(0, 1).contiguous(),
        sequence=torch.arange(clips, device=joints.device).repeat_interleave(frames),
        elevation=view.elevation,
    )


def project_only(
    motion_points: Float[Tensor, "clips frames P 3"],
    *,
    model: Model = HUMAN,
    image_size: int = 64,
    seed: int = 0,
    cameras: CameraSpread | None = None,
) -> Footage:
    """The poses that :func:`film` would give for the same seed, without drawing anything."""
    _check(motion_points, model, image_size)
    spread = cameras or CameraSpread()
    view = _to_camera(motion_points, model, image_size, _seeds(seed, 1)[0], spread)
    return _footage(view, model)


def film(
    motion_points: Float[Tensor, "clips frames P 3"],
    *,
    model: Model = HUMAN,
    image_size: int = 64,
    difficulty: Difficulty = "structured",
    seed: int = 0,
    cameras: CameraSpread | None = None,
    noise: float = 2.0,
    supersample: int = 2,
    progress: bool = False,
    description: str = "filming",
) -> Footage:
    """Film clips with static cameras, each with its own body, background and light.

    The body is turned by a random azimuth for the whole clip, and moves along a path across the
    picture instead of its own way over the floor (see ``CameraSpread.stage_mm``); heights, and so
    jumps, stay as they are. The scale is one constant for all clips.

    Parameters
    ----------
    motion_points
        The model's points in mm, world frame (y down).
    model
        The kind of body: people unless said otherwise.
    image_size
        Side of the square pictures, px.
    difficulty
        Of the backgrounds (see :func:`selfpose.synthetic.background.sample_backgrounds`).
    seed
        The same seed gives the same footage.
    noise
        Of the sensor, grey levels, new in each frame.
    progress
        Show a bar.

    Raises
    ------
    ValueError
        If the points are not the model's, as (clips, frames, P, 3), or not finite.
    """
    _check(motion_points, model, image_size)
    clips, frames = motion_points.shape[:2]
    device = motion_points.device
    camera_seed, looks_seed, light_seed, background_seed, noise_seed = _seeds(seed, 5)
    view = _to_camera(motion_points, model, image_size, camera_seed, cameras or CameraSpread())
    looks = model.sample_looks(clips, seed=looks_seed).to(device)
    lights = sample_lights(clips, seed=light_seed).to(device)
    behind = sample_backgrounds(clips, image_size, difficulty=difficulty, seed=background_seed)
    behind = behind.to(device)
    footage = _footage(view, model)
    n = clips * frames
    images = torch.empty(n, 3, image_size, image_size, dtype=torch.uint8, device=device)
    mask = torch.empty(n, image_size, image_size, device=device)
    points = view.points.flatten(0, 1)
    block = 256
    with tqdm(total=n, desc=description, unit=" pictures", disable=not progress) as bar:
        for k, i in enumerate(range(0, n, block)):
            rows = slice(i, min(i + block, n))
            clip = footage.sequence[rows]
            images[rows], mask[rows] = draw_bodies(
                points[rows],
                model=model,
                looks=looks.select(clip),
                light=lights.select(clip),
                focal_px=torch.full((len(clip),), view.focal_px, device=device),
                principal=view.principal[clip],
                backgrounds=behind[clip],
                noise=noise,
                supersample=supersample,
                seed=noise_seed + k,
            )
            bar.update(len(clip))
    return Footage(**{**vars(footage), "images": images, "mask": mask})


__all__ = ["CameraSpread", "Footage", "film", "project_only"]
