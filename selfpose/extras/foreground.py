"""What moves before a static camera: background by median, foreground by difference. Ours."""

import torch

from jaxtyping import Int, UInt8
from torch import Tensor

MIN_FRAMES = 8
"""Fewer pictures than this from one camera give no background."""


def static_background(
    images: UInt8[Tensor, "N 3 H W"], sequence: Int[Tensor, " N"]
) -> tuple[UInt8[Tensor, "S 3 H W"], Int[Tensor, " N"]]:
    """The median picture of each sequence, and which of them each picture belongs to."""
    numbers, row = sequence.unique(return_inverse=True)
    medians = [images[row == k].median(dim=0).values for k in range(len(numbers))]
    return torch.stack(medians), row


def difference_to_foreground(
    images: UInt8[Tensor, "N 3 H W"],
    backgrounds: UInt8[Tensor, "#N 3 H W"],
    *,
    threshold: float = 0.06,
    softness: float = 0.02,
) -> UInt8[Tensor, "N H W"]:
    """How surely each pixel differs from the background, 0 to 255.

    ``threshold`` and ``softness`` as in :func:`static_foreground`.
    """
    difference = (images.float() - backgrounds.float()).abs().amax(dim=1) / 255
    return (255 * torch.sigmoid((difference - threshold) / softness)).round().to(torch.uint8)


def static_foreground(
    images: UInt8[Tensor, "N 3 H W"],
    sequence: Int[Tensor, " N"],
    *,
    threshold: float = 0.06,
    softness: float = 0.02,
) -> tuple[UInt8[Tensor, "N H W"], UInt8[Tensor, "S 3 H W"]]:
    """How surely each pixel differs from its camera's median picture, 0 to 255; and the medians.

    Parameters
    ----------
    images, sequence
        Pictures of static cameras, and which camera took each.
    threshold, softness
        Difference (of 1) at which a pixel counts half, and the width of the change.

    Raises
    ------
    ValueError
        If a sequence has fewer than ``MIN_FRAMES`` pictures: these are not videos of static
        cameras, and whatever needs a background must be left out.
    """
    medians, row = static_background(images, sequence)
    fewest = int(row.bincount().min())
    if fewest < MIN_FRAMES:
        raise ValueError(
            f"a background needs pictures of a static camera, at least {MIN_FRAMES} from each; one "
            f"sequence has only {fewest}. For loose pictures take the variant 'loose', which "
            "needs no background"
        )
    parts = [
        difference_to_foreground(chunk, medians[rows], threshold=threshold, softness=softness)
        for chunk, rows in zip(images.split(512), row.split(512), strict=True)
    ]
    return torch.cat(parts), medians


__all__ = [
    "MIN_FRAMES",
    "difference_to_foreground",
    "static_background",
    "static_foreground",
]
