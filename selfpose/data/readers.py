"""Readers of users' files by name, and how their data are prepared and opened."""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch

from torch import Tensor
from selfpose.data import video
from selfpose.data.picture_files import SUFFIXES
from selfpose.data.plan import Recipe
from selfpose.data.prepare import PLAN, prepare
from selfpose.data.prepared import FORMAT, MANIFEST
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.data.reader import Reader
from selfpose.files import refuse_unknown

READERS: dict[str, tuple[str, str]] = {
    "folder": ("selfpose.data.folder", "PictureFolder"),
    "coco": ("selfpose.data.coco", "CocoKeypoints"),
    "human36m": ("selfpose.data.human36m", "Human36M"),
    "human36m-mmpose": ("selfpose.data.human36m", "MMPoseHuman36M"),
    "human36m-videopose3d": ("selfpose.data.human36m", "VideoPose3DHuman36M"),
    "human36m-fetch": ("selfpose.data.human36m", "FetchHuman36M"),
    "mpi-inf-3dhp": ("selfpose.data.mpi_inf_3dhp", "MPIInf3DHP"),
    "mpi-inf-3dhp-mmpose": ("selfpose.data.mpi_inf_3dhp", "MMPoseMPIInf3DHP"),
    "rhd": ("selfpose.data.hands_files", "RHD"),
    "freihand": ("selfpose.data.hands_files", "FreiHAND"),
}
"""Name of each source of files: the module and the class that read it."""

SomeSet = TypeVar("SomeSet", bound=ImageSet)
MANY = 50_000
"""Files; with more of them it would take long to ask when each was changed."""
_OURS = {MANIFEST, PLAN, "record.json"}
CHECKPOINT = "checkpoint"
_RECIPE = tuple(f.name for f in fields(Recipe) if f.name != "image_size")


def make_reader(
    name: str, root: str | Path, options: Mapping[str, Any] | None = None
) -> tuple[Reader, dict[str, Any]]:
    """The reader of a folder, and those of the options that say how its frames are prepared.

    Parameters
    ----------
    name
        One of ``READERS``.
    root
        The data set's folder.
    options
        Keyword arguments of the reader, and of :class:`selfpose.data.plan.Recipe`.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or the files are broken.
    FileNotFoundError
        If the folder, or a file that must be in it, is missing.
    """
    refuse_unknown([name], READERS, "source of files")
    module, attribute = READERS[name]
    kind: Callable[..., Reader] = getattr(import_module(module), attribute)
    accepted = [p for p in inspect.signature(kind).parameters if p != "root"]
    options = dict(options or {})
    refuse_unknown(options, [*accepted, *_RECIPE], f"option of data {name!r}:")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    recipe = {key: options.pop(key) for key in _RECIPE if key in options}
    for key, value in options.items():
        if inspect.signature(kind).parameters[key].annotation is bool and type(value) is not bool:
            raise ValueError(f"option {key!r} of data {name!r} is true or false, got {value!r}")
    try:
        return kind(root=root, **options), recipe
    except TypeError as error:
        raise ValueError(f"an option of the data {name!r} is of the wrong kind: {error}") from error


def default_cache() -> Path:
    """Where prepared data are kept if nobody says: the user's own cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfpose"


def files_digest(folder: str | Path, *, times: bool = False) -> str:
    """Sixteen digits that stand for the files of a folder.

    Of pictures and videos, of which there may be a million, the names alone; of all others the
    sizes too, and with ``times`` when they were changed (then of pictures as well, as long as there
    are fewer than ``MANY``). What the library itself has written there, runs and prepared data, is
    none of the source's.
    """
    folder = Path(folder)
    media = SUFFIXES | video.SUFFIXES
    paths: list[Path] = []
    for where, inside, names in os.walk(folder):
        if _OURS & set(names) and Path(where) != folder:
            inside.clear()
            continue
        inside[:] = sorted(
            name for name in inside if not name.startswith(".") and name != CHECKPOINT
        )
        paths += [Path(where) / name for name in sorted(names) if not name.startswith(".")]
    digest = hashlib.sha256()
    for path in paths:
        facts: list[Any] = [path.relative_to(folder).as_posix()]
        if path.suffix.lower() not in media or (times and len(paths) < MANY):
            stat = path.stat()
            facts += [stat.st_size, stat.st_mtime_ns] if times else [stat.st_size]
        digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:16]


def prepared_folder(
    name: str, root: Path, options: Mapping[str, Any], *, image_size: int, cache: Path
) -> Path:
    """The folder of a preparation: another one for other files, options or sizes."""
    where = str(root.resolve())  # two folders may hold files of the same names, sizes and times
    shown = json.dumps([FORMAT, where, options, files_digest(root, times=True)], sort_keys=True)
    key = hashlib.sha256(shown.encode()).hexdigest()[:16]
    return cache / f"{name}-{image_size}px-{key}"


def load_files(
    name: str,
    *,
    root: str | Path,
    cache: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    image_size: int = 64,
    n_unlabelled: int | None = None,
    n_unpaired: int | None = None,
    n_test: int | None = None,
    progress: bool = True,
) -> PoseDataset:
    """The data of a folder of files: prepared if they are not yet, then opened.

    Parameters
    ----------
    name, root, options
        As in :func:`make_reader`.
    cache
        Folder of prepared data, by default :func:`default_cache`.
    image_size
        Side of the square pictures, px.
    n_unlabelled, n_unpaired, n_test
        At most so many of each part, spread evenly over it; ``None`` takes all, which stay on disk.

    Raises
    ------
    ValueError, FileNotFoundError, OSError
        As :func:`make_reader` and :func:`selfpose.data.prepare.prepare`.
    """
    root, options = Path(root), dict(options or {})
    reader, chosen = make_reader(name, root, options)
    folder = prepared_folder(
        name, root, options, image_size=image_size, cache=Path(cache or default_cache())
    )
    recipe = Recipe(image_size=image_size, **chosen)
    dataset = replace(prepare(reader, folder, recipe, progress=progress), name=name)
    return thinned(dataset, n_unlabelled=n_unlabelled, n_unpaired=n_unpaired, n_test=n_test)


def thinned(
    dataset: PoseDataset,
    *,
    n_unlabelled: int | None = None,
    n_unpaired: int | None = None,
    n_test: int | None = None,
) -> PoseDataset:
    """At most so many of each part, spread evenly, in their order. ``None`` takes all."""

    def rows(n: int | None, of: int) -> Tensor | None:
        if n is None or n >= of:
            return None
        return torch.linspace(0, of - 1, n, dtype=torch.float64).round().long()

    pictures = rows(n_unlabelled, len(dataset.unlabelled))
    poses = rows(n_unpaired, len(dataset.unpaired))
    tests = rows(n_test, len(dataset.test))
    provenance = dict(dataset.provenance)
    if tests is not None:  # protocols must not call these frames all
        provenance["test_thinned_from"] = len(dataset.test)
    return replace(
        dataset,
        provenance=provenance,
        unlabelled=_rows_of(dataset.unlabelled, pictures),
        unpaired=dataset.unpaired if poses is None else dataset.unpaired[poses],
        test=_rows_of(dataset.test, tests),
        ceiling=None if dataset.ceiling is None else _rows_of(dataset.ceiling, pictures),
    )


def _rows_of(part: SomeSet, rows: Tensor | None) -> SomeSet:
    if rows is None:
        return part
    changed: dict[str, Any] = {"images": part.images[rows], "sequence": part.sequence[rows]}
    if part.foreground is not None:
        changed["foreground"] = part.foreground[rows]
    if isinstance(part, LabelledSet):
        changed |= {"poses_2d": part.poses_2d[rows], "poses_3d": part.poses_3d[rows]}
        for name in ("activity", "subject", "clip"):
            values = getattr(part, name)
            if values is not None:
                changed[name] = tuple(values[k] for k in rows.tolist())
        if part.number is not None:
            changed["number"] = part.number[rows]
    return replace(part, **changed)


__all__ = [
    "READERS",
    "default_cache",
    "files_digest",
    "load_files",
    "make_reader",
    "prepared_folder",
    "thinned",
]
