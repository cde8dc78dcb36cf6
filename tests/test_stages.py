"""The runner: each step's own seed, checkpoints, and what stops a training."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose.steps import (
    Runner,
    Stage,
    TrainingDiverged,
    TrainingStopped,
    check_finite,
    flatten,
    step_generator,
    stopping_on,
)


def counting_stage(name: str, n_steps: int, log: list[tuple[str, int]]) -> Stage:
    """A stage whose one weight takes a random walk."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        log.append((name, number))
        with torch.no_grad():
            module.weight += torch.randn((), generator=generator)
        return {"walk": float(module.weight.detach())}

    return Stage(
        name=name,
        n_steps=n_steps,
        modules={"module": module},
        optimisers={"sgd": torch.optim.SGD(module.parameters())},
        step=step,
        log_every=1,
        monitor=lambda: {"watched": 1.0},
        monitor_every=4,
    )


def runner(folder: Path | None = None, **identity: Any) -> Runner:
    return Runner(identity=identity, folder=folder, progress=False, seed=3, checkpoint_every_s=-1.0)


def test_step_generators_depend_on_seed_stage_and_step() -> None:
    keys = [(s, n, k) for s in (-1, 0, 1, 2**62) for n in ("flow", "images") for k in range(20)]
    draws = [torch.randint(2**62, (1,), generator=step_generator(*key)).item() for key in keys]
    assert len(set(draws)) == len(keys)
    again = [torch.randint(2**62, (1,), generator=step_generator(*key)).item() for key in keys]
    assert again == draws


def test_stages_run_in_order_once_and_leave_a_history() -> None:
    log: list[tuple[str, int]] = []
    run = runner()
    run.run([counting_stage("a", 6, log), counting_stage("b", 3, log)])
    assert log == [("a", k) for k in range(6)] + [("b", k) for k in range(3)]
    assert [row["step"] for row in run.history["a"]] == list(range(6))
    assert [row["step"] for row in run.history["a"] if "watched" in row] == [0, 4, 5]
    assert set(run.seconds) == {"a", "b"}


@pytest.mark.parametrize("killed_at", [("a", 0), ("a", 4), ("b", 0), ("b", 2)])
def test_a_killed_run_continues_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: tuple[str, int]
) -> None:
    def stages(log: list[tuple[str, int]]) -> list[Stage]:
        return [counting_stage("a", 6, log), counting_stage("b", 3, log)]

    whole, before, after = [], [], []
    expected = runner()
    expected.run(stages(whole))

    def kill(seed: int, stage: str, step: int) -> torch.Generator:
        if (stage, step) == killed_at:
            raise KeyboardInterrupt
        return step_generator(seed, stage, step)

    with monkeypatch.context() as patch:
        patch.setattr("selfpose.steps.step_generator", kill)
        with pytest.raises(KeyboardInterrupt):
            runner(tmp_path).run(stages(before))
    resumed = runner(tmp_path)
    resumed.run(stages(after))
    assert before + after == whole
    assert resumed.history == expected.history
    again: list[tuple[str, int]] = []
    runner(tmp_path).run(stages(again))
    assert again == []


@pytest.mark.parametrize("asked_at", [0, 3, 5])
def test_a_run_asked_to_stop_ends_after_its_step_and_continues(
    tmp_path: Path, asked_at: int
) -> None:
    def slow(folder: Path) -> Runner:
        return Runner(identity={}, folder=folder, progress=False, seed=3, checkpoint_every_s=1e9)

    expected = slow(tmp_path / "whole")
    expected.run([counting_stage("a", 6, []), counting_stage("b", 3, [])])
    log: list[tuple[str, int]] = []
    stage = counting_stage("a", 6, log)
    whole_step = stage.step

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        if number == asked_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole_step(number, generator)

    stage.step = step
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on(), pytest.raises(TrainingStopped, match=f"stage 'a', step {asked_at + 1}"):
        slow(tmp_path / "cut").run([stage, counting_stage("b", 3, log)])
    assert signal.getsignal(signal.SIGTERM) == before
    assert log == [("a", k) for k in range(asked_at + 1)]
    resumed = slow(tmp_path / "cut")
    with stopping_on():
        resumed.run([counting_stage("a", 6, log), counting_stage("b", 3, log)])
    assert log == [("a", k) for k in range(6)] + [("b", k) for k in range(3)]
    assert resumed.history == expected.history


@pytest.mark.parametrize("asked_in", ["a", "b"])
def test_a_request_while_the_last_step_is_written_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_in: str
) -> None:
    whole_write = Runner._write

    def write(self: Runner, stage: Stage, done: int) -> None:
        whole_write(self, stage, done)
        if stage.name == asked_in and done == stage.n_steps:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Runner, "_write", write)
    log: list[tuple[str, int]] = []
    stages = [counting_stage("a", 3, log), counting_stage("b", 2, log)]
    with stopping_on(), pytest.raises(TrainingStopped, match=f"after stage '{asked_in}'"):
        runner(tmp_path).run(stages)
    monkeypatch.setattr(Runner, "_write", whole_write)
    with stopping_on():
        runner(tmp_path).run([counting_stage("a", 3, log), counting_stage("b", 2, log)])
    assert log == [("a", k) for k in range(3)] + [("b", k) for k in range(2)]


def test_a_request_after_the_look_of_a_step_waits_for_the_next(tmp_path: Path) -> None:
    """However the request falls between two looks, the checkpoint holds the step it ends at."""
    log: list[tuple[str, int]] = []

    class Asked(Runner):
        def _write(self, stage: Stage, done: int) -> None:
            super()._write(stage, done)
            if done == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    asked = Asked(identity={}, folder=tmp_path, progress=False, seed=3, checkpoint_every_s=-1.0)
    with stopping_on(), pytest.raises(TrainingStopped, match="stage 'a', step 3"):
        asked.run([counting_stage("a", 6, log)])
    runner(tmp_path).run([counting_stage("a", 6, log)])
    assert log == [("a", k) for k in range(6)]


def test_outside_a_training_the_request_stops_at_once() -> None:
    with stopping_on(), pytest.raises(TrainingStopped):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_checkpoint_of_other_parameters_is_refused_naming_them(tmp_path: Path) -> None:
    runner(tmp_path, config={"lift_lr": 1e-3, "seed": 0}, clips=4).run([counting_stage("a", 2, [])])
    other = runner(tmp_path, config={"lift_lr": 2e-3, "seed": 0}, clips=4)
    with pytest.raises(ValueError, match=r"config\.lift_lr: 0\.001, now 0\.002\); choose another"):
        other.run([counting_stage("a", 2, [])])


def test_tuples_in_an_identity_survive_json(tmp_path: Path) -> None:
    log: list[tuple[str, int]] = []
    for _ in range(2):
        runner(tmp_path, sizes=(1, 2)).run([counting_stage("a", 2, log)])
    assert log == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_an_unreadable_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    run = runner(tmp_path)
    run.run([counting_stage("a", 2, [])])
    assert run.checkpoint is not None
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"state\.pt: unreadable checkpoint .*remove the folder"):
        runner(tmp_path).run([counting_stage("a", 2, [])])


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner().run([counting_stage("a", 2, [])])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(tmp_path)
    run.run([counting_stage("a", 2, [])])
    assert run.checkpoint is not None
    before = run.checkpoint.read_bytes()

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selfpose.steps.torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        runner(tmp_path).run([counting_stage("a", 2, []), counting_stage("b", 2, [])])
    assert run.checkpoint.read_bytes() == before
    assert [p.name for p in run.checkpoint.parent.iterdir()] == ["state.pt"]


def test_terms_that_are_not_finite_are_named() -> None:
    fine = torch.tensor(1.0)
    check_finite({"2D": fine, "NF": fine}, stage="lifting", step=3)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(TrainingDiverged, match="stage 'lifting', step 3: the term 'NF' became"):
            check_finite({"2D": fine, "NF": fine * bad}, stage="lifting", step=3)


def test_flatten_keeps_every_leaf() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [2], "e": None}
