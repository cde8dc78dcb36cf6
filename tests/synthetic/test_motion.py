"""Made-up motion keeps the laws of bodies: bones, joint limits, floor, left and right, no leaps."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import normalize

from selfpose.skeleton import FINGERS, HUMAN_17
from selfpose.synthetic import hands, lamps, people, quadrupeds
from selfpose.synthetic.generated import GENERATED
from selfpose.synthetic.kinematics import two_bone_ik
from selfpose.synthetic.sampling import Motion, Sampler

SIDES = ("left", "right")
UP = torch.tensor([0.0, -1.0, 0.0]).double()
FLAT = torch.tensor([1.0, 0.0, 1.0]).double()
FASTEST_MM = {"human": 600, "hand": 80, "quadruped": 220, "machine": 200}  # in 1/30 s


class Moved:
    """Four clips of every activity of a body."""

    def __init__(self, body: str) -> None:
        self.model, self.motions, _ = GENERATED[body]
        self.motion = self.sample(0)
        self.points = self.motion.points.double()

    def sample(self, seed: int) -> Motion:
        n = 4 * len(tuple(self.motions.activities))
        return self.motions.sample(n_clips=n, n_frames=75, seed=seed)

    def at(self, name: str, *activities: str) -> torch.Tensor:
        """A point in clips of these activities, or of all: (n, T, 3)."""
        done = self.motion.activity
        rows = [i for i, a in enumerate(done) if not activities or a in activities]
        return self.points[rows][..., self.model.points.index(name), :]

    def way(self, start: str, end: str, *activities: str) -> torch.Tensor:
        return self.at(end, *activities) - self.at(start, *activities)


moved = cache(Moved)


def degrees(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle between vectors."""
    cross = torch.linalg.cross(a, b.expand_as(a)).norm(dim=-1)
    return torch.rad2deg(torch.atan2(cross, (a * b).sum(-1)))


# --- every body


@pytest.mark.parametrize("body", GENERATED)
def test_bones_are_rigid_alike_on_both_sides_and_differ_between_individuals(body: str) -> None:
    m = moved(body)
    skeleton = m.model.skeleton
    assert m.model.points[: skeleton.n_joints] == skeleton.joints
    parents, children = (list(ends) for ends in zip(*skeleton.bones, strict=True))
    lengths = (m.points[..., parents, :] - m.points[..., children, :]).norm(dim=-1)
    torch.testing.assert_close(lengths, lengths[:, :1].expand_as(lengths), rtol=1e-3, atol=0.1)
    twins = lengths[..., list(skeleton.flipped_bones)]
    torch.testing.assert_close(lengths, twins, rtol=1e-3, atol=0.5)
    assert float((lengths[:, 0].std(dim=0) / lengths[:, 0].mean(dim=0)).min()) > 0.01


@pytest.mark.parametrize("body", GENERATED)
def test_motion_is_continuous_seeded_and_of_every_activity(body: str) -> None:
    m = moved(body)
    step = m.points.diff(dim=1).norm(dim=-1)
    assert float(step.max()) < FASTEST_MM[body]
    assert torch.equal(m.sample(0).points, m.motion.points)
    assert not torch.allclose(m.sample(1).points, m.motion.points)
    assert {m.motion.activity.count(name) for name in m.motions.activities} == {4}


def test_two_bones_reach_what_is_within_reach_and_bend_towards_the_pole() -> None:
    start, target = torch.zeros(1, 3), torch.tensor([[100.0, 250.0, 150.0]])
    pole = torch.tensor([[0.0, 0.0, -1.0]])
    first, second = torch.tensor([280.0]), torch.tensor([250.0])
    bones = {"first": first, "second": second, "limits": (4.0, 148.0)}
    middle, end = two_bone_ik(start, target, pole, **bones)
    torch.testing.assert_close(end, target)
    torch.testing.assert_close(middle.norm(dim=-1), first)
    torch.testing.assert_close((end - middle).norm(dim=-1), second)
    assert float(middle[0, 2]) < float(target[0, 2]) / 2
    middle, end = two_bone_ik(start, 9 * target, pole, **bones)  # out of reach
    assert float(degrees(middle - start, end - middle)) == pytest.approx(4.0, abs=0.1)


# --- people


def test_proportions_are_near_those_of_human36m_and_people_differ() -> None:
    bodies = people.sample_bodies(Sampler(torch.Generator().manual_seed(0), 2000, 1))
    tall = people.stature(bodies)
    assert 1450 < float(tall.min()) < 1560
    assert 1850 < float(tall.max()) < 1980
    assert float(tall.std()) > 70
    points = moved("human").motions.sample(n_clips=280, n_frames=1, seed=1).points[:, 0]
    parents, children = (list(ends) for ends in zip(*HUMAN_17.bones, strict=True))
    lengths = (points[:, parents] - points[:, children]).norm(dim=-1)
    relative = (lengths / lengths.mean(dim=1, keepdim=True)).mean(dim=0)
    expected = torch.tensor(HUMAN_17.relative_bone_lengths)
    torch.testing.assert_close(relative, expected, rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("body", "limits", "names"),
    [
        ("human", people.HINGE_LIMITS["elbow"], ("shoulder", "elbow", "wrist")),
        ("human", people.HINGE_LIMITS["knee"], ("hip", "knee", "ankle")),
        (
            "quadruped",
            quadrupeds.HINGE_LIMITS["wrist"],
            ("front_elbow", "front_wrist", "front_paw"),
        ),
        ("quadruped", quadrupeds.HINGE_LIMITS["hock"], ("hind_knee", "hind_hock", "hind_paw")),
    ],
)
def test_hinges_stay_within_their_limits_and_use_them(
    body: str, limits: tuple[float, float], names: tuple[str, str, str]
) -> None:
    m = moved(body)
    for side in SIDES:
        a, b, c = (f"{side}_{name}" for name in names)
        flexion = degrees(m.way(a, b), m.way(b, c))
        assert limits[0] - 0.5 < float(flexion.min())
        assert float(flexion.max()) < limits[1] + 0.5
        assert float(flexion.std()) > 8


def test_knees_and_wrists_bend_forward_and_hocks_backward() -> None:
    m, q = moved("human"), moved("quadruped")
    ahead = q.way("pelvis", "withers") * FLAT
    for side in SIDES:
        limbs = [(m, "hip", "knee", "ankle", m.way(f"{side}_ankle", f"{side}_toe") * FLAT)]
        limbs += [(q, "front_elbow", "front_wrist", "front_paw", ahead)]
        limbs += [(q, "hind_knee", "hind_hock", "hind_paw", -ahead)]
        for body, first, middle, last, way in limbs:
            a, b, c = (body.at(f"{side}_{name}") for name in (first, middle, last))
            limb = normalize(c - a, dim=-1)
            aside = (b - a) - ((b - a) * limb).sum(-1, keepdim=True) * limb
            assert float(((aside * way).sum(-1) > 0).double().mean()) > 0.95


@pytest.mark.parametrize(
    ("body", "behind", "before", "joints"),
    [
        ("human", "neck", "nose", ("shoulder", "hip")),
        ("quadruped", "pelvis", "withers", ("front_elbow", "hind_knee", "front_paw", "hind_paw")),
    ],
)
def test_left_is_left(body: str, behind: str, before: str, joints: tuple[str, ...]) -> None:
    """With y down, right is down × ahead."""
    m = moved(body)
    upright = ("standing", "walking")
    right = torch.linalg.cross(
        -UP.expand_as(m.way(behind, before, *upright)), m.way(behind, before, *upright)
    )
    for joint in joints:
        across = m.way(f"left_{joint}", f"right_{joint}", *upright)
        assert float(((across * right).sum(-1) > 0).double().mean()) > 0.97


def test_people_stand_on_the_floor_and_never_sink() -> None:
    lowest = moved("human").points[..., 1].amax(dim=-1)
    assert float(lowest.max()) < 10
    done = moved("human").motion.activity
    grounded = [i for i, a in enumerate(done) if a not in ("jumping", "running")]
    assert float((lowest[grounded] > -60).double().mean()) > 0.98


# --- hands


def test_hands_are_of_human_size() -> None:
    chain = ["wrist", *(f"middle_{k}" for k in (1, 2, 3, 4))]
    bones = [moved("hand").way(a, b)[:, 0].norm(dim=-1) for a, b in pairwise(chain)]
    length = torch.stack(bones).sum(dim=0)
    assert 150 < float(length.min()) < float(length.max()) < 240


@pytest.mark.parametrize("finger", FINGERS)
def test_fingers_bend_within_their_limits_and_use_them(finger: str) -> None:
    chain = [moved("hand").at(f"{finger}_{k}") for k in (1, 2, 3, 4)]
    bones = [b - a for a, b in pairwise(chain)]
    limits = hands.THUMB_LIMITS if finger == "thumb" else hands.FINGER_LIMITS[1:]
    for (first, second), (_, most) in zip(pairwise(bones), limits, strict=True):
        bent = degrees(first, second)
        assert float(bent.max()) < most + 0.5
        assert float(bent.std()) > 8


def test_fingers_curl_towards_the_palm_of_a_right_hand() -> None:
    m = moved("hand")
    palm = torch.linalg.cross(m.way("wrist", "index_1"), m.way("wrist", "little_1"))
    across = m.way("little_1", "index_1")
    assert float(((m.way("middle_1", "thumb_2") * across).sum(-1) > 0).double().mean()) > 0.99
    for finger in FINGERS[1:]:
        near, mid, far = (m.way(f"{finger}_{k}", f"{finger}_{k + 1}") for k in (1, 2, 3))
        curled = degrees(near, far) > 60
        assert int(curled.sum()) > 50
        assert bool(((torch.linalg.cross(near, mid) * across).sum(-1)[curled] > 0).all())
        bent = degrees(near, m.way("wrist", f"{finger}_1")) > 40
        assert bool(((near * palm).sum(-1)[bent] > 0).all())


def test_forearms_are_upright_in_the_mean() -> None:
    up = moved("hand").way("cuff", "wrist")
    lean = degrees(up, UP)
    assert float(lean.max()) <= hands.FOREARM_TILT + 0.5
    assert float(degrees(normalize(up, dim=-1).mean(dim=(0, 1)), UP)) < 6


# --- animals


def test_paws_stand_on_the_floor_and_walkers_have_two_there() -> None:
    m, floor = moved("quadruped"), -quadrupeds.PAW_HEIGHT
    paws = [f"{side}_{end}_paw" for end in ("front", "hind") for side in SIDES]
    assert float(m.points[..., 1].max()) < 15
    lowest = torch.stack([m.at(paw)[..., 1] for paw in paws]).amax(dim=0)
    assert float(lowest.max()) < floor + 1
    assert float((lowest > floor - 50).double().mean()) > 0.97
    walking = torch.stack([m.at(paw, "walking")[..., 1] for paw in paws])
    assert int((walking > floor - 3).sum(dim=0).min()) >= 2


def test_postures_are_what_they_are_called() -> None:
    def height(name: str, activity: str) -> float:
        return -float(moved("quadruped").at(name, activity)[..., 1].mean())

    assert height("head", "grazing") < 0.75 * height("head", "standing")
    assert height("pelvis", "sitting") < 0.75 * height("withers", "sitting")
    assert height("withers", "rearing") > 1.25 * height("withers", "standing")
    assert height("withers", "bowing") < 0.85 * height("pelvis", "bowing")


# --- lamps


def test_lamps_bend_in_one_upright_plane_within_their_limits() -> None:
    m = moved("machine")
    lower, upper = m.way("stem", "elbow"), m.way("elbow", "neck")
    least, most = lamps.JOINT_LIMITS["elbow"]
    assert least - 0.1 < float(degrees(lower, upper).min())
    assert float(degrees(lower, upper).max()) < most + 0.1
    assert float(degrees(lower, UP).max()) < max(lamps.JOINT_LIMITS["lower_arm"]) + 0.1
    across = torch.linalg.cross(normalize(lower, dim=-1), normalize(upper, dim=-1))
    assert float((across * UP).sum(-1).abs().max()) < 1e-4
    for first, second in (("counterweight elbow", "elbow neck"), ("neck cap", "cap rim")):
        assert float(degrees(m.way(*first.split()), m.way(*second.split())).max()) < 0.1
    assert float(degrees(m.way("foot", "stem"), UP).max()) < 0.1
    assert float(m.way("foot", "knob")[..., 1].abs().max()) < 1e-3


def test_the_knob_is_to_the_right_of_the_arms() -> None:
    """The lamp is not its own mirror image: x is to the right of z, and y down."""
    m = moved("machine")
    arm, knob = m.way("elbow", "neck"), m.way("foot", "knob")
    turn = torch.atan2(arm[..., 0], arm[..., 2])
    aside = torch.rad2deg(torch.atan2(knob[..., 0], knob[..., 2]) - turn)
    aside = ((aside + 180) % 360 - 180)[degrees(arm, UP).sub(90).abs() < 80]
    low, high = (lamps.KNOB_TURN + x for x in lamps.JOINT_LIMITS["stem"])
    assert low - 0.1 < float(aside.min()) < float(aside.max()) < high + 0.1


def test_only_hopping_lamps_leave_the_desk_and_nothing_goes_through_it() -> None:
    m = moved("machine")
    assert float(m.points[..., 1].max()) < 0
    assert float(-m.way("foot", "neck")[..., 1].max()) > lamps.NECK_HEIGHT - 1
    others = [a for a in m.motions.activities if a != "hopping"]
    assert float(m.at("foot", *others)[..., 1].min()) == pytest.approx(-14.0)
    assert float(m.at("foot", "hopping")[..., 1].amin(dim=1).max()) < -60
