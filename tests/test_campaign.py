"""Campaigns: finished runs are skipped, slices end in time, failures stay alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from experiments import campaign
from selfpose import cli
from experiments.campaign import (
    MORE_TO_DO,
    STOPPED,
    Campaign,
    Job,
    choose_runs,
    data_parameters,
    error_lines,
    lock_path,
    process_age,
    taking_turns,
)
from selfpose.config import Config
from experiments.notebooks import repository_root
from experiments.records import RECORD, read_record
from selfpose.run import DataChoice
from experiments.workflow import Run, hold_lock

TINY = {
    **{"flow_steps": 5, "lift_steps": 5, "supervised": False},
    **{"n_unlabelled": 8, "n_unpaired": 32, "n_test": 8},
}


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    """A folder with one experiment of two variants and two seeds."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    content = {
        "name": "x",
        "question": "Why?",
        "base": {"input": "poses", **TINY},
        "variants": {"a": {}, "b": {"delta": 5.0}},
        "presets": {"smoke": {"seeds": [0, 1], "book": False}},
    }
    (folder / "x.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def runs_of(experiments: Path, **options: Any) -> list[Run]:
    return choose_runs(preset="smoke", data="embedded", folder=experiments, **options)


class Scripted(Campaign):
    """A campaign whose runs are short scripts, by the name of the cell."""

    scripts: dict[str, str]
    started: list[str]

    def command(self, job: Job) -> list[str]:
        self.started.append(job.run.folder)
        script = self.scripts.get(job.run.folder, "open(record, 'w').close()")
        return [sys.executable, "-c", f"record = {str(job.folder / RECORD)!r}\n{script}"]


def scripted(
    experiments: Path, out: Path, scripts: dict[str, str] | None = None, **options: Any
) -> Scripted:
    work = Scripted(
        runs=runs_of(experiments),
        preset="smoke",
        choice=DataChoice(),
        out=out,
        **{"say": lambda text: None, "jobs": 1, **options},
    )
    work.scripts, work.started = scripts or {}, []
    return work


def test_the_first_seed_of_everything_goes_first(experiments: Path, tmp_path: Path) -> None:
    work = scripted(experiments, tmp_path / "runs")
    assert work.exit_code == MORE_TO_DO
    assert work.work() == 0
    assert work.started == ["x/a/seed0", "x/b/seed0", "x/a/seed1", "x/b/seed1"]
    assert [job.state for job in work.cells] == ["done"] * 4
    assert not list(tmp_path.rglob("campaign.log"))
    assert work.table().splitlines()[-1].split() == ["all", "4", "0", "0", "0", "100"]


def test_what_has_a_checkpoint_goes_before(experiments: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs" / "x" / "b" / "seed1" / "checkpoint" / "state.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    work = scripted(experiments, tmp_path / "runs")
    assert "waiting: x/b/seed1: begun" in work.table()
    work.work()
    assert work.started[:2] == ["x/b/seed1", "x/a/seed0"]


def test_a_failed_run_is_told_and_stops_no_other(experiments: Path, tmp_path: Path) -> None:
    said: list[str] = []
    fail = "import sys; print('images:  10%|#', file=sys.stderr); sys.exit('Error: no such luck')"
    end = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    scripts = {"x/a/seed0": fail, "x/b/seed1": end}
    work = scripted(experiments, tmp_path / "runs", scripts, say=said.append)
    assert work.work() == 1
    assert [job.state for job in work.cells] == ["failed", "done", "done", "failed"]
    assert "FAILED x/a/seed0\nError: no such luck" in said
    assert "failed: x/a/seed0: Error: no such luck" in work.table()
    assert "ended by signal 9" in work.table()
    assert error_lines(tmp_path / "runs" / "x" / "a" / "seed0" / "campaign.log") == (
        "Error: no such luck"
    )


def test_a_run_that_says_it_is_done_needs_a_record(experiments: Path, tmp_path: Path) -> None:
    work = scripted(experiments, tmp_path / "runs", {"x/a/seed0": "pass"})
    assert work.work() == 1


POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print('images:  43%|####', file=sys.stderr, flush=True)
open(record + '.ready', 'w').close()
time.sleep(600)
"""
STUBBORN = POLITE.replace("lambda *_: sys.exit(75)", "signal.SIG_IGN")


@pytest.mark.parametrize("script", [POLITE, STUBBORN], ids=["polite", "stubborn"])
def test_a_slice_ends_in_time_and_leaves_no_process(
    experiments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(campaign, "GRACE_S", 1.0)
    scripts = {"x/a/seed0": script, "x/b/seed0": script}
    work = scripted(experiments, tmp_path / "runs", scripts, jobs=2, minutes=3 / 60)
    assert work.work() == MORE_TO_DO
    assert work.started == ["x/a/seed0", "x/b/seed0"]
    assert [job.state for job in work.cells] == ["waiting"] * 4
    assert all(j.process.poll() is not None for j in work.cells if j.process)
    assert work.cells[0].progress() == "images 43 %"
    again = scripted(experiments, tmp_path / "runs")
    assert again.work() == 0


def test_a_slice_of_no_length_only_looks(experiments: Path, tmp_path: Path) -> None:
    work = scripted(experiments, tmp_path / "runs", minutes=0)
    assert work.work() == MORE_TO_DO
    assert work.started == []


def test_a_slice_counts_what_was_used_before_it_began(experiments: Path, tmp_path: Path) -> None:
    work = scripted(experiments, tmp_path / "runs", minutes=1, used_s=60.0)
    assert work.work() == MORE_TO_DO
    assert work.started == []
    assert 0 <= process_age() < 86400


def test_an_interrupt_stops_the_runs_and_goes_on_up(experiments: Path, tmp_path: Path) -> None:
    class Interrupted(Scripted):
        def _collect(self) -> None:
            super()._collect()
            going_on = [job for job in self.of("running") if not job.asked_to_stop]
            if going_on and any(self.out.rglob("*.ready")):
                raise KeyboardInterrupt

    work = scripted(experiments, tmp_path / "runs", {"x/a/seed0": POLITE})
    work.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        work.work()
    assert work.cells[0].state == "waiting"
    assert work.cells[0].process
    assert work.cells[0].process.returncode == STOPPED


def test_bad_limits_are_refused(experiments: Path, tmp_path: Path) -> None:
    for options, message in (({"jobs": 0}, "jobs must be"), ({"minutes": -1.0}, "minutes must")):
        with pytest.raises(ValueError, match=message):
            scripted(experiments, tmp_path, **options)


def test_cells_are_named_with_any_seed(experiments: Path) -> None:
    (run,) = runs_of(experiments, cells=["x/b/seed7"])
    assert (run.variant, run.seed, run.overrides["delta"]) == ("b", 7, 5.0)
    assert len(runs_of(experiments)) == 4


def test_a_cell_named_twice_is_one_run(experiments: Path, tmp_path: Path) -> None:
    runs = runs_of(experiments, cells=["x/b/seed7", "x/a/seed0", "x/b/seed7/"])
    assert [run.folder for run in runs] == ["x/b/seed7", "x/a/seed0"]
    with pytest.raises(ValueError, match=r"share a folder \(x/a/seed0\)"):
        Campaign(runs=[*runs, runs[1]], preset="smoke", choice=DataChoice(), out=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiments": ["y"]}, "unknown experiment 'y'"),
        ({"cells": ["x/b"]}, "reads experiment/variant/seed0"),
        ({"cells": ["z/b/seed0"]}, "unknown experiment 'z'"),
        ({"cells": ["x/bb/seed0"]}, "did you mean 'b'"),
        ({"cells": ["x/b/seed0"], "preset": "standard"}, "unknown preset in experiments/x.yaml"),
        ({"preset": "standard"}, "nothing to run"),
        ({"cells": ["x/b/seed0"], "experiments": ["x"]}, "not both"),
    ],
)
def test_unknown_cells_are_refused(
    experiments: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose_runs(**{"preset": "smoke", "data": "embedded", "folder": experiments, **options})


def test_data_are_prepared_by_one_process_at_a_time(tmp_path: Path) -> None:
    code = "import sys, time; from experiments.campaign import taking_turns\n"
    code += "with taking_turns(sys.argv[1], 'a'): print('in', flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository_root(),
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=repository_root()
        )
        time.sleep(0.2)
        assert second.poll() is None
        first.kill()
        second.kill()
        second.wait()
    # what is held by nobody, other data, and no cache at all: none of them waits
    with taking_turns(tmp_path, "a"), taking_turns(tmp_path, "b"), taking_turns(None, "a"):
        pass


def test_runs_share_data_where_their_parameters_about_data_agree() -> None:
    config = Config.for_run(preset="smoke")
    other = config.with_(seed=3, lift_lr=0.1, drop=("bl",))
    assert data_parameters(config) == data_parameters(other)
    drawn = ({"difficulty": "none"}, {"camera_elevation": 25.0}, {"data_seed": 1})
    for change in ({"n_unpaired": 7}, *drawn, {"unpaired_from": "embedded"}):
        assert data_parameters(config) != data_parameters(config.with_(**change))


def test_campaigns_and_make_share_the_lock_of_the_build(tmp_path: Path) -> None:
    build = repository_root() / "build"
    assert lock_path(build / "embedded-quick" / "runs") == build / ".lock"
    assert lock_path(tmp_path) == tmp_path / ".lock"


@pytest.mark.slow
def test_real_runs_are_those_of_run_experiment(experiments: Path, tmp_path: Path) -> None:
    """Two runs side by side; one was stopped by SIGTERM in its training before."""
    out = tmp_path / "runs"
    options = {"preset": "smoke", "choice": DataChoice(cache=str(tmp_path / "cache")), "out": out}
    work = Campaign(runs=runs_of(experiments, cells=["x/a/seed0"]), **options)
    order = work.order_for(work.cells[0])
    order["config"] = {**order["config"], "lift_steps": 10**9}
    endless = subprocess.Popen(
        [sys.executable, "-m", "experiments.campaign", json.dumps({**order, "out": f"{out}/z"})],
        cwd=repository_root(),
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        # the checkpoint after the flow: from here on only the request writes one
        while not (checkpoint := out / "z" / "checkpoint" / "state.pt").is_file():
            assert endless.poll() is None
            time.sleep(0.05)
        before = checkpoint.stat().st_mtime_ns
        time.sleep(0.5)
        endless.send_signal(signal.SIGTERM)
        assert endless.wait(timeout=60) == STOPPED
        assert checkpoint.stat().st_mtime_ns > before
    finally:
        endless.kill()

    work = Campaign(runs=runs_of(experiments), say=lambda text: None, jobs=2, **options)
    work.runs = work.runs[:2]
    work.cells = [job for job in work.cells if job.run.seed == 0]
    assert work.work() == 0
    for job in work.cells:
        record = read_record(job.folder)
        assert (record["experiment"], record["variant"]) == ("x", job.run.variant)
        assert record["parameters"] == job.config.to_dict()
    again = Campaign(runs=runs_of(experiments), minutes=0, **options)
    assert [job.state for job in again.cells] == ["done", "waiting", "done", "waiting"]
    # the same folder, other parameters: never overwritten, never tried
    record["parameters"]["delta"] = 7.0
    (out / "x" / "b" / "seed0" / RECORD).write_text(json.dumps(record))
    other = Campaign(runs=runs_of(experiments, cells=["x/b/seed0"]), **options)
    assert other.cells[0].state == "failed"
    assert "holds a finished run with other parameters (delta: 7.0, now 5.0)" in (
        other.cells[0].message
    )


def run_cli(arguments: Sequence[str]) -> Any:
    return CliRunner().invoke(cli.cli, ["campaign", "--preset", "smoke", *arguments])


def test_the_command_line_shows_the_table_and_says_more_is_to_do(tmp_path: Path) -> None:
    cell = ["--cell", "sweep_delta/delta_5/seed0", "--out", str(tmp_path), "--minutes", "0"]
    done = run_cli([*cell, "--device", "cpu"])
    assert done.exit_code == MORE_TO_DO
    assert "sweep_delta" in done.stdout
    assert not (tmp_path / ".lock").exists()
    lock = hold_lock(tmp_path / ".lock")
    try:
        looked = run_cli([*cell, "--device", "cpu"])
        refused = run_cli([*cell[:-1], "1", "--device", "cpu"])
    finally:
        os.close(lock)
    assert (looked.exit_code, looked.stdout) == (MORE_TO_DO, done.stdout)
    assert refused.exit_code == 1
    assert "another run is under way" in refused.output
    absent = run_cli([*cell, "--device", "cuda:99"])
    assert isinstance(absent.exception, ValueError)
    assert "cannot compute on the device 'cuda:99'" in str(absent.exception)
    missing = run_cli([*cell, "--data", "cmu"])
    assert "need either data_root" in str(missing.exception)
