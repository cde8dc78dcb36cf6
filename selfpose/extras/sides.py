"""Which way does a person face? A prior on left and right learnt from the unpaired poses. Ours.

Every 2D pose has a twin: the same stick figure with left and right exchanged, seen from behind. A
picture's silhouette cannot tell them apart, nor, to a level, distant camera, can a pose. But the
more a camera looks down, the surer a pose can: the nearer foot stands lower. This prior learns from
the unpaired poses how often each twin occurs.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from selfpose.metrics import twin_distances_sq
from selfpose.render import exchange_sides
from selfpose.skeleton import Skeleton

SIGMA = 0.05  # how far a joint moves between neighbouring pictures, in sides of the picture
CAP = 4.0  # the most that two neighbours may say, in nats: some transitions are misjudged
TRUST = 0.3  # factor on the prior's log-odds: neighbouring pictures are no independent witnesses
OWN = 0.3  # log-odds for the naming that a pose came with: whoever named it has seen the picture


class SidePrior(nn.Module):
    """log-odds that a 2D pose's sides are named right, rather than exchanged.

    Antisymmetric by construction: exchanging left and right negates the log-odds.
    """

    def __init__(self, *, skeleton: Skeleton, width: int = 256) -> None:
        super().__init__()
        if not skeleton.mirror_pairs:
            raise ValueError(f"{skeleton.name} has no mirror pairs to tell apart: drop 'side'")
        self.flip = list(skeleton.flip)
        first, relu = nn.Linear(2 * skeleton.n_joints, width), nn.LeakyReLU(0.01)
        self.score = nn.Sequential(first, relu, nn.Linear(width, width), relu, nn.Linear(width, 1))

    def forward(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b"]:
        """``pose``: root-centred, normalised plane."""
        pose = 10 * pose
        own, twin = pose.flatten(-2), pose[..., self.flip, :].flatten(-2)
        return (self.score(own) - self.score(twin))[..., 0]


def side_prior_loss(log_odds: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """−log P(sides right) of poses whose sides are known to be right."""
    return functional.softplus(-log_odds).mean()


def side_loss(
    image: Float[Tensor, "b 3 H W"],
    teacher_image: Float[Tensor, "b 3 H W"],
    log_odds: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Pull s = Φ(x) towards the labelling of the averaged network's image that is more likely.

    ``log_odds`` are the prior's for the pose in that image. Their certainty |2P − 1| weights each
    picture, so undecided ones are left alone.
    """
    certainty = (2 * torch.sigmoid(log_odds) - 1).abs()
    kept = (log_odds >= 0)[:, None, None, None]
    target = torch.where(kept, teacher_image, exchange_sides(teacher_image))
    return (certainty * (image - target).square().mean(dim=(1, 2, 3))).mean()


@torch.no_grad()
def side_accuracy(
    prior: SidePrior,
    pose: Float[Tensor, "N J 2"],
    *,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> float:
    """Share of rightly named poses that the prior finds likelier than their twins.

    ``noise`` is the standard deviation of what is added to every coordinate (plane units).
    """
    blurred = pose + noise * torch.randn(pose.shape, generator=generator).to(pose.device)
    return float((prior(blurred) > 0).double().mean())


def clip_log_odds(
    log_odds: Float[Tensor, " N"],
    pose: Float[Tensor, "N J 2"],
    sequence: Int[Tensor, " N"],
    skeleton: Skeleton,
) -> Float[Tensor, " N"]:
    """log-odds that each pose's sides are named right, given all the poses of its clip.

    A hidden Markov chain of two states, *as named* and *exchanged*, along each clip. One picture's
    evidence is the prior's ``log_odds``; two neighbours agree as far as one pose moves less from
    the other than its twin does. Solved exactly, by the forward–backward algorithm (Rabiner 1989),
    all clips side by side. Poses ([0, 1] coordinates) stand in the order of time, clip by clip.
    """
    stay, change = twin_distances_sq(pose[1:], pose[:-1], skeleton)
    agree = ((change - stay) / (2 * SIGMA**2)).clamp(-CAP, CAP)  # log-odds of the same naming

    # One row a clip, padded at its end by pictures without evidence and without a link.
    _, clip, length = sequence.unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(pose), device=pose.device) - (length.cumsum(0) - length)[clip]
    shape = (len(length), int(length.max()))
    evidence, link = log_odds.new_zeros(shape), log_odds.new_zeros(shape)
    evidence[clip, place] = TRUST * log_odds + OWN
    linked = clip[1:] == clip[:-1]
    link[clip[:-1][linked], place[:-1][linked]] = agree[linked]

    # In log-odds a message m through a link a becomes log cosh((m + a)/2) − log cosh((m − a)/2).
    def through(message: Tensor, link: Tensor) -> Tensor:
        total = functional.softplus(message + link) - functional.softplus(message - link)
        return total - link

    before, after = torch.zeros_like(evidence), torch.zeros_like(evidence)
    for t in range(1, shape[1]):
        before[:, t] = through(before[:, t - 1] + evidence[:, t - 1], link[:, t - 1])
    for t in range(shape[1] - 2, -1, -1):
        after[:, t] = through(after[:, t + 1] + evidence[:, t + 1], link[:, t])
    return (before + evidence + after)[clip, place]
