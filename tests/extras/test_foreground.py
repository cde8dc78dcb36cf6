"""Background and foreground of static cameras, on scenes whose parts are known."""

import pytest
import torch

from selfpose.extras.foreground import static_background, static_foreground


def scene(n: int, *, level: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures of one camera in which a bright square wanders, background and masks."""
    draw = torch.Generator().manual_seed(seed)
    background = torch.randint(level, level + 60, (3, 16, 16), generator=draw, dtype=torch.uint8)
    images = background.repeat(n, 1, 1, 1)
    masks = torch.zeros(n, 16, 16, dtype=torch.bool)
    for k in range(n):
        x, y = (3 * k) % 13, (5 * k) % 13
        images[k, :, y : y + 3, x : x + 3] = 250
        masks[k, y : y + 3, x : x + 3] = True
    return images, background, masks


def test_background_and_foreground_of_two_cameras() -> None:
    first, back_a, mask_a = scene(12, level=0)
    second, back_b, mask_b = scene(15, level=100, seed=1)
    images = torch.cat([first, second])
    sequence = torch.tensor([7] * 12 + [3] * 15)
    order = torch.randperm(27)
    medians, row = static_background(images[order], sequence[order])
    assert torch.equal(medians[0], back_b)
    assert torch.equal(medians[1], back_a)
    assert torch.equal(row, (sequence[order] == 7).long())
    front, _ = static_foreground(images[order], sequence[order])
    masks = torch.cat([mask_a, mask_b])[order]
    assert (front[masks] > 0.99 * 255).all()
    assert (front[~masks] < 0.1 * 255).all()


def test_the_foreground_is_a_sigmoid_of_the_difference_to_the_nearest_of_256_levels() -> None:
    images, _, _ = scene(12, level=0)
    images = (images.float() * torch.rand(12, 1, 16, 16)).to(torch.uint8)
    medians, _ = static_background(images, torch.zeros(12, dtype=torch.long))
    front, given = static_foreground(images, torch.zeros(12, dtype=torch.long))
    assert torch.equal(given, medians)
    difference = (images.double() - medians.double()).abs().amax(dim=1) / 255
    exact = 255 / (1 + torch.exp((0.06 - difference) / 0.02))
    assert (front.double() - exact).abs().max() < 0.5 + 1e-3
    assert len(front.unique()) > 20


def test_pictures_of_no_static_camera_are_refused() -> None:
    images = torch.zeros(20, 3, 4, 4, dtype=torch.uint8)
    sequence = torch.tensor([0] * 13 + [1] * 7)
    with pytest.raises(ValueError, match=r"8 or more pictures.*has 7.*'loose'"):
        static_foreground(images, sequence)
