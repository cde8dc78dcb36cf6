"""What a pose most likely was, given what Ω read of it and how bodies pose. Ours.

Ω reads each joint as if for itself, so where it is unsure a hand's fingers or a dog's legs come out
as no body holds them, and Λ lifts that as it stands. The unpaired poses show how bodies pose, and
puppets how far Ω errs at each joint; together they give the pose to be expected.
"""

import math

import torch

from jaxtyping import Float
from torch import Tensor
from selfpose.metrics import best_labelling, procrustes, root_centred
from selfpose.skeleton import Skeleton

MEDIAN_OF_RAYLEIGH = math.sqrt(2 * math.log(2))
"""Median length of a 2D normal error, in standard deviations of one coordinate."""
LEAST_NOISE = 1e-4
"""Plane units: no joint is read more surely than this, so that no noise is zero."""
HARDER = 1.5
"""How much farther than on puppets Ω is taken to err on pictures, which are harder."""
LIKELIEST = 64
"""An expected shape is a mean of so many poses."""
ROUNDS = 5
"""Alignments to the mean of before; it hardly moves after the third."""


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


def _precision(noise: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """1/(h² + σ²) of each joint (J), and its share of their sum (J, 1)."""
    precision = 1 / (noise.square() + width.square())
    return precision, (precision / precision.sum())[:, None]


def explain(
    seen: Float[Tensor, "*b J 2"],
    noise: Float[Tensor, " J"],
    poses: Float[Tensor, "n J 2"],
    *,
    width: Float[Tensor, " J"],
) -> Float[Tensor, "*b n"]:
    """log ω: how well each of the poses explains what was read, up to a constant.

    Each is put where it fits best. Parameters and errors as in :func:`expected_pose`.
    """
    if not (noise > 0).all():
        raise ValueError(
            "every joint needs a positive standard deviation; measure them (measure_noise), or "
            f"lift the pose as it was seen. Got {noise.tolist()}"
        )
    if not len(poses):
        raise ValueError("no poses to expect one of; lift the pose as it was seen")
    precision, share = _precision(noise, width)
    scale = precision.sqrt()[:, None]
    about = scale * (poses - (share * poses).sum(dim=-2, keepdim=True))
    y = scale * (seen - (share * seen).sum(dim=-2, keepdim=True))
    distance = torch.cdist(y.reshape(-1, 2 * len(noise)), about.flatten(1))
    return -distance.square().reshape(*seen.shape[:-2], len(poses)) / 2


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
    precision, share = _precision(noise, width)
    centre = (share * seen).sum(dim=-2, keepdim=True)
    about = poses - (share * poses).sum(dim=-2, keepdim=True)
    weight = explain(seen, noise, poses, width=width).softmax(dim=-1)
    mean = (weight.reshape(-1, len(poses)) @ about.flatten(1)).reshape(seen.shape) + centre
    return mean + (width.square() * precision)[:, None] * (seen - mean)


def expected_shape(
    log_weight: Float[Tensor, "*b n"],
    poses_3d: Float[Tensor, "n J 3"],
    start: Float[Tensor, "*b J 3"],
) -> Float[Tensor, "*b J 3"]:
    """The 3D pose of least expected squared distance, whatever its size, turn and place.

    The distance is that after alignment, of a pose centred and of norm 1 (equation eq-shape of
    the book). Poses are moved onto the mean as P-MPJPE moves them, by the best similarity transform
    with a proper rotation, and averaged; the mean moves, so this is done a few times. Only the
    :data:`LIKELIEST` are taken. It is a weighted generalised Procrustes analysis (Gower 1975).

    Parameters
    ----------
    log_weight
        log ω of each pose, up to a constant: :func:`explain`.
    poses_3d
        Those poses, lifted; any unit and place.
    start
        Where the mean is sought from. It also says how the result is turned, its size and place.
    """
    likely = log_weight.topk(min(LIKELIEST, len(poses_3d)), dim=-1)
    share = likely.values.softmax(dim=-1)[..., None, None]
    chosen, found = poses_3d[likely.indices], start
    for _ in range(ROUNDS):
        onto = found[..., None, :, :].expand_as(chosen)
        found = (share * procrustes(chosen, onto)).sum(dim=-3)
    return procrustes(found, start)


__all__ = ["HARDER", "expected_pose", "expected_shape", "explain", "measure_noise"]
