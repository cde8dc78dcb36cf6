"""Running notebooks through papermill without surprises, and keeping their two files in step.

A notebook is run to a temporary name and takes its own name only when every cell succeeded, so a
page can never be built from a notebook that failed. Parameter names are checked before anything
runs. What the cells write to standard error (progress bars above all) is forwarded to the console
line by line, so that several notebooks can run at once and stay readable.

Each notebook is two files: ``name.py`` (percent format: reviewed, linted, type-checked) and
``name.ipynb`` without outputs (what Jupyter, Binder and Colab open).
"""

import ast
import hashlib
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import click

from selfpose.files import refuse_unknown

WATCH_VARIABLE = "SELFPOSE_WATCH"
"""``host:pid`` of the process that ordered the run; when that one dies, so does the run."""

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


# --- parameters -------------------------------------------------------------------------------


def notebook_parameters(path: Path | str) -> dict[str, str]:
    """Names and defaults (as source text) of a notebook's ``parameters`` cell.

    Raises
    ------
    FileNotFoundError
        There is no such notebook.
    ValueError
        The notebook has no cell tagged ``parameters``.
    """
    from papermill.inspection import _infer_parameters
    from papermill.iorw import load_notebook_node
    from papermill.utils import any_tagged_cell

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no notebook at {path}")
    notebook = load_notebook_node(str(path))
    if not any_tagged_cell(notebook, "parameters"):
        raise ValueError(
            f"{path} has no cell tagged 'parameters'; tag the cell that holds the defaults"
        )
    found = _infer_parameters(notebook, name="python3", language="python")
    return {parameter.name: parameter.default for parameter in found}


def check_parameters(namespace: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Refuse parameters that a notebook does not know; call it with ``globals()`` right after them.

    papermill only warns of an unknown ``-p name value`` and injects it all the same. At that point
    of a notebook the namespace holds the parameters, what IPython puts there, and imports: every
    plain value (number, text, list, dict, None) under a public name must therefore be a parameter.

    Raises
    ------
    ValueError
        A plain value stands under a name that is not allowed, or an allowed name is missing.
    """
    allowed = tuple(allowed)
    own = {"In", "Out"}
    plain = (type(None), bool, int, float, str, list, tuple, dict, set)
    names = [
        name
        for name, value in namespace.items()
        if not name.startswith("_") and name not in own and isinstance(value, plain)
    ]
    refuse_unknown(names, allowed, "parameter of this notebook")
    missing = [name for name in allowed if name not in namespace]
    if missing:
        raise ValueError(
            f"the parameters cell does not set {', '.join(missing)}; give each a default there"
        )


def parse_value(text: str) -> Any:
    """A parameter as typed on the command line: a Python literal where it is one, else text.

    >>> parse_value("3"), parse_value("poses"), parse_value("{'steps': 5}"), parse_value("None")
    (3, 'poses', {'steps': 5}, None)
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# --- progress ---------------------------------------------------------------------------------


@runtime_checkable
class Console(Protocol):
    """What progress is written to: standard error, as a rule."""

    def write(self, text: str, /) -> Any:
        """Take text."""

    def flush(self) -> None:
        """Show it."""


class ProgressLines:
    r"""A text stream that turns redrawn progress bars into whole, labelled lines.

    Several notebooks run at once and share one console: bars that redraw themselves with carriage
    returns would overwrite each other. Text that ends in a newline is passed on; of text that ends
    in a carriage return only the latest is, at most once in ``every`` seconds.

    >>> import io
    >>> console = io.StringIO()
    >>> lines = ProgressLines(console, label="05", every=3600)
    >>> _ = lines.write("1 %\r2 %\r3 %\rdone\n")
    >>> print(console.getvalue(), end="")
    05 │ 1 %
    05 │ done
    """

    encoding = "utf-8"

    def __init__(self, console: Console, *, label: str, every: float | int = 5.0) -> None:
        self._console = console
        self._label = label
        self._every = every
        self._pending = ""
        self._shown = float("-inf")
        self._last = ""

    def write(self, text: str) -> int:
        """Take text in; emit the lines that are due."""
        pieces = re.split(r"(\r\n|\n|\r)", self._pending + _ANSI.sub("", text))
        self._pending = pieces.pop()
        for line, end in zip(pieces[::2], pieces[1::2], strict=True):
            self._take(line, redrawn=end == "\r")
        # tqdm writes "\r" before each redraw, not after: what is pending is the bar's newest state
        if self._pending.strip() and time.monotonic() - self._shown >= self._every:
            self._take(self._pending, redrawn=True)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back that a flush could push out whole; the console is flushed."""
        self._console.flush()

    def isatty(self) -> bool:
        """Never a terminal: bars must not try to move the cursor."""
        return False

    def close(self) -> None:
        """Emit what is still pending."""
        if self._pending.strip():
            self._take(self._pending, redrawn=False)
        self._pending = ""

    def _take(self, line: str, *, redrawn: bool) -> None:
        line = line.strip()
        now = time.monotonic()
        if not line or line == self._last or (redrawn and now - self._shown < self._every):
            return
        self._shown, self._last = now, line
        self._console.write(f"{self._label} │ {line}\n")
        self._console.flush()


# --- running ----------------------------------------------------------------------------------


def repository_root() -> Path:
    """The folder that holds ``notebooks/`` and ``selfpose/``: where notebooks are run."""
    return Path(__file__).resolve().parent.parent


def run_notebook(
    path: Path | str,
    out: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    progress: bool = True,
    label: str | None = None,
    cwd: Path | str | None = None,
) -> Path:
    """Run a notebook with papermill; ``out`` appears only if every cell succeeded.

    Parameters
    ----------
    path, out
        The notebook, and where its executed copy goes. An older ``out`` is removed first.
    parameters
        Values for names of the notebook's ``parameters`` cell.
    progress
        Show the cell reached and what the cells write to standard error, on standard error.
    label
        What progress lines begin with; the notebook's name by default.
    cwd
        Working directory of the kernel; the repository's root by default.

    Raises
    ------
    FileNotFoundError
        There is no such notebook.
    ValueError
        A parameter is unknown (nothing has run, and nothing was removed, then).
    RuntimeError
        The process that ordered the run is gone (nothing has run), or a cell failed: the message
        then ends with its traceback, and the notebook as far as it came lies beside ``out`` as
        ``<stem>.failed.ipynb``.
    """
    path, out = Path(path), Path(out)
    parameters = dict(parameters or {})
    refuse_unknown(parameters, notebook_parameters(path), f"parameter of {path.name}")
    stop_watching = watch_orderer()

    import papermill

    label = label or path.stem
    failed = out.with_name(f"{out.stem}.failed.ipynb")
    partial = out.with_name(f".{out.stem}.partial.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    for old in (out, failed, partial):
        old.unlink(missing_ok=True)
    # one stream each: neither the bar nor the cells' own text ends every write with a line's end
    cells = ProgressLines(sys.stderr, label=label)
    lines = ProgressLines(sys.stderr, label=label)
    bar = {
        "file": cells,
        "desc": "cells",
        "mininterval": 0,
        "ncols": 72,
        "bar_format": "{desc} {bar:24} {n_fmt}/{total_fmt} after {elapsed}",
    }
    try:
        papermill.execute_notebook(
            path,
            partial,
            parameters=parameters,
            kernel_name="python3",
            cwd=Path(cwd or repository_root()),
            progress_bar=bar if progress else False,
            stderr_file=lines if progress else None,
            log_output=False,
            # the kernel's own remarks (on its sockets) are not about the notebook
            extra_arguments=["--log-level=50"],
        )
    except papermill.PapermillExecutionError as error:
        if partial.exists():
            partial.replace(failed)
        trace = _ANSI.sub("", "\n".join(error.traceback)).strip().splitlines()
        tail = "\n".join(trace[-12:]) or f"{error.ename}: {error.evalue}"
        raise RuntimeError(
            f"{path} failed in its cell {error.cell_index}; as far as it came it is in {failed}.\n"
            f"{tail}"
        ) from None
    except BaseException:
        if partial.exists():
            partial.replace(failed)
        raise
    finally:
        stop_watching()
        lines.close()
        cells.close()
    partial.replace(out)
    return out


def watch_orderer() -> Callable[[], None]:
    """End this process when the one named in ``SELFPOSE_WATCH`` is gone; returns the off switch.

    A killed Snakemake cannot take its notebooks with it. Without this they would go on, and write
    into the same folders as the next ``make book``.
    """
    host, _, pid = os.environ.get(WATCH_VARIABLE, "").rpartition(":")
    done = threading.Event()
    if host != socket.gethostname() or not pid.isdigit():
        return done.set
    if not _is_alive(int(pid)):
        raise RuntimeError(f"process {pid}, which ordered this run, has ended: nothing was run")

    def watch() -> None:
        while not done.wait(1.0):
            if not _is_alive(int(pid)):
                # nbclient answers SIGTERM by shutting its kernel down; SIGKILL if that hangs
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
                os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="watch-orderer", daemon=True).start()
    return done.set


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # a zombie still has its number: it is dead for our purpose
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


# --- pairs ------------------------------------------------------------------------------------

_COMPARED = ("tags", "mystnb", "jupyter", "slideshow")


def pair_differences(ipynb: Path | str, py: Path | str) -> list[str]:
    """What keeps ``name.ipynb`` and ``name.py`` from being one notebook; empty when they agree.

    Cells are compared by kind, source, tags and page options, not byte by byte. The ``.ipynb``
    must hold neither outputs, nor execution counts, nor the state of widgets.
    """
    import jupytext
    import nbformat

    ipynb, py = Path(ipynb), Path(py)
    missing = [f"{path} is missing" for path in (ipynb, py) if not path.is_file()]
    if missing:
        return missing
    left = nbformat.read(ipynb, as_version=4)
    right = jupytext.read(py)
    problems = []
    if len(left.cells) != len(right.cells):
        problems.append(f"{ipynb} has {len(left.cells)} cells, {py} has {len(right.cells)}")
    for index, (a, b) in enumerate(zip(left.cells, right.cells, strict=False)):
        if a.cell_type != b.cell_type:
            problems.append(f"{ipynb} cell {index}: {a.cell_type}, but {b.cell_type} in {py}")
        elif a.source.strip() != b.source.strip():
            problems.append(f"{ipynb} cell {index}: the source differs from {py}")
        for key in _COMPARED:
            if a.metadata.get(key) != b.metadata.get(key):
                problems.append(f"{ipynb} cell {index}: {key} differ from {py}")
    for index, cell in enumerate(left.cells):
        if cell.get("outputs") or cell.get("execution_count"):
            problems.append(f"{ipynb} cell {index} holds outputs: commit it without")
    if "widgets" in left.metadata:
        problems.append(f"{ipynb} holds the state of widgets: commit it without")
    return problems


def sync_pair(py: Path | str) -> Path:
    """Write ``name.ipynb`` from ``name.py``, without outputs and with cell ids that stay put."""
    import jupytext
    import nbformat

    py = Path(py)
    if not py.is_file():
        raise FileNotFoundError(f"no percent script at {py}")
    notebook = jupytext.read(py)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{py.stem}:{index}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.setdefault(
        "kernelspec", {"display_name": "Python 3", "language": "python", "name": "python3"}
    )
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    notebook.metadata.pop("widgets", None)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    out = py.with_suffix(".ipynb")
    nbformat.validate(notebook)
    out.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return out


def sync_script(ipynb: Path | str) -> Path:
    """Write ``name.py`` from ``name.ipynb``: after editing in Jupyter without jupytext."""
    import jupytext
    import nbformat

    ipynb = Path(ipynb)
    if not ipynb.is_file():
        raise FileNotFoundError(f"no notebook at {ipynb}")
    notebook = nbformat.read(ipynb, as_version=4)
    notebook.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    out = ipynb.with_suffix(".py")
    jupytext.write(notebook, out, fmt="py:percent")
    return out


# --- command line -----------------------------------------------------------------------------


@click.group(help=__doc__.split("\n\n", maxsplit=1)[0] if __doc__ else None)
def main() -> None:
    """Group of the commands below."""


@main.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable.")
@click.option("--label", help="What progress lines begin with.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def run(notebook: Path, out: Path, pairs: Sequence[str], label: str | None, quiet: bool) -> None:
    """Run NOTEBOOK and write its executed copy to OUT, whole or not at all."""
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.ClickException(f"-p takes name=value, not {pair!r}")
        parameters[name] = parse_value(value)
    try:
        run_notebook(notebook, out, parameters, progress=not quiet, label=label)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None


@main.group()
def pair() -> None:
    """Keep NAME.py and NAME.ipynb in step."""


def _scripts(paths: Sequence[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in paths}
    if not paths:
        folder = repository_root() / "notebooks"
        stems = {p.with_suffix("") for p in folder.iterdir() if p.suffix in {".py", ".ipynb"}}
        stems = {stem for stem in stems if not stem.name.startswith((".", "_"))}
    return sorted(stems)


@pair.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def check(paths: Sequence[Path]) -> None:
    """Compare the two files of each notebook; all of notebooks/ by default."""
    problems: list[str] = []
    for stem in _scripts(paths):
        problems += pair_differences(stem.with_suffix(".ipynb"), stem.with_suffix(".py"))
    if problems:
        advice = "write the .ipynb anew with: python -m experiments.notebooks pair sync"
        raise click.ClickException("\n".join([*problems, advice]))


@pair.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Choice(["py", "ipynb"]),
    default="py",
    show_default=True,
    help="Which of the two files is right.",
)
def sync(paths: Sequence[Path], source: str) -> None:
    """Write one file of each pair from the other; all of notebooks/ by default."""
    for stem in _scripts(paths):
        if source == "py":
            click.echo(sync_pair(stem.with_suffix(".py")))
        else:
            click.echo(sync_script(stem.with_suffix(".ipynb")))


if __name__ == "__main__":
    main()
