"""Moving animals: limits of their joints, feet on the floor, and pictures that know no left."""

import math
from typing import Any

import pytest
import torch

from selfpose.bodies import QUADRUPED
from selfpose.synthetic.cones import Light, draw_bodies, sample_lights
from selfpose.synthetic.moving import Motion
from selfpose.synthetic.quadruped_drawing import ANIMAL, sample_coats
from selfpose.synthetic.quadrupeds import (
    ANIMAL_ACTIVITIES,
    ANIMAL_POINTS,
    HINGE_LIMITS,
    PAW_HEIGHT,
    sample_animals,
    sample_quadrupeds,
)

SIDES = ("left", "right")
PAWS = tuple(f"{side}_{end}_paw" for end in ("front", "hind") for side in SIDES)
FLAT = torch.tensor([1.0, 0.0, 1.0]).double()


@pytest.fixture(scope="module")
def motion() -> Motion:
    return sample_quadrupeds(n_clips=5 * len(ANIMAL_ACTIVITIES), n_frames=75, seed=0)


def at(motion: Motion, name: str) -> torch.Tensor:
    return motion.points[..., ANIMAL_POINTS.index(name), :].double()


def of(motion: Motion, *activities: str) -> Motion:
    rows = [i for i, name in enumerate(motion.activity) if name in activities]
    return Motion(points=motion.points[rows], activity=tuple(motion.activity[i] for i in rows))


def degrees(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


@pytest.mark.parametrize(
    ("hinge", "names"),
    [
        ("wrist", ("front_elbow", "front_wrist", "front_paw")),
        ("hock", ("hind_knee", "hind_hock", "hind_paw")),
    ],
)
def test_hinges_stay_within_their_limits_and_bend_one_way(
    motion: Motion, hinge: str, names: tuple[str, str, str]
) -> None:
    low, high = HINGE_LIMITS[hinge]
    ahead = (at(motion, "withers") - at(motion, "pelvis")) * FLAT
    for side in SIDES:
        a, b, c = (at(motion, f"{side}_{name}") for name in names)
        bent = degrees(b - a, c - b)
        assert float(bent.min()) > low - 0.5
        assert float(bent.max()) < high + 0.5
        assert float(bent.std()) > 8
        leg = torch.nn.functional.normalize(c - a, dim=-1)
        aside = (b - a) - ((b - a) * leg).sum(-1, keepdim=True) * leg
        sign = (aside * ahead).sum(-1) * (1 if hinge == "wrist" else -1)
        assert float((sign > 0).float().mean()) > 0.95


def test_horses_have_longer_legs_and_necks_than_dogs() -> None:
    animals = sample_animals(400, generator=torch.Generator().manual_seed(0))
    trunk = animals.lengths["front_trunk"] + animals.lengths["hind_trunk"]
    horse = animals.horse[:, 0] > 0.5
    for length in (animals.front_leg, animals.hind_leg, animals.lengths["upper_neck"]):
        share = (length / trunk)[:, 0]
        assert float(share[horse].mean()) > 1.07 * float(share[~horse].mean())
        assert float(share.std()) > 0.03


def test_paws_stand_on_the_floor_and_nothing_sinks(motion: Motion) -> None:
    assert float(motion.points[..., 1].max()) < 15
    lowest = torch.stack([at(motion, paw)[..., 1] for paw in PAWS], dim=-1).amax(dim=-1)
    assert float(lowest.max()) < -PAW_HEIGHT + 1
    assert float((lowest > -PAW_HEIGHT - 50).float().mean()) > 0.97


def test_walkers_always_have_two_feet_on_the_floor(motion: Motion) -> None:
    walk = of(motion, "walking")
    standing = sum((at(walk, p)[..., 1] > -PAW_HEIGHT - 3).int() for p in PAWS)
    assert isinstance(standing, torch.Tensor)
    assert int(standing.min()) >= 2


def test_left_legs_are_on_the_left(motion: Motion) -> None:
    """Seen from above with the head ahead, y down: right is the way that x goes, ahead is z."""
    ahead = (at(motion, "withers") - at(motion, "pelvis")) * FLAT
    right = torch.stack([ahead[..., 2], 0 * ahead[..., 0], -ahead[..., 0]], dim=-1)
    for joint in ("front_elbow", "hind_knee", "front_paw", "hind_paw"):
        across = at(motion, f"right_{joint}") - at(motion, f"left_{joint}")
        assert float(((across * right).sum(-1) > 0).float().mean()) > 0.97


def test_postures_are_what_they_are_called(motion: Motion) -> None:
    def height(name: str, *activities: str) -> float:
        return -float(at(of(motion, *activities), name)[..., 1].mean())

    assert height("head", "grazing") < 0.75 * height("head", "standing")
    assert height("pelvis", "sitting") < 0.75 * height("withers", "sitting")
    assert height("withers", "rearing") > 1.25 * height("withers", "standing")
    assert height("withers", "bowing") < 0.85 * height("pelvis", "bowing")


def test_motion_is_continuous_seeded_and_of_every_activity(motion: Motion) -> None:
    step = (motion.points[:, 1:] - motion.points[:, :-1]).norm(dim=-1)
    assert float(step.max()) < 220
    n = 5 * len(ANIMAL_ACTIVITIES)
    assert torch.equal(sample_quadrupeds(n_clips=n, n_frames=75, seed=0).points, motion.points)
    other = sample_quadrupeds(n_clips=n, n_frames=75, seed=1).points
    assert not torch.allclose(other, motion.points)
    assert {motion.activity.count(name) for name in ANIMAL_ACTIVITIES} == {5}
    with pytest.raises(ValueError, match="unknown activities"):
        sample_quadrupeds(n_clips=1, n_frames=1, seed=0, activities=("flying",))


# --- pictures


def scene(n: int, light: Light) -> dict[str, Any]:
    return {
        "model": ANIMAL,
        "looks": sample_coats(n, seed=3),
        "light": light,
        "focal_px": torch.full((n,), 64 * 2.0),
        "principal": torch.full((n, 2), 32.0),
        "backgrounds": torch.full((1, 3, 64, 64), 90, dtype=torch.uint8),
    }


def test_the_mirrored_animal_gives_the_mirrored_picture(motion: Motion) -> None:
    """No painted cue tells left from right: light and points mirrored, sides exchanged."""
    n = 24
    points = motion.points[torch.arange(n) % len(motion.points), 40]
    angle = torch.arange(n) * (2 * math.pi / n)
    c, s, zero = angle.cos(), angle.sin(), torch.zeros(n)
    turn = torch.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], -1).view(n, 3, 3)
    points = (points - points[:, :1]) @ turn.mT + torch.tensor([0.0, 0.0, 4300.0])
    other = {"left": "right", "right": "left"}
    order = [
        ANIMAL_POINTS.index("_".join(other.get(word, word) for word in name.split("_")))
        for name in ANIMAL_POINTS
    ]
    light = sample_lights(n, seed=1)
    across = torch.tensor([-1.0, 1.0, 1.0])
    mirrored_light = Light(
        direction=light.direction * across, ambient=light.ambient, lamp=light.lamp
    )
    images, mask = draw_bodies(points, **scene(n, light))
    twins, twin_mask = draw_bodies((points * across)[:, order], **scene(n, mirrored_light))
    torch.testing.assert_close(mask, twin_mask.flip(-1), rtol=0, atol=0.26)
    assert float((mask - twin_mask.flip(-1)).abs().mean()) < 1e-4
    apart = (images.int() - twins.flip(-1).int()).abs()
    assert float((apart > 2).float().mean()) < 2e-4
    # And it is not the same picture by chance.
    assert float((images.int() - images.flip(-1).int()).abs().float().mean()) > 3


def test_coats_are_seeded_and_alike_on_both_sides() -> None:
    one, same, other = (sample_coats(12, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(vars(one)[k], vars(same)[k]) for k in vars(one))
    assert not torch.equal(one.inner, other.inner)
    names = [part.name for part in ANIMAL.parts]
    for k, name in enumerate(names):
        if name.startswith("left_"):
            twin = names.index(name.replace("left_", "right_"))
            assert ANIMAL.parts[k].radii == ANIMAL.parts[twin].radii
            for table in (one.inner, one.outer, one.split, one.build):
                assert torch.equal(table[:, k], table[:, twin])


def test_the_skeleton_is_that_of_the_drawing() -> None:
    assert ANIMAL.skeleton is QUADRUPED
