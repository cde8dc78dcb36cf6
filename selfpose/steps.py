"""What every training shares: steps with their own seed, progress, checkpoints, NaN caught."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from torch import Tensor
from selfpose.files import write_whole
from selfpose.evaluation.snapshots import Snapshots
from selfpose.stopping import TrainingDiverged, TrainingStopped


class StopRequest:
    """Remembers that the process was asked to stop, until a training reaches a whole step."""

    def __init__(self) -> None:
        self.pending = False
        self.training = False

    def handle(self, *_: Any) -> None:
        """Signal handler: within a training wait for the step under way, elsewhere stop at once."""
        self.pending = True
        if not self.training:
            raise TrainingStopped("stopped")


_stop = StopRequest()


@contextmanager
def stopping_on(number: int = signal.SIGTERM) -> Iterator[None]:
    """Within it that signal ends a training after the step under way, its checkpoint written.

    Only the main thread may use it: Python hands signals to no other.

    Raises
    ------
    TrainingStopped
        From within, once the signal has come.
    """
    before = signal.signal(number, _stop.handle)
    try:
        yield
    finally:
        _stop.pending = False
        signal.signal(number, before)


def check_finite(terms: Mapping[str, Tensor], *, stage: str, step: int) -> None:
    """Raise :class:`TrainingDiverged` naming the first term that is not finite."""
    for name, value in terms.items():
        if not torch.isfinite(value).all():
            raise TrainingDiverged(
                f"stage {stage!r}, step {step}: the term {name!r} became {float(value.detach())}. "
                "The checkpoint before it is kept; a smaller learning rate of that stage, or a "
                "smaller weight of that term, is the usual cure"
            )


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The random source of one step: a function of seed, stage and step alone.

    A resumed run therefore draws what the uninterrupted one would have drawn.
    """
    mixed = seed
    for char in f"{stage}/{step}":
        mixed = (mixed * 1_000_003 + ord(char)) % (2**63 - 1)
    return torch.Generator().manual_seed(mixed)


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, their keys joined by dots.

    >>> flatten({"config": {"seed": 0}, "data": "cmu"})
    {'config.seed': 0, 'data': 'cmu'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": v for inner, v in flatten(value).items()}
        else:
            flat[name] = value
    return flat


@dataclass(kw_only=True)
class Stage:
    """One part of a training: what it changes, and how it takes a step.

    ``step(number, generator)`` updates ``modules`` by ``optimisers`` and returns its terms as
    numbers; ``monitor()`` measures now and then what a reader of the log wants to see.
    """

    name: str
    n_steps: int
    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    step: Callable[[int, torch.Generator], dict[str, float]]
    monitor: Callable[[], dict[str, float]] | None = None
    log_every: int = 20
    monitor_every: int = 100


@dataclass(kw_only=True)
class Runner:
    """Runs stages one after the other and continues where a killed run stopped.

    Parameters
    ----------
    identity
        What the run is (its parameters): a checkpoint of another identity is refused.
    folder
        Where the checkpoint lives; ``None`` keeps none.
    seed, progress, checkpoint_every_s
        Seed of the steps; whether to show bars (``None``: only when stderr is a terminal); seconds
        between checkpoints.
    """

    identity: dict[str, Any]
    folder: Path | None = None
    seed: int = 0
    progress: bool | None = True
    checkpoint_every_s: float = 60.0
    history: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    snapshots: Snapshots | None = None

    @property
    def checkpoint(self) -> Path | None:
        return None if self.folder is None else self.folder / "checkpoint" / "state.pt"

    def _read(self) -> dict[str, Any] | None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            return None
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        except Exception as error:  # any unreadable file gets the same advice
            raise ValueError(
                f"{self.checkpoint}: unreadable checkpoint ({type(error).__name__}); remove the "
                f"folder {self.checkpoint.parent} to start this run again"
            ) from error
        kept = json.loads(state["identity"])
        now = json.loads(json.dumps(self.identity))
        if kept != now:
            kept, now = flatten(kept), flatten(now)
            changed = sorted(k for k in {*kept, *now} if kept.get(k) != now.get(k))
            shown = ", ".join(f"{k}: {kept.get(k)!r}, now {now.get(k)!r}" for k in changed[:4])
            raise ValueError(
                f"{self.checkpoint}: belongs to a run with other parameters ({shown}); choose "
                "another output folder, or remove that one to start again"
            )
        return state

    def _write(self, stage: Stage, done: int) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": json.dumps(self.identity),
            "stage": stage.name,
            "done": done,
            "history": json.dumps(self.history),
            "seconds": json.dumps(self.seconds),
            "modules": {k: m.state_dict() for k, m in stage.modules.items()},
            "optimisers": {k: o.state_dict() for k, o in stage.optimisers.items()},
        }
        write_whole(self.checkpoint, lambda part: torch.save(state, part))

    def run(self, stages: list[Stage]) -> None:
        """Run every stage to its end.

        Raises
        ------
        TrainingDiverged
            If a term becomes NaN; the last checkpoint stays.
        TrainingStopped
            If the process was asked to stop within :func:`stopping_on`.
        ValueError
            If the checkpoint found is unreadable or of another run.
        """
        state = self._read()
        start, done = 0, 0
        if state is not None:
            names = [s.name for s in stages]
            start, done = names.index(state["stage"]), int(state["done"])
            stage = stages[start]
            for name, module in stage.modules.items():
                module.load_state_dict(state["modules"][name])
            for name, optimiser in stage.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.history = json.loads(state["history"])
            self.seconds = json.loads(state["seconds"])
        for number, stage in enumerate(stages):
            if number >= start:
                _stop.training = True
                try:
                    self._run_stage(stage, done if number == start else 0)
                finally:
                    _stop.training = False
                # asked for after the last step had looked: no further step would see it
                if _stop.pending:
                    raise TrainingStopped(f"stopped after stage {stage.name!r}")

    def _run_stage(self, stage: Stage, done: int) -> None:
        rows = self.history.setdefault(stage.name, [])
        spent = self.seconds.get(stage.name, 0.0)
        begun = saved = time.monotonic()
        bar = tqdm(
            total=stage.n_steps,
            initial=done,
            desc=stage.name,
            disable=None if self.progress is None else not self.progress,
            file=sys.stderr,
            mininterval=1.0,
            dynamic_ncols=True,
        )
        with bar:
            for step in range(done, stage.n_steps):
                terms = stage.step(step, step_generator(self.seed, stage.name, step))
                last = step + 1 == stage.n_steps
                if step % stage.log_every == 0 or last:
                    row = {"step": float(step), **terms}
                    if stage.monitor and (step % stage.monitor_every == 0 or last):
                        row |= stage.monitor()
                    rows.append(row)
                    shown = list(row.items())[1:6]
                    bar.set_postfix({k: f"{v:.3g}" for k, v in shown}, refresh=False)
                bar.update()
                now = time.monotonic()
                self.seconds[stage.name] = spent + now - begun
                # once a step: a request between two looks would end it without a checkpoint
                asked = _stop.pending
                if last or asked or now - saved > self.checkpoint_every_s:
                    self._write(stage, step + 1)
                    saved = now
                if asked:
                    raise TrainingStopped(f"stopped in stage {stage.name!r}, step {step + 1}")


__all__ = [
    "Runner",
    "Stage",
    "TrainingDiverged",
    "TrainingStopped",
    "check_finite",
    "flatten",
    "step_generator",
    "stopping_on",
]
