"""3D poses that turn under the reader's hand: in JupyterLab, and the same in the static page.

A view is one element that holds its poses as whole numbers; ``book/assets/selfpose.js`` draws and
turns it. Mouse, finger and arrow keys turn it; a slider chooses among frames where there are any.
"""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import HTML

from book.kit.widgets import frame_table, slider_input
from selfpose.skeleton import Skeleton

LINE_STYLES = ("solid", "dashed", "dotted")
"""Of the poses laid over each other in one drawing, in order."""
RADIUS = 1000
"""The joint farthest from the middle lies at this distance in the numbers of the page."""

Poses = Any
"""A pose (J, 3), or frames of it (F, J, 3): tensor or array, camera frame, any unit."""


def pose_view(
    poses: Poses | Mapping[str, Poses], skeleton: Skeleton, *, label: str, **options: Any
) -> HTML:
    """One drawing of a pose, or of up to three poses over each other: :func:`pose_views`."""
    return pose_views({"": poses}, skeleton, label=label, **options)


def pose_views(
    panels: Mapping[str, Poses | Mapping[str, Poses]],
    skeleton: Skeleton,
    *,
    label: str,
    description: str,
    frames: Sequence[str] = (),
    frame_label: str = "frame",
    frame_descriptions: Sequence[str] = (),
    start: int = 0,
    azimuth: float | int = -30,
    elevation: float | int = 10,
    centred: bool = True,
    height: int = 320,
) -> HTML:
    """Drawings of poses side by side that turn together, at one scale.

    Parameters
    ----------
    panels
        Title of each drawing → a pose (J, 3) of the camera frame (y down) in any unit, or name →
        pose for up to three over each other. With ``frames`` a pose may be (F, J, 3), one for each
        frame; one of (J, 3) then stands still.
    skeleton
        The body; left is blue, right vermillion, as in every figure.
    label
        Name of the view, shown above it and read out by screen readers.
    description
        The text alternative: what is to be seen there, in a sentence.
    frames, frame_label
        The texts of a slider's positions, and the slider's name.
    frame_descriptions
        What each frame shows: read out as the slider moves, and listed in a table below.
    start
        Index of the frame shown first.
    azimuth, elevation
        From where it is seen at first, degrees: :mod:`selfpose.camera`'s rotations about the
        middle. A positive elevation looks down.
    centred
        Whether the roots of all poses are put into one place; else the poses keep their places.
    height
        Of the drawing, px, where the page is wide enough.
    """
    named = {
        title: {
            name: _frames(pose, skeleton, centred)
            for name, pose in (shown if isinstance(shown, Mapping) else {"": shown}).items()
        }
        for title, shown in panels.items()
    }
    whole = to_whole_numbers([list(shown.values()) for shown in named.values()])
    data = {
        "bones": skeleton.bones,
        "sides": skeleton.bone_sides,
        "titles": list(named),
        "panels": [[pose.reshape(len(pose), -1).tolist() for pose in shown] for shown in whole],
        "ground": max(int(pose[..., 1].max()) for shown in whole for pose in shown),
        "view": [azimuth, elevation],
        "texts": list(frame_descriptions),
    }
    numbers = html.escape(json.dumps(data, separators=(",", ":"), ensure_ascii=False))
    slider = table = ""
    if frames:
        slider = (
            '<div class="slider-controls" hidden>'
            f"{slider_input(frame_label, list(frames), start)}</div>"
        )
    if frame_descriptions:
        table = frame_table(frames, frame_descriptions, frame_label)
    name, text = html.escape(label), html.escape(description)
    return HTML(
        f'<pose-view role="group" aria-label="{name}" data-poses="{numbers}" '
        f'style="--height: {height}px"><p><strong>{name}</strong></p>'
        f'<div class="pose-stage" tabindex="0" role="application" aria-label="{name}: {text}" '
        'aria-roledescription="3D view, turned by the arrow keys" '
        f'data-lm-suppress-shortcuts="true"></div>{slider}<p>{text}</p>{_legend(named, skeleton)}'
        "<p>Turn it by dragging or, once it is chosen, with the arrow keys; + and − change its "
        "size, Home or a double click puts it back. The spoke of the ring points to the camera.</p>"
        f'<p role="status"></p></pose-view>{table}'
    )


def _frames(pose: Poses, skeleton: Skeleton, centred: bool) -> np.ndarray:
    """(F, J, 3), with F = 1 for a pose that stands still."""
    points = np.asarray(pose, dtype=np.float64).reshape(-1, skeleton.n_joints, 3)
    return points - points[:, [skeleton.root]] if centred else points


def to_whole_numbers(panels: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    """Poses moved and scaled, all alike, into the ball of :data:`RADIUS` about the origin."""
    points = np.concatenate([pose.reshape(-1, 3) for shown in panels for pose in shown])
    # of the box around all poses: a hand's or an animal's root is far from its middle
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    scale = RADIUS / np.linalg.norm(points - middle, axis=-1).max()
    return [[np.rint((pose - middle) * scale).astype(int) for pose in shown] for shown in panels]


def _legend(named: Mapping[str, Mapping[str, np.ndarray]], skeleton: Skeleton) -> str:
    """Colours of the sides, and line styles of poses that lie over each other."""
    sides = [side for side in ("left", "right") if side in skeleton.bone_sides]
    entries = [f'<span><i class="{side}">●</i> {side}</span>' for side in sides]
    for names in dict.fromkeys(tuple(shown) for shown in named.values() if len(shown) > 1):
        styles = zip(LINE_STYLES, names, strict=False)
        entries += [f"<span>{style}: {html.escape(name)}</span>" for style, name in styles]
    return f'<p class="legend">{"".join(entries)}</p>' if entries else ""
