"""Training without pictures: the flow prior, then Λ by the rotation cycle, on unpaired 2D poses."""

import math

import torch

from selfpose import losses
from jaxtyping import Float
from torch import Tensor
from selfpose.config import LIFTING_TERMS, Config
from selfpose.cycle import FixedElevation, rotation_cycle
from selfpose.data.dataset import PoseDataset
from selfpose.evaluation.scores import monitor_lifting
from selfpose.optimise import decay_rate, descend, numbers
from selfpose.model import PosePipeline
from selfpose.skeleton import mirror_pose
from selfpose.steps import Stage


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


class Batches:
    """Draws of plane poses for the flow and for Λ, mirrored half the time where asked."""

    def __init__(self, pipeline: PosePipeline, dataset: PoseDataset, config: Config) -> None:
        device = pipeline.device
        self.skeleton = dataset.skeleton
        self.mirror = config.augment and dataset.skeleton.has_sides
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


__all__ = [
    "Batches",
    "bone_weight",
    "fixed_elevation",
    "flow_stage",
    "lifting_stage",
    "lifting_terms",
]
