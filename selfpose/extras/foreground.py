"""What moves before a static camera: background by median, foreground by difference. Ours."""

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

MIN_FRAMES = 8  # fewer pictures than this from one camera give no background
THRESHOLD, SOFTNESS = 0.06, 0.02  # the difference (of 1) that counts half; width of the change


def static_background(
    images: UInt8[Tensor, "N 3 H W"], sequence: Int[Tensor, " N"]
) -> tuple[UInt8[Tensor, "S 3 H W"], Int[Tensor, " N"]]:
    """The median picture of each sequence, and which of them each picture belongs to."""
    numbers, row = sequence.unique(return_inverse=True)
    medians = [images[row == k].median(dim=0).values for k in range(len(numbers))]
    return torch.stack(medians), row


def difference_to_foreground(
    images: UInt8[Tensor, "N 3 H W"], backgrounds: UInt8[Tensor, "#N 3 H W"]
) -> UInt8[Tensor, "N H W"]:
    """How surely each pixel differs from the background, 0 to 255."""
    difference = (images.float() - backgrounds.float()).abs().amax(dim=1) / 255
    return (255 * torch.sigmoid((difference - THRESHOLD) / SOFTNESS)).round().to(torch.uint8)


def static_foreground(
    images: UInt8[Tensor, "N 3 H W"], sequence: Int[Tensor, " N"]
) -> tuple[UInt8[Tensor, "N H W"], UInt8[Tensor, "S 3 H W"]]:
    """:func:`difference_to_foreground` of pictures to their static camera's median; the medians."""
    medians, row = static_background(images, sequence)
    fewest = int(row.bincount().min())
    if fewest < MIN_FRAMES:
        raise ValueError(
            f"a background needs {MIN_FRAMES} or more pictures of each static camera, one sequence "
            f"has {fewest}; for pictures of no such camera take the variant 'loose'"
        )
    parts = [
        difference_to_foreground(chunk, medians[rows])
        for chunk, rows in zip(images.split(512), row.split(512), strict=True)
    ]
    return torch.cat(parts), medians
