"""Data sets by name."""

from pathlib import Path
from typing import Any

from selfpose.data.cache import cached
from selfpose.data.cmu import load_cmu
from selfpose.data.embedded import load_embedded
from selfpose.data.protocol import PoseDataset

SOURCES: tuple[str, ...] = ("embedded", "cmu")


def check_folders(
    name: str,
    data_root: str | Path | None = None,
    data_train: str | Path | None = None,
    data_test: str | Path | None = None,
) -> list[Path]:
    """The folders that a data set is read from; none for the embedded one.

    Raises
    ------
    ValueError
        If the name is unknown, or folders are missing or given where none are read.
    FileNotFoundError
        If a folder does not exist.
    """
    folders = [Path(f) for f in (data_root, data_train, data_test) if f]
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(SOURCES)}")
    if name == "embedded":
        if folders:
            raise ValueError(
                "the embedded data are generated and read no folder; leave out the data folders, "
                "or ask for data 'cmu'"
            )
        return []
    if bool(data_root) == bool(data_train or data_test) or bool(data_train) != bool(data_test):
        raise ValueError(
            "data 'cmu' needs either data_root, or both data_train and data_test: folders with "
            ".asf and .amc files"
        )
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of motion capture")
    return folders


def load_dataset(
    name: str,
    *,
    data_root: str | Path | None = None,
    data_train: str | Path | None = None,
    data_test: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> PoseDataset:
    """Prepare a data set, or read it from the cache of prepared ones.

    Parameters
    ----------
    name
        ``embedded``: generated people, needs no files. ``cmu``: CMU motion capture, rendered.
    data_root
        One folder of motion capture, split by trial.
    data_train, data_test
        Two folders instead: learn from one, and test on every trial of the other.
    cache
        Folder for prepared data.
    options
        ``image_size``, ``n_unlabelled``, ``n_unpaired``, ``n_test``, ``difficulty``, ``seed``.

    Raises
    ------
    ValueError
        If the name is unknown, or folders are missing or given where none are read.
    FileNotFoundError
        If a folder does not exist.
    """
    folders = check_folders(name, data_root, data_train, data_test)
    if name == "embedded":
        return cached(
            None if cache is None else Path(cache),
            name,
            options,
            [],
            lambda: load_embedded(progress=progress, **options),
        )
    return cached(
        None if cache is None else Path(cache),
        name,
        {**options, "split": "root" if data_root else "train/test"},
        folders,
        lambda: load_cmu(
            root=data_root or None,
            train_root=data_train or None,
            test_root=data_test or None,
            progress=progress,
            **options,
        ),
    )


__all__ = ["SOURCES", "check_folders", "load_dataset"]
