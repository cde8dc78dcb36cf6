"""Evaluation protocols: each number is returned under a name that says which variant it is."""

from selfpose.evaluation.protocols.hands import evaluate_hands
from selfpose.evaluation.protocols.human36m import evaluate_human36m, human36m_by_action
from selfpose.evaluation.protocols.mpi_inf_3dhp import (
    evaluate_mpi_inf_3dhp,
    mpi_inf_3dhp_by,
    mpi_inf_3dhp_by_group,
)
from selfpose.evaluation.protocols.results import PoseResults, name_to_text, with_parts

__all__ = [
    "PoseResults",
    "evaluate_hands",
    "evaluate_human36m",
    "evaluate_mpi_inf_3dhp",
    "human36m_by_action",
    "mpi_inf_3dhp_by",
    "mpi_inf_3dhp_by_group",
    "name_to_text",
    "with_parts",
]
