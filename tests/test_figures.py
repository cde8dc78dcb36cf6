"""Figures of results: what is shown is what was measured."""

import pytest
import torch

from selfpose.camera import lift
from selfpose.figures import error_bars, joint_bars, prediction_figure
from selfpose.pipeline import Prediction
from selfpose.skeleton import HUMAN_17


def test_bars_are_the_means_and_missing_groups_are_named() -> None:
    figure = error_bars(
        {"a": [10.0, 20.0], "b": [], "c": [5.0]}, xlabel="mm", references={"flat": 12.0}
    )
    (ax,) = figure.axes
    widths = sorted(round(float(bar.get_width()), 6) for bar in ax.patches)
    assert widths == [5.0, 15.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text().strip() for text in ax.texts] == ["missing"]
    assert ax.get_legend().get_texts()[0].get_text() == "flat"


def test_joint_bars_keep_the_order_of_the_joints() -> None:
    errors = {"hip": {"e": 3.0}, "ankle": {"e": 1.0}}
    (ax,) = joint_bars(errors, metric="e", ylabel="mm").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["hip", "ankle"]
    assert [float(bar.get_height()) for bar in ax.patches] == [3.0, 1.0]


@pytest.mark.parametrize("known", [True, False])
def test_a_prediction_is_shown_from_picture_to_3d(known: bool) -> None:
    torch.manual_seed(0)
    plane = 0.1 * torch.randn(2, 17, 2)
    prediction = Prediction(
        skeleton_image=torch.rand(2, 3, 16, 16),
        pose_2d=32 + 50 * plane,
        pose_3d=lift(plane, torch.zeros(2, 17)),
        elevation=torch.zeros(2),
    )
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    truth = {"truth_2d": prediction.pose_2d[1], "truth_3d": 700 * torch.randn(17, 3)}
    figure = prediction_figure(image, prediction, 1, HUMAN_17, **(truth if known else {}))
    titles = [ax.get_title() for ax in figure.axes]
    shown = ["picture", "skeleton image", "2D pose", "3D pose"]
    assert titles == ([*shown, "true 3D pose"] if known else shown)
