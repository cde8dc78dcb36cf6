"""Hands from files: the Rendered Hand Pose data set (RHD) and FreiHAND, in one order of joints.

Both have 21 joints. FreiHAND's stand from the base of each finger to its tip, which is the order
of :data:`selfpose.bodies.HAND_21`; RHD's stand from tip to base after the wrist, and are turned
round here. Both give metres in the camera's frame, which become millimetres. Keypoints are what the
cameras' matrices project 3D joints to and are left as they are: RHD's principal point is the middle
of its pictures, so that they are counted from the corner.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selfpose.bodies import FINGERS, HAND_21
from selfpose.data.checks import expect_array, reprojection_error
from selfpose.data.reader import Camera, Clip, Frame, Split
from selfpose.data.safe import load_pickle
from selfpose.data.tables import read_json

Side = Literal["right", "left", "both"]

MM_PER_M = 1000.0
RHD_ORDER = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (4, 3, 2, 1)))
"""The names of RHD's 21 joints of one hand in its files' order: each finger from its tip."""
FREIHAND_BACKGROUNDS = 4
"""FreiHAND's training samples are there with so many backgrounds, one block after another."""

_LONG_FINGERS = FINGERS[1:]
_HAND_MM = (40.0, 160.0)  # mean distance from the wrist to the bases of the four long fingers
_MAX_ERROR_PX = 2.0
_LOOK_AT = 500


class RHD:
    """Reader of the Rendered Hand Pose data set (Zimmermann & Brox 2017), version 2.

    ``root/training/anno_training.pickle`` and ``root/training/color/00000.png``, the same with
    ``evaluation``, which is the test. Each picture shows two hands; that one is taken of which more
    joints are visible. The pickle is read by an unpickler that admits numbers alone.

    Parameters
    ----------
    root
        The folder ``RHD_published_v2``.
    side
        ``right`` and ``left``: only pictures in which that hand was taken; ``both``: all of them.
        A mirrored hand is another body to the method, so that one side is the default.
    min_visible
        How many of its 21 joints must be visible.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder is not laid out so, or an option is none.
    """

    name = "rhd"
    skeleton = HAND_21

    def __init__(self, *, root: str | Path, side: Side = "right", min_visible: int = 10) -> None:
        self.root = Path(root)
        if side not in ("right", "left", "both"):
            raise ValueError(f"side must be right, left or both, got {side!r}")
        if not 1 <= min_visible <= HAND_21.n_joints:
            raise ValueError(f"min_visible must lie in 1..{HAND_21.n_joints}, got {min_visible}")
        self.side, self.min_visible = side, min_visible
        if not any(self._labels(split).is_file() for split in ("training", "evaluation")):
            raise FileNotFoundError(
                f"{self._labels('training')}: no such file, and none for evaluation; root should "
                "be the folder RHD_published_v2"
            )

    def clips(self, split: Split) -> Iterator[Clip]:
        """Each picture a clip of one frame: ``training/00012``, its activity the hand's side.

        Raises
        ------
        ValueError
            If the pickle holds other than it should, or its numbers cannot be a hand's.
        FileNotFoundError
            If a picture is missing.
        """
        part = "training" if split == "train" else "evaluation"
        path = self._labels(part)
        if not path.is_file():
            return
        samples = load_pickle(path)
        if not isinstance(samples, dict) or not samples:
            raise ValueError(f"{path}: expected a dict of samples by number")
        if bad := [number for number in samples if type(number) is not int or number < 0]:
            raise ValueError(f"{path}: samples are named by numbers, got {bad[0]!r}")
        numbers = sorted(samples)
        step = max(1, len(numbers) // _LOOK_AT)
        seen = [self._hand(path, n, samples[n]) for n in numbers[::step]]
        require_hands(path, np.stack([hand[1] for hand in seen]))
        for number in numbers:
            flat, solid, side, n_visible, camera = self._hand(path, number, samples[number])
            if n_visible < self.min_visible or self.side not in (side, "both"):
                continue
            picture = path.parent / "color" / f"{number:05d}.png"
            yield _clip(path, f"{part}/{number:05d}", (picture,), flat, solid, camera, side)

    def describe(self) -> dict[str, object]:
        """Facts for records: format, order of the joints, units, the side taken."""
        return {
            "format": "Rendered Hand Pose data set",
            "source_joints": list(RHD_ORDER),
            "units": {"2d": "px", "3d": "m in the files, mm here"},
            "side": self.side,
            "min_visible": self.min_visible,
        }

    def _labels(self, part: str) -> Path:
        return self.root / part / f"anno_{part}.pickle"

    def _hand(
        self, path: Path, number: int, sample: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], str, int, Camera]:
        """px, mm, side and number of visible joints of the hand that more is seen of."""
        what = f"sample {number}"
        if not isinstance(sample, dict) or not {"uv_vis", "xyz", "K"} <= set(sample):
            raise ValueError(f"{path}: {what}: expected uv_vis, xyz and K")
        uv = expect_array(sample["uv_vis"], (42, 3), path=path, what=f"{what}: uv_vis")
        xyz = expect_array(sample["xyz"], (42, 3), path=path, what=f"{what}: xyz")
        matrix = expect_array(sample["K"], (3, 3), path=path, what=f"{what}: K")
        visible = (uv[:, 2] > 0).reshape(2, 21).sum(axis=1)
        hand = int(visible[1] >= visible[0])
        rows = [21 * hand + RHD_ORDER.index(joint) for joint in HAND_21.joints]
        return (
            uv[rows, :2],
            MM_PER_M * xyz[rows],
            ("left", "right")[hand],
            int(visible[hand]),
            _camera(path, what, matrix),
        )


class FreiHAND:
    """Reader of FreiHAND (Zimmermann et al. 2019): right hands, 224 px.

    ``root/training_xyz.json``, ``training_K.json`` and ``root/training/rgb/00000000.jpg``; the
    32,560 samples of the training part are there four times with other backgrounds (130,240
    pictures), and those of one sample are one clip. The test is ``evaluation_xyz.json``,
    ``evaluation_K.json`` and ``root/evaluation/rgb``, where they are there. 2D poses are the
    projections of 3D ones.

    Parameters
    ----------
    root
        The folder that the files were unpacked in.
    backgrounds
        How many of the four to read; the first is the green screen of the recording.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder is not laid out so, or its numbers do not fit together.
    """

    name = "freihand"
    skeleton = HAND_21

    def __init__(self, *, root: str | Path, backgrounds: int = FREIHAND_BACKGROUNDS) -> None:
        self.root = Path(root)
        if not 1 <= backgrounds <= FREIHAND_BACKGROUNDS:
            raise ValueError(
                f"backgrounds must lie in 1..{FREIHAND_BACKGROUNDS}, got {backgrounds}"
            )
        self.backgrounds = backgrounds
        for path in (self.root / "training_xyz.json", self.root / "training_K.json"):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: no such file; root should be the folder that FreiHAND was unpacked in"
                )

    def clips(self, split: Split) -> Iterator[Clip]:
        """Each sample a clip, of as many frames as backgrounds: ``training/00000012``.

        Raises
        ------
        ValueError
            If a file is broken, or its numbers cannot be a hand's.
        FileNotFoundError
            If a picture is missing.
        """
        part = "training" if split == "train" else "evaluation"
        path = self.root / f"{part}_xyz.json"
        if split == "test" and not path.is_file():
            return
        poses = MM_PER_M * _array(path, (None, 21, 3))
        path_k = self.root / f"{part}_K.json"
        matrices = _array(path_k, (None, 3, 3))
        if len(poses) != len(matrices):
            raise ValueError(
                f"{path_k}: holds {len(matrices)} cameras for {len(poses)} poses of {path.name}"
            )
        require_hands(path, poses[:: max(1, len(poses) // _LOOK_AT)], right=True)
        folder = self.root / part / "rgb"
        folder = folder if folder.is_dir() or split == "test" else self.root / "rgb"
        versions = self.backgrounds if split == "train" else 1
        for k, (pose, matrix) in enumerate(zip(poses, matrices, strict=True)):
            camera = _camera(path_k, f"sample {k}", matrix)
            if not pose[:, 2].min() > 0:
                raise ValueError(f"{path}: sample {k}: a joint lies behind the camera")
            pictures = tuple(folder / f"{k + v * len(poses):08d}.jpg" for v in range(versions))
            yield _clip(
                path, f"{part}/{k:08d}", pictures, camera.project(pose), pose, camera, "right"
            )

    def describe(self) -> dict[str, object]:
        """Facts for records: format, order of the joints, units, backgrounds."""
        return {
            "format": "FreiHAND",
            "source_joints": list(HAND_21.joints),
            "units": {"2d": "px, projected", "3d": "m in the files, mm here"},
            "side": "right",
            "backgrounds": self.backgrounds,
            "has_test": (self.root / "evaluation_xyz.json").is_file(),
        }


def require_hands(path: Path, poses: NDArray[np.float64], *, right: bool | None = None) -> None:
    """Refuse poses (N, 21, 3), mm, in HAND_21's order, that cannot be hands'.

    Over the mean of the samples, a finger's bones get shorter from the palm to the tip, and the
    wrist is further from the base of the four long fingers than any of their bones is long.

    Parameters
    ----------
    path
        Their file, for the error.
    right
        Whether most must be right hands, or left ones; ``None``: any.

    Raises
    ------
    ValueError
        If units, the order of the joints, or the side are not what they should be.
    """
    bones = {
        k: float(
            np.mean(
                [
                    np.linalg.norm(poses[:, b] - poses[:, a], axis=-1)
                    for a, b in ((_start(finger, k), _index(finger, k)) for finger in _LONG_FINGERS)
                ]
            )
        )
        for k in (1, 2, 3, 4)
    }
    if bones[2] < bones[4]:
        raise ValueError(
            f"{path}: the fingers' last bones are longer than their first ({bones[4]:.3g} mm, "
            f"{bones[2]:.3g} mm): the joints seem to stand from tip to base; expected the "
            "published order"
        )
    if bones[1] < max(bones[2], bones[3], bones[4]):
        raise ValueError(
            f"{path}: the wrist lies {bones[1]:.3g} mm from the fingers' bases, less than a bone "
            "of a finger: the joints stand in another order than the published one"
        )
    if not _HAND_MM[0] <= bones[1] <= _HAND_MM[1]:
        raise ValueError(
            f"{path}: wrist and fingers' bases are {bones[1]:.4g} mm apart; expected "
            f"{_HAND_MM[0]:g}..{_HAND_MM[1]:g}: metres in the files, joints in the published order"
        )
    share = share_of_right_hands(poses)
    if right is not None and (share < 0.3 if right else share > 0.7):
        raise ValueError(
            f"{path}: most hands bend like {'left' if right else 'right'} ones ({share:.0%} "
            "right): are x or z mirrored, or the sides exchanged?"
        )


def share_of_right_hands(poses: NDArray[np.floating]) -> float:
    """How many of (N, 21, 3), in HAND_21's order and the camera's frame, bend as right hands do.

    Fingers bend towards the palm. Index × little finger, seen from the wrist, points out of a right
    hand's palm, and out of the back of a left one.
    """
    wrist = poses[:, HAND_21.index("wrist")]
    towards_palm = np.cross(
        poses[:, _index("index", 1)] - wrist, poses[:, _index("little", 1)] - wrist
    )
    bend = sum(
        poses[:, _index(finger, 4)] - poses[:, _index(finger, 1)] for finger in _LONG_FINGERS
    )
    return float((np.sum(bend * towards_palm, axis=-1) > 0).mean())


def _index(finger: str, k: int) -> int:
    return HAND_21.index(f"{finger}_{k}")


def _start(finger: str, k: int) -> int:
    return HAND_21.index("wrist") if k == 1 else _index(finger, k - 1)


def _clip(
    path: Path,
    name: str,
    pictures: tuple[Path, ...],
    flat: NDArray[np.float64],
    solid: NDArray[np.float64],
    camera: Camera,
    side: str,
) -> Clip:
    """A clip of one pose, before one background or more; checked by projection."""
    for picture in pictures:
        if not picture.is_file():
            raise FileNotFoundError(f"{picture}: no such picture, but {path.name} has its label")
    n = len(pictures)
    clip = Clip(
        name=name,
        activity=side,
        pictures=tuple(Frame(path=picture) for picture in pictures),
        poses_2d=np.repeat(flat[None], n, axis=0),
        poses_3d=np.repeat(solid[None], n, axis=0),
        camera=camera,
    )
    error = reprojection_error(clip)
    if error is not None and error > _MAX_ERROR_PX:
        raise ValueError(
            f"{path}: {name}: 3D joints project {error:.3g} px from the 2D ones; expected less "
            f"than {_MAX_ERROR_PX:g}. Do xyz, K and uv_vis belong together?"
        )
    return clip


def _camera(path: Path, what: str, matrix: NDArray[np.float64]) -> Camera:
    if abs(matrix[0, 1]) > 1e-6 or not np.allclose(
        matrix[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]
    ):
        raise ValueError(
            f"{path}: {what}: K must be fx 0 cx, 0 fy cy, 0 0 1, got {matrix.round(3).tolist()}"
        )
    try:
        return Camera(
            focal=(float(matrix[0, 0]), float(matrix[1, 1])),
            principal=(float(matrix[0, 2]), float(matrix[1, 2])),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {what}: {error}") from error


def _array(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    data = read_json(path)
    try:
        array = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: expected a list of equal lists of numbers ({error})") from error
    array = expect_array(array, shape, path=path, what="the list")
    if not len(array):
        raise ValueError(f"{path}: the list is empty")
    return array


__all__ = ["RHD", "RHD_ORDER", "FreiHAND", "require_hands", "share_of_right_hands"]
