"""What the method must beat, and what it could reach: floors without learning, and the ceiling."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam

from selfpose.camera import azimuth_rotation, lift
from selfpose.config import Config
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.evaluation import scores
from selfpose.evaluation.scores import mean_errors, predict_test
from selfpose.extras.augment import draw_view_change
from selfpose.losses import redrawing_loss, regressor_loss
from selfpose.metrics import Pose2D, Pose3D, procrustes, root_centred
from selfpose.model import PosePipeline, Prediction, encode, images_to_input
from selfpose.skeleton import Skeleton, mirror_pose
from selfpose.steps import Kept, Training, descend
from selfpose.train import build_pipeline, draw, run_identity


def baseline_errors(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    supervised: PosePipeline | None,
    *,
    prediction: Prediction | None = None,
) -> dict[str, dict[str, float] | None]:
    """Mean errors of every baseline, ``None`` where one needs labels or a training that is missing.

    ``flat`` is the pipeline's own 2D pose without depth; ``mean_pose`` the best constants;
    ``nearest_neighbour`` the poses found by looking the own 2D pose up; ``supervised`` the networks
    trained with labels. ``prediction`` is the pipeline's of the test part, where it is at hand.
    """
    prediction = predict_test(pipeline, dataset.test) if prediction is None else prediction
    plane, delta = pipeline.pixels_to_plane(prediction.pose_2d), pipeline.architecture.delta
    answers = {
        "flat": replace(prediction, pose_3d=lift(plane, 0 * plane[..., 0], delta=delta)),
        "mean_pose": None,
        "nearest_neighbour": nearest_neighbour(dataset, prediction),
        "supervised": predict_test(supervised, dataset.test) if supervised else None,
    }
    table: dict[str, dict[str, float] | None] = dict.fromkeys(answers)
    for name, answer in answers.items():
        if answer is not None:
            table[name] = mean_errors(scores.errors(answer, dataset.test, dataset.skeleton))
    return table | {"mean_pose": mean_pose_errors(dataset)}


def mean_pose_3d(labels: LabelledSet, skeleton: Skeleton) -> Float[Tensor, "J 3"]:
    """Mean of the training poses, each turned so that the line from right to left lies the same.

    Bodies without sides do not show which way they face: a few thousand poses are moved onto the
    mean by Procrustes alignment, and the mean taken again, a few times.
    """
    pose = root_centred(labels.poses_3d, skeleton.root)
    if skeleton.has_sides:
        left, right = (list(side) for side in zip(*skeleton.mirror_pairs, strict=True))
        across = (pose[:, left] - pose[:, right]).mean(dim=1)
        angle = torch.atan2(across[:, 2], across[:, 0])
        return (pose @ azimuth_rotation(angle).mT).mean(dim=0)
    some = pose[:: max(1, len(pose) // 2048)].double()
    mean = some[0]
    for _ in range(10):
        mean = procrustes(some, mean.expand_as(some)).mean(dim=0)
    return root_centred(mean, skeleton.root).to(pose.dtype)


def mean_pose_errors(dataset: PoseDataset) -> dict[str, float]:
    """Errors of the best constants: the mean 2D pose, and mean 3D poses of the ceiling's labels.

    After Procrustes the mean over poses that face the same way (:func:`mean_pose_3d`) is the
    stronger constant; metrics that do not forgive rotation take the mean in the camera frame.
    """
    test, skeleton, labels = dataset.test, dataset.skeleton, dataset.ceiling
    result: dict[str, Tensor] = {}
    if test.knows_2d:
        constant = dataset.unpaired.mean(dim=0).expand_as(test.poses_2d)
        result |= scores.errors_2d(constant, test.poses_2d, skeleton, image_size=dataset.image_size)
    if labels is not None and test.knows_3d:
        camera = root_centred(labels.poses_3d, skeleton.root).mean(dim=0)
        still, turned = (
            scores.errors_3d(
                mean.double().expand_as(test.poses_3d), test.poses_3d.double(), skeleton
            )
            for mean in (camera, mean_pose_3d(labels, skeleton))
        )
        result |= still | {k: turned[k] for k in ("p_mpjpe_mm", "p_mpjpe_reflection_mm")}
    return mean_errors(result)


def nearest_neighbour(dataset: PoseDataset, prediction: Prediction) -> Prediction | None:
    """Poses looked up by the predicted 2D ones, roots aligned: what a memory reaches.

    It uses labels: the 3D pose is that of the training picture whose *true* 2D pose is nearest. The
    2D pose is the nearest unpaired one, moved to the predicted root.
    """
    labels, root, pose_2d = dataset.ceiling, dataset.skeleton.root, prediction.pose_2d.cpu()
    if labels is None or not labels.knows_3d:
        return None
    wanted = root_centred(pose_2d, root)

    def nearest(known: Pose2D) -> Tensor:  # in blocks: memory grows with the known poses alone
        library, blocks = root_centred(known, root).flatten(1), wanted.flatten(1).split(256)
        return torch.cat([torch.cdist(block, library).argmin(dim=1) for block in blocks])

    unpaired = root_centred(dataset.unpaired[nearest(dataset.unpaired)], root)
    return replace(
        prediction,
        pose_2d=unpaired + pose_2d[:, root : root + 1],
        pose_3d=labels.poses_3d[nearest(labels.poses_2d)],
    )


def true_depth_offsets(
    pipeline: PosePipeline, poses_2d: Pose2D, poses_3d: Pose3D
) -> Float[Tensor, "N J"]:
    """The offsets d that Λ should give: true relative depths in method units.

    mm become units by the least-squares scale between the true x, y and the 2D pose at depth Δ.
    """
    plane = pipeline.pixels_to_plane(poses_2d) * pipeline.architecture.delta
    true = root_centred(poses_3d, pipeline.skeleton.root)
    across = true[..., :2]
    scale = (plane * across).sum(dim=(-2, -1)) / across.square().sum(dim=(-2, -1)).clamp(min=1.0)
    return scale[:, None] * true[..., 2]


def train_supervised(
    dataset: PoseDataset,
    config: Config,
    *,
    out: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = True,
) -> PosePipeline:
    """The ceiling: the same networks, trained with the labels of the unlabelled part."""
    pipeline = build_pipeline(dataset, config, device=device)
    folder = None if out is None else Path(out) / "supervised"
    identity = run_identity(dataset, config, supervised=True)
    training = Training(identity=identity, folder=folder, seed=config.seed, progress=progress)
    assert dataset.ceiling is not None
    _train_lifter(training, pipeline, dataset.ceiling, config)
    if config.input == "images":
        _train_pictures(training, pipeline, dataset.ceiling, config)
    return pipeline.eval()


def _train_lifter(
    training: Training, pipeline: PosePipeline, labels: LabelledSet, config: Config
) -> None:
    skeleton, c = pipeline.skeleton, config.lifting
    plane = pipeline.pixels_to_plane(labels.poses_2d.to(pipeline.device))
    target = true_depth_offsets(pipeline, labels.poses_2d, labels.poses_3d).to(plane)
    adam = Adam(pipeline.lifter.parameters(), lr=c.lr)
    keep: Kept = {"pipeline": pipeline, "adam": adam}
    for step in training.steps("supervised lifting", c.steps, keep):
        rows = torch.randint(len(plane), (c.batch,), generator=step.generator).to(plane.device)
        depth, wanted = pipeline.lifter(plane[rows])[0], target[rows]
        if config.pictures.augment and skeleton.has_sides:  # the mirrored twin's depths: exchanged
            twin = pipeline.lifter(mirror_pose(plane[rows], skeleton))[0]
            depth = torch.cat([depth, twin])
            wanted = torch.cat([wanted, wanted[:, list(skeleton.flip)]])
        descend(adam, {"depth": (depth - wanted).square().sum(dim=-1).mean()}, step)


def _train_pictures(
    training: Training, pipeline: PosePipeline, labels: LabelledSet, config: Config
) -> None:
    phi, omega, skeleton, c = pipeline.phi, pipeline.omega, pipeline.skeleton, config.pictures
    assert phi is not None
    assert omega is not None
    images = labels.images.to(pipeline.device)
    poses = (labels.poses_2d / images.shape[-1]).to(images.device)
    adam = Adam([*phi.parameters(), *omega.parameters()], lr=c.lr_omega)
    keep: Kept = {"pipeline": pipeline, "adam": adam}
    for step in training.steps("supervised images", config.supervised_steps, keep):
        draws: dict[str, Any] = {"generator": step.generator}
        rows = torch.randint(len(images), (c.batch,), **draws).to(images.device)
        x, pose = images_to_input(images[rows]), poses[rows]
        if c.augment:
            draws |= {"device": images.device, "mirror": skeleton.has_sides}
            view = draw_view_change(c.batch, **draws)
            x, pose = view.move_images(x), view.move_poses(pose, skeleton)
        s = encode(phi, x, c.precision)
        drawn = draw(pose, skeleton, config)
        terms = {"pose": regressor_loss(pose, omega(s)), "skeleton": redrawing_loss(s, drawn)}
        descend(adam, {name: 10 * term for name, term in terms.items()}, step)
