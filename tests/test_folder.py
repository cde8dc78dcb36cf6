"""A folder of one's own: what is read back, and one clear error for each way to get it wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from selfpose.data.folder import PictureFolder
from selfpose.data.tables import read_pose_table, skeleton_from
from selfpose.skeleton import Skeleton

CRANE = Skeleton(
    name="crane",
    joints=("base", "elbow", "left_claw", "right_claw"),
    bones=((0, 1), (1, 2), (1, 3)),
    root=0,
    top=1,
    mirror_pairs=((2, 3),),
)
SIZE = (80, 60)  # width, height
POSES = np.random.default_rng(0).uniform(5, 55, size=(6, 4, 2)).round(2)
SOLID = np.random.default_rng(1).uniform(-200, 900, size=(2, 4, 3)).round(1)


def save_picture(path: Path, size: tuple[int, int] = SIZE, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path, **options)


def wide_table(poses: np.ndarray = POSES) -> str:
    header = [f"{joint}_{axis}" for joint in CRANE.joints for axis in "xy"]
    rows = [",".join(f"{value}" for value in pose.ravel()) for pose in poses]
    return "\n".join([",".join(header), *rows]) + "\n"


def long_table(pictures: list[str], poses: np.ndarray, solid: np.ndarray | None = None) -> str:
    lines = ["picture,joint,x,y" + (",X,Y,Z" if solid is not None else "")]
    for i, picture in enumerate(pictures):
        for j, joint in enumerate(CRANE.joints):
            numbers = [*poses[i, j], *(solid[i, j] if solid is not None else ())]
            lines.append(",".join([picture, joint, *map(str, numbers)]))
    return "\n".join(lines) + "\n"


def write_folder(root: Path) -> Path:
    for number in (1, 2, 10):
        save_picture(root / f"pictures/garden/frame_{number}.png")
    save_picture(root / "pictures/loose.jpg")
    save_picture(root / "pictures/.thumbnails/loose.jpg", (4, 4))
    (root / "skeleton.json").write_text(json.dumps(CRANE.to_dict()))
    (root / "poses.csv").write_text(wide_table())
    save_picture(root / "test/yard/a.png")
    save_picture(root / "test/yard/b.png")
    save_picture(root / "test/unlabelled.png")
    table = long_table(["yard/b.png", "yard/a.png"], POSES[:2], SOLID)
    (root / "test/labels.csv").write_text(table)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "mine")


def read_everything(root: Path, **options: object) -> list:
    reader = PictureFolder(root=root, **options)
    return [*reader.clips("train"), *reader.clips("test")]


def refusal(read: Callable[[], object]) -> str | None:
    """The one line that a file is refused with; ``None`` if it is read."""
    try:
        read()
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return None


def test_reads_back_what_was_written(root: Path) -> None:
    reader = PictureFolder(root=root)
    assert reader.skeleton == CRANE
    garden, loose, poses = reader.clips("train")
    assert (garden.name, garden.static) == ("garden", True)
    assert [f.path.name for f in garden.pictures] == ["frame_1.png", "frame_2.png", "frame_10.png"]
    assert (loose.name, loose.static, len(loose)) == ("loose.jpg", False, 1)
    np.testing.assert_array_equal(garden.boxes, [[40, 30, 80]] * 3)
    assert poses.pictures is None
    np.testing.assert_array_equal(poses.poses_2d, POSES)
    np.testing.assert_array_equal(poses.boxes, [[40, 30, 80]] * 6)
    (yard,) = reader.clips("test")
    assert [f.path.name for f in yard.pictures] == ["a.png", "b.png"]
    np.testing.assert_array_equal(yard.poses_2d, POSES[[1, 0]])
    np.testing.assert_array_equal(yard.poses_3d, SOLID[[1, 0]])
    json.dumps(reader.describe())
    assert str(root) not in json.dumps(reader.describe())


def test_the_three_forms_of_poses_are_one(root: Path) -> None:
    np.save(root / "poses.npy", POSES.astype(np.float32))
    (root / "poses.csv").unlink()
    *_, from_npy = PictureFolder(root=root).clips("train")
    (root / "poses.npy").unlink()
    (root / "poses.csv").write_text(long_table([f"p{i}" for i in range(6)], POSES))
    *_, from_long = PictureFolder(root=root).clips("train")
    np.testing.assert_allclose(from_npy.poses_2d, POSES, atol=1e-5)
    np.testing.assert_array_equal(from_long.poses_2d, POSES)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_as_spreadsheets_save_them(root: Path, delimiter: str, encoding: str) -> None:
    text = wide_table().replace(",", delimiter).replace("\n", "\r\n")
    (root / "poses.csv").write_text(text, encoding=encoding)
    table = read_pose_table(root / "poses.csv", CRANE)
    np.testing.assert_array_equal(table.poses_2d, POSES)


def test_columns_may_stand_in_any_order(root: Path) -> None:
    header, *rows = (line.split(",") for line in wide_table().splitlines())
    order = np.random.default_rng(2).permutation(len(header))
    shuffled = [",".join(row[i] for i in order) for row in (header, *rows)]
    (root / "poses.csv").write_text("\n".join(shuffled))
    np.testing.assert_array_equal(read_pose_table(root / "poses.csv", CRANE).poses_2d, POSES)


def test_a_pose_is_scaled_by_the_picture_it_was_measured_in(root: Path) -> None:
    """Twice the picture and twice the pose is the same pose in its box, in either way to say so."""
    *_, plain = PictureFolder(root=root).clips("train")
    (root / "poses.csv").write_text(wide_table(2 * POSES))
    *_, by_option = PictureFolder(root=root, poses_size=(160, 120)).clips("train")
    lines = wide_table(2 * POSES).splitlines()
    sized = [lines[0] + ",width,height", *(line + ",160,120" for line in lines[1:])]
    (root / "poses.csv").write_text("\n".join(sized))
    *_, by_column = PictureFolder(root=root).clips("train")

    def in_box(clip: object) -> np.ndarray:
        return (clip.poses_2d - clip.boxes[:, None, :2]) / clip.boxes[:, None, 2:]

    np.testing.assert_allclose(in_box(by_option), in_box(plain))
    np.testing.assert_allclose(in_box(by_column), in_box(plain))


def test_pictures_of_several_sizes_need_the_poses_size_said(root: Path) -> None:
    save_picture(root / "pictures/large.png", (160, 160))
    with pytest.raises(ValueError, match=r"large\.png.*poses_size"):
        list(PictureFolder(root=root).clips("train"))
    clips = list(PictureFolder(root=root, poses_size=SIZE).clips("train"))
    assert [float(clip.boxes[0, 2]) for clip in clips] == [80, 160, 80, 80]


def test_exif_rotation_swaps_width_and_height(root: Path) -> None:
    shutil.rmtree(root / "pictures")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_picture(root / "pictures/turned.jpg", (60, 80), exif=exif)
    turned, _ = PictureFolder(root=root).clips("train")
    np.testing.assert_array_equal(turned.boxes, [[40, 30, 80]])


def test_an_unknown_joint_is_nan_and_the_rest_stays(root: Path) -> None:
    lines = wide_table().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join(["", "nan", *cells[2:]])
    (root / "poses.csv").write_text("\n".join(lines))
    reader = PictureFolder(root=root)
    *_, poses = reader.clips("train")
    assert np.isnan(poses.poses_2d[2, 0]).all()
    assert np.isfinite(poses.poses_2d).sum() == POSES.size - 2
    assert reader.describe()["incomplete_poses"] == 1


def test_a_named_body_needs_no_file(root: Path) -> None:
    (root / "skeleton.json").rename(root / "other.json")
    for skeleton in (CRANE, root / "other.json", str(root / "other.json")):
        assert PictureFolder(root=root, skeleton=skeleton).skeleton == CRANE


def test_the_suggested_joint_is_the_nearest(root: Path) -> None:
    (root / "poses.csv").write_text(wide_table().replace("left_claw", "leftclaw"))
    with pytest.raises(ValueError, match="did you mean 'left_claw_x'"):
        PictureFolder(root=root)


def rewrite(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda root: (root / name).write_text(change((root / name).read_text())) and None


def put(name: str, content: str | bytes) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def npy(array: object, **options: object) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / "poses.csv").unlink()
        np.save(root / "poses.npy", np.asarray(array), **options)

    return write


def cut_npy(root: Path) -> None:
    npy(POSES)(root)
    data = (root / "poses.npy").read_bytes()
    (root / "poses.npy").write_bytes(data[:-40])


def npz_as_npy(root: Path) -> None:
    (root / "poses.csv").unlink()
    with (root / "poses.npy").open("wb") as file:
        np.savez(file, poses=POSES)


def edit_skeleton(**changes: object) -> Callable[[Path], None]:
    return put("skeleton.json", json.dumps({**CRANE.to_dict(), **changes}))


def first_cell(value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        header, first, *rest = text.splitlines()
        return "\n".join([header, ",".join([value, *first.split(",")[1:]]), *rest])

    return change


def without_column(name: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        rows = [line.split(",") for line in text.splitlines()]
        i = rows[0].index(name)
        return "\n".join(",".join(row[:i] + row[i + 1 :]) for row in rows)

    return change


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda r: shutil.rmtree(r), "mine"),
    "no pictures": (lambda r: shutil.rmtree(r / "pictures"), "pictures"),
    "pictures empty": (lambda r: (shutil.rmtree(r / "pictures"), (r / "pictures").mkdir()), "pict"),
    "no poses": (lambda r: (r / "poses.csv").unlink(), r"poses\.csv"),
    "two poses": (lambda r: np.save(r / "poses.npy", POSES), "keep one"),
    "no skeleton": (lambda r: (r / "skeleton.json").unlink(), r"skeleton\.json"),
    "skeleton no JSON": (put("skeleton.json", "{"), r"skeleton\.json"),
    "skeleton a list": (put("skeleton.json", "[1, 2]"), r"skeleton\.json"),
    "skeleton a number": (put("skeleton.json", "3"), r"skeleton\.json"),
    "skeleton no text": (put("skeleton.json", b"\xff\xfe\x00"), r"skeleton\.json"),
    "skeleton deep": (put("skeleton.json", "[" * 100_000), r"skeleton\.json"),
    "skeleton huge root": (
        put("skeleton.json", json.dumps({**CRANE.to_dict(), "root": 1e400})),
        "j",
    ),
    "skeleton a loop": (edit_skeleton(bones=[[0, 1], [1, 2], [2, 1]]), "tree"),
    "skeleton bad root": (edit_skeleton(root=9), "index"),
    "skeleton unknown field": (edit_skeleton(rooot=0), "rooot"),
    "skeleton unknown joint": (
        edit_skeleton(root="bose"),
        "unknown joint 'bose'; did you mean 'base'",
    ),
    "skeleton half a bone": (edit_skeleton(bones=[[0], [0, 2], [1, 3]]), "bones must be pairs"),
    "skeleton without top": (
        put("skeleton.json", json.dumps({k: v for k, v in CRANE.to_dict().items() if k != "top"})),
        "'top' is missing; a skeleton needs name, joints, bones, root, top, and may have",
    ),
    "picture unreadable": (put("pictures/loose.jpg", "no picture"), r"loose\.jpg"),
    "picture empty": (put("pictures/garden/frame_2.png", b""), r"frame_2\.png"),
    "clip of two sizes": (lambda r: save_picture(r / "pictures/garden/x.png", (9, 9)), r"x\.png"),
    "video is none": (put("pictures/walk.mp4", "no video"), r"walk\.mp4"),
    "csv empty": (put("poses.csv", ""), r"poses\.csv.*empty"),
    "csv header alone": (put("poses.csv", wide_table().splitlines()[0]), "no row"),
    "csv no text": (put("poses.csv", b"base_x\xff\xfe,\x00"), r"poses\.csv"),
    "csv with NUL": (rewrite("poses.csv", lambda t: t.replace("5", "\0", 1)), r"poses\.csv"),
    "csv word": (rewrite("poses.csv", first_cell("left")), "line 2.*base_x"),
    "csv absurd": (rewrite("poses.csv", first_cell("1e300")), "beyond any picture"),
    "csv infinite": (rewrite("poses.csv", first_cell("inf")), "line 2.*finite"),
    "csv huge": (rewrite("poses.csv", first_cell("1e999")), "line 2.*finite"),
    "csv decimal comma": (rewrite("poses.csv", first_cell("1,5")), "line 2.*decimal"),
    "csv cut": (rewrite("poses.csv", lambda t: t[:-30]), "line 7"),
    "csv column twice": (
        rewrite("poses.csv", lambda t: t.replace("elbow_x", "base_x")),
        "'base_x' stands there twice",
    ),
    "csv column missing": (rewrite("poses.csv", without_column("elbow_y")), "elbow_y"),
    "csv unknown column": (rewrite("poses.csv", lambda t: t.replace("elbow_y", "elbo_y")), "mean"),
    "csv width alone": (
        rewrite(
            "poses.csv", lambda t: "\n".join(x + ",9" for x in t.split()).replace("9", "width", 1)
        ),
        "unknown|alone",
    ),
    "csv pictures twice": (
        put(
            "poses.csv", wide_table().replace("base_x", "picture,base_x").replace("\n", "\na,")[:-2]
        ),
        "'a' stands there twice",
    ),
    "long unknown joint": (
        put("poses.csv", long_table(["a"], POSES).replace("elbow", "elbov")),
        "did you mean 'elbow'",
    ),
    "long joint twice": (
        put("poses.csv", long_table(["a", "a"], POSES)),
        "twice",
    ),
    "long without joint": (put("poses.csv", "picture,x,y\na,1,2\n"), "'joint' is missing"),
    "long without picture": (put("poses.csv", "joint,x,y\nbase,1,2\n"), "'picture' is missing"),
    "long X alone": (put("poses.csv", "picture,joint,x,y,X\na,base,1,2,3\n"), "'Y' is missing"),
    "long two sizes": (
        put(
            "poses.csv",
            "picture,joint,x,y,width,height\na,base,1,2,9,9\na,elbow,1,2,8,9\n",
        ),
        "one width and height",
    ),
    "size zero": (put("poses.csv", "picture,joint,x,y,width,height\na,base,1,2,0,9\n"), "positive"),
    "poses never whole": (
        put("poses.csv", long_table(["a"], POSES).rsplit("a,", 1)[0]),
        "right_cl",
    ),
    "poses all the same": (put("poses.csv", wide_table(POSES[[0, 0, 0]])), "same"),
    "poses shifted copies": (
        put("poses.csv", wide_table(POSES[[0, 0]] + np.array([[[0, 0]], [[3, 4]]]))),
        "same",
    ),
    "poses of zeros": (put("poses.csv", wide_table(0 * POSES)), "pixels"),
    "root on top": (put("poses.csv", wide_table(POSES[:, [0, 0, 2, 3]])), "coincide"),
    "poses normalised": (put("poses.csv", wide_table(POSES / 60)), "pixels"),
    "poses elsewhere": (put("poses.csv", wide_table(POSES + 500)), "outside"),
    "poses upside down": (put("poses.csv", wide_table(POSES * [1, -1])), "outside"),
    "npy flat": (npy(POSES.reshape(6, 8)), r"\(6, 8\)"),
    "npy three columns": (npy(np.ones((6, 4, 3))), r"\(6, 4, 3\)"),
    "npy other joints": (npy(np.ones((6, 5, 2))), r"\(6, 5, 2\)"),
    "npy no pose": (npy(np.ones((0, 4, 2))), r"\(0, 4, 2\)"),
    "npy objects": (npy(np.array([{}], dtype=object), allow_pickle=True), r"poses\.npy"),
    "npy words": (npy(np.full((6, 4, 2), "a")), r"poses\.npy"),
    "npy complex": (npy(POSES.astype(complex)), r"poses\.npy"),
    "npy infinite": (npy(np.where(POSES > 50, np.inf, POSES)), "infinite"),
    "npy all NaN": (npy(POSES * np.nan), "no pose has"),
    "npy cut": (cut_npy, r"poses\.npy"),
    "npz": (npz_as_npy, r"poses\.npy"),
    "npy no array": (lambda r: (npy(POSES)(r), put("poses.npy", "hello")(r)), r"poses\.npy"),
    "npy empty": (lambda r: (npy(POSES)(r), put("poses.npy", "")(r)), r"poses\.npy"),
    "test without labels": (
        lambda r: (r / "test/labels.csv").unlink(),
        r"labels\.csv: no such file, but .* remove the folder",
    ),
    "label of no picture": (
        rewrite("test/labels.csv", lambda t: t.replace("b.png", "c.png")),
        "c.png",
    ),
    "label without name": (
        rewrite("test/labels.csv", lambda t: t.replace("yard/b.png", "")),
        "names no",
    ),
    "label half in 3D": (
        rewrite("test/labels.csv", lambda t: t.replace(f",{SOLID[0, 0, 0]},", ",,", 1)),
        "no X, Y, Z",
    ),
    "label outside": (
        put("test/labels.csv", long_table(["yard/a.png"], POSES + 900)),
        r"labels\.csv.*outside",
    ),
    "label of another size": (
        put(
            "test/labels.csv",
            "picture,joint,x,y,width,height\n"
            + "".join(f"yard/a.png,{j},{5 + 9 * i},9,99,99\n" for i, j in enumerate(CRANE.joints)),
        ),
        "not those of",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_folder_gives_one_clear_error(root: Path, kind: str) -> None:
    breaking, words = BROKEN[kind]
    breaking(root)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        read_everything(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_skeleton_may_name_its_joints(root: Path) -> None:
    told = CRANE.to_dict()
    names = {field: CRANE.joints[told[field]] for field in ("root", "top")}
    bones = [[CRANE.joints[a], CRANE.joints[b]] for a, b in CRANE.bones]
    edit_skeleton(**names, bones=bones)(root)
    assert PictureFolder(root=root).skeleton == CRANE


def test_sides_that_contradict_their_names_are_refused(root: Path) -> None:
    joints = ["root", "Left_claw", "Right_claw"]
    told = {"name": "crab", "joints": joints, "bones": [[0, 1], [0, 2]], "root": 0, "top": 1}
    path = root / "skeleton.json"
    path.write_text(json.dumps({**told, "mirror_pairs": [[2, 1]]}))
    with pytest.raises(ValueError, match=r"skeleton\.json: .*the left joint comes first"):
        skeleton_from(path)
    path.write_text(json.dumps({**told, "mirror_pairs": [[1, 2]]}))
    assert skeleton_from(path).joint_sides == ("centre", "left", "right")


def test_a_bone_that_leads_to_the_root_is_named(root: Path) -> None:
    path = root / "skeleton.json"
    told = {"name": "x", "joints": ["a", "b", "c"], "bones": [[0, 1], [1, 2]], "root": 1, "top": 2}
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"not reached: \['a'\]; turn the bone \[0, 1\] round"):
        skeleton_from(path)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (float("nan"), 3), (4,)])
def test_a_poses_size_is_positive(root: Path, size: tuple) -> None:
    with pytest.raises(ValueError, match="poses_size"):
        PictureFolder(root=root, poses_size=size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_mangled_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, cut or doubled: a clip comes out, or one error that names the folder."""
    root = tmp_path / "mine"
    shutil.rmtree(root, ignore_errors=True)
    write_folder(root)
    if data.draw(st.booleans()):
        npy(POSES)(root)
    poses = "poses.npy" if (root / "poses.npy").exists() else "poses.csv"
    path = root / data.draw(
        st.sampled_from([poses, "skeleton.json", "test/labels.csv", "pictures/loose.jpg"])
    )
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    stop = data.draw(st.integers(start, min(len(content), start + 20)))
    content[start:stop] = data.draw(st.binary(max_size=20))
    path.write_bytes(content)
    message = refusal(lambda: read_everything(root))
    assert message is None or str(root) in message
