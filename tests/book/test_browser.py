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
import torch
from small_book import write_book

from book.kit.site import build, stage
from selfpose.camera import azimuth_rotation, elevation_rotation
from selfpose.skeleton import HUMAN_17

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
GIVEN_SITE = os.environ.get("SELFPOSE_SITE", "")
NO_SITE = pytest.mark.skip(reason="SELFPOSE_SITE names no built site; `make check-site` does")
PAGES = sorted(
    path.relative_to(GIVEN_SITE).as_posix()
    for folder in (["book", "notebooks"] if GIVEN_SITE else [])
    for path in Path(GIVEN_SITE, folder).glob("*.html")
)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NOT_OURS = [
    # the theme's own bars and menus; pygments' colours; what docutils calls a list
    [".bd-header-article"],
    [".bd-sidebar-primary"],
    [".bd-sidebar-secondary"],
    [".sbt-scroll-pixel-helper"],
    [".highlight"],
    [".citation-list"],
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not GIVEN_SITE, reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    write_book(root)
    return build(
        stage(root / "executed", root / "staged", root=root), root / "site", root=root
    ).parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

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
    try:
        yield page
    finally:
        context.close()
    assert wrong == [], f"{path.name}: {wrong}"


def move(page: Any, handle: Any) -> None:
    handle.focus()
    last = handle.input_value() == handle.get_attribute("max")
    page.keyboard.press("ArrowLeft" if last else "ArrowRight")


def move_every_slider(page: Any) -> int:
    """Move each slider over figures by one key: another frame must be shown, and be read out."""
    sliders = page.locator("figure-slider")
    for n in range(sliders.count()):
        slider = sliders.nth(n)
        for k in range(slider.locator("input").count()):
            handle = slider.locator("input").nth(k)
            shown = slider.locator("img:visible").get_attribute("alt")
            text = handle.get_attribute("aria-valuetext")
            assert slider.locator("[role=status]").inner_text() == shown
            move(page, handle)
            assert handle.get_attribute("aria-valuetext") != text
            alt = slider.locator("img:visible").get_attribute("alt")
            assert alt != shown
            assert slider.locator("[role=status]").inner_text() == alt
    return sliders.count()


def turn_every_view(page: Any) -> int:
    """Turn each 3D view by key and by mouse; Home and a double click bring the first view back."""
    views = page.locator("pose-view")
    for n in range(views.count()):
        view, stage = views.nth(n), views.nth(n).locator(".pose-stage")
        stage.scroll_into_view_if_needed()
        first = stage.inner_html()
        stage.focus()
        page.keyboard.press("ArrowRight")
        turned = stage.inner_html()
        assert turned != first
        assert view.locator("[role=status]").inner_text().startswith("Azimuth")
        page.keyboard.press("ArrowDown")
        assert stage.inner_html() != turned
        page.keyboard.press("Home")
        assert stage.inner_html() == first
        box = stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 10, steps=3)
        page.mouse.up()
        dragged = stage.inner_html()
        assert dragged != first
        page.mouse.move(x, y)
        assert stage.inner_html() == dragged, "let go, and it still turns"
        page.mouse.dblclick(x, y)
        assert stage.inner_html() == first
        if view.locator("input").count():
            move(page, view.locator("input"))
            assert stage.inner_html() != first
    return views.count()


def axe_faults(page: Any, theme: str) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    # the theme fades its colours in: a contrast measured on the way would be neither's
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    page.wait_for_timeout(100)
    # styles are not loaded again for the check: a page from a folder may not read other files
    options = {"resultTypes": ["violations"], "preload": False}
    response = Axe().run(page, context={"exclude": NOT_OURS}, options=options).response
    return [
        f"{theme}: {fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in response["violations"]
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]


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
        faults = axe_faults(page, "light") + axe_faults(page, "dark")
        assert faults == [], f"{path.name}:\n" + "\n".join(faults)
    with opened(browser, path, **PHONE) as page:
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path.name} is {wide} px wide on a phone"
    return moved, turned


def test_small_site_moves_turns_and_asks_for_nothing(small_site: Path, browser: Any) -> None:
    assert check_page(browser, small_site / "notebooks" / "toy.html") == (2, 2)
    assert check_page(browser, small_site / "book" / "index.html") == (0, 0)


def test_the_small_site_says_what_the_records_say(small_site: Path) -> None:
    index = (small_site / "book" / "index.html").read_text(encoding="utf-8")
    assert "An error of 80.0 mm" in index
    assert "Δ = 10.0" in index
    page = (small_site / "notebooks" / "toy.html").read_text(encoding="utf-8")
    assert "81.5 ± 2.1 (2)" in page
    assert "half done" not in page
    assert page.count("customElements") == 0
    assert len(list((small_site / "_static" / "records").glob("*.html"))) == 2


@pytest.mark.parametrize(("azimuth", "elevation"), [(-30, 10), (-45, 35)])
def test_what_is_drawn_is_the_cameras_geometry(
    small_site: Path, browser: Any, azimuth: int, elevation: int
) -> None:
    pose = torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    pose = pose - (pose.amin(dim=0) + pose.amax(dim=0)) / 2
    with opened(browser, small_site / "notebooks" / "toy.html") as page:
        stage = page.locator("pose-view .pose-stage").nth(1)
        stage.focus()
        for _ in range((-30 - azimuth) // 5):
            page.keyboard.press("ArrowRight")
        for _ in range((elevation - 10) // 5):
            page.keyboard.press("ArrowDown")
        drawn = re.findall(r'overlaid-0" d="M(\S+) (\S+)L(\S+) (\S+)"', stage.inner_html())
    a, e = (torch.deg2rad(torch.tensor(float(x))) for x in (azimuth, elevation))
    turned = (pose / pose.norm(dim=-1).max()) @ (elevation_rotation(e) @ azimuth_rotation(a)).mT
    flat = 1000 * turned[:, :2] * 6 / (6 + turned[:, 2:])
    expected = [flat[[i, j]].flatten().numpy() for i, j in HUMAN_17.bones]
    far_first = sorted(HUMAN_17.bones, key=lambda bone: -float(turned[list(bone), 2].sum()))
    order = [HUMAN_17.bones.index(bone) for bone in far_first]
    np.testing.assert_allclose(np.array(drawn, dtype=float), np.stack(expected)[order], atol=3.0)


def test_a_finger_turns_a_view_sideways(small_site: Path, browser: Any) -> None:
    with opened(browser, small_site / "notebooks" / "toy.html", **PHONE) as page:
        stage = page.locator(".pose-stage").first
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


@pytest.mark.parametrize("name", PAGES or [pytest.param("", marks=NO_SITE)])
def test_page_of_the_given_site(name: str, browser: Any) -> None:
    check_page(browser, Path(GIVEN_SITE).resolve() / name)
