"""Training from pictures: Ω on drawings, then Φ, Ω and D in their game, with our additions."""

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from selfpose import losses
from jaxtyping import Float
from torch import Tensor
from selfpose.extras.clips import ClipSides, check_clips
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.scores import monitor_images
from selfpose.lifting import bone_weight, fixed_elevation, lifting_terms
from selfpose.metrics import twin_distances_sq
from selfpose.networks import Discriminator, PoseRegressor
from selfpose.optimise import decay_rate, descend, numbers
from selfpose.model import PosePipeline
from selfpose.extras.posterior import measure_noise
from selfpose.extras.puppets import (
    draw_light,
    draw_puppets,
    half_brightness_radius,
    sample_limb_colours,
    vary_radius,
)
from selfpose.render import draw_bones, draw_skeleton
from selfpose.extras.sides import SidePrior, side_loss
from selfpose.skeleton import Skeleton
from selfpose.evaluation.snapshots import Album
from selfpose.steps import Stage
from selfpose.extras.thickness import fit_thickness
from selfpose.views import Pictures, View

DECISIONS = 8
"""How often clips decide their sides in the course of a training."""
NOISE_BATCHES = 32
"""Batches of puppets on which the noise of each joint is measured when a training ends."""
SILHOUETTES = 512
"""Silhouettes from which the thickness of limbs is fitted."""
R1_EVERY = 4
"""Steps between two evaluations of D's gradient penalty, which then counts four times."""


class Thickness(nn.Module):
    """How thick each limb is: a body drawn with it should cover the silhouette.

    One number a bone for the whole data set, γ of that limb: fitted before the first step, or
    learnt with Φ from a common start.
    """

    def __init__(self, n_bones: int, gamma: float) -> None:
        super().__init__()
        self.log_gamma = nn.Parameter(torch.full((n_bones,), math.log(gamma)))

    @torch.no_grad()
    def fit(self, pictures: Pictures, skeleton: Skeleton, generator: torch.Generator) -> None:
        """Set it to what silhouettes and unpaired poses tell (:func:`fit_thickness`)."""
        start = float(self.log_gamma[0].exp())
        shapes = pictures.draw_silhouettes(SILHOUETTES, generator)
        gamma = fit_thickness(shapes, pictures.poses, skeleton, start=start, generator=generator)
        self.log_gamma.copy_(gamma.log())

    def forward(self, pose: Float[Tensor, "b J 2"], skeleton: Skeleton, size: int) -> Tensor:
        return draw_bones(pose, list(skeleton.bones), size=size, gamma=self.log_gamma.exp())


def shielded(omega: PoseRegressor, image: Tensor) -> Tensor:
    """Ω(s) whose gradient reaches s but not Ω's weights: Ω must not learn to follow silhouettes."""
    return functional_call(omega, {k: v.detach() for k, v in omega.named_parameters()}, (image,))


def encode(network: nn.Module, image: Tensor, config: Config) -> Tensor:
    """s = Φ(x), in the precision that the config asks for."""
    half = config.precision == "bfloat16"
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=half):
        return network(image).float()


def draw(pose: Float[Tensor, "b J 2"], skeleton: Skeleton, config: Config) -> Tensor:
    """κ as a run draws it: size, γ and channels of the config."""
    return draw_skeleton(
        pose,
        skeleton,
        size=config.skeleton_size,
        gamma=config.gamma,
        channels=config.channels,
    )


def regressor_stage(pipeline: PosePipeline, pictures: Pictures, config: Config) -> Stage:
    """Ω alone, on drawings of unpaired poses: Φ then meets one that can read."""
    omega, skeleton = pipeline.omega, pipeline.skeleton
    assert omega is not None
    optimiser = torch.optim.Adam(omega.parameters(), lr=config.lr_omega)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.omega_steps)
        pose = pictures.draw_poses(generator)
        drawn = draw(pose, skeleton, config)
        terms = {"Omega": config.weight("Omega") * losses.regressor_loss(pose, omega(drawn))}
        descend(optimiser, terms, stage="regressor", step=number)
        return numbers(terms)

    return Stage(
        name="regressor",
        n_steps=config.omega_steps,
        modules={"pipeline": pipeline},
        optimisers={"omega": optimiser},
        step=step,
    )


def image_stage(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    config: Config,
    *,
    pictures: Pictures,
    averaged: nn.ModuleDict,
    prior: SidePrior | None,
    album: Album | None = None,
) -> Stage:
    """Φ, Ω and D from pictures, and Λ with them where ``lift_from`` is ``predicted``.

    ``averaged`` holds copies of Φ and Ω that follow them by an exponential moving average;
    ``prior`` is the one on sides, where its term is not dropped; ``album`` takes snapshots of the
    averaged networks.
    """
    phi, omega, skeleton, device = pipeline.phi, pipeline.omega, dataset.skeleton, pipeline.device
    assert phi is not None
    assert omega is not None
    critic = Discriminator(
        skeleton_size=config.skeleton_size, channels=config.channels, width=config.width_d
    ).to(device)
    thickness = Thickness(skeleton.n_bones, config.silhouette_gamma).to(device)
    learned = config.limb_thickness == "learned"
    thickness.log_gamma.requires_grad_(learned)
    sides = ClipSides(len(pictures.images), skeleton.n_joints).to(device)
    if prior is not None and config.side_clips:
        check_clips(pictures.sequence)
    joint = config.lift_from == "predicted"
    groups: list[dict[str, Any]] = [
        {"params": list(phi.parameters()), "lr": config.lr_phi},
        {"params": list(omega.parameters()), "lr": config.lr_omega},
        {"params": list(thickness.parameters()), "lr": config.lr_thickness},
    ]
    if joint:
        groups.append({"params": list(pipeline.lifter.parameters()), "lr": config.lift_lr})
    ours = torch.optim.Adam(groups, betas=(config.beta1, 0.99))
    theirs = torch.optim.Adam(critic.parameters(), lr=config.lr_d, betas=(config.beta1, 0.99))
    # Λ as the rotation cycle left it: it gives puppets their depth, and is distil's teacher.
    first_lifter = copy.deepcopy(pipeline.lifter)
    lifting = torch.optim.Adam(pipeline.lifter.parameters(), lr=config.lift_lr)
    live = nn.ModuleDict({"phi": phi, "omega": omega})
    side_begins = math.ceil(config.side_start * config.steps / config.picture_every)
    side_begins *= config.picture_every
    log_every = 10 * max(1, config.steps // 2000)
    between = max(1, (config.steps - side_begins) // (DECISIONS * config.picture_every))

    def critic_step(number: int, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        penalised = bool(config.r1) and number % R1_EVERY == 0
        real = real.detach().requires_grad_(penalised)
        real_logits, fake_logits = critic(real), critic(fake.detach())
        terms = {"critic": losses.discriminator_loss(real_logits, fake_logits)}
        if penalised:
            terms["R1"] = R1_EVERY * config.r1 * losses.r1_penalty(real_logits, real)
        descend(theirs, terms, stage="images", step=number)
        margin = (real_logits.mean() - fake_logits.mean()).detach()
        return {"critic": terms["critic"], "margin": margin}

    @torch.no_grad()
    def paint(view: View, seen: Tensor, pose: Tensor, generator: torch.Generator) -> Tensor:
        """The people of the view, whose poses were ``seen``, posed as ``pose`` (b, 3, H, H)."""
        assert view.foreground is not None
        colour = sample_limb_colours(
            (view.image + 1) / 2, view.foreground, seen, skeleton, generator=generator
        )
        depth = torch.zeros_like(pose[..., 0])
        if not joint:  # else Λ has learnt nothing yet
            offset, _ = first_lifter(pipeline.unit_to_plane(pose))
            depth = pipeline.plane_to_unit(offset / config.delta)
        radius = half_brightness_radius(thickness.log_gamma.exp())
        figure, cover = draw_puppets(
            pose,
            depth,
            vary_radius(radius, len(pose), generator=generator),
            colour,
            draw_light(len(pose), generator=generator).to(device),
            skeleton.bones,
            size=config.image_size,
        )
        scene = pictures.draw_backgrounds(generator)
        noise = 0.02 * torch.randn(scene.shape, generator=generator).to(device)
        return (cover * (2 * figure - 1) + (1 - cover) * scene + noise).clamp(-1, 1)

    def distil(number: int, seen: Tensor, pose: Tensor) -> dict[str, Tensor]:
        """Λ lifts what Ω saw in a puppet as it would lift the puppet's pose, or its twin."""
        twin = pose[:, list(skeleton.flip)]
        as_named, exchanged = twin_distances_sq(seen, pose, skeleton)
        true = torch.where((as_named <= exchanged)[:, None, None], pose, twin)
        with torch.no_grad():
            target = first_lifter(pipeline.unit_to_plane(true))
        given = pipeline.lifter(pipeline.unit_to_plane(seen.detach()))
        weight = config.weight("distil")
        terms = {"distil": weight * losses.distillation_loss(*given, *target)}
        decay_rate(lifting, number, config.steps)
        descend(lifting, terms, stage="images", step=number)
        return terms

    @torch.no_grad()
    def noise_on_puppets(generator: torch.Generator) -> Tensor:
        """How far the averaged networks err at each joint (J), as the pipeline runs them."""
        read, true = [], []
        for _ in range(NOISE_BATCHES):
            view = pictures.draw_images(generator)
            pose = pictures.draw_poses(generator)
            seen = averaged["omega"](encode(averaged["phi"], view.image, config))
            puppet = paint(view, seen, pose, generator)
            read.append(averaged["omega"](averaged["phi"](puppet)))
            true.append(pose)
        seen_plane, true_plane = (pipeline.unit_to_plane(torch.cat(p)) for p in (read, true))
        return measure_noise(seen_plane, true_plane, skeleton)

    def odds_of_sides(number: int, view: View, seen: Tensor) -> Tensor:
        """log-odds that poses seen in a view have their sides named right."""
        assert prior is not None
        if not config.side_clips:
            return prior(pipeline.unit_to_plane(seen)).detach()
        if (number - side_begins) % (between * config.picture_every) == 0:
            see = partial(encode, averaged["phi"], config=config)
            sides.decide(see, averaged["omega"], pictures, prior=prior, pipeline=pipeline)
        return sides.log_odds(seen, view, skeleton)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        if number == 0:
            first_lifter.load_state_dict(pipeline.lifter.state_dict())
            averaged.load_state_dict(live.state_dict())
            if not learned and (config.weight("sil") or config.weight("puppet")):
                thickness.fit(pictures, skeleton, generator)
            if album is not None:
                album.take(0, pipeline, averaged)
        decay_rate(ours, number, config.steps)
        decay_rate(theirs, number, config.steps)
        view = pictures.draw_images(generator)
        pose = pictures.draw_poses(generator)
        drawn = draw(pose, skeleton, config)  # w = κ(u)
        terms: dict[str, Tensor] = {}
        others: dict[str, Tensor] = {}  # of D and of Λ, which descend by themselves
        last = number + 1 == config.steps  # so that the log's last row knows every term
        pictured = number % config.picture_every == 0 or last
        sided = pictured and prior is not None and number >= side_begins
        if config.weight("puppet") or sided:
            with torch.no_grad():
                teacher = encode(averaged["phi"], view.image, config)
                seen = averaged["omega"](teacher)
        if weight := config.weight("Omega"):
            terms["Omega"] = weight * losses.regressor_loss(pose, omega(drawn))
        if weight := config.weight("puppet"):
            s_puppet = encode(phi, paint(view, seen, pose, generator), config)
            found = omega(s_puppet)
            forgiving = number < config.puppet_forgiving * config.steps
            terms["puppet"] = weight * losses.puppet_loss(
                s_puppet, found, drawn, pose, skeleton, forgiving=forgiving
            )
            if config.weight("distil"):
                others |= distil(number, found, pose)
        if pictured:
            s = encode(phi, view.image, config)
            predicted = omega(s)
            if weight := config.weight("D"):
                others |= critic_step(number // config.picture_every, drawn, s)
                terms["D"] = weight * losses.adversarial_loss(critic(s))
            if weight := config.weight("Omega"):
                redrawn = draw(predicted, skeleton, config)
                terms["redraw"] = weight * config.lam * losses.redrawing_loss(s, redrawn)
            if (weight := config.weight("sil")) and view.foreground is not None:
                thick = thickness(shielded(omega, s), skeleton, config.skeleton_size)
                front = functional.adaptive_avg_pool2d(view.foreground, config.skeleton_size)
                terms["sil"] = weight * losses.silhouette_loss(thick, front[:, 0])
            if sided:
                log_odds = odds_of_sides(number, view, seen)
                terms["side"] = config.weight("side") * side_loss(s, teacher, log_odds)
            if joint:
                share = bone_weight(number * config.lift_steps // max(config.steps, 1), config)
                more, _ = lifting_terms(
                    pipeline,
                    pipeline.unit_to_plane(predicted),
                    config,
                    bone_share=share,
                    generator=generator,
                )
                terms |= more
        descend(ours, terms, stage="images", step=number)
        with torch.no_grad():
            rate = min(config.ema, (1 + number) / (10 + number))
            for kept, new in zip(averaged.parameters(), live.parameters(), strict=True):
                kept.lerp_(new, 1 - rate)
        if last and config.refine and config.weight("puppet"):
            # Trained beside Φ there is no other Λ: the first had learnt nothing.
            taught = pipeline.lifter if joint else first_lifter
            pipeline.keep_unpaired(noise_on_puppets(generator), dataset.unpaired, taught)
        if album is not None:
            album.take(number + 1, pipeline, averaged)
        return numbers(terms | others)

    def monitor() -> dict[str, float]:
        return monitor_images(
            pipeline,
            averaged,
            dataset,
            gamma=config.gamma,
            fixed_elevation=fixed_elevation(config),
        )

    return Stage(
        name="images",
        n_steps=config.steps,
        modules={
            "pipeline": pipeline,
            "critic": critic,
            "thickness": thickness,
            "averaged": averaged,
            "prior": prior or nn.Identity(),
            "sides": sides,
            "first_lifter": first_lifter,
            "album": album or nn.Identity(),
        },
        optimisers={"ours": ours, "theirs": theirs, "lifting": lifting},
        step=step,
        monitor=monitor,
        log_every=log_every,
        monitor_every=10 * log_every,
    )


__all__ = ["Thickness", "draw", "encode", "image_stage", "regressor_stage", "shielded"]
