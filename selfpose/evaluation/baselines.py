"""What the method must beat, and what it could reach: floors without learning, and the ceiling."""

from pathlib import Path

import torch

from jaxtyping import Float, Int
from torch import Tensor
from selfpose.extras.augment import draw_view_change
from selfpose.camera import azimuth_rotation, lift
from selfpose.config import Config
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.evaluation.scores import (
    errors,
    errors_2d,
    errors_3d,
    known_errors,
    mean_errors,
    predict_test,
)
from selfpose.imaging import draw, encode
from selfpose.losses import redrawing_loss, regressor_loss
from selfpose.metrics import procrustes, root_centred
from selfpose.optimise import decay_rate, descend, numbers
from selfpose.model import PosePipeline, Prediction, images_to_input
from selfpose.skeleton import Skeleton, mirror_pose
from selfpose.steps import Runner, Stage
from selfpose.training import build_pipeline, run_identity


def flat_pose(pipeline: PosePipeline, prediction: Prediction) -> Float[Tensor, "b J 3"]:
    """The predicted 2D pose with every depth equal to the root's."""
    plane = pipeline.scale.pixels_to_plane(prediction.pose_2d, pipeline.skeleton.root)
    return lift(plane, torch.zeros_like(plane[..., 0]), delta=pipeline.architecture.delta)


MEAN_OF = 2048
"""Poses, spread over the training part, that a mean by alignment is taken of."""


def facing_angle(pose: Float[Tensor, "*b J 3"], skeleton: Skeleton) -> Float[Tensor, "*b"]:
    """Azimuth of the line from right to left, averaged over the mirror pairs (radians)."""
    if not skeleton.mirror_pairs:
        return torch.zeros_like(pose[..., 0, 0])
    left, right = zip(*skeleton.mirror_pairs, strict=True)
    across = (pose[..., list(left), :] - pose[..., list(right), :]).mean(dim=-2)
    return torch.atan2(across[..., 2], across[..., 0])


def mean_pose_3d(labels: LabelledSet, skeleton: Skeleton) -> Float[Tensor, "J 3"]:
    """Mean of the training poses after each is turned to face the same way.

    Bodies with sides are turned about the vertical. Others do not show which way they face: each
    pose is moved onto the mean by Procrustes alignment, and the mean taken again, a few times.
    """
    pose = root_centred(labels.poses_3d, skeleton.root)
    if skeleton.has_sides:
        return (pose @ azimuth_rotation(facing_angle(pose, skeleton)).mT).mean(dim=0)
    some = pose[:: max(1, len(pose) // MEAN_OF)].double()
    mean = some[0]
    for _ in range(10):
        mean = procrustes(some, mean.expand_as(some)).mean(dim=0)
    return root_centred(mean, skeleton.root).to(pose.dtype)


def mean_pose_errors(dataset: PoseDataset) -> dict[str, float]:
    """Errors of the best constants: mean 2D pose; mean 3D pose, facing aligned for P-MPJPE.

    The 2D mean is the unpaired poses'. The 3D means use the ceiling's labels. After Procrustes the
    mean over poses that face the same way (:func:`mean_pose_3d`) is the stronger constant, so
    P-MPJPE takes that one; the other 3D metrics, which do not forgive rotation, take the mean in
    the camera frame.
    """
    test, skeleton = dataset.test, dataset.skeleton
    n = len(test)
    result: dict[str, Tensor] = {}
    if test.knows_2d:
        constant = dataset.unpaired.mean(dim=0).expand(n, -1, -1)
        result |= errors_2d(constant, test.poses_2d, skeleton, image_size=dataset.image_size)
    if dataset.ceiling is not None and test.knows_3d:
        facing = mean_pose_3d(dataset.ceiling, skeleton).expand(n, -1, -1)
        camera = root_centred(dataset.ceiling.poses_3d, skeleton.root).mean(dim=0)
        result |= errors_3d(camera.expand(n, -1, -1).double(), test.poses_3d.double(), skeleton)
        turned = errors_3d(facing.double(), test.poses_3d.double(), skeleton)
        result |= {k: turned[k] for k in ("p_mpjpe_mm", "p_mpjpe_reflection_mm")}
    return mean_errors(result)


BLOCK = 256
"""Poses that a search compares with a whole set at a time: its memory grows with this alone."""


def nearest_pose(
    wanted: Float[Tensor, "N J 2"], known: Float[Tensor, "M J 2"], *, root: int
) -> Int[Tensor, " N"]:
    """For each 2D pose the index of the nearest in a set, by squared distance, roots aligned.

    Searched block by block, so that memory grows with M alone, not with N · M.
    """
    library = root_centred(known, root).flatten(1)
    queries = root_centred(wanted, root).flatten(1)
    found = [torch.cdist(block, library).argmin(dim=1) for block in queries.split(BLOCK)]
    return torch.cat(found)


def nearest_neighbour_errors(
    dataset: PoseDataset, pose_2d: Float[Tensor, "N J 2"]
) -> dict[str, float] | None:
    """Errors of looking poses up: what a memory of the training poses reaches without lifting.

    Uses labels: the 3D pose is that of the training picture whose *true* 2D pose is nearest to the
    predicted one (``pose_2d``, pixels), so it is no competitor of a method without labels, but what
    such a method should be measured against. The 2D pose is the nearest of the unpaired poses,
    moved to the predicted root. ``None`` where the data hold no labels.
    """
    test, root = dataset.test, dataset.skeleton.root
    if dataset.ceiling is None or not dataset.ceiling.knows_3d:
        return None
    labelled = dataset.ceiling.poses_3d[nearest_pose(pose_2d, dataset.ceiling.poses_2d, root=root)]
    unpaired = dataset.unpaired[nearest_pose(pose_2d, dataset.unpaired, root=root)]
    placed = root_centred(unpaired, root) + pose_2d[:, root : root + 1]
    return mean_errors(known_errors(placed, labelled, test, dataset.skeleton))


def true_depth_offsets(
    pipeline: PosePipeline, poses_2d: Tensor, poses_3d: Tensor
) -> Float[Tensor, "N J"]:
    """The offsets d that Λ should give: true relative depths in method units.

    mm become units by the least-squares scale between the true x, y and the 2D pose at depth Δ.
    """
    root = pipeline.skeleton.root
    plane = pipeline.scale.pixels_to_plane(poses_2d, root) * pipeline.architecture.delta
    true = root_centred(poses_3d, root)
    across = true[..., :2]
    scale = (plane * across).sum(dim=(-2, -1)) / across.square().sum(dim=(-2, -1)).clamp(min=1.0)
    return scale[:, None] * true[..., 2]


def supervised_lifting_stage(pipeline: PosePipeline, labels: LabelledSet, config: Config) -> Stage:
    """Λ trained on pairs of 2D and 3D poses."""
    device = pipeline.device
    plane = pipeline.scale.pixels_to_plane(labels.poses_2d.to(device), pipeline.skeleton.root)
    target = true_depth_offsets(pipeline, labels.poses_2d, labels.poses_3d).to(device)
    optimiser = torch.optim.Adam(pipeline.lifter.parameters(), lr=config.lift_lr)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.lift_steps)
        rows = torch.randint(len(plane), (config.lift_batch,), generator=generator).to(device)
        pose = plane[rows]
        depth, wanted = pipeline.lifter(pose)[0], target[rows]
        # as the method does: the twin in the mirror has its depths exchanged
        if config.augment and pipeline.skeleton.has_sides:
            twin = pipeline.lifter(mirror_pose(pose, pipeline.skeleton))[0]
            depth = torch.cat([depth, twin])
            wanted = torch.cat([wanted, wanted[:, list(pipeline.skeleton.flip)]])
        terms = {"depth": (depth - wanted).square().sum(dim=-1).mean()}
        descend(optimiser, terms, stage="supervised lifting", step=number)
        return numbers(terms)

    return Stage(
        name="supervised lifting",
        n_steps=config.lift_steps,
        modules={"pipeline": pipeline},
        optimisers={"lambda": optimiser},
        step=step,
    )


def supervised_image_stage(
    pipeline: PosePipeline, labels: LabelledSet, dataset: PoseDataset, config: Config
) -> Stage:
    """Φ and Ω trained on pictures with their 2D poses, through the skeleton image."""
    phi, omega, device = pipeline.phi, pipeline.omega, pipeline.device
    assert phi is not None
    assert omega is not None
    images = labels.images.to(device)
    poses = (labels.poses_2d / dataset.image_size).to(device)
    parameters = [*phi.parameters(), *omega.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=config.lr_omega)

    def step(number: int, generator: torch.Generator) -> dict[str, float]:
        decay_rate(optimiser, number, config.supervised_steps)
        rows = torch.randint(len(images), (config.batch,), generator=generator).to(device)
        x, pose = images_to_input(images[rows]), poses[rows]
        if config.augment:
            mirror = dataset.skeleton.has_sides
            view = draw_view_change(len(x), generator=generator, device=device, mirror=mirror)
            x, pose = view.move_images(x), view.move_poses(pose, dataset.skeleton)
        s = encode(phi, x, config)
        drawn = draw(pose, dataset.skeleton, config)
        terms = {
            "pose": 10 * regressor_loss(pose, omega(s)),
            "skeleton": 10 * redrawing_loss(s, drawn),
        }
        descend(optimiser, terms, stage="supervised images", step=number)
        return numbers(terms)

    return Stage(
        name="supervised images",
        n_steps=config.supervised_steps,
        modules={"pipeline": pipeline},
        optimisers={"both": optimiser},
        step=step,
    )


def train_supervised(
    dataset: PoseDataset,
    config: Config,
    *,
    out: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = True,
) -> PosePipeline:
    """The ceiling: the same networks, trained with the labels of the unlabelled part.

    Raises
    ------
    ValueError
        If the data set has no labels for its pictures.
    """
    if dataset.ceiling is None:
        raise ValueError(f"{dataset.name}: no labels to train a supervised ceiling with")
    pipeline = build_pipeline(dataset, config, device=device)
    stages = [supervised_lifting_stage(pipeline, dataset.ceiling, config)]
    if config.input == "images":
        stages.append(supervised_image_stage(pipeline, dataset.ceiling, dataset, config))
    runner = Runner(
        identity=run_identity(dataset, config, supervised=True),
        folder=None if out is None else Path(out) / "supervised",
        seed=config.seed,
        progress=progress,
        checkpoint_every_s=config.checkpoint_every_s,
    )
    runner.run(stages)
    return pipeline.eval()


def baseline_errors(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    supervised: PosePipeline | None,
    *,
    prediction: Prediction | None = None,
) -> dict[str, dict[str, float] | None]:
    """Errors of every baseline under its name; ``None`` for a ceiling that was not trained.

    ``flat`` is the pipeline's own 2D pose without depth; ``mean_pose`` the best constants;
    ``nearest_neighbour`` the poses found by looking the pipeline's own 2D pose up;
    ``supervised`` the networks trained with labels. ``prediction`` is the pipeline's of the test
    part, where it is at hand.
    """
    test, skeleton = dataset.test, dataset.skeleton
    if prediction is None:
        prediction = predict_test(pipeline, test)
    flat = known_errors(prediction.pose_2d, flat_pose(pipeline, prediction), test, skeleton)
    ceiling = None
    if supervised is not None:
        ceiling = mean_errors(errors(predict_test(supervised, test), test, skeleton))
    return {
        "flat": mean_errors(flat),
        "mean_pose": mean_pose_errors(dataset),
        "nearest_neighbour": nearest_neighbour_errors(dataset, prediction.pose_2d.cpu()),
        "supervised": ceiling,
    }


__all__ = [
    "baseline_errors",
    "facing_angle",
    "flat_pose",
    "mean_pose_3d",
    "mean_pose_errors",
    "nearest_neighbour_errors",
    "nearest_pose",
    "train_supervised",
    "true_depth_offsets",
]
