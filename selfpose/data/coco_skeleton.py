"""A body from a COCO category: its joints, its edges as a tree, and which joints mirror which."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfpose.files import refuse_unknown
from selfpose.skeleton import Skeleton

_SIDES = (("left", "right"), ("l", "r"))


def category_to_skeleton(
    path: Path,
    category: Mapping[str, Any],
    *,
    root_joint: str | None = None,
    top_joint: str | None = None,
) -> Skeleton:
    """A body from a category: ``keypoints``, and ``skeleton`` as edges counted from one.

    Raises
    ------
    ValueError
        If the edges are none or no tree, a name is unknown, or a left joint lacks its right one.
    """
    joints: tuple[str, ...] = tuple(category["keypoints"])
    what = f"{path}: category {category['name']!r}"
    cure = "give the bones as a tree with the option skeleton, a JSON file"
    edges = category.get("skeleton") or []
    n = len(joints)
    if not isinstance(edges, list) or not all(
        isinstance(e, list) and len(e) == 2 and all(type(i) is int for i in e) for e in edges
    ):
        raise ValueError(f"{what}: 'skeleton' must be pairs of joint numbers; {cure}")
    if any(not 1 <= i <= n for e in edges for i in e):
        raise ValueError(
            f"{what}: 'skeleton' names joints outside 1..{n}; COCO counts joints from one"
        )
    neighbours: dict[int, list[int]] = {i: [] for i in range(n)}
    for a, b in dict.fromkeys((min(e) - 1, max(e) - 1) for e in edges):
        neighbours[a].append(b)
        neighbours[b].append(a)
    n_edges = sum(len(others) for others in neighbours.values()) // 2
    hops = [_hops(neighbours, i) for i in range(n)]
    if lost := [joints[i] for i in range(n) if i not in hops[0]]:
        raise ValueError(
            f"{what}: no bones join {joints[0]!r} to {', '.join(lost)}; {cure}, in which every "
            "joint hangs together"
        )
    if n_edges != n - 1:
        raise ValueError(
            f"{what}: {n_edges} bones between {n} joints make loops, where a tree has {n - 1}; "
            f"{cure}"
        )
    pairs = mirror_pairs(path, joints)
    mirrored = {i for pair in pairs for i in pair}
    for given in (root_joint, top_joint):
        if given is not None:
            try:
                refuse_unknown([given], joints, "joint")
            except ValueError as error:
                raise ValueError(f"{what}: {error}") from error
    root = (
        joints.index(root_joint)
        if root_joint
        else min(range(n), key=lambda i: (sum(hops[i].values()), i))
    )
    centre = [i for i in range(n) if i != root and i not in mirrored]
    others = centre or [i for i in range(n) if i != root]
    top = joints.index(top_joint) if top_joint else max(others, key=lambda i: (hops[root][i], -i))
    bones = sorted(
        ((a, b) if hops[root][a] < hops[root][b] else (b, a))
        for a, bs in neighbours.items()
        for b in bs
        if a < b
    )
    try:
        return Skeleton(
            name=str(category["name"]),
            joints=joints,
            bones=tuple(sorted(bones, key=lambda bone: hops[root][bone[1]])),
            root=root,
            top=top,
            mirror_pairs=pairs,
        )
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def mirror_pairs(path: Path, joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) pairs by names: ``left_knee`` and ``right_knee``, ``knee_L`` and ``knee_R``.

    Raises
    ------
    ValueError
        If a joint that is called left has no right one, or the other way round.

    >>> mirror_pairs(Path("a.json"), ["nose", "right_ear", "left_ear"])
    ((2, 1),)
    """
    lower = [joint.lower() for joint in joints]
    pairs = []
    for i, name in enumerate(lower):
        for left, right in _SIDES:
            for here, there in ((left, right), (right, left)):
                # A word of its own, or "left" at an end of the name: leftEar
                pattern = rf"(?<![a-z]){here}(?![a-z])"
                if len(here) > 1:
                    pattern += rf"|^{here}|{here}$"
                twin = re.sub(pattern, there, name, count=1)
                if twin == name:
                    continue
                if twin not in lower:
                    raise ValueError(
                        f"{path}: the joint {joints[i]!r} has no mirror twin {twin!r} among "
                        f"{', '.join(joints)}; rename it, or give the option skeleton"
                    )
                if here == left:
                    pairs.append((i, lower.index(twin)))
    return tuple(dict.fromkeys(pairs))


def _hops(neighbours: Mapping[int, list[int]], start: int) -> dict[int, int]:
    """Bones between a joint and every other that can be reached."""
    hops, edge = {start: 0}, [start]
    for joint in edge:
        for other in neighbours[joint]:
            if other not in hops:
                hops[other] = hops[joint] + 1
                edge.append(other)
    return hops


__all__ = ["category_to_skeleton", "mirror_pairs"]
