"""The seven losses of the paper, and the terms that we add: pure functions, one value a batch."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from selfpose.metrics import bone_lengths, twin_distances_sq
from selfpose.render import exchange_sides
from selfpose.skeleton import Skeleton


def pose_norm(difference: Float[Tensor, "*b J C"]) -> Float[Tensor, "*b"]:
    """‖·‖ over all coordinates of a pose, smooth at zero."""
    return (difference.square().sum(dim=(-2, -1)) + 1e-12).sqrt()


def discriminator_loss(
    real_logits: Float[Tensor, "*b"], fake_logits: Float[Tensor, "*b"]
) -> Float[Tensor, ""]:
    """L_D for D (loss 1): −E_w[log D(w)] − E_s[log(1 − D(s))], from D's logits."""
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def adversarial_loss(fake_logits: Float[Tensor, "*b"]) -> Float[Tensor, ""]:
    """L_D for Φ (loss 1) in its non-saturating form, −E_s[log D(s)]."""
    return functional.softplus(-fake_logits).mean()


def r1_penalty(
    real_logits: Float[Tensor, " b"], real: Float[Tensor, "b *shape"]
) -> Float[Tensor, ""]:
    """½ E_w‖∇D(w)‖²: keeps D smooth at real skeleton images (Mescheder et al. 2018).

    ``real`` must require gradients and have led to ``real_logits``.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return 0.5 * gradient.flatten(1).square().sum(dim=1).mean()


def regressor_loss(
    pose: Float[Tensor, "b J 2"], pose_from_image: Float[Tensor, "b J 2"]
) -> Float[Tensor, ""]:
    """First half of L_Ω (loss 2): ‖Ω(κ(u)) − u‖², summed over joints, [0, 1] coordinates."""
    return (pose_from_image - pose).square().sum(dim=(-2, -1)).mean()


def redrawing_loss(
    image: Float[Tensor, "b K H W"], redrawn: Float[Tensor, "b K H W"]
) -> Float[Tensor, ""]:
    """Second half of L_Ω (loss 2): ‖κ(Ω(s)) − s‖², averaged over pixels; λ weights it."""
    return (redrawn - image).square().mean()


def reprojection_loss(
    pose_2d: Float[Tensor, "b J 2"], pose_2d_back: Float[Tensor, "b J 2"]
) -> Float[Tensor, ""]:
    """L_2D (loss 3): ‖y − y'‖, the pose against itself after the cycle, normalised plane."""
    return pose_norm(pose_2d - pose_2d_back).mean()


def consistency_loss(
    pose_3d_rotated: Float[Tensor, "b J 3"], pose_3d_relifted: Float[Tensor, "b J 3"]
) -> Float[Tensor, ""]:
    """L_3D (loss 4): ‖ṽ − ṽ'‖ in the rotated frame, method units."""
    return pose_norm(pose_3d_rotated - pose_3d_relifted).mean()


def deformation_loss(
    pose_3d: Float[Tensor, "b J 3"], pose_3d_back: Float[Tensor, "b J 3"]
) -> Float[Tensor, ""]:
    """L_def (loss 5): ‖(v⁽ʲ⁾ − v⁽ᵏ⁾) − (v'⁽ʲ⁾ − v'⁽ᵏ⁾)‖ over pairs (j, k) of the batch.

    Pairs are the b neighbours in the (shuffled) batch, which need share nothing. Method units.
    """
    before = pose_3d - pose_3d.roll(1, dims=0)
    after = pose_3d_back - pose_3d_back.roll(1, dims=0)
    return pose_norm(before - after).mean()


def flow_loss(log_prob: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """L_NF (loss 6): −log p(ỹ), the rotated pose's negative log-likelihood in nats."""
    return -log_prob.mean()


def bone_length_loss(
    pose_3d: Float[Tensor, "b J 3"], skeleton: Skeleton, *, sigma: float = 0.1
) -> Float[Tensor, ""]:
    """L_bl (loss 7): Σ_n (b_n − b̄_n)² / (2σ²), b_n relative to the mean bone of that pose.

    σ is the same for all bones; 0.1 gives ElePose's weight of 50. The skeleton must state b̄.
    """
    lengths = bone_lengths(pose_3d, skeleton)
    relative = lengths / lengths.mean(dim=-1, keepdim=True).clamp(min=1e-6)
    expected = relative.new_tensor(skeleton.relative_bone_lengths)
    return ((relative - expected).square() / (2 * sigma**2)).sum(dim=-1).mean()


def silhouette_loss(
    drawn: Float[Tensor, "b H W"], foreground: Float[Tensor, "b H W"]
) -> Float[Tensor, ""]:
    """Ours: a thickly drawn skeleton against the foreground of a static camera, both in [0, 1]."""
    return (drawn - foreground).square().mean()


def puppet_loss(
    image: Float[Tensor, "b K H W"],
    pose: Float[Tensor, "b J 2"],
    true_image: Float[Tensor, "b K H W"],
    true_pose: Float[Tensor, "b J 2"],
    skeleton: Skeleton,
    *,
    forgiving: bool = True,
    sigma: float = 0.03,
    share: float = 0.7,
) -> Float[Tensor, ""]:
    """Ours: s = Φ(puppet) and Ω(s) against κ(u) and u, the unpaired pose it was drawn with.

    A stick figure seen from the front is its own twin seen from behind, so a plain squared error
    teaches the mean of the two: a body without sides. This one is that of a mixture: the pose is
    named as given with probability ``share`` and exchanged otherwise, joints have a standard
    deviation of ``sigma`` ([0, 1] image coordinates), and each naming counts by its posterior, as
    in EM. But a mixture is content with either naming for all, so it does not teach which way a
    body faces. Not ``forgiving``, the loss is the plain squared error, for networks that find the
    joints already.
    """
    as_named, exchanged = twin_distances_sq(pose, true_pose, skeleton)
    seen = (image - true_image).square().mean(dim=(-3, -2, -1))
    own = as_named + seen
    if not forgiving:
        return own.mean()
    prior = math.log(share / (1 - share))
    weight = torch.sigmoid(prior + (exchanged - as_named) / (2 * sigma**2)).detach()
    seen_exchanged = (image - exchange_sides(true_image)).square().mean(dim=(-3, -2, -1))
    return (weight * own + (1 - weight) * (exchanged + seen_exchanged)).mean()


def distillation_loss(
    depth: Float[Tensor, "b J"],
    elevation: Float[Tensor, " b"],
    true_depth: Float[Tensor, "b J"],
    true_elevation: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Ours: what Λ says of a pose seen by Ω against what it says of the true one, squared.

    Depths in method units, elevations in radians.
    """
    depths = (depth - true_depth).square().sum(dim=-1)
    return (depths + (elevation - true_elevation).square()).mean()
