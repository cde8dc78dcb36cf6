"""The matrix in bounded slices: several runs side by side, stopped with a checkpoint, continued.

The runs are those of :mod:`experiments.workflow`, in the same folders, by the same function, so that
what a campaign finishes counts as finished for ``make`` and the other way round. It needs neither
Snakemake nor papermill.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from selfpose.config import Config
from selfpose.files import refuse_unknown
from experiments.notebooks import WATCH_VARIABLE, repository_root, watch_orderer
from experiments.records import RECORD
from selfpose.run import DataChoice, finished_run, run_experiment
from selfpose.steps import TrainingDiverged, TrainingStopped, stopping_on
from experiments.workflow import FOLDER, Run, matrix, read_experiment, read_experiments, run_config

MORE_TO_DO = 3
"""Exit code of a slice that ended before its runs did: the same command goes on."""
STOPPED = 75
"""Exit code of a run that was asked to stop and wrote its checkpoint."""
GRACE_S = 20.0
"""Seconds between asking a run to stop and ending it."""
LOG = "campaign.log"

State = Literal["waiting", "running", "done", "failed"]


def choose_runs(
    *,
    preset: str,
    data: str,
    experiments: Iterable[str] = (),
    cells: Iterable[str] = (),
    folder: Path | str = FOLDER,
) -> list[Run]:
    """The runs of some experiments, or single cells by name.

    Parameters
    ----------
    preset, data
        Which matrix.
    experiments
        Names; all of them by default.
    cells
        ``experiment/variant/seed<k>``, in place of experiments; any seed will do. A cell named
        twice is one run.
    folder
        Where the experiments are.

    Raises
    ------
    ValueError
        For unknown names (with the nearest right one), or if there is nothing to run.
    """
    experiments, cells = list(experiments), list(cells)
    if cells and experiments:
        raise ValueError("give either experiments or cells, not both")
    runs = matrix(preset=preset, data=data, folder=folder)
    names = [item.name for item in read_experiments(folder)]
    if cells:
        named = [
            _cell(text, preset=preset, data=data, names=names, folder=folder) for text in cells
        ]
        return list({run.folder: run for run in named}.values())
    refuse_unknown(experiments, names, "experiment")
    chosen = [run for run in runs if not experiments or run.experiment in experiments]
    if not chosen:
        raise ValueError(
            f"nothing to run: {', '.join(experiments) or 'no experiment'} with the preset "
            f"{preset!r} on {data!r}; see the presets and the data in experiments/"
        )
    return chosen


def _cell(text: str, *, preset: str, data: str, names: list[str], folder: Path | str) -> Run:
    parts = re.fullmatch(r"([^/]+)/([^/]+)/seed(\d+)", text.strip("/"))
    if not parts:
        raise ValueError(f"a cell reads experiment/variant/seed0, not {text!r}")
    refuse_unknown([parts[1]], names, "experiment")
    item = read_experiment(Path(folder) / f"{parts[1]}.yaml")
    if data not in item.data:
        raise ValueError(f"experiments/{item.name}.yaml takes no part in the data set {data!r}")
    run = item.run(preset=preset, variant=parts[2], seed=int(parts[3]))
    run_config(run, preset=preset)
    return run


# --- one run, in a process of its own ---------------------------------------------------------


@contextlib.contextmanager
def taking_turns(cache: str | Path | None, data: str) -> Iterator[None]:
    """Within it no other process prepares those data: the next one finds them in the cache.

    ``data`` says which, by any text; different data are prepared side by side.
    """
    if cache is None:
        yield
        return
    folder = Path(cache)
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(data.encode()).hexdigest()[:16]
    with (folder / f".turn-{name}").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def data_parameters(config: Config) -> dict[str, Any]:
    """Those of a run's parameters that decide which data it loads."""
    sizes = ("image_size", "n_unlabelled", "n_unpaired", "n_test")
    drawn = ("difficulty", "camera_elevation", "data_seed")
    return {name: getattr(config, name) for name in (*sizes, *drawn, "unpaired_from")}


def train_cell(order: dict[str, Any]) -> int:
    """Do one run as ordered by :func:`order_for`; returns the exit code of its process."""
    stop_watching = watch_orderer()
    config, choice = Config.from_dict(order["config"]), DataChoice(**order["choice"])
    try:
        with stopping_on(signal.SIGTERM):
            with taking_turns(choice.cache, f"{choice}{data_parameters(config)}"):
                dataset = choice.load(config)
            run_experiment(
                config,
                out=order["out"],
                data=choice,
                dataset=dataset,
                experiment=order["experiment"],
                label=order["label"],
                device=order["device"],
            )
    except TrainingStopped:
        return STOPPED
    except (ValueError, OSError, TrainingDiverged) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    finally:
        stop_watching()
    return 0


# --- many -------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Job:
    """One cell on its way."""

    run: Run
    config: Config
    folder: Path
    state: State = "waiting"
    message: str = ""
    process: subprocess.Popen[bytes] | None = None
    asked_to_stop: bool = False

    @property
    def log(self) -> Path:
        """What the run writes to its console; gone once it is done."""
        return self.folder / LOG

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return any(self.folder.glob("**/checkpoint/state.pt"))

    def progress(self) -> str:
        """The newest bar in the log, for instance ``images 43 %``; empty before the first."""
        bars = re.findall(r"([A-Za-z0-9][\w ]*):\s+(\d+)%\|", log_tail(self.log))
        return f"{bars[-1][0]} {bars[-1][1]} %" if bars else ""


def log_tail(path: Path, size: int = 8192) -> str:
    """The end of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def error_lines(path: Path, n: int = 6) -> str:
    """The last lines of a log that are no progress bars."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", log_tail(path))]
    told = [line for line in lines if line and not re.search(r"\d+%\|", line)]
    return "\n".join(told[-n:])


@dataclass(kw_only=True)
class Campaign:
    """Runs cells until all are done or the slice ends.

    Parameters
    ----------
    runs
        The cells, for instance of :func:`choose_runs`.
    preset, choice
        Of all of them.
    out
        Folder of the runs' folders.
    device
        Where to compute.
    jobs
        How many runs side by side.
    minutes
        Length of the slice; ``None`` has no end, 0 only looks.
    used_s
        Seconds of the slice that are gone when it begins, for instance :func:`process_age`.
    say
        Where lines of text go.
    """

    runs: list[Run]
    preset: str
    choice: DataChoice
    out: Path
    device: str = "cpu"
    jobs: int = 2
    minutes: float | int | None = None
    used_s: float = 0.0
    say: Callable[[str], None] = print
    cells: list[Job] = field(init=False)

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs must be 1 or more, got {self.jobs}")
        if self.minutes is not None and not self.minutes >= 0:
            raise ValueError(f"minutes must not be negative, got {self.minutes}")
        folders = [run.folder for run in self.runs]
        if twice := sorted({folder for folder in folders if folders.count(folder) > 1}):
            raise ValueError(
                f"runs share a folder ({', '.join(twice)}); two processes would write to it, so "
                "give each run once"
            )
        self.out = Path(self.out).resolve()
        absolute: dict[str, Any] = {
            name: str(Path(value).resolve())
            for name, value in asdict(self.choice).items()
            if value and name not in ("name", "data_options")
        }
        self.choice = replace(self.choice, **absolute)
        files = self.choice.fingerprint()
        self.cells = [self._look(run, files) for run in self.runs]

    def _look(self, run: Run, files: str | None) -> Job:
        """The cell as it lies on disk."""
        config = run_config(run, preset=self.preset)
        job = Job(run=run, config=config, folder=self.out / run.folder)
        names = {"experiment": run.experiment, "label": run.variant, "dataset": self.choice.name}
        try:
            if finished_run(job.folder, config, files=files, **names):
                job.state = "done"
        except ValueError as error:
            job.state, job.message = "failed", str(error)
        return job

    def order_for(self, job: Job) -> dict[str, Any]:
        """What the process of a run is told, as JSON."""
        return {
            "config": job.config.to_dict(),
            "choice": asdict(self.choice),
            "out": str(job.folder),
            "experiment": job.run.experiment,
            "label": job.run.variant,
            "device": self.device,
        }

    def command(self, job: Job) -> list[str]:
        """The command line of a run's process."""
        return [sys.executable, "-m", "experiments.campaign", json.dumps(self.order_for(job))]

    def of(self, state: State) -> list[Job]:
        """The cells in that state."""
        return [job for job in self.cells if job.state == state]

    @property
    def exit_code(self) -> int:
        """0: all done; 3: more to do; 1: nothing left but failed runs."""
        if self.of("waiting") or self.of("running"):
            return MORE_TO_DO
        return 1 if self.of("failed") else 0

    def work(self) -> int:
        """Run the slice; returns :attr:`exit_code`.

        Runs with a checkpoint go first, then the first seed of everything, so that tables fill
        from the left. However it ends, no run is left behind.
        """
        slice_s = float("inf") if self.minutes is None else 60 * self.minutes
        end = time.monotonic() + slice_s - self.used_s - min(GRACE_S, 0.1 * slice_s)
        queue = sorted(self.of("waiting"), key=lambda job: (not job.begun, job.run.seed))
        told = time.monotonic()
        try:
            with stopping_on(signal.SIGTERM):
                while slice_s and time.monotonic() < end:
                    self._collect()
                    # a run that has to stop at once would only lose its start
                    soon = end - time.monotonic() < min(GRACE_S, 0.1 * slice_s)
                    while queue and len(self.of("running")) < self.jobs and not soon:
                        self._start(queue.pop(0))
                    if not self.of("running"):
                        break
                    if time.monotonic() - told > 60:
                        told = time.monotonic()
                        self.say(self._in_a_line())
                    time.sleep(0.1)
        finally:
            self._stop()
        return self.exit_code

    def _start(self, job: Job) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        # a page made of an earlier run in this folder
        (job.folder / "notebook.ipynb").unlink(missing_ok=True)
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        with job.log.open("wb") as log:
            job.process = subprocess.Popen(
                self.command(job),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=repository_root(),
                env={
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                    **os.environ,
                    WATCH_VARIABLE: f"{socket.gethostname()}:{os.getpid()}",
                },
                # Ctrl-C is for the campaign, which then stops its runs one by one
                start_new_session=True,
            )
        job.state = "running"
        self.say(f"{'continued' if job.begun else 'started'} {job.run.folder}")

    def _collect(self) -> None:
        """Take note of the runs that have ended."""
        for job in self.of("running"):
            assert job.process is not None
            code = job.process.poll()
            if code is None:
                continue
            if code == 0 and (job.folder / RECORD).is_file():
                job.state = "done"
                job.log.unlink(missing_ok=True)
                self.say(f"done {job.run.folder}")
            elif code == STOPPED or job.asked_to_stop:
                job.state = "waiting"
            else:
                job.state = "failed"
                job.message = error_lines(job.log)
                if code < 0:
                    job.message += f"\nended by signal {-code}; too little memory ends a run so"
                self.say(f"FAILED {job.run.folder}\n{job.message.strip()}")

    def _stop(self) -> None:
        """Ask what runs to write its checkpoint and end; end what does not."""
        for job in self.of("running"):
            assert job.process is not None
            job.asked_to_stop = True
            job.process.terminate()
        deadline = time.monotonic() + GRACE_S
        try:
            while self.of("running") and time.monotonic() < deadline:
                self._collect()
                time.sleep(0.05)
        finally:
            for job in self.of("running"):
                assert job.process is not None
                job.process.kill()
                job.process.wait()
            self._collect()

    def _in_a_line(self) -> str:
        running = "; ".join(f"{j.run.folder} {j.progress()}".strip() for j in self.of("running"))
        return f"{len(self.of('done'))} of {len(self.cells)} done; running {running}"

    def table(self) -> str:
        """Cells done, running, waiting and failed of each experiment; below, those under way."""
        states: tuple[State, ...] = ("done", "running", "waiting", "failed")
        names = list(dict.fromkeys(job.run.experiment for job in self.cells))
        width = max(len(name) for name in [*names, "experiment"])
        lines = [f"{'experiment':{width}s}" + "".join(f"{s:>9s}" for s in (*states, "% done"))]
        for name in [*names, "all"]:
            cells = [job for job in self.cells if name in (job.run.experiment, "all")]
            counts = [sum(job.state == state for job in cells) for state in states]
            share = f"{100 * counts[0] / len(cells):.0f}"
            lines.append(f"{name:{width}s}" + "".join(f"{c!s:>9s}" for c in (*counts, share)))
        for job in self.cells:
            if job.state == "failed":
                last = job.message.strip().splitlines()[-1:] or ["no message"]
                lines.append(f"failed: {job.run.folder}: {last[0]}")
            elif job.state != "done" and (job.begun or job.state == "running"):
                lines.append(f"{job.state}: {job.run.folder}: {job.progress() or 'begun'}")
        return "\n".join(lines)


def process_age() -> float:
    """Seconds since this process was started; 0 where the system does not say."""
    try:
        started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - int(started) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


def lock_path(out: Path) -> Path:
    """The lock that keeps ``make`` and campaigns apart; elsewhere than in build/, campaigns."""
    build = repository_root() / "build"
    return (build if Path(out).resolve().is_relative_to(build) else Path(out)) / ".lock"


def main() -> None:
    """``python -m experiments.campaign ORDER``: one run, started by a campaign."""
    sys.exit(train_cell(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()

__all__ = [
    "MORE_TO_DO",
    "STOPPED",
    "Campaign",
    "Job",
    "choose_runs",
    "data_parameters",
    "error_lines",
    "lock_path",
    "log_tail",
    "process_age",
    "taking_turns",
    "train_cell",
]
