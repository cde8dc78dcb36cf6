"""Human3.6M: MPJPE, N-MPJPE and P-MPJPE in the variants that papers print under these names.

Subjects S9 and S11 are the test set. Papers differ in the frames (all, or every 64th), in the
average (over frames, or over the 15 actions), in the scale of N-MPJPE, in whether P-MPJPE may
mirror, and in three sequences of S9 whose ground truth does not lie on the person.
"""

import re
from collections.abc import Sequence

import torch

from selfpose import metrics
from jaxtyping import Bool, Float
from torch import Tensor
from selfpose.evaluation.protocols.results import Errors, PoseResults, averages, by_blocks, group_means

BAD_S9 = {
    "Greeting": "Greeting-2",
    "SittingDown 1": "SittingDown-2",
    "Waiting 1": "Waiting-1",
}
"""The three sequences by the names of the source's files → by action and number of the take.

Their ground truth is displaced against the pictures (by some 200 mm). That hardly changes a pose
relative to its root, but it moves the 2D truth and the crop away from the person.
"""


def action_of(sequence: str) -> str:
    """The action that a sequence shows, without the number of the take.

    >>> action_of("SittingDown 1"), action_of("Walking"), action_of("Photo-2")
    ('SittingDown', 'Walking', 'Photo')
    """
    return re.sub(r"[ _-]\d+$", "", sequence)


def is_bad_s9(subject: str, sequence: str) -> bool:
    """Whether this is one of the three, however the sequence is written.

    >>> is_bad_s9("S9", "S9/SittingDown 1/54138969"), is_bad_s9("S9", "S9_Waiting_1.55011271")
    (True, True)
    >>> is_bad_s9("S9", "Greeting 1"), is_bad_s9("S11", "Greeting")
    (False, False)
    """
    parts = [part for part in sequence.split("/") if part not in (subject, "")]
    name = re.sub(r"\.\d+$", "", parts[0]) if parts else ""
    name = name.removeprefix(f"{subject}_").replace("_", " ")
    return subject == "S9" and name in {*BAD_S9, *BAD_S9.values()}


def pose_errors(results: PoseResults) -> Errors:
    """One value a frame (mm) for each variant: its metric, alignment, scale and joints.

    ``mpjpe_mm`` needs millimetres; where the predictions have none, all are multiplied by one
    factor. ``least_squares_scale`` and ``proper_rotation`` are the definitions. The others
    circulate: ``ratio_of_norms_scale`` and ``z_turned`` (see
    :func:`selfpose.metrics.procrustes_z_turned`) in ElePose's evaluation, ``reflection_allowed``
    wherever the determinant is not looked at; a pose turned inside out then scores 0.
    """
    root, joints = results.skeleton.root, f"{results.skeleton.n_joints}_joints"

    def errors(p: Float[Tensor, "b J 3"], g: Float[Tensor, "b J 3"]) -> Errors:
        ratio = metrics.ratio_scale_to_target(p, g, root=root)
        mirrored = metrics.p_mpjpe(p, g, reflection=True)
        turned = metrics.procrustes_z_turned(p, g)
        return {
            f"mpjpe_mm.root_aligned.{results.own_scale}.{joints}": metrics.mpjpe(p, g, root=root),
            f"n_mpjpe_mm.root_aligned.least_squares_scale.{joints}": metrics.n_mpjpe(
                p, g, root=root
            ),
            f"n_mpjpe_mm.root_aligned.ratio_of_norms_scale.{joints}": metrics.mpjpe(
                ratio, g, root=root
            ),
            f"p_mpjpe_mm.procrustes.proper_rotation.{joints}": metrics.p_mpjpe(p, g),
            f"p_mpjpe_mm.procrustes.reflection_allowed.{joints}": mirrored,
            f"p_mpjpe_mm.procrustes.z_turned.{joints}": (turned - g).norm(dim=-1).mean(dim=-1),
        }

    return by_blocks(errors, results.in_mm(results.target), results.target)


def frame_choices(results: PoseResults) -> dict[str, Bool[Tensor, " N"]]:
    """The frames that papers evaluate: all or every 64th, with and without the three of S9.

    Every 64th needs the frames' numbers, the three sequences need subjects and sequences; without
    them the choice is left out.
    """
    every = results.counted
    chosen = {"all_frames": every}
    if results.number is not None:
        chosen["every_64th"] = every & (results.number.cpu() % 64 == 0)
    if results.subject is None or results.sequence is None:
        return {f"{name}.all_sequences": mask for name, mask in chosen.items()}
    bad = torch.tensor(
        [is_bad_s9(*pair) for pair in zip(results.subject, results.sequence, strict=True)]
    )
    return {
        f"{name}.{which}": mask & keep
        for name, mask in chosen.items()
        for which, keep in {"all_sequences": ~bad | bad, "without_bad_s9": ~bad}.items()
    }


def _actions(results: PoseResults) -> Sequence[str] | None:
    return None if results.action is None else [action_of(name) for name in results.action]


def evaluate_human36m(results: PoseResults) -> dict[str, float]:
    """Every variant of the metrics, on every choice of frames, over frames and over actions.

    Returns
    -------
    ``metric.alignment.scale or rotation.joints.frames.sequences.average`` → mm. The average over
    actions is the mean of the actions' means, the takes of one action together.

    Raises
    ------
    ValueError
        If frames are chosen that the results do not hold, such as every 64th.
    """
    groups = {"over_frames": None, "over_actions": _actions(results)}
    known = {name: g for name, g in groups.items() if name == "over_frames" or g is not None}
    return averages(pose_errors(results), chosen=frame_choices(results), groups=known)


def human36m_by_action(results: PoseResults) -> dict[str, dict[str, float]]:
    """Action → the mean of each variant over its counted frames (mm): all frames and sequences.

    Raises
    ------
    ValueError
        If the results name no actions.
    """
    actions = _actions(results)
    if actions is None:
        raise ValueError("a table by action needs 'action', one name a pose")
    columns = {
        name: group_means(values, actions, results.counted)
        for name, values in pose_errors(results).items()
    }
    return {
        action: {name: means[action] for name, means in columns.items()}
        for action in sorted(next(iter(columns.values())))
    }


__all__ = [
    "BAD_S9",
    "action_of",
    "evaluate_human36m",
    "frame_choices",
    "human36m_by_action",
    "is_bad_s9",
    "pose_errors",
]
