"""Jointed desk lamps: proportions, how they move, and how they look; a machine of eight joints.

A heavy foot, a stem that turns on it, two arms with a counterweight behind the elbow, and a shade.
World frame: y down, the desk at y = 0; millimetres throughout.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfpose.skeleton import MACHINE
from selfpose.synthetic.cones import Appearance, Model, Part, by_part
from selfpose.synthetic.sampling import ClipSampler, Motions, Sampler, full_controls

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


ACTIVITIES = ("looking", "reading", "reaching", "stretching", "nodding", "bowing", "hopping")


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T) or a number; radians and mm."""

    lower: Tensor | float = 0.0  # the lower arm forward of the vertical
    upper: Tensor | float = 0.0  # the upper arm forward of the vertical
    shade: Tensor | float = 0.0  # forward of the vertical, π when it looks straight down
    shade_turn: Tensor | float = 0.0
    stem: Tensor | float = 0.0  # which way the arms are turned, with that of the foot
    foot: Tensor | float = 0.0
    hop: Tensor | float = 0.0  # of the whole lamp above the desk


def controls(activity: str, d: ClipSampler) -> _Controls:
    """Look about, or do something more."""
    c = _Controls()
    d.drift(c, lower=(-0.2, 0.22, 1.8), upper=(1.0, 0.3, 1.5), shade=(1.9, 0.4, 1.2))
    d.drift(c, shade_turn=(0, 0.5, 1.1), stem=(0, 1.1, 2.2), foot=(0, 0.4, 4.0))
    match activity:
        case "reading":  # shines on the desk and follows the lines
            d.drift(c, lower=(-0.1, 0.15, 2.5), upper=(1.25, 0.2, 2.5))
            d.drift(c, shade=(2.75, 0.2, 1.5), shade_turn=(0, 0.2, 1.5))
            c.stem = 0.4 * torch.sin(d.wave(0.3, 0.7)) + d.normal(0.6)
        case "reaching":
            out = (0.5 + 0.6 * d.wander(1.2)).clamp(0, 1)
            c.lower = -0.35 + 1.1 * out
            c.upper = 1.7 - 0.6 * out + 0.15 * d.wander(1.2)
            c.shade = 2.2 - 0.4 * out + 0.3 * d.wander(1.0)
        case "stretching":
            up = (0.5 + 0.6 * d.wander(1.3)).clamp(0, 1)
            c.lower = -0.45 + 0.4 * up + 0.05 * d.wander(1.0)
            c.upper = 1.85 - 1.6 * up
            c.shade = c.upper + 0.7 + 0.4 * d.wander(1.0)
        case "nodding":
            beat = torch.sin(d.wave(0.6, 1.6))
            deep = d.uniform(0.3, 1.0)
            c.shade = 1.9 + 0.75 * deep * beat + 0.2 * d.wander(1.5)
            c.upper = c.upper + 0.25 * deep * beat
            c.lower = c.lower - 0.1 * deep * beat
        case "bowing":
            down = (0.55 + 0.6 * d.wander(1.3)).clamp(0, 1)
            c.lower = -0.3 + 0.95 * down + 0.08 * d.wander(1.2)
            c.upper = 0.8 + 1.1 * down
            c.shade = 1.7 + 0.9 * down + 0.2 * d.wander(1.0)
        case "hopping":  # crouches, leaps and lands, turning on the way
            phase = d.cycles(d.uniform(0.7, 1.1)) % 1.0
            high = torch.sin(math.pi * ((phase - 0.55) / 0.45).clamp(0, 1))
            crouch = torch.sin(math.pi * (phase / 0.55).clamp(0, 1)) ** 2
            c.hop = d.uniform(60.0, 150.0) * high
            c.lower = -0.2 - 0.4 * crouch + 0.15 * high
            c.upper = 1.0 + 0.75 * crouch - 0.35 * high
            c.shade = 1.9 + 0.2 * crouch - 0.3 * high + 0.15 * d.wander(1.0)
            d.drift(c, foot=(0, 1.2, 2.0), stem=(0, 0.3, 2.0))
    return c


def sample_lamps(s: Sampler) -> dict[str, Float[Tensor, "n 1"]]:
    """Draw lamps' lengths in mm, spread a little about their means."""
    size = s.factor(0.05)
    return {name: mm * size * s.factor(0.06) for name, mm in _LENGTHS.items()}


def _direction(azimuth: Tensor, angle: Tensor) -> Tensor:
    """Unit vectors at an angle from straight up, towards an azimuth about the vertical axis."""
    level = angle.sin()
    return torch.stack([level * azimuth.sin(), -angle.cos(), level * azimuth.cos()], dim=-1)


def pose(told: _Controls, lengths: dict[str, Tensor], d: ClipSampler) -> Float[Tensor, "n T P 3"]:
    """Forward kinematics with every joint inside its limits: ``LAMP_POINTS``, mm."""
    c = full_controls(told, d)
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
    length = {name: value[..., None] for name, value in lengths.items()}
    up, level = _direction(turn, torch.zeros_like(turn)), torch.full_like(turn, math.pi / 2)
    arm, looks = _direction(turn, upper), _direction(shade_turn, shade)
    at = {"foot": c.hop[..., None] * up + 14.0 * up}
    at["knob"] = at["foot"] + length["foot"] * _direction(knob, level)
    at["stem"] = at["foot"] + length["stem"] * up
    at["elbow"] = at["stem"] + length["lower_arm"] * _direction(turn, lower)
    at["counterweight"] = at["elbow"] - length["counterweight"] * arm
    at["neck"] = at["elbow"] + length["upper_arm"] * arm
    at["cap"] = at["neck"] + length["cap"] * looks
    at["rim"] = at["cap"] + length["shade"] * looks
    at["bulb"] = at["rim"] + 0.1 * (length["shade"] * looks)
    return torch.stack([at[name] for name in LAMP_POINTS], dim=-2)


MOTIONS = Motions(ACTIVITIES, sample_lamps, controls, pose)

# --- how they look

PARTS: tuple[Part, ...] = (
    # Its frame's right is the vertical: a ball much wider than high.
    Part("foot", "foot", "foot", (98, 98), "foot", 0.24),
    Part("knob", "knob", "1.06 knob - 0.06 foot", (27, 25)),
    Part("stem", "foot", "stem", (38, 25)),
    Part("lower_arm", "stem", "elbow", (19, 17)),
    Part("elbow", "elbow", "elbow", (28, 28)),
    Part("tail", "elbow", "counterweight", (14, 14)),
    Part("counterweight", "counterweight", "counterweight", (37, 37)),
    Part("upper_arm", "elbow", "neck", (17, 16)),
    Part("neck", "neck", "neck", (25, 25)),
    Part("cap", "0.4 neck + 0.6 cap", "cap", (26, 36)),
    Part("shade", "cap", "0.18 cap + 0.82 rim", (38, 84)),
    Part("bulb", "rim", "bulb", (77, 76)),
)


def sample_lamp_looks(n: int, *, seed: int) -> Appearance:
    """Draw n lamps' paint, metal, light and thickness; the same seed gives the same lamps."""
    s = Sampler(torch.Generator().manual_seed(seed), n)
    paint = s.colours((0.0, 1.0), (0.45, 0.95), (0.3, 0.95))
    enamel = s.uniform(0.1, 0.95, 1).expand(n, 3)
    paint = torch.where(s.chance(0.25, 1), enamel, paint)
    metal = s.colours((0.05, 0.65), (0.0, 0.12), (0.3, 0.8))
    dark = metal * s.uniform(0.3, 0.6, 1)
    second = torch.where(s.chance(0.5, 1), paint, metal)
    knob = s.colours((0.0, 1.0), (0.5, 1.0), (0.6, 1.0))
    # The light is warm or cold, and brighter than anything painted.
    warm, cold = torch.tensor([1.0, 0.9, 0.6]), torch.tensor([0.95, 0.98, 1.0])
    glow = 1.45 * torch.lerp(warm, cold, s.uniform(0.0, 1.0, 1))
    never = torch.full((n,), 2.0)
    band = torch.where(s.chance(0.4), s.uniform(0.6, 0.85), never)
    girth = s.factor(0.1, clip=(-1.5, 2))
    colours = {"bulb": glow, "knob": knob, "cap": paint, "foot": paint}
    colours |= dict.fromkeys(("elbow", "neck", "counterweight", "tail"), dark)
    looks = {name: (colour, colour, never, girth) for name, colour in colours.items()}
    looks["shade"] = (paint, second, band, girth)
    return Appearance(**by_part(PARTS, looks, (second, second, never, girth)))


LAMP = Model(
    skeleton=MACHINE,
    points=LAMP_POINTS,
    parts=PARTS,
    frames={"foot": lambda at: (at("stem") - at("foot"), at("knob") - at("foot"))},
    sample_appearance=sample_lamp_looks,
    reference_mm=280.0,
    centre=("foot", "foot", "neck"),
    aim=("foot", "elbow", "neck"),
)
