"""Data sets by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selfpose.data.cache import cached
from selfpose.synthetic.cmu import load_cmu
from selfpose.synthetic.embedded import load_embedded
from selfpose.data.dataset import PoseDataset
from selfpose.data.readers import load_files
from selfpose.data.source_names import BODY_OF, FILES, GENERATED, SOURCES
from selfpose.files import refuse_unknown

_RENDERERS: dict[str, Callable[..., PoseDataset]] = {"cmu": load_cmu}


def check_folders(
    name: str,
    data_root: str | Path | None = None,
    data_train: str | Path | None = None,
    data_test: str | Path | None = None,
) -> list[Path]:
    """The folders that a data set is read from; none for generated ones.

    Raises
    ------
    ValueError
        If the name is unknown, or folders are missing or given where none are read.
    FileNotFoundError
        If a folder does not exist.
    """
    refuse_unknown([name], SOURCES, "data set")
    folders = [Path(f) for f in (data_root, data_train, data_test) if f]
    if name in GENERATED:
        if folders:
            raise ValueError(
                f"the data {name!r} are generated and read no folder; leave out the data folders, "
                "or ask for data 'cmu', or 'folder'"
            )
        return []
    if name in FILES:
        if not data_root or data_train or data_test:
            raise ValueError(f"data {name!r} need data_root, one folder, and no other")
    elif bool(data_root) == bool(data_train or data_test) or bool(data_train) != bool(data_test):
        raise ValueError(
            f"data {name!r} need either data_root, or both data_train and data_test: folders of "
            "motion capture"
        )
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    return folders


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
    """Prepare a data set, or read it from the cache of prepared ones.

    Parameters
    ----------
    name
        One of :data:`selfpose.data.source_names.SOURCES`: generated, rendered from motion capture,
        or read from files.
    data_root
        One folder; motion capture is split by trial.
    data_train, data_test
        Two folders of motion capture instead: learn from one, and test on every trial of the other.
    data_options
        What a reader of files takes besides its folder, by name.
    cache
        Folder for prepared data. Generated data are made anew without one; files are then prepared
        in the user's own cache.
    options
        ``image_size``, ``n_unlabelled``, ``n_unpaired``, ``n_test``, ``difficulty``,
        ``camera_elevation``, ``seed``. The last three are for pictures that the library draws.

    Raises
    ------
    ValueError
        If the name or an option is unknown, folders are missing or given where none are read, or
        files are broken.
    FileNotFoundError
        If a folder does not exist.
    """
    folders = check_folders(name, data_root, data_train, data_test)
    if name in FILES:
        drawn = ("difficulty", "camera_elevation", "seed")
        sizes = {key: value for key, value in options.items() if key not in drawn}
        return load_files(
            name, root=folders[0], cache=cache, options=data_options, progress=progress, **sizes
        )
    refuse_unknown(data_options or {}, (), f"option of the data {name!r}")
    kept = None if cache is None else Path(cache)
    if name in GENERATED:
        return cached(
            kept,
            name,
            options,
            [],
            lambda: load_embedded(body=BODY_OF[name], progress=progress, **options),
        )
    return cached(
        kept,
        name,
        {**options, "split": "root" if data_root else "train/test"},
        folders,
        lambda: _RENDERERS[name](
            root=data_root or None,
            train_root=data_train or None,
            test_root=data_test or None,
            progress=progress,
            **options,
        ),
    )


__all__ = ["check_folders", "load_dataset"]
