"""A person of known measures who walks about, for tests that write files in other people's formats.

Independent of the library's own generators on purpose: a fault there must not hide a fault in a
reader. Poses have the 17 joints of ``HUMAN_17``; the world is x right, y down, z forward, in mm.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

# mm, roughly an adult's.
THIGH, SHIN, HIP, LUMBAR, CHEST, NECK, HEAD = 450.0, 440.0, 130.0, 235.0, 255.0, 115.0, 115.0
SHOULDER, UPPER_ARM, FOREARM = 150.0, 280.0, 250.0

H36M_17 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
MPI_28 = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *("left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand"),
    *("right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand"),
    *("left_hip", "left_knee", "left_ankle", "left_foot", "left_toe"),
    *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toe"),
)
# The 28 joints that the 17 of HUMAN_17 are, in its order, written down by hand.
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


def look(azimuth: float = 0.3, *, height: float = 1400.0, distance: float = 4500.0):
    """Rotation and translation, world → camera, of a level camera that looks slightly down."""
    c, s = np.cos(azimuth), np.sin(azimuth)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    tilt = 0.12
    down = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    rotation = down @ about_y
    return rotation, np.array([0.0, height - 300, distance])


FOCAL, PRINCIPAL = np.array([1145.0, 1143.0]), np.array([512.5, 515.4])


def to_camera(world: np.ndarray, *, azimuth: float = 0.3) -> np.ndarray:
    rotation, translation = look(azimuth)
    return world @ rotation.T + translation


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


def picture(path: Path, *, size: tuple[int, int] = (8, 8), value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 60, 30)).save(path)


def write_mat73(path: Path, content: dict[str, Any]) -> None:
    """Version 7.3 as MATLAB writes it: reversed axes, cells by reference, a 512-byte user block."""

    def put(place: h5py.Group, name: str, value: Any) -> h5py.Dataset:
        if isinstance(value, dict):
            group = place.create_group(name)
            group.attrs["MATLAB_class"] = np.bytes_("struct")
            for key, item in value.items():
                put(group, key, item)
            return group
        if isinstance(value, list):
            refs = file.require_group("#refs#")
            made = [put(refs, f"r{len(refs)}_{n}", v).ref for n, v in enumerate(value)]
            cells = np.array(made, dtype=h5py.ref_dtype).reshape(1, -1)
            data = place.create_dataset(name, data=cells, dtype=h5py.ref_dtype)
            data.attrs["MATLAB_class"] = np.bytes_("cell")
            return data
        if isinstance(value, str):
            letters = np.array([[ord(c)] for c in value], dtype=np.uint16)
            data = place.create_dataset(name, data=letters)
            data.attrs["MATLAB_class"] = np.bytes_("char")
            return data
        if value.size == 0:  # the shape stands in the place of the numbers
            data = place.create_dataset(name, data=np.array(value.shape, dtype=np.uint64))
            data.attrs["MATLAB_class"] = np.bytes_("double")
            data.attrs["MATLAB_empty"] = np.uint8(1)
            return data
        logical = value.dtype == bool
        data = place.create_dataset(name, data=(value.astype(np.uint8) if logical else value).T)
        data.attrs["MATLAB_class"] = np.bytes_("logical" if logical else "double")
        return data

    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in content.items():
            put(file, key, value)
    with path.open("r+b") as block:
        block.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def to_savemat(value: Any) -> Any:
    """Lists as cell arrays (objects), as scipy writes them."""
    if isinstance(value, dict):
        return {k: to_savemat(v) for k, v in value.items()}
    if isinstance(value, list):
        cells = np.empty((len(value), 1), dtype=object)
        for n, item in enumerate(value):
            cells[n, 0] = to_savemat(item)
        return cells
    return value
