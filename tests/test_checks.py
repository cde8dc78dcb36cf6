"""What a clip must obey: a sound one passes, each way of being wrong is told by its name."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from write_human import FOCAL, PRINCIPAL, SHIN, THIGH, person, seen, to_camera, to_pixels

from selfpose.data.checks import (
    bone_lengths,
    check_clip,
    estimate_camera,
    expect_array,
    reprojection_error,
    require_plausible,
)
from selfpose.data.reader import Camera, Clip
from selfpose.data.resection import resect
from selfpose.skeleton import HUMAN_17, Skeleton

FLIP = list(HUMAN_17.flip)
LENS = Camera(focal=tuple(FOCAL.tolist()), principal=tuple(PRINCIPAL.tolist()))


def clip(flat: Any, space: Any, **more: Any) -> Clip:
    return Clip(name="S1/walk/0", poses_2d=flat, poses_3d=space, **more)


class TestCheckClip:
    @given(
        seed=st.integers(0, 10**6),
        azimuth=st.floats(0, 6.28),
        size=st.floats(0.7, 1.4),
        knows=st.booleans(),
    )
    def test_a_sound_clip_passes(self, seed: int, azimuth: float, size: float, knows: bool) -> None:
        """Whoever walks before whichever camera, children to giants."""
        space = to_camera(person(40, seed=seed) * size, azimuth=azimuth)
        camera = LENS if knows else None
        assert check_clip(clip(to_pixels(space), space, camera=camera), HUMAN_17) == []

    @given(seed=st.integers(0, 10**6), azimuth=st.floats(0, 6.28))
    def test_swapped_sides_are_seen_from_anywhere(self, seed: int, azimuth: float) -> None:
        flat, space = seen(40, seed=seed, azimuth=azimuth)
        (found,) = check_clip(clip(flat[:, FLIP], space[:, FLIP]), HUMAN_17)
        assert "left and right swapped" in found

    @pytest.mark.parametrize(
        ("factor", "unit"),
        [(1e-3, "metres"), (0.1, "centimetres"), (1 / 25.4, "inches"), (1e3, "millimetres taken")],
    )
    def test_units_are_guessed(self, factor: float, unit: str) -> None:
        flat, space = seen(20)
        first = check_clip(clip(flat, space * factor), HUMAN_17)[0]
        assert f"are these {unit}" in first

    def test_an_unknown_unit_is_not_guessed(self) -> None:
        flat, space = seen(20)
        first = check_clip(clip(flat, space * 7e-6), HUMAN_17)[0]
        assert first.endswith("expected about 259 mm")

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda f, s: (f, s - s[:, :1]), "behind the camera"),
            (lambda f, s: (f, s[:, ::-1]), "another order"),
            (lambda f, s: (f[:, FLIP], s), "px (median) from the 2D poses"),
            (lambda f, s: (f[::-1], s), "px (median) from the 2D poses"),
            (lambda f, s: (f, s * np.nan), "no finite number"),
            (lambda f, s: (f * np.nan, s), "2D poses hold no finite number"),
            (lambda f, s: (f, np.where(s > 4500, np.inf, s)), "infinite"),
            (lambda f, s: (f * 0 + 0.5 + f / 2000, None), "normalised coordinates"),
            (lambda f, s: (f, s * 0 + 4000), "the length 0"),
            (lambda f, s: (f[:, :14], None), "have 14 joints, expected 17"),
            (lambda f, s: (f[:0], s[:0]), "holds no frame"),
            (lambda f, s: (f * [1, -1], s * [1, -1, 1]), "swapped, or is a coordinate mirrored"),
        ],
    )
    def test_each_fault_by_its_name(self, change: Any, word: str) -> None:
        flat, space = change(*seen(30))
        found = check_clip(clip(flat, space), HUMAN_17)
        assert word in found[0]
        assert all("\n" not in line for line in found)
        with pytest.raises(ValueError, match=r"^somewhere\.npz: S1/walk/0: ") as caught:
            require_plausible(clip(flat, space), HUMAN_17, path="somewhere.npz")
        assert found[0] in str(caught.value)

    def test_what_is_only_unusual_comes_last_and_is_not_refused(self) -> None:
        flat, space = seen(30)
        flat[:, 3:9] = np.nan
        numbers = np.arange(30)[::-1]
        unusual = clip(flat, space, numbers=numbers)
        assert len(check_clip(unusual, HUMAN_17)) == 2
        require_plausible(unusual, HUMAN_17, path="x")
        worse = check_clip(clip(flat, space / 1000, numbers=numbers), HUMAN_17)
        assert len(worse) == 3
        assert "metres" in worse[0]

    def test_a_joint_of_the_trunk_may_lie_elsewhere(self) -> None:
        """MPI-INF-3DHP's spine is nearer to the pelvis than Human3.6M's."""
        _, space = seen(30)
        space[:, 7] = space[:, 0] + 0.3 * (space[:, 7] - space[:, 0])
        moved = clip(to_pixels(space), space)
        (found,) = check_clip(moved, HUMAN_17)
        assert "hip-spine" in found
        require_plausible(moved, HUMAN_17, path="x")

    def test_lying_people_are_told_and_refused_only_where_they_should_stand(self) -> None:
        upside = Rotation.from_euler("z", 180, degrees=True).as_matrix()
        space = to_camera(person(30) @ upside.T, azimuth=0.3) + np.array([0, -1500, 0])
        lying = clip(to_pixels(space), space)
        (found,) = check_clip(lying, HUMAN_17)
        assert "head is below the feet" in found
        require_plausible(lying, HUMAN_17, path="x", upright=False)
        with pytest.raises(ValueError, match="head is below the feet"):
            require_plausible(lying, HUMAN_17, path="x")

    def test_boxes(self) -> None:
        flat, space = seen(3)
        bad = clip(flat, space, boxes=np.array([[1.0, 2.0, 0.0]] * 3))
        assert check_clip(bad, HUMAN_17)[0].startswith("boxes are not finite")

    def test_another_body_has_no_known_size(self) -> None:
        stick = Skeleton(
            name="stick", joints=("a", "b", "c"), bones=((0, 1), (1, 2)), root=0, top=2
        )
        space = np.random.default_rng(0).uniform(1, 2, (9, 3, 3))
        assert check_clip(clip(to_pixels(space), space), stick) == []

    def test_projection_may_be_left_out(self) -> None:
        flat, space = seen(20)
        other = clip(flat + 50 * np.random.default_rng(0).normal(size=flat.shape), space)
        require_plausible(other, HUMAN_17, path="x", projected=False)
        with pytest.raises(ValueError, match="from the 2D poses"):
            require_plausible(other, HUMAN_17, path="x")


class TestMeasures:
    def test_bone_lengths(self) -> None:
        lengths = bone_lengths(person(9), HUMAN_17)
        np.testing.assert_allclose(lengths[1:3], [THIGH, SHIN])
        pose = person(9)
        pose[:, 3] = np.nan
        assert (
            np.isnan(bone_lengths(pose, HUMAN_17)).tolist() == [False, False, True] + [False] * 13
        )

    @given(
        fx=st.floats(200, 3000),
        ratio=st.floats(0.9, 1.1),
        cx=st.floats(-200, 1500),
        cy=st.floats(-200, 1500),
    )
    def test_the_camera_is_found(self, fx: float, ratio: float, cx: float, cy: float) -> None:
        lens = Camera(focal=(fx, fx * ratio), principal=(cx, cy))
        space = to_camera(person(5))
        fitted = estimate_camera(space, lens.project(space))
        assert fitted is not None
        np.testing.assert_allclose(fitted[0].focal, lens.focal, rtol=1e-6)
        np.testing.assert_allclose(fitted[0].principal, lens.principal, atol=1e-4)
        assert fitted[1] < 1e-6

    def test_no_camera_is_found_where_there_is_none(self) -> None:
        flat, space = seen(5)
        assert estimate_camera(space, -flat) is None
        assert estimate_camera(space[:, :1] * 0 + 5, flat[:, :1] * 0) is None
        assert estimate_camera(-space, flat) is None
        assert estimate_camera(space[:0], flat[:0]) is None

    def test_reprojection_error_by_hand(self) -> None:
        flat, space = seen(5)
        moved = clip(flat + np.array([3.0, 4.0]), space, camera=LENS)
        assert reprojection_error(moved) == pytest.approx(5.0)
        assert reprojection_error(clip(flat + np.array([3.0, 4.0]), space)) == pytest.approx(
            0, abs=1e-6
        )
        assert reprojection_error(clip(flat, None)) is None

    def test_expected_arrays(self) -> None:
        good = np.arange(6, dtype=np.float32).reshape(2, 3)
        assert expect_array(good, (None, 3), path="x", what="a").dtype == np.float64
        for value, word in (
            ("text", "got str"),
            (good.astype(str), "array of numbers"),
            (good > 1, "array of numbers"),
            (good[0], r"expected the shape \(any, 3\), got \(3,\)"),
            (good.T, r"expected the shape \(any, 3\), got \(3, 2\)"),
            (good * np.nan, "not finite"),
        ):
            with pytest.raises(ValueError, match=rf"^f\.npz: a: .*{word}"):
                expect_array(value, (None, 3), path="f.npz", what="a")
        expect_array(good * np.nan, (2, 3), path="x", what="a", finite=False)


class TestResection:
    @given(
        angles=st.tuples(*[st.floats(-3, 3)] * 3),
        origin=st.tuples(*[st.floats(-9e3, 9e3)] * 3),
        unit=st.sampled_from([1.0, 1e-3, 1 / 25.4]),
    )
    def test_the_world_may_lie_anyhow(self, angles: Any, origin: Any, unit: float) -> None:
        """Turned, moved, in any unit: the camera sees the same points at the same places."""
        space = to_camera(person(20))
        turn = Rotation.from_rotvec(np.array(angles) / 1.0).as_matrix()
        world = (space @ turn.T + np.array(origin)) * unit
        found = resect(world, to_pixels(space))
        np.testing.assert_allclose(found.to_camera(world) / unit, space, atol=1e-3)
        assert found.error < 1e-6

    def test_noise_is_reported(self) -> None:
        space = to_camera(person(60))
        noise = np.random.default_rng(0).normal(0, 3, (60, 17, 2))
        found = resect(space, to_pixels(space) + noise)
        # The median length of a two-dimensional normal deviate is 1.177 of its standard deviation.
        assert found.error == pytest.approx(3 * 1.177, rel=0.1)

    def test_unknown_points_do_not_count(self) -> None:
        space = to_camera(person(20))
        flat = to_pixels(space)
        flat[3:5, 4] = np.nan
        assert resect(space, flat).error < 1e-6

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda f, s: (f, s * [1, 1, 0]), "plane or a line"),
            (lambda f, s: (f, s * [-1, 1, 1]), "mirrored"),
            (lambda f, s: (f[:1], s[:1]), "17 points are known, expected 20"),
            (lambda f, s: (f, s * 0), "are one"),
        ],
    )
    def test_what_fixes_no_camera_is_refused(self, change: Any, word: str) -> None:
        flat, space = change(*seen(20))
        with pytest.raises(ValueError, match=word):
            resect(space, flat)
