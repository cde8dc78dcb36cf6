"""Staging and checking; tests/book/test_browser.py builds a small site and opens it."""

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from book.kit.plots import new_figure
from book.kit.site import (
    for_readers,
    github_address,
    site_config,
    site_problems,
    stage,
    toc_documents,
)
from experiments.run import ROOT
from selfpose.config import Config

new_code_cell, new_markdown_cell = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell


def dressed(*cells: Any) -> list[Any]:
    found: list[Any] = for_readers(nbformat.v4.new_notebook(cells=cells)).cells
    return found


def test_machinery_is_folded_under_its_name_or_left_out() -> None:
    def tagged(tag: str, source: str = "") -> Any:
        return new_code_cell(source, metadata={"tags": [tag]})

    cells = dressed(
        tagged("parameters", "data_root = ''"),
        tagged("injected-parameters", 'data_root = "/home/me/mocap"'),
        tagged("hide-input", "show_source(torch)"),
        tagged("hide-cell", "a = 1"),
        new_markdown_cell("## Exercise\n\nHow many?"),
        tagged("hide-cell", "print(2)"),
    )
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [set(cell.metadata["tags"]) for cell in code] == [
        {"parameters", "remove-cell"},
        {"injected-parameters", "hide-input"},
        {"hide-input", "remove-input"},
        {"hide-cell"},
        {"hide-cell"},
    ]
    names = [cell.metadata.get("mystnb", {}).get("code_prompt_show") for cell in code]
    assert names == ["Parameters", "Parameters of this run", "Code", None, "Solution"]
    assert code[1].source == "data_root = '(a folder)'"


def test_narrow_figures_keep_the_size_of_their_letters() -> None:
    def width(inches: float, **image: str) -> str | None:
        figure = new_figure(inches, 1.0)
        figure.add_subplot()  # an empty figure is cut down to nothing
        picture = base64.b64encode(figure._repr_png_()).decode()
        output = nbformat.v4.new_output("display_data", data={"image/png": picture})
        settings = {"figure": {"name": "f"}, "image": {"alt": "A line.", **image}}
        (cell,) = dressed(new_code_cell(outputs=[output], metadata={"mystnb": settings}))
        found: str | None = cell.metadata["mystnb"]["image"].get("width")
        return found

    assert width(7.0) is None
    assert width(3.5) in {f"{share}%" for share in range(48, 54)}
    assert width(3.5, width="80%") == "80%"


def test_staging_names_the_notebook_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"01_renderer\.ipynb"):
        stage(tmp_path / "executed", tmp_path / "staged")


def test_what_is_wrong_with_a_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<h1 id='top'>Page</h1><a href='index.html#top'>up</a>")
    (tmp_path / "index.html").write_text(
        "<p id='top'>At /home/me/book.</p> <a href='page.html#top'>right</a>"
        "<a href='page.html#nowhere'>wrong</a> <a href='none.html'>gone</a>"
        "<a href='https://example.org'>out</a> <img src='https://example.org/a.png'>"
    )
    assert list(site_problems(tmp_path)) == [
        "index.html: holds the path /home/me of the machine that built it",
        "index.html: loads https://example.org/a.png from another host",
        "index.html: the link none.html leads to no file",
        "index.html: the link page.html#nowhere leads to no such anchor",
    ]


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:o/r.git", "https://github.com/o/r"),
        ("ssh://git@github.com/o/r.git\n", "https://github.com/o/r"),
        ("https://github.com/o/r.name/", "https://github.com/o/r.name"),
        ("https://github.com.example.org/o/r", None),
        ("/srv/git/r.git", None),
    ],
)
def test_addresses_of_public_remotes(remote: str, address: str | None) -> None:
    assert github_address(remote) == address


def test_the_table_of_contents_lists_every_page() -> None:
    documents = toc_documents(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    pages = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert sorted(documents) == sorted(pages | notebooks)


def test_parameters_that_pages_name_exist() -> None:
    flat = Config().flat()
    groups = {name.split(".")[0] for name in flat if "." in name}
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")]
    named = {n for text in pages for n in re.findall(rf"`((?:{'|'.join(groups)})\.[a-z]\w*)", text)}
    assert len(named) > 20
    assert named <= set(flat)


def test_pages_can_quote_records_and_parameters() -> None:
    names = site_config(ROOT)["parse"]["myst_substitutions"]
    assert names["standard"]["metrics"]["p_mpjpe_mm"] > 0
    assert 'href="../_static/records/cmu-standard-end_to_end' in names["standard"]["link"]
    assert names["config"] == Config().to_dict()
