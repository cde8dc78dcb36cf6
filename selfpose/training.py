"""The training: the flow prior, then Λ, then Φ, Ω and D, each a stage of short, plain steps."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from selfpose import losses
from selfpose._typing import Float, Tensor
from selfpose.augment import ViewChange, draw_view_change
from selfpose.camera import PixelScale
from selfpose.config import LIFTING_TERMS, Config
from selfpose.cycle import FixedElevation, rotation_cycle
from selfpose.data.protocol import PoseDataset
from selfpose.evaluation import alignment, monitor_2d, monitor_lifting
from selfpose.foreground import static_foreground
from selfpose.networks import Discriminator, PoseRegressor
from selfpose.pipeline import PosePipeline, images_to_input
from selfpose.puppets import (
    draw_light,
    draw_puppets,
    half_brightness_radius,
    sample_limb_colours,
    vary_radius,
)
from selfpose.render import draw_bones, draw_skeleton
from selfpose.sides import SidePrior, clip_log_odds, side_loss, side_prior_loss
from selfpose.skeleton import Skeleton, mirror_pose
from selfpose.stages import Runner, Stage, check_finite

DECISIONS = 8
"""How often clips decide their sides in the course of a training."""
R1_EVERY = 4
"""Steps between two evaluations of D's gradient penalty, which then counts four times."""


def bone_weight(step: int, config: Config) -> float:
    """Share of L_bl's weight at a step of Λ's training: zero, then a ramp, then one.

    >>> [bone_weight(s, Config(lift_steps=100)) for s in (0, 30, 45, 60, 99)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    begin, full = config.bone_start * config.lift_steps, config.bone_ramp * config.lift_steps
    return min(1.0, max(0.0, (step - begin) / max(full - begin, 1e-9)))


def fixed_elevation(config: Config) -> FixedElevation | None:
    """The camera's elevations where the config says that they are not learnt, else ``None``."""
    if config.elevation == "learned":
        return None
    return FixedElevation(
        mean=math.radians(config.elevation_mean), sd=math.radians(config.elevation_sd)
    )


def lifting_terms(
    pipeline: PosePipeline,
    pose: Float[Tensor, "b J 2"],
    config: Config,
    *,
    bone_share: float,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor]:
    """The five terms of Λ for a batch of poses on the normalised plane, each weighted.

    Returns the weighted terms by name (dropped ones absent), and the elevations that the cycle took
    out: the predicted ones, or the drawn ones where the config fixes their distribution.
    """
    skeleton = pipeline.skeleton
    cycle = rotation_cycle(
        pose,
        pipeline.lifter,
        root=skeleton.root,
        delta=config.delta,
        fixed_elevation=fixed_elevation(config),
        generator=generator,
    )
    weight = {term: config.weight(term) for term in LIFTING_TERMS}
    weight["bl"] *= bone_share
    terms: dict[str, Tensor] = {}
    if weight["2D"]:
        terms["2D"] = losses.reprojection_loss(cycle.pose_2d, cycle.pose_2d_back)
    if weight["3D"]:
        terms["3D"] = losses.consistency_loss(cycle.pose_3d_rotated, cycle.pose_3d_relifted)
    if weight["def"]:
        terms["def"] = losses.deformation_loss(cycle.pose_3d, cycle.pose_3d_back)
    if weight["NF"]:
        terms["NF"] = losses.flow_loss(pipeline.flow.log_prob(cycle.pose_2d_rotated))
    if weight["bl"]:
        terms["bl"] = losses.bone_length_loss(cycle.pose_3d, skeleton, sigma=config.bone_sigma)
    return {k: weight[k] * v for k, v in terms.items()}, cycle.elevation_removed


def descend(
    optimiser: torch.optim.Optimizer, terms: dict[str, Tensor], *, stage: str, step: int
) -> None:
    """One step of an optimiser down the sum of the terms, gradients clipped at norm 10."""
    check_finite(terms, stage=stage, step=step)
    if not terms:
        return
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, 10.0)
    # Finite terms can have gradients that are not; the weights must not take them.
    check_finite({f"gradient of {' + '.join(terms)}": norm}, stage=stage, step=step)
    optimiser.step()


def numbers(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in terms.items()}


def decay_rate(optimiser: torch.optim.Optimizer, step: int, n_steps: int) -> None:
    """Full rate for the first half, then linearly down to a twentieth."""
    share = min(1.0, 2 * (1 - step / n_steps))
    for group in optimiser.param_groups:
        group.setdefault("full_lr", group["lr"])
        group["lr"] = group["full_lr"] * max(share, 0.05)


class Batches:
    """Draws of plane poses for the flow and for Λ, mirrored half the time where asked."""

    def __init__(self, pipeline: PosePipeline, dataset: PoseDataset, config: Config) -> None:
        device = pipeline.device
        self.skeleton = dataset.skeleton
        self.mirror = config.augment
        poses = dataset.unpaired.to(device)
        self.plane = pipeline.scale.pixels_to_plane(poses, self.skeleton.root)

    def draw(self, n: int, *, noise: float, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(self.plane), (n,), generator=generator)
        pose = self.plane[rows.to(self.plane.device)]
        if self.mirror:
            coin = (torch.rand(n, generator=generator) < 0.5).to(pose.device)
            pose = torch.where(coin[:, None, None], mirror_pose(pose, self.skeleton), pose)
        if noise:
            shake = torch.randn(pose.shape, generator=generator).to(pose)
            pose = pose + noise * shake
            pose = pose - pose[:, self.skeleton.root : self.skeleton.root + 1]
        return pose


def flow_stage(pipeline: PosePipeline, dataset: PoseDataset, config: Config) -> Stage:
    """The prior, by maximum likelihood on the unpaired poses; frozen afterwards."""
    batches = Batches(pipeline, dataset, config)
    flow = pipeline.flow
    plane = batches.plane
    if batches.mirror:
        plane = torch.cat([plane, mirror_pose(plane, batches.skeleton)])
    flow.pca.fit(plane.flatten(1))
    optimiser = torch.optim.Adam(flow.parameters(), lr=config.flow_lr)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.flow_steps)
        pose = batches.draw(config.flow_batch, noise=config.flow_noise, generator=generator)
        terms = {"NLL": losses.flow_loss(flow.log_prob(pose))}
        descend(optimiser, terms, stage="flow", step=number)
        return numbers(terms)

    return Stage(
        name="flow",
        n_steps=config.flow_steps,
        modules={"pipeline": pipeline},
        optimisers={"flow": optimiser},
        step=step,
    )


def lifting_stage(pipeline: PosePipeline, dataset: PoseDataset, config: Config) -> Stage:
    """Λ, by the rotation cycle on unpaired 2D poses."""
    batches = Batches(pipeline, dataset, config)
    optimiser = torch.optim.Adam(pipeline.lifter.parameters(), lr=config.lift_lr)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.lift_steps)
        pose = batches.draw(config.lift_batch, noise=config.lift_noise, generator=generator)
        terms, _ = lifting_terms(
            pipeline, pose, config, bone_share=bone_weight(number, config), generator=generator
        )
        descend(optimiser, terms, stage="lifting", step=number)
        return numbers(terms)

    def monitor() -> dict[str, float]:
        return monitor_lifting(pipeline, dataset, fixed_elevation=fixed_elevation(config))

    return Stage(
        name="lifting",
        n_steps=config.lift_steps,
        modules={"pipeline": pipeline},
        optimisers={"lambda": optimiser},
        step=step,
        monitor=monitor,
    )


def side_stage(
    pipeline: PosePipeline, dataset: PoseDataset, config: Config, *, prior: SidePrior
) -> Stage:
    """The prior on left and right, by maximum likelihood on the unpaired poses."""
    batches = Batches(pipeline, dataset, config)
    optimiser = torch.optim.Adam(prior.parameters(), lr=1e-3)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.side_steps)
        noise = config.side_noise * float(torch.rand((), generator=generator))
        pose = batches.draw(config.flow_batch, noise=noise, generator=generator)
        terms = {"NLL": side_prior_loss(prior(pose))}
        descend(optimiser, terms, stage="sides", step=number)
        return numbers(terms)

    return Stage(
        name="sides",
        n_steps=config.side_steps,
        modules={"pipeline": pipeline, "prior": prior},
        optimisers={"prior": optimiser},
        step=step,
    )


class Thickness(nn.Module):
    """How thick each limb is: a body drawn with it should cover the silhouette. Learnt with Φ.

    One number a bone for the whole data set, γ of that limb, from a common start.
    """

    def __init__(self, n_bones: int, gamma: float) -> None:
        super().__init__()
        self.log_gamma = nn.Parameter(torch.full((n_bones,), math.log(gamma)))

    def forward(self, pose: Float[Tensor, "b J 2"], skeleton: Skeleton, size: int) -> Tensor:
        return draw_bones(pose, list(skeleton.bones), size=size, gamma=self.log_gamma.exp())


@dataclass(frozen=True, kw_only=True)
class View:
    """Some pictures as a step sees them."""

    rows: Tensor  # (b) numbers of the pictures
    image: Tensor  # (b, 3, H, H) in [−1, 1]
    foreground: Tensor | None  # (b, 1, H, H) in [0, 1]
    change: ViewChange | None


class Pictures:
    """Draws of pictures with their foregrounds, and of unpaired poses, seen the same way."""

    def __init__(self, dataset: PoseDataset, config: Config, device: torch.device) -> None:
        part = dataset.unlabelled
        self.config, self.device, self.skeleton = config, device, dataset.skeleton
        self.images, self.sequence = part.images.to(device), part.sequence.to(device)
        self.poses = (dataset.unpaired / dataset.image_size).to(device)
        self.foreground: Tensor | None = None
        if config.weight("sil") or config.weight("puppet") or config.swap_background:
            foreground, backgrounds = static_foreground(part.images, part.sequence)
            self.foreground = (255 * foreground).round().to(torch.uint8).to(device)
            self.backgrounds = backgrounds.to(device)

    def draw_backgrounds(self, generator: torch.Generator) -> Tensor:
        """Backgrounds (b, 3, H, H) in [−1, 1], without a person."""
        rows = torch.randint(len(self.backgrounds), (self.config.batch,), generator=generator)
        return images_to_input(self.backgrounds[rows.to(self.device)])

    def draw_images(self, generator: torch.Generator) -> View:
        """Pictures; half of them before another camera's background, where asked."""
        n = self.config.batch
        rows = torch.randint(len(self.images), (n,), generator=generator).to(self.device)
        x = images_to_input(self.images[rows])
        front = None if self.foreground is None else self.foreground[rows, None].float() / 255
        if front is not None and self.config.swap_background:
            swap = torch.rand(n, 1, 1, 1, generator=generator).to(self.device) < 0.5
            scene = self.draw_backgrounds(generator)
            x = torch.where(swap, front * x + (1 - front) * scene, x)
        change = None
        if self.config.augment:
            change = draw_view_change(n, generator=generator, device=self.device)
            x = change.move_images(x)
            front = None if front is None else change.move_images(front)
        return View(rows=rows, image=x, foreground=front, change=change)

    def draw_poses(self, generator: torch.Generator) -> Tensor:
        """Unpaired poses (b, J, 2) in [0, 1] image coordinates."""
        n = self.config.batch
        rows = torch.randint(len(self.poses), (n,), generator=generator).to(self.device)
        pose = self.poses[rows]
        if self.config.augment:
            view = draw_view_change(n, generator=generator, device=self.device)
            pose = view.move_poses(pose, self.skeleton)
        return pose


def shielded(omega: PoseRegressor, image: Tensor) -> Tensor:
    """Ω(s) whose gradient reaches s but not Ω's weights: Ω must not learn to follow silhouettes."""
    return functional_call(omega, {k: v.detach() for k, v in omega.named_parameters()}, (image,))


def encode(network: nn.Module, image: Tensor, config: Config) -> Tensor:
    """s = Φ(x), in the precision that the config asks for."""
    half = config.precision == "bfloat16"
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=half):
        return network(image).float()


def regressor_stage(pipeline: PosePipeline, pictures: Pictures, config: Config) -> Stage:
    """Ω alone, on drawings of unpaired poses: Φ then meets one that can read."""
    omega, skeleton = pipeline.omega, pipeline.skeleton
    assert omega is not None
    optimiser = torch.optim.Adam(omega.parameters(), lr=config.lr_omega)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.omega_steps)
        pose = pictures.draw_poses(generator)
        drawn = draw_skeleton(
            pose,
            skeleton,
            size=config.skeleton_size,
            gamma=config.gamma,
            channels=config.channels,
        )
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
        self,
        networks: nn.ModuleDict,
        images: Tensor,
        sequence: Tensor,
        *,
        prior: SidePrior,
        pipeline: PosePipeline,
    ) -> None:
        """Look at every picture, then let each clip decide."""
        skeleton = pipeline.skeleton
        chunks = [images_to_input(chunk) for chunk in images.split(256)]
        pose = torch.cat([networks["omega"](networks["phi"](x)) for x in chunks])
        odds = clip_log_odds(prior(pipeline.unit_to_plane(pose)), pose, sequence, skeleton)
        twin = pose[:, list(skeleton.flip)]
        self.pose.copy_(torch.where((odds >= 0)[:, None, None], pose, twin))
        self.certainty.copy_((2 * odds.sigmoid() - 1).abs())

    def log_odds(self, pose: Tensor, view: View, skeleton: Skeleton) -> Tensor:
        """For poses seen now in a view: log-odds (b) that their sides are as decided."""
        decided, certainty = self.pose[view.rows], self.certainty[view.rows]
        if view.change is not None:
            decided = view.change.move_poses(decided, skeleton)
        as_named = (pose - decided).square().sum(dim=(-2, -1))
        exchanged = (pose[:, list(skeleton.flip)] - decided).square().sum(dim=(-2, -1))
        sign = torch.where(as_named <= exchanged, 1.0, -1.0)
        return sign * torch.logit(0.5 + 0.5 * certainty.clamp(max=0.999))


def image_stage(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    config: Config,
    *,
    pictures: Pictures,
    averaged: nn.ModuleDict,
    prior: SidePrior | None,
) -> Stage:
    """Φ, Ω and D from pictures, and Λ with them where ``lift_from`` is ``predicted``.

    ``averaged`` holds copies of Φ and Ω that follow them by an exponential moving average;
    ``prior`` is the one on sides, where its term is not dropped.
    """
    phi, omega, skeleton, device = pipeline.phi, pipeline.omega, dataset.skeleton, pipeline.device
    assert phi is not None
    assert omega is not None
    critic = Discriminator(
        skeleton_size=config.skeleton_size, channels=config.channels, width=config.width_d
    ).to(device)
    thickness = Thickness(skeleton.n_bones, config.silhouette_gamma).to(device)
    sides = ClipSides(len(pictures.images), skeleton.n_joints).to(device)
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

    def draw(pose: Tensor, gamma: float, channels: int) -> Tensor:
        return draw_skeleton(
            pose, skeleton, size=config.skeleton_size, gamma=gamma, channels=channels
        )

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
        plane = pipeline.unit_to_plane(pose)
        depth = pipeline.plane_to_unit(first_lifter(plane)[0] / config.delta)
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
        as_named = (seen - pose).square().sum(dim=(-2, -1))
        exchanged = (seen - twin).square().sum(dim=(-2, -1))
        true = torch.where((as_named <= exchanged)[:, None, None], pose, twin)
        with torch.no_grad():
            target = first_lifter(pipeline.unit_to_plane(true))
        given = pipeline.lifter(pipeline.unit_to_plane(seen.detach()))
        weight = config.weight("distil")
        terms = {"distil": weight * losses.distillation_loss(*given, *target)}
        decay_rate(lifting, number, config.steps)
        descend(lifting, terms, stage="images", step=number)
        return terms

    def odds_of_sides(number: int, view: View, seen: Tensor) -> Tensor:
        """log-odds that poses seen in a view have their sides named right."""
        assert prior is not None
        if not config.side_clips:
            return prior(pipeline.unit_to_plane(seen)).detach()
        if (number - side_begins) % (between * config.picture_every) == 0:
            sides.decide(
                averaged, pictures.images, pictures.sequence, prior=prior, pipeline=pipeline
            )
        return sides.log_odds(seen, view, skeleton)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        if number == 0:
            first_lifter.load_state_dict(pipeline.lifter.state_dict())
        decay_rate(ours, number, config.steps)
        decay_rate(theirs, number, config.steps)
        view = pictures.draw_images(generator)
        pose = pictures.draw_poses(generator)
        drawn = draw(pose, config.gamma, config.channels)  # w = κ(u)
        terms: dict[str, Tensor] = {}
        others: dict[str, Tensor] = {}  # of D and of Λ, which descend by themselves
        if config.weight("puppet") or prior is not None:
            with torch.no_grad():
                teacher = encode(averaged["phi"], view.image, config)
                seen = averaged["omega"](teacher)
        if weight := config.weight("Omega"):
            terms["Omega"] = weight * losses.regressor_loss(pose, omega(drawn))
        if weight := config.weight("puppet"):
            s_puppet = encode(phi, paint(view, seen, pose, generator), config)
            found = omega(s_puppet)
            terms["puppet"] = weight * losses.puppet_loss(s_puppet, found, drawn, pose, skeleton)
            if config.weight("distil"):
                others |= distil(number, found, pose)
        if number % config.picture_every == 0:
            s = encode(phi, view.image, config)
            predicted = omega(s)
            if weight := config.weight("D"):
                others |= critic_step(number // config.picture_every, drawn, s)
                terms["D"] = weight * losses.adversarial_loss(critic(s))
            if weight := config.weight("Omega"):
                redrawn = draw(predicted, config.gamma, config.channels)
                terms["redraw"] = weight * config.lam * losses.redrawing_loss(s, redrawn)
            if (weight := config.weight("sil")) and view.foreground is not None:
                thick = thickness(shielded(omega, s), skeleton, config.skeleton_size)
                front = functional.adaptive_avg_pool2d(view.foreground, config.skeleton_size)
                terms["sil"] = weight * losses.silhouette_loss(thick, front[:, 0])
            if prior is not None and number >= side_begins:
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
        return numbers(terms | others)

    def monitor() -> dict[str, float]:
        return monitor_2d(averaged, dataset) | alignment(averaged, dataset, gamma=config.gamma)

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
        },
        optimisers={"ours": ours, "theirs": theirs, "lifting": lifting},
        step=step,
        monitor=monitor,
        log_every=log_every,
        monitor_every=10 * log_every,
    )


def build_pipeline(
    dataset: PoseDataset, config: Config, *, device: str | torch.device = "cpu"
) -> PosePipeline:
    """Untrained networks for a data set, seeded by the config.

    Raises
    ------
    ValueError
        If the data's pictures are not of the size that the config says, or the bone-length term
        is on and the skeleton knows no lengths.
    """
    with_images = config.input == "images"
    if with_images and dataset.image_size != config.image_size:
        raise ValueError(
            f"the data's pictures are {dataset.image_size} px, the config says image_size="
            f"{config.image_size}; prepare the data at that size or change the parameter"
        )
    if config.weight("bl") and dataset.skeleton.relative_bone_lengths is None:
        raise ValueError(
            f"skeleton {dataset.skeleton.name!r} states no relative_bone_lengths, which the term "
            "'bl' needs; measure them, or drop the term"
        )
    torch.manual_seed(config.seed)
    return PosePipeline(
        skeleton=dataset.skeleton,
        architecture=config.architecture,
        scale=PixelScale.from_poses(dataset.unpaired, dataset.skeleton),
        with_images=with_images,
    ).to(device)


def run_identity(dataset: PoseDataset, config: Config, **more: Any) -> dict[str, Any]:
    """What a checkpoint belongs to: data and parameters, but for how often it is written."""
    parameters = config.to_dict()
    del parameters["checkpoint_every_s"]
    return {"config": parameters, "data": dataset.name, "provenance": dataset.provenance, **more}


def train(
    dataset: PoseDataset,
    config: Config,
    *,
    out: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = True,
) -> tuple[PosePipeline, Runner]:
    """Train a pipeline on a data set: the whole method.

    Parameters
    ----------
    dataset
        Pictures and unpaired poses are learnt from; test labels only feed the monitors' plots.
    config
        Every choice. The same data, config and seed give the same weights on the CPU.
    out
        Folder for the checkpoint; a killed training continues from there.
    device, progress
        Where to compute; whether to show progress bars.

    Returns
    -------
    The trained pipeline, in evaluation mode, and the runner with history and seconds by stage.

    Raises
    ------
    ValueError
        If the data do not fit the config, or the checkpoint found belongs to another run.
    TrainingDiverged
        If a term becomes NaN.
    """
    pipeline = build_pipeline(dataset, config, device=device)
    with_images = config.input == "images"
    stages = [flow_stage(pipeline, dataset, config)]
    if not with_images or config.lift_from == "unpaired":
        stages.append(lifting_stage(pipeline, dataset, config))
    averaged = nn.ModuleDict()
    prior = None
    if with_images and config.weight("side"):
        prior = SidePrior(skeleton=dataset.skeleton).to(device)
        stages.append(side_stage(pipeline, dataset, config, prior=prior))
    if pipeline.phi is not None and pipeline.omega is not None:
        averaged["phi"] = copy.deepcopy(pipeline.phi)
        averaged["omega"] = copy.deepcopy(pipeline.omega)
        pictures = Pictures(dataset, config, pipeline.device)
        if config.omega_steps:
            stages.append(regressor_stage(pipeline, pictures, config))
        stages.append(
            image_stage(
                pipeline, dataset, config, pictures=pictures, averaged=averaged, prior=prior
            )
        )
    runner = Runner(
        identity=run_identity(dataset, config),
        folder=None if out is None else Path(out),
        seed=config.seed,
        progress=progress,
        checkpoint_every_s=config.checkpoint_every_s,
    )
    runner.run(stages)
    for name, module in averaged.items():
        getattr(pipeline, name).load_state_dict(module.state_dict())
    return pipeline.eval(), runner


__all__ = [
    "bone_weight",
    "build_pipeline",
    "encode",
    "fixed_elevation",
    "flow_stage",
    "image_stage",
    "lifting_stage",
    "lifting_terms",
    "run_identity",
    "side_stage",
    "train",
]
