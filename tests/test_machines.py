"""Moving lamps: rigid links, joints within their limits, nothing through the desk."""

import pytest
import torch

from selfpose.synthetic.cones import draw_bodies, sample_lights
from selfpose.synthetic.lamp_drawing import LAMP
from selfpose.synthetic.machines import (
    JOINT_LIMITS,
    KNOB_TURN,
    LAMP_ACTIVITIES,
    LAMP_POINTS,
    NECK_HEIGHT,
    sample_machines,
)
from selfpose.synthetic.moving import Motion

UP = torch.tensor([0.0, -1.0, 0.0]).double()


@pytest.fixture(scope="module")
def motion() -> Motion:
    return sample_machines(n_clips=5 * len(LAMP_ACTIVITIES), n_frames=75, seed=0)


def way(motion: Motion, start: str, end: str) -> torch.Tensor:
    """Unit vectors from one joint to another."""
    a, b = (motion.points[..., LAMP_POINTS.index(name), :].double() for name in (start, end))
    return torch.nn.functional.normalize(b - a, dim=-1)


def degrees(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    cross = torch.linalg.cross(a, b.expand_as(a)).norm(dim=-1)
    return torch.rad2deg(torch.atan2(cross, (a * b).sum(-1)))


def test_joints_stay_within_their_limits_and_use_them(motion: Motion) -> None:
    lower, upper = way(motion, "stem", "elbow"), way(motion, "elbow", "neck")
    lean = degrees(lower, UP)
    assert float(lean.max()) < max(JOINT_LIMITS["lower_arm"]) + 0.1
    elbow = degrees(lower, upper)
    assert JOINT_LIMITS["elbow"][0] - 0.1 < float(elbow.min())
    assert float(elbow.max()) < JOINT_LIMITS["elbow"][1] + 0.1
    assert float(elbow.std()) > 15
    assert float(lean.std()) > 8


def test_arms_move_in_one_upright_plane(motion: Motion) -> None:
    lower, upper = way(motion, "stem", "elbow"), way(motion, "elbow", "neck")
    across = torch.linalg.cross(lower, upper)
    assert float((across * UP).sum(-1).abs().max()) < 1e-4
    torch.testing.assert_close(way(motion, "counterweight", "elbow"), upper, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        way(motion, "neck", "cap"), way(motion, "cap", "rim"), rtol=0, atol=1e-4
    )


def test_the_foot_lies_flat_and_the_stem_stands(motion: Motion) -> None:
    assert float(way(motion, "foot", "knob")[..., 1].abs().max()) < 1e-5
    stem = way(motion, "foot", "stem")
    assert float(degrees(stem, UP).max()) < 0.1


def test_the_knob_is_to_the_right_of_the_arms(motion: Motion) -> None:
    """The lamp is not its own mirror image: x is to the right of z, and y down."""
    arm, knob = way(motion, "elbow", "neck"), way(motion, "foot", "knob")
    turn = torch.atan2(arm[..., 0], arm[..., 2])
    aside = torch.rad2deg(torch.atan2(knob[..., 0], knob[..., 2]) - turn)
    aside = (aside + 180) % 360 - 180
    level = arm[..., [0, 2]].norm(dim=-1) > 0.1
    low, high = (KNOB_TURN + x for x in JOINT_LIMITS["stem"])
    assert float(aside[level].min()) > low - 0.1
    assert float(aside[level].max()) < high + 0.1
    assert float(aside[level].std()) > 5


def test_nothing_goes_through_the_desk(motion: Motion) -> None:
    assert float(motion.points[..., 1].max()) < 0
    foot, neck = (motion.points[..., LAMP_POINTS.index(n), 1] for n in ("foot", "neck"))
    assert float((foot - neck).min()) > NECK_HEIGHT - 1


def test_only_hopping_lamps_leave_the_desk(motion: Motion) -> None:
    foot = motion.points[..., LAMP_POINTS.index("foot"), 1]
    hops = torch.tensor([name == "hopping" for name in motion.activity])
    assert float(foot[~hops].min()) == pytest.approx(-14.0)
    assert float(foot[hops].amin(dim=1).max()) < -60


def test_motion_is_continuous_seeded_and_of_every_activity(motion: Motion) -> None:
    step = (motion.points[:, 1:] - motion.points[:, :-1]).norm(dim=-1)
    assert float(step.max()) < 200
    n = 5 * len(LAMP_ACTIVITIES)
    assert torch.equal(sample_machines(n_clips=n, n_frames=75, seed=0).points, motion.points)
    other = sample_machines(n_clips=n, n_frames=75, seed=1).points
    assert not torch.allclose(other, motion.points)
    assert {motion.activity.count(name) for name in LAMP_ACTIVITIES} == {5}
    with pytest.raises(ValueError, match="unknown activities"):
        sample_machines(n_clips=1, n_frames=1, seed=0, activities=("flying",))


def test_the_light_is_the_brightest_part_and_shines_out_of_the_shade(motion: Motion) -> None:
    """Lamps that look at the camera show their bulb, lamps that look away hide it."""
    looks = way(motion, "cap", "rim")[:, 40]
    level = torch.atan2(looks[:, 0], -looks[:, 2]).float()  # turns the shade to −z
    side = looks[:, 1].abs() < 0.5
    n = int(side.sum())
    assert n > 5
    points = motion.points[side, 40]
    white = []
    for extra in (0.0, torch.pi):
        c, s = (level[side] + extra).cos(), (level[side] + extra).sin()
        zero = torch.zeros_like(c)
        turn = torch.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], -1).view(n, 3, 3)
        moved = points @ turn.mT
        rim = moved[:, LAMP_POINTS.index("rim"), None]
        moved = moved - rim + torch.tensor([0.0, 0.0, 2800.0])
        images, _ = draw_bodies(
            moved,
            model=LAMP,
            looks=LAMP.sample_looks(n, seed=0),
            light=sample_lights(n, seed=0),
            focal_px=torch.full((n,), 180.0),
            principal=torch.full((n, 2), 32.0),
            backgrounds=torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        )
        white.append(images[:, :, 28:36, 28:36].float().mean(dim=(1, 2, 3)))
    assert float(white[0].mean()) > 200
    assert float(white[1].mean()) < 150
