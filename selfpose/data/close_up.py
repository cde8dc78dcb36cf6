"""Crops that follow the body through a static camera's pictures, as data sets of hands are cropped.

A hand moves about a camera's picture and is small in it. Its data sets hand out the square about
it instead. The camera's background is the median of the whole pictures; it is cropped with them.
"""

from dataclasses import dataclass, replace

import torch

from selfpose._typing import Float, Int, Tensor, UInt8
from selfpose.data.crop import camera_through_crop
from selfpose.data.reader import Camera
from selfpose.data.studio import Footage
from selfpose.foreground import MIN_FRAMES, static_foreground


@dataclass(frozen=True, kw_only=True)
class CloseUp:
    """What the crops show.

    Parameters
    ----------
    footage
        Cropped pictures, and poses as the crops' cameras see them.
    foreground, backgrounds
        As in :class:`selfpose.data.protocol.ImageSet`; ``None`` where nothing was drawn or clips
        are too short for a median.
    """

    footage: Footage
    foreground: UInt8[Tensor, "N S S"] | None = None
    backgrounds: UInt8[Tensor, "clips 3 S S"] | None = None


def follow(
    poses: Float[Tensor, "N J 2"],
    sequence: Int[Tensor, " N"],
    *,
    picture: int,
    side: int,
    seed: int,
    jitter: float = 0.04,
) -> Int[Tensor, "N 2"]:
    """Left and top, px, of the square of whole pixels about each pose, within the picture.

    Parameters
    ----------
    poses
        Joints in px of the whole pictures: the middle of their extent is the crop's.
    picture, side
        Sides of the whole pictures and of their crops, px.
    jitter
        How far each clip's crops are off the middle, over their side, either way.
    """
    middle = (poses.amax(dim=1) + poses.amin(dim=1)) / 2
    clips = int(sequence.max()) + 1
    off = 2 * torch.rand(clips, 2, generator=torch.Generator().manual_seed(seed)) - 1
    corner = middle + jitter * side * off.to(middle)[sequence] - side / 2
    return corner.round().long().clamp(0, picture - side)


def cut(
    pictures: UInt8[Tensor, "N *c P P"], corner: Int[Tensor, "N 2"], side: int
) -> UInt8[Tensor, "N *c S S"]:
    """The square of ``side`` px at each picture's ``corner`` (left, top)."""
    squares = [
        one[..., top : top + side, left : left + side]
        for one, (left, top) in zip(pictures, corner.tolist(), strict=True)
    ]
    return torch.stack(squares)


def close_up(footage: Footage, *, picture: int, side: int, seed: int) -> CloseUp:
    """Crop footage about its body, every picture by itself.

    3D poses are turned into the camera that looks straight at the crop's middle
    (:func:`selfpose.data.crop.camera_through_crop`): a crop does not tell where in the picture it
    was.

    Parameters
    ----------
    footage
        Of static cameras, from :func:`selfpose.data.studio.film` or ``project_only``.
    picture, side
        Sides of the whole pictures and of their crops, px.
    seed
        Of where the body lies in the crops.

    Raises
    ------
    ValueError
        If the crops would be larger than the pictures.
    """
    if not 0 < side <= picture:
        raise ValueError(f"crops of {side} px do not fit into pictures of {picture} px")
    corner = follow(footage.poses_2d, footage.sequence, picture=picture, side=side, seed=seed)
    principal = footage.principal[footage.sequence]
    seen = (corner + side / 2 - principal).cpu().double()  # the crop's middle from the axis
    box = torch.cat([seen, torch.full_like(seen[:, :1], side)], dim=1)
    camera = Camera(focal=(footage.focal_px, footage.focal_px), principal=(0.0, 0.0))
    turn = torch.from_numpy(camera_through_crop(camera, box.numpy())).to(footage.poses_3d)
    cropped = replace(
        footage,
        poses_2d=footage.poses_2d - corner[:, None],
        poses_3d=footage.poses_3d @ turn.mT,
        principal=footage.principal,
    )
    if footage.images is None:
        return CloseUp(footage=cropped)
    cropped = replace(cropped, images=cut(footage.images, corner, side), mask=None)
    if int(footage.sequence.bincount().min()) < MIN_FRAMES:
        return CloseUp(footage=cropped)
    foreground, medians = static_foreground(footage.images, footage.sequence)
    _, first = footage.sequence.unique_consecutive(return_counts=True)
    begins = first.cumsum(0) - first  # each clip's background is cropped as its first picture is
    return CloseUp(
        footage=cropped,
        foreground=cut(foreground, corner, side),
        backgrounds=cut(medians, corner[begins], side),
    )


__all__ = ["CloseUp", "close_up", "cut", "follow"]
