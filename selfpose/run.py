"""One run from parameters to its folder: data, training, baselines, evaluation, record."""

import datetime
import hashlib
import json
import math
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from selfpose.config import Config, flatten
from selfpose.data.dataset import PoseDataset
from selfpose.data.readers import files_digest
from selfpose.data.source_names import FILES, GENERATED
from selfpose.evaluation.baselines import baseline_errors, train_supervised
from selfpose.evaluation.protocols import protocol_numbers
from selfpose.evaluation.scores import evaluate, predict_test
from selfpose.evaluation.snapshots import SNAPSHOTS, save_snapshots
from selfpose.files import file_digest, hold, library_digest, write_json
from selfpose.model import save
from selfpose.steps import Training, name_changes
from selfpose.synthetic.sources import load_dataset
from selfpose.train import train

SCHEMA = 2
RECORD = "record.json"
HISTORY = "history.json"
WEIGHTS = "weights.safetensors"
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "schema": int, "experiment": str, "variant": str, "dataset": str, "seed": int,
    "parameters": dict, "commit": (str, type(None)), "versions": dict, "device": str,
    "started": str, "duration_s": (int, float), "metrics": dict, "baselines": dict,
}  # fmt: skip
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Which data a run uses: name, folders and options of :func:`load_dataset`."""

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
        config says ``data.unpaired_from``, the unpaired poses are that data set's; pictures, test
        part and the skeleton's bone lengths stay.

        Raises
        ------
        ValueError, FileNotFoundError
            If names or folders do not fit, or a folder does not exist.
        """
        d = config.data
        sizes: dict[str, Any] = {
            "image_size": config.networks.image_size,
            "n_unlabelled": d.n_unlabelled,
            "n_unpaired": d.n_unpaired,
            "n_test": d.n_test,
            "difficulty": d.difficulty,
            "camera_elevation": d.camera_elevation,
            "seed": d.seed,
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
        if d.unpaired_from in ("", self.name):
            return dataset
        # The poses do not depend on the other parts: of those as little as possible is painted.
        few = {**sizes, "n_unlabelled": 1, "n_test": 1}
        other = load_dataset(d.unpaired_from, cache=self.cache, progress=progress, **few)
        if other.skeleton.joints != dataset.skeleton.joints:
            raise ValueError(
                f"data.unpaired_from={d.unpaired_from!r} has the joints of "
                f"{other.skeleton.name!r}, the data those of {dataset.skeleton.name!r}"
            )
        source = {"data": other.name, **other.provenance}
        provenance = {**dataset.provenance, "unpaired_from": source}
        return replace(dataset, unpaired=other.unpaired, provenance=provenance)

    def fingerprint(self) -> str | None:
        """A digest of the names and sizes of the folders' files; ``None`` for generated data.

        It names no path, so that a record says which files were used, not where they lay.
        """
        if self.name in GENERATED:
            return None
        folders = [f for f in (self.data_root, self.data_train, self.data_test) if f]
        if self.name in FILES:
            facts: list[Any] = [files_digest(folders[0]), sorted(self.data_options.items())]
        else:
            facts = [
                [
                    (p.relative_to(f).as_posix(), p.stat().st_size)
                    for p in sorted(Path(f).rglob("*.a*"))  # motion capture
                ]
                for f in folders
            ]
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

    From pictures also ``snapshots.safetensors``: how a few test pictures were seen on the way. A
    finished run of the same parameters is returned as it is; a killed one continues from its
    checkpoint, which goes once the record is written.

    Parameters
    ----------
    config, out
        Every parameter of the run; its folder.
    data, dataset
        Which data to load, or a data set already loaded.
    experiment, label
        The name that tables group runs by; the row there, by default the config's variant.
    device, progress
        Where to compute, by default a GPU where there is one; whether to show progress bars.

    Raises
    ------
    ValueError
        If parameters or data do not fit, or the folder holds another run.
    TrainingDiverged
        If a loss becomes NaN; the record is then not written.
    """
    out, data = Path(out), data or DataChoice()
    names = {
        "experiment": experiment,
        "variant": label or config.variant,
        "dataset": dataset.name if dataset is not None else data.name,
        "data_files": data.fingerprint(),
    }
    done = finished_run(out, config, **names)
    if done is not None:
        return done
    lock = hold(
        out, "another run is training into this folder; wait for it, or name another folder"
    )
    try:
        device = check_device(device or default_device())
        _run(config, out, data, dataset, names, device, progress)
    finally:
        lock.release()
    (out / ".lock").unlink(missing_ok=True)
    return read_record(out)


def finished_run(out: str | Path, config: Config, **names: Any) -> Record | None:
    """The record of a whole run in that folder, if it is this run.

    Raises
    ------
    ValueError
        If the folder holds a finished run with other parameters or ``names`` (fields of a record):
        results are never overwritten.
    """
    out = Path(out)
    if not (out / RECORD).is_file():
        return None
    record = read_record(out)
    now = {**config.flat(), **names}
    kept = {**flatten(record["parameters"]), **{name: record.get(name) for name in names}}
    if now != kept:
        raise ValueError(
            f"{out}: holds a finished run with other parameters ({name_changes(kept, now)}); "
            "choose another folder, or remove that one"
        )
    return record


def _run(
    config: Config, out: Path, data: DataChoice, dataset: PoseDataset | None,
    names: dict[str, Any], device: str, progress: bool,
) -> None:  # fmt: skip
    # as it is now: who commits while this trains must not change what the record says
    facts = environment(device)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begun = time.monotonic()
    if dataset is None:
        dataset = data.load(config, progress=progress)
    seconds = {"data": time.monotonic() - begun}
    pipeline, training = train(dataset, config, out=out, device=device, progress=progress)
    seconds |= training.seconds
    supervised = None
    if config.supervised_steps and dataset.ceiling is not None:
        clock = time.monotonic()
        supervised = train_supervised(dataset, config, out=out, device=device, progress=progress)
        seconds["supervised"] = time.monotonic() - clock
    clock = time.monotonic()
    prediction = predict_test(pipeline, dataset.test)
    parts = {"unlabelled": dataset.unlabelled, "unpaired": dataset.unpaired, "test": dataset.test}
    record: Record = {
        "schema": SCHEMA,
        **names,
        "preset": config.preset,
        "input": config.input,
        "seed": config.seed,
        "parameters": config.to_dict(),
        "data": dataset.provenance,
        "data_options": dict(data.data_options),
        **facts,
        "started": started,
        **evaluate(pipeline, dataset.test, prediction=prediction),
        "counts": {name: len(part) for name, part in parts.items()},  # type: ignore[arg-type]
        "baselines": baseline_errors(pipeline, dataset, supervised, prediction=prediction),
        "protocols": protocol_numbers(dataset, prediction.pose_3d),
    }
    seconds["evaluation"] = time.monotonic() - clock
    # Stages count what killed attempts spent on them, too: their sum is the run's duration.
    record |= {"seconds": seconds, "duration_s": sum(seconds.values())}
    save(pipeline, out / WEIGHTS)
    write_run(out, record, training)
    for folder in (out / "checkpoint", out / "supervised"):
        shutil.rmtree(folder, ignore_errors=True)


def write_run(out: Path, record: Record, training: Training) -> None:
    """Write a run's files beside its weights; the record comes last, with the others' digests."""
    written = [WEIGHTS, HISTORY]
    write_json(out / HISTORY, training.history)
    if training.snapshots is not None:
        save_snapshots(training.snapshots, out / SNAPSHOTS)
        written.append(SNAPSHOTS)
    record = {**record, "files": {name: file_digest(out / name) for name in written}}
    write_json(out / RECORD, check_record(record, str(out / RECORD)))


# --- records ----------------------------------------------------------------------------------


def git(*arguments: str) -> str | None:
    """Output of git in the folder that holds the package, ``None`` where that is no repository."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def environment(device: str | torch.device) -> dict[str, Any]:
    """Commit (and whether the tree was changed), digest of the library, versions, device."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("selfpose", "torch", "numpy", "safetensors"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    shown = f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
    cuda = torch.device(device).type == "cuda"
    return {
        "commit": git("rev-parse", "HEAD"),
        "commit_dirty": None if changed is None else bool(changed),
        "source": library_digest(),
        "versions": versions,
        "device": torch.cuda.get_device_name(device) if cuda else shown,
    }


def check_record(record: Any, where: str) -> Record:
    """Raise ``ValueError`` naming ``where`` and the first thing wrong; return the record."""
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise ValueError(f"{where}: not a record of schema {SCHEMA}")
    for name, kind in REQUIRED.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"{where}: {name!r} is missing or wrong: {record.get(name)!r:.60}")
    for name, value in record["metrics"].items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{where}: the metric {name!r} is {value!r}, not a finite number")
    return record


def read_record(path: str | Path) -> Record:
    """Read one record (a run's folder or its record.json).

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is broken or incomplete.
    """
    path = Path(path)
    path = path / RECORD if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no record; the run is missing or was not finished")
    try:
        return check_record(json.loads(path.read_text(encoding="utf-8")), str(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); remove it and run again") from error
