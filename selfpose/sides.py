"""Which way does a person face? A prior on left and right learnt from the unpaired poses. Ours.

Every 2D pose has a twin: the same stick figure with left and right exchanged, seen from behind. A
picture's silhouette cannot tell them apart, but poses can, often: knees and elbows bend one way,
and the nearer foot stands lower. This prior learns from the unpaired poses alone how often each
twin occurs.
"""

import torch
from torch import nn

from selfpose._typing import Float, Tensor
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


def exchange_sides(image: Float[Tensor, "b K H W"]) -> Float[Tensor, "b K H W"]:
    """A skeleton image with its left and right channels exchanged (three channels)."""
    return image[:, [1, 0, 2]]


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


__all__ = ["SidePrior", "exchange_sides", "side_loss", "side_prior_loss"]
