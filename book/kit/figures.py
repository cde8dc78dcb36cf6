"""Figures of results: from picture to 3D, errors by run, errors by joint, curves of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from IPython.display import HTML
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from book.kit.plots import draw_pose_2d, draw_pose_3d, new_figure, show_picture
from book.kit.widgets import figure_slider
from selfpose.config import flatten
from selfpose.data.dataset import ImageSet, LabelledSet
from selfpose.metrics import procrustes, root_centred
from selfpose.model import Prediction
from selfpose.run import Record
from selfpose.skeleton import Skeleton


def prediction_figure(
    prediction: Prediction,
    chosen: Mapping[str, int],
    pictures: ImageSet,
    skeleton: Skeleton,
    *,
    figure: Any = None,
) -> Any:
    """A row a picture: the picture, its skeleton image, 2D pose, 3D pose, and the truth.

    Parameters
    ----------
    prediction, pictures
        The prediction of all of the pictures. True poses are shown where they are known: the 2D
        one in white; the 3D prediction is then aligned with the true one as P-MPJPE aligns it.
    chosen
        Name of each row, written on its left → which of the pictures it shows.
    figure
        A figure, or a part of one, to draw in; a new one by default.
    """
    labelled = pictures if isinstance(pictures, LabelledSet) else None
    truth_2d = labelled.poses_2d if labelled and labelled.knows_2d else None
    truth_3d = labelled.poses_3d if labelled and labelled.knows_3d else None
    sketches = prediction.skeleton_image
    columns = ["picture", "skeleton image", "2D pose", "3D pose", "true 3D pose"]
    columns = [title for title in columns if "true" not in title or truth_3d is not None]
    columns = [title for title in columns if "skeleton" not in title or sketches is not None]
    n = len(columns)
    figure = figure or new_figure(7.0, 7.0 / n * len(chosen) + 0.3)
    for row, (name, k) in enumerate(chosen.items()):
        poses, scale = {"3D pose": prediction.pose_3d[k].cpu()}, dict[str, Any]()
        if truth_3d is not None:
            aligned = procrustes(poses["3D pose"], truth_3d[k])
            poses = {"3D pose": aligned, "true 3D pose": truth_3d[k]}
            radius = float(root_centred(truth_3d[k], skeleton.root).abs().max())
            scale = {"centre": (0.0, 0.0, 0.0), "radius": radius}
        for column, title in enumerate(columns):
            kind = "3d" if title in poses else None
            ax = figure.add_subplot(len(chosen), n, row * n + column + 1, projection=kind)
            if kind:
                draw_pose_3d(ax, root_centred(poses[title], skeleton.root), skeleton, **scale)
            elif sketches is not None and "skeleton" in title:
                show_picture(ax, sketches[k])
            else:
                show_picture(ax, pictures.images[k])
            if title == "2D pose":
                if truth_2d is not None:
                    draw_pose_2d(ax, truth_2d[k], skeleton, colour="white", linewidth=1.0)
                draw_pose_2d(ax, prediction.pose_2d[k], skeleton, linewidth=1.6)
            if row == 0:
                ax.set_title(title, fontsize=8)
            if column == 0:
                side = ax.text(-0.05, 0.5, name, transform=ax.transAxes, rotation=90, fontsize=8)
                side.set(ha="right", va="center")
    return figure


def prediction_slider(
    prediction: Prediction,
    pictures: ImageSet,
    skeleton: Skeleton,
    error: Float[Tensor, " N"],
    *,
    unit: str,
    label: str = "rank by error",
) -> HTML:
    """A slider over nine pictures, from the smallest error to the largest."""
    order = error.argsort().tolist()
    n = len(order)

    def text(rank: int) -> str:
        return f"{rank + 1} of {n}: {float(error[order[rank]]):.1f} {unit}"

    return figure_slider(
        lambda rank: prediction_figure(prediction, {"": order[rank]}, pictures, skeleton),
        sorted({round(share * (n - 1) / 8) for share in range(9)}),
        label=label,
        format=text,
        describe=lambda rank: (
            f"A picture, what the networks make of it, and the truth where it is known. "
            f"Picture and error: {text(rank)}."
        ),
    )


REFERENCE_LINES = ("--", "-", ":", "-.")


def error_bars(
    groups: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    references: Mapping[str, float] | None = None,
    highlight: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Any:
    """A row a group: each run a dot, their mean a bar; vertical lines for floors and ceilings.

    Parameters
    ----------
    groups
        Name → one value a run; a group without runs keeps its row, marked as missing.
    references
        Name → value of lines to compare with.
    highlight
        Name → colour of the groups that stand out; the others are then grey.
    ax
        Where to draw; a new figure by default.
    """
    if ax is None:
        ax = new_figure(7.0, 0.9 + 0.3 * len(groups)).add_subplot()
    runs = pd.DataFrame(
        [(name, float(v)) for name, values in groups.items() for v in values],
        columns=["group", "error"],
    )
    shared = {"data": runs, "x": "error", "y": "group", "order": list(groups), "ax": ax}
    colours = {name: (highlight or {}).get(name, "#cccccc") for name in groups}
    hue = {"hue": "group", "palette": colours, "legend": False} if highlight else {}
    sns.barplot(**shared, **(hue or {"color": "#9ecae1"}), errorbar=None)
    sns.stripplot(**shared, color="#08519c", jitter=False)
    for row, values in enumerate(groups.values()):
        if not len(values):
            ax.text(0, row, " missing", va="center", fontsize=8)
    ax.set(xlabel=xlabel, ylabel="")
    for k, (name, value) in enumerate((references or {}).items()):
        ax.axvline(value, color=f"C{k + 1}", linestyle=REFERENCE_LINES[k % 4], label=name)
    if references:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, handlelength=3)
    return ax.figure


def variants_figure(
    runs: Mapping[str, Sequence[Record]], measures: Mapping[str, str], *, over: str = ""
) -> Figure:
    """The answer of an experiment: a panel a measure, with a bar a variant, or a line over a sweep.

    Parameters
    ----------
    runs
        Variant → its records.
    measures
        Title of a panel → the metric that it shows.
    over
        The parameter that the variants go through, by its dotted name.
    """
    everyone = [record for same in runs.values() for record in same]
    if not everyone:
        figure = new_figure(7.0, 0.5)
        figure.text(0.5, 0.5, "missing: no records yet", ha="center", va="center")
        return figure
    wide = len(measures) > 1 or not over
    figure = new_figure(7.0 if wide else 4.5, 2.6 if over else 0.9 + 0.27 * len(runs))
    axes = figure.subplots(1, len(measures), squeeze=False, sharey=not over)[0]
    for ax, (title, metric) in zip(axes, measures.items(), strict=True):
        ax.tick_params(labelsize=8)
        if not over:
            groups = {name: [r["metrics"][metric] for r in same] for name, same in runs.items()}
            error_bars(groups, xlabel=title, ax=ax)
            continue
        at = [flatten(record["parameters"])[over] for record in everyone]
        values = [record["metrics"][metric] for record in everyone]
        sns.lineplot(x=at, y=values, color="#9ecae1", errorbar=None, ax=ax)
        ax.plot(at, values, "o", color="#08519c", markersize=4)
        ax.set(xscale="log", xlabel=over, ylabel=title)
        ax.set_xticks(sorted({*at}), [f"{x:g}" for x in sorted({*at})])
        ax.minorticks_off()
    return figure


def joint_bars(
    by_joint: Mapping[str, Mapping[str, float]],
    *,
    metric: str,
    ylabel: str,
    figure: Any = None,
) -> Any:
    """Error of each joint as a bar."""
    figure = figure or new_figure(7.0, 2.8)
    ax = figure.add_subplot()
    names = [name.replace("_", " ") for name in by_joint]
    sns.barplot(x=names, y=[row[metric] for row in by_joint.values()], color="#9ecae1", ax=ax)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    ax.set_ylabel(ylabel)
    return figure


RUN_LINES = ("-", "--", "-.", ":")


def learning_curves(
    histories: Mapping[str, pd.DataFrame],
    panels: Mapping[str, str | Mapping[str, str]],
    *,
    levels: Mapping[str, float] | None = None,
    across: int = 3,
) -> Figure:
    """Curves over the steps of trainings.

    Parameters
    ----------
    histories
        Name of each run → history of one stage as :func:`experiments.records.read_history` gives
        it, indexed by step. With none, the panels say that runs are missing.
    panels
        Title → a column of the histories, of which each run is a line; or columns → labels, for
        one run. A panel says so where no run has logged its columns.
    levels
        Title → a level to hold the lines of that panel against, dotted.
    across
        Panels in a row.
    """
    rows = -(-len(panels) // across)
    figure = new_figure(7.0, 2.1 * rows + 0.3)
    axes = figure.subplots(rows, min(across, len(panels)), squeeze=False).ravel()
    for ax, (title, columns) in zip(axes, panels.items(), strict=False):
        for k, (name, history) in enumerate(histories.items()):
            shown = {columns: name} if isinstance(columns, str) else columns
            own = {"color": f"C{k}", "linestyle": RUN_LINES[k % 4]}
            look: dict[str, str] = own if isinstance(columns, str) else {}
            for column, label in shown.items():
                known = history[column].dropna() if column in history else []
                if len(known):
                    ax.plot(known.index, known, label=label, **look)
        ax.set_title(title, fontsize=8)
        ax.tick_params(labelsize=7)
        if not ax.lines:
            why = "not logged" if histories else "missing"
            ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", fontsize=8)
            ax.set(xticks=[], yticks=[])
            continue
        ax.set_xlabel("step", fontsize=7)
        if not isinstance(columns, str):
            ax.legend(fontsize=7)
        if levels and title in levels:
            ax.axhline(levels[title], color="#888888", linestyle=":", linewidth=1.0, zorder=0)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    named = [ax.get_legend_handles_labels() for ax in axes if ax.lines and not ax.get_legend()]
    entries = {
        label: line for lines, labels in named for line, label in zip(lines, labels, strict=True)
    }
    if len(histories) > 1 and entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=min(4, len(entries)),
            fontsize=8,
        )
    return figure
