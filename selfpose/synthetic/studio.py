"""Film moving bodies with static cameras: each clip has its own body, background and light."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from selfpose.camera import azimuth_rotation, elevation_rotation, project
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.metrics import with_measured_bones
from selfpose.synthetic.backgrounds import Difficulty, sample_backgrounds
from selfpose.synthetic.cones import Model, draw_bodies, sample_lights, select
from selfpose.synthetic.sampling import Sampler

_CHUNK = 64  # pictures drawn at once: few enough to stay in the cache
_NOISE = 2.0  # of the sensor, grey levels


@dataclass(frozen=True, kw_only=True)
class CameraSpread:
    """How cameras differ from clip to clip, and how bodies move before them.

    Elevations are degrees, positive looks down. ``reference_share`` is the mean root-top distance
    (the model's ``reference_mm``) over the picture's side: it sets the focal length. The crop's
    centre varies by ``jitter`` of the side, the distance by ``distance_spread`` of itself. The body
    moves to and fro across the picture on a path of half-width ``path_mm``, the least and the
    largest: with a path wider than the body, the median of a clip's pictures is its background.
    """

    elevation_mean: float = 10.0
    elevation_sd: float = 10.0
    elevation_range: tuple[float, float] = (-15.0, 40.0)
    distance_mm: float = 7000.0
    distance_spread: float = 0.05
    reference_share: float = 0.26
    jitter: float = 0.04
    path_mm: tuple[float, float] = (420.0, 550.0)

    def __post_init__(self) -> None:
        low, high = self.elevation_range
        if not low <= self.elevation_mean <= high:
            raise ValueError(
                f"the cameras' mean elevation must lie in their range of {low:g} to {high:g} "
                f"degrees, got {self.elevation_mean:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What the cameras saw; N = clips × frames, frame after frame, clip after clip.

    Poses are px and mm in the camera's frame, ``sequence`` is the clip of each picture, counted
    from zero, ``elevation`` that of each clip's camera in radians. ``mask`` is how much of each
    pixel the body covers (for checks, never for training). No pictures where only projected.
    """

    poses_2d: Float[Tensor, "N J 2"]
    poses_3d: Float[Tensor, "N J 3"]
    sequence: Int[Tensor, " N"]
    elevation: Float[Tensor, " clips"]
    images: UInt8[Tensor, "N 3 S S"] | None = None
    mask: Float[Tensor, "N S S"] | None = None


def _seeds(seed: int, n: int) -> list[int]:
    """Independent seeds derived from one."""
    return torch.randint(2**31, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def _focal_px(cameras: CameraSpread, model: Model, image_size: int) -> float:
    return cameras.reference_share * image_size * cameras.distance_mm / model.reference_mm


def _to_camera(
    points: Float[Tensor, "clips frames P 3"],
    model: Model,
    cameras: CameraSpread,
    image_size: int,
    seed: int,
) -> tuple[Footage, Float[Tensor, "N P 3"], Float[Tensor, "clips 2"]]:
    """The poses, and all points in mm in the frame of cameras with these principal points, px."""
    clips, frames = points.shape[:2]
    s = Sampler(torch.Generator().manual_seed(seed), clips)
    low, high = (math.radians(x) for x in cameras.elevation_range)
    elevation = s.normal(math.radians(cameras.elevation_sd), clip=(-math.inf, math.inf))
    elevation = (math.radians(cameras.elevation_mean) + elevation).clamp(low, high)
    azimuth = s.uniform(-math.pi, math.pi)
    spread = cameras.distance_spread
    distance = cameras.distance_mm * s.uniform(1 - spread, 1 + spread)
    # To and fro across the picture one to two and a half times, with a little depth to it.
    turn = 2 * math.pi * (s.uniform(1.0, 2.5)[:, None] * torch.arange(frames) / max(frames, 2))
    turn = turn + s.uniform(0.0, 2 * math.pi)[:, None]
    width = s.uniform(*cameras.path_mm)[:, None]
    path = torch.stack([width * turn.sin(), 0 * turn, 0.2 * width * (0.7 * turn).cos()], dim=-1)
    jitter = cameras.jitter * (2 * torch.rand(clips, 2, generator=s.generator) - 1)

    # The body follows the path, not its own way over the floor; the camera looks at a mean height.
    place, aim = (
        points[:, :, [model.points.index(name) for name in names]].mean(dim=2, keepdim=True)
        for names in (model.centre, model.aim)
    )
    stand = aim[..., 1:2].mean(dim=1, keepdim=True)
    across = torch.tensor([1.0, 0.0, 1.0])
    local = points - place * across - stand * (1 - across)
    local = local @ azimuth_rotation(azimuth)[:, None].mT
    local = local + path[:, :, None]
    local = local @ elevation_rotation(elevation)[:, None].mT
    local[..., 2] += distance[:, None, None]
    principal = image_size * (0.5 + jitter)
    joints = local[:, :, : model.skeleton.n_joints]
    pixels = _focal_px(cameras, model, image_size) * project(joints) + principal[:, None, None]
    footage = Footage(
        poses_2d=pixels.flatten(0, 1),
        poses_3d=joints.flatten(0, 1).contiguous(),
        sequence=torch.arange(clips).repeat_interleave(frames),
        elevation=elevation,
    )
    return footage, local.flatten(0, 1), principal


def project_only(
    points: Float[Tensor, "clips frames P 3"],
    *,
    model: Model,
    cameras: CameraSpread,
    image_size: int = 64,
    seed: int = 0,
) -> Footage:
    """The poses that :func:`film` would give for the same seed, without drawing anything."""
    return _to_camera(points, model, cameras, image_size, _seeds(seed, 1)[0])[0]


def film(
    points: Float[Tensor, "clips frames P 3"],
    *,
    model: Model,
    cameras: CameraSpread,
    image_size: int = 64,
    difficulty: Difficulty = "structured",
    seed: int = 0,
    progress: str = "",
) -> Footage:
    """Film clips with static cameras, each with its own body, background and light.

    ``points`` are the model's in mm, world frame (y down). The body is turned by a random azimuth
    for the whole clip, and moves along a path across the picture instead of its own way over the
    floor; heights, and so jumps, stay as they are. The scale is one constant for all clips.
    ``difficulty`` is that of :func:`selfpose.synthetic.backgrounds.sample_backgrounds`, and
    ``progress`` what a progress bar says, if there is to be one.
    """
    camera_seed, looks_seed, light_seed, background_seed, noise_seed = _seeds(seed, 5)
    footage, local, principal = _to_camera(points, model, cameras, image_size, camera_seed)
    appearance = model.sample_appearance(len(points), seed=looks_seed)
    lights = sample_lights(len(points), seed=light_seed)
    behind = sample_backgrounds(
        len(points), image_size, difficulty=difficulty, seed=background_seed
    )
    generator = torch.Generator()
    images, masks = [], []
    chunks = torch.arange(len(local)).split(_CHUNK)
    for k, rows in enumerate(tqdm(chunks, desc=progress, disable=not progress)):
        clip = footage.sequence[rows]
        image, mask = draw_bodies(
            local[rows],
            model=model,
            appearance=select(appearance, clip),
            light=select(lights, clip),
            focal_px=_focal_px(cameras, model, image_size),
            principal=principal[clip],
            backgrounds=behind[clip],
        )
        if k % 4 == 0:
            generator.manual_seed(noise_seed + k // 4)
        image += _NOISE * torch.randn(image.shape, generator=generator)
        images.append(image.round().clamp(0, 255).to(torch.uint8))
        masks.append(mask)
    return replace(footage, images=torch.cat(images), mask=torch.cat(masks))


@dataclass(frozen=True)
class Clips:
    """Clips of one part of a data set, of several lengths, to be filmed."""

    points: list[Float[Tensor, "_ P 3"]]
    activity: list[str]  # what is done in each
    seed: Callable[[int], int]  # of the clips of a length

    def by_length(self) -> Iterator[tuple[dict[str, Any], Int[Tensor, " _"]]]:
        """Clips of equal length together with a seed, and their numbers among all."""
        lengths = torch.tensor([len(clip) for clip in self.points])
        for length in lengths.unique().tolist():
            numbers = (lengths == length).nonzero()[:, 0]
            stack = torch.stack([self.points[i] for i in numbers.tolist()])
            yield {"points": stack, "seed": self.seed(length)}, numbers

    def film(self, first_clip: int, n: int, **look: Any) -> LabelledSet:
        """The first ``n`` pictures, clip by clip; clips are counted from ``first_clip``."""
        shots, numbers = zip(
            *((film(**clips, **look), numbers) for clips, numbers in self.by_length()), strict=True
        )
        clip = torch.cat([k[shot.sequence] for shot, k in zip(shots, numbers, strict=True)])
        order = clip.argsort(stable=True)[:n]
        return LabelledSet(
            images=torch.cat([shot.images for shot in shots])[order],
            sequence=clip[order] + first_clip,
            poses_2d=torch.cat([shot.poses_2d for shot in shots])[order],
            poses_3d=torch.cat([shot.poses_3d for shot in shots])[order],
            activity=tuple(self.activity[i] for i in clip[order].tolist()),
        )


def film_parts(
    name: str,
    parts: Mapping[str, tuple[Clips, int]],
    *,
    difficulty: Difficulty,
    progress: bool,
    provenance: dict[str, Any],
    **look: Any,
) -> PoseDataset:
    """A data set of three parts, to learn from, unpaired and test: their clips, and how many poses.

    ``look`` is the model, the cameras and the size of the pictures.
    """
    (learnt, n_learnt), (others, n_unpaired), (tested, n_test) = parts.values()
    projected = [project_only(**clips, **look) for clips, _ in others.by_length()]
    look["difficulty"] = difficulty
    texts = ("unlabelled pictures", "test pictures") if progress else ("", "")
    ceiling = learnt.film(0, n_learnt, progress=texts[0], **look)
    # Clips are numbered through the parts.
    first = len(learnt.points) + len(others.points)
    # b̄ of the bone-length loss, from the bodies of the unpaired part.
    bodies = torch.cat([shot.poses_3d for shot in projected])
    return PoseDataset(
        name=name,
        skeleton=with_measured_bones(look["model"].skeleton, bodies),
        unlabelled=ImageSet(images=ceiling.images, sequence=ceiling.sequence),
        unpaired=torch.cat([shot.poses_2d for shot in projected])[:n_unpaired].clone(),
        test=tested.film(first, n_test, progress=texts[1], **look),
        ceiling=ceiling,
        provenance={
            **provenance,
            "image_size": look["image_size"],
            "difficulty": difficulty,
            "camera_elevation": look["cameras"].elevation_mean,
            "clips": {part: len(clips.points) for part, (clips, _) in parts.items()},
        },
    )
