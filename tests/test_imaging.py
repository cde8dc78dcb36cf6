"""Training from pictures, term by term: who learns from what."""

from typing import Any

import pytest
import torch
from torch import nn

from selfpose import losses
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.imaging import image_stage
from selfpose.model import PosePipeline
from selfpose.steps import Stage, step_generator
from selfpose.training import build_pipeline, train
from selfpose.views import Pictures

# Puppets alone, so that Λ has nothing else to learn from.
PUPPETS = ("D", "sil", "side")


def config(**changes: Any) -> Config:
    values = {"skeleton_size": 16, "width_lambda": 32, "steps": 40, "batch": 8, "drop": PUPPETS}
    return Config.for_run(preset="smoke", **{**values, **changes})


def stage(dataset: PoseDataset, config: Config) -> tuple[PosePipeline, Stage]:
    pipeline = build_pipeline(dataset, config)
    assert pipeline.phi is not None
    assert pipeline.omega is not None
    torch.manual_seed(1)
    averaged = build_pipeline(dataset, config)
    kept = nn.ModuleDict({"phi": averaged.phi, "omega": averaged.omega})
    pictures = Pictures(dataset, config, pipeline.device)
    return pipeline, image_stage(
        pipeline, dataset, config, pictures=pictures, averaged=kept, prior=None
    )


def weights(module: nn.Module | None) -> dict[str, torch.Tensor]:
    assert module is not None
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_distil_teaches_the_lifter_and_nothing_else(tiny_dataset: PoseDataset) -> None:
    """With and without the term: the same Φ and Ω to the last bit, and Λ moves only with it."""
    ends = []
    for drop in (PUPPETS, (*PUPPETS, "distil")):
        pipeline, training = stage(tiny_dataset, config(drop=drop))
        before = {n: weights(getattr(pipeline, n)) for n in ("phi", "omega", "lifter", "flow")}
        for number in range(3):
            training.step(number, step_generator(0, "images", number))
        after = {n: weights(getattr(pipeline, n)) for n in before}
        ends.append(after)
        assert same(before["lifter"], after["lifter"]) == ("distil" in drop)
        assert not same(before["phi"], after["phi"])
        assert not same(before["omega"], after["omega"])
        assert same(before["flow"], after["flow"])
        # The teacher is Λ as it was before the pictures.
        assert same(before["lifter"], weights(training.modules["first_lifter"]))
    assert same(ends[0]["phi"], ends[1]["phi"])
    assert same(ends[0]["omega"], ends[1]["omega"])


@pytest.mark.parametrize("how", ["fitted", "learned"])
def test_thickness_is_fitted_once_or_learnt(tiny_dataset: PoseDataset, how: str) -> None:
    _, training = stage(tiny_dataset, config(drop=("D", "side"), limb_thickness=how))
    start = weights(training.modules["thickness"])
    training.step(0, step_generator(0, "images", 0))
    first = weights(training.modules["thickness"])
    for number in range(1, 4):
        training.step(number, step_generator(0, "images", number))
    last = weights(training.modules["thickness"])
    assert not same(start, first)
    assert same(first, last) == (how == "fitted")
    spread = {name: float(value.std()) for name, value in last.items()}
    assert all(value > 0 for value in spread.values())  # each limb has its own


def test_on_the_same_puppets_the_lifter_comes_nearer_to_its_teacher(
    tiny_dataset: PoseDataset,
) -> None:
    frozen = {"lr_phi": 0.0, "lr_omega": 0.0, "lr_thickness": 0.0}
    _, training = stage(tiny_dataset, config(**frozen))
    distance = [
        training.step(number, step_generator(0, "images", 0))["distil"] for number in range(30)
    ]
    assert distance[0] > 0
    assert distance[-1] < 0.5 * distance[0]


def test_the_teacher_lifts_the_nearer_of_pose_and_twin(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, tuple[torch.Tensor, ...]] = {}
    puppet_loss, distillation_loss = losses.puppet_loss, losses.distillation_loss

    def puppet(*args: Any, **how: Any) -> torch.Tensor:
        calls["puppet"] = args
        return puppet_loss(*args, **how)

    def distillation(*args: torch.Tensor) -> torch.Tensor:
        calls["distil"] = args
        return distillation_loss(*args)

    monkeypatch.setattr(losses, "puppet_loss", puppet)
    monkeypatch.setattr(losses, "distillation_loss", distillation)
    pipeline, training = stage(tiny_dataset, config(batch=32))
    teacher = build_pipeline(tiny_dataset, config()).lifter
    training.step(0, step_generator(0, "images", 0))
    _, found, _, pose, _ = calls["puppet"]
    depth, elevation, true_depth, true_elevation = calls["distil"]
    twin = pose[:, list(tiny_dataset.skeleton.flip)]

    def error(other: torch.Tensor) -> torch.Tensor:
        return (found - other).norm(dim=-1).square().sum(dim=-1)

    as_named = error(pose) <= error(twin)
    assert 0 < as_named.sum() < len(pose)
    nearer = torch.where(as_named[:, None, None], pose, twin)
    with torch.no_grad():
        for lifted, given in ((nearer, (true_depth, true_elevation)), (found, (depth, elevation))):
            expected = teacher(pipeline.unit_to_plane(lifted))
            torch.testing.assert_close(given[0], expected[0])
            torch.testing.assert_close(given[1], expected[1])
    assert depth.requires_grad
    assert not true_depth.requires_grad


def test_sides_are_forgiven_first_and_then_no_longer(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    puppet_loss = losses.puppet_loss

    def puppet(*args: Any, forgiving: bool) -> torch.Tensor:
        said.append(forgiving)
        return puppet_loss(*args, forgiving=forgiving)

    monkeypatch.setattr(losses, "puppet_loss", puppet)
    _, training = stage(tiny_dataset, config(steps=10, puppet_forgiving=0.3))
    for number in (0, 2, 3, 9):
        training.step(number, step_generator(0, "images", number))
    assert said == [True, True, False, False]


def test_bfloat16_trains_to_about_the_weights_of_float32(tiny_dataset: PoseDataset) -> None:
    ends, logs = [], []
    for precision in ("float32", "bfloat16"):
        chosen = config(
            precision=precision, steps=6, drop=(), flow_steps=4, lift_steps=4, side_steps=4
        )
        pipeline, runner = train(tiny_dataset, chosen, progress=False)
        ends.append(pipeline.state_dict())
        logs.append(runner.history["images"][-1])
    begun = build_pipeline(tiny_dataset, chosen).state_dict()
    own, half = ends
    for name, value in half.items():
        assert torch.isfinite(value).all(), name
        assert value.dtype == own[name].dtype, name
    for part in ("phi", "omega"):
        names = [n for n in own if n.startswith(f"{part}.") and own[n].is_floating_point()]
        one, other, start = (torch.cat([w[n].flatten() for n in names]) for w in (own, half, begun))
        assert not torch.equal(one, other)
        assert (other - one).norm() < 0.5 * (one - start).norm()
    for term in ("Omega", "puppet", "D", "redraw", "sil", "distil", "critic"):
        assert logs[1][term] == pytest.approx(logs[0][term], rel=0.05), term
        assert logs[1][term] != logs[0][term], term
