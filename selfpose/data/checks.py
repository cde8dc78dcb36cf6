"""Is what a reader hands over what it should be? Units, order of joints, sides, cameras.

Files seldom say their units, and the orders of joints that circulate under one name differ. Each
check compares a clip with what a body or a camera must obey, and says in one line what is wrong.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from selfpose.data.reader import Clip
from selfpose.data.rows import even_rows
from selfpose.data.shared import fit_camera
from selfpose.skeleton import HUMAN_17, Skeleton

HUMAN_BONE_MM = 259.0
"""Mean length of the 16 bones of an adult; its thigh is 1.737 of them, about 450 mm."""
MAX_REPROJECTION_PX = 4.0
"""A lens that distorts costs a pinhole camera a pixel or two; a wrong joint costs tens."""
UNITS_MM = {"metres": 1e-3, "centimetres": 0.1, "inches": 1 / 25.4, "micrometres": 1e3}
_BENT = np.cos(np.deg2rad(155))  # a knee bent by 25 degrees or more says where the front is
_FRAMES = 400  # looked at, evenly spread


def bone_lengths(poses: Float[ndarray, "T J D"], skeleton: Skeleton) -> Float[ndarray, " B"]:
    """Median length of each bone over the frames; NaN if unknown."""
    parents, children = np.array(skeleton.bones).T
    lengths = np.linalg.norm(poses[:, children] - poses[:, parents], axis=-1)
    return np.array([np.median(of[np.isfinite(of)]) if np.isfinite(of).any() else np.nan
                     for of in lengths.T])  # fmt: skip


def reprojection_error(clip: Clip) -> float | None:
    """Median distance in px of the projected 3D poses from the 2D poses, if the clip has both.

    By the clip's camera, or by one that is fitted; ``ValueError`` if there is none that fits.
    """
    if clip.poses_2d is None or clip.poses_3d is None:
        return None
    frames = even_rows(len(clip), most=_FRAMES)
    points, pixels = clip.poses_3d[frames].astype(np.float64), clip.poses_2d[frames]
    camera = clip.camera or fit_camera(points, pixels, clip.name)
    assert camera is not None  # whoever fits none says so
    return float(np.nanmedian(np.linalg.norm(camera.project(points) - pixels, axis=-1)))


def check_clip(clip: Clip, skeleton: Skeleton) -> list[str]:
    """What is wrong with a clip, in one line each; looks at up to 400 frames spread over it."""
    for poses in (clip.poses_2d, clip.poses_3d):
        if poses is not None and poses.shape[1] != skeleton.n_joints:
            return [f"{poses.shape[1]} joints, expected {skeleton.n_joints} ({skeleton.name})"]
    found: list[str] = []
    if clip.poses_3d is not None and np.isfinite(clip.poses_3d).any():
        frames = even_rows(len(clip), most=_FRAMES)
        found += _about_3d(clip.poses_3d[frames].astype(np.float64), skeleton)
    try:
        error = reprojection_error(clip)
    except ValueError as fault:
        return [*found, str(fault)]
    if error is not None and error > MAX_REPROJECTION_PX:
        found.append(
            f"projected 3D poses lie {error:.3g} px (median) from the 2D poses: other joints, "
            "other frames or another camera?"
        )
    return found


def _about_3d(poses: Float[ndarray, "T J 3"], skeleton: Skeleton) -> Iterator[str]:
    human = skeleton.name == HUMAN_17.name
    size = float(np.nanmean(bone_lengths(poses, skeleton))) / HUMAN_BONE_MM
    if human and not 0.5 <= size <= 2:
        unit = min(UNITS_MM, key=lambda name: abs(np.log(max(size, 1e-9) / UNITS_MM[name])))
        yield f"bones of {size * HUMAN_BONE_MM:.3g} mm, expected about 259 mm; are these {unit}?"
    if (poses[..., 2] <= 0).any():
        yield (
            f"{(poses[..., 2] <= 0).mean():.0%} of the 3D joints lie behind the camera: are these "
            "root-centred, or in the world's frame?"
        )
    if human:
        yield from _about_sides(poses, skeleton)


def _about_sides(poses: Float[ndarray, "T J 3"], skeleton: Skeleton) -> Iterator[str]:
    """Knees bend forwards; forwards is right × down in a frame like the camera's."""

    def at(joint: str) -> Float[ndarray, "T 3"]:
        return poses[:, skeleton.index(joint)]

    forward = np.cross(at("right_hip") - at("left_hip"), at("hip") - at("thorax"))
    votes = []
    for side in ("left", "right"):
        up = at(f"{side}_hip") - at(f"{side}_knee")
        down = at(f"{side}_ankle") - at(f"{side}_knee")
        lengths = np.linalg.norm(up, axis=-1) * np.linalg.norm(down, axis=-1)
        bulge = -(up + down)  # from the middle of hip and ankle towards the knee
        votes.append(((bulge * forward).sum(-1) > 0)[(up * down).sum(-1) > _BENT * lengths])
    bent = np.concatenate(votes)
    if len(bent) >= 8 and bent.mean() <= 0.2:
        yield (
            f"knees bend backwards in {1 - bent.mean():.0%} of the {len(bent)} bent legs: are left "
            "and right swapped, or is a coordinate mirrored?"
        )
