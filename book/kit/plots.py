"""Poses and pictures in one style; left, right and centre never change colour.

Figures are made apart from pyplot's list of open figures: a notebook shows one by ending a cell
with it, once, and none stays open behind it.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from selfpose.skeleton import Side, Skeleton

STYLE = Path(__file__).with_name("style") / "selfpose.mplstyle"
SIDE_COLOURS: dict[Side, str] = {"left": "#0072B2", "right": "#D55E00", "centre": "#444444"}
"""Blue and vermillion, which colour-blind readers tell apart, and dark grey."""
# Channels of a skeleton image, on black, where dark grey would vanish.
_CHANNEL_COLOURS = np.array([to_rgb(colour) for colour in ("#56B4E9", "#D55E00", "#FFFFFF")])


def use_style() -> None:
    """Put every figure that follows into the style of the book."""
    plt.style.use(STYLE)


class PageFigure(Figure):
    """A figure that a notebook shows when a cell ends with it, whatever backend is in use."""

    def _repr_png_(self) -> bytes:
        encoded = io.BytesIO()
        self.savefig(encoded, format="png", bbox_inches="tight")
        return encoded.getvalue()


def new_figure(width: float = 7.0, height: float = 3.2) -> Figure:
    """An empty figure of that size in inches; 7 inches fill the page."""
    return PageFigure(figsize=(width, height))


def _draw_bones(
    ax: Any, points: np.ndarray, skeleton: Skeleton, colour: str | None, **line: Any
) -> None:
    for bone, side in zip(skeleton.bones, skeleton.bone_sides, strict=True):
        shown = colour or SIDE_COLOURS[side]
        ax.plot(*points[list(bone)].T, color=shown, solid_capstyle="round", **line)


def draw_pose_2d(
    ax: Axes,
    pose: Float[Tensor, "J 2"],
    skeleton: Skeleton,
    *,
    colour: str | None = None,
    linewidth: float = 2.0,
    joints: bool = True,
    reach: float | None = None,
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
    linewidth, joints
        Width of the bones in points; whether joints get a dot.
    reach
        Half the side of the square about the origin that is shown, without axes.
    """
    points = np.asarray(pose.detach().cpu())
    _draw_bones(ax, points, skeleton, colour, linewidth=linewidth)
    if joints:
        colours = [colour or SIDE_COLOURS[side] for side in skeleton.joint_sides]
        x, y = points.T
        ax.scatter(x, y, c=colours, s=2.5 * linewidth**2, zorder=3)
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    if reach is not None:
        ax.set(xlim=(-reach, reach), ylim=(reach, -reach))
        ax.set_axis_off()


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
) -> None:
    """Draw a 3D pose of the camera frame: up is up on the page, depth leads into it.

    Parameters
    ----------
    ax
        An axes with ``projection="3d"``.
    pose
        Joints, x right, y down, z forward, in any unit.
    colour, linewidth
        As in :func:`draw_pose_2d`.
    centre, radius
        Middle (camera frame) and half side of the cube that is shown; from the pose by default.
        Give both to compare frames.
    view
        Elevation and azimuth, in degrees, from which matplotlib shows the cube.
    """
    points = np.asarray(pose.detach().cpu())
    _draw_bones(ax, points[:, [0, 2, 1]] * [1, 1, -1], skeleton, colour, linewidth=linewidth)
    lowest, highest = points.min(axis=0), points.max(axis=0)
    x, y, z = (lowest + highest) / 2 if centre is None else centre
    half = float((highest - lowest).max()) / 2 * 1.05 if radius is None else radius
    ax.set(xlim=(x - half, x + half), ylim=(z - half, z + half), zlim=(-y - half, -y + half))
    ax.set_box_aspect((1, 1, 1), zoom=1.15)
    ax.view_init(elev=view[0], azim=view[1])
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_ticklabels([])
        axis.set_tick_params(length=0)
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
    ax.set_xlabel("right →", labelpad=-14, fontsize=8)
    ax.set_ylabel("depth →", labelpad=-14, fontsize=8)


def picture_to_rgb(picture: Tensor) -> np.ndarray:
    """A picture, uint8 (3, h, w), or a skeleton image, (1 or 3, h, w), as (h, w, 3).

    A skeleton image is white, or has a colour for each side.
    """
    array = np.asarray(picture.detach().cpu())
    if array.dtype == np.uint8:
        return array.transpose(1, 2, 0)
    colours = _CHANNEL_COLOURS if len(array) == 3 else np.ones((1, 3))
    return (array[..., None] * colours[:, None, None]).max(axis=0).clip(0, 1)


def show_picture(ax: Axes, picture: Tensor, *, size: int | None = None) -> None:
    """Show a picture or a skeleton image over [0, size]: pixel centres lie at integer + 0.5."""
    h, w = picture.shape[-2:] if size is None else (size, size)
    ax.imshow(picture_to_rgb(picture), extent=(0, w, h, 0))
    ax.set(xlim=(0, w), ylim=(h, 0), autoscale_on=False)
    ax.set_axis_off()


def picture_row(
    pictures: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    *,
    poses: Sequence[Tensor | None] | None = None,
    skeleton: Skeleton | None = None,
    height: float | None = None,
    figure: Any = None,
) -> Any:
    """Pictures or skeleton images side by side, each with a 2D pose over it where one is given.

    Parameters
    ----------
    pictures
        uint8 (3, h, w), or skeleton images (K, h, w).
    titles
        One for each picture.
    poses, skeleton
        2D poses (J, 2) in pixels of their picture, or ``None`` for those without; and the body.
    height
        Inches; by default what square pictures need.
    figure
        A figure, or a part of one, to draw in; a new one by default.
    """
    n = len(pictures)
    over = [None] * n if poses is None else poses
    side = min(2.4, 7.0 / n)
    figure = figure or new_figure(side * n, height or side + (0.3 if titles else 0.0))
    for k, ax in enumerate(figure.subplots(1, n, squeeze=False)[0]):
        show_picture(ax, pictures[k])
        if skeleton is not None and (pose := over[k]) is not None:
            draw_pose_2d(ax, pose, skeleton, linewidth=1.5, joints=False)
        if titles:
            ax.set_title(titles[k])
    return figure


def pose_row(
    poses: Mapping[str, Float[Tensor, "J 2"]],
    skeleton: Skeleton,
    *,
    reach: float,
    height: float = 2.5,
) -> Figure:
    """2D poses side by side by their titles, each in a square of half side ``reach``."""
    figure = new_figure(7.0, height)
    for ax, (title, pose) in zip(figure.subplots(1, len(poses)), poses.items(), strict=True):
        draw_pose_2d(ax, pose, skeleton, linewidth=1.7, joints=False, reach=reach)
        ax.set_title(title)
    return figure
