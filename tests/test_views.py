"""Draws of pictures and poses: what belongs together stays together, and nothing else comes in."""

from dataclasses import replace

import pytest
import torch

from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.extras.foreground import static_foreground
from selfpose.model import images_to_input
from selfpose.views import Pictures


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(dataset: PoseDataset, **changes: object) -> Pictures:
    return Pictures(dataset, Config.for_run(preset="smoke", **changes), torch.device("cpu"))


def painted_with_foreground(dataset: PoseDataset) -> Pictures:
    """Pictures that show their own foregrounds, in grey."""
    drawn = pictures(dataset, swap_background=False, augment=True)
    assert drawn.foreground is not None
    drawn.images = drawn.foreground[:, None].expand(-1, 3, -1, -1)
    return drawn


def test_the_foreground_moves_with_its_picture(tiny_dataset: PoseDataset) -> None:
    drawn = painted_with_foreground(tiny_dataset)
    for seed in range(3):
        view = drawn.draw_images(generator(seed))
        assert view.foreground is not None
        assert view.change is not None
        grey = (2 * view.foreground - 1).expand_as(view.image)
        torch.testing.assert_close(view.image, grey, atol=1e-5, rtol=0)
        still = drawn.images[view.rows, :1].float() / 255
        assert (view.foreground - still).abs().max() > 0.5
        torch.testing.assert_close(view.foreground, view.change.move_images(still))


def test_pictures_are_left_alone_where_nothing_is_asked(tiny_dataset: PoseDataset) -> None:
    drawn = pictures(tiny_dataset, swap_background=False, augment=False)
    view = drawn.draw_images(generator())
    assert view.change is None
    part = tiny_dataset.unlabelled
    assert torch.equal(view.image, images_to_input(part.images[view.rows]))
    front, _ = static_foreground(part.images, part.sequence)
    assert view.foreground is not None
    assert torch.equal(view.foreground, front[view.rows, None].float() / 255)


def test_half_the_people_stand_before_some_cameras_background(tiny_dataset: PoseDataset) -> None:
    drawn = pictures(tiny_dataset, swap_background=True, augment=False)
    scenes = images_to_input(drawn.backgrounds)
    swapped = 0
    for seed in range(4):
        view = drawn.draw_images(generator(seed))
        assert view.foreground is not None
        own = images_to_input(tiny_dataset.unlabelled.images[view.rows])
        front = view.foreground
        for x, mine, f in zip(view.image, own, front, strict=True):
            before = f * mine + (1 - f) * scenes
            assert torch.equal(x, mine) or ((x - before).abs().amax(dim=(1, 2, 3)) < 1e-6).any()
            swapped += not torch.equal(x, mine)
    assert 16 < swapped < 48


@pytest.mark.parametrize("augment", [False, True])
def test_poses_are_drawn_from_the_unpaired_ones_alone(
    tiny_dataset: PoseDataset, augment: bool
) -> None:
    """One pose is all there is: whatever is drawn has its shape."""
    one = replace(tiny_dataset, unpaired=tiny_dataset.unpaired[:1])
    pose = pictures(one, augment=augment).draw_poses(generator())
    assert len(pose) == 16
    own = tiny_dataset.unpaired[:1] / 64
    flip = list(tiny_dataset.skeleton.flip)

    def shape(pose: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(pose, pose)
        return distance / distance.amax(dim=(1, 2), keepdim=True)

    as_is = (shape(pose) - shape(own)).abs().amax(dim=(1, 2)) < 1e-4
    mirrored = (shape(pose) - shape(own[:, flip])).abs().amax(dim=(1, 2)) < 1e-4
    assert (as_is | mirrored).all()
    if augment:
        assert 0 < as_is.sum() < 16
        assert not torch.equal(pose, own.expand_as(pose))
    else:
        assert torch.equal(pose, own.expand_as(pose))


def test_every_drawn_pose_is_one_of_the_set(tiny_dataset: PoseDataset) -> None:
    pose = pictures(tiny_dataset, augment=False).draw_poses(generator())
    same = (pose[:, None] == tiny_dataset.unpaired / 64).flatten(2).all(dim=-1)
    assert same.any(dim=1).all()
    assert same.any(dim=0).sum() > 8


def test_no_foreground_is_sought_where_no_term_needs_one(tiny_dataset: PoseDataset) -> None:
    lean = {"drop": ["sil", "puppet", "distil"], "picture_every": 1}
    drawn = pictures(tiny_dataset, swap_background=False, **lean)
    assert drawn.foreground is None
    assert drawn.draw_images(generator()).foreground is None


def test_the_same_generator_draws_the_same_view(tiny_dataset: PoseDataset) -> None:
    drawn = pictures(tiny_dataset)
    one, again, other = (drawn.draw_images(generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.rows, again.rows)
    assert torch.equal(one.image, again.image)
    assert not torch.equal(one.rows, other.rows)
