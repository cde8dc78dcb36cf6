"""Figures of results: one prediction from picture to 3D, errors by run, errors by joint."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from selfpose.data.dataset import LabelledSet
from selfpose.metrics import procrustes, root_centred
from selfpose.model import Prediction
from book.kit.plots import (
    draw_pose_2d,
    draw_pose_3d,
    in_house_style,
    new_figure,
    picture_to_rgb,
)
from selfpose.skeleton import Skeleton
from selfpose.evaluation.snapshots import Snapshots


def _draw_prediction(
    figure: Figure,
    image: Any,
    prediction: Prediction,
    index: int,
    skeleton: Skeleton,
    *,
    truth_2d: Any,
    truth_3d: Any,
    row: int = 0,
    rows: int = 1,
) -> None:
    """One person in a row of a figure: picture, skeleton image, 2D pose, 3D pose, and the truth."""
    sketch = prediction.skeleton_image
    names = _columns(prediction, truth_3d)
    pose_3d = root_centred(prediction.pose_3d[index].cpu(), skeleton.root)
    radius = None
    if truth_3d is not None:
        pose_3d = root_centred(procrustes(pose_3d, truth_3d), skeleton.root)
        truth_3d = root_centred(truth_3d, skeleton.root)
        radius = float(truth_3d.abs().max())
    centre = None if radius is None else (0.0, 0.0, 0.0)
    for column, name in enumerate(names):
        place = (rows, len(names), row * len(names) + column + 1)
        if name.endswith("3D pose"):
            ax = figure.add_subplot(*place, projection="3d")
            shown = truth_3d if name.startswith("true") else pose_3d
            draw_pose_3d(ax, shown, skeleton, radius=radius, centre=centre)
        else:
            ax = figure.add_subplot(*place)
            shown = sketch[index].cpu() if name == "skeleton image" else image  # type: ignore[index]
            ax.imshow(picture_to_rgb(shown), extent=(0, image.shape[-1], image.shape[-2], 0))
            ax.set_axis_off()
            if name == "2D pose":
                if truth_2d is not None:
                    draw_pose_2d(ax, truth_2d, skeleton, colour="white", linewidth=1.0)
                draw_pose_2d(ax, prediction.pose_2d[index].cpu(), skeleton, linewidth=1.6)
                ax.set_xlim(0, image.shape[-1])
                ax.set_ylim(image.shape[-2], 0)
        if row == 0:
            ax.set_title(name, fontsize=8)


def _columns(prediction: Prediction, truth_3d: Any) -> list[str]:
    sketch = ["skeleton image"] if prediction.skeleton_image is not None else []
    return ["picture", *sketch, "2D pose", "3D pose", *(["true 3D pose"] * (truth_3d is not None))]


@in_house_style
def prediction_figure(
    image: Any,
    prediction: Prediction,
    index: int,
    skeleton: Skeleton,
    *,
    truth_2d: Any = None,
    truth_3d: Any = None,
    title: str = "",
) -> Figure:
    """One person from left to right: picture, skeleton image, 2D pose, 3D pose, and the truth.

    Parameters
    ----------
    image
        uint8 (3, H, H).
    prediction, index
        A batch's prediction, and which of the batch to show.
    truth_2d, truth_3d
        True poses (pixels; mm), where known. The 3D prediction is then shown after Procrustes
        alignment with the truth, both at the same scale.
    """
    n = len(_columns(prediction, truth_3d))
    figure = new_figure(7.0, 7.0 / n + (0.55 if title else 0.3))
    _draw_prediction(
        figure, image, prediction, index, skeleton, truth_2d=truth_2d, truth_3d=truth_3d
    )
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def prediction_rows(
    prediction: Prediction, chosen: Mapping[str, int], test: LabelledSet, skeleton: Skeleton
) -> Figure:
    """Several test pictures below each other, as :func:`prediction_figure` shows one.

    Parameters
    ----------
    prediction
        Of the whole test set.
    chosen
        Name of each row, written on its left → which of the test pictures it shows.

    Raises
    ------
    ValueError
        If no picture is chosen.
    """
    if not chosen:
        raise ValueError("no picture is chosen: name at least one row")
    shown = [(index, index) for index in chosen.values()]
    return _prediction_rows(prediction, list(chosen), shown, test, skeleton)


def snapshot_figure(
    snapshots: Snapshots,
    number: int,
    test: LabelledSet,
    skeleton: Skeleton,
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """One snapshot of a training: a row a picture, as :func:`prediction_figure` shows one.

    Poses that the test part does not know are left out.

    Parameters
    ----------
    snapshots, number
        Of a run, and which of them.
    test
        The test part that its networks looked at.
    names
        One for each picture, written on its left; by default its number in the test part.

    Raises
    ------
    ValueError
        If these are not the pictures of the snapshots, or there are more or fewer names.
    """
    if not snapshots.shows(test.images):
        raise ValueError("the snapshots are of other pictures than those of this test part")
    rows = snapshots.rows.tolist()
    names = [f"picture {row}" for row in rows] if names is None else list(names)
    if len(names) != len(rows):
        raise ValueError(f"expected {len(rows)} names, one a picture, got {len(names)}")
    prediction = snapshots.prediction(number, image_size=int(test.images.shape[-1]))
    return _prediction_rows(prediction, names, list(enumerate(rows)), test, skeleton)


@in_house_style
def _prediction_rows(
    prediction: Prediction,
    names: Sequence[str],
    shown: Sequence[tuple[int, int]],
    test: LabelledSet,
    skeleton: Skeleton,
) -> Figure:
    """A row for each (row of the prediction, row of the test part)."""
    truth = test.poses_3d if test.knows_3d else None
    n = len(_columns(prediction, truth))
    figure = new_figure(7.0, 7.0 / n * len(names) + 0.2)
    for row, (name, (index, picture)) in enumerate(zip(names, shown, strict=True)):
        _draw_prediction(
            figure,
            test.images[picture],
            prediction,
            index,
            skeleton,
            truth_2d=test.poses_2d[picture] if test.knows_2d else None,
            truth_3d=None if truth is None else truth[picture],
            row=row,
            rows=len(names),
        )
        first = figure.axes[-n]
        first.text(
            *(-0.05, 0.5, name),
            transform=first.transAxes,
            rotation=90,
            ha="right",
            va="center",
            fontsize=8,
        )
    return figure


REFERENCE_COLOURS = ("#444444", "#D55E00", "#007a5a", "#a5407f", "#7a5200")
"""Of the lines in :func:`error_bars`: dark enough on white and over the bars."""
REFERENCE_LINES: tuple[Any, ...] = ("--", "-", (0, (1, 1.2)), (0, (7, 1.5, 1, 1.5)))


@in_house_style
def error_bars(
    groups: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """A row a group: each run a dot, their mean a bar; vertical lines for floors and ceilings.

    Parameters
    ----------
    groups
        Name → one value a run; a group without runs keeps its row, marked as missing.
    references
        Name → value of lines to compare with.
    """
    figure = new_figure(7.0, 0.9 + 0.32 * len(groups))
    ax = figure.add_subplot()
    runs = pd.DataFrame(
        [(name, float(v)) for name, values in groups.items() for v in values],
        columns=["group", "error"],
    )
    shared = {"data": runs, "x": "error", "y": "group", "order": list(groups), "ax": ax}
    sns.barplot(**shared, color="#9ecae1", errorbar=None)
    sns.stripplot(**shared, color="#08519c", jitter=False)
    for row, values in enumerate(groups.values()):
        if not len(values):
            ax.text(0, row, " missing", va="center", fontsize=8)
    ax.set_ylabel("")
    for number, (name, value) in enumerate((references or {}).items()):
        # colour and style both turn over, at different times: twenty lines before two are alike
        colour = REFERENCE_COLOURS[number % len(REFERENCE_COLOURS)]
        style = REFERENCE_LINES[number % len(REFERENCE_LINES)]
        ax.axvline(value, color=colour, linestyle=style, linewidth=1.5, label=name)
    ax.set_xlabel(xlabel)
    if references:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, handlelength=3)
    return figure


@in_house_style
def joint_bars(by_joint: Mapping[str, Mapping[str, float]], *, metric: str, ylabel: str) -> Figure:
    """Error of each joint as a bar."""
    figure = new_figure(7.0, 2.8)
    ax = figure.add_subplot()
    names = [name.replace("_", " ") for name in by_joint]
    sns.barplot(x=names, y=[row[metric] for row in by_joint.values()], color="#9ecae1", ax=ax)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    ax.set_ylabel(ylabel)
    return figure


RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#444444")
"""Colours of runs in :func:`monitor_figure`, told apart by colour-blind readers."""
RUN_LINES = ("-", "--", "-.", ":")


@in_house_style
def monitor_figure(
    histories: Mapping[str, pd.DataFrame],
    columns: Mapping[str, str],
    *,
    levels: Mapping[str, str | float] | None = None,
    across: int = 3,
) -> Figure:
    """A panel for each monitor, a line for each run: a failing run beside a healthy one.

    Parameters
    ----------
    histories
        Name → history of one stage as :func:`experiments.records.read_history` gives it, indexed by
        step. With none, the panels say that runs are missing.
    columns
        Column of the histories → title of its panel. A panel of a column that no run has logged
        says so: records of an older version lack the newer monitors.
    levels
        Column → a level to hold its lines against: a number, or the name of another column, of
        which the first run's last value is taken.
    across
        Panels in a row.
    """
    rows = -(-len(columns) // across)
    figure = new_figure(7.0, 2.1 * rows + 0.3)
    axes = figure.subplots(rows, min(across, len(columns)), squeeze=False).ravel()
    for ax, (column, title) in zip(axes, columns.items(), strict=False):
        drawn = False
        for number, (name, history) in enumerate(histories.items()):
            known = history[column].dropna() if column in history else pd.Series(dtype=float)
            if known.empty:
                continue
            colour = RUN_COLOURS[number % len(RUN_COLOURS)]
            line = RUN_LINES[number % len(RUN_LINES)]
            ax.plot(known.index, known, color=colour, linestyle=line, label=name)
            drawn = True
        if not drawn:
            why = "not logged" if histories else "missing"
            ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", fontsize=8)
            ax.set(xticks=[], yticks=[])
        elif (level := (levels or {}).get(column)) is not None:
            if isinstance(level, str):
                found = [h[level].dropna() for h in histories.values() if level in h]
                level = float(found[0].iloc[-1]) if found and len(found[0]) else None
            if level is not None:
                ax.axhline(level, color="#888888", linestyle=":", linewidth=1.0, zorder=0)
        ax.set_title(title, fontsize=8)
        ax.tick_params(labelsize=7)
        if drawn:
            ax.set_xlabel("step", fontsize=7)
    for ax in axes[len(columns) :]:
        ax.set_axis_off()
    entries = {
        label: line
        for ax in axes
        for line, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(
            [entries[name] for name in histories if name in entries],
            [name for name in histories if name in entries],
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=min(4, len(entries)),
            fontsize=8,
        )
    return figure


__all__ = [
    "error_bars",
    "joint_bars",
    "monitor_figure",
    "prediction_figure",
    "prediction_rows",
    "snapshot_figure",
]
