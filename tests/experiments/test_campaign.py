"""Campaigns: finished runs are skipped, slices end in time, failures stay alone."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from experiments import campaign as module
from experiments.campaign import STOPPED, campaign, choose_runs, train_command, work
from experiments.run import Run, matrix
from selfpose.cli import cli
from selfpose.config import flatten
from selfpose.run import DataChoice, read_record

POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
time.sleep(600)
"""
STUBBORN = POLITE.replace("lambda *_: sys.exit(143)", "signal.SIG_IGN")


def commands(folder: Path, *scripts: str) -> dict[Path, list[str]]:
    return {folder / str(i): [sys.executable, "-c", s] for i, s in enumerate(scripts)}


def test_all_runs_are_done_and_a_failed_one_stops_no_other(tmp_path: Path, capsys) -> None:
    failing = "import sys; sys.exit('no such luck')"
    codes = work(commands(tmp_path, "pass", failing, "pass"), jobs=2, seconds=float("inf"))
    assert codes == {tmp_path / "0": 0, tmp_path / "1": 1, tmp_path / "2": 0}
    log = tmp_path / "1" / "campaign.log"
    assert f"FAILED, see {log}" in capsys.readouterr().err
    assert log.read_text().strip() == "no such luck"


@pytest.mark.parametrize("script", [POLITE, STUBBORN], ids=["polite", "stubborn"])
def test_a_slice_ends_in_time_and_leaves_no_process(tmp_path: Path, script: str) -> None:
    begun = time.monotonic()
    codes = work(commands(tmp_path, script, script, "pass"), jobs=2, seconds=3)
    assert time.monotonic() - begun < 4
    assert codes == {tmp_path / "0": STOPPED, tmp_path / "1": STOPPED}


def test_an_interrupt_stops_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(*arguments: Any) -> Any:
        if started:
            raise KeyboardInterrupt
        started.append(begin(*arguments))
        return started[0]

    begin = module._start
    monkeypatch.setattr(module, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        work(commands(tmp_path, POLITE, POLITE), jobs=2, seconds=10)
    assert started[0].returncode is not None


def test_cells_are_named_with_any_seed_and_counted_once() -> None:
    names = ["sweep_delta/delta_5/seed7", "lifting", "lifting/selfpose/seed0"]
    runs = choose_runs(names, preset="quick", data="embedded")
    assert [run.folder for run in runs] == [names[0], names[2]]
    assert runs[0].config.networks.delta == 5
    everything = matrix(preset="smoke", data="embedded")
    assert choose_runs([], preset="smoke", data="embedded") == everything
    for name, message in (
        ("liftin", "did you mean 'lifting'"),
        ("lifting/selfpose", "reads experiment/variant/seed0"),
        ("lifting/selfpos/seed0", "did you mean 'selfpose'"),
    ):
        with pytest.raises(ValueError, match=message):
            choose_runs([name], preset="quick", data="embedded")


def test_the_command_of_a_run_has_its_parameters(tmp_path: Path) -> None:
    choice = DataChoice(name="folder", data_root=str(tmp_path), data_options={"every": 5})
    name = "ablation_images/drop_puppet/seed2"
    (run,) = choose_runs([name], preset="quick", data="embedded")
    words = train_command(run, choice, Path("out"), "cpu")[4:]
    given = cli.commands["train"].make_context("train", words).params
    shown = ("input_", "preset", "variant", "label", "seed", "data", "data_root", "device")
    assert [given[name] for name in shown] == [
        *("images", "quick", "selfpose", "drop_puppet", 2, "folder", str(tmp_path), "cpu")
    ]
    assert set(given["settings"]) == {f"{k}={json.dumps(v)}" for k, v in run.overrides.items()}
    assert given["data_settings"] == ("every=5",)


def run_cli(*words: str) -> Any:
    return CliRunner().invoke(campaign, ["--preset", "smoke", "--device", "cpu", *words])


def test_a_slice_of_no_length_says_what_is_to_do(tmp_path: Path) -> None:
    done = run_cli("--experiments", "lifting,elevation", "--out", str(tmp_path), "--minutes", "0")
    assert done.exit_code == 3
    assert done.stdout == "0 of 4 done, 0 failed, 4 to do\n"


@pytest.fixture
def few_steps(trained_poses: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run of ``trained_poses`` as the only one of all experiments."""
    flat = flatten(read_record(trained_poses)["parameters"])
    own = ("input", "preset", "variant", "seed")
    few = {name: value for name, value in flat.items() if name not in own}
    names = {"experiment": "single", "variant": "selfpose", "input": "poses"}
    run = Run(**names, seed=0, preset="smoke", overrides=few)
    monkeypatch.setattr(module, "choose_runs", lambda *_, **__: [run])
    return run


def test_a_finished_run_is_skipped(few_steps: Run, trained_poses: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_poses, tmp_path / few_steps.folder)
    done = run_cli("--out", str(tmp_path), "--minutes", "0")
    assert (done.exit_code, done.stdout) == (0, "1 of 1 done, 0 failed, 0 to do\n")


@pytest.mark.slow
def test_a_campaign_makes_the_same_run(few_steps: Run, trained_poses: Path, tmp_path: Path) -> None:
    assert run_cli("--out", str(tmp_path)).exit_code == 0
    record = read_record(tmp_path / few_steps.folder)
    assert record["metrics"] == read_record(trained_poses)["metrics"]
