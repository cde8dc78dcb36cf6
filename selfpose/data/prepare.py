"""From a reader's clips to the three parts of the method's data, memory-mapped on disk.

Prepared once and streamed: one clip's poses and one block of pictures are in memory at a time, so a
data set of a million frames needs no more of it than a small one. A preparation that is killed goes
on where it was; one that is finished can be verified.
"""

import json
import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from selfpose.data.crop import (
    camera_through_crop,
    crop_picture,
    points_to_crop,
    pose_to_box,
    read_rgb,
)
from selfpose.data.picture_files import picture_size, whole_box
from selfpose.data.plan import PARTS, Part, Piece, Plan, Recipe, Usable, make_plan
from selfpose.data.prepared import FORMAT, MANIFEST, file_crc32, open_prepared
from selfpose.data.dataset import PoseDataset
from selfpose.data.reader import SPLITS, Clip, Frame, Reader
from selfpose.data.rows import even_rows
from selfpose.data.video import frame_size, read_frames
from selfpose.files import hold, write_whole
from selfpose.extras.foreground import difference_to_foreground
from selfpose.metrics import bone_lengths_from_2d, with_measured_bones
from selfpose.skeleton import Skeleton

BLOCK = 64
"""Pictures in memory at a time."""
BACKGROUND_FRAMES = 25
"""Pictures of a clip whose median is its background."""
PROGRESS, PLAN, LOCK = "progress.json", "plan.json", ".lock"

Arrays = dict[str, np.memmap]


def prepare(
    reader: Reader, folder: str | Path, recipe: Recipe, *, progress: bool = True
) -> PoseDataset:
    """Prepare the data in a folder, or go on where a killed preparation stopped, and open them.

    Raises
    ------
    ValueError
        If the source's files are broken (the message names the file), or give no pictures or no
        poses.
    FileNotFoundError
        If a picture is missing.
    OSError
        If the disk has no room.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / LOCK):  # another process that prepares the same is waited for
            if not (folder / MANIFEST).is_file():
                _prepare(reader, folder, recipe, progress=progress)
    return open_prepared(folder)


def _prepare(reader: Reader, folder: Path, recipe: Recipe, *, progress: bool) -> None:
    if not (folder / PLAN).is_file():
        text = make_plan(reader, recipe, progress=progress).to_json()
        write_whole(folder / PLAN, lambda partial: partial.write_text(text, encoding="utf-8"))
    plan = Plan.read(folder / PLAN)
    arrays = _make_arrays(folder, reader.skeleton, plan, recipe)
    writer = _Writer(folder=folder, plan=plan, arrays=arrays, recipe=recipe)
    writer.write_all(reader, progress=progress)
    _finish(reader, folder, plan, arrays, recipe)


def _make_arrays(folder: Path, skeleton: Skeleton, plan: Plan, recipe: Recipe) -> Arrays:
    """The arrays, opened for writing; new ones are as large as they will be."""
    joints, size = skeleton.n_joints, recipe.image_size
    n = {part: plan.frames(part) for part in PARTS}
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        "unlabelled.images": ((n["unlabelled"], 3, size, size), "uint8"),
        "unlabelled.sequence": ((n["unlabelled"],), "int64"),
        "unpaired": ((n["unpaired"], joints, 2), "float32"),
        "test.images": ((n["test"], 3, size, size), "uint8"),
        "test.sequence": ((n["test"],), "int64"),
        "test.poses_2d": ((n["test"], joints, 2), "float32"),
        "test.poses_3d": ((n["test"], joints, 3), "float32"),
        "test.number": ((n["test"],), "int64"),
    }
    if plan.all_have("unlabelled", "poses_2d") and plan.all_have("unlabelled", "poses_3d"):
        shapes["ceiling.poses_2d"] = ((n["unlabelled"], joints, 2), "float32")
        shapes["ceiling.poses_3d"] = ((n["unlabelled"], joints, 3), "float32")
    if plan.all_have("unpaired", "poses_3d"):
        shapes["unpaired.poses_3d"] = ((n["unpaired"], joints, 3), "float32")
    if plan.shows_background:
        clips = len(plan.of("unlabelled"))
        shapes["unlabelled.foreground"] = ((n["unlabelled"], size, size), "uint8")
        shapes["unlabelled.backgrounds"] = ((clips, 3, size, size), "uint8")
    missing = {k: v for k, v in shapes.items() if not (folder / f"{k}.npy").is_file()}
    if missing and (folder / PROGRESS).is_file():
        raise ValueError(
            f"{folder}: {min(missing)}.npy is gone from a preparation that had begun; remove the "
            "folder and prepare again"
        )
    wanted = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in missing.values())
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise OSError(
            f"{folder}: the prepared data need {wanted / 2**30:.1f} GiB, the disk has "
            f"{free / 2**30:.1f} free; name another folder, or take every n-th frame"
        )
    arrays: Arrays = {}
    for name, (shape, dtype) in shapes.items():
        mode: Literal["r+", "w+"] = "w+" if name in missing else "r+"
        path = folder / f"{name}.npy"
        arrays[name] = np.lib.format.open_memmap(path, mode=mode, dtype=dtype, shape=shape)
    return arrays


class _Writer:
    """Writes the pieces of a plan, block by block, and notes after each how far it is."""

    def __init__(self, *, folder: Path, plan: Plan, arrays: Arrays, recipe: Recipe) -> None:
        self.folder, self.plan, self.arrays, self.recipe = folder, plan, arrays, recipe
        self.done: dict[str, int] = dict.fromkeys(PARTS, 0)
        self.scene = {p.clip: k for k, p in enumerate(plan.of("unlabelled"))}
        if (folder / PROGRESS).is_file():
            self.done |= json.loads((folder / PROGRESS).read_text(encoding="utf-8"))

    def write_all(self, reader: Reader, *, progress: bool) -> None:
        """Every row that is not written yet."""
        waiting: dict[tuple[str, str], list[tuple[int, Piece]]] = {}
        for number, piece in enumerate(self.plan.pieces):
            waiting.setdefault((piece.split, piece.clip), []).append((number, piece))
        total = sum(p.n for p in self.plan.pieces)
        already = sum(self.done.values())
        with (
            tqdm(total=total, initial=already, desc="preparing", unit=" frames",
                 disable=not progress) as bar,
            ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        ):  # fmt: skip
            for split in SPLITS:
                for clip in reader.clips(split):
                    for number, piece in waiting.pop((split, clip.name), ()):
                        if self.done[piece.part] < piece.first + piece.n:
                            for n in self.write_piece(clip, piece, number, pool):
                                self.note(piece.part, n)
                                bar.update(n)
        if waiting:
            gone = min(name for _, name in waiting)
            raise ValueError(
                f"{reader.name}: {len(waiting)} clips of the plan are no longer there (first "
                f"{gone!r}): the files changed since the preparation began; remove {self.folder} "
                "and prepare again"
            )

    def note(self, part: Part, n: int) -> None:
        """Rows first, then the note of them: a kill in between repeats a block, and loses none."""
        for array in self.arrays.values():
            array.flush()
        self.done[part] += n
        text = json.dumps(self.done)
        write_whole(self.folder / PROGRESS, lambda p: p.write_text(text, encoding="utf-8"))

    def write_piece(
        self, clip: Clip, piece: Piece, number: int, pool: ThreadPoolExecutor
    ) -> Iterator[int]:
        """Write what is missing of one piece; yields how many rows each block wrote."""
        chosen = piece.rows(Usable.of(clip), self.recipe)
        if len(chosen) != piece.n:
            raise ValueError(
                f"clip {clip.name!r}: {len(chosen)} frames where the plan found {piece.n}; the "
                f"files changed since the preparation began: remove {self.folder} and prepare again"
            )
        begin = self.done[piece.part] - piece.first
        if piece.part == "unpaired":
            self.write_poses(clip, piece, chosen)
            yield piece.n - begin
            return
        assert clip.pictures is not None
        frames = [clip.pictures[int(k)] for k in chosen]
        behind = None
        if piece.part == "unlabelled" and "unlabelled.foreground" in self.arrays:
            behind = background(frames, pool)
        pictures = read_pictures(frames[begin:], pool)
        for at in range(begin, piece.n, BLOCK):
            block = chosen[at : at + BLOCK]
            rows = slice(piece.first + at, piece.first + at + len(block))
            self.write_block(
                clip, piece, block, rows, list(islice(pictures, len(block))), frames[at:], behind
            )
            self.arrays[f"{piece.part}.sequence"][rows] = number
            yield len(block)

    def write_poses(self, clip: Clip, piece: Piece, chosen: NDArray[np.int64]) -> None:
        """Unpaired poses, at the scale that their pictures' crops have."""
        rows = slice(piece.first, piece.first + piece.n)
        shapes = None
        if self.recipe.crop == "whole" and clip.pictures is not None:
            shapes = [frame_shape(clip.pictures[int(chosen[0])])] * len(chosen)
        boxes = subject_boxes(clip, chosen, self.recipe, shapes=shapes)
        flat = points_to_crop(_take(clip.poses_2d, chosen), boxes, size=self.recipe.image_size)
        self.arrays["unpaired"][rows] = flat
        if "unpaired.poses_3d" in self.arrays:
            self.arrays["unpaired.poses_3d"][rows] = _take(clip.poses_3d, chosen)

    def write_block(
        self,
        clip: Clip,
        piece: Piece,
        block: NDArray[np.int64],
        rows: slice,
        pictures: list[NDArray[np.uint8]],
        frames: list[Frame],
        behind: NDArray[np.uint8] | None,
    ) -> None:
        """Crops of some pictures, with the foreground and the labels that belong to them."""
        size, arrays = self.recipe.image_size, self.arrays
        shapes = [p.shape[1::-1] for p in pictures]
        boxes = subject_boxes(clip, block, self.recipe, shapes=shapes)
        crops = []
        for picture, box, frame in zip(pictures, boxes, frames, strict=False):
            try:
                crops.append(crop_picture(picture, box, size=size).transpose(2, 0, 1))
            except ValueError as error:
                raise ValueError(f"{frame.path}: {error}") from error
        images = np.stack(crops)
        arrays[f"{piece.part}.images"][rows] = images
        if behind is not None:
            scenes = np.stack([crop_picture(behind, b, size=size) for b in boxes])
            scenes = np.ascontiguousarray(scenes.transpose(0, 3, 1, 2))
            front = difference_to_foreground(torch.from_numpy(images), torch.from_numpy(scenes))
            arrays["unlabelled.foreground"][rows] = front.numpy()
            if rows.start == piece.first:  # one background a clip: as its first crop sees it
                arrays["unlabelled.backgrounds"][self.scene[clip.name]] = scenes[0]
        if piece.part == "test":
            arrays["test.number"][rows] = block if clip.numbers is None else clip.numbers[block]
        part = "test" if piece.part == "test" else "ceiling"
        if f"{part}.poses_2d" in arrays:
            flat: Any = np.nan
            deep: Any = np.nan
            if piece.poses_2d:
                flat = points_to_crop(_take(clip.poses_2d, block), boxes, size=size)
            if piece.poses_3d:
                deep = _take(clip.poses_3d, block)
                if clip.camera is not None:
                    deep = deep @ camera_through_crop(clip.camera, boxes).transpose(0, 2, 1)
            arrays[f"{part}.poses_2d"][rows] = flat
            arrays[f"{part}.poses_3d"][rows] = deep


def _take(poses: NDArray[np.floating] | None, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    assert poses is not None
    return np.asarray(poses[rows], dtype=float)


def subject_boxes(
    clip: Clip,
    rows: NDArray[np.int64],
    recipe: Recipe,
    *,
    shapes: list[tuple[int, int]] | None,
) -> NDArray[np.float64]:
    """A square for each frame, (n, 3): the source's, else about the pose, else the whole picture.

    ``shapes`` are the (width, height) of the pictures, ``None`` where these are not at hand.
    """
    if clip.boxes is not None and (recipe.crop == "subject" or shapes is None):
        return np.asarray(clip.boxes[rows], dtype=float)
    whole = None if shapes is None else np.stack([whole_box(shape) for shape in shapes])
    if recipe.crop == "whole" or clip.poses_2d is None:
        if whole is None:
            raise ValueError(
                f"clip {clip.name!r}: how large its pictures are is not known, so that its poses "
                "have no scale beside whole pictures; crop about the subject (crop=subject)"
            )
        return whole
    pose = _take(clip.poses_2d, rows)
    posed = np.isfinite(pose).all(axis=-1).sum(axis=-1) > 1
    if whole is None and not posed.all():
        raise ValueError(f"clip {clip.name!r}: a frame shows no joint, and there is no box")
    boxes = np.zeros((len(rows), 3)) if whole is None else whole
    try:
        boxes[posed] = pose_to_box(pose[posed])
    except ValueError as error:
        raise ValueError(f"clip {clip.name!r}: {error}") from error
    return boxes


def frame_shape(frame: Frame) -> tuple[int, int]:
    """Width and height, px, of a picture or a video's frame, as it is shown."""
    width, height = picture_size(frame.path) if frame.index is None else frame_size(frame.path)
    return int(width), int(height)


def read_pictures(frames: list[Frame], pool: ThreadPoolExecutor) -> Iterator[NDArray[np.uint8]]:
    """Pictures of a clip's frames, in order, a block at a time; a video is decoded once.

    Raises
    ------
    ValueError
        If a picture is broken, or pictures and videos are mixed in one clip.
    FileNotFoundError
        If one is missing.
    """
    videos = {frame.path for frame in frames if frame.index is not None}
    if videos:
        if len(videos) > 1 or any(frame.index is None for frame in frames):
            raise ValueError(f"{min(videos)}: a clip is made of pictures or of one video, not both")
        yield from read_frames(videos.pop(), [int(f.index) for f in frames if f.index is not None])
        return
    for at in range(0, len(frames), BLOCK):
        yield from pool.map(lambda frame: read_rgb(frame.path), frames[at : at + BLOCK])


def background(frames: list[Frame], pool: ThreadPoolExecutor) -> NDArray[np.uint8]:
    """The median of some frames of a clip, spread over it: what stands still.

    Raises
    ------
    ValueError
        If the pictures differ in size.
    """
    some = even_rows(len(frames), most=BACKGROUND_FRAMES)
    pictures = list(read_pictures([frames[int(k)] for k in some], pool))
    if len({p.shape for p in pictures}) > 1:
        raise ValueError(
            f"{frames[0].path}: the pictures of this clip have several sizes, so that no static "
            "camera took them; give each a clip of its own"
        )
    return np.median(np.stack(pictures), axis=0).astype(np.uint8)


def _finish(reader: Reader, folder: Path, plan: Plan, arrays: Arrays, recipe: Recipe) -> None:
    skeleton, bones = _with_bones(reader.skeleton, arrays)
    manifest = {
        "format": FORMAT,
        "name": reader.name,
        "skeleton": skeleton.to_dict(),
        "provenance": {
            "source": reader.describe(),
            **asdict(recipe),
            "frames": {part: plan.frames(part) for part in PARTS},
            "clips": {part: len(plan.of(part)) for part in PARTS},
            "subjects": {p: sorted({c.subject for c in plan.of(p)} - {""}) for p in PARTS},
            "left_out": plan.left_out,
            "relative_bone_lengths": bones,
            "background": "median of each clip" if plan.shows_background else "none",
        },
        "test": [[p.activity or "any", p.subject, p.clip, p.n] for p in plan.of("test")],
        "crc32": {name: file_crc32(folder / f"{name}.npy") for name in arrays},
    }
    text = json.dumps(manifest, indent=1)
    write_whole(folder / MANIFEST, lambda partial: partial.write_text(text, encoding="utf-8"))
    for name in (PROGRESS, PLAN):
        (folder / name).unlink(missing_ok=True)


def _with_bones(skeleton: Skeleton, arrays: Arrays) -> tuple[Skeleton, str]:
    """b̄ from the bodies behind the unpaired poses, or from the poses; and a word on which."""
    if "unpaired.poses_3d" in arrays:
        bodies = torch.from_numpy(_evenly(arrays["unpaired.poses_3d"]))
        return with_measured_bones(skeleton, bodies), "measured on the unpaired poses' bodies"
    if skeleton.relative_bone_lengths is not None:
        return skeleton, "as the skeleton states"
    lengths = bone_lengths_from_2d(torch.from_numpy(_evenly(arrays["unpaired"])), skeleton)
    relative = tuple((lengths / lengths.mean()).tolist())
    known = replace(skeleton, relative_bone_lengths=relative)
    return known, "estimated from the longest projections in the unpaired 2D poses"


def _evenly(array: NDArray[Any], n: int = 4096) -> NDArray[Any]:
    """At most n rows, spread evenly, in memory."""
    return np.array(array[even_rows(len(array), most=n)])


__all__ = ["BLOCK", "background", "prepare", "read_pictures", "subject_boxes"]
