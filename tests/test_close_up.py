"""Crops that follow a body: what they show, what their labels mean, and whose background it is."""

import pytest
import torch

from selfpose.data.close_up import close_up, cut, follow
from selfpose.data.embedded import CASTS, load_embedded
from selfpose.data.studio import Footage, film, project_only
from selfpose.metrics import bone_lengths

PICTURE, SIDE, FRAMES = 96, 64, 12


@pytest.fixture(scope="module")
def footage() -> Footage:
    cast = CASTS["hand"]
    points = cast.sample(n_clips=6, n_frames=FRAMES * 3, seed=3).points[:, ::3]
    return film(points, model=cast.model, cameras=cast.cameras, image_size=PICTURE, seed=4)


def test_a_crop_is_a_part_of_its_picture_and_its_pose_moves_along(footage: Footage) -> None:
    seen = close_up(footage, picture=PICTURE, side=SIDE, seed=0)
    assert footage.images is not None
    assert seen.footage.images is not None
    assert seen.footage.images.shape == (len(footage.images), 3, SIDE, SIDE)
    moved = footage.poses_2d - seen.footage.poses_2d
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))
    for k in (0, 17, 40):
        left, top = moved[k, 0].round().long().tolist()
        part = footage.images[k, :, top : top + SIDE, left : left + SIDE]
        assert torch.equal(seen.footage.images[k], part)


def test_the_body_is_in_the_middle_as_far_as_the_picture_goes(footage: Footage) -> None:
    jitter = 0.04
    corner = follow(
        footage.poses_2d, footage.sequence, picture=PICTURE, side=SIDE, seed=1, jitter=jitter
    )
    assert int(corner.min()) >= 0
    assert int(corner.max()) <= PICTURE - SIDE
    middle = (footage.poses_2d.amax(dim=1) + footage.poses_2d.amin(dim=1)) / 2
    off = (middle - corner - SIDE / 2).abs()
    free = (corner > 0) & (corner < PICTURE - SIDE)
    assert float(free.float().mean()) > 0.5
    assert float(off[free].max()) <= jitter * SIDE + 0.51
    same = follow(footage.poses_2d, footage.sequence, picture=PICTURE, side=SIDE, seed=1)
    assert torch.equal(corner, same)


def test_a_pose_is_the_one_that_the_crops_own_camera_sees(footage: Footage) -> None:
    """Rigid, and projected about the crop's middle up to what a turned camera changes."""
    cropped = close_up(footage, picture=PICTURE, side=SIDE, seed=0).footage
    skeleton = CASTS["hand"].model.skeleton
    lengths = [bone_lengths(p, skeleton) for p in (footage.poses_3d, cropped.poses_3d)]
    torch.testing.assert_close(*lengths, rtol=1e-4, atol=1e-2)
    plane = cropped.poses_3d[..., :2] / cropped.poses_3d[..., 2:]
    projected = cropped.focal_px * plane + SIDE / 2
    assert float((projected - cropped.poses_2d).norm(dim=-1).max()) < 1.0
    # before, the whole picture's camera saw them elsewhere
    before = footage.poses_3d[..., :2] / footage.poses_3d[..., 2:] * footage.focal_px + SIDE / 2
    assert float((before - cropped.poses_2d).norm(dim=-1).max()) > 3.0


def test_the_background_is_the_cameras_and_the_foreground_the_bodys(footage: Footage) -> None:
    seen = close_up(footage, picture=PICTURE, side=SIDE, seed=0)
    assert seen.foreground is not None
    assert seen.backgrounds is not None
    assert footage.mask is not None
    assert seen.backgrounds.shape == (6, 3, SIDE, SIDE)
    corner = (footage.poses_2d - seen.footage.poses_2d)[:, 0].round().long()
    truth = cut((255 * footage.mask).to(torch.uint8), corner, SIDE) > 128
    found = seen.foreground > 128
    iou = (found & truth).flatten(1).sum(1) / (found | truth).flatten(1).sum(1)
    assert float(iou.mean()) > 0.7


def test_without_pictures_or_enough_frames_there_is_no_background() -> None:
    cast = CASTS["hand"]
    points = cast.sample(n_clips=2, n_frames=4, seed=3).points
    look = {"model": cast.model, "cameras": cast.cameras, "image_size": PICTURE, "seed": 4}
    for footage in (project_only(points, **look), film(points, **look)):
        seen = close_up(footage, picture=PICTURE, side=SIDE, seed=0)
        assert seen.foreground is None
        assert seen.backgrounds is None
    with pytest.raises(ValueError, match="do not fit into pictures of 32 px"):
        close_up(footage, picture=32, side=SIDE, seed=0)


def test_bodies_are_seen_as_large_as_their_cast_says() -> None:
    small = load_embedded(body="quadruped", n_unlabelled=64, n_unpaired=512, n_test=16,
                          progress=False)  # fmt: skip
    skeleton, cast = small.skeleton, CASTS["quadruped"]
    spans = (small.unpaired[:, skeleton.top] - small.unpaired[:, skeleton.root]).norm(dim=-1)
    wanted = cast.enlarged * cast.cameras.reference_share
    assert float(spans.mean()) / small.image_size == pytest.approx(wanted, rel=0.1)
    assert small.unlabelled.foreground is not None
    people = load_embedded(n_unlabelled=16, n_unpaired=16, n_test=16, progress=False)
    assert people.unlabelled.foreground is None  # whole pictures: whoever needs it makes it
