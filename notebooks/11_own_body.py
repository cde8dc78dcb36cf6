# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A body of your own
#
# **Goal.** Take a body that the library does not know, from a small JSON file and a folder of pictures
# to a trained model, with the commands that you would type.
#
# **In the paper.** It shows people and hands, and claims that the method adapts to other articulated
# structures with little effort {cite:p}`sosa2023self`. Nothing in the seven terms knows what a person
# is: a body is a list of joints, a tree of bones, and 2D poses.
#
# **Time and device.** Minutes on one CPU core, nearly all of them training.

# %% tags=["parameters"]
seed = 0
cameras = 20  # static cameras, a sub-folder of pictures each
pictures_each = 48
poses = 3000  # unpaired 2D poses
preset = "quick"
overrides = {
    "flow.steps": 400,
    "lifting.steps": 400,
    "pictures.omega_steps": 300,
    "pictures.steps": 600,
    "pictures.batch": 24,
}

# %% tags=["hide-cell"]
from book.kit.page import start_page

page = start_page("11_own_body", globals())
if preset == "smoke":  # only to see that everything runs
    cameras, poses = 6, 300
    overrides = {}

# %% tags=["hide-cell"]
import contextlib
import csv
import json
import math
import os
import shlex
import shutil
import tempfile
import textwrap
from pathlib import Path

import torch
from IPython.display import Image, Markdown, display
from PIL import Image as PillowImage
from PIL import ImageChops

from book.kit import plots
from selfpose.cli import cli
from selfpose.skeleton import Skeleton
from selfpose.synthetic.cones import Appearance, Model, Part
from selfpose.synthetic.studio import CameraSpread, film, project_only

# Everything below lies in a folder that goes away with the notebook.
scratch = tempfile.TemporaryDirectory()
os.chdir(scratch.name)


def run(line):
    """A line as typed in a terminal, with what it prints."""
    display(Markdown(f"```sh\n{line}\n```"))
    with contextlib.suppress(SystemExit):
        cli.main(shlex.split(line)[1:], standalone_mode=False)


# %% [markdown]
# ## 1. Say what the body is
#
# A toy excavator: tracks with a blade, a house that turns on them with a cab on one side and a
# counterweight behind, a boom, a stick and a bucket. Seven joints are enough. The file names them and
# says which bone leads from which joint to which, parent first and on from the root. Two joints have a task: poses are
# centred on the *root*, and the mean distance from it to the *top* is the unit of length, so take two
# joints that are both easy to place and far apart. This toy has no left and right that mirror each
# other; a body that has names them in `mirror_pairs` as `[left, right]`, from its own point of view.

# %%
excavator = {
    "name": "toy_excavator",
    "joints": ["turntable", "cab", "counterweight", "elbow", "wrist", "bucket", "blade"],
    "bones": [[0, 1], [0, 2], [0, 3], [3, 4], [4, 5], [0, 6]],
    "root": 0,
    "top": 3,
    "mirror_pairs": [],
}
toy = Path("toy")
toy.mkdir()
(toy / "skeleton.json").write_text(json.dumps(excavator, indent=1))
skeleton = Skeleton.from_json(toy / "skeleton.json")
" – ".join(skeleton.joints), skeleton.n_bones

# %% [markdown]
# ## 2. Fill the folder
#
# The hidden cells stand in for your camera: they move a toy, draw it with the library's cones, and
# film it with static cameras that look down at a table. What they leave is a folder such as you would
# fill by hand. Nothing after this step knows how it was made.

# %% tags=["hide-cell"]
EXTRA = ("cab_floor", "left_front", "left_rear", "right_front", "right_rear", "blade_left")
POINTS = (*skeleton.joints, *EXTRA, "blade_right")


def direction(yaw, angle):
    """Unit vectors at an angle from straight up, towards a yaw (y down)."""
    level = angle.sin()
    return torch.stack([level * yaw.sin(), -angle.cos(), level * yaw.cos()], dim=-1)


def wandering(clips, frames, draw):
    """(clips, frames) smooth noise of about unit spread: a few slow waves."""
    time = torch.arange(frames) / 10
    rate, phase = 0.05 + 0.4 * torch.rand(2, clips, 3, 1, generator=draw)
    return 0.8 * torch.sin(2 * math.pi * (rate * time + 3 * phase)).sum(1)


def move_toy(clips, frames, seed):
    """(clips, frames, P, 3) mm: the toy at work, y down, the table at y = 0."""
    draw = torch.Generator().manual_seed(seed)
    wander = [wandering(clips, frames, draw) for _ in range(5)]
    heading = 6.3 * torch.rand(clips, 1, generator=draw) + 0.4 * wander[0]
    house = heading + 0.9 * wander[1]
    boom = (0.65 + 0.35 * wander[2]).clamp(0.1, 1.2)
    stick = boom + (1.7 + 0.45 * wander[3]).clamp(0.8, 2.5)
    # stick and bucket stay above the table
    stick = torch.minimum(stick, ((-20 - 200 * boom.cos()) / 150).clamp(-1, 1).acos())
    height = 60 + 200 * boom.cos() + 150 * stick.cos()
    bucket = stick + (0.7 + 0.6 * wander[4]).clamp(-0.4, 1.9)
    bucket = torch.minimum(bucket, ((12 - height) / 80).clamp(-1, 1).acos())
    level = torch.full_like(boom, math.pi / 2)
    up = direction(house, torch.zeros_like(boom))
    ahead, aside = direction(house, level), direction(house - math.pi / 2, level)
    along, across = direction(heading, level), direction(heading - math.pi / 2, level)
    at = {"turntable": 60 * up}
    at["cab_floor"] = at["turntable"] + 30 * ahead + 45 * aside + 25 * up
    at["cab"] = at["turntable"] + 30 * ahead + 45 * aside + 95 * up
    at["counterweight"] = at["turntable"] - 105 * ahead + 25 * up
    at["elbow"] = at["turntable"] + 200 * direction(house, boom)
    at["wrist"] = at["elbow"] + 150 * direction(house, stick)
    at["bucket"] = at["wrist"] + 80 * direction(house, bucket)
    at["blade"] = 135 * along + 25 * up
    for side, sign in (("left", 1), ("right", -1)):
        at[f"{side}_front"] = 75 * along + sign * 62 * across + 22 * up
        at[f"{side}_rear"] = -85 * along + sign * 62 * across + 22 * up
        at[f"blade_{side}"] = at["blade"] + sign * 75 * across
    return torch.stack([at[name] for name in POINTS], dim=2)


PARTS = {  # from, to, radii in mm, colour
    "left track": ("left_front", "left_rear", (23, 23), "#2b2b2e"),
    "right track": ("right_front", "right_rear", (23, 23), "#2b2b2e"),
    "push arm": ("turntable", "blade", (14, 14), "#57575c"),
    "blade": ("blade_left", "blade_right", (21, 21), "#2f6db5"),
    "ring": ("turntable", "turntable", (46, 46), "#57575c"),
    "house": ("turntable", "counterweight", (40, 48), "#e8a412"),
    "cab": ("cab_floor", "cab", (33, 28), "#e9eef2"),
    "boom": ("turntable", "elbow", (24, 18), "#e8a412"),
    "stick": ("elbow", "wrist", (19, 14), "#d05c1c"),
    "bucket": ("wrist", "bucket", (17, 30), "#3c3c40"),
}


def same_toy(clips, *, seed):
    """One toy in every clip: its colours."""
    rgb = [[int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)] for *_, colour in PARTS.values()]
    one = torch.tensor(rgb).expand(clips, -1, -1).clone()
    ones = torch.ones(clips, len(PARTS))
    return Appearance(inner=one, outer=one, split=ones, build=ones)


MODEL = Model(
    skeleton=skeleton,
    points=POINTS,
    parts=tuple(
        Part(name, a, b, tuple(map(float, radii))) for name, (a, b, radii, _) in PARTS.items()
    ),
    paint=lambda appearance, at: at.of(appearance.inner),
    sample_appearance=same_toy,
    reference_mm=165.0,
    centre=("turntable", "turntable", "wrist"),
    aim=("turntable", "elbow"),
)
SPREAD = CameraSpread(
    elevation_mean=25.0,
    elevation_sd=8.0,
    elevation_range=(8.0, 45.0),
    distance_mm=1650.0,
    reference_share=0.26,
    path_mm=(80.0, 110.0),
)
WIDTH, HEIGHT = 96, 72
CUT = (WIDTH - HEIGHT) // 2  # the studio's pictures are square: rows cut off above and below


# %% tags=["hide-cell"]
def shoot(folder, clips, frames, seed):
    """Film clips into sub-folders of PNG files; their names and labels come back."""
    footage = film(
        move_toy(clips, frames, seed), model=MODEL, image_size=WIDTH, seed=seed, cameras=SPREAD
    )
    names = []
    for k, image in enumerate(footage.images):
        camera, frame = divmod(k, frames)
        name = f"camera{camera:02d}/{frame:04d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = image[:, CUT : CUT + HEIGHT].permute(1, 2, 0).contiguous()
        PillowImage.fromarray(pixels.numpy()).save(folder / name)
        names.append(name)
    return names, footage.poses_2d - torch.tensor([0.0, CUT]), footage.poses_3d


def write_rows(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


shoot(toy / "pictures", cameras, pictures_each, 100)

# Unpaired poses: other moments, other cameras, one or two of each, and clicked in larger pictures.
moments = move_toy(-(-poses // 4), 40, 101)[:, ::10]
clicked = project_only(moments, model=MODEL, image_size=WIDTH, seed=102, cameras=SPREAD).poses_2d
clicked = 4 * (clicked[:poses] - torch.tensor([0.0, CUT]))
columns = [f"{joint}_{axis}" for joint in skeleton.joints for axis in "xy"]
write_rows(
    toy / "poses.csv",
    [*columns, "width", "height"],
    [[*(f"{v:.1f}" for v in pose.flatten()), 4 * WIDTH, 4 * HEIGHT] for pose in clicked],
)

names, flat, deep = shoot(toy / "test", 8, 16, 103)
write_rows(
    toy / "test" / "labels.csv",
    ["picture", "joint", "x", "y", "X", "Y", "Z"],
    [
        [name, joint, *(f"{v:.2f}" for v in (*flat[k, j], *deep[k, j]))]
        for k, name in enumerate(names)
        for j, joint in enumerate(skeleton.joints)
    ],
)

# Pictures to predict: taken by another camera again, and larger.
shoot(Path("new"), 1, 16, 107)
for path in sorted(Path("new").rglob("*.png")):
    with PillowImage.open(path) as small:
        small.resize((4 * WIDTH, 4 * HEIGHT), PillowImage.Resampling.LANCZOS).save(path)


# %%
def tree(folder):
    """The folder's files, of each sub-folder the first."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix != ".png" or path == min(path.parent.iterdir()):
            more = len(list(path.parent.glob("*.png"))) - 1 if path.suffix == ".png" else 0
            yield path.as_posix() + (f"   and {more} more" if more else "")


lines = list(tree(toy))
print("\n".join([*lines[:3], "…", *lines[-7:]]))

# %% [markdown]
# `poses.csv` has one row a pose: pixels for each joint, and the size of the picture in which they were
# measured. The pictures have 96×72 px, the poses were clicked in others of 384×288: the two last
# columns let the reader bring them to one scale. What counts is that the body fills as much of the
# picture in both.

# %%
print("".join((toy / "poses.csv").read_text().splitlines(keepends=True)[:3]))

# %% [markdown]
# `test/` is there to measure, and only to measure: 2D in pixels of its pictures, 3D in millimetres in
# the camera's frame ($x$ right, $y$ down, $z$ away from the camera). Without 3D labels leave out the
# last three columns; 2D errors alone are then reported. Without any labels, leave out the whole folder.

# %%
print("".join((toy / "test/labels.csv").read_text().splitlines(keepends=True)[:9]))

# %% [markdown]
# ## 3. Check it
#
# Before any training: what was found, how it will be split, and the first thing that is wrong.

# %%
run("selfpose data check folder --root toy --out check.png")

# %% mystnb={"figure": {"name": "fig-own-check", "caption": "The sample pictures that the check leaves: the labelled ones with their skeletons."}, "image": {"alt": "Eight pictures of a yellow toy excavator on different backgrounds; some have a stick figure drawn on the toy."}} tags=["hide-input"]
Image("check.png")

# %% [markdown]
# Read four things in it. *Joints*: is that your order? *Bone lengths*: in millimetres where there are
# 3D labels, and none should vary much between clips of one body. *Parts*: pictures to learn from, poses
# of other moments, pictures to test on. And the last line. That the toy is 96×72 px does not matter:
# pictures are taken whole, and padded to a square by their own borders.
#
# Each sub-folder is one camera that stands still, so its median is the background, and what differs
# from it the body's silhouette. Without that, see below.
#
# ## 4. Prepare, train
#
# Preparing crops and stores everything once; it goes on where it was if it is killed, and training
# does it by itself where you have not.

# %%
run("selfpose data prepare folder --root toy --cache cache")

# %% [markdown]
# The training is the one of every other page. The `--set` options only make it short: leave them out,
# and the preset `quick` takes over.

# %% tags=["hide-input"]
settings = " ".join(f"--set {name}={value}" for name, value in overrides.items())
command = (
    f"selfpose train --data folder --data-root toy --cache cache --preset {preset} --seed {seed}"
)
run(f"{command} {settings} --out run --quiet")

# %% [markdown]
# The run's folder holds `record.json`, `history.json` and `weights.safetensors`. What it must beat:
# *flat*, the same 2D pose without any depth, and the *mean pose*, which does not look at the picture.

# %% tags=["hide-input"]
from book.kit.tables import number_table
from selfpose.config import Config
from selfpose.run import DataChoice, read_record

record = read_record("run")
config = Config.from_dict(record["parameters"])
data = DataChoice(name="folder", data_root="toy", cache="cache").load(config, progress=False)
test = data.test
COLUMNS = {
    "error_2d_percent": "2D error, % of the picture",
    "p_mpjpe_mm": "P-MPJPE, mm",
    "n_mpjpe_mm": "N-MPJPE, mm",
}
rows = {"this run": record["metrics"]}
rows |= {name.replace("_", " "): row for name, row in record["baselines"].items() if row}
number_table(
    {name: {title: row.get(key) for key, title in COLUMNS.items()} for name, row in rows.items()},
    first=f"after {config.pictures.steps} steps",
)

# %% [markdown]
# What is missing is 2D. From the side the poses below are right; with the boom towards the camera or
# away from it they often are not. Longer training is the first thing to try.

# %% mystnb={"figure": {"name": "fig-own-curves", "caption": "While it learns: the 2D error on the test pictures, and the spread of the drawn poses over that of the unpaired ones, which must not fall to nothing."}, "image": {"alt": "Two curves over the training steps: the 2D error falls, the spread stays near one."}} tags=["hide-input"]
from book.kit.figures import learning_curves
from experiments.records import read_history

learning_curves(
    {"this run": read_history("run")["images"]},
    {"2D error, %": "error_2d_percent", "spread": "spread"},
    levels={"spread": 1.0},
    across=2,
)

# %% [markdown]
# ## 5. How long are its bones?
#
# One of the seven terms compares each bone with its usual share of the body. For people such numbers
# are known. For a new body nobody has to measure them: a bone's projection is as long as the bone where
# it lies across the view, and shorter elsewhere, so over many poses the longest projections tell. They
# are taken from the unpaired poses, the 95th percentile of each bone, when the data are prepared.
# (Write `relative_bone_lengths` into `skeleton.json` if you know better, or leave the term out with
# `--set terms.bl=0`.) Here the toy's true lengths are known:

# %% tags=["hide-input"]
from selfpose.metrics import bone_lengths

real = bone_lengths(test.poses_3d, skeleton).double().mean(dim=0)
real = (real / real.mean()).tolist()
number_table(
    {
        f"{skeleton.joints[parent]} – {skeleton.joints[child]}": {
            "estimate": data.skeleton.relative_bone_lengths[n],
            "truth": real[n],
            "difference, %": 100 * (data.skeleton.relative_bone_lengths[n] / real[n] - 1),
        }
        for n, (parent, child) in enumerate(skeleton.bones)
    },
    digits=2,
    first="bone, over the mean bone",
)

# %% [markdown]
# Bones that seldom lie across the view come out short, those that stand upright before a camera that
# looks down among them. The term is soft and takes it.
#
# ## 6. New pictures
#
# On a terminal `selfpose predict run/weights.safetensors new --out poses` writes a table and a figure
# for each picture. In Python it is two lines. These pictures are four times as large as those that were
# learnt from, and from a camera that nothing above has seen; 2D comes back in their own pixels.

# %%
from selfpose.evaluation.predict import predict_pictures

poses_of = predict_pictures("run/weights.safetensors", ["new/camera00"])

# %%
print(f"{len(poses_of.files)} pictures; the first, {poses_of.files[0]}:")
for joint, xy, xyz in zip(skeleton.joints, poses_of.pose_2d[0], poses_of.pose_3d[0], strict=True):
    place = ", ".join(f"{v:5.2f}" for v in xyz)
    print(f"{joint:>14s}  {xy[0]:6.1f}, {xy[1]:6.1f} px   ({place}) of the length root–top")

# %% mystnb={"figure": {"name": "fig-own-new", "caption": "A new picture, from the side: what the networks see, the skeleton image, the 2D and the 3D pose."}, "image": {"alt": "From left to right: the toy excavator, its stick figure drawn by the first network, the 2D pose over the picture, the 3D pose."}} tags=["hide-input"]
from book.kit.figures import prediction_figure
from selfpose.data.dataset import ImageSet

seen = ImageSet(images=poses_of.images, sequence=torch.arange(len(poses_of.images)))
prediction_figure(poses_of.prediction, {"": 0}, seen, skeleton)

# %% [markdown]
# And the test pictures in order of their 2D error, with the truth in white:

# %% tags=["hide-input"]
from book.kit.figures import prediction_slider
from selfpose.evaluation.scores import errors, predict_test
from selfpose.model import load

prediction = predict_test(load("run/weights.safetensors"), test)
error = errors(prediction, test, skeleton)["error_2d_percent"]
prediction_slider(prediction, test, skeleton, error, unit="% 2D error")

# %% [markdown]
# ## What goes wrong, and how to see it
#
# Copies of the folder, each spoilt in one way, and what the check says of them:

# %% tags=["hide-input"]
from selfpose.data.inspection import inspect_reader
from selfpose.data.prepare import Recipe
from selfpose.data.readers import make_reader


def spoilt(name, spoil):
    """A copy of the folder, spoilt; and the lines of its check that matter."""
    shutil.copytree(toy, name)
    spoil(Path(name))
    try:
        reader, _ = make_reader("folder", name)
        report = inspect_reader(reader, Recipe(), name="folder", progress=False).report()
    except (ValueError, FileNotFoundError) as fault:
        report = f"Error: {fault}"
    telling = ("Error", "WRONG", "NOTE", "nothing")
    print(f"{name}:")
    for line in report.splitlines():
        if line.startswith(telling):
            print(textwrap.fill(textwrap.shorten(line, 300), 92, initial_indent="  "))


def scatter(folder):
    """Every picture for itself: no static camera."""
    for path in sorted((folder / "pictures").rglob("*.png")):
        path.rename(folder / "pictures" / f"{path.parent.name}-{path.name}")


def pan(folder):
    """The camera of one clip turns a little from picture to picture."""
    for step, path in enumerate(sorted((folder / "pictures" / "camera00").iterdir())):
        picture = PillowImage.open(path)
        ImageChops.offset(picture, 2 * step, 0).save(path)


def swap(folder):
    """In the labels cab and bucket exchange their 3D, as where two files differ in joint order."""
    path = folder / "test" / "labels.csv"
    with path.open() as file:
        header, *rows = csv.reader(file)
    deep_of = {(row[0], row[1]): row[4:] for row in rows}
    other = {"cab": "bucket", "bucket": "cab"}
    write_rows(path, header, [row[:4] + deep_of[row[0], other.get(row[1], row[1])] for row in rows])


for name, spoil in {"loose": scatter, "panned": pan, "swapped": swap}.items():
    spoilt(name, spoil)

# %% [markdown]
# - **No static camera** (`loose`). Nothing is wrong, but pictures from everywhere show no background,
#   and the terms that need one are off: `selfpose train … --variant loose`. Expect less, and train for
#   longer. If you can film a clip with the camera on a table, do.
# - **A camera that moves** (`panned`), or two cameras in one sub-folder. The check compares some
#   pictures of each clip with their median and names the clip. Divide it, or leave it out.
# - **Other names.** A table names its joints, so a wrong name is found with the line. A `poses.npy`
#   names nothing: its joints must be in the skeleton's order.
# - **Another order in 2D and 3D** (`swapped`). No camera projects the one onto the other, and the check
#   says by how much. Unpaired poses in another order than the skeleton's contradict nothing and can be
#   told by eye alone: draw a few.
# - **Another scale.** Poses that lie outside the pictures are found. Poses that are only a little too
#   large or too small are not noticed: the body must fill as much of the picture in both. Compare the
#   two in the figure below before you train.

# %% mystnb={"figure": {"name": "fig-own-unpaired", "caption": "The eye's check: six unpaired poses as training sees them, on pictures that they have nothing to do with. Size and manner should agree, places and bends need not."}, "image": {"alt": "Six pictures of the toy excavator, each with the stick figure of another pose over it, of the same size as the toy."}} tags=["hide-input"]
rows = torch.linspace(0, len(data.unpaired) - 1, 6).long().tolist()
shown = torch.linspace(0, len(data.unlabelled) - 1, 6).long().tolist()
plots.picture_row(
    [data.unlabelled.images[k] for k in shown],
    poses=[data.unpaired[k] for k in rows],
    skeleton=skeleton,
)

# %% [markdown]
# ## Exercise
#
# How many poses does the estimate of the bone lengths need? Take 10, 30, 100, 300 and all of the
# unpaired poses, and compare the relative lengths with the true ones.

# %% tags=["hide-cell"]
from selfpose.metrics import bone_lengths_from_2d


def estimate_error(n):
    """Mean difference of the relative lengths from the truth, %, from n poses."""
    lengths = bone_lengths_from_2d(data.unpaired[:: len(data.unpaired) // n][:n], skeleton)
    relative = lengths / lengths.mean()
    return float(100 * (relative / torch.tensor(real) - 1).abs().mean())


counts = [10, 30, 100, 300, len(data.unpaired)]
number_table({"mean difference, %": {f"{n} poses": estimate_error(n) for n in counts}})
# A few dozen different poses do: more of them help little, since most of what is left comes from
# bones that hardly ever lie across the view.

# %% [markdown]
# ## Summary
#
# A small JSON file, a sub-folder of pictures for each camera and a table of 2D poses make a data set;
# `selfpose data check` says what is wrong with it, `selfpose train --data folder` learns from it, and
# `selfpose predict` reads new pictures. The folder's format in full, and the other formats that are
# read, stand in [use your own data](../book/own_data.md).

# %% tags=["hide-input"]
page.provenance_box()
