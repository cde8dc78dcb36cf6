"""Figures of results: what is shown is what was measured."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from selfpose.camera import lift
from selfpose.data.dataset import LabelledSet
from book.kit.figures import (
    error_bars,
    joint_bars,
    monitor_figure,
    prediction_figure,
    prediction_rows,
    snapshot_figure,
)
from selfpose.model import Prediction
from selfpose.skeleton import HUMAN_17
from selfpose.evaluation.snapshots import Snapshots, coarse


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


def test_no_two_lines_to_compare_with_look_alike() -> None:
    references = {str(n): float(n) for n in range(6)}
    (ax,) = error_bars({"a": [1.0]}, xlabel="mm", references=references).axes
    lines = ax.get_legend().get_lines()
    assert len({(str(line.get_color()), line.get_linestyle()) for line in lines}) == 6
    # the first four also without colours
    assert len({str(line._unscaled_dash_pattern) for line in lines[:4]}) == 4


def test_joint_bars_keep_the_order_of_the_joints() -> None:
    errors = {"hip": {"e": 3.0}, "ankle": {"e": 1.0}}
    (ax,) = joint_bars(errors, metric="e", ylabel="mm").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["hip", "ankle"]
    assert [float(bar.get_height()) for bar in ax.patches] == [3.0, 1.0]


def test_monitors_stand_beside_each_other_and_missing_ones_are_named() -> None:
    steps = pd.Index([0, 20, 40], name="step")
    none = float("nan")
    healthy = pd.DataFrame({"e": [3.0, none, 1.0], "new": [1.0, 2.0, 3.0]}, index=steps)
    failing = pd.DataFrame({"e": [3.0, 3.0, 4.0]}, index=steps)
    figure = monitor_figure(
        {"healthy": healthy, "failing": failing},
        {"e": "error", "new": "a newer monitor", "other": "nobody's"},
        levels={"e": "new", "new": 2.5},
    )
    error, new, other = figure.axes
    assert [line.get_label() for line in error.lines[:2]] == ["healthy", "failing"]
    assert error.lines[0].get_xydata().tolist() == [[0, 3], [40, 1]]
    assert list(error.lines[2].get_ydata()) == [3, 3]
    assert len(new.lines) == 2
    assert [text.get_text() for text in other.texts] == ["not logged"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["healthy", "failing"]
    (empty,) = monitor_figure({}, {"e": "error"}).axes
    assert [text.get_text() for text in empty.texts] == ["missing"]


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
    if known:
        test = LabelledSet(
            images=torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
            sequence=torch.arange(2),
            poses_2d=prediction.pose_2d,
            poses_3d=700 * torch.randn(2, 17, 3),
            activity=("a", "b"),
        )
        rows = prediction_rows(prediction, {"best": 1, "worst": 0}, test, HUMAN_17)
        assert [ax.get_title() for ax in rows.axes] == [*titles, *[""] * 5]
        names = [text.get_text() for ax in rows.axes for text in ax.texts if text.get_rotation()]
        assert [name for name in names if name in ("best", "worst")] == ["best", "worst"]
        with pytest.raises(ValueError, match="no picture is chosen"):
            prediction_rows(prediction, {}, test, HUMAN_17)


@pytest.mark.parametrize("known", [True, False])
def test_a_snapshot_is_shown_over_the_pictures_that_were_looked_at(known: bool) -> None:
    """Each row holds its own picture of the test part, and the poses of its snapshot."""
    rows = torch.tensor([1, 4])
    images = torch.randint(256, (6, 3, 64, 64), dtype=torch.uint8)
    plane = 0.1 * torch.randn(3, 2, 17, 2)
    snapshots = Snapshots(
        steps=torch.tensor([0, 2, 9]),
        rows=rows,
        marks=coarse(images[rows]),
        skeleton_images=torch.randint(256, (3, 2, 3, 16, 16), dtype=torch.uint8),
        poses_2d=0.5 + plane,
        poses_3d=lift(plane, torch.zeros(3, 2, 17)),
        elevations=torch.zeros(3, 2),
    )
    unknown = 1.0 if known else torch.nan
    test = LabelledSet(
        images=images,
        sequence=torch.arange(6),
        poses_2d=64 * torch.rand(6, 17, 2) * unknown,
        poses_3d=700 * torch.randn(6, 17, 3) * unknown,
        activity=("a",) * 6,
    )
    figure = snapshot_figure(snapshots, 1, test, HUMAN_17)
    n = 5 if known else 4
    assert len(figure.axes) == 2 * n
    for row, index in enumerate(rows.tolist()):
        picture, sketch, over = figure.axes[row * n : row * n + 3]
        assert np.array_equal(picture.images[0].get_array(), images[index].permute(1, 2, 0))
        assert np.array_equal(over.images[0].get_array(), images[index].permute(1, 2, 0))
        assert sketch.images[0].get_array().shape[:2] == (16, 16)
        drawn = {
            (round(float(x), 3), round(float(y), 3))
            for line in over.lines
            for x, y in line.get_xydata()
        }
        for x, y in (64 * snapshots.poses_2d[1, row]).tolist():
            assert (round(x, 3), round(y, 3)) in drawn
    names = [text.get_text() for ax in figure.axes for text in ax.texts if text.get_rotation()]
    assert names == ["picture 1", "picture 4"]
    with pytest.raises(ValueError, match="expected 2 names, one a picture, got 1"):
        snapshot_figure(snapshots, 1, test, HUMAN_17, names=["a"])
    moved = replace(test, images=images.roll(1, 0))
    with pytest.raises(ValueError, match="other pictures than those of this test part"):
        snapshot_figure(snapshots, 1, moved, HUMAN_17)
