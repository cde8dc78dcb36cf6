"""Snapshots of a training: they change nothing, survive a kill, and are what networks drew."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.snapshots import (
    SNAPSHOTS,
    SnapshotRecorder,
    Snapshots,
    save_snapshots,
    snapshots_of_run,
)
from selfpose.files import file_digest
from selfpose.model import load
from selfpose.run import WEIGHTS, read_record
from selfpose.train import build_pipeline

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture
def taken(tiny_dataset: PoseDataset) -> Snapshots:
    """Of untrained networks, after no step and after one."""
    pipeline = build_pipeline(tiny_dataset, Config.for_run(preset="smoke"))
    recorder = SnapshotRecorder(tiny_dataset.test.images, n_steps=1)
    for step in range(2):
        recorder.take(step, pipeline, nn.ModuleDict({"phi": pipeline.phi, "omega": pipeline.omega}))
    found = recorder.snapshots()
    assert found is not None
    return found


def assert_equal(one: Snapshots | None, other: Snapshots | None) -> None:
    assert one is not None
    assert other is not None
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name)), name


def test_taking_a_snapshot_changes_nothing_and_survives_a_checkpoint(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    pipeline = build_pipeline(tiny_dataset, Config.for_run(preset="smoke")).train()
    networks = nn.ModuleDict({"phi": pipeline.phi, "omega": pipeline.omega})
    before = {name: value.clone() for name, value in pipeline.state_dict().items()}
    random = torch.get_rng_state()
    whole, resumed = (SnapshotRecorder(tiny_dataset.test.images, n_steps=2) for _ in range(2))
    assert whole.snapshots() is None
    for step in range(3):
        whole.take(step, pipeline, networks)
        if step == 1:  # killed after it
            torch.save(whole.state_dict(), tmp_path / "state.pt")
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in pipeline.state_dict().items())
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.take(2, pipeline, networks)
    assert_equal(resumed.snapshots(), whole.snapshots())


def test_the_last_snapshot_is_what_the_finished_run_predicts(
    tiny_dataset: PoseDataset, trained_images: Path
) -> None:
    kept = snapshots_of_run(trained_images, read_record(trained_images))
    assert kept is not None
    images = tiny_dataset.test.images
    assert kept.shows(images)
    pipeline = load(trained_images / WEIGHTS)
    said = pipeline.predict(images[kept.rows])
    last = kept.prediction(len(kept) - 1, image_size=tiny_dataset.image_size)
    assert said.skeleton_image is not None
    assert last.skeleton_image is not None
    # Snapshots have 8 bits, and are of networks that were not rounded yet.
    torch.testing.assert_close(last.skeleton_image, said.skeleton_image, rtol=0, atol=1 / 255)
    read = said.pose_2d if said.pose_2d_seen is None else said.pose_2d_seen  # not refined
    torch.testing.assert_close(last.pose_2d, read, rtol=1e-4, atol=1e-2)
    lifted = pipeline.predict_from_poses(read)
    torch.testing.assert_close(last.pose_3d, lifted.pose_3d, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(last.elevation, lifted.elevation, rtol=1e-3, atol=1e-3)


def test_lifting_keeps_no_snapshots(trained_poses: Path) -> None:
    assert snapshots_of_run(trained_poses, read_record(trained_poses)) is None


def test_pictures_are_known_again_and_others_are_not(
    tiny_dataset: PoseDataset, taken: Snapshots
) -> None:
    images = tiny_dataset.test.images
    noise = torch.randint(-3, 4, images.shape)
    assert taken.shows((images.int() + noise).clamp(0, 255).to(torch.uint8))
    for others in (images.roll(1, 0), images.flip(-1), images[:48]):
        assert not taken.shows(others)


def test_a_file_is_read_back_if_it_is_the_one_of_the_record(
    tmp_path: Path, taken: Snapshots
) -> None:
    path = tmp_path / SNAPSHOTS
    save_snapshots(taken, path)
    record = {"files": {SNAPSHOTS: file_digest(path)}}
    assert_equal(snapshots_of_run(tmp_path, record), taken)
    save_snapshots(replace(taken, poses_2d=taken.poses_2d + 1), path)
    with pytest.raises(ValueError, match="not the snapshots that the record was made with"):
        snapshots_of_run(tmp_path, record)
    path.unlink()
    assert snapshots_of_run(tmp_path, record) is None  # named, but left behind


@pytest.mark.parametrize(
    "path", sorted(RESULTS.rglob(SNAPSHOTS)), ids=lambda p: p.relative_to(RESULTS).parts[0]
)
def test_published_snapshots_are_readable(path: Path) -> None:
    record = json.loads((path.parent / "record.json").read_text())
    kept = snapshots_of_run(path.parent, record)
    assert kept is not None
    assert (len(kept), len(kept.rows)) == (9, 4)
    assert int(kept.steps[-1]) == record["parameters"]["pictures"]["steps"]
