"""The built site: warnings fail it, sliders move in it, and it asks no other host for anything."""

import base64
import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from small_book import write_book
from test_provenance import a_record

from experiments.notebooks import repository_root
from book.kit.plots import new_figure
from book.kit.quotes import record_name
from experiments.records import write_json
from book.kit.site import (
    REPOSITORY_VARIABLE,
    build,
    for_readers,
    github_address,
    repository_address,
    scale_figures,
    stage,
    staged_digest,
    strip_run_metadata,
    toc_documents,
)
from book.kit.site_checks import read_pages, read_site_records, site_problems

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PAGE = """\
# Start

A formula $x^2$, {cite:t}`sosa2023self`, and {eq}`eq-one`.

$$
a = b
$$ (eq-one)

```{bibliography}
```
"""

NOTEBOOK = """\
# %% [markdown]
# # A slider
# With {eq}`eq-one`, $\\\\boldsymbol{y}$, {numref}`fig-line`.

# %% tags=["parameters"]
top = 3
runs = ""

# %%
import sys

from IPython.display import Markdown

from matplotlib import pyplot as plt

from book.kit.pages import linked_groups
from book.kit.provenance import provenance_box
from book.kit.quotes import quoted
from experiments.records import read_records
from book.kit.widgets import figure_slider, figure_slider_2d


def draw(a, b=1):
    figure, axes = plt.subplots(figsize=(2, 1.5))
    axes.plot([0, a], [0, b])
    return figure


print("progress", file=sys.stderr)

# %%
figure_slider(draw, range(1, top + 1), label="length", describe=lambda a: f"to {a}")

# %%
figure_slider_2d(
    draw, [1, 2], [1, 2], labels=("across", "up"), describe=lambda a, b: f"to {a}, {b}"
)

# %% mystnb={"figure": {"caption": "A line.", "name": "fig-line"}, "image": {"alt": "A line."}}
figure, axes = plt.subplots()
axes.plot([0, 1])
plt.show()

# %%
records = read_records(runs)
linked_groups({"all": records}, {"P-MPJPE, mm": "metrics.p_mpjpe_mm"}, first="run")

# %%
error = "metrics.p_mpjpe_mm"
Markdown(f"The first has **{quoted(records[0], error)}** mm, all {quoted(records, error)} mm.")

# %%
provenance_box(runs)
"""
RUNS = [a_record(error=80.0 + 3 * seed, seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for record in RUNS:
        folder = root / "runs" / f"seed{record['seed']}"
        folder.mkdir(parents=True)
        write_json(folder / "record.json", record)
    write_book(root, page=PAGE, notebook=NOTEBOOK, values={"runs": str(root / "runs")})
    return root


@pytest.fixture(scope="module")
def site(project: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REPOSITORY_VARIABLE, "https://github.com/someone/book")
        staged = stage(project / "executed", project / "staged", root=project)
    return build(staged, project / "site", root=project).parent


@pytest.mark.slow
def test_the_site_has_the_pages_and_no_trace_of_the_run(site: Path, project: Path) -> None:
    page = (site / "notebooks" / "toy.html").read_text(encoding="utf-8")
    assert "figure-slider-table" in page
    assert "progress</span>" not in page
    assert str(project) not in page
    assert 'alt="A line."' in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_sliders_move_from_a_file_and_nothing_is_asked_of_others(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.goto((site / "book" / "index.html").as_uri())
        page.wait_for_selector("mjx-container")
        page.goto((site / "notebooks" / "toy.html").as_uri())
        handles = page.locator('[role="slider"][aria-label]')
        page.wait_for_function("document.querySelectorAll('[role=slider][aria-label]').length == 3")
        names = [handles.nth(i).get_attribute("aria-label") for i in range(3)]
        assert names == ["length", "across", "up"]

        def shown() -> list[str | None]:
            images = page.locator(".jupyter-widgets img:visible")
            return [images.nth(i).get_attribute("alt") for i in range(images.count())]

        assert shown() == ["to 1", "to 1, 1"]
        for handle, alt in ((0, "to 2"), (1, "to 2, 1"), (2, "to 2, 2")):
            handles.nth(handle).focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_selector(f'img[alt="{alt}"]', state="visible")
        assert shown() == ["to 2", "to 2, 2"]
        page.wait_for_selector("mjx-container")
        browser.close()
    assert wrong == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


@pytest.mark.slow
def test_a_warning_fails_the_build_and_keeps_the_older_site(project: Path, tmp_path: Path) -> None:
    staged = stage(project / "executed", tmp_path / "staged", root=project)
    page = staged / "book" / "index.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n{eq}`eq-nowhere`\n", encoding="utf-8")
    out = tmp_path / "site"
    out.mkdir()
    (out / "index.html").write_text("older")
    with pytest.raises(RuntimeError, match="not built"):
        build(staged, out)
    assert (out / "index.html").read_text() == "older"


def test_staging_names_what_is_missing(project: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"toy\.ipynb"):
        stage(tmp_path, tmp_path / "staged", root=project)
    with pytest.raises(FileNotFoundError, match=r"_config\.yml"):
        stage(tmp_path, tmp_path / "staged", root=tmp_path)


def test_a_notebook_that_was_not_run_is_not_staged(project: Path, tmp_path: Path) -> None:
    shutil.copy(project / "notebooks" / "toy.ipynb", tmp_path)
    with pytest.raises(ValueError, match="not run to its end"):
        stage(tmp_path, tmp_path / "staged", root=project)


def test_stripping_keeps_outputs_and_widgets(project: Path) -> None:
    notebook = nbformat.read(project / "executed" / "toy.ipynb", as_version=4)
    assert "papermill" in notebook.metadata
    stripped = strip_run_metadata(notebook)
    assert "papermill" not in stripped.metadata
    assert "widgets" in stripped.metadata
    assert not any("papermill" in cell.metadata for cell in stripped.cells)
    assert sum(len(cell.get("outputs", [])) for cell in stripped.cells) >= 3


def test_machinery_is_folded_under_its_name_or_left_out() -> None:
    cells = [
        nbformat.v4.new_code_cell("top = 3", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("top = 4", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("from x import check_parameters\n\ncheck_parameters({}, [])"),
        nbformat.v4.new_code_cell("import torch", metadata={"tags": ["hide-input"]}),
        nbformat.v4.new_code_cell("show_source(torch)", metadata={"tags": ["hide-input"]}),
        nbformat.v4.new_code_cell("torch.rand(1)", metadata={"tags": ["hide-cell"]}),
        nbformat.v4.new_markdown_cell("## Exercise\n\nHow many?"),
        nbformat.v4.new_code_cell("print(2)", metadata={"tags": ["hide-cell"]}),
    ]

    def tagged(*cells: Any) -> list[list[str]]:
        notebook = nbformat.v4.new_notebook(cells=[copy.deepcopy(cell) for cell in cells])
        found = for_readers(for_readers(notebook)).cells
        for cell in found:
            cell.metadata.setdefault("mystnb", {})
        return [
            [*cell.metadata.get("tags", []), cell.metadata["mystnb"].get("code_prompt_show", "")]
            for cell in found
        ]

    assert tagged(*cells) == [
        ["parameters", "remove-cell", ""],
        ["injected-parameters", "hide-input", "Parameters of this run"],
        ["remove-cell", ""],
        ["hide-input", ""],
        ["hide-input", "remove-input", ""],
        ["hide-cell", ""],
        [""],
        ["hide-cell", "Solution"],
    ]
    assert tagged(cells[0]) == [["parameters", "hide-input", "Parameters"]]


def test_narrow_figures_keep_the_size_of_their_letters() -> None:
    def width(inches: float, **image: str) -> str | None:
        figure = new_figure(inches, 1.0)
        figure.add_subplot()  # an empty figure is cut down to nothing
        picture = base64.b64encode(figure._repr_png_()).decode()
        output = nbformat.v4.new_output("display_data", data={"image/png": picture})
        settings = {"figure": {"name": "f"}, "image": {"alt": "A line.", **image}}
        cell = nbformat.v4.new_code_cell(outputs=[output], metadata={"mystnb": settings})
        (scaled,) = scale_figures(nbformat.v4.new_notebook(cells=[cell])).cells
        assert scaled.metadata["mystnb"]["image"]["alt"] == "A line."
        found: str | None = scaled.metadata["mystnb"]["image"].get("width")
        return found

    assert width(7.0) is None
    assert width(3.5) in {f"{share}%" for share in range(48, 54)}
    assert width(3.5, width="80%") == "80%"


@pytest.mark.slow
def test_numbers_of_the_site_lead_to_its_records_and_nothing_is_wrong(
    site: Path, project: Path
) -> None:
    assert set(read_site_records(site)) == {record_name(record) for record in RUNS}
    page = read_pages(site)["notebooks/toy.html"]
    assert [text for _, text in page.quotes][:3] == ["81.5 ± 2.1 (2)", "80.0", "81.5 ± 2.1 (2)"]
    assert site_problems(site, root=project) == []
    text = (site / "notebooks" / "toy.html").read_text(encoding="utf-8")
    assert '<details class="provenance">' in text


@pytest.mark.slow
def test_buttons_open_and_download_the_committed_notebook(site: Path, project: Path) -> None:
    page = read_pages(site)["notebooks/toy.html"]
    branch = "someone/book/main"
    assert f"https://mybinder.org/v2/gh/{branch}?urlpath=lab/tree/notebooks/toy.ipynb" in page.links
    colab = "https://colab.research.google.com/github/someone/book/blob/main/notebooks/toy.ipynb"
    assert colab in page.links
    (download,) = (link for link in page.links if link.endswith(".ipynb") and "://" not in link)
    handed_out = (site / "notebooks" / download).resolve()
    assert handed_out.read_bytes() == (project / "notebooks" / "toy.ipynb").read_bytes()


@pytest.mark.slow
def test_an_unchanged_site_is_not_built_again_but_checked(site: Path, project: Path) -> None:
    def refuse(_: Path) -> list[str]:
        return ["page: wrong"]

    before = {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}
    index = site / "index.html"
    assert build(project / "staged", site, root=project) == index
    after = {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}
    assert {path for path in before if before[path] != after[path]} == {index}
    with pytest.raises(RuntimeError, match="page: wrong"):
        build(project / "staged", site, root=project, check=refuse)


def test_a_change_of_any_page_or_record_asks_for_a_new_site(project: Path, tmp_path: Path) -> None:
    def staged() -> Path:
        return stage(project / "executed", tmp_path / "staged", root=project)

    first = staged_digest(staged())
    assert staged_digest(staged()) == first
    folder = staged()
    (record,) = (folder / "book" / "assets" / "records").rglob("seed1-*.json")
    record.write_text(record.read_text().replace("83.0", "83.5"))
    changed = staged_digest(folder)
    folder = staged()
    (folder / "book" / "index.md").write_text(PAGE + "more\n")
    assert len({first, changed, staged_digest(folder)}) == 3


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:o/r.git", "https://github.com/o/r"),
        ("ssh://git@github.com/o/r.git\n", "https://github.com/o/r"),
        ("https://github.com/o/r.name/", "https://github.com/o/r.name"),
        ("https://user:secret@github.com/o/r.git", "https://github.com/o/r"),
        ("https://github.com.example.org/o/r", None),
        ("https://git.example.org/o/r.git", None),
        ("/srv/git/r.git", None),
        ("", None),
    ],
)
def test_addresses_of_public_remotes(remote: str, address: str | None) -> None:
    assert github_address(remote) == address


def test_launch_buttons_follow_the_repository_address(project, tmp_path, monkeypatch) -> None:
    def config() -> dict:
        staged = stage(project / "executed", tmp_path / "staged", root=project)
        return yaml.safe_load((staged / "_config.yml").read_text(encoding="utf-8"))

    monkeypatch.setenv(REPOSITORY_VARIABLE, "https://example.org/a/b/")
    assert config()["repository"]["url"] == "https://example.org/a/b"
    assert "colab_url" not in config()["launch_buttons"]  # it opens repositories on GitHub alone
    for wrong in ("example.org/a/b", "https://example.org", "https://me:secret@example.org/a/b"):
        monkeypatch.setenv(REPOSITORY_VARIABLE, wrong)
        with pytest.raises(ValueError, match=REPOSITORY_VARIABLE):
            config()
    monkeypatch.delenv(REPOSITORY_VARIABLE)
    assert "repository" not in config()
    assert not any(config()["launch_buttons"].values())


def test_the_remote_of_a_checkout_is_taken_where_nothing_is_set(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert repository_address(tmp_path) is None
    remote = ["remote", "add", "origin", "git@github.com:someone/book.git"]
    subprocess.run(["git", "-C", str(tmp_path), *remote], check=True)
    assert repository_address(tmp_path) == "https://github.com/someone/book"
    monkeypatch.setenv(REPOSITORY_VARIABLE, "https://github.com/other/book.git")
    assert repository_address(tmp_path) == "https://github.com/other/book"


def test_the_table_of_contents_lists_existing_pages() -> None:
    root = repository_root()
    documents = toc_documents(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    assert len(documents) == len(set(documents))
    pages = {name for name in documents if name.startswith("book/")}
    assert pages == {f"book/{path.stem}" for path in (root / "book").glob("*.md")}
