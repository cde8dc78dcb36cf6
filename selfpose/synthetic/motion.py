"""Natural human motion, made up: several activities, continuous in time, broad in posture.

Each activity is a small function that fills a table of *controls* (how high the pelvis, where the
feet and hands, how the trunk leans) with rhythms and smooth random walks; one function then turns
controls into postures with the feet on the floor, and :mod:`selfpose.synthetic.body` into points.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn.functional import normalize

from torch import Tensor
from selfpose.camera import azimuth_rotation
from selfpose.synthetic.body import (
    ANKLE_HEIGHT,
    HEAD_LIMITS,
    TOE_HEIGHT,
    Body,
    Posture,
    hip_offsets,
    posture_to_points,
    sample_bodies,
    toe_offset,
)
from selfpose.synthetic.moving import FPS, Dice, Motion, sample_by_activity, step_cycle, turned
from selfpose.synthetic.threads import single_thread

# What hands do, as offsets from the shoulder (outward, up, forward) in arm lengths.
GESTURES: dict[str, tuple[float, float, float]] = {
    "hang": (0.10, -0.97, 0.05),
    "relaxed": (0.14, -0.88, 0.22),
    "thigh": (0.05, -0.80, 0.30),
    "hip": (0.10, -0.60, 0.02),
    "behind": (0.02, -0.72, -0.30),
    "waist": (-0.18, -0.52, 0.42),
    "chest": (-0.25, -0.22, 0.42),
    "crossed": (-0.42, -0.30, 0.36),
    "shown": (0.28, -0.35, 0.62),
    "offered": (0.02, -0.12, 0.80),
    "ahead": (0.00, 0.02, 0.97),
    "aside": (0.92, -0.05, 0.18),
    "low_aside": (0.68, -0.62, 0.15),
    "high_aside": (0.62, 0.66, 0.18),
    "overhead": (0.12, 0.94, 0.10),
    "high_ahead": (0.05, 0.66, 0.66),
    "wave": (0.42, 0.42, 0.30),
    "face": (-0.22, 0.22, 0.34),
    "ear": (-0.08, 0.32, 0.20),
    "nape": (0.02, 0.40, -0.05),
    "guard": (-0.14, 0.00, 0.44),
    "low_ahead": (-0.02, -0.74, 0.56),
    "across": (-0.55, 0.00, 0.62),
}


def _gestures(d: Dice, weights: dict[str, float], *, seconds: float, jitter: float) -> Tensor:
    """(n, T, 2, 3) hands that go from gesture to gesture; half the time both do the same."""
    period = d.uniform(0.7, 1.4).reshape(d.n, 1) * seconds
    shape = (d.n, d.n_knots(period), 2)
    table = torch.tensor([GESTURES[name] for name in weights])
    p = torch.tensor(list(weights.values()))
    picks = torch.multinomial(p, math.prod(shape), True, generator=d.generator)
    picks = picks.reshape(shape)
    alike = torch.rand(shape[:2], generator=d.generator) < 0.4
    picks[..., 1] = torch.where(alike, picks[..., 0], picks[..., 1])
    # To dwell on a gesture now and then, some knots repeat the one before them.
    stay = torch.rand(shape[:2], generator=d.generator) < 0.25
    for k in range(1, shape[1]):
        picks[:, k] = torch.where(stay[:, k, None], picks[:, k - 1], picks[:, k])
    noise = jitter * torch.randn(*shape, 3, generator=d.generator)
    return d.through(table[picks] + noise, period)


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T, ...) or broadcastable; angles in radians, lengths in mm."""

    hands: Tensor  # (n, T, 2, 3) as in GESTURES
    height: Tensor | float = 0.994  # of the pelvis, in leg lengths above the ankles
    yaw: Tensor | float = 0.0
    shift: Tensor | float = 0.0  # of the pelvis to the right of the feet
    pelvis_back: Tensor | float = 0.0
    tilt: Tensor | float = 0.0  # pelvis forward
    sway: Tensor | float = 0.0  # pelvis to the right
    pelvis_twist: Tensor | float = 0.0
    lean: Tensor | float = 0.0  # spine forward, on top of the pelvis's tilt
    side_bend: Tensor | float = 0.0
    twist: Tensor | float = 0.0
    head_yaw: Tensor | float = 0.0
    head_pitch: Tensor | float = 0.0  # forward
    foot_forward: Tensor | float = 0.0  # (n, T, 2) from below the pelvis
    foot_out: Tensor | float = 110.0
    foot_lift: Tensor | float = 0.0
    foot_pitch: Tensor | float = 0.0  # toes down
    foot_turn: Tensor | float = 0.15  # toes outward
    knees_out: Tensor | float = 0.15
    flight: Tensor | float = 0.0  # of the whole body above the floor
    speed: Tensor | float = 0.0  # forward, mm/s
    swivel: Tensor | float = 0.0  # (n, T, 2) of the elbows, outward and up
    extra: dict[str, Tensor] = field(default_factory=dict)


_TALK = {
    "hang": 3.0,
    "relaxed": 2.0,
    "hip": 1.0,
    "waist": 2.5,
    "chest": 2.0,
    "shown": 2.0,
    "crossed": 1.0,
    "offered": 1.0,
    "face": 0.7,
    "behind": 0.5,
    "wave": 0.4,
    "low_aside": 0.7,
}
_ANYWHERE = dict.fromkeys(GESTURES, 1.0) | {"overhead": 2.0, "high_aside": 2.0, "aside": 2.0}


def _standing(d: Dice) -> _Controls:
    return _Controls(
        hands=_gestures(d, _TALK, seconds=0.9, jitter=0.07),
        height=d.uniform(0.985, 0.998),
        shift=40 * d.wander(seconds=2.5),
        sway=0.05 * d.wander(seconds=2.5),
        lean=0.06 + 0.07 * d.wander(seconds=2.0),
        twist=0.18 * d.wander(seconds=1.8),
        head_yaw=0.4 * d.wander(seconds=1.4),
        head_pitch=0.1 + 0.16 * d.wander(seconds=1.2),
        foot_forward=d.normal(60.0, 2) + 10 * d.wander(2, seconds=2.0),
        foot_out=d.uniform(80.0, 190.0, 1),
        yaw=0.7 * d.wander(seconds=3.0),
    )


def _gait(d: Dice, *, rate: Tensor, stride: Tensor, stance: float, lift: Tensor) -> _Controls:
    """Feet that stand, pushed back under the body, and swing forward in turn."""
    phase = (d.seconds * rate + d.uniform(0.0, 1.0)) % 1.0
    phase = torch.stack([phase, (phase + 0.5) % 1.0], dim=-1)  # (n, T, 2)
    forward, up, swing = step_cycle(phase, stance)
    push = torch.sin(math.pi * ((phase - 0.6 * stance) / (1 - 0.5 * stance)).clamp(0, 1)) ** 2
    beat = torch.cos(2 * math.pi * phase)  # left foot ahead at 1
    counter = beat[..., [1, 0]]  # arms swing against the legs
    return _Controls(
        hands=torch.zeros(d.n, d.n_frames, 2, 3),
        foot_forward=stride[..., None] * forward,
        foot_lift=lift[..., None] * up,
        foot_pitch=0.75 * push - 0.25 * (1 - swing).clamp(0, 1) * (forward > 0.8),
        foot_out=d.uniform(50.0, 100.0, 1),
        foot_turn=d.uniform(0.0, 0.2, 1),
        pelvis_twist=0.12 * beat[..., 0],
        twist=-0.22 * beat[..., 0],
        speed=2 * stride * rate / stance,
        extra={"counter": counter, "bounce": torch.cos(4 * math.pi * phase[..., 0])},
    )


def _walking(d: Dice) -> _Controls:
    c = _gait(
        d,
        rate=d.uniform(0.75, 1.1),
        stride=d.uniform(170.0, 340.0),
        stance=0.62,
        lift=d.uniform(70.0, 150.0),
    )
    swing = d.uniform(0.05, 0.5, 1)[..., None] * c.extra["counter"][..., None]
    bent = d.uniform(0.0, 1.0, 1, 1)
    hands = torch.tensor(GESTURES["hang"]) * (1 - bent) + torch.tensor([0.1, -0.8, 0.3]) * bent
    hands = hands + swing * torch.tensor([0.0, 0.18, 1.0])
    busy = d.chance(0.4, 2, 1)
    c.hands = torch.lerp(hands, _gestures(d, _TALK, seconds=1.3, jitter=0.06), busy)
    c.lean = 0.06 + 0.05 * d.wander(seconds=2.0)
    c.head_yaw = 0.35 * d.wander(seconds=1.6)
    c.head_pitch = 0.08 + 0.12 * d.wander(seconds=1.6)
    c.sway = 0.04 * c.extra["counter"][..., 0]
    c.yaw = d.normal(0.45) * d.seconds + 0.35 * d.wander(seconds=2.5)
    return c


def _running(d: Dice) -> _Controls:
    rate = d.uniform(1.2, 1.5)
    c = _gait(
        d, rate=rate, stride=d.uniform(230.0, 400.0), stance=0.42, lift=d.uniform(200.0, 420.0)
    )
    counter = c.extra["counter"][..., None]
    centre = torch.tensor([0.0, -0.45, 0.22]) + d.normal(0.05, 2, 3)
    c.hands = centre + d.uniform(0.25, 0.5, 1)[..., None] * counter * torch.tensor([-0.3, 0.4, 0.9])
    c.height = 0.95
    c.tilt, c.lean = d.uniform(0.02, 0.15), d.uniform(0.05, 0.2)
    c.flight = 35 * (1 - c.extra["bounce"])
    c.head_pitch = -0.1 + 0.1 * d.wander(seconds=1.5)
    c.head_yaw = 0.25 * d.wander(seconds=1.5)
    c.yaw = d.normal(0.5) * d.seconds + 0.3 * d.wander(seconds=2.0)
    return c


def _waving(d: Dice) -> _Controls:
    c = _standing(d)
    both = d.chance(0.35)
    left = d.chance(0.5)
    active = torch.stack([torch.maximum(both, left), torch.maximum(both, 1 - left)], dim=-1)
    base = _gestures(
        d,
        {"wave": 3.0, "high_aside": 2.0, "overhead": 2.0, "high_ahead": 1.0},
        seconds=1.6,
        jitter=0.08,
    )
    beat = torch.sin(2 * math.pi * (d.seconds * d.uniform(1.0, 2.4) + d.uniform(0.0, 1.0)))
    sweep = beat[..., None, None] * d.uniform(0.1, 0.35, 1, 1) * torch.tensor([1.0, -0.25, 0.0])
    c.hands = torch.lerp(c.hands, base + sweep, active[..., None])
    c.side_bend = 0.1 * d.wander(seconds=1.5)
    return c


def _reaching(d: Dice) -> _Controls:
    c = _standing(d)
    reach = {
        "ahead": 2.0,
        "overhead": 2.0,
        "high_ahead": 3.0,
        "high_aside": 2.0,
        "aside": 2.0,
        "across": 2.0,
        "low_ahead": 2.0,
        "low_aside": 1.0,
        "hang": 2.0,
        "offered": 2.0,
    }
    c.hands = _gestures(d, reach, seconds=0.9, jitter=0.12)
    c.lean = 0.15 + 0.22 * d.wander(seconds=1.2)
    c.side_bend = 0.2 * d.wander(seconds=1.2)
    c.twist = 0.4 * d.wander(seconds=1.2)
    c.height = (0.93 + 0.05 * d.wander(seconds=1.4)).clamp(0.7, 0.985)
    c.foot_forward = d.normal(120.0, 2)
    c.foot_out = d.uniform(100.0, 240.0, 1)
    return c


def _sitting(d: Dice) -> _Controls:
    lap = {"thigh": 3.0, "waist": 3.0, "crossed": 1.5, "chest": 2.0, "shown": 2.0, "face": 1.5}
    lap |= {"offered": 1.5, "ahead": 0.7, "wave": 0.7, "relaxed": 1.0, "ear": 0.7, "overhead": 0.4}
    back = d.uniform(-0.3, 0.1)
    return _Controls(
        hands=_gestures(d, lap, seconds=1.1, jitter=0.08),
        height=d.uniform(0.42, 0.56) + 0.004 * d.wander(seconds=2.0),
        tilt=back,
        lean=0.25 + 0.17 * d.wander(seconds=1.6) - 0.6 * back,
        side_bend=0.08 * d.wander(seconds=2.0),
        twist=0.22 * d.wander(seconds=1.6),
        head_yaw=0.45 * d.wander(seconds=1.4),
        head_pitch=0.1 + 0.18 * d.wander(seconds=1.3),
        foot_forward=d.uniform(300.0, 560.0)[..., None]
        + d.normal(90.0, 2)
        + 25 * d.wander(2, seconds=1.5),
        foot_out=d.uniform(90.0, 230.0, 1),
        knees_out=d.uniform(0.0, 0.5, 1),
        yaw=1.1 * d.wander(seconds=2.6),
    )


def _squatting(d: Dice) -> _Controls:
    depth = d.uniform(0.3, 1.0)
    beat = 0.5 - 0.5 * torch.cos(
        2 * math.pi * (d.seconds * d.uniform(0.3, 0.6) + d.uniform(0.0, 1.0))
    )
    down = depth * beat
    arms = _gestures(
        d,
        {
            "ahead": 2.0,
            "offered": 1.5,
            "chest": 1.0,
            "overhead": 1.0,
            "low_ahead": 1.0,
            "nape": 0.7,
        },
        seconds=1.6,
        jitter=0.07,
    )
    hang = torch.tensor(GESTURES["hang"]) + d.normal(0.06, 2, 3)
    mix = (1.6 * down[..., None, None]).clamp(max=1)
    return _Controls(
        hands=torch.lerp(hang.expand_as(arms), arms, mix),
        height=0.994 - 0.6 * down,
        tilt=0.45 * down,
        lean=0.05 + (0.35 + 0.1 * d.wander(seconds=1.5)) * down,
        twist=0.1 * d.wander(seconds=1.5),
        head_pitch=-0.3 * down + 0.1 * d.wander(seconds=1.4),
        head_yaw=0.25 * d.wander(seconds=1.4),
        pelvis_back=170 * down,
        foot_out=d.uniform(130.0, 260.0, 1),
        foot_forward=d.normal(40.0, 2),
        foot_turn=d.uniform(0.1, 0.5, 1),
        knees_out=d.uniform(0.2, 0.7, 1),
        yaw=0.6 * d.wander(seconds=2.5),
    )


def _bending(d: Dice) -> _Controls:
    beat = 0.5 - 0.5 * torch.cos(
        2 * math.pi * (d.seconds * d.uniform(0.25, 0.5) + d.uniform(0.0, 1.0))
    )
    down = beat * d.uniform(0.5, 1.0)
    work = _gestures(
        d,
        {
            "low_ahead": 3.0,
            "hang": 1.0,
            "ahead": 2.0,
            "offered": 1.0,
            "across": 1.0,
            "aside": 0.7,
            "thigh": 1.0,
        },
        seconds=1.0,
        jitter=0.12,
    )
    rest = _gestures(d, _TALK, seconds=1.4, jitter=0.06)
    knees = d.uniform(0.0, 0.35)
    return _Controls(
        hands=torch.lerp(rest, work, (1.5 * down[..., None, None]).clamp(max=1)),
        height=0.994 - knees * down,
        tilt=(0.55 + 0.25 * knees) * down,
        lean=0.05 + 0.85 * down,
        twist=0.35 * d.wander(seconds=1.3),
        side_bend=0.15 * d.wander(seconds=1.5),
        head_pitch=0.15 * d.wander(seconds=1.3) - 0.1 * down,
        head_yaw=0.3 * d.wander(seconds=1.3),
        pelvis_back=190 * down,
        foot_out=d.uniform(90.0, 220.0, 1),
        foot_forward=d.normal(70.0, 2),
        yaw=0.7 * d.wander(seconds=2.5),
    )


def _boxing(d: Dice) -> _Controls:
    rate = d.uniform(0.9, 1.6)
    turn = (d.seconds * rate + d.uniform(0.0, 1.0)) % 2.0
    jab = torch.stack([turn, (turn + 1.0) % 2.0], dim=-1)
    out = torch.sin(math.pi * (jab / 0.7).clamp(0, 1)) ** 2  # (n, T, 2)
    out = out * (0.55 + 0.45 * torch.tanh(1.5 * d.wander(2, seconds=1.2)))
    guard = torch.tensor(GESTURES["guard"]) + d.normal(0.06, 2, 3)
    aim = torch.tensor(GESTURES["ahead"]) + 0.22 * d.wander(2, 3, seconds=0.9)
    aim = aim + torch.tensor([-0.15, 0.05, 0.0])
    lead = 1 - 2 * d.chance(0.5)
    feet = torch.stack([lead, -lead], dim=-1) * d.uniform(110.0, 240.0, 1)
    return _Controls(
        hands=torch.lerp(guard.expand_as(aim), aim, out[..., None]),
        height=0.93 + 0.025 * d.wander(seconds=0.8),
        lean=0.15 + 0.08 * d.wander(seconds=0.8),
        pelvis_twist=0.35 * lead,
        twist=0.4 * (out[..., 0] - out[..., 1]) - 0.2 * lead,
        head_yaw=0.12 * d.wander(seconds=0.9),
        head_pitch=0.15 + 0.08 * d.wander(seconds=1.0),
        foot_forward=feet,
        foot_lift=15 * d.wander(2, seconds=0.5).clamp(min=0),
        foot_out=d.uniform(100.0, 190.0, 1),
        shift=30 * d.wander(seconds=0.8),
        yaw=0.7 * d.wander(seconds=2.2),
    )


def _jumping(d: Dice) -> _Controls:
    period = d.uniform(0.8, 1.3)
    phase = (d.seconds / period + d.uniform(0.0, 1.0)) % 1.0
    air = ((phase - 0.45) / 0.4).clamp(0, 1)  # in the air between 0.45 and 0.85 of the period
    flying = 4 * air * (1 - air)
    low = torch.sin(math.pi * (phase / 0.45).clamp(0, 1)) ** 2
    low = low + 0.6 * torch.sin(math.pi * ((phase - 0.85) / 0.15).clamp(0, 1)) ** 2
    jack = d.chance(0.45)
    raised = torch.sin(math.pi * ((phase - 0.3) / 0.7).clamp(0, 1)) ** 2
    rest = torch.tensor(GESTURES["relaxed"]) + d.normal(0.1, 2, 3)
    high = _gestures(
        d,
        {
            "overhead": 3.0,
            "high_aside": 3.0,
            "high_ahead": 2.0,
            "aside": 2.0,
            "ahead": 1.0,
            "chest": 1.0,
        },
        seconds=1.4,
        jitter=0.08,
    )
    tuck = d.uniform(0.0, 0.25) * (1 - jack)
    return _Controls(
        hands=torch.lerp(rest.expand_as(high), high, raised[..., None, None]),
        height=0.994 - d.uniform(0.08, 0.35) * low - tuck * flying,
        lean=0.06 + 0.3 * low,
        tilt=0.2 * low,
        pelvis_back=70 * low,
        flight=d.uniform(60.0, 330.0) * flying,
        foot_out=(90 + (60 + 280 * jack) * flying)[..., None],
        foot_pitch=(0.6 * flying)[..., None],
        foot_forward=d.normal(50.0, 2) - (100 * flying * (1 - jack))[..., None],
        head_pitch=-0.1 + 0.1 * d.wander(seconds=1.2),
        head_yaw=0.2 * d.wander(seconds=1.4),
        yaw=0.8 * d.wander(seconds=2.2),
    )


def _dancing(d: Dice) -> _Controls:
    rate = d.uniform(0.8, 1.3)
    beat = 2 * math.pi * (d.seconds * rate + d.uniform(0.0, 1.0))
    step = torch.stack([torch.sin(beat), -torch.sin(beat)], dim=-1)
    return _Controls(
        hands=_gestures(d, _ANYWHERE, seconds=0.7, jitter=0.15)
        + 0.08 * torch.sin(2 * beat)[..., None, None],
        height=0.94 + 0.03 * torch.cos(2 * beat) - 0.05 * d.wander(seconds=1.2).abs(),
        shift=70 * torch.sin(beat) * d.uniform(0.3, 1.2),
        sway=0.14 * torch.sin(beat) * d.uniform(0.0, 1.0),
        tilt=0.1 * d.wander(seconds=1.2),
        lean=0.05 + 0.16 * d.wander(seconds=1.1),
        side_bend=-0.12 * torch.sin(beat) + 0.12 * d.wander(seconds=1.2),
        twist=0.3 * d.wander(seconds=0.9),
        pelvis_twist=0.25 * d.wander(seconds=0.9),
        head_yaw=0.3 * d.wander(seconds=1.0),
        head_pitch=0.16 * d.wander(seconds=1.0),
        foot_lift=d.uniform(20.0, 240.0, 1) * step.clamp(min=0) ** 2,
        foot_forward=90 * d.wander(2, seconds=0.9),
        foot_out=130 + 60 * d.wander(2, seconds=1.0),
        foot_pitch=0.5 * step.clamp(min=0),
        foot_turn=0.2 + 0.15 * d.wander(2, seconds=1.2),
        yaw=d.normal(0.5) * d.seconds + 0.9 * d.wander(seconds=1.8),
        swivel=0.3 * d.wander(2, seconds=1.2),
    )


def _kicking(d: Dice) -> _Controls:
    rate = d.uniform(0.45, 0.75)
    phase = (d.seconds * rate + d.uniform(0.0, 1.0)) % 1.0
    back = torch.sin(math.pi * (phase / 0.4).clamp(0, 1)) ** 2
    out = torch.sin(math.pi * ((phase - 0.3) / 0.5).clamp(0, 1)) ** 2
    right = d.chance(0.5)
    which = torch.stack([1 - right, right], dim=-1)
    reach, high = d.uniform(300.0, 680.0), d.uniform(100.0, 750.0)
    return _Controls(
        hands=_gestures(
            d,
            {
                "low_aside": 3.0,
                "aside": 2.0,
                "relaxed": 2.0,
                "guard": 2.0,
                "chest": 1.0,
                "shown": 1.0,
            },
            seconds=0.9,
            jitter=0.1,
        ),
        height=0.96,
        shift=(1 - 2 * right) * -55 * (back + out).clamp(max=1),
        lean=0.05 + 0.12 * back - 0.1 * out + 0.06 * d.wander(seconds=1.5),
        tilt=-0.15 * out,
        twist=0.3 * (out - back) * (2 * right - 1),
        head_pitch=0.15 + 0.1 * d.wander(seconds=1.4),
        head_yaw=0.2 * d.wander(seconds=1.4),
        foot_forward=which * (reach * out - 330 * back)[..., None],
        foot_lift=which * (high * out + 170 * back)[..., None],
        foot_pitch=which * (0.7 * back - 0.5 * out)[..., None],
        foot_out=d.uniform(70.0, 120.0, 1) + which * (d.normal(80.0) * out)[..., None],
        yaw=0.9 * d.wander(seconds=2.2),
    )


def _phoning(d: Dice) -> _Controls:
    c = _standing(d)
    held = _gestures(
        d, {"ear": 4.0, "face": 1.0, "waist": 1.0, "chest": 1.5}, seconds=2.2, jitter=0.05
    )
    right = d.chance(0.5)
    which = torch.stack([1 - right, right], dim=-1)[..., None]
    c.hands = torch.lerp(c.hands, held, which)
    c.head_pitch = 0.22 + 0.15 * d.wander(seconds=1.6)
    return c


def _lunging(d: Dice) -> _Controls:
    lead = 1 - 2 * d.chance(0.5)
    feet = torch.stack([lead, -lead], dim=-1) * d.uniform(260.0, 440.0, 1)
    beat = 0.5 - 0.5 * torch.cos(
        2 * math.pi * (d.seconds * d.uniform(0.25, 0.5) + d.uniform(0.0, 1.0))
    )
    down = 0.3 + 0.7 * beat
    return _Controls(
        hands=_gestures(
            d,
            {
                "hip": 2.0,
                "ahead": 1.0,
                "aside": 2.0,
                "overhead": 2.0,
                "thigh": 2.0,
                "high_aside": 1.0,
                "waist": 1.0,
                "high_ahead": 1.0,
            },
            seconds=1.2,
            jitter=0.08,
        ),
        height=0.93 - d.uniform(0.1, 0.42) * down,
        lean=0.05 + 0.12 * d.wander(seconds=1.4),
        side_bend=0.15 * d.wander(seconds=1.4),
        twist=0.3 * d.wander(seconds=1.4),
        head_yaw=0.3 * d.wander(seconds=1.4),
        head_pitch=0.12 * d.wander(seconds=1.4),
        foot_forward=feet,
        foot_out=d.uniform(60.0, 170.0, 1),
        foot_pitch=(feet < 0) * (0.35 + 0.75 * down)[..., None],
        yaw=0.9 * d.wander(seconds=2.2),
    )


ACTIVITIES: dict[str, Callable[[Dice], _Controls]] = {
    "standing": _standing,
    "walking": _walking,
    "running": _running,
    "waving": _waving,
    "reaching": _reaching,
    "sitting": _sitting,
    "squatting": _squatting,
    "bending": _bending,
    "boxing": _boxing,
    "jumping": _jumping,
    "dancing": _dancing,
    "kicking": _kicking,
    "phoning": _phoning,
    "lunging": _lunging,
}


def _soft_max(a: Tensor, b: Tensor, softness: float) -> Tensor:
    return softness * torch.logaddexp(a / softness, b / softness)


def _controls_to_posture(c: _Controls, body: Body, d: Dice) -> Posture:
    """Put the feet on the floor, the pelvis where the legs allow it, the hands out of the trunk."""
    n, t = d.n, d.n_frames

    def full(value: Tensor | float, *shape: int) -> Tensor:
        tensor = value if isinstance(value, Tensor) else torch.tensor(value)
        return tensor.float().expand(n, t, *shape)

    yaw, tilt, lean = full(c.yaw), full(c.tilt), full(c.lean)
    sway, side, twist = full(c.sway), full(c.side_bend), full(c.twist)
    pelvis_yaw = yaw + full(c.pelvis_twist)
    pelvis_rotation = turned(pelvis_yaw, tilt, sway)
    spine_rotation = pelvis_rotation @ turned(0.35 * twist, 0.4 * lean, 0.4 * side)
    chest_rotation = pelvis_rotation @ turned(twist, lean, side)
    limit = {name: math.radians(degrees) for name, degrees in HEAD_LIMITS.items()}
    head_yaw = limit["yaw"] * torch.tanh(full(c.head_yaw) / limit["yaw"])
    # People keep their face up when they lean.
    pitch = full(c.head_pitch) - 0.3 * (lean + tilt)
    pitch = limit["pitch"] * torch.tanh(pitch / limit["pitch"])
    roll = limit["roll"] * torch.tanh(0.1 * d.wander(seconds=1.5) - 0.4 * (side + sway))
    head_rotation = chest_rotation @ turned(head_yaw, pitch, roll)

    sign = torch.tensor([-1.0, 1.0])
    turn = full(c.foot_turn, 2) * sign
    foot_yaw = yaw[..., None] + turn
    foot_rotation = turned(foot_yaw, full(c.foot_pitch, 2), torch.zeros_like(turn))
    toe = toe_offset(Body(**{k: v[..., None] for k, v in vars(body).items()}), foot_rotation)
    # Neither the ankle nor the toes may go through the floor.
    lift = full(c.foot_lift, 2).clamp(min=0)
    least = torch.maximum(TOE_HEIGHT + toe[..., 1], torch.tensor(0.8 * ANKLE_HEIGHT))
    ankle_height = lift + torch.maximum(least, torch.tensor(ANKLE_HEIGHT))
    ground = azimuth_rotation(yaw)  # right and forward along the floor
    right_way, forward_way = ground[..., 0], ground[..., 2]
    out = (full(c.foot_out, 2).clamp(min=45) * sign)[..., None]
    ankles = out * right_way[..., None, :]
    ankles = ankles + full(c.foot_forward, 2)[..., None] * forward_way[..., None, :]
    ankles = ankles - ankle_height[..., None] * torch.tensor([0.0, 1.0, 0.0])

    pelvis = full(c.shift)[..., None] * right_way - full(c.pelvis_back)[..., None] * forward_way
    hips = hip_offsets(body, pelvis_rotation)
    apart = (ankles - pelvis[..., None, :] - hips)[..., [0, 2]].square().sum(-1)
    reach = (0.997 * body.leg)[..., None]
    upright = (reach.square() - apart).clamp(min=1e4).sqrt()
    allowed = ankles[..., 1] - hips[..., 1] - upright  # the highest y of the root for each leg
    wanted = -(full(c.height).clamp(0.3, 0.998) * body.leg + ANKLE_HEIGHT)
    # A lifted foot does not hold the pelvis down.
    free = (lift - 60).clamp(min=0)
    bound = (allowed - free).amax(dim=-1)
    pelvis_y = _soft_max(wanted, bound, 4.0)
    pelvis = pelvis + pelvis_y[..., None] * torch.tensor([0.0, 1.0, 0.0])
    feet_forward = azimuth_rotation(foot_yaw)[..., 2]
    outward = sign[:, None] * right_way[..., None, :]
    knee_poles = feet_forward + full(c.knees_out, 2)[..., None] * outward
    knee_poles = knee_poles - torch.tensor([0.0, 0.3, 0.0])

    hands = c.hands + 0.035 * d.wander(2, 3, seconds=0.8)
    # A hand on its way past the shoulder goes round the front of it.
    near = (-(hands.square().sum(-1, keepdim=True) / 0.09)).exp()
    hands = hands + near * torch.tensor([0.12, 0.0, 0.45])
    arm, clavicle = body.arm[..., None], body.clavicle[..., None]
    x = clavicle + hands[..., 0] * arm  # from the middle of the chest, outward
    y, z = hands[..., 1] * arm, hands[..., 2] * arm
    trunk = torch.sigmoid(-(y - 80) / 60)  # 1 beside the trunk, 0 beside the head
    wide, deep = 95 + 105 * trunk, 120 + 35 * trunk
    inside = ((x / wide).square() + (z / deep).square() + 1e-4).sqrt()
    push = (1 / inside).clamp(1.0, 4.0)
    x, z = x * push, z * push
    local = torch.stack([(x - clavicle) * sign, -y, z], dim=-1)  # right, down, forward
    wrists = local @ chest_rotation.mT
    up = (hands[..., 1] / hands.norm(dim=-1).clamp(min=0.2)).clamp(-1, 1)
    shrug = (0.5 + 0.5 * up).square() * 0.9 - 0.02
    # Elbows point back when the arm hangs, down when it is level, forward and out when it is up:
    # never along the arm, so they never flip. The swivel turns them about the line to the hand.
    swivel = full(c.swivel, 2) + d.normal(0.2, 2) + 0.2 * d.wander(2, seconds=1.3) - 0.05
    weights = torch.stack([(-up).clamp(min=0), 1 - up.abs(), up.clamp(min=0)], dim=-1)
    pole = weights @ torch.tensor([[0.5, 0.0, -0.85], [0.35, 0.9, -0.15], [0.8, 0.0, 0.35]])
    pole = pole * torch.stack([sign, torch.ones(2), torch.ones(2)], dim=-1)
    axis = normalize(local, dim=-1)
    spin = (swivel * -sign)[..., None]
    pole = pole - (pole * axis).sum(-1, keepdim=True) * axis
    pole = pole * spin.cos() + torch.linalg.cross(axis, pole) * spin.sin()
    bends = torch.stack([0.1 * sign.expand_as(up), 0 * up, 0.15 + 0 * up], -1)
    bends = (bends + 0.22 * d.wander(2, 3, seconds=0.9)) @ chest_rotation.mT

    travel = (full(c.speed)[..., None] * forward_way).cumsum(dim=1) / FPS
    travel = travel - full(c.flight)[..., None] * torch.tensor([0.0, 1.0, 0.0])
    return Posture(
        pelvis=pelvis + travel,
        pelvis_rotation=pelvis_rotation,
        spine_rotation=spine_rotation,
        chest_rotation=chest_rotation,
        head_rotation=head_rotation,
        shrug=shrug,
        wrists=wrists,
        elbow_poles=pole @ chest_rotation.mT,
        hand_bends=bends,
        ankles=ankles + travel[..., None, :],
        knee_poles=knee_poles,
        foot_rotation=foot_rotation,
    )


@single_thread()
def sample_motion(
    *,
    n_clips: int,
    n_frames: int,
    seed: int,
    activities: tuple[str, ...] = tuple(ACTIVITIES),
    device: str | torch.device = "cpu",
) -> Motion:
    """Draw clips of people in motion at 30 fps, each with a body of its own.

    The activities take turns, so that every one has its share; the same seed gives the same
    motion.

    Raises
    ------
    ValueError
        If a count is not positive or an activity is unknown.
    """

    def draw(name: str, dice: Dice) -> Tensor:
        body = sample_bodies(dice.n, generator=dice.generator).frames()
        return posture_to_points(body, _controls_to_posture(ACTIVITIES[name](dice), body, dice))

    return sample_by_activity(
        draw,
        n_clips=n_clips,
        n_frames=n_frames,
        seed=seed,
        activities=activities,
        known=tuple(ACTIVITIES),
        device=device,
    )


__all__ = ["ACTIVITIES", "FPS", "GESTURES", "Motion", "sample_motion"]
