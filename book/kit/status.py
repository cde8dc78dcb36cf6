"""Which runs are there, which failed and which are missing: the matrix against its records."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.display import HTML

from selfpose.data.source_names import data_arguments
from selfpose.files import refuse_unknown
from book.kit.quotes import NONE, quoted, record_link
from experiments.records import RECORD, Record, read_record, read_records
from experiments.workflow import FOLDER, Run, matrix

LOG = "campaign.log"
"""What a campaign writes into the folder of a run, and leaves there if it fails."""
STATES = ("done", "failed", "stopped", "missing")
NUMBERS = {
    "P-MPJPE, mm": ("metrics.p_mpjpe_mm", 1),
    "2D error, sides forgiven, %": ("metrics.error_2d_percent_side_tolerant", 2),
    "facing right, %": ("metrics.facing_right_percent", 1),
}
"""Title → field and digits of the numbers that the status shows."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of the matrix, and what has become of it.

    Parameters
    ----------
    folder
        ``experiment/variant/seed0``.
    state
        ``done``; ``failed``: its last attempt ended with an error; ``stopped``: it has a checkpoint
        and goes on when asked to; ``missing``: nobody has begun it.
    input
        ``images`` or ``poses``.
    record
        Of a run that is done.
    command
        What makes it.
    """

    folder: str
    state: str
    input: str
    record: Record | None
    command: str

    def __post_init__(self) -> None:
        refuse_unknown([self.state], STATES, "state of a run")
        if (self.record is not None) != (self.state == "done"):
            raise ValueError(f"{self.folder}: a run is done if it has a record, and only then")

    @property
    def experiment(self) -> str:
        """The first part of the folder's name."""
        return self.folder.partition("/")[0]

    @property
    def row(self) -> str:
        """The rest of it, which names its row in the table of its experiment."""
        return self.folder.partition("/")[2]


def run_state(folder: Path) -> str:
    """What a run's folder says of it: one of :data:`STATES`."""
    if (folder / RECORD).is_file():
        return "done"
    if any(folder.glob("*.failed.ipynb")) or _ends_in_error(folder / LOG):
        return "failed"
    return "stopped" if (folder / "checkpoint").is_dir() else "missing"


def _ends_in_error(log: Path) -> bool:
    if not log.is_file():
        return False
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    # the last line of a traceback: a class's dotted name, a colon, a message
    name = last.partition(":")[0].rpartition(".")[2]
    return name.isidentifier() and name.endswith(("Error", "Exception", "Diverged", "Interrupt"))


def cells_of_build(
    *, preset: str, data: str, runs: str | Path, experiments: str | Path = FOLDER
) -> list[Cell]:
    """Every run of the matrix for a preset and a data set, then those that lie beside it.

    Parameters
    ----------
    preset, data
        Of the build.
    runs
        Its folder of runs; it need not be there yet.
    experiments
        Folder of the experiments.

    Raises
    ------
    ValueError
        If the preset or the data set is unknown, or a record is broken.
    """
    root = Path(runs)
    cells = [
        _cell(run, root, preset=preset, data=data)
        for run in matrix(preset=preset, data=data, folder=experiments)
    ]
    known = {cell.folder for cell in cells}
    beside = [] if not root.is_dir() else read_records(root)
    cells += [
        Cell(folder=r["path"], state="done", input=str(r.get("input")), record=r, command="")
        for r in beside
        if r["path"] not in known
    ]
    return sorted(cells, key=lambda cell: cell.experiment)


def _cell(run: Run, root: Path, *, preset: str, data: str) -> Cell:
    folder = root / run.folder
    state = run_state(folder)
    return Cell(
        folder=run.folder,
        state=state,
        input=run.input,
        record=read_record(folder) if state == "done" else None,
        command=f".venv/bin/selfpose campaign --preset {preset} "
        f"{' '.join(data_arguments(data))} "
        f"--cell {run.folder}",
    )


def count_states(cells: Iterable[Cell]) -> dict[str, int]:
    """How many cells are in each state.

    >>> count_states([])
    {'done': 0, 'failed': 0, 'stopped': 0, 'missing': 0}
    """
    states = [cell.state for cell in cells]
    return {state: states.count(state) for state in STATES}


def counts_text(counts: dict[str, int]) -> str:
    """Counts in words, without what there is none of.

    >>> counts_text({"done": 3, "failed": 0, "stopped": 0, "missing": 1})
    '3 done, 1 missing'
    """
    return ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "no runs"


def status_tables(cells: Sequence[Cell]) -> HTML:
    """A folded table for each experiment: its runs with links, or the command for what is missing.

    A table with something failed, stopped or missing says so in its heading.
    """
    parts = []
    for name in dict.fromkeys(cell.experiment for cell in cells):
        chosen = [cell for cell in cells if cell.experiment == name]
        parts.append(_folded(f"{name}: {counts_text(count_states(chosen))}", _table(chosen)))
    return HTML("\n".join(parts) or "<p>No experiment has runs for this preset and data.</p>")


def published_tables(records: Iterable[Record]) -> HTML:
    """The same of committed records, a table for each data set, preset and experiment."""
    groups: dict[str, list[Cell]] = {}
    for r in records:
        cell = f"{r['experiment']}/{r['variant']}/seed{r['seed']}"
        title = f"{r['dataset']}, {r.get('preset')}: {r['experiment']}"
        groups.setdefault(title, []).append(
            Cell(folder=cell, state="done", input=str(r.get("input")), record=r, command="")
        )
    parts = [
        _folded(f"{title}, {len(group)} published", _table(group))
        for title, group in groups.items()
    ]
    return HTML("\n".join(parts) or "<p>None are committed.</p>")


def _folded(title: str, inside: str) -> str:
    return (
        f'<details class="run-status"><summary>{html.escape(title)}</summary>\n{inside}\n</details>'
    )


def _table(cells: Sequence[Cell]) -> str:
    pictures = any(cell.input == "images" for cell in cells)
    shown = {t: f for t, f in NUMBERS.items() if pictures or t == next(iter(NUMBERS))}
    titles = ["run", "state", "date", "commit", "device", "seconds", *shown]
    head = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in titles)
    body = "\n".join(_row(cell, shown) for cell in cells)
    return (
        '<div class="provenance-runs" tabindex="0" role="group" aria-label="Runs of an experiment">'
        f'<table class="dataframe results"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def _row(cell: Cell, shown: dict[str, Any]) -> str:
    record = cell.record
    if record is None:
        made = f"<code>{html.escape(cell.command)}</code>"
        return (
            f'<tr><th scope="row">{html.escape(cell.row)}</th><td>{cell.state}</td>'
            f'<td colspan="{4 + len(shown)}">made by {made}</td></tr>'
        )
    values = [
        quoted(record, "started", form="text", digits=10),
        quoted(record, "commit", form="text", digits=7),
        quoted(record, "device", form="text", digits=0),
        quoted(record, "duration_s", digits=0),
        *(quoted(record, field, digits=digits) for field, digits in shown.values()),
    ]
    # the row's name is the link: seven of them to one page would only be in the way of the keyboard
    numbers = "".join(f"<td>{value.marked() or NONE}</td>" for value in values)
    link = record_link(record, cell.row)
    return f'<tr><th scope="row">{link}</th><td>{cell.state}</td>{numbers}</tr>'


__all__ = [
    "NUMBERS",
    "STATES",
    "Cell",
    "cells_of_build",
    "count_states",
    "counts_text",
    "published_tables",
    "run_state",
    "status_tables",
]
