"""RHD and FreiHAND, written in their own layouts: numbers, order of joints, sides."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfpose.data.hands_files import RHD, FreiHAND
from selfpose.data.reader import Reader

K = np.array([[480.0, 0, 160], [0, 470, 158], [0, 0, 1]])
N = 6


RANDOM = np.random.default_rng(0)
# Left and right hand of each sample: (21, 3) m before the camera, in the order of HAND_21.
HANDS = [RANDOM.normal([0, 0, 0.6], 0.05, (2, 21, 3)) for _ in range(N)]


def project(points: np.ndarray) -> np.ndarray:
    image = points @ K.T
    return image[..., :2] / image[..., 2:]


def tip_first(pose: np.ndarray) -> np.ndarray:
    """HAND_21's order → RHD's: wrist, then each finger backwards."""
    return np.concatenate([pose[:1], *(pose[k : k + 4][::-1] for k in range(1, 21, 4))])


def rhd_samples() -> dict[int, dict[str, np.ndarray]]:
    """Even samples show more of the right hand, odd ones more of the left."""
    samples = {}
    for k, (left, right) in enumerate(HANDS):
        xyz = np.concatenate([tip_first(left), tip_first(right)])
        visible = np.ones(42)
        visible[(0 if k % 2 == 0 else 21) :][:8] = 0
        uv = np.concatenate([project(xyz), visible[:, None]], axis=1)
        samples[k] = {"uv_vis": uv, "xyz": xyz.astype(np.float32), "K": K.astype(np.float32)}
    return samples


def write_rhd(root: Path, samples: Any, part: str = "training") -> Path:
    (root / part / "color").mkdir(parents=True, exist_ok=True)
    for k in range(N):
        (root / part / f"color/{k:05d}.png").touch()
    (root / part / f"anno_{part}.pickle").write_bytes(pickle.dumps(samples, protocol=2))
    return root


def write_freihand(root: Path, poses: Any, *, part: str = "training") -> Path:
    (root / part / "rgb").mkdir(parents=True, exist_ok=True)
    for k in range(4 * N if part == "training" else N):
        (root / part / f"rgb/{k:08d}.jpg").touch()
    (root / f"{part}_xyz.json").write_text(json.dumps(poses))
    (root / f"{part}_K.json").write_text(json.dumps([K.tolist()] * N))
    return root


def test_rhd_is_turned_round_and_takes_the_hand_that_is_seen(tmp_path: Path) -> None:
    reader = RHD(root=write_rhd(tmp_path, rhd_samples()), side="both")
    assert isinstance(reader, Reader)
    clips = list(reader.clips("train"))
    assert [c.name for c in clips] == [f"training/{k:05d}" for k in range(N)]
    assert [c.activity for c in clips] == ["right", "left"] * (N // 2)
    for k, clip in enumerate(clips):
        true = HANDS[k][1 - k % 2]
        np.testing.assert_allclose(clip.poses_3d[0], 1000 * true, atol=1e-3)
        np.testing.assert_allclose(clip.poses_2d[0], project(true), atol=1e-9)
        np.testing.assert_allclose(clip.camera.project(clip.poses_3d), clip.poses_2d, atol=1e-3)
        assert clip.pictures[0].path.name == f"{k:05d}.png"
    assert not list(reader.clips("test"))


def test_rhd_keeps_one_side_and_leaves_hidden_hands_out(tmp_path: Path) -> None:
    samples = rhd_samples()
    write_rhd(tmp_path, samples, "evaluation")
    for side, first in (("right", 0), ("left", 1)):
        clips = list(RHD(root=tmp_path, side=side).clips("test"))
        assert [c.name[-1] for c in clips] == [str(k) for k in range(first, N, 2)]
    samples[0]["uv_vis"][25:, 2] = 0
    samples[0]["uv_vis"][:21, 2] = 0
    names = [c.name for c in RHD(root=write_rhd(tmp_path, samples)).clips("train")]
    assert names == ["training/00002", "training/00004"]


def test_freihand_in_its_own_order_with_all_backgrounds(tmp_path: Path) -> None:
    right = [right.tolist() for _, right in HANDS]
    write_freihand(tmp_path, right)
    write_freihand(tmp_path, right, part="evaluation")
    reader = FreiHAND(root=tmp_path)
    clips = list(reader.clips("train"))
    assert len(clips) == N
    for k, clip in enumerate(clips):
        assert [int(f.path.stem) for f in clip.pictures] == [k, k + N, k + 2 * N, k + 3 * N]
        assert not clip.static
        for pose_2d, pose_3d in zip(clip.poses_2d, clip.poses_3d, strict=True):
            np.testing.assert_allclose(pose_3d, 1000 * HANDS[k][1])
            np.testing.assert_allclose(pose_2d, project(HANDS[k][1]))
    assert [len(c) for c in reader.clips("test")] == [1] * N
    assert [len(c) for c in FreiHAND(root=tmp_path, backgrounds=1).clips("train")] == [1] * N


def test_what_is_missing_or_not_a_hand_is_named(tmp_path: Path) -> None:
    for reader in (RHD, FreiHAND):
        with pytest.raises(FileNotFoundError, match="not there; root"):
            reader(root=tmp_path)
    write_rhd(tmp_path, rhd_samples() | {1: {"uv_vis": np.zeros((21, 3)), "xyz": K, "K": K}})
    with pytest.raises(ValueError, match=r"anno_training\.pickle: 1: uv_vis: found \(21, 3\)"):
        list(RHD(root=tmp_path).clips("train"))
    (tmp_path / "training/color/00000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"00000\.png"):
        list(RHD(root=tmp_path).clips("train"))
    write_freihand(tmp_path, [[[0.0, 0.0, 1.0]] * 21] * (N - 1) + [[]])
    with pytest.raises(ValueError, match=r"training_xyz\.json: cannot be read"):
        list(FreiHAND(root=tmp_path).clips("train"))
