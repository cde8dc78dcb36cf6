"""COCO keypoints of any body: the JSON that labelling tools export, beside a folder of pictures.

Read are ``images`` (``id``, ``file_name``), ``annotations`` (``image_id``, ``category_id``,
``keypoints`` x, y, v for each joint, ``bbox`` x, y, width, height) and ``categories`` (``name``,
``keypoints``, ``skeleton``: edges between joints, counted from one). Format:
https://cocodataset.org/#format-data
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpose.data.coco_skeleton import category_to_skeleton
from selfpose.data.crop import BOX_MARGIN, pose_to_box
from selfpose.data.loose_poses import MAX_PX
from selfpose.data.picture_files import Size, picture_size, size_text
from selfpose.data.reader import SPLITS, Clip, Frame, Split
from selfpose.data.rows import even_rows
from selfpose.data.tables import read_json, skeleton_from
from selfpose.files import refuse_unknown
from selfpose.skeleton import Skeleton

_SIZES_LOOKED_AT = 64


@dataclass(frozen=True, kw_only=True)
class _Labels:
    """The labelled bodies of one file: pictures, poses (N, K, 2) px or NaN, boxes (N, 3) or NaN,
    and the width and height that the file gives to pictures."""

    path: Path
    names: tuple[str, ...]
    poses: NDArray[np.float64]
    boxes: NDArray[np.float64]
    sizes: dict[str, Size]
    without_label: int
    left_out: int


class CocoKeypoints:
    """Reader of COCO keypoints (see the module). Each labelled body is a clip of one frame.

    COCO's own files give integer keypoints, which are the numbers of pixels, so that half a pixel
    is added to reach their centres (as Detectron2 does). Labelling tools write fractions, counted
    from the picture's corner, to which nothing is added. Which of the two it is is told by whether
    all coordinates of a file are whole numbers, or by ``pixel_numbers``.

    Splits: ``train.json`` and ``test.json`` where both are there; otherwise a picture belongs to
    the test by a hash of its name, the same on every machine. Frames of one video would then fall
    on both sides: make two files of them.

    Parameters
    ----------
    root
        The folder.
    annotations
        The JSON, in ``root`` or anywhere; ``None``: ``train.json`` and ``test.json``, or the only
        JSON of ``root`` or ``root/annotations``.
    images
        The pictures' folder; ``None``: ``root/images`` if there is one, else ``root``.
    category
        Name of the category, where several have keypoints.
    skeleton
        The body: a :class:`Skeleton`, the name of a known one, or a JSON file; its joints are
        taken by name. ``None``: from the category, whose edges must form a tree; ``left`` and
        ``right`` in names make mirror pairs.
    root_joint, top_joint
        Of a skeleton from the category; ``None``: the joint in the middle of the tree, and the one
        without a mirror twin that is the most bones away from it.
    test_share
        Of the pictures, where there is one file alone.
    pixel_numbers
        Whether keypoints are numbers of pixels; ``None``: told by the file.

    Raises
    ------
    FileNotFoundError
        If the folder, the JSON or a picture is missing.
    ValueError
        If the JSON is broken or inconsistent, the edges are no tree, or names do not fit.
    """

    name = "coco"

    def __init__(
        self,
        *,
        root: str | Path,
        annotations: str | Path | None = None,
        images: str | Path | None = None,
        category: str | None = None,
        skeleton: Skeleton | str | Path | None = None,
        root_joint: str | None = None,
        top_joint: str | None = None,
        test_share: float = 0.2,
        pixel_numbers: bool | None = None,
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder")
        if not 0 <= test_share < 1:
            raise ValueError(f"test_share must lie in 0..1, 1 excluded, got {test_share}")
        self.test_share = float(test_share)
        self._files = _find_files(self.root, annotations)
        default = self.root / "images"
        chosen = self.root / images if images else default if default.is_dir() else self.root
        if not chosen.is_dir():
            raise FileNotFoundError(f"{chosen}: no such folder of pictures; name it with images")
        self.images = chosen

        first: dict[str, Any] | None = None
        labels: dict[Path, _Labels] = {}
        for path in dict.fromkeys(self._files.values()):
            data = _checked(path)
            about = _category(path, data, category)
            if first is None:
                first = about
                self.skeleton = (
                    category_to_skeleton(path, about, root_joint=root_joint, top_joint=top_joint)
                    if skeleton is None
                    else skeleton_from(skeleton)
                )
            elif about["keypoints"] != first["keypoints"]:
                raise ValueError(
                    f"{path}: names other keypoints, or in another order, than "
                    f"{next(iter(labels)).name} beside it"
                )
            labels[path] = _read_labels(path, data, about, self.skeleton, pixel_numbers)
        self._labels = labels
        self._pictures = {n: self._picture(p, n) for p, ls in labels.items() for n in ls.names}

    def clips(self, split: Split) -> Iterator[Clip]:
        """One clip a labelled body, in the file's order, named as the picture (``#2``, … for
        further bodies in it)."""
        labels = self._labels[self._files[split]]
        self._check_sizes(labels)
        count: Counter[str] = Counter()
        for name, pose, box in zip(labels.names, labels.poses, labels.boxes, strict=True):
            count[name] += 1
            if len(self._labels) == 1 and (split == "test") != self._is_test(name):
                continue
            yield Clip(
                name=name if count[name] == 1 else f"{name}#{count[name]}",
                subject=name,  # so that no picture is both learnt from and tested on
                pictures=(Frame(path=self._pictures[name]),),
                poses_2d=pose[None],
                boxes=box[None],
            )

    def describe(self) -> dict[str, object]:
        """Facts for records: files, joints, root and top, counts."""
        skeleton = self.skeleton
        return {
            "format": "COCO keypoints",
            "files": {split: path.name for split, path in self._files.items()},
            "joints": list(skeleton.joints),
            "root": skeleton.joints[skeleton.root],
            "top": skeleton.joints[skeleton.top],
            "units": {"2d": "px"},
            "labelled_bodies": sum(len(ls.names) for ls in self._labels.values()),
            "pictures_without_label": sum(ls.without_label for ls in self._labels.values()),
            "labels_left_out": sum(ls.left_out for ls in self._labels.values()),
            "test_share": None if len(self._labels) > 1 else self.test_share,
        }

    def _is_test(self, name: str) -> bool:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return number < self.test_share * 2**64

    def _check_sizes(self, labels: _Labels) -> None:
        """Refuse pictures that are not as large as they were when labelled; some are looked at."""
        names = [name for name in labels.sizes if name in self._pictures]
        for k in even_rows(len(names), most=_SIZES_LOOKED_AT).tolist():
            size = picture_size(self._pictures[names[k]])
            if size != labels.sizes[names[k]]:
                told = size_text(labels.sizes[names[k]])
                raise ValueError(
                    f"{labels.path}: says that {names[k]!r} has {told} px, but as shown it has "
                    f"{size_text(size)}: was it resized or turned after it was labelled? Keypoints "
                    "count the pixels of the pictures that were labelled: put those there"
                )

    def _picture(self, path: Path, name: str) -> Path:
        """Where it lies: under the folder of pictures, by its whole name or its last part."""
        where = PurePosixPath(name)
        inside = not where.is_absolute() and ".." not in where.parts
        for candidate in (*([where] if inside else []), PurePosixPath(where.name)):
            found = self.images / candidate
            if found.is_file():
                return found
        raise FileNotFoundError(
            f"{path}: names the picture {name!r}, which is not in {self.images}; name the "
            "pictures' folder with images"
        )


def _find_files(root: Path, annotations: str | Path | None) -> dict[Split, Path]:
    if annotations is not None:
        path = root / annotations
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file of annotations")
        return dict.fromkeys(SPLITS, path)
    for folder in (root, root / "annotations"):
        if (folder / "train.json").is_file() and (folder / "test.json").is_file():
            return {split: folder / f"{split}.json" for split in SPLITS}
        found = sorted(p for p in folder.glob("*.json") if not p.name.startswith("."))
        if len(found) == 1:
            return dict.fromkeys(SPLITS, found[0])
        if found:
            raise ValueError(
                f"{folder}: holds {len(found)} JSON files, {found[0].name} and others; say which "
                "with the option annotations, or name two train.json and test.json"
            )
    raise FileNotFoundError(f"{root}: neither it nor annotations/ in it holds a JSON file")


def _checked(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: not COCO: expected an object of images, annotations, categories")
    for part in ("images", "annotations", "categories"):
        entries = data.get(part)
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ValueError(f"{path}: not COCO: {part!r} must be a list of objects")
        if not entries:
            raise ValueError(f"{path}: {part!r} is empty")
    return data


def _category(path: Path, data: dict[str, Any], wanted: str | None) -> dict[str, Any]:
    found = {str(c.get("name")): c for c in data["categories"] if c.get("keypoints")}
    if not found:
        raise ValueError(f"{path}: no category has keypoints; export keypoints, not boxes alone")
    if wanted is None and len(found) > 1:
        raise ValueError(
            f"{path}: several categories have keypoints: {', '.join(found)}; choose one with the "
            "option category"
        )
    if wanted is not None:
        try:
            refuse_unknown([wanted], found, "category")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    category = found[wanted or next(iter(found))]
    names = category["keypoints"]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{path}: category {category['name']!r}: 'keypoints' must be names")
    if twice := [n for n, k in Counter(names).items() if k > 1]:
        raise ValueError(
            f"{path}: category {category['name']!r}: two joints are named {twice[0]!r}"
        )
    return {**category, "name": str(category.get("name"))}


def _read_labels(
    path: Path,
    data: dict[str, Any],
    category: dict[str, Any],
    skeleton: Skeleton,
    pixel_numbers: bool | None,
) -> _Labels:
    files = _file_names(path, data["images"])
    keypoints: list[str] = category["keypoints"]
    if missing := [j for j in skeleton.joints if j not in keypoints]:
        raise ValueError(
            f"{path}: has no keypoint {missing[0]!r} of the skeleton {skeleton.name!r}; it has "
            f"{', '.join(keypoints)}"
        )
    order = [keypoints.index(joint) for joint in skeleton.joints]
    names, poses, boxes, left_out = [], [], [], 0
    whole = True
    for i, label in enumerate(data["annotations"]):
        if label.get("category_id") != category.get("id"):
            continue
        what = f"{path}: annotation {label.get('id', f'number {i}')}"
        image = label.get("image_id")
        if not isinstance(image, int | str) or image not in files:
            raise ValueError(f"{what}: its image_id {image!r} is none of 'images'")
        pose = _keypoints(what, label.get("keypoints"), len(keypoints))
        whole = whole and bool((pose == np.round(pose))[np.isfinite(pose)].all())
        pose = pose[order]
        box = _box(what, label.get("bbox"), pose)
        if label.get("iscrowd") or box is None:
            left_out += 1
            continue
        names.append(files[image])
        poses.append(pose)
        boxes.append(box)
    if not names:
        raise ValueError(
            f"{path}: no annotation of the category {category['name']!r} has visible keypoints"
        )
    shift = 0.5 if (whole if pixel_numbers is None else pixel_numbers) else 0.0
    return _Labels(
        path=path,
        names=tuple(names),
        poses=np.stack(poses) + shift,
        boxes=np.stack(boxes),
        sizes=_sizes(data["images"]),
        without_label=len(set(files.values()) - set(names)),
        left_out=left_out,
    )


def _file_names(path: Path, images: list[dict[str, Any]]) -> dict[int | str, str]:
    files: dict[int | str, str] = {}
    for i, image in enumerate(images):
        number, name = image.get("id"), image.get("file_name")
        if not isinstance(number, int | str) or not isinstance(name, str) or not name.strip():
            raise ValueError(f"{path}: image number {i} needs an id and a file_name")
        if number in files:
            raise ValueError(f"{path}: two images have the id {number!r}")
        files[number] = name.replace("\\", "/")
    if twice := [n for n, k in Counter(files.values()).items() if k > 1]:
        raise ValueError(f"{path}: two images have the file_name {twice[0]!r}")
    return files


def _sizes(images: list[dict[str, Any]]) -> dict[str, Size]:
    """Width and height, px, of the pictures of which the file gives both."""
    return {
        image["file_name"].replace("\\", "/"): (image["width"], image["height"])
        for image in images
        if all(type(image.get(side)) is int and image[side] > 0 for side in ("width", "height"))
    }


def _keypoints(what: str, values: object, n: int) -> NDArray[np.float64]:
    """(K, 2) px; NaN where the visibility is 0 (COCO: not labelled)."""
    if not isinstance(values, list) or len(values) != 3 * n:
        got = len(values) if isinstance(values, list) else values
        raise ValueError(f"{what}: expected {3 * n} keypoint numbers (x, y, v each), got {got!r}")
    if not all(type(v) in (int, float) for v in values):
        raise ValueError(f"{what}: keypoints must be numbers")
    try:
        points = np.array(values, dtype=np.float64).reshape(n, 3)
    except OverflowError as error:
        raise ValueError(f"{what}: keypoints must be finite numbers") from error
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError(f"{what}: visibility must be 0, 1 or 2, got {points[:, 2].tolist()}")
    pose = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
    if not (np.abs(pose[points[:, 2] > 0]) < MAX_PX).all():
        raise ValueError(f"{what}: keypoints must be finite numbers of pixels")
    return pose


def _box(what: str, bbox: object, pose: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A square about the body, from its box or its joints; ``None``: too few are labelled."""
    known = pose[np.isfinite(pose).all(axis=-1)]
    if len(known) < 2 or not np.ptp(known, axis=0).any():
        return None
    if bbox is None or bbox == []:
        return pose_to_box(pose)
    if (
        not isinstance(bbox, list)
        or len(bbox) != 4
        or not all(type(v) in (int, float) for v in bbox)
    ):
        raise ValueError(f"{what}: bbox must be x, y, width, height, got {bbox!r}")
    x, y, width, height = (float(min(max(v, -MAX_PX), MAX_PX)) for v in bbox)
    if not (np.abs([x, y, width, height]) < MAX_PX).all():
        raise ValueError(f"{what}: bbox must be finite numbers of pixels, got {bbox!r}")
    if not min(width, height) > 0:  # tools that know no boxes write zeros
        return pose_to_box(pose)
    return np.array([x + width / 2, y + height / 2, BOX_MARGIN * max(width, height)])


__all__ = ["CocoKeypoints"]
