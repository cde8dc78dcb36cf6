"""Made-up motion keeps the laws of bodies: bones, hinges, floor, left and right, no leaps."""

import pytest
import torch

from selfpose.synthetic.body import HINGE_LIMITS, sample_bodies, two_bones
from selfpose.synthetic.motion import ACTIVITIES, Motion, sample_motion
from selfpose.data.points import FIGURE_POINTS
from selfpose.skeleton import HUMAN_17

SIDES = ("left", "right")


@pytest.fixture(scope="module")
def motion() -> Motion:
    return sample_motion(n_clips=5 * len(ACTIVITIES), n_frames=90, seed=0)


def at(points: torch.Tensor, name: str) -> torch.Tensor:
    return points[..., FIGURE_POINTS.index(name), :]


def unit(v: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(v, dim=-1)


def test_bones_keep_their_length_through_a_clip(motion: Motion) -> None:
    parents, children = zip(*HUMAN_17.bones, strict=True)
    lengths = (motion.points[..., parents, :] - motion.points[..., children, :]).norm(dim=-1)
    assert float((lengths - lengths[:, :1]).abs().max()) < 0.5  # mm
    for left, right in (("left_ankle", "left_toe"), ("right_wrist", "right_hand")):
        span = (at(motion.points, left) - at(motion.points, right)).norm(dim=-1)
        assert float((span - span[:, :1]).abs().max()) < 0.5


def test_left_and_right_bones_are_alike(motion: Motion) -> None:
    for upper, lower in (("hip", "knee"), ("knee", "ankle"), ("elbow", "wrist")):
        left, right = (
            (at(motion.points, f"{side}_{upper}") - at(motion.points, f"{side}_{lower}")).norm(
                dim=-1
            )
            for side in SIDES
        )
        torch.testing.assert_close(left, right, rtol=0, atol=0.5)


def test_proportions_are_near_those_of_human36m_and_people_differ() -> None:
    bodies = sample_bodies(2000, generator=torch.Generator().manual_seed(0))
    assert 1450 < float(bodies.stature.min()) < 1560
    assert 1850 < float(bodies.stature.max()) < 1980
    assert float(bodies.stature.std()) > 70
    points = sample_motion(n_clips=280, n_frames=1, seed=1).points[:, 0]
    parents, children = zip(*HUMAN_17.bones, strict=True)
    lengths = (points[:, parents] - points[:, children]).norm(dim=-1)
    relative = lengths / lengths.mean(dim=1, keepdim=True)
    assert HUMAN_17.relative_bone_lengths is not None
    expected = torch.tensor(HUMAN_17.relative_bone_lengths)
    torch.testing.assert_close(relative.mean(dim=0), expected, rtol=0.03, atol=0)
    assert float(relative.std(dim=0).min()) > 0.01


@pytest.mark.parametrize(
    ("hinge", "names"),
    [("elbow", ("shoulder", "elbow", "wrist")), ("knee", ("hip", "knee", "ankle"))],
)
def test_hinges_stay_within_their_limits(
    motion: Motion, hinge: str, names: tuple[str, str, str]
) -> None:
    low, high = HINGE_LIMITS[hinge]
    for side in SIDES:
        a, b, c = (at(motion.points, f"{side}_{name}").double() for name in names)
        flexion = torch.rad2deg((unit(b - a) * unit(c - b)).sum(-1).clamp(-1, 1).acos())
        assert float(flexion.min()) > low - 0.5
        assert float(flexion.max()) < high + 0.5
        assert float(flexion.std()) > 10  # and they are used


def test_knees_bend_forward(motion: Motion) -> None:
    for side in SIDES:
        hip, knee, ankle, toe = (
            at(motion.points, f"{side}_{name}") for name in ("hip", "knee", "ankle", "toe")
        )
        leg = unit(ankle - hip)
        aside = (knee - hip) - ((knee - hip) * leg).sum(-1, keepdim=True) * leg
        ahead = (toe - ankle) * torch.tensor([1.0, 0.0, 1.0])
        assert float(((aside * ahead).sum(-1) > 0).float().mean()) > 0.995


def test_toes_and_nose_point_the_same_way(motion: Motion) -> None:
    flat = torch.tensor([1.0, 0.0, 1.0])
    nose = unit((at(motion.points, "nose") - at(motion.points, "neck")) * flat)
    toes = sum(
        unit((at(motion.points, f"{s}_toe") - at(motion.points, f"{s}_ankle")) * flat)
        for s in SIDES
    )
    assert isinstance(toes, torch.Tensor)
    assert float((nose * unit(toes)).sum(-1).median()) > 0.8
    assert float(((nose * toes).sum(-1) > 0).float().mean()) > 0.95


def test_facing_the_camera_the_left_shoulder_is_on_the_right(motion: Motion) -> None:
    upright = [i for i, a in enumerate(motion.activity) if a in ("standing", "walking", "phoning")]
    points = motion.points[upright] * torch.tensor([-1.0, 1.0, -1.0])  # turned half round
    nose = unit((at(points, "nose") - at(points, "neck")) * torch.tensor([1.0, 0.0, 1.0]))
    towards = nose[..., 2] < -0.95  # a camera at negative z
    assert int(towards.sum()) > 20
    left, right = (at(points, f"{s}_shoulder")[towards] for s in SIDES)
    assert bool((left[:, 0] > right[:, 0]).all())


def test_feet_stand_on_the_floor_and_never_sink(motion: Motion) -> None:
    lowest = motion.points[..., 1].amax(dim=-1)
    assert float(lowest.max()) < 10
    grounded = [i for i, a in enumerate(motion.activity) if a not in ("jumping", "running")]
    assert float((lowest[grounded] > -60).float().mean()) > 0.98


def test_motion_is_continuous(motion: Motion) -> None:
    step = (motion.points[:, 1:] - motion.points[:, :-1]).norm(dim=-1)
    assert float(step.quantile(0.5) if step.numel() < 1e6 else step.median()) < 60
    assert float((step > 350).float().mean()) < 1e-3  # 10 m/s: a fast punch


def test_wrists_roam_widely(motion: Motion) -> None:
    wrist = at(motion.points, "left_wrist") - at(motion.points, "left_shoulder")
    up = -wrist[..., 1]
    assert float((up > 150).float().mean()) > 0.1
    assert float((up < -300).float().mean()) > 0.2


def test_same_seed_same_motion_other_seed_other_motion(motion: Motion) -> None:
    again = sample_motion(n_clips=5 * len(ACTIVITIES), n_frames=90, seed=0)
    assert torch.equal(again.points, motion.points)
    assert again.activity == motion.activity
    other = sample_motion(n_clips=5 * len(ACTIVITIES), n_frames=90, seed=1)
    assert not torch.allclose(other.points, motion.points)


def test_every_activity_has_its_share(motion: Motion) -> None:
    assert {motion.activity.count(name) for name in ACTIVITIES} == {5}
    one = sample_motion(n_clips=3, n_frames=2, seed=0, activities=("sitting",))
    assert set(one.activity) == {"sitting"}


def test_two_bones_reach_what_is_within_reach() -> None:
    start, target = torch.zeros(1, 3), torch.tensor([[100.0, 250.0, 150.0]])
    pole = torch.tensor([[0.0, 0.0, -1.0]])
    first, second = torch.tensor([280.0]), torch.tensor([250.0])
    middle, end = two_bones(start, target, pole, first=first, second=second, hinge="elbow")
    torch.testing.assert_close(end, target)
    torch.testing.assert_close(middle.norm(dim=-1), first)
    torch.testing.assert_close((end - middle).norm(dim=-1), second)
    assert float(middle[0, 2]) < float(target[0, 2]) / 2


def test_bad_requests_are_named() -> None:
    with pytest.raises(ValueError, match="unknown activities"):
        sample_motion(n_clips=1, n_frames=1, seed=0, activities=("swimming",))
    with pytest.raises(ValueError, match="one clip and one frame"):
        sample_motion(n_clips=0, n_frames=1, seed=0)
