"""What a pose most likely was, given what Ω read of it and how bodies pose. Ours.

Ω reads each joint as if for itself, so where it is unsure a hand's fingers or a dog's legs come out
as no body holds them, and Λ lifts that as it stands. The unpaired poses show how bodies pose, and
puppets how far Ω errs at each joint; together they give the pose to be expected.
"""

import math

import torch

from selfpose._typing import Float, Tensor
from selfpose.metrics import best_labelling, root_centred
from selfpose.skeleton import Skeleton

MEDIAN_OF_RAYLEIGH = math.sqrt(2 * math.log(2))
"""Median length of a 2D normal error, in standard deviations of one coordinate."""
LEAST_NOISE = 1e-4
"""Plane units: no joint is read more surely than this, so that no noise is zero."""
HARDER = 1.5
"""How much farther than on puppets Ω is taken to err on pictures, which are harder."""


def measure_noise(
    seen: Float[Tensor, "b J 2"], true: Float[Tensor, "b J 2"], skeleton: Skeleton
) -> Float[Tensor, " J"]:
    """Standard deviation of each joint's error against the root, in both coordinates alike.

    Poses are centred, so each joint's error holds the root's and comes out a little too large; the
    root is given that of the surest joint. Left and right are forgiven limb by limb, and medians
    taken: a pose read altogether wrongly says nothing of how surely joints are read.

    Parameters
    ----------
    seen, true
        What Ω read, and the poses that the puppets were drawn with, normalised plane.
    """
    named = best_labelling(true, seen, skeleton)
    error = root_centred(seen, skeleton.root) - root_centred(named, skeleton.root)
    noise = error.norm(dim=-1).median(dim=0).values / MEDIAN_OF_RAYLEIGH
    noise[skeleton.root] = torch.inf
    noise[skeleton.root] = noise.min()
    return noise.clamp(min=LEAST_NOISE)


def expected_pose(
    seen: Float[Tensor, "*b J 2"],
    noise: Float[Tensor, " J"],
    poses: Float[Tensor, "n J 2"],
    *,
    width: Float[Tensor, " J"],
) -> Float[Tensor, "*b J 2"]:
    """E[u | y]: the mean of the poses that may have been read as y, each by how well it explains y.

    A pose is taken to be one of those given, anywhere in the plane, with each joint moved by a
    normal kernel; and what is read to be that with normal noise. The mean has a closed form: one of
    the poses given, or a mixture of near ones, and from there a part of the way back to y.

    Parameters
    ----------
    seen
        y, normalised plane, centred or not.
    noise
        σ, the standard deviation of each joint's error (plane units), all positive.
    poses
        Poses of such bodies; where they stand does not matter.
    width
        Standard deviation of the kernel about each joint (plane units).

    Returns
    -------
    The expected poses, where y is in the plane. The root moves like other joints.

    Raises
    ------
    ValueError
        If a standard deviation is not positive, or there are no poses.
    """
    if not (noise > 0).all():
        raise ValueError(
            "every joint needs a positive standard deviation; measure them (measure_noise), or "
            f"lift the pose as it was seen. Got {noise.tolist()}"
        )
    if not len(poses):
        raise ValueError("no poses to expect one of; lift the pose as it was seen")
    precision = 1 / (noise.square() + width.square())  # of what is read about a pose given
    share = (precision / precision.sum())[:, None]
    centre = (share * seen).sum(dim=-2, keepdim=True)
    about = poses - (share * poses).sum(dim=-2, keepdim=True)
    scale = precision.sqrt()[:, None]
    y = (scale * (seen - centre)).reshape(-1, 2 * len(noise))
    weight = (-torch.cdist(y, (scale * about).flatten(1)).square() / 2).softmax(dim=-1)
    mean = (weight @ about.flatten(1)).reshape(seen.shape) + centre
    return mean + (width.square() * precision)[:, None] * (seen - mean)


__all__ = ["HARDER", "expected_pose", "measure_noise"]
