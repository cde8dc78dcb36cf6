"""Sliders over figures that work with a kernel and, the same, in a static page without one.

Every frame is drawn once and kept as a small picture; the browser alone shows one or another when
the slider moves. Every frame has an alternative text, and all of these texts stand below the slider
in a table that needs no script.
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from IPython.display import HTML, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from book.kit.plots import in_house_style

MAX_FRAMES = 200
"""More frames than this make a page that nobody waits for."""


@dataclass(frozen=True, kw_only=True)
class FigureSlider:
    """A slider over figures: display it as a cell's last value.

    ``widget`` is the whole; ``sliders`` the one or two sliders in it; ``stack`` what they choose
    from; ``table`` the HTML table of the frames' descriptions.
    """

    widget: ipywidgets.VBox
    sliders: tuple[ipywidgets.SelectionSlider, ...]
    stack: ipywidgets.Stack
    table: str

    def _ipython_display_(self) -> None:
        display(self.widget)
        display(HTML(self.table))


@in_house_style
def figure_slider(
    make_figure: Callable[[Any], Figure],
    values: Sequence[Any],
    *,
    label: str,
    describe: Callable[[Any], str],
    format: Callable[[Any], str] = str,
    start: int = 0,
    dpi: int = 100,
) -> FigureSlider:
    """A slider that shows ``make_figure(value)`` for the chosen one of ``values``.

    Parameters
    ----------
    make_figure
        Draws one frame, as a matplotlib figure; it is closed afterwards.
    values
        What the slider runs over: at least two, at most 200.
    label
        The slider's name, shown to its left and read out by screen readers.
    describe
        The alternative text of a frame: what is to be seen there, in a sentence.
    format
        The text shown for a value; no two values may share one.
    start
        Index of the value shown first.
    dpi
        Dots per inch of the frames; the page shows 100 of them as an inch.

    Raises
    ------
    TypeError
        ``make_figure`` returned something else than a figure, ``describe`` no text.
    ValueError
        Too few or too many values, two with the same text, no label, an empty description, or
        ``start`` outside the values.
    """
    slider = _slider(values, label=label, format=format, start=start)
    alts = [_described(describe(value), of=format(value)) for value in values]
    frames = [
        _frame(make_figure(value), alt=alt, dpi=dpi)
        for value, alt in zip(values, alts, strict=True)
    ]
    stack = ipywidgets.Stack(frames, selected_index=start)
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return FigureSlider(
        widget=ipywidgets.VBox([slider, stack]),
        sliders=(slider,),
        stack=stack,
        table=text_table([format(value) for value in values], alts, label=label),
    )


@in_house_style
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
) -> FigureSlider:
    """Two sliders over ``make_figure(a, b)`` for every pair of ``first`` and ``second``.

    As :func:`figure_slider`, with a label, a format and a start for each slider. All
    ``len(first) * len(second)`` frames are drawn: keep that number small.

    Raises
    ------
    TypeError, ValueError
        As in :func:`figure_slider`; the limit of 200 frames holds for all of them together.
    """
    if labels[0] == labels[1]:
        raise ValueError(f"two sliders need two labels, not {labels[0]!r} twice")
    if len(first) * len(second) > MAX_FRAMES:
        raise ValueError(
            f"{len(first)} x {len(second)} frames are too many for a page; "
            f"keep the product at {MAX_FRAMES} or less"
        )
    sliders = tuple(
        _slider(values, label=label, format=to_text, start=index)
        for values, label, to_text, index in zip(
            (first, second), labels, formats, start, strict=True
        )
    )
    inner, texts, alts = [], [], []
    for a in first:
        frames = []
        for b in second:
            text = f"{labels[0]} {formats[0](a)}, {labels[1]} {formats[1](b)}"
            alt = _described(describe(a, b), of=text)
            frames.append(_frame(make_figure(a, b), alt=alt, dpi=dpi))
            texts.append(text)
            alts.append(alt)
        inner.append(ipywidgets.Stack(frames, selected_index=start[1]))
    stack = ipywidgets.Stack(inner, selected_index=start[0])
    ipywidgets.jslink((sliders[0], "index"), (stack, "selected_index"))
    # the hidden stacks follow too, so that moving the first slider keeps the second one's choice
    for child in inner:
        ipywidgets.jslink((sliders[1], "index"), (child, "selected_index"))
    return FigureSlider(
        widget=ipywidgets.VBox([*sliders, stack]),
        sliders=sliders,
        stack=stack,
        table=text_table(texts, alts, label=" and ".join(labels)),
    )


def text_table(values: Sequence[str], descriptions: Sequence[str], *, label: str) -> str:
    """HTML: what each position of a slider shows, in a table that opens on demand.

    Raises
    ------
    ValueError
        The two sequences differ in length.
    """
    if len(values) != len(descriptions):
        raise ValueError(f"{len(values)} values, but {len(descriptions)} descriptions")
    rows = "".join(
        f'<tr><th scope="row">{html.escape(value)}</th><td>{html.escape(text)}</td></tr>'
        for value, text in zip(values, descriptions, strict=True)
    )
    name = html.escape(label)
    return (
        f'<details class="figure-slider-table"><summary>The frames in words: {name}</summary>'
        f'<table><thead><tr><th scope="col">{name}</th><th scope="col">What it shows</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></details>"
    )


def figure_to_data_url(figure: Figure, *, dpi: int = 100) -> tuple[str, tuple[int, int]]:
    """The lightest faithful picture of a figure, as a ``data:`` address, with its size in px.

    A drawing of few colours is smallest as a palette PNG, a photograph-like one as WebP; both are
    tried. The figure is closed.
    """
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    buffer.seek(0)
    with Image.open(buffer) as opened:
        # a transparent background would be unreadable on a dark page
        canvas = Image.new("RGBA", opened.size, "white")
        canvas.alpha_composite(opened.convert("RGBA"))
    image = canvas.convert("RGB")
    candidates: list[tuple[str, bytes]] = []
    palette = image.quantize(colors=128, dither=Image.Dither.NONE)
    for kind, picture, options in (
        ("png", palette, {"optimize": True}),
        ("webp", image, {"quality": 88, "method": 4}),
    ):
        encoded = io.BytesIO()
        picture.save(encoded, format=kind, **options)
        candidates.append((kind, encoded.getvalue()))
    kind, data = min(candidates, key=lambda candidate: len(candidate[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", image.size


def _slider(
    values: Sequence[Any], *, label: str, format: Callable[[Any], str], start: int
) -> ipywidgets.SelectionSlider:
    if not label.strip():
        raise ValueError("a slider needs a label: say what it changes")
    if not 2 <= len(values) <= MAX_FRAMES:
        raise ValueError(
            f"{label!r} has {len(values)} values; a slider takes from 2 to {MAX_FRAMES}"
        )
    texts = [format(value) for value in values]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ValueError(f"two values of {label!r} are both shown as {twice!r}: widen `format`")
    if not 0 <= start < len(values):
        raise ValueError(f"start is {start}, but {label!r} has positions 0 to {len(values) - 1}")
    return ipywidgets.SelectionSlider(
        options=texts,
        index=start,
        description=label,
        tooltip=label,
        continuous_update=True,
        style={"description_width": "initial"},
        layout={"width": "min(100%, 36em)"},
    )


def _described(text: Any, *, of: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"`describe` must return text, not {type(text).__name__}, for {of!r}")
    if not text.strip():
        raise ValueError(f"`describe` is empty for {of!r}: say what is to be seen there")
    return text


def _frame(figure: Any, *, alt: str, dpi: int) -> ipywidgets.HTML:
    if not isinstance(figure, Figure):
        raise TypeError(f"`make_figure` must return a Figure, not {type(figure).__name__}")
    url, (width, height) = figure_to_data_url(figure, dpi=dpi)
    shown = round(width * 100 / dpi), round(height * 100 / dpi)
    return ipywidgets.HTML(
        f'<img src="{url}" alt="{html.escape(alt, quote=True)}" width="{shown[0]}" '
        f'height="{shown[1]}" style="max-width:100%;height:auto">'
    )
