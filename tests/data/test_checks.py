"""What a clip must obey: a sound one passes, each way of being wrong is told by its name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from write_human import FOCAL, PRINCIPAL, SHIN, THIGH, person, seen, to_camera, to_pixels

from selfpose.data.checks import bone_lengths, check_clip, reprojection_error
from selfpose.data.reader import Camera, Clip
from selfpose.skeleton import HUMAN_17, Skeleton

FLIP = list(HUMAN_17.flip)
LENS = Camera(focal=tuple(FOCAL.tolist()), principal=tuple(PRINCIPAL.tolist()))


def clip(flat: Any, space: Any, **more: Any) -> Clip:
    return Clip(name="S1/walk/0", poses_2d=flat, poses_3d=space, **more)


@given(
    seed=st.integers(0, 10**6),
    azimuth=st.floats(0, 6.28),
    size=st.floats(0.7, 1.4),
    knows=st.booleans(),
)
def test_a_sound_clip_passes(seed: int, azimuth: float, size: float, knows: bool) -> None:
    """Whoever walks before whichever camera, children to giants."""
    space = to_camera(person(40, seed=seed) * size, azimuth=azimuth)
    camera = LENS if knows else None
    assert check_clip(clip(to_pixels(space), space, camera=camera), HUMAN_17) == []


@given(seed=st.integers(0, 10**6), azimuth=st.floats(0, 6.28))
def test_swapped_sides_are_seen_from_anywhere(seed: int, azimuth: float) -> None:
    flat, space = seen(40, seed=seed, azimuth=azimuth)
    (found,) = check_clip(clip(flat[:, FLIP], space[:, FLIP]), HUMAN_17)
    assert "left and right swapped" in found


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f, s: (f, s * 1e-3), "are these metres"),
        (lambda f, s: (f, s * 0.1), "are these centimetres"),
        (lambda f, s: (f, s / 25.4), "are these inches"),
        (lambda f, s: (f, s - s[:, :1]), "behind the camera"),
        (lambda f, s: (f[:, FLIP], s), "no camera takes"),
        (lambda f, s: (f[::-1], s), "no camera takes"),
        (lambda f, s: (f[:, :14], None), "14 joints, expected 17"),
        (lambda f, s: (f * [1, -1], s * [1, -1, 1]), "swapped, or is a coordinate mirrored"),
    ],
)
def test_each_fault_by_its_name(change: Any, word: str) -> None:
    assert word in check_clip(clip(*change(*seen(30))), HUMAN_17)[0]


def test_another_body_has_no_known_size() -> None:
    stick = Skeleton(name="stick", joints=("a", "b", "c"), bones=((0, 1), (1, 2)), root=0, top=2)
    space = np.random.default_rng(0).uniform(1, 2, (9, 3, 3))
    assert check_clip(clip(to_pixels(space), space), stick) == []


def test_bone_lengths() -> None:
    pose = person(9)
    np.testing.assert_allclose(bone_lengths(pose, HUMAN_17)[1:3], [THIGH, SHIN])
    pose[:, 3] = np.nan
    assert np.isnan(bone_lengths(pose, HUMAN_17)).tolist() == [False, False, True] + [False] * 13


def test_reprojection_error_by_hand() -> None:
    flat, space = seen(5)
    moved = flat + np.array([3.0, 4.0])
    assert reprojection_error(clip(moved, space, camera=LENS)) == pytest.approx(5.0)
    assert reprojection_error(clip(moved, space)) == pytest.approx(0, abs=1e-6)
    assert reprojection_error(clip(flat, None)) is None
