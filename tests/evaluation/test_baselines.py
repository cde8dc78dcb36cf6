"""The floors and the ceiling: what they claim to be, and the order that they must stand in."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from selfpose import metrics
from selfpose.camera import azimuth_rotation, lift
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.baselines import (
    baseline_errors,
    mean_pose_3d,
    mean_pose_errors,
    nearest_neighbour,
    train_supervised,
    true_depth_offsets,
)
from selfpose.evaluation.scores import evaluate, predict_test
from selfpose.skeleton import HUMAN_17
from selfpose.train import build_pipeline

ROOT = HUMAN_17.root


def lifting(**overrides: Any) -> Config:
    return Config.for_run(preset="smoke", input="poses", overrides=overrides)


def test_the_mean_of_one_turned_pose_is_that_pose(tiny_dataset: PoseDataset) -> None:
    labels = tiny_dataset.test
    pose = metrics.root_centred(labels.poses_3d[:1], ROOT)
    angles = torch.linspace(-3, 3, len(labels))
    turned = replace(labels, poses_3d=pose @ azimuth_rotation(angles).mT)
    assert metrics.p_mpjpe(mean_pose_3d(turned, HUMAN_17), labels.poses_3d[0]) < 0.1


def test_the_mean_of_a_body_without_sides_forgives_turn_and_size(tiny_dataset: PoseDataset) -> None:
    labels = tiny_dataset.test
    n = len(labels)
    turns = torch.linalg.qr(torch.randn(n, 3, 3)).Q
    turns = turns * turns.det().sign()[:, None, None]  # proper rotations
    moved = replace(labels, poses_3d=(1 + torch.rand(n, 1, 1)) * labels.poses_3d[:1] @ turns.mT)
    body = replace(HUMAN_17, mirror_pairs=())
    assert metrics.p_mpjpe(mean_pose_3d(moved, body), labels.poses_3d[0]) < 0.5
    assert metrics.p_mpjpe(mean_pose_3d(moved, HUMAN_17), labels.poses_3d[0]) > 5


def test_mean_pose_errors_are_those_of_constants(tiny_dataset: PoseDataset) -> None:
    seen = mean_pose_errors(tiny_dataset)
    constant = tiny_dataset.unpaired.mean(0).expand(64, -1, -1)
    expected = metrics.error_2d_percent(constant, tiny_dataset.test.poses_2d, image_size=64).mean()
    assert seen["error_2d_percent"] == pytest.approx(expected.item(), rel=1e-5)
    assert seen["p_mpjpe_reflection_mm"] <= seen["p_mpjpe_mm"]
    blind = mean_pose_errors(replace(tiny_dataset, ceiling=None))
    assert set(blind) == {k for k in seen if "2d" in k or "facing" in k}


def test_poses_looked_up_are_the_nearest_of_the_whole_search(tiny_dataset: PoseDataset) -> None:
    labels = tiny_dataset.ceiling
    assert labels is not None
    said = predict_test(build_pipeline(tiny_dataset, lifting()), tiny_dataset.test)
    known = labels.poses_2d + 10 * torch.randn(len(labels), 1, 2)  # found with its depth
    wanted = torch.cat([known, 64 * torch.rand(50, 17, 2)])  # more than are searched at a time
    found = nearest_neighbour(tiny_dataset, replace(said, pose_2d=wanted))
    assert found is not None
    assert torch.equal(found.pose_3d[: len(labels)], labels.poses_3d)
    w, nearest, unpaired = (
        metrics.root_centred(p, ROOT).flatten(1)
        for p in (wanted, found.pose_2d, tiny_dataset.unpaired)
    )
    least = torch.cdist(w, unpaired).amin(dim=1)
    torch.testing.assert_close((w - nearest).norm(dim=1), least, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.pose_2d[:, ROOT], wanted[:, ROOT])
    assert nearest_neighbour(replace(tiny_dataset, ceiling=None), said) is None


def test_true_depth_offsets_lift_to_the_true_pose(tiny_dataset: PoseDataset) -> None:
    pipeline, test = build_pipeline(tiny_dataset, lifting()), tiny_dataset.test
    offsets = true_depth_offsets(pipeline, test.poses_2d, test.poses_3d)
    assert (offsets[:, ROOT] == 0).all()
    plane = pipeline.pixels_to_plane(test.poses_2d)
    # Exact but for the position of the person in the picture, which the plane leaves out.
    error, flat = (
        metrics.p_mpjpe(lift(plane, d).double(), test.poses_3d.double()).mean()
        for d in (offsets, 0 * offsets)
    )
    assert error < 0.2 * flat


def test_the_supervised_ceiling_learns(tiny_dataset: PoseDataset) -> None:
    config = lifting(**{"lifting.steps": 100, "lifting.batch": 64})
    pipeline = train_supervised(tiny_dataset, config, progress=False)
    table = baseline_errors(build_pipeline(tiny_dataset, config), tiny_dataset, pipeline)
    assert list(table) == ["flat", "mean_pose", "nearest_neighbour", "supervised"]
    flat, ceiling = table["flat"], table["supervised"]
    assert ceiling["p_mpjpe_mm"] < 0.9 * flat["p_mpjpe_mm"]
    expected = evaluate(pipeline, tiny_dataset.test)["metrics"]
    assert ceiling == {k: v for k, v in expected.items() if k in ceiling}


def test_the_supervised_ceiling_trains_from_pictures_and_is_deterministic(
    tiny_dataset: PoseDataset,
) -> None:
    few = {"lifting.steps": 3, "supervised_steps": 3, "pictures.batch": 4}
    config = Config.for_run(preset="smoke", overrides=few)
    first, again = (train_supervised(tiny_dataset, config, progress=False) for _ in range(2))
    start, kept = build_pipeline(tiny_dataset, config).state_dict(), again.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in first.state_dict().items())
    for name in ("phi.net.head.weight", "omega.net.head.weight", "lifter.depth_head.weight"):
        assert not torch.equal(start[name], kept[name])


def test_every_baseline_has_the_metrics_of_a_run(tiny_dataset: PoseDataset) -> None:
    pipeline = build_pipeline(tiny_dataset, lifting())
    table = baseline_errors(pipeline, tiny_dataset, pipeline)
    names = set(table["flat"] or ())
    assert all(set(row or ()) == names for row in table.values())
    assert set() < names <= set(evaluate(pipeline, tiny_dataset.test)["metrics"])
    unlabelled = baseline_errors(pipeline, replace(tiny_dataset, ceiling=None), None)
    assert (unlabelled["supervised"], unlabelled["nearest_neighbour"]) == (None, None)
