"""Turning 3D views: what is drawn is the camera's own geometry, what is refused, what it weighs."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch

from selfpose.camera import azimuth_rotation, elevation_rotation
from selfpose.page_weight import check_page_weights, page_weights
from selfpose.skeleton import HUMAN_17
from book.kit.view3d import MAX_OVERLAID, PoseView, pose_view, pose_views

DISTANCE = 6.0  # of the eye, in units of the farthest joint


def random_pose(*size: int) -> torch.Tensor:
    return torch.randn(*size, 17, 3) * 300


def view(poses: Any, **changes: Any) -> PoseView:
    arguments: dict[str, Any] = {"label": "a pose", "description": "A pose.", **changes}
    return pose_view(poses, HUMAN_17, **arguments)


def page_data(shown: PoseView) -> dict[str, Any]:
    (text,) = re.findall(r'class="pv-data">(.*?)</script>', shown.html, flags=re.S)
    return json.loads(text)


def drawn_bones(shown: PoseView) -> list[tuple[float, ...]]:
    """Both ends, width and opacity of every bone, in the order drawn."""
    (group,) = re.findall(r"<g>(.*?)</g>", shown.html)
    pattern = r'd="M(\S+) (\S+)L(\S+) (\S+)" stroke-width="(\S+)" opacity="(\S+)"'
    return [tuple(map(float, found)) for found in re.findall(pattern, group)]


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (-30, 10), (120, -40), (10, 90)])
def test_first_drawing_is_the_cameras_geometry(azimuth: float, elevation: float) -> None:
    pose = random_pose()
    shown = view(pose, azimuth=azimuth, elevation=elevation)
    centred = pose - (pose.amin(dim=0) + pose.amax(dim=0)) / 2
    unit = centred / centred.norm(dim=-1).max()
    a, e = (torch.deg2rad(torch.tensor(float(x))) for x in (azimuth, elevation))
    turned = unit @ (elevation_rotation(e) @ azimuth_rotation(a)).mT
    flat = 1000 * turned[:, :2] * DISTANCE / (DISTANCE + turned[:, 2:])
    expected = np.stack([flat[[i, j]].flatten().numpy() for i, j in HUMAN_17.bones])
    drawn = np.array([bone[:4] for bone in drawn_bones(shown)])
    # each bone is drawn once, somewhere in the order of depths
    apart = np.abs(drawn[:, None] - expected).max(axis=-1)
    assert sorted(apart.argmin(axis=1)) == list(range(HUMAN_17.n_bones))
    assert apart.min(axis=1).max() < 2.5


def test_near_bones_are_drawn_last_and_widest() -> None:
    bones = drawn_bones(view(random_pose()))
    assert len(bones) == HUMAN_17.n_bones
    widths, opacities = [bone[4] for bone in bones], [bone[5] for bone in bones]
    assert widths == sorted(widths)
    assert opacities == sorted(opacities)


def test_unit_place_and_kind_of_array_do_not_matter() -> None:
    pose = random_pose()
    assert view(pose).html == view(pose.double().numpy() / 64).html
    moved = page_data(view(pose + torch.tensor([128.0, -64.0, 1024.0])))["panels"]
    np.testing.assert_allclose(moved, page_data(view(pose))["panels"], atol=1)


def test_a_root_at_the_edge_leaves_the_body_in_the_middle() -> None:
    pose = random_pose()
    aside = pose.clone()
    aside[0] += torch.tensor([3000.0, 0.0, 0.0])
    for poses in (pose, aside, {"a": pose, "b": aside}):
        shown = np.concatenate(
            [np.reshape(p[0], (17, 3)) for p in page_data(view(poses))["panels"][0]]
        )
        assert np.abs(shown.min(axis=0) + shown.max(axis=0)).max() <= 2
        assert 998 <= np.linalg.norm(shown, axis=-1).max() <= 1002


def test_uncentred_poses_keep_their_places() -> None:
    pose, step = random_pose(), torch.tensor([0.0, 0.0, 500.0])
    apart = page_data(view({"a": pose, "b": pose + step}, centred=False))["panels"][0]
    a, b = (np.reshape(frames[0], (17, 3)) for frames in apart)
    assert np.abs((b - a)[:, :2]).max() == 0
    assert np.ptp((b - a)[:, 2]) <= 1
    assert (b - a)[0, 2] > 0


def test_frames_of_a_moving_pose_and_one_that_stands_still() -> None:
    frames = ["<0>", "</script>", "2"]
    shown = view(
        {"moving": random_pose(3), "still": random_pose()},
        frames=frames,
        frame_descriptions=["first", "second", "third"],
        start=1,
    )
    data = page_data(shown)
    assert data["frames"] == frames
    assert [len(pose) for pose in data["panels"][0]] == [3, 1]
    assert '<svg role="img" aria-label="second"' in shown.html
    assert shown.html.count('<th scope="row">') == 3
    assert shown.html.count("</script>") == 2


def test_panels_share_one_scale_and_carry_their_names() -> None:
    pose = random_pose()
    shown = pose_views(
        {"small": pose / 2, "<large>": {"prediction": pose, "truth": pose}},
        HUMAN_17,
        label="two",
        description="Two poses.",
    )
    panels = page_data(shown)["panels"]
    small, large = (np.reshape(panel[0][0], (17, 3)) for panel in panels)
    np.testing.assert_allclose(2 * (small - small[0]), large - large[0], atol=3)
    assert 'aria-label="small: Two poses."' in shown.html
    assert 'aria-label="&lt;large&gt;: Two poses."' in shown.html
    assert "<large>" not in shown.html
    assert "</svg>solid: prediction</span>" in shown.html
    assert "</svg>dashed: truth</span>" in shown.html


def test_a_view_is_light_and_asks_for_nothing() -> None:
    one, more = view(random_pose()), view(random_pose(25), frames=[str(n) for n in range(25)])
    assert len(one.html) < 9_000
    # a frame more costs its numbers and little else
    assert (len(more.html) - len(one.html)) / 25 < 300
    assert not re.search(r"https?:|src=|href=|@import|url\(", more.html)
    assert len(repr(one)) < 200


@pytest.mark.parametrize(
    ("poses", "change", "message"),
    [
        (torch.zeros(17, 3), {}, "one place"),
        (torch.zeros(16, 3), {}, r"\(16, 3\)"),
        (torch.full((17, 3), float("nan")), {}, "not finite"),
        (torch.ones(2, 17, 3), {}, r"expected \(17, 3\)"),
        (torch.ones(2, 17, 3), {"frames": ["a", "b", "c"]}, r"\(3, 17, 3\)"),
        ({}, {}, "lays 0 poses"),
        ({str(n): torch.eye(17, 3) for n in range(MAX_OVERLAID + 1)}, {}, "side by side"),
        (torch.eye(17, 3), {"label": " "}, "label"),
        (torch.eye(17, 3), {"description": ""}, "description"),
        (torch.eye(17, 3), {"height": 0}, "height"),
        (torch.eye(17, 3), {"start": 1}, "need `frames`"),
        (torch.eye(17, 3), {"frames": ["a"]}, "1 frames"),
        (torch.eye(17, 3), {"frames": ["a", "a"]}, "different"),
        (torch.eye(17, 3), {"frames": ["a", "b"], "start": 2}, "0 to 1"),
        (torch.eye(17, 3), {"frames": ["a", "b"], "frame_descriptions": ["a"]}, "2 descriptions"),
    ],
)
def test_bad_views_are_refused(poses: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        view(poses, **change)


def test_no_panels_are_refused() -> None:
    with pytest.raises(ValueError, match="no pose"):
        pose_views({}, HUMAN_17, label="x", description="x")


def test_page_weights_count_the_page_and_its_own_pictures(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "part.html").write_text("theme")
    page = '<img src="../one%20picture.png"><img src="../one%20picture.png"><img src="data:,x">'
    (tmp_path / "a" / "page.html").write_text(page)
    (tmp_path / "one picture.png").write_bytes(bytes(2_000_000))
    (tmp_path / "index.html").write_text("<p>")
    weights = page_weights(tmp_path)
    assert list(weights) == ["a/page.html", "index.html"]
    assert weights["a/page.html"] == pytest.approx((2_000_000 + len(page)) / 1e6)
    assert check_page_weights(tmp_path) == weights
    with pytest.raises(ValueError, match=r"a/page\.html 2\.0 MB"):
        check_page_weights(tmp_path, limit=1)


def test_a_folder_without_pages_is_no_site(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="make book"):
        page_weights(tmp_path)
