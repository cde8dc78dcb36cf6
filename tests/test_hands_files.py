"""RHD and FreiHAND, written in their own layouts: numbers, order of joints, sides, broken files."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfpose.bodies import FINGERS, HAND_21
from selfpose.data.hands_files import RHD, FreiHAND, share_of_right_hands
from selfpose.data.reader import Reader

K = np.array([[480.0, 0, 160], [0, 470, 158], [0, 0, 1]])
N = 6


def hand(rng: np.random.Generator, *, left: bool = False) -> np.ndarray:
    """(21, 3) m: a right hand before the camera, back to it, fingers up, bent to the palm (+z)."""
    joints = {"wrist": np.zeros(3)}
    for k, finger in enumerate(FINGERS):
        spread = np.radians(-50 + 25 * k)  # the thumb on the left
        along = np.array([np.sin(spread), -np.cos(spread), 0])
        place = joints["wrist"]
        for number, length in enumerate((0.085, 0.045, 0.027, 0.02), start=1):
            bend = np.radians(rng.uniform(5, 25) * (number - 1))
            place = place + length * (np.cos(bend) * along + np.sin(bend) * np.array([0, 0, 1]))
            joints[f"{finger}_{number}"] = place
    pose = np.stack([joints[name] for name in HAND_21.joints])
    if left:
        pose = pose * [-1, 1, 1]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    return pose @ turn.T + [rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), 0.6]


def project(points: np.ndarray) -> np.ndarray:
    image = points @ K.T
    return image[..., :2] / image[..., 2:]


def tip_first(pose: np.ndarray) -> np.ndarray:
    """HAND_21's order → RHD's: wrist, then each finger backwards."""
    return np.concatenate([pose[:1], *(pose[k : k + 4][::-1] for k in range(1, 21, 4))])


HANDS = [
    (hand(np.random.default_rng(k), left=True), hand(np.random.default_rng(50 + k)))
    for k in range(N)
]


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


def write_freihand(root: Path, poses: Any, matrices: Any, *, part: str = "training") -> Path:
    (root / part / "rgb").mkdir(parents=True, exist_ok=True)
    for k in range(4 * N if part == "training" else N):
        (root / part / f"rgb/{k:08d}.jpg").touch()
    (root / f"{part}_xyz.json").write_text(json.dumps(poses))
    (root / f"{part}_K.json").write_text(json.dumps(matrices))
    return root


RIGHT = [right.tolist() for _, right in HANDS]
CAMERAS = [K.tolist()] * N


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
        assert clip.pictures[0].path.name == f"{k:05d}.png"
    assert not list(reader.clips("test"))


@pytest.mark.parametrize(("side", "first"), [("right", 0), ("left", 1)])
def test_rhd_keeps_one_side(tmp_path: Path, side: str, first: int) -> None:
    write_rhd(tmp_path, rhd_samples(), "evaluation")
    clips = list(RHD(root=tmp_path, side=side).clips("test"))
    assert [c.name[-1] for c in clips] == [str(k) for k in range(first, N, 2)]
    poses = np.concatenate([c.poses_3d for c in clips])
    assert share_of_right_hands(poses) == (side == "right")


def test_rhd_leaves_hidden_hands_out(tmp_path: Path) -> None:
    samples = rhd_samples()
    samples[0]["uv_vis"][25:, 2] = 0
    samples[0]["uv_vis"][:21, 2] = 0
    names = [c.name for c in RHD(root=write_rhd(tmp_path, samples)).clips("train")]
    assert names == ["training/00002", "training/00004"]


def test_freihand_in_its_own_order_with_all_backgrounds(tmp_path: Path) -> None:
    write_freihand(tmp_path, RIGHT, CAMERAS)
    write_freihand(tmp_path, RIGHT, CAMERAS, part="evaluation")
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
    assert reader.describe()["has_test"]


def test_freihands_pictures_may_lie_in_rgb(tmp_path: Path) -> None:
    write_freihand(tmp_path, RIGHT, CAMERAS)
    (tmp_path / "training/rgb").rename(tmp_path / "rgb")
    clip = next(FreiHAND(root=tmp_path).clips("train"))
    assert clip.pictures[0].path == tmp_path / "rgb/00000000.jpg"
    assert not list(FreiHAND(root=tmp_path).clips("test"))


@given(seed=st.integers(0, 10**6), left=st.booleans())
def test_the_bend_of_the_fingers_tells_the_side(seed: int, left: bool) -> None:
    """However the hand is turned; a mirror exchanges the sides."""
    pose = hand(np.random.default_rng(seed), left=left)[None]
    assert share_of_right_hands(pose) == 1 - left
    assert share_of_right_hands(pose * [1, 1, -1]) == left


def sample(key: str, value: Any) -> Callable[[dict], dict]:
    return lambda samples: {**samples, 0: {**samples[0], key: value}}


def every(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[dict], dict]:
    return lambda samples: {k: {**s, key: change(s[key])} for k, s in samples.items()}


def base_first(points: np.ndarray) -> np.ndarray:
    return np.concatenate([tip_first(points[:21]), tip_first(points[21:])])


BROKEN_RHD: dict[str, tuple[Callable[[dict], Any], str]] = {
    "a list": (lambda s: list(s.values()), "dict of samples"),
    "empty": (lambda s: {}, "dict of samples"),
    "names": (lambda s: {"first": s[0]}, "numbers"),
    "below zero": (lambda s: {-1: s[0]}, "numbers"),
    "sample a list": (lambda s: {0: [1, 2]}, "uv_vis"),
    "no xyz": (lambda s: {0: {"uv_vis": s[0]["uv_vis"], "K": K}}, "xyz"),
    "one hand": (sample("xyz", np.zeros((21, 3))), r"\(42, 3\)"),
    "uv flat": (sample("uv_vis", np.zeros((42, 2))), r"\(42, 3\)"),
    "K wide": (sample("K", np.zeros((3, 4))), r"\(3, 3\)"),
    "xyz words": (sample("xyz", "a"), "array of numbers"),
    "xyz NaN": (sample("xyz", np.full((42, 3), np.nan)), "not finite"),
    "K zero": (sample("K", np.zeros((3, 3))), "K must be"),
    "K transposed": (sample("K", K.T), "K must be"),
    "K negative": (sample("K", K * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]]), "focal"),
    "millimetres": (every("xyz", lambda x: 1000 * x), "metres"),
    "inches": (every("xyz", lambda x: x / 0.0254), "metres"),
    "base to tip": (
        lambda s: every("uv_vis", base_first)(every("xyz", base_first)(s)),
        "tip to base",
    ),
    "wrist last": (
        every("xyz", lambda x: np.concatenate([x[1:21], x[:1], x[22:], x[21:22]])),
        "order|tip",
    ),
    "other camera": (every("K", lambda k: k * [[1.2, 1, 1], [1, 1, 1], [1, 1, 1]]), "project"),
    "sides exchanged": (every("xyz", lambda x: np.concatenate([x[21:], x[:21]])), "project"),
}


@pytest.mark.parametrize("kind", BROKEN_RHD)
def test_each_broken_rhd_gives_one_clear_error(tmp_path: Path, kind: str) -> None:
    breaking, words = BROKEN_RHD[kind]
    write_rhd(tmp_path, breaking(rhd_samples()))
    with pytest.raises(ValueError, match=words) as caught:
        list(RHD(root=tmp_path, side="both").clips("train"))
    assert "anno_training.pickle" in str(caught.value)
    assert "\n" not in str(caught.value)


class Payload:
    """Pickles as a call of whatever it is given."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


def test_a_pickle_with_code_runs_nothing(tmp_path: Path) -> None:
    write_rhd(tmp_path, {0: Payload(tmp_path / "ran")})
    with pytest.raises(ValueError, match=r"anno_training\.pickle"):
        list(RHD(root=tmp_path).clips("train"))
    assert not (tmp_path / "ran").exists()


def replaced(value: list, k: int, other: Any) -> list:
    return [*value[:k], other, *value[k + 1 :]]


MIRRORED = [(np.array(p) * [-1, 1, 1]).tolist() for p in RIGHT]
BROKEN_FREIHAND: dict[str, tuple[Any, Any, str]] = {
    "poses an object": ({}, CAMERAS, "training_xyz.json"),
    "poses empty": ([], [], "training_xyz.json"),
    "poses ragged": (replaced(RIGHT, 1, RIGHT[1][:20]), CAMERAS, "training_xyz.json"),
    "poses flat": ([p[0] for p in RIGHT], CAMERAS, r"\(any, 21, 3\)"),
    "poses words": (replaced(RIGHT, 1, [["a"] * 3] * 21), CAMERAS, "training_xyz.json"),
    "poses null": (replaced(RIGHT, 1, None), CAMERAS, "training_xyz.json"),
    "poses NaN": (replaced(RIGHT, 1, [[float("nan")] * 3] * 21), CAMERAS, "not finite"),
    "poses huge": (replaced(RIGHT, 1, [[10**400] * 3] * 21), CAMERAS, "training_xyz.json"),
    "cameras fewer": (RIGHT, CAMERAS[1:], "training_K.json.*5 cameras for 6"),
    "cameras flat": (RIGHT, [c[0] for c in CAMERAS], r"\(any, 3, 3\)"),
    "camera sheared": (RIGHT, [[[480, 9, 160], [0, 470, 158], [0, 0, 1]]] * N, "K must be"),
    "camera backwards": (RIGHT, [[[-480, 0, 160], [0, 470, 158], [0, 0, 1]]] * N, "focal"),
    "millimetres": ((1000 * np.array(RIGHT)).tolist(), CAMERAS, "metres"),
    "tip to base": ([tip_first(np.array(p)).tolist() for p in RIGHT], CAMERAS, "tip to base"),
    "left hands": (MIRRORED, CAMERAS, "bend like left"),
    "behind": ((np.array(RIGHT) - [0, 0, 1]).tolist(), CAMERAS, "behind"),
}


@pytest.mark.parametrize("kind", BROKEN_FREIHAND)
def test_each_broken_freihand_gives_one_clear_error(tmp_path: Path, kind: str) -> None:
    poses, matrices, words = BROKEN_FREIHAND[kind]
    write_freihand(tmp_path, poses, matrices)
    with pytest.raises(ValueError, match=words) as caught:
        list(FreiHAND(root=tmp_path).clips("train"))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_options(tmp_path: Path) -> None:
    for reader in (RHD, FreiHAND):
        with pytest.raises(FileNotFoundError, match="no such file"):
            reader(root=tmp_path)
    write_rhd(tmp_path, rhd_samples())
    write_freihand(tmp_path, RIGHT, CAMERAS)
    (tmp_path / "training/color/00002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"00002\.png"):
        list(RHD(root=tmp_path).clips("train"))
    (tmp_path / "training/rgb/00000007.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"00000007\.jpg"):
        list(FreiHAND(root=tmp_path).clips("train"))
    with pytest.raises(ValueError, match="min_visible"):
        RHD(root=tmp_path, min_visible=0)
    with pytest.raises(ValueError, match="backgrounds"):
        FreiHAND(root=tmp_path, backgrounds=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_mangled_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    write_rhd(tmp_path, rhd_samples())
    write_freihand(tmp_path, RIGHT, CAMERAS)
    names = ("training/anno_training.pickle", "training_xyz.json", "training_K.json")
    path = tmp_path / data.draw(st.sampled_from(names))
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    path.write_bytes(content)
    try:
        list(RHD(root=tmp_path, side="both").clips("train"))
        list(FreiHAND(root=tmp_path).clips("train"))
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    else:
        message = str(tmp_path)
    assert str(tmp_path) in message
