"""From picture files to poses and figures: what ``selfpose predict`` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from selfpose.data.crop import crop_picture, whole_box
from selfpose.data.pictures import files_by_clip, read_rgb
from selfpose.files import write_whole
from selfpose.metrics import root_centred
from selfpose.model import Prediction, load
from selfpose.skeleton import Skeleton

COLUMNS = ("picture", "joint", "x_px", "y_px", "x", "y", "z")
COLOURS = {"left": "#0072B2", "right": "#D55E00", "centre": "#444444"}


@dataclass(frozen=True, kw_only=True)
class PicturePoses:
    """What the networks make of n picture files."""

    files: tuple[Path, ...]
    skeleton: Skeleton
    pose_2d: Float[Tensor, "n J 2"]  # px of each file as it is shown, x right, y down
    pose_3d: Float[Tensor, "n J 3"]  # about the root, camera frame, y down; root–top is one
    images: UInt8[Tensor, "n 3 S S"]  # the squares that the networks saw
    prediction: Prediction  # of those squares


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, folders as all picture files below them, in order of numbered names."""
    found: list[Path] = []
    for path in paths:
        inside = [f for files in files_by_clip(path, videos=False).values() for f in files]
        if not path.is_file() and not inside:
            raise FileNotFoundError(f"{path}: no picture, and no folder that holds one")
        found += [path] if path.is_file() else inside
    return found


def predict_pictures(
    weights: str | Path, pictures: Sequence[str | Path], *, progress: bool = False
) -> PicturePoses:
    """The 2D and 3D poses in picture files, or in folders of them.

    Pictures may have any size; each should show one subject that fills most of it.

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
    return PicturePoses(
        files=tuple(files),
        skeleton=pipeline.skeleton,
        pose_2d=prediction.pose_2d * (box[..., 2:] / size) + box[..., :2] - box[..., 2:] / 2,
        pose_3d=root_centred(prediction.pose_3d, pipeline.skeleton.root),
        images=images,
        prediction=prediction,
    )


def predict_files(
    weights: str | Path, paths: Sequence[str | Path], *, out: str | Path, figures: bool = True
) -> list[Path]:
    """Predict each picture; write ``poses.csv`` (:data:`COLUMNS`) and figures to ``out``.

    Returns the pictures in their order. Those within ``out`` are passed over: they are the figures
    of an earlier call. Nothing is written before every picture is read.
    """
    out = Path(out)
    found = find_pictures([Path(p) for p in paths])
    files = [f for f in found if not f.resolve().is_relative_to(out.resolve())]
    if not files:
        raise FileNotFoundError(f"all pictures found lie within --out {out}; name another folder")
    poses = predict_pictures(weights, files, progress=True)
    out.mkdir(parents=True, exist_ok=True)
    places = torch.cat([poses.pose_2d, poses.pose_3d], dim=-1).tolist()
    rows = [
        (path.as_posix(), joint, *place)
        for path, pose in zip(files, places, strict=True)
        for joint, place in zip(poses.skeleton.joints, pose, strict=True)
    ]
    text = pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.5g")
    write_whole(out / "poses.csv", lambda part: part.write_text(text, encoding="utf-8"))
    for k, path in enumerate(tqdm(files, desc="figures", disable=not figures)):
        if figures:
            pose_figure(poses, k).savefig(out / f"{k:04d}-{path.stem}.png", dpi=120)
    return files


def pose_figure(poses: PicturePoses, k: int) -> Figure:
    """The 2D pose over the picture, and the 3D pose from the side; left is blue."""
    figure = Figure(figsize=(6.0, 3.0), layout="constrained")
    over, side = figure.subplots(1, 2)
    image = poses.images[k].permute(1, 2, 0).numpy()
    over.imshow(image, extent=(0, len(image), len(image), 0))
    side.set(aspect="equal", title="from the side, the camera on the left")
    side.invert_yaxis()
    views = {over: poses.prediction.pose_2d[k], side: poses.pose_3d[k][:, [2, 1]]}
    for ax, pose in views.items():
        ax.set_axis_off()
        for bone, name in zip(poses.skeleton.bones, poses.skeleton.bone_sides, strict=True):
            ax.plot(*pose[list(bone)].T.numpy(), color=COLOURS[name], linewidth=2)
    return figure
