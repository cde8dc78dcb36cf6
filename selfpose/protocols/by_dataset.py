"""The protocol that belongs to a data set, for the records of runs on it."""

from collections.abc import Callable

import torch

from selfpose._typing import Float, Tensor
from selfpose.data.protocol import LabelledSet
from selfpose.protocols.hands import evaluate_hands
from selfpose.protocols.human36m import evaluate_human36m
from selfpose.protocols.mpi_inf_3dhp import evaluate_mpi_inf_3dhp
from selfpose.protocols.results import PoseResults
from selfpose.skeleton import Skeleton

PROTOCOLS: dict[str, Callable[[PoseResults], dict[str, float]]] = {
    "human36m": evaluate_human36m,
    "mpi-inf-3dhp": evaluate_mpi_inf_3dhp,
    "rhd": evaluate_hands,
    "freihand": evaluate_hands,
    "hand": evaluate_hands,
}
"""By the beginning of the data set's name."""


def protocol_numbers(
    dataset: str, pose_3d: Float[Tensor, "N J 3"], test: LabelledSet, skeleton: Skeleton
) -> dict[str, float]:
    """Every variant that the data set's protocol names; empty where there is no protocol.

    Parameters
    ----------
    dataset
        Name of the data set: ``human36m``, ``human36m-mmpose``, ….
    pose_3d
        Predictions of the test part, in any unit: all are scaled by one factor where a metric needs
        millimetres, and its name says so.
    test, skeleton
        The truth, with subjects, clips and frame numbers where the protocol asks for them.

    Raises
    ------
    ValueError
        If the truths do not look like the protocol's.
    """
    names = [name for name in PROTOCOLS if dataset == name or dataset.startswith(f"{name}-")]
    if not names or not test.knows_3d:
        return {}
    number = test.number
    if number is not None and not bool((number % 64 == 0).any()):
        number = None  # a thinned test part need not hold any 64th frame
    mpi = names[0] == "mpi-inf-3dhp"
    results = PoseResults(
        skeleton=skeleton,
        predicted=pose_3d.double().cpu(),
        target=test.poses_3d.double(),
        unit="free",
        subject=test.subject,
        action=test.activity,
        sequence=test.subject if mpi else test.clip,  # TS1 to TS6, read in several clips each
        number=number,
        # MPI-INF-3DHP's invalid frames were left out when the data were prepared
        valid=torch.ones(len(pose_3d), dtype=torch.bool) if mpi else None,
    )
    return PROTOCOLS[names[0]](results)


__all__ = ["PROTOCOLS", "protocol_numbers"]
