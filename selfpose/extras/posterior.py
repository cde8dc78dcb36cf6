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

MEDIAN_OF_RAYLEIGH = math.sqrt(2 * math.log(2))  # length of a 2D normal error, in its σ
LEAST_NOISE = 1e-4  # plane units: no joint is read more surely than this
HARDER = 1.5  # how much farther than on puppets Ω is taken to err on pictures, which are harder
LIKELIEST = 64  # an expected shape is a mean of so many poses
ROUNDS = 5  # alignments to the mean of before; it hardly moves after the third


def measure_noise(
    seen: Float[Tensor, "b J 2"], true: Float[Tensor, "b J 2"], skeleton: Skeleton
) -> Float[Tensor, " J"]:
    """Standard deviation of each joint's error against the root, in both coordinates alike.

    ``seen`` is what Ω read of puppets that were drawn with the poses ``true`` (normalised plane).
    The root is given the noise of the surest joint. Left and right are forgiven limb by limb, and
    medians taken: a pose read altogether wrongly says nothing of how surely joints are read.
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
    """log ω: how well each of the poses, put where it fits best, explains what was read.

    Up to a constant. Parameters as in :func:`expected_pose`.
    """
    if not len(poses) or not (noise > 0).all():
        raise ValueError("no noise was measured, or no poses are known: take poses as Ω read them")
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
    seen, poses
        y, and the poses given, normalised plane; where those stand does not matter.
    noise, width
        σ and h, standard deviations of each joint's error and of its kernel (plane units), σ > 0.
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
    the book). The :data:`LIKELIEST` poses, lifted, are moved onto the mean by :func:`procrustes`
    and averaged; the mean moves, so this is done a few times: a weighted generalised Procrustes
    analysis (Gower 1975). ``log_weight`` is that of :func:`explain`; ``start`` is where the mean is
    sought from, and says how the result is turned, its size and place.
    """
    likely = log_weight.topk(min(LIKELIEST, len(poses_3d)), dim=-1)
    share = likely.values.softmax(dim=-1)[..., None, None]
    chosen, found = poses_3d[likely.indices], start
    for _ in range(ROUNDS):
        onto = found[..., None, :, :].expand_as(chosen)
        found = (share * procrustes(chosen, onto)).sum(dim=-3)
    return procrustes(found, start)
