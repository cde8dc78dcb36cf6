"""Drawn figures against a brute-force ray march, and their laws: order, sides, seeds, borders."""

from typing import Any

import pytest
import torch

from selfpose.synthetic.background import DIFFICULTIES, sample_backgrounds
from selfpose.synthetic.figure import (
    PART_NAMES,
    PARTS,
    Appearance,
    Light,
    draw_figures,
    sample_appearance,
    sample_lights,
)
from selfpose.synthetic.motion import ACTIVITIES, sample_motion
from selfpose.data.points import FIGURE_POINTS

DISTANCE = 7000.0


def people(n: int, *, seed: int = 0) -> torch.Tensor:
    """n people in various postures, hips 7 m before the camera: (n, 22, 3) mm."""
    points = sample_motion(n_clips=n, n_frames=40, seed=seed).points[:, 20]
    return points - points[:, :1] + torch.tensor([0.0, 0.0, DISTANCE])


def scene(n: int, size: int, **changes: Any) -> dict[str, Any]:
    return {
        "appearance": sample_appearance(n, seed=1),
        "light": sample_lights(n, seed=2),
        "focal_px": torch.full((n,), size * DISTANCE / 2700),
        "principal": torch.full((n, 2), size / 2),
        "backgrounds": torch.full((1, 3, size, size), 40, dtype=torch.uint8),
    } | changes


def part_colours() -> torch.Tensor:
    """A colour of its own for each part, told apart whatever the shade: (P, 3)."""
    k = torch.arange(len(PARTS))
    return torch.stack([torch.ones(len(PARTS)), 0.1 + 0.2 * (k % 5), 0.1 + 0.25 * (k // 5)], dim=-1)


def coded(n: int) -> tuple[Appearance, Light]:
    """People whose every part has its code colour, evenly lit."""
    appearance = sample_appearance(n, seed=1)
    colours = part_colours().expand(n, -1, -1)
    appearance = Appearance(
        **{
            **vars(appearance),
            "inner": colours,
            "outer": colours,
            "stripes": torch.zeros(n),
            "build": torch.ones_like(appearance.build),
        }
    )
    white = torch.ones(n, 3)
    direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(n, 3)
    return appearance, Light(direction=direction, ambient=white, lamp=0 * white)


def spot(points: torch.Tensor, weights: tuple[tuple[str, float], ...]) -> torch.Tensor:
    return torch.stack([w * points[FIGURE_POINTS.index(name)] for name, w in weights]).sum(dim=0)


def side_axis(points: torch.Tensor, frame: str) -> torch.Tensor:
    """The direction in which a part is flattened, found from the points anew."""

    def at(name: str) -> torch.Tensor:
        return points[FIGURE_POINTS.index(name)]

    if frame == "head":
        axis, up = torch.linalg.cross(at("neck") - at("head"), at("nose") - at("neck")), "head"
        along = at(up) - at("neck")
    elif frame == "chest":
        axis, along = at("right_shoulder") - at("left_shoulder"), at("thorax") - at("spine")
    else:
        axis, along = at("right_hip") - at("left_hip"), at("spine") - at("hip")
    axis = axis - (axis @ along) / (along @ along) * along
    return axis / axis.norm()


def ray_march(points: torch.Tensor, size: int, focal: float) -> torch.Tensor:
    """Brute force: the first part that each pixel's ray enters, −1 for none: (size, size).

    True perspective, 3 mm steps, each part as sixty (squeezed) balls along its axis.
    """
    line = torch.arange(size) + 0.5 - size / 2
    rays = torch.stack(
        [
            (line / focal).expand(size, size),
            (line / focal)[:, None].expand(size, size),
            torch.ones(size, size),
        ],
        dim=-1,
    ).reshape(-1, 3)
    best = torch.full((size * size,), float("inf"))
    seen = torch.full((size * size,), -1)
    t = torch.linspace(0, 1, 60)[:, None]
    for k, part in enumerate(PARTS):
        a, b = spot(points, part.start), spot(points, part.end)
        centres = a + t * (b - a)
        radii = part.radii[0] + t[:, 0] * (part.radii[1] - part.radii[0])
        margin = max(part.radii) * max(part.width, 1.0)
        near = centres[:, 2].min() - margin
        depths = torch.arange(float(near), float(centres[:, 2].max() + margin), 3.0)
        # Only rays that pass near the part's axis can meet it.
        flat = centres[:, :2] / centres[:, 2:]
        hope = torch.cdist(rays[:, :2], flat).amin(dim=1) < 1.1 * margin / float(near)
        samples = rays[hope][:, None] * depths[:, None]
        if part.frame:
            axis = side_axis(points, part.frame)
            squeeze = torch.eye(3) + (1 / part.width - 1) * axis[:, None] * axis[None, :]
            samples, centres = samples @ squeeze, centres @ squeeze
        inside = torch.stack(
            [((samples - c).square().sum(-1) < r * r) for c, r in zip(centres, radii, strict=True)]
        ).any(dim=0)
        first = torch.where(inside, depths, torch.tensor(float("inf"))).amin(dim=1)
        rows = hope.nonzero()[:, 0]
        nearer = first < best[rows]
        best[rows[nearer]] = first[nearer]
        seen[rows[nearer]] = k
    return seen.view(size, size)


def test_drawing_agrees_with_a_brute_force_ray_march() -> None:
    n, size = 4, 48
    points = people(n, seed=3)
    focal = size * DISTANCE / 2300
    appearance, light = coded(n)
    options = scene(n, size, appearance=appearance, light=light)
    options |= {"focal_px": torch.full((n,), focal), "supersample": 1}
    options["backgrounds"] = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    images, mask = draw_figures(points, **options)
    colours = torch.nn.functional.normalize(part_colours(), dim=-1)
    for k in range(n):
        truth = ray_march(points[k], size, focal)
        drawn = torch.nn.functional.normalize(images[k].permute(1, 2, 0).float(), dim=-1)
        seen = torch.where(mask[k] > 0, (drawn @ colours.T).argmax(dim=-1), -1)
        either = (truth >= 0) | (seen >= 0)
        silhouettes = ((truth >= 0) & (seen >= 0)).sum() / either.sum()
        assert float(silhouettes) > 0.98  # the rest lies on the outline
        assert float((truth == seen)[either].float().mean()) > 0.93


def test_the_nearer_arm_hides_the_trunk_and_the_trunk_the_farther_arm() -> None:
    points = people(1, seed=0)[0]
    index = FIGURE_POINTS.index
    chest = (points[index("spine")] + points[index("thorax")]) / 2
    appearance, light = coded(1)
    colours = torch.nn.functional.normalize(part_colours(), dim=-1)
    for depth, expected in ((-300.0, "left_hand"), (300.0, "chest")):
        moved = points.clone()
        moved[index("left_wrist")] = chest + torch.tensor([0.0, 60.0, depth])
        moved[index("left_hand")] = chest + torch.tensor([0.0, -60.0, depth])
        for name in ("right_elbow", "right_wrist", "right_hand"):  # out of the way
            moved[index(name)] = points[index("right_shoulder")] + torch.tensor([600.0, 0.0, 0.0])
        options = scene(1, 96, appearance=appearance, light=light)
        images, _ = draw_figures(moved[None], **options)
        x, y = (options["focal_px"] * chest[:2] / (chest[2] + depth) + 48).long().tolist()
        pixel = torch.nn.functional.normalize(images[0, :, y, x].float(), dim=-1)
        assert PART_NAMES[int((colours @ pixel).argmax())] == expected


def test_the_left_hand_of_one_who_faces_the_camera_is_on_the_pictures_right() -> None:
    motion = sample_motion(n_clips=1, n_frames=1, seed=0, activities=("standing",)).points[0, 0]
    index = FIGURE_POINTS.index
    across = motion[index("right_shoulder")] - motion[index("left_shoulder")]
    angle = torch.atan2(across[2], across[0]) + torch.pi  # right shoulder to −x: facing −z
    c, s, zero = angle.cos(), angle.sin(), torch.zeros(())
    turn = torch.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c]).view(3, 3)
    points = (motion - motion[:1]) @ turn.T + torch.tensor([0.0, 0.0, DISTANCE])
    assert float(points[index("nose"), 2]) < float(points[index("neck"), 2])
    appearance, light = coded(1)
    images, _ = draw_figures(points[None], **scene(1, 96, appearance=appearance, light=light))
    colours = torch.nn.functional.normalize(part_colours(), dim=-1)
    drawn = torch.nn.functional.normalize(images[0].permute(1, 2, 0).float(), dim=-1)
    close = drawn @ colours.T
    for side, sign in (("left", 1), ("right", -1)):
        foot = (close.argmax(-1) == PART_NAMES.index(f"{side}_foot")) & (close.amax(-1) > 0.995)
        assert int(foot.sum()) > 0
        assert sign * (float(foot.nonzero()[:, 1].float().mean()) - 47.5) > 0


def test_front_and_back_look_different() -> None:
    points = people(12, seed=4)
    turned = points.clone()
    turned[..., 0], turned[..., 2] = -turned[..., 0], 2 * DISTANCE - turned[..., 2]
    images, mask = draw_figures(points, **scene(12, 64))
    behind, mask_behind = draw_figures(turned, **scene(12, 64))
    # The silhouette from behind is the mirrored one; what it holds is not.
    mirrored = mask_behind.flip(-1)
    assert float((mask - mirrored).abs().sum() / mask.sum()) < 0.2
    both = ((mask > 0.9) & (mirrored > 0.9))[:, None].expand_as(images)
    change = (images.float() - behind.flip(-1).float())[both].abs()
    assert float(change.mean()) > 10


def test_masks_say_what_the_picture_covers() -> None:
    points = people(8)
    options = scene(8, 64)
    images, mask = draw_figures(points, **options)
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1 + 1e-6
    untouched = (mask == 0)[:, None].expand_as(images)
    assert set(images[untouched].tolist()) == {40}
    assert 0.02 < float(mask.mean()) < 0.3
    # The joints of the trunk lie inside.
    xy = options["focal_px"][0] * points[:, :9, :2] / points[:, :9, 2:] + 32
    for k in range(8):
        x, y = xy[k, [0, 7, 8]].long().T
        assert float(mask[k, y, x].min()) > 0.9


def test_people_at_and_beyond_the_border_are_cut_off() -> None:
    points = people(6)
    points[:, :, 0] += torch.tensor([-1350.0, 1350.0, 0.0, 0.0, 9000.0, -9000.0])[:, None]
    points[:, :, 1] += torch.tensor([0.0, 0.0, 1350.0, -1350.0, 0.0, 0.0])[:, None]
    _, mask = draw_figures(points, **scene(6, 64))
    cover = mask.sum(dim=(1, 2))
    assert bool((cover[:4] > 20).all())
    assert bool((cover[4:] == 0).all())


def test_pictures_do_not_depend_on_the_chunk_but_on_the_seed() -> None:
    points = people(10)
    options = scene(10, 32)
    whole, _ = draw_figures(points, **options)
    parts, _ = draw_figures(points, **options, chunk=3)
    assert int((whole.int() - parts.int()).abs().max()) <= 1
    noisy = [draw_figures(points, **options, noise=3.0, seed=s)[0] for s in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    assert float((noisy[0].float() - whole.float()).std()) == pytest.approx(3.0, abs=0.3)


def test_samples_are_seeded() -> None:
    for sample in (sample_appearance, sample_lights):
        one, same, other = (vars(sample(5, seed=s)) for s in (3, 3, 4))
        assert all(torch.equal(one[k], same[k]) for k in one)
        assert any(not torch.equal(one[k], other[k]) for k in one)
    assert torch.allclose(sample_lights(9, seed=0).direction.norm(dim=-1), torch.ones(9))


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_backgrounds_are_seeded_and_as_hard_as_asked(difficulty: Any) -> None:
    one = sample_backgrounds(6, 32, difficulty=difficulty, seed=0)
    assert torch.equal(one, sample_backgrounds(6, 32, difficulty=difficulty, seed=0))
    assert not torch.equal(one, sample_backgrounds(6, 32, difficulty=difficulty, seed=1))
    flat = one.float().flatten(2).std(dim=-1).max()
    assert (float(flat) == 0) == (difficulty == "none")


def test_harder_backgrounds_have_more_edges() -> None:
    edges = [
        sample_backgrounds(32, 64, difficulty=d, seed=0).float().diff(dim=-1).abs().mean()
        for d in ("none", "plain", "structured", "cluttered")
    ]
    assert edges == sorted(edges)


@pytest.mark.usefixtures("without_shape_checks")
def test_bad_requests_are_named() -> None:
    points = people(2)
    with pytest.raises(ValueError, match="in front of the camera"):
        draw_figures(points - torch.tensor([0.0, 0.0, DISTANCE]), **scene(2, 32))
    with pytest.raises(ValueError, match="one entry for each of the 2 pictures"):
        draw_figures(points, **scene(2, 32, focal_px=torch.ones(3)))
    backgrounds = torch.zeros(1, 3, 32, 40, dtype=torch.uint8)
    with pytest.raises(ValueError, match="square"):
        draw_figures(points, **scene(2, 32, backgrounds=backgrounds))
    unknown: Any = "hard"
    with pytest.raises(ValueError, match="choose from"):
        sample_backgrounds(1, 32, difficulty=unknown, seed=0)


def test_every_activity_can_be_drawn() -> None:
    images, mask = draw_figures(people(len(ACTIVITIES), seed=9), **scene(len(ACTIVITIES), 64))
    assert images.shape == (len(ACTIVITIES), 3, 64, 64)
    assert bool((mask.sum(dim=(1, 2)) > 80).all())
