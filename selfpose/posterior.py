"""The most probable 2D pose, given what Ω read and how bodies pose: MAP under the flow prior. Ours.

Ω reads each joint as if for itself, so where it is unsure a hand's fingers or a dog's legs come out
as no body holds them, and Λ lifts that as it stands. The flow knows what 2D poses look like, and
puppets show how far Ω errs at each joint; together they give the pose that is most probable.
"""

import math
from typing import Protocol, runtime_checkable

import torch

from selfpose._typing import Float, Tensor
from selfpose.metrics import best_labelling, root_centred
from selfpose.skeleton import Skeleton

MEDIAN_OF_RAYLEIGH = math.sqrt(2 * math.log(2))
"""Median length of a 2D normal error, in standard deviations of one coordinate."""
LEAST_NOISE = 1e-4
"""Plane units: no joint is read more surely than this, so that no noise is zero."""


@runtime_checkable
class Prior(Protocol):
    """Anything with log p of a pose, as :class:`selfpose.flow.FlowPrior` has."""

    def log_prob(self, pose: Tensor) -> Tensor: ...


def measure_noise(
    seen: Float[Tensor, "b J 2"], true: Float[Tensor, "b J 2"], skeleton: Skeleton
) -> Float[Tensor, " J"]:
    """Standard deviation of each joint's error against the root, in both coordinates alike.

    Poses are centred, so each joint's error holds the root's, and the root's own is
    ``LEAST_NOISE``. Left and right are forgiven limb by limb, and medians taken: a pose read
    altogether wrongly says nothing of how surely joints are read.

    Parameters
    ----------
    seen, true
        What Ω read, and the poses that the puppets were drawn with, normalised plane.
    """
    named = best_labelling(true, seen, skeleton)
    error = root_centred(seen, skeleton.root) - root_centred(named, skeleton.root)
    noise = error.norm(dim=-1).median(dim=0).values / MEDIAN_OF_RAYLEIGH
    return noise.clamp(min=LEAST_NOISE)


def log_posterior(
    pose: Float[Tensor, "*b J 2"],
    seen: Float[Tensor, "*b J 2"],
    noise: Float[Tensor, " J"],
    prior: Prior,
) -> Float[Tensor, "*b"]:
    """log p(u) − Σ_j ‖u_j − y_j‖² / (2σ_j²) of a pose u where y was seen, up to a constant.

    Nats; poses root-centred on the normalised plane. The errors of joints are taken as independent.
    The flow scores a pose's PCA code, so what the PCA left out is held by the second sum alone.
    """
    error = (pose - seen) / noise[:, None]
    return prior.log_prob(pose) - error.square().sum(dim=(-2, -1)) / 2


def most_probable_pose(
    seen: Float[Tensor, "*b J 2"],
    noise: Float[Tensor, " J"],
    prior: Prior,
    *,
    root: int,
    steps: int = 40,
    rate: float = 0.1,
) -> Float[Tensor, "*b J 2"]:
    """The pose u of highest :func:`log_posterior` near the pose seen, by ascent from there (Adam).

    A few steps: no coordinate moves by more than about ``steps · rate`` standard deviations. Never
    a less probable pose than was seen: where the ascent gains nothing, that is returned.

    Parameters
    ----------
    seen
        y, root-centred, normalised plane.
    noise
        σ, the standard deviation of each joint's error (plane units), all positive.
    prior
        p(u).
    root
        Index of the joint that stays at the origin.
    steps, rate
        Of the ascent; ``rate`` is in standard deviations, so that units do not matter.

    Raises
    ------
    ValueError
        If a standard deviation is not positive.
    """
    if not (noise > 0).all():
        raise ValueError(
            "every joint needs a positive standard deviation; measure them (measure_noise), or "
            f"lift the pose as it was seen. Got {noise.tolist()}"
        )
    # Within inference mode nothing has a gradient, so it is left, and inputs copied out of it.
    with torch.inference_mode(False), torch.enable_grad():
        seen, noise = seen.clone(), noise.clone()
        moved = noise[:, None].clone()
        moved[root] = 0.0
        shift = torch.zeros_like(seen, requires_grad=True)  # in standard deviations
        ascent = torch.optim.Adam([shift], lr=rate)
        for _ in range(steps):
            worth = log_posterior(seen + moved * shift, seen, noise, prior)
            (shift.grad,) = torch.autograd.grad(-worth.sum(), shift)
            ascent.step()
    with torch.no_grad():
        found = seen + moved * shift.detach()
        before, after = (log_posterior(u, seen, noise, prior) for u in (seen, found))
        return torch.where((after > before)[..., None, None], found, seen)


__all__ = ["Prior", "log_posterior", "measure_noise", "most_probable_pose"]
