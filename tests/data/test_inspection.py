"""What `data check` notes without calling it wrong: cameras that move, scales, y that counts up."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from selfpose.cli import cli
from selfpose.data.inspection import STILL, still_share

WIDTH, HEIGHT = 96, 72
JOINTS = ("foot", "elbow", "head")
SKELETON = """{"name": "lamp", "joints": ["foot", "elbow", "head"], "bones": [[0, 1], [1, 2]],
 "root": 0, "top": 1, "mirror_pairs": []}"""


def poses(n: int, *, seed: int, reach: float = 22.0) -> NDArray[np.float64]:
    """(n, 3, 2) px: a foot below, an elbow above it, a head to any side."""
    draw = np.random.default_rng(seed)
    turn = draw.uniform(-1.2, 1.2, n)
    foot = np.tile([WIDTH / 2, 60.0], (n, 1)) + draw.uniform(-4, 4, (n, 2))
    elbow = foot - [0, 1] * np.full((n, 1), reach)
    head = elbow + reach * np.stack([np.sin(turn), -np.cos(turn)], axis=-1)
    return np.stack([foot, elbow, head], axis=1)


def write_table(path: Path, poses: NDArray[np.float64], pictures: list[str] | None = None) -> None:
    head = [f"{j}_{a}" for j in JOINTS for a in "xy"]
    lines = [",".join((["picture"] if pictures else []) + head)]
    for k, pose in enumerate(poses):
        lines.append(
            ",".join(([pictures[k]] if pictures else []) + [f"{v:.2f}" for v in pose.flat])
        )
    path.write_text("\n".join(lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in which nothing is to be noted."""
    draw = np.random.default_rng(0)
    for clip in ("a", "b", "c"):
        folder = tmp_path / "pictures" / clip
        folder.mkdir(parents=True)
        wall = draw.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for t in range(10):
            picture = wall.copy()
            picture[20:60, 8 * t : 8 * t + 10] = 255 - 20 * t
            Image.fromarray(picture).save(folder / f"{t}.png")
    (tmp_path / "test").mkdir()
    for k in range(8):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "test" / f"{k}.png")
    write_table(tmp_path / "test" / "labels.csv", poses(8, seed=1), [f"{k}.png" for k in range(8)])
    write_table(tmp_path / "poses.csv", poses(300, seed=2))
    (tmp_path / "skeleton.json").write_text(SKELETON)
    return tmp_path


def notes(root: Path) -> list[str]:
    arguments = ["data", "check", "folder", "--root", str(root), "--out", str(root / "check.jpg")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if line.startswith("NOTE")]


def test_a_healthy_folder_needs_no_note(root: Path) -> None:
    assert notes(root) == []


def test_a_moving_camera_is_noticed_and_named(root: Path) -> None:
    for t, path in enumerate(sorted((root / "pictures" / "b").iterdir())):
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 7 * t, axis=1)).save(path)
    (note,) = notes(root)
    assert "clip 'b' does not stand still" in note
    assert "--variant loose" in note


def test_two_cameras_in_one_clip_are_noticed(root: Path) -> None:
    for path in (root / "pictures" / "c").iterdir():
        path.rename(root / "pictures" / "a" / f"1{path.name}")
    (root / "pictures" / "c").rmdir()
    (note,) = notes(root)
    assert "clip 'a' does not stand still" in note


def test_one_loose_picture_has_no_background(root: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "pictures" / "z.png")
    (note,) = notes(root)
    assert "no static background" in note


def test_a_subject_that_crosses_the_picture_leaves_the_background_seen() -> None:
    wall = np.random.default_rng(0).integers(0, 256, (9, 8, 24, 3))
    wall[:] = wall[0]
    for t in range(9):
        wall[t, :, 2 * t : 2 * t + 6] = 10 * t
    assert still_share(wall) > STILL
    wall[:, :, :12] = np.arange(9).reshape(9, 1, 1, 1) * 25
    assert still_share(wall) == pytest.approx(0.5, abs=0.1)
