"""Drawn bodies against a brute-force ray march, and their laws: order, sides, seeds, borders."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from selfpose.synthetic.backgrounds import DIFFICULTIES, sample_backgrounds
from selfpose.synthetic.cones import Appearance, Light, draw_bodies, sample_lights, select, weights
from selfpose.synthetic.generated import GENERATED
from selfpose.synthetic.people import FIGURE_POINTS, HUMAN, PARTS

DISTANCE = 7000.0
NAMES = [part.name for part in PARTS]
AT = FIGURE_POINTS.index


def still(body: str, n: int, seed: int = 0) -> torch.Tensor:
    """n bodies in various postures, the root at the origin: (n, P, 3) mm."""
    points = GENERATED[body][1].sample(n_clips=n, n_frames=40, seed=seed).points[:, 20]
    root = GENERATED[body][0].skeleton.root
    return points - points[:, root : root + 1]


def people(n: int, *, seed: int = 0) -> torch.Tensor:
    return still("human", n, seed) + torch.tensor([0.0, 0.0, DISTANCE])


def turned(points: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """About the vertical."""
    c, s, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], -1).view(-1, 3, 3)
    return points @ turn.mT


def scene(n: int, size: int, body: str = "human", **changes: Any) -> dict[str, Any]:
    model = GENERATED[body][0]
    return {
        "model": model,
        "appearance": model.sample_appearance(n, seed=1),
        "light": sample_lights(n, seed=2),
        "focal_px": size * DISTANCE / 2700,
        "principal": torch.full((n, 2), size / 2),
        "backgrounds": torch.full((1, 3, size, size), 40, dtype=torch.uint8),
    } | changes


def part_colours() -> torch.Tensor:
    """A colour of its own for each part, told apart whatever the shade: (P, 3)."""
    k = torch.arange(len(PARTS))
    return torch.stack([torch.ones(len(PARTS)), 0.1 + 0.2 * (k % 5), 0.1 + 0.25 * (k // 5)], dim=-1)


def coded(n: int) -> dict[str, Appearance | Light]:
    """People whose every part has its code colour, evenly lit."""
    looks = HUMAN.sample_appearance(n, seed=1)
    colours = part_colours().expand(n, -1, -1)
    plain = {"inner": colours, "outer": colours, "build": torch.ones_like(looks.build)}
    white = torch.ones(n, 3)
    direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(n, 3)
    return {
        "appearance": replace(looks, stripes=torch.zeros(n), **plain),
        "light": Light(direction=direction, ambient=white, lamp=0 * white),
    }


def parts_seen(image: torch.Tensor) -> torch.Tensor:
    """Cosines of each pixel's colour and each part's: (S, S, P)."""
    return normalize(image.permute(1, 2, 0), dim=-1) @ normalize(part_colours(), dim=-1).T


def side_axis(points: torch.Tensor, frame: str) -> torch.Tensor:
    """The direction in which a part is flattened, found from the points anew."""

    def way(start: str, end: str) -> torch.Tensor:
        return points[AT(end)] - points[AT(start)]

    if frame == "head":
        axis, along = (
            torch.linalg.cross(way("head", "neck"), way("neck", "nose")),
            way("neck", "head"),
        )
    elif frame == "chest":
        axis, along = way("left_shoulder", "right_shoulder"), way("spine", "thorax")
    else:
        axis, along = way("left_hip", "right_hip"), way("hip", "spine")
    axis = axis - (axis @ along) / (along @ along) * along
    return axis / axis.norm()


def ray_march(points: torch.Tensor, size: int, focal: float) -> torch.Tensor:
    """Brute force: the first part that each pixel's ray enters, −1 for none: (size, size).

    True perspective, 3 mm steps, each part as sixty (squeezed) balls along its axis.
    """
    line = (torch.arange(size) + 0.5 - size / 2) / focal
    y, x = torch.meshgrid(line, line, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
    best = torch.full((size * size,), float("inf"))
    seen = torch.full((size * size,), -1)
    t = torch.linspace(0, 1, 60)[:, None]
    for k, part in enumerate(PARTS):
        a, b = (
            torch.stack([w * points[AT(name)] for name, w in weights(end).items()]).sum(dim=0)
            for end in (part.start, part.end)
        )
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
    n, size = 3, 48
    points = people(n, seed=3)
    focal = size * DISTANCE / 2300
    black = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    options = scene(n, size, **coded(n), focal_px=focal, backgrounds=black)
    images, mask = draw_bodies(points, **options, supersample=1)
    for k in range(n):
        truth = ray_march(points[k], size, focal)
        seen = torch.where(mask[k] > 0, parts_seen(images[k]).argmax(dim=-1), -1)
        either = (truth >= 0) | (seen >= 0)
        silhouettes = ((truth >= 0) & (seen >= 0)).sum() / either.sum()
        assert float(silhouettes) > 0.98  # the rest lies on the outline
        assert float((truth == seen)[either].float().mean()) > 0.93


def test_the_nearer_arm_hides_the_trunk_and_the_trunk_the_farther_arm() -> None:
    points = people(1)[0]
    chest = (points[AT("spine")] + points[AT("thorax")]) / 2
    for depth, expected in ((-300.0, "left_hand"), (300.0, "chest")):
        moved = points.clone()
        moved[AT("left_wrist")] = chest + torch.tensor([0.0, 60.0, depth])
        moved[AT("left_hand")] = chest + torch.tensor([0.0, -60.0, depth])
        for name in ("right_elbow", "right_wrist", "right_hand"):  # out of the way
            moved[AT(name)] = points[AT("right_shoulder")] + torch.tensor([600.0, 0.0, 0.0])
        options = scene(1, 96, **coded(1))
        images, _ = draw_bodies(moved[None], **options)
        x, y = (options["focal_px"] * chest[:2] / (chest[2] + depth) + 48).long().tolist()
        assert NAMES[int(parts_seen(images[0])[y, x].argmax())] == expected


def test_front_and_back_look_different() -> None:
    points = people(12, seed=4)
    half = points * torch.tensor([-1.0, 1.0, -1.0]) + torch.tensor([0.0, 0.0, 2 * DISTANCE])
    images, mask = draw_bodies(points, **scene(12, 64))
    behind, mask_behind = draw_bodies(half, **scene(12, 64))
    # The silhouette from behind is the mirrored one; what it holds is not.
    mirrored = mask_behind.flip(-1)
    assert float((mask - mirrored).abs().sum() / mask.sum()) < 0.2
    both = ((mask > 0.9) & (mirrored > 0.9))[:, None].expand_as(images)
    assert float((images - behind.flip(-1))[both].abs().mean()) > 10


def test_masks_say_what_the_picture_covers() -> None:
    points = people(8)
    options = scene(8, 64)
    images, mask = draw_bodies(points, **options)
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
    assert set(images[(mask == 0)[:, None].expand_as(images)].tolist()) == {40}
    assert 0.02 < float(mask.mean()) < 0.3
    x, y = (options["focal_px"] * points[..., :2] / points[..., 2:] + 32).long().unbind(-1)
    for joint in ("hip", "spine", "thorax"):  # the joints of the trunk lie inside
        assert float(mask[torch.arange(8), y[:, AT(joint)], x[:, AT(joint)]].min()) > 0.9


def test_the_mirrored_animal_gives_the_mirrored_picture() -> None:
    """No painted cue tells left from right: light and points mirrored, sides exchanged."""
    n, names = 18, GENERATED["quadruped"][0].points
    points = turned(still("quadruped", n), torch.arange(n) * (2 * torch.pi / n))
    points = points + torch.tensor([0.0, 0.0, 4300.0])
    other = {"left": "right", "right": "left"}
    order = [names.index("_".join(other.get(w, w) for w in name.split("_"))) for name in names]
    across = torch.tensor([-1.0, 1.0, 1.0])
    options = scene(n, 64, "quadruped", focal_px=128.0)
    images, mask = draw_bodies(points, **options)
    options["light"] = replace(options["light"], direction=options["light"].direction * across)
    twins, twin_mask = draw_bodies((points * across)[:, order], **options)
    assert float((mask - twin_mask.flip(-1)).abs().mean()) < 1e-4
    assert float(((images - twins.flip(-1)).abs() > 2).float().mean()) < 2e-4
    # And it is not the same picture by chance.
    assert float((images - images.flip(-1)).abs().mean()) > 3


def test_dark_hands_have_lighter_palms() -> None:
    """One pose drawn from either side."""
    model, n = GENERATED["hand"][0], 6
    points = still("hand", 1).expand(n, -1, -1)
    index, little = (points[:, model.points.index(f"{f}_1")] for f in ("index", "little"))
    palm = torch.linalg.cross(index, little)
    angle = torch.atan2(palm[:, 0], -palm[:, 2])  # turns the palm to the camera, at −z
    looks = model.sample_appearance(40, seed=0)
    looks = select(looks, looks.outer.mean(dim=(1, 2)).argsort()[:n])
    sides = []
    for extra in (0.0, torch.pi):
        moved = turned(points - points[:, 9:10], angle + extra) + torch.tensor([0.0, 0.0, 900.0])
        images, mask = draw_bodies(moved, **scene(n, 64, "hand", appearance=looks, focal_px=160.0))
        # The middle of the hand, away from cuff and nails.
        sides.append((images.mean(dim=1) * (mask > 0.99))[:, 26:38, 24:40].amax(dim=(1, 2)))
    assert bool((sides[0] > sides[1] + 5).all())


@pytest.mark.parametrize("body", GENERATED)
def test_looks_are_seeded_and_alike_on_both_sides(body: str) -> None:
    model = GENERATED[body][0]
    one, same, other = (vars(model.sample_appearance(12, seed=s)) for s in (3, 3, 4))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["inner"], other["inner"])
    names = [part.name for part in model.parts]
    for k, name in enumerate(names):
        twin = names.index(name.replace("left_", "right_"))
        assert model.parts[k].radii == model.parts[twin].radii
        for table in ("inner", "outer", "split", "build"):
            assert torch.equal(one[table][:, k], one[table][:, twin])


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_backgrounds_are_seeded_and_flat_only_if_asked(difficulty: Any) -> None:
    one, same, other = (sample_backgrounds(6, 32, difficulty=difficulty, seed=s) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (float(one.float().flatten(2).std(dim=-1).max()) == 0) == (difficulty == "none")
