"""The generated data sets: drawn bodies in motion that need no download and have every label."""

from dataclasses import replace

import torch

from selfpose.data.dataset import PoseDataset
from selfpose.synthetic import hands, lamps, motion, people, quadrupeds
from selfpose.synthetic.backgrounds import Difficulty
from selfpose.synthetic.cones import Model
from selfpose.synthetic.sampling import FPS, Motions
from selfpose.synthetic.studio import CameraSpread, Clips, film_parts

FRAME_STEP = 3  # of 30 a second: neighbours differ, and a clip lasts long enough to move about

# How each kind of body looks, moves, and is filmed. The cameras stand ten times the model's
# ``reference_mm`` away, as the method has it; the path before them is as wide as a clip needs to
# show all of its background.
GENERATED: dict[str, tuple[Model, Motions, CameraSpread]] = {
    "human": (people.HUMAN, motion.MOTIONS, CameraSpread()),
    "hand": (
        hands.HAND,
        hands.MOTIONS,
        CameraSpread(distance_mm=860.0, reference_share=0.23, path_mm=(78.0, 98.0)),
    ),
    "quadruped": (
        quadrupeds.ANIMAL,
        quadrupeds.MOTIONS,
        CameraSpread(distance_mm=4300.0, reference_share=0.18, path_mm=(550.0, 730.0)),
    ),
    "machine": (
        lamps.LAMP,
        lamps.MOTIONS,
        CameraSpread(distance_mm=3000.0, reference_share=0.26, path_mm=(190.0, 250.0)),
    ),
}


def _clips(motions: Motions, n: int, length: int, motion_seed: int, film_seed: int) -> Clips:
    """Clips of so many frames each, for n pictures."""
    moved = motions.sample(n_clips=-(-n // length), n_frames=length * FRAME_STEP, seed=motion_seed)
    points = list(moved.points[:, ::FRAME_STEP])
    return Clips(points, list(moved.activity), lambda _: film_seed)


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

    ``body`` is what is drawn: ``human``, ``hand``, ``quadruped`` or ``machine`` (a desk lamp), made
    for pictures of 64 to 128 px. ``frames_per_clip`` pictures are of one static camera; unpaired
    poses and test pictures come from shorter clips, so that they hold more individuals.
    ``difficulty`` of the backgrounds is none, plain, structured or cluttered; ``camera_elevation``
    is the mean, in degrees, positive looks down. The same seed gives the same data, bit by bit.
    """
    model, motions, cameras = GENERATED[body]
    draw = torch.Generator().manual_seed(seed)
    seeds = torch.randperm(2**20, generator=draw)[:6].tolist()
    short = min(16, frames_per_clip)
    lengths = {"unlabelled": frames_per_clip, "unpaired": short, "test": short}
    counts = (n_unlabelled, n_unpaired, n_test)
    parts = {
        part: (_clips(motions, n, lengths[part], *seeds[2 * k : 2 * k + 2]), n)
        for k, (part, n) in enumerate(zip(lengths, counts, strict=True))
    }
    return film_parts(
        "embedded" if body == "human" else body,
        parts,
        model=model,
        cameras=replace(cameras, elevation_mean=camera_elevation),
        image_size=image_size,
        difficulty=difficulty,
        progress=progress,
        provenance={
            "source": "embedded figure generator",
            "body": body,
            "seed": seed,
            "activities": list(motions.activities),
            "frames_per_clip": lengths,
            "frames_per_second": FPS / FRAME_STEP,
        },
    )
