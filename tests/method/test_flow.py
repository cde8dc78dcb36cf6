"""The prior: exact inverse, exact density, and a PCA that loses only what it must."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from selfpose.flow import AffineCoupling, FlowPrior, WhiteningPCA


def shaken(flow: torch.nn.Module, size: float = 0.5) -> torch.nn.Module:
    """In float64, with weights away from their start, where every block is a rotation.

    Rotations made in float32 are orthogonal to float32's precision; the laws want better.
    """
    flow.double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=size)
    for module in flow.modules():
        if isinstance(module, AffineCoupling):
            module.rotation.copy_(torch.linalg.qr(module.rotation).Q)
    return flow


def prior(n_components: int = 6, n_joints: int = 5) -> FlowPrior:
    flow = FlowPrior(n_joints=n_joints, n_components=n_components, n_blocks=4, width=16)
    shaken(flow)
    flow.pca.fit(torch.randn(200, 2 * n_joints).double() @ torch.randn(2 * n_joints, 10).double())
    return flow


@pytest.mark.parametrize("dim", [2, 3, 5, 26])
def test_coupling_inverse_is_exact(dim: int) -> None:
    block = AffineCoupling(dim, 16)
    shaken(block)
    x = 3 * torch.randn(4, 7, dim, dtype=torch.float64)
    y, _ = block(x)
    torch.testing.assert_close(block.inverse(y), x, atol=1e-10, rtol=0)


def test_flow_inverse_is_exact_both_ways() -> None:
    flow = prior()
    code = 2 * torch.randn(50, 6, dtype=torch.float64)
    noise, _ = flow.code_to_noise(code)
    torch.testing.assert_close(flow.noise_to_code(noise), code, atol=1e-8, rtol=0)
    again, _ = flow.code_to_noise(flow.noise_to_code(code))
    torch.testing.assert_close(again, code, atol=1e-8, rtol=0)


def test_log_determinant_against_autograd() -> None:
    flow = prior()
    for code in torch.randn(8, 6, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(lambda c: flow.code_to_noise(c)[0], code)
        assert isinstance(jacobian, torch.Tensor)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(flow.code_to_noise(code)[1], expected)


def test_log_scales_are_bounded() -> None:
    block = AffineCoupling(6, 16, bound=0.5)
    shaken(block, size=30.0)
    _, log_det = block(100 * torch.randn(50, 6, dtype=torch.float64))
    assert log_det.abs().max() <= 3 * 0.5 + 1e-9


@torch.no_grad()
def test_density_integrates_to_one() -> None:
    flow = FlowPrior(n_joints=3, n_components=2, n_blocks=3, width=8)
    shaken(flow, size=0.3)
    ticks = torch.linspace(-12, 12, 601, dtype=torch.float64)
    code = torch.cartesian_prod(ticks, ticks)
    noise, log_det = flow.code_to_noise(code)
    density = (log_det - 0.5 * noise.square().sum(-1) - math.log(2 * math.pi)).exp()
    assert density.sum().item() * (ticks[1] - ticks[0]).item() ** 2 == pytest.approx(1, abs=1e-3)


def test_log_prob_is_the_change_of_variables() -> None:
    flow = prior()
    pose = flow.sample(20, generator=torch.Generator().manual_seed(1))
    noise, log_det = flow.code_to_noise(flow.pca(pose.flatten(-2)))
    normal = multivariate_normal(np.zeros(6)).logpdf(noise.detach().numpy())
    expected = torch.from_numpy(normal) + log_det
    torch.testing.assert_close(flow.log_prob(pose), expected)
    assert torch.equal(flow(pose), flow.log_prob(pose))


def test_sampled_noise_is_found_again() -> None:
    flow = prior()
    noise = torch.randn(10, 6, dtype=torch.float64)
    pose = flow.noise_to_pose(noise)
    assert pose.shape == (10, 5, 2)
    torch.testing.assert_close(flow.pose_to_noise(pose), noise, atol=1e-7, rtol=0)


def test_pca_whitens() -> None:
    poses = torch.randn(500, 8, dtype=torch.float64) @ torch.randn(8, 8, dtype=torch.float64) + 5
    pca = WhiteningPCA(n_features=8, n_components=6).double()
    pca.fit(poses)
    code = pca(poses)
    torch.testing.assert_close(code.T.cov(), torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(code.mean(0), torch.zeros(6, dtype=torch.float64))


def test_pca_round_trip_inside_its_span() -> None:
    span = torch.randn(4, 10, dtype=torch.float64)
    poses = torch.randn(100, 4, dtype=torch.float64) @ span + 1
    pca = WhiteningPCA(n_features=10, n_components=4).double()
    pca.fit(poses)
    torch.testing.assert_close(pca.inverse(pca(poses)), poses)
    outside = poses + torch.randn(10, dtype=torch.float64)
    once = pca.inverse(pca(outside))
    torch.testing.assert_close(pca.inverse(pca(once)), once)


def test_components_that_poses_do_not_have_are_refused() -> None:
    for kept in (1, 9):
        with pytest.raises(ValueError, match="2 to 8 components"):
            FlowPrior(n_joints=5, n_components=kept)
    flat = torch.randn(50, 5) @ torch.randn(5, 10)
    for poses in (torch.randn(6, 10), torch.randn(1, 10), flat):
        with pytest.raises(ValueError, match="poses vary in fewer than the 6 directions"):
            WhiteningPCA(n_features=10, n_components=6).fit(poses)
