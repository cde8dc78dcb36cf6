"""2D poses from a file of one's own, and whether they can be what they should be."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfpose.data.picture_files import size_text
from selfpose.data.tables import PoseTable, read_pose_table
from selfpose.skeleton import Skeleton

MAX_PX = 1e6
MAGIC = b"\x93NUMPY"
OUTSIDE_SHARE = 0.5  # of the joints, beyond a picture's edge by more than a quarter of its side


def read_poses(path: Path, skeleton: Skeleton) -> PoseTable:
    """2D poses of a body from ``.csv`` (:mod:`selfpose.data.tables`) or ``.npy``, (M, J, 2) px.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it holds no such array or table, or its poses are of no use: see
        :func:`check_usable`.
    """
    if path.suffix == ".csv":
        table = read_pose_table(path, skeleton)
    else:
        poses = _read_npy(path, skeleton)
        table = PoseTable(pictures=("",) * len(poses), poses_2d=poses)
    check_usable(path, table.poses_2d, skeleton, alike=True)
    return table


def _read_npy(path: Path, skeleton: Skeleton) -> NDArray[np.float64]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path}: no file of numpy's; write poses with numpy.save, as float32")
    try:
        # Mapping refuses a header that promises more than the file holds
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's parser lets many kinds of error through
        fault = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: not a plain array of numbers ({fault}); write it with numpy.save, as float32"
        ) from error
    joints = skeleton.n_joints
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected one array of numbers, poses (M, {joints}, 2) in px")
    if array.ndim != 3 or array.shape[1:] != (joints, 2) or not len(array):
        raise ValueError(
            f"{path}: expected poses (M, {joints}, 2), px, for the {joints} joints of "
            f"{skeleton.name!r}, got the shape {array.shape}"
        )
    return np.array(array, dtype=np.float64)


def check_usable(
    path: Path, poses: NDArray[np.float64], skeleton: Skeleton, *, alike: bool
) -> None:
    """Raise for poses (N, J, 2), px, that no use can be made of.

    Parameters
    ----------
    path
        Their file, for the error.
    alike
        Whether they should be many complete and different ones; labels of a test need not.

    Raises
    ------
    ValueError
        If a coordinate is infinite or absurd, a joint is never there, no number exceeds 2, or root
        and top always coincide; with ``alike`` also if no pose is complete, or all are the same.
    """
    if (mad := np.abs(poses) > MAX_PX).any():
        raise ValueError(
            f"{path}: pose {int(mad.any(axis=(1, 2)).argmax())} holds numbers beyond any picture, "
            f"infinite or above {MAX_PX:g}; expected px"
        )
    known = np.isfinite(poses[..., 0]) & np.isfinite(poses[..., 1])
    if never := [j for i, j in enumerate(skeleton.joints) if not known[:, i].any()]:
        raise ValueError(
            f"{path}: no pose has the joint {never[0]!r}; fill it in, or leave it out of the "
            "skeleton"
        )
    whole = poses[known.all(axis=1)]
    if not len(whole) and alike:
        raise ValueError(
            f"{path}: every one of the {len(poses)} poses lacks a joint; expected some with all "
            f"{skeleton.n_joints} joints"
        )
    if np.nanmax(np.abs(poses)) <= 2:
        raise ValueError(
            f"{path}: all coordinates lie within -2..2; expected pixels, so multiply by the "
            "picture's width and height"
        )
    spans = np.linalg.norm(poses[:, skeleton.top] - poses[:, skeleton.root], axis=-1)
    if not (spans > 0).any():
        raise ValueError(
            f"{path}: {skeleton.joints[skeleton.root]!r} and {skeleton.joints[skeleton.top]!r} "
            "coincide in every pose, but their distance gives the scale; are the joints' columns "
            "in order?"
        )
    centred = whole - whole[:, skeleton.root : skeleton.root + 1]
    if alike and not np.ptp(centred, axis=0).any():
        raise ValueError(
            f"{path}: all {len(whole)} complete poses are the same but for their place; expected "
            "hundreds of different ones"
        )


def check_inside(path: Path, poses: NDArray[np.float64], sizes: NDArray[np.float64]) -> None:
    """Raise ``ValueError`` if most joints lie far outside pictures of ``sizes`` (N, 2), px."""
    relative = poses / sizes[:, None, :]
    outside = ((relative < -0.25) | (relative > 1.25)).any(axis=-1)
    share = outside.sum() / max(1, np.isfinite(relative).all(axis=-1).sum())
    if share > OUTSIDE_SHARE:
        raise ValueError(
            f"{path}: {share:.0%} of the joints lie far outside their picture of "
            f"{size_text(tuple(sizes[0]))} px; were they measured in one of another size (width, "
            "height, poses_size), or is y counted upwards?"
        )


__all__ = ["check_inside", "check_usable", "read_poses"]
