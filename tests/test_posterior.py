"""The most probable pose: against the closed form of a normal prior, and its laws."""

import math

import pytest
import torch

from selfpose._typing import Tensor
from selfpose.flow import FlowPrior
from selfpose.posterior import (
    LEAST_NOISE,
    MEDIAN_OF_RAYLEIGH,
    log_posterior,
    measure_noise,
    most_probable_pose,
)
from selfpose.skeleton import HUMAN_17


class Normal:
    """A normal prior on poses about a mean: its posterior mode is known."""

    def __init__(self, mean: Tensor, sd: float) -> None:
        self.mean, self.sd = mean, sd

    def log_prob(self, pose: Tensor) -> Tensor:
        return -((pose - self.mean) / self.sd).square().sum(dim=(-2, -1)) / 2


def centred(*shape: int) -> Tensor:
    pose = 0.1 * torch.randn(*shape, 5, 2)
    return pose - pose[..., :1, :]


def test_under_a_normal_prior_each_joint_is_weighed_by_its_noise() -> None:
    torch.manual_seed(0)
    mean, seen, sd = centred(), centred(3, 2), 0.04
    noise = torch.tensor([0.02, 0.005, 0.01, 0.02, 0.04])
    found = most_probable_pose(seen, noise, Normal(mean, sd), root=0, steps=400, rate=0.05)
    share = sd**2 / (sd**2 + noise[:, None] ** 2)  # of what was seen
    torch.testing.assert_close(found, share * seen + (1 - share) * mean, atol=1e-4, rtol=0)


def test_poses_do_not_see_each_other_and_the_root_stays() -> None:
    torch.manual_seed(0)
    prior, noise, seen = Normal(centred(), 0.03), torch.full((5,), 0.02), centred(4)
    together = most_probable_pose(seen, noise, prior, root=0)
    alone = torch.stack([most_probable_pose(s, noise, prior, root=0) for s in seen])
    torch.testing.assert_close(together, alone)
    assert (together[:, 0] == 0).all()


def test_units_do_not_matter() -> None:
    torch.manual_seed(0)
    mean, noise, seen = centred(), torch.full((5,), 0.02), centred(4)
    small = most_probable_pose(seen, noise, Normal(mean, 0.03), root=0)
    large = most_probable_pose(1000 * seen, 1000 * noise, Normal(1000 * mean, 30.0), root=0)
    torch.testing.assert_close(large, 1000 * small, rtol=1e-4, atol=1e-2)


def test_a_flow_never_makes_a_pose_less_probable_and_takes_no_gradient() -> None:
    torch.manual_seed(0)
    flow = FlowPrior(n_joints=17, n_components=8, n_blocks=3, width=16)
    poses = 0.05 * torch.randn(200, 17, 2)
    poses = poses - poses[:, :1]
    flow.pca.fit(poses.flatten(1))
    for block in flow.blocks:
        torch.nn.init.normal_(block.net[-1].weight, std=0.3)  # type: ignore[index, union-attr]
    noise = torch.full((17,), 0.02)
    found = most_probable_pose(poses, noise, flow, root=0, steps=5, rate=0.5)
    before, after = (log_posterior(u, poses, noise, flow) for u in (poses, found))
    assert (after >= before).all()
    assert (after > before).any()
    assert not found.requires_grad
    assert all(p.grad is None for p in flow.parameters())


def test_noise_is_measured_with_sides_forgiven() -> None:
    generator = torch.Generator().manual_seed(0)
    true = 0.1 * torch.randn(4000, 17, 2, generator=generator)
    sd = torch.linspace(0.002, 0.01, 17)
    sd = (sd + sd[list(HUMAN_17.flip)]) / 2  # left and right are read alike
    error = sd[:, None] * torch.randn(true.shape, generator=generator)
    error[:, HUMAN_17.root] = 0  # else every joint has the root's error too
    seen = true + error
    seen[::2] = seen[::2][:, list(HUMAN_17.flip)]
    seen[::9] = 0.1 * torch.randn(seen[::9].shape, generator=generator)  # read altogether wrongly
    noise = measure_noise(seen, true, HUMAN_17)
    assert noise[HUMAN_17.root] == torch.tensor(LEAST_NOISE)
    others = [j for j in range(17) if j != HUMAN_17.root]
    torch.testing.assert_close(noise[others], sd[others], rtol=0.15, atol=0)


def test_a_noise_of_zero_is_refused() -> None:
    noise = torch.tensor([0.01, 0.0, 0.01, 0.01, 0.01])
    with pytest.raises(ValueError, match="positive standard deviation"):
        most_probable_pose(centred(), noise, Normal(centred(), 0.1), root=0)


def test_the_median_of_errors_is_that_of_rayleigh() -> None:
    lengths = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0)).norm(dim=-1)
    assert math.isclose(float(lengths.median()), MEDIAN_OF_RAYLEIGH, rel_tol=0.02)


def test_inference_mode_is_no_hindrance() -> None:
    torch.manual_seed(0)
    prior, noise, seen = Normal(centred(), 0.03), torch.full((5,), 0.02), centred(4)
    with torch.inference_mode():
        found = most_probable_pose(1 * seen, 1 * noise, prior, root=0)
    torch.testing.assert_close(found, most_probable_pose(seen, noise, prior, root=0))


def test_where_the_prior_has_no_answer_the_pose_is_left_as_it_was_seen() -> None:
    torch.manual_seed(0)

    class Broken(Normal):
        def log_prob(self, pose: Tensor) -> Tensor:
            return super().log_prob(pose) + torch.tensor([0.0, torch.nan, 0.0, 0.0])

    seen, noise = centred(4), torch.full((5,), 0.02)
    found = most_probable_pose(seen, noise, Broken(centred(), 0.03), root=0)
    assert torch.equal(found[1], seen[1])
    assert (found[[0, 2, 3]] != seen[[0, 2, 3]]).any(dim=(-2, -1)).all()
