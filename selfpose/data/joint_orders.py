"""The joint orders of the people's data sets, by name, and the way from each to ``HUMAN_17``.

Human3.6M's ``HUMAN_17`` calls the point between the shoulders *thorax*, the one in the middle of
the head, about the nose, *neck*, and the crown *head*. MPI-INF-3DHP calls the same three places
*neck*, *head* and *head_top*. So *neck* means two places: orders are matched by the names below,
never by equal words.
"""

import numpy as np
from numpy.typing import NDArray

from selfpose.skeleton import HUMAN_17

# Human3.6M's files hold 32 joints, some of them twice; these are the 17 of HUMAN_17, in its order.
HUMAN36M_32_TO_17: tuple[int, ...] = (
    *(0, 1, 2, 3, 6, 7, 8),  # hip, right leg, left leg
    *(12, 13, 14, 15),  # spine, thorax, neck, head
    *(17, 18, 19, 25, 26, 27),  # left arm, right arm
)

# MPI-INF-3DHP, training files.
MPI_28: tuple[str, ...] = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *("left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    *("right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
    *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
)

# MPI-INF-3DHP, test files, and both of MMPose's.
MPI_17: tuple[str, ...] = (
    *("head_top", "neck"),
    *("right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "spine", "head"),
)

# What MPI-INF-3DHP calls the joints of HUMAN_17, where its word is another one.
HUMAN_17_IN_MPI: dict[str, str] = {
    "hip": "pelvis",
    "thorax": "neck",
    "neck": "head",
    "head": "head_top",
}


def mpi_to_human_17(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (..., 28 or 17, C) in MPI-INF-3DHP's order → (..., 17, C) in that of ``HUMAN_17``.

    Raises
    ------
    ValueError
        If there are neither 28 nor 17 joints.
    """
    orders = {len(order): order for order in (MPI_28, MPI_17)}
    order = orders.get(poses.shape[-2])
    if order is None:
        raise ValueError(f"expected 28 or 17 joints of MPI-INF-3DHP, got {poses.shape[-2]}")
    return poses[..., [order.index(HUMAN_17_IN_MPI.get(j, j)) for j in HUMAN_17.joints], :]


def human36m_to_human_17(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (..., 32 or 17, C) of Human3.6M → (..., 17, C); 17 are in the order already.

    Raises
    ------
    ValueError
        If there are neither 32 nor 17 joints.
    """
    if poses.shape[-2] == 17:
        return poses
    if poses.shape[-2] != 32:
        raise ValueError(f"expected 32 or 17 joints of Human3.6M, got {poses.shape[-2]}")
    return poses[..., list(HUMAN36M_32_TO_17), :]


__all__ = [
    "HUMAN36M_32_TO_17",
    "HUMAN_17_IN_MPI",
    "MPI_17",
    "MPI_28",
    "human36m_to_human_17",
    "mpi_to_human_17",
]
