"""Four-legged animals between dog and horse in their proportions, and how they move.

An animal's own frame: x to its right, y down, z forward. World frame: y down, the floor at y = 0.
All of one size, so that one scale fits them all; millimetres throughout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from torch import Tensor
from selfpose.bodies import QUADRUPED
from selfpose.camera import azimuth_rotation
from selfpose.synthetic.moving import Dice, Motion, sample_by_activity, step_cycle, turned
from selfpose.synthetic.reach import two_bones
from selfpose.synthetic.threads import single_thread

ANIMAL_POINTS: tuple[str, ...] = (
    *QUADRUPED.joints,
    *("left_ear", "right_ear", "poll", "chest", "belly", "rump", "tail_root"),
)

# Flexion of the hinges in degrees, 0 is straight: the wrist bends forward, the hock backward.
HINGE_LIMITS: dict[str, tuple[float, float]] = {"wrist": (3.0, 125.0), "hock": (12.0, 140.0)}
# Neck against the trunk, up and down, and aside; head against the neck.
NECK_LIMITS: dict[str, tuple[float, float]] = {"pitch": (-80.0, 85.0), "head": (15.0, 120.0)}
NECK_YAW = 60.0

# Lengths of a dog and of a horse, both with a trunk of some 620 mm.
_LENGTHS: dict[str, tuple[float, float]] = {
    "front_trunk": (315.0, 315.0),
    "hind_trunk": (300.0, 300.0),
    "lower_neck": (130.0, 215.0),
    "upper_neck": (120.0, 195.0),
    "head": (185.0, 255.0),
    "tail": (330.0, 400.0),
    "shoulder": (220.0, 265.0),  # withers to elbow
    "forearm": (200.0, 250.0),
    "front_foot": (120.0, 205.0),
    "thigh": (235.0, 275.0),
    "shin": (215.0, 255.0),
    "hind_foot": (165.0, 235.0),
    "ear": (95.0, 85.0),
}
_ELBOW_OUT, _KNEE_OUT = 72.0, 80.0
PAW_HEIGHT = 26.0  # of a standing paw's joint above the floor
# Left front, right front, left hind, right hind: where in the cycle each foot is.
_GAITS: dict[str, tuple[float, float, float, float]] = {
    "walk": (0.25, 0.75, 0.0, 0.5),
    "trot": (0.0, 0.5, 0.5, 0.0),
    "gallop": (0.45, 0.55, 0.0, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class Animals:
    """Bone lengths of n animals, (n, 1) each, mm, and which way their ears and tails go.

    Parameters
    ----------
    lengths
        By the names of the bones; both sides are alike.
    horse
        (n, 1) 0 for a dog, 1 for a horse.
    ear
        (n, 1, 3) direction of the right ear in the head's frame.
    tail
        (n, 1) how high the tail is carried, radians above the line of the back.
    """

    lengths: dict[str, Tensor]
    horse: Tensor
    ear: Tensor
    tail: Tensor

    @property
    def front_leg(self) -> Tensor:
        """From the withers to the paw, straight."""
        return sum((self.lengths[k] for k in ("shoulder", "forearm", "front_foot")), start=_ZERO)

    @property
    def hind_leg(self) -> Tensor:
        """From the pelvis to the paw, as straight as an animal stands."""
        bones = (self.lengths[k] for k in ("thigh", "shin", "hind_foot"))
        return 0.94 * sum(bones, start=_ZERO)


_ZERO = torch.zeros(())


def sample_animals(n: int, *, generator: torch.Generator) -> Animals:
    """Draw n animals: anything between dog and horse, every length with a spread of its own."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    def factor(spread: float) -> Tensor:
        return (spread * torch.randn(n, 1, generator=generator).clamp(-2, 2)).exp()

    horse, size, legs = uniform(0.0, 1.0), factor(0.04), factor(0.05)
    leg_bones = ("shoulder", "forearm", "front_foot", "thigh", "shin", "hind_foot")
    lengths = {}
    for name, (dog_mm, horse_mm) in _LENGTHS.items():
        own = factor(0.03) * (legs if name in leg_bones else 1)
        lengths[name] = size * own * torch.lerp(torch.tensor(dog_mm), torch.tensor(horse_mm), horse)
    floppy = (torch.rand(n, 1, generator=generator) < 0.4 * (1 - horse)).float()
    erect = torch.cat([uniform(0.15, 0.5), -torch.ones(n, 1), uniform(-0.4, 0.2)], dim=-1)
    hanging = torch.cat([uniform(0.5, 0.8), uniform(0.4, 0.9), uniform(-0.3, 0.1)], dim=-1)
    return Animals(
        lengths=lengths,
        horse=horse,
        ear=normalize(torch.lerp(erect, hanging, floppy), dim=-1)[:, None],
        tail=torch.lerp(uniform(-0.7, 1.0), uniform(-1.25, -0.7), horse),
    )


@dataclass(kw_only=True)
class _Controls:
    """What an activity decides, (n, T, ...) or broadcastable; radians and mm.

    Heights are those of withers and pelvis, in lengths of the straight legs. Legs stand in the
    order of ``_GAITS``: left front, right front, left hind, right hind.
    """

    front_height: Tensor | float = 0.93
    hind_height: Tensor | float = 0.93
    step: Tensor | float = 0.0  # (n, T, 4) paws ahead of their girdle
    lift: Tensor | float = 0.0  # (n, T, 4) above the floor
    spread: Tensor | float = 0.0  # (n, T) paws out to the side
    neck: Tensor | float = 0.7  # above the horizontal
    neck_yaw: Tensor | float = 0.0
    nod: Tensor | float = 0.0  # of the nose, down
    arch: Tensor | float = 0.0  # of the back, up
    bend: Tensor | float = 0.0  # of the trunk, to the right
    roll: Tensor | float = 0.0
    thigh: Tensor | float = 0.0  # swung forward
    wag: Tensor | float = 0.0
    tail: Tensor | float = 0.0
    yaw: Tensor | float = 0.0


def _standing(d: Dice) -> _Controls:
    return _Controls(
        front_height=d.uniform(0.9, 0.95),
        hind_height=d.uniform(0.88, 0.95),
        step=d.normal(35.0, 4) + 8 * d.wander(4, seconds=2.0),
        neck=0.7 + 0.35 * d.wander(seconds=1.6),
        neck_yaw=0.6 * d.wander(seconds=1.4),
        nod=0.2 * d.wander(seconds=1.2),
        bend=0.12 * d.wander(seconds=2.0),
        roll=0.03 * d.wander(seconds=2.0),
        wag=0.3 * d.wander(seconds=0.5),
        tail=0.2 * d.wander(seconds=1.5),
        yaw=1.0 * d.wander(seconds=3.0),
    )


def _going(
    d: Dice, gait: str, *, rate: Tensor, stride: Tensor, stance: float, lift: Tensor
) -> _Controls:
    c = _standing(d)
    phase = (d.seconds * rate + d.uniform(0.0, 1.0))[..., None] + torch.tensor(_GAITS[gait])
    forward, up, _ = step_cycle(phase % 1.0, stance)
    c.step = stride[..., None] * forward
    c.lift = lift[..., None] * up
    beat = torch.sin(2 * math.pi * phase[..., 0])
    c.bend = 0.06 * beat + 0.1 * d.wander(seconds=2.0)
    c.neck = 0.6 + 0.25 * d.wander(seconds=2.0)
    c.neck_yaw = 0.3 * d.wander(seconds=2.0)
    c.yaw = d.normal(0.5) * d.seconds + 0.5 * d.wander(seconds=2.5)
    return c


def _walking(d: Dice) -> _Controls:
    return _going(
        d,
        "walk",
        rate=d.uniform(0.7, 1.1),
        stride=d.uniform(90.0, 170.0),
        stance=0.64,
        lift=d.uniform(40.0, 100.0),
    )


def _trotting(d: Dice) -> _Controls:
    rate, lift = d.uniform(1.1, 1.6), d.uniform(90.0, 180.0)
    c = _going(d, "trot", rate=rate, stride=d.uniform(120.0, 200.0), stance=0.5, lift=lift)
    c.front_height = c.hind_height = d.uniform(0.88, 0.93)
    return c


def _galloping(d: Dice) -> _Controls:
    rate = d.uniform(1.2, 1.6)
    c = _going(
        d,
        "gallop",
        rate=rate,
        stride=d.uniform(200.0, 290.0),
        stance=0.4,
        lift=d.uniform(110.0, 200.0),
    )
    assert isinstance(c.step, Tensor)
    reach = (c.step[..., :2].mean(-1) - c.step[..., 2:].mean(-1)) / 500  # stretched at 1
    c.front_height = 0.9 + 0.03 * reach
    c.hind_height = 0.9 - 0.03 * reach
    c.arch = -0.16 * reach
    c.neck = 0.45 + 0.2 * reach + 0.15 * d.wander(seconds=2.0)
    c.tail = 0.4 + 0.2 * reach
    return c


def _grazing(d: Dice) -> _Controls:
    c = _going(
        d,
        "walk",
        rate=d.uniform(0.25, 0.5),
        stride=d.uniform(40.0, 110.0),
        stance=0.75,
        lift=d.uniform(30.0, 60.0),
    )
    c.neck = -0.65 + 0.3 * d.wander(seconds=2.0)
    c.neck_yaw = 0.4 * d.wander(seconds=1.5)
    c.nod = 0.25 + 0.2 * d.wander(seconds=0.8)
    c.front_height = 0.86 + 0.03 * d.wander(seconds=2.0)
    return c


def _sitting(d: Dice) -> _Controls:
    c = _standing(d)
    down = (0.75 + 0.5 * d.wander(seconds=2.5)).clamp(0, 1)  # sits down and gets up again
    c.hind_height = 0.9 - (0.9 - d.uniform(0.33, 0.42)) * down
    c.front_height = 0.92 - 0.02 * down
    hind = torch.tensor([0.0, 0.0, 1.0, 1.0])
    front = torch.tensor([1.0, 1.0, 0.0, 0.0])
    c.step = d.normal(15.0, 4) + down[..., None] * (150.0 * hind + 20.0 * front)
    c.thigh = 0.35 * down
    c.neck = 0.9 + 0.25 * d.wander(seconds=1.5)
    c.spread = 25 * down
    c.tail = -0.5 * down
    return c


def _rearing(d: Dice) -> _Controls:
    c = _standing(d)
    up = (0.7 + 0.5 * d.wander(seconds=1.3)).clamp(0, 1)
    c.front_height = 0.93 + d.uniform(0.45, 0.8) * up
    c.hind_height = 0.92 - 0.12 * up
    paws = 0.5 + 0.5 * d.wander(2, seconds=0.6)
    front = torch.tensor([1.0, 1.0, 0.0, 0.0])
    beat = torch.cat([paws, torch.zeros_like(paws)], dim=-1)
    c.step = d.normal(15.0, 4) + up[..., None] * (front * 190.0 + 130.0 * beat)
    c.step = c.step + up[..., None] * (1 - front) * 110.0
    c.lift = up[..., None] * front * (560.0 + 170.0 * beat)
    c.thigh = -0.5 * up
    c.neck = 0.85 + 0.2 * d.wander(seconds=1.2)
    c.tail = -0.3 * up
    c.yaw = 1.3 * d.wander(seconds=2.5)
    return c


def _bowing(d: Dice) -> _Controls:
    c = _standing(d)
    down = (0.7 + 0.5 * d.wander(seconds=1.5)).clamp(0, 1)
    c.front_height = 0.92 - d.uniform(0.3, 0.45) * down
    c.hind_height = 0.92
    front = torch.tensor([1.0, 1.0, 0.0, 0.0])
    c.step = d.normal(20.0, 4) + down[..., None] * front * d.uniform(170.0, 260.0, 1)
    c.neck = 0.35 + 0.3 * d.wander(seconds=1.2)
    c.wag = 0.5 * d.wander(seconds=0.5)
    c.tail = 0.4 * down
    return c


def _pawing(d: Dice) -> _Controls:
    """One front paw goes up, forward and down again."""
    c = _standing(d)
    active = torch.nn.functional.one_hot((d.chance(0.5)[:, 0]).long(), 4)[:, None].float()
    raised = (0.5 + 0.6 * d.wander(seconds=0.7)).clamp(0, 1)[..., None]
    ahead = 60 + 110 * d.wander(seconds=0.7)[..., None]
    c.step = d.normal(30.0, 4) * (1 - active) + active * raised * ahead
    c.lift = active * raised * d.uniform(120.0, 260.0, 1)
    return c


ANIMAL_ACTIVITIES: dict[str, Callable[[Dice], _Controls]] = {
    "standing": _standing,
    "walking": _walking,
    "trotting": _trotting,
    "galloping": _galloping,
    "grazing": _grazing,
    "sitting": _sitting,
    "rearing": _rearing,
    "bowing": _bowing,
    "pawing": _pawing,
}


def _heading(yaw: Tensor, up: Tensor) -> Tensor:
    """Unit vectors at an angle above the horizontal, (...,) → (..., 3)."""
    level = up.cos()
    return torch.stack([level * yaw.sin(), -up.sin(), level * yaw.cos()], dim=-1)


def _of(frame: Tensor, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Tensor:
    """x · right + y · down + z · forward of a frame (..., 3, 3)."""
    parts = [torch.as_tensor(v)[..., None] * frame[..., :, k] for k, v in enumerate((x, y, z))]
    return parts[0] + parts[1] + parts[2]


def _head_and_tail(
    c: dict[str, Tensor],
    animals: Animals,
    at: dict[str, Tensor],
    pitch: Tensor,
    frames: tuple[Tensor, Tensor],
) -> None:
    """Neck, head, ears and tail, from withers and pelvis on."""
    lengths, (front, hind) = animals.lengths, frames
    limit = {k: tuple(math.radians(x) for x in v) for k, v in NECK_LIMITS.items()}
    curve = 0.28 + 0.12 * animals.horse  # the neck rises more steeply towards the head
    neck = c["neck"] + 0.15 * animals.horse
    lower, upper = (
        ((neck + s * curve - pitch).clamp(*limit["pitch"]) + pitch) for s in (-1.0, 1.0)
    )
    yaw_limit = math.radians(NECK_YAW)
    turn = yaw_limit * torch.tanh(c["neck_yaw"] / yaw_limit)
    heading = torch.atan2(front[..., 0, 2], front[..., 2, 2])
    at["neck"] = at["withers"] + lengths["lower_neck"][..., None] * _heading(
        heading + 0.5 * turn, lower
    )
    at["head"] = at["neck"] + lengths["upper_neck"][..., None] * _heading(heading + turn, upper)
    nose_down = (upper + 0.15 + 0.35 * animals.horse + c["nod"]).clamp(*limit["head"])
    to_nose = _heading(heading + turn, upper - nose_down)
    at["nose"] = at["head"] + lengths["head"][..., None] * to_nose
    right = _heading(heading + turn + math.pi / 2, torch.zeros_like(upper))
    head = torch.stack([right, torch.linalg.cross(to_nose, right), to_nose], dim=-1)
    width = 0.21 * lengths["head"]
    at["poll"] = at["head"] + _of(head, 0.0, -0.1 * lengths["head"], 0.12 * lengths["head"])
    for side, sign in (("left", -1.0), ("right", 1.0)):
        ear = animals.ear * torch.tensor([sign, 1.0, 1.0])
        base = at["poll"] + _of(head, sign * width, 0.0, 0.0)
        at[f"{side}_ear"] = base + lengths["ear"][..., None] * (head @ ear[..., None])[..., 0]
    at["tail_root"] = at["pelvis"] + _of(hind, 0.0, 15.0, -75.0)
    # Against the line of the back, which falls to the tail as the front rises; off the floor.
    lowest = ((-at["pelvis"][..., 1] - PAW_HEIGHT) / lengths["tail"]).clamp(-1, 1).asin()
    tail = torch.maximum(animals.tail + c["tail"] - pitch, -lowest).clamp(-1.4, 1.4)
    way = _heading(torch.atan2(hind[..., 0, 2], hind[..., 2, 2]) + math.pi + c["wag"], tail)
    at["tail"] = at["pelvis"] + lengths["tail"][..., None] * way


def _legs(
    c: dict[str, Tensor],
    animals: Animals,
    at: dict[str, Tensor],
    frames: tuple[Tensor, Tensor],
    ground: Tensor,
) -> None:
    """Legs whose paws reach for their places; the uppermost bone swings with the step."""
    lengths = animals.lengths
    for k, (side, end) in enumerate((s, e) for e in ("front", "hind") for s in ("left", "right")):
        sign = -1.0 if side == "left" else 1.0
        fore = end == "front"
        girdle, frame = ("withers", frames[0]) if fore else ("pelvis", frames[1])
        bones = ("shoulder", "forearm", "front_foot") if fore else ("thigh", "shin", "hind_foot")
        upper, first, second = (lengths[name] for name in bones)
        out = _ELBOW_OUT if fore else _KNEE_OUT
        step = c["step"][..., k]
        swing = (-0.2 + 0.0018 * step) if fore else (0.42 + 0.0016 * step + c["thigh"])
        swing = swing.clamp(-0.75, 1.0)
        drop = (upper.square() - out**2).sqrt()
        middle = at[girdle] + _of(frame, sign * out, drop * swing.cos(), drop * swing.sin())
        aside = sign * (0.85 * out + c["spread"])
        target = at[girdle] * torch.tensor([1.0, 0.0, 1.0]) + _of(ground, aside, 0.0, step)
        target = target - (PAW_HEIGHT + c["lift"][..., k, None]) * torch.tensor([0.0, 1.0, 0.0])
        pole = ground[..., 2] if fore else -ground[..., 2]
        hinge, paw = two_bones(
            middle,
            target,
            pole + 0.25 * frame[..., 2] * (1 if fore else -1),
            first=first,
            second=second,
            limits=HINGE_LIMITS["wrist" if fore else "hock"],
        )
        names = ("elbow", "wrist", "paw") if fore else ("knee", "hock", "paw")
        for name, point in zip(names, (middle, hinge, paw), strict=True):
            at[f"{side}_{end}_{name}"] = point


def _pose(controls: _Controls, animals: Animals, d: Dice) -> Tensor:
    """(n, T, P, 3) ``ANIMAL_POINTS``, mm, world frame, in place."""
    c = {
        name: torch.as_tensor(value).float().expand(d.n, d.n_frames, *shape)
        for name, value in vars(controls).items()
        for shape in [(4,) if name in ("step", "lift") else ()]
    }
    lengths = animals.lengths
    front_y = c["front_height"] * animals.front_leg + PAW_HEIGHT
    hind_y = c["hind_height"] * animals.hind_leg + PAW_HEIGHT
    trunk = lengths["front_trunk"] + lengths["hind_trunk"]
    pitch = ((front_y - hind_y) / trunk).clamp(-0.7, 0.93).asin()
    level = torch.zeros_like(pitch)
    whole = turned(c["yaw"], -pitch, c["roll"])
    # The back arches and bends about its middle.
    front = whole @ turned(0.5 * c["bend"], 0.5 * c["arch"], level)
    hind = whole @ turned(-0.5 * c["bend"], -0.5 * c["arch"], level)
    spine = torch.zeros_like(whole[..., 0])
    at: dict[str, Tensor] = {"spine": spine}
    at["withers"] = _of(front, 0.0, 0.0, lengths["front_trunk"])
    at["pelvis"] = _of(hind, 0.0, 0.0, -lengths["hind_trunk"])
    shift = (hind_y + at["pelvis"][..., 1])[..., None] * torch.tensor([0.0, 1.0, 0.0])
    at = {name: point - shift for name, point in at.items()}
    at["chest"] = at["withers"] + _of(front, 0.0, 105.0, 30.0)
    at["belly"] = at["spine"] + _of(whole, 0.0, 95.0, 0.0)
    at["rump"] = at["pelvis"] + _of(hind, 0.0, 75.0, -5.0)
    _head_and_tail(c, animals, at, pitch, (front, hind))
    _legs(c, animals, at, (front, hind), azimuth_rotation(c["yaw"]))
    return torch.stack([at[name].expand_as(spine) for name in ANIMAL_POINTS], dim=-2)


@single_thread()
def sample_quadrupeds(
    *,
    n_clips: int,
    n_frames: int,
    seed: int,
    activities: tuple[str, ...] = tuple(ANIMAL_ACTIVITIES),
    device: str | torch.device = "cpu",
) -> Motion:
    """Draw clips of four-legged animals in motion at 30 fps, each of its own proportions.

    The points are ``ANIMAL_POINTS``; the same seed gives the same motion.

    Raises
    ------
    ValueError
        If a count is not positive or an activity is unknown.
    """

    def draw(name: str, dice: Dice) -> Tensor:
        animals = sample_animals(dice.n, generator=dice.generator)
        return _pose(ANIMAL_ACTIVITIES[name](dice), animals, dice)

    return sample_by_activity(
        draw,
        n_clips=n_clips,
        n_frames=n_frames,
        seed=seed,
        activities=activities,
        known=tuple(ANIMAL_ACTIVITIES),
        device=device,
    )


__all__ = [
    "ANIMAL_ACTIVITIES",
    "ANIMAL_POINTS",
    "HINGE_LIMITS",
    "NECK_LIMITS",
    "NECK_YAW",
    "PAW_HEIGHT",
    "Animals",
    "sample_animals",
    "sample_quadrupeds",
]
