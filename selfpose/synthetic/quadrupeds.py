"""Four-legged animals between dog and horse: proportions, how they move, and how they look.

An animal's own frame: x to its right, y down, z forward. World frame: y down, the floor at y = 0.
All of one size, so that one scale fits them all; millimetres throughout.
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from selfpose.camera import azimuth_rotation
from selfpose.skeleton import QUADRUPED
from selfpose.synthetic.cones import Appearance, Model, Part, Surface, both_sides, by_part
from selfpose.synthetic.kinematics import along, step_cycle, turned, two_bone_ik
from selfpose.synthetic.sampling import ClipSampler, Motions, Sampler, full_controls

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


_FRONT = torch.tensor([1.0, 1.0, 0.0, 0.0])
_HIND = 1 - _FRONT
_DOWN = torch.tensor([0.0, 1.0, 0.0])


@dataclass(frozen=True, kw_only=True)
class Animals:
    """Bone lengths of n animals in mm, both sides alike, and which way their ears and tails go."""

    lengths: dict[str, Float[Tensor, "n 1"]]
    horse: Float[Tensor, "n 1"]  # 0 for a dog, 1 for a horse
    ear: Float[Tensor, "n 1 3"]  # direction of the right ear in the head's frame
    tail: Float[Tensor, "n 1"]  # how high it is carried, radians above the line of the back


def sample_animals(s: Sampler) -> Animals:
    """Draw animals: anything between dog and horse, every length with a spread of its own."""
    horse, size, legs = s.uniform(0.0, 1.0), s.factor(0.04), s.factor(0.05)
    leg_bones = ("shoulder", "forearm", "front_foot", "thigh", "shin", "hind_foot")
    lengths = {}
    for name, (dog_mm, horse_mm) in _LENGTHS.items():
        own = s.factor(0.03) * (legs if name in leg_bones else 1)
        lengths[name] = size * own * torch.lerp(torch.tensor(dog_mm), torch.tensor(horse_mm), horse)
    floppy = s.chance(0.4 * (1 - horse)).float()
    erect = [s.uniform(0.15, 0.5), -torch.ones_like(horse), s.uniform(-0.4, 0.2)]
    hanging = [s.uniform(0.5, 0.8), s.uniform(0.4, 0.9), s.uniform(-0.3, 0.1)]
    ear = torch.lerp(torch.cat(erect, dim=-1), torch.cat(hanging, dim=-1), floppy)
    return Animals(
        lengths=lengths,
        horse=horse,
        ear=normalize(ear, dim=-1)[:, None],
        tail=torch.lerp(s.uniform(-0.7, 1.0), s.uniform(-1.25, -0.7), horse),
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


def _standing(d: ClipSampler) -> _Controls:
    c = _Controls(front_height=d.uniform(0.9, 0.95), hind_height=d.uniform(0.88, 0.95))
    c.step = d.normal(35.0, 4) + 8 * d.wander(2.0, 4)
    d.drift(c, neck=(0.7, 0.35, 1.6), neck_yaw=(0, 0.6, 1.4), nod=(0, 0.2, 1.2))
    d.drift(c, bend=(0, 0.12, 2.0), roll=(0, 0.03, 2.0), wag=(0, 0.3, 0.5), tail=(0, 0.2, 1.5))
    d.drift(c, yaw=(0, 1.0, 3.0))
    return c


def _going(
    d: ClipSampler, gait: str, rate: Tensor, stride: Tensor, lift: Tensor, stance: float
) -> _Controls:
    c = _standing(d)
    phase = d.cycles(rate)[..., None] + torch.tensor(_GAITS[gait])
    forward, up, _ = step_cycle(phase % 1.0, stance)
    c.step, c.lift = stride[..., None] * forward, lift[..., None] * up
    c.bend = 0.06 * torch.sin(2 * math.pi * phase[..., 0]) + 0.1 * d.wander(2.0)
    d.drift(c, neck=(0.6, 0.25, 2.0), neck_yaw=(0, 0.3, 2.0))
    c.yaw = d.normal(0.5) * d.seconds + 0.5 * d.wander(2.5)
    return c


ACTIVITIES = (
    *("standing", "walking", "trotting", "galloping", "grazing"),
    *("sitting", "rearing", "bowing", "pawing"),
)


def controls(activity: str, d: ClipSampler) -> _Controls:
    """Stand, go, or do something in place."""
    match activity:
        case "walking":
            pace = d.uniform(0.7, 1.1), d.uniform(90.0, 170.0), d.uniform(40.0, 100.0)
            return _going(d, "walk", *pace, 0.64)
        case "trotting":
            rate, lift = d.uniform(1.1, 1.6), d.uniform(90.0, 180.0)
            c = _going(d, "trot", rate, d.uniform(120.0, 200.0), lift, 0.5)
            c.front_height = c.hind_height = d.uniform(0.88, 0.93)
        case "galloping":
            pace = d.uniform(1.2, 1.6), d.uniform(200.0, 290.0), d.uniform(110.0, 200.0)
            c = _going(d, "gallop", *pace, 0.4)
            step = torch.as_tensor(c.step)
            stretch = (step[..., :2].mean(-1) - step[..., 2:].mean(-1)) / 500  # 1 at the longest
            c.front_height, c.hind_height = 0.9 + 0.03 * stretch, 0.9 - 0.03 * stretch
            c.arch, c.tail = -0.16 * stretch, 0.4 + 0.2 * stretch
            c.neck = 0.45 + 0.2 * stretch + 0.15 * d.wander(2.0)
        case "grazing":
            pace = d.uniform(0.25, 0.5), d.uniform(40.0, 110.0), d.uniform(30.0, 60.0)
            c = _going(d, "walk", *pace, 0.75)
            d.drift(c, neck=(-0.65, 0.3, 2.0), neck_yaw=(0, 0.4, 1.5), nod=(0.25, 0.2, 0.8))
            d.drift(c, front_height=(0.86, 0.03, 2.0))
        case _:
            return _in_place(activity, d)
    return c


def _in_place(activity: str, d: ClipSampler) -> _Controls:
    c = _standing(d)
    match activity:
        case "sitting":  # sits down and gets up again
            down = (0.75 + 0.5 * d.wander(2.5)).clamp(0, 1)
            c.hind_height = 0.9 - (0.9 - d.uniform(0.33, 0.42)) * down
            c.front_height, c.thigh = 0.92 - 0.02 * down, 0.35 * down
            c.step = d.normal(15.0, 4) + down[..., None] * (150.0 * _HIND + 20.0 * _FRONT)
            d.drift(c, neck=(0.9, 0.25, 1.5))
            c.spread, c.tail = 25 * down, -0.5 * down
        case "rearing":
            up = (0.7 + 0.5 * d.wander(1.3)).clamp(0, 1)
            c.front_height = 0.93 + d.uniform(0.45, 0.8) * up
            c.hind_height, c.thigh, c.tail = 0.92 - 0.12 * up, -0.5 * up, -0.3 * up
            paws = 0.5 + 0.5 * d.wander(0.6, 2)
            beat = torch.cat([paws, torch.zeros_like(paws)], dim=-1)
            c.step = d.normal(15.0, 4) + up[..., None] * (_FRONT * 190.0 + 130.0 * beat)
            c.step = c.step + up[..., None] * _HIND * 110.0
            c.lift = up[..., None] * _FRONT * (560.0 + 170.0 * beat)
            d.drift(c, neck=(0.85, 0.2, 1.2), yaw=(0, 1.3, 2.5))
        case "bowing":
            down = (0.7 + 0.5 * d.wander(1.5)).clamp(0, 1)
            c.front_height = 0.92 - d.uniform(0.3, 0.45) * down
            c.hind_height, c.tail = 0.92, 0.4 * down
            c.step = d.normal(20.0, 4) + down[..., None] * _FRONT * d.uniform(170.0, 260.0, 1)
            d.drift(c, neck=(0.35, 0.3, 1.2), wag=(0, 0.5, 0.5))
        case "pawing":  # one front paw goes up, forward and down again
            active = torch.nn.functional.one_hot((d.coin(0.5)[:, 0]).long(), 4)[:, None].float()
            raised = (0.5 + 0.6 * d.wander(0.7)).clamp(0, 1)[..., None]
            ahead = 60 + 110 * d.wander(0.7)[..., None]
            c.step = d.normal(30.0, 4) * (1 - active) + active * raised * ahead
            c.lift = active * raised * d.uniform(120.0, 260.0, 1)
    return c


def _heading(yaw: Tensor, up: Tensor) -> Float[Tensor, "*b 3"]:
    """Unit vectors at an angle above the horizontal."""
    level = up.cos()
    return torch.stack([level * yaw.sin(), -up.sin(), level * yaw.cos()], dim=-1)


def _yaw(frame: Tensor) -> Tensor:
    return torch.atan2(frame[..., 0, 2], frame[..., 2, 2])


def _head(
    c: SimpleNamespace, animals: Animals, at: dict[str, Tensor], pitch: Tensor, front: Tensor
) -> None:
    """Neck, head and ears, from the withers on."""
    lengths = animals.lengths
    limit = {k: tuple(math.radians(x) for x in v) for k, v in NECK_LIMITS.items()}
    curve = 0.28 + 0.12 * animals.horse  # the neck rises more steeply towards the head
    neck = c.neck + 0.15 * animals.horse
    lower, upper = (
        ((neck + s * curve - pitch).clamp(*limit["pitch"]) + pitch) for s in (-1.0, 1.0)
    )
    yaw_limit = math.radians(NECK_YAW)
    turn = yaw_limit * torch.tanh(c.neck_yaw / yaw_limit)
    half, yaw = _yaw(front) + 0.5 * turn, _yaw(front) + turn
    at["neck"] = at["withers"] + lengths["lower_neck"][..., None] * _heading(half, lower)
    at["head"] = at["neck"] + lengths["upper_neck"][..., None] * _heading(yaw, upper)
    nose_down = (upper + 0.15 + 0.35 * animals.horse + c.nod).clamp(*limit["head"])
    to_nose = _heading(yaw, upper - nose_down)
    at["nose"] = at["head"] + lengths["head"][..., None] * to_nose
    right = _heading(yaw + math.pi / 2, torch.zeros_like(upper))
    head = torch.stack([right, torch.linalg.cross(to_nose, right), to_nose], dim=-1)
    at["poll"] = at["head"] + along(head, 0.0, -0.1 * lengths["head"], 0.12 * lengths["head"])
    for side, sign in (("left", -1.0), ("right", 1.0)):
        ear = animals.ear * torch.tensor([sign, 1.0, 1.0])
        base = at["poll"] + along(head, sign * (0.21 * lengths["head"]), 0.0, 0.0)
        at[f"{side}_ear"] = base + lengths["ear"][..., None] * (head @ ear[..., None])[..., 0]


def _tail(
    c: SimpleNamespace, animals: Animals, at: dict[str, Tensor], pitch: Tensor, hind: Tensor
) -> None:
    """Against the line of the back, which falls to the tail as the front rises; off the floor."""
    length = animals.lengths["tail"]
    at["tail_root"] = at["pelvis"] + along(hind, 0.0, 15.0, -75.0)
    lowest = ((-at["pelvis"][..., 1] - PAW_HEIGHT) / length).clamp(-1, 1).asin()
    tail = torch.maximum(animals.tail + c.tail - pitch, -lowest).clamp(-1.4, 1.4)
    at["tail"] = at["pelvis"] + length[..., None] * _heading(_yaw(hind) + math.pi + c.wag, tail)


def _legs(
    c: SimpleNamespace, animals: Animals, at: dict[str, Tensor], front: Tensor, hind: Tensor
) -> None:
    """Legs whose paws reach for their places; the uppermost bone swings with the step."""
    ground = azimuth_rotation(c.yaw)
    for k, (side, end) in enumerate((s, e) for e in ("front", "hind") for s in ("left", "right")):
        sign = -1.0 if side == "left" else 1.0
        step = c.step[..., k]
        if end == "front":
            girdle, frame, out = at["withers"], front, _ELBOW_OUT
            bones, joints = ("shoulder", "forearm", "front_foot"), ("elbow", "wrist")
            swing, pole = -0.2 + 0.0018 * step, ground[..., 2] + 0.25 * frame[..., 2]
        else:
            girdle, frame, out = at["pelvis"], hind, _KNEE_OUT
            bones, joints = ("thigh", "shin", "hind_foot"), ("knee", "hock")
            swing = 0.42 + 0.0016 * step + c.thigh
            pole = -ground[..., 2] + 0.25 * frame[..., 2] * -1
        upper, first, second = (animals.lengths[name] for name in bones)
        swing = swing.clamp(-0.75, 1.0)
        drop = (upper.square() - out**2).sqrt()
        middle = girdle + along(frame, sign * out, drop * swing.cos(), drop * swing.sin())
        aside = sign * (0.85 * out + c.spread)
        target = girdle * torch.tensor([1.0, 0.0, 1.0]) + along(ground, aside, 0.0, step)
        target = target - (PAW_HEIGHT + c.lift[..., k, None]) * _DOWN
        hinge, paw = two_bone_ik(
            middle, target, pole, first=first, second=second, limits=HINGE_LIMITS[joints[1]]
        )
        for name, point in zip((*joints, "paw"), (middle, hinge, paw), strict=True):
            at[f"{side}_{end}_{name}"] = point


def pose(told: _Controls, animals: Animals, d: ClipSampler) -> Float[Tensor, "n T P 3"]:
    """``ANIMAL_POINTS``, mm, world frame, in place."""
    c = full_controls(told, d, step=(4,), lift=(4,))
    lengths = animals.lengths
    front_leg = lengths["shoulder"] + lengths["forearm"] + lengths["front_foot"]
    hind_leg = 0.94 * (lengths["thigh"] + lengths["shin"] + lengths["hind_foot"])  # as it stands
    front_y = c.front_height * front_leg + PAW_HEIGHT
    hind_y = c.hind_height * hind_leg + PAW_HEIGHT
    trunk = lengths["front_trunk"] + lengths["hind_trunk"]
    pitch = ((front_y - hind_y) / trunk).clamp(-0.7, 0.93).asin()
    level = torch.zeros_like(pitch)
    whole = turned(c.yaw, -pitch, c.roll)
    # The back arches and bends about its middle.
    front = whole @ turned(0.5 * c.bend, 0.5 * c.arch, level)
    hind = whole @ turned(-0.5 * c.bend, -0.5 * c.arch, level)
    at = {"spine": torch.zeros_like(whole[..., 0])}
    at["withers"] = along(front, 0.0, 0.0, lengths["front_trunk"])
    at["pelvis"] = along(hind, 0.0, 0.0, -lengths["hind_trunk"])
    shift = (hind_y + at["pelvis"][..., 1])[..., None] * _DOWN
    at = {name: point - shift for name, point in at.items()}
    at["chest"] = at["withers"] + along(front, 0.0, 105.0, 30.0)
    at["belly"] = at["spine"] + along(whole, 0.0, 95.0, 0.0)
    at["rump"] = at["pelvis"] + along(hind, 0.0, 75.0, -5.0)
    _head(c, animals, at, pitch, front)
    _tail(c, animals, at, pitch, hind)
    _legs(c, animals, at, front, hind)
    return torch.stack([at[name] for name in ANIMAL_POINTS], dim=-2)


MOTIONS = Motions(ACTIVITIES, sample_animals, controls, pose)

# --- how they look


_BELLY = "0.9 belly + 0.1 spine"
PARTS: tuple[Part, ...] = (
    Part("fore_barrel", "0.85 chest + 0.15 withers", _BELLY, (128, 126), "trunk", 0.84),
    Part("hind_barrel", "0.9 rump + 0.1 pelvis", _BELLY, (108, 126), "trunk", 0.86),
    Part("lower_neck", "0.55 withers + 0.45 chest", "neck", (98, 70)),
    Part("upper_neck", "neck", "head", (70, 58)),
    Part("skull", "0.92 head + 0.08 nose", "0.55 head + 0.45 nose", (68, 54), "head", 0.9),
    Part("muzzle", "0.5 head + 0.5 nose", "0.96 nose + 0.04 head", (46, 34), "head", 0.9),
    Part("nose", "1.04 nose - 0.04 head", "1.1 nose - 0.1 head", (28, 22)),
    Part("tail_near", "tail_root", "0.5 tail_root + 0.5 tail", (30, 28)),
    Part("tail_far", "0.5 tail_root + 0.5 tail", "1.02 tail - 0.02 tail_root", (28, 23)),
    *both_sides(
        Part("shoulder", "0.7 chest + 0.3 *front_elbow", "*front_elbow", (78, 56)),
        Part("forearm", "*front_elbow", "*front_wrist", (52, 33)),
        Part("front_cannon", "*front_wrist", "*front_paw", (32, 28)),
        Part("front_foot", "*front_paw", "1.12 *front_paw - 0.12 *front_wrist", (29, 36)),
        Part("thigh", "0.72 rump + 0.28 *hind_knee", "*hind_knee", (98, 62)),
        Part("shin", "*hind_knee", "*hind_hock", (60, 33)),
        Part("hind_cannon", "*hind_hock", "*hind_paw", (33, 28)),
        Part("hind_foot", "*hind_paw", "1.1 *hind_paw - 0.1 *hind_hock", (29, 36)),
        Part("ear", "0.7 poll + 0.3 *ear", "*ear", (24, 9)),
    ),
)
_TRUNK = torch.tensor([part.frame == "trunk" for part in PARTS])


@dataclass(frozen=True, kw_only=True)
class Coats(Appearance):
    """How n animals look: the coat's inner colour, the outer one where it is marked.

    ``belly`` is how far the light belly comes up, as the cosine of the angle from straight down
    (above 1: not at all). ``patches`` of the trunk: how many along it, their phase, and how much
    of it they cover (below −1: none).
    """

    belly: Float[Tensor, " n"]
    patches: Float[Tensor, "n 3"]


def _paint(coats: Coats, at: Surface) -> Float[Tensor, "N 3"]:
    """Marked beyond the split; on the trunk a light belly and patches, alike on both sides."""
    trunk, hind = _TRUNK[at.part], (at.part == 1).float()
    number, phase, cover = at.scene(coats.patches).unbind(-1)
    # One pattern runs from the chest over the seam of the two barrels to the rump.
    place = 0.5 + (0.5 - hind) * (at.along - 1)
    wave = torch.sin(number * place * 6.28 + phase + 1.5 * at.down) + 0.5 * torch.sin(
        2.3 * number * place * 6.28 + 2 * phase - 2.5 * at.down
    )
    marked = torch.where(trunk, wave < cover, at.along > at.of(coats.split))
    marked = marked | (trunk & (at.down > at.scene(coats.belly)))
    return torch.where(marked[:, None], at.of(coats.outer), at.of(coats.inner))


def sample_coats(n: int, *, seed: int) -> Coats:
    """Draw n animals' coats and girth, alike on both sides; the same seed gives the same."""
    s = Sampler(torch.Generator().manual_seed(seed), n)
    never = torch.full((n,), 2.0)
    coat = s.colours((0.03, 0.12), (0.25, 0.8), (0.12, 0.9))
    grey = s.uniform(0.12, 0.95)[:, None].expand(n, 3)
    coat = torch.where(s.chance(0.25)[:, None], grey, coat)
    cream = s.colours((0.08, 0.13), (0.02, 0.3), (0.85, 1.0))
    black = s.colours((0.03, 0.1), (0.1, 0.5), (0.04, 0.15))
    dark_marks = (coat.mean(dim=-1) > 0.55) | s.chance(0.2)
    mark = torch.where(dark_marks[:, None], black, cream)
    mane = torch.where(s.chance(0.5)[:, None], black, coat * 0.6)
    socks = torch.where(s.chance(0.45), s.uniform(0.2, 0.9), never)
    blaze = torch.where(s.chance(0.5), s.uniform(0.2, 0.8), never)
    girth = s.factor(0.08, clip=(-1.5, 2))
    belly = girth * s.factor(0.05, clip=(-1.5, 2))
    looks = {
        "fore_barrel": (coat, mark, never, belly),
        "hind_barrel": (coat, mark, never, belly),
        "muzzle": (coat, mark, blaze, girth),
        "nose": (black, black, never, girth),
        "tail_near": (mane, mark, never, girth),
        "tail_far": (mane, mark, blaze + 0.2, girth),
        "front_cannon": (coat, mark, socks, girth),
        "hind_cannon": (coat, mark, socks, girth),
        "front_foot": (black, black, never, girth),
        "hind_foot": (black, black, never, girth),
        "ear": (coat * 0.8, mark, never, girth),
    }
    patches = torch.stack([s.uniform(0.8, 2.2), s.uniform(0.0, 6.28), s.uniform(-0.9, 0.5)], dim=-1)
    patches[:, 2] = torch.where(s.chance(0.5), patches[:, 2], -5.0)
    return Coats(
        **by_part(PARTS, looks, (coat, mark, never, girth)),
        belly=torch.where(s.chance(0.5) & ~dark_marks, s.uniform(0.35, 0.75), never),
        patches=patches,
    )


ANIMAL = Model(
    skeleton=QUADRUPED,
    points=ANIMAL_POINTS,
    parts=PARTS,
    frames={
        "trunk": lambda at: (
            torch.linalg.cross(at("belly") - at("spine"), at("withers") - at("pelvis")),
            at("belly") - at("spine"),
        ),
        "head": lambda at: (
            at("right_ear") - at("left_ear"),
            torch.linalg.cross(at("nose") - at("head"), at("right_ear") - at("left_ear")),
        ),
    },
    paint=_paint,
    sample_appearance=sample_coats,
    reference_mm=430.0,
    centre=("withers", "withers", "pelvis"),
    aim=("withers", "spine", "left_front_paw", "right_front_paw", "head"),
)
