"""How far apart numbers of one name lie: a dot for each variant."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from book.kit.plots import in_house_style, new_figure

DOTS = (("#0072B2", "o"), ("#D55E00", "D"), ("#009E73", "s"), ("#CC79A7", "^"))
"""Colour and shape of each series, told apart by colour-blind readers and in print.

All but the first are hollow and a little larger, so that equal numbers are seen to be equal.
"""


def _look(number: int) -> dict[str, Any]:
    """How the dots of a series are drawn."""
    colour, marker = DOTS[number]
    face = colour if number == 0 else "none"
    size = 5 if number == 0 else 8
    return {
        "color": colour,
        "marker": marker,
        "markerfacecolor": face,
        "markeredgewidth": 1.5,
        "markersize": size,
        "linestyle": "",
    }


@in_house_style
def variant_dots(
    panels: Mapping[str, Mapping[str, Mapping[str, float]]], *, row_height: float = 0.27
) -> Figure:
    """A panel for each metric's name, a row for each variant of it, a dot for each series.

    Parameters
    ----------
    panels
        Title, which names the unit too → variant → series → number. Series that only some variants
        have are left out of the others' rows.
    row_height
        Inches for a variant.

    Raises
    ------
    ValueError
        If there is nothing to draw, or more series than can be told apart.
    """
    series = list(dict.fromkeys(s for rows in panels.values() for r in rows.values() for s in r))
    if not series or not all(panels.values()):
        raise ValueError("nothing to draw: every panel needs a variant with a number")
    if len(series) > len(DOTS):
        raise ValueError(f"at most {len(DOTS)} series can be told apart, got {len(series)}")
    heights = [len(rows) + 1.8 for rows in panels.values()]
    figure = new_figure(7.0, row_height * sum(heights) + 0.3)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
    for ax, (title, rows) in zip(grid, panels.items(), strict=True):
        for y, numbers in enumerate(rows.values()):
            if len(numbers) > 1:
                ends = min(numbers.values()), max(numbers.values())
                ax.plot(ends, (y, y), color="#bbbbbb", linewidth=1.2, zorder=1)
            for name, value in numbers.items():
                ax.plot(value, y, **_look(series.index(name)), zorder=2)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_title(title, loc="left")
    if len(series) > 1:
        handles = [
            grid[0].plot([], [], **_look(number), label=name)[0]
            for number, name in enumerate(series)
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(series))
    return figure


__all__ = ["DOTS", "variant_dots"]
