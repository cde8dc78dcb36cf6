"""The whole training: the flow prior, then Λ, then Φ, Ω and D, one stage after the other."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selfpose.camera import PixelScale
from selfpose.extras.clips import side_stage
from selfpose.config import Config
from selfpose.data.dataset import PoseDataset
from selfpose.imaging import image_stage, regressor_stage
from selfpose.lifting import flow_stage, lifting_stage
from selfpose.model import PosePipeline, round_to_half
from experiments.records import source_digest
from selfpose.extras.sides import SidePrior
from selfpose.evaluation.snapshots import Album
from selfpose.steps import Runner
from selfpose.views import Pictures


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
    components = fitting_components(config.flow_components, dataset.skeleton.n_joints)
    return PosePipeline(
        skeleton=dataset.skeleton,
        architecture=replace(config.architecture, flow_components=components),
        scale=PixelScale.from_poses(dataset.unpaired, dataset.skeleton),
        with_images=with_images,
    ).to(device)


def run_identity(dataset: PoseDataset, config: Config, **more: Any) -> dict[str, Any]:
    """What a checkpoint belongs to: data, library and parameters, but for how often it is written.

    A run begun with other code is refused, not continued: its record could not say what ran.
    """
    parameters = config.to_dict()
    del parameters["checkpoint_every_s"]
    named = {"config": parameters, "data": dataset.name, "provenance": dataset.provenance}
    return {**named, "library": source_digest(), **more}


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
    The trained pipeline, in evaluation mode, and the runner with history and seconds by stage, and
    with the snapshots of a training from pictures.

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
    averaged, album = nn.ModuleDict(), None
    if pipeline.phi is not None and pipeline.omega is not None:
        averaged["phi"] = copy.deepcopy(pipeline.phi)
        averaged["omega"] = copy.deepcopy(pipeline.omega)
        pictures = Pictures(dataset, config, pipeline.device)
        if config.omega_steps and config.weight("Omega"):
            stages.append(regressor_stage(pipeline, pictures, config))
        prior = None
        if config.weight("side") and dataset.skeleton.has_sides:  # else there are no sides
            # Right before the pictures: a checkpoint holds what its own stage changes.
            prior = SidePrior(skeleton=dataset.skeleton).to(device)
            stages.append(side_stage(pipeline, dataset, config, prior=prior))
        album = Album(
            dataset.test.images,
            n_steps=config.steps,
            n_joints=dataset.skeleton.n_joints,
            channels=config.channels,
            skeleton_size=config.skeleton_size,
        ).to(device)
        stages.append(
            image_stage(
                pipeline,
                dataset,
                config,
                pictures=pictures,
                averaged=averaged,
                prior=prior,
                album=album,
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
    runner.snapshots = None if album is None else album.snapshots()
    for name, module in averaged.items():
        getattr(pipeline, name).load_state_dict(module.state_dict())
    round_to_half(pipeline)  # before the test: record and file are of the same networks
    return pipeline.eval(), runner


__all__ = ["build_pipeline", "fitting_components", "run_identity", "train"]
