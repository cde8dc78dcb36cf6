"""The rotation cycle: an identity for a lifter that knows the depths, and the law of its angles."""

import math

import pytest
import torch

from selfpose.camera import DEPTH_OFFSET, project, rotate_about_root
from selfpose.cycle import (
    FixedElevation,
    draw_angles,
    project_ahead,
    rotation_cycle,
    view_change,
)
from selfpose.losses import consistency_loss, deformation_loss, reprojection_loss
from selfpose.networks import Lifter
from selfpose.skeleton import HUMAN_17

ROOT = HUMAN_17.root


class Oracle:
    """A lifter that knows the true depths of the two poses that it will be shown."""

    def __init__(self, *poses: torch.Tensor, elevation: torch.Tensor) -> None:
        self.poses, self.elevation, self.calls = poses, elevation, 0

    def __call__(self, pose_2d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        true = self.poses[self.calls]
        self.calls += 1
        torch.testing.assert_close(pose_2d, project(true))
        return true[..., 2] - DEPTH_OFFSET, self.elevation


def people(n: int = 6) -> torch.Tensor:
    """3D poses in method units whose root lies at (0, 0, Δ)."""
    pose = 0.5 * torch.randn(n, 17, 3, dtype=torch.float64)
    pose = pose - pose[:, ROOT : ROOT + 1]
    return pose + torch.tensor([0.0, 0.0, DEPTH_OFFSET])


def test_the_cycle_is_the_identity_for_true_depths() -> None:
    pose = people()
    elevation, azimuth, drawn = torch.randn(3, 6, dtype=torch.float64)
    turned = rotate_about_root(pose, view_change(elevation, azimuth, drawn), root=ROOT)
    oracle = Oracle(pose, turned, elevation=elevation)
    cycle = rotation_cycle(project(pose), oracle, root=ROOT, angles=(azimuth, drawn))
    assert oracle.calls == 2
    torch.testing.assert_close(cycle.pose_3d, pose)
    torch.testing.assert_close(cycle.pose_3d_rotated, turned)
    torch.testing.assert_close(cycle.pose_3d_relifted, turned)
    torch.testing.assert_close(cycle.pose_3d_back, pose)
    torch.testing.assert_close(cycle.pose_2d_back, cycle.pose_2d)
    for loss in (
        reprojection_loss(cycle.pose_2d, cycle.pose_2d_back),
        consistency_loss(cycle.pose_3d_rotated, cycle.pose_3d_relifted),
        deformation_loss(cycle.pose_3d, cycle.pose_3d_back),
    ):
        assert loss.item() < 1e-5


def test_every_intermediate_follows_from_the_ones_before() -> None:
    lifter = Lifter(n_joints=17, root=ROOT, width=32).double()
    y = project(people())
    c = rotation_cycle(y, lifter, root=ROOT, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(project(c.pose_3d), y)
    torch.testing.assert_close(
        c.rotation, view_change(c.elevation, c.azimuth_drawn, c.elevation_drawn)
    )
    torch.testing.assert_close(c.pose_2d_rotated, project(c.pose_3d_rotated))
    torch.testing.assert_close(lifter(c.pose_2d_rotated)[0], c.depth_offset_rotated)
    torch.testing.assert_close(project(c.pose_3d_relifted), c.pose_2d_rotated)
    torch.testing.assert_close(
        torch.cdist(c.pose_3d_back, c.pose_3d_back),
        torch.cdist(c.pose_3d_relifted, c.pose_3d_relifted),
    )
    torch.testing.assert_close(c.pose_2d_back, project(c.pose_3d_back))
    assert (c.pose_2d_rotated[:, ROOT].abs() < 1e-9).all()


def test_nothing_passes_behind_the_camera() -> None:
    points = torch.tensor([[2.0, 4.0, -5.0], [2.0, 4.0, 0.0], [2.0, 4.0, 2.0]])
    expected = torch.tensor([[2.0, 4.0], [2.0, 4.0], [1.0, 2.0]])
    assert torch.equal(project_ahead(points), expected)


def test_drawn_angles_have_their_stated_distributions() -> None:
    elevation = 0.3 + 0.1 * torch.randn(40000)
    azimuth, drawn = draw_angles(elevation, generator=torch.Generator().manual_seed(3))
    assert azimuth.abs().max() <= math.pi
    for share in (0.25, 0.5, 0.75):
        expected = (2 * share - 1) * math.pi
        assert azimuth.quantile(share).item() == pytest.approx(expected, abs=0.05)
    assert drawn.mean().item() == pytest.approx(elevation.mean().item(), abs=3e-3)
    assert drawn.std().item() == pytest.approx(elevation.std().item(), rel=0.03)


def test_drawn_angles_carry_no_gradient_and_follow_their_generator() -> None:
    elevation = torch.randn(8, requires_grad=True)
    first, again, other = (
        draw_angles(elevation, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert not first[0].requires_grad
    assert not first[1].requires_grad
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    alone = torch.tensor([0.25])
    assert torch.equal(draw_angles(alone)[1], alone)


def test_with_a_fixed_elevation_the_cycle_stays_the_identity_for_true_depths() -> None:
    pose = people()
    azimuth, drawn, removed = torch.randn(3, 6, dtype=torch.float64)

    class Known(FixedElevation):
        def draw(self, like: torch.Tensor, **_: object) -> torch.Tensor:
            return removed

    turned = rotate_about_root(pose, view_change(removed, azimuth, drawn), root=ROOT)
    oracle = Oracle(pose, turned, elevation=torch.full((6,), 99.0, dtype=torch.float64))
    cycle = rotation_cycle(
        project(pose),
        oracle,
        root=ROOT,
        angles=(azimuth, drawn),
        fixed_elevation=Known(mean=0.0, sd=1.0),
    )
    assert oracle.calls == 2
    assert torch.equal(cycle.elevation_removed, removed)
    torch.testing.assert_close(cycle.pose_3d_back, pose)
    torch.testing.assert_close(cycle.pose_2d_back, cycle.pose_2d)


def test_with_a_fixed_elevation_no_gradient_reaches_the_predicted_one() -> None:
    lifter = Lifter(n_joints=17, root=ROOT, width=32).double()
    for fixed, reached in ((None, True), (FixedElevation(mean=0.2, sd=0.1), False)):
        lifter.zero_grad()
        draw = torch.Generator().manual_seed(0)
        cycle = rotation_cycle(
            project(people()), lifter, root=ROOT, fixed_elevation=fixed, generator=draw
        )
        loss = (
            reprojection_loss(cycle.pose_2d, cycle.pose_2d_back)
            + consistency_loss(cycle.pose_3d_rotated, cycle.pose_3d_relifted)
            + cycle.pose_2d_rotated.square().sum()
        )
        loss.backward()
        heads = [*lifter.elevation_head.parameters(), *lifter.elevation_branch.parameters()]
        assert any(p.grad is not None and bool(p.grad.any()) for p in heads) == reached
        assert lifter.depth_head.weight.grad is not None
        assert lifter.depth_head.weight.grad.any()


def test_fixed_elevations_have_their_stated_distribution() -> None:
    fixed = FixedElevation(mean=0.2, sd=0.05)
    lifter = Lifter(n_joints=17, root=ROOT, width=8)
    pose = 0.1 * torch.randn(20000, 17, 2)
    pose = pose - pose[:, ROOT : ROOT + 1]
    draw = torch.Generator().manual_seed(4)
    cycle = rotation_cycle(pose, lifter, root=ROOT, fixed_elevation=fixed, generator=draw)
    for drawn in (cycle.elevation_removed, cycle.elevation_drawn):
        assert drawn.mean().item() == pytest.approx(0.2, abs=2e-3)
        assert drawn.std().item() == pytest.approx(0.05, rel=0.03)
    # Independent: what one camera's elevation was says nothing about the other's.
    both = torch.stack([cycle.elevation_removed, cycle.elevation_drawn])
    assert both.corrcoef()[0, 1].abs() < 0.03
