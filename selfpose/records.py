"""One JSON record for each run, and every table made of records: no number comes from elsewhere."""

import hashlib
import json
import math
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from selfpose.files import write_whole

SCHEMA = 1
RECORD = "record.json"
HISTORY = "history.json"
WEIGHTS = "weights.safetensors"
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


def environment(device: str | torch.device) -> dict[str, Any]:
    """Commit (and whether the tree was changed), versions of what matters, device."""
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
) -> Path:
    """Write a run's files; the record comes last, so a folder with a record is a whole run.

    Parameters
    ----------
    folder
        The run's folder; made if missing.
    record
        Everything but the digests of the other two files, which are added here.
    history
        Losses and monitors over time, by stage.
    write_weights
        Writes the weights to the path that it is given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    write_weights(folder / WEIGHTS)
    write_json(folder / HISTORY, history)
    digests = {name: file_digest(folder / name) for name in (WEIGHTS, HISTORY)}
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


def read_records(root: str | Path) -> list[Record]:
    """Every record below a folder, each with its folder as ``path`` (relative to the root)."""
    root = Path(root)
    found = []
    for path in sorted(root.rglob(RECORD)):
        record = read_record(path)
        found.append({**record, "path": path.parent.relative_to(root).as_posix()})
    return found


def published_records(folder: str | Path | None = None) -> list[Record]:
    """The records committed with the source under ``results/``; empty where there are none."""
    root = Path(folder) if folder else Path(__file__).resolve().parents[1] / "results"
    return read_records(root) if root.is_dir() else []


def publish(runs: str | Path, results: str | Path) -> list[Path]:
    """Copy the record and the history of every finished run to a folder that is committed.

    Weights stay behind; their digest is in the record. Returns the folders written.

    Raises
    ------
    FileNotFoundError
        If there is no finished run.
    ValueError
        If a record was made with uncommitted changes, so that its commit does not say what ran.
    """
    runs, results = Path(runs), Path(results)
    records = read_records(runs)
    if not records:
        raise FileNotFoundError(f"{runs}: holds no finished run")
    for record in records:
        if record.get("commit_dirty") or record["commit"] is None:
            raise ValueError(
                f"{runs / record['path']}: was made with uncommitted changes, so its commit "
                "does not say what ran; commit, and run it again"
            )
    written = []
    for record in records:
        source, target = runs / record["path"], results / record["path"]
        target.mkdir(parents=True, exist_ok=True)
        for name in (HISTORY, RECORD):
            write_whole(target / name, partial(shutil.copyfile, source / name))
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
    "RECORD",
    "SCHEMA",
    "WEIGHTS",
    "Record",
    "check_record",
    "environment",
    "file_digest",
    "mean_and_spread",
    "publish",
    "published_records",
    "read_history",
    "read_record",
    "read_records",
    "records_to_frame",
    "summary_table",
    "write_json",
    "write_run",
]
