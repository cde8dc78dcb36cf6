"""Acclaim motion capture: the skeleton (ASF), the motion (AMC), and where they put every joint.

Frame of the files: right-handed, y up; this module keeps it. Lengths become millimetres and angles
radians on reading. Format: J. Lander, "Working with motion capture file formats", Game Developer,
January 1998, and the notes on ASF/AMC of the University of Wisconsin's graphics group.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from jaxtyping import Float
from torch import Tensor

MM_PER_INCH = 25.4
ROOT = "root"
_TRANSLATIONS = ("tx", "ty", "tz")
_ROTATIONS = ("rx", "ry", "rz")


@dataclass(frozen=True, kw_only=True)
class AcclaimBone:
    """One rigid segment of an ASF skeleton.

    Parameters
    ----------
    name
        Its name in the AMC's frames.
    parent
        Index among :attr:`AcclaimSkeleton.joints` of the joint that it starts from.
    direction
        Unit vector along the bone in the rest pose, in the skeleton's global frame.
    length_mm
        Its length.
    axis
        Angles (radians, about x, y, z) of the frame that its degrees of freedom turn about.
    axis_order
        The order in which those three turns are applied, such as ``xyz``.
    dof
        Its degrees of freedom among ``rx ry rz``, in the order of the AMC's values.
    """

    name: str
    parent: int
    direction: tuple[float, float, float]
    length_mm: float
    axis: tuple[float, float, float]
    axis_order: str
    dof: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AcclaimSkeleton:
    """An ASF skeleton; bones stand in an order in which parents come first.

    Parameters
    ----------
    name
        Name of the file without its ending; CMU's are the subject's number.
    bones
        Every bone.
    root_order
        Channels of the root, such as ``tx ty tz rx ry rz``, in the order of the AMC's values.
    root_position
        Offset of the root, millimetres.
    root_orientation
        Orientation of the root's frame (radians, about x, y, z).
    root_axis_order
        The order in which the turns of ``root_orientation`` are applied.
    unit_mm
        Millimetres in one unit of the files.
    degrees
        Whether the ASF states its angles in degrees; an AMC may say otherwise for itself.
    """

    name: str
    bones: tuple[AcclaimBone, ...]
    root_order: tuple[str, ...]
    root_position: tuple[float, float, float]
    root_orientation: tuple[float, float, float]
    root_axis_order: str
    unit_mm: float
    degrees: bool

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
    """An AMC trial: the channels of one skeleton over time.

    Parameters
    ----------
    name
        Name of the file without its ending.
    values
        (T, C) float64, in the order of :attr:`AcclaimSkeleton.channels`; millimetres and radians.
    """

    name: str
    values: Float[Tensor, "T C"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)


def read_asf(path: str | Path) -> AcclaimSkeleton:
    """Read an ASF skeleton.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole, consistent skeleton; names the file, the line where one is at fault,
        and the fault.
    """
    path = Path(path)
    sections = _sections(path)
    for needed in ("units", "root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise ValueError(f"{path}: the section :{needed} is missing; not a whole ASF skeleton")

    units = {words[0].lower(): words[1:] for _, words in sections["units"]}
    length = _numbers(path, "the unit 'length'", units.get("length", []), 1)[0]
    angle = (units.get("angle") or ["deg"])[0].lower()
    if length <= 0:
        raise ValueError(f"{path}: the unit 'length' must be positive, got {length}")
    if angle not in ("deg", "rad"):
        raise ValueError(f"{path}: the unit 'angle' must be deg or rad, got {angle!r}")
    unit_mm = MM_PER_INCH / length
    radians = math.pi / 180 if angle == "deg" else 1.0

    root = {words[0].lower(): words[1:] for _, words in sections["root"]}
    order = tuple(word.lower() for word in root.get("order", []))
    if sorted(order) != sorted(_TRANSLATIONS + _ROTATIONS):
        raise ValueError(f"{path}: the root's order must name TX TY TZ RX RY RZ, got {order}")
    position = _numbers(path, "the root's position", root.get("position", ["0"] * 3), 3)
    orientation = _numbers(path, "the root's orientation", root.get("orientation", ["0"] * 3), 3)
    axis_order = _axis_order(path, ROOT, (root.get("axis") or ["XYZ"])[0])

    found = dict(_bones(path, sections["bonedata"], unit_mm=unit_mm, radians=radians))
    parents = _parents(path, sections["hierarchy"], set(found))
    bones: list[AcclaimBone] = []
    index = {ROOT: 0}
    for name in parents:
        bones.append(AcclaimBone(parent=index[parents[name]], **found[name]))
        index[name] = len(bones)
    return AcclaimSkeleton(
        name=path.stem,
        bones=tuple(bones),
        root_order=order,
        root_position=_triple(x * unit_mm for x in position),
        root_orientation=_triple(x * radians for x in orientation),
        root_axis_order=axis_order,
        unit_mm=unit_mm,
        degrees=angle == "deg",
    )


def read_amc(path: str | Path, skeleton: AcclaimSkeleton) -> AcclaimMotion:
    """Read an AMC trial of a skeleton.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a frame lacks a bone, has one twice or one that the skeleton does not know, or a wrong
        number of values, or a value that is no finite number; if frames do not follow each other;
        if there are none. Names the file, the frame and the fault.
    """
    path = Path(path)
    channels = skeleton.channels
    degrees = skeleton.degrees
    counts = {name: len(dofs) for name, dofs in channels.items()}
    numbers: list[int] = []
    rows: list[list[float]] = []
    frame: dict[str, list[str]] = {}
    number: int | None = None

    def close(*, last: bool) -> None:
        missing = [name for name in channels if name not in frame]
        if missing:
            hint = "; it is the last frame, so the file seems to be cut short" if last else ""
            raise ValueError(
                f"{path}: frame {number}: no values for {', '.join(missing)} of the skeleton "
                f"{skeleton.name!r}{hint}; copy the file again, or check that it goes with it"
            )
        try:
            rows.append([float(word) for name in channels for word in frame[name]])
        except ValueError as error:
            raise ValueError(f"{path}: frame {number}: {error}") from error
        numbers.append(int(number or 0))

    for line, words in _lines(path):
        if words[0].startswith(":"):
            keyword = words[0].lower()
            degrees = {":degrees": True, ":radians": False}.get(keyword, degrees)
        elif len(words) == 1 and words[0].isdigit():
            following = int(words[0])
            if number is not None:
                close(last=False)
                if following != number + 1:
                    raise ValueError(
                        f"{path}: line {line}: frame {following} follows frame {number}; frames "
                        "must be numbered without gaps"
                    )
            number, frame = following, {}
        else:
            name = words[0]
            if number is None:
                raise ValueError(f"{path}: line {line}: expected a frame's number, got {name!r}")
            if name not in counts:
                raise ValueError(
                    f"{path}: frame {number}: bone {name!r} has no degrees of freedom in the "
                    f"skeleton {skeleton.name!r}; the motion belongs to another skeleton"
                )
            if name in frame:
                raise ValueError(f"{path}: frame {number}: bone {name!r} stands there twice")
            if len(words) - 1 != counts[name]:
                raise ValueError(
                    f"{path}: frame {number}: bone {name!r}: expected {counts[name]} values "
                    f"({' '.join(channels[name])}), got {len(words) - 1}; the file is cut short "
                    "or belongs to another skeleton"
                )
            frame[name] = words[1:]
    if number is None:
        raise ValueError(f"{path}: holds no frame; not an AMC motion, or an empty one")
    close(last=True)

    radians = math.pi / 180 if degrees else 1.0
    factors = [
        skeleton.unit_mm if dof in _TRANSLATIONS else radians
        for dofs in channels.values()
        for dof in dofs
    ]
    values = torch.tensor(rows, dtype=torch.float64)
    if len(bad := (~values.isfinite()).nonzero()):
        row, column = bad[0].tolist()
        owners = [name for name, count in counts.items() for _ in range(count)]
        raise ValueError(
            f"{path}: frame {numbers[row]}: bone {owners[column]!r}: values must be finite "
            f"numbers, got {rows[row][column]}"
        )
    values = values * torch.tensor(factors, dtype=torch.float64)
    return AcclaimMotion(name=path.stem, values=values)


def global_transforms(
    skeleton: AcclaimSkeleton, motion: AcclaimMotion
) -> tuple[Float[Tensor, "T B 3"], Float[Tensor, "T B 3 3"]]:
    """Forward kinematics: positions of the joints, and the turn of each from the rest pose.

    A bone turns by C M C⁻¹ relative to its parent, where C is the turn of its axis and M the
    product of its degrees of freedom; the far end of the bone is its start plus the turned
    ``direction × length``.

    Returns
    -------
    positions
        (T, B, 3) float64 millimetres, y up, of the root and the far end of every bone, in the
        order of :attr:`AcclaimSkeleton.joints`.
    rotations
        (T, B, 3, 3) global rotations from the rest pose; the root's first.
    """
    widths = [len(dofs) for dofs in skeleton.channels.values()]
    if motion.values.shape[1] != sum(widths):
        raise ValueError(
            f"the motion {motion.name!r} has {motion.values.shape[1]} channels, the skeleton "
            f"{skeleton.name!r} {sum(widths)}; read the motion with its own skeleton"
        )
    values = dict(zip(skeleton.channels, motion.values.split(widths, dim=1), strict=True))

    columns = dict(zip(skeleton.root_order, values[ROOT].unbind(1), strict=True))
    turn = _turn(skeleton.root_order, values[ROOT])
    frame = _constant_turn(skeleton.root_axis_order, skeleton.root_orientation)
    rotations = [frame @ turn]
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


def forward_kinematics(skeleton: AcclaimSkeleton, motion: AcclaimMotion) -> Float[Tensor, "T B 3"]:
    """(T, B, 3) float64 millimetres, y up: where the root and the far end of every bone are.

    The joints stand in the order of :attr:`AcclaimSkeleton.joints`; see :func:`global_transforms`.
    """
    return global_transforms(skeleton, motion)[0]


def rest_positions(skeleton: AcclaimSkeleton) -> Float[Tensor, "B 3"]:
    """(B, 3) float64 millimetres, y up: the joints with every degree of freedom at zero."""
    channels = sum(len(dofs) for dofs in skeleton.channels.values())
    still = AcclaimMotion(name="rest", values=torch.zeros(1, channels, dtype=torch.float64))
    return forward_kinematics(skeleton, still)[0]


def _turn(dofs: tuple[str, ...], values: Float[Tensor, "T D"]) -> Float[Tensor, "T 3 3"]:
    """Product of the turns among ``dofs``; the first named is applied first."""
    result = torch.eye(3, dtype=torch.float64).expand(len(values), 3, 3)
    for dof, angle in zip(dofs, values.unbind(1), strict=True):
        if dof in _ROTATIONS:
            result = _axis_turn(dof[1], angle) @ result
    return result


def _constant_turn(order: str, angles: tuple[float, float, float]) -> Float[Tensor, "3 3"]:
    by_axis = dict(zip("xyz", angles, strict=True))
    values = torch.tensor([[by_axis[axis] for axis in order]], dtype=torch.float64)
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


Words = list[tuple[int, list[str]]]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that say something, as (number, words), without comments."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    # Latin-1 decodes any byte: stray ones in comments do no harm, others fail as bad numbers.
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, start=1):
            words = (line.partition("#")[0] if "#" in line else line).split()
            if words:
                yield number, words


def _sections(path: Path) -> dict[str, Words]:
    """Lines of an ASF by section; what follows a keyword on its own line is the first of them."""
    sections: dict[str, Words] = {}
    current: Words | None = None
    for number, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if current is None:
            raise ValueError(f"{path}: line {number}: expected a section such as :units")
        if words:
            current.append((number, words))
    return sections


def _bones(
    path: Path, lines: Words, *, unit_mm: float, radians: float
) -> Iterator[tuple[str, dict]]:
    """Each bone's fields, the parent left out: the hierarchy tells it."""
    seen: set[str] = set()
    block: dict[str, list[str]] | None = None
    for number, words in lines:
        keyword = words[0].lower()
        if keyword == "begin":
            if block is not None:
                raise ValueError(f"{path}: line {number}: a bone begins before the last one's end")
            block = {}
        elif block is None:
            raise ValueError(f"{path}: line {number}: expected 'begin', got {words[0]!r}")
        elif keyword == "end":
            name, fields = _bone(path, number, block, unit_mm=unit_mm, radians=radians)
            if name in seen or name == ROOT:
                raise ValueError(f"{path}: line {number}: a second bone is named {name!r}")
            seen.add(name)
            yield name, fields
            block = None
        elif not keyword.startswith("("):  # further limits, which nothing here needs
            block[keyword] = words[1:]
    if block is not None:
        raise ValueError(f"{path}: the last bone has no 'end'; the file seems to be cut short")


def _bone(
    path: Path, line: int, block: dict[str, list[str]], *, unit_mm: float, radians: float
) -> tuple[str, dict]:
    if not block.get("name"):
        raise ValueError(f"{path}: line {line}: the bone that ends here has no name")
    name = block["name"][0]
    what = f"bone {name!r}"
    direction = _numbers(path, f"{what}: direction", block.get("direction", []), 3)
    length = _numbers(path, f"{what}: length", block.get("length", []), 1)[0]
    axis = block.get("axis", ["0", "0", "0", "XYZ"])
    angles = _numbers(path, f"{what}: axis", axis[:3], 3)
    order = _axis_order(path, what, axis[3] if len(axis) > 3 else "XYZ")
    dof = tuple(word.lower() for word in block.get("dof", []))
    if not set(dof) <= set(_ROTATIONS) or len(set(dof)) != len(dof):
        raise ValueError(f"{path}: {what}: dof must be among rx ry rz, each once, got {dof}")
    size = math.hypot(*direction)
    if length < 0 or (size == 0 and length > 0):
        raise ValueError(
            f"{path}: {what}: needs a direction and a length that is not negative, got "
            f"{direction} and {length}"
        )
    return name, {
        "name": name,
        "direction": _triple(x / (size or 1.0) for x in direction),
        "length_mm": length * unit_mm,
        "axis": _triple(x * radians for x in angles),
        "axis_order": order,
        "dof": dof,
    }


def _parents(path: Path, lines: Words, bones: set[str]) -> dict[str, str]:
    """Parent of each bone, in an order in which parents come first."""
    parents: dict[str, str] = {}
    for number, (parent, *children) in lines:
        if not children:  # begin, end
            continue
        for name in (parent, *children):
            if name not in bones and name != ROOT:
                raise ValueError(f"{path}: line {number}: the hierarchy names no bone of {name!r}")
        for child in children:
            if child in parents or child == ROOT:
                raise ValueError(f"{path}: line {number}: {child!r} has a second parent")
            parents[child] = parent
    ordered: dict[str, str] = {}
    reached = {ROOT}
    while grown := [c for c, p in parents.items() if p in reached and c not in reached]:
        ordered |= {child: parents[child] for child in grown}
        reached |= set(grown)
    if lost := sorted(bones - reached):
        raise ValueError(f"{path}: the hierarchy does not lead from the root to {', '.join(lost)}")
    return ordered


def _axis_order(path: Path, what: str, word: str) -> str:
    order = word.lower()
    if sorted(order) != ["x", "y", "z"]:
        raise ValueError(f"{path}: {what}: axis order must be like XYZ, got {word!r}")
    return order


def _numbers(path: Path, what: str, words: list[str], count: int) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{path}: {what}: {error}") from error
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{path}: {what}: expected {count} finite numbers, got {words}")
    return values


def _triple(values: Iterator[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


__all__ = [
    "AcclaimBone",
    "AcclaimMotion",
    "AcclaimSkeleton",
    "forward_kinematics",
    "global_transforms",
    "read_amc",
    "read_asf",
    "rest_positions",
]
