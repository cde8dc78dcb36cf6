"""What all made-up motion shares: clips, random walks and rhythms, activities that take turns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from jaxtyping import Float
from torch import Tensor
from selfpose.camera import azimuth_rotation, elevation_rotation

FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Clips of moving bodies.

    Parameters
    ----------
    points
        (clips, frames, P, 3) mm, world frame: y down, floor at y = 0; the order of the model that
        draws them (``FIGURE_POINTS`` for people).
    activity
        What is done, one name a clip.
    fps
        Frames a second.
    """

    points: Float[Tensor, "clips frames P 3"]
    activity: tuple[str, ...]
    fps: float = FPS

    def __post_init__(self) -> None:
        if len(self.activity) != len(self.points):
            raise ValueError(
                f"activity: expected {len(self.points)} names, got {len(self.activity)}"
            )


class Dice:
    """Random numbers for n clips of T frames, in the forms that the activities need."""

    def __init__(self, n: int, n_frames: int, generator: torch.Generator) -> None:
        self.n, self.n_frames, self.generator = n, n_frames, generator
        self.seconds = torch.arange(n_frames) / FPS

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(n, 1, *shape), one draw a clip."""
        draw = torch.rand(self.n, 1, *shape, generator=self.generator)
        return low + (high - low) * draw

    def normal(self, sd: float, *shape: int) -> Tensor:
        return sd * torch.randn(self.n, 1, *shape, generator=self.generator).clamp(-2.5, 2.5)

    def chance(self, p: float, *shape: int) -> Tensor:
        return (torch.rand(self.n, 1, *shape, generator=self.generator) < p).float()

    def through(self, knots: Tensor, period: Tensor) -> Tensor:
        """Ease from knot to knot, (n, K, *c) → (n, T, *c): still at each, quickest between."""
        phase = torch.rand(self.n, 1, generator=self.generator)
        where = (self.seconds / period + phase).clamp(max=knots.shape[1] - 1.001)
        k = where.floor().long()
        s = where - k
        s = s**3 * (10 - 15 * s + 6 * s**2)
        rows = torch.arange(self.n)[:, None]
        s = s.reshape(s.shape + (1,) * (knots.ndim - 2))
        return torch.lerp(knots[rows, k], knots[rows, k + 1], s)

    def n_knots(self, period: Tensor) -> int:
        return int(float(self.n_frames / FPS / period.min())) + 3

    def wander(self, *shape: int, seconds: float) -> Tensor:
        """(n, T, *shape) smooth noise of unit spread that changes over about ``seconds``."""
        total = torch.zeros(())
        for scale, weight in ((1.0, 0.85), (0.37, 0.4)):
            period = self.uniform(0.75, 1.35)[..., 0:1].reshape(self.n, 1) * seconds * scale
            knots = torch.randn(self.n, self.n_knots(period), *shape, generator=self.generator)
            total = total + weight * self.through(knots.clamp(-2.2, 2.2), period)
        return total

    def picks(
        self, table: Tensor, weights: Tensor, *, seconds: float, jitter: float, stay: float = 0.25
    ) -> Tensor:
        """(n, T, *c) that goes from row to row of a (K, *c) table, the rows drawn by weight.

        Some knots repeat the one before them, as often as ``stay`` says, to dwell there.
        """
        period = self.uniform(0.7, 1.4).reshape(self.n, 1) * seconds
        shape = (self.n, self.n_knots(period))
        rows = torch.multinomial(weights, math.prod(shape), True, generator=self.generator)
        rows = rows.reshape(shape)
        held = torch.rand(shape, generator=self.generator) < stay
        for k in range(1, shape[1]):
            rows[:, k] = torch.where(held[:, k], rows[:, k - 1], rows[:, k])
        noise = torch.randn(*shape, *table.shape[1:], generator=self.generator).clamp(-2.2, 2.2)
        return self.through(table[rows] + jitter * noise, period)


def roll_rotation(angle: Tensor) -> Tensor:
    """Rotation about the forward axis: the head goes to the person's right for angle > 0."""
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    return torch.stack((c, -s, zero, s, c, zero, zero, zero, one), -1).unflatten(-1, (3, 3))


def turned(yaw: Tensor, forward: Tensor, right: Tensor) -> Tensor:
    """Yaw, then a lean forward and to the right, in the yawed frame."""
    return azimuth_rotation(yaw) @ elevation_rotation(-forward) @ roll_rotation(right)


def step_cycle(phase: Tensor, stance: float) -> tuple[Tensor, Tensor, Tensor]:
    """A foot's place in its cycle, from phases in [0, 1): on the floor up to ``stance``, then not.

    Returns
    -------
    forward, up, swing
        Place along the step in [-1, 1], height in about [0, 1], and the share of the swing done.
    """
    swing = ((phase - stance) / (1 - stance)).clamp(0, 1)
    on_floor = 1 - 2 * (phase / stance).clamp(0, 1)
    # Both ends of the swing take over the stance's speed, so that the foot never jerks.
    ease = swing * swing * (3 - 2 * swing)
    slope = -2 * (1 - stance) / stance
    in_air = -1 + 2 * ease + slope * (swing * (1 - swing) * (1 - 2 * swing))
    forward = torch.where(phase < stance, on_floor, in_air)
    up = torch.sin(math.pi * swing) ** 2 * (1.25 - 0.5 * swing)
    return forward, up, swing


def sample_by_activity(
    draw: Callable[[str, Dice], Tensor],
    *,
    n_clips: int,
    n_frames: int,
    seed: int,
    activities: tuple[str, ...],
    known: Sequence[str],
    device: str | torch.device = "cpu",
) -> Motion:
    """Clips of activities that take turns, so that every one has its share.

    Parameters
    ----------
    draw
        The name of an activity and the dice of its n clips → (n, T, P, 3) points.
    known
        Every activity there is.

    Raises
    ------
    ValueError
        If a count is not positive or an activity is unknown.
    """
    if n_clips < 1 or n_frames < 1:
        raise ValueError(f"need one clip and one frame at least, got {n_clips} and {n_frames}")
    if not activities or (unknown := set(activities) - set(known)):
        bad = sorted(unknown) if activities else "none at all"
        raise ValueError(f"unknown activities {bad}; choose from {sorted(known)}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(activities), generator=generator).tolist()
    names = [activities[order[i % len(order)]] for i in range(n_clips)]
    clips: dict[int, Tensor] = {}
    for name in dict.fromkeys(names):
        rows = [i for i, other in enumerate(names) if other == name]
        drawn = draw(name, Dice(len(rows), n_frames, generator))
        clips |= dict(zip(rows, drawn, strict=True))
    points = torch.stack([clips[i] for i in range(n_clips)])
    return Motion(points=points.to(device), activity=tuple(names))


__all__ = [
    "FPS",
    "Dice",
    "Motion",
    "roll_rotation",
    "sample_by_activity",
    "step_cycle",
    "turned",
]
