"""The variants that circulate under one name, side by side on one set of predictions."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from jaxtyping import Bool
from torch import Tensor
from selfpose.metrics import flip_depth
from selfpose.evaluation.protocols.human36m import evaluate_human36m
from selfpose.evaluation.protocols.mpi_inf_3dhp import evaluate_mpi_inf_3dhp
from selfpose.evaluation.protocols.results import METRICS, PoseResults, parts_to_text

NAMES: Mapping[str, tuple[str, ...]] = {
    "MPJPE, mm": ("mpjpe_mm",),
    "N-MPJPE, mm": ("n_mpjpe_mm",),
    "P-MPJPE, mm": ("p_mpjpe_mm",),
    "PCK@150, %": ("pck150_percent", "n_pck150_percent", "p_pck150_percent"),
    "AUC, %": ("auc0to150_percent", "n_auc0to150_percent", "p_auc0to150_percent"),
}
"""What stands over a table's column → the metrics that are meant by it."""


def family_of(name: str) -> str:
    """The name that papers print over a number of that full name.

    >>> family_of("n_pck150_percent.root_aligned.least_squares_scale")
    'PCK@150, %'

    Raises
    ------
    ValueError
        If no such metric is known.
    """
    metric = name.split(".")[0]
    for family, members in NAMES.items():
        if metric in members:
            return family
    raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}")


def side_by_side(results: PoseResults) -> dict[str, float]:
    """Every variant of both protocols of people, by its full name.

    MPJPE and its kin are Human3.6M's (17 joints), PCK and AUC are MPI-INF-3DHP's.
    """
    shares = {
        name: value
        for name, value in evaluate_mpi_inf_3dhp(results).items()
        if family_of(name) in ("PCK@150, %", "AUC, %")
    }
    return evaluate_human36m(results) | shares


def shared_parts(names: list[str]) -> tuple[str, ...]:
    """The parts, metrics apart, that all of these names hold: a table need not repeat them.

    >>> shared_parts(["a_mm.17_joints.all_frames", "b_mm.17_joints.every_64th"])
    ('17_joints',)
    """
    parts = [name.split(".")[1:] for name in names]
    return tuple(part for part in parts[0] if all(part in other for other in parts))


def variants_by_name(
    numbers: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Printed name → what tells a variant from the others → series → number.

    Parameters
    ----------
    numbers
        Series → full name → number, as :func:`side_by_side` gives them; the first series says
        which variants there are.

    Returns
    -------
    What :func:`selfpose.evaluation.protocols.plots.variant_dots` draws; the variants in order of the first
    series, so that a reader sees the spread.
    """
    first = next(iter(numbers.values()))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for family in dict.fromkeys(family_of(name) for name in first):
        members = sorted((n for n in first if family_of(n) == family), key=first.__getitem__)
        # where there is one variant alone, its alignment and scale say enough
        shared = shared_parts(members) if len(members) > 1 else members[0].split(".")[3:]
        table[family] = {
            parts_to_text(name, without=shared): {s: values[name] for s, values in numbers.items()}
            for name in members
        }
    return table


def spreads(numbers: Mapping[str, float]) -> dict[str, dict[str, float | int]]:
    """Printed name → how many variants it has, the smallest and largest number, and their distance.

    >>> spreads({"p_mpjpe_mm.a": 40.0, "p_mpjpe_mm.b": 50.0})["P-MPJPE, mm"]["largest"]
    50.0
    """
    table: dict[str, dict[str, float | int]] = {}
    for family in dict.fromkeys(family_of(name) for name in numbers):
        values = [value for name, value in numbers.items() if family_of(name) == family]
        table[family] = {
            "variants": len(values),
            "smallest": min(values),
            "largest": max(values),
            "apart": max(values) - min(values),
        }
    return table


def with_flipped(results: PoseResults, chosen: Bool[Tensor, " N"]) -> PoseResults:
    """The results with the depths of the chosen predictions turned about their roots."""
    flipped = flip_depth(results.predicted, root=results.skeleton.root)
    where = chosen.to(flipped.device)[:, None, None]
    return replace(results, predicted=torch.where(where, flipped, results.predicted))


__all__ = [
    "NAMES",
    "family_of",
    "shared_parts",
    "side_by_side",
    "spreads",
    "variants_by_name",
    "with_flipped",
]
