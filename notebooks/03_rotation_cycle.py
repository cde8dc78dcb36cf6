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
# # The rotation cycle
#
# **Goal:** follow a pose on its trip through another camera and back, and find out what the errors
# of the round trip can teach, and what they cannot.
#
# **Where it stands in the paper:** three of the seven losses, $L_{2D}$, $L_{3D}$ and $L_{def}$, are
# errors of this trip, and a fourth, $L_{NF}$, judges the pose seen at its far end
# {cite:p}`sosa2023self`. The predicted elevation comes from {cite:t}`wandt2022elepose`.
#
# **Time and device:** seconds on one CPU core. Nothing is trained here.

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
from book.kit.view3d import pose_views
from book.kit.widgets import figure_slider_2d
from experiments.records import published_weights
from selfpose import losses
from selfpose.camera import (
    DEPTH_OFFSET,
    azimuth_rotation,
    elevation_rotation,
    lift,
    rotate_about_root,
)
from selfpose.cycle import Cycle, draw_angles, project_ahead, rotation_cycle, view_change
from selfpose.evaluation.baselines import true_depth_offsets
from selfpose.model import load
from selfpose.train import build_pipeline

page = start_page("03_rotation_cycle", globals())
config = page.config({"input": "poses", "data.n_unlabelled": 64, "data.n_test": 256})
dataset = page.data.load(config)
skeleton, test = dataset.skeleton, dataset.test
pipeline = build_pipeline(dataset, config)
plane = pipeline.scale.pixels_to_plane(test.poses_2d, skeleton.root)
true_depth = true_depth_offsets(pipeline, test.poses_2d, test.poses_3d)
n = len(plane)
{"poses on the plane": tuple(plane.shape), "true depth offsets": tuple(true_depth.shape)}

# %% [markdown]
# ## Definition
#
# ```{prf:definition} Rotation cycle
# :label: def-rotation-cycle
# From a 2D pose $y$ the cycle computes, with the same Λ both times,
#
# $$
# y \xrightarrow{\;\Lambda\;} v \xrightarrow{\;R\;} \tilde v \xrightarrow{\;\pi\;} \tilde y
#   \xrightarrow{\;\Lambda\;} \tilde v' \xrightarrow{\;R^\top} v' \xrightarrow{\;\pi\;} y'.
# $$
#
# Rotations are about the root, which stays $\Delta$ before the camera.
# ```
#
# $$
# \begin{gathered}
# R = R_e^\top R_a R_e \\
# \text{azimuth} \sim \mathcal U(-\pi, \pi), \qquad
# \text{elevation put back} \sim \mathcal N(\mu_e, \sigma_e)
# \end{gathered}
# $$ (eq-view-change)
#
# Why not any rotation? Because people stand on the ground, and cameras hang a little above them. A
# turn about the camera's own vertical axis would tip over a person who was filmed from above. So
# the predicted elevation is taken out first; then the turn is about the true vertical; then an
# elevation is put back in, drawn from those that the batch predicted. In code the sign lies in the
# function, not in the transpose: `elevation_rotation(α)` *adds* an elevation, its transpose removes
# it.

# %% tags=["hide-input"]
show_source(draw_angles, view_change)

# %% [markdown]
# The trip itself returns every intermediate by its name:

# %% tags=["hide-input"]
show_source(rotation_cycle)

# %% [markdown]
# ## By hand
#
# $R$ is a rotation; with no turn and the same elevation put back it is nothing at all.

# %%
alpha = torch.deg2rad(torch.tensor([10.0, 10.0]))
azimuth = torch.deg2rad(torch.tensor([0.0, 90.0]))
R = view_change(alpha, azimuth, alpha)
print("R", tuple(R.shape))
print("no turn, elevation back as it was:")
print(R[0].numpy().round(3))
print("determinants:", torch.linalg.det(R).numpy().round(6))
vertical = elevation_rotation(alpha[0]) @ torch.tensor([0.0, 1.0, 0.0])
print("the true vertical stays where it is:", torch.allclose(R[1] @ vertical, vertical, atol=1e-6))

# %% [markdown]
# ## A Λ that can be told what to answer
#
# To see what the losses see we need lifters whose mistakes we know. This one gives the depths we
# tell it at the first call. At the second call it gives the right depths of the rotated body, plus
# an error we choose. The elevation is the same for all; any angle would do for the argument.

# %%
elevation = torch.full((n,), torch.deg2rad(torch.tensor(10.0)).item())
generator = torch.Generator().manual_seed(seed)
angles = draw_angles(elevation + 0.1 * torch.randn(n, generator=generator), generator=generator)


def told(first, error=0.0, *, angles=angles, second=None):
    """A Λ that says `first`, then the rotated body's own depths + `error`, or `second`."""
    body = lift(plane, first)
    turned = rotate_about_root(body, view_change(elevation, *angles), root=skeleton.root)
    right = turned[..., 2] - DEPTH_OFFSET
    answers = iter([first, right + error if second is None else second])
    return lambda pose: (next(answers), elevation)


def trip(first, error=0.0, *, angles=angles, second=None) -> Cycle:
    lifter = told(first, error, angles=angles, second=second)
    return rotation_cycle(plane, lifter, root=skeleton.root, angles=angles)


identity = trip(true_depth)
for name, a, b in (
    ("|y − y'|", identity.pose_2d, identity.pose_2d_back),
    ("|v − v'|", identity.pose_3d, identity.pose_3d_back),
):
    print(f"largest {name}: {float((a - b).abs().max()):.1e}")

# %% [markdown]
# With right answers both times, the trip ends where it began, up to rounding.
#
# ## Turn it: the trip, step by step
#
# A trip in 3D, each step a position of the slider: the lifted pose is set upright, turned about the
# true vertical, tilted as the other camera sees it, projected (a sheet), lifted again, and brought
# back. The first Λ is right and then flat, so that the return goes wrong. The second, where it is
# there, was trained and published with this book. Dashed is the way of a Λ that is right both times;
# no loss sees it.

# %% tags=["hide-input"]
zero = torch.zeros_like(true_depth)
k = int(true_depth.abs().mean(dim=1).argsort()[(4 * n) // 5])  # a pose with a good deal of depth
quarter = (torch.full((n,), 1.2), elevation)
shown = trip(true_depth, angles=quarter, second=zero)
published = published_weights("lifting", "selfpose", dataset.name)
trained = load(published[0]).lifter if published else None
STEPS = {
    "1 · v": "lifted",
    "2 · upright": "the elevation taken out",
    "3 · turned": "turned about the true vertical",
    "4 · ṽ": "an elevation put back in: what the other camera looks at",
    "5 · ỹ": "projected: all depths are gone",
    "6 · ṽ′": "lifted again",
    "7 · v′": "turned back",
}


def steps_of(c: Cycle, azimuth, taken_out):
    """The trip of pose `k` in seven 3D poses; a projected pose is shown as a sheet."""
    upright = elevation_rotation(taken_out[k]).mT
    turned = azimuth_rotation(azimuth[k]) @ upright
    poses = [rotate_about_root(c.pose_3d[k], R, root=skeleton.root) for R in (upright, turned)]
    sheet = lift(c.pose_2d_rotated[k], torch.zeros(skeleton.n_joints))
    ahead = (c.pose_3d_rotated[k], sheet, c.pose_3d_relifted[k], c.pose_3d_back[k])
    return torch.stack([c.pose_3d[k], *poses, *ahead])


trips = {"right, then flat": steps_of(shown, *quarter)}
if trained:
    with torch.no_grad():
        its_elevation = trained(plane)[1]
        its_angles = (quarter[0], its_elevation)
        its_trip = rotation_cycle(plane, trained, root=skeleton.root, angles=its_angles)
    trips["trained Λ"] = steps_of(its_trip, *its_angles)
right_way = steps_of(trip(true_depth, angles=quarter), *quarter)


pose_views(
    {name: {"this Λ": way, "right both times": right_way} for name, way in trips.items()},
    skeleton,
    label="Round the cycle",
    description="A pose on its trip to another camera and back, and where it should be (dashed).",
    frames=list(STEPS),
    frame_label="step",
    frame_descriptions=[f"{step[4:]}: {text}." for step, text in STEPS.items()],
    azimuth=0,
    elevation=0,
)

# %% [markdown]
# At step 6 the flat answer is no longer the body that was turned. At step 7 the mistake has come home:
# the pose is wrong in the *picture* too, by $y' \ne y$, and that is where a Λ without labels is told.
#
# ## Turn it: all round the pose
#
# What the other camera sees, $\tilde y$, for one and the same 2D pose lifted in several ways; the last,
# where it is there, is the trained Λ. At azimuth 0° they agree, if the elevation put back is the one
# taken out. A quarter turn away the flat pose is a line, and the flipped one leans the wrong way.

# %% tags=["hide-input"]
ways = {"true depths": true_depth, "flat": zero, "flipped": -true_depth}
if trained:
    with torch.no_grad():
        ways["trained Λ"] = trained(plane)[0]


def seen_from(depth, azimuth_deg, elevation_deg):
    turn = torch.deg2rad(torch.tensor([float(azimuth_deg)]))
    tilt = torch.deg2rad(torch.tensor([float(elevation_deg)]))
    body = lift(plane[k : k + 1], depth[k : k + 1])
    R = view_change(elevation[k : k + 1], turn, tilt)
    return project_ahead(rotate_about_root(body, R, root=skeleton.root))[0]


def show_view(azimuth_deg, elevation_deg):
    seen = {way: seen_from(depth, azimuth_deg, elevation_deg) for way, depth in ways.items()}
    return plots.pose_row(seen, skeleton, reach=0.18)


def describe_view(azimuth_deg, elevation_deg):
    widths = []
    for way, depth in ways.items():
        x = seen_from(depth, azimuth_deg, elevation_deg)[:, 0]
        widths.append(f"{way} {10 * float(x.max() - x.min()):.1f}")
    return (
        f"Turned by {azimuth_deg}°, seen from an elevation of {elevation_deg}°; width of the pose "
        f"in hip–head lengths: {', '.join(widths)}."
    )


figure_slider_2d(
    show_view,
    list(range(-180, 181, 30)),
    [-10, 10, 30],
    labels=("azimuth", "elevation"),
    formats=(lambda a: f"{a}°", lambda e: f"{e}°"),
    describe=describe_view,
    start=(6, 1),
)

# %% [markdown]
# ## What each term sees
#
# The three errors of the trip, {eq}`eq-l2d` to {eq}`eq-ldef` of [the nutshell](../book/nutshell.md),
# and the bone-length term beside them:

# %% tags=["hide-input"]
show_source(
    losses.reprojection_loss,
    losses.consistency_loss,
    losses.deformation_loss,
    losses.bone_length_loss,
)

# %% [markdown]
# Now some lifters. The first four are *consistent*: whatever body they believe in, they find that
# same body again after the turn. The others change their mind on the way.

# %%
shuffled = true_depth[torch.randperm(n, generator=generator)]
common = 0.3 * torch.randn(1, skeleton.n_joints, generator=generator)
own = 0.3 * torch.randn(n, skeleton.n_joints, generator=generator)
common[:, skeleton.root] = own[:, skeleton.root] = 0.0
turned_flipped = -(trip(true_depth).pose_3d_rotated[..., 2] - DEPTH_OFFSET)

lifters = {
    "true": trip(true_depth),
    "flipped": trip(-true_depth),
    "flat, and its turned sheet after": trip(zero),
    "another pose's depths": trip(shuffled),
    "flat, and flat again after": trip(zero, second=zero),
    "true, then flipped": trip(true_depth, second=turned_flipped),
    "true, then one error for all poses": trip(true_depth, common),
    "the same, all turned alike": trip(true_depth, common, angles=quarter),
    "true, then an error for each pose": trip(true_depth, own),
}
if trained:
    with torch.no_grad():
        lifters["the trained Λ"] = rotation_cycle(plane, trained, root=skeleton.root, angles=angles)
table = {
    name: {
        "L_2D": losses.reprojection_loss(c.pose_2d, c.pose_2d_back),
        "L_3D": losses.consistency_loss(c.pose_3d_rotated, c.pose_3d_relifted),
        "L_def": losses.deformation_loss(c.pose_3d, c.pose_3d_back),
        "L_bl": losses.bone_length_loss(c.pose_3d, skeleton, sigma=config.lifting.bone_sigma),
    }
    for name, c in lifters.items()
}
number_table(table, digits=2, first="Λ says")

# %% [markdown]
# Read it by rows, then by columns. The last row, where it is there, is the published Λ: near to
# nothing in every column, though no column ever told it a depth.
#
# - **The first four rows** have no error in any of the three terms. The cycle asks for a *rigid*
#   body, not for a human one. It cannot tell a pose from its depth flip, nor from a sheet of paper,
#   as long as Λ recognises the body again.
# - **The bone-length term** is the first to object: sheets and borrowed depths have wrong bones. The
#   flip costs little in it. Seen from far away, lengths do not know signs.
# - **$L_{def}$** compares differences of two poses of the batch, so it forgives what both share. A
#   common error is forgiven where all poses were turned alike, and not where each came back from an
#   angle of its own, as in training: compare its rows with those of $L_{3D}$, which forgives nothing.
# - **The three are one.** They look at $\delta = v - v'$, what the trip did to the body. $L_{3D}$ is its
#   length, since a rotation keeps lengths; $L_{2D}$ is what of it shows in the picture; $L_{def}$ how
#   it differs between poses. In training $L_{3D}$ leaves nothing for $L_{def}$ to find. The paper has
#   it, and so do we; [the ablations](07_ablations.ipynb) say what leaving it out changes.
#
# So of all the terms only the prior $L_{NF}$ can choose between a pose and its flip, for it looks
# at $\tilde y$ and asks whether people look like that. [The next page](04_flow_prior.ipynb)
# measures how clearly.
#
# ## What goes wrong, and how to see it
#
# - **Elevation ignored.** If Λ's angle is wrong, the turn tips people over, and $\tilde y$ looks
#   like somebody falling. Watch the mean and spread of the predicted elevations during training.
# - **Turns too small.** Near azimuth 0° the lifter that always says flat passes all three tests, and
#   $L_{2D}$ passes any lifter: the angles must go all round.
# - **Joints behind the camera.** A wild early pose could be turned through the camera's plane. The
#   projection in the cycle keeps depths at one or more, so that no sign of a picture flips.
# - **A consistent mistake.** The errors go to zero and the pose is wrong. No curve of these losses
#   will show it; $L_{NF}$, and a test set, will.
#
# ## Exercise
#
# At an azimuth of ±180°, and level ($\alpha = 0$ both ways), what is the error of the lifter that
# says flat both times? Explain it before you open the answer.

# %% tags=["hide-cell"]
level = torch.zeros(n)
behind = (torch.full((n,), torch.pi), level)
body = rotate_about_root(lift(plane, zero), view_change(level, *behind), root=skeleton.root)
print(f"depths of the sheet after half a turn: spread {float(body[..., 2].std()):.1e} units")
# Turned by 180° about the vertical, a sheet that faced the camera faces it again: it is flat there
# too, and the answer "flat" is right by accident. The same happens at 0°. With the elevation of 10°
# on this page it is not exact: taken out, turned and put back, the sheet leans by twice the angle.

# %% [markdown]
# ## Summary
#
# The trip round the cycle tests whether Λ believes in one rigid body. It needs no label, and it
# works best from angles far from the first. It cannot choose the body. That is the business of the
# prior: [the flow prior](04_flow_prior.ipynb).

# %% tags=["hide-input"]
page.provenance_box([published[1]] if published else [])
