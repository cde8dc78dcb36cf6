"""Reading and publishing records, and every table made of them: no number comes from elsewhere."""

import json
import shutil
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path

import click
import pandas as pd

from selfpose.files import (
    check_file,
    file_digest,
    lines_digest,
    refuse_unknown,
    write_json,
    write_whole,
)
from selfpose.run import HISTORY, RECORD, SNAPSHOTS, WEIGHTS, Record, git, read_record

RESULTS = Path(__file__).resolve().parents[1] / "results"
"""Where records, and a few weights, are committed."""
MAX_PUBLISHED_BYTES = 8_000_000
"""Of one file: a repository keeps every version for ever."""


def read_records(root: str | Path) -> list[Record]:
    """Every record below a folder, each with its own folder as ``path`` (relative to the root)."""
    root = Path(root)
    return [
        {**read_record(path), "path": path.parent.relative_to(root).as_posix()}
        for path in sorted(root.rglob(RECORD))
    ]


def published_records() -> list[Record]:
    """The records that are committed with the source, under ``results/``."""
    return read_records(RESULTS)


def published_weights(
    experiment: str, variant: str, dataset: str, *,
    presets: Sequence[str] = ("standard", "quick"), folder: str | Path = RESULTS,
) -> tuple[Path, Record] | None:  # fmt: skip
    """Committed weights and their record: of the first preset that has any, the lowest seed.

    ``None`` where none are published.

    Raises
    ------
    ValueError
        If the weights found are not those of their record.
    """
    wanted = {"experiment": experiment, "variant": variant, "dataset": dataset}
    found = [
        record
        for record in read_records(folder)
        if all(record[name] == value for name, value in wanted.items())
        and record["preset"] in presets
        and (Path(folder) / record["path"] / WEIGHTS).is_file()
    ]
    if not found:
        return None
    best = min(found, key=lambda r: (list(presets).index(r["preset"]), r["seed"]))
    return check_file(Path(folder) / best["path"], WEIGHTS, best), best


def read_history(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Losses and monitors over time, one table a stage, indexed by step."""
    stages = json.loads((Path(folder) / HISTORY).read_text(encoding="utf-8"))
    return {name: pd.DataFrame(rows).set_index("step") for name, rows in stages.items() if rows}


# --- publishing -------------------------------------------------------------------------------


@cache
def _source_of(commit: str) -> str:
    """The :func:`selfpose.files.library_digest` of a commit."""
    tree = (git("ls-tree", "-r", "--full-tree", commit, "--", "selfpose") or "").splitlines()
    entries = [line.split(maxsplit=3) for line in tree]
    return lines_digest(f"{e[3]} {e[2]}" for e in entries if e[3].endswith(".py"))


def commit_of(record: Record) -> str | None:
    """The commit whose ``selfpose/`` is the one that ran: the record's own, else the newest.

    ``None`` where no commit has it: it was changed when it ran, and never committed so.
    """
    newest = (git("rev-list", "--max-count=500", "HEAD") or "").split()
    named = [record["commit"]] if record["commit"] else []
    return next((c for c in named + newest if _source_of(c) == record["source"]), None)


def publish(runs: str | Path, results: str | Path, *, weights: Sequence[str] = ()) -> list[Path]:
    """Copy the record and the history of every finished run to a folder that is committed.

    The copy names the commit that has the library that ran, also where the run was made outside a
    checkout, or before its changes were committed.

    Parameters
    ----------
    runs, results
        The runs' folder, and where copies go.
    weights
        Runs whose weights, and snapshots if any, go with them, as paths below ``runs``
        (``end_to_end/selfpose/seed0``). All others stay behind; their digest is in the record.

    Returns
    -------
    The folders written.

    Raises
    ------
    FileNotFoundError
        If there is no finished run, or a file of one is gone.
    ValueError
        If no commit has the library of a record, or weights are wanted that are not there, are not
        those of their record, or are too large. Nothing has been written, then.
    """
    runs, results = Path(runs), Path(results)
    records = read_records(runs)
    if not records:
        raise FileNotFoundError(f"{runs}: holds no finished run")
    chosen = {Path(path).as_posix() for path in weights}
    refuse_unknown(sorted(chosen), [record["path"] for record in records], "run to take weights of")
    commits = {record["path"]: commit_of(record) for record in records}
    for record in records:
        source = runs / record["path"]
        if commits[record["path"]] is None:
            raise ValueError(f"{source}: no commit has the library that ran; commit, run it again")
        if record["path"] in chosen:
            size = max(check_file(source, f, record).stat().st_size for f in record["files"])
            if size > MAX_PUBLISHED_BYTES:
                raise ValueError(
                    f"{source}: {size / 1e6:.1f} MB in one file is too much to commit (at most "
                    f"{MAX_PUBLISHED_BYTES / 1e6:.0f} MB)"
                )
    for record in records:
        source, target = runs / record["path"], results / record["path"]
        target.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, SNAPSHOTS):  # of an older run: they do not belong to this record
            kept = target / name
            if kept.is_file() and file_digest(kept) != record["files"].get(name):
                kept.unlink()
        for name in record["files"] if record["path"] in chosen else [HISTORY]:
            write_whole(target / name, partial(shutil.copyfile, source / name))
        whole = {name: value for name, value in record.items() if name != "path"}
        commit = commits[record["path"]]
        write_json(target / RECORD, {**whole, "commit": commit, "commit_dirty": False})
    return [results / record["path"] for record in records]


@click.command("publish")
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("results", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--weights", multiple=True, metavar="EXPERIMENT/VARIANT/SEED",
    help="Take weights and snapshots of this run too; repeatable.",
)  # fmt: skip
def publish_command(runs: Path, results: Path, weights: tuple[str, ...]) -> None:
    """Copy the records of finished RUNS to RESULTS, a folder to commit."""
    for folder in publish(runs, results, weights=weights):
        click.echo(folder)


# --- tables -----------------------------------------------------------------------------------


def records_to_frame(records: Iterable[Record], metrics: Sequence[str]) -> pd.DataFrame:
    """One row a run: experiment, variant, dataset, preset, seed, metrics, each baseline's metrics.

    Baseline columns read ``flat: p_mpjpe_mm``. What a run did not measure is missing (NaN).
    """
    rows = []
    for record in records:
        named = ("experiment", "variant", "dataset", "preset", "seed", "path")
        row = {name: record.get(name) for name in named}
        row |= {name: record["metrics"].get(name) for name in metrics}
        for baseline, values in record["baselines"].items():
            row |= {f"{baseline}: {name}": (values or {}).get(name) for name in metrics}
        rows.append(row)
    return pd.DataFrame(rows)


def mean_and_spread(values: pd.Series, digits: int = 1) -> str:
    """``mean ± standard deviation (n)``; one run has no spread, none is an en dash.

    >>> mean_and_spread(pd.Series([1.0, 3.0, None])), mean_and_spread(pd.Series([2.04]))
    ('2.0 ± 1.4 (2)', '2.0 (1)')
    """
    known = values.dropna().astype(float)
    if known.empty:
        return "–"
    spread = f" ± {known.std():.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{spread} ({len(known)})"


def summary_table(
    records: Iterable[Record], metrics: Sequence[str], *,
    by: Sequence[str] = ("experiment", "variant"), baselines: Sequence[str] = (), digits: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Mean ± spread (number of seeds) of the metrics for each group of runs.

    ``baselines`` adds, for each name, the baseline's metrics over the same runs as columns.
    """
    columns = [*metrics, *(f"{b}: {m}" for b in baselines for m in metrics)]
    frame = records_to_frame(records, metrics).reindex(columns=[*by, *columns])
    groups = frame.groupby(list(by), sort=False, dropna=False)[columns]
    return groups.agg(partial(mean_and_spread, digits=digits)).reset_index()
