"""A folder of one's own: what is read back, and clear errors for the ways to get it wrong."""

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
from selfpose.data.tables import read_poses
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


def read_everything(root: Path) -> list:
    reader = PictureFolder(root=root)
    return [*reader.clips("train"), *reader.clips("test")]


def refusal(root: Path) -> str | None:
    """What a folder is refused with; ``None`` if it is read."""
    try:
        read_everything(root)
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
    assert str(root) not in json.dumps(reader.describe())


def test_the_three_forms_of_poses_are_one(root: Path) -> None:
    np.save(root / "poses.npy", POSES)
    (root / "long.csv").write_text(long_table([f"p{i}" for i in range(6)], POSES))
    for name in ("poses.csv", "poses.npy", "long.csv"):
        np.testing.assert_array_equal(read_poses(root / name, CRANE).poses_2d, POSES)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_as_spreadsheets_save_them(root: Path, delimiter: str, encoding: str) -> None:
    """Any delimiter, a byte order mark, other ends of lines, columns in any order."""
    header, *rows = (line.split(",") for line in wide_table().splitlines())
    order = np.random.default_rng(2).permutation(len(header))
    shuffled = [delimiter.join(row[i] for i in order) for row in (header, *rows)]
    (root / "poses.csv").write_text("\r\n".join(shuffled), encoding=encoding)
    np.testing.assert_array_equal(read_poses(root / "poses.csv", CRANE).poses_2d, POSES)


def test_a_pose_is_scaled_by_the_picture_it_was_measured_in(root: Path) -> None:
    """Twice the picture and twice the pose is the same pose in its box."""
    *_, plain = PictureFolder(root=root).clips("train")
    header, *rows = wide_table(2 * POSES).splitlines()
    lines = [header + ",width,height", *(row + ",160,120" for row in rows)]
    (root / "poses.csv").write_text("\n".join(lines))
    *_, large = PictureFolder(root=root).clips("train")

    def in_box(clip: object) -> np.ndarray:
        return (clip.poses_2d - clip.boxes[:, None, :2]) / clip.boxes[:, None, 2:]

    np.testing.assert_allclose(in_box(large), in_box(plain))


def test_exif_rotation_swaps_width_and_height(root: Path) -> None:
    shutil.rmtree(root / "pictures")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_picture(root / "pictures/turned.jpg", (60, 80), exif=exif)
    turned, _ = PictureFolder(root=root).clips("train")
    np.testing.assert_array_equal(turned.boxes, [[40, 30, 80]])


@pytest.mark.parametrize("long", [False, True])
def test_an_unknown_joint_is_nan_and_the_rest_stays(root: Path, long: bool) -> None:
    """Empty cells, "nan", or a row that is not there."""
    poses = POSES.copy()
    poses[2, 0] = np.nan
    table = long_table([f"p{i}" for i in range(6)], poses) if long else wide_table(poses)
    (root / "poses.csv").write_text(table.replace("p2,base,nan,nan\n", "").replace("nan", "", 1))
    np.testing.assert_array_equal(read_poses(root / "poses.csv", CRANE).poses_2d, poses)


def test_a_body_is_a_skeleton_or_its_file(root: Path) -> None:
    (root / "skeleton.json").rename(root / "other.json")
    for skeleton in (CRANE, root / "other.json", str(root / "other.json")):
        assert PictureFolder(root=root, skeleton=skeleton).skeleton == CRANE


def put(name: str, content: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(content)


def npy(array: np.ndarray) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / "poses.csv").unlink()
        np.save(root / "poses.npy", array)

    return write


FIVE = wide_table().replace(f"{POSES[0, 0, 0]}", "1,5", 1)
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no pictures": (lambda r: shutil.rmtree(r / "pictures"), "pictures: holds no picture"),
    "no poses": (lambda r: (r / "poses.csv").unlink(), r"either poses\.csv or poses\.npy"),
    "two poses": (lambda r: np.save(r / "poses.npy", POSES), r"either poses\.csv or poses\.npy"),
    "no skeleton": (lambda r: (r / "skeleton.json").unlink(), r"skeleton\.json"),
    "skeleton no JSON": (put("skeleton.json", "{"), r"skeleton\.json"),
    "picture unreadable": (put("pictures/loose.jpg", "no picture"), r"loose\.jpg"),
    "clip of two sizes": (lambda r: save_picture(r / "pictures/garden/x.png", (9, 9)), r"x\.png"),
    "folder of two sizes": (lambda r: save_picture(r / "pictures/x.png", (9, 9)), "width and hei"),
    "video is none": (put("pictures/walk.mp4", "no video"), r"walk\.mp4"),
    "empty": (put("poses.csv", ""), r"poses\.csv"),
    "no row": (put("poses.csv", wide_table().splitlines()[0]), r"poses\.csv"),
    "word": (put("poses.csv", wide_table().replace(f"{POSES[1, 1, 0]}", "left")), "left"),
    "infinite": (put("poses.csv", wide_table(np.where(POSES > 50, np.inf, POSES))), "pixels"),
    "decimal comma": (put("poses.csv", FIVE), "decimal comma"),
    "other joint": (put("poses.csv", wide_table().replace("elbow", "elbov")), "mean 'elbow'"),
    "column missing": (put("poses.csv", "picture,joint,x\na,base,1\n"), "'y' is missing"),
    "X alone": (put("poses.csv", "picture,joint,x,y,X\na,base,1,2,3\n"), "'Y' is missing"),
    "joint twice": (put("poses.csv", long_table(["a", "a"], POSES)), "twice"),
    "normalised": (put("poses.csv", wide_table(POSES / 60)), "expected pixels"),
    "elsewhere": (put("poses.csv", wide_table(POSES + 500)), "outside"),
    "upside down": (put("poses.csv", wide_table(POSES * [1, -1])), "outside"),
    "npy other joints": (npy(np.ones((6, 5, 2))), r"\(6, 5, 2\)"),
    "npy words": (npy(np.full((6, 4, 2), "a")), r"poses\.npy"),
    "npy no array": (lambda r: (npy(POSES)(r), put("poses.npy", "hello")(r)), r"poses\.npy"),
    "test without labels": (lambda r: (r / "test/labels.csv").unlink(), r"labels\.csv"),
    "label of no picture": (put("test/labels.csv", long_table(["c.png"], POSES)), r"c\.png"),
    "label outside": (put("test/labels.csv", long_table(["yard/a.png"], POSES + 900)), "outside"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_folder_gives_one_clear_error(root: Path, kind: str) -> None:
    breaking, words = BROKEN[kind]
    breaking(root)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        read_everything(root)
    assert str(root) in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
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
    message = refusal(root)
    assert message is None or str(root) in message
