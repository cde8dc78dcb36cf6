"""The Acclaim reader on tiny files whose geometry is known by hand, and on broken ones."""

import math
from pathlib import Path

import pytest
import torch

from selfpose.data.acclaim import (
    global_transforms,
    read_amc,
    read_asf,
    rest_positions,
)

# 1 unit = 25.4 / 0.5 mm. The axis of the upper bone is turned by 90 degrees about z, so its "rx"
# turns about the skeleton's y axis.
UNIT = 50.8
ASF = """# a comment
:version 1.10
:name TINY
:units
  mass 1.0
  length 0.5

  angle deg
:documentation
   free text here
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lower
     direction 0 -1 0
     length 2
     axis 0 0 0 XYZ
     dof rx rz
     limits (-160.0 20.0)
            (-70.0 70.0)
  end
  begin
     id 2
     name stub
     direction 2 0 0
     length 1
     axis 0 0 0 XYZ
  end
  begin
     id 3
     name upper
     direction 1 0 0
     length 3
     axis 0 0 90 XYZ
     dof rx
  end
:hierarchy
  begin
    stub upper
    root lower stub
  end
"""
AMC = """#!OML:ASF somewhere
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
lower 0 0
upper 0
2
root 1 2 3 0 90 0
lower 90 90
upper 90
"""


@pytest.fixture
def asf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.asf"
    path.write_text(ASF)
    return path


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_hand_computed_positions(asf: Path, tmp_path: Path) -> None:
    skeleton = read_asf(asf)
    motion = read_amc(write(tmp_path / "a.amc", AMC), skeleton)
    positions, _ = global_transforms(skeleton, motion)
    by_name = dict(zip(skeleton.joints, positions.unbind(1), strict=True))

    assert skeleton.unit_mm == pytest.approx(UNIT)
    expected = {
        # Frame 1 is the rest pose.
        ("root", 0): (0, 0, 0),
        ("lower", 0): (0, -2, 0),
        ("stub", 0): (1, 0, 0),
        ("upper", 0): (4, 0, 0),
        # Frame 2. The root is at (1, 2, 3) and turned by 90° about y: x → -z, z → x.
        ("root", 1): (1, 2, 3),
        # Down, turned by 90° about x, points to -z, stays there about z; the root turns it to -x.
        ("lower", 1): (1 - 2, 2, 3),
        ("stub", 1): (1, 2, 3 - 1),
        # Its rx is a turn about the skeleton's y: x → -z, which the root turns to -x.
        ("upper", 1): (1 - 3, 2, 3 - 1),
    }
    for (name, frame), units in expected.items():
        expected_mm = torch.tensor(units, dtype=torch.float64) * UNIT
        torch.testing.assert_close(by_name[name][frame], expected_mm, atol=1e-9, rtol=0)
    torch.testing.assert_close(rest_positions(skeleton), positions[0])


def test_first_named_turn_comes_first(asf: Path, tmp_path: Path) -> None:
    """Down, by rx = 90°, is -z and then fixed under rz; by rz = 90° first, it is +x and fixed."""
    amc = write(tmp_path / "a.amc", AMC)
    swapped = write(tmp_path / "swapped.asf", ASF.replace("dof rx rz", "dof rz rx"))
    ends = {}
    for path in (asf, swapped):
        skeleton = read_asf(path)
        motion = read_amc(amc, skeleton)
        positions, rotations = global_transforms(skeleton, motion)
        in_root = rotations[1, 0].T @ (positions[1] - positions[1, 0]).T
        ends[path.stem] = in_root[:, skeleton.joints.index("lower")] / UNIT
    zero = {"atol": 1e-9, "rtol": 0}
    down = torch.float64
    torch.testing.assert_close(ends["tiny"], torch.tensor([0, 0, -2], dtype=down), **zero)
    torch.testing.assert_close(ends["swapped"], torch.tensor([2, 0, 0], dtype=down), **zero)


def test_bone_lengths_hold_and_turns_are_proper(asf: Path, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    lines = [":DEGREES"]
    for frame in range(1, 40):
        values = (360 * torch.rand(9, generator=generator)).tolist()
        lines += [str(frame), "root " + " ".join(f"{v:.4f}" for v in values[:6])]
        lines += [f"lower {values[6]:.4f} {values[7]:.4f}", f"upper {values[8]:.4f}"]
    skeleton = read_asf(asf)
    motion = read_amc(write(tmp_path / "a.amc", "\n".join(lines)), skeleton)
    positions, rotations = global_transforms(skeleton, motion)
    for i, bone in enumerate(skeleton.bones, start=1):
        lengths = (positions[:, i] - positions[:, bone.parent]).norm(dim=-1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, bone.length_mm))
    unit = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, unit, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones_like(rotations[..., 0, 0]))


def test_layout_does_not_matter(asf: Path, tmp_path: Path) -> None:
    """Other ends of lines, blank lines, tabs, comments."""

    def change(text: str) -> str:
        return text.replace(" ", "\t  ").replace("\n", "  # remark\r\n\n").rstrip()

    plain = read_asf(asf)
    expected = read_amc(write(tmp_path / "a.amc", AMC), plain)
    skeleton = read_asf(write(tmp_path / "tiny.asf", change(ASF)))
    motion = read_amc(write(tmp_path / "b.amc", change(AMC)), skeleton)
    assert skeleton == plain
    torch.testing.assert_close(motion.values, expected.values)


def test_radians_in_either_file(asf: Path, tmp_path: Path) -> None:
    half_turn = str(math.pi / 2)
    in_radians = AMC.replace(":DEGREES", ":RADIANS").replace("90", half_turn)
    expected = read_amc(write(tmp_path / "a.amc", AMC), read_asf(asf))
    motion = read_amc(write(tmp_path / "b.amc", in_radians), read_asf(asf))
    torch.testing.assert_close(motion.values, expected.values)
    radian_asf = ASF.replace("angle deg", "angle rad").replace("0 0 90", f"0 0 {half_turn}")
    skeleton = read_asf(write(tmp_path / "tiny.asf", radian_asf))
    assert skeleton.bones[-1].axis == pytest.approx(read_asf(asf).bones[-1].axis)
    silent = read_amc(write(tmp_path / "c.amc", in_radians.replace(":RADIANS\n", "")), skeleton)
    torch.testing.assert_close(silent.values, expected.values)


def test_order_of_root_channels(tmp_path: Path) -> None:
    asf = write(tmp_path / "tiny.asf", ASF.replace("TX TY TZ RX RY RZ", "RY TZ TY TX RX RZ"))
    amc = AMC.replace("root 1 2 3 0 90 0", "root 90 3 2 1 0 0")
    skeleton = read_asf(asf)
    motion = read_amc(write(tmp_path / "a.amc", amc), skeleton)
    positions, _ = global_transforms(skeleton, motion)
    expected = torch.tensor([[1, 2, 3], [1, 2, 2]], dtype=torch.float64) * UNIT
    joints = [skeleton.joints.index(name) for name in ("root", "stub")]
    torch.testing.assert_close(positions[1, joints], expected)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  length 0.5\n", "", "length"),
        (":hierarchy", ":elsewhere", "hierarchy"),
        ("direction 0 -1 0", "direction 0 -1", "values to unpack"),
        ("dof rx rz", "dof rx l", "dof"),
        ("root lower stub", "root lower", "does not lead"),
        ("root lower stub", "root lower stub tail", "tail"),
    ],
)
def test_broken_skeletons_say_what_is_wrong(tmp_path: Path, old, new, fault) -> None:
    path = write(tmp_path / "broken.asf", ASF.replace(old, new))
    with pytest.raises(ValueError, match=rf"broken\.asf: .*{fault}"):
        read_asf(path)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("upper 90\n", "", "frame 2: bone 'upper'.*cut short"),
        ("lower 90 90", "lower 90", "frame 2: bone 'lower' has 1 values"),
        ("upper 90", "upper 90\ntail 1", "frame 2: bone 'tail'.*another skeleton"),
        ("lower 90 90", "lower 90 9o", "9o"),
        (AMC, ":DEGREES\n", "no frame"),
        (AMC, "root 0 0 0 0 0 0\n", "line 1"),
    ],
)
def test_broken_motions_say_where(asf: Path, tmp_path: Path, old, new, fault) -> None:
    path = write(tmp_path / "broken.amc", AMC.replace(old, new))
    with pytest.raises(ValueError, match=rf"broken\.amc: .*{fault}"):
        read_amc(path, read_asf(asf))
