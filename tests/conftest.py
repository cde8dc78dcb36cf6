"""What all tests share. selfpose is imported late: shape checks must be in place first."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings

if TYPE_CHECKING:
    from selfpose.data.dataset import PoseDataset

settings.register_profile(
    "selfpose", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.load_profile("selfpose")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_dataset() -> "PoseDataset":
    """The embedded data at the sizes of the smoke preset."""
    from selfpose.synthetic.embedded import load_embedded

    return load_embedded(n_unlabelled=256, n_unpaired=512, n_test=64, progress=False)


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """For wrong input on purpose: the library's own errors, as users without the hook see them."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
