"""Evaluation protocols: against independent computations, by hand, and what each must not hide."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from selfpose import metrics
from selfpose.evaluation.protocols import (
    PoseResults,
    evaluate_hands,
    evaluate_human36m,
    evaluate_mpi_inf_3dhp,
    human36m_by_action,
    mpi_inf_3dhp_by,
    mpi_inf_3dhp_by_group,
    name_to_text,
    results,
    with_parts,
)
from selfpose.evaluation.protocols.hands import AREAS, Area, area_under_curve
from selfpose.evaluation.protocols.human36m import action_of, is_bad_s9
from selfpose.evaluation.protocols.mpi_inf_3dhp import GROUPS_14, GROUPS_17, auc, pelvis_counted
from selfpose.evaluation.protocols.plots import variant_dots
from selfpose.evaluation.protocols.variants import (
    family_of,
    side_by_side,
    spreads,
    variants_by_name,
    with_flipped,
)
from selfpose.skeleton import HUMAN_17, Skeleton

seeds = st.integers(0, 2**20)
PERFECT_AUC = 100 * 30 / 31

FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND = Skeleton(
    name="hand",
    joints=("wrist", *(f"{f}_{k}" for f in FINGERS for k in range(1, 5))),
    bones=tuple((0 if k == 0 else 4 * f + k, 4 * f + k + 1) for f in range(5) for k in range(4)),
    root=0,
    top=9,
)


def poses(n: int = 12, *, seed: int = 0, noise: float = 90.0, joints: int = 17, size: float = 300):
    """Predictions and truths (mm), double precision."""
    draw = torch.Generator().manual_seed(seed)
    target = size * torch.randn(n, joints, 3, generator=draw, dtype=torch.float64)
    shake = torch.randn(n, joints, 3, generator=draw, dtype=torch.float64)
    return target + noise * shake, target


def made(n: int = 12, *, seed: int = 0, noise: float = 90.0, **fields: Any) -> PoseResults:
    predicted, target = poses(n, seed=seed, noise=noise)
    given = {"skeleton": HUMAN_17, "predicted": predicted, "target": target}
    return PoseResults(**(given | fields))


def hands(n: int = 9, *, seed: int = 0, noise: float = 12.0, **fields: Any) -> PoseResults:
    predicted, target = poses(n, seed=seed, noise=noise, joints=21, size=60)
    given = {"skeleton": HAND, "predicted": predicted, "target": target}
    return PoseResults(**(given | fields))


def only(numbers: dict[str, float], *parts: str) -> float:
    """The one number whose name holds these parts."""
    found = with_parts(numbers, *parts)
    assert len(found) == 1, sorted(found)
    return next(iter(found.values()))


def rotated(pose: torch.Tensor, seed: int) -> torch.Tensor:
    turn = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    return pose @ torch.from_numpy(turn).mT


# --- Against independent computations -------------------------------------------------------------


def numpy_errors(p: NDArray, g: NDArray) -> dict[str, NDArray]:
    """Joint errors (J,) of one pose under each alignment; no code of the library."""
    p0, g0 = p - p[0], g - g[0]
    pc, gc = p - p.mean(0), g - g.mean(0)
    turn, _ = Rotation.align_vectors(gc, pc)
    proper = turn.apply(pc)
    proper *= (proper * gc).sum() / (pc**2).sum()
    free, trace = orthogonal_procrustes(pc, gc)
    z = pc @ free @ np.diag([1, 1, np.linalg.det(free)])
    z *= math.sqrt((gc**2).sum() / (pc**2).sum())
    least = np.linalg.lstsq(p0.reshape(-1, 1), g0.ravel(), rcond=None)[0][0]
    return {
        "given_scale": np.linalg.norm(p0 - g0, axis=1),
        # a negative scale would turn the pose inside out: the definition stops at zero
        "least_squares_scale": np.linalg.norm(p0 * max(0.0, least) - g0, axis=1),
        "ratio_of_norms_scale": np.linalg.norm(
            p0 * np.linalg.norm(g0) / np.linalg.norm(p0) - g0, axis=1
        ),
        "proper_rotation": np.linalg.norm(proper - gc, axis=1),
        "reflection_allowed": np.linalg.norm(pc @ free * trace / (pc**2).sum() - gc, axis=1),
        "z_turned": np.linalg.norm(z - gc, axis=1),
    }


@given(seed=seeds, noise=st.sampled_from([20.0, 90.0, 500.0]))
def test_human36m_against_numpy_and_scipy(seed: int, noise: float) -> None:
    given_results = made(seed=seed, noise=noise)
    rows = [
        numpy_errors(p.numpy(), g.numpy())
        for p, g in zip(given_results.predicted, given_results.target, strict=True)
    ]
    numbers = evaluate_human36m(given_results)
    assert len(numbers) == len(rows[0])
    for kind in rows[0]:
        expected = np.mean([row[kind].mean() for row in rows])
        assert only(numbers, kind) == pytest.approx(expected, abs=1e-4)


@given(seed=seeds)
def test_reflecting_procrustes_against_scipys_disparity(seed: int) -> None:
    """scipy's procrustes mirrors too; its disparity is the squared error over the target's size."""
    predicted, target = poses(1, seed=seed)
    _, _, disparity = scipy_procrustes(target[0].numpy(), predicted[0].numpy())
    aligned = metrics.procrustes(predicted, target, reflection=True)
    size = (target - target.mean(dim=1, keepdim=True)).square().sum()
    assert float((aligned - target).square().sum() / size) == pytest.approx(disparity, abs=1e-9)


@given(seed=seeds, noise=st.sampled_from([20.0, 90.0, 500.0]))
def test_pck_and_auc_against_the_official_way_round_by_groups(seed: int, noise: float) -> None:
    """Group by group, each weighed by its number of joints, as the official script goes."""
    r = made(seed=seed, noise=noise)
    errors = np.array(
        [
            numpy_errors(p.numpy(), g.numpy())["given_scale"]
            for p, g in zip(r.predicted, r.target, strict=True)
        ]
    )
    numbers = evaluate_mpi_inf_3dhp(r)
    for groups, joints in ((GROUPS_14, "14_joints"), (GROUPS_17, "17_joints")):
        assert len(groups) == {"14_joints": 8, "17_joints": 9}[joints]
        assert sum(map(len, groups.values())) == int(joints[:2])
        table = mpi_inf_3dhp_by_group(r, joints=joints)
        pck, curve, count = 0.0, np.zeros(31), 0
        for group, names in groups.items():
            e = errors[:, [HUMAN_17.joints.index(name) for name in names]]
            shares = np.array([(e < t).mean() for t in np.arange(0, 151, 5)])
            assert table[group]["pck150_percent"] == pytest.approx(100 * shares[-1])
            assert table[group]["auc0to150_percent"] == pytest.approx(100 * shares.mean())
            pck, curve = pck + len(names) * shares[-1], curve + len(names) * shares
            count += len(names)
        parts = ("root_aligned", "given_scale", joints)
        assert only(numbers, "pck150_percent", *parts) == pytest.approx(100 * pck / count)
        assert only(numbers, "auc0to150_percent", *parts) == pytest.approx(
            100 * curve.mean() / count
        )
        assert table["total"]["pck150_percent"] == pytest.approx(100 * pck / count)


@given(seed=seeds)
def test_hand_areas_against_numpys_trapezoid(seed: int) -> None:
    r = hands(seed=seed)
    p, g = r.predicted.numpy(), r.target.numpy()
    errors = np.linalg.norm((p - p[:, :1]) - (g - g[:, :1]), axis=-1)
    numbers = evaluate_hands(r)
    for name, area in AREAS.items():
        thresholds = np.linspace(area.low, area.high, area.count)
        curves = [[(e <= t).mean() for t in thresholds] for e in errors.T]
        expected = 100 * np.mean(trapezoid(curves, thresholds)) / (area.high - area.low)
        parts = (*name.split("."), "root_aligned", "given_scale")
        assert only(numbers, *parts) == pytest.approx(expected, abs=1e-4)
    bone = np.linalg.norm(g[:, 9] - g[:, 0], axis=-1) / np.linalg.norm(p[:, 9] - p[:, 0], axis=-1)
    scaled = bone[:, None, None] * (p - p[:, :1])
    expected = np.linalg.norm(scaled - (g - g[:, :1]), axis=-1).mean()
    assert only(numbers, "mpjpe_mm", "bone_scale") == pytest.approx(expected)


# --- Known scores ---------------------------------------------------------------------------------


def test_a_perfect_prediction_scores_thirty_of_thirty_one() -> None:
    _, target = poses()
    numbers = evaluate_mpi_inf_3dhp(made(predicted=target.clone()))
    areas = {k: v for k, v in numbers.items() if "auc" in k}
    assert areas
    for value in areas.values():
        assert value == pytest.approx(PERFECT_AUC, abs=1e-9)
    assert all(v == pytest.approx(100) for k, v in numbers.items() if "pck" in k)
    assert all(v < 1e-9 for k, v in numbers.items() if "mpjpe" in k)
    assert float(auc(torch.zeros(17, dtype=torch.float64))) == pytest.approx(PERFECT_AUC, abs=1e-12)


def test_a_perfect_hand_scores_a_hundred() -> None:
    _, target = poses(joints=21, size=60)
    numbers = evaluate_hands(PoseResults(skeleton=HAND, predicted=target.clone(), target=target))
    # Aligned by a rotation, errors are zero up to rounding, and the first threshold is zero.
    exact = {k: v for k, v in numbers.items() if "auc" in k and "given_scale" in k}
    assert len(exact) == len(AREAS)
    assert all(v == pytest.approx(100) for v in exact.values())
    assert all(v > 99.4 for k, v in numbers.items() if "auc0to50_percent.100" in k)


@given(seed=seeds, noise=st.sampled_from([60.0, 150.0, 400.0]))
def test_the_pelvis_lifts_pck_by_a_seventeenth_of_what_is_missing(seed: int, noise: float) -> None:
    r = made(seed=seed, noise=noise)
    e = metrics.joint_errors(r.predicted, r.target, root=0)
    others = float(metrics.percent_below(e[:, 1:], 150.0).mean())
    seventeen = only(
        evaluate_mpi_inf_3dhp(r), "pck150_percent", "root_aligned", "given_scale", "17_joints"
    )
    assert seventeen == pytest.approx(pelvis_counted(others))
    assert seventeen - others == pytest.approx((100 - others) / 17)


def test_pck_is_strict_for_people_and_not_for_hands() -> None:
    errors = torch.tensor([0.0, 149.999, 150.0, 151.0], dtype=torch.float64)
    assert float(metrics.percent_below(errors, 150.0)) == 50
    assert float(metrics.percent_below(errors, 150.0, inclusive=True)) == 75
    assert float(metrics.percent_below(errors, 0.0)) == 0
    assert float(metrics.percent_below(errors, 0.0, inclusive=True)) == 25


@given(error=st.floats(0, 60))
def test_an_area_is_the_share_of_the_range_above_the_error(error: float) -> None:
    """All joints off by e: the area is (50 − e) / 50 up to half a step of the thresholds."""
    area = Area(low=0.0, high=50.0, count=100)
    value = float(area_under_curve(torch.full((21,), error, dtype=torch.float64), area))
    assert value == pytest.approx(100 * max(0.0, 50 - error) / 50, abs=100 / 99 / 2 + 1e-9)


def test_a_depth_flip_scores_zero_only_where_reflections_are_allowed() -> None:
    _, target = poses()
    flat = evaluate_human36m(made(predicted=metrics.flip_depth(target, root=0)))
    assert only(flat, "reflection_allowed") < 1e-9
    assert only(flat, "proper_rotation") > 50
    # The turned z is a rotation, but not the best one: no better, in least squares, than it.
    assert only(flat, "z_turned") > only(flat, "proper_rotation")
    _, hand = poses(joints=21, size=60)
    other = PoseResults(skeleton=HAND, predicted=hand * torch.tensor([-1.0, 1, 1]), target=hand)
    numbers = evaluate_hands(other)
    assert only(numbers, "mpjpe_mm", "reflection_allowed") < 1e-9
    assert only(numbers, "mpjpe_mm", "proper_rotation") > 10


def test_flipping_depth_twice_changes_nothing_and_the_root_stays() -> None:
    _, target = poses()
    flipped = metrics.flip_depth(target, root=0)
    torch.testing.assert_close(metrics.flip_depth(flipped, root=0), target)
    assert torch.equal(flipped[:, 0], target[:, 0])
    assert torch.equal(flipped[..., :2], target[..., :2])
    torch.testing.assert_close(
        metrics.root_centred(flipped, 0), metrics.root_centred(target, 0) * torch.tensor([1, 1, -1])
    )


# --- Relations between the variants ---------------------------------------------------------------


@given(seed=seeds, noise=st.sampled_from([20.0, 90.0, 500.0]))
def test_the_ratio_of_norms_is_the_larger_scale_and_the_worse_fit(seed: int, noise: float) -> None:
    predicted, target = poses(seed=seed, noise=noise)
    least = metrics.scale_to_target(predicted, target, root=0)
    ratio = metrics.ratio_scale_to_target(predicted, target, root=0)
    assert (ratio.norm(dim=(1, 2)) >= least.norm(dim=(1, 2)) - 1e-9).all()
    g = metrics.root_centred(target, 0)
    assert ((ratio - g).square().sum((1, 2)) >= (least - g).square().sum((1, 2)) - 1e-6).all()
    torch.testing.assert_close(ratio.norm(dim=(1, 2)), g.norm(dim=(1, 2)))
    # Both scales agree exactly where the prediction is the truth at another size.
    torch.testing.assert_close(metrics.ratio_scale_to_target(3 * target, target, root=0), g)
    torch.testing.assert_close(metrics.scale_to_target(3 * target, target, root=0), g)


def test_the_turned_z_is_a_similarity_with_a_proper_rotation() -> None:
    predicted, target = poses(30, noise=500)
    aligned = metrics.procrustes_z_turned(predicted, target)
    p, a = (x - x.mean(dim=1, keepdim=True) for x in (predicted, aligned))
    for k in range(30):
        turn, rest = orthogonal_procrustes(p[k].numpy(), a[k].numpy())
        assert np.linalg.det(turn) == pytest.approx(1)
        assert rest == pytest.approx(float(p[k].norm() * a[k].norm()))
    mirrored = torch.linalg.det(p.mT @ (target - target.mean(dim=1, keepdim=True))) < 0
    assert 0 < int(mirrored.sum()) < 30
    # Where no reflection is at stake the rotation is the best one; the scale is another still.
    proper = metrics.procrustes(predicted, target)
    ratio = (a.norm(dim=(1, 2)) / (proper - proper.mean(1, keepdim=True)).norm(dim=(1, 2)))[
        ~mirrored
    ]
    assert (ratio >= 1).all()
    torch.testing.assert_close(
        a[~mirrored], ratio[:, None, None] * (proper - proper.mean(1, keepdim=True))[~mirrored]
    )


@given(seed=seeds, factor=st.floats(0.2, 5))
def test_what_each_variant_forgives(seed: int, factor: float) -> None:
    plain = made(seed=seed)
    own = evaluate_human36m(plain) | evaluate_mpi_inf_3dhp(plain)

    def scores(predicted: torch.Tensor) -> dict[str, float]:
        other = dataclasses.replace(plain, predicted=predicted)
        return evaluate_human36m(other) | evaluate_mpi_inf_3dhp(other)

    moved = scores(plain.predicted + torch.tensor([100.0, -2000.0, 9000.0]))
    assert moved == pytest.approx(own, abs=1e-6)
    scaled = scores(factor * plain.predicted)
    forgiving = [k for k in own if k.startswith(("n_", "p_"))]
    assert {k: scaled[k] for k in forgiving} == pytest.approx(
        {k: own[k] for k in forgiving}, abs=1e-6
    )
    turned = scores(rotated(plain.predicted, seed))
    # PCK may tip where an error stands on a threshold; errors in mm do not.
    for parts in (("proper_rotation",), ("reflection_allowed",)):
        keys = with_parts(with_parts(own, *parts), "17_joints")
        keys = {k for k in keys if "mm" in k.split(".")[0]}
        assert {k: turned[k] for k in keys} == pytest.approx({k: own[k] for k in keys}, abs=1e-6)
    bigger = [k for k in own if k.startswith("mpjpe_mm")]
    assert factor == pytest.approx(1, abs=0.1) or any(abs(scaled[k] - own[k]) > 1 for k in bigger)


def test_no_unit_means_one_factor_for_all() -> None:
    r = made(sequence=("a",) * 6 + ("b",) * 6)
    free = dataclasses.replace(r, predicted=r.predicted / 700, unit="free")
    other = dataclasses.replace(r, predicted=r.predicted / 3, unit="free")
    assert evaluate_human36m(free) == pytest.approx(evaluate_human36m(other), abs=1e-6)
    assert evaluate_mpi_inf_3dhp(free) == pytest.approx(evaluate_mpi_inf_3dhp(other), abs=1e-6)
    assert with_parts(evaluate_human36m(free), "one_scale_for_all")
    assert not with_parts(evaluate_human36m(free), "given_scale")
    p, g = (metrics.root_centred(x, 0) for x in (r.predicted, r.target))
    factor = np.linalg.lstsq(p.reshape(-1, 1).numpy(), g.flatten().numpy(), rcond=None)[0][0]
    torch.testing.assert_close(free.in_mm(r.target), factor * r.predicted)
    # Every other number is the same as with the unit known.
    kept = with_parts(evaluate_human36m(r), "procrustes")
    assert with_parts(evaluate_human36m(free), "procrustes") == pytest.approx(kept, abs=1e-6)


def test_the_factor_is_taken_from_the_frames_that_count() -> None:
    r = made(valid=torch.arange(12) < 6, unit="free")
    spoilt = r.predicted.clone()
    spoilt[6:] *= -50
    numbers = evaluate_mpi_inf_3dhp(dataclasses.replace(r, predicted=spoilt))
    assert numbers == pytest.approx(evaluate_mpi_inf_3dhp(r))


@given(seed=seeds)
def test_an_order_of_joints_is_a_matter_of_naming(seed: int) -> None:
    r = made(seed=seed)
    order = np.random.default_rng(seed).permutation(17).tolist()
    place = {old: new for new, old in enumerate(order)}
    shuffled = Skeleton(
        name="shuffled",
        joints=tuple(HUMAN_17.joints[k] for k in order),
        bones=tuple((place[i], place[j]) for i, j in HUMAN_17.bones),
        root=place[HUMAN_17.root],
        top=place[HUMAN_17.top],
    )
    other = PoseResults(
        skeleton=shuffled, predicted=r.predicted[:, order], target=r.target[:, order]
    )
    for evaluate in (evaluate_human36m, evaluate_mpi_inf_3dhp):
        assert evaluate(other) == pytest.approx(evaluate(r), abs=1e-6)
    assert mpi_inf_3dhp_by_group(other)["hip"] == pytest.approx(mpi_inf_3dhp_by_group(r)["hip"])


# --- Frames and averages --------------------------------------------------------------------------


def shifted(errors_mm: list[float]) -> dict[str, torch.Tensor]:
    """Poses whose 16 joints beside the root are off by that much: MPJPE is 16/17 of it."""
    _, target = poses(len(errors_mm))
    predicted = target.clone()
    predicted[:, 1:, 0] += torch.tensor(errors_mm, dtype=torch.float64)[:, None]
    return {"predicted": predicted, "target": target}


def test_averages_over_actions_and_frames_by_hand() -> None:
    r = made(
        **shifted([17.0, 34.0, 34.0, 85.0]),
        action=("Sitting 1", "Sitting", "Sitting 1", "Walking"),
    )
    numbers = evaluate_human36m(r)
    parts = ("mpjpe_mm", "all_frames")
    assert only(numbers, *parts, "over_frames") == pytest.approx((16 + 32 + 32 + 80) / 4)
    assert only(numbers, *parts, "over_actions") == pytest.approx(((16 + 32 + 32) / 3 + 80) / 2)
    table = human36m_by_action(r)
    assert list(table) == ["Sitting", "Walking"]
    assert only(table["Sitting"], "mpjpe_mm") == pytest.approx(80 / 3)
    assert only(table["Walking"], "mpjpe_mm") == pytest.approx(80)


def test_averages_over_sequences_by_hand() -> None:
    r = made(**shifted([0.0, 200.0, 200.0, 200.0]), sequence=("TS1", "TS2", "TS2", "TS2"))
    numbers = evaluate_mpi_inf_3dhp(r)
    parts = ("pck150_percent", "root_aligned", "given_scale", "14_joints")
    assert only(numbers, *parts, "over_frames") == pytest.approx(25)
    assert only(numbers, *parts, "over_sequences") == pytest.approx(50)


def test_a_table_by_sequence_is_each_sequence_on_its_own() -> None:
    names = ("TS2", "TS1", "TS2", "TS3", "TS1", "TS2")
    r = made(6, sequence=names, action=("sit",) * 6, valid=torch.arange(6) != 3)
    table = mpi_inf_3dhp_by("sequence", r, joints="14_joints")
    assert list(table) == ["TS1", "TS2"]
    for name, row in table.items():
        kept = torch.tensor([other == name for other in names])
        alone = evaluate_mpi_inf_3dhp(made(predicted=r.predicted[kept], target=r.target[kept]))
        for metric, value in row.items():
            assert value == pytest.approx(only(alone, metric, "given_scale", "14_joints"))
    whole = mpi_inf_3dhp_by_group(r, joints="14_joints")["total"]
    assert mpi_inf_3dhp_by("action", r, joints="14_joints") == {"sit": pytest.approx(whole)}
    with pytest.raises(ValueError, match="needs 'sequence'"):
        mpi_inf_3dhp_by("sequence", made())


def test_which_frames_are_averaged() -> None:
    r = made(
        **shifted([17.0, 34.0, 51.0, 68.0]),
        subject=("S9", "S9", "S9", "S11"),
        sequence=("Greeting", "Greeting 1", "Waiting 1", "Greeting"),
        action=("Greeting", "Greeting", "Waiting", "Greeting"),
        number=torch.tensor([0, 64, 65, 63]),
    )
    numbers = evaluate_human36m(r)
    expected = {
        ("all_frames", "all_sequences"): 40,
        ("all_frames", "without_bad_s9"): (32 + 64) / 2,
        ("every_64th", "all_sequences"): 24,
        ("every_64th", "without_bad_s9"): 32,
    }
    for parts, value in expected.items():
        assert only(numbers, "mpjpe_mm", *parts, "over_frames") == pytest.approx(value)
    assert len(numbers) == 6 * 4 * 2
    half = dataclasses.replace(r, valid=torch.tensor([False, True, True, True]))
    numbers = evaluate_human36m(half)
    parts = ("mpjpe_mm", "all_frames", "all_sequences", "over_frames")
    assert only(numbers, *parts) == pytest.approx(48)


def test_only_valid_frames_count_and_the_names_say_so() -> None:
    fields = shifted([0.0, 200.0])
    every = evaluate_mpi_inf_3dhp(made(**fields))
    some = evaluate_mpi_inf_3dhp(made(**fields, valid=torch.tensor([True, False])))
    parts = ("pck150_percent", "root_aligned", "given_scale", "14_joints")
    assert only(every, *parts, "all_frames") == pytest.approx(50)
    assert only(some, *parts, "valid_frames") == pytest.approx(100)
    assert not with_parts(every, "valid_frames")
    assert not with_parts(some, "all_frames")


def test_each_annotation_has_its_own_numbers() -> None:
    r = made()
    both = dataclasses.replace(r, universal_target=1.2 * r.target)
    numbers = evaluate_mpi_inf_3dhp(both)
    assert with_parts(numbers, "annot3") == evaluate_mpi_inf_3dhp(r)
    universal = evaluate_mpi_inf_3dhp(dataclasses.replace(r, target=1.2 * r.target))
    renamed = {k.replace(".annot3.", ".univ_annot3."): v for k, v in universal.items()}
    assert with_parts(numbers, "univ_annot3") == renamed


def test_blocks_of_frames_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    r = made(23, action=("a", "b") * 11 + ("a",))
    whole = evaluate_human36m(r) | evaluate_mpi_inf_3dhp(r)
    monkeypatch.setattr(results, "BLOCK", 5)
    assert evaluate_human36m(r) | evaluate_mpi_inf_3dhp(r) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("subject", "sequence", "bad"),
    [
        ("S9", "Greeting", True),
        ("S9", "SittingDown 1", True),
        ("S9", "SittingDown_1", True),
        ("S9", "Waiting 1", True),
        ("S9", "S9/Waiting 1/54138969", True),
        ("S9", "S9_Greeting.60457274", True),
        ("S9", "SittingDown-2", True),
        ("S9", "Greeting 1", False),
        ("S9", "SittingDown", False),
        ("S9", "SittingDown-1", False),
        ("S9", "Waiting", False),
        ("S11", "Greeting", False),
        ("S11", "S11/SittingDown 1/54138969", False),
        ("S9", "", False),
    ],
)
def test_the_three_bad_sequences_by_any_spelling(subject: str, sequence: str, bad: bool) -> None:
    assert is_bad_s9(subject, sequence) is bad


@pytest.mark.parametrize(
    ("sequence", "action"),
    [("Photo", "Photo"), ("Photo 1", "Photo"), ("Sitting_2", "Sitting"), ("WalkDog-1", "WalkDog")],
)
def test_takes_of_an_action_go_together(sequence: str, action: str) -> None:
    assert action_of(sequence) == action


# --- Names and tables -----------------------------------------------------------------------------


def test_every_name_says_alignment_scale_or_rotation_joints_frames_and_average() -> None:
    r = made(
        action=("a",) * 12,
        sequence=("s",) * 12,
        number=torch.arange(12),
        universal_target=poses()[1],
    )
    hand = hands()
    scales = {"given_scale", "least_squares_scale", "ratio_of_norms_scale", "bone_scale"}
    rotations = {"proper_rotation", "reflection_allowed", "z_turned"}
    for numbers in (evaluate_human36m(r), evaluate_mpi_inf_3dhp(r), evaluate_hands(hand)):
        for name in numbers:
            parts = set(name.split("."))
            assert len(parts & {"root_aligned", "procrustes"}) == 1, name
            assert len(parts & (scales | rotations)) == 1, name
            assert ("procrustes" in parts) == bool(parts & rotations), name
            assert len(parts & {"14_joints", "17_joints", "21_joints"}) == 1, name
            assert len(parts & {"all_frames", "every_64th"}) == 1, name
            assert len(parts & {"over_frames", "over_actions", "over_sequences"}) == 1, name
            assert name_to_text(name).split(":")[0].endswith((", mm", ", %")), name
            assert math.isfinite(numbers[name])


def test_side_by_side_keeps_each_protocols_own_numbers() -> None:
    r = made(action=("a", "b") * 6, number=torch.arange(12))
    numbers = side_by_side(r)
    assert {k: v for k, v in numbers.items() if "mpjpe" in k} == evaluate_human36m(r)
    shares = {k: v for k, v in evaluate_mpi_inf_3dhp(r).items() if "mpjpe" not in k}
    assert {k: v for k, v in numbers.items() if "mpjpe" not in k} == shares
    twin = {k: 2 * v for k, v in numbers.items()}
    table = variants_by_name({"one": numbers, "two": twin})
    assert sum(len(rows) for rows in table.values()) == len(numbers)
    for family, rows in table.items():
        ones = [row["one"] for row in rows.values()]
        assert ones == sorted(ones)
        assert all(row["two"] == 2 * row["one"] for row in rows.values())
        spread = spreads(numbers)[family]
        assert (spread["smallest"], spread["largest"]) == (ones[0], ones[-1])
        assert (spread["variants"], spread["apart"]) == (len(ones), ones[-1] - ones[0])
    with pytest.raises(ValueError, match="unknown metric 'mean'"):
        family_of("mean.all_frames")


def test_flipped_shares() -> None:
    _, target = poses()
    perfect = made(predicted=target.clone())
    all_of_them = torch.ones(12, dtype=torch.bool)
    twice = with_flipped(with_flipped(perfect, all_of_them), all_of_them)
    torch.testing.assert_close(twice.predicted, target)
    none = with_flipped(perfect, ~all_of_them)
    assert torch.equal(none.predicted, target)
    every = only(evaluate_human36m(with_flipped(perfect, all_of_them)), "proper_rotation")
    half = with_flipped(perfect, torch.arange(12) < 6)
    assert torch.equal(half.predicted[6:], target[6:])
    assert 0 < only(evaluate_human36m(half), "proper_rotation") < every


def test_a_dot_for_every_variant() -> None:
    rows = {"a": {"predicted": 1.0, "flipped": 3.0}, "b": {"predicted": 2.0, "flipped": 2.5}}
    figure = variant_dots({"P-MPJPE, mm": rows, "PCK, %": {"c": {"predicted": 90.0}}})
    upper, lower = figure.axes
    assert [text.get_text() for text in upper.get_yticklabels()] == ["a", "b"]
    dots = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in upper.lines
        if line.get_linestyle() == "None" and len(line.get_xdata())
    }
    assert dots == {(1.0, 0.0), (3.0, 0.0), (2.0, 1.0), (2.5, 1.0)}
    assert lower.get_title(loc="left") == "PCK, %"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["predicted", "flipped"]
    with pytest.raises(ValueError, match="nothing to draw"):
        variant_dots({"PCK": {}})
    with pytest.raises(ValueError, match="at most 4 series"):
        variant_dots({"PCK": {"a": {str(k): 1.0 for k in range(5)}}})


# --- Bad input ------------------------------------------------------------------------------------


def nan_in(pose: torch.Tensor) -> torch.Tensor:
    pose = pose.clone()
    pose[3, 2, 1] = math.nan
    return pose


BAD: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], dict[str, Any]], str]] = {
    "fewer predictions": (lambda p, g: {"predicted": p[:5]}, r"target: expected \(5, 17, 3\)"),
    "14 joints": (lambda p, g: {"predicted": p[:, :14]}, r"predicted: expected \(12, 17, 3\)"),
    "2D": (lambda p, g: {"predicted": p[..., :2]}, "predicted: expected"),
    "no frame": (lambda p, g: {"predicted": p[:0], "target": g[:0]}, "holds no pose"),
    "NaN": (lambda p, g: {"target": nan_in(g)}, r"target: 1 of 12 poses .* index 3"),
    "universal NaN": (lambda p, g: {"universal_target": nan_in(g)}, "universal_target: 1 of 12"),
    "metres": (lambda p, g: {"predicted": p / 1000}, "multiply metres by 1000"),
    "true metres": (lambda p, g: {"target": g / 1000}, "target: .* no body in"),
    "micrometres": (lambda p, g: {"target": g * 1000}, "target: .* no body in"),
    "collapsed": (lambda p, g: {"predicted": 0 * p, "unit": "free"}, "lie on their root"),
    "unit": (lambda p, g: {"unit": "metres"}, "expected 'mm' or 'free'"),
    "actions": (lambda p, g: {"action": ("a",) * 11}, "action: expected 12 values"),
    "subjects": (lambda p, g: {"subject": ("a",)}, "subject: expected 12 values"),
    "sequences": (lambda p, g: {"sequence": ()}, "sequence: expected 12 values"),
    "numbers": (lambda p, g: {"number": torch.arange(3)}, "number: expected 12 values"),
    "negative": (lambda p, g: {"number": torch.arange(12) - 1}, "counted from 0"),
    "validity": (lambda p, g: {"valid": torch.ones(12)}, "expected booleans"),
    "none valid": (lambda p, g: {"valid": torch.zeros(12) > 0}, "no frame is valid"),
}


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("fault", BAD)
def test_bad_results_are_refused_in_one_line(fault: str) -> None:
    change, message = BAD[fault]
    with pytest.raises(ValueError, match=message) as caught:
        made(**change(*poses()))
    assert "\n" not in str(caught.value)


def test_choices_that_the_results_do_not_hold() -> None:
    with pytest.raises(ValueError, match=r"every_64th.*no frame"):
        evaluate_human36m(made(number=torch.arange(12) + 1))
    with pytest.raises(ValueError, match="needs 'action'"):
        human36m_by_action(made())
    with pytest.raises(ValueError, match=r"without_bad_s9.*no frame"):
        evaluate_human36m(made(subject=("S9",) * 12, sequence=("Greeting",) * 12))
    with pytest.raises(ValueError, match="14_joints, 17_joints, got '16'"):
        mpi_inf_3dhp_by_group(made(), joints="16")
    with pytest.raises(ValueError, match=r"counts the joints .* map the poses to human_17"):
        evaluate_mpi_inf_3dhp(hands())
    with pytest.raises(ValueError, match="'human_17' has no joint 'wrist'"):
        evaluate_hands(made())


def test_plain_arrays_give_the_same_numbers() -> None:
    predicted, target = poses()
    r = made(number=torch.arange(12), valid=torch.arange(12) != 4, action=("a",) * 12)
    same = PoseResults.from_arrays(
        skeleton=HUMAN_17,
        predicted=predicted.numpy().tolist(),
        target=target.numpy(),
        number=np.arange(12, dtype=np.uint16),
        valid=(np.arange(12) != 4).astype(np.uint8),
        action=np.array(["a"] * 12),
    )
    assert evaluate_human36m(same) == evaluate_human36m(r)
    assert evaluate_mpi_inf_3dhp(same) == evaluate_mpi_inf_3dhp(r)


def test_nothing_is_changed_in_place() -> None:
    r = made(predicted=poses()[0].float(), target=poses()[1].float())
    before = r.predicted.clone(), r.target.clone()
    side_by_side(r)
    assert torch.equal(r.predicted, before[0])
    assert torch.equal(r.target, before[1])
