"""What exporters of BVH call the joints of a person."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from selfpose.data.tables import read_json
from selfpose.names import refuse_unknown

_CENTRE = ("hip", "spine", "thorax", "head")
_SIDED = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")

ROLES: tuple[str, ...] = (*_CENTRE, *(f"{s}_{j}" for s in ("left", "right") for j in _SIDED))
"""Joints that a file must have; ``thorax`` is the base of the neck, ``head`` that of the skull."""

OPTIONAL_ROLES: tuple[str, ...] = ("left_toe", "right_toe")
"""The ball of the foot; without it the end of the foot's own bone is taken."""


_TOES = ("@toebase", "@toe", "@toes")


def _table(centre: Sequence[str], sided: Sequence[str]) -> dict[str, str]:
    """Names by role; ``@`` stands for the side."""
    table = dict(zip(_CENTRE, centre, strict=True))
    for side in ("left", "right"):
        for role, name in zip(_SIDED, sided, strict=True):
            table[f"{side}_{role}"] = name.replace("@", side)
    return table


_MOTIONBUILDER = ("@upleg", "@leg", "@foot", "@arm", "@forearm", "@hand")
_UNITY = ("@upperleg", "@lowerleg", "@foot", "@upperarm", "@lowerarm", "@hand")
_ANATOMY = ("@hip", "@knee", "@ankle", "@shoulder", "@elbow", "@wrist")
# The first that has all roles is taken: more particular ones stand first.
TABLES: dict[str, dict[str, str]] = {
    # B. Hahne's conversion of the CMU database
    "CMU": _table(("hips", "spine1", "neck1", "head"), _MOTIONBUILDER),
    "Mixamo and LAFAN1": _table(("hips", "spine1", "neck", "head"), _MOTIONBUILDER),
    "one spine": _table(("hips", "spine", "neck", "head"), _MOTIONBUILDER),
    "Unity": _table(("hips", "chest", "neck", "head"), _UNITY),
    "anatomical": _table(("hips", "chest", "neck", "head"), _ANATOMY),
}


def match_names(
    path: Path, names: Sequence[str], mapping: Mapping[str, str] | str | Path | None
) -> dict[str, str]:
    """The file's joint for each role.

    Case, namespaces (``mixamorig:Hips``) and a beginning that all names share (``Model_Hips``) do
    not count.

    Raises
    ------
    FileNotFoundError, ValueError
        If a given mapping is broken or names joints that the file lacks, or no table fits: says
        which roles are open, and how to fill them.
    """
    if mapping is not None:
        return _given(path, names, mapping)
    plain = [name.rpartition(":")[2].lower() for name in names]
    first = plain[0]
    shared = first[: max(first.find("_"), first.find("-")) + 1]
    if not all(name.startswith(shared) for name in plain):
        shared = ""
    by_name = {short[len(shared) :]: name for short, name in zip(plain, names, strict=True)}
    best: dict[str, str] = {}
    for table in TABLES.values():
        found = {role: by_name[name] for role, name in table.items() if name in by_name}
        if len(found) == len(ROLES):
            for side in ("left", "right"):
                toes = [
                    by_name[t.replace("@", side)] for t in _TOES if t.replace("@", side) in by_name
                ]
                found |= {f"{side}_toe": toe for toe in toes[:1]}
            return found
        if len(found) > len(best):
            best = found
    missing = [role for role in ROLES if role not in best]
    raise ValueError(
        f"{path}: no joint recognised for {', '.join(missing)}; its joints are {', '.join(names)}. "
        'Put joints.json beside it, {"hip": "its name", …} for '
        f"{', '.join(ROLES)} and, if there, {', '.join(OPTIONAL_ROLES)}"
    )


def _given(
    path: Path, names: Sequence[str], mapping: Mapping[str, str] | str | Path
) -> dict[str, str]:
    source = "the mapping"
    if isinstance(mapping, str | Path):
        source, mapping = str(mapping), read_json(mapping)
    if not isinstance(mapping, Mapping) or not all(isinstance(v, str) for v in mapping.values()):
        raise ValueError(f"{source}: expected an object of joint names by role")
    try:
        refuse_unknown(mapping, (*ROLES, *OPTIONAL_ROLES), "role")
        refuse_unknown(mapping.values(), names, f"joint of {path.name}")
    except ValueError as error:
        raise ValueError(f"{path}: {source}: {error}") from error
    if missing := [role for role in ROLES if role not in mapping]:
        raise ValueError(f"{path}: {source}: names no joint for {', '.join(missing)}")
    return dict(mapping)


__all__ = ["OPTIONAL_ROLES", "ROLES", "TABLES", "match_names"]
