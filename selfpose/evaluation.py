"""From a trained pipeline and a labelled test set to numbers; and the monitors of a training."""

from typing import Any

import torch
from torch import nn

from selfpose import metrics
from selfpose._typing import Float, Tensor
from selfpose.data.protocol import LabelledSet, PoseDataset
from selfpose.pipeline import PosePipeline, Prediction, images_to_input
from selfpose.render import draw_skeleton
from selfpose.skeleton import Skeleton

MONITORED = 256
"""Test pictures that a monitor looks at."""


def errors_2d(
    predicted: Float[Tensor, "N J 2"],
    target: Float[Tensor, "N J 2"],
    skeleton: Skeleton,
    *,
    image_size: int,
) -> dict[str, Tensor]:
    """2D errors by their full names, one value a pose."""
    facing = metrics.facing_is_right(predicted, target, skeleton)
    return {
        "error_2d_percent": metrics.error_2d_percent(predicted, target, image_size=image_size),
        "error_2d_percent_side_tolerant": metrics.side_tolerant_error_2d_percent(
            predicted, target, image_size=image_size, skeleton=skeleton
        ),
        "facing_right_percent": 100 * facing.to(predicted.dtype),
    }


def errors_3d(
    predicted: Float[Tensor, "N J 3"], target: Float[Tensor, "N J 3"], skeleton: Skeleton
) -> dict[str, Tensor]:
    """3D errors by their full names, one value a pose; the target in mm, the prediction at will.

    PCK and AUC are taken after the least-squares scale, since one picture does not tell size.
    """
    root = skeleton.root
    scaled = metrics.scale_to_target(predicted, target, root=root)
    return {
        "p_mpjpe_mm": metrics.p_mpjpe(predicted, target),
        "p_mpjpe_reflection_mm": metrics.p_mpjpe(predicted, target, reflection=True),
        "n_mpjpe_mm": metrics.n_mpjpe(predicted, target, root=root),
        "n_pck150_percent": metrics.pck(scaled, target, root=root),
        "n_auc_percent": metrics.auc(scaled, target, root=root),
    }


def errors(prediction: Prediction, test: LabelledSet, skeleton: Skeleton) -> dict[str, Tensor]:
    """All errors of a prediction on the test set, one value a pose."""
    pose_2d, pose_3d = prediction.pose_2d.cpu(), prediction.pose_3d.cpu()
    size = int(test.images.shape[-1])
    return errors_2d(pose_2d, test.poses_2d, skeleton, image_size=size) | errors_3d(
        pose_3d.double(), test.poses_3d.double(), skeleton
    )


def mean_errors(values: dict[str, Tensor]) -> dict[str, float]:
    """Averages over the poses, as plain numbers."""
    return {name: float(value.double().mean()) for name, value in values.items()}


def errors_by_activity(
    values: dict[str, Tensor], activity: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Averages for each activity, with the number of poses as ``n``."""
    table: dict[str, dict[str, float]] = {}
    for name in sorted(set(activity)):
        chosen = torch.tensor([a == name for a in activity])
        table[name] = mean_errors({k: v[chosen] for k, v in values.items()})
        table[name]["n"] = float(chosen.sum())
    return table


def errors_by_joint(
    prediction: Prediction, test: LabelledSet, skeleton: Skeleton
) -> dict[str, dict[str, float]]:
    """Mean 2D error (% of the image) and 3D error after Procrustes (mm) of each joint."""
    size = int(test.images.shape[-1])
    pixel = 100 * (prediction.pose_2d.cpu() - test.poses_2d).norm(dim=-1) / size
    tolerant = metrics.best_labelling(prediction.pose_2d.cpu(), test.poses_2d, skeleton)
    tolerant = 100 * (tolerant - test.poses_2d).norm(dim=-1) / size
    aligned = metrics.procrustes(prediction.pose_3d.cpu(), test.poses_3d)
    depth = (aligned - test.poses_3d).norm(dim=-1)
    return {
        joint: {
            "error_2d_percent": float(pixel[:, k].mean()),
            "error_2d_percent_side_tolerant": float(tolerant[:, k].mean()),
            "p_mpjpe_mm": float(depth[:, k].mean()),
        }
        for k, joint in enumerate(skeleton.joints)
    }


def predict_test(pipeline: PosePipeline, test: LabelledSet) -> Prediction:
    """From the test pictures, or from their true 2D poses where the pipeline lifts poses only."""
    if pipeline.phi is None:
        return pipeline.predict_from_poses(test.poses_2d)
    return pipeline.predict(test.images)


def evaluate(pipeline: PosePipeline, test: LabelledSet) -> dict[str, Any]:
    """Everything a record holds about a test set: averages, by activity, by joint."""
    prediction = predict_test(pipeline, test)
    values = errors(prediction, test, pipeline.skeleton)
    averages = mean_errors(values)
    averages["elevation_mean_deg"] = float(prediction.elevation.mean().rad2deg())
    averages["elevation_sd_deg"] = float(prediction.elevation.std(correction=0).rad2deg())
    return {
        "metrics": averages,
        "by_activity": errors_by_activity(values, test.activity),
        "by_joint": errors_by_joint(prediction, test, pipeline.skeleton),
    }


@torch.no_grad()
def monitor_lifting(
    pipeline: PosePipeline, dataset: PoseDataset, *, elevation: Tensor
) -> dict[str, float]:
    """What to watch while Λ learns: the error, the error were every depth flipped, the elevation.

    ``p_mpjpe_mm`` falling while ``flipped_p_mpjpe_mm`` rises is health; the reverse means that the
    depth signs froze the wrong way. Uses test labels, for the log alone.
    """
    test = dataset.test
    chosen = slice(0, MONITORED)
    target = test.poses_3d[chosen]
    lifted = pipeline.predict_from_poses(test.poses_2d[chosen]).pose_3d.cpu()
    root = dataset.skeleton.root
    flipped = metrics.root_centred(lifted, root) * lifted.new_tensor([1.0, 1.0, -1.0])
    return {
        "p_mpjpe_mm": float(metrics.p_mpjpe(lifted, target).mean()),
        "flipped_p_mpjpe_mm": float(metrics.p_mpjpe(flipped, target).mean()),
        "elevation_mean_deg": float(elevation.mean().rad2deg()),
        "elevation_sd_deg": float(elevation.std().rad2deg()),
    }


@torch.no_grad()
def monitor_2d(networks: nn.ModuleDict, dataset: PoseDataset) -> dict[str, float]:
    """2D errors of Ω(Φ(x)) on some test pictures. Uses test labels, for the log alone."""
    images = dataset.test.images[:MONITORED]
    device = next(networks.parameters()).device
    unit = networks["omega"](networks["phi"](images_to_input(images.to(device)))).cpu()
    size = dataset.image_size
    target = dataset.test.poses_2d[:MONITORED]
    return mean_errors(errors_2d(unit * size, target, dataset.skeleton, image_size=size))


@torch.no_grad()
def alignment(networks: nn.ModuleDict, dataset: PoseDataset, *, gamma: float) -> dict[str, float]:
    """Does Φ draw the person in its picture, or just a person?

    Mean squared difference between the skeleton image of a test picture and the drawing of the
    true pose of that picture (``own``) and of another one (``shuffled``), sides merged. Equal
    numbers mean that Φ ignores its picture. ``spread`` is the standard deviation of the drawn
    joints over pictures as a share of the truth's: near zero means one skeleton for all.
    """
    images = dataset.test.images[:MONITORED]
    device = next(networks.parameters()).device
    s = networks["phi"](images_to_input(images.to(device)))
    pose = dataset.test.poses_2d[:MONITORED] / dataset.image_size
    size = s.shape[-1]
    truth = draw_skeleton(pose, dataset.skeleton, size=size, gamma=gamma).to(device)[:, 0]
    merged = s.amax(dim=1)
    root = dataset.skeleton.root
    drawn = metrics.root_centred(networks["omega"](s).cpu(), root)
    true_spread = metrics.root_centred(pose, root).std(dim=0, correction=0).mean()
    spread = drawn.std(dim=0, correction=0).mean() / true_spread.clamp(min=1e-6)
    return {
        "alignment_own": float((merged - truth).square().mean()),
        "alignment_shuffled": float((merged - truth.roll(len(truth) // 2, 0)).square().mean()),
        "spread": float(spread),
    }


__all__ = [
    "alignment",
    "errors",
    "errors_2d",
    "errors_3d",
    "errors_by_activity",
    "errors_by_joint",
    "evaluate",
    "mean_errors",
    "monitor_2d",
    "monitor_lifting",
    "predict_test",
]
