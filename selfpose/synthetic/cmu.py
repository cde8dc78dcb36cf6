"""CMU motion capture as a data set: real motion, drawn by the same studio as the embedded data.

From Acclaim files to the figure's points in a world frame (x right, y down, z forward, floor at
y = 0, millimetres). :mod:`selfpose.synthetic.recordings` makes a data set of them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from jaxtyping import Float
from torch import Tensor
from selfpose.data.acclaim import (
    AcclaimMotion,
    AcclaimSkeleton,
    global_transforms,
    read_amc,
    read_asf,
    rest_positions,
)
from selfpose.data.points import FIGURE_POINTS
from selfpose.synthetic.recordings import RecordingFormat, floor_height, load_recordings

ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217."
)
# The end of an Acclaim bone that each point is; the others are built in `motion_to_points`.
BONE_ENDS = {
    "hip": "root",
    "right_hip": "rhipjoint",
    "right_knee": "rfemur",
    "right_ankle": "rtibia",
    "left_hip": "lhipjoint",
    "left_knee": "lfemur",
    "left_ankle": "ltibia",
    "spine": "upperback",
    "thorax": "lowerneck",
    "left_shoulder": "lclavicle",
    "left_elbow": "lhumerus",
    # The Acclaim forearm is two bones, "radius" and then "wrist", whose end is the wrist joint.
    "left_wrist": "lwrist",
    "right_shoulder": "rclavicle",
    "right_elbow": "rhumerus",
    "right_wrist": "rwrist",
    "left_toe": "ltoes",
    "right_toe": "rtoes",
}
CROWN_OF_HEAD_BONE = 0.5  # the head bone ends inside the skull; the crown lies half of it further
NOSE_MM = 110.0  # from the middle of the head to the tip of the nose
HAND_MM = 160.0  # from wrist to finger tips: the Acclaim fingers end at the markers, half-way

_ACTIVITIES_BY_SUBJECT: dict[str, dict[tuple[int, ...], str]] = {
    "01": {tuple(range(1, 13)): "playground"},
    "02": {(1, 2): "walk", (4,): "jump and balance", (6,): "bend and lift", (7, 8, 9): "swordplay"},
    "03": {(1, 2, 3): "uneven terrain"},
}
ACTIVITIES = {
    f"{subject}_{number:02}": activity
    for subject, groups in _ACTIVITIES_BY_SUBJECT.items()
    for numbers, activity in groups.items()
    for number in numbers
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One recording: a motion and the skeleton that it goes with.

    Parameters
    ----------
    name
        The motion's file name without its ending, after the subject if it does not begin with it.
    subject
        The skeleton's file name without its ending: at CMU the subject's number.
    activity
        What the person does, or ``unknown``.
    asf, amc
        The two files.
    """

    name: str
    subject: str
    activity: str
    asf: Path
    amc: Path


def find_trials(folder: str | Path) -> tuple[Trial, ...]:
    """Every trial under a folder, sorted by name; each motion with the skeleton that it needs.

    A motion's skeleton is, in this order: the ASF file beside it that has its name's beginning
    (``02.asf`` for ``02_07.amc``), the only ASF file beside it, the only one anywhere under the
    folder that has its name's beginning.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no ASF or no AMC file.
    ValueError
        If a motion has no skeleton, or two have the same name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; name one with CMU's .asf and .amc files, such as subjects/"
        )
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    skeletons = [path for path in files if path.suffix.lower() == ".asf"]
    motions = [path for path in files if path.suffix.lower() == ".amc"]
    for suffix, found in ((".asf", skeletons), (".amc", motions)):
        if not found:
            raise FileNotFoundError(
                f"{folder}: neither it nor a folder in it holds a {suffix} file; CMU motion "
                "capture needs skeletons (.asf) and motions (.amc)"
            )
    trials: dict[str, Trial] = {}
    for amc in motions:
        asf = _skeleton_of(amc, skeletons)
        if asf is None:
            raise ValueError(
                f"{amc}: no skeleton goes with it; put {amc.stem.split('_')[0]}.asf beside it"
            )
        name = amc.stem if amc.stem.startswith(asf.stem) else f"{asf.stem}/{amc.stem}"
        if name in trials:
            raise ValueError(
                f"two trials are named {name!r}: {trials[name].amc} and {amc}; keep one, so that "
                "no motion is both learnt from and tested on"
            )
        trials[name] = Trial(
            name=name,
            subject=asf.stem,
            activity=ACTIVITIES.get(amc.stem, "unknown"),
            asf=asf,
            amc=amc,
        )
    return tuple(trials[name] for name in sorted(trials))


def _skeleton_of(amc: Path, skeletons: Sequence[Path]) -> Path | None:
    beside = [path for path in skeletons if path.parent == amc.parent]

    def namesakes(paths: Sequence[Path]) -> list[Path]:
        return [path for path in paths if path.stem == amc.stem.split("_")[0]]

    for candidates in (namesakes(beside), beside, namesakes(skeletons)):
        if len(candidates) == 1:
            return candidates[0]
    return None


def motion_to_points(skeleton: AcclaimSkeleton, motion: AcclaimMotion) -> Float[Tensor, "T P 3"]:
    """The figure's points over time, in the world frame but with the laboratory's zero as floor.

    Acclaim's frame (y up, right-handed) becomes x right, y down, z forward by a half-turn about
    x, a proper rotation. The head is the crown; the neck lies half-way from the thorax to it; the
    nose lies in front of the head's middle, where the head bone faces.

    Parameters
    ----------
    skeleton, motion
        As :mod:`selfpose.data.acclaim` reads them.

    Returns
    -------
    (T, 22, 3) float64 millimetres, points in the order of ``FIGURE_POINTS``.

    Raises
    ------
    ValueError
        If the skeleton lacks one of the bones that the points are made of.
    """
    joints = skeleton.joints
    hands = {"left_hand": "lfingers", "right_hand": "rfingers"}
    needed = {*BONE_ENDS.values(), *hands.values(), "upperneck", "head"}
    if missing := sorted(needed - set(joints)):
        raise ValueError(
            f"the skeleton {skeleton.name!r} has no {', '.join(missing)}; expected the bones that "
            "the CMU database names"
        )
    ends, turns = global_transforms(skeleton, motion)

    def end(bone: str) -> Float[Tensor, "T 3"]:
        return ends[:, joints.index(bone)]

    points = {name: end(bone) for name, bone in BONE_ENDS.items()}
    points["head"] = end("head") + CROWN_OF_HEAD_BONE * (end("head") - end("upperneck"))
    points["neck"] = (points["thorax"] + points["head"]) / 2
    middle = (points["neck"] + points["head"]) / 2
    points["nose"] = middle + NOSE_MM * turns[:, joints.index("head")] @ _rest_forward(skeleton)
    for hand, bone in hands.items():
        wrist = points[hand.replace("hand", "wrist")]
        points[hand] = wrist + HAND_MM * torch.nn.functional.normalize(end(bone) - wrist, dim=-1)
    half_turn = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return torch.stack([points[name] for name in FIGURE_POINTS], dim=1) * half_turn


def _rest_forward(skeleton: AcclaimSkeleton) -> Float[Tensor, " 3"]:
    """Where the rest pose looks: left × up, level."""
    rest = rest_positions(skeleton)
    left = rest[skeleton.joints.index("lclavicle")] - rest[skeleton.joints.index("rclavicle")]
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return torch.nn.functional.normalize(torch.linalg.cross(left, up), dim=0)


def read_trial(trial: Trial) -> Float[Tensor, "T P 3"]:
    """The figure's points of a trial: (T, 22, 3) float32 millimetres, 120 frames a second.

    World frame: x right, y down, z forward, floor at y = 0 (see :func:`floor_height`).

    Raises
    ------
    ValueError
        If one of the two files is broken, or they do not go together.
    """
    skeleton = read_asf(trial.asf)
    points = motion_to_points(skeleton, read_amc(trial.amc, skeleton))
    points[..., 1] -= floor_height(points)
    return points.float()


def _digest(trial: Trial) -> str:
    return hashlib.sha256(trial.asf.read_bytes() + trial.amc.read_bytes()).hexdigest()


CMU = RecordingFormat(
    name="cmu",
    find=find_trials,
    read=read_trial,
    digest=_digest,
    facts={
        "source": "CMU Graphics Lab Motion Capture Database",
        "acknowledgement": ACKNOWLEDGEMENT,
    },
)

load_cmu = partial(load_recordings, CMU)
"""CMU motion capture as a data set: :func:`selfpose.synthetic.recordings.load_recordings`."""

__all__ = [
    "ACKNOWLEDGEMENT",
    "ACTIVITIES",
    "CMU",
    "Trial",
    "find_trials",
    "load_cmu",
    "motion_to_points",
    "read_trial",
]
