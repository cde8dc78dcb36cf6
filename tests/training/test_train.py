"""The method at its smallest: it learns, it is deterministic, it resumes, and it stops at NaN."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose import losses, steps
from selfpose.config import LIFTING_TERMS, Config
from selfpose.data.dataset import ImageSet, PoseDataset
from selfpose.evaluation.baselines import baseline_errors, mean_pose_errors
from selfpose.evaluation.scores import evaluate
from selfpose.extras import thickness
from selfpose.model import PosePipeline
from selfpose.steps import Training, TrainingDiverged, step_generator
from selfpose.synthetic.generated import load_embedded
from selfpose.train import bone_weight, build_pipeline, lifting_terms, train

TINY: dict[str, Any] = {
    "networks.skeleton_size": 16, "networks.width_lambda": 32,
    "flow.components": 10, "flow.blocks": 2, "flow.width": 16, "flow.steps": 8, "flow.batch": 16,
    "lifting.steps": 10, "lifting.batch": 16, "extras.side_steps": 6,
    "pictures.steps": 8, "pictures.batch": 4,
}  # fmt: skip


def tiny(variant: str = "selfpose", **more: Any) -> Config:
    return Config.for_run(preset="smoke", variant=variant, overrides={**TINY, **more})


def run(
    dataset: PoseDataset, config: Config, out: Path | None = None
) -> tuple[PosePipeline, Training]:
    return train(dataset, config, out=out, progress=False)


def assert_equal_weights(one: PosePipeline, other: PosePipeline) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(autouse=True)
def every_step_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CHECKPOINT_EVERY_S", 0.0)


@pytest.fixture(scope="module", autouse=True)
def quick_thickness() -> Iterator[int]:
    """Limbs are fitted in a few steps: it is done anew in every training here. The usual number."""
    usual = thickness.STEPS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thickness, "STEPS", 3)
        yield usual


@pytest.fixture(scope="module")
def dataset() -> PoseDataset:
    """Enough people to learn something from."""
    return load_embedded(n_unlabelled=1024, n_unpaired=2048, n_test=256, progress=False)


@pytest.fixture(scope="module")
def whole(tiny_dataset: PoseDataset) -> dict[str, tuple[PosePipeline, Training]]:
    """Each variant trained once, uninterrupted."""
    return {variant: run(tiny_dataset, tiny(variant)) for variant in ("selfpose", "paper")}


def test_training_from_pictures_lowers_its_error(
    dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch, quick_thickness: int
) -> None:
    """The whole method in a minute: better than any constant, and drawn on the right pictures."""
    monkeypatch.setattr(thickness, "STEPS", quick_thickness)
    config = Config.for_run(
        preset="smoke",
        overrides={
            "networks.skeleton_size": 16, "networks.gamma": 300.0, "networks.width_phi": 12,
            "networks.width_omega": 12, "networks.width_d": 12, "flow.steps": 20,
            "lifting.steps": 20, "extras.side_steps": 100, "pictures.steps": 110,
            "pictures.batch": 16, "pictures.lr_d": 1e-3, "pictures.ema": 0.95,
        },
    )  # fmt: skip
    _, training = run(dataset, config)
    seen = [row for row in training.history["images"] if "spread" in row]
    start, end = seen[0], seen[-1]
    name = "error_2d_percent_side_tolerant"
    assert end[name] < 0.6 * start[name]
    assert end[name] < 0.75 * mean_pose_errors(dataset)[name]
    assert end["alignment_own"] < 0.5 * end["alignment_shuffled"]
    assert end["spread"] > 0.2


def test_lifting_beats_the_flat_pose(dataset: PoseDataset) -> None:
    sizes = {"flow.steps": 200, "lifting.steps": 300, "networks.width_lambda": 128}
    batches = {"flow.batch": 128, "lifting.batch": 128}
    config = Config.for_run(preset="smoke", input="poses", overrides={**sizes, **batches})
    pipeline, training = run(dataset, config)
    metrics = evaluate(pipeline, dataset.test)["metrics"]
    flat = baseline_errors(pipeline, dataset, None)["flat"]
    assert flat is not None
    assert metrics["p_mpjpe_mm"] < 0.75 * flat["p_mpjpe_mm"]
    assert metrics["n_mpjpe_mm"] < flat["n_mpjpe_mm"]
    last = training.history["lifting"][-1]
    assert last["p_mpjpe_mm"] < last["flipped_p_mpjpe_mm"]
    first, *_, end = training.history["flow"]
    assert end["NLL"] < first["NLL"]


@pytest.mark.parametrize("variant", ["selfpose", "paper"])
def test_every_variant_runs_to_its_end(
    tiny_dataset: PoseDataset, whole: dict[str, Any], variant: str
) -> None:
    pipeline, training = whole[variant]
    joint = variant == "paper"
    stages = ["flow", "images"] if joint else ["flow", "lifting", "regressor", "sides", "images"]
    assert list(training.history) == list(training.seconds) == stages
    last = training.history["images"][-1]
    assert ("NF" in last) == joint
    assert ("sil" in last) == (not joint)
    assert {"D", "Omega", "redraw", "critic"} <= set(last)
    assert not pipeline.training
    assert all(torch.equal(p, p.half().float()) for p in pipeline.parameters())  # small files
    errors = evaluate(pipeline, tiny_dataset.test)["metrics"]
    refined = {"p_mpjpe_mm_as_seen", "p_mpjpe_mm_lifted", "n_mpjpe_mm_lifted"}
    assert refined & set(errors) == (set() if joint else refined)  # only puppets tell the noise
    assert bool((pipeline.expectation.noise > 0).all()) == (not joint)


def test_refining_changes_no_network(tiny_dataset: PoseDataset, whole: dict[str, Any]) -> None:
    plain, _ = run(tiny_dataset, tiny(**{"extras.refine": False}))
    assert not len(plain.expectation.poses)
    refined = whole["selfpose"][0].state_dict()
    for name, value in plain.state_dict().items():
        assert name.startswith("expectation.") or torch.equal(value, refined[name]), name


def test_another_seed_gives_other_weights(tiny_dataset: PoseDataset, whole: dict[str, Any]) -> None:
    first = whole["selfpose"][0].state_dict()
    other = run(tiny_dataset, tiny(seed=1))[0].state_dict()
    for name in ("lifter.depth_head.weight", "phi.net.head.weight", "flow.blocks.0.net.0.weight"):
        assert not torch.equal(first[name], other[name])


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
    whole: dict[str, Any],
    variant: str,
    stage: str,
    step: int,
) -> None:
    config = tiny(variant)
    uninterrupted, expected = whole[variant]

    def kill(seed: int, name: str, number: int) -> torch.Generator:
        if (name, number) == (stage, step):
            raise KeyboardInterrupt
        return step_generator(seed, name, number)

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.steps.step_generator", kill)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_dataset, config, tmp_path)
    torch.manual_seed(99)
    resumed, training = run(tiny_dataset, config, tmp_path)
    assert_equal_weights(uninterrupted, resumed)
    assert training.history == expected.history


def test_a_term_that_becomes_nan_is_named_and_the_checkpoint_kept(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny().with_({"input": "poses"})
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
    assert_equal_weights(run(tiny_dataset, config)[0], resumed)
    other = replace(tiny_dataset, provenance={**tiny_dataset.provenance, "difficulty": "none"})
    with pytest.raises(ValueError, match="difficulty: 'structured', now 'none'"):
        run(other, config, tmp_path)


def test_bone_weight_ramps_from_nothing_to_all() -> None:
    config = tiny(**{"lifting.steps": 200, "lifting.bone_start": 0.25, "lifting.bone_ramp": 0.5})
    ramp = [bone_weight(step, config) for step in range(200)]
    assert ramp == sorted(ramp)
    assert (ramp[50], ramp[75], ramp[100], ramp[-1]) == (0, pytest.approx(0.5), 1, 1)


def test_lifting_terms_are_the_weighted_losses_of_some_weight(tiny_dataset: PoseDataset) -> None:
    pipeline = build_pipeline(tiny_dataset, tiny())
    pose = pipeline.pixels_to_plane(tiny_dataset.unpaired[:8])

    def terms(bone_share: float = 1.0, **changes: float) -> dict[str, torch.Tensor]:
        config = tiny(**changes)
        draw = torch.Generator().manual_seed(5)
        return lifting_terms(pipeline, pose, config, bone_share=bone_share, generator=draw)[0]

    all_of_them = terms()
    assert tuple(all_of_them) == LIFTING_TERMS
    for name in LIFTING_TERMS:
        others = terms(**{f"terms.{name}": 0.0})
        assert set(others) == set(LIFTING_TERMS) - {name}
        for kept, value in others.items():
            torch.testing.assert_close(value, all_of_them[kept])
        torch.testing.assert_close(terms(**{f"terms.{name}": 2.0})[name], 2 * all_of_them[name])
    torch.testing.assert_close(terms(bone_share=0.5)["bl"], 0.5 * all_of_them["bl"])
    assert "bl" not in terms(bone_share=0.0)


def test_a_fixed_elevation_is_drawn_and_teaches_the_elevation_nothing(
    tiny_dataset: PoseDataset,
) -> None:
    fixed = {"lifting.elevation": "fixed", "lifting.elevation_mean": 15.0}
    config = tiny(**fixed, **{"lifting.elevation_sd": 0.0})
    pipeline = build_pipeline(tiny_dataset, config)
    pose = pipeline.pixels_to_plane(tiny_dataset.unpaired[:8])
    draw = torch.Generator().manual_seed(5)
    terms, elevation = lifting_terms(pipeline, pose, config, bone_share=1.0, generator=draw)
    torch.testing.assert_close(elevation.rad2deg(), torch.full((8,), 15.0))
    torch.stack(list(terms.values())).sum().backward()
    assert pipeline.lifter.depth_head.weight.grad is not None
    assert pipeline.lifter.elevation_head.weight.grad is None


def test_test_labels_and_ceiling_teach_nothing(
    tiny_dataset: PoseDataset, whole: dict[str, Any]
) -> None:
    """Other labels, same weights: the method sees pictures and unpaired poses alone."""
    test = tiny_dataset.test
    scrambled = replace(test, poses_2d=test.poses_2d.flip(0), poses_3d=test.poses_3d.flip(0))
    other, _ = run(replace(tiny_dataset, test=scrambled, ceiling=None), tiny())
    assert_equal_weights(whole["selfpose"][0], other)


def test_pictures_of_another_size_are_refused(tiny_dataset: PoseDataset) -> None:
    with pytest.raises(ValueError, match=r"are 64 px, the config says networks\.image_size=128"):
        build_pipeline(tiny_dataset, tiny(**{"networks.image_size": 128}))


def test_single_pictures_train_as_the_page_on_own_data_says(tiny_dataset: PoseDataset) -> None:
    images = tiny_dataset.unlabelled.images
    part = ImageSet(images=images, sequence=torch.arange(len(images)))
    loose = replace(tiny_dataset, unlabelled=part, ceiling=None)
    with pytest.raises(ValueError, match="static camera"):
        run(loose, tiny())
    _, training = run(loose, tiny("loose"))
    assert {"D", "redraw", "side"} <= set(training.history["images"][-1])


def test_clips_that_come_again_are_refused(tiny_dataset: PoseDataset) -> None:
    part = tiny_dataset.unlabelled
    order = torch.arange(len(part)).roll(1)  # the last picture of the last clip comes first
    mixed = ImageSet(images=part.images[order], sequence=part.sequence[order])
    with pytest.raises(ValueError, match="stand together"):
        run(replace(tiny_dataset, unlabelled=mixed, ceiling=None), tiny())


def test_shape_checks_are_in_place() -> None:
    """The import hook that checks every annotation is active in these tests."""
    from jaxtyping import TypeCheckError

    with pytest.raises(TypeCheckError):
        losses.flow_loss(torch.zeros(2, 2))
