"""Puppets: limbs where the pose says, the nearer in front, in the colours of the picture."""

import pytest
import torch

from selfpose.extras.puppets import (
    draw_light,
    draw_puppets,
    sample_limb_colours,
    vary_radius,
)
from selfpose.losses import puppet_loss
from selfpose.render import draw_skeleton, exchange_sides
from selfpose.skeleton import HUMAN_17

CROSS = ((0, 1), (2, 3))
RED, BLUE = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def cross(depths=(0.0, 0.0, 0.0, 0.0)):
    pose = torch.tensor([[[0.1, 0.5], [0.9, 0.5], [0.5, 0.1], [0.5, 0.9]]])
    colour = torch.stack([RED, BLUE])[None, :, None].expand(1, 2, 2, 3)
    radius, light = torch.full((1, 2), 0.08), torch.zeros(1, 3)
    return draw_puppets(pose, torch.tensor([depths]).float(), radius, colour, light, CROSS, size=40)


def test_cover_ends_at_the_radius():
    _, cover = cross()
    x = (torch.arange(40) + 0.5) / 40
    along_edge = cover[0, 0, :, 10]  # a column far from the upright bar
    assert (along_edge[(x - 0.5).abs() < 0.065] == 1).all()
    assert (along_edge[(x - 0.5).abs() > 0.095] == 0).all()


@pytest.mark.parametrize(
    ("depths", "front"), [((0, 0, 0.3, 0.3), RED), ((0.3, 0.3, 0, 0), BLUE), ((-1, -1, 1, 1), RED)]
)
def test_the_nearer_limb_hides_the_other(depths, front):
    image, _ = cross(depths)
    torch.testing.assert_close(image[0, :, 20, 20], front)
    torch.testing.assert_close(image[0, :, 20, 6], RED)
    torch.testing.assert_close(image[0, :, 6, 20], BLUE)


def test_the_order_of_the_bones_does_not_matter():
    g = generator(4)
    pose, depth = torch.rand(3, 17, 2, generator=g), 0.2 * torch.randn(3, 17, generator=g)
    radius = vary_radius(torch.full((16,), 0.04), 3, generator=g)
    colour, light = torch.rand(3, 16, 2, 3, generator=g), draw_light(3, generator=g)
    image, cover = draw_puppets(pose, depth, radius, colour, light, HUMAN_17.bones, size=48)
    for order in (torch.arange(16).flip(0), torch.randperm(16, generator=g)):
        bones = tuple(HUMAN_17.bones[n] for n in order.tolist())
        again, same = draw_puppets(
            pose, depth, radius[:, order], colour[:, order], light, bones, size=48
        )
        assert torch.equal(same, cover)
        torch.testing.assert_close(again * same, image * cover)


def picture(pose):
    """A stick person, each bone painted with its own grey (the same on both sides)."""
    grey = torch.linspace(0.2, 0.9, 17)
    tone = [grey[min(j, HUMAN_17.flip[j])] for _, j in HUMAN_17.bones]
    colour = torch.stack(tone)[None, :, None, None].expand(1, 16, 2, 3)
    image, cover = draw_puppets(
        pose, torch.zeros(1, 17), torch.full((1, 16), 0.02), colour, torch.zeros(1, 3),
        HUMAN_17.bones, size=256,
    )  # fmt: skip
    return image * cover, cover, colour


def spread_pose():
    """A person with no limb across another."""
    x = torch.tensor([0, -1, -1.6, -2, 1, 1.6, 2, 0, 0, 0, 0, 1.2, 2.2, 3, -1.2, -2.2, -3]) * 0.1
    y = torch.tensor([0, 0.3, 2, 3.6, 0.3, 2, 3.6, -1, -2, -2.5, -3, -2, -1.5, -2, -2, -1.5, -2])
    return torch.stack([0.5 + x, 0.5 + 0.1 * y], dim=-1)[None]


def test_colours_are_read_along_the_limbs():
    pose = spread_pose()
    image, cover, colour = picture(pose)
    read = sample_limb_colours(image, cover, pose, HUMAN_17, generator=generator(), chance=0.0)
    ends = [k for k, bone in enumerate(HUMAN_17.bones) if bone[1] in (2, 3, 5, 6, 10, 12, 13)]
    torch.testing.assert_close(read[:, ends], colour[:, ends], atol=0.02, rtol=0)


def test_both_sides_wear_the_same_and_a_wrong_pose_still_finds_the_foreground():
    image, cover, _ = picture(spread_pose())
    g = generator(3)
    wrong = torch.rand(1, 17, 2, generator=g)
    read = sample_limb_colours(image, cover, wrong, HUMAN_17, generator=g)
    number = {bone: n for n, bone in enumerate(HUMAN_17.bones)}
    flip = HUMAN_17.flip
    for (i, j), n in number.items():
        torch.testing.assert_close(read[:, n], read[:, number[flip[i], flip[j]]])
    assert (read > 0.1).float().mean() > 0.95  # black is the background's colour


def test_puppets_wear_nothing_that_is_foreground_by_less_than_a_half():
    image = RED[:, None, None].expand(1, 3, 32, 32).clone()
    image[0, :, 12:18, 14:17] = BLUE[:, None, None]
    front = torch.full((1, 1, 32, 32), 0.45)  # as a foreground is where the background is unsure
    front[0, :, 12:18, 14:17] = 0.9
    poses = torch.rand(50, 1, 17, 2, generator=generator())
    draws = generator(1)
    worn = [sample_limb_colours(image, front, p, HUMAN_17, generator=draws) for p in poses]
    assert (torch.stack(worn)[..., 0] > 0.5).float().mean() < 0.03  # limbs that cross an outline


def loss_of(pose, **how):
    true = spread_pose()
    drawn = draw_skeleton(true, HUMAN_17, size=16, gamma=100.0, channels=3)
    seen = draw_skeleton(pose, HUMAN_17, size=16, gamma=100.0, channels=3)
    return puppet_loss(seen, pose, drawn, true, HUMAN_17, **how)


def test_puppet_loss_is_zero_for_both_namings_and_the_mean_of_both_is_worse():
    true = spread_pose()
    twin = true[:, list(HUMAN_17.flip)]
    assert loss_of(true) < 1e-6
    assert loss_of(twin) < 1e-6
    assert loss_of((true + twin) / 2) > 0.01
    # Unforgiving, only the given naming is right.
    assert loss_of(true, forgiving=False) < 1e-6
    assert loss_of(twin, forgiving=False) > 2 * loss_of((true + twin) / 2, forgiving=False) > 0.02


def test_from_the_middle_puppet_loss_pulls_towards_the_right_naming():
    true = spread_pose()
    twin = true[:, list(HUMAN_17.flip)]
    middle = ((true + twin) / 2).requires_grad_()
    drawn = draw_skeleton(true, HUMAN_17, size=16, gamma=100.0, channels=3)
    puppet_loss(0.5 * (drawn + exchange_sides(drawn)), middle, drawn, true, HUMAN_17).backward()
    towards = ((true - middle) * -middle.grad).sum()
    assert towards > 0
