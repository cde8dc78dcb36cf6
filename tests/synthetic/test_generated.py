"""The generated data sets: seeded, disjoint, as asked, those that published weights saw."""

import math

import pytest
import torch

from selfpose.data.dataset import PoseDataset
from selfpose.metrics import bone_lengths
from selfpose.synthetic.generated import GENERATED, load_embedded

SIZES = {"image_size": 32, "n_unlabelled": 37, "n_unpaired": 30, "n_test": 20}


def load(body: str, seed: int = 0) -> PoseDataset:
    return load_embedded(body=body, seed=seed, frames_per_clip=8, progress=False, **SIZES)


@pytest.mark.parametrize("body", GENERATED)
def test_data_are_seeded_of_the_size_asked_and_parts_share_nothing(body: str) -> None:
    one, same, other = load(body), load(body), load(body, 1)
    assert one.name == ("embedded" if body == "human" else body)
    assert (len(one.unlabelled), len(one.unpaired), len(one.test)) == (37, 30, 20)
    assert one.image_size == 32
    for part in ("unlabelled", "test"):
        assert torch.equal(getattr(one, part).images, getattr(same, part).images)
        assert not torch.equal(getattr(one, part).images, getattr(other, part).images)
    assert torch.equal(one.unpaired, same.unpaired)
    assert one.ceiling is not None
    assert torch.equal(one.ceiling.images, one.unlabelled.images)
    assert not set(one.test.sequence.tolist()) & set(one.unlabelled.sequence.tolist())
    assert set(one.test.activity) <= set(GENERATED[body][1].activities)
    # No individual is in two parts: the proportions of their bones tell them apart.
    parts = [bone_lengths(p.poses_3d, one.skeleton) for p in (one.ceiling, one.test)]
    learnt, tested = (p / p.mean(dim=-1, keepdim=True) for p in parts)
    assert float(torch.cdist(learnt, tested).min()) > 1e-2
    poses = [p.flatten(1) for p in (one.ceiling.poses_2d, one.unpaired, one.test.poses_2d)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(torch.cdist(poses[i], poses[j]).min()) > 0.5


# Mean grey level of the test pictures, and of their poses: root in px, distance in mm, and the
# spread of the unpaired poses in px. Published weights are measured on these data.
PINNED: dict[str, tuple[float, float, float, float]] = {
    "human": (116.71903, 16.241262, 6891.9293, 5.0203671),
    "hand": (123.0248, 16.660262, 833.19534, 5.3377699),
    "quadruped": (119.33333, 16.616407, 4201.2208, 5.4787097),
    "machine": (119.25485, 16.990248, 2952.2994, 5.7954356),
}


@pytest.mark.parametrize("body", GENERATED)
def test_data_are_those_of_the_published_weights(body: str) -> None:
    data = load(body)
    measured = (
        float(data.test.images.double().mean()),
        float(data.test.poses_2d.double().mean()),
        float(data.test.poses_3d[..., 2].double().mean()),
        float(data.unpaired.double().std()),
    )
    assert measured == pytest.approx(PINNED[body], rel=1e-5)


@pytest.mark.parametrize("degrees", [0.0, 25.0])
def test_cameras_look_down_as_far_as_asked(degrees: float) -> None:
    sizes = {"image_size": 32, "n_unlabelled": 8, "n_test": 1024, "frames_per_clip": 4}
    data = load_embedded(**sizes, n_unpaired=8, camera_elevation=degrees, progress=False)
    assert data.provenance["camera_elevation"] == degrees
    # From above, heads are nearer than hips: bodies stand upright on the average of all azimuths.
    body = data.test.poses_3d
    down = (body[:, 0] - body[:, data.skeleton.index("head")]).mean(dim=0)
    assert math.degrees(math.atan2(down[2], down[1])) == pytest.approx(degrees, abs=4)
