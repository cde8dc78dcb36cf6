"""The training: the flow prior, then Λ, then Ω on drawings, then Φ, Ω and D on pictures."""

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam

from selfpose import losses
from selfpose.camera import PixelScale
from selfpose.config import LIFTING_TERMS, Config
from selfpose.cycle import FixedElevation, rotation_cycle
from selfpose.data.dataset import PoseDataset
from selfpose.data.draws import PictureDraws, PoseDraws
from selfpose.evaluation.scores import monitor_images, monitor_lifting
from selfpose.evaluation.snapshots import SnapshotRecorder
from selfpose.extras.terms import ExtraTerms
from selfpose.files import library_digest
from selfpose.model import Architecture, PosePipeline, encode, round_to_half
from selfpose.networks import Discriminator
from selfpose.render import draw_skeleton
from selfpose.skeleton import Skeleton
from selfpose.steps import Kept, Step, Training, descend

R1_EVERY = 4
"""Steps between two evaluations of D's gradient penalty, which then counts four times."""


def train(
    dataset: PoseDataset,
    config: Config,
    *,
    out: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = True,
) -> tuple[PosePipeline, Training]:
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
    The trained pipeline, in evaluation mode, and the training with history, seconds by stage and,
    from pictures, snapshots.

    Raises
    ------
    ValueError
        If the data do not fit the config, or the checkpoint found belongs to another run.
    TrainingDiverged
        If a term becomes NaN.
    """
    pipeline = build_pipeline(dataset, config, device=device)
    folder = None if out is None else Path(out)
    identity = run_identity(dataset, config)
    training = Training(identity=identity, folder=folder, seed=config.seed, progress=progress)
    train_flow(training, pipeline, dataset, config)
    if config.input == "poses" or config.lifting.source == "unpaired":
        train_lifting(training, pipeline, dataset, config)
    if config.input == "images":
        pictures = PictureDraws(dataset, config, pipeline.device)
        train_regressor(training, pipeline, pictures, config)
        train_pictures(training, pipeline, dataset, pictures, config)
    round_to_half(pipeline)  # before the test: record and file are of the same networks
    return pipeline.eval(), training


def train_flow(
    training: Training, pipeline: PosePipeline, dataset: PoseDataset, config: Config
) -> None:
    """The prior, by maximum likelihood on the unpaired poses; frozen afterwards."""
    poses, flow, c = PoseDraws(pipeline, dataset, config), pipeline.flow, config.flow
    flow.pca.fit(poses.all().flatten(1))
    adam = Adam(flow.parameters(), lr=c.lr)
    keep: Kept = {"pipeline": pipeline, "adam": adam}
    for step in training.steps("flow", c.steps, keep):
        u = poses.draw(c.batch, noise=c.noise, generator=step.generator)
        descend(adam, {"NLL": losses.flow_loss(flow.log_prob(u))}, step)


def train_lifting(
    training: Training, pipeline: PosePipeline, dataset: PoseDataset, config: Config
) -> None:
    """Λ, by the rotation cycle on unpaired 2D poses."""
    poses, c = PoseDraws(pipeline, dataset, config), config.lifting
    adam = Adam(pipeline.lifter.parameters(), lr=c.lr)
    keep: Kept = {"pipeline": pipeline, "adam": adam}
    turn = fixed_elevation(config)

    def monitor() -> dict[str, float]:
        return monitor_lifting(pipeline, dataset, fixed_elevation=turn)

    for step in training.steps("lifting", c.steps, keep, monitor=monitor, log_every=10):
        u = poses.draw(c.batch, noise=c.noise, generator=step.generator)
        share = bone_weight(step.number, config)
        terms, _ = lifting_terms(pipeline, u, config, bone_share=share, generator=step.generator)
        descend(adam, terms, step)


def train_regressor(
    training: Training, pipeline: PosePipeline, pictures: PictureDraws, config: Config
) -> None:
    """Ω alone, on drawings of unpaired poses: Φ then meets one that can read."""
    omega, weight = pipeline.omega, config.terms["Omega"]
    if omega is None or not weight:
        return
    adam = Adam(omega.parameters(), lr=config.pictures.lr_omega)
    keep: Kept = {"pipeline": pipeline, "adam": adam}
    for step in training.steps("regressor", config.pictures.omega_steps, keep):
        u = pictures.draw_poses(step.generator)
        w = draw(u, pipeline.skeleton, config)  # w = κ(u)
        descend(adam, {"Omega": weight * losses.regressor_loss(u, omega(w))}, step)


def train_pictures(
    training: Training, pipeline: PosePipeline, dataset: PoseDataset, pictures: PictureDraws,
    config: Config,
) -> None:  # fmt: skip
    """Φ, Ω and D from pictures, and Λ with them where ``lifting.source`` is ``predicted``.

    Averages of Φ and Ω over the steps are what remains in the pipeline.
    """
    c, weights, skeleton, device = config.pictures, config.terms, pipeline.skeleton, pipeline.device
    phi, omega, lifter = pipeline.phi, pipeline.omega, pipeline.lifter
    assert phi is not None
    assert omega is not None
    live = nn.ModuleDict({"phi": phi, "omega": omega})
    averaged = copy.deepcopy(live)
    extras = ExtraTerms(pipeline, averaged, pictures, config).to(device)
    n = config.networks
    critic = Discriminator(skeleton_size=n.skeleton_size, channels=n.channels, width=n.width_d)
    critic = critic.to(device)
    recorder = SnapshotRecorder(dataset.test.images, n_steps=c.steps)
    extras.train_side_prior(training, PoseDraws(pipeline, dataset, config))
    joint = config.lifting.source == "predicted"
    rates = [(phi, c.lr_phi), (omega, c.lr_omega), (extras.thickness, config.extras.thickness_lr)]
    rates += [(lifter, config.lifting.lr)] if joint else []
    groups = [{"params": list(module.parameters()), "lr": lr} for module, lr in rates]
    adam = Adam(groups, betas=(c.beta1, 0.99))
    critic_adam = Adam(critic.parameters(), lr=c.lr_d, betas=(c.beta1, 0.99))
    keep: Kept = {
        "pipeline": pipeline, "critic": critic, "averaged": averaged, "extras": extras,
        "recorder": recorder, "adam": adam, "critic_adam": critic_adam,
        "lifter_adam": extras.lifter_adam,
    }  # fmt: skip
    monitor = partial(
        monitor_images, pipeline, averaged, dataset, gamma=config.networks.gamma,
        fixed_elevation=fixed_elevation(config),
    )  # fmt: skip
    log_every = 10 * max(1, c.steps // 2000)
    every = config.extras.picture_every
    for step in training.steps("images", c.steps, keep, monitor=monitor, log_every=log_every):
        if step.first:
            extras.begin(step)
            averaged.load_state_dict(live.state_dict())
            recorder.take(0, pipeline, averaged)
        view = pictures.draw_images(step.generator)
        u = pictures.draw_poses(step.generator)
        w = draw(u, skeleton, config)  # w = κ(u)
        terms: dict[str, Tensor] = {}
        if weights["Omega"]:
            terms["Omega"] = weights["Omega"] * losses.regressor_loss(u, omega(w))
        terms |= extras.puppet_terms(step, view, u, w)
        if step.number % every == 0 or step.last:  # so that the log's last row knows every term
            s = encode(phi, view.image, c.precision)  # s = Φ(x)
            y = omega(s)  # y = Ω(s)
            if weights["D"]:
                critic_step(critic, critic_adam, w, s, config, step)
                terms["D"] = weights["D"] * losses.adversarial_loss(critic(s))
            if weights["Omega"]:
                redrawn = losses.redrawing_loss(s, draw(y, skeleton, config))
                terms["redraw"] = weights["Omega"] * c.lam * redrawn
            terms |= extras.picture_terms(step, view, s)
            if joint:
                share = bone_weight(step.number * config.lifting.steps // c.steps, config)
                plane, source = pipeline.unit_to_plane(y), step.generator
                more, _ = lifting_terms(pipeline, plane, config, bone_share=share, generator=source)
                terms |= more
        descend(adam, terms, step)
        follow(averaged, live, min(c.ema, (1 + step.number) / (10 + step.number)))
        if step.last:
            extras.finish(step, dataset.unpaired)
        recorder.take(step.number + 1, pipeline, averaged)
    live.load_state_dict(averaged.state_dict())
    training.snapshots = recorder.snapshots()


def critic_step(
    critic: nn.Module, adam: Adam, real: Tensor, fake: Tensor, config: Config, step: Step
) -> None:
    """One step of D: drawings w against skeleton images s, with R1 now and then."""
    turn = step.number // config.extras.picture_every
    penalised = bool(config.pictures.r1) and turn % R1_EVERY == 0
    real = real.detach().requires_grad_(penalised)
    real_logits, fake_logits = critic(real), critic(fake.detach())
    terms = {"critic": losses.discriminator_loss(real_logits, fake_logits)}
    if penalised:
        penalty = losses.r1_penalty(real_logits, real)
        terms["R1"] = R1_EVERY * config.pictures.r1 * penalty
    descend(adam, terms, step)
    step.terms.pop("R1", None)  # it comes and goes
    step.log({"margin": real_logits.mean() - fake_logits.mean()})


@torch.no_grad()
def follow(averaged: nn.Module, live: nn.Module, decay: float) -> None:
    """Move averaged parameters towards the live ones: an exponential moving average."""
    for kept, new in zip(averaged.parameters(), live.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


def bone_weight(step: int, config: Config) -> float:
    """Share of L_bl's weight at a step of Λ's training: zero, then a ramp, then one.

    >>> config = Config.for_run(overrides={"lifting.steps": 100})
    >>> [bone_weight(s, config) for s in (0, 30, 45, 60, 99)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    c = config.lifting
    begin, full = c.bone_start * c.steps, c.bone_ramp * c.steps
    return min(1.0, max(0.0, (step - begin) / max(full - begin, 1e-9)))


def fixed_elevation(config: Config) -> FixedElevation | None:
    """The camera's elevations where the config says that they are not learnt, else ``None``."""
    c = config.lifting
    if c.elevation == "learned":
        return None
    return FixedElevation(mean=math.radians(c.elevation_mean), sd=math.radians(c.elevation_sd))


def lifting_terms(
    pipeline: PosePipeline,
    pose: Float[Tensor, "b J 2"],
    config: Config,
    *,
    bone_share: float,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], Tensor]:
    """The five terms of Λ for a batch of poses on the normalised plane, each weighted.

    Returns the weighted terms by name (those of weight 0 absent), and the elevations that the cycle
    took out: the predicted ones, or drawn ones where the config fixes their distribution.
    """
    skeleton = pipeline.skeleton
    cycle = rotation_cycle(
        pose,
        pipeline.lifter,
        root=skeleton.root,
        delta=config.networks.delta,
        fixed_elevation=fixed_elevation(config),
        generator=generator,
    )
    sigma = config.lifting.bone_sigma
    terms: dict[str, Callable[[], Tensor]] = {
        "2D": lambda: losses.reprojection_loss(cycle.pose_2d, cycle.pose_2d_back),
        "3D": lambda: losses.consistency_loss(cycle.pose_3d_rotated, cycle.pose_3d_relifted),
        "def": lambda: losses.deformation_loss(cycle.pose_3d, cycle.pose_3d_back),
        "NF": lambda: losses.flow_loss(pipeline.flow.log_prob(cycle.pose_2d_rotated)),
        "bl": lambda: losses.bone_length_loss(cycle.pose_3d, skeleton, sigma=sigma),
    }
    weight = {term: config.terms[term] for term in LIFTING_TERMS}
    weight["bl"] *= bone_share
    return {k: weight[k] * v() for k, v in terms.items() if weight[k]}, cycle.elevation_removed


def draw(pose: Float[Tensor, "b J 2"], skeleton: Skeleton, config: Config) -> Tensor:
    """κ as a run draws it: size, γ and channels of the config."""
    n = config.networks
    return draw_skeleton(pose, skeleton, size=n.skeleton_size, gamma=n.gamma, channels=n.channels)


# --- networks ---------------------------------------------------------------------------------


def fitting_components(wanted: int, n_joints: int) -> int:
    """How many principal components the flow keeps: those wanted, if a pose has so many.

    Of bodies with fewer joints four fifths of what varies, as 26 of 32 are of the 17 joints.

    >>> fitting_components(26, 17), fitting_components(26, 8)
    (26, 11)
    """
    varying = 2 * (n_joints - 1)
    return wanted if wanted <= varying else max(2, varying * 4 // 5)


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
    n, f = config.networks, config.flow
    if config.input == "images" and dataset.image_size != n.image_size:
        raise ValueError(
            f"the data's pictures are {dataset.image_size} px, the config says "
            f"networks.image_size={n.image_size}; change one of them"
        )
    if config.terms["bl"] and dataset.skeleton.relative_bone_lengths is None:
        raise ValueError(
            f"skeleton {dataset.skeleton.name!r} states no relative_bone_lengths, which the term "
            "'bl' needs; measure them, or set terms.bl=0"
        )
    torch.manual_seed(config.seed)
    architecture = Architecture(
        image_size=n.image_size,
        skeleton_size=n.skeleton_size,
        channels=n.channels,
        gamma=n.gamma,
        width_phi=n.width_phi,
        width_omega=n.width_omega,
        width_lambda=n.width_lambda,
        flow_components=fitting_components(f.components, dataset.skeleton.n_joints),
        flow_blocks=f.blocks,
        flow_width=f.width,
        delta=n.delta,
    )
    return PosePipeline(
        skeleton=dataset.skeleton,
        architecture=architecture,
        scale=PixelScale.from_poses(dataset.unpaired, dataset.skeleton),
        with_images=config.input == "images",
    ).to(device)


def run_identity(dataset: PoseDataset, config: Config, **more: Any) -> dict[str, Any]:
    """What a checkpoint belongs to: data, library and parameters.

    A run begun with other code is refused, not continued: its record could not say what ran.
    """
    named = {"config": config.to_dict(), "data": dataset.name, "provenance": dataset.provenance}
    return {**named, "library": library_digest(), **more}
