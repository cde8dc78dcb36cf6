"""Errors of 2D and 3D poses under their full names: the variant is part of each name.

Errors are one value a pose; callers average. 3D poses are in millimetres unless said otherwise.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfpose.skeleton import Skeleton

Pose2D = Float[Tensor, "*b J 2"]
Pose3D = Float[Tensor, "*b J 3"]


def root_centred(pose: Float[Tensor, "*b J C"], root: int) -> Float[Tensor, "*b J C"]:
    """Subtract the root joint."""
    return pose - pose[..., root : root + 1, :]


def joint_errors(predicted: Pose3D, target: Pose3D, *, root: int) -> Float[Tensor, "*b J"]:
    """Euclidean error of each joint after the roots are aligned (mm); the root's own is 0."""
    return (root_centred(predicted, root) - root_centred(target, root)).norm(dim=-1)


def mpjpe(predicted: Pose3D, target: Pose3D, *, root: int) -> Float[Tensor, "*b"]:
    """MPJPE: mean Euclidean joint error after the roots are aligned (mm)."""
    return joint_errors(predicted, target, root=root).mean(dim=-1)


def scale_to_target(predicted: Pose3D, target: Pose3D, *, root: int) -> Pose3D:
    """Root-centre and multiply by the least-squares scale ⟨p, g⟩ / ⟨p, p⟩, never below zero."""
    p, g = root_centred(predicted, root), root_centred(target, root)
    size = (p * p).sum(dim=(-2, -1)).clamp(min=torch.finfo(p.dtype).tiny)
    scale = ((p * g).sum(dim=(-2, -1)) / size).clamp(min=0)
    return p * scale[..., None, None]


def ratio_scale_to_target(predicted: Pose3D, target: Pose3D, *, root: int) -> Pose3D:
    """Root-centre and give the prediction the target's norm: the scale ‖g‖ / ‖p‖.

    Some code of this field rests its N-MPJPE on it (ElePose's evaluation). It is never smaller
    than the least-squares scale ⟨p, g⟩ / ⟨p, p⟩, by Cauchy and Schwarz.
    """
    p, g = root_centred(predicted, root), root_centred(target, root)
    size = p.norm(dim=(-2, -1)).clamp(min=torch.finfo(p.dtype).tiny)
    return p * (g.norm(dim=(-2, -1)) / size)[..., None, None]


def bone_scale_to_target(
    predicted: Pose3D, target: Pose3D, *, root: int, bone: tuple[int, int]
) -> Pose3D:
    """Root-centre and scale so that two joints are as far apart as in the target, as for hands."""
    i, j = bone
    p = root_centred(predicted, root)
    own = (p[..., j, :] - p[..., i, :]).norm(dim=-1).clamp(min=torch.finfo(p.dtype).tiny)
    true = (target[..., j, :] - target[..., i, :]).norm(dim=-1)
    return p * (true / own)[..., None, None]


def set_scale(
    predicted: Float[Tensor, "N J 3"], target: Float[Tensor, "N J 3"], *, root: int
) -> Float[Tensor, ""]:
    """The one least-squares scale of a whole set of root-centred poses, never below zero.

    For predictions without a unit: it makes millimetres of them and forgives no single pose.
    """
    p, g = root_centred(predicted, root), root_centred(target, root)
    scale = (p * g).sum() / (p * p).sum().clamp(min=torch.finfo(p.dtype).tiny)
    return scale.clamp(min=0)


def n_mpjpe(predicted: Pose3D, target: Pose3D, *, root: int) -> Float[Tensor, "*b"]:
    """N-MPJPE: MPJPE after the least-squares scale about the root (mm)."""
    return mpjpe(scale_to_target(predicted, target, root=root), target, root=root)


def procrustes(predicted: Pose3D, target: Pose3D, *, reflection: bool = False) -> Pose3D:
    """The prediction after the best similarity transform onto the target.

    With ``reflection=False`` (the default) the rotation is proper, det R = +1, as the metric's
    definition asks; ``True`` also admits mirror images, which hides depth flips.
    """
    centre = target.mean(dim=-2, keepdim=True)
    p = predicted - predicted.mean(dim=-2, keepdim=True)
    g = target - centre
    u, s, vh = torch.linalg.svd(p.mT @ g)
    sign = torch.ones_like(s)
    if not reflection:
        sign[..., -1] = torch.where((torch.linalg.det(u) * torch.linalg.det(vh)) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vh
    size = (p * p).sum(dim=(-2, -1)).clamp(min=torch.finfo(p.dtype).tiny)
    scale = (s * sign).sum(dim=-1) / size
    return scale[..., None, None] * (p @ rotation) + centre


def procrustes_z_turned(predicted: Pose3D, target: Pose3D) -> Pose3D:
    """Not the metric's alignment, but one that circulates as Procrustes "without reflection".

    The best orthogonal transform is taken, and where it is a reflection, its result's z is negated:
    a proper rotation, but not the best one, which gives up the axis of the smallest singular value.
    The scale is the ratio of norms. So does ElePose's batched evaluation; it stands here to measure
    what that makes of a number.
    """
    centre = target.mean(dim=-2, keepdim=True)
    p = predicted - predicted.mean(dim=-2, keepdim=True)
    g = target - centre
    u, _, vh = torch.linalg.svd(p.mT @ g)
    rotation = u @ vh
    turned = torch.ones_like(p[..., 0, :])
    turned[..., 2] = torch.linalg.det(rotation).sign()
    aligned = (p @ rotation) * turned[..., None, :]
    size = p.norm(dim=(-2, -1)).clamp(min=torch.finfo(p.dtype).tiny)
    return aligned * (g.norm(dim=(-2, -1)) / size)[..., None, None] + centre


def p_mpjpe(predicted: Pose3D, target: Pose3D, *, reflection: bool = False) -> Float[Tensor, "*b"]:
    """P-MPJPE: mean joint error after Procrustes alignment, a proper rotation by default (mm)."""
    aligned = procrustes(predicted, target, reflection=reflection)
    return (aligned - target).norm(dim=-1).mean(dim=-1)


def percent_below(
    errors: Float[Tensor, "*b J"], threshold_mm: float, *, inclusive: bool = False
) -> Float[Tensor, "*b"]:
    """Percentage of joints with an error below a threshold: strictly, or ``inclusive`` of it.

    PCK of people is strict in the official MPI-INF-3DHP script; hands count the threshold in.
    """
    hit = errors <= threshold_mm if inclusive else errors < threshold_mm
    return 100 * hit.to(errors.dtype).mean(dim=-1)


def pck(
    predicted: Pose3D, target: Pose3D, *, root: int, threshold_mm: float = 150.0
) -> Float[Tensor, "*b"]:
    """PCK: percentage of joints, the root included, whose error is strictly below the threshold."""
    return percent_below(joint_errors(predicted, target, root=root), threshold_mm)


def auc(predicted: Pose3D, target: Pose3D, *, root: int) -> Float[Tensor, "*b"]:
    """AUC: mean PCK over the 31 thresholds 0, 5, …, 150 mm.

    A perfect prediction scores 100 · 30/31 = 96.77, as in the official MPI-INF-3DHP script, since
    no error lies below 0.
    """
    error = joint_errors(predicted, target, root=root).sort(dim=-1).values
    thresholds = 5 * torch.arange(31).to(error).expand(*error.shape[:-1], 31)
    below = torch.searchsorted(error, thresholds).to(error.dtype)  # joints strictly below each
    curve = 100 * (below / error.shape[-1])
    return curve.movedim(-1, 0).contiguous().mean(dim=0)


def flip_depth(pose: Pose3D, *, root: int) -> Pose3D:
    """The pose with all depths turned about its root's: what was before it lies behind it."""
    z = 2 * pose[..., root : root + 1, 2:] - pose[..., 2:]
    return torch.cat([pose[..., :2], z], dim=-1)


def error_2d_percent(predicted: Pose2D, target: Pose2D, *, image_size: int) -> Float[Tensor, "*b"]:
    """Mean 2D joint error in % of the side of the image; poses in pixels. Strict about sides."""
    return 100 * (predicted - target).norm(dim=-1).mean(dim=-1) / image_size


def side_labellings(skeleton: Skeleton) -> Iterator[list[int]]:
    """Joint orders with left and right exchanged in any subset of the limbs (legs, arms)."""
    for swaps in product((False, True), repeat=len(skeleton.limbs)):
        order = list(range(skeleton.n_joints))
        for limb, swapped in zip(skeleton.limbs, swaps, strict=True):
            for left, right in limb if swapped else ():
                order[left], order[right] = right, left
        yield order


def best_labelling(predicted: Pose2D, target: Pose2D, skeleton: Skeleton) -> Pose2D:
    """The prediction with left and right of each limb exchanged where that fits the target better.

    Uses the truth, so it is for analysis only: it measures a pose up to its left/right labels.
    """
    options = torch.stack([predicted[..., order, :] for order in side_labellings(skeleton)])
    best = (options - target).norm(dim=-1).mean(dim=-1).argmin(dim=0)
    return options.gather(0, best[None, ..., None, None].expand(1, *options.shape[1:]))[0]


def side_tolerant_error_2d_percent(
    predicted: Pose2D, target: Pose2D, *, image_size: int, skeleton: Skeleton
) -> Float[Tensor, "*b"]:
    """2D error in % with left and right forgiven limb by limb (arms and legs apart)."""
    matched = best_labelling(predicted, target, skeleton)
    return error_2d_percent(matched, target, image_size=image_size)


def facing_is_right(predicted: Pose2D, target: Pose2D, skeleton: Skeleton) -> Bool[Tensor, "*b"]:
    """Whether the pose fits the truth better as it is than with all left and right exchanged."""
    swapped = predicted[..., list(skeleton.flip), :]
    own, twin = ((pose - target).norm(dim=-1).mean(dim=-1) for pose in (predicted, swapped))
    return own <= twin


def twin_distances_sq(
    pose: Pose2D, target: Pose2D, skeleton: Skeleton
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Squared distance of a pose to a target, and to the target's twin, its left and right swapped.

    Summed over joints, in the square of the poses' unit. Differentiable.
    """
    twin = target[..., list(skeleton.flip), :]
    own, exchanged = ((pose - t).square().sum(dim=(-2, -1)) for t in (target, twin))
    return own, exchanged


def swapped_limbs(predicted: Pose2D, target: Pose2D, skeleton: Skeleton) -> Bool[Tensor, "*b L"]:
    """Which of the L limbs (legs, arms) fit the truth better with left and right exchanged."""
    swapped = predicted[..., list(skeleton.flip), :]
    gain = (predicted - target).norm(dim=-1) - (swapped - target).norm(dim=-1)
    limbs = [gain[..., [i for pair in limb for i in pair]].sum(dim=-1) for limb in skeleton.limbs]
    return torch.stack(limbs, dim=-1) > 0 if limbs else gain[..., :0] > 0


def mixed_sides(predicted: Pose2D, target: Pose2D, skeleton: Skeleton) -> Bool[Tensor, "*b"]:
    """Whether some limbs fit the truth better exchanged and some do not: no person's body does."""
    swapped = swapped_limbs(predicted, target, skeleton)
    return swapped.any(dim=-1) & ~swapped.all(dim=-1)


def bone_vectors(pose: Float[Tensor, "*b J C"], skeleton: Skeleton) -> Float[Tensor, "*b B C"]:
    """From each bone's parent joint to its child."""
    parents, children = ([bone[end] for bone in skeleton.bones] for end in (0, 1))
    return pose[..., children, :] - pose[..., parents, :]


def bone_lengths(pose: Float[Tensor, "*b J C"], skeleton: Skeleton) -> Float[Tensor, "*b B"]:
    """Length of each bone, in the pose's own unit."""
    return bone_vectors(pose, skeleton).norm(dim=-1)


def wrong_depth_signs_percent(
    predicted: Pose3D, target: Pose3D, skeleton: Skeleton, *, steep: float = 0.25
) -> Float[Tensor, "*b"]:
    """Share of bones that point away from the camera where they should point to it, or reversed.

    Only bones count whose true depth difference is at least ``steep`` of their length: the sign of
    one that lies across the view means nothing. 0 for a pose without such bones.
    """
    seen, true = (bone_vectors(pose, skeleton)[..., 2] for pose in (predicted, target))
    counted = true.abs() >= steep * bone_lengths(target, skeleton)
    wrong = counted & (seen.sign() != true.sign())
    return 100 * wrong.sum(dim=-1) / counted.sum(dim=-1).clamp(min=1).to(predicted.dtype)


def bone_lengths_from_2d(
    pose: Float[Tensor, "N J 2"], skeleton: Skeleton, *, quantile: float = 0.95
) -> Float[Tensor, " B"]:
    """Lengths of the bones from many 2D poses of one scale, in their unit.

    A projection is as long as its bone where that lies across the view, and shorter elsewhere: a
    high quantile over many poses comes near it. Mirror bones get the same number.
    """
    lengths = bone_lengths(pose, skeleton).double().quantile(quantile, dim=0)
    return (lengths + lengths[list(skeleton.flipped_bones)]) / 2


def with_measured_bones(skeleton: Skeleton, poses: Float[Tensor, "N J 3"]) -> Skeleton:
    """The skeleton with the relative mean bone lengths b̄_n of 3D poses; of twins alike."""
    lengths = bone_lengths(poses, skeleton).double().mean(dim=0)
    lengths = (lengths + lengths[list(skeleton.flipped_bones)]) / 2
    return replace(skeleton, relative_bone_lengths=tuple((lengths / lengths.mean()).tolist()))
