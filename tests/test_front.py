"""The book's first figure: what is shown, that nothing hangs over the edge, and stable files."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from selfpose.config import Config
from selfpose.data.protocol import PoseDataset
from selfpose.evaluation import predict_test
from selfpose.front import LYING, STANDING, Layout, Story, draw_front, save_svg, story_of
from selfpose.metrics import p_mpjpe
from selfpose.pipeline import PosePipeline, Prediction
from selfpose.training import build_pipeline


@pytest.fixture(scope="module")
def untrained(tiny_dataset: PoseDataset) -> PosePipeline:
    config = Config.for_run(preset="smoke", input="images")
    pipeline = build_pipeline(tiny_dataset, config)
    pipeline.flow.pca.fit(torch.randn(100, 34))
    return pipeline.eval()


@pytest.fixture(scope="module")
def prediction(untrained: PosePipeline, tiny_dataset: PoseDataset) -> Prediction:
    return predict_test(untrained, tiny_dataset.test)


@pytest.fixture(scope="module")
def story(tiny_dataset: PoseDataset, prediction: Prediction) -> Story:
    return story_of(tiny_dataset, prediction)


def test_the_picture_is_the_median_one(
    tiny_dataset: PoseDataset, prediction: Prediction, story: Story
) -> None:
    test = tiny_dataset.test
    errors = p_mpjpe(prediction.pose_3d.double(), test.poses_3d.double())
    row = next(k for k in range(len(test)) if torch.equal(prediction.pose_3d[k], story.pose_3d))
    assert torch.equal(story.picture, test.images[row])
    assert torch.equal(story.pose_2d, prediction.pose_2d[row])
    better = int((errors < errors[row]).sum())
    assert better == len(test) // 2


def test_the_piles_are_of_the_data(tiny_dataset: PoseDataset, story: Story) -> None:
    for shown, pile in (
        (story.pictures, tiny_dataset.unlabelled.images),
        (story.poses, tiny_dataset.unpaired),
    ):
        assert all((pile == one).flatten(1).all(dim=1).any() for one in shown)


@pytest.mark.parametrize("layout", [LYING, STANDING], ids=["lying", "standing"])
def test_nothing_hangs_over_the_edge_or_lies_on_another(story: Story, layout: Layout) -> None:
    figure = draw_front(story, layout)
    figure.canvas.draw()
    texts = [text.get_window_extent() for text in figure.texts]
    squares = [axes.get_window_extent() for axes in figure.axes]
    assert len(squares) == 14
    for box in texts + squares:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    boxes = texts + squares
    for k, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[k + 1 :])


def test_the_same_story_gives_the_same_file(story: Story, tmp_path: Path) -> None:
    for name in ("one", "other"):
        save_svg(draw_front(story, LYING), tmp_path / name, description="a run, of commit 0123")
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "other").read_bytes()
    assert b"a run, of commit 0123" in one
    assert ElementTree.fromstring(one).tag.endswith("svg")


def test_a_run_that_lifts_poses_has_no_pictures_to_show(
    tiny_dataset: PoseDataset, untrained: PosePipeline
) -> None:
    lifted = untrained.predict_from_poses(tiny_dataset.test.poses_2d)
    with pytest.raises(ValueError, match="from pictures"):
        story_of(tiny_dataset, lifted)
