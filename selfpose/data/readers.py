"""Readers of users' files by name, and how their data are prepared and opened."""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from selfpose.data.dataset import PoseDataset
from selfpose.data.prepare import FORMAT, MANIFEST, PROGRESS, Recipe, prepare
from selfpose.data.reader import Reader
from selfpose.data.source_names import READERS
from selfpose.files import refuse_unknown

_OURS = {MANIFEST, PROGRESS, "record.json"}


def make_reader(
    name: str, root: str | Path, options: Mapping[str, Any] | None = None
) -> tuple[Reader, dict[str, Any]]:
    """The reader ``name`` of a folder, and those of the options that are a :class:`Recipe`'s."""
    refuse_unknown([name], READERS, "source of files")
    module, attribute = READERS[name]
    kind = getattr(import_module(f"selfpose.data.{module}"), attribute)
    options = dict(options or {})
    accepted = [p for p in inspect.signature(kind).parameters if p != "root"]
    of_recipe = [f.name for f in fields(Recipe) if f.name != "image_size"]
    refuse_unknown(options, [*accepted, *of_recipe], f"option of data {name!r}:")
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    recipe = {key: options.pop(key) for key in of_recipe if key in options}
    try:
        return kind(root=Path(root), **options), recipe
    except TypeError as error:
        raise ValueError(f"an option of the data {name!r} is of the wrong kind: {error}") from error


def files_digest(folder: str | Path, *, times: bool = False) -> str:
    """Sixteen digits for the names and sizes of a folder's files, or also for their ``times``.

    Folders that the library itself has written there, runs and prepared data, are left out.
    """
    facts = []
    for where, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        if _OURS & set(names):
            inside.clear()
            continue
        for path in (Path(where, name) for name in sorted(names) if not name.startswith(".")):
            stat = path.stat()
            facts.append([path.relative_to(folder).as_posix(), stat.st_size])
            facts[-1] += [stat.st_mtime_ns] if times else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


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

    ``options`` are those of :func:`make_reader`; ``cache`` is the folder of prepared data, or the
    user's own cache; at most ``n_…`` of each part are taken, spread evenly over it. Other files,
    options or sizes are another preparation.
    """
    root, options = Path(root), dict(options or {})
    reader, chosen = make_reader(name, root, options)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfpose"
    where = str(root.resolve())  # two folders may hold files of the same names, sizes and times
    shown = json.dumps([FORMAT, where, options, files_digest(root, times=True)], sort_keys=True)
    key = hashlib.sha256(shown.encode()).hexdigest()[:16]
    folder = Path(cache) / f"{name}-{image_size}px-{key}"
    recipe = Recipe(image_size=image_size, **chosen)
    dataset = replace(prepare(reader, folder, recipe, progress=progress), name=name)
    return dataset.thinned(n_unlabelled=n_unlabelled, n_unpaired=n_unpaired, n_test=n_test)
