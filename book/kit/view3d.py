"""3D poses that turn under the reader's hand: in JupyterLab, and the same in the static page.

A view is one piece of HTML that needs nothing from elsewhere: the poses as whole numbers, a drawing
of the first view made here (all there is where scripts are off), and a small script that redraws
it. Mouse, finger and arrow keys turn it; a slider chooses among frames where there are several.
"""

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from book.kit.plots import SIDE_COLOURS
from selfpose.skeleton import Skeleton
from book.kit.view3d_script import SCRIPT, STYLE, shrink
from book.kit.widgets import text_table

LINE_STYLES = ("solid", "dashed", "dotted")
"""Of the poses laid over each other in one drawing, in order."""

MAX_OVERLAID = len(LINE_STYLES)
"""Poses in one drawing; a fourth could not be told apart."""

MAX_VIEW_FRAMES = 200
"""As for the sliders over figures."""

REACH = 1000
"""The joint farthest from the middle lies at this distance in the numbers of the page."""

_DISTANCE = 6 * REACH  # of the eye: a perspective mild enough to leave proportions alone
_HALF = 1150  # of the drawing's side; holds every turn of a body of that reach

Poses = Any
"""A pose (J, 3), or frames of it (F, J, 3): tensor or array."""


@dataclass(frozen=True, kw_only=True)
class PoseView:
    """A turning 3D view: end a cell with it.

    ``html`` is the whole; ``label`` its name; ``description`` its text alternative.
    """

    label: str
    description: str
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def pose_view(
    poses: Poses | Mapping[str, Poses],
    skeleton: Skeleton,
    *,
    label: str,
    description: str,
    frames: Sequence[str] | None = None,
    frame_label: str = "frame",
    frame_descriptions: Sequence[str] | None = None,
    start: int = 0,
    azimuth: float | int = -30,
    elevation: float | int = 10,
    centred: bool = True,
    height: int = 320,
) -> PoseView:
    """One drawing of a pose, or of up to three poses over each other (prediction and truth).

    Parameters
    ----------
    poses
        A pose (J, 3) of the camera frame (y down) in any unit, or name → pose. With ``frames`` a
        pose may be (F, J, 3), one for each frame; one of (J, 3) then stands still.
    skeleton
        The body; left is blue, right vermillion, as in every figure.
    label
        Name of the view, shown above it and read out by screen readers.
    description
        The text alternative: what is to be seen there, in a sentence.
    frames, frame_label
        The texts of a slider's positions (at least two, all different), and the slider's name.
    frame_descriptions
        What each frame shows: read out as the slider moves, and listed in a table below.
    start
        Index of the frame shown first.
    azimuth, elevation
        From where it is seen at first, degrees: :mod:`selfpose.camera`'s rotations about the
        middle. A positive elevation looks down.
    centred
        Whether the roots of all poses are put into one place; else the poses keep their places.
        Either way the middle of all that is shown becomes the middle of the drawing.
    height
        Of the drawing, px, where the page is wide enough.

    Raises
    ------
    ValueError
        A pose of another shape or with a joint that is not finite, all joints in one place, no
        label or description, more than three poses, or frames that do not fit.
    """
    return pose_views(
        {"": poses},
        skeleton,
        label=label,
        description=description,
        frames=frames,
        frame_label=frame_label,
        frame_descriptions=frame_descriptions,
        start=start,
        azimuth=azimuth,
        elevation=elevation,
        centred=centred,
        height=height,
    )


def pose_views(
    panels: Mapping[str, Poses | Mapping[str, Poses]],
    skeleton: Skeleton,
    *,
    label: str,
    description: str,
    frames: Sequence[str] | None = None,
    frame_label: str = "frame",
    frame_descriptions: Sequence[str] | None = None,
    start: int = 0,
    azimuth: float | int = -30,
    elevation: float | int = 10,
    centred: bool = True,
    height: int = 320,
) -> PoseView:
    """Drawings side by side that turn together, at one scale; see :func:`pose_view`.

    ``panels`` maps the title of each drawing to what :func:`pose_view` takes as ``poses``.

    Raises
    ------
    ValueError
        As :func:`pose_view`, or there is no panel.
    """
    texts = {"label": label, "description": description}
    for name, value in texts.items():
        if not value.strip():
            raise ValueError(f"a 3D view needs a {name}: say what is to be seen there")
    if not panels:
        raise ValueError(f"{label!r} has no pose to show; give at least one")
    if not height > 0:
        raise ValueError(f"{label!r}: height is {height}, expected a positive number of px")
    n_frames = _check_frames(frames, frame_descriptions, start, label)
    named = {
        title: {
            name: _pose_frames(value, skeleton, frames=n_frames, centred=centred, what=name)
            for name, value in (
                poses.items() if isinstance(poses, Mapping) else ((title or label, poses),)
            )
        }
        for title, poses in panels.items()
    }
    for title, shown in named.items():
        if not 1 <= len(shown) <= MAX_OVERLAID:
            raise ValueError(
                f"{title or label!r} lays {len(shown)} poses over each other; from 1 to "
                f"{MAX_OVERLAID} can be told apart, show more side by side with pose_views"
            )
    whole = _to_whole_numbers(named, label=label)
    everything = np.concatenate([p.reshape(-1, 3) for shown in whole for p in shown])
    data: dict[str, Any] = {
        "bones": skeleton.bones,
        "sides": skeleton.bone_sides,
        "panels": [[pose.reshape(len(pose), -1).tolist() for pose in shown] for shown in whole],
        "ring": int(everything[:, 1].max()),
        "view": [azimuth, elevation],
        "start": start,
    }
    if frames is not None:
        data["frames"] = list(frames)
    if frame_descriptions is not None:
        data["texts"] = list(frame_descriptions)
    return PoseView(
        label=label,
        description=description,
        html=_to_html(
            data, named, skeleton, label, description, frame_label=frame_label, height=height
        ),
    )


def _check_frames(
    frames: Sequence[str] | None, descriptions: Sequence[str] | None, start: int, label: str
) -> int | None:
    if frames is None:
        if descriptions is not None or start:
            raise ValueError(f"{label!r}: `frame_descriptions` and `start` need `frames`")
        return None
    n = len(frames)
    if not 2 <= n <= MAX_VIEW_FRAMES or len(set(frames)) < n:
        raise ValueError(
            f"{label!r} has {n} frames, {len(set(frames))} of them different; expected 2 to "
            f"{MAX_VIEW_FRAMES} different texts"
        )
    if descriptions is not None and (
        len(descriptions) != n or not all(text.strip() for text in descriptions)
    ):
        raise ValueError(f"{label!r}: expected {n} descriptions that are not empty, one a frame")
    if not 0 <= start < n:
        raise ValueError(f"{label!r}: start is {start}, but the frames are 0 to {n - 1}")
    return n


def _pose_frames(
    pose: Poses, skeleton: Skeleton, *, frames: int | None, centred: bool, what: str
) -> np.ndarray:
    """(F, J, 3), or (1, J, 3) for a pose that stands still."""
    array = pose.detach().cpu().numpy() if isinstance(pose, torch.Tensor) else np.asarray(pose)
    still = (skeleton.n_joints, 3)
    if array.shape == still:
        array = array[None]
    elif frames is None or array.shape != (frames, *still):
        moving = "" if frames is None else f" or {(frames, *still)}, one pose a frame,"
        raise ValueError(
            f"pose {what!r} has shape {array.shape}; expected {still}{moving} for the skeleton "
            f"{skeleton.name!r}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"pose {what!r} has a joint that is not finite; leave that pose out")
    return array - array[:, [skeleton.root]] if centred else array


def _to_whole_numbers(
    named: Mapping[str, Mapping[str, np.ndarray]], *, label: str
) -> list[list[np.ndarray]]:
    points = np.concatenate([p.reshape(-1, 3) for shown in named.values() for p in shown.values()])
    # of the box around all poses: a hand's or an animal's root is far from its middle
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = float(np.linalg.norm(points - middle, axis=-1).max())
    if not reach > 0:
        raise ValueError(f"{label!r}: all joints lie in one place; there is no pose to show")
    return [
        [np.rint((pose - middle) * (REACH / reach)).astype(int) for pose in shown.values()]
        for shown in named.values()
    ]


# --- the first view, as the script draws it again ------------------------------------------------


def _project(points: np.ndarray, view: Sequence[float | int]) -> np.ndarray:
    """(N, 3) → position in the drawing and depth, (N, 3): R_x(elevation) R_y(azimuth)."""
    a, e = (math.radians(angle) for angle in view)
    x, y, z = points.T
    u, w = x * math.cos(a) + z * math.sin(a), z * math.cos(a) - x * math.sin(a)
    v, depth = y * math.cos(e) - w * math.sin(e), y * math.sin(e) + w * math.cos(e)
    k = _DISTANCE / (_DISTANCE + depth)
    return np.stack([u * k, v * k, depth], axis=-1)


def _point(p: np.ndarray) -> str:
    return f"{math.floor(p[0] + 0.5)} {math.floor(p[1] + 0.5)}"


def _lines(poses: Sequence[Any], data: Mapping[str, Any]) -> str:
    found = []
    for n, frames in enumerate(poses):
        flat = frames[min(data["start"], len(frames) - 1)]
        joints = _project(np.reshape(flat, (-1, 3)), data["view"])
        for (i, j), side in zip(data["bones"], data["sides"], strict=True):
            found.append((float(joints[i, 2] + joints[j, 2]) / 2, joints[i], joints[j], side, n))
    # far bones first: near ones are drawn over them, wider and darker
    found.sort(key=lambda line: -line[0])
    drawn = []
    for depth, p, q, side, n in found:
        near = min(1.0, max(0.0, (1 - depth / REACH) / 2))
        width, opacity = math.floor(22.5 + 30 * near), 0.6 + 0.4 * near
        drawn.append(
            f'<path class="pv-{side} pv-{n}" d="M{_point(p)}L{_point(q)}" '
            f'stroke-width="{width}" opacity="{opacity:.2f}"/>'
        )
    return "".join(drawn)


def _ring(data: Mapping[str, Any]) -> str:
    t = np.radians(15 * np.arange(25))
    level = np.full(25, data["ring"])
    circle = np.stack([500 * np.sin(t), level, -500 * np.cos(t)], axis=-1)
    points = _project(np.vstack([circle, [0, data["ring"], -700]]), data["view"])
    return "M" + "L".join(_point(p) for p in points)


def _to_html(
    data: Mapping[str, Any],
    named: Mapping[str, Mapping[str, np.ndarray]],
    skeleton: Skeleton,
    label: str,
    description: str,
    *,
    frame_label: str,
    height: int,
) -> str:
    escape = html.escape
    texts = data.get("texts")
    shown = texts[data["start"]] if texts else description
    panels = "".join(
        f'<div class="pv-panel">{escape(title)}<svg role="img" '
        f'aria-label="{escape(f"{title}: {shown}" if title and not texts else shown)}" '
        f'viewBox="{-_HALF} {-_HALF} {2 * _HALF} {2 * _HALF}" style="max-height:{height}px">'
        f'<path class="pv-ring" d="{_ring(data)}"/><g>{_lines(poses, data)}</g></svg></div>'
        for title, poses in zip(named, data["panels"], strict=True)
    )
    style = STYLE.replace("LEFT", SIDE_COLOURS["left"]).replace("RIGHT", SIDE_COLOURS["right"])
    slider = table = ""
    if "frames" in data:
        slider = (
            f'<div class="pv-slider" hidden><label>{escape(frame_label)}<input type="range" '
            f'min="0" max="{len(data["frames"]) - 1}" aria-label="{escape(frame_label)}"></label>'
            f"<span>{escape(data['frames'][data['start']])}</span></div>"
        )
        if texts:
            table = text_table(data["frames"], texts, label=frame_label)
    # no "</script>" can stand in a JSON text without "<"
    numbers = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="pose-view" role="group" aria-label="{escape(label)}">'
        f"<style>{shrink(style)}</style><p><strong>{escape(label)}</strong></p>"
        f'<div class="pv-stage" aria-label="{escape(label)}" data-lm-suppress-shortcuts="true">'
        f"{panels}</div>{slider}<p>{escape(description)}</p>{_legend(named, skeleton)}"
        '<p class="pv-state" role="status"></p>'
        '<p class="pv-help" hidden>Turn it by dragging or, once it is chosen, with the arrow keys; '
        "+ and − change its size, Home or a double click puts it back. The spoke of the ring "
        "points to the camera.</p>"
        f'<script type="application/json" class="pv-data">{numbers}</script>'
        f"<script>{shrink(SCRIPT)}</script></div>{table}"
    )


def _legend(named: Mapping[str, Mapping[str, np.ndarray]], skeleton: Skeleton) -> str:
    """Dots for the colours of the sides, lines for the styles of overlaid poses."""

    def entry(drawn: str, text: str) -> str:
        return (
            f'<span><svg viewBox="0 0 320 80" aria-hidden="true">{drawn}</svg>'
            f"{html.escape(text)}</span>"
        )

    sides = [side for side in SIDE_COLOURS if side in skeleton.bone_sides]
    entries = [
        entry(f'<path stroke-width="70" class="pv-{side}" d="M240 40h1"/>', side)
        for side in sides
        if len(sides) > 1  # one colour for all tells nothing
    ]
    overlaid = list(dict.fromkeys(tuple(shown) for shown in named.values() if len(shown) > 1))
    for names in overlaid:
        entries += [
            entry(f'<path stroke-width="26" class="pv-line pv-{n}" d="M20 40H300"/>', text)
            for n, text in enumerate(
                f"{style}: {name}" for style, name in zip(LINE_STYLES, names, strict=False)
            )
        ]
    return f'<p class="pv-legend">{"".join(entries)}</p>' if entries else ""


__all__ = ["LINE_STYLES", "MAX_OVERLAID", "MAX_VIEW_FRAMES", "PoseView", "pose_view", "pose_views"]
