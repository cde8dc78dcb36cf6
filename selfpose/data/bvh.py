"""BVH motion of people as a data set: from a file's joints to the points of a drawn person.

Frame of the files: right-handed, y up, or z up, which is recognised. Names of joints and the unit
of length are recognised too; where they are not, a file ``joints.json`` beside the motions, or in a
folder above, says them: an object of the file's joint for each of ``bvh_names.ROLES``, ``unit_mm``,
or both.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from selfpose._typing import Float, Tensor
from selfpose.data.bvh_format import BvhJoint, BvhMotion, joint_transforms, read_bvh
from selfpose.data.bvh_names import ROLES, match_names
from selfpose.data.cmu import CROWN_OF_HEAD_BONE, HAND_MM, NOSE_MM
from selfpose.data.points import FIGURE_POINTS
from selfpose.data.recordings import (
    FRAMES_PER_SECOND,
    RecordingFormat,
    floor_height,
    load_recordings,
)
from selfpose.data.tables import read_json

UNITS_MM = {"mm": 1.0, "cm": 10.0, "inch": 25.4, "CMU's unit": 25.4 / 0.45, "m": 1000.0}
"""Lengths that exporters count in, millimetres; CMU's is that of its Acclaim files."""

JOINTS_FILE = "joints.json"
_LEG_MM = (600.0, 1150.0)  # hip to knee to ankle, from children to tall people
_SKULL_MM = 190.0  # from the head's joint to the crown, where the file has no end of the head


@dataclass(frozen=True, kw_only=True)
class BvhTrial:
    """One recording.

    Parameters
    ----------
    name
        Path from the folder of all, without its ending.
    subject, activity
        From names as LAFAN1's (``walk1_subject5``) and CMU's (``02_01``); otherwise the folder's
        name and ``unknown``.
    path
        The file.
    joints
        The ``joints.json`` that goes with it, if there is one.
    """

    name: str
    subject: str
    activity: str
    path: Path
    joints: Path | None = None


def find_trials(folder: str | Path) -> tuple[BvhTrial, ...]:
    """Every BVH file under a folder, sorted by name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no BVH file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; name one with .bvh files")
    trials = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() != ".bvh" or path.name.startswith(".") or not path.is_file():
            continue
        subject, activity = path.parent.name, "unknown"
        if match := re.fullmatch(r"(.+?)\d*_(subject\d+)", path.stem):
            activity, subject = match.groups()
        elif match := re.fullmatch(r"(\d+)_\d+", path.stem):
            subject = match[1]
        above = [path.parent, *path.parent.parents]
        above = above[: above.index(folder) + 1]
        joints = [p / JOINTS_FILE for p in above if (p / JOINTS_FILE).is_file()]
        trials.append(
            BvhTrial(
                name=path.relative_to(folder).with_suffix("").as_posix(),
                subject=subject,
                activity=activity,
                path=path,
                joints=joints[0] if joints else None,
            )
        )
    if not trials:
        raise FileNotFoundError(f"{folder}: neither it nor a folder in it holds a .bvh file")
    return tuple(trials)


def read_trial(trial: BvhTrial) -> Float[Tensor, "T P 3"]:
    """The figure's points of a trial: see :func:`read_bvh_points`.

    Raises
    ------
    ValueError
        If the file or its ``joints.json`` is broken, or they do not go together.
    """
    if trial.joints is None:
        return read_bvh_points(trial.path)
    options = read_json(trial.joints)
    if not isinstance(options, dict):
        raise ValueError(f"{trial.joints}: expected an object of joint names by role")
    unit = options.pop("unit_mm", None)
    if unit is not None and type(unit) not in (int, float):
        raise ValueError(f"{trial.joints}: unit_mm must be a number, got {unit!r}")
    try:
        return read_bvh_points(trial.path, mapping=options or None, unit_mm=unit)
    except ValueError as error:
        raise ValueError(f"{error} ({trial.joints})") from error


def bvh_to_figure_points(
    motion: BvhMotion,
    *,
    mapping: Mapping[str, str] | str | Path | None = None,
    unit_mm: int | float | None = None,
) -> Float[Tensor, "T P 3"]:
    """The points of a drawn person over time: x right, y down, z forward, the file's own zero.

    The head is the crown, the neck half-way from thorax to crown, the nose in front of the head's
    middle, where the head faces; toes are the ends of the feet, hands 160 mm beyond the wrists.

    Parameters
    ----------
    motion
        As :func:`read_bvh` gives it.
    mapping
        The file's joint for each of ``bvh_names.ROLES``, or a JSON file with that; ``None``:
        recognised among the names that exporters use.
    unit_mm
        Millimetres in one unit of the file; ``None``: told by the length of the legs.

    Returns
    -------
    (T, 22, 3) float64 millimetres, points in the order of ``FIGURE_POINTS``.

    Raises
    ------
    ValueError
        If names are not recognised, legs are not as long as people's in any unit, or feet point
        backwards (left and right exchanged).
    """
    path = motion.path
    names = [joint.name for joint in motion.joints]
    found = match_names(path, [n for n in names if not n.endswith(".end")], mapping)
    at = {role: names.index(name) for role, name in found.items()}
    places, turns = joint_transforms(motion)
    rest, _ = joint_transforms(_at_rest(motion))
    scale = _unit(path, places, at) if unit_mm is None else float(unit_mm)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"{path}: unit_mm must be a positive number, got {unit_mm}")
    places, rest = places * scale, rest[0] * scale

    points = {role: places[:, at[role]] for role in ROLES}
    up = _unit_vectors(rest[at["thorax"]] - rest[at["hip"]])
    left = rest[at["left_shoulder"]] - rest[at["right_shoulder"]]
    forward = _unit_vectors(np.cross(left, up))
    head, facing = points["head"], turns[:, at["head"]]
    tip = _tip(motion, places, at["head"])
    if tip is None:
        points["head"] = head + _SKULL_MM * facing @ up
    elif found["thorax"].lower().endswith("neck1"):  # CMU's head bone ends inside the skull
        points["head"] = tip + CROWN_OF_HEAD_BONE * (tip - head)
    else:
        points["head"] = tip
    points["neck"] = (points["thorax"] + points["head"]) / 2
    points["nose"] = (points["neck"] + points["head"]) / 2 + NOSE_MM * facing @ forward
    for side in ("left", "right"):
        wrist, ankle = points[f"{side}_wrist"], at[f"{side}_ankle"]
        beyond = _tip(motion, places, at[f"{side}_wrist"])
        ahead = wrist - points[f"{side}_elbow"] if beyond is None else beyond - wrist
        points[f"{side}_hand"] = wrist + HAND_MM * _unit_vectors(ahead)
        toe_joint = at.get(f"{side}_toe")
        toe = _tip(motion, places, ankle if toe_joint is None else toe_joint)
        if toe is None:
            if toe_joint is None:
                raise ValueError(
                    f"{path}: the foot {found[f'{side}_ankle']!r} ends at the ankle; name its toe "
                    f"as {side}_toe in the mapping"
                )
            toe = places[:, toe_joint]
        points[f"{side}_toe"] = toe
    stacked = np.stack([points[name] for name in FIGURE_POINTS], axis=1)
    _check_feet(path, points)
    upright = _y_up(stacked) * [1.0, -1.0, -1.0]  # a half-turn about x
    return torch.from_numpy(np.ascontiguousarray(upright))


def read_bvh_points(
    path: str | Path,
    *,
    mapping: Mapping[str, str] | str | Path | None = None,
    unit_mm: int | float | None = None,
) -> Float[Tensor, "T P 3"]:
    """A file as :func:`selfpose.data.cmu.read_trial` gives a trial of CMU's.

    Returns
    -------
    (T, 22, 3) float32 millimetres, world frame with the floor at y = 0, 120 frames a second: each
    is the nearest frame of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_bvh` and :func:`bvh_to_figure_points`.
    """
    motion = read_bvh(path)
    points = bvh_to_figure_points(motion, mapping=mapping, unit_mm=unit_mm)
    n = max(1, round(len(motion) * motion.frame_time * FRAMES_PER_SECOND))
    nearest = (torch.arange(n) / (motion.frame_time * FRAMES_PER_SECOND)).round().long()
    points = points[nearest.clamp(max=len(motion) - 1)]
    feet = [i for i, name in enumerate(FIGURE_POINTS) if name.endswith(("toe", "ankle"))]
    # Files put their zero where they like: first roughly, for `floor_height` trusts a laboratory's
    points[..., 1] -= points[:, feet, 1].amax(dim=1).median()
    points[..., 1] -= floor_height(points)
    return points.float()


def _unit(path: Path, places: NDArray[np.float64], at: Mapping[str, int]) -> float:
    """Millimetres in a unit: the one by which legs are as long as people's."""
    legs = [
        np.linalg.norm(places[0, at[f"{side}_{a}"]] - places[0, at[f"{side}_{b}"]])
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    leg = float(sum(legs)) / 2
    for factor in UNITS_MM.values():
        if _LEG_MM[0] <= leg * factor <= _LEG_MM[1]:
            return factor
    raise ValueError(
        f"{path}: legs are {leg:.4g} units long, hip to knee to ankle, which no unit "
        f"({', '.join(UNITS_MM)}) makes a person's {_LEG_MM[0]:g}..{_LEG_MM[1]:g} mm; "
        f"give unit_mm in {JOINTS_FILE}"
    )


def _tip(motion: BvhMotion, places: NDArray[np.float64], joint: int) -> NDArray[np.float64] | None:
    """Mean place of a joint's children, thumbs left out; ``None`` where all lie in the joint."""
    children = [
        j
        for j, child in enumerate(motion.joints)
        if child.parent == joint and any(child.offset) and "thumb" not in child.name.lower()
    ]
    return places[:, children].mean(axis=1) if children else None


def _check_feet(path: Path, points: Mapping[str, NDArray[np.float64]]) -> None:
    """Feet point to where left × up does, in any frame that is right-handed."""
    up = points["thorax"] - points["hip"]
    ahead = np.cross(points["left_hip"] - points["right_hip"], up)
    feet = sum(points[f"{s}_toe"] - points[f"{s}_ankle"] for s in ("left", "right"))
    if (np.sum(ahead * feet, axis=-1) > 0).mean() < 0.3:
        raise ValueError(
            f"{path}: feet point backwards: left and right are exchanged, or an axis is mirrored"
        )


def _y_up(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, P, 3), y or z up → y up. z is up where trunks stand along it, level in it."""
    at = FIGURE_POINTS.index
    x, y, z = _unit_vectors((points[:, at("thorax")] - points[:, at("hip")]).mean(axis=0))
    lowest = points.min(axis=1).std(axis=0)
    if z > 0.8 and abs(y) < 0.5 and abs(x) < 0.5 and lowest[2] <= lowest[1] + 1:
        return points[..., [0, 2, 1]] * [1.0, 1.0, -1.0]
    return points


def _unit_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(size, 1e-9)


def _at_rest(motion: BvhMotion) -> BvhMotion:
    """One frame of the hierarchy's offsets, unturned."""
    joints = tuple(
        BvhJoint(name=j.name, parent=j.parent, offset=j.offset, channels=()) for j in motion.joints
    )
    return BvhMotion(
        path=motion.path, joints=joints, values=np.zeros((1, 0)), frame_time=motion.frame_time
    )


def _digest(trial: BvhTrial) -> str:
    beside = b"" if trial.joints is None else trial.joints.read_bytes()
    return hashlib.sha256(trial.path.read_bytes() + beside).hexdigest()


BVH = RecordingFormat(
    name="bvh", find=find_trials, read=read_trial, digest=_digest, facts={"source": "BVH files"}
)

load_bvh = partial(load_recordings, BVH)
"""BVH motion as a data set: :func:`selfpose.data.recordings.load_recordings`."""

__all__ = [
    "BVH",
    "UNITS_MM",
    "BvhTrial",
    "bvh_to_figure_points",
    "find_trials",
    "load_bvh",
    "read_bvh",
    "read_bvh_points",
    "read_trial",
]
