"""Acclaim motion capture: the skeleton (ASF), the motion (AMC), and where they put every joint.

Frame of the files: right-handed, y up; this module keeps it. Lengths become millimetres and angles
radians on reading. Format: J. Lander, "Working with motion capture file formats", Game Developer,
January 1998, and the notes on ASF/AMC of the University of Wisconsin's graphics group.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MM_PER_INCH = 25.4
ROOT = "root"
_TRANSLATIONS = ("tx", "ty", "tz")
_ROTATIONS = ("rx", "ry", "rz")

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class AcclaimBone:
    """One rigid segment of an ASF skeleton; it starts from the joint number ``parent``."""

    name: str
    parent: int
    direction: Triple  # unit vector in the rest pose, global frame
    length_mm: float
    axis: Triple  # radians, about x, y, z: the frame that its degrees of freedom turn about
    axis_order: str  # in which those three turns are applied: "xyz"
    dof: tuple[str, ...]  # among rx ry rz, in the order of the AMC's values


@dataclass(frozen=True, kw_only=True)
class AcclaimSkeleton:
    """An ASF skeleton; bones stand in an order in which parents come first."""

    name: str  # of the file without its ending: CMU's are the subject's number
    bones: tuple[AcclaimBone, ...]
    root_order: tuple[str, ...]  # channels of the root, in the order of the AMC's values
    root_position: Triple  # mm
    root_orientation: Triple  # radians, about x, y, z
    root_axis_order: str
    unit_mm: float
    degrees: bool  # of the ASF's angles; an AMC may say otherwise for itself

    @property
    def joints(self) -> tuple[str, ...]:
        """The root, then the far end of every bone under the bone's name."""
        return (ROOT, *(bone.name for bone in self.bones))

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Degrees of freedom of the root and of every bone that has some."""
        return {ROOT: self.root_order} | {b.name: b.dof for b in self.bones if b.dof}


@dataclass(frozen=True, kw_only=True)
class AcclaimMotion:
    """An AMC clip: the channels of one skeleton over time, in their order; mm and radians."""

    name: str
    values: Float[Tensor, "T C"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Read an ASF skeleton; ``ValueError`` names the file and the fault."""
    path = Path(path)
    try:
        sections = _sections(path)
        units, root = _fields(sections["units"]), _fields(sections["root"])
        unit_mm = MM_PER_INCH / float(units["length"][0])
        degrees = (units.get("angle") or ["deg"])[0].lower() == "deg"
        radians = math.pi / 180 if degrees else 1.0
        found = _read_bones(sections["bonedata"], unit_mm=unit_mm, radians=radians)
        bones: list[AcclaimBone] = []
        index = {ROOT: 0}
        for name, parent in _parents(sections["hierarchy"], set(found)).items():
            bones.append(AcclaimBone(parent=index[parent], **found[name]))
            index[name] = len(bones)
        return AcclaimSkeleton(
            name=path.stem,
            bones=tuple(bones),
            root_order=tuple(word.lower() for word in root["order"]),
            root_position=_triple(root.get("position", "000"), unit_mm),
            root_orientation=_triple(root.get("orientation", "000"), radians),
            root_axis_order=(root.get("axis") or ["XYZ"])[0].lower(),
            unit_mm=unit_mm,
            degrees=degrees,
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: not a whole ASF skeleton ({error!r})") from error


def read_amc(path: str | Path, skeleton: AcclaimSkeleton) -> AcclaimMotion:
    """Read an AMC motion of a skeleton; ``ValueError`` names the file, the frame and the fault."""
    path = Path(path)
    channels = skeleton.channels
    widths = {name: len(dofs) for name, dofs in channels.items()}
    degrees = skeleton.degrees
    frames: list[dict[str, list[float]]] = []
    for line, words in _lines(path):
        if words[0].startswith(":"):
            degrees = {":degrees": True, ":radians": False}.get(words[0].lower(), degrees)
        elif len(words) == 1 and words[0].isdigit():
            frames.append({})
        else:
            try:
                frames[-1][words[0]] = [float(word) for word in words[1:]]
            except (IndexError, ValueError) as error:
                raise ValueError(f"{path}: line {line}: not an AMC motion ({error})") from error
    if not frames:
        raise ValueError(f"{path}: holds no frame; not an AMC motion, or an empty one")
    for number, frame in enumerate(frames, start=1):
        if wrong := [n for n in {**widths, **frame} if len(frame.get(n, ())) != widths.get(n)]:
            raise ValueError(
                f"{path}: frame {number}: bone {wrong[0]!r} has {len(frame.get(wrong[0], ()))} "
                f"values, the skeleton {skeleton.name!r} {widths.get(wrong[0], 'no such bone')}; "
                "the file is cut short or belongs to another skeleton"
            )
    radians = math.pi / 180 if degrees else 1.0
    factors = [
        skeleton.unit_mm if dof in _TRANSLATIONS else radians
        for dofs in channels.values()
        for dof in dofs
    ]
    rows = [[value for name in channels for value in frame[name]] for frame in frames]
    values = torch.tensor(rows, dtype=torch.float64) * torch.tensor(factors, dtype=torch.float64)
    return AcclaimMotion(name=path.stem, values=values)


def global_transforms(
    skeleton: AcclaimSkeleton, motion: AcclaimMotion
) -> tuple[Float[Tensor, "T B 3"], Float[Tensor, "T B 3 3"]]:
    """Forward kinematics: positions of the joints, and the turn of each from the rest pose.

    A bone turns by C M C⁻¹ relative to its parent, where C is the turn of its axis and M the
    product of its degrees of freedom; the far end of the bone is its start plus the turned
    ``direction × length``.

    Positions are mm, y up, of the root and the far end of every bone, in the order of
    :attr:`AcclaimSkeleton.joints`; rotations are global, the root's first.
    """
    widths = [len(dofs) for dofs in skeleton.channels.values()]
    values = dict(zip(skeleton.channels, motion.values.split(widths, dim=1), strict=True))
    columns = dict(zip(skeleton.root_order, values[ROOT].unbind(1), strict=True))
    frame = _constant_turn(skeleton.root_axis_order, skeleton.root_orientation)
    rotations = [frame @ _turn(skeleton.root_order, values[ROOT])]
    offset = torch.tensor(skeleton.root_position, dtype=torch.float64)
    positions = [torch.stack([columns[t] for t in _TRANSLATIONS], dim=1) + offset]
    for bone in skeleton.bones:
        rotation = rotations[bone.parent]
        if bone.dof:
            frame = _constant_turn(bone.axis_order, bone.axis)
            rotation = rotation @ frame @ _turn(bone.dof, values[bone.name]) @ frame.mT
        along = torch.tensor(bone.direction, dtype=torch.float64) * bone.length_mm
        rotations.append(rotation)
        positions.append(positions[bone.parent] + rotation @ along)
    return torch.stack(positions, dim=1), torch.stack(rotations, dim=1)


def rest_positions(skeleton: AcclaimSkeleton) -> Float[Tensor, "B 3"]:
    """(B, 3) float64 millimetres, y up: the joints with every degree of freedom at zero."""
    channels = sum(len(dofs) for dofs in skeleton.channels.values())
    still = AcclaimMotion(name="rest", values=torch.zeros(1, channels, dtype=torch.float64))
    return global_transforms(skeleton, still)[0][0]


def _turn(dofs: tuple[str, ...], values: Float[Tensor, "T D"]) -> Float[Tensor, "T 3 3"]:
    """Product of the turns among ``dofs``; the first named is applied first."""
    result = torch.eye(3, dtype=torch.float64).expand(len(values), 3, 3)
    for dof, angle in zip(dofs, values.unbind(1), strict=True):
        if dof in _ROTATIONS:
            result = _axis_turn(dof[1], angle) @ result
    return result


def _constant_turn(order: str, angles: Triple) -> Float[Tensor, "3 3"]:
    values = torch.tensor([[angles["xyz".index(axis)] for axis in order]], dtype=torch.float64)
    return _turn(tuple("r" + axis for axis in order), values)[0]


def _axis_turn(axis: str, angle: Float[Tensor, " T"]) -> Float[Tensor, "T 3 3"]:
    """Right-handed turn about a coordinate axis."""
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    result = torch.zeros(len(angle), 3, 3, dtype=angle.dtype)
    result[:, i, i] = 1
    result[:, j, j] = result[:, k, k] = angle.cos()
    result[:, k, j] = angle.sin()
    result[:, j, k] = -angle.sin()
    return result


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that say something, as (number, words), without comments."""
    # Latin-1 decodes any byte: stray ones in comments do no harm, others fail as bad numbers.
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, start=1):
            if words := line.partition("#")[0].split():
                yield number, words


def _sections(path: Path) -> dict[str, list[list[str]]]:
    """Lines of an ASF by section; what follows a keyword on its own line is the first of them."""
    sections: dict[str, list[list[str]]] = {"": []}
    current = sections[""]
    for _, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if words:
            current.append(words)
    return sections


def _fields(lines: Iterable[list[str]]) -> dict[str, list[str]]:
    return {words[0].lower(): words[1:] for words in lines}


def _read_bones(lines: list[list[str]], *, unit_mm: float, radians: float) -> dict[str, Any]:
    """Fields of :class:`AcclaimBone` by name, the parent left out: the hierarchy tells it."""
    bones = {}
    starts = [k for k, words in enumerate(lines) if words[0].lower() == "begin"]
    for start, stop in zip(starts, [*starts[1:], None], strict=True):
        block = _fields(lines[start:stop])
        name, *_ = block["name"]
        x, y, z = _triple(block["direction"])
        size = math.hypot(x, y, z) or 1.0
        axis = block.get("axis", ["0", "0", "0"])
        dof = tuple(word.lower() for word in block.get("dof", []))
        if not set(dof) <= set(_ROTATIONS):
            raise ValueError(f"bone {name!r}: dof must be among rx ry rz, got {dof}")
        bones[name] = {
            "name": name,
            "direction": (x / size, y / size, z / size),
            "length_mm": float(block["length"][0]) * unit_mm,
            "axis": _triple(axis[:3], radians),
            "axis_order": (axis[3:] or ["XYZ"])[0].lower(),
            "dof": dof,
        }
    return bones


def _parents(lines: list[list[str]], bones: set[str]) -> dict[str, str]:
    """Parent of each bone, in an order in which parents come first."""
    parents = {child: parent for parent, *children in lines for child in children}
    ordered: dict[str, str] = {}
    while grown := [c for c, p in parents.items() if p in {ROOT, *ordered} and c not in ordered]:
        ordered |= {child: parents[child] for child in grown}
    if lost := sorted(bones - set(ordered)):
        raise ValueError(f"the hierarchy does not lead from the root to {', '.join(lost)}")
    return ordered


def _triple(words: Iterable[str], factor: float = 1.0) -> Triple:
    x, y, z = (float(word) for word in words)
    return x * factor, y * factor, z * factor
