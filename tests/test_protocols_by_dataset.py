"""The numbers of a data set's protocol, from a prediction without scale."""

import pytest
import torch

from selfpose.bodies import HAND_21
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.data.readers import thinned
from selfpose.evaluation.protocols.by_dataset import protocol_numbers
from selfpose.skeleton import HUMAN_17, Skeleton


def labelled(body: Skeleton, n: int = 12, step: int = 1) -> LabelledSet:
    draw = torch.Generator().manual_seed(0)
    pose = 250 * torch.randn(n, body.n_joints, 3, generator=draw)
    return LabelledSet(
        images=torch.zeros(n, 3, 8, 8, dtype=torch.uint8),
        sequence=torch.arange(n) // 6,
        poses_2d=pose[..., :2],
        poses_3d=pose + torch.tensor([0.0, 0.0, 5000.0]),
        activity=("Greeting",) * 6 + ("Walking",) * (n - 6),
        subject=("S9",) * 6 + ("S11",) * (n - 6),
        clip=("S9/Greeting/1",) * 6 + ("S11/Walking/1",) * (n - 6),
        number=torch.arange(n) % 6 * step,
    )


def data(name: str, body: Skeleton = HUMAN_17, step: int = 1) -> PoseDataset:
    test = labelled(body, step=step)
    return PoseDataset(
        name=name,
        skeleton=body,
        unlabelled=ImageSet(images=test.images, sequence=test.sequence),
        unpaired=test.poses_2d,
        test=test,
    )


def test_a_perfect_prediction_of_any_size_has_no_error_and_30_of_31_under_the_curve() -> None:
    people = data("mpi-inf-3dhp")
    mpi = protocol_numbers(people, people.test.poses_3d / 700)
    areas = {name: value for name, value in mpi.items() if "auc" in name}
    assert areas
    assert all(abs(value - 100 * 30 / 31) < 1e-3 for value in areas.values())
    assert all("frames_the_source_calls_valid" in name for name in mpi)
    people = data("human36m-mmpose")
    h36m = protocol_numbers(people, people.test.poses_3d / 700)
    assert max(value for name, value in h36m.items() if "z_turned" not in name) < 1e-2


def test_the_bad_sequences_change_what_is_averaged() -> None:
    people = data("human36m")
    predicted = people.test.poses_3d.clone()
    predicted[:6] += 60 * torch.randn(6, 17, 3, generator=torch.Generator().manual_seed(1))
    told = protocol_numbers(people, predicted)
    name = "p_mpjpe_mm.procrustes.proper_rotation.17_joints"
    assert told[f"{name}.all_frames.all_sequences.over_frames"] > 10
    assert told[f"{name}.all_frames.without_bad_s9.over_frames"] < 1e-2
    assert any("every_64th" in key for key in told)


@pytest.mark.parametrize("step", [5, 64])
def test_what_holds_every_nth_frame_is_named_so(step: int) -> None:
    people = data("human36m-fetch", step=step)
    told = protocol_numbers(people, people.test.poses_3d)
    frames = {key.split(".")[4] for key in told}
    assert frames == {f"every_{step}th"}


def test_a_thinned_test_part_is_never_called_all_frames() -> None:
    few = thinned(data("human36m"), n_test=5)
    told = protocol_numbers(few, few.test.poses_3d)
    assert told
    assert all("5_spread_frames" in key for key in told)
    assert not any("all_frames" in key or "64th" in key for key in told)


def test_hands_have_their_protocol_and_others_none() -> None:
    hands = data("hand", HAND_21)
    assert any("auc" in name for name in protocol_numbers(hands, hands.test.poses_3d))
    for name in ("embedded", "handsome"):
        assert protocol_numbers(data(name), data(name).test.poses_3d) == {}
