"""A book of one page and one executed notebook, with this book's settings, scripts and styles."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from experiments.notebooks import repository_root, run_notebook, sync_pair


def write_book(
    root: Path, *, page: str, notebook: str, values: dict[str, Any] | None = None
) -> None:
    """``book/index.md``, and ``notebooks/toy`` run with these parameters into ``executed``."""
    here = repository_root()
    shutil.copy(here / "_config.yml", root)
    shutil.copytree(here / "book" / "assets", root / "book" / "assets")
    shutil.copy(here / "book" / "references.bib", root / "book")
    (root / "book" / "index.md").write_text(page, encoding="utf-8")
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "notebooks/toy"}]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    script = root / "notebooks" / "toy.py"
    script.parent.mkdir()
    script.write_text(notebook, encoding="utf-8")
    run_notebook(sync_pair(script), root / "executed" / "toy.ipynb", values, progress=False)
