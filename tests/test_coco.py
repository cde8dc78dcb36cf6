"""COCO keypoints of any body: numbers, skeleton, splits; and each way a file can be wrong."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from selfpose.data.checks import check_clip
from selfpose.data.coco import CocoKeypoints
from selfpose.data.coco_skeleton import category_to_skeleton, mirror_pairs
from selfpose.skeleton import Skeleton

JOINTS = ["nose", "neck", "left_paw", "right_paw", "tail"]
EDGES = [[2, 1], [2, 3], [4, 2], [5, 2]]
POSES = np.random.default_rng(0).uniform(4, 60, size=(4, 5, 2)).round(2) + 0.003


def keypoints(pose: np.ndarray, seen: int = 2) -> list:
    return [v for x, y in pose for v in (float(x), float(y), seen)]


def content() -> dict[str, Any]:
    """Three pictures and four animals, two of them in one picture."""
    return {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 80, "height": 64}
            for i, name in enumerate(("a", "b", "sub/c"))
        ],
        "categories": [
            {"id": 3, "name": "cat", "keypoints": list(JOINTS), "skeleton": copy.deepcopy(EDGES)},
            {"id": 4, "name": "box"},
        ],
        "annotations": [
            {
                "id": 10 + k,
                "image_id": image,
                "category_id": 3,
                "keypoints": keypoints(POSES[k]),
                "bbox": [10, 20, 30, 16],
            }
            for k, image in enumerate((0, 1, 1, 2))
        ]
        + [{"id": 20, "image_id": 0, "category_id": 4, "bbox": [0, 0, 9, 9]}],
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
    other = CocoKeypoints(root=tmp_path, root_joint="tail", top_joint="neck").skeleton
    assert (other.root, other.top) == (4, 1)
    assert (4, 1) in other.bones


@settings(max_examples=40)
@given(data=st.data(), n=st.integers(3, 12))
def test_any_tree_gives_its_own_bones_from_any_root(data: st.DataObject, n: int) -> None:
    edges = [(i, data.draw(st.integers(0, i - 1))) for i in range(1, n)]
    names = [f"joint{chr(97 + i)}" for i in data.draw(st.permutations(range(n)))]
    root = data.draw(st.sampled_from(names))
    category = {"name": "it", "keypoints": names, "skeleton": [[a + 1, b + 1] for a, b in edges]}
    skeleton = category_to_skeleton(Path("x"), category, root_joint=root)
    assert skeleton.joints[skeleton.root] == root
    assert {frozenset(b) for b in skeleton.bones} == {frozenset(e) for e in edges}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_ear", "right_ear"),
        ("Left Ear", "Right Ear"),
        ("ear-left", "ear-right"),
        ("earLeft", "earRight"),
        ("L_ear", "R_ear"),
        ("ear.l", "ear.r"),
    ],
)
def test_sides_as_people_write_them(left: str, right: str) -> None:
    assert mirror_pairs(Path("x"), ["tail", right, "skull", left]) == ((3, 1),)


@pytest.mark.parametrize(
    ("whole", "pixel_numbers", "shift"),
    [(True, None, 0.5), (False, None, 0.0), (True, False, 0.0), (False, True, 0.5)],
)
def test_pixel_numbers_become_centres(
    tmp_path: Path, whole: bool, pixel_numbers: bool | None, shift: float
) -> None:
    data = content()
    poses = POSES.round() if whole else POSES
    for label, pose in zip(data["annotations"], poses, strict=False):
        label["keypoints"] = keypoints(pose)
    found = clips(write(tmp_path, data), pixel_numbers=pixel_numbers)
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
    assert CocoKeypoints(root=tmp_path).describe()["labels_left_out"] == 2


def test_a_skeleton_of_ones_own_takes_joints_by_name(tmp_path: Path) -> None:
    own = Skeleton(
        name="own", joints=("tail", "neck", "nose"), bones=((1, 0), (1, 2)), root=1, top=2
    )
    data = content()
    data["categories"][0]["skeleton"] = [[1, 2], [2, 3], [3, 1]]  # a loop does no harm then
    (write(tmp_path, data) / "own.skeleton").write_text(json.dumps(own.to_dict()))
    found = clips(tmp_path, skeleton=tmp_path / "own.skeleton")
    np.testing.assert_array_equal(found["a.png"].poses_2d, [POSES[0][[4, 1, 0]]])


def many(n: int) -> dict[str, Any]:
    data = content()
    data["images"] = [{"id": i, "file_name": f"images/{i:04d}.png"} for i in range(n)]
    data["annotations"] = [{**data["annotations"][0], "id": i, "image_id": i} for i in range(n)]
    return data


def test_the_split_is_a_share_of_the_names_and_never_changes(tmp_path: Path) -> None:
    data = many(300)
    for image in data["images"]:
        path = tmp_path / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "labels.json").write_text(json.dumps(data))
    names = {
        split: {c.name for c in CocoKeypoints(root=tmp_path).clips(split)}
        for split in ("train", "test")
    }
    assert not names["train"] & names["test"]
    assert len(names["train"] | names["test"]) == 300
    assert 0.1 < len(names["test"]) / 300 < 0.3
    data["images"].reverse()
    del data["annotations"][:50]
    (tmp_path / "labels.json").write_text(json.dumps(data))
    again = {c.name for c in CocoKeypoints(root=tmp_path).clips("test")}
    assert again <= names["test"]
    assert not list(CocoKeypoints(root=tmp_path, test_share=0.0).clips("test"))


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


def at(*keys: Any, value: Any) -> Callable[[dict], dict]:
    """The content with one entry replaced."""

    def change(data: dict) -> dict:
        inner: Any = data
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return data

    return change


CATEGORY = ("categories", 0)
LABEL = ("annotations", 0)
BROKEN: dict[str, tuple[Callable[[dict], object], str]] = {
    "a list": (lambda d: [d], "not COCO"),
    "a number": (lambda d: 3, "not COCO"),
    "no images": (lambda d: d.pop("images") and d, "'images'"),
    "images an object": (at("images", value={}), "'images'"),
    "no annotation": (at("annotations", value=[]), "'annotations' is empty"),
    "categories of words": (at("categories", value=["cat"]), "'categories'"),
    "no keypoints": (lambda d: {**d, "categories": [{"id": 3, "name": "cat"}]}, "no category has"),
    "keypoints numbers": (at(*CATEGORY, "keypoints", value=[1, 2]), "must be names"),
    "joint twice": (at(*CATEGORY, "keypoints", value=["a", "a"]), "two joints are named 'a'"),
    "two categories": (
        lambda d: {**d, "categories": [*d["categories"], {**d["categories"][0], "name": "dog"}]},
        "cat, dog",
    ),
    "no edges": (at(*CATEGORY, "skeleton", value=[]), "no bones join"),
    "edges zero-based": (at(*CATEGORY, "skeleton", value=[[0, 1]]), "counts joints from one"),
    "edges too far": (at(*CATEGORY, "skeleton", value=[[1, 6]]), "outside 1..5"),
    "edges words": (at(*CATEGORY, "skeleton", value=[["nose", "neck"]]), "pairs of joint numbers"),
    "edges triples": (at(*CATEGORY, "skeleton", value=[[1, 2, 3]]), "pairs of joint numbers"),
    "a loop": (at(*CATEGORY, "skeleton", value=[*EDGES, [1, 5]]), "loops"),
    "apart": (at(*CATEGORY, "skeleton", value=[[1, 2], [3, 4]]), "no bones join"),
    "side alone": (
        at(*CATEGORY, "keypoints", value=["nose", "neck", "left_paw", "rigth_paw", "tail"]),
        "no mirror twin 'right_paw'",
    ),
    "image without name": (at("images", 0, value={"id": 0}), "file_name"),
    "image id a list": (at("images", 0, "id", value=[1]), "needs an id"),
    "image id twice": (at("images", 1, "id", value=0), "two images have the id 0"),
    "image name twice": (at("images", 1, "file_name", value="a.png"), "two images .* 'a.png'"),
    "image missing": (at("images", 0, "file_name", value="gone.png"), r"gone\.png"),
    "image outside": (at("images", 0, "file_name", value="/etc/hostname"), "hostname"),
    "label of no image": (at(*LABEL, "image_id", value=99), "image_id 99"),
    "label of a list": (at(*LABEL, "image_id", value=[0]), "image_id"),
    "keypoints short": (at(*LABEL, "keypoints", value=[1, 2, 2]), "expected 15"),
    "keypoints absent": (at(*LABEL, "keypoints", value=None), "expected 15"),
    "keypoints words": (at(*LABEL, "keypoints", value=["1"] * 15), "must be numbers"),
    "keypoints booleans": (at(*LABEL, "keypoints", value=[True] * 15), "must be numbers"),
    "keypoints NaN": (at(*LABEL, "keypoints", value=[float("nan"), 1, 2] * 5), "finite"),
    "keypoints infinite": (at(*LABEL, "keypoints", value=[float("inf"), 1, 2] * 5), "finite"),
    "keypoints huge": (at(*LABEL, "keypoints", value=[10**400, 1, 2] * 5), "finite"),
    "visibility 3": (at(*LABEL, "keypoints", value=[1, 2, 3] * 5), "visibility"),
    "bbox short": (at(*LABEL, "bbox", value=[1, 2]), "bbox"),
    "bbox words": (at(*LABEL, "bbox", value=["a"] * 4), "bbox"),
    "bbox NaN": (at(*LABEL, "bbox", value=[float("nan"), 1, 2, 3]), "bbox"),
    "bbox huge": (at(*LABEL, "bbox", value=[10**400, 1, 2, 3]), "bbox"),
    "picture of another size": (
        at("images", 2, "width", value=40),
        "40×64 px, but as shown .*80×64",
    ),
    "nothing visible": (
        lambda d: {**d, "annotations": [{**a, "keypoints": [0] * 15} for a in d["annotations"]]},
        "visible",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_file_gives_one_clear_error(tmp_path: Path, kind: str) -> None:
    breaking, words = BROKEN[kind]
    write(tmp_path, breaking(content()))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        clips(tmp_path)
    assert str(tmp_path / "labels.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 100_000, "\ufeff\ufeff{}"])
def test_no_json(tmp_path: Path, text: str) -> None:
    write(tmp_path, {})
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=r"labels\.json"):
        clips(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"annotations": "gone.json"}, "gone.json"),
        ({"images": "gone"}, "gone"),
        ({"category": "cta"}, "did you mean 'cat'"),
        ({"root_joint": "nek"}, "did you mean 'neck'"),
        ({"top_joint": "nek"}, "did you mean 'neck'"),
        ({"root_joint": "nose", "top_joint": "nose"}, "two joints"),
        ({"test_share": 1.0}, "test_share"),
        ({"skeleton": "human_17"}, "no keypoint 'hip'"),
        ({"skeleton": "gone.json"}, "gone.json"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict, words: str) -> None:
    write(tmp_path, content())
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        clips(tmp_path, **options)


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="JSON"):
        CocoKeypoints(root=tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        CocoKeypoints(root=tmp_path / "gone")
    write(tmp_path, content(), "train.json")
    write(tmp_path, content(), "other.json")
    with pytest.raises(ValueError, match="annotations"):
        CocoKeypoints(root=tmp_path)
    other = content()
    other["categories"][0]["keypoints"] = list(reversed(JOINTS))
    write(tmp_path, other, "test.json")
    with pytest.raises(ValueError, match="another order"):
        CocoKeypoints(root=tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(data=st.data())
def test_mangled_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """One value anywhere replaced by another of any kind."""
    mangled = content()
    inner: Any = mangled
    while True:
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = data.draw(
        st.sampled_from([None, -1, 0, 1, 1.5, 1e300, float("nan"), "", "cat", [], {}, [[]], True])
    )
    write(tmp_path, mangled)
    try:
        clips(tmp_path)
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    else:
        message = str(tmp_path / "labels.json")
    assert str(tmp_path / "labels.json") in message


def test_normalised_keypoints_are_wrong(tmp_path: Path) -> None:
    data = content()
    for label in data["annotations"][:4]:
        label["keypoints"] = [v / 80 if i % 3 < 2 else v for i, v in enumerate(label["keypoints"])]
    reader = CocoKeypoints(root=write(tmp_path, data))
    for clip in reader.clips("train"):
        assert any("normalised" in line for line in check_clip(clip, reader.skeleton))


def test_healthy_keypoints_lie_in_their_boxes(tmp_path: Path) -> None:
    data = content()
    for label in data["annotations"]:
        label.pop("bbox")
    reader = CocoKeypoints(root=write(tmp_path, data))
    assert all(check_clip(clip, reader.skeleton) == [] for clip in reader.clips("train"))
