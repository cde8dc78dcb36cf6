"""Projection, lifting and rotations: round trips, group laws, and the meaning of their signs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from selfpose.camera import (
    DEPTH_OFFSET,
    MIN_DEPTH,
    PixelScale,
    azimuth_rotation,
    elevation_rotation,
    lift,
    project,
    rotate_about_root,
)
from selfpose.cycle import view_change
from selfpose.skeleton import HUMAN_17

angles = st.floats(-7, 7, allow_nan=False)


@given(seed=st.integers(0, 2**20), spread=st.floats(0, 1e3), delta=st.floats(0, 50))
def test_projection_undoes_lifting_for_any_depths(seed: int, spread: float, delta: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    pose = torch.randn(2, 3, 17, 2, generator=draw, dtype=torch.float64)
    depth = spread * torch.randn(2, 3, 17, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(project(lift(pose, depth, delta=delta)), pose)


def test_lifted_depths_are_at_least_one() -> None:
    depth = torch.linspace(-100, 100, 17)
    z = lift(torch.zeros(17, 2), depth)[:, 2]
    assert z.min() == MIN_DEPTH == 1
    assert torch.equal(z, (depth + DEPTH_OFFSET).clamp(min=1))


@pytest.mark.parametrize("rotation", [azimuth_rotation, elevation_rotation])
@given(a=angles, b=angles)
def test_rotations_are_proper_and_compose(rotation: object, a: float, b: float) -> None:
    assert callable(rotation)
    first, second, both = rotation(torch.tensor([a, b, a + b], dtype=torch.float64))
    torch.testing.assert_close(first @ first.mT, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(first), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(first @ second, both)


@given(angle=angles)
def test_rotations_agree_with_scipy(angle: float) -> None:
    for axis, ours in (("x", elevation_rotation), ("y", azimuth_rotation)):
        expected = torch.from_numpy(Rotation.from_euler(axis, angle).as_matrix())
        torch.testing.assert_close(ours(torch.tensor(angle, dtype=torch.float64)), expected)


def test_a_raised_camera_sees_the_ground_ahead_higher_in_the_picture() -> None:
    ground = torch.tensor([[0.0, 1.0, 5.0], [0.0, 1.0, 10.0]])
    level = project(ground)[:, 1]
    raised = project(ground @ elevation_rotation(torch.tensor(0.3)).mT)[:, 1]
    assert (raised < level).all()


@given(elevation=angles, azimuth=angles, drawn=angles)
def test_view_change_is_a_rotation_that_its_transpose_undoes(
    elevation: float, azimuth: float, drawn: float
) -> None:
    e, a, d = torch.tensor([elevation, azimuth, drawn], dtype=torch.float64)
    r = view_change(e, a, d)
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=torch.float64))
    same = view_change(e, torch.zeros_like(a), e)
    torch.testing.assert_close(same, torch.eye(3, dtype=torch.float64))
    expected = Rotation.from_euler("x", drawn) * Rotation.from_euler("y", azimuth)
    expected = expected * Rotation.from_euler("x", elevation).inv()
    torch.testing.assert_close(r, torch.from_numpy(expected.as_matrix()))


@given(azimuth=angles)
def test_view_change_turns_about_the_true_vertical(azimuth: float) -> None:
    e = torch.tensor(0.4, dtype=torch.float64)
    up = elevation_rotation(e) @ torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    r = view_change(e, torch.tensor(azimuth, dtype=torch.float64), e)
    torch.testing.assert_close(r @ up, up)


def test_rotation_about_the_root_moves_no_root_and_no_bone_length() -> None:
    pose = torch.randn(6, 17, 3, dtype=torch.float64)
    r = view_change(*torch.randn(3, 6, dtype=torch.float64))
    turned = rotate_about_root(pose, r, root=4)
    torch.testing.assert_close(turned[:, 4], pose[:, 4])
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(pose, pose))
    torch.testing.assert_close(rotate_about_root(turned, r.mT, root=4), pose)


def test_pixels_and_plane_are_inverse() -> None:
    scale = PixelScale(length_px=23.0)
    pixels = 64 * torch.rand(5, 17, 2, dtype=torch.float64)
    plane = scale.pixels_to_plane(pixels, 0)
    assert (plane[:, 0] == 0).all()
    torch.testing.assert_close(scale.plane_to_pixels(plane, pixels[:, 0]), pixels)


def test_mean_root_to_top_distance_is_a_tenth_on_the_plane() -> None:
    poses = 64 * torch.rand(50, 17, 2, dtype=torch.float64)
    scale = PixelScale.from_poses(poses, HUMAN_17)
    plane = scale.pixels_to_plane(poses, HUMAN_17.root)
    assert plane[:, HUMAN_17.top].norm(dim=-1).mean().item() == pytest.approx(0.1)


@pytest.mark.parametrize("length", [0.0, math.nan, math.inf])
def test_a_scale_without_length_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        PixelScale(length_px=length)
