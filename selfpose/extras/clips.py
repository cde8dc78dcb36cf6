"""The sides of people in pictures: the prior's training, and what each clip decided together."""

from collections.abc import Callable

import torch
from torch import nn

from jaxtyping import Int
from torch import Tensor
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.lifting import Batches
from selfpose.metrics import twin_distances_sq
from selfpose.optimise import decay_rate, descend, numbers
from selfpose.model import PosePipeline, images_to_input
from selfpose.extras.sides import SidePrior, clip_log_odds, side_prior_loss
from selfpose.skeleton import Skeleton
from selfpose.steps import Stage
from selfpose.views import Pictures, View


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


def check_clips(sequence: Int[Tensor, " N"]) -> None:
    """``ValueError`` unless the pictures of each clip stand together."""
    if len(sequence.unique_consecutive()) != len(sequence.unique()):
        raise ValueError(
            "to decide sides by clip, the pictures of a clip must stand together, in the order of "
            "time; here a number of `sequence` comes again after others. Sort the pictures by clip "
            "and time, or set side_clips to false"
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
        see: Callable[[Tensor], Tensor],
        omega: nn.Module,
        pictures: Pictures,
        *,
        prior: SidePrior,
        pipeline: PosePipeline,
    ) -> None:
        """Look at every picture (``see``: input → skeleton image), then let each clip decide."""
        skeleton = pipeline.skeleton
        chunks = (chunk.to(pictures.device) for chunk in pictures.images.split(256))
        pose = torch.cat([omega(see(images_to_input(chunk))) for chunk in chunks])
        named = prior(pipeline.unit_to_plane(pose))
        odds = clip_log_odds(named, pose, pictures.sequence, skeleton)
        twin = pose[:, list(skeleton.flip)]
        self.pose.copy_(torch.where((odds >= 0)[:, None, None], pose, twin))
        self.certainty.copy_((2 * odds.sigmoid() - 1).abs())

    def log_odds(self, pose: Tensor, view: View, skeleton: Skeleton) -> Tensor:
        """For poses seen now in a view: log-odds (b) that their sides are as decided."""
        decided, certainty = self.pose[view.rows], self.certainty[view.rows]
        if view.change is not None:
            decided = view.change.move_poses(decided, skeleton)
        as_named, exchanged = twin_distances_sq(pose, decided, skeleton)
        sign = torch.where(as_named <= exchanged, 1.0, -1.0)
        return sign * torch.logit(0.5 + 0.5 * certainty.clamp(max=0.999))


__all__ = ["ClipSides", "check_clips", "side_stage"]
