"""Figures of poses, pictures and curves, in one style; left, right and centre never change colour.

Figures are made apart from pyplot's list of open figures: a notebook shows one by ending a cell
with it, once, and none stays open behind it.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxtyping import Float
from torch import Tensor
from selfpose.render import CHANNEL_SIDES
from selfpose.skeleton import Side, Skeleton

P = ParamSpec("P")
R = TypeVar("R")

STYLE = Path(__file__).with_name("style") / "selfpose.mplstyle"

SIDE_COLOURS: dict[Side, str] = {"left": "#0072B2", "right": "#D55E00", "centre": "#444444"}
"""Blue and vermillion, which colour-blind readers tell apart, and dark grey."""

# On the black ground of a skeleton image dark grey would vanish.
_CHANNEL_COLOURS: dict[Side, str] = {"left": "#56B4E9", "right": "#D55E00", "centre": "#FFFFFF"}

MAX_ROW = 16
"""More pictures than this side by side cannot be made out at page width."""


def use_style() -> None:
    """Put every figure that follows into the house style."""
    plt.style.use(STYLE)


def in_house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws in the house style, whatever style its caller is in."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with plt.style.context(STYLE):
            return draw(*args, **kwargs)

    return styled


class PageFigure(Figure):
    """A figure that a notebook shows when a cell ends with it, whatever backend is in use."""

    @in_house_style
    def _repr_png_(self) -> bytes:
        encoded = io.BytesIO()
        self.savefig(encoded, format="png", bbox_inches="tight")
        return encoded.getvalue()


@in_house_style
def new_figure(width: float = 7.0, height: float = 3.2) -> Figure:
    """An empty figure of that size in inches, in the house style; 7 inches fill the page."""
    return PageFigure(figsize=(width, height))


@in_house_style
def stack_figures(figures: Sequence[Figure], *, dpi: int = 144) -> Figure:
    """Several figures below each other as one, for a page that shows them under one caption.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not figures:
        raise ValueError("no figure to stack")
    sizes = [figure.get_size_inches() for figure in figures]
    width, height = max(size[0] for size in sizes), sum(size[1] for size in sizes)
    whole = PageFigure(figsize=(width, height))
    whole.set_layout_engine("none")  # each part has its place
    top = 1.0
    for figure, (w, h) in zip(figures, sizes, strict=True):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="auto")
        buffer.seek(0)
        top -= h / height
        ax = whole.add_axes((0, top, w / width, h / height))
        ax.imshow(plt.imread(buffer), aspect="auto", interpolation="none")
        ax.set_axis_off()
    return whole


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _pose_array(pose: Any, skeleton: Skeleton, dim: int) -> np.ndarray:
    array = _array(pose)
    if array.shape != (skeleton.n_joints, dim):
        raise ValueError(
            f"expected one {dim}D pose of shape ({skeleton.n_joints}, {dim}) for the skeleton "
            f"{skeleton.name!r}, got {array.shape}; index the batch first"
        )
    return array


def draw_pose_2d(
    ax: Axes,
    pose: Float[Tensor, "J 2"],
    skeleton: Skeleton,
    *,
    colour: str | None = None,
    linewidth: float = 2.0,
    joints: bool = True,
    **line: Any,
) -> None:
    """Draw a 2D pose, y down, equal scales.

    Parameters
    ----------
    ax
        Where; an image shown there before keeps its axes.
    pose
        Joints in any unit, x right and y down.
    colour
        One colour for all bones; by default each side has its own (:data:`SIDE_COLOURS`).
    linewidth, joints, line
        Width of the bones in points; whether joints get a dot; what else goes to ``ax.plot``
        (``alpha``, ``linestyle``).

    Raises
    ------
    ValueError
        If the pose is not (J, 2).
    """
    points = _pose_array(pose, skeleton, 2)
    for (i, j), side in zip(skeleton.bones, skeleton.bone_sides, strict=True):
        ax.plot(
            *points[[i, j]].T,
            color=colour or SIDE_COLOURS[side],
            linewidth=linewidth,
            solid_capstyle="round",
            **line,
        )
    if joints:
        colours = [colour or SIDE_COLOURS[side] for side in skeleton.joint_sides]
        x, y = points.T
        ax.scatter(x, y, c=colours, s=2.5 * linewidth**2, zorder=3, alpha=line.get("alpha"))
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()


def draw_pose_3d(
    ax: Any,
    pose: Float[Tensor, "J 3"],
    skeleton: Skeleton,
    *,
    colour: str | None = None,
    linewidth: float = 2.0,
    centre: Sequence[float] | None = None,
    radius: float | None = None,
    view: tuple[float, float] = (12.0, -60.0),
    **line: Any,
) -> None:
    """Draw a 3D pose of the camera frame: up is up on the page, depth leads into it.

    Parameters
    ----------
    ax
        An axes with ``projection="3d"``.
    pose
        Joints, x right, y down, z forward, in any unit.
    colour, linewidth, line
        As in :func:`draw_pose_2d`.
    centre, radius
        Middle (camera frame) and half side of the cube that is shown; from the pose by default.
        Give both to compare frames.
    view
        Elevation and azimuth, in degrees, from which matplotlib shows the cube.

    Raises
    ------
    ValueError
        If the pose is not (J, 3).
    """
    points = _pose_array(pose, skeleton, 3)
    shown = points[:, [0, 2, 1]] * [1, 1, -1]
    for (i, j), side in zip(skeleton.bones, skeleton.bone_sides, strict=True):
        ax.plot(
            *shown[[i, j]].T,
            color=colour or SIDE_COLOURS[side],
            linewidth=linewidth,
            solid_capstyle="round",
            **line,
        )
    lowest, highest = points.min(axis=0), points.max(axis=0)
    middle = (lowest + highest) / 2 if centre is None else np.asarray(centre)
    half = float((highest - lowest).max()) / 2 * 1.05 if radius is None else radius
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[2] - half, middle[2] + half)
    ax.set_zlim(-middle[1] - half, -middle[1] + half)
    ax.set_box_aspect((1, 1, 1), zoom=1.15)
    ax.view_init(elev=view[0], azim=view[1])
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
    ax.set_xlabel("right →", labelpad=-14, fontsize=8)
    ax.set_ylabel("depth →", labelpad=-14, fontsize=8)


def side_legend(target: Any, skeleton: Skeleton, **options: Any) -> None:
    """Name the colours of the sides that the body has; ``target`` is a figure or an axes."""
    sides = [side for side in SIDE_COLOURS if side in skeleton.bone_sides]
    lines = [Line2D([], [], color=SIDE_COLOURS[side], linewidth=3) for side in sides]
    target.legend(lines, sides, **options)


def skeleton_image_to_rgb(image: Float[Tensor, "K h w"]) -> np.ndarray:
    """A skeleton image for showing, (h, w, 3) in [0, 1]: white, or a colour for each side.

    Raises
    ------
    ValueError
        If it has neither one channel nor three.
    """
    array = _array(image)
    if array.ndim != 3 or len(array) not in CHANNEL_SIDES:
        raise ValueError(f"a skeleton image has shape (1 or 3, h, w), not {array.shape}")
    if len(array) == 1:
        return np.repeat(array[0][..., None], 3, axis=-1).clip(0, 1)
    order: tuple[Side, ...] = ("left", "right", "centre")  # as in CHANNEL_SIDES[3]
    colours = [to_rgb(_CHANNEL_COLOURS[side]) for side in order]
    layers = [layer[..., None] * np.asarray(c) for layer, c in zip(array, colours, strict=True)]
    return np.max(layers, axis=0).clip(0, 1)


def picture_to_rgb(picture: Any) -> np.ndarray:
    """Anything picture-like for showing: uint8 (3, h, w), skeleton image (K, h, w), map (h, w)."""
    array = _array(picture)
    if array.ndim == 3 and array.dtype == np.uint8:
        return array.transpose(1, 2, 0)
    if array.ndim == 2:
        return array
    return skeleton_image_to_rgb(picture)


@in_house_style
def picture_row(
    pictures: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    poses: Sequence[Any] | None = None,
    skeleton: Skeleton | None = None,
    height: float | None = None,
) -> Figure:
    """Pictures or skeleton images side by side, each with a 2D pose over it where one is given.

    Parameters
    ----------
    pictures
        uint8 (3, h, w), skeleton images (K, h, w), or maps (h, w) in [0, 1].
    titles
        One for each picture.
    poses, skeleton
        2D poses (J, 2) in pixels of their picture, or ``None`` for those without; and the body.
    height
        Inches; by default what square pictures need.

    Raises
    ------
    ValueError
        If there are no pictures or too many, or the lists differ in length.
    """
    n = len(pictures)
    if not 1 <= n <= MAX_ROW:
        raise ValueError(f"a row takes 1 to {MAX_ROW} pictures, got {n}")
    for what, values in (("titles", titles), ("poses", poses)):
        if values is not None and len(values) != n:
            raise ValueError(f"{n} pictures, but {len(values)} {what}; give one for each")
    if poses is not None and skeleton is None:
        raise ValueError("poses need the skeleton whose joints they are")
    side = min(2.4, 7.0 / n)
    figure = new_figure(side * n, height or side + (0.3 if titles else 0.0))
    for k, ax in enumerate(figure.subplots(1, n, squeeze=False)[0]):
        array = picture_to_rgb(pictures[k])
        h, w = array.shape[:2]
        # The picture spans [0, W]: pixel centres lie at integer + 0.5.
        limits = {"vmin": 0, "vmax": 1} if array.ndim == 2 else {}
        ax.imshow(array, extent=(0, w, h, 0), cmap="gray", interpolation="nearest", **limits)
        pose = None if poses is None else poses[k]
        if pose is not None and skeleton is not None:
            draw_pose_2d(ax, pose, skeleton, linewidth=1.5, joints=False)
        ax.set_xlim(0, w)
        ax.set_ylim(h, 0)
        ax.set_axis_off()
        if titles:
            ax.set_title(titles[k])
    return figure


@in_house_style
def pose_row_3d(
    poses: Sequence[Any],
    titles: Sequence[str],
    skeleton: Skeleton,
    *,
    view: tuple[float, float] = (12.0, -60.0),
    shared_scale: bool = True,
) -> Figure:
    """3D poses side by side, root-centred, at one scale unless told otherwise."""
    if len(poses) != len(titles):
        raise ValueError(f"{len(poses)} poses, but {len(titles)} titles; give one for each")
    arrays = [_pose_array(p, skeleton, 3) for p in poses]
    centred = [torch.as_tensor(p - p[skeleton.root]) for p in arrays]
    radius = max(float(p.abs().max()) for p in centred) if shared_scale else None
    side = min(3.0, 7.0 / len(poses))
    figure = new_figure(side * len(poses), side + 0.4)
    for k, pose in enumerate(centred):
        ax = figure.add_subplot(1, len(poses), k + 1, projection="3d")
        draw_pose_3d(
            ax, pose, skeleton, view=view, radius=radius, centre=(0.0, 0.0, 0.0) if radius else None
        )
        ax.set_title(titles[k])
    return figure


@in_house_style
def learning_curves(
    rows: Sequence[Mapping[str, float]],
    panels: Mapping[str, Sequence[str] | Mapping[str, str]],
    *,
    columns: int = 3,
    xlabel: str = "step",
) -> Figure:
    """Curves over the steps of a training.

    Parameters
    ----------
    rows
        A stage's history: dicts with ``step`` and terms; a term may be missing from some rows.
    panels
        Title of each panel → names of the terms drawn in it, or names → labels.
    columns
        Panels in a row.
    xlabel
        What is counted along x.

    Raises
    ------
    ValueError
        If there is no history, or a term stands in none of its rows.
    """
    if not rows:
        raise ValueError("the history is empty: nothing was trained")
    known = sorted({name for row in rows for name in row} - {"step"})
    n_rows = -(-len(panels) // columns)
    figure = new_figure(7.0, 2.4 * n_rows)
    axes = figure.subplots(n_rows, min(columns, len(panels)), squeeze=False).ravel()
    for ax, (title, terms) in zip(axes, panels.items(), strict=False):
        labels = terms if isinstance(terms, Mapping) else {name: name for name in terms}
        for name, label in labels.items():
            points = [(row["step"], row[name]) for row in rows if name in row]
            if not points:
                raise ValueError(f"no row holds {name!r}; the history has {', '.join(known)}")
            ax.plot(*zip(*points, strict=True), label=label)
        ax.set_title(title)
        ax.set_xlabel(xlabel)
        if len(labels) > 1:
            ax.legend()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    return figure


__all__ = [
    "SIDE_COLOURS",
    "STYLE",
    "PageFigure",
    "draw_pose_2d",
    "draw_pose_3d",
    "in_house_style",
    "learning_curves",
    "new_figure",
    "picture_row",
    "picture_to_rgb",
    "pose_row_3d",
    "side_legend",
    "skeleton_image_to_rgb",
    "use_style",
]
