"""A body as data: its permutations, its tree, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from selfpose.metrics import bone_lengths
from selfpose.skeleton import HUMAN_17, Skeleton, mirror_pose

CRANE = {
    "name": "crane",
    "joints": ["base", "boom", "hook"],
    "bones": [[0, 1], [1, 2]],
    "root": 0,
    "top": 1,
}


def human(**changes: object) -> Skeleton:
    return Skeleton.from_dict({**HUMAN_17.to_dict(), **changes})


def test_flip_is_an_involution_that_swaps_names() -> None:
    flip = HUMAN_17.flip
    assert [flip[i] for i in flip] == list(range(17))
    for i, name in enumerate(HUMAN_17.joints):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert HUMAN_17.joints[flip[i]] == swapped


def test_flip_maps_bones_to_bones_of_equal_expected_length() -> None:
    lengths = dict(zip(HUMAN_17.bones, HUMAN_17.relative_bone_lengths or (), strict=True))
    for (parent, child), length in lengths.items():
        assert lengths[HUMAN_17.flip[parent], HUMAN_17.flip[child]] == length


def test_flipped_bones_join_the_flipped_joints_and_flip_back() -> None:
    flipped = HUMAN_17.flipped_bones
    assert [flipped[n] for n in flipped] == list(range(16))
    for (parent, child), twin in zip(HUMAN_17.bones, flipped, strict=True):
        assert HUMAN_17.bones[twin] == (HUMAN_17.flip[parent], HUMAN_17.flip[child])
    other = {"left": "right", "right": "left", "centre": "centre"}
    sides = HUMAN_17.bone_sides
    assert [sides[n] for n in flipped] == [other[side] for side in sides]


def test_a_bone_without_a_twin_is_its_own() -> None:
    """A lobster that lost a claw, told from its left feeler on: one bone points the other way."""
    lobster = Skeleton(
        name="lobster",
        joints=("left_feeler", "head", "right_feeler", "left_claw", "right_claw", "nipper"),
        bones=((0, 1), (1, 2), (1, 3), (1, 4), (3, 5)),
        root=0,
        top=1,
        mirror_pairs=((0, 2), (3, 4)),
    )
    assert lobster.flipped_bones == (1, 0, 3, 2, 4)
    assert Skeleton.from_dict(CRANE).flipped_bones == (0, 1)


@pytest.mark.parametrize("dims", [2, 3])
def test_mirror_pose_is_an_involution_that_keeps_bone_lengths(dims: int) -> None:
    pose = torch.randn(5, 2, 17, dims, dtype=torch.float64)
    twin = mirror_pose(pose, HUMAN_17)
    assert torch.equal(mirror_pose(twin, HUMAN_17), pose)
    assert not torch.equal(twin, pose)
    order = [HUMAN_17.bones.index((HUMAN_17.flip[p], HUMAN_17.flip[c])) for p, c in HUMAN_17.bones]
    swapped = bone_lengths(pose, HUMAN_17)[..., order]
    torch.testing.assert_close(bone_lengths(twin, HUMAN_17), swapped)


def test_mirror_pose_leaves_its_argument_alone() -> None:
    pose = torch.randn(17, 3)
    kept = pose.clone()
    mirror_pose(pose, HUMAN_17)
    assert torch.equal(pose, kept)


def test_parents_lead_to_the_root() -> None:
    for joint in range(17):
        seen = joint
        for _ in range(17):
            seen = HUMAN_17.parents[seen]
        assert seen == HUMAN_17.root


def test_sides_follow_names() -> None:
    for name, side in zip(HUMAN_17.joints, HUMAN_17.joint_sides, strict=True):
        assert side == name.split("_")[0] if "_" in name else side == "centre"
    assert HUMAN_17.bone_sides.count("left") == HUMAN_17.bone_sides.count("right") == 6


def test_limbs_are_the_legs_and_the_arms() -> None:
    assert {frozenset(limb) for limb in HUMAN_17.limbs} == {
        frozenset({(4, 1), (5, 2), (6, 3)}),
        frozenset({(11, 14), (12, 15), (13, 16)}),
    }


def test_bone_lengths_of_an_unpaired_body_need_no_mirror() -> None:
    crane = Skeleton.from_dict(CRANE)
    assert crane.flip == (0, 1, 2)
    assert crane.limbs == ()
    assert set(crane.joint_sides) == {"centre"}
    pose = torch.tensor([[0.0, 0, 0], [3, 4, 0], [3, 4, 2]])
    assert bone_lengths(pose, crane).tolist() == [5.0, 2.0]


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(HUMAN_17.to_dict()), encoding="utf-8")
    assert Skeleton.from_json(path) == HUMAN_17


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": ("hip",) * 17}, "distinct names"),
        ({"root": 17}, "must lie in 0..16"),
        ({"mirror_pairs": ((4, -1),)}, "must lie in 0..16"),
        ({"top": 0}, "root and top"),
        ({"bones": HUMAN_17.bones[:-1]}, "not reached: .*'right_wrist'"),
        ({"bones": ((1, 0), *HUMAN_17.bones[1:])}, "must be a tree"),
        ({"bones": (*HUMAN_17.bones[:-1], (16, 15))}, "must be a tree"),
        ({"mirror_pairs": ((4, 1), (5, 1))}, "more than one mirror pair"),
        ({"relative_bone_lengths": (1.0,) * 15}, "expected 16 positive"),
        ({"relative_bone_lengths": (0.0,) + (1.0,) * 15}, "expected 16 positive"),
        ({"relative_bone_lengths": (2.0,) * 16}, "must average to 1"),
        ({"bone": 3}, "unknown .*'bone'"),
    ],
)
def test_malformed_bodies_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        human(**changes)


@pytest.mark.parametrize("text", ["{", '"crane"', '{"name": "crane"}', "[1, 2]", "3"])
def test_a_file_that_is_no_skeleton_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "body.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"body\.json: not a skeleton"):
        Skeleton.from_json(path)


def test_an_unknown_joint_is_named_with_the_known_ones() -> None:
    assert HUMAN_17.index("head") == 10
    with pytest.raises(KeyError, match=r"no joint 'nose'.*'head'"):
        HUMAN_17.index("nose")
