"""Records: whole or not at all, complete, finite; and tables that are their arithmetic."""

import hashlib
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import records
from selfpose.files import write_whole
from book.kit.quotes import record_name
from experiments.records import (
    HISTORY,
    RECORD,
    REQUIRED,
    SCHEMA,
    WEIGHTS,
    check_record,
    environment,
    mean_and_spread,
    publish,
    published_weights,
    read_history,
    read_record,
    read_records,
    records_to_frame,
    source_digest,
    summary_table,
    write_json,
    write_run,
)


def record(**changes: Any) -> dict[str, Any]:
    return {
        "experiment": "single",
        "variant": "selfpose",
        "dataset": "embedded",
        "seed": 0,
        "parameters": {"steps": 3},
        **environment("cpu"),
        "started": "2024-01-01T00:00:00+00:00",
        "duration_s": 1.5,
        "metrics": {"p_mpjpe_mm": 50.0, "error_2d_percent": 5},
        "baselines": {"flat": {"p_mpjpe_mm": 90.0}, "supervised": None},
        **changes,
    }


HISTORY_ROWS = {"flow": [{"step": 0.0, "NLL": 3.0}, {"step": 20.0, "NLL": 2.0}], "images": []}


def write(folder: Path, **changes: Any) -> Path:
    return write_run(
        folder,
        record(**changes),
        history=HISTORY_ROWS,
        write_weights=lambda path: path.write_bytes(b"weights") and None,
    )


def test_a_record_is_read_back_with_the_digests_of_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "run")
    back = read_record(tmp_path / "run")
    assert back == read_record(path)
    assert back["schema"] == SCHEMA
    assert {k: back[k] for k in record()} == record()
    for name, digest in back["files"].items():
        assert digest == hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest()
    assert set(back["files"]) == {WEIGHTS, HISTORY}
    assert {p.name for p in (tmp_path / "run").iterdir()} == {WEIGHTS, HISTORY, RECORD}


def test_history_is_read_back_as_tables(tmp_path: Path) -> None:
    write(tmp_path)
    tables = read_history(tmp_path)
    assert list(tables) == ["flow"]
    assert tables["flow"]["NLL"].to_dict() == {0.0: 3.0, 20.0: 2.0}


@pytest.mark.parametrize("fails_at", [WEIGHTS, HISTORY, RECORD])
def test_a_full_disk_leaves_no_record_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    write(tmp_path)
    real = Path.write_text

    def full(self: Path, text: str, **options: Any) -> int:
        if self.name.startswith(fails_at):
            real(self, text[:5], **options)
            raise OSError(28, "No space left on device")
        return real(self, text, **options)

    def write_weights(path: Path) -> None:
        write_whole(path, lambda part: part.write_text("weights") and None)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_run(tmp_path, record(), history=HISTORY_ROWS, write_weights=write_weights)
    names = {p.name for p in tmp_path.iterdir()}
    assert RECORD not in names
    assert not any(name.endswith(".part") for name in names)


def test_a_kill_between_files_leaves_no_record(tmp_path: Path) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    write(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, record(), history={}, write_weights=killed)
    with pytest.raises(FileNotFoundError, match="no record; the run is missing or was not finish"):
        read_record(tmp_path)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "50"])
def test_metrics_that_are_no_finite_numbers_are_refused_by_name(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(ValueError, match=r"metric 'p_mpjpe_mm' is .*not a finite number"):
        write(tmp_path, metrics={"p_mpjpe_mm": bad})
    assert not (tmp_path / RECORD).exists()


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": math.nan})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [n for n in REQUIRED if n != "schema"])
def test_missing_keys_are_named(tmp_path: Path, name: str) -> None:
    partial = record()
    del partial[name]
    with pytest.raises(ValueError, match=rf"record\.json: the record has no '{name}'"):
        write_run(tmp_path, partial, history={}, write_weights=lambda p: p.touch())
    with pytest.raises(ValueError, match=f"somewhere: {name!r} should be"):
        check_record({**record(), "schema": SCHEMA, name: [1]}, "somewhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1]", "a record is a JSON object"),
        ("3", "a record is a JSON object"),
        ("{}", "no 'schema'"),
    ],
)
def test_broken_records_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ValueError, match=rf"record\.json.*{message}"):
        read_record(tmp_path)


def test_records_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(ValueError, match="record schema 99, this selfpose reads 1"):
        read_record(path)


def test_missing_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no record"):
        read_record(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no history"):
        read_history(tmp_path)
    assert read_records(tmp_path) == []


def several(root: Path) -> list[dict[str, Any]]:
    for seed, error in enumerate((40.0, 44.0, 48.0)):
        write(root / f"b/{seed}", seed=seed, metrics={"p_mpjpe_mm": error})
    write(root / "a", experiment="other", metrics={"p_mpjpe_mm": 60.0, "error_2d_percent": 6.0})
    return read_records(root)


def test_tables_are_the_arithmetic_of_records(tmp_path: Path) -> None:
    found = several(tmp_path)
    assert [r["path"] for r in found] == ["a", "b/0", "b/1", "b/2"]
    frame = records_to_frame(found, ["p_mpjpe_mm", "error_2d_percent"])
    assert frame["p_mpjpe_mm"].tolist() == [60, 40, 44, 48]
    assert frame["flat: p_mpjpe_mm"].tolist() == [90] * 4
    assert frame["error_2d_percent"].isna().tolist() == [False, True, True, True]
    table = summary_table(
        found, ["p_mpjpe_mm", "error_2d_percent"], baselines=["flat", "supervised"]
    )
    assert table["experiment"].tolist() == ["other", "single"]
    assert table["p_mpjpe_mm"].tolist() == ["60.0 (1)", "44.0 ± 4.0 (3)"]
    assert table["error_2d_percent"].tolist() == ["6.0 (1)", "–"]
    assert table["flat: p_mpjpe_mm"].tolist() == ["90.0 (1)", "90.0 ± 0.0 (3)"]
    assert table["supervised: p_mpjpe_mm"].tolist() == ["–", "–"]
    published = summary_table(found, ["p_mpjpe_mm"], by=("dataset", "preset", "experiment"))
    assert published["p_mpjpe_mm"].tolist() == ["60.0 (1)", "44.0 ± 4.0 (3)"]


def test_a_table_of_nothing_has_its_columns() -> None:
    table = summary_table([], ["p_mpjpe_mm"], baselines=["flat"])
    assert list(table) == ["experiment", "variant", "p_mpjpe_mm", "flat: p_mpjpe_mm"]
    assert table.empty


def test_records_say_what_could_not_be_chosen_when_they_were_made(tmp_path: Path) -> None:
    write(tmp_path / "old")
    raw, (filled,) = read_record(tmp_path / "old"), read_records(tmp_path)
    assert "camera_elevation" not in raw["parameters"]
    assert filled["parameters"]["camera_elevation"] == 10
    assert record_name(raw) == record_name(filled)  # links of both lead to one page


@pytest.mark.parametrize(
    ("values", "shown"),
    [([], "–"), ([math.nan], "–"), ([2.04], "2.0 (1)"), ([1.0, 3.0, None], "2.0 ± 1.4 (2)")],
)
def test_mean_and_spread(values: list[float | None], shown: str) -> None:
    assert mean_and_spread(pd.Series(values, dtype=float)) == shown


def test_environment_tells_what_ran_where(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = environment("cpu")
    assert facts["device"].startswith("cpu (")
    assert {"python", "torch", "numpy", "selfpose"} <= set(facts["versions"])
    monkeypatch.setattr(records, "_git", lambda *_: None)
    assert environment("cpu")["commit"] is None
    assert environment("cpu")["commit_dirty"] is None


def test_publishing_copies_records_of_clean_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    with pytest.raises(FileNotFoundError, match="no finished run"):
        publish(runs, results)
    old = {"commit": "abc", "source": None}
    write(runs / "a" / "seed0", **old, commit_dirty=False)
    publish(runs, results)
    assert (results / "a" / "seed0" / RECORD).read_bytes() == (
        runs / "a" / "seed0" / RECORD
    ).read_bytes()
    assert not (results / "a" / "seed0" / WEIGHTS).exists()
    write(runs / "b" / "seed0", **old, commit_dirty=True)
    with pytest.raises(ValueError, match="uncommitted changes"):
        publish(runs, tmp_path / "other")
    write(runs / "b" / "seed0", commit="abc", commit_dirty=False, source="of no commit")
    monkeypatch.setattr(records, "commit_of_source", lambda digest: None)
    with pytest.raises(ValueError, match="uncommitted changes"):
        publish(runs, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_runs_from_elsewhere_get_the_commit_of_their_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small repository stands in for this one; its library changes once and back."""
    package = tmp_path / "repository" / "selfpose"
    package.mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(package / "records.py"))

    def git(*words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@x"]
        command = ["git", "-C", str(package.parent), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def digest() -> str:
        source_digest.cache_clear()
        return source_digest()

    git("init", "--quiet")
    commits, digests = [], []
    for text in ("x = 1", "x = 2"):
        (package / "a.py").write_text(text)
        (package / "inner").mkdir(exist_ok=True)
        (package / "inner" / "b.json").write_text("{}")
        (package / "notes.txt").write_text("no part of the library")
        git("add", ".")
        git("commit", "--quiet", "-m", text)
        commits.append(git("rev-parse", "HEAD"))
        digests.append(digest())
    (package / "notes.txt").write_text("changed")
    assert digest() == digests[1]
    assert [records.commit_of_source(d) for d in digests] == commits
    (package / "a.py").write_text("x = 3")
    assert records.commit_of_source(digest()) is None
    source_digest.cache_clear()

    write(tmp_path / "runs" / "a", commit=None, commit_dirty=None, source=digests[0])
    write(tmp_path / "runs" / "b", commit="abc", commit_dirty=True, source=digests[1])
    write(tmp_path / "runs" / "c", commit=commits[0], commit_dirty=False, source=digests[1])
    write(tmp_path / "runs" / "d", commit="abc", commit_dirty=False, source=None)
    # the library was committed, something else was changed
    write(tmp_path / "runs" / "e", commit=commits[0], commit_dirty=True, source=digests[0])
    write(tmp_path / "runs" / "f", commit=commits[0], commit_dirty=False, source=digests[0])
    publish(tmp_path / "runs", tmp_path / "results")
    told = {r["path"]: (r["commit"], r["commit_dirty"]) for r in read_records(tmp_path / "results")}
    assert told == {
        **{"a": (commits[0], False), "b": (commits[1], False), "c": (commits[1], False)},
        **{"d": ("abc", False), "e": (commits[0], False), "f": (commits[0], False)},
    }
    kept = [tmp_path / name / "f" / RECORD for name in ("runs", "results")]
    assert kept[0].read_bytes() == kept[1].read_bytes()
    write(tmp_path / "runs" / "g", commit=commits[0], commit_dirty=False, source="whatever")
    with pytest.raises(ValueError, match="no commit has the library"):
        publish(tmp_path / "runs", tmp_path / "results")


def test_weights_are_published_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    clean = {"commit": "abc", "commit_dirty": False, "source": None}
    write(runs / "a" / "seed0", **clean)
    write(runs / "b" / "seed0", **clean)
    publish(runs, results, weights=["a/seed0/"])
    assert (results / "a" / "seed0" / WEIGHTS).read_bytes() == b"weights"
    assert not (results / "b" / "seed0" / WEIGHTS).exists()
    # asked for or not: those of an unchanged run stay, those of an older one go
    publish(runs, results)
    assert (results / "a" / "seed0" / WEIGHTS).is_file()
    write_run(
        runs / "a" / "seed0",
        record(**clean),
        history={},
        write_weights=lambda path: path.write_bytes(b"newer") and None,
    )
    publish(runs, results)
    assert not (results / "a" / "seed0" / WEIGHTS).exists()

    fresh = tmp_path / "fresh"
    with pytest.raises(ValueError, match="unknown run to take weights of 'a/sed0'; did you mean"):
        publish(runs, fresh, weights=["a/sed0"])
    with monkeypatch.context() as patch:
        patch.setattr(records, "MAX_PUBLISHED_BYTES", 4)
        with pytest.raises(ValueError, match="too much to commit"):
            publish(runs, fresh, weights=["b/seed0"])
    (runs / "b" / "seed0" / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not the weights that the record was made with"):
        publish(runs, fresh, weights=["b/seed0"])
    (runs / "b" / "seed0" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match="no weights beside the record"):
        publish(runs, fresh, weights=["b/seed0"])
    assert not fresh.exists()


def test_published_weights_are_those_of_the_longest_preset(tmp_path: Path) -> None:
    wanted = ("end_to_end", "selfpose", "embedded")
    named = {"experiment": "end_to_end"}
    assert published_weights(*wanted, folder=tmp_path) is None
    write(tmp_path / "smoke", preset="smoke", **named)
    assert published_weights(*wanted, folder=tmp_path) is None
    write(tmp_path / "quick", preset="quick", **named)
    write(tmp_path / "b", preset="standard", seed=1, **named)
    write(tmp_path / "c", preset="standard", seed=0, **named)
    write(tmp_path / "d", preset="standard", seed=0, dataset="cmu", **named)
    found = published_weights(*wanted, folder=tmp_path)
    assert found is not None
    assert found[0] == tmp_path / "c" / WEIGHTS
    assert found[1]["path"] == "c"
    # records alone are no weights: what has them comes first
    (tmp_path / "c" / WEIGHTS).unlink()
    (tmp_path / "b" / WEIGHTS).unlink()
    found = published_weights(*wanted, folder=tmp_path)
    assert found is not None
    assert found[1]["preset"] == "quick"
    (tmp_path / "quick" / WEIGHTS).write_bytes(b"a pointer")
    with pytest.raises(ValueError, match="digest differs"):
        published_weights(*wanted, folder=tmp_path)
