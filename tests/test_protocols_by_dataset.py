"""The numbers of a data set's protocol, from a prediction without scale."""

import torch

from selfpose.bodies import HAND_21
from selfpose.data.protocol import LabelledSet
from selfpose.protocols.by_dataset import protocol_numbers
from selfpose.skeleton import HUMAN_17, Skeleton


def labelled(body: Skeleton, n: int = 12) -> LabelledSet:
    draw = torch.Generator().manual_seed(0)
    pose = 250 * torch.randn(n, body.n_joints, 3, generator=draw)
    return LabelledSet(
        images=torch.zeros(n, 3, 8, 8, dtype=torch.uint8),
        sequence=torch.arange(n),
        poses_2d=pose[..., :2],
        poses_3d=pose + torch.tensor([0.0, 0.0, 5000.0]),
        activity=("Greeting",) * 6 + ("Walking",) * (n - 6),
        subject=("S9",) * 6 + ("S11",) * (n - 6),
        clip=("S9/Greeting/1",) * 6 + ("S11/Walking/1",) * (n - 6),
        number=torch.arange(n) * 32,
    )


def test_a_perfect_prediction_of_any_size_has_no_error_and_30_of_31_under_the_curve() -> None:
    test = labelled(HUMAN_17)
    mpi = protocol_numbers("mpi-inf-3dhp", test.poses_3d / 700, test, HUMAN_17)
    areas = {name: value for name, value in mpi.items() if "auc" in name}
    assert areas
    assert all(abs(value - 100 * 30 / 31) < 1e-3 for value in areas.values())
    assert all("valid_frames" in name for name in mpi)
    h36m = protocol_numbers("human36m-mmpose", test.poses_3d / 700, test, HUMAN_17)
    assert max(value for name, value in h36m.items() if "z_turned" not in name) < 1e-2


def test_the_bad_sequences_and_every_64th_frame_change_what_is_averaged() -> None:
    test = labelled(HUMAN_17)
    predicted = test.poses_3d.clone()
    predicted[:6] += 60 * torch.randn(6, 17, 3, generator=torch.Generator().manual_seed(1))
    told = protocol_numbers("human36m", predicted, test, HUMAN_17)
    name = "p_mpjpe_mm.procrustes.proper_rotation.17_joints"
    assert told[f"{name}.all_frames.all_sequences.over_frames"] > 10
    assert told[f"{name}.all_frames.without_bad_s9.over_frames"] < 1e-2
    assert any("every_64th" in key for key in told)


def test_hands_have_their_protocol_and_others_none() -> None:
    hands = labelled(HAND_21)
    assert any("auc" in name for name in protocol_numbers("hand", hands.poses_3d, hands, HAND_21))
    people = labelled(HUMAN_17)
    assert protocol_numbers("embedded", people.poses_3d, people, HUMAN_17) == {}
    assert protocol_numbers("handsome", people.poses_3d, people, HUMAN_17) == {}
