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
# # The skeleton renderer κ
#
# **Goal:** turn a 2D pose into a picture of a stick figure, in such a way that a wrong pixel tells
# the joints where to go.
#
# **Where it stands in the paper:** κ draws the *real* examples of the adversarial game,
# $w = \kappa(u)$ for a pose $u$ of the unpaired set, and it closes the loop round Ω: what
# Ω reads off a skeleton image is drawn again and compared {cite:p}`sosa2023self`. The idea of a
# skeleton image as the bottleneck comes from {cite:t}`jakab2020self`.
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
from book.kit.widgets import figure_slider
from selfpose.metrics import error_2d_percent, side_tolerant_error_2d_percent
from selfpose.render import draw_bones, draw_skeleton, segment_distance_sq

page = start_page("01_renderer", globals())
# A few pictures are enough for this page.
few = {"data.n_unlabelled": 64, "data.n_unpaired": 512, "data.n_test": 64}
config = page.config(few)
dataset = page.data.load(config)
skeleton, gamma = dataset.skeleton, config.networks.gamma
unit = dataset.test.poses_2d / dataset.image_size  # the picture spans [0, 1] both ways
print("pictures", tuple(dataset.test.images.shape), "poses in [0, 1]", tuple(unit.shape))

# %% [markdown]
# ## Definition
#
# ```{prf:definition} Skeleton renderer
# :label: def-kappa
# Let $u$ be a 2D pose, $C$ the set of its bones as pairs of joints, and $\gamma > 0$. The skeleton
# image of $u$ has at pixel $e$ the value of {eq}`eq-kappa`: one on a bone, and less with the
# distance from the nearest bone.
# ```
#
# $$
# \kappa(u)_e = \exp\Bigl(-\gamma \min_{(i,j) \in C,\; r \in [0,1]}
#   \bigl\lVert e - (r u_i + (1 - r) u_j) \bigr\rVert^2\Bigr)
# $$ (eq-kappa)
#
# Here is {eq}`eq-kappa` in the library, taken from its source as this page was made. The inner
# minimum over $r$ has a closed form: drop the perpendicular, and stay on the segment. The outer one
# is found without gradient; only the winning bone of each pixel is then computed again with it.

# %% tags=["hide-input"]
show_source(segment_distance_sq, draw_bones)

# %% [markdown]
# ## By hand
#
# One bone, lying across the middle of a picture of 5 × 5 pixels. Every row has one distance from
# it, except at the two ends.

# %%
bone = torch.tensor([[0.3, 0.5], [0.7, 0.5]])
small = draw_bones(bone, [(0, 1)], size=5, gamma=20.0)
print("pose", tuple(bone.shape), "→ image", tuple(small.shape))
print(small.numpy().round(2))
by_hand = torch.exp(torch.tensor(-20.0 * 0.4**2))  # top row: 0.5 − 0.1 above the bone
print(f"top middle: {float(small[0, 2]):.6f}, by hand: {float(by_hand):.6f}")

# %% [markdown]
# ## On people
#
# Poses come in any number of batch dimensions. The library draws the paper's single channel, or
# one channel for each of left, right and centre.

# %%
one = draw_skeleton(unit, skeleton, size=64, gamma=gamma)
three = draw_skeleton(unit, skeleton, size=64, gamma=gamma, channels=3)
print("poses", tuple(unit.shape), "→", tuple(one.shape), "and", tuple(three.shape))

# %% mystnb={"figure": {"name": "fig-kappa-people", "caption": "A test picture; its true 2D pose over it; the skeleton image with one channel; with three, a colour for each side."}, "image": {"alt": "Four square pictures in a row: a person, the person with a stick figure over it, a white stick figure on black, and the same in three colours."}} tags=["hide-input"]
k = 5
plots.picture_row(
    [dataset.test.images[k], dataset.test.images[k], one[k], three[k]],
    ["picture $x$", "pose $u$", r"$\kappa(u)$, 1 channel", r"$\kappa(u)$, 3 channels"],
    poses=[None, dataset.test.poses_2d[k], None, None],
    skeleton=skeleton,
)

# %% [markdown]
# ## Turn it: γ
#
# γ is the one number in {eq}`eq-kappa`. Large: thin limbs, precise but blind to a joint that is far
# off. Small: a cloud that every pixel feels. On the right, the brightness across a limb.


# %% tags=["hide-input"]
def show_gamma(gamma):
    figure = plots.new_figure(6.6, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
    plots.show_picture(left, draw_skeleton(unit[k], skeleton, size=64, gamma=gamma))
    across = torch.linspace(-0.2, 0.2, 201)
    right.plot(across, torch.exp(-gamma * across**2))
    right.axhline(0.5, color="#444444", linestyle=":")
    right.set(xlabel="distance from the bone (picture = 1)", ylabel="brightness", ylim=(0, 1.05))
    right.set_xticks([-0.2, -0.1, 0.0, 0.1, 0.2])
    return figure


def half_width(gamma):
    return (torch.log(torch.tensor(2.0)) / gamma) ** 0.5


def describe_gamma(gamma):
    share = float((draw_skeleton(unit[k], skeleton, size=64, gamma=gamma) > 0.5).float().mean())
    return (
        f"The stick figure with γ = {gamma:g}: {100 * share:.0f} % of the picture is brighter than "
        f"a half, which is reached {100 * half_width(gamma):.1f} % of the side from a bone."
    )


figure_slider(
    show_gamma,
    [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0],
    label="γ",
    format=lambda gamma: f"{gamma:g}",
    describe=describe_gamma,
    start=4,
)

# %% [markdown]
# ## Where the gradient goes
#
# A minimum has the gradient of whatever attains it. For one pixel this means: only the two joints
# of its *nearest bone* feel it, and $r$ may be held fixed while differentiating, for at the
# minimum a change of $r$ changes nothing to first order (or $r$ sits at an end of the segment and
# cannot move). So nothing is lost by searching the winner without gradient.

# %% [markdown]
# Here the right wrist is carried across the picture. The middle panel shows how each pixel would
# change if the wrist moved a little to the right: brighter (purple) or darker (orange). All other
# pixels are silent: they belong to other bones.

# %% tags=["hide-input"]
wrist, elbow = skeleton.index("right_wrist"), skeleton.index("right_elbow")


def show_wrist(x):
    pose = unit[k].clone()
    pose[wrist] = torch.tensor([x, float(unit[k, elbow, 1]) - 0.08])
    nudge = torch.zeros_like(pose)
    nudge[wrist, 0] = 1e-3
    three = torch.stack([pose, pose + nudge, pose - nudge])
    image, ahead, behind = draw_skeleton(three, skeleton, size=64, gamma=gamma)
    figure = plots.new_figure(6.6, 2.5)
    first, second, third = figure.subplots(1, 3)
    plots.show_picture(first, image)
    first.set_title(r"$\kappa(u)$")
    second.imshow((ahead - behind)[0] / 2e-3, cmap="PuOr", vmin=-20, vmax=20)
    second.set_title(r"$\partial\kappa / \partial x_{\rm wrist}$")
    second.set_axis_off()
    plots.draw_pose_2d(third, pose - 0.5, skeleton, linewidth=1.5, reach=0.5)
    third.set_title("pose $u$")
    return figure


figure_slider(
    show_wrist,
    [round(0.15 + 0.05 * n, 2) for n in range(15)],
    label="wrist x",
    describe=lambda x: (
        f"Right wrist at {100 * x:.0f} % of the picture's width; only pixels round the right "
        "forearm feel it."
    ),
    start=3,
)

# %% [markdown]
# ## One channel or three
#
# With one channel a skeleton image does not know left from right: exchange the labels, and not one
# pixel changes. With three it does. The paper draws one channel; our default has three, and says so
# in [what we chose](../book/choices.md).

# %% tags=["hide-input"]
changes = {}
for channels in (1, 3):
    as_named, exchanged = (
        draw_skeleton(pose, skeleton, size=32, gamma=gamma, channels=channels)
        for pose in (unit, unit[:, list(skeleton.flip)])
    )
    change = float((as_named - exchanged).abs().max())
    changes[f"{channels} channel(s)"] = {"largest change when left and right are exchanged": change}
number_table(changes, digits=3)

# %% [markdown]
# ## Fit a pose through the picture
#
# Can a pose be found from a skeleton image by κ's gradient alone? Start from the mean
# pose of the unpaired set and walk downhill on the squared difference of the two images. Only κ is
# between the pixels and the joints; there is no network. Besides three fixed γ, the last trial
# begins with a small one and lets it grow: first the cloud, then the limbs. A right gradient is
# no promise: it leads downhill from where it stands.

# %%
start_pose = (dataset.unpaired / dataset.image_size).mean(dim=0)
n_fits, n_steps = 4, 80 if preset != "smoke" else 20
targets = unit[:n_fits]


def fit(gammas, channels):
    """Poses found from the skeleton images of the targets, and the 2D error at each step."""
    pose = start_pose.expand(n_fits, -1, -1).clone().requires_grad_()
    optimiser = torch.optim.Adam([pose], lr=0.015)
    errors = []
    for g in gammas.tolist():
        both = torch.cat([pose, targets])
        drawn, goal = draw_skeleton(both, skeleton, size=32, gamma=g, channels=channels).chunk(2)
        optimiser.zero_grad()
        (drawn - goal).square().sum().backward()
        optimiser.step()
        errors.append(float(error_2d_percent(pose.detach(), targets, image_size=1).mean()))
    return pose.detach(), errors


schedules = {f"γ = {g}": torch.full((n_steps,), float(g)) for g in (20, 500, 5000)}
schedules["γ from 20 to 500"] = torch.linspace(20.0, 500.0, n_steps)
fits = {(name, c): fit(gammas, c) for name, gammas in schedules.items() for c in (1, 3)}
kinds = {1: "1 channel", 3: "3 channels"}

# %% mystnb={"figure": {"name": "fig-kappa-fit", "caption": "Gradient descent through κ: mean 2D error of the poses found, in % of the picture's side. Left: one channel. Right: three."}, "image": {"alt": "Two panels of error curves against steps, for one channel and for three, one curve for each choice of γ."}} tags=["hide-input"]
figure = plots.new_figure(7.0, 2.9)
for ax, channels in zip(figure.subplots(1, 2, sharey=True), kinds, strict=True):
    for name in schedules:
        ax.plot(fits[name, channels][1], label=name)
    ax.set(title=kinds[channels], xlabel="step", ylim=(0, None))
figure.axes[0].set_ylabel("2D error (% of the side)")
figure.axes[0].legend()
figure

# %% tags=["hide-input"]
rows = {}
for (name, c), (pose, errors) in fits.items():
    forgiven = side_tolerant_error_2d_percent(pose, targets, image_size=1, skeleton=skeleton)
    rows[f"{name}, {kinds[c]}"] = {"strict": errors[-1], "sides forgiven": float(forgiven.mean())}
number_table(rows, first="2D error, % of the side")

# %% mystnb={"figure": {"name": "fig-kappa-fit-poses", "caption": "One of the fits with growing γ: where it began, where it ended with one channel and with three, and the truth."}, "image": {"alt": "Four stick figures in a row: the mean pose, two fitted poses, and the true pose."}} tags=["hide-input"]
growing = {kinds[c]: fits["γ from 20 to 500", c][0][3] for c in (1, 3)}
shown = {"start": start_pose, **growing, "truth": targets[3]}
plots.pose_row({title: pose - 0.5 for title, pose in shown.items()}, skeleton, reach=0.42)

# %% [markdown]
# ## What goes wrong, and how to see it
#
# - **γ too large.** Beyond a few half-widths, $\exp(-\gamma d^2)$ is zero to the last bit, and so
#   is its slope: a limb that is far from its place gets no pull at all. Compare the curves of
#   {numref}`fig-kappa-fit`.
# - **One channel.** The images come to agree, the poses need not: a limb is drawn to whichever limb is
#   near. So the curves of one channel fall at first and then rise again, and a γ that grows does
#   not cure it. With three channels a limb finds its side. This is why Ω is a network that has seen
#   many poses, and no descent.
# - **γ too small.** All limbs melt into one cloud, and hands and feet, which are small in it, count
#   little.
# - **Neighbours that trade pixels.** A pixel pulls its nearest bone only. Where bones cross, a
#   pixel may pull the wrong one; the fit then stays in a local minimum.
#
# The paper gives neither γ nor the size of its skeleton images. Ours, for coordinates in which the
# picture spans $[0, 1]$:

# %% tags=["hide-input"]
print(f"γ = {gamma:g}, skeleton images of {config.networks.skeleton_size} px")

# %% [markdown]
# ## Exercise
#
# How wide is a limb in pixels, measured between the two places where its brightness is a half? Find
# the width at the side and γ above, and the γ that would make it two pixels.
#
# *Hint:* solve $\exp(-\gamma d^2) = \tfrac12$ for $d$.

# %% tags=["hide-cell"]
side, log2 = config.networks.skeleton_size, torch.log(torch.tensor(2.0))
width_px = 2 * side * torch.sqrt(log2 / gamma)
gamma_two_px = log2 * side**2  # 2 · side · √(ln 2 / γ) = 2
print(
    f"d = √(ln 2 / γ), so a limb is {width_px:.2f} px wide; two pixels need γ = {gamma_two_px:.0f}"
)

# %% [markdown]
# ## Summary
#
# κ draws a pose with one smooth formula; its gradient reaches the two joints of the bone nearest to
# each pixel; γ trades reach against precision; one channel forgets left and right. Next: from 2D
# to 3D, in [lifting](02_lifting.ipynb).

# %% tags=["hide-input"]
page.provenance_box()
