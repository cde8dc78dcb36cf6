"""The embedded data set: moving, clothed figures that need no download and have every label."""

import math
from typing import Any

import torch

from selfpose.data.background import Difficulty
from selfpose.data.motion import ACTIVITIES, Motion, sample_motion
from selfpose.data.protocol import ImageSet, LabelledSet, PoseDataset
from selfpose.data.studio import CameraSpread, Footage, film, project_only
from selfpose.metrics import with_measured_bones
from selfpose.skeleton import HUMAN_17

FRAME_STEP = 3  # of 30 a second: neighbours differ, and a clip lasts long enough to move about


def _motion(n: int, frames_per_clip: int, seed: int) -> Motion:
    clips = math.ceil(n / frames_per_clip)
    motion = sample_motion(n_clips=clips, n_frames=frames_per_clip * FRAME_STEP, seed=seed)
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
    image_size: int = 64,
    n_unlabelled: int = 8192,
    n_unpaired: int = 8192,
    n_test: int = 1024,
    frames_per_clip: int = 64,
    difficulty: Difficulty = "structured",
    seed: int = 0,
    progress: bool = True,
) -> PoseDataset:
    """Make the three parts from disjoint clips, people, cameras and backgrounds.

    Parameters
    ----------
    image_size
        Side of the square pictures, px: 64 to 128 is what the figures are made for.
    n_unlabelled, n_unpaired, n_test
        Pictures to learn from, 2D poses of other people, pictures to test on.
    frames_per_clip
        Pictures of one static camera. Unpaired poses and test pictures come from shorter clips, so
        that they hold more people.
    difficulty
        Of the backgrounds: none, plain, structured or cluttered.
    seed
        The same seed gives the same data, bit by bit on one device.

    Raises
    ------
    ValueError
        If a count is not positive.
    """
    counts = {"n_unlabelled": n_unlabelled, "n_unpaired": n_unpaired, "n_test": n_test}
    counts |= {"frames_per_clip": frames_per_clip}
    if bad := {name: value for name, value in counts.items() if value < 1}:
        raise ValueError(f"expected one or more of each, got {bad}")
    draw = torch.Generator().manual_seed(seed)
    seeds = torch.randperm(2**20, generator=draw)[:6].tolist()
    cameras = CameraSpread()
    look: dict[str, Any] = {"image_size": image_size, "cameras": cameras}
    short = min(16, frames_per_clip)

    motion = _motion(n_unlabelled, frames_per_clip, seeds[0])
    footage = film(
        motion.points,
        difficulty=difficulty,
        seed=seeds[1],
        progress=progress,
        description="unlabelled pictures",
        **look,
    )
    ceiling = _labelled(footage, motion, n_unlabelled)
    others = _motion(n_unpaired, short, seeds[2])
    unpaired = project_only(others.points, seed=seeds[3], **look)
    test_motion = _motion(n_test, short, seeds[4])
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
        name="embedded",
        # b̄ of the bone-length loss, from the bodies of the unpaired part.
        skeleton=with_measured_bones(HUMAN_17, unpaired.poses_3d),
        unlabelled=ImageSet(images=ceiling.images, sequence=ceiling.sequence),
        unpaired=unpaired.poses_2d[:n_unpaired].clone(),
        test=labelled,
        ceiling=ceiling,
        provenance={
            "source": "embedded figure generator",
            "seed": seed,
            "difficulty": difficulty,
            "image_size": image_size,
            "activities": list(ACTIVITIES),
            "frames_per_clip": {"unlabelled": frames_per_clip, "unpaired": short, "test": short},
            "clips": {
                "unlabelled": len(motion.points),
                "unpaired": len(others.points),
                "test": len(test_motion.points),
            },
            "frames_per_second": motion.fps,
        },
    )


__all__ = ["FRAME_STEP", "load_embedded"]
