"""``make bench``: speed as ratios against a named reference in the same run."""

import time
from collections.abc import Callable
from functools import partial

import torch

from selfpose.synthetic.figure import measure_speed
from selfpose.render import draw_bones, pixel_centres, segment_distance_sq
from selfpose.skeleton import HUMAN_17

Drawing = Callable[[torch.Tensor, int, float], torch.Tensor]


def draw_bones_naive(pose: torch.Tensor, size: int, gamma: float) -> torch.Tensor:
    """κ written as its definition reads: every distance with gradient, then the minimum."""
    parents, children = (list(side) for side in zip(*HUMAN_17.bones, strict=True))
    start, end = pose[:, parents, None], pose[:, children, None]
    points = pixel_centres(size, pose)[None, None]
    distance = segment_distance_sq(points, start, end)
    return torch.exp(-gamma * distance.amin(dim=1)).unflatten(-1, (size, size))


def draw_bones_fast(pose: torch.Tensor, size: int, gamma: float) -> torch.Tensor:
    """κ as the library draws it."""
    return draw_bones(pose, list(HUMAN_17.bones), size=size, gamma=gamma)


def backward(draw: Drawing, pose: torch.Tensor, size: int, gamma: float) -> None:
    """One drawing, forward and backward."""
    draw(pose, size, gamma).sum().backward()


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Median time of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return sorted(times)[repeats // 2]


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    pose = torch.rand(64, HUMAN_17.n_joints, 2, requires_grad=True)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("κ, 64 poses, 16 bones, forward and backward:")
    for size in (32, 64):
        naive = seconds(partial(backward, draw_bones_naive, pose, size, 500.0))
        ours = seconds(partial(backward, draw_bones_fast, pose, size, 500.0))
        print(
            f"  {size:3d} px: naive broadcasting {1e3 * naive:6.1f} ms, arg-min without gradient "
            f"{1e3 * ours:6.1f} ms, ratio {naive / ours:.1f}"
        )
    print(f"embedded figures at 64 px: {measure_speed(image_size=64):.0f} pictures a second")


if __name__ == "__main__":
    main()
