"""Sliders over figures that work with a kernel and, the same, in a static page without one.

Every frame is drawn once and kept as a small picture with its text alternative; the browser alone
chooses among them (``book/assets/selfpose.js``). The texts also stand below, in a table that needs
no script.
"""

import base64
import html
import io
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

ASSETS = Path(__file__).parents[1] / "assets"
LARGEST = 200
"""More frames than this make a page that nobody waits for."""


def elements() -> HTML:
    """The script and the style behind sliders and turning poses, for a notebook that is open."""
    style, script = (ASSETS / name for name in ("elements.css", "selfpose.js"))
    return HTML(f"<style>{style.read_text()}</style><script>{script.read_text()}</script>")


def figure_slider(
    make_figure: Callable[[Any], Figure],
    values: Sequence[Any],
    *,
    label: str,
    describe: Callable[[Any], str],
    format: Callable[[Any], str] = str,
    start: int = 0,
    dpi: int = 100,
) -> HTML:
    """A slider that shows ``make_figure(value)`` for the chosen one of ``values``.

    Parameters
    ----------
    make_figure
        Draws one frame; it is closed afterwards.
    values
        What the slider runs over, at most 200 of them.
    label
        The slider's name.
    describe
        The text alternative of a frame: what is to be seen there, in a sentence.
    format
        The text shown for a value.
    start
        Index of the value shown first.
    dpi
        Dots per inch of the frames; the page shows 100 of them as an inch.
    """
    return _slider(make_figure, [values], [label], describe, [format], [start], dpi)


def figure_slider_2d(
    make_figure: Callable[[Any, Any], Figure],
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    labels: tuple[str, str],
    describe: Callable[[Any, Any], str],
    formats: tuple[Callable[[Any], str], Callable[[Any], str]] = (str, str),
    start: tuple[int, int] = (0, 0),
    dpi: int = 100,
) -> HTML:
    """Two sliders over ``make_figure(a, b)`` for every pair of ``first`` and ``second``.

    As :func:`figure_slider`, with a label, a format and a start for each slider. Every pair is
    drawn: keep ``len(first) * len(second)`` small.
    """
    return _slider(make_figure, [first, second], labels, describe, formats, start, dpi)


def _slider(
    make_figure: Callable[..., Figure],
    axes: Sequence[Sequence[Any]],
    labels: Sequence[str],
    describe: Callable[..., str],
    formats: Sequence[Callable[[Any], str]],
    start: Sequence[int],
    dpi: int,
) -> HTML:
    texts = [[to_text(v) for v in axis] for to_text, axis in zip(formats, axes, strict=True)]
    points = list(itertools.product(*axes))
    if len(points) > LARGEST:
        raise ValueError(f"{len(points)} frames are too many for a page: at most {LARGEST}")
    shown = tuple(axis[k] for axis, k in zip(axes, start, strict=True))
    alts = [describe(*point) for point in points]
    frames = [
        _image(make_figure(*point), alt, dpi, hidden=point != shown)
        for point, alt in zip(points, alts, strict=True)
    ]
    inputs = [slider_input(*of) for of in zip(labels, texts, start, strict=True)]
    names = [", ".join(of) for of in itertools.product(*texts)]
    return HTML(
        f'<figure-slider role="group" aria-label="{html.escape(", ".join(labels))}">'
        f'<div class="slider-controls" hidden>{"".join(inputs)}</div>{"".join(frames)}'
        f'<p role="status"></p></figure-slider>{frame_table(names, alts, ", ".join(labels))}'
    )


def slider_input(label: str, texts: Sequence[str], start: int) -> str:
    """HTML: a labelled range with a text for each position."""
    return (
        f'<label>{html.escape(label)} <input type="range" min="0" max="{len(texts) - 1}" '
        f'value="{start}" data-texts="{html.escape(json.dumps(texts))}" '
        f'data-lm-suppress-shortcuts="true"><output>{html.escape(texts[start])}</output></label>'
    )


def frame_table(names: Sequence[str], descriptions: Sequence[str], label: str) -> str:
    """HTML: what each position of a slider shows, in a table that opens on demand."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(text)}</td></tr>'
        for name, text in zip(names, descriptions, strict=True)
    )
    name = html.escape(label)
    return (
        f'<details class="frame-table"><summary>The frames in words: {name}</summary>'
        f'<table><thead><tr><th scope="col">{name}</th><th scope="col">What it shows</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></details>"
    )


def _image(figure: Figure, alt: str, dpi: int, *, hidden: bool) -> str:
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    picture = Image.open(encoded).convert("RGB")
    small = io.BytesIO()
    picture.save(small, format="webp", quality=88, method=4)
    width, height = (round(side * 100 / dpi) for side in picture.size)
    return (
        f'<img src="data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}" '
        f'alt="{html.escape(alt)}" width="{width}" height="{height}"{" hidden" * hidden}>'
    )
