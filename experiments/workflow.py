"""The matrix of runs as data, and Snakemake started so that a killed run never blocks the next.

An experiment is a file ``experiments/<name>.yaml``. This module reads and checks them, says which
files of the library a notebook's result depends on, and starts Snakemake under a lock that the
operating system releases by itself when the holder dies.
"""

import ast
import fcntl
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from selfpose.data.source_names import SOURCES, data_arguments
from selfpose.files import refuse_unknown
from experiments.notebooks import WATCH_VARIABLE, repository_root

if TYPE_CHECKING:
    from selfpose.config import Config

PRESENTATION = frozenset(
    {
        *("answers", "campaign", "cli", "diagnosis", "figures", "front", "inspection"),
        *("notebooks", "pages", "pictures", "plots", "provenance", "quotes", "site"),
        *("site_checks", "status", "view3d", "widgets", "workflow"),
    }
)
"""Modules that show results and cannot change them: editing one must not train anything again."""

FOLDER = repository_root() / "experiments"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell of the matrix: one folder ``<experiment>/<variant>/seed<seed>``."""

    experiment: str
    variant: str
    seed: int
    input: str
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The variant of the method: the row's own name where it is one, else the default."""
        from selfpose.config import VARIANTS

        return self.variant if self.variant in VARIANTS else "selfpose"

    @property
    def folder(self) -> str:
        """Relative path of the run's folder."""
        return f"{self.experiment}/{self.variant}/seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, and the runs that answer it.

    Parameters
    ----------
    name, question
        The file's name without its ending; what the runs are to answer.
    base
        ``input``, and overrides that all variants share.
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
        where = f"experiments/{self.name}.yaml"
        if not str(self.question).strip().endswith("?"):
            raise ValueError(f"{where}: `question` must be a question, not {self.question!r}")
        if self.base.get("input") not in ("images", "poses"):
            raise ValueError(
                f"{where}: base.input must be images or poses, not {self.base.get('input')!r}"
            )
        if not self.variants:
            raise ValueError(f"{where}: `variants` names no variant")
        refuse_unknown(self.data, SOURCES, f"data set in {where}")
        for preset, cells in self.presets.items():
            here = f"{where}: presets.{preset}"
            refuse_unknown(cells, ("seeds", "variants", "overrides", "book"), f"key in {here}")
            if not isinstance(cells.get("book", True), bool):
                raise ValueError(f"{here}.book must be true or false, not {cells['book']!r}")
            refuse_unknown(cells.get("variants", []), self.variants, f"variant in {here}")
            seeds = cells.get("seeds", [])
            if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
                raise ValueError(f"{here}.seeds must list whole numbers from 0, not {seeds!r}")

    def runs(self, *, preset: str, data: str) -> list[Run]:
        """The runs of this experiment for a preset and a data set; empty where it takes no part."""
        cells = self.presets.get(preset)
        if cells is None or data not in self.data:
            return []
        return [
            self.run(preset=preset, variant=variant, seed=seed)
            for variant in cells.get("variants", list(self.variants))
            for seed in cells["seeds"]
        ]

    def run(self, *, preset: str, variant: str, seed: int) -> Run:
        """One cell, also with a seed that the file does not list.

        Raises
        ------
        ValueError
            If the experiment has no such variant or preset.
        """
        where = f"experiments/{self.name}.yaml"
        refuse_unknown([preset], self.presets, f"preset in {where}")
        refuse_unknown([variant], self.variants, f"variant in {where}")
        base = {key: value for key, value in self.base.items() if key != "input"}
        more = dict(self.presets[preset].get("overrides", {}))
        return Run(
            experiment=self.name,
            variant=variant,
            seed=seed,
            input=self.base["input"],
            overrides={**base, **more, **self.variants[variant]},
        )

    def in_book(self, preset: str) -> bool:
        """Whether ``make book`` runs this experiment under that preset."""
        return bool(self.presets.get(preset, {}).get("book", True))


def read_experiment(path: Path | str) -> Experiment:
    """Read one ``experiments/<name>.yaml``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not YAML, lacks a key, has an unknown one, or names what does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no experiment at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold keys and values, not {type(content).__name__}")
    required = ("name", "question", "base", "variants", "presets")
    refuse_unknown(content, (*required, "data", "over"), f"key in {path.name}")
    missing = [key for key in required if key not in content]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    if content["name"] != path.stem:
        raise ValueError(f"{path} names itself {content['name']!r}; the two must agree")
    tables = [content[key] for key in ("base", "variants", "presets")]
    if not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"{path}: base, variants and presets must each hold keys and values")
    for preset, cells in content["presets"].items():
        if not isinstance(cells, dict):
            raise ValueError(f"{path}: presets.{preset} must hold keys and values, not {cells!r}")
    variants = {name: overrides or {} for name, overrides in content["variants"].items()}
    content = {**content, "variants": variants}
    if "data" in content:
        content["data"] = tuple(content["data"])
    return Experiment(**content)


def read_experiments(folder: Path | str = FOLDER) -> list[Experiment]:
    """All experiments of a folder, in the order of their names."""
    return [read_experiment(path) for path in sorted(Path(folder).glob("*.yaml"))]


def matrix(*, preset: str, data: str, book: bool = False, folder: Path | str = FOLDER) -> list[Run]:
    """Every run of every experiment for a preset and a data set, checked against `Config`.

    Parameters
    ----------
    preset, data
        Which runs.
    book
        Only those that ``make book`` runs, which has to end in minutes.
    folder
        Where the experiments are.

    Raises
    ------
    ValueError
        An unknown preset or data set, a bad file, or overrides that `Config` refuses.
    """
    from selfpose.config import PRESETS, Config

    refuse_unknown([preset], PRESETS, "PRESET")
    refuse_unknown([data], SOURCES, "DATA")
    experiments = read_experiments(folder)
    for item in experiments:
        where = f"experiments/{item.name}.yaml"
        refuse_unknown(item.presets, PRESETS, f"preset in {where}")
        if item.over:
            refuse_unknown([item.over], [f.name for f in fields(Config)], f"`over` in {where}")
    chosen = [item for item in experiments if item.in_book(preset) or not book]
    runs = [run for item in chosen for run in item.runs(preset=preset, data=data)]
    for run in runs:
        run_config(run, preset=preset)
    return runs


def run_config(run: Run, *, preset: str) -> "Config":
    """The parameters of one cell.

    Raises
    ------
    ValueError
        If `Config` refuses them; the message names the experiment and the variant.
    """
    from selfpose.config import Config

    overrides = {**run.overrides, "input": run.input, "seed": run.seed}
    try:
        return Config.for_run(preset=preset, variant=run.method, overrides=overrides)
    except (TypeError, ValueError) as error:
        where = f"experiments/{run.experiment}.yaml, variant {run.variant}"
        raise ValueError(f"{where}: {error}") from None


def campaign_command(
    experiment: Experiment, *, preset: str, data: str, variants: Iterable[str] = ()
) -> str:
    """The command line that makes an experiment's runs, or those of some variants, for readers.

    Parameters
    ----------
    experiment
        Which one.
    preset, data
        Wanted; where the experiment has no such preset or data set, one that it has stands in.
    variants
        Only these; all that the preset lists by default.

    Raises
    ------
    ValueError
        If the experiment has no such variant.
    """
    if data not in experiment.data:
        data = experiment.data[0]
    if preset not in experiment.presets:
        preset = "quick" if "quick" in experiment.presets else next(iter(experiment.presets))
    refuse_unknown(variants := list(variants), experiment.variants, "variant")
    what = f"--experiments {experiment.name}"
    if variants:
        seeds = experiment.presets[preset]["seeds"]
        cells = [f"{experiment.name}/{name}/seed{seed}" for name in variants for seed in seeds]
        what = " ".join(f"--cell {cell}" for cell in cells)
    places = " ".join(data_arguments(data))
    return f".venv/bin/selfpose campaign {what} --preset {preset} {places}"


# --- what depends on what ---------------------------------------------------------------------


def library_files(
    source: str, *, leave_out: Iterable[str] = (), root: Path | str | None = None
) -> list[str]:
    """Files of the library that a Python source imports, directly or through each other.

    Parameters
    ----------
    source
        Python source, for instance a notebook's percent script.
    leave_out
        Names of modules directly under ``selfpose`` that are not followed.
    root
        The repository; paths in the answer are relative to it.

    Returns
    -------
    Paths of ``.py`` files, and the data files in the packages that were reached, sorted.
    """
    root = Path(root or repository_root())
    skipped = {f"selfpose.{name}" for name in leave_out}
    seen: set[Path] = set()
    queue = list(_imported(source, package=""))
    while queue:
        name = queue.pop()
        if any(name == skip or name.startswith(f"{skip}.") for skip in skipped):
            continue
        path = _module_file(name, root=root)
        if path is None or path in seen:
            continue
        seen.add(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        queue.append(name.rpartition(".")[0])
        queue.extend(_imported(path.read_text(encoding="utf-8"), package=package))
    data = {
        extra
        for folder in {path.parent for path in seen}
        for extra in folder.rglob("*.json")
        if "__pycache__" not in extra.parts
    }
    return sorted(str(path.relative_to(root)) for path in seen | data)


def _imported(source: str, *, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            yield base
            # `from selfpose import camera` names a module, not an attribute
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_file(name: str, *, root: Path) -> Path | None:
    if name.partition(".")[0] != "selfpose":
        return None
    stem = root.joinpath(*name.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


# --- starting Snakemake -----------------------------------------------------------------------


def snakemake_command(
    target: str, *, config: dict[str, str], jobs: int, extra: Iterable[str] = ()
) -> list[str]:
    """The command line that makes ``target`` and survives an earlier kill."""
    return [
        *(sys.executable, "-m", "snakemake", target),
        *("--snakefile", "Snakefile", "--cores", str(jobs)),
        *("--rerun-incomplete", "--nolock", "--scheduler", "greedy", "--quiet", "host", "reason"),
        *("--config", *(f"{key}={value}" for key, value in config.items() if value)),
        *extra,
    ]


def hold_lock(path: Path | str) -> int:
    """Take the one lock of this checkout; it is free again when its holder ends, however it ends.

    Snakemake's own lock is a file, which a killed run leaves behind and which ``--unlock`` would
    take away from a live one too. This is why it is switched off and replaced by this one.

    Returns
    -------
    The open file descriptor, which is inherited by a program that replaces this one.

    Raises
    ------
    RuntimeError
        Another run holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = path.read_text(encoding="utf-8").strip() or "unknown"
        os.close(handle)
        raise RuntimeError(
            f"another run is under way in this checkout (process {holder}); wait for it, or stop it"
        ) from None
    os.truncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    os.set_inheritable(handle, True)
    return handle


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("target", type=click.Choice(["book", "experiments"]))
@click.option("--data", default="embedded", show_default=True)
@click.option("--data-root", default="")
@click.option("--data-train", default="")
@click.option("--data-test", default="")
@click.option("--preset", default="quick", show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED)
def main(target: str, preset: str, jobs: int, extra: tuple[str, ...], **config: str) -> None:
    """Make TARGET with Snakemake; what follows goes to Snakemake as it is."""
    try:
        refuse_unknown([config["data"]], SOURCES, "DATA")
        if config["data"] != "embedded" and not (
            config["data_root"] or (config["data_train"] and config["data_test"])
        ):
            raise ValueError(
                f"DATA={config['data']} needs DATA_ROOT=<folder>, or DATA_TRAIN and DATA_TEST"
            )
        for key in ("data_root", "data_train", "data_test"):
            if config[key] and not Path(config[key]).expanduser().is_dir():
                raise FileNotFoundError(f"{key.upper()}: there is no folder {config[key]}")
            config[key] = str(Path(config[key]).expanduser()) if config[key] else ""
        os.chdir(repository_root())
        hold_lock(Path("build") / ".lock")
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    command = snakemake_command(target, config={**config, "preset": preset}, jobs=jobs, extra=extra)
    # replacing this process keeps one number for the lock, for Ctrl-C and for the runs that watch
    os.environ[WATCH_VARIABLE] = f"{socket.gethostname()}:{os.getpid()}"
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
