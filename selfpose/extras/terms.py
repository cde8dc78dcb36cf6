"""What the variant ``selfpose`` adds to the loop over pictures: its terms, and what they need."""

import copy
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from selfpose import losses
from selfpose.config import Config
from selfpose.data.draws import PictureDraws, PoseDraws, View
from selfpose.extras.posterior import measure_noise
from selfpose.extras.puppets import (
    draw_light,
    draw_puppets,
    half_brightness_radius,
    sample_limb_colours,
    vary_radius,
)
from selfpose.extras.sides import SidePrior, clip_log_odds, side_loss, side_prior_loss
from selfpose.extras.thickness import fit_thickness, solid
from selfpose.metrics import twin_distances_sq
from selfpose.model import PosePipeline, encode, images_to_input
from selfpose.render import draw_bones
from selfpose.skeleton import Skeleton
from selfpose.steps import Kept, Step, Training, descend

DECISIONS = 8
"""How often clips decide their sides in the course of a training."""
NOISE_BATCHES = 32
"""Batches of puppets on which the noise of each joint is measured when a training ends."""
SILHOUETTES = 512
"""Silhouettes from which the thickness of limbs is fitted."""


class Thickness(nn.Module):
    """How thick each limb is: a body drawn with it should cover the silhouette.

    One number a bone for the whole data set, log γ of that limb: fitted before the first step, or
    learnt with Φ from a common start.
    """

    def __init__(self, n_bones: int, gamma: float, *, learned: bool) -> None:
        super().__init__()
        start = torch.full((n_bones,), math.log(gamma))
        self.log_gamma = nn.Parameter(start, requires_grad=learned)

    def forward(self, pose: Float[Tensor, "b J 2"], skeleton: Skeleton, size: int) -> Tensor:
        return draw_bones(pose, list(skeleton.bones), size=size, gamma=self.log_gamma.exp())


class ClipSides(nn.Module):
    """What was decided of each picture's sides, together with its clip, and how surely.

    ``pose`` (N, J, 2) holds the pose seen in each picture with its sides as decided, [0, 1] image
    coordinates; ``certainty`` (N) is 0 before the first decision.
    """

    pose: Tensor
    certainty: Tensor

    def __init__(self, n: int, n_joints: int) -> None:
        super().__init__()
        self.register_buffer("pose", torch.zeros(n, n_joints, 2))
        self.register_buffer("certainty", torch.zeros(n))

    @torch.no_grad()
    def decide(
        self, read: Callable[[Tensor], Tensor], prior: Callable[[Tensor], Tensor],
        pictures: PictureDraws,
    ) -> None:  # fmt: skip
        """Read every picture (input → pose), then let each clip decide by the prior's log-odds."""
        skeleton = pictures.skeleton
        chunks = (chunk.to(pictures.device) for chunk in pictures.images.split(256))
        pose = torch.cat([read(images_to_input(chunk)) for chunk in chunks])
        odds = clip_log_odds(prior(pose), pose, pictures.sequence, skeleton)
        twin = pose[:, list(skeleton.flip)]
        self.pose.copy_(torch.where((odds >= 0)[:, None, None], pose, twin))
        self.certainty.copy_((2 * odds.sigmoid() - 1).abs())

    def log_odds(self, pose: Tensor, view: View, skeleton: Skeleton) -> Float[Tensor, " b"]:
        """Of poses seen now in a view: log-odds that their sides are as decided."""
        decided, certainty = self.pose[view.rows], self.certainty[view.rows]
        if view.change is not None:
            decided = view.change.move_poses(decided, skeleton)
        as_named, exchanged = twin_distances_sq(pose, decided, skeleton)
        sign = torch.where(as_named <= exchanged, 1.0, -1.0)
        return sign * torch.logit(0.5 + 0.5 * certainty.clamp(max=0.999))


class ExtraTerms(nn.Module):
    """The terms ``puppet``, ``distil``, ``sil`` and ``side`` of a step, those of weight 0 absent.

    Raises
    ------
    ValueError
        If clips are to decide sides and the pictures of a clip do not stand together.
    """

    def __init__(
        self, pipeline: PosePipeline, averaged: nn.ModuleDict, pictures: PictureDraws,
        config: Config,
    ) -> None:  # fmt: skip
        super().__init__()
        self.outside = (pipeline, averaged)  # in a tuple: they are no parts of this module
        self.pictures, self.config, self.skeleton = pictures, config, pipeline.skeleton
        e, skeleton = config.extras, pipeline.skeleton
        self.prior: SidePrior | None = None
        if config.terms["side"] and skeleton.has_sides:
            self.prior = SidePrior(skeleton=skeleton)
        learned = e.thickness == "learned"
        self.thickness = Thickness(skeleton.n_bones, e.thickness_gamma, learned=learned)
        self.sides = ClipSides(len(pictures.images), skeleton.n_joints)
        # Λ as the rotation cycle left it: it gives puppets their depth, and is distil's teacher.
        self.first_lifter = copy.deepcopy(pipeline.lifter)
        self.lifter_adam = torch.optim.Adam(pipeline.lifter.parameters(), lr=config.lifting.lr)
        self.joint = config.lifting.source == "predicted"
        steps, every = config.pictures.steps, e.picture_every
        self.side_begins = math.ceil(e.side_start * steps / every) * every
        self.decide_every = max(1, (steps - self.side_begins) // (DECISIONS * every)) * every
        clips = pictures.sequence
        if self.prior and e.side_clips and len(clips.unique_consecutive()) != len(clips.unique()):
            raise ValueError(
                "to decide sides by clip, the pictures of a clip must stand together, in the order "
                "of time; sort them, or set extras.side_clips=false"
            )

    def train_side_prior(self, training: Training, poses: PoseDraws) -> None:
        """The prior on left and right, by maximum likelihood on the unpaired poses."""
        if self.prior is None:
            return
        e, adam = self.config.extras, torch.optim.Adam(self.prior.parameters(), lr=1e-3)
        keep: Kept = {"pipeline": self.outside[0], "prior": self.prior, "adam": adam}
        for step in training.steps("sides", e.side_steps, keep):
            noise = e.side_noise * float(torch.rand((), generator=step.generator))
            u = poses.draw(self.config.flow.batch, noise=noise, generator=step.generator)
            descend(adam, {"NLL": side_prior_loss(self.prior(u))}, step)

    @torch.no_grad()
    def begin(self, step: Step) -> None:
        """Before the first step: Λ's copy, and the thickness of limbs, fitted to silhouettes."""
        pipeline, _ = self.outside
        self.first_lifter.load_state_dict(pipeline.lifter.state_dict())
        t = self.config.terms
        if self.config.extras.thickness == "learned" or not (t["sil"] or t["puppet"]):
            return
        pictures, start = self.pictures, float(self.thickness.log_gamma[0].exp())
        assert pictures.foreground is not None
        rows = torch.randint(len(pictures.images), (SILHOUETTES,), generator=step.generator)
        shapes = solid(pictures.take(pictures.foreground, rows)).float()
        gamma = fit_thickness(
            shapes, pictures.poses, self.skeleton, start=start, generator=step.generator
        )
        self.thickness.log_gamma.copy_(gamma.log())

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the averaged networks make of pictures: s, and y in [0, 1]."""
        _, averaged = self.outside
        s = encode(averaged["phi"], x, self.config.pictures.precision)
        return s, averaged["omega"](s)

    def _sided(self, step: Step) -> bool:
        return self.prior is not None and step.number >= self.side_begins

    def puppet_terms(self, step: Step, view: View, u: Tensor, w: Tensor) -> dict[str, Tensor]:
        """``puppet``: the people of the view painted as the unpaired poses u, whose drawing is w.

        Λ takes its step of ``distil`` by itself.
        """
        weights, pipeline = self.config.terms, self.outside[0]
        if weights["puppet"] or self._sided(step):
            with torch.no_grad():
                self.teacher, self.seen = self.read(view.image)
        if not weights["puppet"]:
            return {}
        puppet = self.paint(view, self.seen, u, step.generator)
        s = encode(pipeline.phi, puppet, self.config.pictures.precision)  # type: ignore[arg-type]
        found = pipeline.omega(s)  # type: ignore[misc]
        forgiving = step.number < self.config.extras.puppet_forgiving * step.of
        loss = losses.puppet_loss(s, found, w, u, self.skeleton, forgiving=forgiving)
        if weights["distil"]:
            self.distil(step, found, u)
        return {"puppet": weights["puppet"] * loss}

    @torch.no_grad()
    def paint(self, view: View, seen: Tensor, pose: Tensor, generator: torch.Generator) -> Tensor:
        """The people of the view, whose poses were ``seen``, posed as ``pose`` (b, 3, H, H)."""
        assert view.foreground is not None
        pipeline, n = self.outside[0], len(pose)
        colour = sample_limb_colours(
            (view.image + 1) / 2, view.foreground, seen, self.skeleton, generator=generator
        )
        depth = torch.zeros_like(pose[..., 0])
        if not self.joint:  # else Λ has learnt nothing yet
            offset, _ = self.first_lifter(pipeline.unit_to_plane(pose))
            depth = pipeline.plane_to_unit(offset / self.config.networks.delta)
        radius = half_brightness_radius(self.thickness.log_gamma.exp())
        figure, cover = draw_puppets(
            pose,
            depth,
            vary_radius(radius, n, generator=generator),
            colour,
            draw_light(n, generator=generator).to(pose.device),
            self.skeleton.bones,
            size=self.config.networks.image_size,
        )
        scene = self.pictures.draw_backgrounds(generator)
        noise = 0.02 * torch.randn(scene.shape, generator=generator).to(pose.device)
        return (cover * (2 * figure - 1) + (1 - cover) * scene + noise).clamp(-1, 1)

    def distil(self, step: Step, seen: Tensor, pose: Tensor) -> None:
        """Λ lifts what Ω saw in a puppet as it would lift the puppet's pose, or its twin."""
        pipeline = self.outside[0]
        as_named, exchanged = twin_distances_sq(seen, pose, self.skeleton)
        twin = pose[:, list(self.skeleton.flip)]
        true = torch.where((as_named <= exchanged)[:, None, None], pose, twin)
        with torch.no_grad():
            target = self.first_lifter(pipeline.unit_to_plane(true))
        given = pipeline.lifter(pipeline.unit_to_plane(seen.detach()))
        loss = losses.distillation_loss(*given, *target)
        descend(self.lifter_adam, {"distil": self.config.terms["distil"] * loss}, step)

    def picture_terms(self, step: Step, view: View, s: Tensor) -> dict[str, Tensor]:
        """``sil`` and ``side`` of the skeleton images of pictures."""
        weights, terms = self.config.terms, {}
        if weights["sil"] and view.foreground is not None:
            omega = self.outside[0].omega
            # Ω without a gradient: it must not learn to follow silhouettes.
            y = functional_call(
                omega, {k: v.detach() for k, v in omega.named_parameters()}, (s,)  # type: ignore
            )  # fmt: skip
            size = self.config.networks.skeleton_size
            thick = self.thickness(y, self.skeleton, size)
            front = functional.adaptive_avg_pool2d(view.foreground, size)
            terms["sil"] = weights["sil"] * losses.silhouette_loss(thick, front[:, 0])
        if self._sided(step):
            log_odds = self.odds_of_sides(step, view)
            terms["side"] = weights["side"] * side_loss(s, self.teacher, log_odds)
        return terms

    def odds_of_sides(self, step: Step, view: View) -> Float[Tensor, " b"]:
        """log-odds that the poses seen in a view have their sides named right."""
        prior, to_plane = self.prior, self.outside[0].unit_to_plane
        assert prior is not None
        if not self.config.extras.side_clips:
            return prior(to_plane(self.seen)).detach()
        if (step.number - self.side_begins) % self.decide_every == 0:
            self.sides.decide(
                lambda x: self.read(x)[1], lambda pose: prior(to_plane(pose)), self.pictures
            )
        return self.sides.log_odds(self.seen, view, self.skeleton)

    @torch.no_grad()
    def finish(self, step: Step, unpaired: Float[Tensor, "n J 2"]) -> None:
        """After the last step: measure on puppets how far Ω errs, keep unpaired poses beside it."""
        if not (self.config.extras.refine and self.config.terms["puppet"]):
            return
        pipeline, averaged = self.outside
        seen, true = [], []
        for _ in range(NOISE_BATCHES):
            view = self.pictures.draw_images(step.generator)
            pose = self.pictures.draw_poses(step.generator)
            puppet = self.paint(view, self.read(view.image)[1], pose, step.generator)
            seen.append(averaged["omega"](averaged["phi"](puppet)))
            true.append(pose)
        # Trained beside Φ there is no other Λ: the first had learnt nothing.
        taught = pipeline.lifter if self.joint else self.first_lifter
        plane = pipeline.pixels_to_plane(unpaired.to(pipeline.device))
        noise = measure_noise(
            pipeline.unit_to_plane(torch.cat(seen)),
            pipeline.unit_to_plane(torch.cat(true)),
            self.skeleton,
        )
        pipeline.expectation.keep(noise, plane, taught)
