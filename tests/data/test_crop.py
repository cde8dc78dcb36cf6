"""Crops: pixels, points and cameras agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfpose.data.crop import (
    camera_through_crop,
    crop_picture,
    points_to_crop,
    pose_to_box,
    whole_box,
)
from selfpose.data.reader import Camera

coordinate = st.floats(-300, 300)


def test_a_bright_spot_stays_under_its_point() -> None:
    y, x = np.mgrid[:90, :120] + 0.5
    for spot in ((60.0, 40.0), (30.5, 70.25)):
        blob = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 50)
        picture = np.repeat((255 * blob)[..., None], 3, axis=-1).astype(np.uint8)
        box = np.array([50.0, 50.0, 70.0])
        crop = crop_picture(picture, box, size=48)[..., 0].astype(float)
        v, u = np.mgrid[:48, :48] + 0.5
        found = np.array([(crop * u).sum(), (crop * v).sum()]) / crop.sum()
        expected = points_to_crop(np.array([spot]), box, size=48)[0]
        np.testing.assert_allclose(found, expected, atol=0.35)


def test_outside_the_picture_its_border_goes_on() -> None:
    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    picture[:, :15] = 200
    crop = crop_picture(picture, np.array([0.0, 10.0, 20.0]), size=20)
    assert (crop[:, :18] == 200).all()
    whole = crop_picture(picture, whole_box((30, 20)), size=30)
    assert (whole[0] == whole[15]).all()


@given(coordinate, coordinate, st.floats(200, 900), st.floats(200, 900))
def test_the_turned_camera_looks_at_the_middle_of_the_box(
    x: float, y: float, fx: float, fy: float
) -> None:
    camera = Camera(focal=(fx, fy), principal=(10.0, -20.0))
    turn = camera_through_crop(camera, np.array([x, y, 50.0]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    ray = np.array([(x - 10) / fx, (y + 20) / fy, 1.0])
    np.testing.assert_allclose((turn @ ray)[:2], 0, atol=1e-12)


@given(st.integers(0, 1000))
def test_a_box_holds_its_pose_in_the_middle(seed: int) -> None:
    pose = np.random.default_rng(seed).normal(50, 20, (4, 7, 2))
    pose[:, 3] = np.nan
    crop = points_to_crop(pose, pose_to_box(pose, margin=1.25), size=100)
    low, high = np.nanmin(crop, axis=1), np.nanmax(crop, axis=1)
    np.testing.assert_allclose((low + high) / 2, 50)
    np.testing.assert_allclose((high - low).max(axis=1), 80)


@pytest.mark.parametrize(
    "box", [(5.0, 5.0, 0.0), (np.nan, 5.0, 4.0), (500.0, 5.0, 10.0), (5.0, 5.0, 1e6)]
)
def test_boxes_that_make_no_sense_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit the picture of 10×10 px"):
        crop_picture(np.zeros((10, 10, 3), dtype=np.uint8), np.array(box), size=8)


def test_a_pose_without_extent_has_no_box() -> None:
    with pytest.raises(ValueError, match="no extent"):
        pose_to_box(np.ones((3, 2)))
