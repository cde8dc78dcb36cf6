"""What clips decided of sides: remembered through every view, and turned round with the pose."""

from dataclasses import replace

import torch

from selfpose.extras.augment import draw_view_change
from selfpose.extras.clips import ClipSides
from selfpose.config import Config
from selfpose.data.dataset import ImageSet, PoseDataset
from selfpose.extras.sides import SidePrior
from selfpose.skeleton import HUMAN_17
from selfpose.training import build_pipeline
from selfpose.views import Pictures, View

FLIP = list(HUMAN_17.flip)
ROWS = torch.tensor([5, 0, 3, 3, 9, 7])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decided(n: int = 12) -> ClipSides:
    """Decisions of every certainty."""
    sides = ClipSides(n, 17)
    sides.pose.copy_(torch.rand(n, 17, 2, generator=generator(1)))
    sides.certainty.copy_(torch.linspace(0.1, 0.95, n))
    return sides


def view(seed: int | None = None) -> View:
    n = len(ROWS)
    change = None if seed is None else draw_view_change(n, generator=generator(seed))
    return View(rows=ROWS, image=torch.zeros(n, 3, 8, 8), foreground=None, change=change)


def seen() -> torch.Tensor:
    """Poses near the decided ones, half of them with their sides exchanged."""
    pose = decided().pose[ROWS] + 0.05 * torch.randn(len(ROWS), 17, 2, generator=generator(2))
    return torch.where((torch.arange(len(ROWS)) % 2 == 0)[:, None, None], pose, pose[:, FLIP])


def test_log_odds_say_how_surely_and_which_way() -> None:
    odds = decided().log_odds(seen(), view(), HUMAN_17)
    assert torch.equal(odds > 0, torch.arange(len(ROWS)) % 2 == 0)
    certainty = (2 * odds.sigmoid() - 1).abs()
    torch.testing.assert_close(certainty, decided().certainty[ROWS])


def test_a_change_of_view_shared_by_pose_and_picture_changes_no_odds() -> None:
    mirrored = 0
    for seed in range(8):
        changed = view(seed)
        assert changed.change is not None
        mirrored += int(changed.change.mirrored.sum())
        moved = changed.change.move_poses(seen(), HUMAN_17)
        odds = decided().log_odds(moved, changed, HUMAN_17)
        torch.testing.assert_close(odds, decided().log_odds(seen(), view(), HUMAN_17))
    assert 0 < mirrored < 8 * len(ROWS)


def test_exchanged_sides_turn_the_odds_round() -> None:
    for seed in (None, 0, 1, 2):
        own = decided().log_odds(seen(), view(seed), HUMAN_17)
        exchanged = decided().log_odds(seen()[:, FLIP], view(seed), HUMAN_17)
        assert torch.equal(exchanged, -own)
        assert (own != 0).all()


def test_where_nothing_was_decided_the_odds_are_even() -> None:
    sides = decided()
    sides.certainty.zero_()
    assert (sides.log_odds(seen(), view(), HUMAN_17) == 0).all()
    assert (ClipSides(12, 17).log_odds(seen(), view(), HUMAN_17) == 0).all()


def test_the_sides_decided_are_those_seen_again(tiny_dataset: PoseDataset) -> None:
    """Of clips of one picture, each decides by itself: log-odds c·prior + own, as by hand."""
    part = tiny_dataset.unlabelled
    loose = ImageSet(images=part.images[:12], sequence=torch.arange(12))
    config = Config.for_run(
        preset="smoke",
        drop=["sil", "puppet", "distil"],
        picture_every=1,
        swap_background=False,
    )
    dataset = replace(tiny_dataset, unlabelled=loose, ceiling=None)
    pictures = Pictures(dataset, config, torch.device("cpu"))
    pipeline = build_pipeline(dataset, config)
    poses = tiny_dataset.unpaired[::43] / 64

    class Reader(torch.nn.Module):
        def forward(self, s: torch.Tensor) -> torch.Tensor:
            return poses

    prior = SidePrior(skeleton=HUMAN_17)
    with torch.no_grad():
        prior.score[-1].weight.mul_(100)  # an untrained one says little
        expected = 0.3 * prior(pipeline.unit_to_plane(poses)) + 0.3
    assert 0 < (expected > 0).sum() < 12
    sides = ClipSides(12, 17)
    sides.decide(lambda x: x, Reader(), pictures, prior=prior, pipeline=pipeline)
    rows = torch.arange(12)
    again = View(rows=rows, image=torch.zeros(12, 3, 8, 8), foreground=None, change=None)
    odds = sides.log_odds(poses, again, HUMAN_17)
    torch.testing.assert_close(odds, expected, atol=1e-4, rtol=1e-4)
