"""Staging, building and checking the site.

Sphinx runs no notebook. The pages and the *executed* notebooks are copied to a scratch tree under
the same relative paths, and Jupyter Book builds the site there with warnings as errors. The records
behind the numbers go with it. The finished site replaces the older one only when it is whole.
"""

import base64
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import nbformat
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from book.kit.provenance import record_link, write_record_pages
from experiments.records import read_records
from experiments.run import ROOT
from selfpose.config import PRESETS, Config
from selfpose.run import git, read_record

PAGE_INCHES = 7.0
"""Width of a figure that fills the page, see :func:`book.kit.plots.new_figure`."""
_PLACE = re.compile(r"= (['\"])/.*\1$", re.M)
_GITHUB = re.compile(r"(?:https://|ssh://git@|git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?")
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|Users|root|tmp|work|mnt|private)/[\w.-]+")


# --- notebooks as pages -----------------------------------------------------------------------


def for_readers(notebook: Any) -> Any:
    """An executed notebook whose machinery does not stand between a reader and the idea.

    Parameters are folded, those of the run in place of the defaults; calls that put source text or
    provenance into the page are left out, and so are places on the machine that ran it.
    """
    injected = any("injected-parameters" in _tags(cell) for cell in notebook.cells)
    asked = False  # whether the last words were those of an exercise
    for cell in notebook.cells:
        tags = _tags(cell)
        if cell.cell_type == "markdown":
            asked = cell.source.startswith("## Exercise")
            continue
        if "parameters" in tags:
            _fold(cell, "remove-cell" if injected else "hide-input", "Parameters")
        elif "injected-parameters" in tags:
            cell.source = _PLACE.sub("= '(a folder)'", cell.source)
            _fold(cell, "hide-input", "Parameters of this run")
        elif cell.source.startswith(("show_source(", "page.provenance_box(")):
            _fold(cell, "remove-input")
        elif "hide-cell" in tags and asked:
            _fold(cell, "hide-cell", "Solution")
        # the site has the script of the sliders in a file
        cell.outputs = [o for o in cell.outputs if "customElements" not in str(o.get("data"))]
        _keep_narrow(cell)
    return notebook


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _fold(cell: Any, tag: str, prompt: str = "Code") -> None:
    cell.metadata["tags"] = list({*_tags(cell), tag})
    settings = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
    cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), **settings}


def _keep_narrow(cell: Any) -> None:
    """Figures narrower than the page are not blown up to its width: letters are of one size."""
    settings = cell.metadata.get("mystnb", {})
    for output in cell.outputs if "figure" in settings else []:
        if picture := output.get("data", {}).get("image/png"):
            with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
                inches = opened.width / opened.info.get("dpi", (100, 100))[0]
            if (share := round(100 * inches / PAGE_INCHES)) < 80:
                settings["image"] = {"width": f"{share}%", **settings.get("image", {})}


# --- staging ----------------------------------------------------------------------------------


def toc_documents(toc: Any) -> list[str]:
    """The documents that a ``_toc.yml`` names, in order, as they stand there (no suffix).

    >>> toc_documents({"root": "book/index", "parts": [{"chapters": [{"file": "notebooks/01"}]}]})
    ['book/index', 'notebooks/01']
    """
    if isinstance(toc, list):
        return [name for item in toc for name in toc_documents(item)]
    own = [toc[key] for key in ("root", "file") if key in toc]
    return own + [n for key in ("parts", "chapters") for n in toc_documents(toc.get(key, []))]


def github_address(remote: str) -> str | None:
    """The web address of a remote on GitHub; else ``None``.

    >>> github_address("git@github.com:someone/selfpose.git")
    'https://github.com/someone/selfpose'
    """
    match = _GITHUB.fullmatch(remote.strip())
    return f"https://github.com/{match[1]}" if match else None


def site_config(root: Path) -> dict[str, Any]:
    """``_config.yml``, with buttons where the repository is on GitHub.

    Of its ``myst_substitutions``, paths of published records become those records, with ``link``;
    the parameters of a run are ``config``, of all presets ``presets``. A page then shows
    ``{{ config.networks.delta }}``.
    """
    config: dict[str, Any] = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    names = config["parse"]["myst_substitutions"]
    for name, path in names.items():
        record = read_record(root / path)
        names[name] = {**record, "link": record_link(record, "its record")}
    names["config"] = Config().to_dict()
    names["presets"] = {name: Config.for_run(preset=name).to_dict() for name in PRESETS}
    if address := github_address(git("config", "--get", "remote.origin.url") or ""):
        config["repository"] = {"url": address, "branch": "main", "path_to_book": ""}
        config["html"] |= {"use_repository_button": True, "use_edit_page_button": True}
        config["launch_buttons"] |= {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        }
    return config


def stage(executed: Path, out: Path, *, root: Path = ROOT) -> Path:
    """Copy the book's sources, its executed notebooks and its records to a scratch tree.

    Parameters
    ----------
    executed
        Folder of executed notebooks, named as in ``notebooks/``; ``runs`` beside it, if it is
        there, and ``results/`` have the records.
    out
        The scratch tree; an older one is removed.
    root
        The repository.

    Raises
    ------
    FileNotFoundError
        A page or an executed notebook that ``_toc.yml`` names is missing.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(root / "book", out / "book", ignore=shutil.ignore_patterns("*.py", "kit"))
    shutil.copy(root / "_toc.yml", out)
    config = yaml.safe_dump(site_config(root), sort_keys=False)
    (out / "_config.yml").write_text(config, encoding="utf-8")
    folders = [folder for folder in (executed.parent / "runs", root / "results") if folder.is_dir()]
    records = [record for folder in folders for record in read_records(folder)]
    # everything below book/assets becomes _static/…
    write_record_pages(records, out / "book" / "assets" / "records")
    (out / "notebooks").mkdir()
    for name in toc_documents(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))):
        if name.startswith("notebooks/"):
            notebook = nbformat.read(executed / f"{Path(name).name}.ipynb", as_version=4)
            nbformat.write(for_readers(notebook), out / f"{name}.ipynb")
    return out


# --- building ---------------------------------------------------------------------------------


def build(staged: Path, out: Path, *, root: Path = ROOT) -> Path:
    """Build the site from a staged tree; warnings are errors. Returns the path of its index.

    ``out`` is replaced whole, and only by a site that was built to its end and passed the check.

    Raises
    ------
    RuntimeError
        The build failed or warned (its own messages are on the console), or the check found
        something.
    """
    scratch = staged.resolve().with_name(f"{staged.name}-html")
    shutil.rmtree(scratch, ignore_errors=True)  # pages of an older table of contents
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(staged.resolve()), "--path-output", str(scratch), "-W", "-n", "--keep-going"]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise RuntimeError(f"the site was not built (jupyter-book ended with {code}): see above")
    html = scratch / "_build" / "html"
    # the download buttons hand out the committed notebooks, not the executed ones
    for executed in (html / "_sources" / "notebooks").glob("*.ipynb"):
        shutil.copyfile(root / "notebooks" / executed.name, executed)
    if problems := list(site_problems(html)):
        raise RuntimeError("\n".join([*problems, "the site was not put in place"]))
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(html, out)
    return out / "index.html"


def site_problems(site: Path) -> Iterator[str]:
    """Links and anchors that lead nowhere, files asked of other hosts, paths of a machine."""
    texts = {path: path.read_text(encoding="utf-8") for path in _pages(site.resolve())}
    soups = {path: BeautifulSoup(text, "html.parser") for path, text in texts.items()}
    anchors = {path: {tag["id"] for tag in soup.select("[id]")} for path, soup in soups.items()}
    for path, soup in soups.items():
        name = path.relative_to(site.resolve())
        for found in sorted({*MACHINE_PATH.findall(texts[path])}):
            yield f"{name}: holds the path {found} of the machine that built it"
        loaded = {tag.get("src") or tag["href"] for tag in soup.select("[src], link[href]")}
        for link in sorted(loaded | {tag["href"] for tag in soup.select("a[href]")}):
            parts = urlsplit(str(link))
            if parts.scheme or parts.netloc:
                if link in loaded and parts.scheme != "data":
                    yield f"{name}: loads {link} from another host"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{name}: the link {link} leads to no file"
            elif parts.fragment and unquote(parts.fragment) not in anchors.get(
                target, parts.fragment
            ):
                yield f"{name}: the link {link} leads to no such anchor"


def _pages(site: Path) -> list[Path]:
    own = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return sorted([*own, *site.glob("_static/records/*.html")])


@click.group()
def main() -> None:
    """Build the site."""


@main.command()
@click.option("--executed", required=True, type=click.Path(path_type=Path))
@click.option("--stage", "staged", required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def make(executed: Path, staged: Path, out: Path) -> None:
    """Stage the pages with the notebooks in EXECUTED, build and check them, put the site in OUT."""
    try:
        click.echo(build(stage(executed, staged), out))
    except (OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
