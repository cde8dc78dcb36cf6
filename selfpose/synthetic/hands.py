"""Right hands: proportions, natural gestures, and how they look; a skeleton of 21 joints.

A hand's own frame: x towards the thumb, y down from the fingers to the wrist, z out of the back of
the hand; the palm faces a camera that stands at negative z. Millimetres throughout.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from selfpose.camera import elevation_rotation
from selfpose.skeleton import FINGERS, HAND_21
from selfpose.synthetic.cones import Appearance, Model, Part, Surface, by_part
from selfpose.synthetic.kinematics import roll_rotation, turned
from selfpose.synthetic.sampling import ClipSampler, Motions, Sampler, full_controls, hsv_to_rgb

HAND_POINTS: tuple[str, ...] = (*HAND_21.joints, "cuff", *(f"{f}_nail" for f in FINGERS))

# Flexion in degrees of the joints of a finger, from the palm to the tip, and of the thumb's two
# hinges; how far the wrist bends (towards the palm, towards the thumb) and the forearm leans.
FINGER_LIMITS: tuple[tuple[float, float], ...] = ((-15.0, 92.0), (0.0, 108.0), (0.0, 75.0))
THUMB_LIMITS: tuple[tuple[float, float], ...] = ((0.0, 58.0), (0.0, 82.0))
WRIST_LIMITS: dict[str, float] = {"flexion": 55.0, "deviation": 24.0}
FOREARM_TILT = 40.0

# Bases of thumb and fingers against the wrist, and lengths from the base to the tip.
_BASES = (
    (24.0, -24.0, -8.0),
    (23.0, -90.0, 0.0),
    (2.0, -93.0, 2.0),
    (-17.0, -87.0, 0.0),
    (-34.0, -77.0, -5.0),
)
_LENGTHS = (
    (44.0, 34.0, 27.0),
    (43.0, 26.0, 21.0),
    (48.0, 30.0, 22.0),
    (44.0, 28.0, 22.0),
    (34.0, 20.0, 19.0),
)
_FOREARM = 52.0

# Gestures: how far index, middle, ring and little finger are bent at the palm, then how far they
# are curled beyond it; the thumb across the palm and curled; how far the fingers are spread.
GESTURES = {
    "open": (0, 0, 0, 0, 0, 0, 0, 0, 0.05, 0, 0.9),
    "flat": (0, 0, 0, 0, 0, 0, 0, 0, 0.25, 0.1, 0),
    "fist": (1, 1, 1, 1, 1, 1, 1, 1, 0.9, 0.75, 0.3),
    "one": (0, 1, 1, 1, 0, 1, 1, 1, 0.9, 0.8, 0.3),
    "two": (0, 0, 1, 1, 0, 0, 1, 1, 0.95, 0.8, 0.8),
    "three": (0, 0, 0, 1, 0, 0, 0, 1, 0.95, 0.6, 0.7),
    "four": (0, 0, 0, 0, 0, 0, 0, 0, 0.95, 0.7, 0.6),
    "thumb": (1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0.3),
    "gun": (0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0.3),
    "horns": (0, 1, 1, 0, 0, 1, 1, 0, 0.9, 0.7, 0.5),
    "call": (1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0.8),
    "pinch": (0.6, 0.6, 0.65, 0.7, 0.45, 0.55, 0.6, 0.6, 0.75, 0.35, 0.3),
    "ring": (0.6, 0.15, 0.05, 0, 0.5, 0.1, 0.05, 0, 0.75, 0.4, 0.3),
    "claw": (0, 0, 0, 0, 0.7, 0.7, 0.7, 0.7, 0.35, 0.5, 0.8),
    "cup": (0.4, 0.4, 0.45, 0.5, 0.3, 0.3, 0.3, 0.3, 0.55, 0.2, 0.3),
    "roof": (0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0, 0.5, 0.1, 0.3),
}


@dataclass(frozen=True, kw_only=True)
class Hands:
    """Proportions of n hands in mm."""

    bases: Float[Tensor, "n 1 5 3"]
    lengths: Float[Tensor, "n 1 5 3"]
    forearm: Float[Tensor, "n 1"]


def sample_hands(s: Sampler) -> Hands:
    """Draw hands: 15 to 21 cm long, of slender or broad palms, long or short fingers."""
    size, broad = s.factor(0.06, 1, 1), s.factor(0.06, 1, 1)
    fingers = s.factor(0.05, 1, 1) * s.factor(0.035, 5, 1)
    broad = torch.cat([broad, torch.ones(*broad.shape[:-1], 2)], dim=-1)
    return Hands(
        bases=size * broad * torch.tensor(_BASES),
        lengths=size * fingers * torch.tensor(_LENGTHS),
        forearm=_FOREARM * size[..., 0, 0],
    )


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T, ...): a row of GESTURES, and angles in radians."""

    gesture: Float[Tensor, "n T 11"]
    flexion: Tensor | float = 0.0
    deviation: Tensor | float = 0.0
    yaw: Tensor | float = 0.0
    tilt: Tensor | float = 0.0  # (n, T, 2) of the forearm, to the back of the hand and the thumb


def _limited(angle: Tensor, degrees: float) -> Tensor:
    """Softly within the limit either way."""
    limit = math.radians(degrees)
    return limit * torch.tanh(angle / limit)


# Gestures that an activity goes through, their seconds and jitter.
ACTIVITIES: dict[str, tuple[str, float, float]] = {
    "grasping": ("open fist cup claw roof", 0.8, 0.08),
    "counting": ("fist one two three four open", 0.9, 0.06),
    "pointing": ("one one gun flat", 1.4, 0.06),
    "pinching": ("pinch ring open cup", 0.7, 0.06),
    "signing": (" ".join(GESTURES), 0.9, 0.08),
    "waving": ("open flat four", 2.0, 0.06),
    "playing": ("cup claw open", 2.0, 0.06),
    "turning": ("open flat fist cup two", 1.8, 0.06),
}


def controls(activity: str, d: ClipSampler) -> _Controls:
    """Go from gesture to gesture, while the arm and the wrist move."""
    names, seconds, jitter = ACTIVITIES[activity]
    table = torch.tensor([GESTURES[name] for name in names.split()])
    even = torch.ones(len(table))
    c = _Controls(gesture=d.gestures(table, even, seconds=seconds, jitter=jitter, clip=2.2))
    d.drift(c, flexion=(0.1, 0.35, 1.3), deviation=(0, 0.15, 1.3), yaw=(0, 0.7, 2.2))
    c.tilt = 0.25 * d.wander(1.8, 2) + d.normal(0.15, 2)
    match activity:
        case "pointing":
            d.drift(c, flexion=(0.15, 0.5, 0.9), deviation=(0, 0.25, 0.9))
        case "waving":
            beat = torch.sin(d.wave(0.8, 2.0))
            side = d.coin(0.6)
            c.deviation = c.deviation + 0.4 * side * beat
            c.flexion = c.flexion + 0.6 * (1 - side) * beat
            c.tilt = c.tilt + torch.stack([0 * beat, 0.3 * side * beat], dim=-1)
        case "playing":  # fingers that go up and down one by one, as on keys
            keys = 0.35 + 0.4 * d.wander(0.6, 4)
            c.gesture = torch.cat([keys, c.gesture[..., 4:]], dim=-1)
            d.drift(c, flexion=(0.3, 0.3, 1.5))
        case "turning":
            c.yaw = d.normal(0.7) * d.seconds + 1.2 * d.wander(1.6)
            d.drift(c, flexion=(0.1, 0.5, 1.1))
    return c


def _flexion(share: Tensor, limits: tuple[float, float], most: float) -> Tensor:
    """Radians from a share of the way from almost straight to ``most`` degrees, clamped."""
    return torch.deg2rad((2.0 + (most - 2.0) * share).clamp(*limits))


def _thumb(turn: Tensor, gesture: Tensor) -> tuple[list[Tensor], Tensor]:
    """Directions of the thumb's three bones, and outward of its nail, world frame."""
    across, curled = gesture[..., 8, None].clamp(0, 1), gesture[..., 9]
    beside, opposed = torch.tensor([0.80, -0.58, -0.12]), torch.tensor([0.22, -0.62, -0.75])
    out = normalize(torch.lerp(beside, opposed, across), dim=-1)
    fold = torch.lerp(torch.tensor([-0.5, -0.65, -0.5]), torch.tensor([-1.0, -0.3, 0.0]), across)
    fold = normalize(fold - (fold * out).sum(-1, keepdim=True) * out, dim=-1)
    near, far = (_flexion(curled, limits, limits[1]) for limits in THUMB_LIMITS)
    ways = []
    for angle in (torch.zeros_like(curled), near, near + far):
        way = angle.cos()[..., None] * out + angle.sin()[..., None] * fold
        ways.append((turn @ way[..., None])[..., 0])
    nail = angle.sin()[..., None] * out - angle.cos()[..., None] * fold
    return ways, (turn @ nail[..., None])[..., 0]


def _finger(k: int, turn: Tensor, gesture: Tensor) -> tuple[list[Tensor], Tensor]:
    """The same of finger k (0 is the index)."""
    bend, curl, spread = gesture[..., k], gesture[..., 4 + k], gesture[..., 10]
    fan = (0.24, 0.05, -0.16, -0.36)[k] * spread.clamp(-0.1, 1.1) + (0.04, 0.0, -0.03, -0.08)[k]
    # A finger bent at the palm can hardly be moved aside.
    frame = turn @ roll_rotation(fan * (1 - 0.85 * bend.clamp(0, 1)))
    ways, most = [], (82.0, 102.0, 62.0)
    for share, limits, degrees in zip((bend, curl, curl), FINGER_LIMITS, most, strict=True):
        frame = frame @ elevation_rotation(_flexion(share, limits, degrees))
        ways.append(-frame[..., 1])
    return ways, frame[..., 2]


def pose(told: _Controls, hands: Hands, d: ClipSampler) -> Float[Tensor, "n T 27 3"]:
    """Forward kinematics: ``HAND_POINTS``, mm, the forearm upright in the mean."""
    c = full_controls(told, d, gesture=(11,), tilt=(2,))
    lean = c.tilt.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    tilt = c.tilt * (_limited(lean, FOREARM_TILT) / lean)
    arm = turned(c.yaw, tilt[..., 0], tilt[..., 1])
    flexion = _limited(c.flexion, WRIST_LIMITS["flexion"])
    turn = arm @ elevation_rotation(flexion)
    turn = turn @ roll_rotation(_limited(c.deviation, WRIST_LIMITS["deviation"]))
    bases = hands.bases @ turn.mT
    bases = bases.expand(*turn.shape[:2], 5, 3)
    wrist = torch.zeros_like(bases[..., 0, :])
    joints, nails = [wrist], []
    for k in range(5):
        ways, outward = _finger(k - 1, turn, c.gesture) if k else _thumb(turn, c.gesture)
        chain = [bases[..., k, :]]
        for j, way in enumerate(ways):
            chain.append(chain[-1] + hands.lengths[..., k, j, None] * way)
        joints += chain
        nails.append(chain[3] + 0.2 * (chain[2] - chain[3]) + 5.0 * outward)
    cuff = hands.forearm[..., None] * arm[..., 1]
    points = torch.stack([*joints, cuff, *nails], dim=-2)
    return points - torch.tensor([0.0, 150.0, 0.0])


MOTIONS = Motions(ACTIVITIES, sample_hands, controls, pose)

# --- how they look


def _finger_parts(finger: str) -> tuple[Part, ...]:
    base, second, third, tip = (f"{finger}_{k}" for k in (1, 2, 3, 4))
    thumb = finger == "thumb"
    thick = {"thumb": 1.15, "little": 0.86}.get(finger, 1.0)
    r = [thick * radius for radius in ((15.0, 11.0, 9.5, 8.0) if thumb else (10.0, 8.8, 7.8, 6.6))]
    start, radii = ("wrist", (15, 15)) if thumb else (f"0.75 wrist + 0.25 {base}", (13, 11.5))
    nail = f"{finger}_nail"
    return (
        Part(f"{finger}_metacarpal", start, base, radii, "palm"),
        Part(f"{finger}_near", base, second, (r[0], r[1])),
        Part(f"{finger}_mid", second, third, (r[1], r[2])),
        Part(f"{finger}_far", third, f"0.92 {tip} + 0.08 {third}", (r[2], r[3])),
        Part(nail, nail, f"0.7 {nail} + 0.3 {tip}", (4.4 * thick, 4.4 * thick)),
    )


_WRIST_END = "0.75 wrist + 0.15 middle_1 + 0.1 ring_1"
PARTS: tuple[Part, ...] = (
    Part("cuff", "0.75 cuff + 0.25 wrist", "cuff", (26, 28), "palm", 1.2),
    Part("forearm", "wrist", "0.8 cuff + 0.2 wrist", (19, 21), "palm", 1.3),
    Part("palm", _WRIST_END, "0.55 middle_1 + 0.25 ring_1 + 0.2 wrist", (14, 14.5), "palm", 2.3),
    Part("web", "0.8 thumb_2 + 0.2 index_1", "0.75 index_1 + 0.25 wrist", (9, 10), "palm"),
    *(part for finger in FINGERS for part in _finger_parts(finger)),
)
_PALM = torch.tensor([part.frame == "palm" for part in PARTS])


def sample_skin(n: int, *, seed: int) -> Appearance:
    """Draw n hands' skin, nails, sleeve and thickness; the same seed gives the same hands."""
    s = Sampler(torch.Generator().manual_seed(seed), n)
    tone = s.uniform(0.0, 1.0, 1)
    pale, dark = torch.tensor([0.95, 0.76, 0.65]), torch.tensor([0.38, 0.24, 0.17])
    back = torch.lerp(pale, dark, tone**1.3) + s.uniform(-0.03, 0.03, 3)
    # Palms differ less than backs do.
    palm = torch.lerp(back, torch.tensor([0.93, 0.72, 0.62]), 0.15 + 0.35 * tone)
    nail = torch.lerp(back, torch.tensor([0.98, 0.82, 0.8]), 0.55)
    painted = hsv_to_rgb(s.uniform(0.85, 1.1) % 1, s.uniform(0.5, 0.95), s.uniform(0.35, 0.95))
    nail = torch.where(s.chance(0.25, 1), painted, nail)
    sleeve = s.colours((0.0, 1.0), (0.1, 0.85), (0.15, 0.95))
    girth, never = s.factor(0.08, clip=(-1.5, 2)), torch.full((n,), 2.0)

    looks = {part.name: (palm, back, never, girth) for part in PARTS if part.frame}
    looks |= {f"{finger}_nail": (nail, nail, never, girth) for finger in FINGERS}
    looks["cuff"] = (sleeve, sleeve, never, girth)
    return Appearance(**by_part(PARTS, looks, (back, back, never, girth)))


def _paint(looks: Appearance, at: Surface) -> Float[Tensor, "N 3"]:
    """The inner colour on the palm's side, the outer one on the back and beyond the split."""
    inner = torch.where(_PALM[at.part], at.forward < -0.1, at.along < at.of(looks.split))
    return torch.where(inner[:, None], at.of(looks.inner), at.of(looks.outer))


HAND = Model(
    skeleton=HAND_21,
    points=HAND_POINTS,
    parts=PARTS,
    frames={"palm": lambda at: (at("index_1") - at("little_1"), at("wrist") - at("middle_1"))},
    paint=_paint,
    sample_appearance=sample_skin,
    reference_mm=86.0,
    centre=("wrist", "middle_1", "middle_1"),
    aim=("middle_1", "middle_1", "index_2"),
)
