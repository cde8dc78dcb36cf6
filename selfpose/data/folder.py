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
picture that they were measured in: the columns ``width, height`` of poses.csv, or the option
``poses_size``. Without it they are in pixels of the folder's pictures, which must then have one
size.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from selfpose.data import video
from selfpose.data.loose_poses import check_inside, check_usable, read_poses
from selfpose.data.picture_files import (
    SUFFIXES,
    Size,
    clip_size,
    files_by_clip,
    is_video,
    size_text,
    to_frames,
    whole_box,
)
from selfpose.data.reader import Clip, Split
from selfpose.data.tables import PoseTable, read_pose_table, skeleton_from
from selfpose.skeleton import Skeleton

LABELS = "labels.csv"


class PictureFolder:
    """Reader of a folder of one's own (see the module).

    Parameters
    ----------
    root
        The folder.
    skeleton
        The body: a :class:`Skeleton`, the name of a known one such as ``human_17``, or a JSON file;
        ``None``: ``ROOT/skeleton.json``.
    poses_size
        (width, height), px, of the picture that the poses were measured in; ``None``: the columns
        ``width, height`` of poses.csv or, without them, the pictures' own size.

    Raises
    ------
    FileNotFoundError
        If the folder, its pictures, its poses or the skeleton are missing.
    ValueError
        If one of them is no such thing, the poses are not of that body, all alike, or not in
        pixels, or labels name pictures that are not there.
    """

    name = "folder"

    def __init__(
        self,
        *,
        root: str | Path,
        skeleton: Skeleton | str | Path | None = None,
        poses_size: Sequence[int | float] | None = None,
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder; it should hold pictures/")
        self.skeleton = skeleton_from(self._skeleton_file() if skeleton is None else skeleton)
        pictures = self.root / "pictures"
        if not pictures.is_dir():
            raise FileNotFoundError(
                f"{pictures}: no such folder; put the pictures there, those of one static camera "
                "in a sub-folder of their own"
            )
        self._train = files_by_clip(pictures)
        if not self._train:
            raise FileNotFoundError(
                f"{pictures}: holds no picture ({', '.join(sorted(SUFFIXES))}) and no video "
                f"({', '.join(sorted(video.SUFFIXES))})"
            )
        for files in self._train.values():
            if is_video(files[0]):
                video.require_decoder(files[0])
        self._poses_file = self._find_poses()
        self._poses = read_poses(self._poses_file, self.skeleton)
        if poses_size is not None:
            if len(poses_size) != 2 or not (np.isfinite(poses_size).all() and min(poses_size) > 0):
                raise ValueError(
                    f"poses_size: expected positive width and height, got {poses_size}"
                )
            if self._poses.sizes is not None:
                raise ValueError(
                    f"{self._poses_file}: has the columns width and height, so leave out poses_size"
                )
        self.poses_size = poses_size
        self._labels = self._find_labels()

    def clips(self, split: Split) -> Iterator[Clip]:
        """Train: the pictures, clip by clip, and last a clip of the poses alone, named ``poses``.
        Test: the labelled pictures of ``test/``, clip by clip.

        Each picture's size is looked up as its clip's turn comes.

        Raises
        ------
        ValueError
            If a picture is unreadable or a clip's differ in size, or most joints lie outside the
            picture that they were measured in.
        """
        if split == "test":
            yield from self._test_clips()
            return
        common: tuple[Size, Path] | None = None
        for name, files in self._train.items():
            size = clip_size(files)
            common = common or (size, files[0])
            if size != common[0] and self.poses_size is None and self._poses.sizes is None:
                raise ValueError(
                    f"{files[0]}: is {size_text(size)} px, but {common[1]} {size_text(common[0])} "
                    f"px: which of them does {self._poses_file.name} count the pixels of? Give "
                    "the columns width and height there, or the option poses_size"
                )
            frames = to_frames(files)
            yield Clip(
                name=name,
                pictures=frames,
                boxes=np.tile(whole_box(size), (len(frames), 1)),
                static=len(frames) > 1,
            )
        assert common is not None
        sizes = self._poses.sizes
        if sizes is None:
            sizes = np.tile(
                np.array(self.poses_size or common[0], float), (len(self._poses.poses_2d), 1)
            )
        check_inside(self._poses_file, self._poses.poses_2d, sizes)
        yield Clip(name="poses", poses_2d=self._poses.poses_2d, boxes=whole_box(sizes))

    def _test_clips(self) -> Iterator[Clip]:
        if self._labels is None:
            return
        folder = self.root / "test"
        row = {name: i for i, name in enumerate(self._labels.pictures)}
        for name, files in files_by_clip(folder, videos=False).items():
            files = [f for f in files if f.relative_to(folder).as_posix() in row]
            if not files:
                continue
            size = clip_size(files)
            rows = [row[f.relative_to(folder).as_posix()] for f in files]
            poses, solid = self._labels.poses_2d[rows], self._labels.poses_3d
            if self._labels.sizes is not None and (self._labels.sizes[rows] != size).any():
                raise ValueError(
                    f"{folder / LABELS}: width and height are not those of {files[0]}, "
                    f"{size_text(size)} px; labels count the pixels of their own pictures"
                )
            check_inside(folder / LABELS, poses, np.tile(np.array(size, float), (len(files), 1)))
            yield Clip(
                name=f"test/{name}",
                pictures=to_frames(files),
                poses_2d=poses,
                poses_3d=None if solid is None else solid[rows],
                boxes=np.tile(whole_box(size), (len(files), 1)),
                static=len(files) > 1,
            )

    def describe(self) -> dict[str, object]:
        """Facts for records: format, joints, units, counts, size and completeness of the poses."""
        poses = self._poses.poses_2d
        spans = np.linalg.norm(poses[:, self.skeleton.top] - poses[:, self.skeleton.root], axis=-1)
        return {
            "format": "a folder of pictures and 2D poses",
            "joints": list(self.skeleton.joints),
            "units": {"2d": "px", "3d": "mm, camera frame"},
            "clips": len(self._train),
            "pictures": sum(len(f) for f in self._train.values() if not is_video(f[0])),
            "videos": sum(is_video(f[0]) for f in self._train.values()),
            "poses": len(poses),
            "incomplete_poses": int(np.isnan(poses).any(axis=(1, 2)).sum()),
            "mean_root_top_px": round(float(np.nanmean(spans)), 1),
            "poses_file": self._poses_file.name,
            "poses_size": "by pose"
            if self._poses.sizes is not None
            else list(self.poses_size or ()) or "the pictures'",
            "test_pictures": 0 if self._labels is None else len(self._labels.pictures),
            "test_3d": self._labels is not None and self._labels.poses_3d is not None,
        }

    def _skeleton_file(self) -> Path:
        path = self.root / "skeleton.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file; describe the body there (name, joints, bones, root, top, "
                "mirror_pairs), or name a known one with the option skeleton"
            )
        return path

    def _find_poses(self) -> Path:
        found = [p for p in (self.root / "poses.csv", self.root / "poses.npy") if p.is_file()]
        if not found:
            raise FileNotFoundError(
                f"{self.root / 'poses.csv'}: no such file, and no poses.npy; put 2D poses of "
                f"{self.skeleton.name!r} there: {', '.join(self.skeleton.joints)}"
            )
        if len(found) > 1:
            raise ValueError(f"{self.root}: holds poses.csv and poses.npy; keep one of them")
        return found[0]

    def _find_labels(self) -> PoseTable | None:
        folder = self.root / "test"
        if not folder.is_dir():
            return None
        if not (folder / LABELS).is_file():
            raise FileNotFoundError(
                f"{folder / LABELS}: no such file, but {folder} is there for labelled pictures: "
                "put their labels there (picture, joint, x, y), or remove the folder"
            )
        labels = read_pose_table(folder / LABELS, self.skeleton)
        if "" in labels.pictures:
            raise ValueError(f"{folder / LABELS}: a row names no picture")
        there = {
            f.relative_to(folder).as_posix()
            for files in files_by_clip(folder, videos=False).values()
            for f in files
        }
        if lost := [name for name in labels.pictures if name not in there]:
            more = f", nor are {len(lost) - 1} others" if len(lost) > 1 else ""
            raise ValueError(
                f"{folder / LABELS}: labels {lost[0]!r}, which is no picture under {folder}{more}; "
                "name pictures by their path from there"
            )
        check_usable(folder / LABELS, labels.poses_2d, self.skeleton, alike=False)
        if labels.poses_3d is not None:
            known = np.isfinite(labels.poses_2d).all(axis=-1)
            if (np.isnan(labels.poses_3d).any(axis=-1) & known).any():
                raise ValueError(
                    f"{folder / LABELS}: some joints have x and y but no X, Y, Z; give all three, "
                    "or leave the three columns out"
                )
        return labels


__all__ = ["PictureFolder"]
