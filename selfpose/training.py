"""The training: the flow prior, then Λ, then Φ, Ω and D, each a stage of short, plain steps."""

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from selfpose import losses
from selfpose._typing import Float, Tensor
from selfpose.augment import draw_view_change
from selfpose.camera import PixelScale
from selfpose.config import LIFTING_TERMS, Config
from selfpose.cycle import rotation_cycle
from selfpose.data.protocol import PoseDataset
from selfpose.evaluation import alignment, monitor_2d, monitor_lifting
from selfpose.foreground import static_background, static_foreground
from selfpose.networks import Discriminator, PoseRegressor
from selfpose.pipeline import PosePipeline, images_to_input
from selfpose.render import draw_bones, draw_skeleton
from selfpose.sides import SidePrior, side_loss, side_prior_loss
from selfpose.skeleton import Skeleton, mirror_pose
from selfpose.stages import Runner, Stage, check_finite

R1_EVERY = 4
"""Steps between two evaluations of D's gradient penalty, which then counts four times."""


def bone_weight(step: int, config: Config) -> float:
    """Share of L_bl's weight at a step of Λ's training: zero, then a ramp, then one.

    >>> [bone_weight(s, Config(lift_steps=100)) for s in (0, 30, 45, 60, 99)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    begin, full = config.bone_start * config.lift_steps, config.bone_ramp * config.lift_steps
    return min(1.0, max(0.0, (step - begin) / max(full - begin, 1e-9)))


def lifting_terms(
    pipeline: PosePipeline,
    pose: Float[Tensor, "b J 2"],
    config: Config,
    *,
    bone_share: float,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor]:
    """The five terms of Λ for a batch of poses on the normalised plane, each weighted.

    Returns the weighted terms by name (dropped ones absent), and the predicted elevations.
    """
    skeleton = pipeline.skeleton
    cycle = rotation_cycle(
        pose, pipeline.lifter, root=skeleton.root, delta=config.delta, generator=generator
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
    return {k: weight[k] * v for k, v in terms.items()}, cycle.elevation


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


def decay_rate(optimiser: torch.optim.Optimizer, base: float, step: int, n_steps: int) -> None:
    """Full rate for the first half, then linearly down to a twentieth."""
    share = min(1.0, 2 * (1 - step / n_steps))
    for group in optimiser.param_groups:
        group["lr"] = base * max(share, 0.05)


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
        decay_rate(optimiser, config.flow_lr, number, config.flow_steps)
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
    state: dict[str, Tensor] = {}

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, config.lift_lr, number, config.lift_steps)
        pose = batches.draw(config.lift_batch, noise=config.lift_noise, generator=generator)
        terms, elevation = lifting_terms(
            pipeline, pose, config, bone_share=bone_weight(number, config), generator=generator
        )
        descend(optimiser, terms, stage="lifting", step=number)
        state["elevation"] = elevation.detach()
        return numbers(terms)

    def monitor() -> dict[str, float]:
        return monitor_lifting(pipeline, dataset, elevation=state["elevation"])

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
        decay_rate(optimiser, 1e-3, number, config.side_steps)
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


class Pictures:
    """Draws of pictures with their foregrounds, and of unpaired poses, seen the same way."""

    def __init__(self, dataset: PoseDataset, config: Config, device: torch.device) -> None:
        part = dataset.unlabelled
        self.config, self.device, self.skeleton = config, device, dataset.skeleton
        self.images = part.images.to(device)
        self.poses = (dataset.unpaired / dataset.image_size).to(device)
        self.foreground: Tensor | None = None
        if config.weight("sil") or config.swap_background:
            foreground = static_foreground(part.images, part.sequence)
            self.foreground = (255 * foreground).round().to(torch.uint8).to(device)
            self.backgrounds = static_background(part.images, part.sequence)[0].to(device)

    def draw_images(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Pictures (b, 3, H, H) in [−1, 1], foregrounds (b, h, h) in [0, 1] or ``None``."""
        n = self.config.batch
        rows = torch.randint(len(self.images), (n,), generator=generator).to(self.device)
        x = images_to_input(self.images[rows])
        front = None
        if self.foreground is not None:
            front = self.foreground[rows, None].float() / 255
            if self.config.swap_background:
                other = torch.randint(len(self.backgrounds), (n,), generator=generator)
                swap = torch.rand(n, 1, 1, 1, generator=generator).to(self.device) < 0.5
                scene = images_to_input(self.backgrounds[other.to(self.device)])
                x = torch.where(swap, front * x + (1 - front) * scene, x)
        if self.config.augment:
            view = draw_view_change(n, generator=generator, device=self.device)
            x = view.move_images(x)
            front = None if front is None else view.move_images(front)
        if front is None:
            return x, None
        size = self.config.skeleton_size
        return x, functional.adaptive_avg_pool2d(front, size)[:, 0]

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


def image_stage(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    config: Config,
    *,
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
    pictures = Pictures(dataset, config, device)
    critic = Discriminator(
        skeleton_size=config.skeleton_size, channels=config.channels, width=config.width_d
    ).to(device)
    thickness = Thickness(skeleton.n_bones, config.silhouette_gamma).to(device)
    joint = config.lift_from == "predicted"
    groups: list[dict[str, Any]] = [
        {"params": list(phi.parameters()), "lr": config.lr_phi},
        {"params": list(omega.parameters()), "lr": config.lr_omega},
        {"params": list(thickness.parameters()), "lr": 10 * config.lr_phi},
    ]
    if joint:
        groups.append({"params": list(pipeline.lifter.parameters()), "lr": config.lift_lr})
    ours = torch.optim.Adam(groups, betas=(0.5, 0.99))
    theirs = torch.optim.Adam(critic.parameters(), lr=config.lr_d, betas=(0.5, 0.99))
    live = nn.ModuleDict({"phi": phi, "omega": omega})

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

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        x, front = pictures.draw_images(generator)
        pose = pictures.draw_poses(generator)
        drawn = draw(pose, config.gamma, config.channels)  # w = κ(u)
        s = phi(x)
        critic_terms = critic_step(number, drawn, s) if config.weight("D") else {}

        terms: dict[str, Tensor] = {}
        if weight := config.weight("D"):
            terms["D"] = weight * losses.adversarial_loss(critic(s))
        predicted = omega(s)
        if weight := config.weight("Omega"):
            terms["Omega"] = weight * losses.regressor_loss(pose, omega(drawn))
            redrawn = draw(predicted, config.gamma, config.channels)
            terms["redraw"] = weight * config.lam * losses.redrawing_loss(s, redrawn)
        if (weight := config.weight("sil")) and front is not None:
            thick = thickness(shielded(omega, s), skeleton, config.skeleton_size)
            terms["sil"] = weight * losses.silhouette_loss(thick, front)
        if prior is not None and number >= config.side_start * config.steps:
            with torch.no_grad():
                teacher = averaged["phi"](x)
                log_odds = prior(pipeline.unit_to_plane(averaged["omega"](teacher)))
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
        return numbers(terms | critic_terms)

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
        },
        optimisers={"ours": ours, "theirs": theirs},
        step=step,
        monitor=monitor,
        log_every=10,
        monitor_every=100,
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
        stages.append(image_stage(pipeline, dataset, config, averaged=averaged, prior=prior))
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
    "flow_stage",
    "image_stage",
    "lifting_stage",
    "lifting_terms",
    "run_identity",
    "side_stage",
    "train",
]
