"""COCO keypoints of any body: numbers, skeleton, splits; and the ways a file can be wrong."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selfpose.data.coco import CocoKeypoints, category_to_skeleton, mirror_pairs
from selfpose.skeleton import Skeleton

JOINTS = ["nose", "neck", "left_paw", "right_paw", "tail"]
EDGES = [[2, 1], [2, 3], [4, 2], [5, 2]]
POSES = np.random.default_rng(0).uniform(4, 60, size=(4, 5, 2)).round(2) + 0.003


def keypoints(pose: np.ndarray, seen: int = 2) -> list:
    return [v for x, y in pose for v in (float(x), float(y), seen)]


def content() -> dict[str, Any]:
    """Three pictures and four animals, two of them in one picture."""
    label = {"category_id": 3, "bbox": [10, 20, 30, 16]}
    return {
        "images": [
            {"id": i, "file_name": f"{name}.png"} for i, name in enumerate(("a", "b", "sub/c"))
        ],
        "categories": [
            {"id": 3, "name": "cat", "keypoints": list(JOINTS), "skeleton": copy.deepcopy(EDGES)},
            {"id": 4, "name": "box"},
        ],
        "annotations": [
            {**copy.deepcopy(label), "image_id": image, "keypoints": keypoints(POSES[k])}
            for k, image in enumerate((0, 1, 1, 2))
        ]
        + [{"image_id": 0, "category_id": 4, "bbox": [0, 0, 9, 9]}],
    }


def write(root: Path, data: object, name: str = "labels.json") -> Path:
    for picture in ("a", "b", "sub/c"):
        path = root / f"images/{picture}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 64)).save(path)
    (root / name).write_text(json.dumps(data))
    return root


def clips(root: Path, **options: Any) -> dict[str, Any]:
    reader = CocoKeypoints(root=root, **options)
    return {c.name: c for split in ("train", "test") for c in reader.clips(split)}


def test_numbers_boxes_and_names(tmp_path: Path) -> None:
    found = clips(write(tmp_path, content()))
    assert set(found) == {"a.png", "b.png", "b.png#2", "sub/c.png"}
    for name, pose in zip(("a.png", "b.png", "b.png#2", "sub/c.png"), POSES, strict=True):
        np.testing.assert_array_equal(found[name].poses_2d, [pose])
        np.testing.assert_allclose(found[name].boxes, [[25, 28, 1.25 * 30]])
        assert found[name].pictures[0].path == tmp_path / "images" / name.split("#")[0]


def test_the_body_is_the_categorys_tree(tmp_path: Path) -> None:
    skeleton = CocoKeypoints(root=write(tmp_path, content())).skeleton
    assert skeleton.joints == tuple(JOINTS)
    assert skeleton.root == JOINTS.index("neck")
    assert skeleton.top == JOINTS.index("nose")
    assert {frozenset(b) for b in skeleton.bones} == {frozenset(i - 1 for i in e) for e in EDGES}
    assert skeleton.mirror_pairs == ((2, 3),)


@settings(max_examples=40)
@given(data=st.data(), n=st.integers(3, 12))
def test_any_tree_gives_its_own_bones(data: st.DataObject, n: int) -> None:
    edges = [(i, data.draw(st.integers(0, i - 1))) for i in range(1, n)]
    names = [f"joint{chr(97 + i)}" for i in data.draw(st.permutations(range(n)))]
    category = {"name": "it", "keypoints": names, "skeleton": [[a + 1, b + 1] for a, b in edges]}
    skeleton = category_to_skeleton(category)
    assert {frozenset(b) for b in skeleton.bones} == {frozenset(e) for e in edges}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_ear", "right_ear"),
        ("Left Ear", "Right Ear"),
        ("earLeft", "earRight"),
        ("L_ear", "R_ear"),
        ("ear.l", "ear.r"),
    ],
)
def test_sides_as_people_write_them(left: str, right: str) -> None:
    assert mirror_pairs(["tail", right, "skull", left]) == ((3, 1),)


@pytest.mark.parametrize(("whole", "shift"), [(True, 0.5), (False, 0.0)])
def test_pixel_numbers_become_centres(tmp_path: Path, whole: bool, shift: float) -> None:
    data = content()
    poses = POSES.round() if whole else POSES
    for label, pose in zip(data["annotations"], poses, strict=False):
        label["keypoints"] = keypoints(pose)
    found = clips(write(tmp_path, data))
    np.testing.assert_allclose(found["a.png"].poses_2d, [poses[0] + shift])


def test_unlabelled_joints_are_unknown_and_boxes_follow_the_rest(tmp_path: Path) -> None:
    data = content()
    del data["annotations"][0]["bbox"]
    data["annotations"][0]["keypoints"][9:12] = [0, 0, 0]
    data["annotations"][1]["keypoints"] = [0] * 15
    data["annotations"][2]["iscrowd"] = 1
    data["annotations"][3]["bbox"] = [0, 0, 0, 0]
    found = clips(write(tmp_path, data))
    assert set(found) == {"a.png", "sub/c.png"}
    assert np.isnan(found["a.png"].poses_2d[0, 3]).all()
    for name, pose in (("a.png", np.delete(POSES[0], 3, axis=0)), ("sub/c.png", POSES[3])):
        middle = (pose.min(axis=0) + pose.max(axis=0)) / 2
        np.testing.assert_allclose(found[name].boxes[0, :2], middle)
        np.testing.assert_allclose(found[name].boxes[0, 2], 1.25 * np.ptp(pose, axis=0).max())


def test_a_skeleton_of_ones_own_takes_joints_by_name(tmp_path: Path) -> None:
    own = Skeleton(
        name="own", joints=("tail", "neck", "nose"), bones=((1, 0), (1, 2)), root=1, top=2
    )
    data = content()
    data["categories"][0]["skeleton"] = [[1, 2], [2, 3], [3, 1]]  # a loop does no harm then
    (write(tmp_path, data) / "own.skeleton").write_text(json.dumps(own.to_dict()))
    found = clips(tmp_path, skeleton=tmp_path / "own.skeleton")
    np.testing.assert_array_equal(found["a.png"].poses_2d, [POSES[0][[4, 1, 0]]])


def test_the_split_is_a_share_of_the_names_and_never_changes(tmp_path: Path) -> None:
    data = content()
    data["images"] = [{"id": i, "file_name": f"{i:04d}.png"} for i in range(300)]
    data["annotations"] = [{**data["annotations"][0], "image_id": i} for i in range(300)]
    for image in data["images"]:
        (tmp_path / image["file_name"]).touch()
    (tmp_path / "labels.json").write_text(json.dumps(data))
    reader = CocoKeypoints(root=tmp_path)
    train, test = ({c.name for c in reader.clips(split)} for split in ("train", "test"))
    assert not train & test
    assert len(train | test) == 300
    assert 0.1 < len(test) / 300 < 0.3
    data["images"].reverse()
    del data["annotations"][:50]
    (tmp_path / "labels.json").write_text(json.dumps(data))
    assert {c.name for c in CocoKeypoints(root=tmp_path).clips("test")} <= test


@pytest.mark.parametrize("folder", ["", "annotations/"])
def test_two_files_are_the_splits(tmp_path: Path, folder: str) -> None:
    (tmp_path / "annotations").mkdir()
    train, test = content(), content()
    train["annotations"] = train["annotations"][:1]
    test["annotations"] = test["annotations"][1:4]
    write(tmp_path, train, f"{folder}train.json")
    write(tmp_path, test, f"{folder}test.json")
    reader = CocoKeypoints(root=tmp_path)
    assert [c.name for c in reader.clips("train")] == ["a.png"]
    assert [c.name for c in reader.clips("test")] == ["b.png", "b.png#2", "sub/c.png"]
    assert str(tmp_path) not in json.dumps(reader.describe())


def test_pictures_are_found_by_their_last_name_too(tmp_path: Path) -> None:
    data = content()
    data["images"][0]["file_name"] = "..\\..\\upload\\1\\a.png"
    found = clips(write(tmp_path, data))
    assert found["../../upload/1/a.png"].pictures[0].path == tmp_path / "images/a.png"


def at(*keys: Any, value: Any) -> Callable[[dict], None]:
    """Replaces one entry of the content."""

    def change(data: dict) -> None:
        inner: Any = data
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at("categories", 0, "keypoints", value=[]), "name one of the categories"),
        (at("categories", 0, "skeleton", value=[*EDGES, [1, 5]]), "no tree"),
        (at("categories", 0, "skeleton", value=[[1, 2], [3, 4]]), "no tree"),
        (
            at("categories", 0, "keypoints", value=["nose", "neck", "left_paw", "paw", "tail"]),
            "no mirror twin 'right_paw'",
        ),
        (at("images", 0, "file_name", value="gone.png"), r"gone\.png"),
        (at("annotations", 0, "keypoints", value=[1, 2, 2]), "reshape"),
    ],
)
def test_broken_files_give_one_clear_error(tmp_path: Path, change: Any, words: str) -> None:
    data = content()
    change(data)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        clips(write(tmp_path, data))
    assert str(tmp_path) in str(caught.value)
