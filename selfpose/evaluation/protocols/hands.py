"""Hands of 21 joints: errors and areas under the PCK curve as RHD, FreiHAND and HO-3D count them.

The hand line counts the threshold in (≤), so a perfect prediction has an AUC of 100 here, unlike
the 96.77 of :mod:`selfpose.evaluation.protocols.mpi_inf_3dhp`; it integrates by the trapezoidal rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from selfpose import metrics
from jaxtyping import Float
from torch import Tensor
from selfpose.evaluation.protocols.results import Errors, PoseResults, averages, by_blocks


@dataclass(frozen=True, kw_only=True)
class Area:
    """Thresholds of an AUC: ``count`` of them, evenly from ``low`` to ``high`` mm inclusive."""

    low: float
    high: float
    count: int

    @property
    def thresholds_mm(self) -> Float[Tensor, " n"]:
        """The thresholds themselves."""
        return torch.linspace(self.low, self.high, self.count, dtype=torch.float64)


AREAS: Mapping[str, Area] = {
    "auc0to50_percent.100_thresholds": Area(low=0.0, high=50.0, count=100),
    "auc0to50_percent.20_thresholds": Area(low=0.0, high=50.0, count=20),
    "auc20to50_percent.20_thresholds": Area(low=20.0, high=50.0, count=20),
}
"""FreiHAND's and HO-3D's; RHD's, as its first authors evaluate it; the curve without its start."""

REFERENCE_BONE = ("wrist", "middle_1")
"""The two joints whose distance is taken as known where size is aligned by a bone."""


def area_under_curve(errors: Float[Tensor, "*b J"], area: Area) -> Float[Tensor, "*b"]:
    """AUC (%) by the trapezoidal rule, errors at a threshold counted in; divided by the range.

    >>> float(area_under_curve(torch.zeros(21), Area(low=0.0, high=50.0, count=100)))
    100.0
    """
    thresholds = area.thresholds_mm.to(errors)
    curve = [metrics.percent_below(errors, float(t), inclusive=True) for t in thresholds]
    return torch.trapezoid(torch.stack(curve), thresholds, dim=0) / (area.high - area.low)


def aligned_errors(
    results: PoseResults, *, bone: tuple[str, str] = REFERENCE_BONE
) -> dict[str, Tensor]:
    """Errors (mm) of all joints, (N, J), for each alignment of the hand line.

    The wrist aligned, as it is; with the size of one bone known; with the least-squares scale;
    Procrustes with a proper rotation and, as FreiHAND's and HO-3D's own scripts have it (scipy's
    ``orthogonal_procrustes`` does not look at the determinant), with reflections allowed: there a
    left hand is as good as a right one.

    Raises
    ------
    ValueError
        If the skeleton lacks a joint of the bone.
    """
    skeleton = results.skeleton
    if missing := [name for name in bone if name not in skeleton.joints]:
        raise ValueError(
            f"bone: {skeleton.name!r} has no joint {missing[0]!r}; its joints are "
            f"{', '.join(skeleton.joints)}"
        )
    root = skeleton.root
    ends = (skeleton.index(bone[0]), skeleton.index(bone[1]))

    def errors(p: Float[Tensor, "b J 3"], g: Float[Tensor, "b J 3"]) -> Errors:
        by_bone = metrics.bone_scale_to_target(p, g, root=root, bone=ends)
        scaled = metrics.scale_to_target(p, g, root=root)
        mirrored = metrics.procrustes(p, g, reflection=True)
        return {
            f"root_aligned.{results.own_scale}": metrics.joint_errors(p, g, root=root),
            "root_aligned.bone_scale": metrics.joint_errors(by_bone, g, root=root),
            "root_aligned.least_squares_scale": metrics.joint_errors(scaled, g, root=root),
            "procrustes.proper_rotation": (metrics.procrustes(p, g) - g).norm(dim=-1),
            "procrustes.reflection_allowed": (mirrored - g).norm(dim=-1),
        }

    return by_blocks(errors, results.in_mm(results.target), results.target)


def evaluate_hands(
    results: PoseResults, *, bone: tuple[str, str] = REFERENCE_BONE
) -> dict[str, float]:
    """MPJPE and AUC in every variant of the hand line, over the counted frames.

    Parameters
    ----------
    results
        Hands; the skeleton's root is the wrist.
    bone
        Names of the two joints that give the size where one bone is taken as known.

    Returns
    -------
    ``metric.alignment.scale or rotation.joints.frames.over_frames`` → mm or %, the number of
    thresholds after the metric's name.

    Raises
    ------
    ValueError
        If the skeleton lacks a joint of the bone.
    """
    joints = f"{results.skeleton.n_joints}_joints"
    values: Errors = {}
    for alignment, e in aligned_errors(results, bone=bone).items():
        values[f"mpjpe_mm.{alignment}.{joints}"] = e.mean(dim=-1)
        for name, area in AREAS.items():
            values[f"{name}.{alignment}.{joints}"] = area_under_curve(e, area)
    frames = "all_frames" if results.valid is None else "valid_frames"
    return averages(values, chosen={frames: results.counted}, groups={"over_frames": None})


__all__ = [
    "AREAS",
    "REFERENCE_BONE",
    "Area",
    "aligned_errors",
    "area_under_curve",
    "evaluate_hands",
]
