"""What a body is, as data: joints, bones, left/right pairs, and how long its bones are."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Shaped
from torch import Tensor
from selfpose.files import refuse_unknown

Side = Literal["left", "right", "centre"]


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
        b̄_n of the bone-length loss: length of each bone over the mean bone length of the body,
        so that they average to one. ``None`` where they are not known.

    Raises
    ------
    ValueError
        If indices, names, the tree or the lengths do not fit together.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    root: int
    top: int
    mirror_pairs: tuple[tuple[int, int], ...] = ()
    relative_bone_lengths: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.joints)
        what = f"skeleton {self.name!r}"
        if n < 2 or len(set(self.joints)) != n:
            raise ValueError(f"{what}: expected two or more joints with distinct names")
        used = [i for pair in (*self.bones, *self.mirror_pairs) for i in pair]
        if any(not 0 <= i < n for i in (*used, self.root, self.top)):
            raise ValueError(f"{what}: every joint index must lie in 0..{n - 1}")
        if self.root == self.top:
            raise ValueError(f"{what}: root and top must be two joints, they give the scale")
        parents = {child: parent for parent, child in self.bones}
        reached = {self.root}
        while grown := {c for c, p in parents.items() if p in reached} - reached:
            reached |= grown
        if len(self.bones) != n - 1 or len(reached) != n:
            children = [child for _, child in self.bones]
            twice = sorted({self.joints[c] for c in children if children.count(c) > 1})
            if twice:
                raise ValueError(
                    f"{what}: bones must be a tree of (parent, child) pairs, but two end at "
                    f"{', '.join(twice)}"
                )
            lost = [j for i, j in enumerate(self.joints) if i not in reached]
            turned = [[p, c] for p, c in self.bones if p not in reached and c in reached]
            hint = f"; turn the bone {turned[0]} round to {turned[0][::-1]}?" if turned else ""
            raise ValueError(
                f"{what}: bones must be a tree of (parent, child) pairs that leads from the root "
                f"{self.joints[self.root]!r} to every joint; not reached: {lost}{hint}"
            )
        mirrored = [i for pair in self.mirror_pairs for i in pair]
        if len(set(mirrored)) != len(mirrored):
            raise ValueError(f"{what}: a joint stands in more than one mirror pair")
        lengths = self.relative_bone_lengths
        if lengths is not None:
            if len(lengths) != len(self.bones) or min(lengths) <= 0:
                raise ValueError(
                    f"{what}: expected {len(self.bones)} positive relative bone lengths, one for "
                    f"each bone, got {len(lengths)}"
                )
            if abs(sum(lengths) / len(lengths) - 1) > 1e-3:
                raise ValueError(f"{what}: relative bone lengths must average to 1")

    @property
    def n_joints(self) -> int:
        """J, the number of joints."""
        return len(self.joints)

    @property
    def n_bones(self) -> int:
        """B, the number of bones."""
        return len(self.bones)

    def index(self, joint: str) -> int:
        """Index of a joint by name; ``KeyError`` with the known names if there is none."""
        if joint not in self.joints:
            raise KeyError(f"{self.name} has no joint {joint!r}; its joints are {self.joints}")
        return self.joints.index(joint)

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
        order = list(range(self.n_joints))
        for parent, child in self.bones:
            order[child] = parent
        return tuple(order)

    @cached_property
    def joint_sides(self) -> tuple[Side, ...]:
        """``left``, ``right`` or ``centre`` for each joint."""
        left = {pair[0] for pair in self.mirror_pairs}
        right = {pair[1] for pair in self.mirror_pairs}
        return tuple(
            "left" if i in left else "right" if i in right else "centre"
            for i in range(self.n_joints)
        )

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
    def limbs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Mirror pairs grouped into limbs (a leg, an arm): pairs joined by bones.

        Left and right may be confused limb by limb; metrics that forgive that need the groups.
        """
        group = {pair: {pair} for pair in self.mirror_pairs}
        of_joint = {i: pair for pair in self.mirror_pairs for i in pair}
        for parent, child in self.bones:
            if parent in of_joint and child in of_joint:
                merged = group[of_joint[parent]] | group[of_joint[child]]
                for pair in merged:
                    group[pair] = merged
        seen: list[tuple[tuple[int, int], ...]] = []
        for pair in self.mirror_pairs:
            limb = tuple(sorted(group[pair]))
            if limb not in seen:
                seen.append(limb)
        return tuple(seen)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able description; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Skeleton":
        """Build from :meth:`to_dict`'s form or a small hand-written JSON.

        Where it has the index of a joint, the joint's name will do.

        Raises
        ------
        ValueError
            If a field is missing or unknown, or does not fit (see the class).
        """
        optional = ("mirror_pairs", "relative_bone_lengths")
        known = list(cls.__dataclass_fields__)
        refuse_unknown(data, known, "field")
        if missing := [f for f in known if f not in data and f not in optional]:
            raise ValueError(
                f"the field {missing[0]!r} is missing; a skeleton needs "
                f"{', '.join(f for f in known if f not in optional)}, and may have "
                f"{' and '.join(optional)}"
            )
        if not isinstance(data["joints"], list | tuple) or not all(
            isinstance(joint, str) for joint in data["joints"]
        ):
            raise ValueError(f"joints must be a list of names, got {data['joints']!r}")
        joints = tuple(data["joints"])

        def number(joint: Any) -> int:
            if isinstance(joint, str):
                refuse_unknown([joint], joints, "joint")
                return joints.index(joint)
            if type(joint) is not int:
                raise ValueError(f"{joint!r} must be a joint's name or its number")
            return joint

        def pairs(field: str) -> tuple[tuple[int, int], ...]:
            given = data.get(field) or ()
            if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
                raise ValueError(f"{field} must be pairs of joints, [[0, 1], …], got {given!r}")
            return tuple((number(a), number(b)) for a, b in given)

        lengths = data.get("relative_bone_lengths")
        return cls(
            name=str(data["name"]),
            joints=joints,
            bones=pairs("bones"),
            root=number(data["root"]),
            top=number(data["top"]),
            mirror_pairs=pairs("mirror_pairs"),
            relative_bone_lengths=None if lengths is None else tuple(float(x) for x in lengths),
        )

    @classmethod
    def from_json(cls, path: str | Path) -> "Skeleton":
        """Read a skeleton from a JSON file; ``ValueError`` names the file and the fault."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a skeleton: {error}") from error


def mirror_pose(pose: Shaped[Tensor, "*batch J C"], skeleton: Skeleton) -> Shaped[Tensor, "*b J C"]:
    """The mirror twin of a root-centred pose: x negated, left and right joints swapped.

    Works on 2D and 3D poses whose first coordinate is x with the mirror plane at x = 0; doing it
    twice gives the pose back.
    """
    twin = pose[..., list(skeleton.flip), :].clone()
    twin[..., 0] = -twin[..., 0]
    return twin


def _normalised(lengths: tuple[float, ...]) -> tuple[float, ...]:
    mean = sum(lengths) / len(lengths)
    return tuple(x / mean for x in lengths)


HUMAN_17 = Skeleton(
    name="human_17",
    # The 17 joints of Human3.6M, in the order that its users share.
    joints=(
        "hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    bones=(
        (0, 1),
        (1, 2),
        (2, 3),
        (0, 4),
        (4, 5),
        (5, 6),
        (0, 7),
        (7, 8),
        (8, 9),
        (9, 10),
        (8, 11),
        (11, 12),
        (12, 13),
        (8, 14),
        (14, 15),
        (15, 16),
    ),
    root=0,
    top=10,
    mirror_pairs=((4, 1), (5, 2), (6, 3), (11, 14), (12, 15), (13, 16)),
    # Human3.6M's mean proportions as ElePose published them.
    relative_bone_lengths=_normalised(
        (
            *(0.5181, 1.7371, 1.7229, 0.5181, 1.7371, 1.7229, 0.9209, 0.9879),
            *(0.4481, 0.4450, 0.5746, 1.0812, 0.9652, 0.5746, 1.0812, 0.9652),
        )
    ),
)

__all__ = ["HUMAN_17", "Side", "Skeleton", "mirror_pose"]
