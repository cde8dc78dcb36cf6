"""BVH: kinematics against a hand-made product, names and units of exporters, the drawn points."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfpose.data.bvh import (
    bvh_to_figure_points,
    find_trials,
    read_bvh,
    read_bvh_points,
    read_trial,
)
from selfpose.data.bvh_format import joint_transforms
from selfpose.data.bvh_names import ROLES
from selfpose.data.points import FIGURE_POINTS
from selfpose.skeleton import HUMAN_17

POINT = {name: i for i, name in enumerate(FIGURE_POINTS)}

# name, parent, offset in cm: a person who stands, y up, x to their left, looking along +z
BODY = [
    ("Hips", None, (0, 95, 0)),
    ("Spine", "Hips", (0, 10, 0)),
    ("Spine1", "Spine", (0, 15, 0)),
    ("Neck", "Spine1", (0, 25, 0)),
    ("Head", "Neck", (0, 10, 1)),
    ("HeadTop_End", "Head", (0, 19, 0)),
    ("LeftShoulder", "Spine1", (4, 20, 0)),
    ("LeftArm", "LeftShoulder", (14, 0, 0)),
    ("LeftForeArm", "LeftArm", (28, 0, 0)),
    ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("LeftHandThumb1", "LeftHand", (3, 0, 4)),
    ("LeftHandMiddle1", "LeftHand", (9, 0, 0)),
    ("LeftUpLeg", "Hips", (9, -5, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -42, 0)),
    ("LeftFoot", "LeftLeg", (0, -40, 0)),
    ("LeftToeBase", "LeftFoot", (0, -8, 13)),
]
BODY += [
    (n.replace("Left", "Right"), p.replace("Left", "Right"), (-o[0], o[1], o[2]))
    for n, p, o in BODY
    if n.startswith("Left")
]
TIPS = {"LeftToeBase": (0, 0, 7), "RightToeBase": (0, 0, 7)}


def text(
    values: np.ndarray,
    *,
    body: list = BODY,
    unit: float = 1.0,
    rename: Callable[[str], str] = str,
    turn: np.ndarray | None = None,
    order: str = "ZXY",
    frame_time: float = 1 / 30,
) -> str:
    """A BVH file; values (T, 3 + 3 J): the root's place in cm, and each joint's turns, degrees."""
    turn = np.eye(3) if turn is None else turn

    def numbers(vector: object) -> str:
        return " ".join(f"{x:.9f}" for x in turn @ np.array(vector, dtype=float) / unit)

    used: list[str] = []

    def block(name: str, depth: int) -> list[str]:
        used.append(name)
        pad = "\t" * depth
        offset = next(o for n, _, o in body if n == name)
        head = "ROOT" if depth == 0 else "JOINT"
        places = "Xposition Yposition Zposition " if depth == 0 else ""
        turns = " ".join(f"{axis}rotation" for axis in order)
        lines = [f"{pad}{head} {rename(name)}", f"{pad}{{", f"{pad}\tOFFSET {numbers(offset)}"]
        lines.append(f"{pad}\tCHANNELS {6 if depth == 0 else 3} {places}{turns}")
        children = [n for n, p, _ in body if p == name]
        for child in children:
            lines += block(child, depth + 1)
        if not children:
            tip = numbers(TIPS.get(name, (0, 0, 0)))
            lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {tip}", f"{pad}\t}}"]
        return [*lines, f"{pad}}}"]

    lines = ["HIERARCHY", *block("Hips", 0), "MOTION", f"Frames: {len(values)}"]
    lines.append(f"Frame Time: {frame_time:.6f}")
    names = [n for n, _, _ in body]
    for row in values:
        cells = numbers(row[:3])
        angles = [a for n in used for a in row[3 + 3 * names.index(n) :][:3]]
        lines.append(cells + " " + " ".join(f"{a:.6f}" for a in angles))
    return "\n".join(lines) + "\n"


def still(n: int = 5) -> np.ndarray:
    values = np.zeros((n, 3 + 3 * len(BODY)))
    values[:, 1] = 95
    return values


def moving(n: int = 12, seed: int = 0) -> np.ndarray:
    values = still(n)
    values[:, 3:] = np.random.default_rng(seed).uniform(-20, 20, (n, values.shape[1] - 3))
    values[:, 0] = np.linspace(0, 50, n)
    return values


def write(path: Path, values: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(values, **options))
    return path


def axis_turn(axis: str, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i = "XYZ".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    turn = np.eye(3)
    turn[j, j] = turn[k, k] = c
    turn[k, j], turn[j, k] = s, -s
    return turn


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YXZ"])
def test_joints_are_where_the_product_of_turns_puts_them(tmp_path: Path, order: str) -> None:
    values = moving(3)
    motion = read_bvh(write(tmp_path / "a.bvh", values, order=order))
    places, _ = joint_transforms(motion)
    names = [n for n, _, _ in BODY]
    for t, row in enumerate(values):
        where: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for k, (name, parent, offset) in enumerate(BODY):
            a, b, c = (axis_turn(x, v) for x, v in zip(order, row[3 + 3 * k :][:3], strict=False))
            if parent is None:
                where[name] = (row[:3], a @ b @ c)
            else:
                place, turn = where[parent]
                where[name] = (place + turn @ np.array(offset), turn @ a @ b @ c)
        for j, joint in enumerate(motion.joints):
            if joint.name in names:
                np.testing.assert_allclose(places[t, j], where[joint.name][0], atol=1e-5)


def test_a_standing_person_has_known_points(tmp_path: Path) -> None:
    points = read_bvh_points(write(tmp_path / "a.bvh", still(), frame_time=1 / 30))
    assert points.shape == (20, len(FIGURE_POINTS), 3)  # 5 frames at 30 Hz are 20 at 120 Hz
    expected = {  # x right, y down, z forward, mm, floor at the toes: 0 cm in the file
        "hip": (0, -950, 0),
        "head": (0, -1740, -10),
        "left_wrist": (710, -1400, 0),
        "left_hand": (870, -1400, 0),
        "right_knee": (-90, -480, 0),
        "left_toe": (90, 0, -200),
        "thorax": (0, -1450, 0),
    }
    for name, place in expected.items():
        torch.testing.assert_close(
            points[0, POINT[name]], torch.tensor(place, dtype=torch.float32), atol=0.1, rtol=0
        )
    # The nose is before the face, as toes are before heels; the file's +z is the world's -z
    assert points[0, POINT["nose"], 2] < points[0, POINT["head"], 2] - 50


@given(seed=st.integers(0, 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
def test_bones_are_rigid(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "a.bvh", moving(seed=seed))
    points = bvh_to_figure_points(read_bvh(path))
    for parent, child in HUMAN_17.bones:
        if not HUMAN_17.joints[child].endswith(("knee", "ankle", "elbow", "wrist")):
            continue  # further joints lie between
        lengths = (points[:, child] - points[:, parent]).norm(dim=-1)
        assert float(lengths.max() - lengths.min()) < 0.1


@pytest.mark.parametrize("unit", [0.1, 2.54, 2.54 / 0.45, 100.0])
def test_units_are_told_by_the_legs(tmp_path: Path, unit: float) -> None:
    """mm, inches, CMU's unit and metres give what centimetres give."""
    ours = read_bvh_points(write(tmp_path / "a.bvh", moving()))
    theirs = read_bvh_points(write(tmp_path / "b.bvh", moving(), unit=unit))
    torch.testing.assert_close(theirs, ours, atol=0.5, rtol=0)


def test_z_up_is_recognised(tmp_path: Path) -> None:
    """The same person, standing still in a frame whose z is up."""
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    ours = read_bvh_points(write(tmp_path / "a.bvh", still()))
    theirs = read_bvh_points(write(tmp_path / "b.bvh", still(), turn=z_up))
    torch.testing.assert_close(theirs, ours, atol=0.5, rtol=0)


def lafan(name: str) -> str:
    return name.replace("ToeBase", "Toe")


def unity(name: str) -> str:
    for ours, theirs in (("UpLeg", "UpperLeg"), ("ForeArm", "LowerArm"), ("Spine1", "Chest")):
        if name.endswith(ours):
            return name.replace(ours, theirs)
    if name.endswith("Leg"):
        return name.replace("Leg", "LowerLeg")
    return name.replace("Arm", "UpperArm") if name.endswith("Arm") else name


@pytest.mark.parametrize(
    "rename",
    [lafan, unity, str.lower, "mixamorig:{}".format, "Model_{}".format],
    ids=["LAFAN1", "Unity", "lower case", "Mixamo", "common beginning"],
)
def test_names_of_exporters(tmp_path: Path, rename: Callable[[str], str]) -> None:
    ours = read_bvh_points(write(tmp_path / "a.bvh", moving()))
    theirs = read_bvh_points(write(tmp_path / "b.bvh", moving(), rename=rename))
    torch.testing.assert_close(theirs, ours)


def test_other_names_need_a_mapping_which_lies_beside(tmp_path: Path) -> None:
    numbers = {n: f"{n[4:-1] if 'Thumb' in n else 'bone'}{i}" for i, (n, _, _) in enumerate(BODY)}
    path = write(tmp_path / "in/a.bvh", moving(), rename=numbers.__getitem__)
    (trial,) = find_trials(tmp_path)
    with pytest.raises(ValueError, match=r"left_knee.*bone3.*joints\.json"):
        read_trial(trial)
    named = dict(
        zip(
            ROLES,
            ["Hips", "Spine1", "Neck", "Head"]
            + [
                side + j
                for side in ("Left", "Right")
                for j in ("UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand")
            ],
            strict=True,
        )
    )
    named |= {"left_toe": "LeftToeBase", "right_toe": "RightToeBase"}
    mapping = {role: numbers[name] for role, name in named.items()}
    (tmp_path / "joints.json").write_text(json.dumps({**mapping, "unit_mm": 10}))
    (trial,) = find_trials(tmp_path)
    ours = read_bvh_points(write(tmp_path / "ours.bvh", moving()))
    torch.testing.assert_close(read_trial(trial), ours)
    mapping["left_knee"] = "bone99"
    with pytest.raises(ValueError, match="bone99"):
        bvh_to_figure_points(read_bvh(path), mapping=mapping)
    with pytest.raises(ValueError, match="did you mean 'left_knee'"):
        bvh_to_figure_points(read_bvh(path), mapping={"leftknee": "bone3"})


def test_trials_are_named_by_subject_and_activity(tmp_path: Path) -> None:
    for name in ("walk1_subject5", "02_01", "kim/dance"):
        write(tmp_path / f"{name}.bvh", still())
    found = {t.name: (t.subject, t.activity) for t in find_trials(tmp_path)}
    assert found == {
        "02_01": ("02", "unknown"),
        "kim/dance": ("kim", "unknown"),
        "walk1_subject5": ("subject5", "walk"),
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="bvh"):
        find_trials(tmp_path / "empty")


MOVING = text(moving(3)).encode()


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(content: str) -> str:
        assert old in content
        return content.replace(old, new, 1)

    return change


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda t: "", "HIERARCHY"),
    "other": (lambda t: "hello\n" + t, "HIERARCHY"),
    "no motion": (lambda t: t.partition("MOTION")[0], "MOTION"),
    "no frames": (swap("Frames: 5", ""), "Frames:"),
    "frames a word": (swap("Frames: 5", "Frames: five"), "positive"),
    "frames zero": (swap("Frames: 5", "Frames: 0"), "positive"),
    "frames more": (swap("Frames: 5", "Frames: 6"), "holds 5 frames"),
    "no time": (swap("Frame Time:", "Time:"), "Frame Time"),
    "time zero": (swap("0.033333", "0"), "seconds"),
    "time a word": (swap("0.033333", "fast"), "Frame Time"),
    "cut in a row": (lambda t: t[:-40], "numbers"),
    "cut between rows": (lambda t: "\n".join(t.splitlines()[:-1]), "holds 4 frames"),
    "a word in a row": (lambda t: t[:-12] + "x\n", "line"),
    "infinite": (lambda t: t.replace(" 95.000000000 ", " inf ", 2), "finite"),
    "unclosed": (swap("\t}\n}", "\t}\n"), "closed"),
    "closed twice": (swap("MOTION", "}\nMOTION"), "without"),
    "no brace": (swap("ROOT Hips\n{", "ROOT Hips\n"), "expected"),
    "brace alone": (swap("HIERARCHY\n", "HIERARCHY\n{\n"), "without a joint"),
    "nameless": (swap("JOINT Spine\n", "JOINT\n"), "without a name"),
    "two roots": (swap("MOTION", "ROOT Other\n{\nOFFSET 0 0 0\n}\nMOTION"), "ROOT"),
    "joint first": (swap("ROOT Hips", "JOINT Hips"), "ROOT"),
    "no offset": (swap("\tOFFSET 0.000000000 95", "\tOFSET 0.0 95"), "OFSET"),
    "two offsets": (swap("\tCHANNELS 6", "\tOFFSET 0 0 0\n\tCHANNELS 6"), "second OFFSET"),
    "short offset": (swap("OFFSET 0.000000000 95.000000000", "OFFSET"), "3 numbers"),
    "channel count": (swap("CHANNELS 3", "CHANNELS 2"), "count"),
    "channel unknown": (swap("Zrotation", "Wrotation"), "count and as many"),
    "channel twice": (swap("Zrotation Xrotation", "Zrotation Zrotation"), "twice"),
    "name twice": (swap("JOINT Spine1", "JOINT Spine"), "two joints"),
    "left and right exchanged": (
        lambda t: t.replace("Left", "#").replace("Right", "Left").replace("#", "Right"),
        "exchanged",
    ),
    "tiny": (lambda t: t.replace("42.0", "1.0").replace("40.0", "1.0"), "unit_mm"),
    "no knees": (lambda t: t.replace("LeftLeg", "Left1").replace("RightLeg", "Right1"), "_knee"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_file_gives_one_clear_error(tmp_path: Path, kind: str) -> None:
    breaking, words = BROKEN[kind]
    path = tmp_path / "walk.bvh"
    path.write_text(breaking(text(still())))
    with pytest.raises(ValueError, match=words) as caught:
        read_bvh_points(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_mangled_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "walk.bvh"
    content = bytearray(MOVING)
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    path.write_bytes(content)
    message = str(path)
    try:
        assert read_bvh_points(path).isfinite().all()
    except ValueError as error:
        message = str(error)
    assert str(path) in message
