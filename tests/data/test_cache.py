"""Prepared data on disk: the same as prepared anew, and never trusted when broken."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from selfpose.data.cache import cached, data_key
from selfpose.data.dataset import PoseDataset
from selfpose.synthetic.sources import load_dataset


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
    (path,) = (tmp_path / "new" / "cache").glob("*.safetensors")
    assert path.suffix == ".safetensors"


@pytest.mark.parametrize("kept", [0, 10_000])
def test_broken_caches_are_prepared_again(
    tiny_dataset: PoseDataset, tmp_path: Path, kept: int
) -> None:
    source = Source(tiny_dataset)
    cached(tmp_path, "tiny", {}, [], source)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    assert_same(cached(tmp_path, "tiny", {}, [], source), tiny_dataset)
    assert source.calls == 2


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
    monkeypatch.setattr("selfpose.synthetic.sources.load_embedded", None)
    assert_same(load_dataset("embedded", cache=tmp_path, **options), first)


@pytest.mark.parametrize(
    ("name", "folders", "message"),
    [
        ("h37m", {}, "unknown data set 'h37m'"),
        ("embedded", {"data_root": "."}, "need no folder, got data_root"),
        ("coco", {"data_train": ".", "data_test": "."}, "need data_root, got"),
        ("cmu", {"data_train": "."}, "need data_root or data_train and data_test"),
        ("cmu", {"data_root": "no-such"}, "no-such: no such folder"),
    ],
)
def test_folders_that_do_not_fit_are_refused(
    name: str, folders: dict[str, str], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset(name, **folders)
