"""The steps: each one's own seed, checkpoints, and what stops a training."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose import steps
from selfpose.steps import Step, Training, TrainingDiverged, TrainingStopped, descend, stopping_on

Log = list[tuple[str, int]]


@pytest.fixture(autouse=True)
def every_step_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CHECKPOINT_EVERY_S", -1.0)


def training(folder: Path | None = None, **identity: Any) -> Training:
    return Training(identity=identity, folder=folder, progress=False, seed=3)


def walk(
    run: Training, log: Log, *, within: Callable[[str, int], None] = lambda *_: None
) -> torch.Tensor:
    """Two stages, in which one weight takes a random walk."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    sgd = torch.optim.SGD(module.parameters())
    for stage, n in (("a", 6), ("b", 3)):
        keep: steps.Kept = {"module": module, "sgd": sgd}
        watch = {"monitor": lambda: {"watched": 1.0}, "log_every": 1}
        for step in run.steps(stage, n, keep, **watch):
            within(stage, step.number)
            log.append((stage, step.number))
            with torch.no_grad():
                module.weight += torch.randn((), generator=step.generator)
            step.log({"walk": module.weight.clone()})
    return module.weight.detach()


WHOLE = [("a", k) for k in range(6)] + [("b", k) for k in range(3)]


def test_step_generators_depend_on_seed_stage_and_step() -> None:
    keys = [(s, n, k) for s in (-1, 0, 1, 2**62) for n in ("flow", "images") for k in range(20)]

    def draws() -> list[int]:
        sources = [steps.step_generator(*key) for key in keys]
        return [int(torch.randint(2**62, (1,), generator=g)) for g in sources]

    assert len(set(draws())) == len(keys)
    assert draws() == draws()


def test_stages_run_in_order_once_and_leave_a_history(tmp_path: Path) -> None:
    log: Log = []
    run = training(tmp_path)
    walk(run, log)
    assert log == WHOLE
    assert [row["step"] for row in run.history["a"]] == list(range(6))
    assert [row["step"] for row in run.history["a"] if "watched" in row] == [0, 5]
    assert set(run.seconds) == {"a", "b"}
    again: Log = []
    walk(training(tmp_path), again)
    assert again == []


@pytest.mark.parametrize("killed_at", [("a", 0), ("a", 4), ("b", 0), ("b", 2)])
def test_a_killed_run_continues_where_it_stopped(
    tmp_path: Path, killed_at: tuple[str, int]
) -> None:
    expected, log = training(), []
    end = walk(expected, [])

    def kill(stage: str, number: int) -> None:
        if (stage, number) == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(training(tmp_path), log, within=kill)
    resumed = training(tmp_path)
    assert torch.equal(walk(resumed, log), end)
    assert log == WHOLE
    assert resumed.history == expected.history


@pytest.mark.parametrize("asked_at", [("a", 0), ("a", 3), ("a", 5), ("b", 2)])
def test_a_run_asked_to_stop_ends_after_its_step_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_at: tuple[str, int]
) -> None:
    monkeypatch.setattr(steps, "CHECKPOINT_EVERY_S", 1e9)
    log: Log = []

    def ask(stage: str, number: int) -> None:
        if (stage, number) == asked_at:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with stopping_on(), pytest.raises(TrainingStopped, match=f"stage '{asked_at[0]}', step"):
        walk(training(tmp_path), log, within=ask)
    assert signal.getsignal(signal.SIGTERM) == before
    assert log[-1] == asked_at
    with stopping_on():
        walk(training(tmp_path), log)
    assert log == WHOLE


def test_a_request_while_the_last_step_is_written_is_not_lost(tmp_path: Path) -> None:
    class Asked(Training):
        def _write(self, stage: str, done: int, *state: Any) -> None:
            super()._write(stage, done, *state)
            if (stage, done) == ("a", 6):
                os.kill(os.getpid(), signal.SIGTERM)

    log: Log = []
    with stopping_on(), pytest.raises(TrainingStopped, match="after stage 'a'"):
        walk(Asked(identity={}, folder=tmp_path, progress=False, seed=3), log)
    walk(training(tmp_path), log)
    assert log == WHOLE


def test_outside_a_training_the_request_stops_at_once() -> None:
    with stopping_on(), pytest.raises(TrainingStopped):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_checkpoint_of_other_parameters_is_refused_naming_them(tmp_path: Path) -> None:
    walk(training(tmp_path, config={"lr": 1e-3, "seed": 0}, sizes=(1, 2)), [])
    walk(training(tmp_path, config={"lr": 1e-3, "seed": 0}, sizes=(1, 2)), [])
    with pytest.raises(ValueError, match=r"config\.lr: 0\.001, now 0\.002\); choose another"):
        training(tmp_path, config={"lr": 2e-3, "seed": 0}, sizes=(1, 2))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_an_unreadable_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    run = training(tmp_path)
    walk(run, [])
    assert run.checkpoint is not None
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"state\.pt: unreadable checkpoint .*remove the folder"):
        training(tmp_path)


def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(stage: str, number: int) -> None:
        if (stage, number) == ("b", 1):
            raise KeyboardInterrupt

    run = training(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        walk(run, [], within=kill)
    assert run.checkpoint is not None
    before = run.checkpoint.read_bytes()

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selfpose.steps.torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        walk(training(tmp_path), [])
    assert run.checkpoint.read_bytes() == before
    assert [p.name for p in run.checkpoint.parent.iterdir()] == ["state.pt"]


def step(number: int = 4, of: int = 100) -> Step:
    return Step(stage="flow", number=number, of=of, generator=torch.Generator())


def test_terms_and_gradients_that_are_not_finite_are_named_and_reach_no_weight() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=0.1)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(TrainingDiverged, match="stage 'flow', step 4: the term 'NF' became"):
            descend(sgd, {"2D": torch.tensor(1.0), "NF": torch.tensor(bad)}, step())
    with pytest.raises(TrainingDiverged, match=r"stage 'flow', step 4.*gradient of root"):
        descend(sgd, {"root": weight.sqrt().sum()}, step())
    assert weight.item() == 0
    descend(sgd, {}, step())
    assert weight.item() == 0


def test_rates_decay_in_the_second_half() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=0.2)
    rates = []
    for number in range(100):
        descend(sgd, {"square": weight.square().sum()}, step(number))
        rates.append(sgd.param_groups[0]["lr"])
    assert rates[:51] == [0.2] * 51
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01)
