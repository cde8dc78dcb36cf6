"""Natural human motion, made up: several activities, continuous in time, broad in posture.

Each activity is a small function that draws *controls* (how high the pelvis, where the feet and
hands, how the trunk leans) as rhythms and smooth random walks, which
:func:`selfpose.synthetic.people.pose` turns into points.
"""

import math

import torch
from torch import Tensor

from selfpose.synthetic.kinematics import step_cycle
from selfpose.synthetic.people import Controls, pose, sample_bodies
from selfpose.synthetic.sampling import ClipSampler, Motions, weights

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
# How often the hands go to each of them, by activity.
_OFTEN: dict[str, str] = {
    "talking": "3 hang + 2 relaxed + hip + 2.5 waist + 2 chest + 2 shown + crossed + offered"
    " + 0.7 face + 0.5 behind + 0.4 wave + 0.7 low_aside",
    "waving": "3 wave + 2 high_aside + 2 overhead + high_ahead",
    "reaching": "2 ahead + 2 overhead + 3 high_ahead + 2 high_aside + 2 aside + 2 across"
    " + 2 low_ahead + low_aside + 2 hang + 2 offered",
    "sitting": "3 thigh + 3 waist + 1.5 crossed + 2 chest + 2 shown + 1.5 face + 1.5 offered"
    " + 0.7 ahead + 0.7 wave + relaxed + 0.7 ear + 0.4 overhead",
    "squatting": "2 ahead + 1.5 offered + chest + overhead + low_ahead + 0.7 nape",
    "bending": "3 low_ahead + hang + 2 ahead + offered + across + 0.7 aside + thigh",
    "jumping": "3 overhead + 3 high_aside + 2 high_ahead + 2 aside + ahead + chest",
    "dancing": " + ".join(
        f"{2 if name in ('overhead', 'high_aside', 'aside') else 1} {name}" for name in GESTURES
    ),
    "kicking": "3 low_aside + 2 aside + 2 relaxed + 2 guard + chest + shown",
    "phoning": "4 ear + face + waist + 1.5 chest",
    "lunging": "2 hip + ahead + 2 aside + 2 overhead + 2 thigh + high_aside + waist + high_ahead",
}


def _hands(d: ClipSampler, activity: str, seconds: float, jitter: float) -> Tensor:
    """(n, T, 2, 3) hands that go from gesture to gesture; often both do the same."""
    often = weights(_OFTEN[activity])
    table = torch.tensor([GESTURES[name] for name in often])
    p = torch.tensor(list(often.values()))
    return d.gestures(table, p, seconds=seconds, jitter=jitter, alike=0.4)


def _one_side(d: ClipSampler) -> Tensor:
    """(n, 1, 2) 1 for the left or for the right side, 0 for the other."""
    right = d.coin(0.5)
    return torch.stack([1 - right, right], dim=-1)


def _standing(d: ClipSampler) -> Controls:
    c = Controls(hands=_hands(d, "talking", 0.9, 0.07), height=d.uniform(0.985, 0.998))
    d.drift(c, shift=(0, 40, 2.5), sway=(0, 0.05, 2.5), lean=(0.06, 0.07, 2.0))
    d.drift(c, twist=(0, 0.18, 1.8), head_yaw=(0, 0.4, 1.4), head_pitch=(0.1, 0.16, 1.2))
    c.foot_forward = d.normal(60.0, 2) + 10 * d.wander(2.0, 2)
    c.foot_out = d.uniform(80.0, 190.0, 1)
    d.drift(c, yaw=(0, 0.7, 3.0))
    return c


def _gait(
    d: ClipSampler, rate: Tensor, stride: Tensor, stance: float, lift: Tensor
) -> tuple[Controls, Tensor, Tensor]:
    """Feet that stand, pushed back under the body, and swing forward in turn.

    Also how far the arms swing against the legs, (n, T, 2), and the bounce, (n, T).
    """
    phase = d.cycles(rate) % 1.0
    phase = torch.stack([phase, (phase + 0.5) % 1.0], dim=-1)  # (n, T, 2)
    forward, up, swing = step_cycle(phase, stance)
    push = torch.sin(math.pi * ((phase - 0.6 * stance) / (1 - 0.5 * stance)).clamp(0, 1)) ** 2
    beat = torch.cos(2 * math.pi * phase)  # left foot ahead at 1
    c = Controls()
    c.foot_forward, c.foot_lift = stride[..., None] * forward, lift[..., None] * up
    c.foot_pitch = 0.75 * push - 0.25 * (1 - swing).clamp(0, 1) * (forward > 0.8)
    c.foot_out, c.foot_turn = d.uniform(50.0, 100.0, 1), d.uniform(0.0, 0.2, 1)
    c.pelvis_twist, c.twist = 0.12 * beat[..., 0], -0.22 * beat[..., 0]
    c.speed = 2 * stride * rate / stance
    return c, beat[..., [1, 0]], torch.cos(4 * math.pi * phase[..., 0])


def _walking(d: ClipSampler) -> Controls:
    rate, stride, lift = d.uniform(0.75, 1.1), d.uniform(170.0, 340.0), d.uniform(70.0, 150.0)
    c, counter, _ = _gait(d, rate, stride, 0.62, lift)
    swing = d.uniform(0.05, 0.5, 1)[..., None] * counter[..., None]
    bent = d.uniform(0.0, 1.0, 1, 1)
    hands = torch.tensor(GESTURES["hang"]) * (1 - bent) + torch.tensor([0.1, -0.8, 0.3]) * bent
    hands = hands + swing * torch.tensor([0.0, 0.18, 1.0])
    busy = d.coin(0.4, 2, 1)
    c.hands = torch.lerp(hands, _hands(d, "talking", 1.3, 0.06), busy)
    d.drift(c, lean=(0.06, 0.05, 2.0), head_yaw=(0, 0.35, 1.6), head_pitch=(0.08, 0.12, 1.6))
    c.sway = 0.04 * counter[..., 0]
    c.yaw = d.normal(0.45) * d.seconds + 0.35 * d.wander(2.5)
    return c


def _running(d: ClipSampler) -> Controls:
    rate, stride, lift = d.uniform(1.2, 1.5), d.uniform(230.0, 400.0), d.uniform(200.0, 420.0)
    c, counter, bounce = _gait(d, rate, stride, 0.42, lift)
    centre = torch.tensor([0.0, -0.45, 0.22]) + d.normal(0.05, 2, 3)
    swing = d.uniform(0.25, 0.5, 1)[..., None] * counter[..., None]
    c.hands = centre + swing * torch.tensor([-0.3, 0.4, 0.9])
    c.height, c.flight = 0.95, 35 * (1 - bounce)
    c.tilt, c.lean = d.uniform(0.02, 0.15), d.uniform(0.05, 0.2)
    d.drift(c, head_pitch=(-0.1, 0.1, 1.5), head_yaw=(0, 0.25, 1.5))
    c.yaw = d.normal(0.5) * d.seconds + 0.3 * d.wander(2.0)
    return c


def _waving(d: ClipSampler) -> Controls:
    c = _standing(d)
    both, left = d.coin(0.35), d.coin(0.5)
    active = torch.stack([torch.maximum(both, left), torch.maximum(both, 1 - left)], dim=-1)
    base = _hands(d, "waving", 1.6, 0.08)
    beat = torch.sin(d.wave(1.0, 2.4))
    sweep = beat[..., None, None] * d.uniform(0.1, 0.35, 1, 1) * torch.tensor([1.0, -0.25, 0.0])
    c.hands = torch.lerp(torch.as_tensor(c.hands), base + sweep, active[..., None])
    d.drift(c, side_bend=(0, 0.1, 1.5))
    return c


def _reaching(d: ClipSampler) -> Controls:
    c = _standing(d)
    c.hands = _hands(d, "reaching", 0.9, 0.12)
    d.drift(c, lean=(0.15, 0.22, 1.2), side_bend=(0, 0.2, 1.2), twist=(0, 0.4, 1.2))
    c.height = (0.93 + 0.05 * d.wander(1.4)).clamp(0.7, 0.985)
    c.foot_forward, c.foot_out = d.normal(120.0, 2), d.uniform(100.0, 240.0, 1)
    return c


def _sitting(d: ClipSampler) -> Controls:
    back = d.uniform(-0.3, 0.1)
    c = Controls(hands=_hands(d, "sitting", 1.1, 0.08), tilt=back)
    c.height = d.uniform(0.42, 0.56) + 0.004 * d.wander(2.0)
    c.lean = 0.25 + 0.17 * d.wander(1.6) - 0.6 * back
    d.drift(c, side_bend=(0, 0.08, 2.0), twist=(0, 0.22, 1.6))
    d.drift(c, head_yaw=(0, 0.45, 1.4), head_pitch=(0.1, 0.18, 1.3))
    c.foot_forward = d.uniform(300.0, 560.0)[..., None] + d.normal(90.0, 2) + 25 * d.wander(1.5, 2)
    c.foot_out, c.knees_out = d.uniform(90.0, 230.0, 1), d.uniform(0.0, 0.5, 1)
    d.drift(c, yaw=(0, 1.1, 2.6))
    return c


def _squatting(d: ClipSampler) -> Controls:
    down = d.uniform(0.3, 1.0) * (0.5 - 0.5 * torch.cos(d.wave(0.3, 0.6)))
    arms = _hands(d, "squatting", 1.6, 0.07)
    hang = torch.tensor(GESTURES["hang"]) + d.normal(0.06, 2, 3)
    mix = (1.6 * down[..., None, None]).clamp(max=1)
    c = Controls(hands=torch.lerp(hang.expand_as(arms), arms, mix))
    c.height, c.tilt, c.pelvis_back = 0.994 - 0.6 * down, 0.45 * down, 170 * down
    c.lean = 0.05 + (0.35 + 0.1 * d.wander(1.5)) * down
    d.drift(c, twist=(0, 0.1, 1.5))
    c.head_pitch = -0.3 * down + 0.1 * d.wander(1.4)
    d.drift(c, head_yaw=(0, 0.25, 1.4))
    c.foot_out, c.foot_forward = d.uniform(130.0, 260.0, 1), d.normal(40.0, 2)
    c.foot_turn, c.knees_out = d.uniform(0.1, 0.5, 1), d.uniform(0.2, 0.7, 1)
    d.drift(c, yaw=(0, 0.6, 2.5))
    return c


def _bending(d: ClipSampler) -> Controls:
    down = (0.5 - 0.5 * torch.cos(d.wave(0.25, 0.5))) * d.uniform(0.5, 1.0)
    work, rest = _hands(d, "bending", 1.0, 0.12), _hands(d, "talking", 1.4, 0.06)
    knees = d.uniform(0.0, 0.35)
    c = Controls(hands=torch.lerp(rest, work, (1.5 * down[..., None, None]).clamp(max=1)))
    c.height, c.pelvis_back = 0.994 - knees * down, 190 * down
    c.tilt, c.lean = (0.55 + 0.25 * knees) * down, 0.05 + 0.85 * down
    d.drift(c, twist=(0, 0.35, 1.3), side_bend=(0, 0.15, 1.5))
    c.head_pitch = 0.15 * d.wander(1.3) - 0.1 * down
    d.drift(c, head_yaw=(0, 0.3, 1.3))
    c.foot_out, c.foot_forward = d.uniform(90.0, 220.0, 1), d.normal(70.0, 2)
    d.drift(c, yaw=(0, 0.7, 2.5))
    return c


def _boxing(d: ClipSampler) -> Controls:
    turn = d.cycles(d.uniform(0.9, 1.6)) % 2.0
    jab = torch.stack([turn, (turn + 1.0) % 2.0], dim=-1)
    out = torch.sin(math.pi * (jab / 0.7).clamp(0, 1)) ** 2  # (n, T, 2)
    out = out * (0.55 + 0.45 * torch.tanh(1.5 * d.wander(1.2, 2)))
    guard = torch.tensor(GESTURES["guard"]) + d.normal(0.06, 2, 3)
    aim = torch.tensor(GESTURES["ahead"]) + 0.22 * d.wander(0.9, 2, 3)
    aim = aim + torch.tensor([-0.15, 0.05, 0.0])
    lead = 1 - 2 * d.coin(0.5)
    c = Controls(hands=torch.lerp(guard.expand_as(aim), aim, out[..., None]))
    c.foot_forward = torch.stack([lead, -lead], dim=-1) * d.uniform(110.0, 240.0, 1)
    d.drift(c, height=(0.93, 0.025, 0.8), lean=(0.15, 0.08, 0.8))
    c.pelvis_twist, c.twist = 0.35 * lead, 0.4 * (out[..., 0] - out[..., 1]) - 0.2 * lead
    d.drift(c, head_yaw=(0, 0.12, 0.9), head_pitch=(0.15, 0.08, 1.0))
    c.foot_lift = 15 * d.wander(0.5, 2).clamp(min=0)
    c.foot_out = d.uniform(100.0, 190.0, 1)
    d.drift(c, shift=(0, 30, 0.8), yaw=(0, 0.7, 2.2))
    return c


def _jumping(d: ClipSampler) -> Controls:
    period = d.uniform(0.8, 1.3)
    phase = (d.seconds / period + d.uniform(0.0, 1.0)) % 1.0
    air = ((phase - 0.45) / 0.4).clamp(0, 1)  # in the air between 0.45 and 0.85 of the period
    flying = 4 * air * (1 - air)
    low = torch.sin(math.pi * (phase / 0.45).clamp(0, 1)) ** 2
    low = low + 0.6 * torch.sin(math.pi * ((phase - 0.85) / 0.15).clamp(0, 1)) ** 2
    jack = d.coin(0.45)
    raised = torch.sin(math.pi * ((phase - 0.3) / 0.7).clamp(0, 1)) ** 2
    rest = torch.tensor(GESTURES["relaxed"]) + d.normal(0.1, 2, 3)
    high = _hands(d, "jumping", 1.4, 0.08)
    tuck = d.uniform(0.0, 0.25) * (1 - jack)
    c = Controls(hands=torch.lerp(rest.expand_as(high), high, raised[..., None, None]))
    c.height = 0.994 - d.uniform(0.08, 0.35) * low - tuck * flying
    c.lean, c.tilt, c.pelvis_back = 0.06 + 0.3 * low, 0.2 * low, 70 * low
    c.flight = d.uniform(60.0, 330.0) * flying
    c.foot_out = (90 + (60 + 280 * jack) * flying)[..., None]
    c.foot_pitch = (0.6 * flying)[..., None]
    c.foot_forward = d.normal(50.0, 2) - (100 * flying * (1 - jack))[..., None]
    d.drift(c, head_pitch=(-0.1, 0.1, 1.2), head_yaw=(0, 0.2, 1.4), yaw=(0, 0.8, 2.2))
    return c


def _dancing(d: ClipSampler) -> Controls:
    beat = d.wave(0.8, 1.3)
    sway = torch.sin(beat)
    step = torch.stack([sway, -sway], dim=-1).clamp(min=0)
    hands = _hands(d, "dancing", 0.7, 0.15)
    c = Controls(hands=hands + 0.08 * torch.sin(2 * beat)[..., None, None])
    c.height = 0.94 + 0.03 * torch.cos(2 * beat) - 0.05 * d.wander(1.2).abs()
    c.shift, c.sway = 70 * sway * d.uniform(0.3, 1.2), 0.14 * sway * d.uniform(0.0, 1.0)
    d.drift(c, tilt=(0, 0.1, 1.2), lean=(0.05, 0.16, 1.1))
    c.side_bend = -0.12 * sway + 0.12 * d.wander(1.2)
    d.drift(c, twist=(0, 0.3, 0.9), pelvis_twist=(0, 0.25, 0.9))
    d.drift(c, head_yaw=(0, 0.3, 1.0), head_pitch=(0, 0.16, 1.0))
    c.foot_lift, c.foot_pitch = d.uniform(20.0, 240.0, 1) * step**2, 0.5 * step
    c.foot_forward, c.foot_out = 90 * d.wander(0.9, 2), 130 + 60 * d.wander(1.0, 2)
    c.foot_turn = 0.2 + 0.15 * d.wander(1.2, 2)
    c.yaw = d.normal(0.5) * d.seconds + 0.9 * d.wander(1.8)
    c.swivel = 0.3 * d.wander(1.2, 2)
    return c


def _kicking(d: ClipSampler) -> Controls:
    phase = d.cycles(d.uniform(0.45, 0.75)) % 1.0
    back = torch.sin(math.pi * (phase / 0.4).clamp(0, 1)) ** 2
    out = torch.sin(math.pi * ((phase - 0.3) / 0.5).clamp(0, 1)) ** 2
    kicks = _one_side(d)
    side = 2 * kicks[..., 1] - 1
    far, high = d.uniform(300.0, 680.0), d.uniform(100.0, 750.0)
    c = Controls(hands=_hands(d, "kicking", 0.9, 0.1), height=0.96, tilt=-0.15 * out)
    c.shift, c.twist = 55 * side * (back + out).clamp(max=1), 0.3 * (out - back) * side
    c.lean = 0.05 + 0.12 * back - 0.1 * out + 0.06 * d.wander(1.5)
    d.drift(c, head_pitch=(0.15, 0.1, 1.4), head_yaw=(0, 0.2, 1.4))
    c.foot_forward = kicks * (far * out - 330 * back)[..., None]
    c.foot_lift = kicks * (high * out + 170 * back)[..., None]
    c.foot_pitch = kicks * (0.7 * back - 0.5 * out)[..., None]
    c.foot_out = d.uniform(70.0, 120.0, 1) + kicks * (d.normal(80.0) * out)[..., None]
    d.drift(c, yaw=(0, 0.9, 2.2))
    return c


def _phoning(d: ClipSampler) -> Controls:
    c = _standing(d)
    held = _hands(d, "phoning", 2.2, 0.05)
    c.hands = torch.lerp(torch.as_tensor(c.hands), held, _one_side(d)[..., None])
    d.drift(c, head_pitch=(0.22, 0.15, 1.6))
    return c


def _lunging(d: ClipSampler) -> Controls:
    lead = 1 - 2 * d.coin(0.5)
    feet = torch.stack([lead, -lead], dim=-1) * d.uniform(260.0, 440.0, 1)
    down = 0.3 + 0.7 * (0.5 - 0.5 * torch.cos(d.wave(0.25, 0.5)))
    c = Controls(hands=_hands(d, "lunging", 1.2, 0.08), foot_forward=feet)
    c.height = 0.93 - d.uniform(0.1, 0.42) * down
    d.drift(c, lean=(0.05, 0.12, 1.4), side_bend=(0, 0.15, 1.4), twist=(0, 0.3, 1.4))
    d.drift(c, head_yaw=(0, 0.3, 1.4), head_pitch=(0, 0.12, 1.4))
    c.foot_out = d.uniform(60.0, 170.0, 1)
    c.foot_pitch = (feet < 0) * (0.35 + 0.75 * down)[..., None]
    d.drift(c, yaw=(0, 0.9, 2.2))
    return c


_ACTIVITIES = (
    *(_standing, _walking, _running, _waving, _reaching, _sitting, _squatting),
    *(_bending, _boxing, _jumping, _dancing, _kicking, _phoning, _lunging),
)
ACTIVITIES = {function.__name__[1:]: function for function in _ACTIVITIES}


def controls(activity: str, d: ClipSampler) -> Controls:
    """What people do in an activity."""
    return ACTIVITIES[activity](d)


MOTIONS = Motions(ACTIVITIES, sample_bodies, controls, pose)
