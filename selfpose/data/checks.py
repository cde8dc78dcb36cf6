"""Is what a reader hands over what it should be? Units, order of joints, sides, upright, cameras.

Files seldom say their units, and the orders of joints that circulate under one name differ. Each
check here compares a clip with what a body or a camera must obey, and says in one line what is
wrong and what is likely behind it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfpose.data.reader import SPLITS, Camera, Clip
from selfpose.data.rows import even_rows
from selfpose.skeleton import HUMAN_17, Skeleton

# Mean bone length of an adult, mm, over the bones of a skeleton. Human3.6M's people have thighs of
# about 450 mm, and a thigh is 1.737 mean bones there.
MEAN_BONE_MM = {HUMAN_17.name: 259.0}
MAX_REPROJECTION_PX = 2.0
_UNITS = {
    "metres": 1e-3,
    "centimetres": 0.1,
    "inches": 1 / 25.4,
    "millimetres taken for metres": 1e3,
}
_MAX_FRAMES = 400  # looked at, evenly spread: enough to tell, and quick
_BENT = np.cos(np.deg2rad(155))  # a knee bent by 25 degrees or more says where the front is
_MIN_BENT = 8
_MAX_OUTSIDE = 0.5  # share of a clip's joints that may lie far outside their boxes
_UNUSUAL = 2.5  # times a bone's share of the body


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong with a clip; ``fault``: it cannot be right, else only unusual."""

    text: str
    fault: bool


def check_clip(clip: Clip, skeleton: Skeleton) -> list[str]:
    """What is wrong, or looks wrong, with a clip: one line each, the worst first.

    Looks at up to 400 frames spread over the clip: finite numbers, units and proportions of bones
    (0.5 to 2 times a human's mean bone length), depth before the camera, 3D against 2D (median
    within 2 px, by the clip's camera or one estimated from the clip), knees that bend forwards
    (left on the left), head above feet, boxes and frame numbers. An empty list: nothing found.
    """
    return [finding.text for finding in findings(clip, skeleton)]


def require_plausible(
    clip: Clip,
    skeleton: Skeleton,
    *,
    path: str | Path,
    upright: bool = True,
    projected: bool = True,
) -> None:
    """Refuse a clip that cannot be right.

    Parameters
    ----------
    path
        The file that the clip came from, for the message.
    upright
        Also refuse a clip in which people stand on their heads most of the time: for clips in
        which nobody lies on the floor.
    projected
        Refuse a clip whose 3D poses do not lie on its 2D poses.

    Raises
    ------
    ValueError
        Names the file, the clip and its worst fault.
    """
    found = [
        f
        for f in findings(clip, skeleton, projected=projected)
        if f.fault or (upright and f.text == _UPSIDE_DOWN)
    ]
    if found:
        raise ValueError(f"{path}: {clip.name}: {found[0].text}")


def require_split(split: str) -> None:
    """``ValueError`` with the known splits if there is no such one."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")


def expect_array(
    value: object,
    shape: tuple[int | None, ...],
    *,
    path: str | Path,
    what: str,
    finite: bool = True,
) -> NDArray[np.float64]:
    """An array of numbers of the expected shape (``None``: any length), as float64.

    The array itself, not a copy, where it is of that type.

    Raises
    ------
    ValueError
        Names the file, the array and what was expected.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{path}: {what}: expected an array of numbers, got {kind}")
    if value.ndim != len(shape) or any(
        e not in (None, n) for e, n in zip(shape, value.shape, strict=True)
    ):
        wanted = ", ".join("any" if e is None else str(e) for e in shape)
        raise ValueError(f"{path}: {what}: expected the shape ({wanted}), got {value.shape}")
    if finite and not np.isfinite(value).all():
        raise ValueError(f"{path}: {what}: holds numbers that are not finite")
    return value.astype(np.float64, copy=False)


def bone_lengths(poses: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """Median length of each bone over the frames of (T, J, 2 or 3): B lengths, NaN if unknown."""
    parents, children = np.array(skeleton.bones).T
    lengths = np.linalg.norm(poses[:, children] - poses[:, parents], axis=-1)
    known = np.isfinite(lengths).any(axis=0)
    medians = np.full(len(parents), np.nan)
    medians[known] = np.nanmedian(lengths[:, known], axis=0)
    return medians


def estimate_camera(
    points: NDArray[np.floating], pixels: NDArray[np.floating]
) -> tuple[Camera, float] | None:
    """The pinhole camera that takes points (…, 3) in its own frame to pixels (…, 2).

    u z = f x + c z is linear in the focal length f and the principal point c, for each axis.

    Returns
    -------
    The camera and its median error in px; ``None`` if fewer than 6 points are known, or no camera
    of positive focal length fits.
    """
    xyz = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    uv = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    known = np.isfinite(xyz).all(-1) & np.isfinite(uv).all(-1)
    xyz, uv = xyz[known], uv[known]
    if len(xyz) < 6 or xyz[:, 2].min() <= 0:
        return None
    plane = xyz[:, :2] / xyz[:, 2:]
    solved = []
    for axis in (0, 1):
        ones = np.ones(len(plane))
        (focal, principal), _, rank, _ = np.linalg.lstsq(
            np.stack([plane[:, axis], ones], axis=-1), uv[:, axis], rcond=None
        )
        if rank < 2 or not np.isfinite(focal) or focal <= 0:
            return None
        solved.append((float(focal), float(principal)))
    (fx, cx), (fy, cy) = solved
    camera = Camera(focal=(fx, fy), principal=(cx, cy))
    return camera, float(np.median(np.linalg.norm(camera.project(xyz) - uv, axis=-1)))


def reprojection_error(clip: Clip) -> float | None:
    """Median distance in px of the projected 3D poses from the 2D poses.

    By the clip's camera, or by the one that fits its poses best; ``None`` where the clip lacks
    either pose, ``inf`` where no camera fits at all.
    """
    if clip.poses_2d is None or clip.poses_3d is None:
        return None
    frames = even_rows(len(clip), most=_MAX_FRAMES)
    points, pixels = clip.poses_3d[frames].astype(np.float64), clip.poses_2d[frames]
    known = np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
    if known.sum() < 6:
        return None
    if clip.camera is None:
        fitted = estimate_camera(points, pixels)
        return np.inf if fitted is None else fitted[1]
    shown = clip.camera.project(points[known])
    return float(np.median(np.linalg.norm(shown - pixels[known], axis=-1)))


def findings(clip: Clip, skeleton: Skeleton, *, projected: bool = True) -> list[Finding]:
    if len(clip) == 0:
        return [Finding(text="holds no frame", fault=True)]
    n = skeleton.n_joints
    for what, poses in (("2D", clip.poses_2d), ("3D", clip.poses_3d)):
        if poses is not None and poses.shape[1] != n:
            text = f"{what} poses have {poses.shape[1]} joints, expected {n} ({skeleton.name})"
            return [Finding(text=text, fault=True)]
    found = [*_about_numbers(clip), *_about_boxes(clip)]
    frames = even_rows(len(clip), most=_MAX_FRAMES)
    if clip.poses_2d is not None:
        found += _about_2d(clip.poses_2d[frames])
    if clip.poses_3d is not None:
        in_space = clip.poses_3d[frames].astype(np.float64)
        if not np.isfinite(in_space).any():
            found.append(Finding(text="3D poses hold no finite number", fault=True))
        else:
            found += _about_3d(in_space, skeleton)
            found += _about_projection(clip) if projected else []
    found += _about_places(clip)
    return sorted(found, key=lambda f: not f.fault)  # stable: faults first, in the order found


def _about_2d(poses: NDArray[np.floating]) -> list[Finding]:
    if np.isinf(poses).any() or np.isnan(poses).all():
        return [Finding(text="2D poses hold no finite number, or infinite ones", fault=True)]
    unknown = float(np.isnan(poses).any(-1).mean())
    within = unknown == 0 and np.ptp(poses, axis=1).max() < 1.0
    if within and (len(poses) > 1 or np.abs(poses).max() <= 1.0):
        text = "every 2D pose lies within one px: expected px, are these normalised coordinates?"
        return [Finding(text=text, fault=True)]
    if unknown > 0.2:
        return [Finding(text=f"{unknown:.0%} of the 2D joints are unknown", fault=False)]
    return []


def _about_3d(poses: NDArray[np.float64], skeleton: Skeleton) -> list[Finding]:
    found = []
    if np.isinf(poses).any():
        return [Finding(text="3D poses hold infinite numbers", fault=True)]
    unknown = float(np.isnan(poses).any(-1).mean())
    if unknown:
        found.append(Finding(text=f"{unknown:.0%} of the 3D joints are unknown", fault=False))
    found += _about_bones(poses, skeleton)
    behind = float((poses[..., 2] <= 0).mean())
    if behind > 0:
        text = (
            f"{behind:.0%} of the 3D joints lie behind the camera (z <= 0): expected mm in the "
            "camera's frame, are these root-centred, or in the world's frame?"
        )
        found.append(Finding(text=text, fault=True))
    if skeleton.name == HUMAN_17.name:
        found += _about_sides(poses, skeleton)
        found += _about_upright(poses, skeleton)
    return found


def _about_bones(poses: NDArray[np.float64], skeleton: Skeleton) -> list[Finding]:
    lengths = bone_lengths(poses, skeleton)
    if not np.isfinite(lengths).all():
        return []
    mean = float(lengths.mean())
    if mean == 0:
        return [Finding(text="every bone has the length 0: the 3D poses are one point", fault=True)]
    expected = MEAN_BONE_MM.get(skeleton.name)
    if expected is not None and not 0.5 <= mean / expected <= 2:
        unit, factor = min(_UNITS.items(), key=lambda u: abs(np.log(mean / expected / u[1])))
        guess = f"; are these {unit}?" if 0.5 <= mean / expected / factor <= 2 else ""
        text = f"bones of {mean:.3g} mm on average, expected about {expected:.0f} mm{guess}"
        return [Finding(text=text, fault=True)]
    if skeleton.relative_bone_lengths is None:
        return []
    ratio = lengths / mean / np.array(skeleton.relative_bone_lengths)
    off = np.abs(np.log(np.maximum(ratio, 1e-9)))
    worst = int(off.argmax())
    if off[worst] <= np.log(_UNUSUAL):
        return []
    parent, child = (skeleton.joints[i] for i in skeleton.bones[worst])
    text = (
        f"the bone {parent}-{child} is {lengths[worst]:.3g} mm long, {ratio[worst]:.2g} times what "
        "the body's proportions say: are the joints in another order?"
    )
    # Data sets put a joint of the trunk some way off; another order puts many bones out.
    fault = bool(off[worst] > np.log(2 * _UNUSUAL) or (off > np.log(_UNUSUAL)).sum() >= 3)
    return [Finding(text=text, fault=fault)]


def _about_sides(poses: NDArray[np.float64], skeleton: Skeleton) -> list[Finding]:
    """Knees bend forwards; forwards is right × down in a frame like the camera's."""

    def at(joint: str) -> NDArray[np.float64]:
        return poses[:, skeleton.index(joint)]

    right = at("right_hip") - at("left_hip")
    forward = np.cross(right, at("hip") - at("thorax"))
    votes = []
    for side in ("left", "right"):
        hip, knee, ankle = (at(f"{side}_{joint}") for joint in ("hip", "knee", "ankle"))
        up, down = hip - knee, ankle - knee
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (up * down).sum(-1) / np.linalg.norm(up, axis=-1)
            cosine = cosine / np.linalg.norm(down, axis=-1)
        bulge = -(up + down)  # from the middle of hip and ankle towards the knee
        votes.append(((bulge * forward).sum(-1) > 0)[cosine > _BENT])
    bent = np.concatenate(votes)
    if len(bent) < _MIN_BENT or bent.mean() > 0.2:
        return []
    text = (
        f"knees bend backwards in {1 - bent.mean():.0%} of the {len(bent)} bent legs: are left and "
        "right swapped, or is a coordinate mirrored?"
    )
    return [Finding(text=text, fault=True)]


_UPSIDE_DOWN = "the head is below the feet in most frames: does y point up, or do people lie down?"


def _about_upright(poses: NDArray[np.float64], skeleton: Skeleton) -> list[Finding]:
    y = poses[..., 1]
    feet = (y[:, skeleton.index("left_ankle")] + y[:, skeleton.index("right_ankle")]) / 2
    below = y[:, skeleton.index("head")] > feet
    return [Finding(text=_UPSIDE_DOWN, fault=False)] if below.mean() > 0.5 else []


def _about_projection(clip: Clip) -> list[Finding]:
    error = reprojection_error(clip)
    if error is None or error <= MAX_REPROJECTION_PX:
        return []
    by = "the clip's camera" if clip.camera is not None else "the best camera there is"
    text = (
        f"3D poses, projected by {by}, lie {error:.3g} px (median) from the 2D poses, expected "
        f"{MAX_REPROJECTION_PX:g} px at most: other joints, other frames or another camera?"
    )
    # A lens that distorts costs a pinhole camera a pixel or two more; a wrong joint costs tens.
    return [Finding(text=text, fault=error > 2 * MAX_REPROJECTION_PX)]


def _about_boxes(clip: Clip) -> list[Finding]:
    if clip.boxes is None or (np.isfinite(clip.boxes).all() and (clip.boxes[:, 2] > 0).all()):
        return []
    return [Finding(text="boxes are not finite, or have no positive side", fault=True)]


def _about_places(clip: Clip) -> list[Finding]:
    """Joints lie in the square about their subject, or not far from it."""
    if clip.boxes is None or clip.poses_2d is None or _about_boxes(clip):
        return []
    frames = even_rows(len(clip), most=_MAX_FRAMES)
    centre, side = clip.boxes[frames, None, :2], clip.boxes[frames, None, 2:]
    far = np.abs(clip.poses_2d[frames] - centre) > side  # the box reaches half a side to each side
    known = np.isfinite(clip.poses_2d[frames]).all(axis=-1)
    share = float(np.any(far, axis=-1).sum() / max(1, known.sum()))  # NaN is far from nothing
    if share <= _MAX_OUTSIDE:
        return []
    text = (
        f"{share:.0%} of the 2D joints lie further from the middle of their box than its side: do "
        "boxes and poses count the pixels of one picture, from its upper left corner?"
    )
    return [Finding(text=text, fault=True)]


def _about_numbers(clip: Clip) -> list[Finding]:
    if clip.numbers is None or (np.diff(clip.numbers) > 0).all():
        return []
    return [Finding(text="frame numbers do not rise from frame to frame", fault=False)]


__all__ = [
    "MAX_REPROJECTION_PX",
    "MEAN_BONE_MM",
    "bone_lengths",
    "check_clip",
    "estimate_camera",
    "expect_array",
    "findings",
    "reprojection_error",
    "require_plausible",
    "require_split",
]
