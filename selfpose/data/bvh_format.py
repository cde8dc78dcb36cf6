"""BVH files: the hierarchy, the channels over time, and where they put every joint.

A joint's turn is the product of its channels' turns as they are listed, the first outermost;
position channels replace its offset. Format: M. Meredith and S. Maddock, "Motion capture file
formats explained", University of Sheffield, 2001.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")


@dataclass(frozen=True, kw_only=True)
class BvhJoint:
    """One joint, or the ``End Site`` of one, named ``JOINT.end``.

    Parameters
    ----------
    name
        As the file has it.
    parent
        Index among the joints; -1 for the root.
    offset
        From the parent in the rest pose, units of the file.
    channels
        Such as ``Xposition`` and ``Zrotation``, in the order of the frames' values.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BvhMotion:
    """A BVH file.

    Parameters
    ----------
    path
        The file.
    joints
        Parents before children.
    values
        (T, C) float64 channel values of all joints in turn; units of the file, and degrees.
    frame_time
        Seconds from a frame to the next.
    """

    path: Path
    joints: tuple[BvhJoint, ...]
    values: NDArray[np.float64] = field(repr=False)
    frame_time: float

    def __len__(self) -> int:
        return len(self.values)


def read_bvh(path: str | Path) -> BvhMotion:
    """Read a BVH file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole BVH motion; names the file, the line and the fault.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    # Latin-1 decodes any byte: stray ones in names do no harm, others fail as bad numbers
    lines = path.read_text(encoding="latin-1").splitlines()
    words = [(i, line.split()) for i, line in enumerate(lines, start=1) if line.strip()]
    split = next((k for k, (_, w) in enumerate(words) if w[0].upper() == "MOTION"), None)
    if not words or words[0][1][0].upper() != "HIERARCHY":
        raise ValueError(f"{path}: not a BVH motion: it does not begin with HIERARCHY")
    if split is None:
        raise ValueError(f"{path}: has no MOTION part; the file is cut short")
    joints = _hierarchy(path, words[1:split])
    return _motion(path, joints, words[split + 1 :])


def joint_transforms(
    motion: BvhMotion,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Forward kinematics: positions (T, J, 3), units of the file, and turns (T, J, 3, 3)."""
    from scipy.spatial.transform import Rotation  # slow to load, and seldom needed

    t = len(motion)
    places = np.zeros((t, len(motion.joints), 3))
    turns = np.zeros((t, len(motion.joints), 3, 3))
    first = 0
    for j, joint in enumerate(motion.joints):
        channels = joint.channels
        values = motion.values[:, first : first + len(channels)]
        first += len(channels)
        local = np.tile(joint.offset, (t, 1))
        for k, channel in enumerate(channels):
            if channel.endswith("position"):
                local[:, "XYZ".index(channel[0])] = values[:, k]
        spun = [k for k, channel in enumerate(channels) if channel.endswith("rotation")]
        turn = np.tile(np.eye(3), (t, 1, 1))
        if spun:
            axes = "".join(channels[k][0] for k in spun)  # capitals: about the turned axes
            turn = Rotation.from_euler(axes, values[:, spun], degrees=True).as_matrix()
        if joint.parent < 0:
            places[:, j], turns[:, j] = local, turn
        else:
            above = turns[:, joint.parent]
            places[:, j] = places[:, joint.parent] + np.einsum("tij,tj->ti", above, local)
            turns[:, j] = above @ turn
    return places, turns


Words = list[tuple[int, list[str]]]


def _hierarchy(path: Path, lines: Words) -> tuple[BvhJoint, ...]:
    joints: list[BvhJoint] = []
    open_joints: list[dict] = []
    pending: dict | None = None
    for number, words in lines:
        where, keyword = f"{path}: line {number}", words[0].upper()
        if keyword in ("ROOT", "JOINT", "END"):
            if len(words) < 2:
                raise ValueError(f"{where}: a joint without a name")
            if pending is not None:
                raise ValueError(f"{where}: expected '{{' after {pending['name']!r}")
            if (keyword == "ROOT") != (not open_joints) or (keyword == "ROOT" and joints):
                raise ValueError(
                    f"{where}: {' '.join(words)} cannot stand here; one ROOT holds all"
                )
            name = " ".join(words[1:])
            if keyword == "END":
                name = f"{open_joints[-1]['name']}.end"
            pending = {"name": name, "end": keyword == "END", "offset": None, "channels": ()}
        elif keyword == "{":
            if pending is None:
                raise ValueError(f"{where}: '{{' without a joint")
            open_joints.append(pending)
            pending = None
        elif keyword == "}":
            if not open_joints or pending is not None:
                raise ValueError(f"{where}: '}}' without its '{{'")
            closed = open_joints.pop()
            if closed["offset"] is None:
                raise ValueError(f"{where}: the joint {closed['name']!r} has no OFFSET")
        elif keyword == "OFFSET" and open_joints and pending is None:
            here = open_joints[-1]
            if here["offset"] is not None:
                raise ValueError(f"{where}: a second OFFSET of {here['name']!r}")
            x, y, z = _numbers(where, words[1:], 3)
            here["offset"], here["index"] = (x, y, z), len(joints)
            parent = open_joints[-2].get("index") if len(open_joints) > 1 else -1
            if parent is None:
                raise ValueError(f"{where}: the joint above {here['name']!r} has no OFFSET yet")
            joints.append(BvhJoint(name=here["name"], parent=parent, offset=(x, y, z), channels=()))
        elif keyword == "CHANNELS" and open_joints and pending is None:
            here = open_joints[-1]
            if here["offset"] is None or here["end"] or here["channels"]:
                raise ValueError(f"{where}: CHANNELS cannot stand here, after OFFSET and once")
            here["channels"] = _channels(where, words[1:])
            old = joints[here["index"]]
            joints[here["index"]] = BvhJoint(
                name=old.name, parent=old.parent, offset=old.offset, channels=here["channels"]
            )
        else:
            raise ValueError(f"{where}: expected a joint, OFFSET or CHANNELS, got {words[0]!r}")
    if open_joints or pending is not None or not joints:
        raise ValueError(f"{path}: the HIERARCHY is not closed; the file is cut short")
    names = [joint.name for joint in joints if not joint.name.endswith(".end")]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: two joints are named {twice[0]!r}")
    return tuple(joints)


def _channels(where: str, words: list[str]) -> tuple[str, ...]:
    known = {channel.lower(): channel for channel in _CHANNELS}
    channels = tuple(known.get(word.lower(), "") for word in words[1:])
    if not words or words[0] != str(len(channels)) or "" in channels:
        raise ValueError(
            f"{where}: expected a count and as many of {' '.join(_CHANNELS)}, got {' '.join(words)}"
        )
    if len(set(channels)) != len(channels):
        raise ValueError(f"{where}: a channel stands there twice: {' '.join(channels)}")
    return channels


def _motion(path: Path, joints: tuple[BvhJoint, ...], lines: Words) -> BvhMotion:
    n_channels = sum(len(joint.channels) for joint in joints)
    head = [" ".join(words).lower() for _, words in lines[:2]]
    if len(head) < 2 or not head[0].startswith("frames:") or not head[1].startswith("frame time:"):
        raise ValueError(f"{path}: MOTION must begin with 'Frames:' and 'Frame Time:'")
    declared = head[0].removeprefix("frames:").strip()
    (frame_time,) = _numbers(f"{path}: Frame Time", [head[1].removeprefix("frame time:")], 1)
    if not declared.isdigit() or int(declared) < 1:
        raise ValueError(f"{path}: 'Frames:' must be a positive number, got {declared!r}")
    if not 0 < frame_time <= 1:
        raise ValueError(f"{path}: 'Frame Time:' must be seconds in 0..1, got {frame_time:g}")
    if n_channels == 0:
        raise ValueError(f"{path}: no joint has channels, so that nothing moves")
    rows = [_numbers(f"{path}: line {i}", words, n_channels) for i, words in lines[2:]]
    if len(rows) != int(declared):
        raise ValueError(
            f"{path}: holds {len(rows)} frames where 'Frames:' says {declared}; the file is cut "
            "short, or the number is wrong"
        )
    return BvhMotion(path=path, joints=joints, values=np.array(rows), frame_time=frame_time)


def _numbers(where: str, words: list[str], count: int) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if len(values) != count:
        raise ValueError(f"{where}: expected {count} numbers, got {len(values)}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{where}: expected finite numbers, got {' '.join(words)[:60]}")
    return values


__all__ = ["BvhJoint", "BvhMotion", "joint_transforms", "read_bvh"]
