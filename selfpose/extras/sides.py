"""Which way does a person face? A prior on left and right learnt from the unpaired poses. Ours.

Every 2D pose has a twin: the same stick figure with left and right exchanged, seen from behind. A
picture's silhouette cannot tell them apart. To a level, distant camera poses cannot either, for
the twin is the mirrored person's pose, seen as often; but the more a camera looks down, the surer
they can: the nearer foot stands lower. This prior learns from the unpaired poses how often each
twin occurs.
"""

import torch
from torch import nn
from torch.nn import functional

from jaxtyping import Float, Int
from torch import Tensor
from selfpose.metrics import twin_distances_sq
from selfpose.render import exchange_sides
from selfpose.skeleton import Skeleton


class SidePrior(nn.Module):
    """log-odds that a 2D pose's sides are named right, rather than exchanged.

    Antisymmetric by construction: exchanging left and right negates the log-odds.

    Parameters
    ----------
    skeleton
        The body; it must have mirror pairs.
    width
        Units of the two hidden layers.

    Raises
    ------
    ValueError
        If the body has no sides.
    """

    def __init__(self, *, skeleton: Skeleton, width: int = 256) -> None:
        super().__init__()
        if not skeleton.mirror_pairs:
            raise ValueError(
                f"skeleton {skeleton.name!r} has no mirror pairs, so no left and right to tell "
                "apart; drop the term 'side'"
            )
        self.flip = list(skeleton.flip)
        self.score = nn.Sequential(
            nn.Linear(2 * skeleton.n_joints, width),
            nn.LeakyReLU(0.01),
            nn.Linear(width, width),
            nn.LeakyReLU(0.01),
            nn.Linear(width, 1),
        )

    def forward(self, pose: Float[Tensor, "*b J 2"]) -> Float[Tensor, "*b"]:
        """``pose``: root-centred, normalised plane."""
        pose = 10 * pose
        own, twin = pose.flatten(-2), pose[..., self.flip, :].flatten(-2)
        return (self.score(own) - self.score(twin))[..., 0]


def side_prior_loss(log_odds: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """−log P(sides right) of poses whose sides are known to be right."""
    return nn.functional.softplus(-log_odds).mean()


def side_loss(
    image: Float[Tensor, "b 3 H W"],
    teacher_image: Float[Tensor, "b 3 H W"],
    log_odds: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Pull skeleton images towards the labelling that the prior finds more likely.

    Parameters
    ----------
    image
        s = Φ(x).
    teacher_image
        The averaged network's skeleton image of the same picture.
    log_odds
        The prior's log-odds for the pose in the teacher's image. Its certainty |2P − 1| weights
        each picture, so undecided ones are left alone.
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
    """Share of poses, their sides named right, that the prior finds likelier than their twins.

    Parameters
    ----------
    pose
        Root-centred 2D poses on the normalised plane.
    noise
        Standard deviation of noise on every coordinate (plane units): what is left of the answer
        when poses are known only so well.
    """
    blurred = pose + noise * torch.randn(pose.shape, generator=generator).to(pose.device)
    return float((prior(blurred) > 0).double().mean())


def clip_log_odds(
    log_odds: Float[Tensor, " N"],
    pose: Float[Tensor, "N J 2"],
    sequence: Int[Tensor, " N"],
    skeleton: Skeleton,
    *,
    sigma: float = 0.05,
    cap: float = 4.0,
    trust: float = 0.3,
    own: float = 0.3,
) -> Float[Tensor, " N"]:
    """log-odds that each pose's sides are named right, given all the poses of its clip.

    A hidden Markov chain of two states, *as named* and *exchanged*, along each clip. One picture's
    evidence is the prior's; two neighbours agree as far as one pose moves less from the other than
    its twin does. Solved exactly, by the forward–backward algorithm (Rabiner 1989), all clips side
    by side. A clip of one picture keeps its prior.

    Parameters
    ----------
    log_odds
        Of each pose by itself (:class:`SidePrior`).
    pose
        2D poses in the order of time within each clip, in any one unit of length.
    sequence
        The clip of each pose; poses of a clip stand together.
    sigma
        How far a joint moves from one picture to the next, in the unit of ``pose``.
    cap
        The most that one pair of neighbours may say, in nats: some transitions are misjudged.
    trust
        Factor on the prior's log-odds: neighbouring pictures are not independent witnesses.
    own
        Log-odds for the naming that a pose came with: whoever named it has seen the picture.
    """
    stay, change = twin_distances_sq(pose[1:], pose[:-1], skeleton)
    agree = ((change - stay) / (2 * sigma**2)).clamp(-cap, cap)  # log-odds of the same naming

    # One row a clip, padded at its end by pictures without evidence and without a link.
    _, clip, length = sequence.unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(pose), device=pose.device) - (length.cumsum(0) - length)[clip]
    shape = (len(length), int(length.max()))
    evidence, link = log_odds.new_zeros(shape), log_odds.new_zeros(shape)
    evidence[clip, place] = trust * log_odds + own
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


__all__ = ["SidePrior", "clip_log_odds", "side_accuracy", "side_loss", "side_prior_loss"]
