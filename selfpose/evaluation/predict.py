"""From picture files to poses and figures: what ``selfpose predict`` does."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from tqdm import tqdm

from jaxtyping import Float, UInt8
from torch import Tensor
from selfpose.data.crop import crop_picture, read_rgb
from selfpose.data.picture_files import SUFFIXES, files_by_clip, whole_box
from selfpose.files import write_whole
from selfpose.metrics import root_centred
from selfpose.model import Prediction, load
from experiments.records import write_json
from selfpose.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class PicturePoses:
    """What the networks see in n pictures.

    Parameters
    ----------
    files
        The pictures, in the order of the poses.
    skeleton
        The body: names and order of the joints.
    pose_2d
        (n, J, 2) px of each picture file as it is shown (x right, y down; an EXIF rotation is
        applied), whatever its size.
    pose_3d
        (n, J, 3) about the root, camera frame, y down, in units of the body: the mean root–top
        distance is one. A single picture does not tell the size in mm.
    elevation
        (n,) of the camera above the horizon, radians.
    images, prediction
        The squares that the networks saw, (n, 3, S, S) uint8, and all that came of them.
    """

    files: tuple[Path, ...]
    skeleton: Skeleton
    pose_2d: Float[Tensor, "n J 2"]
    pose_3d: Float[Tensor, "n J 3"]
    elevation: Float[Tensor, " n"]
    images: UInt8[Tensor, "n 3 S S"]
    prediction: Prediction


def read_picture(path: str | Path, *, size: int) -> UInt8[Tensor, "3 H H"]:
    """Any picture file → a square RGB picture of side ``size``.

    Decoded as :func:`selfpose.data.crop.read_rgb` does. A picture that is not square is padded by
    its own border colours, so that nothing is cut off.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no readable picture.
    """
    pixels = read_rgb(path)
    cropped = crop_picture(pixels, whole_box(pixels.shape[1::-1]), size=size)
    return torch.from_numpy(cropped).permute(2, 0, 1)


def find_pictures(paths: list[Path]) -> list[Path]:
    """Files as they are, folders as all picture files below them, in order of numbered names.

    What begins with a point is passed over.

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a folder holds no picture.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [f for files in files_by_clip(path, videos=False).values() for f in files]
            if not inside:
                known = ", ".join(sorted(SUFFIXES))
                raise FileNotFoundError(f"{path}: holds no picture ({known})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such picture or folder")
    return found


def predict_pictures(
    weights: str | Path, pictures: Sequence[str | Path], *, progress: bool = False
) -> PicturePoses:
    """The 2D and 3D poses in picture files, or in folders of them.

    Two lines are enough::

        from selfpose.evaluation.predict import predict_pictures
        poses = predict_pictures("weights.safetensors", ["picture.jpg"]).pose_3d

    Pictures of any size and kind are read (:func:`read_picture`); each should show one subject that
    fills most of it.

    Raises
    ------
    FileNotFoundError, ValueError
        If weights or pictures are missing or unreadable.
    """
    pipeline = load(Path(weights))
    size = pipeline.architecture.image_size
    files = find_pictures([Path(p) for p in pictures])
    squares, boxes = [], []
    for path in tqdm(files, desc="reading", unit=" pictures", disable=not progress):
        pixels = read_rgb(path)
        boxes.append(whole_box(pixels.shape[1::-1]))
        squares.append(torch.from_numpy(crop_picture(pixels, boxes[-1], size=size)))
    images = torch.stack(squares).permute(0, 3, 1, 2)
    prediction = pipeline.predict(images)
    box = torch.from_numpy(np.stack(boxes)).to(torch.float32)[:, None]
    pose_2d = prediction.pose_2d * (box[..., 2:] / size) + box[..., :2] - box[..., 2:] / 2
    return PicturePoses(
        files=tuple(files),
        skeleton=pipeline.skeleton,
        pose_2d=pose_2d,
        pose_3d=root_centred(prediction.pose_3d, pipeline.skeleton.root),
        elevation=prediction.elevation,
        images=images,
        prediction=prediction,
    )


def poses_to_dicts(poses: PicturePoses) -> list[dict[str, Any]]:
    """Each picture's poses by joint name, ready for JSON. Pictures are called as they were asked
    for, with their folders: frames of two clips may well have one name."""
    joints = poses.skeleton.joints
    return [
        {
            "file": path.as_posix(),
            "pose_2d_px": dict(zip(joints, poses.pose_2d[k].tolist(), strict=True)),
            "pose_3d": dict(zip(joints, poses.pose_3d[k].tolist(), strict=True)),
            "elevation_deg": float(poses.elevation[k].rad2deg()),
        }
        for k, path in enumerate(poses.files)
    ]


CSV_COLUMNS = ("picture", "joint", "x_px", "y_px", "x", "y", "z")


def write_csv(poses: PicturePoses, file: TextIO) -> None:
    """One row for each joint of each picture: :data:`CSV_COLUMNS`."""
    writer = csv.writer(file)
    writer.writerow(CSV_COLUMNS)
    for k, path in enumerate(poses.files):
        flat, deep = poses.pose_2d[k].tolist(), poses.pose_3d[k].tolist()
        for joint, xy, xyz in zip(poses.skeleton.joints, flat, deep, strict=True):
            writer.writerow([path.as_posix(), joint, *(f"{v:.5g}" for v in (*xy, *xyz))])


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def predict_files(
    weights: str | Path,
    paths: Sequence[str | Path],
    *,
    out: str | Path,
    figures: bool = True,
    progress: bool = True,
) -> list[Path]:
    """Predict each picture; write ``poses.json``, ``poses.csv`` and a figure a picture to ``out``.

    Returns the pictures in the order of ``poses.json``. Pictures within ``out`` are passed over:
    they are the figures of an earlier call. Every picture is read before anything is written, so
    one broken file leaves no half result.

    Raises
    ------
    FileNotFoundError, ValueError
        If weights or pictures are missing or unreadable.
    """
    from book.kit.figures import prediction_figure

    # What an earlier call wrote is no picture to predict.
    files = [f for f in find_pictures([Path(p) for p in paths]) if not _lies_in(f, Path(out))]
    if not files:
        raise FileNotFoundError(f"all pictures found lie within --out {out}; name another folder")
    poses = predict_pictures(weights, files, progress=progress)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = [f"{k:04d}-{p.stem}.png" if figures else None for k, p in enumerate(poses.files)]
    for k, name in enumerate(tqdm(names, desc="figures", disable=not (progress and figures))):
        if name is None:
            continue
        figure = prediction_figure(poses.images[k], poses.prediction, k, poses.skeleton)
        figure.savefig(out / name)

    def write_rows(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            write_csv(poses, file)

    write_whole(out / "poses.csv", write_rows)
    write_json(
        out / "poses.json",
        {
            "weights": Path(weights).name,
            "skeleton": poses.skeleton.to_dict(),
            "units": {
                "pose_2d_px": "pixels of the picture file as shown, x right, y down",
                "pose_3d": "about the root, camera frame, y down; the mean root-top distance is 1",
            },
            "pictures": [
                {**told, "figure": name}
                for told, name in zip(poses_to_dicts(poses), names, strict=True)
            ],
        },
    )
    return list(poses.files)


__all__ = [
    "CSV_COLUMNS",
    "PicturePoses",
    "find_pictures",
    "poses_to_dicts",
    "predict_files",
    "predict_pictures",
    "read_picture",
    "write_csv",
]
