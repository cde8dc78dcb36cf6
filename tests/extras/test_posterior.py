"""The expected pose: against its closed form and brute force, and its laws."""

import pytest
import torch
from torch import Tensor

from selfpose.camera import azimuth_rotation
from selfpose.extras.posterior import (
    expected_pose,
    expected_shape,
    explain,
    measure_noise,
)
from selfpose.metrics import p_mpjpe, procrustes
from selfpose.skeleton import HUMAN_17

NOISE = torch.tensor([0.01, 0.02, 0.005, 0.03, 0.02])


def some(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, 5, 2)


def test_of_one_pose_it_is_between_what_is_read_and_where_that_fits_best() -> None:
    seen, pose = some(3), some(1)
    found = expected_pose(seen, 2 * NOISE, pose, width=NOISE)
    share = (NOISE**-2 / (NOISE**-2).sum())[:, None]
    placed = pose + (share * (seen - pose)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, placed + (seen - placed) / 5)


def test_it_is_the_mean_of_the_posterior() -> None:
    """Against poses drawn from the model, each weighed by how well it explains what is read."""
    generator = torch.Generator().manual_seed(0)
    known, noise = 0.03 * torch.randn(3, 2, 2), torch.tensor([0.03, 0.05])
    width = torch.tensor([0.02, 0.04])
    seen = torch.tensor([[0.01, 0.02], [0.05, -0.03]])
    n = 400_000
    which = torch.randint(3, (n,), generator=generator)
    # Anywhere in the plane: a wide normal stands for it.
    shift = 0.4 * torch.randn(n, 1, 2, generator=generator)
    pose = known[which] + width[:, None] * torch.randn(n, 2, 2, generator=generator) + shift
    log_weight = -((seen - pose) / noise[:, None]).square().sum(dim=(1, 2)) / 2
    mean = (log_weight.softmax(0)[:, None, None] * pose).sum(dim=0)
    torch.testing.assert_close(
        expected_pose(seen, noise, known, width=width), mean, atol=2e-3, rtol=0
    )


def test_where_bodies_stand_does_not_matter() -> None:
    seen, poses, shift = some(4), some(20), torch.randn(4, 1, 2)
    there = expected_pose(seen + shift, NOISE, poses + torch.randn(20, 1, 2), width=NOISE)
    torch.testing.assert_close(
        there, expected_pose(seen, NOISE, poses, width=NOISE) + shift, atol=1e-5, rtol=0
    )


def test_without_noise_or_poses_nothing_is_expected() -> None:
    for noise, poses in ((0 * NOISE, some(3)), (NOISE, some(0))):
        with pytest.raises(ValueError, match="no noise was measured, or no poses are known"):
            expected_pose(some(), noise, poses, width=NOISE)


def test_poses_that_are_read_well_stay_and_others_go_to_the_mean_pose() -> None:
    poses = some(50)
    true = poses[:8] + 0.001 * torch.randn(8, 5, 2)
    torch.testing.assert_close(
        expected_pose(true, 0.01 * NOISE, poses, width=0.01 * NOISE), true, atol=2e-3, rtol=0
    )
    vague = expected_pose(true, 1e4 * NOISE, poses, width=1e4 * NOISE)
    shapes = 2 * vague - true  # without the half that is what was read
    torch.testing.assert_close(shapes - shapes[:, :1], (shapes - shapes[:, :1])[:1].expand(8, 5, 2))


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
    assert noise[HUMAN_17.root] == noise.min()
    others = [j for j in range(17) if j != HUMAN_17.root]
    torch.testing.assert_close(noise[others], sd[others], rtol=0.15, atol=0)


def shapes(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(1, 5, 3, generator=generator, dtype=torch.float64)
    return mean + 0.2 * torch.randn(n, 5, 3, generator=generator, dtype=torch.float64)


def turned(poses: Tensor, seed: int = 0) -> Tensor:
    """Each turned about two axes, sized and moved at random."""
    generator = torch.Generator().manual_seed(seed)
    first, second, size = torch.rand(3, len(poses), generator=generator, dtype=torch.float64)
    turn = azimuth_rotation(6 * first) @ azimuth_rotation(6 * second)[:, [1, 2, 0]][:, :, [1, 2, 0]]
    return (0.5 + size)[:, None, None] * (poses @ turn.mT) + first[:, None, None]


def test_the_shape_of_one_pose_is_that_pose_moved_onto_the_start() -> None:
    pose, start = shapes(1), shapes(3, seed=1)
    found = expected_shape(torch.zeros(3, 1), turned(pose), start)
    torch.testing.assert_close(found, procrustes(pose.expand(3, 5, 3), start))


def test_how_poses_are_turned_and_sized_does_not_matter_to_a_shape() -> None:
    poses, start = shapes(30), shapes(2, seed=1)
    log_weight = torch.randn(2, 30, dtype=torch.float64)
    plain = expected_shape(log_weight, poses, start)
    torch.testing.assert_close(expected_shape(log_weight, turned(poses), start), plain)
    again = expected_shape(log_weight, poses, turned(start, seed=2))
    torch.testing.assert_close(p_mpjpe(again, plain), torch.zeros(2).double(), atol=1e-3, rtol=0)


def test_a_shape_is_not_reflected() -> None:
    pose = shapes(1)
    mirrored = pose * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    found = expected_shape(torch.zeros(1, 1), pose, mirrored)
    torch.testing.assert_close(p_mpjpe(found, pose), torch.zeros(1).double(), atol=1e-6, rtol=0)
    assert float(p_mpjpe(found, mirrored)) > 0.1


def test_no_shape_near_by_has_a_smaller_expected_distance() -> None:
    poses, start = shapes(20), shapes(1, seed=1)
    log_weight = torch.randn(1, 20, dtype=torch.float64)

    def cost(shape: Tensor) -> float:
        one = shape / (shape - shape.mean(dim=0)).norm()
        missed = (procrustes(poses, one.expand(20, 5, 3)) - one).square().sum(dim=(1, 2))
        return float((log_weight[0].softmax(0) * missed).sum())

    found = expected_shape(log_weight, poses, start)[0]
    for change in 0.1 * torch.randn(20, 5, 3, dtype=torch.float64):
        assert cost(found + change) > cost(found)


def test_a_pose_is_explained_best_by_itself_wherever_it_stands() -> None:
    poses = some(20)
    log_weight = explain(poses + torch.randn(20, 1, 2), NOISE, poses, width=NOISE)
    assert torch.equal(log_weight.argmax(dim=-1), torch.arange(20))
    torch.testing.assert_close(log_weight.diagonal(), torch.zeros(20), atol=1e-3, rtol=0)
