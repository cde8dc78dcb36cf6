"""The method at its smallest: it learns, it is deterministic, it resumes, and it stops at NaN."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose import losses
from selfpose.evaluation.baselines import baseline_errors, mean_pose_errors
from selfpose.config import LIFTING_TERMS, Config
from selfpose.synthetic.embedded import load_embedded
from selfpose.data.dataset import ImageSet, PoseDataset
from selfpose.evaluation.scores import evaluate
from selfpose.imaging import shielded
from selfpose.lifting import bone_weight, lifting_terms
from selfpose.networks import PoseRegressor
from selfpose.optimise import decay_rate, descend
from selfpose.model import PosePipeline
from selfpose.skeleton import Skeleton
from selfpose.steps import Runner, TrainingDiverged, step_generator
from selfpose.training import build_pipeline, train

TINY: dict[str, Any] = {
    "preset": "smoke",
    "skeleton_size": 16,
    "width_lambda": 32,
    "flow_components": 10,
    "flow_blocks": 2,
    "flow_width": 16,
    "flow_steps": 8,
    "flow_batch": 16,
    "lift_steps": 10,
    "lift_batch": 16,
    "side_steps": 6,
    "steps": 8,
    "batch": 4,
    # Less than the time of any step: a checkpoint after each.
    "checkpoint_every_s": 0.0,
}


def tiny(**changes: Any) -> Config:
    return Config.for_run(**{**TINY, **changes})


def run(
    dataset: PoseDataset, config: Config, out: Path | None = None
) -> tuple[PosePipeline, Runner]:
    return train(dataset, config, out=out, progress=False)


def assert_equal_weights(one: PosePipeline, other: PosePipeline) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(scope="module")
def dataset() -> PoseDataset:
    """Enough people to learn something from."""
    return load_embedded(n_unlabelled=1024, n_unpaired=2048, n_test=256, progress=False)


@pytest.mark.slow
def test_training_from_pictures_lowers_its_error(dataset: PoseDataset) -> None:
    """The whole method in a minute: better than any constant, and drawn on the right pictures."""
    config = Config.for_run(
        preset="smoke",
        skeleton_size=16,
        gamma=300.0,
        width_phi=12,
        width_omega=12,
        width_d=12,
        flow_steps=20,
        lift_steps=20,
        side_steps=100,
        steps=110,
        batch=16,
        lr_phi=2e-3,
        lr_omega=2e-3,
        lr_d=1e-3,
        ema=0.95,
    )
    _, runner = run(dataset, config)
    seen = [row for row in runner.history["images"] if "spread" in row]
    start, end = seen[0], seen[-1]
    name = "error_2d_percent_side_tolerant"
    assert end[name] < 0.6 * start[name]
    assert end[name] < 0.75 * mean_pose_errors(dataset)[name]
    assert end["alignment_own"] < 0.5 * end["alignment_shuffled"]
    assert end["spread"] > 0.2


@pytest.mark.slow
def test_lifting_beats_the_flat_pose(dataset: PoseDataset) -> None:
    config = Config.for_run(
        preset="smoke",
        input="poses",
        flow_steps=200,
        lift_steps=300,
        flow_batch=128,
        lift_batch=128,
        width_lambda=128,
    )
    pipeline, runner = run(dataset, config)
    metrics = evaluate(pipeline, dataset.test)["metrics"]
    flat = baseline_errors(pipeline, dataset, None)["flat"]
    assert flat is not None
    assert metrics["p_mpjpe_mm"] < 0.75 * flat["p_mpjpe_mm"]
    assert metrics["n_mpjpe_mm"] < flat["n_mpjpe_mm"]
    last = runner.history["lifting"][-1]
    assert last["p_mpjpe_mm"] < last["flipped_p_mpjpe_mm"]
    first, *_, end = runner.history["flow"]
    assert end["NLL"] < first["NLL"]


@pytest.mark.parametrize("variant", ["selfpose", "paper"])
def test_every_variant_runs_to_its_end(tiny_dataset: PoseDataset, variant: str) -> None:
    pipeline, runner = run(tiny_dataset, tiny(variant=variant))
    joint = variant == "paper"
    stages = ["flow", "images"]
    if not joint:
        stages = ["flow", "lifting", "regressor", "sides", "images"]
    assert list(runner.history) == list(runner.seconds) == stages
    last = runner.history["images"][-1]
    assert ("NF" in last) == joint
    assert ("sil" in last) == (not joint)
    assert {"D", "Omega", "redraw", "critic"} <= set(last)
    assert not pipeline.training
    errors = evaluate(pipeline, tiny_dataset.test)["metrics"]
    assert errors["error_2d_percent"] > 0
    refined = {"p_mpjpe_mm_as_seen", "p_mpjpe_mm_lifted", "n_mpjpe_mm_lifted"}
    assert refined & set(errors) == (set() if joint else refined)  # only puppets tell the noise
    assert (pipeline.noise > 0).all() == (not joint)


def test_refining_changes_no_network_and_can_be_left_out(tiny_dataset: PoseDataset) -> None:
    refined, _ = run(tiny_dataset, tiny())
    plain, _ = run(tiny_dataset, tiny(refine=False))
    assert not plain.noise.any()
    refined.noise.zero_()
    refined.poses, refined.depths = plain.poses, plain.depths
    assert_equal_weights(refined, plain)


def test_shapes_are_of_a_trained_lifter_where_it_learns_beside_phi(
    tiny_dataset: PoseDataset,
) -> None:
    both, _ = run(tiny_dataset, tiny(lift_from="predicted", drop=("distil",)))
    depth, _ = both.lifter(both.poses.float())
    torch.testing.assert_close(both.depths.float(), depth, rtol=2e-3, atol=2e-3)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tiny_dataset: PoseDataset,
) -> None:
    first, _ = run(tiny_dataset, tiny())
    torch.manual_seed(99)
    again, _ = run(tiny_dataset, tiny())
    assert_equal_weights(first, again)
    assert all(torch.equal(p, p.half().float()) for p in first.parameters())  # files are small
    other, _ = run(tiny_dataset, tiny(seed=1))
    for name in ("lifter.depth_head.weight", "phi.net.head.weight", "flow.blocks.0.net.0.weight"):
        assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize(
    ("variant", "stage", "step"),
    [
        ("selfpose", "flow", 3),
        ("selfpose", "lifting", 0),
        ("selfpose", "lifting", 7),
        ("selfpose", "regressor", 5),
        ("selfpose", "sides", 4),
        ("selfpose", "images", 0),
        ("selfpose", "images", 5),
        ("selfpose", "images", 7),  # what clips decided at step 6 is used again
        ("paper", "images", 6),
    ],
)
def test_a_killed_training_ends_as_if_it_had_not_been_killed(
    tiny_dataset: PoseDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    stage: str,
    step: int,
) -> None:
    config = tiny(variant=variant)
    whole, expected = run(tiny_dataset, config)

    def kill(seed: int, name: str, number: int) -> torch.Generator:
        if (name, number) == (stage, step):
            raise KeyboardInterrupt
        return step_generator(seed, name, number)

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.steps.step_generator", kill)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_dataset, config, tmp_path)
    torch.manual_seed(99)
    resumed, runner = run(tiny_dataset, config, tmp_path)
    assert_equal_weights(whole, resumed)
    assert runner.history == expected.history


def test_a_checkpoint_of_another_seed_or_parameter_is_refused(
    tiny_dataset: PoseDataset, tmp_path: Path
) -> None:
    config = tiny(input="poses")
    run(tiny_dataset, config, tmp_path)
    with pytest.raises(ValueError, match=r"config\.seed: 0, now 1\)"):
        run(tiny_dataset, config.with_(seed=1), tmp_path)
    with pytest.raises(ValueError, match=r"config\.lift_lr: 0\.001, now 0\.1\)"):
        run(tiny_dataset, config.with_(lift_lr=0.1), tmp_path)
    other = replace(tiny_dataset, provenance={**tiny_dataset.provenance, "difficulty": "none"})
    with pytest.raises(ValueError, match="difficulty: 'structured', now 'none'"):
        run(other, config, tmp_path)


def test_a_term_that_becomes_nan_is_named_and_the_checkpoint_kept(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(input="poses")
    count = 0
    real = losses.consistency_loss

    def spoilt(*poses: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return real(*poses) * (math.nan if count == 6 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(losses, "consistency_loss", spoilt)
        with pytest.raises(TrainingDiverged, match="stage 'lifting', step 5: the term '3D' became"):
            run(tiny_dataset, config, tmp_path)
    resumed, _ = run(tiny_dataset, config, tmp_path)
    whole, _ = run(tiny_dataset, config)
    assert_equal_weights(whole, resumed)


def test_a_rate_beyond_reason_is_caught(tiny_dataset: PoseDataset) -> None:
    with pytest.raises(TrainingDiverged, match="stage 'flow', step"):
        run(tiny_dataset, tiny(input="poses", flow_lr=1e30))


def test_a_gradient_that_is_not_finite_reaches_no_weight() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(TrainingDiverged, match=r"stage 'flow', step 4.*gradient of root"):
        descend(optimiser, {"root": weight.sqrt().sum()}, stage="flow", step=4)
    assert weight.item() == 0


def test_no_terms_leave_the_weights_alone() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    descend(torch.optim.SGD([weight], lr=0.1), {}, stage="images", step=0)
    assert weight.item() == 1


def test_omega_is_shielded_from_the_silhouette() -> None:
    omega = PoseRegressor(skeleton_size=16, channels=1, n_joints=17, width=8)
    s = torch.rand(2, 1, 16, 16, requires_grad=True)
    pose = shielded(omega, s)
    assert torch.equal(pose, omega(s))
    pose.square().sum().backward()
    assert all(p.grad is None for p in omega.parameters())
    assert s.grad is not None
    shielded_gradient = s.grad.clone()
    s.grad = None
    omega(s).square().sum().backward()
    torch.testing.assert_close(s.grad, shielded_gradient)
    assert shielded_gradient.abs().max() > 0
    assert all(p.grad is not None for p in omega.parameters())


def test_bone_weight_ramps_from_nothing_to_all() -> None:
    config = Config(lift_steps=200, bone_start=0.25, bone_ramp=0.5)
    ramp = [bone_weight(step, config) for step in range(200)]
    assert ramp == sorted(ramp)
    assert ramp[50] == 0
    assert ramp[75] == pytest.approx(0.5)
    assert ramp[100] == ramp[-1] == 1
    at_once = Config(lift_steps=200, bone_start=0.5, bone_ramp=0.5)
    assert [bone_weight(s, at_once) for s in (99, 100, 101)] == [0, 0, 1]


def test_rates_decay_in_the_second_half() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    rates = []
    for step in range(100):
        decay_rate(optimiser, step, 100)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[:51] == [0.2] * 51
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_lifting_terms_are_the_weighted_losses_that_are_not_dropped(
    tiny_dataset: PoseDataset,
) -> None:
    pipeline = build_pipeline(tiny_dataset, tiny(input="poses"))
    pose = pipeline.scale.pixels_to_plane(tiny_dataset.unpaired[:8], 0)

    def terms(bone_share: float = 1.0, **changes: Any) -> dict[str, torch.Tensor]:
        draw = torch.Generator().manual_seed(5)
        config = tiny(input="poses", **changes)
        return lifting_terms(pipeline, pose, config, bone_share=bone_share, generator=draw)[0]

    all_of_them = terms()
    assert tuple(all_of_them) == LIFTING_TERMS
    for name in LIFTING_TERMS:
        others = terms(drop=[name])
        assert set(others) == set(LIFTING_TERMS) - {name}
        for kept, value in others.items():
            torch.testing.assert_close(value, all_of_them[kept])
        doubled = terms(**{f"weight_{name}": 2.0})
        torch.testing.assert_close(doubled[name], 2 * all_of_them[name])
    torch.testing.assert_close(terms(bone_share=0.5)["bl"], 0.5 * all_of_them["bl"])
    assert "bl" not in terms(bone_share=0.0)


def test_a_fixed_elevation_is_the_one_of_the_config_and_teaches_the_elevation_nothing(
    tiny_dataset: PoseDataset,
) -> None:
    config = tiny(input="poses", elevation="fixed", elevation_mean=15.0, elevation_sd=0.0)
    pipeline = build_pipeline(tiny_dataset, config)
    pose = pipeline.scale.pixels_to_plane(tiny_dataset.unpaired[:8], 0)
    draw = torch.Generator().manual_seed(5)
    terms, elevation = lifting_terms(pipeline, pose, config, bone_share=1.0, generator=draw)
    torch.testing.assert_close(elevation.rad2deg(), torch.full((8,), 15.0))
    torch.stack(list(terms.values())).sum().backward()
    assert pipeline.lifter.depth_head.weight.grad is not None
    assert pipeline.lifter.elevation_head.weight.grad is None


def test_test_labels_and_ceiling_teach_nothing(tiny_dataset: PoseDataset) -> None:
    """Other labels, same weights: the method sees pictures and unpaired poses alone."""
    test = tiny_dataset.test
    scrambled = replace(
        test, poses_2d=test.poses_2d.flip(0), poses_3d=test.poses_3d.flip(0), images=test.images
    )
    blind = replace(tiny_dataset, test=scrambled, ceiling=None)
    own, _ = run(tiny_dataset, tiny())
    other, _ = run(blind, tiny())
    assert_equal_weights(own, other)


def test_pictures_of_another_size_are_refused(tiny_dataset: PoseDataset) -> None:
    with pytest.raises(ValueError, match="pictures are 64 px, the config says image_size=128"):
        build_pipeline(tiny_dataset, tiny(image_size=128))
    with pytest.raises(ValueError, match="powers of two apart"):
        build_pipeline(tiny_dataset, tiny(skeleton_size=48))


def test_nan_poses_are_refused(tiny_dataset: PoseDataset) -> None:
    unpaired = tiny_dataset.unpaired.clone()
    unpaired[7, 2, 0] = math.nan
    with pytest.raises(ValueError, match=r"unpaired: 1 of 512 poses hold NaN.*index 7"):
        replace(tiny_dataset, unpaired=unpaired)
    test_poses = tiny_dataset.test.poses_3d.clone()
    test_poses[3:5] = math.inf
    with pytest.raises(ValueError, match=r"poses_3d: 2 of 64 poses hold NaN.*index 3"):
        replace(tiny_dataset.test, poses_3d=test_poses)


def test_wrong_joint_counts_and_sizes_of_parts_are_refused(tiny_dataset: PoseDataset) -> None:
    with pytest.raises(ValueError, match=r"unpaired: expected 2D poses \('N', 17, 2\)"):
        replace(tiny_dataset, unpaired=tiny_dataset.unpaired[:, :16])
    crane = Skeleton(name="crane", joints=("base", "hook"), bones=((0, 1),), root=0, top=1)
    with pytest.raises(ValueError, match=r"\('N', 2, 2\)"):
        replace(tiny_dataset, skeleton=crane)
    part = tiny_dataset.unlabelled
    small = ImageSet(images=part.images[..., ::2, ::2].contiguous(), sequence=part.sequence)
    with pytest.raises(ValueError, match="use one size"):
        replace(tiny_dataset, unlabelled=small, ceiling=None)
    oblong = ImageSet(images=part.images[..., ::2].contiguous(), sequence=part.sequence)
    with pytest.raises(ValueError, match="square pictures, got 32×64 px"):
        replace(tiny_dataset, unlabelled=oblong, ceiling=None)
    empty = ImageSet(images=part.images[:0], sequence=part.sequence[:0])
    with pytest.raises(ValueError, match="holds no picture"):
        replace(tiny_dataset, unlabelled=empty, ceiling=None)


def test_shape_checks_are_in_place() -> None:
    """The import hook that checks every annotation is active in these tests."""
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        losses.flow_loss(torch.zeros(2, 2))


def test_loose_pictures_train_as_the_page_on_own_data_says(tiny_dataset: PoseDataset) -> None:
    images = tiny_dataset.unlabelled.images
    loose = replace(
        tiny_dataset,
        unlabelled=ImageSet(images=images, sequence=torch.arange(len(images))),
        ceiling=None,
    )
    with pytest.raises(ValueError, match="static camera"):
        run(loose, tiny())
    said = tiny(drop=["sil", "puppet", "distil"], picture_every=1, swap_background=False)
    _, runner = run(loose, said)
    assert {"D", "redraw", "side"} <= set(runner.history["images"][-1])


def test_clips_that_come_again_are_refused(tiny_dataset: PoseDataset) -> None:
    part = tiny_dataset.unlabelled
    order = torch.arange(len(part)).roll(1)  # the last picture of the last clip comes first
    mixed = replace(
        tiny_dataset,
        unlabelled=ImageSet(images=part.images[order], sequence=part.sequence[order]),
        ceiling=None,
    )
    with pytest.raises(ValueError, match="stand together"):
        run(mixed, tiny())
