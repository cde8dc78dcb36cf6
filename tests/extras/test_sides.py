"""The prior on left and right, and clips that decide together."""

import itertools

import pytest
import torch
from torch.nn.functional import logsigmoid

from selfpose.extras import sides
from selfpose.extras.sides import CAP, OWN, SIGMA, TRUST, SidePrior, clip_log_odds
from selfpose.skeleton import HUMAN_17, MACHINE

FLIP = list(HUMAN_17.flip)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def poses(n, seed=0):
    """Poses that move a little from one to the next."""
    g = generator(seed)
    steps = 0.03 * torch.randn(n, 17, 2, generator=g)
    return 0.1 * torch.randn(1, 17, 2, generator=g) + steps.cumsum(dim=0)


def enumerated(log_odds, pose):
    """The same posterior by trying every naming of one clip."""
    n = len(pose)
    stay = (pose[1:] - pose[:-1]).square().sum(dim=(1, 2))
    change = (pose[1:, FLIP] - pose[:-1]).square().sum(dim=(1, 2))
    agree = ((change - stay) / (2 * SIGMA**2)).clamp(-CAP, CAP)
    score = {}
    for naming in itertools.product((1, -1), repeat=n):
        unary = sum(
            logsigmoid(s * (TRUST * o + OWN)) for s, o in zip(naming, log_odds, strict=True)
        )
        pairs = sum(
            logsigmoid(a * b * link) for a, b, link in zip(naming, naming[1:], agree, strict=False)
        )
        score[naming] = float(unary + pairs)
    total = torch.tensor(list(score.values())).double()
    signs = torch.tensor(list(score)).double()
    return torch.stack(
        [
            total[signs[:, k] > 0].logsumexp(0) - total[signs[:, k] < 0].logsumexp(0)
            for k in range(n)
        ]
    )


def test_clips_decide_as_an_enumeration_of_all_namings_would():
    g = generator(1)
    pose, odds = poses(6), torch.randn(6, generator=g)
    got = clip_log_odds(odds, pose, torch.zeros(6).long(), HUMAN_17)
    torch.testing.assert_close(got.double(), enumerated(odds, pose), atol=1e-3, rtol=0)


def test_clips_do_not_hear_each_other():
    g = generator(2)
    pose, odds = poses(9), torch.randn(9, generator=g)
    sequence = torch.tensor([4, 4, 4, 4, 9, 7, 7, 7, 7])
    together = clip_log_odds(odds, pose, sequence, HUMAN_17)
    apart = [
        clip_log_odds(odds[sequence == k], pose[sequence == k], sequence[sequence == k], HUMAN_17)
        for k in (4, 9, 7)
    ]
    torch.testing.assert_close(together, torch.cat(apart))
    torch.testing.assert_close(together[4], TRUST * odds[4] + OWN)


def test_renaming_one_picture_of_a_clip_changes_the_sign_of_its_odds_alone(monkeypatch):
    monkeypatch.setattr(sides, "OWN", 0.0)
    pose, odds = poses(5, seed=3), torch.randn(5, generator=generator(3))
    clip = torch.zeros(5).long()
    before = clip_log_odds(odds, pose, clip, HUMAN_17)
    renamed, negated = pose.clone(), odds.clone()
    renamed[2], negated[2] = pose[2, FLIP], -odds[2]
    sign = torch.tensor([1.0, 1, -1, 1, 1])
    after = clip_log_odds(negated, renamed, clip, HUMAN_17)
    torch.testing.assert_close(after, sign * before, atol=1e-4, rtol=1e-4)


def test_exchanging_sides_negates_their_log_odds():
    prior = SidePrior(skeleton=HUMAN_17, width=16)
    pose = 0.1 * torch.randn(6, 17, 2, generator=generator())
    log_odds = prior(pose)
    assert log_odds.abs().min() > 0
    torch.testing.assert_close(prior(pose[:, FLIP]), -log_odds)
    torch.testing.assert_close(sides.side_prior_loss(log_odds), -log_odds.sigmoid().log().mean())


def test_a_body_without_sides_has_no_side_prior():
    with pytest.raises(ValueError, match=r"lamp_8 has no mirror pairs.*drop 'side'"):
        SidePrior(skeleton=MACHINE)


def test_the_side_loss_pulls_towards_the_likelier_labelling():
    image, teacher = torch.rand(2, 2, 3, 8, 8, generator=generator())
    twin = teacher[:, [1, 0, 2]]
    likelier, other = torch.stack([teacher[0], twin[1]]), torch.stack([twin[0], teacher[1]])
    sure = torch.tensor([50.0, -50.0])
    assert sides.side_loss(likelier, teacher, sure) == 0
    torch.testing.assert_close(
        sides.side_loss(other, teacher, sure), (twin - teacher).square().mean()
    )
    assert sides.side_loss(image, teacher, torch.zeros(2)) == 0  # undecided


def test_side_accuracy_of_a_pose_and_its_twin_add_up_to_one_and_noise_brings_a_coin():
    prior = SidePrior(skeleton=HUMAN_17, width=16)
    pose = 0.05 * torch.randn(400, 17, 2, generator=generator())
    both = sides.side_accuracy(prior, pose) + sides.side_accuracy(prior, pose[:, FLIP])
    assert abs(both - 1) < 1e-9
    named = torch.where((prior(pose) > 0)[:, None, None], pose, pose[:, FLIP])
    assert sides.side_accuracy(prior, named) == 1
    lost = sides.side_accuracy(prior, named, noise=50.0, generator=generator(1))
    assert 0.4 < lost < 0.6
