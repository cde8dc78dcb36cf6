"""The experiments in slices of time: runs side by side, stopped with a checkpoint, continued.

For a lent GPU, or a laptop overnight. Each run is ``selfpose train`` into the folder that ``make``
uses, too; neither Snakemake nor papermill is needed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.run import FOLDER, ROOT, Run, matrix, read_experiments
from selfpose.cli import data_choice, device_option
from selfpose.config import PRESETS
from selfpose.files import hold, refuse_unknown

if TYPE_CHECKING:
    from selfpose.run import DataChoice

STOPPED = 143  # exit code of a run that was asked to stop
BEGUN = time.monotonic()  # before PyTorch is loaded, which a slice counts
GRACE_S = 20.0  # between asking a run to stop and ending it


def choose_runs(
    names: Iterable[str], *, preset: str, data: str, folder: Path = FOLDER
) -> list[Run]:
    """The runs of experiments, and cells ``experiment/variant/seed<k>``, by name; else all."""
    items = {item.name: item for item in read_experiments(folder)}
    chosen = [] if names else matrix(preset=preset, data=data, folder=folder)
    for name in names:
        experiment, *cell = name.split("/")
        refuse_unknown([experiment], items, "experiment")
        if not cell:
            chosen += items[experiment].runs(preset=preset, data=data)
        elif len(cell) == 2 and cell[1].startswith("seed") and cell[1][4:].isdigit():
            chosen.append(
                items[experiment].run(preset=preset, variant=cell[0], seed=int(cell[1][4:]))
            )
        else:
            raise ValueError(f"a cell reads experiment/variant/seed0, not {name!r}")
    return list({run.folder: run for run in chosen}.values())


def train_command(run: Run, choice: "DataChoice", out: Path, device: str | None) -> list[str]:
    """The command line of one run."""
    options = {
        **{"experiment": run.experiment, "label": run.variant, "variant": run.method},
        **{"input": run.input, "preset": run.preset, "seed": run.seed, "device": device},
        **{"data": choice.name, "data_root": choice.data_root, "data_train": choice.data_train},
        **{"data_test": choice.data_test, "cache": choice.cache or ROOT / "build" / "cache"},
    }
    words = [f"--{k.replace('_', '-')}={v}" for k, v in options.items() if v is not None]
    words += [f"--set={name}={json.dumps(value)}" for name, value in run.overrides.items()]
    words += [f"--data-option={k}={json.dumps(v)}" for k, v in choice.data_options.items()]
    return [sys.executable, "-m", "selfpose.cli", "train", f"--out={out}", *words]


def work(commands: Mapping[Path, list[str]], *, jobs: int, seconds: float) -> dict[Path, int]:
    """Run commands side by side, each logging into its folder; → exit code of what was begun."""
    grace = min(GRACE_S, max(0.0, 0.1 * seconds))
    end = time.monotonic() + seconds - grace
    waiting, codes = list(commands), dict[Path, int]()
    running: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < jobs:
                folder = waiting.pop(0)
                running[folder] = _start(commands[folder], folder)
            time.sleep(0.1)
            for folder in [f for f, process in running.items() if process.poll() is not None]:
                codes[folder] = running.pop(folder).returncode
                told = f"FAILED, see {folder / 'campaign.log'}" if codes[folder] else "done"
                click.echo(f"{folder} {told}", err=True)
    finally:
        for process in running.values():
            process.terminate()
        deadline = time.monotonic() + grace
        for folder, process in running.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            process.kill()
            codes[folder] = STOPPED if process.wait() else 0
    return codes


def _start(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    # One thread: runs side by side then finish sooner. A session of its own: Ctrl-C is for the
    # campaign, which then stops its runs.
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}
    with (folder / "campaign.log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=threads, start_new_session=True
        )


@click.command()
@click.option("--preset", type=click.Choice(list(PRESETS)), default="quick", show_default=True)
@data_choice()
@click.option("--experiments", default="", metavar="A,B", help="From experiments/; all by default.")
@click.option("--cell", "cells", multiple=True, metavar="EXPERIMENT/VARIANT/SEED",
              help="One run, e.g. ablation_lifting/drop_nf/seed0; repeatable.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              help="By default build/<data>-<preset>/runs, which `make` uses too.")  # fmt: skip
@click.option("--jobs", default=2, show_default=True, help="Runs side by side.")
@click.option("--minutes", type=float, default=float("inf"), help="Length of the slice; 0 looks.")
@device_option
def campaign(
    preset: str, choice: "DataChoice", experiments: str, cells: tuple[str, ...], out: Path | None,
    jobs: int, minutes: float, device: str | None,
) -> None:  # fmt: skip
    """Do the runs of the experiments, several at once, for so many minutes.

    The same command goes on: finished runs are skipped, stopped ones continue, failed ones are
    tried again. Exit codes: 0, all is done; 3, there is more to do; 1, only failed runs are left.
    """
    from selfpose.run import RECORD, read_record

    names = [name for name in experiments.split(",") if name]
    runs = choose_runs([*names, *cells], preset=preset, data=choice.name)
    out = out or ROOT / "build" / f"{choice.name}-{preset}" / "runs"
    lock, facts = hold(out), {"dataset": choice.name, "data_files": choice.fingerprint()}
    todo: dict[Path, Run] = {}
    # what has a checkpoint goes first, then the first seed of everything
    for run in sorted(runs, key=lambda r: (not (out / r.folder / "checkpoint").exists(), r.seed)):
        folder, wanted = out / run.folder, {**facts, "parameters": run.config.to_dict()}
        if not (folder / RECORD).is_file() or not wanted.items() <= read_record(folder).items():
            todo[folder] = run
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    commands = {folder: train_command(run, choice, folder, device) for folder, run in todo.items()}
    codes = work(commands, jobs=jobs, seconds=BEGUN + 60 * minutes - time.monotonic())
    lock.release()
    failed = sum(code not in (0, STOPPED) for code in codes.values())
    left = len(todo) - sum(code == 0 for code in codes.values()) - failed
    click.echo(f"{len(runs) - left - failed} of {len(runs)} done, {failed} failed, {left} to do")
    sys.exit(3 if left else 1 if failed else 0)


if __name__ == "__main__":
    campaign()
