"""Staging and building the site.

Sphinx runs no notebook. The pages and the *executed* notebooks are copied to a scratch tree under
the same relative paths, so that links still point at the committed files, and the site is built
there with warnings as errors. The finished site replaces the older one only when it is whole.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from selfpose.notebooks import repository_root

REPOSITORY_VARIABLE = "SELFPOSE_REPOSITORY_URL"
"""Environment variable: the repository's web address, for launch and edit buttons."""


def toc_documents(toc: dict[str, Any]) -> list[str]:
    """The documents that a ``_toc.yml`` names, in order, as they stand there (no suffix).

    >>> toc_documents({"root": "book/index", "parts": [{"chapters": [{"file": "notebooks/01"}]}]})
    ['book/index', 'notebooks/01']
    """
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.extend(str(node[key]) for key in ("root", "file") if key in node)
            for key in ("parts", "chapters", "sections"):
                walk(node.get(key))
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(toc)
    return found


_FOLDER = re.compile(r"^(data_root|data_train|data_test|cache|out|runs) = (['\"])/.*\2$", re.M)
"""Parameters that name a place on the machine that ran the notebook, by an absolute path."""


def strip_run_metadata(notebook: Any) -> Any:
    """A notebook without what a run leaves beside its outputs: times, paths, progress on stderr.

    A rebuild from the same results is then the same page, and no machine's path is published.
    Outputs and the widgets' state stay.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = _FOLDER.sub(
                r"\1 = '(a folder of the machine that ran this)'", cell.source
            )
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if not (output.output_type == "stream" and output.name == "stderr")
            ]
    return notebook


def stage(executed: Path | str, out: Path | str, *, root: Path | str | None = None) -> Path:
    """Copy the book's sources and its executed notebooks to a scratch tree.

    Parameters
    ----------
    executed
        Folder of executed notebooks, named as in ``notebooks/``.
    out
        The scratch tree; an older one is removed.
    root
        The repository; the one this file lies in by default.

    Raises
    ------
    FileNotFoundError
        A page or an executed notebook that ``_toc.yml`` names is missing.
    ValueError
        A notebook was not run to its end.
    """
    import nbformat

    root, executed, out = Path(root or repository_root()), Path(executed), Path(out)
    for name in ("_config.yml", "_toc.yml"):
        if not (root / name).is_file():
            raise FileNotFoundError(f"no {name} in {root}")
    documents = toc_documents(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    notebooks = [name for name in documents if name.startswith("notebooks/")]
    missing = [
        str(path)
        for path in [
            *(root / f"{name}.md" for name in documents if name not in notebooks),
            *(executed / f"{Path(name).name}.ipynb" for name in notebooks),
        ]
        if not path.is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"_toc.yml names what is not there: {', '.join(missing)}; `make book` makes the "
            "executed notebooks"
        )

    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    address = os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/")
    if address:
        _add_buttons(config, address)
    (out / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    shutil.copy(root / "_toc.yml", out)
    shutil.copytree(root / "book", out / "book")
    for name in notebooks:
        source = executed / f"{Path(name).name}.ipynb"
        notebook = nbformat.read(source, as_version=4)
        if not _ran_to_its_end(notebook):
            raise ValueError(f"{source} was not run to its end; run it again, or `make book`")
        target = out / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(strip_run_metadata(notebook), target)
    return out


def _ran_to_its_end(notebook: Any) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    errors = any(output.output_type == "error" for cell in code for output in cell.outputs)
    return not errors and all(cell.execution_count for cell in code)


def _add_buttons(config: dict[str, Any], address: str) -> None:
    config["repository"] = {"url": address, "branch": "main", "path_to_book": ""}
    config.setdefault("html", {}).update(
        {"use_repository_button": True, "use_edit_page_button": True}
    )
    config["launch_buttons"] = {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    }


def build(staged: Path | str, out: Path | str) -> Path:
    """Build the site from a staged tree; warnings are errors. Returns the path of its index.

    ``out`` is replaced whole, and only by a site that was built to its end.

    Raises
    ------
    RuntimeError
        The build failed or warned; its own messages are on the console.
    """
    staged, out = Path(staged).resolve(), Path(out)
    scratch = staged.with_name(f"{staged.name}-html")
    if scratch.exists():
        # a page left over from an older table of contents would stay in the site
        shutil.rmtree(scratch)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(staged), "--path-output", str(scratch), "-W", "-n", "--keep-going"]
    done = subprocess.run(command, check=False)
    index = scratch / "_build" / "html" / "index.html"
    if done.returncode or not index.is_file():
        raise RuntimeError(
            f"the site was not built (jupyter-book ended with {done.returncode}); the messages "
            "above name the pages. Every warning counts as an error."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    old = out.with_name(f".{out.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    index.parent.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return out / "index.html"


@click.group()
def main() -> None:
    """Stage and build the site."""


@main.command(name="make")
@click.option("--executed", required=True, type=click.Path(path_type=Path))
@click.option("--stage", "staged", required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def make_site(executed: Path, staged: Path, out: Path) -> None:
    """Stage the pages with the notebooks in EXECUTED, build them, put the site in OUT."""
    try:
        index = build(stage(executed, staged), out)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(index)


@main.command()
@click.option("--port", default=8000, show_default=True)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("build/site"))
def serve(port: int, folder: Path) -> None:
    """Serve the built site on this machine (opening its index.html directly works as well)."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    if not (folder / "index.html").is_file():
        raise click.ClickException(f"no site in {folder}; `make book` builds it")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        click.echo(f"http://127.0.0.1:{port}/ (Ctrl-C ends)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("")


if __name__ == "__main__":
    main()
