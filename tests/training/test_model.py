"""From pictures to poses, and weights on disk: whole, readable, exact."""

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
from selfpose.extras.expectation import KNOWN_POSES
from selfpose.extras.posterior import HARDER, expected_pose
from selfpose.metrics import root_centred
from selfpose.model import Architecture, PosePipeline, images_to_input, load, round_to_half, save
from selfpose.skeleton import HUMAN_17, mirror_pose

SMALL = Architecture(
    image_size=32, skeleton_size=16, width_phi=8, width_omega=8, width_lambda=32,
    flow_components=6, flow_blocks=2, flow_width=16,
)  # fmt: skip
NOISE = torch.full((17,), 0.02)


def small(*, with_images: bool = True, known: int = 0) -> PosePipeline:
    """An untrained pipeline; with ``known`` unpaired poses it answers with what is expected."""
    scale = PixelScale(length_px=11.0)
    net = PosePipeline(
        skeleton=HUMAN_17, architecture=SMALL, scale=scale, with_images=with_images
    ).eval()
    net.flow.pca.fit(torch.randn(100, 34))
    if known:
        net.expectation.keep(NOISE, net.pixels_to_plane(32 * torch.rand(known, 17, 2)), net.lifter)
    return net


def pictures(n: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


def test_input_spans_minus_one_to_one() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert images_to_input(ends).unique().tolist() == [-1.0, 1.0]


def test_lengths_come_back_from_the_plane_in_shares_of_the_picture() -> None:
    net, pose = small(), torch.rand(4, 17, 2)
    plane = net.unit_to_plane(pose)
    # The plane is centred, so differences of joints are what both agree on.
    back = net.plane_to_unit(plane[:, :, None] - plane[:, None])
    torch.testing.assert_close(back, pose[:, :, None] - pose[:, None])


def test_prediction_is_the_chain_of_the_networks() -> None:
    net, x = small(), pictures()
    assert net.phi is not None
    assert net.omega is not None
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


def test_with_known_poses_the_expected_pose_is_lifted(tmp_path: Path) -> None:
    net, x = small(), pictures()
    read = net.predict(x)
    assert read.pose_2d_seen is None
    plane = net.pixels_to_plane(32 * torch.rand(50, 17, 2))
    net.expectation.keep(NOISE, plane, net.lifter)
    save(net, tmp_path / "weights.safetensors")
    found = load(tmp_path / "weights.safetensors").predict(x)
    assert found.pose_2d_seen is not None
    assert found.pose_3d_lifted is not None
    torch.testing.assert_close(found.pose_2d_seen, read.pose_2d)
    assert not torch.allclose(found.pose_2d, read.pose_2d, atol=0.01)
    half = plane.half().float()
    known = torch.cat([half, mirror_pose(half, HUMAN_17)])
    seen = net.pixels_to_plane(read.pose_2d)
    expected = expected_pose(seen, HARDER * NOISE, known, width=NOISE)
    shape = net.pixels_to_plane(found.pose_2d)
    torch.testing.assert_close(shape, root_centred(expected, HUMAN_17.root), atol=1e-4, rtol=0)
    lifted = net.predict_from_poses(found.pose_2d)
    torch.testing.assert_close(found.pose_3d_lifted, lifted.pose_3d)
    assert not torch.allclose(found.pose_3d, lifted.pose_3d, atol=1e-3)
    root = HUMAN_17.root
    torch.testing.assert_close(found.pose_3d[:, root], lifted.pose_3d[:, root])


def test_known_shapes_project_onto_the_known_poses() -> None:
    known = small(known=40).expectation
    assert known.known_shapes().shape == (80, 17, 3)  # half of them mirrored
    torch.testing.assert_close(
        project(known.known_shapes()), known.known_poses(), atol=1e-4, rtol=0
    )
    assert len(small(known=KNOWN_POSES + 100).expectation.poses) == KNOWN_POSES


def test_the_shape_does_not_depend_on_how_sides_were_named() -> None:
    net, seen = small(known=40), 32 * torch.rand(3, 17, 2)
    lifted, plane = net.predict_from_poses(seen).pose_3d, net.pixels_to_plane(seen)
    twin = net.expectation.shape(plane[:, list(HUMAN_17.flip)], lifted)
    torch.testing.assert_close(twin, net.expectation.shape(plane, lifted), atol=1e-4, rtol=0)


@pytest.mark.parametrize("known", [0, 50])
def test_batches_do_not_change_predictions(known: int) -> None:
    net, x = small(known=known), pictures(7)
    whole, parts = net.predict(x), net.predict(x, batch_size=3)
    torch.testing.assert_close(parts.pose_2d, whole.pose_2d, rtol=0, atol=0.01)
    torch.testing.assert_close(parts.pose_3d, whole.pose_3d, rtol=0, atol=0.01)


def test_pictures_of_another_size_give_poses_in_their_own_pixels() -> None:
    net = small()
    x = functional.interpolate(torch.rand(2, 3, 4, 4), (32, 32), mode="bilinear")
    large = functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False)
    seen, seen_large = (net.predict((255 * v).to(torch.uint8)) for v in (x, large))
    torch.testing.assert_close(seen_large.pose_2d, 2 * seen.pose_2d, atol=1.0, rtol=0)
    torch.testing.assert_close(seen_large.pose_3d, seen.pose_3d, atol=0.3, rtol=0)


@pytest.mark.usefixtures("without_shape_checks")
def test_wrong_poses_and_pictures_are_refused() -> None:
    for bad in (torch.zeros(4, 16, 2), torch.full((4, 17, 2), torch.nan)):
        with pytest.raises(ValueError, match=r"finite 2D poses of shape \(N, 17, 2\)"):
            small().predict_from_poses(bad)
    for bad in (torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 32, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="expected uint8 pictures"):
            small().predict(bad)
    with pytest.raises(ValueError, match="square pictures, got 48×32 px"):
        small().predict(torch.zeros(2, 3, 32, 48, dtype=torch.uint8))
    with pytest.raises(ValueError, match="lift 2D poses only"):
        small(with_images=False).predict(pictures())


@pytest.mark.parametrize("with_images", [True, False])
def test_save_and_load_round_trip(tmp_path: Path, with_images: bool) -> None:
    net = small(with_images=with_images, known=9)
    save(net, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    back = load(tmp_path / "w.safetensors")
    assert not back.training
    assert (back.skeleton, back.architecture, back.scale) == (HUMAN_17, SMALL, net.scale)
    kept = net.state_dict()
    assert all(torch.equal(v, kept[k]) for k, v in back.state_dict().items())
    poses = 32 * torch.rand(4, 17, 2)
    lifted = back.predict_from_poses(poses).pose_3d
    assert torch.equal(lifted, net.predict_from_poses(poses).pose_3d)


def test_rounded_networks_take_half_the_room_and_come_back_exactly(tmp_path: Path) -> None:
    net = small()
    huge = net.lifter.depth_head.bias
    with torch.no_grad():
        huge.fill_(1e6)  # beyond 65504: left as it is
    before = {name: p.clone() for name, p in net.named_parameters()}
    save(net, tmp_path / "whole.safetensors")
    round_to_half(net)
    save(net, tmp_path / "half.safetensors")
    assert (huge == 1e6).all()
    for name, p in net.named_parameters():
        torch.testing.assert_close(p, before[name], rtol=2**-11, atol=2**-25)
    whole, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("whole", "half"))
    assert half < 0.6 * whole
    kept = net.state_dict()
    for name, value in load(tmp_path / "half.safetensors").state_dict().items():
        assert value.dtype == kept[name].dtype
        assert torch.equal(value, kept[name])


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("weights, honestly " * 20),
    ],
)
def test_unreadable_weights_are_refused(tmp_path: Path, harm: Callable[[Path], Any]) -> None:
    path = tmp_path / "w.safetensors"
    save(small(), path)
    harm(path)
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        load(path)


def test_missing_weights_and_those_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors: no such weights"):
        load(path)
    for metadata in (None, {"selfpose": json.dumps({"format": 9})}):
        safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(ValueError, match="not a weights file of selfpose's format 4"):
            load(path)


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
