"""What the variant selfpose adds to the loop over pictures: who learns from what."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from selfpose.config import Config
from selfpose.data.dataset import ImageSet, PoseDataset
from selfpose.data.draws import PictureDraws, View
from selfpose.extras import terms as module
from selfpose.extras.augment import draw_view_change
from selfpose.extras.foreground import static_foreground
from selfpose.extras.sides import SidePrior
from selfpose.extras.terms import ClipSides, ExtraTerms
from selfpose.model import PosePipeline, images_to_input
from selfpose.skeleton import HUMAN_17
from selfpose.steps import Step, step_generator
from selfpose.train import build_pipeline, draw, train

FLIP = list(HUMAN_17.flip)
ROWS = torch.tensor([5, 0, 3, 3, 9, 7])
BARE = {"terms.sil": 0, "terms.puppet": 0, "terms.distil": 0, "extras.picture_every": 1}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(**changes: Any) -> Config:
    sizes = {"networks.skeleton_size": 16, "networks.width_lambda": 32, "pictures.batch": 8}
    return Config.for_run(preset="smoke", overrides={**sizes, **changes})


def step(number: int = 0, of: int = 40) -> Step:
    source = step_generator(0, "images", number)
    return Step(stage="images", number=number, of=of, generator=source)


def extras(dataset: PoseDataset, config: Config) -> tuple[PosePipeline, ExtraTerms]:
    pipeline, averaged = build_pipeline(dataset, config), build_pipeline(dataset, config)
    kept = nn.ModuleDict({"phi": averaged.phi, "omega": averaged.omega})
    pictures = PictureDraws(dataset, config, pipeline.device)
    return pipeline, ExtraTerms(pipeline, kept, pictures, config)


def puppets(extra: ExtraTerms, step: Step) -> dict[str, torch.Tensor]:
    view = extra.pictures.draw_images(step.generator)
    u = extra.pictures.draw_poses(step.generator)
    return extra.puppet_terms(step, view, u, draw(u, extra.skeleton, extra.config))


def test_distil_teaches_the_lifter_and_nothing_else(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfpose.extras.thickness.STEPS", 3)
    pipeline, extra = extras(tiny_dataset, config(**{"lifting.lr": 1e-2}))
    before = {name: value.clone() for name, value in pipeline.state_dict().items()}
    extra.begin(step())
    teacher = {name: value.clone() for name, value in extra.first_lifter.state_dict().items()}
    distance = []
    for _ in range(30):
        first = step()  # the same puppets at every step
        puppets(extra, first)
        distance.append(float(first.terms["distil"].detach()))
    assert 0 < distance[-1] < 0.5 * distance[0]
    moved = {n for n, v in pipeline.state_dict().items() if not torch.equal(v, before[n])}
    assert moved
    assert all(name.startswith("lifter.") for name in moved)
    assert all(torch.equal(v, teacher[n]) for n, v in extra.first_lifter.state_dict().items())


def test_thickness_is_fitted_to_each_limb_where_it_is_not_learnt(
    tiny_dataset: PoseDataset,
) -> None:
    for how in ("fitted", "learned"):
        _, extra = extras(tiny_dataset, config(**{"extras.thickness": how}))
        start = extra.thickness.log_gamma.clone()
        extra.begin(step())
        assert torch.equal(extra.thickness.log_gamma, start) == (how == "learned")
        assert extra.thickness.log_gamma.requires_grad == (how == "learned")
        assert (float(extra.thickness.log_gamma.detach().std()) > 1e-3) == (how == "fitted")


def test_omega_is_shielded_from_the_silhouette(tiny_dataset: PoseDataset) -> None:
    pipeline, extra = extras(tiny_dataset, config())
    view = extra.pictures.draw_images(generator())
    s = torch.rand(8, 3, 16, 16, requires_grad=True)
    extra.picture_terms(step(), view, s)["sil"].backward()
    assert s.grad is not None
    assert s.grad.abs().max() > 0
    assert pipeline.omega is not None
    assert all(p.grad is None for p in pipeline.omega.parameters())


def test_sides_of_puppets_are_forgiven_first_and_then_no_longer(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    puppet_loss = module.losses.puppet_loss

    def puppet(*args: Any, forgiving: bool) -> torch.Tensor:
        said.append(forgiving)
        return puppet_loss(*args, forgiving=forgiving)

    monkeypatch.setattr(module.losses, "puppet_loss", puppet)
    _, extra = extras(tiny_dataset, config(**{"extras.puppet_forgiving": 0.3}))
    for number in (0, 2, 3, 9):
        puppets(extra, step(number, of=10))
    assert said == [True, True, False, False]


def test_bfloat16_trains_to_about_the_same_losses(
    tiny_dataset: PoseDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfpose.extras.thickness.STEPS", 3)
    few = {"pictures.steps": 4, "flow.steps": 2, "lifting.steps": 2, "extras.side_steps": 2}
    last = []
    for precision in ("float32", "bfloat16"):
        chosen = config(**few, **{"pictures.precision": precision})
        pipeline, training = train(tiny_dataset, chosen, progress=False)
        assert all(v.isfinite().all() for v in pipeline.state_dict().values())
        last.append(training.history["images"][-1])
    for term in ("Omega", "puppet", "D", "redraw", "sil", "distil", "critic"):
        assert last[1][term] == pytest.approx(last[0][term], rel=0.1), term
        assert last[1][term] != last[0][term], term


# --- sides decided by clips -------------------------------------------------------------------


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
    torch.testing.assert_close((2 * odds.sigmoid() - 1).abs(), decided().certainty[ROWS])
    assert (ClipSides(12, 17).log_odds(seen(), view(), HUMAN_17) == 0).all()


def test_a_change_of_view_changes_no_odds_and_exchanged_sides_turn_them_round() -> None:
    mirrored = 0
    for seed in range(4):
        changed = view(seed)
        assert changed.change is not None
        mirrored += int(changed.change.mirrored.sum())
        moved = changed.change.move_poses(seen(), HUMAN_17)
        odds = decided().log_odds(moved, changed, HUMAN_17)
        torch.testing.assert_close(odds, decided().log_odds(seen(), view(), HUMAN_17))
        assert torch.equal(decided().log_odds(moved[:, FLIP], changed, HUMAN_17), -odds)
    assert 0 < mirrored < 4 * len(ROWS)


def test_the_sides_decided_are_those_seen_again(tiny_dataset: PoseDataset) -> None:
    """Of clips of one picture, each decides by itself: log-odds c·prior + own, as by hand."""
    part = tiny_dataset.unlabelled
    loose = ImageSet(images=part.images[:12], sequence=torch.arange(12))
    chosen = config(**BARE, **{"extras.swap_background": False})
    dataset = replace(tiny_dataset, unlabelled=loose, ceiling=None)
    pictures = PictureDraws(dataset, chosen, torch.device("cpu"))
    pipeline = build_pipeline(dataset, chosen)
    poses, prior = tiny_dataset.unpaired[::43] / 64, SidePrior(skeleton=HUMAN_17)
    with torch.no_grad():
        prior.score[-1].weight.mul_(100)  # an untrained one says little
        expected = 0.3 * prior(pipeline.unit_to_plane(poses)) + 0.3
    assert 0 < (expected > 0).sum() < 12
    sides = ClipSides(12, 17)
    sides.decide(lambda x: poses, lambda pose: prior(pipeline.unit_to_plane(pose)), pictures)
    rows = torch.arange(12)
    again = View(rows=rows, image=torch.zeros(12, 3, 8, 8), foreground=None, change=None)
    odds = sides.log_odds(poses, again, HUMAN_17)
    torch.testing.assert_close(odds, expected, atol=1e-4, rtol=1e-4)


# --- draws ------------------------------------------------------------------------------------


def pictures(dataset: PoseDataset, **changes: object) -> PictureDraws:
    chosen = Config.for_run(preset="smoke", overrides=changes)
    return PictureDraws(dataset, chosen, torch.device("cpu"))


def test_the_foreground_moves_with_its_picture(tiny_dataset: PoseDataset) -> None:
    """Pictures that show their own foregrounds, in grey."""
    drawn = pictures(tiny_dataset, **{"extras.swap_background": False})
    assert drawn.foreground is not None
    drawn.images = drawn.foreground[:, None].expand(-1, 3, -1, -1)
    view = drawn.draw_images(generator(1))
    assert view.foreground is not None
    assert view.change is not None
    grey = (2 * view.foreground - 1).expand_as(view.image)
    torch.testing.assert_close(view.image, grey, atol=1e-5, rtol=0)
    still = drawn.images[view.rows, :1].float() / 255
    assert (view.foreground - still).abs().max() > 0.5
    torch.testing.assert_close(view.foreground, view.change.move_images(still))


def test_pictures_are_left_alone_where_nothing_is_asked(tiny_dataset: PoseDataset) -> None:
    plain = {"extras.swap_background": False, "pictures.augment": False}
    view = pictures(tiny_dataset, **plain).draw_images(generator())
    part = tiny_dataset.unlabelled
    assert view.change is None
    assert torch.equal(view.image, images_to_input(part.images[view.rows]))
    front, _ = static_foreground(part.images, part.sequence)
    assert view.foreground is not None
    assert torch.equal(view.foreground, front[view.rows, None].float() / 255)
    assert pictures(tiny_dataset, **plain, **BARE).foreground is None


def test_half_the_people_stand_before_some_cameras_background(tiny_dataset: PoseDataset) -> None:
    drawn = pictures(tiny_dataset, **{"pictures.augment": False})
    scenes = images_to_input(drawn.backgrounds)
    swapped = 0
    for seed in range(4):
        view = drawn.draw_images(generator(seed))
        assert view.foreground is not None
        own = images_to_input(tiny_dataset.unlabelled.images[view.rows])
        for x, mine, f in zip(view.image, own, view.foreground, strict=True):
            before = f * mine + (1 - f) * scenes
            assert torch.equal(x, mine) or ((x - before).abs().amax(dim=(1, 2, 3)) < 1e-6).any()
            swapped += not torch.equal(x, mine)
    assert 16 < swapped < 48


def test_poses_are_drawn_from_the_unpaired_ones_alone(tiny_dataset: PoseDataset) -> None:
    """One pose is all there is: whatever is drawn has its shape, or its mirror image's."""
    one = replace(tiny_dataset, unpaired=tiny_dataset.unpaired[:1])
    own = one.unpaired / 64
    as_is = pictures(one, **{"pictures.augment": False}).draw_poses(generator())
    assert torch.equal(as_is, own.expand_as(as_is))

    def shape(pose: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(pose, pose)
        return distance / distance.amax(dim=(1, 2), keepdim=True)

    pose = pictures(one).draw_poses(generator())
    kept = (shape(pose) - shape(own)).abs().amax(dim=(1, 2)) < 1e-4
    mirrored = (shape(pose) - shape(own[:, FLIP])).abs().amax(dim=(1, 2)) < 1e-4
    assert (kept | mirrored).all()
    assert 0 < kept.sum() < 16
