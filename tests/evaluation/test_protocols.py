"""Evaluation protocols: against independent computations, by hand, and what each must not hide."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from selfpose import metrics
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.evaluation import protocols
from selfpose.evaluation.protocols import PoseResults, protocol_numbers, side_by_side, with_parts
from selfpose.skeleton import HAND_21, HUMAN_17, Skeleton

seeds = st.integers(0, 2**20)
noises = st.sampled_from([20.0, 90.0, 500.0])


def made(
    n: int = 12, *, seed: int = 0, noise: float = 90.0, body: Skeleton = HUMAN_17, **fields: Any
) -> PoseResults:
    """Random poses, double precision: people, or hands a fifth as large."""
    draw = torch.Generator().manual_seed(seed)
    shape = (n, body.n_joints, 3)
    size = 300 if body is HUMAN_17 else 60
    target = size * torch.randn(shape, generator=draw, dtype=torch.float64)
    predicted = target + noise * torch.randn(shape, generator=draw, dtype=torch.float64)
    given = {"skeleton": body, "predicted": predicted, "target": target}
    return PoseResults(**(given | fields))


def only(numbers: dict[str, float], *parts: str) -> float:
    """The one number whose name holds these parts."""
    (value,) = with_parts(numbers, *parts).values()
    return value


def numpy_errors(p: NDArray, g: NDArray) -> dict[str, NDArray]:
    """Joint errors (J,) of one pose under each alignment; no code of the library."""
    p0, g0 = p - p[0], g - g[0]
    pc, gc = p - p.mean(0), g - g.mean(0)
    turn, _ = Rotation.align_vectors(gc, pc)
    proper = turn.apply(pc)
    proper *= (proper * gc).sum() / (pc**2).sum()
    free, trace = orthogonal_procrustes(pc, gc)
    z = pc @ free @ np.diag([1, 1, np.linalg.det(free)])
    z *= np.sqrt((gc**2).sum() / (pc**2).sum())
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


@given(seed=seeds, noise=noises)
def test_human36m_against_numpy_and_scipy(seed: int, noise: float) -> None:
    r = made(seed=seed, noise=noise)
    pairs = zip(r.predicted.numpy(), r.target.numpy(), strict=True)
    rows = [numpy_errors(p, g) for p, g in pairs]
    numbers = protocols.evaluate_human36m(r)
    assert len(numbers) == len(rows[0])
    for kind in rows[0]:
        expected = np.mean([row[kind].mean() for row in rows])
        assert only(numbers, kind) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=5)
@given(seed=seeds, noise=noises)
def test_pck_and_auc_against_the_official_way_round_by_groups(seed: int, noise: float) -> None:
    """Group by group, each weighed by its number of joints, as the official script goes."""
    r = made(seed=seed, noise=noise)
    errors = np.linalg.norm(
        (r.predicted - r.predicted[:, :1] - r.target + r.target[:, :1]).numpy(), axis=-1
    )
    numbers = protocols.evaluate_mpi_inf_3dhp(r)
    for joints, groups in protocols.JOINT_LISTS.items():
        assert len(groups) == {"14_joints": 8, "17_joints": 9}[joints]
        table = protocols.mpi_inf_3dhp_by_group(r, joints=joints)
        curve, count = np.zeros(31), 0
        for group, names in groups.items():
            e = errors[:, [HUMAN_17.joints.index(name) for name in names]]
            shares = 100 * np.array([(e < t).mean() for t in np.arange(0, 151, 5)])
            assert table[group]["pck150_percent"] == pytest.approx(shares[-1])
            assert table[group]["auc0to150_percent"] == pytest.approx(shares.mean())
            curve, count = curve + len(names) * shares, count + len(names)
        assert f"{count}_joints" == joints
        parts = ("root_aligned", "given_scale", joints)
        assert only(numbers, "pck150_percent", *parts) == pytest.approx(curve[-1] / count)
        assert only(numbers, "auc0to150_percent", *parts) == pytest.approx(curve.mean() / count)
        assert table["total"]["pck150_percent"] == pytest.approx(curve[-1] / count)


@settings(max_examples=5)
@given(seed=seeds)
def test_hand_areas_against_numpys_trapezoid(seed: int) -> None:
    r = made(9, seed=seed, noise=12, body=HAND_21)
    p, g = r.predicted.numpy(), r.target.numpy()
    errors = np.linalg.norm((p - p[:, :1]) - (g - g[:, :1]), axis=-1)
    numbers = protocols.evaluate_hands(r)
    for name, (low, high, count) in protocols.AREAS.items():
        thresholds = np.linspace(low, high, count)
        curves = [[(e <= t).mean() for t in thresholds] for e in errors.T]
        expected = 100 * np.mean(trapezoid(curves, thresholds)) / (high - low)
        parts = (*name.split("."), "root_aligned", "given_scale")
        assert only(numbers, *parts) == pytest.approx(expected, abs=1e-4)
    middle = HAND_21.index("middle_1")
    bone = np.linalg.norm(g[:, middle] - g[:, 0], axis=-1)
    bone /= np.linalg.norm(p[:, middle] - p[:, 0], axis=-1)
    scaled = bone[:, None, None] * (p - p[:, :1])
    expected = np.linalg.norm(scaled - (g - g[:, :1]), axis=-1).mean()
    assert only(numbers, "mpjpe_mm", "bone_scale") == pytest.approx(expected)


def test_a_perfect_prediction_scores_thirty_of_thirty_one_and_a_hand_a_hundred() -> None:
    perfect = {"auc0to150_percent": 100 * 30 / 31, "pck150_percent": 100, "mpjpe_mm": 0}
    for name, value in protocols.evaluate_mpi_inf_3dhp(made(noise=0)).items():
        metric = name.split(".")[0].removeprefix("n_").removeprefix("p_")
        assert value == pytest.approx(perfect[metric], abs=1e-9)
    hands = protocols.evaluate_hands(made(noise=0, body=HAND_21))
    # Aligned by a rotation, errors are zero up to rounding, and the first threshold is zero.
    exact = [v for k, v in hands.items() if "auc" in k and "given_scale" in k]
    assert exact == pytest.approx([100] * len(protocols.AREAS))
    assert all(v > 99.4 for k, v in hands.items() if "auc0to50_percent.100" in k)


def test_a_depth_flip_scores_zero_only_where_reflections_are_allowed() -> None:
    target = made().target
    flat = protocols.evaluate_human36m(made(predicted=metrics.flip_depth(target, root=0)))
    assert only(flat, "reflection_allowed") < 1e-9
    # The turned z is a rotation, but not the best one: no better, in least squares, than it.
    assert only(flat, "z_turned") > only(flat, "proper_rotation") > 50
    hand = made(body=HAND_21).target
    other = made(body=HAND_21, predicted=hand * torch.tensor([-1.0, 1, 1]))
    assert only(protocols.evaluate_hands(other), "mpjpe_mm", "reflection_allowed") < 1e-9
    assert only(protocols.evaluate_hands(other), "mpjpe_mm", "proper_rotation") > 10


@settings(max_examples=5)
@given(seed=seeds, factor=st.floats(0.2, 5))
def test_what_each_variant_forgives(seed: int, factor: float) -> None:
    plain = made(seed=seed)
    own = side_by_side(plain)

    def scores(predicted: torch.Tensor) -> dict[str, float]:
        return side_by_side(dataclasses.replace(plain, predicted=predicted))

    moved = scores(plain.predicted + torch.tensor([100.0, -2000.0, 9000.0]))
    assert moved == pytest.approx(own, abs=1e-6)
    scaled = scores(factor * plain.predicted)
    forgiving = [k for k in own if k.startswith(("n_", "p_"))]
    for name in forgiving:
        assert scaled[name] == pytest.approx(own[name], abs=1e-6)
    turn = torch.from_numpy(Rotation.random(random_state=np.random.default_rng(seed)).as_matrix())
    turned = scores(plain.predicted @ turn.mT)
    for kind in ("proper_rotation", "reflection_allowed"):
        parts = ("p_mpjpe_mm", kind)
        assert only(turned, *parts) == pytest.approx(only(own, *parts), abs=1e-6)


def test_no_unit_means_one_factor_for_all() -> None:
    r = made(sequence=("a",) * 6 + ("b",) * 6)
    free, other = (
        dataclasses.replace(r, predicted=r.predicted / by, unit="free") for by in (700, 3)
    )
    assert side_by_side(free) == pytest.approx(side_by_side(other), abs=1e-6)
    p, g = (metrics.root_centred(x, 0) for x in (r.predicted, r.target))
    factor = np.linalg.lstsq(p.reshape(-1, 1).numpy(), g.flatten().numpy(), rcond=None)[0][0]
    torch.testing.assert_close(free.in_mm, factor * r.predicted)
    numbers = side_by_side(free)
    assert with_parts(numbers, "one_scale_for_all")
    assert not with_parts(numbers, "given_scale")
    # Every other number is the same as with the unit known.
    kept = {k: v for k, v in side_by_side(r).items() if "given_scale" not in k}
    assert {k: numbers[k] for k in kept} == pytest.approx(kept, abs=1e-6)


def shifted(errors_mm: list[float], **fields: Any) -> PoseResults:
    """Poses whose 16 joints beside the root are off by that much: MPJPE is 16/17 of it."""
    r = made(len(errors_mm), noise=0)
    predicted = r.target.clone()
    predicted[:, 1:, 0] += torch.tensor(errors_mm, dtype=torch.float64)[:, None]
    return dataclasses.replace(r, predicted=predicted, **fields)


def test_averages_over_actions_sequences_and_frames_by_hand() -> None:
    actions = ("Sitting 1", "Sitting", "Sitting 1", "Walking")
    numbers = protocols.evaluate_human36m(shifted([17.0, 34.0, 34.0, 85.0], action=actions))
    parts = ("mpjpe_mm", "all_frames")
    assert only(numbers, *parts, "over_frames") == pytest.approx((16 + 32 + 32 + 80) / 4)
    assert only(numbers, *parts, "over_actions") == pytest.approx(((16 + 32 + 32) / 3 + 80) / 2)
    r = shifted([0.0, 200.0, 200.0, 200.0], sequence=("TS1", "TS2", "TS2", "TS2"))
    parts = ("pck150_percent", "root_aligned", "given_scale", "14_joints")
    assert only(protocols.evaluate_mpi_inf_3dhp(r), *parts, "over_frames") == pytest.approx(25)
    assert only(protocols.evaluate_mpi_inf_3dhp(r), *parts, "over_sequences") == pytest.approx(50)


def test_which_frames_are_averaged() -> None:
    r = shifted(
        [17.0, 34.0, 51.0, 68.0],
        subject=("S9", "S9", "S9", "S11"),
        sequence=("Greeting", "Greeting 1", "Waiting 1", "Greeting"),
        action=("Greeting", "Greeting", "Waiting", "Greeting"),
        number=torch.tensor([0, 64, 65, 63]),
    )
    numbers = protocols.evaluate_human36m(r)
    expected = {
        ("all_frames", "all_sequences"): 40,
        ("all_frames", "without_bad_s9"): (32 + 64) / 2,
        ("every_64th", "all_sequences"): 24,
        ("every_64th", "without_bad_s9"): 32,
    }
    for parts, value in expected.items():
        assert only(numbers, "mpjpe_mm", *parts, "over_frames") == pytest.approx(value)
    assert len(numbers) == 6 * 4 * 2


def test_metres_are_refused() -> None:
    r = made()
    for fields in ({"predicted": r.predicted / 1000}, {"target": r.target / 1000}):
        with pytest.raises(ValueError, match="multiply metres by 1000"):
            dataclasses.replace(r, **fields)


def data(name: str, body: Skeleton = HUMAN_17, step: int = 1, **source: Any) -> PoseDataset:
    pose = made(body=body).target.float()
    test = LabelledSet(
        images=torch.zeros(12, 3, 8, 8, dtype=torch.uint8),
        sequence=torch.arange(12) // 6,
        poses_2d=pose[..., :2],
        poses_3d=pose + torch.tensor([0.0, 0.0, 5000.0]),
        activity=("Greeting",) * 6 + ("Walking",) * 6,
        subject=("S9",) * 6 + ("S11",) * 6,
        clip=("S9/Greeting/1",) * 6 + ("S11/Walking/1",) * 6,
        number=torch.arange(12) % 6 * step,
    )
    return PoseDataset(
        name=name,
        skeleton=body,
        unlabelled=ImageSet(images=test.images, sequence=test.sequence),
        unpaired=test.poses_2d,
        test=test,
        provenance={"source": source},
    )


def held(dataset: PoseDataset) -> set[str]:
    """The parts of the names that say which frames were there."""
    numbers = protocol_numbers(dataset, dataset.test.poses_3d / 700)
    return {p for name in numbers for p in name.split(".") if "frames" in p or "every" in p} - {
        "over_frames"
    }


def test_the_frames_that_a_data_set_holds_are_named() -> None:
    assert held(data("human36m")) == {"all_frames", "every_64th"}
    assert held(data("human36m-mmpose", step=5)) == {"every_5th"}
    assert held(data("human36m-fetch", step=64)) == {"every_64th"}
    assert held(data("human36m").thinned(n_test=5)) == {"5_spread_frames"}
    assert held(data("mpi-inf-3dhp")) == {"frames_the_source_calls_valid"}
    assert held(data("hand", HAND_21)) == {"all_frames"}
    for name in ("embedded", "handsome"):
        assert held(data(name)) == set()


def test_a_data_sets_numbers_are_its_protocols() -> None:
    people = data("human36m")
    predicted = people.test.poses_3d.clone()
    predicted[:6] += 60 * torch.randn(6, 17, 3, generator=torch.Generator().manual_seed(1))
    told = protocol_numbers(people, predicted / 700)
    name = "p_mpjpe_mm.procrustes.proper_rotation.17_joints.all_frames"
    assert told[f"{name}.all_sequences.over_frames"] > 10
    assert told[f"{name}.without_bad_s9.over_frames"] < 1e-2
    for universal in (False, True):
        mpi = data("mpi-inf-3dhp", universal=universal)
        numbers = protocol_numbers(mpi, mpi.test.poses_3d)
        assert all(("univ_annot3" in key.split(".")) == universal for key in numbers)
        areas = [value for key, value in numbers.items() if "auc" in key]
        assert areas == pytest.approx([100 * 30 / 31] * len(areas), abs=1e-3)
