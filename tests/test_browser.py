"""The pages in a real browser, from a folder on disk, with the network cut.

A small book is built for the purpose with this book's settings, scripts and styles. Where the
environment variable ``SELFPOSE_SITE`` names a built site, every page of that one is tried as well:
``make check-site``.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_book import write_book

from selfpose.page_weight import check_page_weights, page_weights
from book.kit.site import build, stage

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
GIVEN_SITE = os.environ.get("SELFPOSE_SITE", "")
NO_SITE = pytest.mark.skip(reason="SELFPOSE_SITE names no built site; `make check-site` does")
# heaviest first, so that two processes end together; index.html only leads on to the first page
PAGES = [name for name in page_weights(GIVEN_SITE) if name != "index.html"] if GIVEN_SITE else []

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not GIVEN_SITE, reason="no chromium on this machine"),
]

PHONE = {"width": 390, "height": 844}
THEMES = ("light", "dark")

NOT_OURS = [
    # the theme's own bars, menus and footers: no setting reaches their markup
    [".bd-header-article"],
    [".bd-sidebar-primary"],
    [".bd-sidebar-secondary"],
    [".sbt-scroll-pixel-helper"],
    # colours of the highlighted code are pygments' style for the theme
    [".highlight"],
    # docutils calls this a list and its entries something else
    [".citation-list"],
]

PAGE = """\
# Start

A formula $x^2$, and {eq}`eq-one`.

$$
a = b
$$ (eq-one)
"""

NOTEBOOK = """\
# %% [markdown]
# # Views
# With $\\\\boldsymbol{y}$.

# %% tags=["parameters"]
top = 3

# %%
import torch
from matplotlib import pyplot as plt

from selfpose.skeleton import HUMAN_17
from book.kit.view3d import pose_view, pose_views
from book.kit.widgets import figure_slider, figure_slider_2d


def draw(a, b=1):
    figure, axes = plt.subplots(figsize=(2, 1.5))
    axes.plot([0, a], [0, b])
    return figure


pose = torch.randn(17, 3, generator=torch.Generator().manual_seed(0))

# %%
figure_slider(draw, range(1, top + 1), label="length", describe=lambda a: f"to {a}")

# %%
figure_slider_2d(
    draw, [1, 2], [1, 2], labels=("across", "up"), describe=lambda a, b: f"to {a}, {b}"
)

# %%
pose_views(
    {"over": {"prediction": pose, "truth": 1.1 * pose}, "alone": pose},
    HUMAN_17, label="Two panels", description="A pose twice.",
)

# %%
pose_view(
    torch.stack([pose, 0.8 * pose, 0.6 * pose]), HUMAN_17, label="Shrinking",
    description="A pose that shrinks.", frames=["1.0", "0.8", "0.6"], frame_label="size",
    frame_descriptions=["large", "middle", "small"],
)
"""


@pytest.fixture(scope="module")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    write_book(root, page=PAGE, notebook=NOTEBOOK)
    staged = stage(root / "executed", root / "staged", root=root)
    return build(staged, root / "site", root=root).parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.fail(f"a site is to be tried, but there is no browser; install one of {BROWSERS}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """The page with the network cut; at the end nothing may have failed or asked for a host."""
    wrong: list[str] = []
    context = browser.new_context(**options)
    context.set_offline(True)

    def local(route: Any) -> None:
        if route.request.url.partition(":")[0] in {"file", "data", "blob"}:
            route.continue_()
        else:
            wrong.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**/*", local)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function("!window.MathJax?.startup || !!MathJax.startup.promise")
    page.evaluate("async () => { await window.MathJax?.startup?.promise; }")
    if page.locator('script[type="application/vnd.jupyter.widget-state+json"]').count():
        page.wait_for_function(
            "document.querySelectorAll('script[type=\"application/vnd.jupyter.widget-view+json\"]')"
            ".length <= document.querySelectorAll('.jupyter-widgets.widget-vbox').length"
        )
        page.wait_for_function(
            "[...document.querySelectorAll('.jupyter-widgets [role=slider]')]"
            ".every(handle => handle.ariaLabel)"
        )
    try:
        yield page
    finally:
        context.close()
    assert wrong == [], f"{path.name}: {wrong}"


def move_every_slider(page: Any) -> int:
    """Move each widget's slider by one key: another frame must be shown, and be read out."""
    handles = page.locator('.jupyter-widgets [role="slider"]')
    shown = """() => [...document.querySelectorAll('.jupyter-widgets img')]
        .filter(image => image.getClientRects().length)
        .map(image => image.alt + image.src).join('|')"""
    said = "() => [...document.querySelectorAll('.selfpose-announcement')].map(e => e.textContent)"
    for n in range(handles.count()):
        handle = handles.nth(n)
        assert handle.get_attribute("aria-label"), f"slider {n} has no name"
        before, text = page.evaluate(shown), handle.get_attribute("aria-valuetext")
        last = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        spoken = page.evaluate(said)
        handle.focus()
        page.keyboard.press("ArrowLeft" if last else "ArrowRight")
        page.wait_for_function(f"before => ({shown})() !== before", arg=before)
        page.wait_for_function(
            "([n, text]) => [...document.querySelectorAll('.jupyter-widgets [role=slider]')][n]"
            ".getAttribute('aria-valuetext') !== text",
            arg=[n, text],
        )
        page.wait_for_function(f"before => ({said})().join() !== before", arg=",".join(spoken))
    return handles.count()


def numbers(drawing: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+\.?\d*", drawing)]


def turn_every_view(page: Any) -> int:
    """Turn each 3D view by key and by mouse; Home brings back what Python drew."""
    views = page.locator(".pose-view")
    for n in range(views.count()):
        view = views.nth(n)
        stage, groups = view.locator(".pv-stage"), view.locator(".pv-stage g")
        stage.scroll_into_view_if_needed()

        def drawn(groups: Any = groups) -> list[str]:
            return [groups.nth(k).inner_html() for k in range(groups.count())]

        def said(view: Any = view) -> str:
            return view.locator(".pv-state").inner_text()

        first = drawn()
        assert stage.get_attribute("aria-label")
        assert stage.get_attribute("aria-roledescription")
        stage.focus()
        page.keyboard.press("ArrowRight")
        turned = drawn()
        assert all(a != b for a, b in zip(first, turned, strict=True)), f"view {n} did not turn"
        assert said().startswith("Azimuth")
        page.keyboard.press("ArrowDown")
        assert drawn() != turned
        page.keyboard.press("Home")
        for a, b in zip(first, drawn(), strict=True):
            np.testing.assert_allclose(numbers(a), numbers(b), atol=1)

        box = stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 10, steps=3)
        page.mouse.up()
        dragged = drawn()
        assert all(a != b for a, b in zip(first, dragged, strict=True)), f"view {n} not dragged"
        page.mouse.move(x, y)
        assert drawn() == dragged, "let go, and it still turns"
        page.mouse.dblclick(x, y)
        for a, b in zip(first, drawn(), strict=True):
            np.testing.assert_allclose(numbers(a), numbers(b), atol=1)

        slider = view.locator(".pv-slider input")
        if slider.count():
            before, text = drawn(), slider.get_attribute("aria-valuetext")
            last = slider.input_value() == slider.get_attribute("max")
            slider.focus()
            page.keyboard.press("ArrowLeft" if last else "ArrowRight")
            assert drawn() != before
            assert slider.get_attribute("aria-valuetext") != text
    return views.count()


def axe_faults(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    # styles are not loaded again for the check: a page from a folder may not read other files
    options = {"resultTypes": ["violations"], "preload": False}
    response = Axe().run(page, context={"exclude": NOT_OURS}, options=options).response
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in response["violations"]
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]


def set_theme(page: Any, theme: str) -> None:
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    # the theme fades its colours in: a contrast measured on the way would be neither's
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    page.wait_for_timeout(100)


def check_page(browser: Any, path: Path) -> tuple[int, int]:
    with opened(browser, path) as page:
        bare = page.evaluate("[...document.images].filter(i => !i.alt.trim()).map(i => i.src)")
        assert bare == [], f"{path.name}: pictures without alternative text: {bare}"
        unset = page.evaluate(
            "[...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container "
            "svg')).map(m => m.textContent)"
        )
        assert unset == [], f"{path.name}: equations not typeset: {unset}"
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
        moved, turned = move_every_slider(page), turn_every_view(page)
        faults = []
        for theme in THEMES:
            set_theme(page, theme)
            faults += [f"{theme}: {fault}" for fault in axe_faults(page)]
        assert faults == [], f"{path.name}:\n" + "\n".join(faults)
    with opened(browser, path, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{path.name} is {wide} px wide on a phone"
    return moved, turned


def test_small_site_moves_turns_and_asks_for_nothing(small_site: Path, browser: Any) -> None:
    assert check_page(browser, small_site / "notebooks" / "toy.html") == (3, 2)
    assert check_page(browser, small_site / "book" / "index.html") == (0, 0)
    check_page_weights(small_site)


def test_a_finger_turns_a_view_sideways(small_site: Path, browser: Any) -> None:
    path = small_site / "notebooks" / "toy.html"
    with opened(browser, path, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        stage = page.locator(".pv-stage").first
        stage.scroll_into_view_if_needed()
        before, box = stage.inner_html(), stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session = page.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            *(("touchMove", [{"x": x + step, "y": y}]) for step in (10, 30, 60)),
            ("touchEnd", []),
        ):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(100)
        assert stage.inner_html() != before


def test_without_scripts_the_views_are_drawn_and_told(small_site: Path, browser: Any) -> None:
    path = small_site / "notebooks" / "toy.html"
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    drawings = page.locator('.pv-stage svg[role="img"][aria-label]')
    assert drawings.count() == 3
    assert drawings.first.locator("path").count() == 1 + 2 * 16
    assert page.locator(".pv-slider:visible, .pv-help:visible, .pv-stage[tabindex]").count() == 0
    context.close()


@pytest.mark.parametrize("name", PAGES or [pytest.param("", marks=NO_SITE)])
def test_page_of_the_given_site(name: str, browser: Any) -> None:
    check_page(browser, Path(GIVEN_SITE).resolve() / name)


@pytest.mark.skipif(not GIVEN_SITE, reason=NO_SITE.kwargs["reason"])
def test_pages_of_the_given_site_keep_their_weight() -> None:
    assert check_page_weights(GIVEN_SITE)
