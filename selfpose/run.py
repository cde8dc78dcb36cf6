"""One run from parameters to record: data, training, baselines, evaluation, files."""

import datetime
import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from selfpose.evaluation.baselines import baseline_errors, train_supervised
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.data.readers import files_digest
from selfpose.data.source_names import FILES, GENERATED
from selfpose.sources import load_dataset
from selfpose.evaluation.scores import evaluate, predict_test
from selfpose.files import hold_folder
from selfpose.model import save
from selfpose.evaluation.protocols.by_dataset import protocol_numbers
from experiments.records import RECORD, Record, environment, read_record, write_run
from selfpose.evaluation.snapshots import save_snapshots
from selfpose.training import train


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which data a run uses; folders and options as :func:`selfpose.sources.load_dataset`."""

    name: str = "embedded"
    data_root: str | None = None
    data_train: str | None = None
    data_test: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    cache: str | None = None

    def __post_init__(self) -> None:
        # A notebook's parameters cannot be None on every command line: empty text says the same.
        for name in ("data_root", "data_train", "data_test", "cache"):
            object.__setattr__(self, name, getattr(self, name) or None)

    def load(self, config: Config, *, progress: bool = True) -> PoseDataset:
        """The data set at the sizes that the config says.

        The data have a seed of their own: runs with several seeds share the data. Where the
        config says ``unpaired_from``, the unpaired poses are that data set's, of other people and
        motions; pictures, test part and the skeleton's bone lengths stay.

        Raises
        ------
        ValueError
            If names, folders or ``unpaired_from`` do not fit.
        FileNotFoundError
            If a folder does not exist.
        """
        if config.unpaired_from not in ("", self.name, *GENERATED):
            raise ValueError(
                f"unpaired_from={config.unpaired_from!r}: unpaired poses can be taken from "
                f"{' or '.join(GENERATED)}, which need no folder; empty means the data's own"
            )
        sizes: dict[str, Any] = {
            "image_size": config.image_size,
            "n_unlabelled": config.n_unlabelled,
            "n_unpaired": config.n_unpaired,
            "n_test": config.n_test,
            "difficulty": config.difficulty,
            "camera_elevation": config.camera_elevation,
            "seed": config.data_seed,
        }
        dataset = load_dataset(
            self.name,
            data_root=self.data_root,
            data_train=self.data_train,
            data_test=self.data_test,
            data_options=self.data_options,
            cache=self.cache,
            progress=progress,
            **sizes,
        )
        if config.unpaired_from in ("", self.name):
            return dataset
        # The poses do not depend on the other parts: of those as little as possible is painted.
        few = {**sizes, "n_unlabelled": 1, "n_test": 1}
        other = load_dataset(config.unpaired_from, cache=self.cache, progress=progress, **few)
        if other.skeleton.joints != dataset.skeleton.joints:
            raise ValueError(
                f"unpaired_from={config.unpaired_from!r}: its poses have the joints of "
                f"{other.skeleton.name!r}, the data those of {dataset.skeleton.name!r}"
            )
        source = {"data": other.name, **other.provenance}
        return replace(
            dataset,
            unpaired=other.unpaired,
            provenance={**dataset.provenance, "unpaired_from": source},
        )

    def fingerprint(self) -> str | None:
        """A digest of the names and sizes of the folders' files; ``None`` without folders.

        It names no path, so that a record says which files were used, not where they lay.
        """
        folders = [f for f in (self.data_root, self.data_train, self.data_test) if f]
        if not folders:
            return None
        if self.name in FILES:
            return _digest([files_digest(folders[0]), sorted(self.data_options.items())])
        return _digest(
            [
                [
                    (p.relative_to(f).as_posix(), p.stat().st_size)
                    for p in sorted(Path(f).rglob("*.a*"))
                ]
                for f in folders
            ]
        )


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def default_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> str:
    """The device's name back; ``ValueError`` if nothing can be computed there."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"cannot compute on the device {device!r} ({why}); try 'cpu'") from error
    return device


def finished_run(
    out: str | Path,
    config: Config,
    *,
    experiment: str,
    label: str,
    dataset: str,
    files: str | None = None,
) -> Record | None:
    """The record of a whole run in that folder, if it is this run.

    Raises
    ------
    ValueError
        If the folder holds a finished run with other parameters: results are never overwritten.
    """
    out = Path(out)
    if not (out / RECORD).is_file():
        return None
    record = read_record(out)
    names = {"experiment": experiment, "row": label, "dataset": dataset, "data_files": files}
    now: dict[str, Any] = {**config.to_dict(), **names}
    kept = {
        **record["parameters"],
        "experiment": record["experiment"],
        "row": record["variant"],
        "dataset": record["dataset"],
        "data_files": record.get("data_files"),
    }
    changed = sorted(k for k in {*now, *kept} if now.get(k) != kept.get(k))
    if changed:
        shown = ", ".join(f"{k}: {kept.get(k)!r}, now {now.get(k)!r}" for k in changed[:4])
        raise ValueError(
            f"{out}: holds a finished run with other parameters ({shown}); choose another folder, "
            "or remove that one"
        )
    return record


def run_experiment(
    config: Config,
    *,
    out: str | Path,
    data: DataChoice | None = None,
    dataset: PoseDataset | None = None,
    experiment: str = "single",
    label: str | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Record:
    """Train, evaluate and leave ``record.json``, ``history.json`` and ``weights.safetensors``.

    From pictures also ``snapshots.safetensors``: how a few test pictures were seen on the way.
    A finished run of the same parameters is returned as it is; a killed one continues from its
    checkpoint. The checkpoint goes once the record is written.

    Parameters
    ----------
    config
        Every parameter of the run.
    out
        The run's folder.
    data, dataset
        Which data to load, or a data set already loaded.
    experiment
        The name that tables group runs by.
    label
        The record's ``variant``: the row of the experiment. By default the config's variant.
    device
        Where to compute; a GPU where there is one by default.
    progress
        Whether to show progress bars.

    Raises
    ------
    ValueError
        If parameters or data do not fit, or the folder holds another run.
    TrainingDiverged
        If a loss becomes NaN; the record is then not written.
    """
    out = Path(out)
    data = data or DataChoice()
    label = label or config.variant
    name = dataset.name if dataset is not None else data.name
    files = data.fingerprint()
    done = finished_run(out, config, experiment=experiment, label=label, dataset=name, files=files)
    if done is not None:
        return done
    out.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: another run is training into this folder; wait for it, or name another folder"
    with hold_folder(out, busy=busy):
        return _run(
            config, out=out, data=data, dataset=dataset, experiment=experiment, label=label,
            files=files, device=check_device(device or default_device()), progress=progress,
        )  # fmt: skip


def _run(
    config: Config, *, out: Path, data: DataChoice, dataset: PoseDataset | None, experiment: str,
    label: str, files: str | None, device: str, progress: bool,
) -> Record:  # fmt: skip
    """The run itself, once nothing stands against it."""
    # as it is now: who commits while this trains must not change what the record says
    facts = environment(device)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begun = time.monotonic()
    if dataset is None:
        dataset = data.load(config, progress=progress)
    seconds = {"data": time.monotonic() - begun}
    pipeline, runner = train(dataset, config, out=out, device=device, progress=progress)
    seconds |= runner.seconds
    supervised = None
    if config.supervised and dataset.ceiling is not None:
        clock = time.monotonic()
        supervised = train_supervised(dataset, config, out=out, device=device, progress=progress)
        seconds["supervised"] = time.monotonic() - clock
    clock = time.monotonic()
    prediction = predict_test(pipeline, dataset.test)
    record: Record = {
        "experiment": experiment,
        "variant": label,
        "dataset": dataset.name,
        "preset": config.preset,
        "input": config.input,
        "seed": config.seed,
        "parameters": config.to_dict(),
        "data": dataset.provenance,
        "data_files": files,
        **({"data_options": dict(data.data_options)} if data.data_options else {}),
        **facts,
        "started": started,
        **evaluate(pipeline, dataset.test, prediction=prediction),
        "n_test": len(dataset.test),
        "counts": {
            "unlabelled": len(dataset.unlabelled),
            "unpaired": len(dataset.unpaired),
            "test": len(dataset.test),
        },
        "baselines": baseline_errors(pipeline, dataset, supervised, prediction=prediction),
    }
    if named := protocol_numbers(dataset, prediction.pose_3d):
        record["protocols"] = named
    seconds["evaluation"] = time.monotonic() - clock
    record["seconds"] = seconds
    # Stages count what killed attempts spent on them, too: their sum is the run's duration.
    record["duration_s"] = sum(seconds.values())
    write_run(
        out,
        record,
        history=runner.history,
        write_weights=lambda path: save(pipeline, path),
        write_snapshots=partial(save_snapshots, kept) if (kept := runner.snapshots) else None,
    )
    for folder in (out / "checkpoint", out / "supervised"):
        shutil.rmtree(folder, ignore_errors=True)
    return read_record(out)


__all__ = ["DataChoice", "check_device", "default_device", "finished_run", "run_experiment"]
