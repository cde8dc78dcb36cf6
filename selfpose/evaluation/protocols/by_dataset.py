"""The protocol that belongs to a data set, for the records of runs on it."""

import math
from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.evaluation.protocols.hands import evaluate_hands
from selfpose.evaluation.protocols.human36m import evaluate_human36m
from selfpose.evaluation.protocols.mpi_inf_3dhp import evaluate_mpi_inf_3dhp
from selfpose.evaluation.protocols.results import PoseResults

PROTOCOLS: dict[str, Callable[[PoseResults], dict[str, float]]] = {
    "human36m": evaluate_human36m,
    "mpi-inf-3dhp": evaluate_mpi_inf_3dhp,
    "rhd": evaluate_hands,
    "freihand": evaluate_hands,
    "hand": evaluate_hands,
}
"""By the beginning of the data set's name."""


def protocol_numbers(dataset: PoseDataset, pose_3d: Float[Tensor, "N J 3"]) -> dict[str, float]:
    """Every variant that the data set's protocol names; empty where there is no protocol.

    Names say which frames were there: a thinned test part gives ``512_spread_frames``, a source
    that holds every fifth frame ``every_5th``. The frames that the protocol's own numbers are about
    are named so only where all of them are there.

    Parameters
    ----------
    dataset
        Its name chooses the protocol (``human36m``, ``human36m-mmpose``, …); the test part has the
        truths, with subjects, clips and frame numbers where the protocol asks for them.
    pose_3d
        Predictions of the test part, in any unit: all are scaled by one factor where a metric needs
        millimetres, and its name says so.

    Raises
    ------
    ValueError
        If the truths do not look like the protocol's.
    """
    name, test = dataset.name, dataset.test
    names = [known for known in PROTOCOLS if name == known or name.startswith(f"{known}-")]
    if not names or not test.knows_3d:
        return {}
    mpi = names[0] == "mpi-inf-3dhp"
    thinned = "test_thinned_from" in dataset.provenance
    step = None if test.number is None or thinned else frame_step(test.number, test)
    results = PoseResults(
        skeleton=dataset.skeleton,
        predicted=pose_3d.double().cpu(),
        target=test.poses_3d.double(),
        unit="free",
        subject=test.subject,
        action=test.activity,
        sequence=test.subject if mpi else test.clip,  # TS1 to TS6, read in several clips each
        number=test.number if step == 1 else None,
    )
    held = "all_frames"
    if thinned:
        held = f"{len(test)}_spread_frames"
    elif mpi:
        held = "frames_the_source_calls_valid"
    elif step not in (None, 1):
        held = f"every_{step}th"
    numbers = PROTOCOLS[names[0]](results)
    told = {key.replace(".all_frames", f".{held}"): value for key, value in numbers.items()}
    if mpi and "univ_annot3" in str(dataset.provenance.get("source", "")):
        told = {key.replace(".annot3", ".univ_annot3"): value for key, value in told.items()}
    return told


def frame_step(number: Int[Tensor, " N"], test: LabelledSet) -> int:
    """How far apart the frames of the clips stand: the greatest step that explains them."""
    steps = number.diff()[test.sequence.diff() == 0]
    return math.gcd(*steps.unique().tolist()) or 1


__all__ = ["PROTOCOLS", "frame_step", "protocol_numbers"]
