"""Generated and rendered data sets on disk, so that many runs share one preparation."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.files import library_digest, write_whole
from selfpose.skeleton import Skeleton


def data_key(name: str, options: dict[str, Any], folders: list[Path]) -> str:
    """A name for the prepared data that changes with options, code and source files."""
    files = [[(p.relative_to(f), p.stat()) for p in sorted(f.rglob("*"))] for f in folders]
    seen = [[[path.as_posix(), s.st_size, s.st_mtime_ns] for path, s in fs] for fs in files]
    facts = json.dumps([name, options, library_digest(), seen], sort_keys=True)
    return f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def _write(dataset: PoseDataset, path: Path) -> None:
    tensors = {"unpaired": dataset.unpaired}
    words: dict[str, Any] = {}
    for part in ("unlabelled", "test", "ceiling"):
        labelled = getattr(dataset, part)
        for name, value in vars(labelled).items() if labelled else ():
            if part == "ceiling" and name in vars(dataset.unlabelled):
                continue  # the same pictures
            if isinstance(value, Tensor):
                tensors[f"{part}.{name}"] = value.contiguous()
            elif isinstance(value, tuple):
                words[f"{part}.{name}"] = value
    facts = {"name": dataset.name, "skeleton": dataset.skeleton.to_dict(), "words": words}
    metadata = {"selfpose": json.dumps({**facts, "provenance": dataset.provenance})}
    write_whole(path, lambda partial: save_file(tensors, partial, metadata=metadata))


def _read(path: Path) -> PoseDataset:
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["selfpose"])
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    values |= {name: tuple(words) for name, words in facts["words"].items()}

    def part(name: str) -> dict[str, Any]:
        found = {k: v for k, v in values.items() if k.startswith(f"{name}.")}
        return {k.removeprefix(f"{name}."): v for k, v in found.items()}

    unlabelled, ceiling = part("unlabelled"), part("ceiling")
    return PoseDataset(
        name=facts["name"],
        skeleton=Skeleton.from_dict(facts["skeleton"]),
        unlabelled=ImageSet(**unlabelled),
        unpaired=values["unpaired"],
        test=LabelledSet(**part("test")),
        ceiling=LabelledSet(**unlabelled, **ceiling) if ceiling else None,
        provenance=facts["provenance"],
    )


def cached(
    cache: Path | None,
    name: str,
    options: dict[str, Any],
    folders: list[Path],
    prepare: Callable[[], PoseDataset],
) -> PoseDataset:
    """The data set from the cache, or prepared now and kept there; ``None`` keeps nothing."""
    if cache is None:
        return prepare()
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{data_key(name, options, folders)}.safetensors"
    with FileLock(f"{path}.lock"):  # another process that prepares the same is waited for
        if path.is_file():
            try:
                return _read(path)
            except (SafetensorError, OSError, KeyError, ValueError):
                path.unlink(missing_ok=True)  # unreadable: prepared again
        dataset = prepare()
        _write(dataset, path)
    return dataset
