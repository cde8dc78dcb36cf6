"""What all tests share. selfpose is imported late: shape checks must be in place first."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from selfpose.data.dataset import PoseDataset

settings.register_profile(
    "selfpose", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.load_profile("selfpose")
torch.set_num_threads(1)

FEW_STEPS = {
    **{"flow.steps": 20, "lifting.steps": 20, "extras.side_steps": 20, "supervised_steps": 4},
    **{"pictures.omega_steps": 4, "pictures.steps": 8},
}
"""Overrides of the preset smoke with which a run takes seconds."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_dataset() -> "PoseDataset":
    """The embedded data at the sizes of the smoke preset."""
    from selfpose.synthetic.generated import load_embedded

    return load_embedded(n_unlabelled=256, n_unpaired=512, n_test=64, progress=False)


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """Input → folder of a finished run, trained once by whichever worker asks first."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def folder(input_: str) -> Path:
        from selfpose.config import Config
        from selfpose.run import RECORD, run_experiment

        out = shared / f"trained-{input_}"
        with FileLock(f"{out}.lock"):
            if not (out / RECORD).is_file():
                config = Config.for_run(preset="smoke", overrides=FEW_STEPS, input=input_)
                data = request.getfixturevalue("tiny_dataset")
                run_experiment(config, out=out, dataset=data, device="cpu", progress=False)
        return out

    return folder


@pytest.fixture(scope="session")
def trained_images(trained: Callable[[str], Path]) -> Path:
    """Folder of a finished run from pictures (preset smoke, FEW_STEPS); copy it to change it."""
    return trained("images")


@pytest.fixture(scope="session")
def trained_poses(trained: Callable[[str], Path]) -> Path:
    """Folder of a finished run of lifting alone; copy it to change it."""
    return trained("poses")


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """For wrong input on purpose: the library's own errors, as users without the hook see them."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
