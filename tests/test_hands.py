"""Moving hands: rigid, within the limits of their joints, right-handed, upright in the mean."""

from itertools import pairwise

import pytest
import torch

from selfpose.bodies import FINGERS, HAND_21
from selfpose.synthetic.cones import draw_bodies, sample_lights
from selfpose.synthetic.hand_drawing import HAND
from selfpose.synthetic.hands import (
    FINGER_LIMITS,
    FOREARM_TILT,
    HAND_ACTIVITIES,
    HAND_POINTS,
    THUMB_LIMITS,
    sample_hands,
)
from selfpose.synthetic.moving import Motion


@pytest.fixture(scope="module")
def motion() -> Motion:
    return sample_hands(n_clips=4 * len(HAND_ACTIVITIES), n_frames=60, seed=0)


def at(motion: Motion, name: str) -> torch.Tensor:
    return motion.points[..., HAND_POINTS.index(name), :].double()


def degrees(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle between vectors."""
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


def outward(motion: Motion) -> torch.Tensor:
    """Out of the palm, from the bases of index and little finger: for a right hand."""
    wrist = at(motion, "wrist")
    return torch.linalg.cross(at(motion, "index_1") - wrist, at(motion, "little_1") - wrist)


def test_the_palm_is_rigid(motion: Motion) -> None:
    bases = [HAND_21.index(j) for j in ("wrist", *(f"{f}_1" for f in FINGERS))]
    points = motion.points[:, :, bases]
    apart = torch.cdist(points, points)
    torch.testing.assert_close(apart, apart[:, :1].expand_as(apart), rtol=1e-3, atol=0.05)


def test_hands_are_of_human_size_and_differ(motion: Motion) -> None:
    chain = [HAND_21.index(f"middle_{k}") for k in (1, 2, 3, 4)]
    points = motion.points[:, 0]
    length = points[:, chain[0]].sub(points[:, 0]).norm(dim=-1)
    length = length + points[:, chain].diff(dim=1).norm(dim=-1).sum(dim=-1)
    assert 150 < float(length.min()) < float(length.max()) < 240
    assert float(length.std()) > 5


@pytest.mark.parametrize("finger", FINGERS)
def test_fingers_bend_within_their_limits_and_use_them(motion: Motion, finger: str) -> None:
    chain = [at(motion, f"{finger}_{k}") for k in (1, 2, 3, 4)]
    bones = [b - a for a, b in pairwise(chain)]
    limits = THUMB_LIMITS if finger == "thumb" else FINGER_LIMITS[1:]
    for (first, second), (_, most) in zip(pairwise(bones), limits, strict=True):
        bent = degrees(first, second)
        assert float(bent.max()) < most + 0.5
        assert float(bent.std()) > 8


def test_fingers_curl_towards_the_palm_of_a_right_hand(motion: Motion) -> None:
    palm = outward(motion)
    for finger in FINGERS[1:]:
        chain = [at(motion, f"{finger}_{k}") for k in (1, 2, 3, 4)]
        curled = degrees(chain[1] - chain[0], chain[3] - chain[2]) > 60
        assert int(curled.sum()) > 50
        # What is curled has turned towards the palm's side, and never towards the back.
        turn = torch.linalg.cross(chain[1] - chain[0], chain[2] - chain[1])
        across = at(motion, "index_1") - at(motion, "little_1")
        assert bool(((turn * across).sum(-1)[curled] > 0).all())
        near = chain[1] - chain[0]
        bent = degrees(near, at(motion, f"{finger}_1") - at(motion, "wrist")) > 40
        assert bool(((near * palm).sum(-1)[bent] > 0).all())


def test_the_thumb_lies_beside_the_index_finger(motion: Motion) -> None:
    thumb, little = (at(motion, f"{finger}_2") for finger in ("thumb", "little"))
    base = at(motion, "middle_1")
    across = at(motion, "index_1") - at(motion, "little_1")
    assert float((((thumb - base) * across).sum(-1) > 0).float().mean()) > 0.99
    assert float((((little - base) * across).sum(-1) < 0).float().mean()) > 0.97


def test_forearms_are_upright_in_the_mean(motion: Motion) -> None:
    up = at(motion, "wrist") - at(motion, "cuff")
    lean = degrees(up, torch.tensor([0.0, -1.0, 0.0]).double().expand_as(up))
    assert float(lean.max()) <= FOREARM_TILT + 0.5
    assert float(lean.std()) > 4
    mean = torch.nn.functional.normalize(up, dim=-1).mean(dim=(0, 1))
    assert float(degrees(mean, torch.tensor([0.0, -1.0, 0.0]).double())) < 6


def test_motion_is_continuous_seeded_and_of_every_activity(motion: Motion) -> None:
    step = (motion.points[:, 1:] - motion.points[:, :-1]).norm(dim=-1)
    assert float(step.max()) < 80  # mm in a thirtieth of a second
    again = sample_hands(n_clips=4 * len(HAND_ACTIVITIES), n_frames=60, seed=0)
    assert torch.equal(again.points, motion.points)
    other = sample_hands(n_clips=4 * len(HAND_ACTIVITIES), n_frames=60, seed=1)
    assert not torch.allclose(other.points, motion.points)
    assert {motion.activity.count(name) for name in HAND_ACTIVITIES} == {4}
    with pytest.raises(ValueError, match="unknown activities"):
        sample_hands(n_clips=1, n_frames=1, seed=0, activities=("juggling",))


def test_palm_and_back_are_told_apart(motion: Motion) -> None:
    """Dark hands have lighter palms: one pose drawn from either side."""
    n = 6
    rows = [i for i, name in enumerate(motion.activity) if name == "waving"][:1] * n
    points = motion.points[rows, 30]
    palm = outward(motion)[rows, 30].float()
    angle = torch.atan2(palm[:, 0], -palm[:, 2])  # turns the palm to the camera, at −z
    sides = []
    looks = HAND.sample_looks(40, seed=0)
    darkest = looks.outer.mean(dim=(1, 2)).argsort()[:n]
    for extra in (0.0, torch.pi):
        c, s = (angle + extra).cos(), (angle + extra).sin()
        zero = torch.zeros_like(c)
        turn = torch.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], -1).view(n, 3, 3)
        moved = (points - points[:, 9:10]) @ turn.mT + torch.tensor([0.0, 0.0, 900.0])
        images, mask = draw_bodies(
            moved,
            model=HAND,
            looks=looks.select(darkest),
            light=sample_lights(n, seed=0),
            focal_px=torch.full((n,), 160.0),
            principal=torch.full((n, 2), 32.0),
            backgrounds=torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        )
        # The middle of the hand, away from cuff and nails.
        sides.append((images.float().mean(dim=1) * (mask > 0.99))[:, 26:38, 24:40].amax(dim=(1, 2)))
    assert bool((sides[0] > sides[1] + 5).all())
