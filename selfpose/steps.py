"""The steps of a training: each with its own seed; progress, log, checkpoint, exact resume, NaN."""

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
from torch import Tensor, nn
from tqdm import tqdm

from selfpose.config import flatten
from selfpose.files import write_whole

CHECKPOINT_EVERY_S = 60.0
Kept = Mapping[str, nn.Module | torch.optim.Optimizer]
"""What travels in a checkpoint, by name."""


class TrainingDiverged(ArithmeticError):
    """A loss term became NaN or infinite; says which, and at which step."""


class TrainingStopped(BaseException):
    """The run was asked to stop; its checkpoint is written, and the same command continues it.

    Like ``KeyboardInterrupt`` it is no ``Exception``: nothing that handles errors may swallow it.
    """


class _StopRequest:
    """Whether the process was asked to stop. Within a training it stops after a whole step."""

    pending = False
    training = False

    def handle(self, *_: Any) -> None:
        self.pending = True
        if not self.training:
            raise TrainingStopped("stopped")


_stop = _StopRequest()


@contextmanager
def stopping_on(number: int = signal.SIGTERM) -> Iterator[None]:
    """Within it that signal ends a training after the step under way, its checkpoint written.

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


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The random source of one step: a function of seed, stage and step alone.

    A resumed run therefore draws what the uninterrupted one would have drawn.
    """
    mixed = seed
    for char in f"{stage}/{step}":
        mixed = (mixed * 1_000_003 + ord(char)) % (2**63 - 1)
    return torch.Generator().manual_seed(mixed)


@dataclass(kw_only=True)
class Step:
    """One step of a stage: its number, its random source, and the terms that it logs."""

    stage: str
    number: int
    of: int
    generator: torch.Generator
    terms: dict[str, Tensor] = field(default_factory=dict)

    @property
    def first(self) -> bool:
        return self.number == 0

    @property
    def last(self) -> bool:
        return self.number + 1 == self.of

    def log(self, terms: Mapping[str, Tensor]) -> None:
        """Terms for the history; they become numbers where it takes a row."""
        self.terms |= {name: value.detach() for name, value in terms.items()}


def check_finite(terms: Mapping[str, Tensor], step: Step) -> None:
    """Raise :class:`TrainingDiverged` naming the first term that is not finite."""
    for name, value in terms.items():
        if not torch.isfinite(value).all():
            raise TrainingDiverged(
                f"stage {step.stage!r}, step {step.number}: the term {name!r} became "
                f"{float(value.detach())}. The checkpoint before it is kept; a smaller learning "
                "rate of that stage, or a smaller weight of that term, is the usual cure"
            )


def descend(optimiser: torch.optim.Optimizer, terms: Mapping[str, Tensor], step: Step) -> None:
    """One step of an optimiser down the sum of the terms, gradients clipped at norm 10; logged.

    The rate is full for the first half of the stage, then falls linearly to a twentieth.
    """
    check_finite(terms, step)
    step.log(terms)
    share = max(min(1.0, 2 * (1 - step.number / step.of)), 0.05)
    for group in optimiser.param_groups:
        group.setdefault("full_lr", group["lr"])
        group["lr"] = group["full_lr"] * share
    if not terms:
        return
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, 10.0)
    # Finite terms can have gradients that are not; the weights must not take them.
    check_finite({f"gradient of {' + '.join(terms)}": norm}, step)
    optimiser.step()


@dataclass(kw_only=True)
class Training:
    """Stages one after the other; a killed run continues at the step where it stopped.

    Parameters
    ----------
    identity
        What the run is (its parameters): a checkpoint of another identity is refused.
    folder
        Where the checkpoint lives; ``None`` keeps none.
    seed, progress
        Seed of the steps; whether to show bars (``None``: only when stderr is a terminal).

    Raises
    ------
    ValueError
        If the checkpoint found is unreadable or of another run.
    """

    identity: dict[str, Any]
    folder: Path | None = None
    seed: int = 0
    progress: bool | None = True
    history: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    snapshots: Any = None
    _state: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._state = self._read()
        if self._state is not None:
            self.history = json.loads(self._state["history"])
            self.seconds = json.loads(self._state["seconds"])

    @property
    def checkpoint(self) -> Path | None:
        return None if self.folder is None else self.folder / "checkpoint" / "state.pt"

    def steps(
        self,
        stage: str,
        n_steps: int,
        keep: Kept,
        *,
        monitor: Callable[[], dict[str, float]] | None = None,
        log_every: int = 20,
    ) -> Iterator[Step]:
        """The steps of a stage that are still to be taken; none of one that was finished.

        ``keep`` is all that a later stage needs or this one changes: it travels in the checkpoint.
        Every ``log_every`` steps the history takes a row; at every tenth
        row ``monitor`` measures what a reader of it wants to see.

        Raises
        ------
        TrainingDiverged
            If a term becomes NaN; the last checkpoint stays.
        TrainingStopped
            If the process was asked to stop within :func:`stopping_on`.
        """
        done = self._resume(stage, keep)
        if done is None or not n_steps:
            return
        rows = self.history.setdefault(stage, [])
        spent = self.seconds.get(stage, 0.0)
        begun = saved = time.monotonic()
        disable = None if self.progress is None else not self.progress
        bar = tqdm(
            total=n_steps, initial=done, desc=stage, disable=disable, file=sys.stderr,
            mininterval=1.0, dynamic_ncols=True,
        )  # fmt: skip
        _stop.training = True
        try:
            with bar:
                for number in range(done, n_steps):
                    source = step_generator(self.seed, stage, number)
                    step = Step(stage=stage, number=number, of=n_steps, generator=source)
                    yield step
                    if number % log_every == 0 or step.last:
                        row = {n: float(v) for n, v in step.terms.items()}
                        if monitor and (number % (10 * log_every) == 0 or step.last):
                            row |= monitor()
                        rows.append({"step": float(number), **row})
                        shown = {k: f"{v:.3g}" for k, v in list(row.items())[:5]}
                        bar.set_postfix(shown, refresh=False)
                    bar.update()
                    now = time.monotonic()
                    self.seconds[stage] = spent + now - begun
                    # once a step: a request between two looks would end it without a checkpoint
                    asked = _stop.pending
                    if step.last or asked or now - saved > CHECKPOINT_EVERY_S:
                        self._write(stage, number + 1, keep)
                        saved = now
                    if asked:
                        raise TrainingStopped(f"stopped in stage {stage!r}, step {number + 1}")
        finally:
            _stop.training = False
        if _stop.pending:  # asked for after the last step had looked: no further step would see it
            raise TrainingStopped(f"stopped after stage {stage!r}")

    def _resume(self, stage: str, keep: Kept) -> int | None:
        """How many steps of the stage are done; ``None`` if a later one has begun."""
        if self._state is None:
            return 0
        if self._state["stage"] != stage:
            return None
        for name, part in keep.items():
            part.load_state_dict(self._state["kept"][name])
        done = int(self._state["done"])
        self._state = None  # what follows starts at its beginning
        return done

    def _read(self) -> dict[str, Any] | None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint, weights_only=True, map_location="cpu"
            )
        except Exception as error:  # any unreadable file gets the same advice
            raise ValueError(
                f"{self.checkpoint}: unreadable checkpoint ({type(error).__name__}); remove the "
                f"folder {self.checkpoint.parent} to start this run again"
            ) from error
        kept = flatten(json.loads(state["identity"]))
        now = flatten(json.loads(json.dumps(self.identity)))
        if kept != now:
            raise ValueError(
                f"{self.checkpoint}: belongs to a run with other parameters "
                f"({name_changes(kept, now)}); choose another output folder, or remove that one to "
                "start again"
            )
        return state

    def _write(self, stage: str, done: int, keep: Kept) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": json.dumps(self.identity),
            "stage": stage,
            "done": done,
            "history": json.dumps(self.history),
            "seconds": json.dumps(self.seconds),
            "kept": {name: part.state_dict() for name, part in keep.items()},
        }
        write_whole(self.checkpoint, lambda part: torch.save(state, part))


def name_changes(kept: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few values that differ between two flat mappings, as text."""
    changed = sorted(k for k in {*kept, *now} if kept.get(k) != now.get(k))
    return ", ".join(f"{k}: {kept.get(k)!r}, now {now.get(k)!r}" for k in changed[:4])
