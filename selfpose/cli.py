"""The command line: ``selfpose train | evaluate | predict | data``, and what others add to it.

PyTorch and all that needs it are loaded within the commands: help and mistakes come at once.
"""

import difflib
import functools
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from selfpose.config import PRESETS, VARIANTS, Config
from selfpose.data.source_names import FILES, SOURCES

if TYPE_CHECKING:
    from selfpose.run import DataChoice

Command = Callable[..., None]
FOLDER = click.Path(exists=True, file_okay=False)


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
    """``name=value`` texts → values, read as YAML."""
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


def data_choice(prefix: str = "data-") -> Callable[[Command], Command]:
    """A decorator: the options that name a data set, handed to the command as one ``choice``."""
    folders = {
        "root": "The folder of the data set.",
        "train": "Motion capture: learn from this folder …",
        "test": "… and test on every clip of this one.",
    }
    kind, names = click.Choice(SOURCES), f"Which data: {', '.join(SOURCES)}."
    how: dict[str, Any] = {
        "type": kind,
        "default": "embedded",
        "show_default": True,
        "metavar": "NAME",
    }
    options = [
        click.option("--data", **how, help=names)
        if prefix
        else click.argument("data", type=kind, metavar="NAME"),
        *(
            click.option(f"--{prefix}{name}", f"data_{name}", type=FOLDER, help=text)
            for name, text in folders.items()
        ),
        click.option(
            f"--{prefix}option", "data_settings", multiple=True, metavar="NAME=VALUE",
            help="Of the data's reader, or of how frames are prepared: every=5, …",
        ),
        click.option(
            "--cache", type=click.Path(file_okay=False), help="Keep prepared data in this folder."
        ),
    ]  # fmt: skip

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_choice(*, data: str, data_settings: tuple[str, ...], **rest: Any) -> None:
            if data in FILES and not rest["data_root"]:
                raise click.UsageError(f"the data {data!r} need --{prefix}root, their folder")
            from selfpose.run import DataChoice

            places = {n: rest.pop(n) for n in ("data_root", "data_train", "data_test", "cache")}
            choice = DataChoice(name=data, data_options=parse_overrides(data_settings), **places)
            command(choice=choice, **rest)

        return functools.reduce(lambda f, option: option(f), reversed(options), with_choice)

    return decorate


device_option = click.option(
    "--device", default=None, help="cpu, cuda, …; a GPU where there is one by default."
)


@cli.command()
@click.option(
    "--input", "input_", type=click.Choice(["images", "poses"]), default="images",
    show_default=True, help="Train from pictures, or lifting alone from true 2D poses.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default="quick", show_default=True,
    help="How long and how large: smoke (a minute, learns nothing), quick (minutes), standard (an "
    "hour on a laptop), paper-scale (a GPU). --set pictures.steps=… shortens one by hand.",
)  # fmt: skip
@click.option(
    "--variant", type=click.Choice(list(VARIANTS)), default="selfpose", show_default=True,
    help="paper: the paper's seven terms alone; selfpose: with this library's own; loose: the own "
    "ones that need no static camera.",
)  # fmt: skip
@data_choice()
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--experiment", default="single", show_default=True, help="Name in the record.")
@click.option("--label", default=None, help="Row of the experiment; the variant by default.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE",
    help="Any parameter: --set pictures.steps=2000 --set terms.bl=0; --show-config lists them.",
)  # fmt: skip
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run: record.json, history.json, weights.safetensors and, from pictures, "
    "snapshots.safetensors. A killed run continues when the same command is given again.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.option("--show-config", is_flag=True, help="Print every parameter, and train nothing.")
def train(
    input_: str, preset: str, variant: str, choice: "DataChoice", seed: int, experiment: str,
    label: str | None, settings: tuple[str, ...], device: str | None, out: Path | None,
    quiet: bool, show_config: bool,
) -> None:  # fmt: skip
    """Train, evaluate, and leave a record."""
    config = Config.for_run(
        preset=preset, variant=variant, overrides=parse_overrides(settings), input=input_, seed=seed
    )
    if show_config:
        click.echo(yaml.safe_dump(config.flat(), sort_keys=False), nl=False)
        return
    if out is None:
        raise click.UsageError("Missing option '--out': the folder of the run.")
    from selfpose.run import run_experiment
    from selfpose.steps import TrainingStopped, stopping_on

    use_fastest_threads()
    try:
        with stopping_on():
            record = run_experiment(
                config, out=out, data=choice, experiment=experiment, label=label, device=device,
                progress=not quiet,
            )  # fmt: skip
    except TrainingStopped as stopped:
        click.echo(f"{stopped}; the same command continues it", err=True)
        sys.exit(143)  # as a shell says of a process that SIGTERM ended
    show_errors({"this run": record["metrics"], **record["baselines"]})
    click.echo(out / "record.json")


def use_fastest_threads() -> None:
    """One thread or all: what a convolution takes less time with now; OMP_NUM_THREADS overrides."""
    import torch

    if "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return
    layer, x = torch.nn.Conv2d(32, 32, 3, padding=1), torch.randn(32, 32, 32, 32)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        layer(x).sum().backward()
        begun = time.perf_counter()
        for _ in range(10):
            layer(x).sum().backward()
        return time.perf_counter() - begun

    torch.set_num_threads(min((torch.get_num_threads(), 1), key=seconds))


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
        shown = [(values or {}).get(column) for column in columns]
        if any(value is not None for value in shown):
            cells = "".join(f"{'–' if v is None else format(v, '.2f'):>19s}" for v in shown)
            click.echo(f"{name:14s}{cells}")


def weights_path(given: Path) -> Path:
    """The weights of a run's folder, or the file itself."""
    return given / "weights.safetensors" if given.is_dir() else given


@cli.command()
@click.argument("weights", type=click.Path(path_type=Path))
@data_choice()
@click.option("--n-test", default=1024, show_default=True, help="Test pictures.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE",
    help="How generated pictures look: --set data.camera_elevation=30, --set data.seed=1, …",
)  # fmt: skip
def evaluate(weights: Path, choice: "DataChoice", n_test: int, settings: tuple[str, ...]) -> None:
    """Errors of trained WEIGHTS (a file, or a run's folder) on a data set's test part, as JSON."""
    from selfpose.evaluation.protocols import protocol_numbers
    from selfpose.evaluation.scores import evaluate as measure
    from selfpose.evaluation.scores import predict_test
    from selfpose.model import load

    pipeline = load(weights_path(weights))
    sizes = {"data.n_unlabelled": 256, "data.n_unpaired": 256, "data.n_test": n_test}
    sizes["networks.image_size"] = pipeline.architecture.image_size
    dataset = choice.load(Config.for_run(overrides={**sizes, **parse_overrides(settings)}))
    if dataset.skeleton.joints != pipeline.skeleton.joints:
        raise ValueError(
            f"{weights}: trained for {pipeline.skeleton.name!r}, the data show "
            f"{dataset.skeleton.name!r}"
        )
    prediction = predict_test(pipeline, dataset.test)
    told = measure(pipeline, dataset.test, prediction=prediction)
    told["protocols"] = protocol_numbers(dataset, prediction.pose_3d)
    click.echo(json.dumps(told, indent=1))


@cli.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder for poses.csv and the figures.",
)  # fmt: skip
@click.option(
    "--figures/--no-figures", default=True, show_default=True,
    help="A figure for each picture; without them many pictures go quickly.",
)  # fmt: skip
def predict(weights: Path, pictures: tuple[Path, ...], out: Path, figures: bool) -> None:
    """2D and 3D poses of PICTURES, or of the pictures in folders, by the networks in WEIGHTS.

    WEIGHTS is a file weights.safetensors, or the folder of a run. Each picture should show one
    subject, at about the scale of the pictures trained on (half of the side for generated people).
    Folders are searched with all that is in them. Writes poses.csv and one figure for each picture
    (the 2D pose on it, and the 3D pose from the side) under --out.
    """
    from selfpose.evaluation.predict import predict_files

    written = predict_files(weights_path(weights), list(pictures), out=out, figures=figures)
    click.echo(f"{len(written)} picture(s) → {out / 'poses.csv'}")


@cli.group(cls=Group)
def data() -> None:
    """Look at data sets, and prepare them."""


def _power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value < 8 or value.bit_count() != 1:
        raise click.BadParameter(f"{value} is no power of two from 8, which the networks need")
    return value


image_size_option = click.option(
    "--image-size", default=64, show_default=True, callback=_power_of_two,
    help="Side of the pictures that the networks see, px; training's networks.image_size.",
)  # fmt: skip


@data.command("check", epilog=f"NAME is one of: {', '.join(SOURCES)}.")
@data_choice(prefix="")
@image_size_option
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path),
    help="Picture file for the samples with their skeletons; by default check-NAME.png here.",
)  # fmt: skip
def check(choice: "DataChoice", image_size: int, out: Path | None) -> None:
    """Say what is in the data set NAME, and what is wrong with it.

    Shows joints and their order, units, bone lengths, counts for each part, and draws sample
    pictures with the skeleton on them. Exit code 1 if something is wrong.
    """
    from selfpose.data.inspection import inspect_dataset, inspect_reader, sample_figure
    from selfpose.data.prepare import Recipe
    from selfpose.data.readers import make_reader

    if choice.name in FILES:
        assert choice.data_root is not None
        reader, recipe = make_reader(choice.name, choice.data_root, choice.data_options)
        found = inspect_reader(reader, Recipe(image_size=image_size, **recipe), name=choice.name)
    else:
        few = {"data.n_unlabelled": 512, "data.n_unpaired": 512, "data.n_test": 128}
        found = inspect_dataset(
            choice.load(Config.for_run(overrides={**few, "networks.image_size": image_size}))
        )
    click.echo(found.report())
    if found.samples:
        out = out or Path(f"check-{choice.name}.png")
        sample_figure(found).savefig(out, bbox_inches="tight")
        click.echo(f"samples: {out}")
    if found.findings:
        sys.exit(1)


@data.command("prepare", epilog=f"NAME is one of: {', '.join(FILES)}.")
@data_choice(prefix="")
@image_size_option
def prepare(choice: "DataChoice", image_size: int) -> None:
    """Crop and store the data set NAME once, for every training that follows.

    Continues where a killed preparation stopped.
    """
    from selfpose.data.readers import load_files

    if choice.name not in FILES:
        raise ValueError(f"{choice.name!r} is drawn by the library and needs no preparation")
    assert choice.data_root is not None
    dataset = load_files(
        choice.name, root=choice.data_root, options=choice.data_options, cache=choice.cache,
        image_size=image_size,
    )  # fmt: skip
    click.echo(
        f"{len(dataset.unlabelled)} pictures, {len(dataset.unpaired)} unpaired poses, "
        f"{len(dataset.test)} test pictures"
    )


def main() -> None:
    """Entry point: errors of use and of data end with one line, not a traceback."""
    for point in entry_points(group="selfpose.commands"):
        cli.add_command(point.load(), point.name)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ValueError, OSError, ArithmeticError) as error:  # ArithmeticError: a loss became NaN
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
