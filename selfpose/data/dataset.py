"""What every source of data hands over: pictures, unpaired 2D poses, a labelled test set."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from selfpose.data.rows import even_rows
from selfpose.skeleton import Skeleton

SomeSet = TypeVar("SomeSet", bound="ImageSet")


def _require(what: str, tensor: Tensor, *shape: int | None, finite: bool = False) -> None:
    """A user's own arrays meet this: the shape (``None``: any length), and no NaN."""
    if tensor.ndim != len(shape) or any(
        n not in (None, m) for n, m in zip(shape, tensor.shape, strict=False)
    ):
        wanted = ", ".join("N" if n is None else str(n) for n in shape)
        raise ValueError(f"{what}: expected the shape ({wanted}), got {tuple(tensor.shape)}")
    if finite and (bad := ~tensor.isfinite().flatten(1).all(dim=1)).any():
        raise ValueError(f"{what}: {int(bad.sum())} of {len(bad)} poses hold NaN or infinity")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Unlabelled pictures of single people, RGB.

    ``sequence`` says which clip each comes from: pictures of one clip share the static camera, its
    background and the person, and stand together in the order of time; pictures with no such
    relation have distinct numbers. Where the source knows it, ``foreground`` is how surely each
    pixel is not the background, and ``backgrounds`` are pictures of the cameras without a subject.
    """

    images: UInt8[Tensor, "N 3 H W"]
    sequence: Int[Tensor, " N"]
    foreground: UInt8[Tensor, "N H W"] | None = None
    backgrounds: UInt8[Tensor, "K 3 H W"] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8 in 0..255, got {self.images.dtype}")
        _require("images", self.images, None, 3, None, None)
        _require("sequence", self.sequence, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def thinned(self: SomeSet, n: int | None) -> SomeSet:
        """At most n pictures with all that belongs to them, spread evenly; ``None`` takes all."""
        if n is None or n >= len(self):
            return self
        rows = even_rows(len(self), most=n)
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "backgrounds":
                changed[name] = value[rows]
            elif isinstance(value, tuple):
                changed[name] = tuple(value[k] for k in rows.tolist())
        return replace(self, **changed)


@dataclass(frozen=True, kw_only=True)
class LabelledSet(ImageSet):
    """Pictures with their true poses: for testing, and for the supervised ceiling, nothing else.

    ``poses_2d`` are px (pixel centres at integer + 0.5), ``poses_3d`` mm in the camera's frame (x
    right, y down, z forward). Where a source knows no poses, that array is NaN throughout, and no
    error is measured against it. ``subject``, ``clip`` and the frame's ``number`` in it are there
    where a protocol of evaluation asks for them.
    """

    poses_2d: Float[Tensor, "N J 2"]
    poses_3d: Float[Tensor, "N J 3"]
    activity: tuple[str, ...]
    subject: tuple[str, ...] | None = None
    clip: tuple[str, ...] | None = None
    number: Int[Tensor, " N"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        n, joints = len(self.images), self.poses_2d.shape[1]
        _require("poses_2d", self.poses_2d, n, joints, 2, finite=self.knows_2d)
        _require("poses_3d", self.poses_3d, n, joints, 3, finite=self.knows_3d)
        if len(self.activity) != n:
            raise ValueError(f"activity: expected {n} names, got {len(self.activity)}")

    @property
    def knows_2d(self) -> bool:
        """Whether the source knows 2D poses."""
        return not bool(self.poses_2d.isnan().all())

    @property
    def knows_3d(self) -> bool:
        """Whether the source knows 3D poses."""
        return not bool(self.poses_3d.isnan().all())


@dataclass(frozen=True, kw_only=True)
class PoseDataset:
    """The three parts of the method's data, and beside them what only baselines may see.

    Pictures to learn from; 2D poses (px) of *other* people and moments; labelled pictures of
    people, moments and cameras that no other part holds. ``ceiling`` are the unlabelled pictures
    *with* their labels, for the supervised baseline alone. Poses have their joints in the
    skeleton's order. ``provenance`` are JSON-able facts for the run's record.
    """

    name: str
    skeleton: Skeleton
    unlabelled: ImageSet
    unpaired: Float[Tensor, "M J 2"]
    test: LabelledSet
    ceiling: LabelledSet | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joints, size = self.skeleton.n_joints, self.unlabelled.images.shape[-1]
        _require("unpaired", self.unpaired, None, joints, 2, finite=True)
        _require("unlabelled.images", self.unlabelled.images, None, 3, size, size)
        _require("test.images", self.test.images, None, 3, size, size)
        _require("test.poses_2d", self.test.poses_2d, None, joints, 2)
        for what in ("unlabelled", "unpaired", "test"):
            if not len(getattr(self, what)):
                raise ValueError(f"{self.name}: the part {what!r} is empty")

    @property
    def image_size(self) -> int:
        """Side of the square pictures, in pixels."""
        return int(self.unlabelled.images.shape[-1])

    def thinned(
        self,
        *,
        n_unlabelled: int | None = None,
        n_unpaired: int | None = None,
        n_test: int | None = None,
    ) -> "PoseDataset":
        """At most so many of each part, spread evenly, in their order; ``None`` takes all."""
        unpaired, provenance = self.unpaired, dict(self.provenance)
        if n_unpaired is not None and n_unpaired < len(unpaired):
            unpaired = unpaired[even_rows(len(unpaired), most=n_unpaired)]
        if n_test is not None and n_test < len(self.test):
            provenance["test_thinned_from"] = len(self.test)  # protocols must not call these all
        return replace(
            self,
            unlabelled=self.unlabelled.thinned(n_unlabelled),
            unpaired=unpaired,
            test=self.test.thinned(n_test),
            ceiling=self.ceiling and self.ceiling.thinned(n_unlabelled),
            provenance=provenance,
        )
