"""One run from parameters to record: finished once, continued after a kill, never overwritten."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose import run as runs
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.scores import evaluate
from selfpose.files import hold_folder
from selfpose.model import load
from experiments.records import HISTORY, RECORD, WEIGHTS, read_history
from selfpose.run import DataChoice, check_device, run_experiment
from selfpose.skeleton import HUMAN_17

TINY: dict[str, Any] = {
    "preset": "smoke",
    "input": "poses",
    "flow_steps": 5,
    "lift_steps": 5,
    "supervised_steps": 2,
    "checkpoint_every_s": 0.0,
}


def tiny(**changes: Any) -> Config:
    return Config.for_run(**{**TINY, **changes})


def run(dataset: PoseDataset, out: Path, config: Config | None = None, **more: Any):
    return run_experiment(
        config or tiny(), out=out, dataset=dataset, device="cpu", progress=False, **more
    )


def test_a_run_leaves_its_record_history_and_weights(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    record = run(tiny_dataset, tmp_path, experiment="lifting")
    assert {p.name for p in tmp_path.iterdir()} == {RECORD, HISTORY, WEIGHTS}
    assert record["experiment"] == "lifting"
    assert (record["variant"], record["dataset"], record["seed"]) == ("selfpose", "embedded", 0)
    assert Config.from_dict(record["parameters"]) == tiny()
    names = {"p_mpjpe_mm", "n_mpjpe_mm", "error_2d_percent"}
    for row in (record["metrics"], *record["baselines"].values()):
        assert names <= set(row)
    assert set(record["baselines"]) == {"flat", "mean_pose", "nearest_neighbour", "supervised"}
    assert record["duration_s"] == pytest.approx(sum(record["seconds"].values()))
    weights = load(tmp_path / WEIGHTS, skeleton=HUMAN_17)
    again = evaluate(weights, tiny_dataset.test)
    assert again["metrics"] == record["metrics"]
    assert again["by_joint"] == record["by_joint"]
    assert set(read_history(tmp_path)) == {"flow", "lifting"}


def test_a_finished_run_is_returned_without_training(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run(tiny_dataset, tmp_path)
    monkeypatch.setattr(runs, "train", None)
    monkeypatch.setattr(runs, "load_dataset", None)
    assert run(tiny_dataset, tmp_path) == record
    by_name = run_experiment(tiny(), out=tmp_path, data=DataChoice(name="embedded"))
    assert by_name == record


def test_a_finished_run_with_other_parameters_is_never_overwritten(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    run(tiny_dataset, tmp_path)
    before = (tmp_path / RECORD).read_bytes()
    with pytest.raises(ValueError, match=r"lift_lr: 0\.001, now 0\.5\); choose another folder"):
        run(tiny_dataset, tmp_path, tiny(lift_lr=0.5))
    with pytest.raises(ValueError, match="experiment: 'single', now 'other'"):
        run(tiny_dataset, tmp_path, experiment="other")
    with pytest.raises(ValueError, match="dataset: 'embedded', now 'cmu'"):
        run_experiment(tiny(), out=tmp_path, data=DataChoice(name="cmu", data_root="x"))
    assert (tmp_path / RECORD).read_bytes() == before


def test_two_runs_never_share_a_folder(tiny_dataset: PoseDataset, tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path, busy=""),
        pytest.raises(ValueError, match="another run is training into this folder"),
    ):
        run(tiny_dataset, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("killed_in", ["train", "train_supervised", "evaluate", "save"])
def test_a_run_killed_anywhere_leaves_no_record_and_ends_the_same(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    expected = run(tiny_dataset, tmp_path / "whole")
    real = getattr(runs, killed_in)

    def kill(*given: Any, **options: Any) -> None:
        if killed_in in ("train", "train_supervised"):
            real(*given, **options)  # its checkpoints are there, what follows is lost
        raise KeyboardInterrupt

    out = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(runs, killed_in, kill)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_dataset, out)
    assert not (out / RECORD).exists()
    record = run(tiny_dataset, out)
    for name in ("metrics", "baselines", "by_activity", "by_joint", "parameters", "data"):
        assert record[name] == expected[name]
    assert record["files"] == expected["files"]
    assert {p.name for p in out.iterdir()} == {RECORD, HISTORY, WEIGHTS}


def test_a_full_disk_at_the_end_loses_no_training(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.model.save_file", lambda *a, **k: full())
        with pytest.raises(OSError, match="No space left"):
            run(tiny_dataset, tmp_path)
    assert (tmp_path / "checkpoint" / "state.pt").is_file()
    assert not any(p.name.endswith(".part") for p in tmp_path.rglob("*"))

    def forbidden(*given: Any) -> None:
        raise AssertionError("a finished stage was trained again")

    monkeypatch.setattr("selfpose.lifting.descend", forbidden)
    monkeypatch.setattr("selfpose.evaluation.baselines.descend", forbidden)
    assert run(tiny_dataset, tmp_path)["metrics"]


def test_without_labels_or_wish_there_is_no_ceiling(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    blind = replace(tiny_dataset, ceiling=None)
    assert run(blind, tmp_path / "a")["baselines"]["supervised"] is None
    unwanted = run(tiny_dataset, tmp_path / "b", tiny(supervised=False))
    assert unwanted["baselines"]["supervised"] is None
    assert "p_mpjpe_mm" in unwanted["baselines"]["mean_pose"]


def test_a_run_from_pictures_predicts_what_its_record_says(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    config = tiny(input="images", steps=4, side_steps=2, batch=4, skeleton_size=16)
    record = run(tiny_dataset, tmp_path, config)
    assert evaluate(load(tmp_path / WEIGHTS), tiny_dataset.test)["metrics"] == record["metrics"]
    assert record["metrics"]["error_2d_percent"] > 1
    assert {"flow", "lifting", "images"} <= set(read_history(tmp_path))


def test_a_broken_record_is_no_finished_run(tiny_dataset: PoseDataset, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(ValueError, match=r"record\.json: not JSON .*remove it and run again"):
        run(tiny_dataset, tmp_path)


def test_runs_with_several_seeds_share_their_data() -> None:
    choice = DataChoice()
    small = {"n_unlabelled": 8, "n_unpaired": 8, "n_test": 4}
    first, second = (choice.load(tiny(seed=s, **small), progress=False) for s in (0, 5))
    assert torch.equal(first.unpaired, second.unpaired)
    assert len(first.unlabelled) == 8
    assert len(first.test) == 4


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "meta:x"])
def test_devices_that_cannot_compute_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match=f"cannot compute on the device '{device}'"):
        check_device(device)
    assert check_device("cpu") == "cpu"


def test_unpaired_poses_can_come_from_another_data_set(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"n_unlabelled": 40, "n_unpaired": 48, "n_test": 4}
    own = DataChoice().load(tiny(**small), progress=False)
    assert "unpaired_from" not in own.provenance
    same = DataChoice().load(tiny(unpaired_from="embedded", **small), progress=False)
    assert torch.equal(same.unpaired, own.unpaired)
    assert same.provenance == own.provenance

    real = runs.load_dataset

    def load(name: str, **options: Any) -> PoseDataset:
        if name == "cmu":
            return replace(tiny_dataset, name="cmu")
        return real(name, **options)

    monkeypatch.setattr(runs, "load_dataset", load)
    choice = DataChoice(name="cmu", data_root="somewhere")
    mixed = choice.load(tiny(unpaired_from="embedded", **small), progress=False)
    assert torch.equal(mixed.unpaired, own.unpaired)  # however few pictures were painted with it
    assert torch.equal(mixed.test.images, tiny_dataset.test.images)
    assert mixed.skeleton == tiny_dataset.skeleton
    assert mixed.provenance["unpaired_from"]["data"] == "embedded"
    assert {k: mixed.provenance[k] for k in tiny_dataset.provenance} == tiny_dataset.provenance
    with pytest.raises(ValueError, match=r"can be taken from embedded or .*, which need no folder"):
        DataChoice().load(tiny(unpaired_from="cmu", **small), progress=False)
    assert torch.equal(choice.load(tiny(unpaired_from="cmu")).unpaired, tiny_dataset.unpaired)
