"""Tables of poses as people type or export them (CSV), and JSON files, with one clear error each.

Two shapes of table are read. Long: one row a joint, with the columns ``picture, joint, x, y``.
Wide: one row a pose, with the columns ``JOINT_x, JOINT_y`` for every joint. Both may have ``X, Y,
Z`` (``JOINT_X`` … in the wide one): the joint in three dimensions, millimetres, camera frame. Both
may have ``width, height``: the size, px, of the picture that the pose was measured in.
"""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpose.files import refuse_unknown
from selfpose.skeleton import Skeleton

_DELIMITERS = ",;\t"
_PICTURE = ("picture", "pose")
_SIZE = ("width", "height")
_FLAT = ("x", "y")
_SOLID = ("X", "Y", "Z")


@dataclass(frozen=True, kw_only=True)
class PoseTable:
    """N poses from a table, in the order in which they first appear.

    Parameters
    ----------
    pictures
        N names from the column ``picture`` (or ``pose``); ``""`` where the table has none.
    poses_2d
        (N, J, 2) px, joints in the skeleton's order; NaN where a cell is empty or a row missing.
    poses_3d
        (N, J, 3) mm, camera frame; ``None`` where the table has no ``X, Y, Z``.
    sizes
        (N, 2) width and height, px; ``None`` where the table has none.
    """

    pictures: tuple[str, ...]
    poses_2d: NDArray[np.float64]
    poses_3d: NDArray[np.float64] | None = None
    sizes: NDArray[np.float64] | None = None


def read_json(path: str | Path) -> Any:
    """Any JSON file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a JSON file ({error}); is it cut short, or another format?"
        ) from error


def skeleton_from(what: Skeleton | str | Path) -> Skeleton:
    """A skeleton as it is, by the name of a known body, or from a JSON file.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is neither a known body nor a file with a skeleton.
    """
    if isinstance(what, Skeleton):
        return what
    from selfpose.bodies import BODIES

    if str(what) in BODIES:
        return BODIES[str(what)]
    path = Path(what)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such skeleton file, and no known body ({', '.join(BODIES)})"
        )
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: not a skeleton: expected an object with name, joints, bones, …")
    try:
        skeleton = Skeleton.from_dict(data)
        _check_sides(skeleton)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: not a skeleton: {error}") from error
    return skeleton


def _check_sides(skeleton: Skeleton) -> None:
    """A pair whose names say the contrary of its order would turn left into right everywhere."""
    for left, right in skeleton.mirror_pairs:
        names = (skeleton.joints[left], skeleton.joints[right])
        if "right" in names[0].lower() and "left" in names[1].lower():
            raise ValueError(
                f"mirror_pairs: {list(names)} is the wrong way round; the left joint comes first"
            )


def read_pose_table(path: str | Path, skeleton: Skeleton) -> PoseTable:
    """Read a long or a wide table of poses (see the module) of a body.

    Separated by commas, semicolons or tabs; decimal points. An empty cell or ``nan`` is a joint
    that is not known.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If columns are missing, unknown or there twice, a joint has another name than the
        skeleton's (with the nearest right one), a joint of a picture stands there twice, a cell
        is no finite number, or the table is empty; names the file and the line.
    """
    path = Path(path)
    header, rows = _rows(path)
    if "joint" in header or set(_FLAT) <= set(header):
        return _long(path, header, rows, skeleton)
    return _wide(path, header, rows, skeleton)


Rows = list[tuple[int, list[str]]]


def _rows(path: Path) -> tuple[list[str], Rows]:
    """The header, and every row that is not blank with its line's number."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        # "utf-8-sig": spreadsheets begin their files with a byte order mark
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_DELIMITERS, key=first.count))
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a table in text form, CSV in UTF-8 ({error})") from error
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise ValueError(f"{path}: the table is empty; expected a header and one row or more")
    (_, header), *body = rows
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"{path}: the column {twice[0]!r} stands there twice; name each once")
    for line, row in body:
        if len(row) != len(header):
            raise ValueError(
                f"{path}: line {line}: expected {len(header)} cells as in the header, got "
                f"{len(row)}; is the file cut short, or has a number a decimal comma?"
            )
    if not body:
        raise ValueError(f"{path}: the table has a header but no row")
    return header, body


def _long(path: Path, header: list[str], rows: Rows, skeleton: Skeleton) -> PoseTable:
    _check_columns(path, header, known=(*_PICTURE, "joint", *_FLAT, *_SOLID, *_SIZE))
    named = [name for name in _PICTURE if name in header]
    if missing := [n for n in ("joint", *_FLAT) if n not in header] or (not named and ["picture"]):
        raise ValueError(
            f"{path}: the column {missing[0]!r} is missing; a table with one row a joint needs "
            "picture, joint, x, y"
        )
    column = {name: i for i, name in enumerate(header)}
    solid = _has_solid(path, header, _SOLID)
    sized = _has_size(path, header)
    poses: dict[str, NDArray[np.float64]] = {}
    sizes: dict[str, tuple[float, ...]] = {}
    seen: dict[tuple[str, str], int] = {}
    names = (*_FLAT, *(_SOLID if solid else ()))
    for line, row in rows:
        picture, joint = row[column[named[0]]], row[column["joint"]]
        try:
            refuse_unknown([joint], skeleton.joints, f"joint of {skeleton.name!r}")
        except ValueError as error:
            raise ValueError(f"{path}: line {line}: {error}") from error
        if (picture, joint) in seen:
            raise ValueError(
                f"{path}: line {line}: the joint {joint!r} of {picture!r} stands there twice, "
                f"first in line {seen[picture, joint]}; keep one (one body a picture)"
            )
        seen[picture, joint] = line
        pose = poses.setdefault(picture, np.full((skeleton.n_joints, len(names)), np.nan))
        pose[skeleton.index(joint)] = [_number(path, line, n, row[column[n]]) for n in names]
        if sized:
            size = _size(path, line, row, column)
            if sizes.setdefault(picture, size) != size:
                raise ValueError(
                    f"{path}: line {line}: {picture!r} is {size} px here and {sizes[picture]} px "
                    "above; one picture has one width and height"
                )
    stack = np.stack(list(poses.values()))
    return PoseTable(
        pictures=tuple(poses),
        poses_2d=stack[..., :2],
        poses_3d=stack[..., 2:] if solid else None,
        sizes=np.array([sizes[p] for p in poses]) if sized else None,
    )


def _wide(path: Path, header: list[str], rows: Rows, skeleton: Skeleton) -> PoseTable:
    flat = [f"{joint}_{axis}" for joint in skeleton.joints for axis in _FLAT]
    solid_names = [f"{joint}_{axis}" for joint in skeleton.joints for axis in _SOLID]
    _check_columns(path, header, known=(*flat, *_PICTURE, *_SIZE, *solid_names))
    if missing := [name for name in flat if name not in header]:
        raise ValueError(
            f"{path}: {len(missing)} columns are missing, first {missing[0]!r}; expected JOINT_x "
            f"and JOINT_y for every joint of {skeleton.name!r}: {', '.join(skeleton.joints)}"
        )
    column = {name: i for i, name in enumerate(header)}
    solid = _has_solid(path, header, solid_names)
    sized = _has_size(path, header)
    named = [name for name in _PICTURE if name in header]
    pictures = tuple(row[column[named[0]]] if named else "" for _, row in rows)
    lines: dict[str, int] = {}
    for (line, _), picture in zip(rows, pictures, strict=True):
        if picture and picture in lines:
            raise ValueError(
                f"{path}: line {line}: {picture!r} stands there twice, first in line "
                f"{lines[picture]}; keep one (one body a picture)"
            )
        lines[picture] = line

    def values(names: Sequence[str], axes: int) -> NDArray[np.float64]:
        table = [[_number(path, line, n, row[column[n]]) for n in names] for line, row in rows]
        return np.array(table, dtype=np.float64).reshape(len(rows), skeleton.n_joints, axes)

    return PoseTable(
        pictures=pictures,
        poses_2d=values(flat, 2),
        poses_3d=values(solid_names, 3) if solid else None,
        sizes=np.array([_size(path, line, row, column) for line, row in rows]) if sized else None,
    )


def _check_columns(path: Path, header: list[str], *, known: Sequence[str]) -> None:
    try:
        refuse_unknown(header, known, "column")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _has_solid(path: Path, header: list[str], names: Sequence[str]) -> bool:
    there = [name for name in names if name in header]
    if there and len(there) < len(names):
        missing = next(name for name in names if name not in header)
        raise ValueError(
            f"{path}: the column {missing!r} is missing beside {there[0]!r}; three dimensions need "
            "X, Y and Z of every joint (mm), or none"
        )
    return bool(there)


def _has_size(path: Path, header: list[str]) -> bool:
    there = [name for name in _SIZE if name in header]
    if len(there) == 1:
        raise ValueError(f"{path}: has the column {there[0]!r} alone; give width and height")
    return bool(there)


def _number(path: Path, line: int, name: str, cell: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ValueError(
            f"{path}: line {line}: column {name!r}: expected a finite number with a decimal point, "
            f"or nothing where the joint is not known; got {cell!r}"
        )
    return value


def _size(path: Path, line: int, row: list[str], column: dict[str, int]) -> tuple[float, ...]:
    size = tuple(_number(path, line, name, row[column[name]]) for name in _SIZE)
    if not 0 < min(size) <= max(size) < 1e6:
        raise ValueError(f"{path}: line {line}: width and height must be positive px, got {size}")
    return size


__all__ = ["PoseTable", "read_json", "read_pose_table", "skeleton_from"]
