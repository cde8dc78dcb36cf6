"""MPI-INF-3DHP: PCK and AUC as the official script computes them, and as others do.

The test sequences are TS1 to TS6, their valid frames alone. The official numbers are the share of
joints in groups (head, neck, shoulder, …); a group weighs as much as it has joints, so the total is
the mean over the joints named. Two lists circulate: 14 joints in 8 groups, and all 17 in 9, where
the hip group holds the pelvis, about which the poses are centred and which is therefore always
right.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from selfpose import metrics
from jaxtyping import Float
from torch import Tensor
from selfpose.evaluation.protocols.results import Errors, PoseResults, averages, by_blocks
from selfpose.skeleton import Skeleton

GROUPS_14: Mapping[str, tuple[str, ...]] = {
    "head": ("head",),
    "neck": ("thorax",),
    "shoulder": ("right_shoulder", "left_shoulder"),
    "elbow": ("right_elbow", "left_elbow"),
    "wrist": ("right_wrist", "left_wrist"),
    "hip": ("right_hip", "left_hip"),
    "knee": ("right_knee", "left_knee"),
    "ankle": ("right_ankle", "left_ankle"),
}
"""Joints by our names: the data set's head top is our ``head``, its neck our ``thorax``."""

GROUPS_17: Mapping[str, tuple[str, ...]] = {
    **GROUPS_14,
    "head": ("head", "neck"),
    "spine": ("spine",),
    "hip": ("right_hip", "left_hip", "hip"),
}
"""The same with the data set's head, spine and pelvis: our ``neck``, ``spine`` and ``hip``."""

JOINT_LISTS = {"14_joints": GROUPS_14, "17_joints": GROUPS_17}
PREFIXES = {
    "root_aligned.least_squares_scale": "n_",
    "root_aligned.ratio_of_norms_scale": "n_",
    "procrustes.proper_rotation": "p_",
}
"""What an alignment that forgives something puts before a metric's name."""

PCK_MM = 150.0
THRESHOLDS_MM = tuple(5.0 * k for k in range(31))
"""0, 5, …, 150 mm."""


def auc(errors: Float[Tensor, "*b J"]) -> Float[Tensor, "*b"]:
    """AUC (%): the mean of PCK over the 31 thresholds, from the joints' errors in mm.

    A perfect prediction has 100 · 30/31 = 96.77 and not 100, since no error is strictly below the
    first threshold, which is 0. The official script does so too, and so does what compares with it.

    >>> round(float(auc(torch.zeros(17))), 2)
    96.77
    """
    curve = [metrics.percent_below(errors, threshold) for threshold in THRESHOLDS_MM]
    return torch.stack(curve).mean(dim=0)


def aligned_errors(results: PoseResults, target: Float[Tensor, "N J 3"]) -> Errors:
    """Errors (mm) of all joints, (N, J), for each alignment.

    The first is the official one: roots aligned, nothing forgiven. In the next two each pose is
    scaled, as the unsupervised line mostly does (N-PCK); the last is after Procrustes with a proper
    rotation.
    """
    root = results.skeleton.root

    def errors(p: Float[Tensor, "b J 3"], g: Float[Tensor, "b J 3"]) -> Errors:
        scaled = metrics.scale_to_target(p, g, root=root)
        ratio = metrics.ratio_scale_to_target(p, g, root=root)
        return {
            f"root_aligned.{results.own_scale}": metrics.joint_errors(p, g, root=root),
            "root_aligned.least_squares_scale": metrics.joint_errors(scaled, g, root=root),
            "root_aligned.ratio_of_norms_scale": metrics.joint_errors(ratio, g, root=root),
            "procrustes.proper_rotation": (metrics.procrustes(p, g) - g).norm(dim=-1),
        }

    return by_blocks(errors, results.in_mm(target), target)


def _indices(skeleton: Skeleton, names: Sequence[str]) -> list[int]:
    missing = [name for name in names if name not in skeleton.joints]
    if missing:
        raise ValueError(
            f"MPI-INF-3DHP counts the joints {missing}, which {skeleton.name!r} does not have; "
            "map the poses to human_17 first"
        )
    return [skeleton.index(name) for name in names]


def _annotations(results: PoseResults) -> dict[str, Tensor]:
    targets = {"annot3": results.target}
    if results.universal_target is not None:
        targets["univ_annot3"] = results.universal_target
    return targets


def evaluate_mpi_inf_3dhp(results: PoseResults) -> dict[str, float]:
    """PCK@150, AUC and MPJPE in every variant, over frames and over sequences.

    Parameters
    ----------
    results
        With ``valid`` (without it every frame counts, and the names say so), ``sequence`` for the
        average over sequences, ``universal_target`` for numbers on the ``univ_annot3``.

    Returns
    -------
    ``metric.alignment.scale.joints.annotation.frames.average`` → % or mm. PCK counts errors
    *strictly* below 150 mm. AUC is the mean of PCK over 0, 5, …, 150 mm: at most 96.77 (30/31).

    Raises
    ------
    ValueError
        If the skeleton lacks a joint that is counted.
    """
    frames = "all_frames" if results.valid is None else "valid_frames"
    values: Errors = {}
    for annotation, target in _annotations(results).items():
        for alignment, errors in aligned_errors(results, target).items():
            prefix = PREFIXES.get(alignment, "")
            for joints, groups in JOINT_LISTS.items():
                names = [name for group in groups.values() for name in group]
                e = errors[:, _indices(results.skeleton, names)]
                where = f"{alignment}.{joints}.{annotation}"
                values[f"{prefix}pck150_percent.{where}"] = metrics.percent_below(e, PCK_MM)
                values[f"{prefix}auc0to150_percent.{where}"] = auc(e)
                values[f"{prefix}mpjpe_mm.{where}"] = e.mean(dim=-1)
    averaged: dict[str, Sequence[str] | None] = {"over_frames": None}
    if results.sequence is not None:
        averaged["over_sequences"] = results.sequence
    return averages(values, chosen={frames: results.counted}, groups=averaged)


def _official_errors(
    results: PoseResults, joints: str
) -> tuple[Tensor, Mapping[str, Sequence[str]]]:
    """Errors (N, 17) mm, roots aligned, against ``annot3``; and the groups of a list of joints."""
    if joints not in JOINT_LISTS:
        raise ValueError(f"joints: expected one of {', '.join(JOINT_LISTS)}, got {joints!r}")
    predicted, target = results.in_mm(results.target), results.target.double().cpu()
    errors = metrics.joint_errors(predicted, target, root=results.skeleton.root)
    return errors, JOINT_LISTS[joints]


def _row(errors: Float[Tensor, "b J"]) -> dict[str, float]:
    return {
        "pck150_percent": float(metrics.percent_below(errors, PCK_MM).mean()),
        "auc0to150_percent": float(auc(errors).mean()),
        "mpjpe_mm": float(errors.mean()),
    }


def mpi_inf_3dhp_by_group(
    results: PoseResults, *, joints: str = "17_joints"
) -> dict[str, dict[str, float]]:
    """Group of joints → official PCK@150, AUC (%) and MPJPE (mm); the last row is their total.

    Over the counted frames; roots aligned, no scale forgiven, ``annot3``. ``joints`` is
    ``"14_joints"`` or ``"17_joints"``.

    Raises
    ------
    ValueError
        If the list of joints is unknown, or the skeleton lacks one of them.
    """
    errors, groups = _official_errors(results, joints)
    total = tuple(name for group in groups.values() for name in group)
    return {
        group: _row(errors[results.counted][:, _indices(results.skeleton, names)])
        for group, names in {**groups, "total": total}.items()
    }


def mpi_inf_3dhp_by(
    what: Literal["sequence", "action"], results: PoseResults, *, joints: str = "17_joints"
) -> dict[str, dict[str, float]]:
    """Sequence, or action → the same numbers over its counted frames, as the official tables.

    Raises
    ------
    ValueError
        If the results do not name it, or as in :func:`mpi_inf_3dhp_by_group`.
    """
    if what not in ("sequence", "action") or (names := getattr(results, what)) is None:
        raise ValueError(f"a table by {what} needs {what!r}, one name a pose")
    errors, groups = _official_errors(results, joints)
    members = _indices(results.skeleton, [name for group in groups.values() for name in group])
    table = {}
    for name in sorted(set(names)):
        chosen = results.counted & torch.tensor([other == name for other in names])
        if chosen.any():
            table[name] = _row(errors[chosen][:, members])
    return table


def pelvis_counted(pck_16_percent: float, *, joints: int = 17) -> float:
    """What PCK (%) becomes when the pelvis, always right, joins the other joints.

    ``pck_16_percent`` is the PCK over the other joints. The gain, (100 − PCK) / 17, is the larger
    the worse the poses are.

    >>> round(pelvis_counted(66.0), 3)
    68.0
    """
    return ((joints - 1) * pck_16_percent + 100.0) / joints


__all__ = [
    "GROUPS_14",
    "GROUPS_17",
    "JOINT_LISTS",
    "PCK_MM",
    "PREFIXES",
    "THRESHOLDS_MM",
    "aligned_errors",
    "auc",
    "evaluate_mpi_inf_3dhp",
    "mpi_inf_3dhp_by",
    "mpi_inf_3dhp_by_group",
    "pelvis_counted",
]
