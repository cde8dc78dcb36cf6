"""Other bodies as skeletons, and what their films must share: scale, framing, cover, background."""

from dataclasses import replace

import pytest
import torch

from selfpose.bodies import BODIES, FINGERS, HAND_21, MACHINE, QUADRUPED
from selfpose.synthetic.cones import Model, Part
from selfpose.synthetic.embedded import CASTS, FRAME_STEP, load_embedded
from selfpose.synthetic.studio import Footage, film, project_only
from selfpose.metrics import bone_lengths
from selfpose.skeleton import Skeleton

OTHERS = ("hand", "quadruped", "machine")
FRAMES, SIZE = 48, 64


@pytest.fixture(scope="module")
def films() -> dict[str, Footage]:
    """Two clips of every activity of every body."""
    made = {}
    for body in OTHERS:
        cast = CASTS[body]
        n = 2 * len(cast.activities)
        motion = cast.sample(n_clips=n, n_frames=FRAMES * FRAME_STEP, seed=7)
        points = motion.points[:, ::FRAME_STEP]
        made[body] = film(points, model=cast.model, image_size=SIZE, cameras=cast.cameras, seed=8)
    return made


# --- skeletons


def test_bodies_are_known_by_their_names_and_survive_a_round_trip() -> None:
    assert set(BODIES) == {"human_17", "hand_21", "quadruped_19", "lamp_8"}
    for name, body in BODIES.items():
        assert body.name == name
        assert name.endswith(f"_{body.n_joints}")
        assert Skeleton.from_dict(body.to_dict()) == body


def test_the_hand_has_freihands_order() -> None:
    assert HAND_21.joints[0] == "wrist"
    assert [j.split("_")[0] for j in HAND_21.joints[1::4]] == list(FINGERS)
    for k in range(1, 21):  # each finger from base to tip: the parent is the joint before
        assert HAND_21.parents[k] == (0 if k % 4 == 1 else k - 1)
    assert HAND_21.mirror_pairs == ()


def test_the_animals_legs_are_mirror_pairs_in_two_limbs() -> None:
    assert sorted(len(limb) for limb in QUADRUPED.limbs) == [3, 3]
    assert QUADRUPED.joint_sides.count("left") == QUADRUPED.joint_sides.count("right") == 6
    for bone, twin in zip(QUADRUPED.bones, QUADRUPED.flipped_bones, strict=True):
        expected = tuple(QUADRUPED.flip[j] for j in bone)
        assert QUADRUPED.bones[twin] == expected
    assert MACHINE.limbs == ()


# --- models


@pytest.mark.parametrize("body", CASTS)
def test_a_models_points_begin_with_its_joints(body: str) -> None:
    model = CASTS[body].model
    assert model.points[: model.skeleton.n_joints] == model.skeleton.joints
    with pytest.raises(ValueError, match="begin with the joints"):
        replace(model, points=tuple(reversed(model.points)))


def test_a_model_names_unknown_points_and_frames() -> None:
    model = CASTS["hand"].model
    strange = Part(name="x", start=(("sixth", 1.0),), end=(("wrist", 1.0),), radii=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"no points .*sixth"):
        replace(model, parts=(*model.parts, strange))
    strange = Part(
        name="x", start=(("wrist", 1.0),), end=(("wrist", 1.0),), radii=(1.0, 1.0), frame="shell"
    )
    with pytest.raises(ValueError, match=r"no frames .*shell"):
        replace(model, parts=(*model.parts, strange))


def test_points_of_another_body_are_refused() -> None:
    model: Model = CASTS["hand"].model
    with pytest.raises(ValueError, match=r"hand_21: expected points .*27, 3"):
        film(torch.ones(1, 2, 22, 3), model=model)


# --- films


@pytest.mark.parametrize("body", OTHERS)
def test_bodies_are_rigid_and_in_front_of_the_camera(films: dict[str, Footage], body: str) -> None:
    footage, skeleton = films[body], CASTS[body].model.skeleton
    assert float(footage.poses_3d[..., 2].min()) > 0
    lengths = bone_lengths(footage.poses_3d, skeleton).view(-1, FRAMES, skeleton.n_bones)
    torch.testing.assert_close(lengths, lengths[:, :1].expand_as(lengths), rtol=2e-3, atol=0.05)
    assert float(lengths.min()) > 5
    # individuals differ, and left and right of one do not
    assert float((lengths[:, 0].std(dim=0) / lengths[:, 0].mean(dim=0)).min()) > 0.02
    twins = lengths[..., list(skeleton.flipped_bones)]
    torch.testing.assert_close(lengths, twins, rtol=2e-3, atol=0.05)


@pytest.mark.parametrize("body", OTHERS)
def test_bodies_fill_the_picture_and_stay_inside(films: dict[str, Footage], body: str) -> None:
    poses, cast = films[body].poses_2d, CASTS[body]
    assert float(((poses > 0) & (poses < SIZE)).all(dim=-1).float().mean()) > 0.97
    # The scale is that of the model: the camera stands ten reference lengths away.
    skeleton, cameras = cast.model.skeleton, cast.cameras
    spans = (poses[:, skeleton.top] - poses[:, skeleton.root]).norm(dim=-1)
    assert float(spans.mean()) / SIZE == pytest.approx(cameras.reference_share, rel=0.06)
    assert cameras.distance_mm == pytest.approx(10 * cast.model.reference_mm, rel=0.1)
    width = poses.amax(dim=1) - poses.amin(dim=1)
    assert 0.3 < float(width.amax(dim=-1).mean()) / SIZE < 0.75


@pytest.mark.parametrize("body", OTHERS)
def test_the_body_covers_its_joints(films: dict[str, Footage], body: str) -> None:
    footage = films[body]
    assert footage.mask is not None
    inside = ((footage.poses_2d > 0) & (footage.poses_2d < SIZE)).all(dim=-1)
    x, y = footage.poses_2d.long().clamp(0, SIZE - 1).unbind(-1)
    covered = footage.mask[torch.arange(len(x))[:, None], y, x] > 0.25
    assert float(covered[inside].float().mean()) > 0.97
    by_joint = (covered & inside).sum(dim=0) / inside.sum(dim=0)
    assert float(by_joint.min()) > 0.85


@pytest.mark.parametrize("body", OTHERS)
def test_the_median_of_a_clip_is_its_background(films: dict[str, Footage], body: str) -> None:
    footage = films[body]
    assert footage.images is not None
    assert footage.mask is not None
    images = footage.images.view(-1, FRAMES, 3, SIZE, SIZE).float()
    foreground = (images - images.median(dim=1, keepdim=True).values).abs().amax(dim=2) > 16
    truth = footage.mask.view(-1, FRAMES, SIZE, SIZE) > 0.3
    iou = (foreground & truth).flatten(1).sum(1) / (foreground | truth).flatten(1).sum(1)
    assert float(iou.mean()) > 0.8


@pytest.mark.parametrize("body", OTHERS)
def test_every_azimuth_is_seen(body: str) -> None:
    cast = CASTS[body]
    points = cast.sample(n_clips=160, n_frames=2, seed=1).points
    poses = project_only(points, model=cast.model, cameras=cast.cameras, seed=2).poses_3d
    ends = {"hand": ("little_1", "index_1"), "quadruped": ("pelvis", "withers")}
    a, b = (cast.model.skeleton.index(j) for j in ends.get(body, ("elbow", "neck")))
    way = poses[:, b] - poses[:, a]
    edges = torch.tensor([-torch.pi / 2, 0.0, torch.pi / 2])
    quarter = torch.bucketize(torch.atan2(way[:, 0], way[:, 2]), edges)
    assert float(torch.bincount(quarter, minlength=4).min() / len(quarter)) > 0.15


# --- data sets


@pytest.mark.parametrize("body", OTHERS)
def test_data_of_a_body_are_seeded_named_and_disjoint(body: str) -> None:
    sizes = {"n_unlabelled": 40, "n_unpaired": 30, "n_test": 20, "frames_per_clip": 8}
    one, same, other = (
        load_embedded(body=body, image_size=32, seed=s, progress=False, **sizes) for s in (0, 0, 1)
    )
    assert one.name == one.provenance["body"] == body
    assert one.provenance["activities"] == list(CASTS[body].activities)
    assert one.skeleton.joints == CASTS[body].model.skeleton.joints
    assert one.skeleton.relative_bone_lengths is not None
    assert (len(one.unlabelled), len(one.unpaired), len(one.test)) == (40, 30, 20)
    for part in ("unlabelled", "test"):
        assert torch.equal(getattr(one, part).images, getattr(same, part).images)
        assert not torch.equal(getattr(one, part).images, getattr(other, part).images)
    assert torch.equal(one.unpaired, same.unpaired)
    assert one.ceiling is not None
    assert not set(one.test.sequence.tolist()) & set(one.unlabelled.sequence.tolist())
    assert set(one.test.activity) <= set(CASTS[body].activities)
    # No individual is in two parts: the proportions of their bones tell them apart.
    parts = [bone_lengths(p.poses_3d, one.skeleton) for p in (one.ceiling, one.test)]
    learnt, tested = (p / p.mean(dim=-1, keepdim=True) for p in parts)
    assert float(torch.cdist(learnt, tested).min()) > 1e-2
    poses = [p.flatten(1) for p in (one.ceiling.poses_2d, one.unpaired, one.test.poses_2d)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(torch.cdist(poses[i], poses[j]).min()) > 0.5


def test_unknown_bodies_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown body 'octopus'; choose from .*quadruped"):
        load_embedded(body="octopus")
