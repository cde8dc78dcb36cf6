"""Films of every body: static cameras of one scale, true labels, framing, cover, backgrounds."""

from functools import cache

import pytest
import torch

from selfpose.synthetic.generated import FRAME_STEP, GENERATED
from selfpose.synthetic.studio import CameraSpread, Footage, film, project_only

FRAMES, SIZE = 48, 64


def look(body: str) -> dict:
    model, _, cameras = GENERATED[body]
    return {"model": model, "cameras": cameras}


@cache
def filmed(body: str) -> tuple[torch.Tensor, Footage]:
    """A clip of every activity: (clips, frames, P, 3) points before, and their film."""
    motions = GENERATED[body][1]
    n = len(tuple(motions.activities))
    points = motions.sample(n_clips=n, n_frames=FRAMES * FRAME_STEP, seed=7).points
    points = points[:, ::FRAME_STEP]
    return points, film(points, image_size=SIZE, seed=8, **look(body))


@pytest.mark.parametrize("body", GENERATED)
def test_filming_keeps_the_shape_of_the_pose_and_its_handedness(body: str) -> None:
    points, footage = filmed(body)
    skeleton = GENERATED[body][0].skeleton
    world, seen = points[:, :, : skeleton.n_joints].flatten(0, 1), footage.poses_3d
    assert float(seen[..., 2].min()) > 0
    before, after = torch.cdist(world, world), torch.cdist(seen, seen)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1.0)
    # and its handedness: three joints span the same signed volume about a fourth
    before, after = (torch.linalg.det(p[:, 1:4] - p[:, -1:]) for p in (world, seen))
    assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.999


@pytest.mark.parametrize("body", GENERATED)
def test_a_clips_pinhole_camera_is_static_and_of_one_scale(body: str) -> None:
    _, footage = filmed(body)
    model, _, cameras = GENERATED[body]
    assert cameras.distance_mm == pytest.approx(10 * model.reference_mm, rel=0.1)
    plane = footage.poses_3d[..., :2] / footage.poses_3d[..., 2:]
    focal = cameras.reference_share * SIZE * cameras.distance_mm / model.reference_mm
    centre = (footage.poses_2d - focal * plane).view(-1, FRAMES * plane.shape[1], 2)
    assert float((centre - centre[:, :1]).abs().max()) < 1e-3
    assert float((centre[:, 0] / SIZE - 0.5).abs().max()) <= 0.04 + 1e-4


@pytest.mark.parametrize("body", GENERATED)
def test_bodies_fill_the_picture_and_stay_inside(body: str) -> None:
    poses = filmed(body)[1].poses_2d
    assert float(((poses > 0) & (poses < SIZE)).all(dim=-1).float().mean()) > 0.97
    width = poses.amax(dim=1) - poses.amin(dim=1)
    assert 0.3 < float(width.amax(dim=-1).mean()) / SIZE < 0.75


@pytest.mark.parametrize("body", GENERATED)
def test_the_body_covers_its_joints(body: str) -> None:
    footage = filmed(body)[1]
    assert footage.mask is not None
    inside = ((footage.poses_2d > 0) & (footage.poses_2d < SIZE)).all(dim=-1)
    x, y = footage.poses_2d.long().clamp(0, SIZE - 1).unbind(-1)
    covered = footage.mask[torch.arange(len(x))[:, None], y, x] > 0.25
    assert float(((covered & inside).sum(dim=0) / inside.sum(dim=0)).min()) > 0.85


@pytest.mark.parametrize("body", GENERATED)
def test_the_median_of_a_clip_is_its_background(body: str) -> None:
    footage = filmed(body)[1]
    assert footage.images is not None
    assert footage.mask is not None
    images = footage.images.view(-1, FRAMES, 3, SIZE, SIZE).float()
    median = images.median(dim=1, keepdim=True).values
    foreground = (images - median).abs().amax(dim=2) > 16
    truth = footage.mask.view(-1, FRAMES, SIZE, SIZE) > 0.3
    iou = (foreground & truth).flatten(1).sum(1) / (foreground | truth).flatten(1).sum(1)
    assert float(iou.mean()) > 0.8
    apart = torch.cdist(median.flatten(1), median.flatten(1)) + torch.eye(len(median)) * 1e9
    assert float(apart.min()) > 500  # and every clip has its own


@pytest.mark.parametrize("body", GENERATED)
def test_every_azimuth_is_seen_and_scales_are_as_asked(body: str) -> None:
    model, motions, cameras = GENERATED[body]
    points = motions.sample(n_clips=160, n_frames=2, seed=1).points
    footage = project_only(points, seed=2, **look(body))
    top, root = model.skeleton.top, model.skeleton.root
    spans = (footage.poses_2d[:, top] - footage.poses_2d[:, root]).norm(dim=-1)
    assert float(spans.mean()) / 64 == pytest.approx(cameras.reference_share, rel=0.06)
    ends = {"hand": ("little_1", "index_1"), "quadruped": ("pelvis", "withers")}
    ends |= {"machine": ("elbow", "neck"), "human": ("left_hip", "right_hip")}
    a, b = (model.skeleton.index(joint) for joint in ends[body])
    way = footage.poses_3d[:, b] - footage.poses_3d[:, a]
    edges = torch.tensor([-torch.pi / 2, 0.0, torch.pi / 2])
    quarter = torch.bucketize(torch.atan2(way[:, 0], way[:, 2]), edges)
    assert float(torch.bincount(quarter, minlength=4).min() / len(quarter)) > 0.15


def test_the_cameras_elevation_tilts_the_vertical() -> None:
    points, footage = filmed("human")
    a, b = points[:, :, :17], footage.poses_3d.view(len(points), FRAMES, 17, 3)
    # The rotation that carries each clip before the camera, by least squares.
    a, b = ((p - p[:, :, :1]).flatten(1, 2) for p in (a, b))
    u, _, vh = torch.linalg.svd(a.mT @ b)
    down = (u @ vh).mT[:, :, 1]  # where the world's y axis went
    assert float(down[:, 0].abs().max()) < 1e-3
    tilt = torch.atan2(down[:, 2], down[:, 1])
    torch.testing.assert_close(tilt, footage.elevation, rtol=0, atol=1e-3)


def test_elevations_follow_their_distribution() -> None:
    points = GENERATED["human"][1].sample(n_clips=600, n_frames=1, seed=0).points
    degrees = torch.rad2deg(project_only(points, **look("human")).elevation)
    assert float(degrees.mean()) == pytest.approx(10, abs=1.5)
    assert float(degrees.std()) == pytest.approx(10, abs=1.5)
    assert -15 - 1e-3 <= float(degrees.min()) <= float(degrees.max()) <= 40 + 1e-3
    with pytest.raises(ValueError, match="range of -15 to 40 degrees, got 80"):
        CameraSpread(elevation_mean=80.0)


def test_projecting_gives_the_poses_of_the_film_and_scales_with_the_picture() -> None:
    points, footage = filmed("human")
    poses = project_only(points, image_size=SIZE, seed=8, **look("human"))
    assert torch.equal(poses.poses_2d, footage.poses_2d)
    assert torch.equal(poses.poses_3d, footage.poses_3d)
    large = project_only(points, image_size=2 * SIZE, seed=8, **look("human"))
    torch.testing.assert_close(2 * poses.poses_2d, large.poses_2d)
