"""From predictions to numbers: perfect ones, empty ones, and tables that add up."""

from dataclasses import replace

import pytest
import torch

from selfpose.evaluation.scores import scores as evaluation
from selfpose.camera import PixelScale
from selfpose.cycle import FixedElevation
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.model import Architecture, PosePipeline, Prediction
from selfpose.render import draw_skeleton
from selfpose.skeleton import HUMAN_17


def truth(test: LabelledSet) -> Prediction:
    """What an all-knowing pipeline would say, in units of its own."""
    return Prediction(
        skeleton_image=None,
        pose_2d=test.poses_2d,
        pose_3d=test.poses_3d / 321,
        elevation=torch.zeros(len(test)),
    )


def first(test: LabelledSet, n: int) -> LabelledSet:
    return LabelledSet(
        **{k: v[:n] for k, v in vars(test).items() if v is not None},
    )


class Draughtsman(torch.nn.Module):
    """A Φ that knows the poses of the pictures that it is shown, in their order."""

    def __init__(self, dataset: PoseDataset, poses: torch.Tensor) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))
        unit = poses / dataset.image_size
        self.drawn = draw_skeleton(unit, HUMAN_17, size=32, gamma=500.0, channels=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drawn[: len(x)]


class Reader(torch.nn.Module):
    """An Ω that knows the poses, too."""

    def __init__(self, dataset: PoseDataset, poses: torch.Tensor) -> None:
        super().__init__()
        self.unit = poses / dataset.image_size

    def forward(self, s: torch.Tensor) -> torch.Tensor:
        return self.unit[: len(s)]


def test_perfect_predictions_score_perfectly(tiny_dataset: PoseDataset) -> None:
    values = evaluation.errors(truth(tiny_dataset.test), tiny_dataset.test, HUMAN_17)
    means = evaluation.mean_errors(values)
    for name, value in means.items():
        if name == "n_auc_percent":
            assert value == pytest.approx(100 * 30 / 31)
        elif name in ("n_pck150_percent", "facing_right_percent"):
            assert value == 100
        else:
            assert value == pytest.approx(0, abs=1e-3), name
    joints = evaluation.errors_by_joint(truth(tiny_dataset.test), tiny_dataset.test, HUMAN_17)
    assert tuple(joints) == HUMAN_17.joints
    assert max(v for row in joints.values() for v in row.values()) < 1e-2


def test_swapped_sides_show_in_the_strict_errors_alone(tiny_dataset: PoseDataset) -> None:
    seen = truth(tiny_dataset.test)
    swapped = replace(seen, pose_2d=seen.pose_2d[:, list(HUMAN_17.flip)])
    means = evaluation.mean_errors(evaluation.errors(swapped, tiny_dataset.test, HUMAN_17))
    assert means["error_2d_percent_side_tolerant"] == 0
    assert means["error_2d_percent"] > 1
    assert means["facing_right_percent"] == 0


def test_averages_by_activity_and_by_joint_add_up(tiny_dataset: PoseDataset) -> None:
    test = tiny_dataset.test
    seen = replace(truth(test), pose_2d=test.poses_2d + 3 * torch.randn(64, 17, 2))
    values = evaluation.errors(seen, test, HUMAN_17)
    total = evaluation.mean_errors(values)
    table = evaluation.errors_by_activity(values, test.activity)
    assert sum(row["n"] for row in table.values()) == len(test)
    for name in ("error_2d_percent", "p_mpjpe_mm"):
        mean = sum(row["n"] * row[name] for row in table.values()) / len(test)
        assert mean == pytest.approx(total[name], abs=1e-6)
    joints = evaluation.errors_by_joint(seen, test, HUMAN_17)
    mean = sum(row["error_2d_percent"] for row in joints.values()) / 17
    assert mean == pytest.approx(total["error_2d_percent"], rel=1e-5)


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("n", [1, 5])
def test_evaluate_gives_finite_numbers_for_any_number_of_pictures(
    tiny_dataset: PoseDataset, with_images: bool, n: int
) -> None:
    net = PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_phi=8, width_omega=8, width_lambda=32),
        scale=PixelScale.from_poses(tiny_dataset.unpaired, HUMAN_17),
        with_images=with_images,
    ).eval()
    seen = evaluation.evaluate(net, first(tiny_dataset.test, n))
    assert set(seen) == {"metrics", "by_activity", "by_joint"}
    for name, value in seen["metrics"].items():
        assert value == value, name
        assert abs(value) < 1e6, name
    if not with_images:
        assert seen["metrics"]["error_2d_percent"] == 0


def test_alignment_tells_own_pictures_from_shuffled(tiny_dataset: PoseDataset) -> None:
    poses = tiny_dataset.test.poses_2d
    knowing, ignoring = (
        evaluation.alignment(
            torch.nn.ModuleDict(
                {"phi": Draughtsman(tiny_dataset, p), "omega": Reader(tiny_dataset, p)}
            ),
            tiny_dataset,
            gamma=500.0,
        )
        for p in (poses, poses.mean(0).expand_as(poses))
    )
    assert knowing["alignment_own"] == 0
    assert knowing["alignment_shuffled"] > 0.01
    assert knowing["spread"] == pytest.approx(1)
    assert knowing["spread_to_unpaired"] == pytest.approx(1, abs=0.3)
    assert ignoring["alignment_own"] == pytest.approx(ignoring["alignment_shuffled"], rel=1e-4)
    assert ignoring["spread"] == pytest.approx(0, abs=1e-5)


def test_monitor_2d_is_the_error_in_percent(tiny_dataset: PoseDataset) -> None:
    poses = tiny_dataset.test.poses_2d + 3.2
    networks = torch.nn.ModuleDict(
        {"phi": Draughtsman(tiny_dataset, poses), "omega": Reader(tiny_dataset, poses)}
    )
    seen = evaluation.monitor_2d(networks, tiny_dataset)
    assert seen["error_2d_percent"] == pytest.approx(100 * 3.2 * 2**0.5 / 64, rel=1e-4)
    exchanged = tiny_dataset.test.poses_2d[:, list(HUMAN_17.flip)]
    networks["omega"] = Reader(tiny_dataset, exchanged)
    seen = evaluation.monitor_2d(networks, tiny_dataset)
    assert (seen["swapped_limbs_percent"], seen["facing_right_percent"]) == (100, 0)
    assert seen["mixed_sides_percent"] == 0
    first_limb = list(range(17))
    for left, right in HUMAN_17.limbs[0]:
        first_limb[left], first_limb[right] = right, left
    networks["omega"] = Reader(tiny_dataset, tiny_dataset.test.poses_2d[:, first_limb])
    seen = evaluation.monitor_2d(networks, tiny_dataset)
    assert seen["swapped_limbs_percent"] == 100 / len(HUMAN_17.limbs)
    assert seen["mixed_sides_percent"] == 100


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 383, 511, 512, 1000, 16384])
def test_monitors_look_at_pictures_spread_evenly(n: int) -> None:
    chosen = evaluation.monitored(n)
    assert len(chosen) == min(n, evaluation.MONITORED)
    assert (chosen[0], chosen[-1]) == (0, n - 1)
    if n > 1:
        apart = chosen.diff()
        assert apart.min() >= 1
        assert apart.max() - apart.min() <= 1


def test_monitors_look_at_pictures_of_the_whole_test_set(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few monitored pictures of many: networks that know those, and those alone, are perfect."""
    monkeypatch.setattr(evaluation, "MONITORED", 10)
    test = tiny_dataset.test
    poses = test.poses_2d[torch.arange(0, 64, 7)]
    networks = torch.nn.ModuleDict(
        {"phi": Draughtsman(tiny_dataset, poses), "omega": Reader(tiny_dataset, poses)}
    )
    s, unit = evaluation.look(networks, tiny_dataset)
    assert len(s) == len(unit) == 10
    seen = evaluation.monitor_2d(networks, tiny_dataset)
    assert seen["error_2d_percent"] == pytest.approx(0, abs=1e-4)
    aligned = evaluation.alignment(networks, tiny_dataset, gamma=500.0)
    assert aligned["alignment_own"] == 0
    net = PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_phi=8, width_omega=8, width_lambda=32),
        scale=PixelScale.from_poses(tiny_dataset.unpaired, HUMAN_17),
    )
    expected = evaluation.depth_errors(
        net.predict_from_poses(poses).pose_3d, test.poses_3d[::7], HUMAN_17
    )
    whole = evaluation.monitor_3d(net, networks, tiny_dataset)
    posed = evaluation.monitor_lifting(net, tiny_dataset)
    for name, value in expected.items():
        assert whole[name] == pytest.approx(value, rel=1e-3)
        assert posed[name] == pytest.approx(value, rel=1e-3)


def test_monitor_lifting_sees_a_flipped_world(tiny_dataset: PoseDataset) -> None:
    net = PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_lambda=32),
        scale=PixelScale.from_poses(tiny_dataset.unpaired, HUMAN_17),
        with_images=False,
    )

    class Flat(torch.nn.Module):
        def forward(self, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(pose.shape[:-1]), torch.zeros(len(pose))

    net.lifter = Flat()  # type: ignore[assignment]
    fixed = FixedElevation(mean=0.2, sd=0.0)
    seen = evaluation.monitor_lifting(net, tiny_dataset, fixed_elevation=fixed)
    assert seen["p_mpjpe_mm"] == pytest.approx(seen["flipped_p_mpjpe_mm"], rel=1e-4)
    assert seen["elevation_mean_deg"] == pytest.approx(11.459, abs=1e-2)
    assert seen["elevation_sd_deg"] == pytest.approx(0, abs=1e-4)
    assert seen["wrong_depth_signs_percent"] == 100
    # A turned sheet is a thin figure: it varies less than people do.
    assert 0 < seen["spread_turned"] < 1
    assert evaluation.monitor_lifting(net, tiny_dataset, fixed_elevation=fixed) == seen


def test_depth_errors_tell_a_body_from_its_flip(tiny_dataset: PoseDataset) -> None:
    target = tiny_dataset.test.poses_3d
    right = evaluation.depth_errors(target / 321, target, HUMAN_17)
    wrong = evaluation.depth_errors(target * torch.tensor([1.0, 1.0, -1.0]), target, HUMAN_17)
    for name in ("p_mpjpe_mm", "wrong_depth_signs_percent", "flipped_poses_percent"):
        assert right[name] == pytest.approx(0, abs=1e-2)
    assert wrong["flipped_p_mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert wrong["p_mpjpe_mm"] == pytest.approx(right["flipped_p_mpjpe_mm"], rel=1e-3)
    assert (wrong["wrong_depth_signs_percent"], wrong["flipped_poses_percent"]) == (100, 100)


def test_turns_of_unpaired_poses_are_held_against_the_unpaired_poses(
    tiny_dataset: PoseDataset,
) -> None:
    """Without a turn (a lifter that sees no depth, no elevation, far away) nothing changes."""
    net = PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_lambda=32),
        scale=PixelScale.from_poses(tiny_dataset.unpaired, HUMAN_17),
        with_images=False,
    )
    some = evaluation.some_unpaired(tiny_dataset)
    assert len(some) == evaluation.MONITORED
    plane = net.scale.pixels_to_plane(some, HUMAN_17.root)
    net.flow.pca.fit(plane.flatten(1))
    own = evaluation.typical_log_prob(net, plane)
    seen = evaluation.monitor_turn(net, plane, tiny_dataset)
    assert seen["log_p_unpaired"] == pytest.approx(own)
    # The mode of the prior outscores real poses, and one pose for all has no spread.
    with torch.no_grad():
        mode = net.flow.noise_to_pose(torch.zeros(8, 26))
    collapsed = evaluation.monitor_turn(net, mode, tiny_dataset)
    assert evaluation.typical_log_prob(net, mode) > own
    assert collapsed["spread_turned"] < seen["spread_turned"]


def test_monitor_3d_sees_what_the_other_monitors_see(tiny_dataset: PoseDataset) -> None:
    poses = tiny_dataset.test.poses_2d
    net = PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_phi=8, width_omega=8, width_lambda=32),
        scale=PixelScale.from_poses(tiny_dataset.unpaired, HUMAN_17),
    )
    networks = torch.nn.ModuleDict(
        {"phi": Draughtsman(tiny_dataset, poses), "omega": Reader(tiny_dataset, poses)}
    )
    seen = evaluation.monitor_3d(net, networks, tiny_dataset)
    lifted = evaluation.monitor_lifting(net, tiny_dataset)
    for name in ("p_mpjpe_mm", "flipped_p_mpjpe_mm", "wrong_depth_signs_percent"):
        assert seen[name] == pytest.approx(lifted[name], rel=1e-3)
    assert set(seen) == {*lifted, "log_p_predicted"}
    whole = evaluation.monitor_images(net, networks, tiny_dataset, gamma=500.0)
    flat = evaluation.monitor_2d(networks, tiny_dataset)
    assert whole == flat | evaluation.alignment(networks, tiny_dataset, gamma=500.0) | seen
    assert all(value == value and abs(value) < float("inf") for value in seen.values())
