"""A folder of your own pictures of any body, and 2D poses from elsewhere.

::

    ROOT/
        pictures/            a sub-folder or a video is one clip of one camera that stands still;
            garden/0001.jpg  loose pictures are each for themselves
            walk.mp4
            any.png
        poses.csv            2D poses, px, of any moments: poses.csv or poses.npy (M, J, 2)
        skeleton.json        the body, unless it is named (`skeleton=`)
        test/                if there are labelled pictures to test on
            labels.csv       picture, joint, x, y and, if known, X, Y, Z (mm, camera frame)
            0001.jpg         named in labels.csv as they lie under test/

Pixels are counted from the upper left corner of the picture as it is shown, after the rotation
that cameras write into it (EXIF): x right, y down, centres of pixels at integer + 0.5. Pictures
are taken whole (``boxes`` a square that holds the picture), and poses must show the body as large
as pictures do. Poses of other pictures than those of the folder therefore need the size of the
picture that they were measured in: the columns ``width, height`` of poses.csv. Without them they
are in pixels of the folder's pictures, which must then have one size.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from selfpose.data import video
from selfpose.data.crop import whole_box
from selfpose.data.pictures import (
    SUFFIXES,
    Size,
    clip_size,
    files_by_clip,
    to_frames,
)
from selfpose.data.reader import Clip, Split
from selfpose.data.tables import PoseTable, read_poses, skeleton_from
from selfpose.skeleton import Skeleton

OUTSIDE_SHARE = 0.5
"""Of the joints, beyond a picture's edge by more than a quarter of its side: not its poses."""


class PictureFolder:
    """Reader of a folder of one's own (see the module); ``skeleton`` is a :class:`Skeleton`, the
    name of a known one such as ``human_17``, or a JSON file (``ROOT/skeleton.json``)."""

    name = "folder"

    def __init__(self, *, root: Path, skeleton: Skeleton | str | Path | None = None) -> None:
        self.root = root
        self.skeleton = skeleton_from(root / "skeleton.json" if skeleton is None else skeleton)
        self._train = files_by_clip(root / "pictures")
        if not self._train:
            known = ", ".join(sorted(SUFFIXES | video.SUFFIXES))
            raise FileNotFoundError(f"{root / 'pictures'}: holds no picture or video ({known})")
        found = [p for p in (root / "poses.csv", root / "poses.npy") if p.is_file()]
        if len(found) != 1:
            raise ValueError(
                f"{root}: needs either poses.csv or poses.npy, 2D poses of {self.skeleton.name!r}: "
                f"{', '.join(self.skeleton.joints)}"
            )
        self._poses_file = found[0]
        self._poses = read_poses(found[0], self.skeleton)
        self._labels = self._read_labels() if (root / "test").is_dir() else None

    def clips(self, split: Split) -> Iterator[Clip]:
        """Train: the pictures, clip by clip, and last a clip of the poses alone, named ``poses``.
        Test: the labelled pictures of ``test/``, clip by clip."""
        if split == "test":
            yield from self._test_clips()
            return
        common: Size | None = None
        for name, files in self._train.items():
            frames = to_frames(files)
            size = clip_size(frames)
            common = common or size
            if size != common and self._poses.sizes is None:
                raise ValueError(
                    f"{files[0]}: is {size} px, others {common} px: which of them "
                    f"does {self._poses_file.name} count the pixels of? Give the columns "
                    "width and height in poses.csv"
                )
            boxes = np.tile(whole_box(size), (len(frames), 1))
            yield Clip(name=name, pictures=frames, boxes=boxes, static=len(frames) > 1)
        assert common is not None
        poses, sizes = self._poses.poses_2d, self._poses.sizes
        if sizes is None:
            sizes = np.tile(np.array(common, dtype=float), (len(poses), 1))
        _check_inside(self._poses_file, poses, sizes)
        yield Clip(name="poses", poses_2d=poses, boxes=whole_box(sizes))

    def _test_clips(self) -> Iterator[Clip]:
        if self._labels is None:
            return
        folder, labels = self.root / "test", self._labels
        row = {name: i for i, name in enumerate(labels.pictures)}
        for name, files in files_by_clip(folder, videos=False).items():
            files = [f for f in files if f.relative_to(folder).as_posix() in row]
            if not files:
                continue
            frames = to_frames(files)
            size = clip_size(frames)
            rows = [row[f.relative_to(folder).as_posix()] for f in files]
            _check_inside(folder, labels.poses_2d[rows], np.array([size] * len(files), float))
            yield Clip(
                name=f"test/{name}",
                pictures=frames,
                poses_2d=labels.poses_2d[rows],
                poses_3d=None if labels.poses_3d is None else labels.poses_3d[rows],
                boxes=np.tile(whole_box(size), (len(files), 1)),
                static=len(files) > 1,
            )

    def describe(self) -> dict[str, object]:
        """Facts for records: format, units, counts, completeness of the poses."""
        poses = self._poses.poses_2d
        return {
            "format": "a folder of pictures and 2D poses",
            "units": {"2d": "px", "3d": "mm, camera frame"},
            "clips": len(self._train),
            "poses": len(poses),
            "incomplete_poses": int(np.isnan(poses).any(axis=(1, 2)).sum()),
            "poses_file": self._poses_file.name,
            "poses_size": "the pictures'" if self._poses.sizes is None else "by pose",
            "test_pictures": 0 if self._labels is None else len(self._labels.pictures),
        }

    def _read_labels(self) -> PoseTable:
        path = self.root / "test" / "labels.csv"
        labels = read_poses(path, self.skeleton)
        lost = [name for name in labels.pictures if not (path.parent / name).is_file()]
        if lost or not labels.pictures:
            raise ValueError(
                f"{path}: labels {lost or 'no picture'}; it must name pictures by their path from "
                f"{path.parent}"
            )
        return labels


def _check_inside(path: Path, poses: Float[ndarray, "N J 2"], sizes: Float[ndarray, "N 2"]) -> None:
    relative = poses / sizes[:, None, :]
    outside = ((relative < -0.25) | (relative > 1.25)).any(axis=-1)
    share = outside.sum() / max(1, np.isfinite(relative).all(axis=-1).sum())
    if share > OUTSIDE_SHARE:
        raise ValueError(
            f"{path}: {share:.0%} of the joints lie far outside their picture of {sizes[0]} px; "
            "were they measured in one of another size (columns width, height), or is y counted "
            "upwards?"
        )
