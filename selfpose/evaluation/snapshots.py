"""Snapshots: what the networks made of a few test pictures at some steps of their training.

While Φ and Ω learn, an :class:`Album` takes one now and then and travels in the checkpoint; a
finished run keeps them as ``snapshots.safetensors``. They use no label and draw no random number: a
training is the same with and without them.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from selfpose.camera import lift
from selfpose.files import write_whole
from selfpose.model import PosePipeline, Prediction, images_to_input
from experiments.records import Record, check_snapshots

FORMAT = "snapshots 1"
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the steps: most is learnt early, so the first snapshots stand closest."""
N_PICTURES = 4
"""How many test pictures are looked at, where there are so many."""
MAX_SIDE = 64
"""Skeleton images are kept no larger than this (px)."""
MARK_SIDE = 8
"""Side of the coarse copy by which a picture is known again: too coarse to show who is on it."""
MAX_BYTES = 500_000
"""Of one file: it is committed beside published weights."""
_HEADER_BYTES = 4096
_DTYPES = {
    "steps": torch.int64,
    "rows": torch.int64,
    "marks": torch.uint8,
    "skeleton_images": torch.uint8,
    "poses_2d": torch.float32,
    "poses_3d": torch.float32,
    "elevations": torch.float32,
}


def snapshot_steps(n_steps: int) -> tuple[int, ...]:
    """After how many steps of a stage a snapshot is taken: before the first, then ever more apart.

    >>> snapshot_steps(800)
    (0, 8, 16, 40, 80, 160, 320, 560, 800)
    >>> snapshot_steps(8)
    (0, 1, 2, 3, 6, 8)
    """
    return tuple(sorted({round(share * n_steps) for share in SHARES}))


def spread_rows(n: int, wanted: int) -> Int[Tensor, " m"]:
    """Rows of a set of n, the middles of as many equal parts as are wanted; all if n is smaller.

    >>> spread_rows(64, 4).tolist()
    [8, 24, 40, 56]
    """
    m = min(n, wanted)
    return torch.tensor([(2 * k + 1) * n // (2 * m) for k in range(m)], dtype=torch.int64)


def coarse(images: UInt8[Tensor, "n 3 H H"]) -> UInt8[Tensor, "n 3 m m"]:
    """Pictures at 8 x 8 px, to know them again."""
    return functional.adaptive_avg_pool2d(images.float(), MARK_SIDE).round().to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """K looks of the averaged networks, the ones that are evaluated, at n test pictures.

    Parameters
    ----------
    steps
        (K,) int64, how many steps of the stage of pictures had been taken; ascending.
    rows
        (n,) int64, which pictures of the test part; ascending.
    marks
        (n, 3, 8, 8) uint8, the pictures made coarse, so that :meth:`shows` knows them again. The
        pictures themselves are not kept: those of other people's data must not be handed on.
    skeleton_images
        (K, n, C, h, h) uint8, s in steps of 1/255, at most 64 px wide.
    poses_2d
        (K, n, J, 2) float32, y in [0, 1] image coordinates, x right and y down.
    poses_3d
        (K, n, J, 3) float32, v in method units, camera frame, root at depth Δ.
    elevations
        (K, n) float32, α in radians.

    Raises
    ------
    ValueError
        If kinds, shapes or orders are others than these, or poses are not finite.
    """

    steps: Int[Tensor, " K"]
    rows: Int[Tensor, " n"]
    marks: UInt8[Tensor, "n 3 m m"]
    skeleton_images: UInt8[Tensor, "K n C h h"]
    poses_2d: Float[Tensor, "K n J 2"]
    poses_3d: Float[Tensor, "K n J 3"]
    elevations: Float[Tensor, "K n"]

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            if getattr(self, name).dtype != dtype:
                raise ValueError(f"{name} must be {dtype}, got {getattr(self, name).dtype}")
        for name in ("steps", "rows"):
            values = getattr(self, name)
            if values.ndim != 1 or not len(values) or values[0] < 0 or (values.diff() <= 0).any():
                raise ValueError(f"{name} must ascend from 0 or more, got {values.tolist()}")
        k, n = len(self.steps), len(self.rows)
        joints = self.poses_2d.shape[2] if self.poses_2d.ndim == 4 else "J"
        sizes = tuple(self.skeleton_images.shape[2:])
        square = len(sizes) == 3 and sizes[1] == sizes[2] <= MAX_SIDE
        expected = {
            "marks": (n, 3, MARK_SIDE, MARK_SIDE),
            "skeleton_images": (k, n, *(sizes if square else ("C", "h", "h"))),
            "poses_2d": (k, n, joints, 2),
            "poses_3d": (k, n, joints, 3),
            "elevations": (k, n),
        }
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(
                    f"{name} of {k} snapshots of {n} pictures must be {shape} with at most "
                    f"{MAX_SIDE} px, got {found}"
                )
        for name in ("poses_2d", "poses_3d", "elevations"):
            if not torch.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} hold NaN or infinite values")

    def __len__(self) -> int:
        return len(self.steps)

    def shows(self, images: UInt8[Tensor, "N 3 H H"]) -> bool:
        """Whether these test pictures are, at ``rows``, those that the networks looked at.

        Two grey levels of their coarse copies are forgiven: other processors round otherwise.
        """
        if int(self.rows[-1]) >= len(images):
            return False
        difference = coarse(images[self.rows].cpu()).int() - self.marks.int()
        return bool((difference.abs() <= 2).all())

    def prediction(self, number: int, *, image_size: int) -> Prediction:
        """One snapshot as a prediction of its n pictures, 2D poses in pixels of that image size."""
        return Prediction(
            skeleton_image=self.skeleton_images[number].float() / 255,
            pose_2d=self.poses_2d[number] * image_size,
            pose_3d=self.poses_3d[number],
            elevation=self.elevations[number],
        )


class Album(nn.Module):
    """Takes the snapshots of a training; its buffers go into the checkpoint with the networks.

    They show what Ω read, and Λ on that: nothing is refined while a training goes on.

    Parameters
    ----------
    images
        (N, 3, H, H) uint8, the test pictures, of which a few are looked at: at most
        ``N_PICTURES``, and no more than ``MAX_BYTES`` has room for.
    n_steps
        Of the stage of pictures.
    n_joints, channels, skeleton_size
        Of the poses and of the skeleton images (px).
    """

    images: Tensor
    taken: Bool[Tensor, " K"]
    skeleton_images: Tensor
    poses_2d: Tensor
    poses_3d: Tensor
    elevations: Tensor

    def __init__(
        self,
        images: UInt8[Tensor, "N 3 H H"],
        *,
        n_steps: int,
        n_joints: int,
        channels: int,
        skeleton_size: int,
    ) -> None:
        super().__init__()
        self.steps = snapshot_steps(n_steps)
        self.side = min(skeleton_size, MAX_SIDE)
        each = channels * self.side**2 + 4 * (5 * n_joints + 1)  # bytes of a picture in a snapshot
        room = (MAX_BYTES - _HEADER_BYTES) // (len(self.steps) * each + 3 * MARK_SIDE**2 + 8)
        self.rows = spread_rows(len(images), min(N_PICTURES, room))
        k, n = len(self.steps), len(self.rows)
        # what stands in the data need not stand in every checkpoint
        self.register_buffer("images", images[self.rows].clone(), persistent=False)
        sketches = torch.zeros(k, n, channels, self.side, self.side, dtype=torch.uint8)
        self.register_buffer("taken", torch.zeros(k, dtype=torch.bool))
        self.register_buffer("skeleton_images", sketches)
        self.register_buffer("poses_2d", torch.zeros(k, n, n_joints, 2))
        self.register_buffer("poses_3d", torch.zeros(k, n, n_joints, 3))
        self.register_buffer("elevations", torch.zeros(k, n))

    @torch.no_grad()
    def take(self, step: int, pipeline: PosePipeline, networks: nn.ModuleDict) -> None:
        """Take the snapshot of that many steps, if there is to be one.

        ``networks`` holds Φ and Ω; Λ is the pipeline's.
        """
        if step not in self.steps or not len(self.rows):
            return
        k = self.steps.index(step)
        s = networks["phi"](images_to_input(self.images))
        unit = networks["omega"](s)
        plane = pipeline.unit_to_plane(unit)
        depth, elevation = pipeline.lifter(plane)
        sketch = functional.adaptive_avg_pool2d(s, self.side)
        self.skeleton_images[k] = (255 * sketch).round().to(torch.uint8)
        self.poses_2d[k] = unit
        self.poses_3d[k] = lift(plane, depth, delta=pipeline.architecture.delta)
        self.elevations[k] = elevation
        self.taken[k] = True

    def snapshots(self) -> Snapshots | None:
        """Those taken so far, on the CPU; ``None`` if there are none."""
        taken = self.taken.cpu()
        if not taken.any():
            return None
        return Snapshots(
            steps=torch.tensor(self.steps, dtype=torch.int64)[taken],
            rows=self.rows,
            marks=coarse(self.images.cpu()),
            skeleton_images=self.skeleton_images.cpu()[taken],
            poses_2d=self.poses_2d.cpu()[taken],
            poses_3d=self.poses_3d.cpu()[taken],
            elevations=self.elevations.cpu()[taken],
        )


def save_snapshots(snapshots: Snapshots, path: str | Path) -> None:
    """Write snapshots to one safetensors file, whole or not at all.

    Raises
    ------
    ValueError
        If they are more than ``MAX_BYTES``.
    OSError
        If the file cannot be written.
    """
    tensors = {f.name: getattr(snapshots, f.name).contiguous() for f in fields(Snapshots)}
    size = sum(tensor.nbytes for tensor in tensors.values())
    if size > MAX_BYTES - _HEADER_BYTES:
        raise ValueError(
            f"{path}: snapshots of {size} bytes are too large (at most {MAX_BYTES}); keep fewer "
            "steps or pictures"
        )
    metadata = {"selfpose": FORMAT}
    write_whole(Path(path), lambda partial: save_file(tensors, partial, metadata=metadata))


def read_snapshots(path: str | Path) -> Snapshots:
    """Read the file of :func:`save_snapshots` back; runs no code from it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is too large, no file of snapshots, or what it holds cannot be true.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of snapshots")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path}: {size} bytes are too many for snapshots (at most {MAX_BYTES})")
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("selfpose")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{path}: expected a file marked {FORMAT!r}, got {found!r}")
    if tensors.keys() != _DTYPES.keys():
        raise ValueError(f"{path}: expected {', '.join(_DTYPES)}; got {', '.join(sorted(tensors))}")
    try:
        return Snapshots(**tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def snapshots_of_run(folder: str | Path, record: Record) -> Snapshots | None:
    """The snapshots beside a record; ``None`` where its run kept none, as older ones did not.

    Also where a published record names them but they were left behind, with its weights.

    Raises
    ------
    ValueError
        If they are not those that the record was made with, or cannot be read.
    """
    try:
        path = check_snapshots(Path(folder), record)
    except FileNotFoundError:
        return None
    return None if path is None else read_snapshots(path)


__all__ = [
    "MAX_BYTES",
    "MAX_SIDE",
    "N_PICTURES",
    "SHARES",
    "Album",
    "Snapshots",
    "coarse",
    "read_snapshots",
    "save_snapshots",
    "snapshot_steps",
    "snapshots_of_run",
    "spread_rows",
]
