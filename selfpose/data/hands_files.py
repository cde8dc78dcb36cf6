"""Hands from files: the Rendered Hand Pose data set (RHD) and FreiHAND, in one order of joints.

FreiHAND's 21 joints stand from the base of each finger to its tip, which is the order of
:data:`selfpose.skeleton.HAND_21`; RHD's stand from tip to base after the wrist, and are turned
round here. Both give metres in the camera's frame, which become millimetres. RHD's principal point
is the middle of its pictures: its keypoints are counted from the corner, and left as they are.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from selfpose.data.arrays import expect, load_pickle, reading
from selfpose.data.reader import Camera, Clip, Frame, Split
from selfpose.data.shared import FileReader, existing
from selfpose.skeleton import FINGERS, HAND_21

RHD_ORDER = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (4, 3, 2, 1)))
"""The names of RHD's 21 joints of one hand in its files' order: each finger from its tip."""
_PART: dict[Split, str] = {"train": "training", "test": "evaluation"}


@dataclass(kw_only=True)
class RHD(FileReader):
    """The Rendered Hand Pose data set (Zimmermann & Brox 2017), version 2.

    ``root/training/anno_training.pickle`` and ``root/training/color/00000.png``, the same with
    ``evaluation``, which is the test. Each picture shows two hands; that one is taken of which more
    joints are visible, if ``min_visible`` of its 21 are and it is of the ``side`` (or ``both``): a
    mirrored hand is another body to the method.
    """

    side: Literal["right", "left", "both"] = "right"
    min_visible: int = 10

    name = "rhd"
    skeleton = HAND_21

    def __post_init__(self) -> None:
        if self.side not in ("right", "left", "both"):
            raise ValueError(f"side must be right, left or both, got {self.side!r}")
        self._files = {s: Path(self.root) / p / f"anno_{p}.pickle" for s, p in _PART.items()}
        if not any(path.is_file() for path in self._files.values()):
            existing(self._files["train"], "root should be the folder RHD_published_v2")

    def clips(self, split: Split) -> Iterator[Clip]:
        """Each picture a clip of one frame: ``training/00012``, its activity the hand's side."""
        path = self._files[split]
        for number, sample in sorted(load_pickle(path).items()) if path.is_file() else ():
            with reading(path):
                uv, xyz, matrix = (sample[key] for key in ("uv_vis", "xyz", "K"))
            uv = expect(path, f"{number}: uv_vis", uv, 42, 3)  # px, visible; left hand first
            xyz = 1000.0 * expect(path, f"{number}: xyz", xyz, 42, 3)
            visible = (uv[:, 2] > 0).reshape(2, 21).sum(axis=1)
            hand = int(visible[1] >= visible[0])
            side = ("left", "right")[hand]
            if visible[hand] < self.min_visible or self.side not in (side, "both"):
                continue
            rows = [21 * hand + RHD_ORDER.index(joint) for joint in HAND_21.joints]
            picture = path.parent / "color" / f"{number:05d}.png"
            camera = _camera(expect(path, f"{number}: K", matrix, 3, 3))
            name = f"{_PART[split]}/{number:05d}"
            yield _clip(name, [picture], uv[rows, :2], xyz[rows], camera, side)


@dataclass(kw_only=True)
class FreiHAND(FileReader):
    """FreiHAND (Zimmermann et al. 2019): right hands, 224 px.

    ``root/training_xyz.json``, ``training_K.json`` and ``root/training/rgb/00000000.jpg``; the
    32,560 samples are there four times with other ``backgrounds``, the first of them a green
    screen, and the pictures of one sample are one clip. The test is the same with ``evaluation``,
    where it is there. 2D poses are the projections of 3D ones.
    """

    backgrounds: int = 4

    name = "freihand"
    skeleton = HAND_21

    def __post_init__(self) -> None:
        existing(Path(self.root) / "training_xyz.json", "root is the folder of FreiHAND's archive")

    def clips(self, split: Split) -> Iterator[Clip]:
        """Each sample a clip, of as many frames as backgrounds: ``training/00000012``."""
        root, part = Path(self.root), _PART[split]
        path = root / f"{part}_xyz.json"
        if split == "test" and not path.is_file():
            return
        poses = 1000.0 * _array(path, None, 21, 3)
        matrices = _array(root / f"{part}_K.json", len(poses), 3, 3)
        versions = self.backgrounds if split == "train" else 1
        for k, (pose, matrix) in enumerate(zip(poses, matrices, strict=True)):
            pictures = [root / part / f"rgb/{k + v * len(poses):08d}.jpg" for v in range(versions)]
            camera, name = _camera(matrix), f"{part}/{k:08d}"
            yield _clip(name, pictures, camera.project(pose), pose, camera, "right")


def _array(path: Path, *shape: int | None) -> Float[np.ndarray, "..."]:
    with reading(path):
        content = json.loads(path.read_text())
    return expect(path, "the list", content, *shape)


def _camera(matrix: Float[np.ndarray, "3 3"]) -> Camera:
    """K is fx 0 cx, 0 fy cy, 0 0 1."""
    (fx, _, cx), (_, fy, cy), _ = matrix.tolist()
    return Camera(focal=(fx, fy), principal=(cx, cy))


def _clip(
    name: str,
    pictures: list[Path],
    pose_2d: Float[np.ndarray, "21 2"],
    pose_3d: Float[np.ndarray, "21 3"],
    camera: Camera,
    side: str,
) -> Clip:
    """One pose before one background or more."""
    n = len(pictures)
    return Clip(
        name=name,
        activity=side,
        pictures=tuple(Frame(path=existing(p, "extract the archive again")) for p in pictures),
        poses_2d=np.repeat(pose_2d[None], n, axis=0),
        poses_3d=np.repeat(pose_3d[None], n, axis=0),
        camera=camera,
    )
