"""What readers of data sets share: options, MMPose's tables, a camera fitted to poses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from selfpose.data.arrays import expect, load_npz
from selfpose.data.reader import Camera, Clip, Frame, Split
from selfpose.skeleton import HUMAN_17

# Where MMPose's tables may be, below the folder that it writes.
FOLDERS = ("", "annotations", "annotation_body3d/fps10", "annotation_body3d/fps50")


def fit_camera(
    points: Float[np.ndarray, "T J 3"],
    pixels: Float[np.ndarray, "T J 2"],
    clip: str,
    *,
    resized: bool = False,
) -> Camera | None:
    """The pinhole camera that takes points in its own frame (mm) to pixels.

    u z = f x + c z is linear in the focal length f and the principal point c, for each axis. Poses
    that were ``resized`` to another body may fit no camera: ``None`` if the median error is above
    2 px. Of others it must be below 10 px, or a ``ValueError`` names the ``clip``.
    """
    known = np.isfinite(points).all(-1) & np.isfinite(pixels).all(-1)
    xyz, uv = points[known], pixels[known]
    if (xyz[:, 2] > 0).all():
        plane = xyz[:, :2] / xyz[:, 2:]
        lines = [np.stack([plane[:, k], np.ones(len(plane))], axis=-1) for k in (0, 1)]
        (fx, cx), (fy, cy) = (
            np.linalg.lstsq(lines[k], uv[:, k], rcond=None)[0].tolist() for k in (0, 1)
        )
        error = np.median(np.linalg.norm(plane * (fx, fy) + (cx, cy) - uv, axis=-1))
        if min(fx, fy) > 0 and error < (2 if resized else 10):
            return Camera(focal=(fx, fy), principal=(cx, cy))
    if resized:
        return None
    raise ValueError(
        f"{clip}: no camera takes the 3D poses to the 2D poses; expected the same frames and "
        "joints in both, and 3D poses in the camera's frame"
    )


def existing(path: Path, cure: str) -> Path:
    """The path; ``FileNotFoundError`` with the cure if nothing is there."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there; {cure}")
    return path


@dataclass(kw_only=True)
class FileReader:
    """Reads the files below a folder; its fields are the options."""

    root: str | Path
    name = ""

    def describe(self) -> dict[str, object]:
        """Facts for records: the format and the options."""
        names = [f.name for f in fields(self) if f.name not in ("root", "images")]
        return {"format": self.name} | {name: getattr(self, name) for name in names}


@dataclass(kw_only=True)
class MMPoseTables(FileReader):
    """MMPose's tables of a data set of people, one a split, and the pictures it extracted.

    ``root`` is the folder that it wrote; ``images`` that of the pictures, else ``root/images``;
    with ``poses_only`` none are asked for.
    """

    images: str | Path | None = None
    poses_only: bool = False

    skeleton = HUMAN_17
    joints: ClassVar[list[int]] = list(range(17))  # those of HUMAN_17 in the tables' order
    files: ClassVar[dict[Split, str]]  # patterns of the tables' names; the first found is taken
    pictures: ClassVar[dict[Split, str]]  # pattern of names, with groups that name the clip

    def __post_init__(self) -> None:
        root = Path(self.root)
        places = {
            s: [p for f in FOLDERS for p in sorted((root / f).glob(name), reverse=True)]
            for s, name in self.files.items()
        }
        self.tables = {split: paths[0] for split, paths in places.items() if paths}
        if not self.tables:
            names = " nor ".join(self.files.values())
            raise FileNotFoundError(f"{root}: holds neither {names}, which MMPose writes")
        self._images = Path(self.images or root / "images")
        if not self.poses_only:
            existing(self._images, "extract the pictures, name their folder, or take poses_only")

    def table_clips(self, split: Split) -> Iterator[Clip]:
        """One clip for each sequence and camera, in the order of the table, frames by number."""
        if split not in self.tables:
            return
        path = self.tables[split]
        table = load_npz(path, ("imgname", "center", "scale", "part", "S"))
        names = table["imgname"].astype(str).tolist()
        n = len(names)
        # Changed in place: the largest table holds 0.3 GB of poses, and once is enough.
        part = expect(path, "part", table.pop("part"), n, 17, 3)  # px and whether it is visible
        space = expect(path, "S", table.pop("S"), n, 17, 4)  # m and whether it is visible
        part[(part == 0).all(-1)] = np.nan
        space *= 1000.0
        side = 200.0 * expect(path, "scale", table["scale"], n)
        boxes = np.column_stack([expect(path, "center", table["center"], n, 2), side])
        rows: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for row, name in enumerate(names):
            match = re.fullmatch(rf"(?:.*/)?{self.pictures[split]}_(\d+)\.\w+", name)
            if match is None:
                raise ValueError(f"{path}: imgname: {name!r} is no name of a {split} picture")
            *clip, number = match.groups()
            rows.setdefault(tuple(clip), []).append((int(number), row))
        for place, numbered in rows.items():
            numbers, chosen = np.array(sorted(numbered)).T
            pictures = None
            if not self.poses_only:
                pictures = tuple(Frame(path=self._images / names[row]) for row in chosen)
                existing(pictures[0].path, f"{path.name} names it: extract it, or take poses_only")
            poses_2d = part[chosen][:, self.joints, :2]
            poses_3d = space[chosen][:, self.joints, :3]
            name = "/".join(place).replace("_", " ")
            yield Clip(
                name=name,
                subject=place[0],
                pictures=pictures,
                poses_2d=poses_2d,
                poses_3d=poses_3d,
                boxes=boxes[chosen],
                camera=fit_camera(poses_3d, poses_2d, f"{path}: {name}"),
                numbers=numbers - 1,
            )
