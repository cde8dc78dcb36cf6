"""Snapshots: what the networks made of a few test pictures at some steps of their training.

They use no label and draw no random number: a training is the same with and without them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from selfpose.camera import lift
from selfpose.files import check_file, write_whole
from selfpose.model import PosePipeline, Prediction, images_to_input

SNAPSHOTS = "snapshots.safetensors"
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # of the steps; most is learnt early
N_PICTURES = 4
MAX_SIDE = 64  # of the skeleton images that are kept, px


def coarse(images: UInt8[Tensor, "n 3 H H"]) -> UInt8[Tensor, "n 3 m m"]:
    """Pictures at 8 × 8 px: enough to know them again, too little to show who is on them."""
    return adaptive_avg_pool2d(images.float(), 8).round().to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """What the averaged networks made of n test pictures after K numbers of steps.

    The pictures themselves are not kept: those of other people's data must not be handed on.
    """

    steps: Int[Tensor, " K"]  # of the stage of pictures, ascending
    rows: Int[Tensor, " n"]  # which pictures of the test part
    marks: UInt8[Tensor, "n 3 m m"]  # the pictures made coarse
    skeleton_images: UInt8[Tensor, "K n C h h"]  # s in steps of 1/255
    poses_2d: Float[Tensor, "K n J 2"]  # y in [0, 1], x right and y down
    poses_3d: Float[Tensor, "K n J 3"]  # v in method units, camera frame, root at depth Δ
    elevations: Float[Tensor, "K n"]  # α, radians

    def __len__(self) -> int:
        return len(self.steps)

    def shows(self, images: UInt8[Tensor, "N 3 H H"]) -> bool:
        """Whether these test pictures are, at ``rows``, those that the networks were shown."""
        if int(self.rows[-1]) >= len(images):
            return False
        difference = coarse(images[self.rows].cpu()).int() - self.marks.int()
        return bool((difference.abs() <= 2).all())  # other processors round otherwise

    def prediction(self, number: int, *, image_size: int) -> Prediction:
        """One snapshot as a prediction of its n pictures, 2D poses in pixels of that image size."""
        return Prediction(
            skeleton_image=self.skeleton_images[number].float() / 255,
            pose_2d=self.poses_2d[number] * image_size,
            pose_3d=self.poses_3d[number],
            elevation=self.elevations[number],
        )


class SnapshotRecorder(nn.Module):
    """Takes the snapshots of a training; those taken travel in the checkpoint.

    >>> recorder = SnapshotRecorder(torch.zeros(64, 3, 8, 8, dtype=torch.uint8), n_steps=800)
    >>> recorder.rows.tolist(), sorted(recorder.steps)
    ([8, 24, 40, 56], [0, 8, 16, 40, 80, 160, 320, 560, 800])
    """

    def __init__(self, images: UInt8[Tensor, "N 3 H H"], *, n_steps: int) -> None:
        super().__init__()
        n, m = len(images), min(len(images), N_PICTURES)
        self.rows = torch.tensor([(2 * k + 1) * n // (2 * m) for k in range(m)])
        self.images = images[self.rows].cpu()
        self.steps = {round(share * n_steps) for share in SHARES}
        self.taken: list[dict[str, Tensor]] = []

    def get_extra_state(self) -> list[dict[str, Tensor]]:
        return self.taken

    def set_extra_state(self, state: list[dict[str, Tensor]]) -> None:
        self.taken = list(state)

    @torch.no_grad()
    def take(self, step: int, pipeline: PosePipeline, networks: nn.ModuleDict) -> None:
        """After some numbers of steps: what Φ and Ω in ``networks`` see, and the pipeline's Λ."""
        if step not in self.steps:
            return
        s = networks["phi"](images_to_input(self.images.to(pipeline.device)))
        y = networks["omega"](s)
        plane = pipeline.unit_to_plane(y)
        depth, elevation = pipeline.lifter(plane)
        sketch = adaptive_avg_pool2d(s, min(s.shape[-1], MAX_SIDE))
        seen = {
            "steps": torch.tensor(step),
            "skeleton_images": (255 * sketch).round().to(torch.uint8),
            "poses_2d": y,
            "poses_3d": lift(plane, depth, delta=pipeline.architecture.delta),
            "elevations": elevation,
        }
        self.taken.append({name: value.cpu() for name, value in seen.items()})

    def snapshots(self) -> Snapshots | None:
        """Those taken so far; ``None`` if there are none."""
        if not self.taken:
            return None
        stacked = {name: torch.stack([t[name] for t in self.taken]) for name in self.taken[0]}
        return Snapshots(rows=self.rows, marks=coarse(self.images), **stacked)


def save_snapshots(snapshots: Snapshots, path: str | Path) -> None:
    """Write snapshots to one safetensors file, whole or not at all."""
    metadata = {"selfpose": "snapshots 1"}
    write_whole(Path(path), lambda part: save_file(vars(snapshots), part, metadata=metadata))


def snapshots_of_run(folder: str | Path, record: dict[str, Any]) -> Snapshots | None:
    """The snapshots beside a record; ``None`` where its run kept none, or they were left behind."""
    if SNAPSHOTS not in record["files"] or not (Path(folder) / SNAPSHOTS).is_file():
        return None
    return Snapshots(**load_file(check_file(folder, SNAPSHOTS, record)))
