"""Records are read, published with the commit that ran, and summed up in tables."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import records
from experiments.records import (
    mean_and_spread,
    publish,
    published_records,
    published_weights,
    read_history,
    read_records,
    records_to_frame,
    summary_table,
)
from selfpose import files, run
from selfpose.config import Config
from selfpose.files import file_digest, library_digest
from selfpose.run import HISTORY, RECORD, SNAPSHOTS, WEIGHTS, environment, read_record

HISTORY_ROWS = {"flow": [{"step": 0, "NLL": 3.0}, {"step": 20, "NLL": 2.0}], "images": []}


def write(folder: Path, *, weights: bytes = b"weights", **changes: Any) -> Path:
    """A finished run, as :func:`selfpose.run.run_experiment` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / SNAPSHOTS).write_bytes(weights)
    (folder / HISTORY).write_text(json.dumps(HISTORY_ROWS))
    record = {
        **{"schema": run.SCHEMA, "experiment": "single", "variant": "selfpose"},
        **{"dataset": "embedded", "preset": "quick", "seed": 0},
        "parameters": Config().to_dict(),
        **{**environment("cpu"), "source": "of no commit", "commit": None, "commit_dirty": None},
        **{"started": "2024-01-01T00:00:00+00:00", "duration_s": 1.5},
        "metrics": {"p_mpjpe_mm": 50.0, "error_2d_percent": 5},
        "baselines": {"flat": {"p_mpjpe_mm": 90.0}, "supervised": None},
        "files": {name: file_digest(folder / name) for name in (WEIGHTS, HISTORY, SNAPSHOTS)},
        **changes,
    }
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def test_history_is_read_as_tables(tmp_path: Path) -> None:
    tables = read_history(write(tmp_path))
    assert list(tables) == ["flow"]
    assert tables["flow"]["NLL"].to_dict() == {0: 3.0, 20: 2.0}


def test_every_published_record_can_be_read() -> None:
    found = published_records()
    assert found
    assert {record["path"].partition("/")[0] for record in found} >= {"cmu-quick"}


def test_tables_are_the_arithmetic_of_records(tmp_path: Path) -> None:
    for seed, error in enumerate((40.0, 44.0, 48.0)):
        write(tmp_path / f"b/{seed}", seed=seed, metrics={"p_mpjpe_mm": error})
    metrics = {"p_mpjpe_mm": 60.0, "error_2d_percent": 6.0}
    write(tmp_path / "a", experiment="other", metrics=metrics)
    found = read_records(tmp_path)
    assert [r["path"] for r in found] == ["a", "b/0", "b/1", "b/2"]
    frame = records_to_frame(found, list(metrics))
    assert frame["p_mpjpe_mm"].tolist() == [60, 40, 44, 48]
    assert frame["flat: p_mpjpe_mm"].tolist() == [90] * 4
    assert frame["error_2d_percent"].isna().tolist() == [False, True, True, True]
    table = summary_table(found, list(metrics), baselines=["flat", "supervised"])
    assert table["experiment"].tolist() == ["other", "single"]
    assert table["p_mpjpe_mm"].tolist() == ["60.0 (1)", "44.0 ± 4.0 (3)"]
    assert table["error_2d_percent"].tolist() == ["6.0 (1)", "–"]
    assert table["flat: p_mpjpe_mm"].tolist() == ["90.0 (1)", "90.0 ± 0.0 (3)"]
    assert table["supervised: p_mpjpe_mm"].tolist() == ["–", "–"]
    assert list(summary_table(found, ["p_mpjpe_mm"], by=("dataset", "seed"))["seed"]) == [0, 1, 2]


def test_a_table_of_nothing_has_its_columns() -> None:
    table = summary_table([], ["p_mpjpe_mm"], baselines=["flat"])
    assert list(table) == ["experiment", "variant", "p_mpjpe_mm", "flat: p_mpjpe_mm"]
    assert table.empty
    assert mean_and_spread(pd.Series([], dtype=float)) == "–"


def test_published_weights_are_those_of_the_longest_preset(tmp_path: Path) -> None:
    wanted = ("single", "selfpose", "embedded")
    assert published_weights(*wanted, folder=tmp_path) is None
    write(tmp_path / "smoke", preset="smoke")
    assert published_weights(*wanted, folder=tmp_path) is None
    write(tmp_path / "quick")
    write(tmp_path / "b", preset="standard", seed=1)
    write(tmp_path / "c", preset="standard", seed=0)
    write(tmp_path / "d", preset="standard", seed=0, dataset="cmu")
    found = published_weights(*wanted, folder=tmp_path)
    assert found
    assert (found[0], found[1]["path"]) == (tmp_path / "c" / WEIGHTS, "c")
    # records alone are no weights: what has them comes first
    (tmp_path / "c" / WEIGHTS).unlink()
    (tmp_path / "b" / WEIGHTS).unlink()
    found = published_weights(*wanted, folder=tmp_path)
    assert found
    assert found[1]["preset"] == "quick"
    (tmp_path / "quick" / WEIGHTS).write_bytes(b"a pointer")
    with pytest.raises(ValueError, match="digest differs"):
        published_weights(*wanted, folder=tmp_path)


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Commit and digest of a small repository that stands in for this one, in order."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    package = tmp_path / "repository" / "selfpose"
    (package / "inner").mkdir(parents=True)
    for module in (files, run):
        monkeypatch.setattr(module, "__file__", str(package / "module.py"))
    records._source_of.cache_clear()

    def git(*words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@x"]
        command = ["git", "-C", str(package.parent), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    made = []
    for text in ("x = 1", "x = 2"):
        (package / "inner" / "a.py").write_text(text)
        (package / "notes.txt").write_text(f"no part of the library: {text}")
        git("add", ".")
        git("commit", "--quiet", "-m", text)
        library_digest.cache_clear()
        made.append((git("rev-parse", "HEAD"), library_digest()))
    library_digest.cache_clear()
    return made


def test_a_published_record_names_the_commit_that_ran(tmp_path: Path, commits) -> None:
    (first, old), (second, new) = commits
    assert old != new
    runs, results = tmp_path / "runs", tmp_path / "results"
    with pytest.raises(FileNotFoundError, match="no finished run"):
        publish(runs, results)
    write(runs / "elsewhere", source=old)
    write(runs / "before_its_commit", commit=first, commit_dirty=True, source=new)
    write(runs / "clean", commit=first, commit_dirty=False, source=old)
    publish(runs, results)
    told = {r["path"]: (r["commit"], r["commit_dirty"]) for r in read_records(results)}
    assert told == {
        "elsewhere": (first, False),
        "before_its_commit": (second, False),
        "clean": (first, False),
    }
    assert read_record(results / "clean") == read_record(runs / "clean")
    write(runs / "changed", commit=second, commit_dirty=True)
    with pytest.raises(ValueError, match="changed: no commit has the library that ran"):
        publish(runs, tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_weights_are_published_where_they_are_asked_for(
    tmp_path: Path, commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, results, fresh = (tmp_path / name for name in ("runs", "results", "fresh"))
    source = commits[1][1]
    write(runs / "a", source=source)
    write(runs / "b", source=source)
    publish(runs, results, weights=["a/"])
    names = (WEIGHTS, HISTORY, SNAPSHOTS, RECORD)
    assert {p.name for p in (results / "a").iterdir()} == set(names)
    assert {p.name for p in (results / "b").iterdir()} == {HISTORY, RECORD}
    # asked for or not: those of an unchanged run stay, those of an older one go
    publish(runs, results)
    assert (results / "a" / WEIGHTS).is_file()
    write(runs / "a", source=source, weights=b"newer")
    publish(runs, results)
    assert {p.name for p in (results / "a").iterdir()} == {HISTORY, RECORD}

    with pytest.raises(ValueError, match="unknown run to take weights of 'c'"):
        publish(runs, fresh, weights=["c"])
    with monkeypatch.context() as patch:
        patch.setattr(records, "MAX_PUBLISHED_BYTES", 4)
        with pytest.raises(ValueError, match="too much to commit"):
            publish(runs, fresh, weights=["b"])
    (runs / "b" / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="digest differs"):
        publish(runs, fresh, weights=["b"])
    assert not fresh.exists()
