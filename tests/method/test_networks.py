"""The networks: shapes at every size, their starts, and what they depend on."""

import pytest
import torch

from selfpose.networks import (
    Discriminator,
    Lifter,
    PoseRegressor,
    SkeletonEncoder,
    UNet,
    halvings,
    soft_argmax,
)


@pytest.mark.parametrize(("image", "skeleton"), [(64, 64), (64, 32), (32, 8), (16, 16), (8, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_phi_omega_and_d_fit_together(image: int, skeleton: int, channels: int) -> None:
    phi = SkeletonEncoder(image_size=image, skeleton_size=skeleton, channels=channels, width=8)
    omega = PoseRegressor(skeleton_size=skeleton, channels=channels, n_joints=17, width=8)
    critic = Discriminator(skeleton_size=skeleton, channels=channels, width=8)
    s = phi(torch.rand(2, 3, image, image) * 2 - 1)
    assert s.shape == (2, channels, skeleton, skeleton)
    assert ((s > 0) & (s < 1)).all()
    y = omega(s)
    assert y.shape == (2, 17, 2)
    assert ((y > 0) & (y < 1)).all()
    assert critic(s).shape == (2,)


@pytest.mark.parametrize("width", [1, 3, 10, 14, 20, 36])
def test_any_width_builds(width: int) -> None:
    net = UNet(n_in=3, n_out=2, width=width, depth=2, climbs=1)
    assert net(torch.rand(1, 3, 16, 16)).shape == (1, 2, 8, 8)


def test_halvings() -> None:
    assert [halvings(64, s) for s in (64, 32, 16, 8, 4)] == [0, 1, 2, 3, 4]
    for large, small in ((48, 32), (32, 64), (64, 0), (64, 5), (2, 4)):
        with pytest.raises(ValueError, match="powers of two apart"):
            halvings(large, small)


def test_soft_argmax_is_the_expected_position() -> None:
    weights = torch.rand(3, 6, 6, dtype=torch.float64)
    weights = weights / weights.sum((-2, -1), keepdim=True)
    ticks = (torch.arange(6, dtype=torch.float64) + 0.5) / 6
    expected = torch.stack([weights.sum(-2) @ ticks, weights.sum(-1) @ ticks], dim=-1)
    torch.testing.assert_close(soft_argmax(weights.log()), expected)


def test_soft_argmax_shifts_with_its_map() -> None:
    logits = torch.full((8, 8), -1e4)
    logits[2:4, 1:4] = torch.rand(2, 3)
    shifted = soft_argmax(logits.roll((3, 2), (0, 1)))
    torch.testing.assert_close(shifted, soft_argmax(logits) + torch.tensor([2.0, 3.0]) / 8)


def test_lifter_keeps_the_root_and_starts_flat_and_level() -> None:
    lifter = Lifter(n_joints=17, root=4, width=64)
    pose = 0.1 * torch.randn(5, 17, 2)
    depth, elevation = lifter(pose)
    assert depth.shape == (5, 17)
    assert elevation.shape == (5,)
    assert (depth[:, 4] == 0).all()
    assert depth.abs().max() < 1
    assert elevation.abs().max() < 0.5


def test_the_critic_sees_that_a_batch_repeats_itself() -> None:
    critic = Discriminator(skeleton_size=16, channels=1, width=8)
    s = torch.rand(4, 1, 16, 16)
    same = s[:1].expand(4, -1, -1, -1)
    assert not torch.isclose(critic(s)[0], critic(same)[0])
    torch.testing.assert_close(critic(s.flip(0)), critic(s).flip(0))
