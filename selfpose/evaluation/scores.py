"""From a trained pipeline and a labelled test set to numbers; and the monitors of a training."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from selfpose import metrics
from selfpose.camera import lift
from selfpose.cycle import FixedElevation, rotation_cycle
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.data.rows import even_rows
from selfpose.metrics import Pose2D, Pose3D
from selfpose.model import PosePipeline, Prediction, images_to_input
from selfpose.render import draw_skeleton
from selfpose.skeleton import Skeleton

Values = dict[str, Tensor]
"""One value a pose, by the full name of the error."""
MONITORED = 256
"""At most so many test pictures, and unpaired poses, are measured while a training goes on."""


def errors_2d(predicted: Pose2D, target: Pose2D, skeleton: Skeleton, *, image_size: int) -> Values:
    """2D errors of poses in pixels; facing only of bodies that have sides."""
    values = {
        "error_2d_percent": metrics.error_2d_percent(predicted, target, image_size=image_size),
        "error_2d_percent_side_tolerant": metrics.side_tolerant_error_2d_percent(
            predicted, target, image_size=image_size, skeleton=skeleton
        ),
    }
    if skeleton.has_sides:
        facing = metrics.facing_is_right(predicted, target, skeleton)
        values["facing_right_percent"] = 100 * facing.to(predicted.dtype)
    return values


def errors_3d(predicted: Pose3D, target: Pose3D, skeleton: Skeleton) -> Values:
    """3D errors; the target in mm, the prediction in any unit.

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


def errors(prediction: Prediction, test: LabelledSet, skeleton: Skeleton) -> Values:
    """2D errors where the test set knows 2D poses, 3D errors where it knows 3D poses."""
    values: Values = {}
    if test.knows_2d:
        size, pose_2d = int(test.images.shape[-1]), prediction.pose_2d.cpu()
        values |= errors_2d(pose_2d, test.poses_2d, skeleton, image_size=size)
    if test.knows_3d:
        pose_3d = prediction.pose_3d.cpu().double()
        values |= errors_3d(pose_3d, test.poses_3d.double(), skeleton)
    return values


def mean_errors(values: Values) -> dict[str, float]:
    """Averages over the poses, as plain numbers."""
    return {name: float(value.double().mean()) for name, value in values.items()}


def errors_by_activity(values: Values, activity: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Averages for each activity, with the number of poses as ``n``."""
    table: dict[str, dict[str, float]] = {}
    for name in sorted(set(activity)):
        chosen = torch.tensor([a == name for a in activity])
        means = mean_errors({k: v[chosen] for k, v in values.items()})
        table[name] = {**means, "n": float(chosen.sum())}
    return table


def errors_by_joint(
    prediction: Prediction, test: LabelledSet, skeleton: Skeleton
) -> dict[str, dict[str, float]]:
    """Mean 2D error (% of the image) and 3D error after Procrustes (mm) of each joint."""
    values: Values = {}
    if test.knows_2d:
        percent, pose_2d = 100 / int(test.images.shape[-1]), prediction.pose_2d.cpu()
        tolerant = metrics.best_labelling(pose_2d, test.poses_2d, skeleton)
        values["error_2d_percent"] = percent * (pose_2d - test.poses_2d).norm(dim=-1)
        values["error_2d_percent_side_tolerant"] = percent * (tolerant - test.poses_2d).norm(dim=-1)
    if test.knows_3d:
        aligned = metrics.procrustes(prediction.pose_3d.cpu(), test.poses_3d)
        values["p_mpjpe_mm"] = (aligned - test.poses_3d).norm(dim=-1)
    return {
        joint: {name: float(value[:, k].mean()) for name, value in values.items()}
        for k, joint in enumerate(skeleton.joints)
    }


def predict_test(pipeline: PosePipeline, test: LabelledSet) -> Prediction:
    """From the test pictures, or from their true 2D poses where the pipeline lifts poses only."""
    if pipeline.phi is not None:
        return pipeline.predict(test.images)
    if not test.knows_2d:
        raise ValueError("lifting starts from 2D poses, and the test pictures have none")
    return pipeline.predict_from_poses(test.poses_2d)


def evaluate(
    pipeline: PosePipeline, test: LabelledSet, *, prediction: Prediction | None = None
) -> dict[str, Any]:
    """Everything a record holds about a test set: averages, by activity, by joint.

    From pictures also ``p_mpjpe_sides_given_mm``: Λ on the predicted 2D poses with left and right
    put right limb by limb. Where Λ was given the expected pose, ``…_as_seen`` are the errors of
    what Ω read and of Λ on that; where the answer is the expected shape, ``…_lifted`` those of Λ
    alone. ``prediction`` is the pipeline's of the test set, where it is at hand.
    """
    prediction = predict_test(pipeline, test) if prediction is None else prediction
    skeleton, elevation, more = pipeline.skeleton, prediction.elevation, {}

    def lifted(pose_2d: Tensor) -> Tensor:  # test pictures may be of another size than trained at
        scale = pipeline.architecture.image_size / int(test.images.shape[-1])
        return pipeline.predict_from_poses(pose_2d * scale).pose_3d.cpu().double()

    values = errors(prediction, test, skeleton)
    if pipeline.phi is not None and test.knows_2d and test.knows_3d:
        named = metrics.best_labelling(prediction.pose_2d.cpu(), test.poses_2d, skeleton)
        more["p_mpjpe_sides_given_mm"] = metrics.p_mpjpe(lifted(named), test.poses_3d.double())
    if (pose := prediction.pose_2d_seen) is not None:
        seen = errors(replace(prediction, pose_2d=pose, pose_3d=lifted(pose)), test, skeleton)
        names = ("error_2d_percent", "error_2d_percent_side_tolerant", "p_mpjpe_mm", "n_mpjpe_mm")
        more |= {f"{name}_as_seen": seen[name] for name in names if name in seen}
    if prediction.pose_3d_lifted is not None and test.knows_3d:
        pose_3d = prediction.pose_3d_lifted.cpu().double()
        alone = errors_3d(pose_3d, test.poses_3d.double(), skeleton)
        more |= {f"{name}_lifted": alone[name] for name in ("p_mpjpe_mm", "n_mpjpe_mm")}
    return {
        "metrics": {
            **mean_errors({**values, **more}),
            "elevation_mean_deg": float(elevation.mean().rad2deg()),
            "elevation_sd_deg": float(elevation.std(correction=0).rad2deg()),
        },
        "by_activity": errors_by_activity(values, test.activity),
        "by_joint": errors_by_joint(prediction, test, skeleton),
    }


# --- monitors: test labels feed the log alone -------------------------------------------------


def monitored(n: int) -> Int[Tensor, " m"]:
    """Which of n a monitor measures: evenly spread, since data are ordered by clip and person."""
    return torch.from_numpy(even_rows(n, most=MONITORED))


def some_unpaired(pipeline: PosePipeline, dataset: PoseDataset) -> Pose2D:
    """The monitored unpaired poses, on the plane."""
    some = dataset.unpaired[monitored(len(dataset.unpaired))]
    return pipeline.pixels_to_plane(some.to(pipeline.device))


def pose_spread(pose: Float[Tensor, "N J C"], root: int) -> Float[Tensor, ""]:
    """How much poses differ: the mean standard deviation of a root-centred coordinate, never 0."""
    return metrics.root_centred(pose, root).std(dim=0, correction=0).mean().clamp(min=1e-9)


def median_log_p(pipeline: PosePipeline, plane: Pose2D) -> float:
    """Median of the flow's log p (nats): a few outliers would carry the mean."""
    return float(pipeline.flow.log_prob(plane).clamp(min=-1e6).median())


@torch.no_grad()
def monitor_lifting(
    pipeline: PosePipeline, dataset: PoseDataset, *, fixed_elevation: FixedElevation | None = None
) -> dict[str, float]:
    """While Λ learns: turns of unpaired poses, depths of true 2D poses."""
    test, rows, unpaired = (
        dataset.test,
        monitored(len(dataset.test)),
        some_unpaired(pipeline, dataset),
    )
    values = monitor_turn(pipeline, unpaired, unpaired, fixed_elevation)
    if test.knows_2d and test.knows_3d:
        v = pipeline.predict_from_poses(test.poses_2d[rows]).pose_3d.cpu()
        values |= depth_errors(v, test.poses_3d[rows], dataset.skeleton)
    return values


@torch.no_grad()
def monitor_images(
    pipeline: PosePipeline, networks: nn.ModuleDict, dataset: PoseDataset,
    *, gamma: float, fixed_elevation: FixedElevation | None = None,
) -> dict[str, float]:  # fmt: skip
    """While Φ and Ω (``networks``) learn: errors, alignment, and the variety of test poses.

    ``log_p_predicted`` is the median score of the 2D poses; ``spread_to_unpaired`` and ``spread``
    are their variety as a share of the unpaired poses' and of the truth's.
    """
    test, skeleton, size = dataset.test, dataset.skeleton, dataset.image_size
    rows, root, delta = monitored(len(test)), skeleton.root, pipeline.architecture.delta
    s = networks["phi"](images_to_input(test.images[rows].to(pipeline.device)))
    y = networks["omega"](s)
    plane, unpaired = pipeline.unit_to_plane(y), some_unpaired(pipeline, dataset)
    values = monitor_turn(pipeline, plane, unpaired, fixed_elevation)
    values["log_p_predicted"] = median_log_p(pipeline, plane)
    values["spread_to_unpaired"] = float(pose_spread(plane, root) / pose_spread(unpaired, root))
    if test.knows_3d:
        v = lift(plane, pipeline.lifter(plane)[0], delta=delta).cpu()
        values |= depth_errors(v, test.poses_3d[rows], skeleton)
    if test.knows_2d:
        y, target = y.cpu() * size, test.poses_2d[rows]
        known = errors_2d(y, target, skeleton, image_size=size)
        if skeleton.limbs:
            known["swapped_limbs_percent"] = 100.0 * metrics.swapped_limbs(y, target, skeleton)
            known["mixed_sides_percent"] = 100.0 * metrics.mixed_sides(y, target, skeleton)
        values |= mean_errors(known) | alignment(s, target / size, skeleton, gamma=gamma)
        values["spread"] = float(pose_spread(y, root) / pose_spread(target, root))
    return values


def monitor_turn(
    pipeline: PosePipeline, plane: Pose2D, unpaired: Float[Tensor, "m J 2"],
    fixed_elevation: FixedElevation | None,
) -> dict[str, float]:  # fmt: skip
    """What the second camera of the rotation cycle sees of some poses. Needs no label.

    Median log p of the turned poses beside that of real ones (healthy: within a nat or so), their
    variety as a share of the real ones' (0.9 to 1), and μₑ, σₑ as the cycle takes them out: a mean
    that crosses zero has turned the bodies inside out.
    """
    root, delta = pipeline.skeleton.root, pipeline.architecture.delta
    # The same turns at every call: the curves then move because the networks do.
    same = torch.Generator().manual_seed(0)
    cycle = rotation_cycle(
        plane, pipeline.lifter, root=root, delta=delta, fixed_elevation=fixed_elevation,
        generator=same,
    )  # fmt: skip
    turned, elevation = cycle.pose_2d_rotated, cycle.elevation_removed.rad2deg()
    return {
        "log_p_turned": median_log_p(pipeline, turned),
        "log_p_unpaired": median_log_p(pipeline, unpaired),
        "spread_turned": float(pose_spread(turned, root) / pose_spread(unpaired, root)),
        "elevation_mean_deg": float(elevation.mean()),
        "elevation_sd_deg": float(elevation.std(correction=0)),
    }


def depth_errors(lifted: Pose3D, target: Pose3D, skeleton: Skeleton) -> dict[str, float]:
    """Is the body the right way round? Lifted poses in any unit against true ones in mm.

    The error, and the error were every depth flipped (healthy: the first falls, the second rises);
    the share of poses that fit better flipped (a half: signs are drawn by a coin); the share of
    steep bones of the wrong sign, high also where single joints froze the wrong way.
    """
    centred = metrics.root_centred(lifted, skeleton.root)
    own = metrics.p_mpjpe(centred, target)
    flipped = metrics.p_mpjpe(centred * centred.new_tensor([1.0, 1.0, -1.0]), target)
    wrong = metrics.wrong_depth_signs_percent(centred, target, skeleton)
    return {
        "p_mpjpe_mm": float(own.mean()),
        "flipped_p_mpjpe_mm": float(flipped.mean()),
        "flipped_poses_percent": float(100 * (flipped < own).float().mean()),
        "wrong_depth_signs_percent": float(wrong.mean()),
    }


def alignment(
    s: Float[Tensor, "N K h h"], target: Pose2D, skeleton: Skeleton, *, gamma: float
) -> dict[str, float]:
    """Does Φ draw the person in its picture, or just a person? True poses in [0, 1].

    Mean squared difference between the skeleton image and the drawing of the true pose of its own
    picture, and of another one, sides merged. Equal numbers mean that Φ ignores its picture.
    """
    drawn = draw_skeleton(target, skeleton, size=s.shape[-1], gamma=gamma).to(s)[:, 0]
    merged, other = s.amax(dim=1), drawn.roll(len(drawn) // 2, 0)
    return {
        "alignment_own": float((merged - drawn).square().mean()),
        "alignment_shuffled": float((merged - other).square().mean()),
    }
