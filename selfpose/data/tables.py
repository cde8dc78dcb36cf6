"""Tables of poses as people type or export them, and JSON files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from selfpose.files import refuse_unknown
from selfpose.skeleton import BODIES, Skeleton


@dataclass(frozen=True, kw_only=True)
class PoseTable:
    """N poses of J joints, in the skeleton's order, from a file, in order of appearance."""

    poses_2d: Float[ndarray, "N J 2"]  # px; NaN where a joint is not known
    pictures: tuple[str, ...] = ()
    poses_3d: Float[ndarray, "N J 3"] | None = None  # mm, camera frame
    sizes: Float[ndarray, "N 2"] | None = None  # width and height of the picture, px


def read_json(path: str | Path) -> Any:
    """Any JSON file; ``ValueError`` names the file if it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error


def skeleton_from(what: Skeleton | str | Path) -> Skeleton:
    """A skeleton as it is, by the name of a known body, or from a JSON file."""
    if isinstance(what, Skeleton):
        return what
    return BODIES[str(what)] if str(what) in BODIES else Skeleton.from_json(what)


def read_poses(path: Path, skeleton: Skeleton) -> PoseTable:
    """Poses of a body: a table (:func:`read_table`), or ``.npy``, (N, J, 2) px."""
    try:
        if path.suffix == ".csv":
            poses = read_table(path, skeleton)
        else:
            array = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
            if array.shape[1:] != (skeleton.n_joints, 2):
                raise ValueError(f"expected (N, {skeleton.n_joints}, 2), got {array.shape}")
            poses = PoseTable(poses_2d=array)
        if not 2 < np.nanmax(np.abs(poses.poses_2d)) < 1e6:  # not so for NaN either
            raise ValueError("expected pixels: multiply normalised ones by the picture's size")
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{path}: no 2D poses of {skeleton.name!r}: {error}") from error
    return poses


def read_table(path: Path, skeleton: Skeleton) -> PoseTable:
    """A CSV with one row a joint, ``picture, joint, x, y``, or one a pose, ``JOINT_x, JOINT_y, …``.

    Further columns may be ``X, Y, Z`` (``JOINT_X``, …): the joint in three dimensions, mm, camera
    frame; and ``width, height``: the size, px, of the picture that the pose was measured in.
    Separated by commas, semicolons or tabs; a joint whose cells are empty is not known.
    """
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    table = pd.read_csv(
        path,
        sep=max(",;\t", key=first.count),
        encoding="utf-8-sig",
        dtype={"picture": str, "joint": str},
    )
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes a cell too many for a name
        raise ValueError("rows have more cells than the header; has a number a decimal comma?")
    table = table if "joint" in table else _to_long(table)
    groups = (["picture", "joint", "x", "y"], ["X", "Y", "Z"], ["width", "height"])
    refuse_unknown(table.columns, [n for group in groups for n in group], "column")
    for group in groups:
        missing = [name for name in group if name not in table]
        if missing and (group is groups[0] or len(missing) < len(group)):
            raise ValueError(f"the column {missing[0]!r} is missing")
    refuse_unknown(table["joint"], skeleton.joints, "joint")
    if (twice := table.duplicated(["picture", "joint"])).any():
        raise ValueError(f"a joint stands there twice: {table[twice].iloc[0].to_dict()}")
    pictures = table["picture"].unique()
    rows = pd.MultiIndex.from_product([pictures, skeleton.joints])
    cells = table.set_index(["picture", "joint"]).astype(np.float64).reindex(rows)

    def values(*names: str) -> Float[ndarray, "N J D"]:
        shape = (len(pictures), skeleton.n_joints, len(names))
        return cells[list(names)].to_numpy().reshape(shape)

    return PoseTable(
        poses_2d=values("x", "y"),
        pictures=tuple(pictures),
        poses_3d=values("X", "Y", "Z") if "X" in cells else None,
        sizes=np.nanmax(values("width", "height"), axis=1) if "width" in cells else None,
    )


def _to_long(table: pd.DataFrame) -> pd.DataFrame:
    """One row a pose → one row a joint."""
    if "picture" not in table:
        table = table.assign(picture=[str(k) for k in range(len(table))])
    kept = [name for name in ("picture", "width", "height") if name in table]
    axes: dict[str, dict[str, pd.Series]] = {}
    for name in table.columns.drop(kept):
        joint, _, axis = name.rpartition("_")
        axes.setdefault(joint, {})[axis] = table[name]
    return pd.concat([table[kept].assign(joint=joint, **of) for joint, of in axes.items()])
