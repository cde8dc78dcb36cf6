"""Sliders over figures: what is linked to what, what is said of each frame, what is refused."""

import base64
import io
import re

import matplotlib

matplotlib.use("Agg")

import ipywidgets
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from book.kit.widgets import figure_slider, figure_slider_2d, figure_to_data_url, text_table


def line(a: float, b: float = 1.0) -> Figure:
    figure, axes = plt.subplots(figsize=(2, 1.5))
    axes.plot([0, a], [0, b])
    return figure


def links(widget: ipywidgets.Widget) -> set[tuple[str, str, str, str]]:
    """Every link among the live widgets that begins at ``widget``."""
    states = ipywidgets.Widget.get_manager_state(drop_defaults=False)["state"]
    found = set()
    for state in states.values():
        if state["model_name"] == "LinkModel":
            source, target = state["state"]["source"], state["state"]["target"]
            found.add((source[0], source[1], target[0], target[1]))
    return {link for link in found if link[0] == f"IPY_MODEL_{widget.model_id}"}


def test_slider_is_linked_in_the_browser_and_starts_where_told() -> None:
    slider = figure_slider(
        line, [1, 2, 3], label="length", describe=lambda a: f"a line to {a}", start=2
    )
    (handle,) = slider.sliders
    target = f"IPY_MODEL_{slider.stack.model_id}"
    assert links(handle) == {(f"IPY_MODEL_{handle.model_id}", "index", target, "selected_index")}
    assert handle.index == slider.stack.selected_index == 2
    assert [child.value.count("<img") for child in slider.stack.children] == [1, 1, 1]


def test_every_frame_has_its_escaped_description_and_the_table_repeats_it() -> None:
    slider = figure_slider(line, [1, 2], label="<x>", describe=lambda a: f'a "line" < {a}')
    for value, child in zip((1, 2), slider.stack.children, strict=True):
        assert f'alt="a &quot;line&quot; &lt; {value}"' in child.value
    assert slider.table.count("<tr>") == 3
    assert "<x>" not in slider.table


def test_two_sliders_reach_every_frame() -> None:
    slider = figure_slider_2d(
        line,
        [1, 2],
        [3, 4, 5],
        labels=("first", "second"),
        describe=lambda a, b: f"{a} and {b}",
        start=(1, 2),
    )
    outer, inner = slider.sliders
    assert {link[2:] for link in links(outer)} == {
        (f"IPY_MODEL_{slider.stack.model_id}", "selected_index")
    }
    assert {link[2:] for link in links(inner)} == {
        (f"IPY_MODEL_{child.model_id}", "selected_index") for child in slider.stack.children
    }
    for a, stack in zip((1, 2), slider.stack.children, strict=True):
        for b, frame in zip((3, 4, 5), stack.children, strict=True):
            assert f'alt="{a} and {b}"' in frame.value


def test_frames_are_light_opaque_and_closed() -> None:
    before = plt.get_fignums()
    figure = line(2)
    figure.patch.set_alpha(0)
    url, size = figure_to_data_url(figure, dpi=100)
    assert plt.get_fignums() == before
    assert size == (200, 150)
    data = base64.b64decode(url.partition(",")[2])
    plain = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == size
        corner = image.convert("RGB").getpixel((0, 0))
        image.convert("RGB").save(plain, "png")
    assert min(corner) > 250
    assert len(data) < len(plain.getvalue())


def test_size_on_the_page_does_not_depend_on_the_resolution() -> None:
    sizes = set()
    for dpi in (100, 200):
        slider = figure_slider(line, [1, 2], label="x", describe=str, dpi=dpi)
        sizes.add(tuple(re.findall(r'(?:width|height)="(\d+)"', slider.stack.children[0].value)))
    assert sizes == {("200", "150")}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"values": [1]}, ValueError, "from 2 to"),
        ({"values": list(range(201))}, ValueError, "from 2 to"),
        ({"label": " "}, ValueError, "label"),
        ({"describe": lambda a: ""}, ValueError, "what is to be seen"),
        ({"describe": lambda a: 3}, TypeError, "text"),
        ({"format": lambda a: "same"}, ValueError, "'same'"),
        ({"start": 2}, ValueError, "positions 0 to 1"),
        ({"make_figure": lambda a: None}, TypeError, "NoneType"),
    ],
)
def test_bad_sliders_are_refused(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"make_figure": line, "values": [1, 2], "label": "x", "describe": str, **change}
    with pytest.raises(error, match=message):
        figure_slider(**arguments)


def test_too_many_pairs_and_equal_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="15 x 15"):
        figure_slider_2d(
            line, range(15), range(15), labels=("a", "b"), describe=lambda a, b: f"{a}{b}"
        )
    with pytest.raises(ValueError, match="two labels"):
        figure_slider_2d(line, [1, 2], [1, 2], labels=("a", "a"), describe=lambda a, b: "x")


def test_table_needs_as_many_descriptions_as_values() -> None:
    with pytest.raises(ValueError, match="2 values, but 1"):
        text_table(["a", "b"], ["x"], label="x")
