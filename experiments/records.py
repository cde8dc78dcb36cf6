"""One JSON record for each run, and every table made of records: no number comes from elsewhere."""

import hashlib
import json
import math
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from selfpose.files import write_whole
from selfpose.files import refuse_unknown

SCHEMA = 1
RECORD = "record.json"
HISTORY = "history.json"
WEIGHTS = "weights.safetensors"
SNAPSHOTS = "snapshots.safetensors"
"""Beside the weights of runs from pictures: see :mod:`selfpose.evaluation.snapshots`."""
SOURCE_SUFFIXES = (".py", ".json")
"""Of the files that make the library what it is."""
RESULTS = Path(__file__).resolve().parents[1] / "results"
"""Where records, and a few weights, are committed."""
MAX_PUBLISHED_BYTES = 8_000_000
"""Of one file of weights: a repository keeps every version for ever."""
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "experiment": str,
    "variant": str,
    "dataset": str,
    "seed": int,
    "parameters": dict,
    "commit": (str, type(None)),
    "versions": dict,
    "device": str,
    "started": str,
    "duration_s": (int, float),
    "metrics": dict,
    "baselines": dict,
}
Record = dict[str, Any]
BEFORE: dict[str, Any] = {
    "puppet_forgiving": 1.0,
    "camera_elevation": 10.0,
    "data_seed": 0,
}
"""Parameters that older records do not name, and what they were before they could be chosen."""


def _git(*arguments: str) -> str | None:
    """Output of git in the folder that holds the package, ``None`` where that is no repository."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@cache
def source_digest() -> str:
    """A digest of the library's own files, as they were when it was first asked for.

    It is made of the hashes that git gives to files, so that the commit of a library that ran
    where there was no git can be found later.
    """
    package = Path(__file__).resolve().parent
    lines = []
    for path in package.rglob("*"):
        if path.suffix in SOURCE_SUFFIXES and "__pycache__" not in path.parts:
            content = path.read_bytes()
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            lines.append(f"{path.relative_to(package.parent).as_posix()} {blob.hexdigest()}")
    return _digest_of(lines)


def _digest_of(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def source_of_commit(commit: str) -> str | None:
    """The :func:`source_digest` of a commit's library; ``None`` where there is no such commit."""
    package = Path(__file__).resolve().parent.name
    tree = _git("ls-tree", "-r", "--full-tree", commit, "--", package)
    if not tree:
        return None
    entries = [line.split(maxsplit=3) for line in tree.splitlines()]
    return _digest_of(f"{e[3]} {e[2]}" for e in entries if e[3].endswith(SOURCE_SUFFIXES))


def commit_of_source(digest: str) -> str | None:
    """The newest commit whose library has that :func:`source_digest`; ``None`` if there is none."""
    commits = (_git("rev-list", "--max-count=500", "HEAD") or "").split()
    return next((commit for commit in commits if source_of_commit(commit) == digest), None)


def _commit_that_ran(record: Record) -> str | None:
    """The record's commit, if its library is the one that ran, else the commit that has that one.

    A record without a digest, as older ones are, is taken at its word if it says that nothing was
    changed. ``None`` where no commit can be named.
    """
    source = record.get("source")
    if not source:
        return None if record.get("commit_dirty") else record["commit"]
    if record["commit"] and source_of_commit(record["commit"]) == source:
        return str(record["commit"])
    return commit_of_source(source)


def environment(device: str | torch.device) -> dict[str, Any]:
    """Commit (and whether the tree was changed), digest of the library, versions, device."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    packages: dict[str, str] = {"python": platform.python_version()}
    for name in ("selfpose", "torch", "numpy", "safetensors"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed as a package"
    kind = torch.device(device).type
    described = (
        torch.cuda.get_device_name(device)
        if kind == "cuda"
        else f"{kind} ({platform.machine()}, {torch.get_num_threads()} threads)"
    )
    return {
        "commit": commit,
        "commit_dirty": None if changed is None else bool(changed),
        "source": source_digest(),
        "versions": packages,
        "device": described,
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_run(
    folder: str | Path,
    record: Record,
    *,
    history: dict[str, Any],
    write_weights: Callable[[Path], None],
    write_snapshots: Callable[[Path], None] | None = None,
) -> Path:
    """Write a run's files; the record comes last, so a folder with a record is a whole run.

    Parameters
    ----------
    folder
        The run's folder; made if missing.
    record
        Everything but the digests of the other files, which are added here.
    history
        Losses and monitors over time, by stage.
    write_weights
        Writes the weights to the path that it is given.
    write_snapshots
        Writes the snapshots likewise, where the run has some.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    (folder / SNAPSHOTS).unlink(missing_ok=True)
    write_weights(folder / WEIGHTS)
    write_json(folder / HISTORY, history)
    names = [WEIGHTS, HISTORY]
    if write_snapshots is not None:
        write_snapshots(folder / SNAPSHOTS)
        names.append(SNAPSHOTS)
    digests = {name: file_digest(folder / name) for name in names}
    complete = {**record, "schema": SCHEMA, "files": digests}
    check_record(complete, str(folder / RECORD))
    write_json(folder / RECORD, complete)
    return folder / RECORD


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN is refused, it is not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def check_record(record: Any, where: str) -> Record:
    """Raise ``ValueError`` naming ``where`` and the first thing wrong; return the record."""
    if not isinstance(record, dict):
        raise ValueError(f"{where}: a record is a JSON object, got {record!r:.40}")
    for name, kind in REQUIRED.items():
        if name not in record:
            raise ValueError(f"{where}: the record has no {name!r}")
        if not isinstance(record[name], kind):
            raise ValueError(f"{where}: {name!r} should be {kind}, got {record[name]!r}")
    if record["schema"] != SCHEMA:
        raise ValueError(f"{where}: record schema {record['schema']}, this selfpose reads {SCHEMA}")
    for name, value in record["metrics"].items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{where}: the metric {name!r} is {value!r}, not a finite number")
    return record


def read_record(path: str | Path) -> Record:
    """Read one record (a run's folder or its record.json).

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is broken or incomplete.
    """
    path = Path(path)
    path = path / RECORD if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no record; the run is missing or was not finished")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); remove it and run again") from error
    return check_record(record, str(path))


def with_later_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a record, and what those were that it does not name (:data:`BEFORE`)."""
    # Lifting from true 2D poses knows neither, so that its runs compare, old and new.
    lifting = parameters.get("input") == "poses"
    later = {"refine": lifting, "limb_thickness": "fitted" if lifting else "learned"}
    return {**BEFORE, **later, **parameters}


def _records_below(root: Path) -> Iterator[Record]:
    """Every record below a folder as it stands there, with its folder as ``path``."""
    for path in sorted(root.rglob(RECORD)):
        yield {**read_record(path), "path": path.parent.relative_to(root).as_posix()}


def read_records(root: str | Path) -> list[Record]:
    """Every record below a folder, each with its folder as ``path`` (relative to the root).

    Parameters that came later than a record are filled in (:data:`BEFORE`), so that old and new
    runs can be told apart in one table; those that it named itself are ``stated``.
    """
    below = _records_below(Path(root))
    return [
        {
            **r,
            "parameters": with_later_parameters(r["parameters"]),
            "stated": sorted(r["parameters"]),
        }
        for r in below
    ]


def published_records(folder: str | Path | None = None) -> list[Record]:
    """The records committed with the source under ``results/``; empty where there are none."""
    root = Path(folder) if folder else RESULTS
    return read_records(root) if root.is_dir() else []


def check_weights(folder: Path, record: Record) -> Path:
    """The weights beside a record, if they are the ones that it was made with.

    Raises
    ------
    FileNotFoundError
        If they are not there.
    ValueError
        If their digest is not the record's.
    """
    return _check_file(folder / WEIGHTS, record, what="weights")


def check_snapshots(folder: Path, record: Record) -> Path | None:
    """The snapshots beside a record, likewise; ``None`` if it names none, as older ones do not.

    Raises
    ------
    FileNotFoundError
        If it names some that are not there.
    ValueError
        If their digest is not the record's.
    """
    if SNAPSHOTS not in record.get("files", {}):
        return None
    return _check_file(folder / SNAPSHOTS, record, what="snapshots")


def _check_file(path: Path, record: Record, *, what: str) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no {what} beside the record")
    if file_digest(path) != record.get("files", {}).get(path.name):
        raise ValueError(
            f"{path}: not the {what} that the record was made with (its digest differs); run the "
            "cell again, or fetch the file again"
        )
    return path


def published_weights(
    experiment: str,
    variant: str,
    dataset: str,
    *,
    presets: Sequence[str] = ("standard", "quick"),
    folder: str | Path | None = None,
) -> tuple[Path, Record] | None:
    """Committed weights and their record: of the first preset that has any, the lowest seed.

    ``None`` where none are published. ``folder`` is ``results/`` by default.

    Raises
    ------
    ValueError
        If the weights found are not those of their record.
    """
    root = Path(folder) if folder else RESULTS
    wanted = {"experiment": experiment, "variant": variant, "dataset": dataset}
    found = [
        record
        for record in published_records(root)
        if all(record[name] == value for name, value in wanted.items())
        and record.get("preset") in presets
        and (root / record["path"] / WEIGHTS).is_file()
    ]
    if not found:
        return None
    best = min(found, key=lambda r: (list(presets).index(r["preset"]), r["seed"]))
    return check_weights(root / best["path"], best), best


def _named(record: Record) -> tuple[Any, ...]:
    """What a record says of the library that ran."""
    return record["commit"], record.get("commit_dirty"), record.get("source")


def publish(runs: str | Path, results: str | Path, *, weights: Sequence[str] = ()) -> list[Path]:
    """Copy the record and the history of every finished run to a folder that is committed.

    Where the library of a record's commit is not, file by file, the one that ran (it ran outside a
    checkout, or before its changes were committed), the copy names the commit that has that one.

    Parameters
    ----------
    runs, results
        The runs' folder, and where copies go.
    weights
        Runs whose weights, and snapshots where they kept some, go with them, as paths below
        ``runs`` (``end_to_end/selfpose/seed0``). All others stay behind; their digest is in the
        record.

    Returns
    -------
    The folders written.

    Raises
    ------
    FileNotFoundError
        If there is no finished run, or no weights where they are wanted, or snapshots are gone
        that their record names.
    ValueError
        If no commit has the library that a record was made with, so that none says what ran; if
        weights are wanted of a run that is not there, they or their snapshots do not belong to
        their record, or they are larger than :data:`MAX_PUBLISHED_BYTES`. Nothing has been
        written, then.
    """
    runs, results = Path(runs), Path(results)
    records = list(_records_below(runs))
    if not records:
        raise FileNotFoundError(f"{runs}: holds no finished run")
    commits: dict[tuple[Any, ...], str | None] = {}
    for record in records:
        named = _named(record)
        if named not in commits:
            commits[named] = _commit_that_ran(record)
        if commits[named] is None:
            raise ValueError(
                f"{runs / record['path']}: was made with uncommitted changes: no commit has the "
                "library that ran; commit, and run it again"
            )
    chosen = {Path(path).as_posix() for path in weights}
    refuse_unknown(sorted(chosen), [record["path"] for record in records], "run to take weights of")
    for record in records:
        if record["path"] in chosen:
            size = check_weights(runs / record["path"], record).stat().st_size
            if size > MAX_PUBLISHED_BYTES:
                raise ValueError(
                    f"{runs / record['path'] / WEIGHTS}: {size / 1e6:.1f} MB is too much to commit "
                    f"(at most {MAX_PUBLISHED_BYTES / 1e6:.0f} MB); publish a run with narrower "
                    "networks, or hand these weights out another way"
                )
            check_snapshots(runs / record["path"], record)
    written = []
    for record in records:
        source, target = runs / record["path"], results / record["path"]
        target.mkdir(parents=True, exist_ok=True)
        digests = record.get("files", {})
        beside = [name for name in (WEIGHTS, SNAPSHOTS) if name in digests]
        for kept in (target / WEIGHTS, target / SNAPSHOTS):
            if kept.is_file() and file_digest(kept) != digests.get(kept.name):
                kept.unlink()  # of an older run: they would not belong to this record
        for name in (HISTORY, *(beside if record["path"] in chosen else [])):
            write_whole(target / name, partial(shutil.copyfile, source / name))
        whole = {name: value for name, value in record.items() if name != "path"}
        if record.get("commit_dirty") or commits[_named(record)] != record["commit"]:
            whole |= {"commit": commits[_named(record)], "commit_dirty": False}
        write_json(target / RECORD, whole)
        written.append(target)
    return written


def read_history(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Losses and monitors over time, one table a stage, indexed by step."""
    path = Path(folder) / HISTORY
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no history; the run is missing or was not finished")
    stages = json.loads(path.read_text(encoding="utf-8"))
    return {name: pd.DataFrame(rows).set_index("step") for name, rows in stages.items() if rows}


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
            if values is not None:
                row |= {f"{baseline}: {name}": values.get(name) for name in metrics}
        rows.append(row)
    return pd.DataFrame(rows)


def mean_and_spread(values: pd.Series, digits: int = 1) -> str:
    """``mean ± standard deviation (n)``; one run has no spread, none is an en dash."""
    known = values.dropna().astype(float)
    if known.empty:
        return "–"
    if len(known) == 1:
        return f"{known.iloc[0]:.{digits}f} (1)"
    return f"{known.mean():.{digits}f} ± {known.std():.{digits}f} ({len(known)})"


def summary_table(
    records: Iterable[Record],
    metrics: Sequence[str],
    *,
    by: Sequence[str] = ("experiment", "variant"),
    baselines: Sequence[str] = (),
    digits: int = 1,
) -> pd.DataFrame:
    """Mean ± spread (number of seeds) of the metrics for each group of runs.

    ``baselines`` adds, for each name, the baseline's metrics over the same runs as columns.
    """
    frame = records_to_frame(records, metrics)
    columns = [*metrics, *(f"{b}: {m}" for b in baselines for m in metrics)]
    if frame.empty:
        return pd.DataFrame(columns=[*by, *columns])
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        shown = {c: mean_and_spread(group[c], digits) if c in group else "–" for c in columns}
        rows.append(dict(zip(by, key, strict=True)) | shown)
    return pd.DataFrame(rows)


__all__ = [
    "HISTORY",
    "MAX_PUBLISHED_BYTES",
    "RECORD",
    "RESULTS",
    "SCHEMA",
    "SNAPSHOTS",
    "WEIGHTS",
    "Record",
    "check_record",
    "check_snapshots",
    "check_weights",
    "commit_of_source",
    "environment",
    "file_digest",
    "mean_and_spread",
    "publish",
    "published_records",
    "published_weights",
    "read_history",
    "read_record",
    "read_records",
    "records_to_frame",
    "source_digest",
    "summary_table",
    "write_json",
    "write_run",
]
