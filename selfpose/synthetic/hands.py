"""Right hands of different proportions, and natural gestures: a skeleton of 21 joints.

A hand's own frame: x towards the thumb, y down from the fingers to the wrist, z out of the back of
the hand; the palm faces a camera that stands at negative z. Millimetres throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from torch import Tensor
from selfpose.bodies import FINGERS, HAND_21
from selfpose.camera import elevation_rotation
from selfpose.synthetic.moving import Dice, Motion, roll_rotation, sample_by_activity, turned
from selfpose.synthetic.threads import single_thread

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

# Gestures: how far index, middle, ring and little finger are bent at the palm and curled beyond it,
# then the thumb (across the palm, curled) and how far the fingers are spread; all in 0..1.
_OUT, _IN = (0.0, 0.0), (1.0, 1.0)


def _gesture(
    *fingers: tuple[float, float], across: float, curled: float, spread: float = 0.3
) -> tuple[float, ...]:
    bends, curls = zip(*fingers, strict=True)
    return (*bends, *curls, across, curled, spread)


GESTURES: dict[str, tuple[float, ...]] = {
    "open": _gesture(_OUT, _OUT, _OUT, _OUT, across=0.05, curled=0.0, spread=0.9),
    "flat": _gesture(_OUT, _OUT, _OUT, _OUT, across=0.25, curled=0.1, spread=0.0),
    "fist": _gesture(_IN, _IN, _IN, _IN, across=0.9, curled=0.75),
    "one": _gesture(_OUT, _IN, _IN, _IN, across=0.9, curled=0.8),
    "two": _gesture(_OUT, _OUT, _IN, _IN, across=0.95, curled=0.8, spread=0.8),
    "three": _gesture(_OUT, _OUT, _OUT, _IN, across=0.95, curled=0.6, spread=0.7),
    "four": _gesture(_OUT, _OUT, _OUT, _OUT, across=0.95, curled=0.7, spread=0.6),
    "thumb": _gesture(_IN, _IN, _IN, _IN, across=0.0, curled=0.0),
    "gun": _gesture(_OUT, _IN, _IN, _IN, across=0.0, curled=0.0),
    "horns": _gesture(_OUT, _IN, _IN, _OUT, across=0.9, curled=0.7, spread=0.5),
    "call": _gesture(_IN, _IN, _IN, _OUT, across=0.0, curled=0.0, spread=0.8),
    "pinch": _gesture((0.6, 0.45), (0.6, 0.55), (0.65, 0.6), (0.7, 0.6), across=0.75, curled=0.35),
    "ring": _gesture((0.6, 0.5), (0.15, 0.1), (0.05, 0.05), _OUT, across=0.75, curled=0.4),
    "claw": _gesture(
        (0.0, 0.7), (0.0, 0.7), (0.0, 0.7), (0.0, 0.7), across=0.35, curled=0.5, spread=0.8
    ),
    "cup": _gesture((0.4, 0.3), (0.4, 0.3), (0.45, 0.3), (0.5, 0.3), across=0.55, curled=0.2),
    "roof": _gesture((0.9, 0.0), (0.9, 0.0), (0.9, 0.0), (0.9, 0.0), across=0.5, curled=0.1),
}


@dataclass(frozen=True, kw_only=True)
class Hands:
    """Proportions of n hands in mm: bases (n, 1, 5, 3), bones (n, 1, 5, 3), forearm (n, 1)."""

    bases: Tensor
    lengths: Tensor
    forearm: Tensor


def sample_hand_sizes(n: int, *, generator: torch.Generator) -> Hands:
    """Draw n hands: 15 to 21 cm long, of slender or broad palms, long or short fingers."""

    def factor(spread: float, *shape: int) -> Tensor:
        noise = torch.randn(n, *shape, generator=generator)
        return (spread * noise.clamp(-2, 2)).exp()

    size = factor(0.06, 1, 1, 1)
    broad = torch.cat([factor(0.06, 1, 1, 1), torch.ones(n, 1, 1, 2)], dim=-1)
    fingers = factor(0.05, 1, 1, 1) * factor(0.035, 1, 5, 1)
    return Hands(
        bases=size * broad * torch.tensor(_BASES),
        lengths=size * fingers * torch.tensor(_LENGTHS),
        forearm=_FOREARM * size[..., 0, 0],
    )


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T, ...): a row of GESTURES, and angles in radians."""

    gesture: Tensor
    flexion: Tensor
    deviation: Tensor
    yaw: Tensor
    tilt: Tensor  # (n, T, 2) of the forearm, to the back of the hand and to the thumb


def _limited(angle: Tensor, degrees: float) -> Tensor:
    """Softly within the limit either way."""
    limit = math.radians(degrees)
    return limit * torch.tanh(angle / limit)


def _gesturing(d: Dice, *names: str, seconds: float, jitter: float = 0.06) -> _Controls:
    table = torch.tensor([GESTURES[name] for name in names])
    return _Controls(
        gesture=d.picks(table, torch.ones(len(names)), seconds=seconds, jitter=jitter),
        flexion=0.1 + 0.35 * d.wander(seconds=1.3),
        deviation=0.15 * d.wander(seconds=1.3),
        yaw=0.7 * d.wander(seconds=2.2),
        tilt=0.25 * d.wander(2, seconds=1.8) + d.normal(0.15, 2),
    )


def _grasping(d: Dice) -> _Controls:
    return _gesturing(d, "open", "fist", "cup", "claw", "roof", seconds=0.8, jitter=0.08)


def _counting(d: Dice) -> _Controls:
    return _gesturing(d, "fist", "one", "two", "three", "four", "open", seconds=0.9)


def _pointing(d: Dice) -> _Controls:
    c = _gesturing(d, "one", "one", "gun", "flat", seconds=1.4)
    c.flexion = 0.15 + 0.5 * d.wander(seconds=0.9)
    c.deviation = 0.25 * d.wander(seconds=0.9)
    return c


def _pinching(d: Dice) -> _Controls:
    return _gesturing(d, "pinch", "ring", "open", "cup", seconds=0.7)


def _signing(d: Dice) -> _Controls:
    return _gesturing(d, *GESTURES, seconds=0.9, jitter=0.08)


def _waving(d: Dice) -> _Controls:
    c = _gesturing(d, "open", "flat", "four", seconds=2.0)
    beat = torch.sin(2 * math.pi * (d.seconds * d.uniform(0.8, 2.0) + d.uniform(0.0, 1.0)))
    side = d.chance(0.6)
    c.deviation = c.deviation + 0.4 * side * beat
    c.flexion = c.flexion + 0.6 * (1 - side) * beat
    c.tilt = c.tilt + torch.stack([0 * beat, 0.3 * side * beat], dim=-1)
    return c


def _playing(d: Dice) -> _Controls:
    """Fingers that go up and down one by one, as on keys."""
    c = _gesturing(d, "cup", "claw", "open", seconds=2.0)
    keys = 0.35 + 0.4 * d.wander(4, seconds=0.6)
    c.gesture = torch.cat([keys, c.gesture[..., 4:]], dim=-1)
    c.flexion = 0.3 + 0.3 * d.wander(seconds=1.5)
    return c


def _turning(d: Dice) -> _Controls:
    c = _gesturing(d, "open", "flat", "fist", "cup", "two", seconds=1.8)
    c.yaw = d.normal(0.7) * d.seconds + 1.2 * d.wander(seconds=1.6)
    c.flexion = 0.1 + 0.5 * d.wander(seconds=1.1)
    return c


HAND_ACTIVITIES: dict[str, Callable[[Dice], _Controls]] = {
    "grasping": _grasping,
    "counting": _counting,
    "pointing": _pointing,
    "pinching": _pinching,
    "signing": _signing,
    "waving": _waving,
    "playing": _playing,
    "turning": _turning,
}


def _flexion(share: Tensor, limits: tuple[float, float], most: float) -> Tensor:
    """Radians from a share of the way from almost straight to ``most`` degrees, clamped."""
    return torch.deg2rad((2.0 + (most - 2.0) * share).clamp(*limits))


def _chain(base: Tensor, steps: list[Tensor]) -> list[Tensor]:
    """Points from the base on, one after each step."""
    points = [base]
    for step in steps:
        points.append(points[-1] + step)
    return points


def _thumb(at: Tensor, turn: Tensor, lengths: Tensor, gesture: Tensor) -> tuple[list[Tensor], ...]:
    """Joints of the thumb and the outward direction of its nail, world frame."""
    across, curled = gesture[..., 8, None].clamp(0, 1), gesture[..., 9]
    beside, opposed = torch.tensor([0.80, -0.58, -0.12]), torch.tensor([0.22, -0.62, -0.75])
    out = normalize(torch.lerp(beside, opposed, across), dim=-1)
    fold = torch.lerp(torch.tensor([-0.5, -0.65, -0.5]), torch.tensor([-1.0, -0.3, 0.0]), across)
    fold = normalize(fold - (fold * out).sum(-1, keepdim=True) * out, dim=-1)
    bends = [_flexion(curled, limits, limits[1]) for limits in THUMB_LIMITS]
    angles = [torch.zeros_like(curled), bends[0], bends[0] + bends[1]]
    steps = []
    for k, angle in enumerate(angles):
        way = angle.cos()[..., None] * out + angle.sin()[..., None] * fold
        steps.append(lengths[..., k, None] * (turn @ way[..., None])[..., 0])
    nail = angles[2].sin()[..., None] * out - angles[2].cos()[..., None] * fold
    return _chain(at, steps), [(turn @ nail[..., None])[..., 0]]


def _finger(
    k: int, at: Tensor, turn: Tensor, lengths: Tensor, gesture: Tensor
) -> tuple[list[Tensor], ...]:
    """Joints of finger k (0 is the index) and the outward direction of its nail."""
    bend, curl, spread = gesture[..., k], gesture[..., 4 + k], gesture[..., 10]
    fan = (0.24, 0.05, -0.16, -0.36)[k] * spread.clamp(-0.1, 1.1) + (0.04, 0.0, -0.03, -0.08)[k]
    # A finger bent at the palm can hardly be moved aside.
    frame = turn @ roll_rotation(fan * (1 - 0.85 * bend.clamp(0, 1)))
    most = (82.0, 102.0, 62.0)
    steps = []
    for j, share in enumerate((bend, curl, curl)):
        frame = frame @ elevation_rotation(_flexion(share, FINGER_LIMITS[j], most[j]))
        steps.append(-lengths[..., j, None] * frame[..., 1])
    return _chain(at, steps), [frame[..., 2]]


def _pose(c: _Controls, hands: Hands) -> Tensor:
    """Forward kinematics: (n, T, 27, 3) ``HAND_POINTS``, mm, the forearm upright in the mean."""
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
        lengths, at = hands.lengths[..., k, :], bases[..., k, :]
        if k == 0:
            chain, (outward,) = _thumb(at, turn, lengths, c.gesture)
        else:
            chain, (outward,) = _finger(k - 1, at, turn, lengths, c.gesture)
        joints += chain
        nails.append(chain[3] + 0.2 * (chain[2] - chain[3]) + 5.0 * outward)
    cuff = hands.forearm[..., None] * arm[..., 1]
    points = torch.stack([*joints, cuff, *nails], dim=-2)
    return points - torch.tensor([0.0, 150.0, 0.0])


@single_thread()
def sample_hands(
    *,
    n_clips: int,
    n_frames: int,
    seed: int,
    activities: tuple[str, ...] = tuple(HAND_ACTIVITIES),
    device: str | torch.device = "cpu",
) -> Motion:
    """Draw clips of right hands in motion at 30 fps, each of its own proportions.

    The points are ``HAND_POINTS``; the forearm is upright in the mean and leans up to
    ``FOREARM_TILT`` degrees. The same seed gives the same motion.

    Raises
    ------
    ValueError
        If a count is not positive or an activity is unknown.
    """

    def draw(name: str, dice: Dice) -> Tensor:
        hands = sample_hand_sizes(dice.n, generator=dice.generator)
        return _pose(HAND_ACTIVITIES[name](dice), hands)

    return sample_by_activity(
        draw,
        n_clips=n_clips,
        n_frames=n_frames,
        seed=seed,
        activities=activities,
        known=tuple(HAND_ACTIVITIES),
        device=device,
    )


__all__ = [
    "FINGER_LIMITS",
    "FOREARM_TILT",
    "GESTURES",
    "HAND_ACTIVITIES",
    "HAND_POINTS",
    "THUMB_LIMITS",
    "WRIST_LIMITS",
    "Hands",
    "sample_hand_sizes",
    "sample_hands",
]
