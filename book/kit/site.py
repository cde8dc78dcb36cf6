"""Staging and building the site.

Sphinx runs no notebook. The pages and the *executed* notebooks are copied to a scratch tree under
the same relative paths, so that links still point at the committed files, and the site is built
there with warnings as errors. The records behind the pages' numbers go with it, so that links to
them work from a folder on disk. The finished site replaces the older one only when it is whole and
:mod:`book.kit.site_checks` finds nothing wrong with it; where nothing has changed, it stays.
"""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import yaml

from experiments.notebooks import repository_root

REPOSITORY_VARIABLE = "SELFPOSE_REPOSITORY_URL"
"""Environment variable: the repository's web address, for launch and edit buttons."""
BUILDERS = ("sphinx", "jupyter-book", "myst-nb", "sphinx-book-theme")
"""Packages whose version is part of what a site was built with."""


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


PROMPTS = {
    "parameters": "Parameters",
    "injected-parameters": "Parameters of this run",
    "hide-cell": "Solution",
}
"""What stands on folded cells by tag: parameters, a run's, and what follows an exercise."""
SELF_EVIDENT = ("show_source(", "provenance_box(")
"""Cells that begin so are seen in what they show; the call itself tells a reader nothing."""


def for_readers(notebook: Any) -> Any:
    """A notebook whose machinery does not stand between a reader and the idea.

    Parameters are folded, those of the run in place of the defaults that it overrode; the check of
    their names is left out, and so are the calls that put source text or provenance into the page.
    """
    overridden = any(
        "injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells
    )
    asked = False  # whether the last words were those of an exercise
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            asked = cell.source.startswith("## Exercise")
        elif "parameters" in tags and overridden:
            _tag(cell, "remove-cell")
        elif {"parameters", "injected-parameters"} & set(tags):
            _tag(cell, "hide-input")
            _name(cell, next(PROMPTS[tag] for tag in PROMPTS if tag in tags))
        elif "\ncheck_parameters(" in cell.source and not cell.outputs:
            _tag(cell, "remove-cell")
        elif "hide-input" in tags and cell.source.startswith(SELF_EVIDENT):
            _tag(cell, "remove-input")
        elif "hide-cell" in tags and asked:
            _name(cell, PROMPTS["hide-cell"])
    return notebook


def _name(cell: Any, prompt: str) -> None:
    settings = {f"code_prompt_{way}": prompt for way in ("show", "hide")}
    cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), **settings}


def _tag(cell: Any, tag: str) -> None:
    tags = cell.metadata.get("tags", [])
    cell.metadata["tags"] = [*tags, *([] if tag in tags else [tag])]


PAGE_INCHES = 7.0
"""Width of a figure that fills the page, see :func:`book.kit.plots.new_figure`."""


def scale_figures(notebook: Any) -> Any:
    """A notebook whose narrow figures stay narrow, so that letters are of one size in all figures.

    The theme would blow them up to the page's width. A figure that states its own width keeps it,
    and one that is nearly as wide as the page fills it.
    """
    for cell in notebook.cells:
        settings = cell.metadata.get("mystnb", {})
        if cell.cell_type != "code" or "figure" not in settings:
            continue
        for output in cell.outputs:
            if picture := output.get("data", {}).get("image/png"):
                share = round(100 * _png_inches(picture) / PAGE_INCHES)
                if share < 80:
                    settings["image"] = {"width": f"{share}%", **settings.get("image", {})}
    return notebook


def _png_inches(encoded: str) -> float:
    """Width of a PNG in base64, by the resolution that it states (else 100 dots an inch)."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return float(picture.width / picture.info.get("dpi", (100, 100))[0])


def tell_duration(notebook: Any) -> Any:
    """A notebook whose paragraph on time ends with how long the run took, as papermill measured it.

    Authors leave such numbers out of that paragraph: they would be those of some other machine. A
    notebook without the paragraph, or that papermill did not run, stays as it is.
    """
    seconds = notebook.metadata.get("papermill", {}).get("duration")
    if not seconds:
        return notebook
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "**Time and device" in cell.source:
            cell.source += (
                f" *It took {took} on the machine that built this book, beside other work.*"
            )
            break
    return notebook


# --- the repository's address -------------------------------------------------------------------

_GITHUB = re.compile(
    r"(?:https://(?:[^@/]+@)?github\.com/|ssh://git@github\.com(?::\d+)?/|git@github\.com:)"
    r"([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)


def github_address(remote: str) -> str | None:
    """The web address of a remote on GitHub, without a user's name or token; else ``None``.

    >>> github_address("git@github.com:someone/selfpose.git")
    'https://github.com/someone/selfpose'
    >>> github_address("/srv/git/selfpose.git") is None
    True
    """
    match = _GITHUB.fullmatch(remote.strip())
    return f"https://github.com/{match[1]}/{match[2]}" if match else None


def repository_address(root: Path | str) -> str | None:
    """Where launch buttons lead: the environment variable, else the remote ``origin`` on GitHub.

    ``None`` where there is neither; the pages then show no such buttons. Whether the repository is
    public cannot be seen from here.

    Raises
    ------
    ValueError
        If the variable holds something else than a web address of a repository.
    """
    given = os.environ.get(REPOSITORY_VARIABLE, "").strip().rstrip("/").removesuffix(".git")
    if given:
        parts = urlsplit(given)
        if parts.scheme != "https" or len(parts.path.strip("/").split("/")) < 2 or parts.username:
            raise ValueError(
                f"{REPOSITORY_VARIABLE} should read https://host/owner/repository, not {given!r}"
            )
        return given
    command = ["git", "-C", str(root), "config", "--get", "remote.origin.url"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return github_address(done.stdout)


def _add_buttons(config: dict[str, Any], address: str) -> None:
    config["repository"] = {"url": address, "branch": "main", "path_to_book": ""}
    config.setdefault("html", {}).update(
        {"use_repository_button": True, "use_edit_page_button": True}
    )
    buttons = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
    if urlsplit(address).hostname == "github.com":  # Colab opens no others
        buttons["colab_url"] = "https://colab.research.google.com"
    config["launch_buttons"] = buttons


# --- staging ----------------------------------------------------------------------------------


def stage(
    executed: Path | str,
    out: Path | str,
    *,
    root: Path | str | None = None,
    runs: Path | str | None = None,
) -> Path:
    """Copy the book's sources, its executed notebooks and its records to a scratch tree.

    Parameters
    ----------
    executed
        Folder of executed notebooks, named as in ``notebooks/``.
    out
        The scratch tree; an older one is removed.
    root
        The repository; the one this file lies in by default.
    runs
        Folder of this build's runs; ``runs`` beside ``executed`` by default, if it is there. Their
        records go into the site, and those under ``results/``.

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
    if address := repository_address(root):
        _add_buttons(config, address)
    (out / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    shutil.copy(root / "_toc.yml", out)
    shutil.copytree(root / "book", out / "book")
    runs = Path(runs) if runs else executed.parent / "runs"
    # everything below book/assets becomes _static/…
    _stage_records([runs, root / "results"], out / "book" / "assets" / "records")
    for name in notebooks:
        source = executed / f"{Path(name).name}.ipynb"
        notebook = nbformat.read(source, as_version=4)
        if not _ran_to_its_end(notebook):
            raise ValueError(f"{source} was not run to its end; run it again, or `make book`")
        target = out / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(_dressed(notebook), target)
    return out


def _dressed(notebook: Any) -> Any:
    return strip_run_metadata(scale_figures(for_readers(tell_duration(notebook))))


def _stage_records(folders: Iterable[Path], out: Path) -> None:
    # late: these import torch, which Snakemake need not wait for when it reads this module
    from book.kit.provenance import write_record_pages
    from experiments.records import read_records

    found = [record for folder in folders if folder.is_dir() for record in read_records(folder)]
    write_record_pages(found, out)


def _ran_to_its_end(notebook: Any) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    errors = any(output.output_type == "error" for cell in code for output in cell.outputs)
    return not errors and all(cell.execution_count for cell in code)


# --- building ---------------------------------------------------------------------------------


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def staged_digest(staged: Path | str) -> str:
    """A digest of everything that a site is made of: the staged tree, this module, the builders."""
    staged = Path(staged)
    files = [path for path in sorted(staged.rglob("*")) if path.is_file()]
    lines = [f"{path.relative_to(staged).as_posix()} {_digest(path)}" for path in files]
    lines += [f"{name} {version(name)}" for name in BUILDERS]
    lines.append(_digest(Path(__file__)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def build(
    staged: Path | str,
    out: Path | str,
    *,
    root: Path | str | None = None,
    check: Callable[[Path], list[str]] | None = None,
) -> Path:
    """Build the site from a staged tree; warnings are errors. Returns the path of its index.

    ``out`` is replaced whole, and only by a site that was built to its end and passed the check.
    Where ``out`` was built from the very same tree, it stays, and is only checked.

    Parameters
    ----------
    staged, out
        The scratch tree, and where the site goes.
    root
        The repository: the download buttons of the pages hand out its notebooks, as committed.
    check
        Takes a site and returns what is wrong with it, a line each.

    Raises
    ------
    RuntimeError
        The build failed or warned (its own messages are on the console), or the check found
        something.
    """
    staged, out = Path(staged).resolve(), Path(out)
    digest, built_from = staged_digest(staged), out.with_name(f".{out.name}.digest")
    index = out / "index.html"
    if index.is_file() and built_from.is_file() and built_from.read_text() == digest:
        _refuse_problems(check(out) if check else [])
        index.touch()  # for make and Snakemake it is as new as what was looked at
        return index
    html = _build_html(staged)
    _hand_out_notebooks(html, Path(root or repository_root()))
    _refuse_problems(check(html) if check else [])
    out.parent.mkdir(parents=True, exist_ok=True)
    built_from.unlink(missing_ok=True)
    old = out.with_name(f".{out.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    html.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    built_from.write_text(digest)
    return index


def _build_html(staged: Path) -> Path:
    """Run Jupyter Book on a clean scratch folder; returns the folder of the pages."""
    scratch = staged.with_name(f"{staged.name}-html")
    if scratch.exists():
        # a page left over from an older table of contents would stay in the site, and warnings of
        # pages that Sphinx does not read again would be lost
        shutil.rmtree(scratch)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(staged), "--path-output", str(scratch), "-W", "-n", "--keep-going"]
    done = subprocess.run(command, check=False)
    html = scratch / "_build" / "html"
    if done.returncode or not (html / "index.html").is_file():
        raise RuntimeError(
            f"the site was not built (jupyter-book ended with {done.returncode}); the messages "
            "above name the pages. Every warning counts as an error."
        )
    return html


def _hand_out_notebooks(html: Path, root: Path) -> None:
    """Put the committed notebooks where the download buttons lead, in place of executed ones."""
    for executed in sorted((html / "_sources" / "notebooks").glob("*.ipynb")):
        shutil.copyfile(root / "notebooks" / executed.name, executed)


def _refuse_problems(problems: list[str]) -> None:
    if problems:
        shown = "\n".join(problems[:100])
        more = f"\n… and {len(problems) - 100} more" if len(problems) > 100 else ""
        raise RuntimeError(
            f"{shown}{more}\nthe site was not put in place: mend what is named above"
        )


@click.group()
def main() -> None:
    """Stage and build the site."""


@main.command(name="make")
@click.option("--executed", required=True, type=click.Path(path_type=Path))
@click.option("--stage", "staged", required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option(
    "--runs", type=click.Path(path_type=Path), help="Runs whose records go with it; by default "
    "those beside EXECUTED.",
)  # fmt: skip
def make_site(executed: Path, staged: Path, out: Path, runs: Path | None) -> None:
    """Stage the pages with the notebooks in EXECUTED, build and check them, put the site in OUT."""
    begun, root = time.monotonic(), repository_root()
    from book.kit.site_checks import site_problems, site_report

    try:
        index = build(
            stage(executed, staged, runs=runs),
            out,
            check=lambda site: site_problems(site, root=root),
        )
    except (FileNotFoundError, ModuleNotFoundError, ValueError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(site_report(index.parent, seconds=time.monotonic() - begun))
    click.echo(index)


@main.command(name="check")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("build/site"))
def check_site(folder: Path) -> None:
    """Look for what is wrong with a built site and its prose: numbers, links, paths, spelling."""
    from book.kit.site_checks import site_problems

    try:
        problems = site_problems(folder, root=repository_root())
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if problems:
        raise click.ClickException("\n".join(problems))
    click.echo(f"{folder}: nothing wrong")


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
