"""Metrics against independent computations, their invariances, and what they must not forgive."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from selfpose import metrics
from selfpose.skeleton import HUMAN_17, Skeleton

seeds = st.integers(0, 2**20)


def two_poses(seed: int, n: int = 3, noise: float = 80.0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = 300 * torch.randn(n, 17, 3, generator=draw, dtype=torch.float64)
    shake = torch.randn(n, 17, 3, generator=draw, dtype=torch.float64)
    return target + noise * shake, target


def similar(pose: torch.Tensor, seed: int) -> torch.Tensor:
    """The pose after a random similarity with a proper rotation."""
    rng = np.random.default_rng(seed)
    r = torch.from_numpy(Rotation.random(random_state=rng).as_matrix())
    return rng.uniform(0.1, 5) * pose @ r.mT + torch.from_numpy(rng.normal(0, 500, 3))


def numpy_p_mpjpe(p: NDArray, g: NDArray, *, reflection: bool) -> float:
    """Independent of the library's: scipy's orthogonal Procrustes, and Kabsch's sign by scipy."""
    p, g = p - p.mean(0), g - g.mean(0)
    if reflection:
        r, trace = orthogonal_procrustes(p, g)
        aligned = p @ r * trace / (p**2).sum()
    else:
        turn, _ = Rotation.align_vectors(g, p)
        turned = turn.apply(p)
        aligned = turned * (turned * g).sum() / (p**2).sum()
    return float(np.linalg.norm(aligned - g, axis=1).mean())


@given(seed=seeds, noise=st.sampled_from([0.0, 20.0, 200.0, 2000.0]))
def test_mpjpe_family_against_numpy(seed: int, noise: float) -> None:
    predicted, target = two_poses(seed, noise=noise)
    for k, (p, g) in enumerate(zip(predicted.numpy(), target.numpy(), strict=True)):
        p0, g0 = p - p[0], g - g[0]
        expected = np.linalg.norm(p0 - g0, axis=1).mean()
        assert metrics.mpjpe(predicted, target, root=0)[k].item() == pytest.approx(expected)
        scale = max(0.0, (p0 * g0).sum() / (p0**2).sum())
        expected = np.linalg.norm(scale * p0 - g0, axis=1).mean()
        assert metrics.n_mpjpe(predicted, target, root=0)[k].item() == pytest.approx(
            expected, abs=1e-9
        )


@pytest.mark.parametrize("reflection", [False, True])
@given(seed=seeds, noise=st.sampled_from([0.0, 20.0, 200.0, 2000.0]))
def test_p_mpjpe_against_scipy(reflection: bool, seed: int, noise: float) -> None:
    predicted, target = two_poses(seed, noise=noise)
    ours = metrics.p_mpjpe(predicted, target, reflection=reflection)
    for k, (p, g) in enumerate(zip(predicted.numpy(), target.numpy(), strict=True)):
        expected = numpy_p_mpjpe(p, g, reflection=reflection)
        assert ours[k].item() == pytest.approx(expected, abs=1e-8)


def test_procrustes_is_the_least_squares_similarity() -> None:
    predicted, target = two_poses(3, n=1)
    p, g = predicted[0].numpy(), target[0].numpy()

    def cost(x: NDArray) -> float:
        moved = np.exp(x[3]) * Rotation.from_rotvec(x[:3]).apply(p) + 100 * x[4:]
        return float(((moved - g) ** 2).sum() / 1e6)

    best = min((minimize(cost, x0, tol=1e-12) for x0 in np.eye(7)[:4]), key=lambda r: r.fun)
    ours = ((metrics.procrustes(predicted, target) - target) ** 2).sum().item() / 1e6
    assert ours == pytest.approx(best.fun, rel=1e-6)


@given(seed=seeds)
def test_p_mpjpe_forgives_similarities_of_the_prediction(seed: int) -> None:
    predicted, target = two_poses(seed)
    moved = similar(predicted, seed)
    for reflection in (False, True):
        torch.testing.assert_close(
            metrics.p_mpjpe(moved, target, reflection=reflection),
            metrics.p_mpjpe(predicted, target, reflection=reflection),
        )
    assert metrics.p_mpjpe(similar(target, seed), target).max() < 1e-8


@given(seed=seeds, factor=st.floats(0.01, 100))
def test_n_mpjpe_forgives_scale_and_nothing_more(seed: int, factor: float) -> None:
    predicted, target = two_poses(seed)
    own = metrics.n_mpjpe(predicted, target, root=0)
    torch.testing.assert_close(metrics.n_mpjpe(factor * predicted + 7, target, root=0), own)
    turned = target @ torch.from_numpy(Rotation.from_euler("y", 90, degrees=True).as_matrix()).mT
    assert (metrics.n_mpjpe(turned, target, root=0) > 50).all()


@given(seed=seeds)
def test_alignments_only_help_least_squares(seed: int) -> None:
    predicted, target = two_poses(seed)
    procrustes = (metrics.procrustes(predicted, target) - target).square().sum((1, 2))
    mirrored = metrics.procrustes(predicted, target, reflection=True)
    assert ((mirrored - target).square().sum((1, 2)) <= procrustes + 1e-6).all()
    scaled = metrics.scale_to_target(predicted, target, root=0)
    centred = metrics.root_centred(target, 0)
    after = (scaled - centred).square().sum((1, 2))
    before = (metrics.root_centred(predicted, 0) - centred).square().sum((1, 2))
    assert (after <= before + 1e-6).all()


def test_a_mirrored_pose_scores_zero_only_where_reflections_are_allowed() -> None:
    _, target = two_poses(1)
    flipped = target * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert (metrics.p_mpjpe(flipped, target) > 20).all()
    assert metrics.p_mpjpe(flipped, target, reflection=True).max() < 1e-8


def test_flat_predictions_align_with_finite_errors() -> None:
    predicted, target = two_poses(2)
    predicted[..., 2] = 0
    assert torch.isfinite(metrics.p_mpjpe(predicted, target)).all()
    assert torch.isfinite(metrics.p_mpjpe(torch.zeros_like(target), target)).all()
    assert torch.isfinite(metrics.n_mpjpe(torch.zeros_like(target), target, root=0)).all()


def test_pck_is_strict_at_the_threshold() -> None:
    target = torch.zeros(1, 17, 3, dtype=torch.float64)
    predicted = target.clone()
    predicted[0, 1, 0], predicted[0, 2, 1], predicted[0, 3, 2] = 150.0, 149.999, 151.0
    assert metrics.pck(predicted, target, root=0).item() == pytest.approx(100 * 15 / 17)


@given(seed=seeds)
def test_pck_and_auc_against_numpy(seed: int) -> None:
    predicted, target = two_poses(seed, noise=60)
    error = np.linalg.norm(
        (predicted - predicted[:, :1]).numpy() - (target - target[:, :1]).numpy(), axis=-1
    )
    curve = [100 * (error < t).mean(-1) for t in np.arange(0, 151, 5)]
    np.testing.assert_allclose(metrics.pck(predicted, target, root=0).numpy(), curve[-1])
    np.testing.assert_allclose(metrics.auc(predicted, target, root=0).numpy(), np.mean(curve, 0))


def test_auc_is_the_mean_of_31_strict_pcks_to_the_last_bit() -> None:
    _, target = two_poses(0)
    predicted = target.clone()
    predicted[0, 1:, 0] += 10.0 * torch.arange(16)  # errors that are thresholds
    predicted[1] += 60 * torch.randn(17, 3)
    for dtype in (torch.float32, torch.float64):
        p, g = predicted.to(dtype), target.to(dtype)
        curve = [metrics.pck(p, g, root=0, threshold_mm=5.0 * k) for k in range(31)]
        assert torch.equal(metrics.auc(p, g, root=0), torch.stack(curve).mean(dim=0))
    assert metrics.auc(target, target, root=0)[0].item() == pytest.approx(100 * 30 / 31)


def test_sides_in_every_labelling_of_the_limbs() -> None:
    """Two limbs, legs and arms: four labellings, of which two are a body's, as named and turned."""
    target, flip = 64 * torch.rand(6, 17, 2), list(HUMAN_17.flip)
    orders = list(metrics.side_labellings(HUMAN_17))
    assert len(orders) == 4
    assert (orders[0], orders[3]) == (list(range(17)), flip)
    for order, swapped in zip(orders, itertools.product((False, True), repeat=2), strict=True):
        pose = target[:, order]
        assert torch.equal(metrics.best_labelling(pose, target, HUMAN_17), target)
        seen = metrics.swapped_limbs(pose, target, HUMAN_17)
        assert torch.equal(seen, torch.tensor(swapped).expand(6, 2))
        mixed = metrics.mixed_sides(pose, target, HUMAN_17)
        assert torch.equal(mixed, torch.full((6,), swapped[0] != swapped[1]))
        assert torch.equal(metrics.mixed_sides(pose[:, flip], target, HUMAN_17), mixed)
    assert metrics.facing_is_right(target, target, HUMAN_17).all()
    assert not metrics.facing_is_right(target[:, flip], target, HUMAN_17).any()
    own, exchanged = metrics.twin_distances_sq(target[:, flip], target, HUMAN_17)
    assert (exchanged == 0).all()
    torch.testing.assert_close(own, (target[:, flip] - target).square().sum(dim=(1, 2)))


def test_a_body_without_limbs_has_none_swapped() -> None:
    crane = Skeleton(name="crane", joints=("base", "hook"), bones=((0, 1),), root=0, top=1)
    pose, target = torch.rand(2, 3, 2, 2)
    assert metrics.swapped_limbs(pose, target, crane).shape == (3, 0)
    assert not metrics.mixed_sides(pose, target, crane).any()


@given(seed=seeds)
def test_best_labelling_against_brute_force(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    predicted, target = 64 * torch.rand(2, 4, 17, 2, generator=draw)
    tolerant = metrics.side_tolerant_error_2d_percent(
        predicted, target, image_size=64, skeleton=HUMAN_17
    )
    legs, arms = [(1, 4), (2, 5), (3, 6)], [(11, 14), (12, 15), (13, 16)]
    for k in range(4):
        errors = []
        for swap_legs, swap_arms in itertools.product((0, 1), repeat=2):
            q = predicted[k].numpy().copy()
            for a, b in legs * swap_legs + arms * swap_arms:
                q[[a, b]] = q[[b, a]]
            errors.append(np.linalg.norm(q - target[k].numpy(), axis=1).mean() / 0.64)
        assert tolerant[k].item() == pytest.approx(min(errors), rel=1e-5)


def test_a_flipped_body_has_every_depth_sign_wrong_and_a_flat_one_too() -> None:
    _, target = two_poses(7, n=6)
    flip = target.new_tensor([1.0, 1.0, -1.0])
    share = metrics.wrong_depth_signs_percent
    assert (share(3 * target + 5, target, HUMAN_17) == 0).all()
    assert (share(target * flip, target, HUMAN_17) == 100).all()
    assert (share(target * target.new_tensor([1, 1, 0]), target, HUMAN_17) == 100).all()
    # Bones across the view have no sign to be wrong.
    level = target * target.new_tensor([1, 1, 0])
    assert (share(target, level, HUMAN_17) == 0).all()
    # One wrong bone is its share of the counted ones, and moves nothing below it in the tree.
    one = target.clone()
    wrist = HUMAN_17.index("left_wrist")
    elbow = HUMAN_17.parents[wrist]
    one[:, wrist, 2] = 2 * target[:, elbow, 2] - target[:, wrist, 2]
    every = share(one, target, HUMAN_17, steep=0.0)
    torch.testing.assert_close(every, torch.full_like(every, 100 / 16))


def test_metrics_map_any_batch_dimensions() -> None:
    predicted, target = two_poses(5, n=6)
    for name in ("mpjpe", "n_mpjpe", "pck", "auc"):
        flat = getattr(metrics, name)(predicted, target, root=0)
        shaped = getattr(metrics, name)(
            predicted.unflatten(0, (2, 3)), target.unflatten(0, (2, 3)), root=0
        )
        assert torch.equal(shaped, flat.unflatten(0, (2, 3)))
    one = metrics.p_mpjpe(predicted[0], target[0])
    assert one.shape == ()
    assert one.item() == pytest.approx(metrics.p_mpjpe(predicted, target)[0].item())
