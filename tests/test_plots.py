"""Figures: sides keep their colours, up is up, and wrong input is refused."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from book.kit import plots
from book.kit.pages import number_frame, number_table, show_source, source_without_docstring
from selfpose.render import draw_bones, draw_skeleton
from selfpose.skeleton import HUMAN_17, mirror_pose
from book.kit.widgets import figure_to_data_url


@pytest.fixture
def pose_3d() -> torch.Tensor:
    return torch.randn(17, 3, generator=torch.Generator().manual_seed(0))


def drawn_lines(ax) -> list[np.ndarray]:
    return [np.stack(line.get_data(), axis=-1) for line in ax.lines]


def test_each_bone_is_drawn_once_in_the_colour_of_its_side(pose_3d):
    ax = plots.new_figure().add_subplot()
    plots.draw_pose_2d(ax, pose_3d[:, :2], HUMAN_17)
    assert len(ax.lines) == HUMAN_17.n_bones
    for line, bone, side in zip(ax.lines, HUMAN_17.bones, HUMAN_17.bone_sides, strict=True):
        np.testing.assert_allclose(np.stack(line.get_data(), -1), pose_3d[list(bone), :2])
        assert same_color(line.get_color(), plots.SIDE_COLOURS[side])


def test_the_mirror_twin_swaps_the_colours_of_the_drawn_bones(pose_3d):
    def segments_by_colour(pose):
        ax = plots.new_figure().add_subplot()
        plots.draw_pose_2d(ax, pose, HUMAN_17)
        found = {}
        for line in ax.lines:
            # a segment as a set of end points, x mirrored away
            ends = {(round(abs(float(x)), 4), round(float(y), 4)) for x, y in line.get_xydata()}
            found.setdefault(line.get_color(), []).append(frozenset(ends))
        return {colour: sorted(map(sorted, sets)) for colour, sets in found.items()}

    flat = pose_3d[:, :2]
    own, twin = segments_by_colour(flat), segments_by_colour(mirror_pose(flat, HUMAN_17))
    left, right = plots.SIDE_COLOURS["left"], plots.SIDE_COLOURS["right"]
    assert own[left] == twin[right]
    assert own[right] == twin[left]


def test_y_points_down_in_2d_and_stays_so_when_drawn_twice(pose_3d):
    ax = plots.new_figure().add_subplot()
    for _ in range(2):
        plots.draw_pose_2d(ax, pose_3d[:, :2], HUMAN_17)
        assert ax.yaxis_inverted()


def test_in_3d_what_is_up_in_the_camera_frame_is_up_on_the_page(pose_3d):
    ax = plots.new_figure().add_subplot(projection="3d")
    plots.draw_pose_3d(ax, pose_3d, HUMAN_17)
    for line, bone in zip(ax.lines, HUMAN_17.bones, strict=True):
        x, depth, up = line.get_data_3d()
        np.testing.assert_allclose(np.stack([x, -np.asarray(up), depth], -1), pose_3d[list(bone)])
    spans = [np.ptp(limits) for limits in (ax.get_xlim(), ax.get_ylim(), ax.get_zlim())]
    np.testing.assert_allclose(spans, spans[0])


def test_a_picture_and_the_pose_over_it_share_coordinates(pose_3d):
    pose = 16 + 4 * pose_3d[:, :2]
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    figure = plots.picture_row(
        [picture, picture], ["a", "b"], poses=[pose, None], skeleton=HUMAN_17
    )
    first, second = figure.axes
    assert first.images[0].get_extent() == [0, 32, 32, 0]
    assert len(first.lines) == HUMAN_17.n_bones
    assert not second.lines


def test_skeleton_images_are_shown_with_a_colour_for_each_side(pose_3d):
    pose = 0.5 + 0.1 * pose_3d[:, :2]
    three = draw_skeleton(pose, HUMAN_17, size=24, gamma=500.0, channels=3)
    rgb = plots.skeleton_image_to_rgb(three)
    assert rgb.shape == (24, 24, 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    left_only = three.clone()
    left_only[1:] = 0
    left = plots.skeleton_image_to_rgb(left_only)
    # one colour, scaled: the image of one side has rank one over its pixels
    assert np.linalg.matrix_rank(left.reshape(-1, 3), tol=1e-5) == 1
    one = draw_bones(pose, list(HUMAN_17.bones), size=24, gamma=500.0)
    np.testing.assert_allclose(plots.skeleton_image_to_rgb(one[None])[..., 1], one)


def test_curves_hold_the_history_and_skip_rows_without_the_term():
    rows = [{"step": 0.0, "a": 3.0, "b": 1.0}, {"step": 20.0, "a": 2.0}, {"step": 40.0, "a": 1.0}]
    figure = plots.learning_curves(rows, {"one": ["a"], "two": {"a": "A", "b": "B"}})
    one, two = (ax for ax in figure.axes if ax.lines)
    np.testing.assert_allclose(drawn_lines(one)[0], [[0, 3], [20, 2], [40, 1]])
    np.testing.assert_allclose(drawn_lines(two)[1], [[0, 1]])


def test_figures_are_not_left_open_and_can_be_encoded(pose_3d):
    before = plt.get_fignums()
    figure = plots.pose_row_3d([pose_3d, pose_3d], ["a", "b"], HUMAN_17)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == before
    assert figure._repr_png_().startswith(b"\x89PNG")
    url, (width, height) = figure_to_data_url(figure)
    assert url.startswith("data:image/")
    assert min(width, height) > 100


def test_wrong_input_is_refused(pose_3d):
    ax = plots.new_figure().add_subplot()
    with pytest.raises(ValueError, match=r"shape \(17, 2\)"):
        plots.draw_pose_2d(ax, torch.zeros(2, 17, 2)[0, :5], HUMAN_17)
    with pytest.raises(ValueError, match="1 to 16 pictures"):
        plots.picture_row([])
    with pytest.raises(ValueError, match="2 titles"):
        plots.picture_row([torch.zeros(1, 8, 8)], ["a", "b"])
    with pytest.raises(ValueError, match="need the skeleton"):
        plots.picture_row([torch.zeros(1, 8, 8)], poses=[pose_3d[:, :2]])
    with pytest.raises(ValueError, match=r"not \(2, 8, 8\)"):
        plots.picture_row([torch.zeros(2, 8, 8)])
    with pytest.raises(ValueError, match="history is empty"):
        plots.learning_curves([], {"x": ["a"]})
    with pytest.raises(ValueError, match="'c'; the history has a"):
        plots.learning_curves([{"step": 0.0, "a": 1.0}], {"x": ["c"]})


def test_shown_source_still_runs_and_loses_only_its_docstring():
    source = source_without_docstring(draw_skeleton)
    assert '"""' not in source
    compile(source, "shown", "exec")
    assert "CHANNEL_SIDES[channels]" in source
    shown = show_source(draw_skeleton, draw_bones).data
    assert shown.startswith("```python\n# selfpose/render.py\n")
    assert shown.count("def ") == 2


def test_tables_keep_order_and_mark_what_is_absent():
    rows = {"b": {"x": 1.26, "n": 3}, "a <" + "w" * 90: {"y": "yes"}}
    shown = number_table(rows).data
    assert "a &lt;" + "w" * 90 in shown
    assert "1.3" in shown
    table = number_frame({"b": {"x": 1.26, "n": 3}, "a": {"y": "yes"}}, first="row")
    assert list(table.index) == ["b", "a"]
    assert table.loc["b"].tolist() == ["1.3", "3", "–"]
    assert table.loc["a"].tolist() == ["–", "–", "yes"]


def test_stacked_figures_keep_their_sizes_and_order() -> None:
    red, blue = plots.new_figure(4.0, 1.0), plots.new_figure(2.0, 3.0)
    red.set_facecolor("red")
    blue.set_facecolor("blue")
    whole = plots.stack_figures([red, blue])
    assert whole.get_size_inches().tolist() == [4, 4]
    drawn = io.BytesIO()
    whole.savefig(drawn, format="png", dpi=100)
    drawn.seek(0)
    pixels = plt.imread(drawn)
    assert pixels.shape[:2] == (400, 400)
    assert pixels[50, 200, :3].tolist() == [1, 0, 0]
    assert pixels[200, 100, :3].tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="no figure"):
        plots.stack_figures([])
