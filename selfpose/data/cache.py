"""Prepared data sets on disk, so that many runs share one preparation."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.files import write_whole
from selfpose.skeleton import Skeleton


def _package_digest() -> str:
    """Digest of the code that makes data: a changed generator makes new data."""
    digest = hashlib.sha256()
    here = Path(__file__).resolve().parent
    above = [here.parent / name for name in ("bodies.py", "camera.py", "metrics.py", "skeleton.py")]
    for path in sorted([*here.glob("*.py"), *above]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _folder_digest(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of a folder's files: changed files make new data."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    facts = [(p.relative_to(folder).as_posix(), p.stat()) for p in files]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in facts]


def data_key(name: str, options: dict[str, Any], folders: list[Path]) -> str:
    """A name for the prepared data that changes with options, code and source files."""
    facts = [name, options, _package_digest(), [_folder_digest(f) for f in folders]]
    return f"{name}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]}"


def _write(dataset: PoseDataset, path: Path) -> None:
    tensors = {
        "unlabelled.images": dataset.unlabelled.images,
        "unlabelled.sequence": dataset.unlabelled.sequence,
        "unpaired": dataset.unpaired,
    }
    meta: dict[str, Any] = {
        "name": dataset.name,
        "skeleton": dataset.skeleton.to_dict(),
        "provenance": dataset.provenance,
        "activity": {"test": dataset.test.activity},
    }
    labelled = {"test": dataset.test}
    if dataset.ceiling is not None:
        labelled["ceiling"] = dataset.ceiling
        meta["activity"]["ceiling"] = dataset.ceiling.activity
    for part, labels in labelled.items():
        if part == "test":
            tensors["test.images"] = labels.images
        tensors[f"{part}.sequence"] = labels.sequence.clone()
        tensors[f"{part}.poses_2d"] = labels.poses_2d
        tensors[f"{part}.poses_3d"] = labels.poses_3d
    contiguous = {k: v.contiguous() for k, v in tensors.items()}
    metadata = {"selfpose": json.dumps(meta)}
    write_whole(
        path, lambda partial: save_file(contiguous, partial, metadata=metadata), shared=True
    )


def _read(path: Path) -> PoseDataset:
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["selfpose"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def labels(part: str, images: str) -> LabelledSet:
        return LabelledSet(
            images=tensors[f"{images}.images"],
            sequence=tensors[f"{part}.sequence"],
            poses_2d=tensors[f"{part}.poses_2d"],
            poses_3d=tensors[f"{part}.poses_3d"],
            activity=tuple(meta["activity"][part]),
        )

    return PoseDataset(
        name=meta["name"],
        skeleton=Skeleton.from_dict(meta["skeleton"]),
        unlabelled=ImageSet(
            images=tensors["unlabelled.images"], sequence=tensors["unlabelled.sequence"]
        ),
        unpaired=tensors["unpaired"],
        test=labels("test", "test"),
        ceiling=labels("ceiling", "unlabelled") if "ceiling" in meta["activity"] else None,
        provenance=meta["provenance"],
    )


def cached(
    cache: Path | None,
    name: str,
    options: dict[str, Any],
    folders: list[Path],
    prepare: Callable[[], PoseDataset],
) -> PoseDataset:
    """The prepared data set from the cache, or prepared now and kept there.

    An unreadable cache file is prepared again. ``cache=None`` keeps nothing.
    """
    if cache is None:
        return prepare()
    path = cache / f"{data_key(name, options, folders)}.safetensors"
    if path.is_file():
        try:
            return _read(path)
        except (SafetensorError, OSError, KeyError, ValueError):
            path.unlink(missing_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    dataset = prepare()
    _write(dataset, path)
    return dataset


__all__ = ["cached", "data_key"]
