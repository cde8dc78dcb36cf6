"""Prepared data on disk: the same as prepared anew, and never trusted when broken."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfpose.data import cache
from selfpose.data.cache import cached, data_key
from selfpose.data.dataset import PoseDataset
from selfpose.sources import load_dataset


def assert_same(one: PoseDataset, other: PoseDataset) -> None:
    assert (one.name, one.skeleton, one.provenance) == (
        other.name,
        other.skeleton,
        other.provenance,
    )
    assert torch.equal(one.unpaired, other.unpaired)
    for part in ("unlabelled", "test", "ceiling"):
        first, second = getattr(one, part), getattr(other, part)
        assert type(first) is type(second)
        for field in fields(first) if first is not None else ():
            a, b = getattr(first, field.name), getattr(second, field.name)
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, (part, field.name)


class Source:
    """Counts how often data are prepared."""

    def __init__(self, dataset: PoseDataset) -> None:
        self.dataset, self.calls = dataset, 0

    def __call__(self) -> PoseDataset:
        self.calls += 1
        return self.dataset


@pytest.mark.parametrize("with_ceiling", [True, False])
def test_cached_data_are_the_prepared_data(
    tiny_dataset: PoseDataset, tmp_path: Path, with_ceiling: bool
) -> None:
    dataset = tiny_dataset if with_ceiling else replace(tiny_dataset, ceiling=None)
    source = Source(dataset)
    for _ in range(3):
        assert_same(cached(tmp_path / "new" / "cache", "tiny", {}, [], source), dataset)
    assert source.calls == 1
    (path,) = (tmp_path / "new" / "cache").iterdir()
    assert path.suffix == ".safetensors"


def test_without_a_cache_nothing_is_kept(tiny_dataset: PoseDataset, tmp_path: Path) -> None:
    source = Source(tiny_dataset)
    for _ in range(2):
        cached(None, "tiny", {}, [], source)
    assert source.calls == 2
    assert list(tmp_path.iterdir()) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10_000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [truncate, empty])
def test_broken_caches_are_prepared_again(
    tiny_dataset: PoseDataset, tmp_path: Path, harm: Callable[[Path], Any]
) -> None:
    source = Source(tiny_dataset)
    cached(tmp_path, "tiny", {}, [], source)
    harm(next(tmp_path.iterdir()))
    assert_same(cached(tmp_path, "tiny", {}, [], source), tiny_dataset)
    assert source.calls == 2
    cached(tmp_path, "tiny", {}, [], source)
    assert source.calls == 2


def test_a_full_disk_leaves_nothing_half_written(
    tiny_dataset: PoseDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        cached(tmp_path, "tiny", {}, [], Source(tiny_dataset))
    assert list(tmp_path.iterdir()) == []


def test_keys_change_with_name_options_and_files(tmp_path: Path) -> None:
    motion = tmp_path / "motion"
    (motion / "01").mkdir(parents=True)
    (motion / "01" / "01.asf").write_text("bones")
    keys = [
        data_key("cmu", {"seed": 0}, [motion]),
        data_key("cmu", {"seed": 1}, [motion]),
        data_key("cmu2", {"seed": 0}, [motion]),
        data_key("cmu", {"seed": 0}, []),
    ]
    assert data_key("cmu", {"seed": 0}, [motion]) == keys[0]
    (motion / "01" / "01.asf").write_text("other bones")
    keys.append(data_key("cmu", {"seed": 0}, [motion]))
    (motion / "01" / "01_01.amc").write_text("moves")
    keys.append(data_key("cmu", {"seed": 0}, [motion]))
    assert len(set(keys)) == len(keys)


def test_embedded_data_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"n_unlabelled": 16, "n_unpaired": 32, "n_test": 8, "progress": False}
    first = load_dataset("embedded", cache=tmp_path, **options)
    monkeypatch.setattr("selfpose.sources.load_embedded", None)
    assert_same(load_dataset("embedded", cache=tmp_path, **options), first)


@pytest.mark.parametrize(
    ("name", "folders", "error", "message"),
    [
        ("h37m", {}, ValueError, "unknown data set 'h37m'"),
        ("embedded", {"data_root": "x"}, ValueError, "read no folder"),
        ("cmu", {}, ValueError, "need either data_root, or both"),
        ("cmu", {"data_train": "x"}, ValueError, "need either data_root, or both"),
        ("cmu", {"data_root": "x", "data_test": "y"}, ValueError, "need either data_root, or"),
        ("cmu", {"data_root": "no-such"}, FileNotFoundError, "no-such: no such folder"),
        (
            "cmu",
            {"data_train": ".", "data_test": "no-such"},
            FileNotFoundError,
            "no-such: no such folder",
        ),
    ],
)
def test_wrong_sources_are_refused(
    name: str, folders: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_dataset(name, **folders)
