"""Poses and pictures: sides keep their colours, up is up, and coordinates are shared."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import same_color

from book.kit import plots
from selfpose.render import draw_skeleton
from selfpose.skeleton import HUMAN_17, mirror_pose


@pytest.fixture
def pose_3d() -> torch.Tensor:
    return torch.randn(17, 3, generator=torch.Generator().manual_seed(0))


def test_each_bone_is_drawn_once_in_the_colour_of_its_side(pose_3d: torch.Tensor) -> None:
    ax = plots.new_figure().add_subplot()
    plots.draw_pose_2d(ax, pose_3d[:, :2], HUMAN_17)
    assert len(ax.lines) == HUMAN_17.n_bones
    for line, bone, side in zip(ax.lines, HUMAN_17.bones, HUMAN_17.bone_sides, strict=True):
        np.testing.assert_allclose(np.stack(line.get_data(), -1), pose_3d[list(bone), :2])
        assert same_color(line.get_color(), plots.SIDE_COLOURS[side])


def test_the_mirror_twin_swaps_the_colours_of_the_drawn_bones(pose_3d: torch.Tensor) -> None:
    def segments_by_colour(pose: torch.Tensor) -> dict[str, list]:
        ax = plots.new_figure().add_subplot()
        plots.draw_pose_2d(ax, pose, HUMAN_17)
        found: dict[str, list] = {}
        for line in ax.lines:
            # a segment as a set of end points, x mirrored away
            ends = sorted(
                (round(abs(float(x)), 4), round(float(y), 4)) for x, y in line.get_xydata()
            )
            found.setdefault(line.get_color(), []).append(ends)
        return {colour: sorted(segments) for colour, segments in found.items()}

    flat = pose_3d[:, :2]
    own, twin = segments_by_colour(flat), segments_by_colour(mirror_pose(flat, HUMAN_17))
    left, right = plots.SIDE_COLOURS["left"], plots.SIDE_COLOURS["right"]
    assert own[left] == twin[right]
    assert own[right] == twin[left]


def test_y_points_down_in_2d_and_stays_so_when_drawn_twice(pose_3d: torch.Tensor) -> None:
    ax = plots.new_figure().add_subplot()
    for _ in range(2):
        plots.draw_pose_2d(ax, pose_3d[:, :2], HUMAN_17)
        assert ax.yaxis_inverted()


def test_in_3d_what_is_up_in_the_camera_frame_is_up_on_the_page(pose_3d: torch.Tensor) -> None:
    ax = plots.new_figure().add_subplot(projection="3d")
    plots.draw_pose_3d(ax, pose_3d, HUMAN_17)
    for line, bone in zip(ax.lines, HUMAN_17.bones, strict=True):
        x, depth, up = line.get_data_3d()
        np.testing.assert_allclose(np.stack([x, -np.asarray(up), depth], -1), pose_3d[list(bone)])
    spans = [np.ptp(limits) for limits in (ax.get_xlim(), ax.get_ylim(), ax.get_zlim())]
    np.testing.assert_allclose(spans, spans[0])


def test_a_picture_and_the_pose_over_it_share_coordinates(pose_3d: torch.Tensor) -> None:
    pose = 16 + 4 * pose_3d[:, :2]
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    row = plots.picture_row([picture, picture], ["a", "b"], poses=[pose, None], skeleton=HUMAN_17)
    first, second = row.axes
    assert first.images[0].get_extent() == [0, 32, 32, 0]
    assert first.get_xlim() == (0, 32)
    assert first.get_ylim() == (32, 0)
    assert len(first.lines) == HUMAN_17.n_bones
    assert not second.lines


def test_skeleton_images_are_shown_with_a_colour_for_each_side(pose_3d: torch.Tensor) -> None:
    pose = 0.5 + 0.1 * pose_3d[:, :2]
    three = draw_skeleton(pose, HUMAN_17, size=24, gamma=500.0, channels=3)
    rgb = plots.picture_to_rgb(three)
    assert rgb.shape == (24, 24, 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    left = plots.picture_to_rgb(three * torch.tensor([1.0, 0.0, 0.0])[:, None, None])
    # one colour, scaled: the image of one side has rank one over its pixels
    assert np.linalg.matrix_rank(left.reshape(-1, 3), tol=1e-5) == 1
    one = draw_skeleton(pose, HUMAN_17, size=24, gamma=500.0, channels=1)
    np.testing.assert_allclose(plots.picture_to_rgb(one)[..., 1], one[0])


def test_figures_are_not_left_open_and_can_be_encoded() -> None:
    before = plt.get_fignums()
    figure = plots.picture_row([torch.zeros(3, 8, 8, dtype=torch.uint8)])
    assert plt.get_fignums() == before
    assert figure._repr_png_().startswith(b"\x89PNG")
