"""Sources of files by name: from a folder to a trained model, and what is said on the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from selfpose.cli import cli
from selfpose.config import Config
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.data.readers import files_digest, load_files, make_reader
from selfpose.data.source_names import READERS
from selfpose.run import DataChoice, run_experiment
from selfpose.skeleton import Skeleton

CRANE = Skeleton(
    name="crane",
    joints=("base", "elbow", "hook", "tail"),
    bones=((0, 1), (1, 2), (0, 3)),
    root=0,
    top=1,
)
RESTS = np.array([[40.0, 45.0], [40.0, 20.0], [55.0, 30.0], [30.0, 50.0]])


def poses(n: int, seed: int) -> np.ndarray:
    """Poses in px of pictures of 80 × 60, never all alike."""
    return (RESTS + np.random.default_rng(seed).normal(0, 3, (n, 4, 2))).round(2)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Pictures of two static cameras, loose poses and no labels."""
    root = tmp_path / "mine"
    for camera in ("garden", "yard"):
        for k, pose in enumerate(poses(20, len(camera))):
            pixels = np.full((60, 80, 3), 90, dtype=np.uint8)
            for x, y in pose.astype(int):
                pixels[y - 2 : y + 3, x - 2 : x + 3] = 220
            path = root / "pictures" / camera / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (root / "skeleton.json").write_text(json.dumps(CRANE.to_dict()))
    np.save(root / "poses.npy", poses(80, 9))
    return root


def label(root: Path) -> None:
    """Give the folder a labelled test part, in 2D."""
    rows = ["picture,joint,x,y"]
    for k, pose in enumerate(poses(6, 77)):
        path = root / "test" / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 60), (90, 90, 90)).save(path)
        for joint, (x, y) in zip(CRANE.joints, pose, strict=True):
            rows.append(f"{k}.png,{joint},{x},{y}")
    (root / "test" / "labels.csv").write_text("\n".join(rows) + "\n")


def test_poses_and_labels_come_at_the_scale_of_whole_pictures(mine: Path, tmp_path: Path) -> None:
    label(mine)
    data = load_files("folder", root=mine, cache=tmp_path / "c", image_size=80, progress=False)
    shift = torch.tensor([0.0, 10.0])  # 60 px high: padded to 80
    torch.testing.assert_close(data.unpaired, torch.from_numpy(poses(80, 9)).float() + shift)
    torch.testing.assert_close(data.test.poses_2d, torch.from_numpy(poses(6, 77)).float() + shift)
    assert data.name == "folder"
    assert data.unlabelled.foreground is not None
    assert not data.test.knows_3d


@pytest.mark.slow
def test_an_unlabelled_folder_trains_and_its_record_claims_no_error(
    mine: Path, tmp_path: Path
) -> None:
    choice = DataChoice(name="folder", data_root=str(mine), cache=str(tmp_path / "c"))
    few = {"data.n_unlabelled": 32, "data.n_unpaired": 64, "data.n_test": 8, "flow.components": 4}
    steps = {"pictures.steps": 4, "pictures.omega_steps": 2, "lifting.steps": 4, "flow.steps": 4}
    config = Config.for_run(preset="smoke", overrides={**few, **steps, "pictures.batch": 8})
    record = run_experiment(config, out=tmp_path / "run", data=choice, progress=False)
    assert set(record["metrics"]) == {"elevation_mean_deg", "elevation_sd_deg"}
    assert record["dataset"] == "folder"
    assert record["data"]["relative_bone_lengths"].startswith("estimated from")
    label(mine)  # other files are other data: the finished run is not this one
    with pytest.raises(ValueError, match="data_files"):
        run_experiment(config, out=tmp_path / "run", data=choice, progress=False)


def test_check_tells_joints_counts_and_parts_and_draws(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(mine)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["data", "check", "folder", "--root", str(mine)])
    assert done.exit_code == 0, done.output
    for text in ("2 hook (centre)", "bone base – elbow: ", "nothing wrong was found",
                 "unlabelled: 40 frames of 2 clips", "unpaired: 80 frames"):  # fmt: skip
        assert text in done.output
    with Image.open(tmp_path / "check-folder.png") as drawn:
        assert min(drawn.size) > 200


def test_check_names_the_first_fault_and_fails(mine: Path, tmp_path: Path) -> None:
    (mine / "pictures/yard/3.png").write_bytes(b"no picture")
    out = tmp_path / "samples.png"
    command = ["data", "check", "folder", "--root", str(mine), "--out", str(out)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if line.startswith("WRONG")]
    assert "3.png" in line


def test_prepare_once_and_anew_for_changed_files(mine: Path, tmp_path: Path) -> None:
    command = ["data", "prepare", "folder", "--root", str(mine), "--cache", str(tmp_path / "c")]
    assert "80 unpaired poses" in CliRunner().invoke(cli, command).output
    np.save(mine / "poses.npy", poses(70, 8))
    assert "70 unpaired poses" in CliRunner().invoke(cli, command).output


def test_options_go_to_the_reader_or_to_the_preparation(mine: Path) -> None:
    _, recipe = make_reader("folder", mine, {"every": 4, "skeleton": mine / "skeleton.json"})
    assert recipe == {"every": 4}
    with pytest.raises(ValueError, match="unknown option of data 'folder': 'skeletn'; did you"):
        make_reader("folder", mine, {"skeletn": "human_17"})
    with pytest.raises(ValueError, match="unknown source of files"):
        make_reader("folders", mine)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        make_reader("folder", mine / "nowhere")


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_what_an_empty_folder_lacks(name: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        make_reader(name, tmp_path)


def test_the_digest_is_of_names_and_sizes_but_not_of_what_the_library_wrote(mine: Path) -> None:
    digests = [files_digest(mine)]
    load_files("folder", root=mine, cache=mine / "cache", progress=False)
    (mine / "run").mkdir()
    (mine / "run" / "record.json").write_text("{}")
    assert files_digest(mine) == digests[0]
    (mine / "labels.csv").write_text("x")
    digests.append(files_digest(mine))
    (mine / "labels.csv").write_text("xy")
    digests.append(files_digest(mine))
    times = files_digest(mine, times=True)
    (mine / "labels.csv").write_text("yx")
    assert files_digest(mine) == digests[-1]
    assert files_digest(mine, times=True) != times
    assert len(set(digests)) == 3


@pytest.mark.parametrize("options", [{"every": "two"}, {"every": 2.5}])
@pytest.mark.usefixtures("without_shape_checks")
def test_options_of_the_wrong_kind_end_in_one_line(mine: Path, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"every|wrong kind"):
        load_files("folder", root=mine, cache=mine / "cache", options=options, progress=False)


def test_thinning_keeps_order_ends_and_labels_together() -> None:
    n = 40
    images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 8, 8)
    numbers = torch.arange(n, dtype=torch.float32)[:, None, None]
    pictures = {"images": images, "sequence": torch.arange(n) // 10, "foreground": images[:, 0]}
    labelled = LabelledSet(
        **pictures,
        backgrounds=images[:4],
        poses_2d=numbers.expand(n, 4, 2),
        poses_3d=numbers.expand(n, 4, 3),
        activity=tuple(str(k) for k in range(n)),
    )
    whole = PoseDataset(
        name="n",
        skeleton=CRANE,
        unlabelled=ImageSet(**pictures, backgrounds=images[:4]),
        unpaired=labelled.poses_2d,
        test=labelled,
        ceiling=labelled,
    )
    few = whole.thinned(n_unlabelled=7, n_unpaired=5, n_test=3)
    rows = few.unlabelled.images[:, 0, 0, 0].tolist()
    assert rows == sorted(rows)
    assert (len(rows), rows[0], rows[-1]) == (7, 0, n - 1)
    assert few.ceiling is not None
    assert few.ceiling.poses_3d[:, 0, 0].tolist() == rows
    assert few.ceiling.activity == tuple(str(k) for k in rows)
    assert few.unlabelled.foreground is not None
    assert few.unlabelled.foreground[:, 0, 0].tolist() == rows
    assert few.test.images[:, 0, 0, 0].tolist() == [0, 20, 39]
    assert whole.thinned().unlabelled is whole.unlabelled
