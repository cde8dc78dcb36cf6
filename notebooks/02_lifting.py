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
# # Lifting: from 2D to 3D
#
# **Goal:** see how a 2D pose becomes a 3D one when every joint is given a depth, and which depths
# the picture alone cannot tell apart.
#
# **Where it stands in the paper:** the network Λ looks at a 2D pose and answers with a depth offset
# for each joint and one elevation angle of the camera {cite:p}`sosa2023self`. Everything else about
# the third dimension is the geometry on this page. The architecture of Λ descends from
# {cite:t}`martinez2017simple` by way of {cite:t}`wandt2022elepose`.
#
# **Time and device:** seconds on one CPU core.

# %% tags=["parameters"]
data = "embedded"  # or "cmu", with the folders below
data_root = ""
data_train = ""
data_test = ""
preset = "quick"  # "smoke" is smaller
seed = 0
cache = ""  # a folder for prepared data

# %% tags=["hide-input"]
import torch

from book.kit import plots
from book.kit.page import start_page
from book.kit.tables import number_table, show_source
from book.kit.view3d import pose_view, pose_views
from book.kit.widgets import figure_slider
from selfpose.camera import DEPTH_OFFSET, MIN_DEPTH, PixelScale, lift, project
from selfpose.evaluation.baselines import true_depth_offsets
from selfpose.evaluation.scores import errors_3d, mean_errors
from selfpose.metrics import root_centred
from selfpose.networks import Lifter, ResidualBlock
from selfpose.train import build_pipeline

page = start_page("02_lifting", globals())
# No picture is learnt from on this page.
few = {"input": "poses", "data.n_unlabelled": 64}
config = page.config(few)
dataset = page.data.load(config)
skeleton, test = dataset.skeleton, dataset.test
pipeline = build_pipeline(dataset, config)
{"2D poses (px)": tuple(test.poses_2d.shape), "3D poses (mm)": tuple(test.poses_3d.shape)}

# %% [markdown]
# ## Definition
#
# The camera looks along $z$; $x$ points right and $y$ down. A point $v$ projects to
# $\pi(v) = (v_x / v_z,\; v_y / v_z)$ on the *normalised plane*, one unit before the camera.
#
# ```{prf:definition} Lifting
# :label: def-lift
# Let $y$ be a 2D pose on the normalised plane and $d_i$ a depth offset for each joint. The camera
# stands $\Delta$ away from the root. The lifted pose is that of {eq}`eq-lift`.
# ```
#
# $$
# z_i = \max(1,\; d_i + \Delta), \qquad v_i = (x_i z_i,\; y_i z_i,\; z_i), \qquad \Delta = 10
# $$ (eq-lift)
#
# Each joint slides along the ray through its point in the picture. So $\pi(v) = y$ whatever the
# depths are: the third dimension is free, and a picture cannot contradict it.

# %% tags=["hide-input"]
show_source(project, lift)

# %% [markdown]
# ## By hand
#
# One point of the plane, lifted to three depths, and projected back. The last offset would put the
# joint behind the camera: the maximum in {eq}`eq-lift` stops it at depth one.

# %%
point = torch.tensor([[0.05, -0.02]]).expand(3, 1, 2)  # three poses of one joint
offsets = torch.tensor([[0.0], [2.0], [-12.0]])
lifted = lift(point, offsets)
print("y", tuple(point.shape), "and d", tuple(offsets.shape), "→ v", tuple(lifted.shape))
for d, v, y in zip(offsets, lifted, project(lifted), strict=True):
    print(f"d = {d.item():6.1f}   v = {v[0].numpy().round(3)}   back on the plane {y[0].numpy()}")

# %% [markdown]
# ## From pixels to the plane
#
# Poses arrive in pixels. One constant for the whole data set brings them to the plane, measured on
# the unpaired poses: their mean hip–head distance becomes a tenth, as in
# {cite:t}`wandt2022elepose`. At $\Delta = 10$ that distance is then one unit in space. A scale
# measured on each picture would be a label in disguise: it would tell how far the person is bent
# towards the camera.

# %% tags=["hide-input"]
show_source(PixelScale.from_poses, PixelScale.pixels_to_plane)

# %%
scale = PixelScale.from_poses(dataset.unpaired, skeleton)
plane = scale.pixels_to_plane(test.poses_2d, skeleton.root)
true_depth = true_depth_offsets(pipeline, test.poses_2d, test.poses_3d)
on_plane = scale.pixels_to_plane(dataset.unpaired, skeleton.root)[:, skeleton.top].norm(dim=-1)
print(f"mean hip–head distance of the unpaired poses: {scale.length_px:.2f} px")
print(f"the same on the plane: {float(on_plane.mean()):.2f}")
print(f"spread of the true depth offsets on the test set: {float(true_depth.std()):.2f} units")

# %% [markdown]
# ## Turn it: one joint along its ray
#
# The slider gives the right wrist another depth. The pose opens as the camera sees it: move the
# slider to an end, and the two poses still lie over each other, up to a little perspective. Then
# turn them by a quarter.

# %% tags=["hide-input"]
# the test pose whose right wrist is farthest before or behind the body
wrist = skeleton.index("right_wrist")
k = int(true_depth[:, wrist].abs().argmax())
shifts = [round(-1.2 + 0.2 * n, 1) for n in range(13)]
depths = true_depth[k].repeat(len(shifts), 1)
depths[:, wrist] += torch.tensor(shifts)
moved = lift(plane[k].expand(len(shifts), -1, -1), depths)
true_pose = moved[shifts.index(0.0)]
apart = float((project(moved) - plane[k]).abs().max())
distances = (moved[:, wrist] - true_pose[wrist]).norm(dim=-1)
print(f"largest change of the 2D pose on the plane, over all positions: {apart:.0e}")
pose_view(
    {"lifted": moved, "true depths": true_pose},
    skeleton,
    label="One joint along its ray",
    description="A pose whose right wrist slides along the camera's ray, over the true pose.",
    frames=[f"{d:+.1f}" for d in shifts],
    frame_label="depth of the right wrist",
    frame_descriptions=[
        f"Right wrist moved by {d:+.1f} in depth, so that it is {float(away):.1f} hip–head lengths "
        "from its true place."
        for d, away in zip(shifts, distances, strict=True)
    ],
    start=len(shifts) - 1,
    azimuth=0,
    elevation=0,
)

# %% [markdown]
# ## True, flat, flipped
#
# Three 3D poses over the same 2D pose. *True* has the offsets of the ground truth; *flat* has none,
# it is the baseline to beat; *flipped* has every sign turned, so that what was before the body is
# behind it. They open as their camera sees them: every joint of the three is in one place, and only
# the fading of what is far off tells them apart, which a picture does not have. Turn them.

# %% tags=["hide-input"]
bodies = {
    "true": lift(plane, true_depth),
    "flat": lift(plane, torch.zeros_like(true_depth)),
    "flipped": lift(plane, -true_depth),
}
pose_views(
    {name: v[k] for name, v in bodies.items()},
    skeleton,
    label="True, flat, flipped",
    description="Three poses that look the same from the camera and differ as soon as they turn.",
    azimuth=0,
    elevation=0,
    height=240,
)

# %% [markdown]
# On the whole test set, with the names that say which variant of a metric it is: *P-MPJPE* is the
# mean joint error after the best similarity transform with a proper rotation; the second column
# also admits mirror images, as much code in this line of work does; *N-MPJPE* allows for scale only.

# %%
names = {
    "p_mpjpe_mm": "P-MPJPE (mm)",
    "p_mpjpe_reflection_mm": "P-MPJPE, reflection allowed (mm)",
    "n_mpjpe_mm": "N-MPJPE (mm)",
}


def scores_of(v):
    score = mean_errors(errors_3d(v.double(), test.poses_3d.double(), skeleton))
    return {title: score[key] for key, title in names.items()}


number_table({name: scores_of(v) for name, v in bodies.items()}, first="depths")

# %% [markdown]
# Read the last row twice. The flipped pose is worse than no depth at all, and by a metric that
# admits reflections it looks almost perfect. So every table of this book uses proper rotations, and
# trainings watch both numbers. The first row is not zero: true depths on our plane still leave a
# little, since one scale serves all pictures and the person need not stand at their middle.

# %% [markdown]
# ## Turn it: the distance of the camera
#
# Could the picture tell a pose from its flip after all? Up close, yes: near things are larger. The
# slider moves the camera away from one and the same body and enlarges the picture accordingly. The
# coloured figure is the pose, the grey one its flip.

# %% tags=["hide-input"]
body = root_centred(bodies["true"][k], skeleton.root)
flipped_body = body * torch.tensor([1.0, 1.0, -1.0])


def picture_from(distance, v):
    away = torch.tensor([0.0, 0.0, distance])
    return project(v + away) * distance


def difference_from(distance):
    between = picture_from(distance, body) - picture_from(distance, flipped_body)
    return float(between.norm(dim=-1).mean() / body.norm(dim=-1).max())


def show_distance(distance):
    figure = plots.new_figure(3.6, 3.4)
    ax = figure.add_subplot()
    flipped = picture_from(distance, flipped_body)
    plots.draw_pose_2d(ax, flipped, skeleton, colour="#999999", linewidth=3)
    plots.draw_pose_2d(ax, picture_from(distance, body), skeleton, linewidth=1.8, reach=1.9)
    return figure


figure_slider(
    show_distance,
    [2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, 100.0],
    label="Δ",
    format=lambda distance: f"{distance:g}",
    describe=lambda distance: (
        f"Camera at {distance:g} units: the pictures of the pose and of its flip differ by "
        f"{100 * difference_from(distance):.1f} % of the body's radius, on average over the joints."
    ),
    start=5,
)

# %% [markdown]
# From far away the two coincide; the table under the slider says how little is left at the method's
# $\Delta = 10$. So lifting needs another source of knowledge about depth. The method's answer is on
# the next two pages: look at the lifted pose from elsewhere, and ask whether that looks like a
# person.

# %% [markdown]
# ## The network Λ
#
# Λ maps a 2D pose to depth offsets and one elevation angle. Two residual branches share a first
# layer; the root's offset is taken off, so that the root stays at depth Δ.

# %% tags=["hide-input"]
show_source(Lifter, ResidualBlock)

# %%
depth, elevation = pipeline.lifter(plane)
print("2D poses", tuple(plane.shape), "→ d", tuple(depth.shape), "and α", tuple(elevation.shape))
print("parameters:", sum(p.numel() for p in pipeline.lifter.parameters()))
print(
    f"before training: |d| at most {depth.abs().max():.3f} units, α at most "
    f"{elevation.abs().max().rad2deg():.1f}°"
)

# %% [markdown]
# It starts nearly flat and level. Had it started with large random depths, the first rotated poses
# would be far from anything the prior knows.

# %% [markdown]
# ## What goes wrong, and how to see it
#
# - **Flat.** Depths shrink to nothing: P-MPJPE is that of the flat row above.
# - **Flipped, as a whole or joint by joint.** Watch P-MPJPE beside its variant with reflection; a
#   large gap is a flip.
# - **The clamp.** Where $d + \Delta < 1$ a joint sits still at depth one and gets no gradient. In a
#   healthy run it never happens; the share of such joints for the true depths is:

# %%
clamped = (true_depth + DEPTH_OFFSET < MIN_DEPTH).float().mean()
print(f"joints at the clamp: {100 * float(clamped):.1f} %")

# %% [markdown]
# ## Exercise
#
# Turn the signs of a random half of the joints' offsets instead of all. Is reflection still an
# excuse? Compute the same three errors.

# %% tags=["hide-cell"]
coin = torch.rand(true_depth.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
half_flipped = lift(plane, torch.where(coin, -true_depth, true_depth))
number_table({"half of the signs turned": scores_of(half_flipped)})
# A mirror image cannot repair single joints: allowing it helps far less than with the whole flip.
# This is what a run looks like whose depth signs froze at random.

# %% [markdown]
# ## Summary
#
# Lifting slides joints along their rays; projection undoes it for any depths. Flat is the baseline,
# the flip is the trap, and P-MPJPE with proper rotations is the metric that sees it. What the paper
# leaves open here is the scale of the plane and the size of Λ; ours are in
# [what we chose](../book/choices.md). Next: [the rotation cycle](03_rotation_cycle.ipynb).

# %% tags=["hide-input"]
page.provenance_box()
