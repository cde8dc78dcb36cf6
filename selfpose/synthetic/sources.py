"""Data sets by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfpose.data.cache import cached
from selfpose.data.dataset import PoseDataset
from selfpose.data.readers import load_files
from selfpose.data.source_names import FILES, GENERATED, SOURCES
from selfpose.files import refuse_unknown
from selfpose.synthetic.generated import load_embedded
from selfpose.synthetic.recordings import load_cmu


def load_dataset(
    name: str,
    *,
    data_root: str | Path | None = None,
    data_train: str | Path | None = None,
    data_test: str | Path | None = None,
    data_options: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> PoseDataset:
    """Make a data set, or read it from the cache of those made before.

    Generated data read no folder; files one, ``data_root``, with ``data_options`` for their
    reader; motion capture is split by clip, or learnt from in ``data_train`` and tested on in
    ``data_test``. ``options`` are the sizes, and, for pictures that the library draws,
    ``difficulty``, ``camera_elevation`` and ``seed``. Files are prepared in the user's own cache if
    none is named.
    """
    folders = check_folders(name, data_root, data_train, data_test)
    if name in FILES:
        drawn = ("difficulty", "camera_elevation", "seed")
        sizes = {key: value for key, value in options.items() if key not in drawn}
        return load_files(
            name, root=folders[0], cache=cache, options=data_options, progress=progress, **sizes
        )
    refuse_unknown(data_options or {}, (), f"option of the data {name!r}")

    def make() -> PoseDataset:
        if name in GENERATED:
            body = "human" if name == "embedded" else name
            return load_embedded(body=body, progress=progress, **options)
        return load_cmu(
            root=data_root,
            train_root=data_train,
            test_root=data_test,
            progress=progress,
            **options,
        )

    return cached(None if cache is None else Path(cache), name, options, folders, make)


def check_folders(
    name: str,
    data_root: str | Path | None = None,
    data_train: str | Path | None = None,
    data_test: str | Path | None = None,
) -> list[Path]:
    """The folders that a data set is read from; ``ValueError`` if they are not those it needs."""
    refuse_unknown([name], SOURCES, "data set")
    named = {"data_root": data_root, "data_train": data_train, "data_test": data_test}
    given = [key for key, folder in named.items() if folder]
    fitting = [["data_root"]] if name in FILES else [["data_root"], ["data_train", "data_test"]]
    fitting = [[]] if name in GENERATED else fitting
    if given not in fitting:
        needs = " or ".join(" and ".join(keys) or "no folder" for keys in fitting)
        raise ValueError(f"the data {name!r} need {needs}, got {', '.join(given) or 'none'}")
    folders = [Path(folder) for folder in named.values() if folder]
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    return folders
