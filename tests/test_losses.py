"""Each loss against its equation on small examples, and zero where it must be."""

import math

import pytest
import torch
from torch.nn import functional

from selfpose import losses
from selfpose.metrics import bone_lengths
from selfpose.extras.sides import SidePrior, exchange_sides, side_loss, side_prior_loss
from selfpose.skeleton import HUMAN_17, Skeleton

CRANE = Skeleton(
    name="crane",
    joints=("base", "boom", "hook"),
    bones=((0, 1), (1, 2)),
    root=0,
    top=1,
    relative_bone_lengths=(1.5, 0.5),
)


def test_adversarial_game_against_binary_cross_entropy() -> None:
    real, fake = 3 * torch.randn(2, 9)
    ones, zeros = torch.ones(9), torch.zeros(9)
    bce = functional.binary_cross_entropy_with_logits
    expected = bce(real, ones) + bce(fake, zeros)
    torch.testing.assert_close(losses.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(losses.adversarial_loss(fake), bce(fake, ones))


def test_adversarial_game_survives_sure_critics() -> None:
    sure = torch.tensor([-500.0, 500.0])
    assert losses.discriminator_loss(sure, sure).item() == pytest.approx(500)
    assert losses.adversarial_loss(sure).item() == pytest.approx(250)


def test_r1_of_a_linear_critic_is_half_its_squared_weights() -> None:
    weight = torch.randn(1, 4, 4)
    real = torch.rand(5, 1, 4, 4, requires_grad=True)
    logits = (real * weight).sum((1, 2, 3))
    expected = 0.5 * weight.square().sum()
    torch.testing.assert_close(losses.r1_penalty(logits, real), expected)


def test_r1_can_be_descended() -> None:
    scale = torch.tensor(2.0, requires_grad=True)
    real = torch.rand(3, 1, 2, 2, requires_grad=True)
    losses.r1_penalty(scale * real.sum((1, 2, 3)), real).backward()
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx(2.0 * 4)


def test_regressor_and_redrawing_by_hand() -> None:
    u = torch.zeros(2, 17, 2)
    moved = u.clone()
    moved[0, 3] = torch.tensor([3.0, 4.0])
    assert losses.regressor_loss(u, moved).item() == 25 / 2
    s = torch.zeros(2, 1, 4, 4)
    redrawn = s.clone()
    redrawn[1, 0, 2, 2] = 1
    assert losses.redrawing_loss(s, redrawn).item() == 1 / 32


def test_geometric_losses_by_hand() -> None:
    y, v = torch.zeros(2, 17, 2), torch.zeros(2, 17, 3)
    y_back, v_back = y.clone(), v.clone()
    y_back[0, 1] = torch.tensor([3.0, 4.0])
    v_back[1, 1] = torch.tensor([2.0, 3.0, 6.0])
    assert losses.reprojection_loss(y, y_back).item() == pytest.approx(5 / 2, abs=1e-5)
    assert losses.consistency_loss(v, v_back).item() == pytest.approx(7 / 2, abs=1e-5)
    # Both pairs of a batch of two see the one change.
    assert losses.deformation_loss(v, v_back).item() == pytest.approx(7, abs=1e-5)


def test_deformation_ignores_what_all_poses_share() -> None:
    v = torch.randn(5, 17, 3)
    shared = torch.randn(17, 3)
    assert losses.deformation_loss(v, v + shared) < 1e-5
    assert losses.consistency_loss(v, v + shared) > 1


def test_norms_are_smooth_at_zero() -> None:
    pose = torch.zeros(3, 17, 3, requires_grad=True)
    losses.reprojection_loss(pose[..., :2], torch.zeros(3, 17, 2)).backward()
    assert pose.grad is not None
    assert torch.equal(pose.grad, torch.zeros_like(pose))


def test_flow_loss_is_the_mean_negative_log_likelihood() -> None:
    assert losses.flow_loss(torch.tensor([-1.0, -5.0])).item() == 3


def test_bone_length_loss_by_hand() -> None:
    # Bones of 2 and 1: relative 4/3 and 2/3, each 1/6 off its expectation.
    pose = torch.tensor([[[0.0, 0, 0], [0, 2, 0], [1, 2, 0]]])
    expected = 2 * (1 / 6) ** 2 / (2 * 0.1**2)
    assert losses.bone_length_loss(pose, CRANE).item() == pytest.approx(expected)
    wider = losses.bone_length_loss(pose, CRANE, sigma=0.2).item()
    assert wider == pytest.approx(expected / 4)


def test_bone_length_loss_is_zero_for_bodies_of_the_right_proportions() -> None:
    directions = functional.normalize(torch.randn(4, 16, 3, dtype=torch.float64), dim=-1)
    pose = torch.zeros(4, 17, 3, dtype=torch.float64)
    expected = HUMAN_17.relative_bone_lengths or ()
    for n, (parent, child) in enumerate(HUMAN_17.bones):
        pose[:, child] = pose[:, parent] + expected[n] * directions[:, n]
    for scale in (0.1, 1.0, 400.0):
        assert losses.bone_length_loss(scale * pose, HUMAN_17) < 1e-12
    torch.testing.assert_close(
        bone_lengths(pose, HUMAN_17)[0], torch.tensor(expected, dtype=torch.float64)
    )


def test_bone_length_loss_needs_lengths() -> None:
    bare = Skeleton.from_dict({**CRANE.to_dict(), "relative_bone_lengths": None})
    with pytest.raises(ValueError, match="'crane' does not state; drop the term 'bl'"):
        losses.bone_length_loss(torch.rand(1, 3, 3), bare)


def test_silhouette_loss_by_hand() -> None:
    drawn, front = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    front[0, 0, 0] = 0.5
    assert losses.silhouette_loss(drawn, front).item() == 0.25 / 4
    assert losses.silhouette_loss(front, front).item() == 0


def test_perfect_predictions_cost_nothing() -> None:
    u, v, s = torch.rand(3, 17, 2), torch.rand(3, 17, 3), torch.rand(3, 1, 8, 8)
    assert losses.regressor_loss(u, u) == losses.redrawing_loss(s, s) == 0
    for value in (
        losses.reprojection_loss(u, u),
        losses.consistency_loss(v, v),
        losses.deformation_loss(v, v),
    ):
        assert value.item() == pytest.approx(0, abs=1e-5)


def test_an_undecided_critic_costs_two_bits() -> None:
    undecided = torch.zeros(4)
    assert losses.discriminator_loss(undecided, undecided).item() == pytest.approx(2 * math.log(2))


def test_exchanging_sides_negates_their_log_odds() -> None:
    prior = SidePrior(skeleton=HUMAN_17, width=16)
    pose = 0.1 * torch.randn(6, 17, 2)
    log_odds = prior(pose)
    assert log_odds.abs().min() > 0
    torch.testing.assert_close(prior(pose[:, list(HUMAN_17.flip)]), -log_odds)
    expected = -torch.sigmoid(log_odds).log().mean()
    torch.testing.assert_close(side_prior_loss(log_odds), expected)


def test_the_side_loss_pulls_towards_the_likelier_labelling() -> None:
    teacher = torch.rand(2, 3, 8, 8)
    twin = exchange_sides(teacher)
    assert torch.equal(exchange_sides(twin), teacher)
    sure = torch.tensor([50.0, -50.0])
    likelier = torch.stack([teacher[0], twin[1]])
    assert side_loss(likelier, teacher, sure).item() == 0
    expected = (twin - teacher).square().mean()
    torch.testing.assert_close(side_loss(exchange_sides(likelier), teacher, sure), expected)


def test_the_side_loss_leaves_undecided_pictures_alone() -> None:
    assert side_loss(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.zeros(2)).item() == 0


def test_a_body_without_sides_has_no_side_prior() -> None:
    with pytest.raises(ValueError, match=r"'crane' has no mirror pairs.*drop the term 'side'"):
        SidePrior(skeleton=CRANE)
