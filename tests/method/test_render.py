"""κ against dense sampling of the segments, its gradients, and its symmetries."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfpose.render import draw_bones, draw_skeleton, nearest_bone, pixel_centres
from selfpose.skeleton import HUMAN_17, Skeleton

GAMMA = 500.0
BONES = list(HUMAN_17.bones)


def brute_force(
    pose: torch.Tensor, bones: list[tuple[int, int]], size: int, samples: int = 1001
) -> torch.Tensor:
    """κ from its definition: the nearest of many points on every bone."""
    r = torch.linspace(0, 1, samples, dtype=pose.dtype)[:, None]
    points = torch.cat([r * pose[i] + (1 - r) * pose[j] for i, j in bones])
    ticks = (torch.arange(size, dtype=pose.dtype) + 0.5) / size
    rows = []
    for y in ticks:
        row = torch.stack([ticks, y.expand(size)], dim=-1)
        rows.append((points - row[:, None]).square().sum(-1).amin(-1))
    return torch.exp(-GAMMA * torch.stack(rows))


@given(seed=st.integers(0, 2**20))
def test_draw_bones_against_brute_force(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    pose = 1.4 * torch.rand(5, 2, generator=draw, dtype=torch.float64) - 0.2
    bones = [(0, 1), (1, 2), (0, 3), (3, 4)]
    ours = draw_bones(pose, bones, size=8, gamma=GAMMA)
    torch.testing.assert_close(ours, brute_force(pose, bones, 8), atol=1e-3, rtol=0)


def test_gradients_of_float64_drawings() -> None:
    # Fixed and generic: away from ties between bones, where the minimum has a corner.
    pose = torch.rand(1, 17, 2, dtype=torch.float64, requires_grad=True)
    for channels in (1, 3):
        assert torch.autograd.gradcheck(
            lambda u, k=channels: draw_skeleton(u, HUMAN_17, size=6, gamma=50.0, channels=k), pose
        )


def test_a_bone_without_length_is_a_round_dot_with_finite_gradient() -> None:
    pose = torch.full((2, 2), 0.5, dtype=torch.float64, requires_grad=True)
    image = draw_bones(pose, [(0, 1)], size=9, gamma=GAMMA)
    centres = pixel_centres(9, pose)
    expected = torch.exp(-GAMMA * (centres - 0.5).square().sum(-1)).reshape(9, 9)
    torch.testing.assert_close(image, expected)
    (image * torch.rand_like(image)).sum().backward()
    assert pose.grad is not None
    assert torch.isfinite(pose.grad).all()


@given(dx=st.integers(-5, 5), dy=st.integers(-5, 5), channels=st.sampled_from([1, 3]))
def test_drawings_shift_with_the_pose(dx: int, dy: int, channels: int) -> None:
    size = 32
    pose = 0.3 + 0.4 * torch.rand(
        17, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    moved = pose + torch.tensor([dx, dy], dtype=torch.float64) / size
    image, shifted = (
        draw_skeleton(u, HUMAN_17, size=size, gamma=GAMMA, channels=channels) for u in (pose, moved)
    )
    inner = slice(5, size - 5)
    back = shifted.roll((-dy, -dx), dims=(-2, -1))
    torch.testing.assert_close(back[..., inner, inner], image[..., inner, inner])


def test_mirrored_pose_gives_the_mirrored_drawing_with_sides_exchanged() -> None:
    pose = torch.rand(17, 2, dtype=torch.float64)
    twin = pose[list(HUMAN_17.flip)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    image, mirrored = (
        draw_skeleton(u, HUMAN_17, size=16, gamma=GAMMA, channels=3) for u in (pose, twin)
    )
    torch.testing.assert_close(mirrored, image.flip(-1)[[1, 0, 2]])


def test_the_sides_together_are_the_whole_body() -> None:
    pose = torch.rand(4, 17, 2)
    whole = draw_skeleton(pose, HUMAN_17, size=16, gamma=GAMMA, channels=1)
    sides = draw_skeleton(pose, HUMAN_17, size=16, gamma=GAMMA, channels=3)
    assert torch.equal(sides.amax(dim=-3, keepdim=True), whole)
    assert torch.equal(whole[:, 0], draw_bones(pose, BONES, size=16, gamma=GAMMA))


def test_brightness_is_one_on_a_bone_and_a_half_at_its_stated_distance() -> None:
    far = math.sqrt(math.log(2) / GAMMA)
    pose = torch.tensor([[0.1, 0.5], [0.9, 0.5]], dtype=torch.float64)
    on = draw_bones(pose, [(0, 1)], size=5, gamma=GAMMA)
    assert on[2, 2].item() == pytest.approx(1)
    off = draw_bones(pose + torch.tensor([0, far]), [(0, 1)], size=5, gamma=GAMMA)
    assert off[2, 2].item() == pytest.approx(0.5)


def test_gradient_reaches_only_the_joints_of_the_nearest_bone() -> None:
    pose = torch.rand(1, 17, 2, requires_grad=True)
    winner = BONES[int(nearest_bone(pose, BONES, 8)[0, 27])]
    draw_bones(pose, BONES, size=8, gamma=5.0).flatten()[27].backward()
    assert pose.grad is not None
    reached = set(pose.grad[0].abs().sum(-1).nonzero().flatten().tolist())
    assert reached
    assert reached <= set(winner)


def test_sides_that_a_body_lacks_stay_black() -> None:
    crane = Skeleton(name="crane", joints=("base", "hook"), bones=((0, 1),), root=0, top=1)
    image = draw_skeleton(torch.rand(2, 2), crane, size=8, gamma=GAMMA, channels=3)
    assert (image[:2] == 0).all()
    assert image[2].max() > 0.5
