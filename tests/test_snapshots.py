"""Snapshots of a training: they change nothing, survive a kill, and are what the networks drew."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from selfpose.evaluation.scores import snapshots as module
from selfpose.config import PRESETS, Config
from selfpose.data.dataset import PoseDataset
from selfpose.model import load
from experiments.records import RECORD, SNAPSHOTS, WEIGHTS, publish, read_record, write_json
from selfpose.run import run_experiment
from selfpose.evaluation.snapshots import (
    MAX_BYTES,
    Album,
    Snapshots,
    coarse,
    read_snapshots,
    save_snapshots,
    snapshot_steps,
    snapshots_of_run,
    spread_rows,
)
from selfpose.steps import Runner, step_generator
from selfpose.training import build_pipeline, train

TINY: dict[str, Any] = {
    "preset": "smoke",
    "skeleton_size": 16,
    "width_lambda": 32,
    "flow_steps": 4,
    "lift_steps": 4,
    "side_steps": 4,
    "steps": 8,
    "batch": 4,
    "supervised": False,
    "checkpoint_every_s": 0.0,  # a checkpoint after each step
}


def tiny(**changes: Any) -> Config:
    return Config.for_run(**{**TINY, **changes})


def some(**changes: Any) -> Snapshots:
    """Three looks at two pictures."""
    values: dict[str, Any] = {
        "steps": torch.tensor([0, 4, 9]),
        "rows": torch.tensor([1, 3]),
        "marks": torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8),
        "skeleton_images": torch.randint(256, (3, 2, 3, 16, 16), dtype=torch.uint8),
        "poses_2d": torch.rand(3, 2, 17, 2),
        "poses_3d": torch.randn(3, 2, 17, 3),
        "elevations": torch.randn(3, 2),
    }
    return Snapshots(**{**values, **changes})


def assert_equal(one: Snapshots | None, other: Snapshots | None) -> None:
    assert one is not None
    assert other is not None
    for f in fields(Snapshots):
        assert torch.equal(getattr(one, f.name), getattr(other, f.name)), f.name


def state(dataset: PoseDataset, config: Config, out: Path | None = None) -> tuple[Any, Runner]:
    pipeline, runner = train(dataset, config, out=out, progress=False)
    return pipeline.state_dict(), runner


# --- when, and of what ------------------------------------------------------------------------


@given(n=st.integers(1, 10**6))
def test_snapshots_are_taken_from_before_the_first_step_to_the_last(n: int) -> None:
    steps = snapshot_steps(n)
    assert steps[0] == 0
    assert steps[-1] == n
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= 9
    if n >= 50:  # half of them within a tenth of the way
        assert len(steps) >= 8
        assert sum(step <= n / 10 + 1 for step in steps) >= len(steps) / 2


@given(n=st.integers(1, 5000), wanted=st.integers(1, 8))
def test_rows_are_spread_evenly(n: int, wanted: int) -> None:
    rows = spread_rows(n, wanted)
    assert len(rows) == min(n, wanted)
    assert rows[0] >= 0
    assert rows[-1] < n
    gaps = torch.cat([rows.diff(), torch.tensor([int(rows[0]) + n - int(rows[-1])])])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("joints", "channels", "size", "pictures"),
    [(17, 3, 32, 4), (21, 3, 64, 4), (17, 3, 256, 4), (17, 1, 8, 4), (1500, 3, 64, 1)],
)
def test_an_album_keeps_the_limit_whatever_the_body(
    tmp_path: Path, joints: int, channels: int, size: int, pictures: int
) -> None:
    images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
    album = Album(images, n_steps=60000, n_joints=joints, channels=channels, skeleton_size=size)
    assert len(album.rows) == pictures
    album.taken.fill_(True)
    kept = album.snapshots()
    assert kept is not None
    save_snapshots(kept, tmp_path / SNAPSHOTS)
    assert (tmp_path / SNAPSHOTS).stat().st_size <= MAX_BYTES
    assert_equal(read_snapshots(tmp_path / SNAPSHOTS), kept)


def test_where_there_is_no_room_for_one_picture_there_are_no_snapshots(
    tiny_dataset: PoseDataset,
) -> None:
    images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
    album = Album(images, n_steps=100, n_joints=9000, channels=3, skeleton_size=64)
    album.take(0, build_pipeline(tiny_dataset, tiny()), torch.nn.ModuleDict())
    assert album.snapshots() is None


def test_every_preset_keeps_four_pictures() -> None:
    for preset in PRESETS:
        config = Config.for_run(preset=preset)
        images = torch.zeros(9, 3, config.image_size, config.image_size, dtype=torch.uint8)
        album = Album(
            images,
            n_steps=config.steps,
            n_joints=17,
            channels=config.channels,
            skeleton_size=config.skeleton_size,
        )
        assert len(album.rows) == 4
        assert album.skeleton_images.shape[-1] == config.skeleton_size


# --- in a training ----------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["selfpose", "paper"])
def test_a_training_is_the_same_with_and_without_snapshots(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    with_weights, with_runner = state(tiny_dataset, tiny(variant=variant))
    assert with_runner.snapshots is not None
    assert with_runner.snapshots.steps.tolist() == [0, 1, 2, 3, 6, 8]
    monkeypatch.setattr(Album, "take", lambda self, *given: None)
    weights, runner = state(tiny_dataset, tiny(variant=variant))
    assert runner.snapshots is None
    assert runner.history == with_runner.history
    assert weights.keys() == with_weights.keys()
    assert all(torch.equal(value, with_weights[name]) for name, value in weights.items())


def test_labels_of_test_pictures_are_not_looked_at(tiny_dataset: PoseDataset) -> None:
    test = tiny_dataset.test
    blind = replace(
        test,
        poses_2d=torch.full_like(test.poses_2d, torch.nan),
        poses_3d=torch.full_like(test.poses_3d, torch.nan),
    )
    _, own = state(tiny_dataset, tiny())
    _, other = state(replace(tiny_dataset, test=blind), tiny())
    assert_equal(own.snapshots, other.snapshots)


@pytest.mark.parametrize(
    ("stage", "step"), [("sides", 2), ("images", 0), ("images", 1), ("images", 4), ("images", 7)]
)
def test_a_killed_training_ends_with_the_snapshots_of_one_that_ran_through(
    tiny_dataset: PoseDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    step: int,
) -> None:
    _, whole = state(tiny_dataset, tiny())

    def kill(seed: int, name: str, number: int) -> torch.Generator:
        if (name, number) == (stage, step):
            raise KeyboardInterrupt
        return step_generator(seed, name, number)

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.steps.step_generator", kill)
        with pytest.raises(KeyboardInterrupt):
            state(tiny_dataset, tiny(), tmp_path)
    torch.manual_seed(99)
    _, resumed = state(tiny_dataset, tiny(), tmp_path)
    assert_equal(resumed.snapshots, whole.snapshots)
    # and once all is trained, what is left to do only reads them
    _, again = state(tiny_dataset, tiny(), tmp_path)
    assert_equal(again.snapshots, whole.snapshots)


def test_the_last_snapshot_is_what_the_finished_run_predicts(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    record = run_experiment(
        tiny(), out=tmp_path, dataset=tiny_dataset, device="cpu", progress=False
    )
    assert SNAPSHOTS in record["files"]
    kept = snapshots_of_run(tmp_path, record)
    assert kept is not None
    images = tiny_dataset.test.images
    assert kept.shows(images)
    said = load(tmp_path / WEIGHTS).predict(images[kept.rows])
    last = kept.prediction(len(kept) - 1, image_size=tiny_dataset.image_size)
    assert said.skeleton_image is not None
    assert last.skeleton_image is not None
    # Snapshots have 8 bits, and are of networks that were not rounded yet.
    near = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(last.skeleton_image, said.skeleton_image, rtol=0, atol=1 / 255)
    assert said.pose_2d_seen is not None  # snapshots are not refined
    torch.testing.assert_close(last.pose_2d, said.pose_2d_seen, rtol=1e-4, atol=1e-2)
    lifted = load(tmp_path / WEIGHTS).predict_from_poses(said.pose_2d_seen)
    torch.testing.assert_close(last.pose_3d, lifted.pose_3d, **near)
    torch.testing.assert_close(last.elevation, lifted.elevation, **near)
    first = kept.prediction(0, image_size=tiny_dataset.image_size)
    assert not torch.allclose(first.pose_2d, last.pose_2d)


def test_lifting_keeps_no_snapshots(tiny_dataset: PoseDataset, tmp_path: Path) -> None:
    """Not even those that a run from pictures left in the folder."""
    tmp_path.joinpath(SNAPSHOTS).write_bytes(b"older")
    record = run_experiment(
        tiny(input="poses"), out=tmp_path, dataset=tiny_dataset, device="cpu", progress=False
    )
    assert SNAPSHOTS not in record["files"]
    assert not (tmp_path / SNAPSHOTS).exists()
    assert snapshots_of_run(tmp_path, record) is None


# --- on disk ----------------------------------------------------------------------------------


def test_snapshots_are_read_back_as_they_were(tmp_path: Path) -> None:
    kept = some()
    save_snapshots(kept, tmp_path / SNAPSHOTS)
    assert_equal(read_snapshots(tmp_path / SNAPSHOTS), kept)


def test_pictures_are_known_again_and_others_are_not(tiny_dataset: PoseDataset) -> None:
    images = tiny_dataset.test.images
    rows = spread_rows(len(images), 2)
    kept = some(rows=rows, marks=coarse(images[rows]))
    assert kept.shows(images)
    noise = torch.randint(-3, 4, images.shape)
    assert kept.shows((images.int() + noise).clamp(0, 255).to(torch.uint8))
    assert not kept.shows(images.roll(1, 0))
    assert not kept.shows(images.flip(-1))
    assert not kept.shows(images[: int(rows[-1])])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"steps": torch.tensor([0, 4, 4])}, "steps must ascend"),
    ({"steps": torch.tensor([-1, 4, 9])}, "steps must ascend from 0"),
    ({"steps": torch.tensor([], dtype=torch.int64)}, "steps must ascend"),
    ({"steps": torch.tensor([0, 4])}, r"skeleton_images of 2 snapshots of 2 pictures"),
    ({"steps": torch.tensor([0.0, 4.0, 9.0])}, r"steps must be torch\.int64"),
    ({"rows": torch.tensor([3, 1])}, "rows must ascend"),
    ({"rows": torch.tensor([1, 2, 3])}, "marks of 3 snapshots of 3 pictures"),
    ({"marks": torch.zeros(2, 3, 64, 64, dtype=torch.uint8)}, "marks of"),
    ({"skeleton_images": torch.rand(3, 2, 3, 16, 16)}, r"skeleton_images must be torch\.uint8"),
    ({"skeleton_images": torch.zeros(3, 2, 3, 16, 8, dtype=torch.uint8)}, "skeleton_images of"),
    (
        {"skeleton_images": torch.zeros(3, 2, 3, 65, 65, dtype=torch.uint8)},
        "skeleton_images of 3 .* at most 64 px",
    ),
    ({"poses_2d": torch.rand(3, 2, 17, 3)}, "poses_2d of"),
    ({"poses_2d": torch.full((3, 2, 17, 2), torch.nan)}, "poses_2d hold NaN"),
    ({"poses_3d": torch.rand(3, 2, 16, 3)}, "poses_3d of"),
    ({"poses_3d": torch.full((3, 2, 17, 3), torch.inf)}, "poses_3d hold NaN or infinite"),
    ({"elevations": torch.zeros(3, 2, dtype=torch.float64)}, r"elevations must be torch\.float32"),
    ({"elevations": torch.zeros(3)}, "elevations of"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_cannot_be_true_is_refused_when_built_and_when_read(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        some(**change)
    good = some()
    tensors = {f.name: getattr(good, f.name) for f in fields(Snapshots)} | change
    path = tmp_path / SNAPSHOTS
    save_file(tensors, path, metadata={"selfpose": module.FORMAT})
    with pytest.raises(ValueError, match=rf"snapshots\.safetensors: {message}"):
        read_snapshots(path)


def test_files_that_are_no_snapshots_are_named(tmp_path: Path) -> None:
    path = tmp_path / SNAPSHOTS
    with pytest.raises(FileNotFoundError, match="no such file of snapshots"):
        read_snapshots(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        read_snapshots(path)
    save_snapshots(some(), path)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="expected a file marked 'snapshots 1', got None"):
        read_snapshots(path)
    del tensors["rows"]
    save_file(tensors, path, metadata={"selfpose": module.FORMAT})
    with pytest.raises(ValueError, match=r"expected steps, rows, .*; got elevations"):
        read_snapshots(path)
    path.write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(ValueError, match="are too many for snapshots"):
        read_snapshots(path)


def test_too_many_are_not_written(tmp_path: Path) -> None:
    k = 50
    large = some(
        steps=torch.arange(k),
        skeleton_images=torch.zeros(k, 2, 3, 64, 64, dtype=torch.uint8),
        poses_2d=torch.zeros(k, 2, 17, 2),
        poses_3d=torch.zeros(k, 2, 17, 3),
        elevations=torch.zeros(k, 2),
    )
    with pytest.raises(ValueError, match="are too large"):
        save_snapshots(large, tmp_path / SNAPSHOTS)
    assert list(tmp_path.iterdir()) == []


# --- beside a record --------------------------------------------------------------------------


@pytest.fixture
def run_folder(tiny_dataset: PoseDataset, tmp_path: Path) -> Path:
    """A run from pictures, as if it had been made at a commit."""
    folder = tmp_path / "runs" / "a"
    config = tiny(steps=2)
    record = run_experiment(config, out=folder, dataset=tiny_dataset, device="cpu", progress=False)
    clean = {"commit": "abc", "commit_dirty": False, "source": None}
    write_json(folder / RECORD, {**record, **clean})
    return folder


def test_snapshots_are_published_with_the_weights_and_leave_with_them(
    run_folder: Path, tmp_path: Path
) -> None:
    runs, results = run_folder.parent, tmp_path / "results"
    publish(runs, results)
    record = read_record(results / "a")
    assert not (results / "a" / SNAPSHOTS).exists()
    assert snapshots_of_run(results / "a", record) is None  # named, but left behind
    publish(runs, results, weights=["a"])
    assert_equal(snapshots_of_run(results / "a", record), read_snapshots(run_folder / SNAPSHOTS))
    publish(runs, results)  # of an unchanged run they stay
    assert (results / "a" / SNAPSHOTS).is_file()
    older = read_record(run_folder)
    del older["files"][SNAPSHOTS]  # a run of the time before snapshots takes its place
    write_json(run_folder / RECORD, older)
    publish(runs, results, weights=["a"])
    assert (results / "a" / WEIGHTS).is_file()
    assert not (results / "a" / SNAPSHOTS).exists()
    assert snapshots_of_run(results / "a", read_record(results / "a")) is None


def test_snapshots_of_another_run_are_refused(run_folder: Path, tmp_path: Path) -> None:
    save_snapshots(some(), run_folder / SNAPSHOTS)
    with pytest.raises(ValueError, match="not the snapshots that the record was made with"):
        snapshots_of_run(run_folder, read_record(run_folder))
    with pytest.raises(ValueError, match="not the snapshots that the record was made with"):
        publish(run_folder.parent, tmp_path / "results", weights=["a"])
    (run_folder / SNAPSHOTS).unlink()
    with pytest.raises(FileNotFoundError, match="no snapshots beside the record"):
        publish(run_folder.parent, tmp_path / "results", weights=["a"])
    assert not (tmp_path / "results").exists()
