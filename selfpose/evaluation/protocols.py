"""How Human3.6M, MPI-INF-3DHP and hands are scored: each number under a name that says its variant.

Names are parts joined by dots: metric with unit, alignment, scale or rotation, joints, frames,
average (``p_mpjpe_mm.procrustes.proper_rotation.17_joints.all_frames.all_sequences.over_frames``).
Papers print several of these numbers under one name and seldom say which.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from selfpose import metrics
from selfpose.data.dataset import PoseDataset
from selfpose.data.human36m import is_bad_s9
from selfpose.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class PoseResults:
    """N predictions with their truths.

    Parameters
    ----------
    predicted
        (N, J, 3), camera frame (x right, y down, z forward), in ``unit``: ``"mm"``, or ``"free"``
        where they have no scale. Then one factor for all makes millimetres of them, and the names
        of numbers that forgive no scale say so.
    target
        (N, J, 3) mm, camera frame.
    subject, action, sequence
        N names, where a protocol needs them (``S9``; ``Directions``; ``S9/Directions 1/54138969``).
    number
        (N,) the frame's number in its sequence, from 0, for every 64th.
    """

    skeleton: Skeleton
    predicted: Float[Tensor, "N J 3"]
    target: Float[Tensor, "N J 3"]
    unit: Literal["mm", "free"] = "mm"
    subject: Sequence[str] | None = None
    action: Sequence[str] | None = None
    sequence: Sequence[str] | None = None
    number: Int[Tensor, " N"] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be millimetres: PCK@150 of two poses in metres is 100 %."""
        size, true = (
            float(metrics.root_centred(pose.double(), self.skeleton.root).norm(dim=-1).mean())
            for pose in (self.predicted, self.target)
        )
        if not 10 <= true <= 10_000 or (self.unit == "mm" and not 0.1 <= size / true <= 10):
            raise ValueError(
                f"joints lie {size:.3g} (predicted) and {true:.3g} (true) from the root on average,"
                " expected mm; multiply metres by 1000, or say unit='free' if there is no scale"
            )

    @property
    def in_mm(self) -> Float[Tensor, "N J 3"]:
        """The predictions in mm, by the least-squares factor for all if they have no scale."""
        p, g = self.predicted.double().cpu(), self.target.double().cpu()
        if self.unit == "mm":
            return p
        return p * metrics.set_scale(p, g, root=self.skeleton.root)


def aligned_errors(results: PoseResults) -> dict[str, Float[Tensor, "N J"]]:
    """Errors (mm) of all joints under each alignment.

    ``least_squares_scale`` and ``proper_rotation`` are the definitions. The others circulate:
    ``ratio_of_norms_scale`` and ``z_turned`` (see :func:`selfpose.metrics.procrustes_z_turned`) in
    ElePose's evaluation; ``reflection_allowed`` wherever the determinant is not looked at: a pose
    turned inside out then scores 0, and a left hand is as good as a right one.
    """
    p, g, root = results.in_mm, results.target.double().cpu(), results.skeleton.root
    own = "given_scale" if results.unit == "mm" else "one_scale_for_all"
    scaled = {
        own: p,
        "least_squares_scale": metrics.scale_to_target(p, g, root=root),
        "ratio_of_norms_scale": metrics.ratio_scale_to_target(p, g, root=root),
    }
    rotated = {
        "proper_rotation": metrics.procrustes(p, g),
        "reflection_allowed": metrics.procrustes(p, g, reflection=True),
        "z_turned": metrics.procrustes_z_turned(p, g),
    }
    return {
        f"root_aligned.{name}": metrics.joint_errors(q, g, root=root) for name, q in scaled.items()
    } | {f"procrustes.{name}": (q - g).norm(dim=-1) for name, q in rotated.items()}


def _prefix(alignment: str) -> str:
    """What an alignment that forgives something puts before a metric's name."""
    if alignment.endswith(("given_scale", "one_scale_for_all")):
        return ""
    return "p_" if alignment.startswith("procrustes") else "n_"


def _averages(
    values: Mapping[str, Float[Tensor, " N"]],
    frames: Mapping[str, Bool[Tensor, " N"]],
    groups: Mapping[str, Sequence[str] | None],
) -> dict[str, float]:
    """Every value over every choice of frames: its mean, and the mean of its groups' means."""
    table = {}
    for chosen, mask in ((name, m) for name, m in frames.items() if m.any()):
        for name, value in values.items():
            table[f"{name}.{chosen}.over_frames"] = float(value[mask].mean())
            for average, group in groups.items():
                if group is not None:
                    _, index = np.unique(np.asarray(group)[mask.numpy()], return_inverse=True)
                    total = np.bincount(index, weights=value[mask].numpy())
                    table[f"{name}.{chosen}.{average}"] = float(np.mean(total / np.bincount(index)))
    return table


# -- Human3.6M -------------------------------------------------------------------------------------


def evaluate_human36m(results: PoseResults) -> dict[str, float]:
    """MPJPE, N-MPJPE and P-MPJPE (mm) in every variant that papers print under these names.

    They differ in the frames (all, or every 64th), in the average (over frames, or the mean of the
    actions' means, the takes of an action together), and in three sequences of S9 whose truth does
    not lie on the person. A choice that the results do not tell of is left out.
    """
    joints = f"{results.skeleton.n_joints}_joints"
    values = {
        f"{_prefix(alignment)}mpjpe_mm.{alignment}.{joints}": errors.mean(dim=-1)
        for alignment, errors in aligned_errors(results).items()
    }
    frames = {"all_frames": torch.ones(len(results.target), dtype=torch.bool)}
    if results.number is not None:
        frames["every_64th"] = results.number.cpu() % 64 == 0
    sequences = {"all_sequences": frames["all_frames"]}
    if results.subject is not None and results.sequence is not None:
        pairs = zip(results.subject, results.sequence, strict=True)
        sequences["without_bad_s9"] = torch.tensor([not is_bad_s9(*pair) for pair in pairs])
    chosen = {f"{f}.{s}": m & kept for f, m in frames.items() for s, kept in sequences.items()}
    actions = None
    if results.action is not None:
        actions = [re.sub(r"[ _-]\d+$", "", action) for action in results.action]
    return _averages(values, chosen, {"over_actions": actions})


# -- MPI-INF-3DHP ----------------------------------------------------------------------------------

GROUPS_14: dict[str, tuple[str, ...]] = {
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

GROUPS_17: dict[str, tuple[str, ...]] = GROUPS_14 | {
    "head": ("head", "neck"),
    "spine": ("spine",),
    "hip": ("right_hip", "left_hip", "hip"),
}
"""The same with the data set's head, spine and pelvis; the pelvis, the root, is always right."""

JOINT_LISTS = {"14_joints": GROUPS_14, "17_joints": GROUPS_17}


def _shares(errors: Float[Tensor, "*b J"]) -> dict[str, Float[Tensor, "*b"]]:
    """PCK and AUC (%) and MPJPE (mm) of some joints.

    PCK counts errors strictly below 150 mm. AUC is the mean over 0, 5, …, 150 mm: a perfect
    prediction has 100 · 30/31 = 96.77, since no error is below 0. So does the official script.
    """
    curve = [metrics.percent_below(errors, 5.0 * k) for k in range(31)]
    return {
        "pck150_percent": curve[-1],
        "auc0to150_percent": torch.stack(curve).mean(dim=0),
        "mpjpe_mm": errors.mean(dim=-1),
    }


def evaluate_mpi_inf_3dhp(results: PoseResults, *, annotation: str = "annot3") -> dict[str, float]:
    """PCK@150, AUC (%) and MPJPE (mm) in every variant, over frames and over sequences.

    As the official script computes them (roots aligned, nothing forgiven), with the scale of each
    pose forgiven, as the unsupervised line mostly does (N-PCK), and after Procrustes; over 14
    joints, or over 17 with the pelvis. ``annotation`` says of which truth the target is.
    """
    values = {}
    for alignment, errors in aligned_errors(results).items():
        if alignment.endswith(("reflection_allowed", "z_turned")):
            continue
        for joints, groups in JOINT_LISTS.items():
            counted = [results.skeleton.index(name) for names in groups.values() for name in names]
            for metric, value in _shares(errors[:, counted]).items():
                values[f"{_prefix(alignment)}{metric}.{alignment}.{joints}.{annotation}"] = value
    every = torch.ones(len(results.target), dtype=torch.bool)
    return _averages(values, {"all_frames": every}, {"over_sequences": results.sequence})


def mpi_inf_3dhp_by_group(
    results: PoseResults, *, joints: str = "17_joints"
) -> dict[str, dict[str, float]]:
    """Group of joints → official PCK@150, AUC (%) and MPJPE (mm); the last row is their total."""
    errors = next(iter(aligned_errors(results).values()))
    groups = dict(JOINT_LISTS[joints])
    groups["total"] = tuple(name for names in groups.values() for name in names)
    rows = {g: [results.skeleton.index(name) for name in names] for g, names in groups.items()}
    return {
        group: {k: float(v.mean()) for k, v in _shares(errors[:, counted]).items()}
        for group, counted in rows.items()
    }


# -- Hands -----------------------------------------------------------------------------------------

AREAS = {
    "auc0to50_percent.100_thresholds": (0.0, 50.0, 100),
    "auc0to50_percent.20_thresholds": (0.0, 50.0, 20),
    "auc20to50_percent.20_thresholds": (20.0, 50.0, 20),
}
"""First and last threshold (mm) and how many: FreiHAND's and HO-3D's; RHD's, as its first authors
evaluate it; the curve without its start."""


def area_under_curve(
    errors: Float[Tensor, "*b J"], low: float, high: float, count: int
) -> Float[Tensor, "*b"]:
    """AUC (%) of hands, errors at a threshold counted in: 100 for a perfect prediction.

    By the trapezoidal rule, divided by the range of thresholds.
    """
    thresholds = torch.linspace(low, high, count, dtype=torch.float64).to(errors)
    curve = [metrics.percent_below(errors, float(t), inclusive=True) for t in thresholds]
    return torch.trapezoid(torch.stack(curve), thresholds, dim=0) / (high - low)


def evaluate_hands(
    results: PoseResults, *, bone: tuple[str, str] = ("wrist", "middle_1")
) -> dict[str, float]:
    """MPJPE (mm) and AUC (%) in every variant of the hand line, over frames.

    With the wrist aligned, with the length of one ``bone`` known, with the least-squares scale, and
    after Procrustes, with and without reflections.
    """
    root = results.skeleton.root
    ends = (results.skeleton.index(bone[0]), results.skeleton.index(bone[1]))
    p, g = results.in_mm, results.target.double().cpu()
    by_bone = metrics.bone_scale_to_target(p, g, root=root, bone=ends)
    errors = aligned_errors(results)
    errors["root_aligned.bone_scale"] = metrics.joint_errors(by_bone, g, root=root)
    values = {}
    for alignment, e in errors.items():
        if not alignment.endswith(("ratio_of_norms_scale", "z_turned")):
            where = f"{alignment}.{results.skeleton.n_joints}_joints"
            values[f"mpjpe_mm.{where}"] = e.mean(dim=-1)
            for name, area in AREAS.items():
                values[f"{name}.{where}"] = area_under_curve(e, *area)
    return _averages(values, {"all_frames": torch.ones(len(g), dtype=torch.bool)}, {})


# -- The protocol of a data set --------------------------------------------------------------------


def protocol_numbers(dataset: PoseDataset, pose_3d: Float[Tensor, "N J 3"]) -> dict[str, float]:
    """Every variant that the data set's protocol names; empty where there is none.

    Names say which frames were there: a thinned test part gives ``512_spread_frames``, a source
    that holds every fifth frame ``every_5th``. Predictions of the test part have no unit here.
    """
    test, source = dataset.test, re.match("human36m|mpi-inf-3dhp|rhd|freihand|hand$", dataset.name)
    if source is None or not test.knows_3d:
        return {}
    mpi, thinned = source[0] == "mpi-inf-3dhp", "test_thinned_from" in dataset.provenance
    step = 1
    if test.number is not None:  # the greatest step that explains the frames of the clips
        inside = test.sequence.diff() == 0
        step = math.gcd(*test.number.diff()[inside].unique().tolist()) or 1
    results = PoseResults(
        skeleton=dataset.skeleton,
        predicted=pose_3d,
        target=test.poses_3d,
        unit="free",
        subject=test.subject,
        action=test.activity,
        sequence=test.subject if mpi else test.clip,  # TS1 to TS6, read in several clips each
        number=test.number if step == 1 and not thinned else None,
    )
    if source[0] == "human36m":
        numbers = evaluate_human36m(results)
    elif mpi:
        universal = dataset.provenance.get("source", {}).get("universal", False)
        annotation = "univ_annot3" if universal else "annot3"
        numbers = evaluate_mpi_inf_3dhp(results, annotation=annotation)
    else:
        numbers = evaluate_hands(results)
    held = "all_frames" if step == 1 else f"every_{step}th"
    held = "frames_the_source_calls_valid" if mpi else held
    held = f"{len(test)}_spread_frames" if thinned else held
    return {name.replace(".all_frames", f".{held}"): value for name, value in numbers.items()}


# -- Choosing and comparing ------------------------------------------------------------------------


def with_parts(numbers: Mapping[str, float], *parts: str) -> dict[str, float]:
    """The numbers whose names hold all of these parts.

    >>> with_parts({"mpjpe_mm.all_frames": 50.0, "mpjpe_mm.every_64th": 52.0}, "every_64th")
    {'mpjpe_mm.every_64th': 52.0}
    """
    return {key: v for key, v in numbers.items() if set(parts) <= set(key.split("."))}


def side_by_side(results: PoseResults) -> dict[str, float]:
    """Every variant of both protocols of people: MPJPE is Human3.6M's, PCK and AUC the other's."""
    shares = evaluate_mpi_inf_3dhp(results)
    return evaluate_human36m(results) | {k: v for k, v in shares.items() if "percent" in k}
