"""What every source of data hands over: pictures, unpaired 2D poses, a labelled test set."""

from dataclasses import dataclass, field
from typing import Any

import torch

from jaxtyping import Float, Int, UInt8
from torch import Tensor
from selfpose.skeleton import Skeleton


def _check_finite(what: str, poses: Tensor) -> None:
    bad = ~torch.isfinite(poses).flatten(1).all(dim=1)
    if bad.any():
        raise ValueError(
            f"{what}: {int(bad.sum())} of {len(poses)} poses hold NaN or infinite values (first at "
            f"index {int(bad.nonzero()[0, 0])}); drop or mend them before training"
        )


def _check_shape(what: str, tensor: Tensor, expected: tuple[int | None, ...], meaning: str) -> None:
    fits = tensor.ndim == len(expected) and all(
        e is None or e == s for s, e in zip(tensor.shape, expected, strict=False)
    )
    if not fits:
        shown = tuple("N" if e is None else e for e in expected)
        raise ValueError(f"{what}: expected {meaning} {shown}, got {tuple(tensor.shape)}")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Unlabelled pictures of single people.

    Parameters
    ----------
    images
        (N, 3, H, W) uint8, RGB.
    sequence
        (N,) which clip each picture comes from: pictures of one clip share the static camera, its
        background and the person. Pictures of a clip stand together, in the order of time.
        Pictures with no such relation have distinct numbers.
    foreground
        (N, H, W) uint8, how surely each pixel is not the static camera's background, where the
        source knows it: crops that follow a subject do not show it. ``None``: whoever needs it
        makes it from the pictures of a clip.
    backgrounds
        (K, 3, H, W) uint8 pictures of the same cameras without a subject; with ``foreground``.
    """

    images: UInt8[Tensor, "N 3 H W"]
    sequence: Int[Tensor, " N"]
    foreground: UInt8[Tensor, "N H W"] | None = None
    backgrounds: UInt8[Tensor, "K 3 H W"] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8 in 0..255, got {self.images.dtype}")
        _check_shape("images", self.images, (None, 3, None, None), "RGB pictures")
        _check_shape("sequence", self.sequence, (len(self.images),), "one number a picture")
        if (self.foreground is None) != (self.backgrounds is None):
            raise ValueError("foreground and backgrounds belong together: give both or neither")
        if self.foreground is not None and self.backgrounds is not None:
            size = tuple(self.images.shape[2:])
            _check_shape("foreground", self.foreground, (len(self.images), *size), "one a picture")
            _check_shape("backgrounds", self.backgrounds, (None, 3, *size), "RGB pictures")

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, kw_only=True)
class LabelledSet(ImageSet):
    """Pictures with their true poses: for testing, and for the supervised ceiling, nothing else.

    Where a source knows no poses, 2D or 3D, that array is NaN throughout, and no error is measured
    against it.

    Parameters
    ----------
    poses_2d
        (N, J, 2) float32 pixels; pixel centres lie at integer + 0.5.
    poses_3d
        (N, J, 3) float32 millimetres, camera frame (x right, y down, z forward).
    activity
        N names of what the person does, for tables by activity.
    subject, clip, number
        Who each picture shows, the source's name of its clip, and the frame's number there, where a
        protocol of evaluation asks for them.
    """

    poses_2d: Float[Tensor, "N J 2"]
    poses_3d: Float[Tensor, "N J 3"]
    activity: tuple[str, ...]
    subject: tuple[str, ...] | None = None
    clip: tuple[str, ...] | None = None
    number: Int[Tensor, " N"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.images)
        _check_shape("poses_2d", self.poses_2d, (n, None, 2), "2D joints")
        _check_shape("poses_3d", self.poses_3d, (n, self.poses_2d.shape[1], 3), "3D joints")
        for what in ("activity", "subject", "clip", "number"):
            values = getattr(self, what)
            if values is not None and len(values) != n:
                raise ValueError(f"{what}: expected {n} of them, one a picture, got {len(values)}")
        if self.knows_2d:
            _check_finite("poses_2d", self.poses_2d)
        if self.knows_3d:
            _check_finite("poses_3d", self.poses_3d)

    @property
    def knows_2d(self) -> bool:
        """Whether the source knows 2D poses: not one number there is NaN throughout."""
        return not bool(self.poses_2d.isnan().all())

    @property
    def knows_3d(self) -> bool:
        """Whether the source knows 3D poses."""
        return not bool(self.poses_3d.isnan().all())


@dataclass(frozen=True, kw_only=True)
class PoseDataset:
    """The three parts of the method's data, and beside them what only baselines may see.

    Parameters
    ----------
    name
        Identifies the data in records.
    skeleton
        The body; every pose below has its joints in its order.
    unlabelled
        Pictures to learn from, without labels.
    unpaired
        (M, J, 2) float32 pixels: 2D poses of *other* people and moments than the pictures'.
    test
        Labelled pictures, of people, moments and cameras that no other part holds.
    ceiling
        The unlabelled pictures *with* their labels, for the supervised baseline alone.
    provenance
        JSON-able facts to keep in the run record: seeds, trials, counts.

    Raises
    ------
    ValueError
        If parts are empty, differ in picture size or joint count, or hold NaN.
    """

    name: str
    skeleton: Skeleton
    unlabelled: ImageSet
    unpaired: Float[Tensor, "M J 2"]
    test: LabelledSet
    ceiling: LabelledSet | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joints = self.skeleton.n_joints
        _check_shape("unpaired", self.unpaired, (None, joints, 2), "2D poses")
        _check_shape("test.poses_2d", self.test.poses_2d, (None, joints, 2), "2D poses")
        _check_finite("unpaired", self.unpaired)
        for what, part in (("unlabelled", self.unlabelled), ("test", self.test)):
            if not len(part):
                raise ValueError(f"{self.name}: the part {what!r} holds no picture")
        if not len(self.unpaired):
            raise ValueError(f"{self.name}: the part 'unpaired' holds no pose")
        height, width = self.unlabelled.images.shape[2:]
        if height != width:
            raise ValueError(
                f"{self.name}: expected square pictures, got {width}×{height} px; crop a square "
                "about the person"
            )
        if self.ceiling is not None:
            _check_shape(
                "ceiling.poses_2d",
                self.ceiling.poses_2d,
                (len(self.unlabelled), joints, 2),
                "2D poses, one for each unlabelled picture",
            )
        if self.unlabelled.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                f"{self.name}: unlabelled pictures are {tuple(self.unlabelled.images.shape[2:])} "
                f"px but test pictures {tuple(self.test.images.shape[2:])}; use one size"
            )

    @property
    def image_size(self) -> int:
        """Side of the square pictures, in pixels."""
        return int(self.unlabelled.images.shape[-1])


__all__ = ["ImageSet", "LabelledSet", "PoseDataset"]
