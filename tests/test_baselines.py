"""The floors and the ceiling: what they claim to be, and the order that they must stand in."""

from dataclasses import replace

import pytest
import torch

from selfpose import metrics
from selfpose.evaluation.baselines import (
    baseline_errors,
    facing_angle,
    flat_pose,
    mean_pose_3d,
    mean_pose_errors,
    nearest_neighbour_errors,
    nearest_pose,
    train_supervised,
    true_depth_offsets,
)
from selfpose.camera import azimuth_rotation, lift, project
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.scores import evaluate, predict_test
from selfpose.skeleton import HUMAN_17, Skeleton
from selfpose.training import build_pipeline

ROOT = HUMAN_17.root


def lifting(**changes: object) -> Config:
    return Config.for_run(preset="smoke", input="poses", overrides=changes)


def test_the_flat_pose_has_one_depth_and_the_same_projection(tiny_dataset: PoseDataset) -> None:
    pipeline = build_pipeline(tiny_dataset, lifting())
    prediction = predict_test(pipeline, tiny_dataset.test)
    flat = flat_pose(pipeline, prediction)
    assert (flat[..., 2] == 10).all()
    torch.testing.assert_close(project(flat), project(prediction.pose_3d))


def test_facing_angle_turns_with_the_body() -> None:
    pose = torch.randn(5, 17, 3, dtype=torch.float64)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turned = pose @ azimuth_rotation(angle).mT
    difference = facing_angle(pose, HUMAN_17) - facing_angle(turned, HUMAN_17)
    torch.testing.assert_close(torch.exp(1j * difference), torch.exp(1j * angle).expand(5))
    undone = pose @ azimuth_rotation(facing_angle(pose, HUMAN_17)).mT
    torch.testing.assert_close(facing_angle(undone, HUMAN_17), torch.zeros(5, dtype=torch.float64))


def test_a_body_without_sides_faces_ahead() -> None:
    crane = Skeleton(name="crane", joints=("base", "hook"), bones=((0, 1),), root=0, top=1)
    assert torch.equal(facing_angle(torch.rand(3, 2, 3), crane), torch.zeros(3))


def test_the_mean_of_one_turned_pose_is_that_pose(tiny_dataset: PoseDataset) -> None:
    labels = tiny_dataset.test
    pose = metrics.root_centred(labels.poses_3d[:1], ROOT)
    angles = torch.linspace(-3, 3, len(labels))
    turned = replace(labels, poses_3d=pose @ azimuth_rotation(angles).mT)
    mean = mean_pose_3d(turned, HUMAN_17)
    assert metrics.p_mpjpe(mean, labels.poses_3d[0]) < 0.1


def test_the_mean_of_a_body_without_sides_forgives_turn_and_size(tiny_dataset: PoseDataset) -> None:
    labels = tiny_dataset.test
    n, draw = len(labels), torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(n, 3, 3, generator=draw)).Q
    turns = turns * turns.det().sign()[:, None, None]  # proper rotations
    size = 1 + torch.rand(n, 1, 1, generator=draw)
    moved = replace(labels, poses_3d=size * labels.poses_3d[:1] @ turns.mT)
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


def test_the_nearest_pose_is_the_one_of_the_whole_search() -> None:
    known, wanted = 64 * torch.rand(300, 17, 2), 64 * torch.rand(600, 17, 2)
    found = nearest_pose(wanted, known, root=ROOT)
    k, w = metrics.root_centred(known, ROOT), metrics.root_centred(wanted, ROOT)
    distance = (w[:, None] - k[None]).square().sum(dim=(2, 3))
    torch.testing.assert_close(distance.gather(1, found[:, None])[:, 0], distance.amin(dim=1))
    moved = known + 10 * torch.randn(300, 1, 2)
    assert torch.equal(nearest_pose(moved, known, root=ROOT), torch.arange(300))


def test_a_pose_that_is_in_the_memory_is_found_with_its_depth(tiny_dataset: PoseDataset) -> None:
    seen = tiny_dataset.test
    labels = replace(
        seen,
        images=tiny_dataset.unlabelled.images,
        sequence=tiny_dataset.unlabelled.sequence,
        poses_2d=torch.cat([seen.poses_2d.flip(0), 3 * seen.poses_2d.repeat(3, 1, 1)]),
        poses_3d=torch.cat([seen.poses_3d.flip(0), seen.poses_3d.roll(1, 0).repeat(3, 1, 1)]),
        activity=("x",) * 256,
    )
    known = replace(tiny_dataset, ceiling=labels, unpaired=seen.poses_2d.roll(5, 0))
    found = nearest_neighbour_errors(known, seen.poses_2d)
    assert found is not None
    assert found["p_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found["error_2d_percent"] == pytest.approx(0, abs=1e-4)
    assert nearest_neighbour_errors(replace(tiny_dataset, ceiling=None), seen.poses_2d) is None


def test_the_memory_lies_between_nothing_and_everything(tiny_dataset: PoseDataset) -> None:
    """Looking up the wrong pose is worse than looking up the right one."""
    poses = tiny_dataset.test.poses_2d
    right = nearest_neighbour_errors(tiny_dataset, poses)
    wrong = nearest_neighbour_errors(tiny_dataset, poses.roll(20, 0))
    assert right is not None
    assert wrong is not None
    assert right["p_mpjpe_mm"] < wrong["p_mpjpe_mm"]
    assert right["error_2d_percent"] < wrong["error_2d_percent"]


def test_true_depth_offsets_lift_to_the_true_pose(tiny_dataset: PoseDataset) -> None:
    pipeline = build_pipeline(tiny_dataset, lifting())
    test = tiny_dataset.test
    offsets = true_depth_offsets(pipeline, test.poses_2d, test.poses_3d)
    assert (offsets[:, ROOT] == 0).all()
    plane = pipeline.scale.pixels_to_plane(test.poses_2d, ROOT)
    lifted = lift(plane, offsets)
    # Exact but for the position of the person in the picture, which the plane leaves out.
    error = metrics.p_mpjpe(lifted.double(), test.poses_3d.double()).mean()
    flat = metrics.p_mpjpe(lift(plane, 0 * offsets).double(), test.poses_3d.double()).mean()
    assert error < 0.2 * flat


@pytest.mark.slow
def test_the_supervised_ceiling_learns(tiny_dataset: PoseDataset) -> None:
    config = lifting(lift_steps=150, lift_batch=64)
    pipeline = train_supervised(tiny_dataset, config, progress=False)
    table = baseline_errors(build_pipeline(tiny_dataset, config), tiny_dataset, pipeline)
    assert list(table) == ["flat", "mean_pose", "nearest_neighbour", "supervised"]
    flat, ceiling = table["flat"], table["supervised"]
    assert flat is not None
    assert ceiling is not None
    assert ceiling["p_mpjpe_mm"] < 0.9 * flat["p_mpjpe_mm"]
    expected = evaluate(pipeline, tiny_dataset.test)["metrics"]
    assert ceiling == {k: v for k, v in expected.items() if k in ceiling}


def test_the_supervised_ceiling_trains_from_pictures_and_is_deterministic(
    tiny_dataset: PoseDataset,
) -> None:
    config = Config.for_run(preset="smoke", lift_steps=3, supervised_steps=3, batch=4)
    first, again = (train_supervised(tiny_dataset, config, progress=False) for _ in range(2))
    start = build_pipeline(tiny_dataset, config)
    kept = again.state_dict()
    for name, value in first.state_dict().items():
        assert torch.equal(value, kept[name])
    for name in ("phi.net.head.weight", "omega.net.head.weight", "lifter.depth_head.weight"):
        assert not torch.equal(start.state_dict()[name], kept[name])


def test_a_ceiling_without_labels_is_refused(tiny_dataset: PoseDataset) -> None:
    with pytest.raises(ValueError, match="no labels to train a supervised ceiling"):
        train_supervised(replace(tiny_dataset, ceiling=None), lifting(), progress=False)


def test_every_baseline_has_the_metrics_of_a_run(tiny_dataset: PoseDataset) -> None:
    pipeline = build_pipeline(tiny_dataset, lifting())
    table = baseline_errors(pipeline, tiny_dataset, pipeline)
    names = set(table["flat"] or ())
    assert {"p_mpjpe_mm", "n_mpjpe_mm", "error_2d_percent"} <= names
    assert all(set(row or ()) == names for row in table.values())
    assert names <= set(evaluate(pipeline, tiny_dataset.test)["metrics"])
    assert baseline_errors(pipeline, tiny_dataset, None)["supervised"] is None


def test_a_prediction_at_hand_is_measured_in_the_place_of_a_new_one(
    tiny_dataset: PoseDataset,
) -> None:
    pipeline = build_pipeline(tiny_dataset, lifting())
    own = predict_test(pipeline, tiny_dataset.test)
    other = replace(own, pose_3d=own.pose_3d.flip(0))
    assert evaluate(pipeline, tiny_dataset.test, prediction=own) == evaluate(
        pipeline, tiny_dataset.test
    )
    assert evaluate(pipeline, tiny_dataset.test, prediction=other) != evaluate(
        pipeline, tiny_dataset.test
    )
    given = baseline_errors(pipeline, tiny_dataset, None, prediction=own)
    assert given == baseline_errors(pipeline, tiny_dataset, None)
