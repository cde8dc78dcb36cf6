"""People of different proportions, and where their 22 points lie for a given posture.

Everything here is in millimetres. A body's own frame is that of a camera standing in its place: x
to the person's right, y down, z forward.
"""

from dataclasses import dataclass, fields

import torch
from torch.nn.functional import normalize

from jaxtyping import Float
from torch import Tensor
from selfpose.synthetic import reach
from selfpose.data.points import FIGURE_POINTS
from selfpose.skeleton import HUMAN_17

# Flexion of the hinges in degrees: 0 is straight, and they bend one way only.
HINGE_LIMITS: dict[str, tuple[float, float]] = {"elbow": (4.0, 148.0), "knee": (2.0, 150.0)}
# Neck against chest, degrees either way.
HEAD_LIMITS: dict[str, float] = {"yaw": 65.0, "pitch": 40.0, "roll": 25.0}

ANKLE_HEIGHT = 82.0  # of a flat foot above the floor
TOE_HEIGHT = 26.0
_SIDE = (-1.0, 1.0)  # of (left, right) along the body's x axis


@dataclass(frozen=True, kw_only=True)
class Body:
    """Bone lengths of n people, each (n,), in mm; left and right are alike."""

    pelvis: Tensor
    thigh: Tensor
    shin: Tensor
    lower_spine: Tensor
    upper_spine: Tensor
    neck: Tensor
    head: Tensor
    clavicle: Tensor
    upper_arm: Tensor
    forearm: Tensor
    foot: Tensor
    hand: Tensor

    def __len__(self) -> int:
        return len(self.thigh)

    @property
    def leg(self) -> Tensor:
        """Thigh and shin together."""
        return self.thigh + self.shin

    @property
    def arm(self) -> Tensor:
        """Upper arm and forearm together."""
        return self.upper_arm + self.forearm

    @property
    def stature(self) -> Tensor:
        """Height when standing straight."""
        trunk = self.lower_spine + self.upper_spine + self.neck + self.head
        return ANKLE_HEIGHT + self.leg + trunk

    def frames(self) -> "Body":
        """The same lengths as (n, 1), to go with one posture for each frame of each clip."""
        return Body(**{f.name: getattr(self, f.name)[:, None] for f in fields(self)})


def sample_bodies(n: int, *, generator: torch.Generator) -> Body:
    """Draw n people: 1.5 to 1.95 m tall, proportions spread about Human3.6M's means."""
    mean = dict(zip(HUMAN_17.bones, HUMAN_17.relative_bone_lengths or (), strict=True))
    index = HUMAN_17.index

    def ratio(parent: str, child: str) -> float:
        return mean[(index(parent), index(child))]

    ratios = {
        "pelvis": (ratio("hip", "left_hip"), 0.06),
        "thigh": (ratio("left_hip", "left_knee"), 0.035),
        "shin": (ratio("left_knee", "left_ankle"), 0.035),
        "lower_spine": (ratio("hip", "spine"), 0.04),
        "upper_spine": (ratio("spine", "thorax"), 0.04),
        "neck": (ratio("thorax", "neck"), 0.06),
        "head": (ratio("neck", "head"), 0.04),
        "clavicle": (ratio("thorax", "left_shoulder"), 0.06),
        "upper_arm": (ratio("left_shoulder", "left_elbow"), 0.04),
        "forearm": (ratio("left_elbow", "left_wrist"), 0.04),
        "foot": (0.72, 0.05),
        "hand": (0.62, 0.05),
    }
    lengths = {}
    for name, (length, spread) in ratios.items():
        noise = torch.randn(n, generator=generator).clamp(-2, 2)
        lengths[name] = length * (spread * noise).exp()
    unscaled = Body(**lengths)
    stature = 1720 + 95 * torch.randn(n, generator=generator).clamp(-2.3, 2.4)
    unit = (stature - ANKLE_HEIGHT) / (unscaled.stature - ANKLE_HEIGHT)
    return Body(**{name: length * unit for name, length in lengths.items()})


def two_bones(
    start: Tensor, target: Tensor, pole: Tensor, *, first: Tensor, second: Tensor, hinge: str
) -> tuple[Tensor, Tensor]:
    """Elbow and wrist, or knee and ankle: :func:`selfpose.synthetic.reach.two_bones` of a ``hinge``."""
    return reach.two_bones(
        start, target, pole, first=first, second=second, limits=HINGE_LIMITS[hinge]
    )


@dataclass(frozen=True, kw_only=True)
class Posture:
    """What the body does, for any batch of frames; world frame (y down, floor y = 0), mm.

    Rotations are (..., 3, 3), from the part's own frame to the world's. Pairs are (left, right).
    """

    pelvis: Tensor  # (..., 3) the hip joint
    pelvis_rotation: Tensor
    spine_rotation: Tensor
    chest_rotation: Tensor
    head_rotation: Tensor
    shrug: Tensor  # (..., 2) 0 at rest, 1 with the arm straight up
    wrists: Tensor  # (..., 2, 3) what the wrists reach for, offset from the shoulder
    elbow_poles: Tensor  # (..., 2, 3) where the elbows point
    hand_bends: Tensor  # (..., 2, 3) added to the forearm's direction for the hand's
    ankles: Tensor  # (..., 2, 3) what the ankles reach for
    knee_poles: Tensor  # (..., 2, 3)
    foot_rotation: Tensor  # (..., 2, 3, 3)


def _along(rotation: Tensor, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Tensor:
    """x · right + y · down + z · forward of a rotated part."""

    def scaled(value: Tensor | float, column: int) -> Tensor:
        factor = value[..., None] if isinstance(value, Tensor) else value
        return factor * rotation[..., :, column]

    return scaled(x, 0) + scaled(y, 1) + scaled(z, 2)


def hip_offsets(body: Body, pelvis_rotation: Tensor) -> Tensor:
    """Left and right hip against the root: (..., 2, 3) mm."""
    return torch.stack([_along(pelvis_rotation, s * body.pelvis, 0.0, 0.0) for s in _SIDE], dim=-2)


def toe_offset(body: Body, foot_rotation: Tensor) -> Tensor:
    """Toe tip against the ankle: (..., 3) mm."""
    drop = ANKLE_HEIGHT - TOE_HEIGHT
    return _along(foot_rotation, 0.0, drop, (body.foot.square() - drop**2).sqrt())


def posture_to_points(body: Body, posture: Posture) -> Float[Tensor, "*b 22 3"]:
    """Forward kinematics: the ``FIGURE_POINTS`` of a posture, mm, world frame.

    The lengths of ``body`` must broadcast against the posture's batch dimensions.
    """
    p = posture
    at: dict[str, Tensor] = {"hip": p.pelvis}
    at["spine"] = at["hip"] + _along(p.spine_rotation, 0.0, -body.lower_spine, 0.0)
    at["thorax"] = at["spine"] + _along(p.chest_rotation, 0.0, -body.upper_spine, 0.0)
    # The neck leans forward of the spine and follows the head half way.
    neck = normalize(p.chest_rotation[..., 1] + p.head_rotation[..., 1], dim=-1) * -0.96
    forward = normalize(p.chest_rotation[..., 2] + p.head_rotation[..., 2], dim=-1) * 0.28
    at["neck"] = at["thorax"] + body.neck[..., None] * normalize(neck + forward, dim=-1)
    at["head"] = at["neck"] + _along(p.head_rotation, 0.0, -body.head, 0.0)
    at["nose"] = at["neck"] + _along(p.head_rotation, 0.0, -0.3 * body.head, 0.9 * body.head)
    hips = hip_offsets(body, p.pelvis_rotation)
    for k, (side, sign) in enumerate(zip(("left", "right"), _SIDE, strict=True)):
        angle = 0.16 - 0.75 * p.shrug[..., k]  # of the clavicle, below the horizontal
        out, down = sign * body.clavicle * angle.cos(), body.clavicle * angle.sin()
        at[f"{side}_shoulder"] = shoulder = at["thorax"] + _along(p.chest_rotation, out, down, 0.0)
        elbow, wrist = two_bones(
            shoulder,
            shoulder + p.wrists[..., k, :],
            p.elbow_poles[..., k, :],
            first=body.upper_arm,
            second=body.forearm,
            hinge="elbow",
        )
        straight = normalize(wrist - elbow, dim=-1)
        hand = normalize(straight + p.hand_bends[..., k, :], dim=-1)
        at[f"{side}_elbow"], at[f"{side}_wrist"] = elbow, wrist
        at[f"{side}_hand"] = wrist + body.hand[..., None] * hand
        at[f"{side}_hip"] = hip = at["hip"] + hips[..., k, :]
        knee, ankle = two_bones(
            hip,
            p.ankles[..., k, :],
            p.knee_poles[..., k, :],
            first=body.thigh,
            second=body.shin,
            hinge="knee",
        )
        at[f"{side}_knee"], at[f"{side}_ankle"] = knee, ankle
        at[f"{side}_toe"] = ankle + toe_offset(body, p.foot_rotation[..., k, :, :])
    return torch.stack([at[name] for name in FIGURE_POINTS], dim=-2)


__all__ = [
    "ANKLE_HEIGHT",
    "HEAD_LIMITS",
    "HINGE_LIMITS",
    "TOE_HEIGHT",
    "Body",
    "Posture",
    "hip_offsets",
    "posture_to_points",
    "sample_bodies",
    "toe_offset",
    "two_bones",
]
