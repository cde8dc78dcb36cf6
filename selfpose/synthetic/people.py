"""People: proportions, where their 22 points lie for what they are told to do, and how they look.

Everything here is in millimetres. World frame: y down, floor at y = 0; a body's own frame is that
of a camera standing in its place: x to the person's right, y down, z forward. Pairs are (left,
right).
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from selfpose.camera import azimuth_rotation
from selfpose.skeleton import HUMAN_17
from selfpose.synthetic.cones import Appearance, Model, Named, Part, Surface, both_sides, by_part
from selfpose.synthetic.kinematics import along, turned, two_bone_ik
from selfpose.synthetic.sampling import FPS, ClipSampler, Sampler, full_controls, hsv_to_rgb

# The 17 joints, and five more points that tell front from back.
FIGURE_POINTS: tuple[str, ...] = (
    *HUMAN_17.joints,
    *("left_toe", "right_toe", "nose", "left_hand", "right_hand"),
)


# Flexion of the hinges in degrees: 0 is straight, and they bend one way only.
HINGE_LIMITS: dict[str, tuple[float, float]] = {"elbow": (4.0, 148.0), "knee": (2.0, 150.0)}
# Neck against chest, degrees either way.
HEAD_LIMITS: dict[str, float] = {"yaw": 65.0, "pitch": 40.0, "roll": 25.0}

ANKLE_HEIGHT = 82.0  # of a flat foot above the floor
TOE_HEIGHT = 26.0
_SIDE = torch.tensor([-1.0, 1.0])  # of (left, right) along the body's x axis
_DOWN = torch.tensor([0.0, 1.0, 0.0])

# Bones by the joint that ends them, in Human3.6M's mean proportions, and their spread.
_BONES: dict[str, tuple[str, float]] = {
    "pelvis": ("left_hip", 0.06),
    "thigh": ("left_knee", 0.035),
    "shin": ("left_ankle", 0.035),
    "lower_spine": ("spine", 0.04),
    "upper_spine": ("thorax", 0.04),
    "neck": ("neck", 0.06),
    "head": ("head", 0.04),
    "clavicle": ("left_shoulder", 0.06),
    "upper_arm": ("left_elbow", 0.04),
    "forearm": ("left_wrist", 0.04),
}
Bodies = dict[str, Float[Tensor, "n 1"]]  # bone lengths; left and right are alike


def stature(body: Bodies) -> Float[Tensor, "n 1"]:
    """Height when standing straight."""
    trunk = body["lower_spine"] + body["upper_spine"] + body["neck"] + body["head"]
    return ANKLE_HEIGHT + (body["thigh"] + body["shin"]) + trunk


def sample_bodies(s: Sampler) -> Bodies:
    """Draw people: 1.5 to 1.95 m tall, proportions spread about Human3.6M's means."""
    assert HUMAN_17.relative_bone_lengths is not None
    ends = [HUMAN_17.joints[child] for _, child in HUMAN_17.bones]
    mean = dict(zip(ends, HUMAN_17.relative_bone_lengths, strict=True))
    relative = {name: mean[end] * s.factor(spread) for name, (end, spread) in _BONES.items()}
    relative["foot"], relative["hand"] = 0.72 * s.factor(0.05), 0.62 * s.factor(0.05)
    tall = 1720 + s.normal(95, clip=(-2.3, 2.4))
    unit = (tall - ANKLE_HEIGHT) / (stature(relative) - ANKLE_HEIGHT)
    return {name: length * unit for name, length in relative.items()}


@dataclass(kw_only=True)
class Controls:
    """What an activity decides, (n, T, ...) or broadcastable; angles in radians, lengths in mm."""

    hands: Tensor | float = 0.0  # (n, T, 2, 3) outward, up, forward, in arm lengths
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


def _rotations(c: SimpleNamespace, d: ClipSampler) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frames of pelvis, spine, chest and head."""
    pelvis = turned(c.yaw + c.pelvis_twist, c.tilt, c.sway)
    spine = pelvis @ turned(0.35 * c.twist, 0.4 * c.lean, 0.4 * c.side_bend)
    chest = pelvis @ turned(c.twist, c.lean, c.side_bend)
    # People keep their face up when they lean.
    face = c.head_pitch - 0.3 * (c.lean + c.tilt)
    limit = {name: math.radians(degrees) for name, degrees in HEAD_LIMITS.items()}
    yaw = limit["yaw"] * torch.tanh(c.head_yaw / limit["yaw"])
    pitch = limit["pitch"] * torch.tanh(face / limit["pitch"])
    roll = limit["roll"] * torch.tanh(0.1 * d.wander(1.5) - 0.4 * (c.side_bend + c.sway))
    return pelvis, spine, chest, chest @ turned(yaw, pitch, roll)


def _legs(c: SimpleNamespace, body: Bodies, pelvis_frame: Tensor) -> dict[str, Tensor]:
    """Feet on the floor, the pelvis where the legs allow it, knees between: points (n, T, 3)."""
    foot_yaw = c.yaw[..., None] + c.foot_turn * _SIDE
    foot_frame = turned(foot_yaw, c.foot_pitch, torch.zeros_like(foot_yaw))
    drop = ANKLE_HEIGHT - TOE_HEIGHT
    foot = (body["foot"][..., None].square() - drop**2).sqrt()
    toes = along(foot_frame, 0.0, drop, foot)  # against the ankle
    # Neither the ankle nor the toes may go through the floor.
    lift = c.foot_lift.clamp(min=0)
    least = (TOE_HEIGHT + toes[..., 1]).clamp(min=0.8 * ANKLE_HEIGHT)
    ankle_height = lift + least.clamp(min=ANKLE_HEIGHT)
    ground = azimuth_rotation(c.yaw)  # right and forward along the floor
    right, forward = ground[..., 0], ground[..., 2]
    ankles = (c.foot_out.clamp(min=45) * _SIDE)[..., None] * right[..., None, :]
    ankles = ankles + c.foot_forward[..., None] * forward[..., None, :]
    ankles = ankles - ankle_height[..., None] * _DOWN

    root = c.shift[..., None] * right - c.pelvis_back[..., None] * forward
    hips = torch.stack([along(pelvis_frame, s * body["pelvis"], 0.0, 0.0) for s in (-1, 1)], dim=-2)
    leg = body["thigh"] + body["shin"]
    apart = (ankles - root[..., None, :] - hips)[..., [0, 2]].square().sum(-1)
    upright = ((0.997 * leg)[..., None].square() - apart).clamp(min=1e4).sqrt()
    allowed = ankles[..., 1] - hips[..., 1] - upright  # the highest y of the root for each leg
    wanted = -(c.height.clamp(0.3, 0.998) * leg + ANKLE_HEIGHT)
    # A lifted foot does not hold the pelvis down. Of the two bounds the lower one, softly.
    bound = (allowed - (lift - 60).clamp(min=0)).amax(dim=-1)
    root = root + (4.0 * torch.logaddexp(wanted / 4.0, bound / 4.0))[..., None] * _DOWN

    poles = azimuth_rotation(foot_yaw)[..., 2]
    poles = poles + c.knees_out[..., None] * (_SIDE[:, None] * right[..., None, :])
    poles = poles - 0.3 * _DOWN
    travel = (c.speed[..., None] * forward).cumsum(dim=1) / FPS
    travel = travel - c.flight[..., None] * _DOWN
    root, ankles = root + travel, ankles + travel[..., None, :]
    at = {"hip": root}
    for k, side in enumerate(("left", "right")):
        at[f"{side}_hip"] = hip = root + hips[..., k, :]
        at[f"{side}_knee"], at[f"{side}_ankle"] = two_bone_ik(
            hip,
            ankles[..., k, :],
            poles[..., k, :],
            first=body["thigh"],
            second=body["shin"],
            limits=HINGE_LIMITS["knee"],
        )
        at[f"{side}_toe"] = at[f"{side}_ankle"] + toes[..., k, :]
    return at


def _targets(c: SimpleNamespace, body: Bodies, d: ClipSampler) -> tuple[Tensor, ...]:
    """In the chest's frame: wrists from the shoulders, elbow poles, bends of the hands; shrug."""
    hands = c.hands + 0.035 * d.wander(0.8, 2, 3)
    # A hand on its way past the shoulder goes round the front of it.
    near = (-(hands.square().sum(-1, keepdim=True) / 0.09)).exp()
    hands = hands + near * torch.tensor([0.12, 0.0, 0.45])
    arm, clavicle = (body["upper_arm"] + body["forearm"])[..., None], body["clavicle"][..., None]
    x = clavicle + hands[..., 0] * arm  # from the middle of the chest, outward
    y, z = hands[..., 1] * arm, hands[..., 2] * arm
    trunk = torch.sigmoid(-(y - 80) / 60)  # 1 beside the trunk, 0 beside the head
    wide, deep = 95 + 105 * trunk, 120 + 35 * trunk
    inside = ((x / wide).square() + (z / deep).square() + 1e-4).sqrt()
    push = (1 / inside).clamp(1.0, 4.0)
    x, z = x * push, z * push
    wrists = torch.stack([(x - clavicle) * _SIDE, -y, z], dim=-1)  # right, down, forward
    up = (hands[..., 1] / hands.norm(dim=-1).clamp(min=0.2)).clamp(-1, 1)
    shrug = (0.5 + 0.5 * up).square() * 0.9 - 0.02  # 0 at rest, 1 with the arm straight up
    # Elbows point back when the arm hangs, down when it is level, forward and out when it is up:
    # never along the arm, so they never flip. The swivel turns them about the line to the hand.
    swivel = c.swivel + d.normal(0.2, 2) + 0.2 * d.wander(1.3, 2) - 0.05
    shares = torch.stack([(-up).clamp(min=0), 1 - up.abs(), up.clamp(min=0)], dim=-1)
    pole = shares @ torch.tensor([[0.5, 0.0, -0.85], [0.35, 0.9, -0.15], [0.8, 0.0, 0.35]])
    pole = pole * torch.stack([_SIDE, torch.ones(2), torch.ones(2)], dim=-1)
    axis = normalize(wrists, dim=-1)
    spin = (swivel * -_SIDE)[..., None]
    pole = pole - (pole * axis).sum(-1, keepdim=True) * axis
    pole = pole * spin.cos() + torch.linalg.cross(axis, pole) * spin.sin()
    bends = torch.stack([0.1 * _SIDE.expand_as(up), 0 * up, 0.15 + 0 * up], -1)
    return wrists, pole, bends + 0.22 * d.wander(0.9, 2, 3), shrug


def pose(told: Controls, body: Bodies, d: ClipSampler) -> Float[Tensor, "n T 22 3"]:
    """The ``FIGURE_POINTS`` of people who do as told, their feet on the floor, mm, world frame."""
    pairs = [
        "foot_forward",
        "foot_out",
        "foot_lift",
        "foot_pitch",
        "foot_turn",
        "knees_out",
        "swivel",
    ]
    c = full_controls(told, d, hands=(2, 3), **dict.fromkeys(pairs, (2,)))
    pelvis, spine, chest, head = _rotations(c, d)
    at = _legs(c, body, pelvis)
    at["spine"] = at["hip"] + along(spine, 0.0, -body["lower_spine"], 0.0)
    at["thorax"] = at["spine"] + along(chest, 0.0, -body["upper_spine"], 0.0)
    # The neck leans forward of the spine and follows the head half way.
    neck = normalize(chest[..., 1] + head[..., 1], dim=-1) * -0.96
    forward = normalize(chest[..., 2] + head[..., 2], dim=-1) * 0.28
    at["neck"] = at["thorax"] + body["neck"][..., None] * normalize(neck + forward, dim=-1)
    at["head"] = at["neck"] + along(head, 0.0, -body["head"], 0.0)
    at["nose"] = at["neck"] + along(head, 0.0, -0.3 * body["head"], 0.9 * body["head"])
    *directions, shrug = _targets(c, body, d)
    wrists, poles, bends = (way @ chest.mT for way in directions)
    for k, (side, sign) in enumerate((("left", -1.0), ("right", 1.0))):
        angle = 0.16 - 0.75 * shrug[..., k]  # of the clavicle, below the horizontal
        out, down = sign * body["clavicle"] * angle.cos(), body["clavicle"] * angle.sin()
        at[f"{side}_shoulder"] = shoulder = at["thorax"] + along(chest, out, down, 0.0)
        elbow, wrist = two_bone_ik(
            shoulder,
            shoulder + wrists[..., k, :],
            poles[..., k, :],
            first=body["upper_arm"],
            second=body["forearm"],
            limits=HINGE_LIMITS["elbow"],
        )
        hand = normalize(normalize(wrist - elbow, dim=-1) + bends[..., k, :], dim=-1)
        at[f"{side}_elbow"], at[f"{side}_wrist"] = elbow, wrist
        at[f"{side}_hand"] = wrist + body["hand"][..., None] * hand
    return torch.stack([at[name] for name in FIGURE_POINTS], dim=-2)


# --- how they look

PARTS: tuple[Part, ...] = (
    Part("pelvis", "1.05 hip - 0.05 spine", "0.9 spine + 0.1 hip", (112, 98), "pelvis", 1.5),
    Part("chest", "spine", "0.72 thorax + 0.28 spine", (98, 112), "chest", 1.5),
    Part("neck", "thorax", "neck", (58, 52)),
    Part("head", "neck", "0.12 neck + 0.88 head", (78, 96), "head", 0.84),
    Part("nose", "0.85 nose + 0.15 head", "nose", (12, 18)),
    *both_sides(
        Part("collar", "0.85 thorax + 0.15 spine", "0.92 *shoulder + 0.08 spine", (68, 58)),
        Part("upper_arm", "*shoulder", "*elbow", (56, 41)),
        Part("forearm", "*elbow", "*wrist", (41, 29)),
        Part("hand", "0.85 *wrist + 0.15 *hand", "0.85 *hand + 0.15 *wrist", (36, 27)),
        Part("thigh", "0.9 *hip + 0.1 hip", "*knee", (92, 58)),
        Part("shin", "*knee", "*ankle", (58, 40)),
        Part("foot", "1.12 *ankle - 0.12 *toe", "0.92 *toe + 0.08 *ankle", (46, 32)),
    ),
)
_CHEST, _HEAD = (torch.tensor([part.frame == name for part in PARTS]) for name in ("chest", "head"))


@dataclass(frozen=True, kw_only=True)
class Clothes(Appearance):
    """How n people look; colours: limbs towards start and end, chest and head in front and behind.

    ``front_width`` is the half-width of the mark on the shirt's front, as the sine of the angle
    from straight ahead (0: none); ``hairline`` how far the hair comes forward; ``stripes`` the
    contrast of the shirt's horizontal stripes (0: none).
    """

    front_width: Float[Tensor, " n"]
    hairline: Float[Tensor, " n"]
    stripes: Float[Tensor, " n"]


def sample_clothes(n: int, *, seed: int) -> Clothes:
    """Draw n people's clothes, hair, skin and build; the same seed gives the same people."""
    s = Sampler(torch.Generator().manual_seed(seed), n)
    never = torch.full((n,), 2.0)
    tone = s.uniform(0.0, 1.0)
    pale, dark = torch.tensor([0.93, 0.76, 0.66]), torch.tensor([0.38, 0.24, 0.17])
    skin = torch.lerp(pale, dark, tone[:, None] ** 1.3) + s.uniform(-0.03, 0.03, 3)
    hair = hsv_to_rgb(s.uniform(0.03, 0.13), s.uniform(0.3, 0.8), s.uniform(0.06, 0.5) ** 1.2)
    grey = s.chance(0.15)
    hair = torch.where(grey[:, None], s.uniform(0.35, 0.85)[:, None].expand(n, 3), hair)
    shirt = s.colours((0.0, 1.0), (0.05, 0.85), (0.25, 0.95))
    # The mark on the front must stand out: another hue, and darker on light shirts.
    value = torch.where(shirt.mean(-1) > 0.5, s.uniform(0.08, 0.35), s.uniform(0.75, 1.0))
    front = hsv_to_rgb(s.uniform(0.0, 1.0), s.uniform(0.0, 0.8), value)
    # Of the shirt's front: plain, a wide panel, a stripe, or all of another colour.
    kind = torch.multinomial(torch.tensor([0.15, 0.35, 0.3, 0.2]), n, True, generator=s.generator)
    front_width = torch.where(kind == 1, s.uniform(0.55, 0.8), s.uniform(0.2, 0.4))
    front_width = front_width.masked_fill(kind == 0, 0.0).masked_fill(kind == 3, 1.5)
    denim = s.colours((0.55, 0.68), (0.2, 0.7), (0.12, 0.5))
    cloth = s.colours((0.0, 1.0), (0.0, 0.7), (0.1, 0.75))
    trousers = torch.where(s.chance(0.5)[:, None], denim, cloth)
    shoes = s.colours((0.0, 1.0), (0.0, 0.5), (0.05, 0.9))
    # Where sleeves and trouser legs end, in bones from the trunk.
    sleeve = torch.where(s.chance(0.45), s.uniform(0.35, 0.9), s.uniform(1.75, 2.2))
    leg = torch.where(s.chance(0.25), s.uniform(0.75, 1.1), torch.full((n,), 2.2))
    girth = s.factor(0.1, clip=(-1.6, 2))
    belly = girth * s.factor(0.07, clip=(-1.5, 2))
    bony = torch.ones(n)
    looks = {
        "pelvis": (trousers, shirt, s.uniform(0.25, 0.8), belly),
        "chest": (front, shirt, never, belly),
        "head": (skin, hair, never, bony),
        "collar": (shirt, shirt, never, girth),
        "upper_arm": (shirt, skin, sleeve, girth),
        "forearm": (shirt, skin, sleeve - 1, girth),
        "thigh": (trousers, skin, leg, girth),
        "shin": (trousers, skin, leg - 1, girth),
        "foot": (shoes, shoes, never, bony),
    }
    return Clothes(
        **by_part(PARTS, looks, (skin, skin, never, bony)),
        front_width=front_width,
        hairline=s.uniform(-0.1, 0.25),
        stripes=torch.where(s.chance(0.25), s.uniform(0.15, 0.5), torch.zeros(n)),
    )


def _paint(clothes: Clothes, at: Surface) -> Float[Tensor, "N 3"]:
    chest, head = _CHEST[at.part], _HEAD[at.part]
    marked = (at.forward > 0.05) & (at.right.abs() < at.scene(clothes.front_width))
    face = at.forward + 0.35 * at.down - at.scene(clothes.hairline) > 0.05 * (at.along > 0.6)
    inner = torch.where(chest, marked, at.along < at.of(clothes.split))
    inner = torch.where(head, face, inner)
    colour = torch.where(inner[:, None], at.of(clothes.inner), at.of(clothes.outer))
    band = (torch.sin(at.along * 26.0) > 0).float() * at.scene(clothes.stripes)
    return colour * (1 - band * (chest & ~marked))[:, None]


def _chest_frame(at: Named) -> tuple[Tensor, Tensor]:
    return at("right_shoulder") - at("left_shoulder"), at("spine") - at("thorax")


def _head_frame(at: Named) -> tuple[Tensor, Tensor]:
    down = at("neck") - at("head")
    return torch.linalg.cross(down, at("nose") - at("neck")), down


HUMAN = Model(
    skeleton=HUMAN_17,
    points=FIGURE_POINTS,
    parts=PARTS,
    frames={
        "pelvis": lambda at: (at("right_hip") - at("left_hip"), at("hip") - at("spine")),
        "chest": _chest_frame,
        "head": _head_frame,
    },
    paint=_paint,
    sample_appearance=sample_clothes,
    reference_mm=700.0,
    centre=("hip",),
    aim=("hip",),
)
