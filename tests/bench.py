"""``make bench``: speed as ratios against a named reference in the same run."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfpose import metrics
from selfpose.render import draw_skeleton, pixel_centres, segment_distance_sq
from selfpose.skeleton import HUMAN_17

GAMMA = 500.0


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Median time of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return sorted(times)[repeats // 2]


def draw_naive(pose: Tensor, size: int) -> Tensor:
    """κ written as its definition reads: every distance with gradient, then the minimum."""
    parents, children = ([bone[end] for bone in HUMAN_17.bones] for end in (0, 1))
    points = pixel_centres(size, pose)[None, None]
    distance = segment_distance_sq(points, pose[:, parents, None], pose[:, children, None])
    return torch.exp(-GAMMA * distance.amin(dim=1))


def p_mpjpe_loop(predicted: NDArray, target: NDArray) -> float:
    """P-MPJPE pose by pose."""
    errors = []
    for p, g in zip(predicted - predicted.mean(1, keepdims=True), target, strict=True):
        g = g - g.mean(0)
        u, s, vh = np.linalg.svd(p.T @ g)
        sign = np.array([1, 1, np.sign(np.linalg.det(u @ vh))])
        aligned = p @ (u * sign) @ vh * (s * sign).sum() / (p**2).sum()
        errors.append(np.linalg.norm(aligned - g, axis=1).mean())
    return float(np.mean(errors))


def main() -> None:
    """Print a line for each comparison."""
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    pose = torch.rand(16, HUMAN_17.n_joints, 2, requires_grad=True)
    for size in (64, 128):
        naive = seconds(lambda k=size: draw_naive(pose, k).sum().backward())
        ours = seconds(
            lambda k=size: draw_skeleton(pose, HUMAN_17, size=k, gamma=GAMMA).sum().backward()
        )
        print(
            f"κ of 16 poses at {size} px, forward and backward: {1e3 * ours:.1f} ms, "
            f"{naive / ours:.1f} times as fast as naive broadcasting"
        )

    target = 300 * torch.randn(2000, 17, 3, dtype=torch.float64)
    predicted = target + 50 * torch.randn_like(target)
    batched = seconds(lambda: metrics.p_mpjpe(predicted, target))
    loop = seconds(lambda: p_mpjpe_loop(predicted.numpy(), target.numpy()), repeats=3)
    print(f"P-MPJPE of 2000 poses: {loop / batched:.1f} times as fast as a loop in numpy")
    one = seconds(lambda: metrics.mpjpe(predicted, target, root=0))
    curve = seconds(lambda: metrics.auc(predicted, target, root=0))
    print(f"AUC of 2000 poses: {curve / one:.1f} times the time of MPJPE")

    from selfpose.synthetic.generated import load_embedded

    n = 256
    drawn = seconds(lambda: load_embedded(n_unlabelled=1, n_unpaired=1, n_test=n), repeats=1)
    print(f"pictures of people at 64 px: {n / drawn:.0f} a second")


if __name__ == "__main__":
    main()
