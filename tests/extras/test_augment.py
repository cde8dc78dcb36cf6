"""Moving a picture and moving its pose are the same change of view."""

import math

import torch

from selfpose.extras.augment import ViewChange, draw_view_change
from selfpose.render import draw_skeleton
from selfpose.skeleton import HUMAN_17

SIZE = 64


def view(*, turn: float = 0.0, scale: float = 1.0, dx: float = 0.0, mirror: bool = False):
    """One known change of view."""
    c, s = scale * math.cos(turn), scale * math.sin(turn)
    sign = -1.0 if mirror else 1.0
    return ViewChange(
        matrix=torch.tensor([[[c * sign, -s], [s * sign, c]]]),
        shift=torch.tensor([[dx, 0.0]]),
        mirrored=torch.tensor([mirror]),
    )


def people(n: int) -> torch.Tensor:
    return 0.3 + 0.4 * torch.rand(n, 17, 2)


def draw(pose: torch.Tensor) -> torch.Tensor:
    return draw_skeleton(pose, HUMAN_17, size=SIZE, gamma=300.0, channels=3)


def test_pictures_move_with_their_poses() -> None:
    pose = people(24)
    change = draw_view_change(24, generator=torch.Generator().manual_seed(0))
    assert change.mirrored.any()
    assert not change.mirrored.all()
    moved = change.move_images(draw(pose))
    # In a mirrored picture the person's left is what was the right.
    moved = torch.where(change.mirrored[:, None, None, None], moved[:, [1, 0, 2]], moved)
    scale = torch.linalg.det(change.matrix).abs().sqrt()
    expected = torch.cat(
        [
            draw_skeleton(u[None], HUMAN_17, size=SIZE, gamma=300.0 / float(k) ** 2, channels=3)
            for u, k in zip(change.move_poses(pose, HUMAN_17), scale, strict=True)
        ]
    )
    inner = slice(8, -8)
    difference = (moved - expected)[..., inner, inner].abs()
    assert difference.mean() < 5e-3
    assert difference.max() < 0.2
    still = (draw(pose) - expected)[..., inner, inner].abs()
    assert still.mean() > 10 * difference.mean()


def test_mirroring_flips_pictures_and_exchanges_names() -> None:
    pose, image = people(1), torch.rand(1, 3, SIZE, SIZE)
    change = view(mirror=True)
    torch.testing.assert_close(change.move_images(image), image.flip(-1), atol=1e-4, rtol=0)
    moved = change.move_poses(pose, HUMAN_17)
    left, right = HUMAN_17.index("left_wrist"), HUMAN_17.index("right_wrist")
    torch.testing.assert_close(moved[0, left, 0], 1 - pose[0, right, 0])
    torch.testing.assert_close(moved[0, left, 1], pose[0, right, 1])
    torch.testing.assert_close(change.move_poses(moved, HUMAN_17), pose)


def test_draws_stay_in_their_ranges() -> None:
    change = draw_view_change(2000, generator=torch.Generator().manual_seed(1))
    determinant = torch.linalg.det(change.matrix)
    assert torch.equal(determinant < 0, change.mirrored)
    assert 0.45 < change.mirrored.float().mean() < 0.55
    scale = determinant.abs().sqrt()
    assert math.exp(-0.1) - 1e-5 <= scale.min() < 0.92
    assert 1.08 < scale.max() <= math.exp(0.1) + 1e-5
    turn = torch.atan2(-change.matrix[:, 0, 1], change.matrix[:, 1, 1]).rad2deg()
    assert 9 < turn.max() <= 10.001
    assert 0.045 < change.shift.abs().max() <= 0.05


def test_mirroring_can_be_left_out_without_other_draws_changing() -> None:
    with_it, without = (
        draw_view_change(50, generator=torch.Generator().manual_seed(2), mirror=m)
        for m in (True, False)
    )
    assert not without.mirrored.any()
    assert torch.equal(with_it.shift, without.shift)
    assert torch.equal(with_it.matrix[..., 1], without.matrix[..., 1])
