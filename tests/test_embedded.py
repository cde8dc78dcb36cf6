"""Film and the embedded data set: static cameras, true labels, disjoint parts, usable medians."""

import math

import pytest
import torch

from selfpose.synthetic.embedded import load_embedded
from selfpose.synthetic.motion import sample_motion
from selfpose.data.dataset import PoseDataset
from selfpose.synthetic.studio import CameraSpread, Footage, film, project_only
from selfpose.skeleton import HUMAN_17

CLIPS, FRAMES = 14, 48


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    return sample_motion(n_clips=CLIPS, n_frames=FRAMES * 3, seed=5).points[:, ::3]


@pytest.fixture(scope="module")
def footage(points: torch.Tensor) -> Footage:
    return film(points, seed=6)


def test_projecting_gives_the_poses_of_the_film(points: torch.Tensor, footage: Footage) -> None:
    poses = project_only(points, seed=6)
    assert torch.equal(poses.poses_2d, footage.poses_2d)
    assert torch.equal(poses.poses_3d, footage.poses_3d)
    assert poses.images is None


def test_a_clips_pinhole_camera_is_static_and_of_one_scale(footage: Footage) -> None:
    plane = footage.poses_3d[..., :2] / footage.poses_3d[..., 2:]
    focal = 0.26 * 64 * 7000 / 700
    centre = (footage.poses_2d - focal * plane).view(CLIPS, -1, 2)
    assert float((centre - centre[:, :1]).abs().max()) < 1e-3
    assert float((centre[:, 0] / 64 - 0.5).abs().max()) <= 0.04 + 1e-4


def test_filming_keeps_the_shape_of_the_pose(points: torch.Tensor, footage: Footage) -> None:
    world = points[:, :, :17].flatten(0, 1)
    before, after = torch.cdist(world, world), torch.cdist(footage.poses_3d, footage.poses_3d)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1.0)
    # and its handedness: three bones span the same signed volume
    volume = [
        torch.linalg.det(p[:, [1, 7, 2]] - p[:, :1]).div(1e6) for p in (world, footage.poses_3d)
    ]
    torch.testing.assert_close(*volume, rtol=1e-2, atol=0.05)


def test_the_cameras_elevation_tilts_the_vertical(points: torch.Tensor, footage: Footage) -> None:
    a, b = points[:, :, :17], footage.poses_3d.view(CLIPS, FRAMES, 17, 3)
    # The rotation that carries each clip before the camera, by least squares.
    a, b = ((p - p[:, :, :1]).flatten(1, 2) for p in (a, b))
    u, _, vh = torch.linalg.svd(a.mT @ b)
    down = (u @ vh).mT[:, :, 1]  # where the world's y axis went
    assert float(down[:, 0].abs().max()) < 1e-3
    torch.testing.assert_close(
        torch.atan2(down[:, 2], down[:, 1]), footage.elevation, rtol=0, atol=1e-3
    )


def test_elevations_follow_their_distribution() -> None:
    still = sample_motion(n_clips=600, n_frames=1, seed=0).points
    degrees = torch.rad2deg(project_only(still, seed=0).elevation)
    assert float(degrees.mean()) == pytest.approx(10, abs=1.5)
    assert float(degrees.std()) == pytest.approx(10, abs=1.5)
    assert float(degrees.min()) >= -15 - 1e-3
    assert float(degrees.max()) <= 40 + 1e-3


def test_people_fill_the_picture_and_stay_inside(footage: Footage) -> None:
    poses = footage.poses_2d
    span = (poses[:, HUMAN_17.top] - poses[:, HUMAN_17.root]).norm(dim=-1).mean() / 64
    assert float(span) == pytest.approx(0.26, abs=0.03)
    assert float(((poses > 0) & (poses < 64)).float().mean()) > 0.995
    mask = footage.mask
    assert mask is not None
    inside = poses[:, HUMAN_17.root].long()
    assert (
        float((mask[torch.arange(len(mask)), inside[:, 1], inside[:, 0]] > 0.5).float().mean()) == 1
    )


def test_the_median_of_a_clip_is_its_background(footage: Footage) -> None:
    assert footage.images is not None
    assert footage.mask is not None
    images = footage.images.view(CLIPS, FRAMES, 3, 64, 64).float()
    foreground = (images - images.median(dim=1, keepdim=True).values).abs().amax(dim=2) > 16
    truth = footage.mask.view(CLIPS, FRAMES, 64, 64) > 0.3
    iou = (foreground & truth).flatten(1).sum(1) / (foreground | truth).flatten(1).sum(1)
    assert float(iou.mean()) > 0.82
    assert float(iou.min()) > 0.6


def test_every_clip_has_a_background_and_a_person_of_its_own(footage: Footage) -> None:
    assert footage.images is not None
    images = footage.images.view(CLIPS, FRAMES, 3, 64, 64).float()
    background = images.median(dim=1).values.flatten(1)
    apart = torch.cdist(background, background) + torch.eye(CLIPS) * 1e9
    assert float(apart.min()) > 500


def test_same_seed_same_film_other_seed_other_film(points: torch.Tensor) -> None:
    few = points[:3, :4]
    one, same, other = (film(few, seed=s, image_size=32) for s in (1, 1, 2))
    assert one.images is not None
    assert same.images is not None
    assert other.images is not None
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)
    assert not torch.allclose(one.poses_2d, other.poses_2d)


def test_parts_fit_together_and_share_nothing(tiny_dataset: PoseDataset) -> None:
    data = tiny_dataset
    assert data.image_size == 64
    assert data.ceiling is not None
    assert torch.equal(data.ceiling.images, data.unlabelled.images)
    assert not set(data.test.sequence.tolist()) & set(data.unlabelled.sequence.tolist())
    parts = [p.flatten(1) for p in (data.ceiling.poses_2d, data.unpaired, data.test.poses_2d)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(torch.cdist(parts[i], parts[j]).min()) > 0.5  # px, all joints together
    shapes = [(p - p[:, :1]).flatten(1) for p in (data.ceiling.poses_3d, data.test.poses_3d)]
    assert float(torch.cdist(*shapes).min()) > 50


def test_the_data_are_seeded_and_of_the_size_asked() -> None:
    def load(seed: int) -> PoseDataset:
        return load_embedded(
            image_size=32,
            n_unlabelled=37,
            n_unpaired=21,
            n_test=9,
            frames_per_clip=8,
            difficulty="cluttered",
            seed=seed,
            progress=False,
        )

    one, same, other = load(0), load(0), load(1)
    assert (len(one.unlabelled), len(one.unpaired), len(one.test)) == (37, 21, 9)
    assert one.unlabelled.images.shape[1:] == (3, 32, 32)
    assert one.provenance["difficulty"] == "cluttered"
    for part in ("unlabelled", "test"):
        assert torch.equal(getattr(one, part).images, getattr(same, part).images)
        assert not torch.equal(getattr(one, part).images, getattr(other, part).images)
    assert torch.equal(one.unpaired, same.unpaired)
    assert not torch.allclose(one.unpaired, other.unpaired)


@pytest.mark.parametrize("degrees", [0.0, 10.0, 25.0])
def test_cameras_look_down_as_far_as_asked(degrees: float) -> None:
    sizes = {"image_size": 32, "n_unlabelled": 8, "n_test": 1024, "frames_per_clip": 4}
    data = load_embedded(**sizes, n_unpaired=8, camera_elevation=degrees, progress=False)
    assert data.provenance["camera_elevation"] == degrees
    # From above, heads are nearer than hips: bodies stand upright on the average of all azimuths.
    body = data.test.poses_3d
    down = (body[:, 0] - body[:, HUMAN_17.joints.index("head")]).mean(dim=0)
    assert math.degrees(math.atan2(down[2], down[1])) == pytest.approx(degrees, abs=4)


def test_poses_scale_with_the_picture(points: torch.Tensor) -> None:
    small, large = (project_only(points, seed=1, image_size=s).poses_2d for s in (64, 128))
    torch.testing.assert_close(2 * small, large)


def test_bad_requests_are_named(points: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="n_test"):
        load_embedded(n_test=0)
    with pytest.raises(ValueError, match="image_size"):
        film(points[:1, :1], image_size=4)
    broken = points[:2, :2].clone()
    broken[1, 0, 3] = math.nan
    with pytest.raises(ValueError, match="clip 1 hold NaN"):
        project_only(broken)
    with pytest.raises(ValueError, match="distance > 0"):
        CameraSpread(distance_mm=-1.0)
    with pytest.raises(ValueError, match="range of -15 to 40 degrees, got 80"):
        load_embedded(camera_elevation=80.0)
