"""Questions as data, the runs that answer them, notebooks run by papermill, Snakemake started.

``python -m experiments.run make book`` is what ``make book`` calls; the rules are in ``Snakefile``.
"""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click
import yaml

from selfpose.config import PRESETS, VARIANTS, Config
from selfpose.data.source_names import SOURCES
from selfpose.files import hold, refuse_unknown

ROOT = Path(__file__).resolve().parents[1]
"""The repository: notebooks run here, ``build/`` and ``results/`` are here."""
FOLDER = ROOT / "experiments"
_PARAMETERS = tuple(Config().flat())
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


# --- the matrix -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell of the matrix: one folder ``<experiment>/<variant>/seed<seed>``."""

    experiment: str
    variant: str
    seed: int
    preset: str
    input: str
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The variant of the method: the row's own name where it is one, else the default."""
        return self.variant if self.variant in VARIANTS else "selfpose"

    @property
    def folder(self) -> str:
        """Relative path of the run's folder."""
        return f"{self.experiment}/{self.variant}/seed{self.seed}"

    @property
    def config(self) -> Config:
        """All parameters of the run."""
        return Config.for_run(
            preset=self.preset,
            variant=self.method,
            overrides=self.overrides,
            seed=self.seed,
            input=self.input,
        )


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, and the runs that answer it.

    Parameters
    ----------
    name, question
        The file's name without its ending; what the runs are to answer.
    base
        ``input``, and overrides (by dotted name) that all variants share.
    variants
        Name → overrides. The first is what the others are compared with.
    presets
        Preset → ``seeds``, and where wanted ``variants`` (some of them), ``overrides`` (of this
        preset) and ``book: false``: ``make experiments`` runs it, ``make book`` does not.
    data
        Data sets that it takes part in.
    over
        The parameter that the variants go through, where it is a number; plotted along the x axis.
    """

    name: str
    question: str
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    presets: dict[str, dict[str, Any]]
    data: tuple[str, ...] = SOURCES
    over: str = ""

    def __post_init__(self) -> None:
        if not self.question.endswith("?"):
            raise ValueError(f"the question must be one, not {self.question!r}")
        refuse_unknown([self.base.get("input")], ("images", "poses"), "base.input")
        refuse_unknown(self.data, SOURCES, "data set")
        refuse_unknown([self.over] if self.over else [], _PARAMETERS, "parameter")
        refuse_unknown(self.presets, PRESETS, "preset")
        for overrides in (self.base, *self.variants.values()):
            refuse_unknown(overrides, _PARAMETERS, "parameter")
        for preset, cells in self.presets.items():
            refuse_unknown(cells, ("seeds", "variants", "overrides", "book"), f"key in {preset}")
            refuse_unknown(cells.get("variants", []), self.variants, "variant")
            if not cells.get("seeds"):
                raise ValueError(f"the preset {preset} must list its seeds")
            refuse_unknown(cells.get("overrides", {}), _PARAMETERS, "parameter")

    def runs(self, *, preset: str, data: str, book: bool = False) -> list[Run]:
        """The runs for a preset and a data set, for ``make book`` alone if wanted; maybe none."""
        cells = self.presets.get(preset)
        if cells is None or data not in self.data or (book and not cells.get("book", True)):
            return []
        return [
            self.run(preset=preset, variant=variant, seed=seed)
            for variant in cells.get("variants", self.variants)
            for seed in cells["seeds"]
        ]

    def run(self, *, preset: str, variant: str, seed: int) -> Run:
        """One cell, also with a seed that the file does not list."""
        refuse_unknown([preset], self.presets, f"preset of {self.name}")
        refuse_unknown([variant], self.variants, f"variant of {self.name}")
        base = {key: value for key, value in self.base.items() if key != "input"}
        more = self.presets[preset].get("overrides", {})
        return Run(
            experiment=self.name,
            variant=variant,
            seed=seed,
            preset=preset,
            input=self.base["input"],
            overrides={**base, **more, **self.variants[variant]},
        )


def read_experiment(path: Path | str) -> Experiment:
    """Read one ``experiments/<name>.yaml``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not YAML, lacks a key, or names what does not exist; the message begins with its path.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        refuse_unknown(content, [f.name for f in fields(Experiment)], "key")
        refuse_unknown([content["name"]], [path.stem], "name")
        experiment = Experiment(**content)
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    return experiment


def read_experiments(folder: Path | str = FOLDER) -> list[Experiment]:
    """All experiments of a folder, in the order of their names."""
    return [read_experiment(path) for path in sorted(Path(folder).glob("*.yaml"))]


def matrix(*, preset: str, data: str, book: bool = False, folder: Path | str = FOLDER) -> list[Run]:
    """Every run for a preset and a data set; with ``book`` those that ``make book`` has time for.

    Raises
    ------
    ValueError
        If there is none, or a file is bad.
    """
    refuse_unknown([preset], PRESETS, "preset")
    refuse_unknown([data], SOURCES, "data set")
    items = read_experiments(folder)
    runs = [run for item in items for run in item.runs(preset=preset, data=data, book=book)]
    if not runs:
        raise ValueError(f"no experiment in {folder} has runs of the preset {preset} on {data}")
    return runs


# --- notebooks --------------------------------------------------------------------------------


class _Progress:
    """Takes what cells write to standard error; shows the latest line, labelled, now and then.

    Several notebooks share one console, where bars that redraw themselves would mix.
    """

    encoding = "utf-8"

    def __init__(self, label: str) -> None:
        self.label, self.shown = label, 0.0

    def write(self, text: str) -> None:
        lines = re.split(r"[\r\n]+", _ANSI.sub("", text).strip())
        if lines[-1] and time.monotonic() - self.shown > 5:
            self.shown = time.monotonic()
            print(f"{self.label} │ {lines[-1]}", file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()


def run_notebook(
    path: Path | str, out: Path | str, parameters: Mapping[str, Any], *, label: str = ""
) -> Path:
    """Run a notebook with papermill; ``out`` is there only if every cell succeeded.

    Until then, and for good if a cell fails, it is ``<stem>.failed.ipynb``.

    ``parameters`` are for names of its ``parameters`` cell; lines of progress begin with ``label``.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such notebook, or a parameter is unknown (nothing was removed, then).
    RuntimeError
        A cell failed; the message ends with its traceback.
    """
    import papermill

    path, out = Path(path), Path(out)
    refuse_unknown(parameters, papermill.inspect_notebook(path), f"parameter of {path.name}")
    failed = out.with_name(f"{out.stem}.failed.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            failed,
            parameters=parameters,
            kernel_name="python3",
            cwd=ROOT,
            progress_bar=False,
            stderr_file=_Progress(label or path.stem),
            log_output=False,
            # the kernel's own remarks (on its sockets) are not about the notebook
            extra_arguments=["--log-level=50"],
        )
    except papermill.PapermillExecutionError as error:
        trace = _ANSI.sub("", "\n".join(error.traceback)).splitlines()
        told = "\n".join([f"{path} failed; as far as it came it is {failed}", *trace[-12:]])
        raise RuntimeError(told) from None
    failed.replace(out)
    return out


# --- Snakemake --------------------------------------------------------------------------------


@click.group()
def main() -> None:
    """Run a notebook, or all that the book or the experiments need."""


@main.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("parameters", default="{}")
@click.option("--label", default="", help="What lines of progress begin with.")
def notebook(notebook: Path, out: Path, parameters: str, label: str) -> None:
    """Run NOTEBOOK with PARAMETERS (JSON) and write its executed copy to OUT."""
    parent = os.getppid()

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)  # which ends the kernel, too

    threading.Thread(target=end_with_parent, daemon=True).start()
    run_notebook(notebook, out, json.loads(parameters), label=label)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("target", type=click.Choice(["book", "experiments"]))
@click.option("--data", default="embedded")
@click.option("--data-root", default="")
@click.option("--data-train", default="")
@click.option("--data-test", default="")
@click.option("--preset", default="quick")
@click.option("--jobs", default=2)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED)
def make(
    target: str, data: str, preset: str, jobs: int, extra: tuple[str, ...], **places: str
) -> None:
    """Make TARGET with Snakemake; what follows goes to Snakemake as it is."""
    from snakemake.cli import main as snakemake  # type: ignore[import-untyped]

    from selfpose.synthetic.sources import check_folders

    places = {name: os.path.expanduser(value) for name, value in places.items() if value}
    check_folders(data, **places)
    for run in matrix(preset=preset, data=data):
        run.config  # noqa: B018 (mistakes in experiments/ come at once)
    os.chdir(ROOT)
    # Snakemake's own lock is a file that a killed run leaves behind: these are not
    locks = hold(Path("build")), hold(Path("build") / f"{data}-{preset}" / "runs")
    snakemake(
        [
            *(target, "--cores", str(jobs), "--rerun-incomplete", "--nolock"),
            *("--scheduler", "greedy", "--quiet", "host", "reason"),
            *("--config", f"data={data}", f"preset={preset}"),
            *(f"{name}={value}" for name, value in places.items()),
            *extra,
        ]
    )
    del locks


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"Error: {error}")
