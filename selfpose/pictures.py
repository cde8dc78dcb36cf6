"""From picture files to poses and figures: what ``selfpose predict`` does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from selfpose._typing import Tensor, UInt8
from selfpose.metrics import root_centred
from selfpose.pipeline import Prediction, load
from selfpose.records import write_json
from selfpose.skeleton import Skeleton

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def read_picture(path: str | Path, *, size: int) -> UInt8[Tensor, "3 H H"]:
    """Any picture file → a square RGB picture of side ``size``.

    EXIF rotation is applied, transparency laid over white, grey of 8 or 16 bits turned to RGB. A
    picture that is not square is padded by its own border colours, so that nothing is cut off.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no readable picture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such picture")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16"):
                # Pillow's own conversion would cut all values above 255 off
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.mode in ("I", "F"):
                raise ValueError("32 bits a pixel, of unknown range: save it with 8")
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            pixels = np.asarray(picture.convert("RGB"))
    except (
        *(UnidentifiedImageError, Image.DecompressionBombError),
        *(OSError, SyntaxError, ValueError),
    ) as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from error
    height, width = pixels.shape[:2]
    side = max(height, width)
    above, before = (side - height) // 2, (side - width) // 2
    pixels = np.pad(
        pixels,
        ((above, side - height - above), (before, side - width - before), (0, 0)),
        mode="edge",
    )
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def find_pictures(paths: list[Path]) -> list[Path]:
    """Files as they are, folders as the picture files in them, in order of name.

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a folder holds no picture.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                known = ", ".join(sorted(SUFFIXES))
                raise FileNotFoundError(f"{path}: holds no picture ({known})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such picture or folder")
    return found


def prediction_to_dict(prediction: Prediction, index: int, skeleton: Skeleton) -> dict[str, Any]:
    """One person's poses by joint name: 2D in pixels, 3D in method units about the root."""
    joints = skeleton.joints
    pose_3d = root_centred(prediction.pose_3d[index], skeleton.root)
    return {
        "pose_2d_px": dict(zip(joints, prediction.pose_2d[index].tolist(), strict=True)),
        "pose_3d": dict(zip(joints, pose_3d.tolist(), strict=True)),
        "elevation_deg": float(prediction.elevation[index].rad2deg()),
    }


def predict_files(
    weights: str | Path, paths: list[Path], *, out: str | Path, progress: bool = True
) -> list[Path]:
    """Predict each picture; write ``poses.json`` and one figure a picture under ``out``.

    Returns the pictures in the order of ``poses.json``. Every picture is read before anything is
    written, so one broken file leaves no half result.

    Raises
    ------
    FileNotFoundError, ValueError
        If weights or pictures are missing or unreadable.
    """
    from selfpose.figures import prediction_figure

    pipeline = load(weights)
    size = pipeline.architecture.image_size
    pictures = find_pictures(paths)
    images = torch.stack([read_picture(p, size=size) for p in pictures])
    prediction = pipeline.predict(images)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = [f"{k:04d}-{p.stem}" for k, p in enumerate(pictures)]
    skeleton = pipeline.skeleton
    for k, name in enumerate(tqdm(names, desc="figures", disable=not progress)):
        figure = prediction_figure(images[k], prediction, k, skeleton)
        figure.savefig(out / f"{name}.png")
    write_json(
        out / "poses.json",
        {
            "image_size": size,
            "weights": Path(weights).name,
            "units": {
                "pose_2d_px": f"pixels of the picture padded square and resized to {size} px",
                "pose_3d": "method units (mean root-top distance is 1), camera frame, y down, "
                "about the root",
            },
            "pictures": [
                {
                    "file": p.name,
                    "figure": f"{n}.png",
                    **prediction_to_dict(prediction, k, skeleton),
                }
                for k, (p, n) in enumerate(zip(pictures, names, strict=True))
            ],
        },
    )
    return pictures


__all__ = ["find_pictures", "predict_files", "prediction_to_dict", "read_picture"]
