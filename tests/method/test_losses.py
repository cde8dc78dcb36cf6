"""Each loss against its equation on small examples, and zero where it must be."""

import pytest
import torch
from torch.nn import functional

from selfpose import losses
from selfpose.metrics import bone_lengths
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


def test_r1_of_a_linear_critic_is_half_its_squared_weights() -> None:
    weight = torch.randn(1, 4, 4)
    real = torch.rand(5, 1, 4, 4, requires_grad=True)
    logits = (real * weight).sum((1, 2, 3))
    expected = 0.5 * weight.square().sum()
    torch.testing.assert_close(losses.r1_penalty(logits, real), expected)


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


def test_our_squared_losses_by_hand() -> None:
    drawn, front = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    front[0, 0, 0] = 0.5
    assert losses.silhouette_loss(drawn, front).item() == 0.25 / 4
    depth, true = torch.zeros(2, 3), torch.tensor([[0.0, 3.0, 4.0], [0.0, 0.0, 0.0]])
    distilled = losses.distillation_loss(depth, torch.zeros(2), true, torch.tensor([0.0, 1.0]))
    assert distilled.item() == (25 + 1) / 2
