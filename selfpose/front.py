"""The book's first figure: what the method learns from, and what it does then.

Drawn from a published run by ``make front``, once lying and once standing for narrow screens; the
files are kept in ``book/assets``, for the data behind them are not in the repository.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch, Rectangle

from selfpose import plots
from selfpose._typing import Float, Tensor
from selfpose.camera import azimuth_rotation, rotate_about_root
from selfpose.config import Config
from selfpose.data.protocol import PoseDataset
from selfpose.data.rows import even_rows
from selfpose.evaluation import errors, predict_test
from selfpose.files import write_whole
from selfpose.notebooks import repository_root
from selfpose.pipeline import Prediction, load
from selfpose.records import check_weights, read_record
from selfpose.runs import DataChoice
from selfpose.skeleton import Skeleton

SHOWN = 5
"""Pictures, and poses, of the two piles."""
TURN_DEG = 70.0
GREY, LINE = "#555555", "#bbbbbb"

Number = float | int
Point = tuple[int, int]
"""In points, from the upper left corner."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the figure shows."""

    skeleton: Skeleton
    pictures: Tensor  # (5, 3, H, H) uint8, without labels
    poses: Tensor  # (5, J, 2) pixels, of none of them
    picture: Tensor  # (3, H, H) uint8, of the test set
    skeleton_image: Tensor  # (K, h, h)
    pose_2d: Tensor  # (J, 2) pixels of the picture
    pose_3d: Tensor  # (J, 3) any unit, camera frame


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Places: where each square begins, where words stand."""

    size: Point
    piles: tuple[Point, Point]
    plus: Point
    line: int  # the height of the line between the halves
    headings: tuple[str, str]
    steps: tuple[Point, ...]  # picture, skeleton image, 2D pose, 3D pose
    sides: Point  # where the names of the sides begin


SMALL, LARGE, APART = 78, 150, 84
LYING = Layout(
    size=(940, 452),
    piles=((24, 46), (496, 46)),
    plus=(467, 85),
    line=174,
    headings=(
        "It learns from two piles that are not paired",
        "Then it tells the 3D pose from one picture",
    ),
    steps=((24, 222), (271, 222), (519, 222), (766, 222)),
    sides=(24, 430),
)
STANDING = Layout(
    size=(450, 846),
    piles=((18, 46), (18, 192)),
    plus=(225, 172),
    line=318,
    headings=("It learns from two piles, not paired", "Then it tells 3D from one picture"),
    steps=((18, 368), (282, 368), (282, 600), (18, 600)),
    sides=(18, 824),
)


def story_of(dataset: PoseDataset, prediction: Prediction) -> Story:
    """Pictures and poses from all over the data, and the median test picture by P-MPJPE.

    Raises
    ------
    ValueError
        If the run is not from pictures, or the test set knows no 3D poses.
    """
    if prediction.skeleton_image is None or not dataset.test.knows_3d:
        raise ValueError("the figure needs a run from pictures, and a test set with 3D poses")
    missed = errors(prediction, dataset.test, dataset.skeleton)["p_mpjpe_mm"]
    row = int(missed.argsort()[len(dataset.test) // 2])
    pictures = even_rows(len(dataset.unlabelled), most=SHOWN)
    return Story(
        skeleton=dataset.skeleton,
        pictures=dataset.unlabelled.images[pictures],
        poses=dataset.unpaired[even_rows(len(dataset.unpaired), most=SHOWN)],
        picture=dataset.test.images[row],
        skeleton_image=prediction.skeleton_image[row].cpu(),
        pose_2d=prediction.pose_2d[row].cpu(),
        pose_3d=prediction.pose_3d[row].cpu(),
    )


class Sheet:
    """A figure that is drawn on in points from its upper left corner."""

    def __init__(self, size: Point) -> None:
        self.width, self.height = size
        self.figure = plots.new_figure(self.width / 72, self.height / 72)
        self.figure.set_layout_engine("none")

    def place(self, x: Number, y: Number) -> tuple[float, float]:
        return x / self.width, 1 - y / self.height

    def square(self, corner: Point, side: int) -> Axes:
        """Axes without marks."""
        left, bottom = self.place(corner[0], corner[1] + side)
        box = (left, bottom, side / self.width, side / self.height)
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=LINE)
        return axes

    def text(self, x: Number, y: Number, words: str, size: int = 17, **more: Any) -> Any:
        return self.figure.text(*self.place(x, y), words, fontsize=size, va="baseline", **more)

    def arrow(self, start: Point, end: Point, name: str) -> None:
        """With the network's name above it, or to its right."""
        arrow = FancyArrowPatch(
            self.place(*start),
            self.place(*end),
            transform=self.figure.transFigure,
            arrowstyle="-|>",
            mutation_scale=16,
            linewidth=1.6,
            color=GREY,
            shrinkA=0,
            shrinkB=0,
        )
        self.figure.add_artist(arrow)
        x, y = (start[0] + end[0]) // 2, (start[1] + end[1]) // 2
        beside = (16, 7) if start[0] == end[0] else (0, -12)
        self.text(x + beside[0], y + beside[1], name, 19, ha="center", style="italic")


def show_picture(axes: Axes, picture: Tensor) -> None:
    axes.imshow(plots.picture_to_rgb(picture), interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def show_pose(
    axes: Axes, pose: Float[Tensor, "J 2"], skeleton: Skeleton, *, side: int, linewidth: float
) -> None:
    """In the middle, or where it stands in a picture with ``side`` pixels."""
    plots.draw_pose_2d(axes, pose, skeleton, linewidth=linewidth, joints=False)
    if side:
        axes.set(xlim=(0, side), ylim=(side, 0))
        return
    low, high = pose.amin(dim=0), pose.amax(dim=0)
    half, (x, y) = 0.6 * float((high - low).max()), ((low + high) / 2).tolist()
    axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half))


def show_floor(axes: Axes, pose: Float[Tensor, "J 2"]) -> None:
    low, high = pose.amin(dim=0), pose.amax(dim=0)
    width = 0.5 * float((high - low).max())
    at = (float(pose[:, 0].mean()), float(high[1]))
    axes.add_patch(Ellipse(at, width, width / 5, facecolor="#eeeeee", edgecolor=LINE, zorder=0))


@plots.in_house_style
def draw_front(story: Story, layout: Layout) -> Figure:
    """The figure, in one of the two layouts."""
    sheet = Sheet(layout.size)
    edge = layout.piles[0][0]
    sheet.text(edge, 30, layout.headings[0], 20, weight="bold")
    sheet.text(edge, layout.line + 36, layout.headings[1], 20, weight="bold")
    sheet.text(*layout.plus, "+", 26, ha="center")
    across = (edge / sheet.width, 1 - layout.line / sheet.height)
    sheet.figure.add_artist(
        Rectangle(
            across, 1 - 2 * across[0], 0, transform=sheet.figure.transFigure, edgecolor="#dddddd"
        )
    )
    names = ("pictures of people, without any label", "2D poses, of none of these pictures")
    for corner, name in zip(layout.piles, names, strict=True):
        sheet.text(corner[0] + 2 * APART + SMALL / 2, corner[1] + 98, name, ha="center")
    for k in range(SHOWN):
        there = [(x + k * APART, y) for x, y in layout.piles]
        show_picture(sheet.square(there[0], SMALL), story.pictures[k])
        axes = sheet.square(there[1], SMALL)
        show_pose(axes, story.poses[k], story.skeleton, side=0, linewidth=2.0)
    picture, image, flat, solid = (sheet.square(corner, LARGE) for corner in layout.steps)
    show_picture(picture, story.picture)
    show_picture(image, story.skeleton_image)
    size = int(story.picture.shape[-1])
    show_pose(flat, story.pose_2d, story.skeleton, side=size, linewidth=3.0)
    turn = azimuth_rotation(torch.tensor(TURN_DEG).deg2rad())
    turned = rotate_about_root(story.pose_3d, turn, root=story.skeleton.root)[:, :2]
    show_pose(solid, turned, story.skeleton, side=0, linewidth=3.0)
    show_floor(solid, turned)
    titles = ("picture", "skeleton image", "2D pose", "3D pose")
    for (x, y), title in zip(layout.steps, titles, strict=True):
        sheet.text(x + LARGE / 2, y + 171, title, ha="center")
    x, y = layout.steps[-1]
    sheet.text(x + LARGE / 2, y + 189, f"turned by {TURN_DEG:g}°", 14, ha="center")
    for (a, b), name in zip(zip(layout.steps, layout.steps[1:], strict=False), "ΦΩΛ", strict=True):
        if a[0] == b[0]:
            x = a[0] + LARGE // 2
            sheet.arrow((x, a[1] + 182), (x, b[1] - 8), name)
        else:
            y, right = a[1] + LARGE // 2, a[0] < b[0]
            start, end = (a[0] + LARGE + 8, b[0] - 8) if right else (a[0] - 8, b[0] + LARGE + 8)
            sheet.arrow((start, y), (end, y), name)
    name_sides(sheet, layout)
    return sheet.figure


def name_sides(sheet: Sheet, layout: Layout) -> None:
    """What the colours mean, in words of those colours, one after the other."""
    x, y = layout.sides
    colours = plots.SIDE_COLOURS
    words = (
        ("left", colours["left"]),
        ("and", "black"),
        ("right", colours["right"]),
        ("of the body, in the answer as read", "black"),
    )
    for word, colour in words:
        weight = "normal" if colour == "black" else "bold"
        text = sheet.text(x, y, word, 14, color=colour, weight=weight)
        x += text.get_window_extent().width * 72 / sheet.figure.dpi + 5


def save_svg(figure: Figure, path: Path, *, description: str) -> None:
    """Letters as outlines, and nothing in the file that changes from one drawing to the next."""
    metadata = {"Date": None, "Description": description}
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "selfpose"}):
        write_whole(path, lambda part: figure.savefig(part, format="svg", metadata=metadata))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data-root", default="", help="The folder of the data that the run is of.")
@click.option("--cache", default="", help="A folder for prepared data.")
def main(run: Path, data_root: str, cache: str) -> None:
    """Draw the book's first figure from RUN, the folder of a published run with weights."""
    record = read_record(run)
    pipeline = load(check_weights(run, record))
    choice = DataChoice(name=record["dataset"], data_root=data_root, cache=cache)
    dataset = choice.load(Config.from_dict(record["parameters"]))
    story = story_of(dataset, predict_test(pipeline, dataset.test))
    described = "/".join(run.resolve().parts[-4:]) + f", of commit {record['commit']}"
    for layout, name in ((LYING, "front"), (STANDING, "front-tall")):
        path = repository_root() / "book" / "assets" / f"{name}.svg"
        save_svg(draw_front(story, layout), path, description=described)
        click.echo(path)


if __name__ == "__main__":
    main()
