"""From pictures to poses, and weights on disk: whole, readable, of the right body."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch.nn import functional

from selfpose import model as module
from selfpose.camera import DEPTH_OFFSET, PixelScale, project
from selfpose.metrics import root_centred
from selfpose.model import (
    KNOWN_POSES,
    Architecture,
    PosePipeline,
    images_to_input,
    load,
    round_to_half,
    save,
)
from selfpose.extras.posterior import HARDER, expected_pose
from experiments.records import RESULTS, WEIGHTS
from selfpose.skeleton import HUMAN_17, Skeleton, mirror_pose

SMALL = Architecture(
    image_size=32,
    skeleton_size=16,
    width_phi=8,
    width_omega=8,
    width_lambda=32,
    flow_components=6,
    flow_blocks=2,
    flow_width=16,
)


def small(*, with_images: bool = True) -> PosePipeline:
    built = PosePipeline(
        skeleton=HUMAN_17,
        architecture=SMALL,
        scale=PixelScale(length_px=11.0),
        with_images=with_images,
    )
    return built.eval()


def pictures(n: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


def test_input_spans_minus_one_to_one() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert images_to_input(ends).unique().tolist() == [-1.0, 1.0]


def test_lengths_come_back_from_the_plane_in_shares_of_the_picture() -> None:
    net = small()
    pose = torch.rand(4, 17, 2)
    plane = net.unit_to_plane(pose)
    # The plane is centred, so differences of joints are what both agree on.
    back = net.plane_to_unit(plane[:, :, None] - plane[:, None])
    torch.testing.assert_close(back, pose[:, :, None] - pose[:, None])
    torch.testing.assert_close(net.unit_to_plane(net.plane_to_unit(plane)), plane)
    head_to_hip = torch.tensor(11.0 / 32)  # of the pixel scale, in shares of 32 px
    reference = torch.zeros(17, 2)
    reference[HUMAN_17.top, 1] = -head_to_hip
    length = net.unit_to_plane(reference).norm(dim=-1)[HUMAN_17.top]
    torch.testing.assert_close(net.plane_to_unit(length), head_to_hip)


def test_prediction_is_the_chain_of_the_networks() -> None:
    net = small()
    assert net.phi is not None
    assert net.omega is not None
    x = pictures()
    seen = net.predict(x)
    with torch.no_grad():
        s = net.phi(images_to_input(x))
        y = net.omega(s)
        torch.testing.assert_close(seen.skeleton_image, s)
        torch.testing.assert_close(seen.pose_2d, 32 * y)
        plane = net.unit_to_plane(y)
        torch.testing.assert_close(project(seen.pose_3d), plane)
        depth, elevation = net.lifter(plane)
        torch.testing.assert_close(seen.pose_3d[..., 2], depth + DEPTH_OFFSET)
        torch.testing.assert_close(seen.elevation, elevation)


def test_with_known_noise_the_expected_pose_is_lifted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = small(), pictures()
    read = net.predict(x)
    assert read.pose_2d_seen is None
    unpaired = 32 * torch.rand(50, 17, 2)
    net.keep_unpaired(torch.full((17,), 0.02), unpaired, net.lifter)
    save(net, tmp_path / "weights.safetensors")
    found = load(tmp_path / "weights.safetensors").predict(x)
    assert found.pose_2d_seen is not None
    torch.testing.assert_close(found.pose_2d_seen, read.pose_2d)
    assert not torch.allclose(found.pose_2d, read.pose_2d, atol=0.01)
    plane = net.scale.pixels_to_plane(unpaired, HUMAN_17.root).half().float()
    expected = expected_pose(
        net.scale.pixels_to_plane(read.pose_2d, HUMAN_17.root),
        HARDER * net.noise,
        torch.cat([plane, mirror_pose(plane, HUMAN_17)]),
        width=net.noise,
    )
    shape = net.scale.pixels_to_plane(found.pose_2d, HUMAN_17.root)
    torch.testing.assert_close(shape, root_centred(expected, HUMAN_17.root), atol=1e-4, rtol=0)
    lifted = net.predict_from_poses(found.pose_2d)
    assert found.pose_3d_lifted is not None
    torch.testing.assert_close(found.pose_3d_lifted, lifted.pose_3d)
    assert not torch.allclose(found.pose_3d, lifted.pose_3d, atol=1e-3)
    root = HUMAN_17.root
    torch.testing.assert_close(found.pose_3d[:, root], lifted.pose_3d[:, root])


def test_all_published_weights_can_be_loaded() -> None:
    paths = sorted(RESULTS.rglob(WEIGHTS))
    assert paths
    for path in paths:
        net = load(path)
        assert net.noise.shape == (net.skeleton.n_joints,)
        assert bool(net.noise.any()) == bool(len(net.poses))


def test_a_pipeline_keeps_a_part_of_many_poses_in_half_precision() -> None:
    net, unpaired = small(), torch.rand(KNOWN_POSES + 1000, 17, 2)
    net.keep_unpaired(torch.full((17,), 0.02), unpaired, net.lifter)
    assert net.poses.shape == (KNOWN_POSES, 17, 2)
    assert net.poses.dtype == torch.float16
    last = net.scale.pixels_to_plane(unpaired[-1:], HUMAN_17.root)
    torch.testing.assert_close(net.poses[-1:].float(), last, rtol=2e-3, atol=1e-3)


def test_known_shapes_project_onto_the_known_poses() -> None:
    torch.manual_seed(0)
    net = small()
    net.keep_unpaired(torch.full((17,), 0.02), 32 * torch.rand(40, 17, 2), net.lifter)
    shape = net.known_shapes()
    assert shape.shape == (80, 17, 3)  # half of them mirrored
    torch.testing.assert_close(project(shape), net.known_poses(), atol=1e-4, rtol=0)


def test_the_shape_does_not_depend_on_how_sides_were_named() -> None:
    torch.manual_seed(0)
    net, seen = small(), 32 * torch.rand(3, 17, 2)
    net.keep_unpaired(torch.full((17,), 0.02), 32 * torch.rand(40, 17, 2), net.lifter)
    lifted = net.predict_from_poses(seen).pose_3d
    twin = net.expect_shape(seen[:, list(HUMAN_17.flip)], lifted)
    torch.testing.assert_close(twin, net.expect_shape(seen, lifted), atol=1e-4, rtol=0)


def test_weights_without_depths_lift_the_expected_pose(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = small(), pictures()
    net.keep_unpaired(torch.full((17,), 0.02), 32 * torch.rand(40, 17, 2), net.lifter)
    path = tmp_path / "w.safetensors"
    save(net, path)
    tensors = {k: v for k, v in safetensors.torch.load_file(path).items() if k != "depths"}
    text = json.dumps(net.describe() | {"format": 3})
    safetensors.torch.save_file(tensors, path, metadata={"selfpose": text})
    found = load(path).predict(x)
    assert found.pose_3d_lifted is None
    torch.testing.assert_close(found.pose_3d, net.predict_from_poses(found.pose_2d).pose_3d)


def test_batches_do_not_change_predictions() -> None:
    net, x = small(), pictures(7)
    whole, parts = net.predict(x), net.predict(x, batch_size=3)
    torch.testing.assert_close(parts.pose_3d, whole.pose_3d)
    lifted = net.predict_from_poses(whole.pose_2d, batch_size=2)
    torch.testing.assert_close(lifted.pose_3d, whole.pose_3d)


def test_batches_do_not_change_refined_predictions() -> None:
    torch.manual_seed(0)
    net, x = small(), pictures(7)
    net.keep_unpaired(torch.full((17,), 0.02), 32 * torch.rand(50, 17, 2), net.lifter)
    whole, parts = net.predict(x), net.predict(x, batch_size=3)
    torch.testing.assert_close(parts.pose_2d, whole.pose_2d, rtol=0, atol=0.01)


def test_pictures_of_another_size_give_poses_in_their_own_pixels() -> None:
    net = small()
    x = functional.interpolate(torch.rand(2, 3, 4, 4), (32, 32), mode="bilinear")
    large = functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    seen, seen_large = (net.predict((255 * v).to(torch.uint8)) for v in (x, large))
    torch.testing.assert_close(seen_large.pose_2d, 2 * seen.pose_2d, atol=1.0, rtol=0)
    torch.testing.assert_close(seen_large.pose_3d, seen.pose_3d, atol=0.3, rtol=0)


def test_wrong_joint_count_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 17, 2\).*got \(4, 16, 2\)"):
        small().predict_from_poses(torch.zeros(4, 16, 2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_poses_that_are_not_finite_are_refused(bad: float) -> None:
    poses = torch.zeros(4, 17, 2)
    poses[2, 3, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        small().predict_from_poses(poses)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 3, 32, 32), "expected uint8 pictures"),
        (torch.zeros(2, 1, 32, 32, dtype=torch.uint8), "expected uint8 pictures"),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), "expected uint8 pictures"),
        (torch.zeros(2, 3, 32, 48, dtype=torch.uint8), "square pictures, got 48×32 px"),
    ],
)
def test_wrong_pictures_are_refused(bad: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().predict(bad)


def test_lifting_weights_take_no_pictures() -> None:
    net = small(with_images=False)
    assert net.phi is None
    assert net.predict_from_poses(torch.rand(2, 17, 2)).skeleton_image is None
    with pytest.raises(ValueError, match="lift 2D poses only"):
        net.predict(pictures())


@pytest.mark.parametrize("with_images", [True, False])
def test_save_and_load_round_trip(tmp_path: Path, with_images: bool) -> None:
    net = small(with_images=with_images)
    net.flow.pca.fit(torch.randn(100, 34))
    save(net, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    back = load(tmp_path / "w.safetensors", skeleton=HUMAN_17)
    assert not back.training
    assert back.describe() == net.describe()
    kept = net.state_dict()
    assert all(torch.equal(v, kept[k]) for k, v in back.state_dict().items())
    poses = 32 * torch.rand(4, 17, 2)
    assert torch.equal(
        back.predict_from_poses(poses).pose_3d, net.predict_from_poses(poses).pose_3d
    )
    if with_images:
        x = pictures()
        assert torch.equal(back.predict(x).pose_3d, net.predict(x).pose_3d)


def test_rounded_networks_take_half_the_room_and_come_back_exactly(tmp_path: Path) -> None:
    net = small()
    net.flow.pca.fit(torch.randn(100, 34))
    before = {name: p.clone() for name, p in net.named_parameters()}
    save(net, tmp_path / "whole.safetensors")
    round_to_half(net)
    save(net, tmp_path / "half.safetensors")
    for name, p in net.named_parameters():
        assert p.dtype == torch.float32
        torch.testing.assert_close(p, before[name], rtol=2**-11, atol=2**-25)
    whole, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("whole", "half"))
    assert half < 0.6 * whole
    back, kept = load(tmp_path / "half.safetensors").state_dict(), net.state_dict()
    for name, value in back.items():
        assert value.dtype == kept[name].dtype
        assert torch.equal(value, kept[name])


def test_what_half_precision_cannot_hold_is_not_rounded_away(tmp_path: Path) -> None:
    net = small(with_images=False)
    net.flow.pca.fit(torch.randn(100, 34))
    name, weight = next(iter(net.lifter.named_parameters()))
    with torch.no_grad():
        weight.fill_(1e6)  # beyond 65504
    round_to_half(net)
    save(net, tmp_path / "w.safetensors")
    assert (load(tmp_path / "w.safetensors").lifter.get_parameter(name) == 1e6).all()


def test_weights_with_noise_but_no_poses_say_that_they_refine_nothing(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "w.safetensors"
    net.flow.pca.fit(torch.randn(100, 34))
    net.noise.fill_(0.01)
    save(net, path)
    with safetensors.safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["selfpose"])
    tensors = {k: v for k, v in safetensors.torch.load_file(path).items() if k != "poses"}
    text = json.dumps(described | {"format": 2})
    safetensors.torch.save_file(tensors, path, metadata={"selfpose": text})
    with pytest.warns(UserWarning, match="format 2.*lifted as they were read"):
        assert load(path).predict(pictures()).pose_2d_seen is None


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such weights"):
        load(tmp_path / "none.safetensors")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("weights, honestly " * 20)


@pytest.mark.parametrize("harm", [truncate, cut_header, empty, text])
def test_unreadable_weights_are_refused(tmp_path: Path, harm: Callable[[Path], Any]) -> None:
    path = tmp_path / "w.safetensors"
    save(small(), path)
    harm(path)
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        load(path)


def test_weights_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not one that selfpose wrote"):
        load(path)
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata={"selfpose": '{"format":9}'})
    with pytest.raises(ValueError, match="weights format 9"):
        load(path)


def test_weights_of_another_skeleton_are_refused(tmp_path: Path) -> None:
    crane = Skeleton(
        name="crane",
        joints=("base", "boom", "jib", "hook", "load"),
        bones=((0, 1), (1, 2), (2, 3), (3, 4)),
        root=0,
        top=1,
    )
    net = PosePipeline(
        skeleton=crane,
        architecture=SMALL,
        scale=PixelScale(length_px=11.0),
        with_images=False,
    )
    save(net, tmp_path / "crane.safetensors")
    assert load(tmp_path / "crane.safetensors").skeleton == crane
    with pytest.raises(ValueError, match=r"'crane' with 5 joints, but 'human_17' with 17"):
        load(tmp_path / "crane.safetensors", skeleton=HUMAN_17)


def test_a_full_disk_leaves_the_old_weights_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    save(small(), path)
    before = path.read_bytes()

    def full(tensors: object, target: Path, metadata: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save(small(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
