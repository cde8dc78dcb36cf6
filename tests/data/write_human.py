"""A person of known measures who walks about, for tests that write files in other people's formats.

Independent of the library's own generators on purpose: a fault there must not hide a fault in a
reader. Poses have the 17 joints of ``HUMAN_17``; the world is x right, y down, z forward, in mm.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from selfpose.data.reader import Clip, Reader

# mm, roughly an adult's.
THIGH, SHIN, HIP, LUMBAR, CHEST, NECK, HEAD = 450.0, 440.0, 130.0, 235.0, 255.0, 115.0, 115.0
SHOULDER, UPPER_ARM, FOREARM = 150.0, 280.0, 250.0

H36M_17 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# Of MPI-INF-3DHP's 28 joints those of HUMAN_17, in its order, written down by hand.
HUMAN_17_IN_28 = [4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]
MPI_TEST_17 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]  # of the 28


def person(t: int, *, seed: int = 0) -> np.ndarray:
    """(T, 17, 3) mm, world frame: walks about, knees bend forwards, arms swing."""
    rng = np.random.default_rng(seed)
    s = np.linspace(0, 4 * np.pi, t) + rng.uniform(0, 6)
    yaw = rng.uniform(0, 6) + 0.9 * np.sin(0.4 * s) + 0.5 * s
    at = np.stack([900 * np.sin(0.5 * s), np.full(t, -930.0), 900 * np.cos(0.35 * s)], -1)
    pose = np.zeros((t, 17, 3))

    def bone(pitch, roll=0.0, *, length):
        """Hanging down, swung forwards by pitch and outwards (to the right) by roll."""
        pitch, roll = pitch + np.zeros(t), roll + np.zeros(t)
        y, z = np.cos(pitch) * np.cos(roll), np.sin(pitch) * np.cos(roll)
        return length * np.stack([np.sin(roll), y, z], axis=-1)

    lean = 0.1 + 0.15 * np.sin(0.7 * s)
    trunk = bone(np.pi - lean, 0.05 * np.sin(s), length=1.0)  # upwards, leaning forwards
    pose[:, 7], pose[:, 8] = trunk * LUMBAR, trunk * (LUMBAR + CHEST)
    pose[:, 9] = pose[:, 8] + bone(np.pi - lean - 0.2, length=NECK)
    pose[:, 10] = pose[:, 9] + bone(np.pi - 0.05, length=HEAD)
    for side, hip, shoulder, phase in ((1.0, 1, 14, 0.0), (-1.0, 4, 11, np.pi)):
        swing, bend = 0.5 * np.sin(3 * s + phase), 0.6 + 0.45 * np.cos(3 * s + phase)
        pose[:, hip] = [side * HIP, 0, 0]
        pose[:, hip + 1] = pose[:, hip] + bone(swing + 0.3, length=THIGH)
        pose[:, hip + 2] = pose[:, hip + 1] + bone(swing + 0.3 - bend, length=SHIN)
        pose[:, shoulder] = pose[:, 8] + [side * SHOULDER, 20, 0]
        pose[:, shoulder + 1] = pose[:, shoulder] + bone(-swing, side * 0.2, length=UPPER_ARM)
        pose[:, shoulder + 2] = pose[:, shoulder + 1] + bone(
            0.8 - swing, side * 0.1, length=FOREARM
        )
    # The body's own frame has x to its right, y down and z forwards; turn it about y.
    c, sn = np.cos(yaw), np.sin(yaw)
    turned = pose.copy()
    turned[..., 0] = c[:, None] * pose[..., 0] + sn[:, None] * pose[..., 2]
    turned[..., 2] = -sn[:, None] * pose[..., 0] + c[:, None] * pose[..., 2]
    return turned + at[:, None]


FOCAL, PRINCIPAL = np.array([1145.0, 1143.0]), np.array([512.5, 515.4])


def to_camera(world: np.ndarray, *, azimuth: float = 0.3) -> np.ndarray:
    """Into the frame of a level camera that looks slightly down."""
    c, s, tilt = np.cos(azimuth), np.sin(azimuth), 0.12
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    down = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return world @ (down @ about_y).T + [0.0, 1100.0, 4500.0]


def to_pixels(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / points[..., 2:] * FOCAL + PRINCIPAL


def seen(t: int, *, seed: int = 0, azimuth: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """(T, 17, 2) px and (T, 17, 3) mm in the camera's frame."""
    points = to_camera(person(t, seed=seed), azimuth=azimuth)
    return to_pixels(points), points


def to_32(pose: np.ndarray) -> np.ndarray:
    """The 32 joints of Human3.6M's own files; those outside the 17 are put far off."""
    full = np.full((*pose.shape[:-2], 32, pose.shape[-1]), -4321.0)
    full[..., H36M_17, :] = pose
    return full


def to_28(pose: np.ndarray) -> np.ndarray:
    """The 28 joints of MPI-INF-3DHP; those outside the 17 are put far off."""
    full = np.full((*pose.shape[:-2], 28, pose.shape[-1]), -4321.0)
    full[..., HUMAN_17_IN_28, :] = pose
    return full


def picture(path: Path) -> None:
    """An empty file in the place of a picture: readers do not open them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def mmpose_table(
    clips: list[tuple[list[str], np.ndarray, np.ndarray]], scale: float = 3.5
) -> dict[str, np.ndarray]:
    """MMPose's arrays of clips, each of its pictures' names, (T, 17, 2) px and (T, 17, 3) mm."""
    flat, space = (np.concatenate([clip[k] for clip in clips]) for k in (1, 2))
    seen = np.ones((len(flat), 17, 1))
    return {
        "imgname": np.concatenate([names for names, _, _ in clips]),
        "center": flat.mean(1),
        "scale": np.full(len(flat), scale),  # the box's side over 200 px
        "part": np.concatenate([flat, seen], -1),
        "S": np.concatenate([space / 1000, seen], -1),
    }


def by_name(reader: Reader, split: Any) -> dict[str, Clip]:
    clips = {clip.name: clip for clip in reader.clips(split)}
    assert [c.name for c in reader.clips(split)] == list(clips)  # the same again, none twice
    return clips


def to_cells(arrays: list[np.ndarray]) -> np.ndarray:
    """A cell array, N × 1, as ``scipy.io.savemat`` writes it."""
    cells = np.empty((len(arrays), 1), dtype=object)
    cells[:, 0] = arrays
    return cells


def write_mat73(path: Path, content: dict[str, Any]) -> None:
    """Version 7.3 as MATLAB writes it: reversed axes, cells by reference, a 512-byte user block."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            if isinstance(value, list):
                made = [
                    file.create_dataset(f"#refs#/{name}{n}", data=v.T) for n, v in enumerate(value)
                ]
                value = np.array([m.ref for m in made], dtype=h5py.ref_dtype)[:, None]
            file.create_dataset(name, data=value.T)
    with path.open("r+b") as block:
        block.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
