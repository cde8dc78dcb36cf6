"""Prepared data on disk: opened memory-mapped, and verified."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torch import Tensor
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.skeleton import Skeleton

FORMAT = 3
"""Version of the folder's layout; another one is prepared anew."""
MANIFEST = "manifest.json"


def file_crc32(path: Path) -> int:
    """Checksum of a file, read in pieces."""
    total = 0
    with path.open("rb") as file:
        while piece := file.read(2**22):
            total = zlib.crc32(piece, total)
    return total


def verify(folder: str | Path) -> int:
    """Compare prepared data with the checksums they were written with; the number of bytes read.

    Raises
    ------
    ValueError
        If a file is missing or differs.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    total = 0
    for name, expected in manifest["crc32"].items():
        path = folder / f"{name}.npy"
        if not path.is_file() or file_crc32(path) != expected:
            raise ValueError(
                f"{path}: {'differs from' if path.is_file() else 'is missing beside'} what was "
                f"prepared; remove {folder} and prepare again"
            )
        total += path.stat().st_size
    return total


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a finished preparation says of itself.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it is not readable.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fits = manifest["format"] == FORMAT
    except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a manifest of prepared data ({error})") from error
    if not fits:
        raise ValueError(f"{path}: prepared in another format; remove the folder, prepare again")
    return manifest


def open_prepared(folder: str | Path) -> PoseDataset:
    """Prepared data, memory-mapped: pictures are read from disk when a batch asks for them.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no finished preparation, or its files do not fit together.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)

    def tensor(name: str) -> Tensor:
        # copy-on-write: torch takes no read-only arrays, and nothing is ever written back
        path = folder / f"{name}.npy"
        try:
            return torch.from_numpy(np.load(path, mmap_mode="c"))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"{path}: not what was prepared ({error}); remove {folder} and prepare again"
            ) from error

    known = manifest["crc32"]
    unlabelled: dict[str, Any] = {
        key: tensor(f"unlabelled.{key}") for key in ("images", "sequence")
    }
    if "unlabelled.foreground" in known:
        unlabelled |= {key: tensor(f"unlabelled.{key}") for key in ("foreground", "backgrounds")}
    ceiling = None
    if "ceiling.poses_2d" in known:
        ceiling = LabelledSet(
            **unlabelled,
            poses_2d=tensor("ceiling.poses_2d"),
            poses_3d=tensor("ceiling.poses_3d"),
            activity=("any",) * len(unlabelled["images"]),
        )
    test: dict[str, Any] = {
        key: tensor(f"test.{key}")
        for key in ("images", "sequence", "poses_2d", "poses_3d", "number")
    }
    for k, key in enumerate(("activity", "subject", "clip")):
        test[key] = tuple(clip[k] for clip in manifest["test"] for _ in range(clip[-1]))
    return PoseDataset(
        name=manifest["name"],
        skeleton=Skeleton.from_dict(manifest["skeleton"]),
        unlabelled=ImageSet(**unlabelled),
        unpaired=tensor("unpaired"),
        test=LabelledSet(**test),
        ceiling=ceiling,
        provenance=manifest["provenance"],
    )


__all__ = ["FORMAT", "MANIFEST", "file_crc32", "open_prepared", "read_manifest", "verify"]
