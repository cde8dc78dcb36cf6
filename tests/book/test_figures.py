"""Figures of results: what is shown is what was measured."""

import pandas as pd
import pytest
import torch

from book.kit.figures import error_bars, joint_bars, learning_curves, prediction_figure
from selfpose.camera import lift
from selfpose.data.dataset import LabelledSet
from selfpose.model import Prediction
from selfpose.skeleton import HUMAN_17


def test_bars_are_the_means_and_missing_groups_are_named() -> None:
    groups = {"a": [10.0, 20.0], "b": [], "c": [5.0]}
    (ax,) = error_bars(groups, xlabel="mm", references={"flat": 12.0}).axes
    assert sorted(round(float(bar.get_width()), 6) for bar in ax.patches) == [5.0, 15.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text().strip() for text in ax.texts] == ["missing"]
    assert ax.get_legend().get_texts()[0].get_text() == "flat"


def test_four_lines_to_compare_with_differ_in_colour_and_in_dashes() -> None:
    references = {str(n): float(n) for n in range(4)}
    (ax,) = error_bars({"a": [1.0]}, xlabel="mm", references=references).axes
    lines = ax.get_legend().get_lines()
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_linestyle() for line in lines}) == 4


def test_joint_bars_keep_the_order_of_the_joints() -> None:
    errors = {"hip": {"e": 3.0}, "left_ankle": {"e": 1.0}}
    (ax,) = joint_bars(errors, metric="e", ylabel="mm").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["hip", "left ankle"]
    assert [float(bar.get_height()) for bar in ax.patches] == [3.0, 1.0]


def test_runs_stand_beside_each_other_and_missing_columns_are_named() -> None:
    steps = pd.Index([0, 20, 40], name="step")
    healthy = pd.DataFrame({"e": [3.0, float("nan"), 1.0], "new": [1.0, 2.0, 3.0]}, index=steps)
    failing = pd.DataFrame({"e": [3.0, 3.0, 4.0]}, index=steps)
    figure = learning_curves(
        {"healthy": healthy, "failing": failing},
        {"error": "e", "a newer monitor": "new", "nobody's": "other"},
        levels={"error": 2.5},
    )
    error, new, other = figure.axes
    assert error.lines[0].get_xydata().tolist() == [[0, 3], [40, 1]]
    assert list(error.lines[2].get_ydata()) == [2.5, 2.5]
    assert len(new.lines) == 1
    assert [text.get_text() for text in other.texts] == ["not logged"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["healthy", "failing"]
    (empty,) = learning_curves({}, {"error": "e"}).axes
    assert [text.get_text() for text in empty.texts] == ["missing"]


def test_a_panel_of_one_run_holds_several_columns_by_their_labels() -> None:
    history = pd.DataFrame({"a": [3.0, 2.0], "b": [1.0, 1.5]}, index=[0, 20])
    (ax, *_) = learning_curves({"this run": history}, {"both": {"a": "A", "b": "B"}}).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]
    assert ax.lines[1].get_xydata().tolist() == [[0, 1.0], [20, 1.5]]


@pytest.mark.parametrize("known", [True, False])
def test_each_row_shows_its_picture_from_pixels_to_3d(known: bool) -> None:
    torch.manual_seed(0)
    plane = 0.1 * torch.randn(3, 17, 2)
    prediction = Prediction(
        skeleton_image=torch.rand(3, 3, 16, 16),
        pose_2d=32 + 50 * plane,
        pose_3d=lift(plane, torch.zeros(3, 17)),
        elevation=torch.zeros(3),
    )
    images = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8)
    test = LabelledSet(
        images=images,
        sequence=torch.arange(3),
        poses_2d=64 * torch.rand(3, 17, 2),
        poses_3d=700 * torch.randn(3, 17, 3) * (1.0 if known else torch.nan),
        activity=("a", "b", "c"),
    )
    rows = {"best": 2, "worst": 0}
    figure = prediction_figure(prediction, rows, test, HUMAN_17)
    shown = ["picture", "skeleton image", "2D pose", "3D pose", "true 3D pose"][: 4 + known]
    assert [ax.get_title() for ax in figure.axes] == [*shown, *[""] * len(shown)]
    names = [text.get_text() for ax in figure.axes for text in ax.texts if text.get_rotation()]
    assert [name for name in names if name in rows] == ["best", "worst"]
    for (_, k), row in zip(rows.items(), (0, len(shown)), strict=True):
        picture, sketch, over = figure.axes[row : row + 3]
        for ax in (picture, over):
            assert (ax.images[0].get_array() == images[k].permute(1, 2, 0).numpy()).all()
        assert sketch.images[0].get_array().shape[:2] == (16, 16)
        drawn = torch.tensor([xy for line in over.lines for xy in line.get_xydata().tolist()])
        for joint in prediction.pose_2d[k]:
            assert (drawn - joint).norm(dim=-1).min() < 1e-3
