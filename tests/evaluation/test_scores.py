"""From predictions to numbers: perfect ones, faulty ones, and tables that add up."""

from dataclasses import replace

import pytest
import torch

from selfpose.camera import PixelScale
from selfpose.cycle import FixedElevation
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.evaluation import scores
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


def untrained(dataset: PoseDataset, **more: bool) -> PosePipeline:
    return PosePipeline(
        skeleton=HUMAN_17,
        architecture=Architecture(width_phi=8, width_omega=8, width_lambda=32, channels=3),
        scale=PixelScale.from_poses(dataset.unpaired, HUMAN_17),
        **more,
    ).eval()


class Knowing(torch.nn.Module):
    """A Φ, or an Ω, that knows the answers for the pictures that it is shown, in their order."""

    def __init__(self, answers: torch.Tensor) -> None:
        super().__init__()
        self.answers = answers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answers[: len(x)]


def knowing(poses: torch.Tensor) -> torch.nn.ModuleDict:
    """Networks that see these poses (pixels of pictures of 64 px)."""
    drawn = draw_skeleton(poses / 64, HUMAN_17, size=32, gamma=500.0, channels=3)
    return torch.nn.ModuleDict({"phi": Knowing(drawn), "omega": Knowing(poses / 64)})


def test_perfect_predictions_score_perfectly(tiny_dataset: PoseDataset) -> None:
    test = tiny_dataset.test
    for name, value in scores.mean_errors(scores.errors(truth(test), test, HUMAN_17)).items():
        if name == "n_auc_percent":
            assert value == pytest.approx(100 * 30 / 31)
        elif name in ("n_pck150_percent", "facing_right_percent"):
            assert value == 100
        else:
            assert value == pytest.approx(0, abs=1e-3), name


def test_averages_by_activity_and_by_joint_add_up(tiny_dataset: PoseDataset) -> None:
    test = tiny_dataset.test
    seen = replace(truth(test), pose_2d=test.poses_2d + 3 * torch.randn(64, 17, 2))
    values = scores.errors(seen, test, HUMAN_17)
    total = scores.mean_errors(values)
    table = scores.errors_by_activity(values, test.activity)
    assert sum(row["n"] for row in table.values()) == len(test)
    for name in ("error_2d_percent", "p_mpjpe_mm"):
        mean = sum(row["n"] * row[name] for row in table.values()) / len(test)
        assert mean == pytest.approx(total[name], abs=1e-6)
    joints = scores.errors_by_joint(seen, test, HUMAN_17)
    mean = sum(row["error_2d_percent"] for row in joints.values()) / 17
    assert mean == pytest.approx(total["error_2d_percent"], rel=1e-5)


@pytest.mark.parametrize("with_images", [True, False])
@pytest.mark.parametrize("n", [1, 5])
def test_any_number_of_pictures_gives_finite_numbers(
    tiny_dataset: PoseDataset, with_images: bool, n: int
) -> None:
    few = LabelledSet(**{k: v[:n] for k, v in vars(tiny_dataset.test).items() if v is not None})
    seen = scores.evaluate(untrained(tiny_dataset, with_images=with_images), few)
    assert set(seen) == {"metrics", "by_activity", "by_joint"}
    assert all(abs(value) < 1e6 for value in seen["metrics"].values())
    if not with_images:
        assert seen["metrics"]["error_2d_percent"] == 0


def test_unknown_labels_are_not_measured(tiny_dataset: PoseDataset) -> None:
    test = tiny_dataset.test
    flat = replace(test, poses_3d=torch.full_like(test.poses_3d, torch.nan))
    blind = replace(flat, poses_2d=torch.full_like(test.poses_2d, torch.nan))
    net = untrained(tiny_dataset)
    known = scores.evaluate(net, flat)["metrics"]
    assert not any(name.endswith("_mm") for name in known)
    assert known.items() <= scores.evaluate(net, test)["metrics"].items()
    assert all(name.startswith("elevation") for name in scores.evaluate(net, blind)["metrics"])
    with pytest.raises(ValueError, match="lifting starts from 2D poses"):
        scores.predict_test(untrained(tiny_dataset, with_images=False), blind)


def test_what_omega_read_and_lambda_alone_are_measured_beside_the_answer(
    tiny_dataset: PoseDataset,
) -> None:
    test, net = tiny_dataset.test, untrained(tiny_dataset)
    read = test.poses_2d + 1.5
    lifted = net.predict_from_poses(read).pose_3d
    answer = replace(truth(test), pose_2d_seen=read, pose_3d_lifted=lifted)
    seen = scores.evaluate(net, test, prediction=answer)["metrics"]
    assert seen["error_2d_percent"] == 0
    assert seen["error_2d_percent_as_seen"] == pytest.approx(150 * 2**0.5 / 64, rel=1e-4)
    assert seen["p_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert seen["p_mpjpe_mm_lifted"] > 1
    assert seen["p_mpjpe_mm_as_seen"] == pytest.approx(seen["p_mpjpe_mm_lifted"])
    true = net.predict_from_poses(test.poses_2d).pose_3d  # the answer's 2D poses are the true ones
    given = scores.errors(replace(answer, pose_3d=true), test, HUMAN_17)["p_mpjpe_mm"].mean()
    assert seen["p_mpjpe_sides_given_mm"] == pytest.approx(float(given))


# --- monitors ---------------------------------------------------------------------------------


def test_few_rows_of_the_whole_test_set_are_measured(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that know those, and those alone, are perfect in 2D; Λ is measured alike."""
    monkeypatch.setattr(scores, "MONITORED", 10)
    net, poses = untrained(tiny_dataset), tiny_dataset.test.poses_2d[::7]
    seen = scores.monitor_images(net, knowing(poses), tiny_dataset, gamma=500.0)
    assert seen["error_2d_percent"] == pytest.approx(0, abs=1e-4)
    assert seen["alignment_own"] == 0
    assert seen["spread"] == pytest.approx(1)
    v = net.predict_from_poses(poses).pose_3d
    expected = scores.depth_errors(v, tiny_dataset.test.poses_3d[::7], HUMAN_17)
    lifting = scores.monitor_lifting(net, tiny_dataset)
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, rel=1e-3)
        assert lifting[name] == pytest.approx(value, rel=1e-3)
    assert set(lifting) < set(seen)


def test_one_pose_for_all_pictures_is_told_from_those_of_the_pictures(
    tiny_dataset: PoseDataset,
) -> None:
    net, poses = untrained(tiny_dataset), tiny_dataset.test.poses_2d
    own, same = (
        scores.monitor_images(net, knowing(p), tiny_dataset, gamma=500.0)
        for p in (poses, poses.mean(0).expand_as(poses))
    )
    assert own["alignment_own"] == 0
    assert own["alignment_shuffled"] > 0.01
    assert own["spread_to_unpaired"] == pytest.approx(1, abs=0.3)
    assert same["alignment_own"] == pytest.approx(same["alignment_shuffled"], rel=1e-4)
    assert same["spread"] == pytest.approx(0, abs=1e-4)


def test_turns_are_the_same_at_each_call_and_bland_poses_outscore_real_ones(
    tiny_dataset: PoseDataset,
) -> None:
    net, fixed = untrained(tiny_dataset, with_images=False), FixedElevation(mean=0.2, sd=0.0)
    real = scores.some_unpaired(net, tiny_dataset)
    net.flow.pca.fit(real.flatten(1))
    with torch.no_grad():
        mode = net.flow.noise_to_pose(torch.zeros(8, 26))
        seen, again, bland = (
            scores.monitor_turn(net, plane, real, fixed) for plane in (real, real, mode)
        )
        assert scores.median_log_p(net, mode) > seen["log_p_unpaired"]
    assert seen == again
    assert seen["elevation_mean_deg"] == pytest.approx(11.459, abs=1e-2)
    assert bland["spread_turned"] < seen["spread_turned"]


def test_depth_errors_tell_a_body_from_its_flip(tiny_dataset: PoseDataset) -> None:
    target = tiny_dataset.test.poses_3d
    right = scores.depth_errors(target / 321, target, HUMAN_17)
    wrong = scores.depth_errors(target * torch.tensor([1.0, 1.0, -1.0]), target, HUMAN_17)
    for name in ("p_mpjpe_mm", "wrong_depth_signs_percent", "flipped_poses_percent"):
        assert right[name] == pytest.approx(0, abs=1e-2)
    assert wrong["flipped_p_mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert wrong["p_mpjpe_mm"] == pytest.approx(right["flipped_p_mpjpe_mm"], rel=1e-3)
    assert (wrong["wrong_depth_signs_percent"], wrong["flipped_poses_percent"]) == (100, 100)
