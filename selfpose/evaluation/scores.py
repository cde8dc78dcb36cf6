"""From a trained pipeline and a labelled test set to numbers; and the monitors of a training."""

from typing import Any

import torch
from torch import nn

from selfpose import metrics
from jaxtyping import Float, Int
from torch import Tensor
from selfpose.camera import lift
from selfpose.cycle import FixedElevation, rotation_cycle
from selfpose.data.dataset import LabelledSet, PoseDataset
from selfpose.data.rows import even_rows
from selfpose.model import PosePipeline, Prediction, images_to_input
from selfpose.render import draw_skeleton
from selfpose.skeleton import Skeleton

MONITORED = 256
"""Test pictures, and unpaired poses, that a monitor looks at."""


def errors_2d(
    predicted: Float[Tensor, "N J 2"],
    target: Float[Tensor, "N J 2"],
    skeleton: Skeleton,
    *,
    image_size: int,
) -> dict[str, Tensor]:
    """2D errors by their full names, one value a pose; facing only of bodies that have sides."""
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
    """All errors of a prediction that the test set's labels can tell, one value a pose."""
    return known_errors(prediction.pose_2d, prediction.pose_3d, test, skeleton)


def known_errors(
    pose_2d: Float[Tensor, "N J 2"],
    pose_3d: Float[Tensor, "N J 3"],
    test: LabelledSet,
    skeleton: Skeleton,
) -> dict[str, Tensor]:
    """2D errors where the test set knows 2D poses, 3D errors where it knows 3D poses."""
    values: dict[str, Tensor] = {}
    if test.knows_2d:
        size = int(test.images.shape[-1])
        values |= errors_2d(pose_2d.cpu(), test.poses_2d, skeleton, image_size=size)
    if test.knows_3d:
        values |= errors_3d(pose_3d.cpu().double(), test.poses_3d.double(), skeleton)
    return values


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
    values: dict[str, Tensor] = {}
    if test.knows_2d:
        percent = 100 / int(test.images.shape[-1])
        pose_2d = prediction.pose_2d.cpu()
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
    """From the test pictures, or from their true 2D poses where the pipeline lifts poses only.

    Raises
    ------
    ValueError
        If it lifts poses only, and the test set knows none.
    """
    if pipeline.phi is None:
        if not test.knows_2d:
            raise ValueError("lifting starts from 2D poses, and the test pictures have none")
        return pipeline.predict_from_poses(test.poses_2d)
    return pipeline.predict(test.images)


def lift_from_pictures(
    pipeline: PosePipeline, pose_2d: Float[Tensor, "N J 2"], test: LabelledSet
) -> Float[Tensor, "N J 3"]:
    """Λ on 2D poses in pixels of the test pictures, which need not be of the size trained at."""
    scale = pipeline.architecture.image_size / int(test.images.shape[-1])
    return pipeline.predict_from_poses(pose_2d * scale).pose_3d


def errors_as_seen(
    pipeline: PosePipeline, pose_2d: Float[Tensor, "N J 2"], test: LabelledSet
) -> dict[str, float]:
    """Mean errors of 2D poses (pixels) as Ω read them, and of Λ on them."""
    lifted = lift_from_pictures(pipeline, pose_2d, test)
    seen = known_errors(pose_2d, lifted, test, pipeline.skeleton)
    kept = ("error_2d_percent", "error_2d_percent_side_tolerant", "p_mpjpe_mm", "n_mpjpe_mm")
    return mean_errors({f"{name}_as_seen": seen[name] for name in kept if name in seen})


def evaluate(
    pipeline: PosePipeline, test: LabelledSet, *, prediction: Prediction | None = None
) -> dict[str, Any]:
    """Everything a record holds about a test set: averages, by activity, by joint.

    From pictures also ``p_mpjpe_sides_given_mm``: Λ on the predicted 2D poses whose left and right
    the truth has put right, limb by limb: what they would be worth without that fault. Of pipelines
    that lift the expected pose, the errors of what Ω read: ``…_as_seen``. And of those that expect
    a shape, the 3D errors of Λ alone: ``…_lifted``.
    ``prediction`` is the pipeline's of the test set, where it is at hand.
    """
    if prediction is None:
        prediction = predict_test(pipeline, test)
    values = errors(prediction, test, pipeline.skeleton)
    averages = mean_errors(values)
    if pipeline.phi is not None and test.knows_2d and test.knows_3d:
        named = metrics.best_labelling(prediction.pose_2d.cpu(), test.poses_2d, pipeline.skeleton)
        lifted = lift_from_pictures(pipeline, named, test).cpu().double()
        given = metrics.p_mpjpe(lifted, test.poses_3d.double())
        averages["p_mpjpe_sides_given_mm"] = float(given.mean())
    if prediction.pose_2d_seen is not None:
        averages |= errors_as_seen(pipeline, prediction.pose_2d_seen, test)
    if prediction.pose_3d_lifted is not None and test.knows_3d:
        lifted = prediction.pose_3d_lifted.cpu().double()
        alone = errors_3d(lifted, test.poses_3d.double(), pipeline.skeleton)
        averages |= mean_errors({f"{k}_lifted": alone[k] for k in ("p_mpjpe_mm", "n_mpjpe_mm")})
    averages["elevation_mean_deg"] = float(prediction.elevation.mean().rad2deg())
    averages["elevation_sd_deg"] = float(prediction.elevation.std(correction=0).rad2deg())
    return {
        "metrics": averages,
        "by_activity": errors_by_activity(values, test.activity),
        "by_joint": errors_by_joint(prediction, test, pipeline.skeleton),
    }


def pose_spread(pose: Float[Tensor, "N J C"], root: int) -> Float[Tensor, ""]:
    """How much poses differ: the standard deviation over poses of each root-centred coordinate."""
    return metrics.root_centred(pose, root).std(dim=0, correction=0).mean()


@torch.no_grad()
def typical_log_prob(pipeline: PosePipeline, plane: Float[Tensor, "b J 2"]) -> float:
    """Median of the flow's log p (nats): a few outliers would carry the mean."""
    return float(pipeline.flow.log_prob(plane).clamp(min=-1e6).median())


def monitored(n: int) -> Int[Tensor, " m"]:
    """Which of n a monitor looks at: at most ``MONITORED``, from the first to the last, evenly.

    Data sets stand ordered by clip or trial, so the first ones would be those of a few people.
    """
    return torch.from_numpy(even_rows(n, most=MONITORED))


def some_unpaired(dataset: PoseDataset) -> Float[Tensor, "m J 2"]:
    """At most ``MONITORED`` unpaired poses, spread evenly over the set (pixels)."""
    return dataset.unpaired[monitored(len(dataset.unpaired))]


@torch.no_grad()
def monitor_turn(
    pipeline: PosePipeline,
    plane: Float[Tensor, "b J 2"],
    dataset: PoseDataset,
    *,
    fixed_elevation: FixedElevation | None = None,
) -> dict[str, float]:
    """What the second camera of the rotation cycle sees of some poses. Needs no label.

    ``log_p_turned``
        Median log p of the turned poses. Healthy: within a nat or so of ``log_p_unpaired``.
        Above it the poses have become bland and sit at the mode of the prior; far below, the lifted
        bodies look like nothing that people do.
    ``log_p_unpaired``
        The same of real 2D poses: what to hold the other against. Constant in a run.
    ``spread_turned``
        Variety of the turned poses as a share of that of the unpaired poses. Healthy: 0.9 to 1.
    ``elevation_mean_deg``, ``elevation_sd_deg``
        μₑ and σₑ of the camera's elevation, as the cycle takes it out. Healthy: the mean is settled
        and, for cameras at eye level or above, positive; one that crosses zero has turned the
        bodies inside out. A deviation of zero means one angle for all pictures.
    """
    root = pipeline.skeleton.root
    # The same turns at every call: the curves then move because the networks do.
    cycle = rotation_cycle(
        plane,
        pipeline.lifter,
        root=root,
        delta=pipeline.architecture.delta,
        fixed_elevation=fixed_elevation,
        generator=torch.Generator().manual_seed(0),
    )
    unpaired = pipeline.scale.pixels_to_plane(some_unpaired(dataset).to(plane.device), root)
    spread = pose_spread(cycle.pose_2d_rotated, root) / pose_spread(unpaired, root).clamp(min=1e-9)
    elevation = cycle.elevation_removed.rad2deg()
    return {
        "log_p_turned": typical_log_prob(pipeline, cycle.pose_2d_rotated),
        "log_p_unpaired": typical_log_prob(pipeline, unpaired),
        "spread_turned": float(spread),
        "elevation_mean_deg": float(elevation.mean()),
        "elevation_sd_deg": float(elevation.std(correction=0)),
    }


def depth_errors(
    lifted: Float[Tensor, "N J 3"], target: Float[Tensor, "N J 3"], skeleton: Skeleton
) -> dict[str, float]:
    """Is the body the right way round? Lifted poses in any unit against true ones in mm.

    ``p_mpjpe_mm``, ``flipped_p_mpjpe_mm``
        The error, and the error were every depth flipped. Healthy: the first falls while the second
        rises; the reverse means that the depth signs froze the wrong way.
    ``flipped_poses_percent``
        Share of poses that fit better with all depths flipped. Healthy: a few per cent; a half
        means that depth signs are drawn by a coin.
    ``wrong_depth_signs_percent``
        Share of steep bones whose depth has the wrong sign. Healthy: below some 20 %. It stays high
        where single joints froze the wrong way and no flip of the whole body helps.
    """
    centred = metrics.root_centred(lifted, skeleton.root)
    own = metrics.p_mpjpe(centred, target)
    flipped = metrics.p_mpjpe(centred * centred.new_tensor([1.0, 1.0, -1.0]), target)
    signs = metrics.wrong_depth_signs_percent(centred, target, skeleton)
    return {
        "p_mpjpe_mm": float(own.mean()),
        "flipped_p_mpjpe_mm": float(flipped.mean()),
        "flipped_poses_percent": float(100 * (flipped < own).float().mean()),
        "wrong_depth_signs_percent": float(signs.mean()),
    }


@torch.no_grad()
def monitor_lifting(
    pipeline: PosePipeline,
    dataset: PoseDataset,
    *,
    fixed_elevation: FixedElevation | None = None,
) -> dict[str, float]:
    """What to watch while Λ learns: :func:`depth_errors` and :func:`monitor_turn`.

    The first are of true 2D poses and use test labels, for the log alone; the second are of the
    unpaired poses that Λ learns from.
    """
    unpaired = pipeline.scale.pixels_to_plane(
        some_unpaired(dataset).to(pipeline.device), dataset.skeleton.root
    )
    values = monitor_turn(pipeline, unpaired, dataset, fixed_elevation=fixed_elevation)
    if not (dataset.test.knows_2d and dataset.test.knows_3d):
        return values
    chosen = monitored(len(dataset.test))
    lifted = pipeline.predict_from_poses(dataset.test.poses_2d[chosen]).pose_3d.cpu()
    return depth_errors(lifted, dataset.test.poses_3d[chosen], dataset.skeleton) | values


Seen = tuple[Tensor, Tensor]
"""What Φ and Ω make of the monitored test pictures: s (m, K, h, h), and y in [0, 1] (m, J, 2)."""


@torch.no_grad()
def look(networks: nn.ModuleDict, dataset: PoseDataset) -> Seen:
    """Φ and Ω on the monitored test pictures, on the device of the networks."""
    device = next(networks.parameters()).device
    images = dataset.test.images[monitored(len(dataset.test))]
    s = networks["phi"](images_to_input(images.to(device)))
    return s, networks["omega"](s)


def monitor_images(
    pipeline: PosePipeline,
    networks: nn.ModuleDict,
    dataset: PoseDataset,
    *,
    gamma: float,
    fixed_elevation: FixedElevation | None = None,
) -> dict[str, float]:
    """All that is watched while Φ and Ω learn, from one look at the pictures.

    :func:`monitor_2d`, :func:`alignment` and :func:`monitor_3d`; each says what is healthy. The
    first two need 2D labels of test pictures; without any the 3D part of the last is left out too.
    """
    seen = look(networks, dataset)
    values: dict[str, float] = {}
    if dataset.test.knows_2d:
        values |= monitor_2d(networks, dataset, seen=seen)
        values |= alignment(networks, dataset, gamma=gamma, seen=seen)
    return values | monitor_3d(
        pipeline, networks, dataset, fixed_elevation=fixed_elevation, seen=seen
    )


@torch.no_grad()
def monitor_3d(
    pipeline: PosePipeline,
    networks: nn.ModuleDict,
    dataset: PoseDataset,
    *,
    fixed_elevation: FixedElevation | None = None,
    seen: Seen | None = None,
) -> dict[str, float]:
    """What to watch of whole pictures: :func:`depth_errors` and :func:`monitor_turn` of Ω(Φ(x)).

    ``log_p_predicted`` is the median score of the predicted 2D poses. Healthy: it jumps above
    ``log_p_unpaired``, since the first poses are bland, and comes down to it as their spread grows.
    One that stays above while the spread stays small has collapsed to the mode of the prior.
    Uses test labels, for the log alone. ``networks`` holds Φ and Ω; flow and Λ are the pipeline's.
    """
    _, unit = seen or look(networks, dataset)
    plane = pipeline.unit_to_plane(unit)
    values: dict[str, float] = {}
    if dataset.test.knows_3d:
        lifted = lift(plane, pipeline.lifter(plane)[0], delta=pipeline.architecture.delta).cpu()
        target = dataset.test.poses_3d[monitored(len(dataset.test))]
        values |= depth_errors(lifted, target, dataset.skeleton)
    return (
        values
        | {"log_p_predicted": typical_log_prob(pipeline, plane)}
        | monitor_turn(pipeline, plane, dataset, fixed_elevation=fixed_elevation)
    )


@torch.no_grad()
def monitor_2d(
    networks: nn.ModuleDict, dataset: PoseDataset, *, seen: Seen | None = None
) -> dict[str, float]:
    """2D errors of Ω(Φ(x)) on some test pictures. Uses test labels, for the log alone.

    Healthy: ``error_2d_percent_side_tolerant`` falls from the first hundred steps on.
    ``facing_right_percent`` starts at a half; what it lacks to 100 are poses that fit better with
    all sides exchanged. ``swapped_limbs_percent`` is the share of limbs (pairs of legs, pairs of
    arms) that fit better exchanged: healthy near 0, a half by chance. ``mixed_sides_percent`` is
    the share of poses in which some limbs do and some do not: healthy near 0 even while facing is
    undecided, since a body whose limbs disagree is no person's.
    """
    _, unit = seen or look(networks, dataset)
    unit = unit.cpu()
    size = dataset.image_size
    target = dataset.test.poses_2d[monitored(len(dataset.test))]
    values = mean_errors(errors_2d(unit * size, target, dataset.skeleton, image_size=size))
    if dataset.skeleton.limbs:
        swapped = metrics.swapped_limbs(unit * size, target, dataset.skeleton)
        mixed = metrics.mixed_sides(unit * size, target, dataset.skeleton)
        values["swapped_limbs_percent"] = float(100 * swapped.float().mean())
        values["mixed_sides_percent"] = float(100 * mixed.float().mean())
    return values


@torch.no_grad()
def alignment(
    networks: nn.ModuleDict, dataset: PoseDataset, *, gamma: float, seen: Seen | None = None
) -> dict[str, float]:
    """Does Φ draw the person in its picture, or just a person?

    ``alignment_own``, ``alignment_shuffled``
        Mean squared difference between the skeleton image of a test picture and the drawing of the
        true pose of that picture, and of another one, sides merged. Healthy: the first falls well
        below the second. Equal numbers mean that Φ ignores its picture.
    ``spread``, ``spread_to_unpaired``
        Variety of the predicted 2D poses as a share of the truth's, and of the unpaired poses'
        (which needs no label). Healthy: both near 1. Near 0 means one skeleton for all pictures.
    """
    s, unit = seen or look(networks, dataset)
    pose = dataset.test.poses_2d[monitored(len(dataset.test))] / dataset.image_size
    size = s.shape[-1]
    truth = draw_skeleton(pose, dataset.skeleton, size=size, gamma=gamma).to(s)[:, 0]
    merged = s.amax(dim=1)
    root = dataset.skeleton.root
    spread = pose_spread(unit.cpu(), root)
    unpaired = some_unpaired(dataset) / dataset.image_size
    return {
        "alignment_own": float((merged - truth).square().mean()),
        "alignment_shuffled": float((merged - truth.roll(len(truth) // 2, 0)).square().mean()),
        "spread": float(spread / pose_spread(pose, root).clamp(min=1e-6)),
        "spread_to_unpaired": float(spread / pose_spread(unpaired, root).clamp(min=1e-6)),
    }


__all__ = [
    "alignment",
    "depth_errors",
    "errors",
    "errors_2d",
    "errors_3d",
    "errors_by_activity",
    "errors_by_joint",
    "evaluate",
    "known_errors",
    "look",
    "mean_errors",
    "monitor_2d",
    "monitor_3d",
    "monitor_images",
    "monitor_lifting",
    "monitor_turn",
    "monitored",
    "pose_spread",
    "predict_test",
    "typical_log_prob",
]
