"""A body as data: its permutations, its tree, what is refused; and the bodies that are known."""

import json
from pathlib import Path

import pytest
import torch

from selfpose.metrics import bone_lengths
from selfpose.skeleton import (
    BODIES,
    FINGERS,
    HAND_21,
    HUMAN_17,
    MACHINE,
    QUADRUPED,
    Skeleton,
    mirror_pose,
)

CRANE = {
    "name": "crane",
    "joints": ["base", "boom", "hook"],
    "bones": [["base", "boom"], [1, 2]],
    "root": 0,
    "top": "boom",
}
every_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


@every_body
def test_flip_swaps_names_joints_and_bones_and_swaps_them_back(body: Skeleton) -> None:
    flip, flipped = body.flip, body.flipped_bones
    assert [flip[i] for i in flip] == list(range(body.n_joints))
    assert [flipped[n] for n in flipped] == list(range(body.n_bones))
    for i, name in enumerate(body.joints):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert body.joints[flip[i]] == swapped
        side = name.split("_")[0]
        assert body.joint_sides[i] == (side if side in ("left", "right") else "centre")
    for (parent, child), twin in zip(body.bones, flipped, strict=True):
        assert body.bones[twin] == (flip[parent], flip[child])
    other = {"left": "right", "right": "left", "centre": "centre"}
    assert [body.bone_sides[n] for n in flipped] == [other[side] for side in body.bone_sides]
    lengths = body.relative_bone_lengths
    assert lengths is None or tuple(lengths[n] for n in flipped) == lengths


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


@pytest.mark.parametrize("dims", [2, 3])
def test_mirror_pose_is_an_involution_that_keeps_bone_lengths(dims: int) -> None:
    pose = torch.randn(5, 2, 17, dims, dtype=torch.float64)
    kept = pose.clone()
    twin = mirror_pose(pose, HUMAN_17)
    assert torch.equal(pose, kept)
    assert torch.equal(mirror_pose(twin, HUMAN_17), pose)
    assert not torch.equal(twin, pose)
    swapped = bone_lengths(pose, HUMAN_17)[..., list(HUMAN_17.flipped_bones)]
    torch.testing.assert_close(bone_lengths(twin, HUMAN_17), swapped)


@every_body
def test_parents_lead_to_the_root(body: Skeleton) -> None:
    for joint in range(body.n_joints):
        seen = joint
        for _ in range(body.n_joints):
            seen = body.parents[seen]
        assert seen == body.root


def test_limbs_are_the_legs_and_the_arms() -> None:
    assert {frozenset(limb) for limb in HUMAN_17.limbs} == {
        frozenset({(4, 1), (5, 2), (6, 3)}),
        frozenset({(11, 14), (12, 15), (13, 16)}),
    }
    assert [len(limb) for limb in QUADRUPED.limbs] == [3, 3]
    assert MACHINE.limbs == HAND_21.limbs == ()


def test_the_hand_has_freihands_order() -> None:
    assert HAND_21.joints[0] == "wrist"
    assert [j.split("_")[0] for j in HAND_21.joints[1::4]] == list(FINGERS)
    for k in range(1, 21):  # each finger from base to tip: the parent is the joint before
        assert HAND_21.parents[k] == (0 if k % 4 == 1 else k - 1)


def test_a_body_without_sides() -> None:
    crane = Skeleton.from_dict(CRANE)
    assert crane.flip == (0, 1, 2)
    assert crane.flipped_bones == (0, 1)
    assert not crane.has_sides
    assert set(crane.joint_sides) == {"centre"}
    pose = torch.tensor([[0.0, 0, 0], [3, 4, 0], [3, 4, 2]])
    assert bone_lengths(pose, crane).tolist() == [5.0, 2.0]


@every_body
def test_json_round_trip(tmp_path: Path, body: Skeleton) -> None:
    assert body.name.endswith(f"_{body.n_joints}")
    path = tmp_path / "body.json"
    path.write_text(json.dumps(body.to_dict()), encoding="utf-8")
    assert Skeleton.from_json(path) == body


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": ("hip",) * 17}, "distinct names"),
        ({"root": 17}, "numbers of 0 to 16"),
        ({"mirror_pairs": ((4, -1),)}, "numbers of 0 to 16"),
        ({"top": 0}, "root and a top that differ"),
        ({"bones": HUMAN_17.bones[:-1]}, "not reached: .*'right_wrist'"),
        ({"bones": ((1, 0), *HUMAN_17.bones[1:])}, "a tree"),
        ({"bones": (*HUMAN_17.bones[:-1], (16, 15))}, "a tree"),
        ({"mirror_pairs": ((4, 1), (5, 1))}, "one mirror pair"),
        ({"relative_bone_lengths": (1.0,) * 15}, "16 positive"),
        ({"relative_bone_lengths": (0.0,) + (1.0,) * 15}, "16 positive"),
        ({"relative_bone_lengths": (2.0,) * 16}, "average to 1"),
        ({"bone": 3}, "unknown field 'bone'"),
        ({"root": "nose"}, "unknown joint 'nose'"),
    ],
)
def test_malformed_bodies_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Skeleton.from_dict({**HUMAN_17.to_dict(), **changes})


@pytest.mark.parametrize("text", ["{", '"crane"', '{"name": "crane"}', "[1, 2]", "3"])
def test_a_file_that_is_no_skeleton_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "body.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"body\.json: not a skeleton"):
        Skeleton.from_json(path)
