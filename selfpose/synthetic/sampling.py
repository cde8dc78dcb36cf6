"""Random bodies and smooth random motion: what every generated body draws from."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

FPS = 30.0
Number = int | float
Range = tuple[Number, Number]


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch on one thread, then on as many as before.

    Many small operations are slower on two threads, and one gives the same bits on any machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def weights(total: str) -> dict[str, float]:
    """The names in a weighted sum, and their weights.

    >>> weights("1.1 hip - 0.1 spine"), weights("hip")
    ({'hip': 1.1, 'spine': -0.1}, {'hip': 1.0})
    """
    terms = re.findall(r"([+-]?) *([0-9.]*) *([a-z]\w*)", total)
    return {name: float(f"{sign}{number or 1}") for sign, number, name in terms}


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Colours from hue, saturation and value in [0, 1]: (...,) each → (..., 3).

    >>> hsv_to_rgb(torch.tensor(1 / 3), torch.tensor(1.0), torch.tensor(0.5))
    tensor([0.0000, 0.5000, 0.0000])
    """
    k = (torch.tensor([5.0, 3.0, 1.0]) + 6 * hue[..., None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)


class Sampler:
    """Random numbers for a batch of things: every result is (\\*batch, \\*shape)."""

    def __init__(self, generator: torch.Generator, *batch: int) -> None:
        self.generator, self.batch = generator, batch

    def uniform(self, low: Number, high: Number, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*self.batch, *shape, generator=self.generator)

    def normal(self, sd: Number, *shape: int, clip: Range = (-2.5, 2.5)) -> Tensor:
        return sd * torch.randn(*self.batch, *shape, generator=self.generator).clamp(*clip)

    def factor(self, sd: Number, *shape: int, clip: Range = (-2.0, 2.0)) -> Tensor:
        """Log-normal factors about 1."""
        return self.normal(sd, *shape, clip=clip).exp()

    def chance(self, p: float | Tensor, *shape: int) -> Tensor:
        """True with probability p."""
        return torch.rand(*self.batch, *shape, generator=self.generator) < p

    def colours(self, hue: Range, saturation: Range, value: Range) -> Tensor:
        """RGB, (\\*batch, 3)."""
        return hsv_to_rgb(self.uniform(*hue), self.uniform(*saturation), self.uniform(*value))


class ClipSampler(Sampler):
    """Random numbers for n clips: (n, 1, \\*shape), or smooth in time (n, T, \\*shape)."""

    def __init__(self, generator: torch.Generator, n: int, n_frames: int) -> None:
        super().__init__(generator, n, 1)
        self.n, self.n_frames = n, n_frames
        self.seconds = torch.arange(n_frames) / FPS

    def coin(self, p: float, *shape: int) -> Tensor:
        """1.0 with probability p, else 0.0."""
        return self.chance(p, *shape).float()

    def cycles(self, rate: Tensor) -> Tensor:
        """(n, T) cycles done at so many a second, from a random phase."""
        return self.seconds * rate + self.uniform(0.0, 1.0)

    def wave(self, low: float, high: float) -> Tensor:
        """(n, T) radians that grow by ``low`` to ``high`` turns a second."""
        return 2 * math.pi * self.cycles(self.uniform(low, high))

    def n_knots(self, period: Tensor) -> int:
        return int(float(self.n_frames / FPS / period.min())) + 3

    def through(self, knots: Tensor, period: Tensor) -> Tensor:
        """Ease from knot to knot, (n, K, \\*c) → (n, T, \\*c): still at each, quickest between."""
        phase = torch.rand(self.n, 1, generator=self.generator)
        where = (self.seconds / period + phase).clamp(max=knots.shape[1] - 1.001)
        k = where.floor().long()
        s = where - k
        s = s**3 * (10 - 15 * s + 6 * s**2)
        rows = torch.arange(self.n)[:, None]
        s = s.reshape(s.shape + (1,) * (knots.ndim - 2))
        return torch.lerp(knots[rows, k], knots[rows, k + 1], s)

    def wander(self, seconds: float, *shape: int) -> Tensor:
        """Smooth noise of unit spread that changes over about ``seconds``."""
        total = torch.zeros(())
        for scale, weight in ((1.0, 0.85), (0.37, 0.4)):
            period = self.uniform(0.75, 1.35) * seconds * scale
            knots = torch.randn(self.n, self.n_knots(period), *shape, generator=self.generator)
            total = total + weight * self.through(knots.clamp(-2.2, 2.2), period)
        return total

    def drift(self, controls: Any, **walks: tuple[Number, Number, Number]) -> None:
        """Set controls to smooth noise of (mean, spread, seconds)."""
        for name, (mean, spread, seconds) in walks.items():
            setattr(controls, name, mean + spread * self.wander(seconds))

    def gestures(
        self,
        table: Float[Tensor, "K *c"],
        weights: Float[Tensor, " K"],
        *,
        seconds: float,
        jitter: float,
        clip: float = math.inf,
        alike: float | None = None,
    ) -> Float[Tensor, "..."]:
        """Go from row to row of a table, the rows drawn by weight: (n, T, \\*c).

        With ``alike``, two hands do so, (n, T, 2, \\*c), and do the same with that probability.
        Now and then a knot repeats the one before, to dwell there. Each knot has noise of
        ``jitter``, cut off at ``clip`` standard deviations.
        """
        period = self.uniform(0.7, 1.4) * seconds
        shape = (self.n, self.n_knots(period), *([] if alike is None else [2]))
        rows = torch.multinomial(weights, math.prod(shape), True, generator=self.generator)
        rows = rows.reshape(shape)
        if alike is not None:
            same = torch.rand(shape[:2], generator=self.generator) < alike
            rows[..., 1] = torch.where(same, rows[..., 0], rows[..., 1])
        held = torch.rand(shape[:2], generator=self.generator) < 0.25
        for k in range(1, shape[1]):
            rows[held[:, k], k] = rows[held[:, k], k - 1]
        noise = torch.randn(*shape, *table.shape[1:], generator=self.generator).clamp(-clip, clip)
        return self.through(table[rows] + jitter * noise, period)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Clips of moving bodies, 30 frames a second: points in mm, y down, floor at 0."""

    points: Float[Tensor, "clips frames P 3"]
    activity: tuple[str, ...]  # one name a clip


@dataclass(frozen=True)
class Motions:
    """How a kind of body moves."""

    activities: Iterable[str]
    individuals: Callable[[Sampler], Any]  # bone lengths, of one body for each clip
    controls: Callable[[str, ClipSampler], Any]  # what a body is told to do in an activity
    pose: Callable[[Any, Any, ClipSampler], Tensor]  # controls, individuals → (n, T, P, 3)

    @single_thread()
    def sample(self, *, n_clips: int, n_frames: int, seed: int) -> Motion:
        """Draw clips whose activities take turns; the same seed gives the same motion."""
        generator = torch.Generator().manual_seed(seed)
        known = tuple(self.activities)
        order = torch.randperm(len(known), generator=generator).tolist()
        names = [known[order[i % len(order)]] for i in range(n_clips)]
        clips: dict[int, Tensor] = {}
        for name in dict.fromkeys(names):
            rows = [i for i, other in enumerate(names) if other == name]
            d = ClipSampler(generator, len(rows), n_frames)
            bodies = self.individuals(d)
            clips |= dict(zip(rows, self.pose(self.controls(name, d), bodies, d), strict=True))
        points = torch.stack([clips[i] for i in range(n_clips)])
        return Motion(points=points, activity=tuple(names))


def full_controls(controls: Any, d: ClipSampler, **shapes: tuple[int, ...]) -> SimpleNamespace:
    """The fields of a dataclass of controls, numbers and tensors, as (n, T, \\*shape) tensors."""
    full = {
        name: torch.as_tensor(value).float().expand(d.n, d.n_frames, *shapes.get(name, ()))
        for name, value in vars(controls).items()
    }
    return SimpleNamespace(**full)
