"""The embedded data sets: drawn bodies in motion that need no download and have every label."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from selfpose.synthetic.background import Difficulty
from selfpose.synthetic.cones import Model
from selfpose.synthetic.figure import HUMAN
from selfpose.synthetic.hand_drawing import HAND
from selfpose.synthetic.hands import HAND_ACTIVITIES, sample_hands
from selfpose.synthetic.lamp_drawing import LAMP
from selfpose.synthetic.machines import LAMP_ACTIVITIES, sample_machines
from selfpose.synthetic.motion import ACTIVITIES, sample_motion
from selfpose.synthetic.moving import Motion
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.synthetic.quadruped_drawing import ANIMAL
from selfpose.synthetic.quadrupeds import ANIMAL_ACTIVITIES, sample_quadrupeds
from selfpose.synthetic.studio import CameraSpread, Footage, film, project_only
from selfpose.metrics import with_measured_bones

FRAME_STEP = 3  # of 30 a second: neighbours differ, and a clip lasts long enough to move about


@dataclass(frozen=True, kw_only=True)
class Cast:
    """A kind of body that the generator draws: how it looks, how it moves, how it is filmed.

    Parameters
    ----------
    name
        Of the data set.
    model
        What draws it.
    sample
        ``n_clips``, ``n_frames`` and ``seed`` → motion.
    activities
        What it does.
    cameras
        How far off they stand, ten times the model's ``reference_mm`` as the method has it, and
        how wide a path the body needs so that a clip shows all of its background.
    """

    name: str
    model: Model
    sample: Callable[..., Motion]
    activities: tuple[str, ...]
    cameras: CameraSpread = field(default_factory=CameraSpread)


CASTS: dict[str, Cast] = {
    "human": Cast(name="embedded", model=HUMAN, sample=sample_motion, activities=tuple(ACTIVITIES)),
    "hand": Cast(
        name="hand",
        model=HAND,
        sample=sample_hands,
        activities=tuple(HAND_ACTIVITIES),
        cameras=CameraSpread(distance_mm=860.0, reference_share=0.23, stage_mm=(78.0, 98.0)),
    ),
    "quadruped": Cast(
        name="quadruped",
        model=ANIMAL,
        sample=sample_quadrupeds,
        activities=tuple(ANIMAL_ACTIVITIES),
        cameras=CameraSpread(distance_mm=4300.0, reference_share=0.18, stage_mm=(550.0, 730.0)),
    ),
    "machine": Cast(
        name="machine",
        model=LAMP,
        sample=sample_machines,
        activities=tuple(LAMP_ACTIVITIES),
        cameras=CameraSpread(distance_mm=3000.0, reference_share=0.26, stage_mm=(190.0, 250.0)),
    ),
}


def _motion(cast: Cast, n: int, frames_per_clip: int, seed: int) -> Motion:
    clips = math.ceil(n / frames_per_clip)
    motion = cast.sample(n_clips=clips, n_frames=frames_per_clip * FRAME_STEP, seed=seed)
    points = motion.points[:, ::FRAME_STEP].contiguous()
    return Motion(points=points, activity=motion.activity, fps=motion.fps / FRAME_STEP)


def _labelled(footage: Footage, motion: Motion, n: int) -> LabelledSet:
    assert footage.images is not None
    frames = motion.points.shape[1]
    return LabelledSet(
        images=footage.images[:n],
        sequence=footage.sequence[:n],
        poses_2d=footage.poses_2d[:n],
        poses_3d=footage.poses_3d[:n],
        activity=tuple(name for name in motion.activity for _ in range(frames))[:n],
    )


def load_embedded(
    *,
    body: str = "human",
    image_size: int = 64,
    n_unlabelled: int = 8192,
    n_unpaired: int = 8192,
    n_test: int = 1024,
    frames_per_clip: int = 64,
    difficulty: Difficulty = "structured",
    camera_elevation: float = 10.0,
    seed: int = 0,
    progress: bool = True,
) -> PoseDataset:
    """Make the three parts from disjoint clips, individuals, cameras and backgrounds.

    Parameters
    ----------
    body
        What is drawn: ``human``, ``hand``, ``quadruped`` or ``machine`` (a desk lamp).
    image_size
        Side of the square pictures, px: 64 to 128 is what the bodies are made for.
    n_unlabelled, n_unpaired, n_test
        Pictures to learn from, 2D poses of other individuals, pictures to test on.
    frames_per_clip
        Pictures of one static camera. Unpaired poses and test pictures come from shorter clips, so
        that they hold more individuals.
    difficulty
        Of the backgrounds: none, plain, structured or cluttered.
    camera_elevation
        Mean elevation of the cameras, degrees; positive looks down.
    seed
        The same seed gives the same data, bit by bit on one device.

    Raises
    ------
    ValueError
        If a count is not positive, or the body unknown.
    """
    if body not in CASTS:
        raise ValueError(f"unknown body {body!r}; choose from {sorted(CASTS)}")
    cast = CASTS[body]
    counts = {"n_unlabelled": n_unlabelled, "n_unpaired": n_unpaired, "n_test": n_test}
    counts |= {"frames_per_clip": frames_per_clip}
    if bad := {name: value for name, value in counts.items() if value < 1}:
        raise ValueError(f"expected one or more of each, got {bad}")
    draw = torch.Generator().manual_seed(seed)
    seeds = torch.randperm(2**20, generator=draw)[:6].tolist()
    cameras = replace(cast.cameras, elevation_mean=camera_elevation)
    look: dict[str, Any] = {"image_size": image_size, "model": cast.model, "cameras": cameras}
    short = min(16, frames_per_clip)

    motion = _motion(cast, n_unlabelled, frames_per_clip, seeds[0])
    footage = film(
        motion.points,
        difficulty=difficulty,
        seed=seeds[1],
        progress=progress,
        description="unlabelled pictures",
        **look,
    )
    ceiling = _labelled(footage, motion, n_unlabelled)
    others = _motion(cast, n_unpaired, short, seeds[2])
    unpaired = project_only(others.points, seed=seeds[3], **look)
    test_motion = _motion(cast, n_test, short, seeds[4])
    test = film(
        test_motion.points,
        difficulty=difficulty,
        seed=seeds[5],
        progress=progress,
        description="test pictures",
        **look,
    )
    # Clips are numbered through the parts: a number stands for one clip of the whole data set.
    offset = len(motion.points) + len(others.points)
    labelled = _labelled(test, test_motion, n_test)
    labelled = LabelledSet(**{**vars(labelled), "sequence": labelled.sequence + offset})
    return PoseDataset(
        name=cast.name,
        # b̄ of the bone-length loss, from the bodies of the unpaired part.
        skeleton=with_measured_bones(cast.model.skeleton, unpaired.poses_3d),
        unlabelled=ImageSet(images=ceiling.images, sequence=ceiling.sequence),
        unpaired=unpaired.poses_2d[:n_unpaired].clone(),
        test=labelled,
        ceiling=ceiling,
        provenance={
            "source": "embedded figure generator",
            "body": body,
            "seed": seed,
            "difficulty": difficulty,
            "camera_elevation": camera_elevation,
            "image_size": image_size,
            "activities": list(cast.activities),
            "frames_per_clip": {"unlabelled": frames_per_clip, "unpaired": short, "test": short},
            "clips": {
                "unlabelled": len(motion.points),
                "unpaired": len(others.points),
                "test": len(test_motion.points),
            },
            "frames_per_second": motion.fps,
        },
    )


__all__ = ["CASTS", "FRAME_STEP", "Cast", "load_embedded"]
