"""Figures of results: one prediction from picture to 3D, errors by run, errors by joint."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from selfpose.metrics import procrustes, root_centred
from selfpose.pipeline import Prediction
from selfpose.plots import draw_pose_2d, draw_pose_3d, new_figure, picture_to_rgb
from selfpose.skeleton import Skeleton


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
    sketch = prediction.skeleton_image
    names = ["picture", *(["skeleton image"] if sketch is not None else []), "2D pose", "3D pose"]
    if truth_3d is not None:
        names.append("true 3D pose")
    figure = new_figure(7.0, 7.0 / len(names) + (0.55 if title else 0.3))
    pose_3d = root_centred(prediction.pose_3d[index].cpu(), skeleton.root)
    radius = None
    if truth_3d is not None:
        pose_3d = root_centred(procrustes(pose_3d, truth_3d), skeleton.root)
        truth_3d = root_centred(truth_3d, skeleton.root)
        radius = float(truth_3d.abs().max())
    centre = None if radius is None else (0.0, 0.0, 0.0)
    for column, name in enumerate(names):
        place = (1, len(names), column + 1)
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
        ax.set_title(name, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


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
    styles = ["--", ":", "-."]
    for number, (name, value) in enumerate((references or {}).items()):
        style = styles[number % len(styles)]
        ax.axvline(value, color="#444444", linestyle=style, linewidth=1.2, label=name)
    ax.set_xlabel(xlabel)
    if references:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return figure


def joint_bars(by_joint: Mapping[str, Mapping[str, float]], *, metric: str, ylabel: str) -> Figure:
    """Error of each joint as a bar."""
    figure = new_figure(7.0, 2.8)
    ax = figure.add_subplot()
    names = [name.replace("_", " ") for name in by_joint]
    sns.barplot(x=names, y=[row[metric] for row in by_joint.values()], color="#9ecae1", ax=ax)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    ax.set_ylabel(ylabel)
    return figure


__all__ = ["error_bars", "joint_bars", "prediction_figure"]
