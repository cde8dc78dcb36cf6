"""From Acclaim files to the figure's points, the split by recording, and the data set.

A small stand-in with the CMU database's bones is written to a temporary folder; the checks on real
motion run where the environment variable SELFPOSE_CMU_ROOT names a copy of the database.
"""

import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from selfpose.skeleton import HUMAN_17
from selfpose.synthetic.people import FIGURE_POINTS
from selfpose.synthetic.recordings import (
    MIN_TEST_FRAMES,
    SPLIT_SHARES,
    Recording,
    clip_frames,
    find_recordings,
    floor_height,
    load_cmu,
    lower_to_floor,
    read_recording,
    split_recordings,
)

# Bones: name, parent, direction (x is the left side), length in units of 56.4 mm, and what turns.
BONES = """
lhipjoint root 1,-1,0 2.0
lfemur lhipjoint 0,-1,0 7.5 rx ry rz
ltibia lfemur 0,-1,0 7.5 rx
lfoot ltibia 0,-1,1 1.4 rx
ltoes lfoot 0,0,1 1.0
lowerback root 0,1,0 2.0 rx ry rz
upperback lowerback 0,1,0 2.0
thorax upperback 0,1,0 2.0
lowerneck thorax 0,1,0 1.6
upperneck lowerneck 0,1,0 1.6
head upperneck 0,1,0 1.6 rx ry rz
lclavicle thorax 1,0.3,0 3.5
lhumerus lclavicle 1,0,0 5.0 rx ry rz
lradius lhumerus 1,0,0 3.4 ry
lwrist lradius 1,0,0 1.6
lhand lwrist 1,0,0 0.7
lfingers lhand 1,0,0 0.6
"""


def mirrored(name: str) -> str:
    return "r" + name[1:] if name.startswith("l") and not name.startswith("lower") else name


def asf_text(legs: float = 1.0) -> str:
    bones = {}
    for name, parent, direction, length, *dof in map(str.split, BONES.strip().splitlines()):
        x, y, z = direction.split(",")
        units = float(length) * (legs if name[1:] in ("femur", "tibia") else 1)
        bones[name] = (parent, f"{x} {y} {z}", units, dof)
        bones.setdefault(mirrored(name), (mirrored(parent), f"-{x} {y} {z}", units, dof))
    lines = [":units", "length 0.45", "angle deg", ":root", "order TX TY TZ RX RY RZ", ":bonedata"]
    for name, (_, direction, units, dof) in bones.items():
        lines += ["begin", f"name {name}", f"direction {direction}", f"length {units}"]
        lines += ["axis 0 0 0 XYZ", *([f"dof {' '.join(dof)}"] if dof else []), "end"]
    links = (f"{parent} {name}" for name, (parent, *_) in bones.items())
    return "\n".join([*lines, ":hierarchy", "begin", *links, "end"]) + "\n"


def amc_text(n_frames: int, *, speed: float = 0.02, turn: float = 0.0, phase: float = 0.0) -> str:
    """Someone who walks along +z (turned by ``turn`` degrees about y) and swings arms."""
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(n_frames):
        swing = 25 * math.sin(2 * math.pi * frame / 130 + phase)
        x = speed * frame * math.sin(math.radians(turn))
        z = speed * frame * math.cos(math.radians(turn))
        lines += [str(frame + 1), f"root {x:.4f} 17.4 {z:.4f} 0 {turn} 0"]
        lines += ["lowerback 0 0 0", "head 0 0 0"]
        for side, sign in (("l", 1), ("r", -1)):
            lines += [f"{side}femur {sign * swing:.4f} 0 0", f"{side}tibia {abs(swing):.4f}"]
            lines += [f"{side}foot 0"]
            lines += [f"{side}humerus {-sign * swing:.4f} 0 {-sign * 80}", f"{side}radius 0"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two subjects, as the database lays them out."""
    for subject, trials in (("71", 4), ("72", 3)):
        folder = tmp_path / "subjects" / subject
        folder.mkdir(parents=True)
        (folder / f"{subject}.asf").write_text(asf_text(1.0 if subject == "71" else 0.9))
        for n in range(1, trials + 1):
            text = amc_text(40 + 10 * n, phase=n, turn=20 * n)
            (folder / f"{subject}_{n:02}.amc").write_text(text)
    return tmp_path


def points_of(tmp_path: Path, text: str) -> torch.Tensor:
    (tmp_path / "9.asf").write_text(asf_text())
    (tmp_path / "9_1.amc").write_text(text)
    return read_recording(find_recordings(tmp_path)[0])


def check_walk(points: torch.Tensor) -> None:
    """Left is left, nose and toes are in front, one thing is above the other."""

    def way(start: str, end: str) -> torch.Tensor:
        return points[:, FIGURE_POINTS.index(end)] - points[:, FIGURE_POINTS.index(start)]

    ahead = (points[-1, 0] - points[0, 0]) * torch.tensor([1.0, 0.0, 1.0])
    ahead = ahead / ahead.norm()
    # In a frame with y down, right = down × forward: a mirrored person would fail here.
    right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), ahead)
    for joint in ("hip", "shoulder", "elbow", "wrist"):
        assert (way(f"left_{joint}", f"right_{joint}") @ right > 0).all(), joint
    assert (way("head", "nose") @ ahead > 0).all()
    for side in ("left", "right"):
        assert ((way(f"{side}_ankle", f"{side}_toe") @ ahead) > -20).float().mean() > 0.8
    for above, below in itertools.pairwise(("head", "neck", "thorax", "spine", "hip", "left_knee")):
        assert (way(above, below)[:, 1] > 0).all()
    torch.testing.assert_close(way("thorax", "neck"), way("neck", "head"), rtol=0, atol=0.01)
    feet = [FIGURE_POINTS.index(f"{side}_toe") for side in ("left", "right")]
    # In every second, a stride and more, the lowest toe touches the floor.
    lowest = points[:, feet, 1].amax(dim=1).unfold(0, 120, 10).amax(dim=1)
    assert (lowest.abs() < 40).all()


def bones(points: torch.Tensor) -> torch.Tensor:
    parents, children = (list(ends) for ends in zip(*HUMAN_17.bones, strict=True))
    return (points[:, children] - points[:, parents]).norm(dim=-1)


def test_points_lie_where_a_body_has_them(tmp_path: Path) -> None:
    points = points_of(tmp_path, amc_text(200, turn=30))
    assert points.shape == (200, 22, 3)
    assert points.dtype == torch.float32
    check_walk(points)
    lengths = bones(points)
    torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths), atol=0.01, rtol=0)
    of = {HUMAN_17.joints[c]: float(lengths[0, k]) for k, (_, c) in enumerate(HUMAN_17.bones)}
    for joint, units in (("left_knee", 7.5), ("right_wrist", 5.0), ("spine", 4.0)):
        assert of[joint] == pytest.approx(units * 25.4 / 0.45, rel=1e-4)


def test_floor_is_under_the_feet(tmp_path: Path) -> None:
    points = points_of(tmp_path, amc_text(260))
    assert abs(floor_height(points)) < 1e-3
    assert abs(float(points[:, [17, 18], 1].amax())) < 40
    # Ten centimetres up is a wrong zero, a metre up is a climbing frame.
    shifted = points - torch.tensor([0.0, 100.0, 0.0])
    assert floor_height(shifted) == pytest.approx(-100, abs=1e-3)
    assert floor_height(points - torch.tensor([0.0, 1000.0, 0.0])) == 0.0


def test_lowering_keeps_poses_and_jumps(tmp_path: Path) -> None:
    points = points_of(tmp_path, amc_text(700))
    climbed = points.clone()
    climbed[300:, :, 1] -= 900  # up on a frame to the end
    climbed[100:130, :, 1] -= 300  # a quarter of a second in the air
    lowered = lower_to_floor(climbed)
    torch.testing.assert_close(
        lowered - lowered[:, :1], climbed - climbed[:, :1], atol=1e-2, rtol=0
    )
    lowest = lowered[..., 1].amax(dim=1)
    assert (lowest[430:].abs() < 60).all()
    assert (lowest[100:130] < -250).all()


def test_finds_recordings_in_every_layout(database: Path, tmp_path_factory) -> None:
    names = [found.name for found in find_recordings(database)]
    assert names == ["71_01", "71_02", "71_03", "71_04", "72_01", "72_02", "72_03"]
    assert {found.subject for found in find_recordings(database)} == {"71", "72"}
    flat = tmp_path_factory.mktemp("flat")
    for path in database.rglob("*.a*"):
        (flat / path.name.upper()).write_text(path.read_text())
    assert [found.name for found in find_recordings(flat)] == names
    own = tmp_path_factory.mktemp("own")
    (own / "ann.asf").write_text(asf_text())
    (own / "stroll.amc").write_text(amc_text(3))
    found = find_recordings(own)[0]
    assert (found.name, found.subject, found.activity) == ("ann/stroll", "ann", "unknown")


def test_missing_skeletons_and_two_of_one_name_are_refused(database: Path) -> None:
    copy = database / "copy"
    copy.mkdir()
    (copy / "71_02.amc").write_text(amc_text(2))
    with pytest.raises(ValueError, match="two recordings are named '71_02'"):
        find_recordings(database)
    with pytest.raises(FileNotFoundError, match="found 0 and 1"):
        find_recordings(copy)
    (copy / "71_02.amc").rename(copy / "73_01.amc")
    with pytest.raises(ValueError, match=r"73_01\.amc: no skeleton"):
        find_recordings(database)


def recording(subject: str, number: int, activity: str) -> Recording:
    name = f"{subject}_{number:02}"
    return Recording(name=name, subject=subject, activity=activity, asf=Path("a"), amc=Path(name))


def test_split_is_disjoint_complete_and_fair() -> None:
    every = [recording("1", n, "climb") for n in range(1, 13)]
    every += [recording("2", n, "walk") for n in (1, 2, 3)] + [recording("2", 9, "jump")]
    every += [recording("3", n, "walk") for n in (1, 2, 3, 4)]
    parts = split_recordings(every, SPLIT_SHARES)
    assert sorted(r.name for part in parts.values() for r in part) == sorted(r.name for r in every)
    for part in parts.values():
        kinds = {(r.subject, r.activity) for r in part}
        assert kinds >= {("1", "climb"), ("2", "walk"), ("3", "walk")}
    assert len(parts["test"]) <= min(len(parts["images"]), len(parts["unpaired"]))
    assert split_recordings(every[::-1], SPLIT_SHARES) == parts


@pytest.mark.parametrize("n", [3, 4, 9])
def test_split_leaves_no_part_empty(n: int) -> None:
    parts = split_recordings([recording("1", i, "walk") for i in range(n)], SPLIT_SHARES)
    assert all(parts.values())
    assert sum(map(len, parts.values())) == n
    with pytest.raises(ValueError, match="expected 3 recordings"):
        split_recordings([recording("1", i, "walk") for i in range(2)], SPLIT_SHARES)


@pytest.mark.parametrize(
    ("n_frames", "n_images", "per_clip"),
    [(5000, 1024, 64), (5000, 20, 64), (343, 205, 64), (7, 50, 64), (1, 3, 64), (100, 1, 8)],
)
def test_clips_cover_a_recording(n_frames: int, n_images: int, per_clip: int) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = clip_frames(n_frames, n_images=n_images, frames_per_clip=per_clip, generator=generator)
    frames = torch.cat(clips)
    assert len(frames) == n_images
    assert frames.min() >= 0
    assert frames.max() < n_frames
    assert max(map(len, clips)) - min(map(len, clips)) <= 1
    assert max(map(len, clips)) <= per_clip
    for clip in clips:
        assert (clip.diff() > 0).all()
    if n_images > 10:
        assert frames.min() < max(1, n_frames / 8)
        assert frames.max() >= n_frames - max(1, n_frames / 8)


SIZES = {"image_size": 32, "n_unlabelled": 36, "n_unpaired": 40, "n_test": 12}
SMALL = {**SIZES, "frames_per_clip": 8, "progress": False}


def test_data_set_from_one_folder(database: Path) -> None:
    data = load_cmu(root=database, seed=3, **SMALL)
    assert data.unlabelled.images.shape == (36, 3, 32, 32)
    assert data.unpaired.shape == (40, 17, 2)
    assert len(data.test) == 12
    split = data.provenance["split"]
    names = [name for part in split.values() for name in part]
    assert len(names) == len(set(names)) == 7
    assert len(set(data.test.sequence.tolist())) >= len(split["test"])
    # The stated pose is the one in the picture: depth in front, root in the picture.
    assert (data.test.poses_3d[..., 2] > 1000).all()
    assert ((data.test.poses_2d[:, 0] > 0) & (data.test.poses_2d[:, 0] < 32)).all()
    again, other = (load_cmu(root=database, seed=s, **SMALL) for s in (3, 4))
    assert torch.equal(again.unlabelled.images, data.unlabelled.images)
    assert torch.equal(again.unpaired, data.unpaired)
    assert not torch.equal(other.unlabelled.images, data.unlabelled.images)
    assert other.provenance["split"] == split
    above = load_cmu(root=database, seed=3, camera_elevation=25.0, **SMALL)
    assert not torch.allclose(above.test.poses_3d, data.test.poses_3d)


def test_every_recording_of_the_test_folder_is_tested_on(database: Path) -> None:
    learnt, tested = (database / "subjects" / subject for subject in ("71", "72"))
    data = load_cmu(train_root=learnt, test_root=tested, **SMALL | {"n_test": 5})
    split = data.provenance["split"]
    assert split["test"] == ["72_01", "72_02", "72_03"]
    assert sorted(split["images"] + split["unpaired"]) == ["71_01", "71_02", "71_03", "71_04"]
    assert len(data.test) == data.provenance["counts"]["test"] == 3 * MIN_TEST_FRAMES
    with pytest.raises(ValueError, match="learnt from as well: 71_01"):
        load_cmu(train_root=learnt, test_root=learnt, **SMALL)


# --- real motion


@pytest.fixture(scope="module")
def real() -> Callable[[str], torch.Tensor]:
    root = os.environ.get("SELFPOSE_CMU_ROOT")
    if not root:
        pytest.skip("set SELFPOSE_CMU_ROOT to a folder of CMU motion capture to run this check")
    found = {one.name: one for one in find_recordings(root)}

    def read(name: str) -> torch.Tensor:
        if name not in found:
            pytest.skip(f"SELFPOSE_CMU_ROOT has no recording {name}")
        return read_recording(found[name])

    return read


@pytest.mark.parametrize("name", ["01_01", "02_01", "03_01"])
def test_real_bone_lengths(real, name: str) -> None:
    lengths = bones(real(name))
    mean = lengths.mean(dim=0)
    for bone, (_, child) in enumerate(HUMAN_17.bones):
        if HUMAN_17.joints[child].endswith(("knee", "ankle")):
            assert 350 < mean[bone] < 500
            assert lengths[:, bone].std() < 0.1
    published = torch.tensor(HUMAN_17.relative_bone_lengths)
    assert (mean / mean.mean() - published).abs().max() < 0.3


@pytest.mark.parametrize("name", ["02_01", "02_02"])
def test_real_walk(real, name: str) -> None:
    points = real(name)
    check_walk(points)
    assert (-points[:, FIGURE_POINTS.index("head"), 1] > 1300).all()
