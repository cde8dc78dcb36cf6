"""Jointed desk lamps of different proportions, and how they move: a machine of eight joints.

A heavy foot, a stem that turns on it, two arms with a counterweight behind the elbow, and a shade.
World frame: y down, the desk at y = 0; millimetres throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from torch import Tensor
from selfpose.bodies import MACHINE
from selfpose.synthetic.moving import Dice, Motion, sample_by_activity
from selfpose.synthetic.threads import single_thread

LAMP_POINTS: tuple[str, ...] = (*MACHINE.joints, "bulb")

# Degrees. The lower arm against the vertical, backward and forward; the elbow's flexion, 0 is
# straight; the shade against the upper arm, up and down, and aside; the stem against the foot,
# from where the knob is KNOB_TURN to the right of the arms.
JOINT_LIMITS: dict[str, tuple[float, float]] = {
    "lower_arm": (-40.0, 50.0),
    "elbow": (12.0, 140.0),
    "shade": (-35.0, 125.0),
    "shade_turn": (-60.0, 60.0),
    "stem": (-35.0, 35.0),
}

KNOB_TURN = 75.0  # degrees: one side of the lamp is not like the other
NECK_HEIGHT = 230.0  # above the foot, at least

# Mean lengths; the foot's is from its middle to the knob on its edge.
_LENGTHS: dict[str, float] = {
    "foot": 92.0,
    "stem": 70.0,
    "lower_arm": 290.0,
    "upper_arm": 270.0,
    "counterweight": 95.0,
    "cap": 42.0,
    "shade": 118.0,
}


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T); radians and mm."""

    lower: Tensor  # the lower arm forward of the vertical
    upper: Tensor  # the upper arm forward of the vertical
    shade: Tensor  # the shade forward of the vertical, π when it looks straight down
    shade_turn: Tensor
    stem: Tensor  # which way the arms are turned, with that of the foot
    foot: Tensor
    hop: Tensor | float = 0.0  # of the whole lamp above the desk


def _looking(d: Dice) -> _Controls:
    """Turns here and there, as if it looked about."""
    return _Controls(
        lower=-0.2 + 0.22 * d.wander(seconds=1.8),
        upper=1.0 + 0.3 * d.wander(seconds=1.5),
        shade=1.9 + 0.4 * d.wander(seconds=1.2),
        shade_turn=0.5 * d.wander(seconds=1.1),
        stem=1.1 * d.wander(seconds=2.2),
        foot=0.4 * d.wander(seconds=4.0),
    )


def _reading(d: Dice) -> _Controls:
    """Shines on the desk and follows the lines."""
    c = _looking(d)
    c.lower = -0.1 + 0.15 * d.wander(seconds=2.5)
    c.upper = 1.25 + 0.2 * d.wander(seconds=2.5)
    c.shade = 2.75 + 0.2 * d.wander(seconds=1.5)
    c.shade_turn = 0.2 * d.wander(seconds=1.5)
    c.stem = 0.4 * torch.sin(2 * math.pi * (d.seconds * d.uniform(0.3, 0.7) + d.uniform(0.0, 1.0)))
    c.stem = c.stem + d.normal(0.6)
    return c


def _reaching(d: Dice) -> _Controls:
    c = _looking(d)
    out = (0.5 + 0.6 * d.wander(seconds=1.2)).clamp(0, 1)
    c.lower = -0.35 + 1.1 * out
    c.upper = 1.7 - 0.6 * out + 0.15 * d.wander(seconds=1.2)
    c.shade = 2.2 - 0.4 * out + 0.3 * d.wander(seconds=1.0)
    return c


def _stretching(d: Dice) -> _Controls:
    c = _looking(d)
    up = (0.5 + 0.6 * d.wander(seconds=1.3)).clamp(0, 1)
    c.lower = -0.45 + 0.4 * up + 0.05 * d.wander(seconds=1.0)
    c.upper = 1.85 - 1.6 * up
    c.shade = c.upper + 0.7 + 0.4 * d.wander(seconds=1.0)
    return c


def _nodding(d: Dice) -> _Controls:
    c = _looking(d)
    beat = torch.sin(2 * math.pi * (d.seconds * d.uniform(0.6, 1.6) + d.uniform(0.0, 1.0)))
    deep = d.uniform(0.3, 1.0)
    c.shade = 1.9 + 0.75 * deep * beat + 0.2 * d.wander(seconds=1.5)
    c.upper = c.upper + 0.25 * deep * beat
    c.lower = c.lower - 0.1 * deep * beat
    return c


def _bowing(d: Dice) -> _Controls:
    c = _looking(d)
    down = (0.55 + 0.6 * d.wander(seconds=1.3)).clamp(0, 1)
    c.lower = -0.3 + 0.95 * down + 0.08 * d.wander(seconds=1.2)
    c.upper = 0.8 + 1.1 * down
    c.shade = 1.7 + 0.9 * down + 0.2 * d.wander(seconds=1.0)
    return c


def _hopping(d: Dice) -> _Controls:
    """Crouches, leaps and lands, turning on the way."""
    c = _looking(d)
    phase = (d.seconds * d.uniform(0.7, 1.1) + d.uniform(0.0, 1.0)) % 1.0
    flight = ((phase - 0.55) / 0.45).clamp(0, 1)
    crouch = torch.sin(math.pi * (phase / 0.55).clamp(0, 1)) ** 2
    high = torch.sin(math.pi * flight)
    c.hop = d.uniform(60.0, 150.0) * high
    c.lower = -0.2 - 0.4 * crouch + 0.15 * high
    c.upper = 1.0 + 0.75 * crouch - 0.35 * high
    c.shade = 1.9 + 0.2 * crouch - 0.3 * high + 0.15 * d.wander(seconds=1.0)
    c.foot = 1.2 * d.wander(seconds=2.0)
    c.stem = 0.3 * d.wander(seconds=2.0)
    return c


LAMP_ACTIVITIES: dict[str, Callable[[Dice], _Controls]] = {
    "looking": _looking,
    "reading": _reading,
    "reaching": _reaching,
    "stretching": _stretching,
    "nodding": _nodding,
    "bowing": _bowing,
    "hopping": _hopping,
}


def sample_lamp_sizes(n: int, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw n lamps' lengths by name, (n, 1) mm each, spread a little about their means."""

    def factor(spread: float) -> Tensor:
        return (spread * torch.randn(n, 1, generator=generator).clamp(-2, 2)).exp()

    size = factor(0.05)
    return {name: mm * size * factor(0.06) for name, mm in _LENGTHS.items()}


def _direction(azimuth: Tensor, angle: Tensor) -> Tensor:
    """Unit vectors at an angle from straight up, towards an azimuth about the vertical axis."""
    level = angle.sin()
    return torch.stack([level * azimuth.sin(), -angle.cos(), level * azimuth.cos()], dim=-1)


def _pose(c: _Controls, lengths: dict[str, Tensor]) -> Tensor:
    """Forward kinematics with every joint inside its limits: (n, T, P, 3) ``LAMP_POINTS``, mm."""
    limit = {k: tuple(math.radians(x) for x in v) for k, v in JOINT_LIMITS.items()}
    lower = c.lower.clamp(*limit["lower_arm"])
    upper = lower + (c.upper - lower).clamp(*limit["elbow"])
    # The shade stays off the desk and the foot.
    reach = NECK_HEIGHT - lengths["stem"] - lengths["lower_arm"] * lower.cos()
    upper = torch.minimum(upper, (reach / lengths["upper_arm"]).clamp(-1, 1).acos())
    shade = upper + (c.shade - upper).clamp(*limit["shade"])
    # The foot does not follow the arms all the way.
    turn = c.foot + c.stem
    knob = turn + math.radians(KNOB_TURN) - (0.3 * c.stem).clamp(*limit["stem"])
    shade_turn = turn + c.shade_turn.clamp(*limit["shade_turn"])

    def along(name: str, way: Tensor) -> Tensor:
        return lengths[name][..., None] * way

    up = _direction(turn, torch.zeros_like(turn))
    arm, looks = _direction(turn, upper), _direction(shade_turn, shade)
    hop = c.hop if isinstance(c.hop, Tensor) else torch.full_like(turn, c.hop)
    at = {"foot": hop[..., None] * up + 14.0 * up}
    at["knob"] = at["foot"] + along("foot", _direction(knob, torch.full_like(turn, math.pi / 2)))
    at["stem"] = at["foot"] + along("stem", up)
    at["elbow"] = at["stem"] + along("lower_arm", _direction(turn, lower))
    at["counterweight"] = at["elbow"] - along("counterweight", arm)
    at["neck"] = at["elbow"] + along("upper_arm", arm)
    at["cap"] = at["neck"] + along("cap", looks)
    at["rim"] = at["cap"] + along("shade", looks)
    at["bulb"] = at["rim"] + 0.1 * along("shade", looks)
    return torch.stack([at[name] for name in LAMP_POINTS], dim=-2)


@single_thread()
def sample_machines(
    *,
    n_clips: int,
    n_frames: int,
    seed: int,
    activities: tuple[str, ...] = tuple(LAMP_ACTIVITIES),
    device: str | torch.device = "cpu",
) -> Motion:
    """Draw clips of desk lamps in motion at 30 fps, each of its own proportions.

    The points are ``LAMP_POINTS``; the same seed gives the same motion.

    Raises
    ------
    ValueError
        If a count is not positive or an activity is unknown.
    """

    def draw(name: str, dice: Dice) -> Tensor:
        lengths = sample_lamp_sizes(dice.n, generator=dice.generator)
        return _pose(LAMP_ACTIVITIES[name](dice), lengths)

    return sample_by_activity(
        draw,
        n_clips=n_clips,
        n_frames=n_frames,
        seed=seed,
        activities=activities,
        known=tuple(LAMP_ACTIVITIES),
        device=device,
    )


__all__ = [
    "JOINT_LIMITS",
    "KNOB_TURN",
    "LAMP_ACTIVITIES",
    "LAMP_POINTS",
    "NECK_HEIGHT",
    "sample_lamp_sizes",
    "sample_machines",
]
