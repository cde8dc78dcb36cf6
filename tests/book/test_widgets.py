"""Sliders and turning poses as HTML; tests/book/test_browser.py moves them."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from book.kit.plots import new_figure
from book.kit.view3d import RADIUS, pose_view, pose_views, to_whole_numbers
from book.kit.widgets import elements, figure_slider, figure_slider_2d
from selfpose.skeleton import HUMAN_17


def draw(a: float, b: float = 1.0) -> Figure:
    figure = new_figure(2, 1.5)
    figure.add_subplot().plot([0, a], [0, b])
    return figure


def test_a_slider_holds_every_frame_with_its_text() -> None:
    shown = figure_slider(
        draw,
        [1, 2, 3],
        label="γ",
        describe=lambda a: f"to <{a}>",
        format=lambda a: f"{a}°",
        start=1,
    ).data
    images = re.findall(r'<img src="data:image/webp;base64,(.*?)" alt="(.*?)".*?(hidden)?>', shown)
    assert [(alt, hidden) for _, alt, hidden in images] == [
        ("to &lt;1&gt;", "hidden"),
        ("to &lt;2&gt;", ""),
        ("to &lt;3&gt;", "hidden"),
    ]
    for data, _, _ in images:
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        assert picture.getpixel((0, 0)) == (255, 255, 255)
    (texts,) = re.findall(r'data-texts="(.*?)"', shown)
    assert json.loads(html.unescape(texts)) == ["1°", "2°", "3°"]
    assert '<th scope="row">3°</th><td>to &lt;3&gt;</td>' in shown


def test_two_sliders_hold_every_pair_and_not_too_many() -> None:
    def describe(a: int, b: int) -> str:
        return f"{a} {b}"

    shown = figure_slider_2d(
        draw, [1, 2], [3, 4], labels=("a", "b"), describe=describe, start=(1, 0)
    ).data
    assert re.findall(r'alt="(.*?)".*?(hidden)?>', shown) == [
        ("1 3", "hidden"), ("1 4", "hidden"), ("2 3", ""), ("2 4", "hidden"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="225 frames"):
        figure_slider_2d(draw, range(15), range(15), labels=("a", "b"), describe=describe)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_whole_numbers_keep_shapes_and_do_not_know_units_or_places(
    scale: float, shift: float
) -> None:
    pose = np.random.default_rng(0).normal(size=(1, 17, 3))
    ((whole,),) = to_whole_numbers([[pose]])
    ((other,),) = to_whole_numbers([[scale * (pose + shift)]])
    assert np.abs(whole - other).max() <= 1
    assert np.linalg.norm(whole, axis=-1).max() == pytest.approx(RADIUS, abs=2)


def test_a_view_holds_its_poses_at_one_scale() -> None:
    pose = torch.randn(17, 3)
    moving = torch.stack([pose, 0.5 * pose])
    shown = pose_views(
        {"two": {"<this>": moving, "truth": pose}, "one": 0.5 * pose}, HUMAN_17,
        label="A view", description="What it shows.", frames=["a", "b"], start=1,
        frame_descriptions=["large", "small"],
    ).data  # fmt: skip
    (text,) = re.findall(r'data-poses="(.*?)"', shown)
    data = json.loads(html.unescape(text))
    (first, second), (third,) = (
        [np.reshape(frames, (-1, 17, 3)) for frames in panel] for panel in data["panels"]
    )
    assert data["titles"] == ["two", "one"]
    assert (len(first), len(second), len(third)) == (2, 1, 1)
    np.testing.assert_array_equal(first[1], third[0])
    np.testing.assert_array_equal(first[0], second[0])
    assert "solid: &lt;this&gt;" in shown
    assert "dashed: truth" in shown
    assert 'value="1"' in shown
    assert "<td>small</td>" in shown


def test_a_pose_of_another_body_is_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        pose_view(torch.randn(5, 3), HUMAN_17, label="A view", description="A pose.")


def test_a_notebook_carries_the_script_and_the_style() -> None:
    shown = elements().data
    assert 'customElements.define("pose-view"' in shown
    assert "</style><script>" in shown
