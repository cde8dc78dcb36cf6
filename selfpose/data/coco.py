"""COCO keypoints of any body: the JSON that labelling tools export, beside a folder of pictures.

Read are ``images`` (``id``, ``file_name``), ``annotations`` (``image_id``, ``category_id``,
``keypoints`` x, y, v for each joint, ``bbox`` x, y, width, height) and ``categories`` (``name``,
``keypoints``, ``skeleton``: edges between joints, counted from one). Format:
https://cocodataset.org/#format-data
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from selfpose.data.crop import BOX_MARGIN, pose_to_box
from selfpose.data.reader import SPLITS, Clip, Frame, Split
from selfpose.data.tables import read_json, skeleton_from
from selfpose.files import refuse_unknown
from selfpose.skeleton import Skeleton

TEST_SHARE = 0.2
"""Of the pictures, where there is one file alone."""

Label = tuple[str, Float[ndarray, "J 2"], Float[ndarray, "3"]]  # picture, pose px, box


class CocoKeypoints:
    """Reader of COCO keypoints (see the module). Each labelled body is a clip of one frame.

    The JSON are ``train.json`` and ``test.json``, or a single file, of which a picture belongs to
    the test by a hash of its name, in ``root`` or ``root/annotations``; the pictures lie in
    ``root/images``, or in ``root``. The body is ``skeleton``: a :class:`Skeleton`, the name of a
    known one, or a JSON file, whose joints are taken by name; or else that of the ``category`` (to
    be named where several have keypoints), whose edges must form a tree.

    COCO's own files give integer keypoints, which are the numbers of pixels, so that half a pixel
    is added to reach their centres (as Detectron2 does). Labelling tools write fractions, counted
    from the picture's corner, to which nothing is added. A file of whole numbers alone is taken
    for the former.
    """

    name = "coco"

    def __init__(
        self,
        *,
        root: Path,
        category: str | None = None,
        skeleton: Skeleton | str | Path | None = None,
    ) -> None:
        self._files = _find_files(root)
        self._labels: dict[Path, list[Label]] = {}
        body = None if skeleton is None else skeleton_from(skeleton)
        for path in dict.fromkeys(self._files.values()):
            data = read_json(path)
            try:
                about = _category(data, category)
                body = body or category_to_skeleton(about)
                self._labels[path] = _read_labels(data, about, body)
            except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{path}: not COCO keypoints of a body: {error}") from error
        assert body is not None
        self.skeleton = body
        images = root / "images" if (root / "images").is_dir() else root
        self._pictures = {}
        for name in (label[0] for labels in self._labels.values() for label in labels):
            there = [p for p in (images / name, images / Path(name).name) if p.is_file()]
            if not there:
                raise FileNotFoundError(f"{images / name}: no such picture, but it is labelled")
            self._pictures[name] = there[0]

    def clips(self, split: Split) -> Iterator[Clip]:
        """One clip a labelled body, in the file's order, named as the picture (``#2``, … for
        further bodies in it)."""
        count: Counter[str] = Counter()
        for name, pose, box in self._labels[self._files[split]]:
            count[name] += 1
            if len(self._labels) == 1 and (split == "test") != _is_test(name):
                continue
            yield Clip(
                name=name if count[name] == 1 else f"{name}#{count[name]}",
                subject=name,  # so that no picture is both learnt from and tested on
                pictures=(Frame(path=self._pictures[name]),),
                poses_2d=pose[None],
                boxes=box[None],
            )

    def describe(self) -> dict[str, object]:
        """Facts for records: files, root and top."""
        joints = self.skeleton.joints
        return {
            "format": "COCO keypoints",
            "files": {split: path.name for split, path in self._files.items()},
            "root, top": [joints[self.skeleton.root], joints[self.skeleton.top]],
        }


def _find_files(root: Path) -> dict[Split, Path]:
    for folder in (root, root / "annotations"):
        if (folder / "train.json").is_file() and (folder / "test.json").is_file():
            return {split: folder / f"{split}.json" for split in SPLITS}
        found = sorted(p for p in folder.glob("*.json") if not p.name.startswith("."))
        if len(found) == 1:
            return dict.fromkeys(SPLITS, found[0])
    raise FileNotFoundError(
        f"{root}: expected train.json and test.json, or a single JSON file, there or in annotations"
    )


def _is_test(name: str) -> bool:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return number < TEST_SHARE * 2**64


def _category(data: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    found = {str(c["name"]): c for c in data["categories"] if c.get("keypoints")}
    refuse_unknown([wanted] if wanted else [], found, "category")
    if not wanted and len(found) != 1:
        raise ValueError(f"name one of the categories with keypoints: {list(found)}")
    return found[wanted or next(iter(found))]


def _read_labels(
    data: Mapping[str, Any], category: Mapping[str, Any], skeleton: Skeleton
) -> list[Label]:
    files = {i["id"]: i["file_name"].replace("\\", "/") for i in data["images"]}
    keypoints: list[str] = category["keypoints"]
    refuse_unknown(skeleton.joints, keypoints, "keypoint")
    order = [keypoints.index(joint) for joint in skeleton.joints]
    labels: list[Label] = []
    whole = True
    for label in data["annotations"]:
        if label["category_id"] != category["id"]:
            continue
        points = np.array(label["keypoints"], dtype=np.float64).reshape(len(keypoints), 3)
        pose = np.where(points[:, 2:] > 0, points[:, :2], np.nan)  # 0: not labelled
        whole = whole and bool((pose == np.round(pose))[np.isfinite(pose)].all())
        pose = pose[order]
        known = pose[np.isfinite(pose).all(axis=-1)]
        if label.get("iscrowd") or len(known) < 2 or not np.ptp(known, axis=0).any():
            continue
        x, y, width, height = label.get("bbox") or (0, 0, 0, 0)
        box = np.array([x + width / 2, y + height / 2, BOX_MARGIN * max(width, height)])
        # tools that know no boxes write zeros
        labels.append(
            (files[label["image_id"]], pose, box if min(width, height) > 0 else pose_to_box(pose))
        )
    return [(name, pose + 0.5 if whole else pose, box) for name, pose, box in labels]


def category_to_skeleton(category: Mapping[str, Any]) -> Skeleton:
    """A body from a category: ``keypoints``, and ``skeleton`` as edges counted from one.

    The root is the joint in the middle of the tree, the top the one without a mirror twin that is
    the most bones away from it.
    """
    joints = tuple(category["keypoints"])
    edges = {(min(e) - 1, max(e) - 1) for e in category.get("skeleton") or []}
    hops = [_hops(edges, i) for i in range(len(joints))]
    if len(edges) != len(joints) - 1 or len(hops[0]) != len(joints):
        lost = [joint for i, joint in enumerate(joints) if i not in hops[0]]
        raise ValueError(
            f"{len(edges)} edges between {len(joints)} keypoints form no tree, not joined to "
            f"{joints[0]!r}: {lost}; give the bones with the option skeleton, a JSON file"
        )
    pairs = mirror_pairs(joints)
    root = min(range(len(joints)), key=lambda i: (sum(hops[i].values()), i))
    others = [i for i in range(len(joints)) if i != root]
    centre = [i for i in others if all(i not in pair for pair in pairs)]
    bones = [(a, b) if hops[root][a] < hops[root][b] else (b, a) for a, b in edges]
    return Skeleton(
        name=str(category["name"]),
        joints=joints,
        bones=tuple(sorted(bones, key=lambda bone: (hops[root][bone[1]], bone))),
        root=root,
        top=max(centre or others, key=lambda i: (hops[root][i], -i)),
        mirror_pairs=pairs,
    )


def _hops(edges: set[tuple[int, int]], start: int) -> dict[int, int]:
    """Edges between a joint and every other that can be reached."""
    hops, reached = {start: 0}, [start]
    for joint in reached:
        for edge in edges:
            if joint in edge and (other := sum(edge) - joint) not in hops:
                hops[other] = hops[joint] + 1
                reached.append(other)
    return hops


def mirror_pairs(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) pairs by names: ``left_knee`` and ``right_knee``, ``knee_L`` and ``knee_R``.

    >>> mirror_pairs(["nose", "right_ear", "left_ear"])
    ((2, 1),)
    """
    lower = [joint.lower() for joint in joints]
    pairs = []
    for i, name in enumerate(lower):
        for here, there in (("left", "right"), ("right", "left"), ("l", "r"), ("r", "l")):
            # A word of its own, or "left" at an end of the name: leftEar
            ends = rf"|^{here}|{here}$" if len(here) > 1 else ""
            twin = re.sub(rf"(?<![a-z]){here}(?![a-z])" + ends, there, name, count=1)
            if twin != name and twin not in lower:
                raise ValueError(
                    f"the joint {joints[i]!r} has no mirror twin {twin!r} among "
                    f"{', '.join(joints)}; rename it, or give the option skeleton"
                )
            if twin != name and here in ("left", "l"):
                pairs.append((i, lower.index(twin)))
    return tuple(dict.fromkeys(pairs))
