"""From a reader's clips to the three parts of the method's data, memory-mapped on disk.

Prepared once and streamed: one clip's poses and one block of pictures are in memory at a time. A
preparation that is killed goes on after the last clip that it noted.
"""

import json
import math
import shutil
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from tqdm import tqdm

from selfpose.data.crop import (
    camera_through_crop,
    crop_picture,
    points_to_crop,
    pose_to_box,
    whole_box,
)
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.data.pictures import BLOCK, Size, read_pictures
from selfpose.data.plan import PARTS, Piece, Plan, Recipe, make_plan
from selfpose.data.reader import SPLITS, Clip, Frame, Reader
from selfpose.data.rows import even_rows
from selfpose.extras.foreground import difference_to_foreground
from selfpose.files import write_json
from selfpose.metrics import bone_lengths_from_2d, with_measured_bones
from selfpose.skeleton import Skeleton

BACKGROUND_FRAMES = 25
"""Pictures of a clip whose median is its background."""
FORMAT = 4
"""Version of the folder's layout; another one is prepared anew."""
MANIFEST, PROGRESS, LOCK = "manifest.json", "progress.json", ".lock"
NOTED_FRAMES = 512
"""How far a preparation is, is noted after so many frames or more."""

Arrays = dict[str, np.memmap]
Shapes = dict[str, tuple[tuple[int, ...], str]]


def prepare(
    reader: Reader, folder: str | Path, recipe: Recipe, *, progress: bool = True
) -> PoseDataset:
    """Prepare the data in a folder, or go on where a killed preparation stopped, and open them."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK):  # another process that prepares the same is waited for
            if not (folder / MANIFEST).is_file():
                plan = make_plan(reader, recipe, progress=progress)
                arrays = _write(reader, folder, plan, recipe.image_size, progress=progress)
                _finish(reader, folder, plan, arrays, recipe)
    return open_prepared(folder)


def _shapes(joints: int, plan: Plan, size: int) -> Shapes:
    """Shape and type of every array, by name: what is not known of a whole part is left out."""
    unlabelled, unpaired, test = (plan.frames(part) for part in PARTS)
    shapes: Shapes = {
        "unlabelled.images": ((unlabelled, 3, size, size), "uint8"),
        "unlabelled.sequence": ((unlabelled,), "int64"),
        "unpaired.poses_2d": ((unpaired, joints, 2), "float32"),
        "test.images": ((test, 3, size, size), "uint8"),
        "test.sequence": ((test,), "int64"),
        "test.poses_2d": ((test, joints, 2), "float32"),
        "test.poses_3d": ((test, joints, 3), "float32"),
        "test.number": ((test,), "int64"),
    }
    if all(p.poses_2d and p.poses_3d for p in plan.of("unlabelled")):
        shapes["ceiling.poses_2d"] = ((unlabelled, joints, 2), "float32")
        shapes["ceiling.poses_3d"] = ((unlabelled, joints, 3), "float32")
    if all(p.poses_3d for p in plan.of("unpaired")):
        shapes["unpaired.poses_3d"] = ((unpaired, joints, 3), "float32")
    if plan.shows_background:
        clips = len(plan.of("unlabelled"))
        shapes["unlabelled.foreground"] = ((unlabelled, size, size), "uint8")
        shapes["unlabelled.backgrounds"] = ((clips, 3, size, size), "uint8")
    return shapes


def _open_arrays(folder: Path, shapes: Shapes) -> tuple[Arrays, int]:
    """The arrays, opened for writing, and how many pieces they hold already."""
    noted = folder / PROGRESS
    begun = json.loads(noted.read_text()) if noted.is_file() else {}
    goes_on = bool(begun) and begun["arrays"] == json.dumps(shapes)
    wanted = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes.values())
    free = shutil.disk_usage(folder).free
    if not goes_on and wanted > free:
        raise OSError(
            f"{folder}: the prepared data need {wanted / 2**30:.1f} GiB, the disk has "
            f"{free / 2**30:.1f} free; name another folder, or take every n-th frame"
        )
    arrays = {}
    for name, (shape, dtype) in shapes.items():
        path, mode = folder / f"{name}.npy", "r+" if goes_on else "w+"
        arrays[name] = np.lib.format.open_memmap(path, mode, dtype=dtype, shape=shape)
    return arrays, begun["pieces"] if goes_on else 0


def _write(reader: Reader, folder: Path, plan: Plan, size: int, *, progress: bool) -> Arrays:
    """Write the pieces of a plan that are not written yet, in their order."""
    shapes = _shapes(reader.skeleton.n_joints, plan, size)
    arrays, done = _open_arrays(folder, shapes)

    def note(pieces: int) -> None:
        for array in arrays.values():  # rows first, then the note of them
            array.flush()
        write_json(folder / PROGRESS, {"arrays": json.dumps(shapes), "pieces": pieces})

    note(done)
    waiting = deque(enumerate(plan.pieces))
    first: Counter[str] = Counter()  # rows of each part so far
    scenes = {piece: k for k, piece in enumerate(plan.of("unlabelled"))}
    unnoted, total = 0, sum(len(p.rows) for p in plan.pieces)
    with tqdm(total=total, desc="preparing", unit=" frames", disable=not progress) as bar:
        for split, clip in ((s, clip) for s in SPLITS for clip in reader.clips(s)):
            while waiting and (waiting[0][1].split, waiting[0][1].clip) == (split, clip.name):
                number, piece = waiting.popleft()
                rows = slice(first[piece.part], first[piece.part] + len(piece.rows))
                if number >= done:
                    _write_piece(clip, piece, rows, scenes.get(piece), arrays, size)
                    if piece.part != "unpaired":
                        arrays[f"{piece.part}.sequence"][rows] = number
                    unnoted += len(piece.rows)
                    if unnoted >= NOTED_FRAMES:
                        note(number + 1)
                        unnoted = 0
                first[piece.part] = rows.stop
                bar.update(len(piece.rows))
    return arrays


def _write_piece(
    clip: Clip, piece: Piece, rows: slice, scene: int | None, arrays: Arrays, size: int
) -> None:
    """Fill the ``rows`` of the piece's part: poses alone, or pictures block by block."""
    if piece.part == "unpaired":
        _write_labels(clip, piece, rows, subject_boxes(clip, piece.rows), arrays, size)
        return
    assert clip.pictures is not None
    frames = [clip.pictures[int(k)] for k in piece.rows]
    shown = scene is not None and "unlabelled.foreground" in arrays
    behind = background(frames) if shown else None
    pictures, found = read_pictures(frames), []
    for at in range(0, len(frames), BLOCK):
        block = list(islice(pictures, BLOCK))
        here = slice(at, at + len(block))
        found.append(subject_boxes(clip, piece.rows[here], [p.shape[1::-1] for p in block]))
        images = _crop_all(block, found[-1], frames[here], size)
        arrays[f"{piece.part}.images"][rows][here] = images
        if behind is not None:
            scenes = _crop_all([behind] * len(block), found[-1], frames[here], size)
            front = difference_to_foreground(torch.from_numpy(images), torch.from_numpy(scenes))
            arrays["unlabelled.foreground"][rows][here] = front.numpy()
            if at == 0:  # one background a clip: as its first crop sees it
                arrays["unlabelled.backgrounds"][scene] = scenes[0]
    _write_labels(clip, piece, rows, np.concatenate(found), arrays, size)


def _crop_all(
    pictures: Sequence[ndarray], boxes: Float[ndarray, "n 3"], frames: Sequence[Frame], size: int
) -> UInt8[ndarray, "n 3 {size} {size}"]:
    crops = []
    for picture, box, frame in zip(pictures, boxes, frames, strict=True):
        try:
            crops.append(crop_picture(picture, box, size=size))
        except ValueError as error:
            raise ValueError(f"{frame.path}: {error}") from error
    return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))


def _write_labels(
    clip: Clip, piece: Piece, rows: slice, boxes: ndarray, arrays: Arrays, size: int
) -> None:
    """The poses as the crops show them; NaN for what is not known of a test part."""
    known: dict[str, Any] = {"poses_2d": np.nan, "poses_3d": np.nan}
    if piece.poses_2d and clip.poses_2d is not None:
        known["poses_2d"] = points_to_crop(clip.poses_2d[piece.rows], boxes, size=size)
    if piece.poses_3d and clip.poses_3d is not None:
        deep = known["poses_3d"] = clip.poses_3d[piece.rows]
        if clip.camera is not None and piece.part != "unpaired":
            known["poses_3d"] = deep @ camera_through_crop(clip.camera, boxes).transpose(0, 2, 1)
    known["number"] = piece.rows if clip.numbers is None else clip.numbers[piece.rows]
    part = "ceiling" if piece.part == "unlabelled" else piece.part
    for name, values in known.items():
        if f"{part}.{name}" in arrays:
            arrays[f"{part}.{name}"][rows] = values


def subject_boxes(
    clip: Clip, rows: Int[ndarray, " n"], sizes: Sequence[Size] | None = None
) -> Float[ndarray, "n 3"]:
    """A square for each frame: the source's, else about the pose, else the whole picture, of the
    ``sizes`` where pictures are at hand."""
    if clip.boxes is not None:
        return np.asarray(clip.boxes[rows], dtype=float)
    boxes = np.zeros((len(rows), 3)) if sizes is None else whole_box(np.array(sizes))
    if clip.poses_2d is None:
        return boxes
    pose = np.asarray(clip.poses_2d[rows], dtype=float)
    posed = np.isfinite(pose).all(axis=-1).sum(axis=-1) > 1
    posed |= sizes is None
    try:
        boxes[posed] = pose_to_box(pose[posed])
    except ValueError as error:
        raise ValueError(f"clip {clip.name!r}: {error}") from error
    return boxes


def background(frames: Sequence[Frame]) -> UInt8[ndarray, "H W 3"]:
    """The median of some frames of a clip, spread over it: what stands still."""
    some = even_rows(len(frames), most=BACKGROUND_FRAMES)
    pictures = list(read_pictures([frames[int(k)] for k in some]))
    if len({p.shape for p in pictures}) > 1:
        raise ValueError(
            f"{frames[0].path}: the pictures of this clip have several sizes, so that no static "
            "camera took them; give each a clip of its own"
        )
    return np.median(np.stack(pictures), axis=0).astype(np.uint8)


def _finish(reader: Reader, folder: Path, plan: Plan, arrays: Arrays, recipe: Recipe) -> None:
    skeleton, bones = _with_bones(reader.skeleton, arrays)
    provenance = {
        "source": reader.describe(),
        **asdict(recipe),
        "frames": {part: plan.frames(part) for part in PARTS},
        "clips": {part: len(plan.of(part)) for part in PARTS},
        "subjects": {p: sorted({c.subject for c in plan.of(p)} - {""}) for p in PARTS},
        "relative_bone_lengths": bones,
        "background": "median of each clip" if plan.shows_background else "none",
    }
    manifest = {
        "format": FORMAT,
        "name": reader.name,
        "skeleton": skeleton.to_dict(),
        "provenance": provenance,
        "test": [[p.activity or "any", p.subject, p.clip, len(p.rows)] for p in plan.of("test")],
        "arrays": list(arrays),
    }
    write_json(folder / MANIFEST, manifest)
    (folder / PROGRESS).unlink()


def _with_bones(skeleton: Skeleton, arrays: Arrays) -> tuple[Skeleton, str]:
    """b̄ from the bodies behind the unpaired poses, or from the poses; and a word on which."""
    name = "unpaired.poses_3d" if "unpaired.poses_3d" in arrays else "unpaired.poses_2d"
    some = torch.from_numpy(np.array(arrays[name][even_rows(len(arrays[name]), most=4096)]))
    if name == "unpaired.poses_3d":
        return with_measured_bones(skeleton, some), "measured on the unpaired poses' bodies"
    if skeleton.relative_bone_lengths is not None:
        return skeleton, "as the skeleton states"
    lengths = bone_lengths_from_2d(some, skeleton)
    known = replace(skeleton, relative_bone_lengths=tuple((lengths / lengths.mean()).tolist()))
    return known, "estimated from the longest projections in the unpaired 2D poses"


def open_prepared(folder: Path) -> PoseDataset:
    """Prepared data, memory-mapped: pictures are read from disk when a batch asks for them."""
    manifest = json.loads((folder / MANIFEST).read_text())
    parts: dict[str, dict[str, Any]] = {
        part: {} for part in ("unlabelled", "unpaired", "test", "ceiling")
    }
    for name in manifest["arrays"]:
        # copy-on-write: torch takes no read-only arrays, and nothing is ever written back
        part, key = name.split(".")
        parts[part][key] = torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
    for k, key in enumerate(("activity", "subject", "clip")):
        parts["test"][key] = tuple(clip[k] for clip in manifest["test"] for _ in range(clip[-1]))
    ceiling = None
    if parts["ceiling"]:
        parts["ceiling"]["activity"] = ("any",) * len(parts["unlabelled"]["images"])
        ceiling = LabelledSet(**parts["unlabelled"], **parts["ceiling"])
    return PoseDataset(
        name=manifest["name"],
        skeleton=Skeleton.from_dict(manifest["skeleton"]),
        unlabelled=ImageSet(**parts["unlabelled"]),
        unpaired=parts["unpaired"]["poses_2d"],
        test=LabelledSet(**parts["test"]),
        ceiling=ceiling,
        provenance=manifest["provenance"],
    )
