"""The command line: ``selfpose train | campaign | evaluate | predict | publish | data``.

PyTorch and all that needs it are loaded within the commands: help and mistakes come at once.
"""

import difflib
import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from selfpose.data.source_names import FILES, SOURCES
from selfpose.stopping import TrainingDiverged, TrainingStopped

if TYPE_CHECKING:
    from selfpose.run import DataChoice

PRESETS = ("smoke", "quick", "standard", "paper-scale")
VARIANTS = ("paper", "selfpose", "loose")


class Group(click.Group):
    """Subcommands with the nearest right name in the error for an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            near = difflib.get_close_matches(args[0], list(self.commands), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="selfpose")
def cli() -> None:
    """Self-supervised 3D pose from a single image: train, evaluate, predict."""


def parse_overrides(settings: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` texts → values, read as YAML (so ``drop=[bl]`` is a list)."""
    overrides: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"expected NAME=VALUE, got {text!r}")
        try:
            overrides[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{text!r}: cannot read the value ({error})") from error
    return overrides


FOLDER = click.Path(exists=True, file_okay=False)
CACHE_OPTION = click.option(
    "--cache", type=click.Path(file_okay=False),
    help="Keep prepared data in this folder, for other runs.",
)  # fmt: skip


Command = Callable[..., None]


def choice_options(
    *options: Callable[[Command], Command], prefix: str = "", check: bool = False
) -> Callable[[Command], Command]:
    """A decorator: the options that name a data set, handed to the command as one ``choice``.

    ``prefix`` stands before the names of the folders' options. With ``check``, folders that do not
    fit the data set are refused before the command begins.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_choice(
            *,
            data: str,
            data_root: str | None,
            data_train: str | None,
            data_test: str | None,
            data_settings: tuple[str, ...],
            cache: str | None,
            **rest: Any,
        ) -> None:
            if data in FILES and not data_root:
                raise click.UsageError(
                    f"the data {data!r} are read from one folder: give --{prefix}root DIR"
                )
            from selfpose.sources import check_folders
            from selfpose.run import DataChoice

            choice = DataChoice(
                name=data,
                data_root=data_root,
                data_train=data_train,
                data_test=data_test,
                data_options=parse_overrides(data_settings),
                cache=cache,
            )
            if check:
                check_folders(choice.name, choice.data_root, choice.data_train, choice.data_test)
            command(choice=choice, **rest)

        decorated: Command = with_choice
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


data_options = choice_options(
    click.option(
        "--data", "data", type=click.Choice(SOURCES), default="embedded", show_default=True,
        metavar="NAME", help=f"Which data: {', '.join(SOURCES)}.",
    ),
    click.option("--data-root", type=FOLDER, help="The folder of the data set."),
    click.option("--data-train", type=FOLDER, help="Motion capture: learn from this folder …"),
    click.option("--data-test", type=FOLDER, help="… and test on every trial of this one."),
    click.option(
        "--data-option", "data_settings", multiple=True, metavar="NAME=VALUE",
        help="An option of the data's reader, or of their preparation; repeatable.",
    ),
    CACHE_OPTION,
    prefix="data-",
)  # fmt: skip
source_options = choice_options(
    click.argument("data", type=click.Choice(SOURCES), metavar="NAME"),
    click.option("--root", "data_root", type=FOLDER, help="The folder of the data set."),
    click.option(
        "--train", "data_train", type=FOLDER, help="Motion capture: learn from this folder …"
    ),
    click.option(
        "--test", "data_test", type=FOLDER, help="… and test on every trial of this one."
    ),
    click.option(
        "--option", "data_settings", multiple=True, metavar="NAME=VALUE",
        help="What a reader of files takes besides its folder, or how frames are prepared: "
        "every=5, crop=whole, pose_share=0.3, …; repeatable.",
    ),
    CACHE_OPTION,
    check=True,
)  # fmt: skip


@cli.command()
@click.option(
    "--input", "input_", type=click.Choice(["images", "poses"]), default="images",
    show_default=True, help="Train from pictures, or lifting alone from true 2D poses.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(PRESETS), default="quick", show_default=True,
    help="How long and how large: smoke (a minute, learns nothing), quick (minutes), standard (an "
    "hour on a laptop), paper-scale (a GPU). --set steps=…, lift_steps=… shorten one by hand.",
)  # fmt: skip
@click.option(
    "--variant", type=click.Choice(VARIANTS), default="selfpose", show_default=True,
    help="paper: the paper's seven terms alone; selfpose: with this library's own; loose: the own "
    "ones that need no static camera.",
)  # fmt: skip
@data_options
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--experiment", default="single", show_default=True, help="Name in the record.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE",
    help="Any parameter, e.g. --set steps=2000 --set drop=[bl]; --show-config lists them.",
)  # fmt: skip
@click.option("--device", default=None, help="cpu, cuda, …; a GPU where there is one by default.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run: record.json, history.json, weights.safetensors and, from pictures, "
    "snapshots.safetensors. A killed run continues when the same command is given again.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.option(
    "--show-config", is_flag=True,
    help="Print every parameter with the value that it would have, and train nothing.",
)  # fmt: skip
def train(
    input_: str, preset: str, variant: str, choice: "DataChoice", seed: int, experiment: str,
    settings: tuple[str, ...], device: str | None, out: Path | None, quiet: bool,
    show_config: bool,
) -> None:  # fmt: skip
    """Train, evaluate, and leave a record.

    Every parameter of the method, of the networks and of the training can be given with --set.
    What there is, and what it is by default, is listed by: selfpose train --show-config
    """
    from selfpose.evaluation.advice import advice
    from selfpose.config import Config
    from selfpose.run import run_experiment

    overrides = parse_overrides(settings)
    for name in ("input", "preset", "variant", "seed"):
        if name in overrides:
            raise ValueError(f"{name} has an option of its own: give --{name}, not --set {name}=…")
    config = Config.for_run(
        preset=preset, variant=variant, overrides={**overrides, "input": input_, "seed": seed}
    )
    if show_config:
        click.echo(yaml.safe_dump(config.to_dict(), sort_keys=False), nl=False)
        return
    if out is None:
        raise click.UsageError("Missing option '--out': the folder of the run.")
    record = run_experiment(
        config, out=out, data=choice, experiment=experiment, device=device, progress=not quiet
    )
    show_errors({"this run": record["metrics"], **record["baselines"]})
    click.echo()
    for line in advice(record):
        click.echo(click.wrap_text(line, 78))
    click.echo(out / "record.json")


@cli.command()
@click.option("--preset", type=click.Choice(PRESETS), default="quick", show_default=True)
@data_options
@click.option(
    "--experiments",
    default="",
    metavar="A,B",
    help="Names from experiments/; all by default.",
)
@click.option(
    "--cell",
    "cells",
    multiple=True,
    metavar="EXPERIMENT/VARIANT/SEED",
    help="One cell of a table in place of experiments, e.g. ablation_lifting/drop_nf/seed0.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the runs, by default build/<data>-<preset>/runs, which `make` uses too.",
)
@click.option("--jobs", default=2, show_default=True, help="Runs side by side.")
@click.option(
    "--minutes",
    type=float,
    help="End the slice before so many minutes; the same command goes on. 0 only shows the table.",
)
@click.option("--device", default=None, help="cpu, cuda, …; a GPU where there is one by default.")
def campaign(
    preset: str, choice: "DataChoice", experiments: str, cells: tuple[str, ...], out: Path | None,
    jobs: int, minutes: float | None, device: str | None,
) -> None:  # fmt: skip
    """Do the runs of the experiments, several at once, in slices of bounded length.

    Finished runs are skipped, stopped ones go on from their checkpoints. A failed run does not stop
    the others; the next slice tries it again. Exit codes: 0, all is done; 3, there is more to do;
    1, nothing is left but failed runs, or a mistake in the options; 130, Ctrl-C.
    """
    from experiments.campaign import Campaign, choose_runs, lock_path, process_age
    from selfpose.sources import check_folders
    from experiments.notebooks import repository_root
    from selfpose.run import check_device, default_device
    from experiments.workflow import hold_lock

    names = [name.strip() for name in experiments.split(",") if name.strip()]
    runs = choose_runs(preset=preset, data=choice.name, experiments=names, cells=cells)
    check_folders(choice.name, choice.data_root, choice.data_train, choice.data_test)
    device = check_device(device or default_device())
    build = repository_root() / "build"
    out = out or build / f"{choice.name}-{preset}" / "runs"
    choice = replace(choice, cache=choice.cache or str(build / "cache"))
    lock = None
    if minutes != 0:  # who only looks disturbs nobody, and need not wait
        try:
            lock = hold_lock(lock_path(out))
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
    work = Campaign(
        runs=runs, preset=preset, choice=choice, out=out, device=device, jobs=jobs,
        minutes=minutes, used_s=process_age(), say=functools.partial(click.echo, err=True),
    )  # fmt: skip
    try:
        code = work.work()
    except TrainingStopped:
        code = 143  # as a shell says of a process that SIGTERM ended
    finally:
        if lock is not None:
            os.close(lock)
        click.echo(work.table())
    sys.exit(code)


def show_errors(rows: dict[str, dict[str, float] | None]) -> None:
    """A small table of the main errors on standard output; rows without any are left out."""
    columns = {
        "p_mpjpe_mm": "P-MPJPE mm",
        "n_mpjpe_mm": "N-MPJPE mm",
        "error_2d_percent": "2D %",
        "error_2d_percent_side_tolerant": "2D % L/R tolerant",
    }
    click.echo(f"{'':14s}" + "".join(f"{title:>19s}" for title in columns.values()))
    for name, values in rows.items():
        shown = [None if values is None else values.get(c) for c in columns]
        if all(value is None for value in shown):
            continue
        cells = "".join(f"{'–' if v is None else format(v, '.2f'):>19s}" for v in shown)
        click.echo(f"{name:14s}{cells}")


@cli.command()
@click.argument("weights", type=click.Path(dir_okay=False, path_type=Path))
@data_options
@click.option("--n-test", default=1024, show_default=True, help="Test pictures.")
@click.option(
    "--camera-elevation",
    default=10.0,
    show_default=True,
    help="Mean elevation of the cameras that film generated pictures, degrees.",
)
@click.option("--data-seed", default=0, show_default=True, help="Of generated data.")
def evaluate(
    weights: Path, choice: "DataChoice", n_test: int, camera_elevation: float, data_seed: int
) -> None:
    """Errors of trained WEIGHTS on a data set's test part, as JSON."""
    from selfpose.config import Config
    from selfpose.evaluation.scores import evaluate as measure
    from selfpose.evaluation.scores import predict_test
    from selfpose.model import load
    from selfpose.evaluation.protocols.by_dataset import protocol_numbers

    pipeline = load(weights)
    config = Config(
        n_unlabelled=256, n_unpaired=256, n_test=n_test,
        image_size=pipeline.architecture.image_size,
        camera_elevation=camera_elevation, data_seed=data_seed,
    )  # fmt: skip
    dataset = choice.load(config)
    if dataset.skeleton.joints != pipeline.skeleton.joints:
        raise ValueError(
            f"{weights}: trained for {pipeline.skeleton.name!r}, the data show "
            f"{dataset.skeleton.name!r}"
        )
    prediction = predict_test(pipeline, dataset.test)
    told = measure(pipeline, dataset.test, prediction=prediction)
    if named := protocol_numbers(dataset, prediction.pose_3d):
        told["protocols"] = named
    click.echo(json.dumps(told, indent=1))


@cli.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder for poses.json, poses.csv and the figures.",
)  # fmt: skip
@click.option(
    "--figures/--no-figures", default=True, show_default=True,
    help="A figure for each picture; without them many pictures go quickly.",
)  # fmt: skip
def predict(weights: Path, pictures: tuple[Path, ...], out: Path, figures: bool) -> None:
    """2D and 3D poses of PICTURES, or of the pictures in folders, by the networks in WEIGHTS.

    WEIGHTS is a file weights.safetensors, or the folder of a run. Each picture should show one
    subject that fills most of it. Folders are searched with all that is in them. Writes poses.json,
    poses.csv and one figure for each picture (skeleton image, 2D and 3D pose) under --out.
    """
    from selfpose.evaluation.predict import predict_files

    if weights.is_dir():
        weights = weights / "weights.safetensors"
    written = predict_files(weights, list(pictures), out=out, figures=figures)
    n = len(written)
    click.echo(f"{n} {'picture' if n == 1 else 'pictures'} → {out / 'poses.json'}")


@cli.command()
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("results", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--weights", multiple=True, metavar="EXPERIMENT/VARIANT/SEED",
    help="Take the weights of this run too, and its snapshots if it kept some, e.g. "
    "end_to_end/selfpose/seed0; repeatable.",
)  # fmt: skip
def publish(runs: Path, results: Path, weights: tuple[str, ...]) -> None:
    """Copy the records of finished RUNS to RESULTS, a folder to commit."""
    from experiments.records import publish as copy

    for folder in copy(runs, results, weights=weights):
        click.echo(folder)


@cli.group(cls=Group)
def data() -> None:
    """Look at data sets, and prepare them."""


def _power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value < 8 or value.bit_count() != 1:
        raise click.BadParameter(f"{value} is no power of two from 8, which the networks need")
    return value


image_size_option = click.option(
    "--image-size", default=64, show_default=True, callback=_power_of_two,
    help="Side of the pictures that the networks see, px; training's is --set image_size=….",
)  # fmt: skip


@data.command("check", epilog=f"NAME is one of: {', '.join(SOURCES)}.")
@source_options
@image_size_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path),
    help="Picture file for the samples with their skeletons; by default check-NAME.png here.",
)  # fmt: skip
def check(choice: "DataChoice", image_size: int, out: Path | None) -> None:
    """Say what is in the data set NAME, and the first thing that is wrong.

    Shows joints and their order, units, bone lengths, counts for each part, and draws sample
    pictures with the skeleton on them. Exit code 1 if something is wrong.
    """
    from selfpose.config import Config
    from selfpose.data.plan import Recipe
    from selfpose.data.readers import make_reader
    from selfpose.data.inspection import inspect_dataset, inspect_reader, sample_figure

    if choice.name in FILES:
        assert choice.data_root is not None
        reader, recipe = make_reader(choice.name, choice.data_root, choice.data_options)
        found = inspect_reader(reader, Recipe(image_size=image_size, **recipe), name=choice.name)
    else:
        few = Config(n_unlabelled=512, n_unpaired=512, n_test=128, image_size=image_size)
        found = inspect_dataset(choice.load(few))
    click.echo(found.report())
    if found.samples:
        out = out or Path(f"check-{choice.name}.png")
        sample_figure(found).savefig(out, bbox_inches="tight")
        click.echo(f"samples: {out}")
    if found.findings:
        sys.exit(1)


@data.command("prepare", epilog=f"NAME is one of: {', '.join(FILES)}.")
@source_options
@image_size_option
def prepare(choice: "DataChoice", image_size: int) -> None:
    """Crop and store the data set NAME once, for every training that follows.

    Streams from disk, and continues where a killed preparation stopped. What is there already is
    compared with its checksums.
    """
    from selfpose.data.plan import Recipe
    from selfpose.data.prepare import prepare as prepare_data
    from selfpose.data.prepared import MANIFEST, verify
    from selfpose.data.readers import default_cache, make_reader, prepared_folder

    if choice.name not in FILES:
        raise ValueError(
            f"{choice.name!r} is drawn by the library and needs no preparation; training draws it"
        )
    assert choice.data_root is not None
    root, cache = Path(choice.data_root), Path(choice.cache or default_cache())
    folder = prepared_folder(
        choice.name, root, choice.data_options, image_size=image_size, cache=cache
    )
    if (folder / MANIFEST).is_file():
        click.echo(f"already prepared, {verify(folder) / 2**20:.0f} MiB, checksums right: {folder}")
        return
    reader, recipe = make_reader(choice.name, root, choice.data_options)
    dataset = prepare_data(reader, folder, Recipe(image_size=image_size, **recipe))
    click.echo(
        f"{len(dataset.unlabelled)} pictures, {len(dataset.unpaired)} unpaired poses, "
        f"{len(dataset.test)} test pictures: {folder}"
    )


def main() -> None:
    """Entry point: errors of use and of data end with one line, not a traceback."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ValueError, OSError, TrainingDiverged) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

__all__ = ["cli", "main"]
