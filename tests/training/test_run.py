"""One run from parameters to record: finished once, continued after a kill, never overwritten."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from selfpose import run as module
from selfpose import steps
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.scores import evaluate
from selfpose.files import check_file, write_json
from selfpose.model import load
from selfpose.run import (
    HISTORY,
    RECORD,
    SNAPSHOTS,
    WEIGHTS,
    DataChoice,
    check_device,
    read_record,
    run_experiment,
)

FEW = {"flow.steps": 5, "lifting.steps": 5, "supervised_steps": 2}


@pytest.fixture(autouse=True)
def every_step_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CHECKPOINT_EVERY_S", 0.0)


def tiny(**changes: Any) -> Config:
    return Config.for_run(preset="smoke", input="poses", overrides={**FEW, **changes})


def run(dataset: PoseDataset, out: Path, config: Config | None = None, **more: Any):
    return run_experiment(
        config or tiny(), out=out, dataset=dataset, device="cpu", progress=False, **more
    )


@pytest.fixture(scope="module")
def finished(tiny_dataset: PoseDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    run(tiny_dataset, out, experiment="lifting")
    return out


def test_a_run_leaves_its_record_history_and_weights(
    tiny_dataset: PoseDataset, finished: Path
) -> None:
    record = read_record(finished)
    assert {p.name for p in finished.iterdir()} == {RECORD, HISTORY, WEIGHTS}
    assert record["experiment"] == "lifting"
    assert (record["variant"], record["dataset"], record["seed"]) == ("selfpose", "embedded", 0)
    assert Config.from_dict(record["parameters"]) == tiny()
    names = {"p_mpjpe_mm", "n_mpjpe_mm", "error_2d_percent"}
    for row in (record["metrics"], *record["baselines"].values()):
        assert names <= set(row)
    assert set(record["baselines"]) == {"flat", "mean_pose", "nearest_neighbour", "supervised"}
    assert record["duration_s"] == pytest.approx(sum(record["seconds"].values()))
    assert record["counts"] == {"unlabelled": 256, "unpaired": 512, "test": 64}
    again = evaluate(load(check_file(finished, WEIGHTS, record)), tiny_dataset.test)
    assert again["metrics"] == record["metrics"]
    assert again["by_joint"] == record["by_joint"]


def test_a_run_from_pictures_predicts_what_its_record_says(
    tiny_dataset: PoseDataset, trained_images: Path
) -> None:
    record = read_record(trained_images)
    weights = load(check_file(trained_images, WEIGHTS, record))
    assert evaluate(weights, tiny_dataset.test)["metrics"] == record["metrics"]
    assert check_file(trained_images, SNAPSHOTS, record).is_file()


def test_a_finished_run_is_returned_without_training_and_never_overwritten(
    tiny_dataset: PoseDataset, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train", None)
    monkeypatch.setattr(module, "load_dataset", None)
    record = read_record(finished)
    assert run(tiny_dataset, finished, experiment="lifting") == record
    by_name = run_experiment(tiny(), out=finished, data=DataChoice(), experiment="lifting")
    assert by_name == record
    with pytest.raises(ValueError, match=r"lifting\.lr: 0\.001, now 0\.5\); choose another folder"):
        run(tiny_dataset, finished, tiny(**{"lifting.lr": 0.5}), experiment="lifting")
    with pytest.raises(ValueError, match="experiment: 'lifting', now 'single'"):
        run(tiny_dataset, finished)
    assert read_record(finished) == record


def test_two_runs_never_share_a_folder(tiny_dataset: PoseDataset, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(ValueError, match="another run is training into this folder"),
    ):
        run(tiny_dataset, tmp_path)


@pytest.mark.parametrize("killed_in", ["train", "train_supervised", "evaluate", "save"])
def test_a_run_killed_anywhere_leaves_no_record_and_ends_the_same(
    tiny_dataset: PoseDataset,
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_in: str,
) -> None:
    real = getattr(module, killed_in)

    def kill(*given: Any, **options: Any) -> None:
        if killed_in in ("train", "train_supervised"):
            real(*given, **options)  # its checkpoints are there, what follows is lost
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, killed_in, kill)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_dataset, tmp_path)
    assert not (tmp_path / RECORD).exists()
    record, expected = run(tiny_dataset, tmp_path), read_record(finished)
    for name in ("metrics", "baselines", "by_activity", "by_joint", "parameters", "data", "files"):
        assert record[name] == expected[name]
    assert {p.name for p in tmp_path.iterdir()} == {RECORD, HISTORY, WEIGHTS}


def test_a_full_disk_at_the_end_loses_no_training(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.model.save_file", full)
        with pytest.raises(OSError, match="No space left"):
            run(tiny_dataset, tmp_path)
    assert not any(p.name.endswith(".part") for p in tmp_path.rglob("*"))

    def forbidden(*given: Any) -> None:
        raise AssertionError("a finished stage was trained again")

    monkeypatch.setattr("selfpose.train.descend", forbidden)
    monkeypatch.setattr("selfpose.evaluation.baselines.descend", forbidden)
    assert run(tiny_dataset, tmp_path)["metrics"]


def test_without_labels_or_wish_there_is_no_ceiling(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    blind = replace(tiny_dataset, ceiling=None)
    assert run(blind, tmp_path / "a")["baselines"]["supervised"] is None
    unwanted = run(tiny_dataset, tmp_path / "b", tiny(supervised_steps=0))
    assert unwanted["baselines"]["supervised"] is None


def test_broken_records_and_files_of_other_runs_are_refused(
    tiny_dataset: PoseDataset, tmp_path: Path, finished: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    record = read_record(copy)
    (copy / WEIGHTS).write_bytes(b"others")
    with pytest.raises(ValueError, match="its digest differs"):
        check_file(copy, WEIGHTS, record)
    write_json(copy / RECORD, {**record, "metrics": {"p_mpjpe_mm": "low"}})
    with pytest.raises(ValueError, match="the metric 'p_mpjpe_mm' is 'low', not a finite number"):
        read_record(copy)
    write_json(copy / RECORD, {k: v for k, v in record.items() if k != "commit"} | {"seed": "0"})
    with pytest.raises(ValueError, match="'seed' is missing or wrong: '0'"):
        read_record(copy)
    (copy / RECORD).write_text("{")
    with pytest.raises(ValueError, match=r"record\.json: not JSON .*remove it and run again"):
        run(tiny_dataset, copy)
    with pytest.raises(FileNotFoundError, match="no record"):
        read_record(tmp_path)


def test_runs_with_several_seeds_share_their_data() -> None:
    small = {"data.n_unlabelled": 8, "data.n_unpaired": 8, "data.n_test": 4}
    first, second = (DataChoice().load(tiny(seed=s, **small), progress=False) for s in (0, 5))
    assert torch.equal(first.unpaired, second.unpaired)
    assert (len(first.unlabelled), len(first.test)) == (8, 4)


def test_devices_that_cannot_compute_are_refused() -> None:
    for device in ("quantum", "cuda:99"):
        with pytest.raises(ValueError, match=f"cannot compute on the device '{device}'"):
            check_device(device)
    assert check_device("cpu") == "cpu"


def test_unpaired_poses_can_come_from_another_data_set(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"data.n_unlabelled": 40, "data.n_unpaired": 48, "data.n_test": 4}
    own = DataChoice().load(tiny(**small), progress=False)
    real = module.load_dataset

    def load(name: str, **options: Any) -> PoseDataset:
        return replace(tiny_dataset, name="cmu") if name == "cmu" else real(name, **options)

    monkeypatch.setattr(module, "load_dataset", load)
    choice = DataChoice(name="cmu", data_root="somewhere")
    mixed = choice.load(tiny(**small, **{"data.unpaired_from": "embedded"}), progress=False)
    assert torch.equal(mixed.unpaired, own.unpaired)  # however few pictures were painted with it
    assert torch.equal(mixed.test.images, tiny_dataset.test.images)
    assert mixed.skeleton == tiny_dataset.skeleton
    assert mixed.provenance["unpaired_from"]["data"] == "embedded"
