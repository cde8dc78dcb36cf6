"""What a body is, as data: joints, bones, left/right pairs, bone lengths; and the bodies known."""

import json
import operator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Shaped
from torch import Tensor

from selfpose.files import refuse_unknown

Side = Literal["left", "right", "centre"]
Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A jointed body of any kind: a person, a hand, an animal, a machine.

    Parameters
    ----------
    name
        Identifies the body in records and weights.
    joints
        Names of the J joints, in the order of every pose tensor.
    bones
        The B bones C = {(i, j)} as pairs of joint indices, parent first; they form a tree.
    root
        Index of the joint about which poses are centred and rotated.
    top
        Index of the joint that, with the root, gives the reference length of the body (hip–head
        for people): its mean over the unpaired poses fixes the scale of the normalised plane.
    mirror_pairs
        (left, right) joint indices that swap when the body is mirrored.
    relative_bone_lengths
        b̄_n of the bone-length loss: length of each bone over the mean bone length of the body.
        ``None`` where they are not known.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[Pair, ...]
    root: int
    top: int
    mirror_pairs: tuple[Pair, ...] = ()
    relative_bone_lengths: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n, lengths = self.n_joints, self.relative_bone_lengths
        known = (1.0,) * self.n_bones if lengths is None else lengths
        mirrored = [i for pair in self.mirror_pairs for i in pair]
        used = [self.root, self.top, *mirrored, *(i for bone in self.bones for i in bone)]
        reached = {self.root}
        while more := {c for p, c in self.bones if p in reached} - reached:
            reached |= more
        lost = [joint for i, joint in enumerate(self.joints) if i not in reached]
        expected = {
            "two or more joints with distinct names": n >= 2 and len(set(self.joints)) == n,
            f"joint numbers of 0 to {n - 1}": all(0 <= i < n for i in used),
            "a root and a top that differ, for they give the scale": self.root != self.top,
            "a tree of (parent, child) bones that leads from the root to every joint once; not "
            f"reached: {lost}": not lost and self.n_bones == n - 1,
            "each joint in one mirror pair at most": len(set(mirrored)) == len(mirrored),
            f"{self.n_bones} positive relative bone lengths that average to 1": (
                len(known) == self.n_bones == sum(x > 0 for x in known)
                and abs(sum(known) - self.n_bones) < 1e-3 * self.n_bones
            ),
        }
        for what, holds in expected.items():
            if not holds:
                raise ValueError(f"skeleton {self.name!r}: expected {what}")

    @property
    def n_joints(self) -> int:
        """J, the number of joints."""
        return len(self.joints)

    @property
    def n_bones(self) -> int:
        """B, the number of bones."""
        return len(self.bones)

    def index(self, joint: str) -> int:
        """Index of a joint by name."""
        return _index(joint, self.joints)

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """The permutation that swaps left and right joints: an involution."""
        order = list(range(self.n_joints))
        for left, right in self.mirror_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @property
    def has_sides(self) -> bool:
        """Whether a mirror gives a body of the same kind. A mirrored right hand is a left one."""
        return bool(self.mirror_pairs)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint; the root is its own parent."""
        parent = {child: parent for parent, child in self.bones}
        return tuple(parent.get(joint, joint) for joint in range(self.n_joints))

    @cached_property
    def joint_sides(self) -> tuple[Side, ...]:
        """``left``, ``right`` or ``centre`` for each joint."""
        sides: dict[int, Side] = {}
        for left, right in self.mirror_pairs:
            sides |= {left: "left", right: "right"}
        return tuple(sides.get(joint, "centre") for joint in range(self.n_joints))

    @cached_property
    def bone_sides(self) -> tuple[Side, ...]:
        """The side of each bone: that of its child joint."""
        return tuple(self.joint_sides[child] for _, child in self.bones)

    @cached_property
    def flipped_bones(self) -> tuple[int, ...]:
        """For each bone the index of its mirror twin, itself where it has none: an involution."""
        number = {frozenset(bone): n for n, bone in enumerate(self.bones)}
        return tuple(
            number.get(frozenset((self.flip[parent], self.flip[child])), n)
            for n, (parent, child) in enumerate(self.bones)
        )

    @cached_property
    def limbs(self) -> tuple[tuple[Pair, ...], ...]:
        """Mirror pairs grouped into limbs (a leg, an arm): pairs joined by bones.

        Left and right may be confused limb by limb; metrics that forgive that need the groups.
        """
        group = {pair: {pair} for pair in self.mirror_pairs}
        of_joint = {i: pair for pair in self.mirror_pairs for i in pair}
        for parent, child in self.bones:
            if parent in of_joint and child in of_joint:
                merged = group[of_joint[parent]] | group[of_joint[child]]
                group |= dict.fromkeys(merged, merged)
        limbs = [tuple(sorted(group[pair])) for pair in self.mirror_pairs]
        return tuple(dict.fromkeys(limbs))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Skeleton":
        """Build from :meth:`to_dict`'s form, or from one that names joints in place of indices."""
        refuse_unknown(data, cls.__dataclass_fields__, "field")
        for field in ("name", "joints", "bones", "root", "top"):
            if field not in data:
                raise ValueError(f"a skeleton needs the field {field!r}")
        joints, lengths = tuple(data["joints"]), data.get("relative_bone_lengths")
        pairs = {
            field: tuple((_index(a, joints), _index(b, joints)) for a, b in data.get(field) or ())
            for field in ("bones", "mirror_pairs")
        }
        return cls(
            name=str(data["name"]),
            joints=joints,
            root=_index(data["root"], joints),
            top=_index(data["top"], joints),
            relative_bone_lengths=None if lengths is None else tuple(float(x) for x in lengths),
            **pairs,
        )

    @classmethod
    def from_json(cls, path: str | Path) -> "Skeleton":
        """Read a skeleton from a JSON file; ``ValueError`` names the file and the fault."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a skeleton: {error}") from error


def _index(joint: Any, joints: tuple[str, ...]) -> int:
    if not isinstance(joint, str):
        return operator.index(joint)
    refuse_unknown([joint], joints, "joint")
    return joints.index(joint)


def mirror_pose(pose: Shaped[Tensor, "*batch J C"], skeleton: Skeleton) -> Shaped[Tensor, "*b J C"]:
    """The mirror twin of a root-centred pose: x negated, left and right joints swapped.

    Works on 2D and 3D poses; doing it twice gives the pose back.
    """
    twin = pose[..., list(skeleton.flip), :].clone()
    twin[..., 0] = -twin[..., 0]
    return twin


def _body(
    name: str, *chains: str, root: str, top: str, lengths: tuple[float, ...] | None = None
) -> Skeleton:
    """A skeleton from chains of joints; ``left_`` and ``right_`` make the mirror pairs."""
    links = [chain.split() for chain in chains]
    joints = tuple(dict.fromkeys(joint for chain in links for joint in chain))
    at = joints.index
    return Skeleton(
        name=name,
        joints=joints,
        bones=tuple((at(p), at(c)) for chain in links for p, c in pairwise(chain)),
        root=at(root),
        top=at(top),
        mirror_pairs=tuple(
            (at(j), at(j.replace("left_", "right_"))) for j in joints if j.startswith("left_")
        ),
        relative_bone_lengths=lengths and tuple(x / (sum(lengths) / len(lengths)) for x in lengths),
    )


# The 17 joints of Human3.6M, in the order that its users share. The lengths are its mean
# proportions as ElePose published them.
HUMAN_17 = _body(
    "human_17",
    "hip right_hip right_knee right_ankle",
    "hip left_hip left_knee left_ankle",
    "hip spine thorax neck head",
    "thorax left_shoulder left_elbow left_wrist",
    "thorax right_shoulder right_elbow right_wrist",
    root="hip",
    top="head",
    lengths=(
        *(0.5181, 1.7371, 1.7229, 0.5181, 1.7371, 1.7229, 0.9209, 0.9879),
        *(0.4481, 0.4450, 0.5746, 1.0812, 0.9652, 0.5746, 1.0812, 0.9652),
    ),
)

# The bodies below leave their bone lengths open: whoever has 3D poses measures them with
# `selfpose.metrics.with_measured_bones`.
FINGERS = ("thumb", "index", "middle", "ring", "little")

# A right hand in FreiHAND's order: the wrist, then each finger from base to tip. The bones of the
# palm are rigid, so the wrist and the base of the middle finger keep their distance in any gesture.
HAND_21 = _body(
    "hand_21",
    *(f"wrist {finger}_1 {finger}_2 {finger}_3 {finger}_4" for finger in FINGERS),
    root="wrist",
    top="middle_1",
)

# The root lies in the middle of the back. The head is both above and ahead of it, so that their
# distance vanishes neither from the side nor from the front.
QUADRUPED = _body(
    "quadruped_19",
    "spine withers neck head nose",
    "spine pelvis tail",
    "withers left_front_elbow left_front_wrist left_front_paw",
    "withers right_front_elbow right_front_wrist right_front_paw",
    "pelvis left_hind_knee left_hind_hock left_hind_paw",
    "pelvis right_hind_knee right_hind_hock right_hind_paw",
    root="spine",
    top="head",
)

# A desk lamp: a chain from the foot to the rim of the shade, a counterweight behind the elbow, and
# a knob on the foot, to the right of the arms. Nothing has a twin, and a lamp is not its own mirror
# image: without the knob, a lamp turned to the camera and one turned away would look alike.
MACHINE = Skeleton(
    name="lamp_8",
    joints=("foot", "knob", "stem", "elbow", "counterweight", "neck", "cap", "rim"),
    bones=((2, 0), (0, 1), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7)),
    root=2,
    top=3,
)

BODIES = {body.name: body for body in (HUMAN_17, HAND_21, QUADRUPED, MACHINE)}
