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

# %% tags=["hide-cell"]
from experiments.notebooks import check_parameters

check_parameters(
    globals(),
    ["data", "data_root", "data_train", "data_test", "preset", "seed", "cache"],
)

# %% tags=["hide-input"]
import torch

from book.kit import plots
from selfpose.config import Config
from selfpose.metrics import error_2d_percent, side_tolerant_error_2d_percent
from book.kit.pages import number_table, show_source
from book.kit.provenance import provenance_box
from selfpose.render import draw_bones, draw_skeleton, segment_distance_sq
from selfpose.run import DataChoice
from book.kit.widgets import figure_slider

plots.use_style()
torch.manual_seed(seed)
# A few pictures are enough for this page.
config = Config.for_run(preset=preset, seed=seed, n_unlabelled=64, n_unpaired=512, n_test=64)
choice = DataChoice(
    name=data,
    data_root=data_root,
    data_train=data_train,
    data_test=data_test,
    cache=cache,
)
dataset = choice.load(config)
skeleton = dataset.skeleton
unit = dataset.test.poses_2d / dataset.image_size  # the picture spans [0, 1] both ways
{"pictures": tuple(dataset.test.images.shape), "poses in [0, 1]": tuple(unit.shape)}

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
one = draw_skeleton(unit, skeleton, size=64, gamma=config.gamma)
three = draw_skeleton(unit, skeleton, size=64, gamma=config.gamma, channels=3)
{"poses": tuple(unit.shape), "one channel": tuple(one.shape), "three": tuple(three.shape)}

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
    image = draw_skeleton(unit[k], skeleton, size=64, gamma=gamma)[0]
    left.imshow(image, vmin=0, vmax=1, extent=(0, 1, 1, 0))
    left.set_axis_off()
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
# cannot move). So nothing is lost by searching the winner without gradient. A check in double
# precision against finite differences:

# %%
exact = unit[k].double()
toward = torch.randn(exact.shape, generator=torch.Generator().manual_seed(seed)).double()


def total(pose):
    """Some number that depends on every pixel."""
    image = draw_skeleton(pose, skeleton, size=32, gamma=config.gamma)
    return (image * torch.linspace(0, 1, image.numel()).double().view_as(image)).sum()


leaf = exact.clone().requires_grad_()
(gradient,) = torch.autograd.grad(total(leaf), leaf)
step = 1e-6
difference = (total(exact + step * toward) - total(exact - step * toward)) / (2 * step)
number_table(
    {
        "autograd": {"slope along a random direction": float((gradient * toward).sum())},
        "finite difference": {"slope along a random direction": float(difference)},
    },
    digits=6,
)

# %% [markdown]
# ## Turn it: one joint
#
# The slider carries the right wrist across the picture. The middle panel shows how each pixel would
# change if the wrist moved a little to the right: brighter (purple) or darker (orange). All other
# pixels are silent: they belong to other bones.

# %% tags=["hide-input"]
wrist, elbow = skeleton.index("right_wrist"), skeleton.index("right_elbow")
rightwards = torch.zeros_like(unit[k])
rightwards[wrist, 0] = 1.0


def with_wrist_at(x):
    pose = unit[k].clone()
    pose[wrist] = torch.tensor([x, float(unit[k, elbow, 1]) - 0.08])
    return pose


def slope_at(x, nudge=1e-3):
    pose = with_wrist_at(x)
    both = torch.stack([pose + nudge * rightwards, pose - nudge * rightwards])
    ahead, behind = draw_skeleton(both, skeleton, size=64, gamma=config.gamma)[:, 0]
    return (ahead - behind) / (2 * nudge)


def show_wrist(x):
    figure = plots.new_figure(6.6, 2.5)
    first, second, third = figure.subplots(1, 3)
    first.imshow(
        draw_skeleton(with_wrist_at(x), skeleton, size=64, gamma=config.gamma)[0],
        vmin=0,
        vmax=1,
        extent=(0, 1, 1, 0),
    )
    first.set_title(r"$\kappa(u)$")
    second.imshow(slope_at(x), cmap="PuOr", vmin=-20, vmax=20, extent=(0, 1, 1, 0))
    second.set_title(r"$\partial\kappa / \partial x_{\rm wrist}$")
    plots.draw_pose_2d(third, with_wrist_at(x), skeleton, linewidth=1.5)
    third.set(xlim=(0, 1), ylim=(1, 0), title="pose $u$")
    for ax in (first, second, third):
        ax.set_axis_off()
    return figure


def describe_wrist(x):
    moved = float((slope_at(x).abs() > 1).float().mean())
    return (
        f"Right wrist at {100 * x:.0f} % of the picture's width: {100 * moved:.1f} % of the pixels "
        "feel it, all of them round the right forearm."
    )


figure_slider(
    show_wrist,
    [round(0.15 + 0.05 * n, 2) for n in range(15)],
    label="wrist x",
    format=lambda x: f"{x:.2f}",
    describe=describe_wrist,
    start=3,
)

# %% [markdown]
# ## One channel or three
#
# With one channel a skeleton image does not know left from right: exchange the labels, and not one
# pixel changes. With three it does. The paper draws one channel; our default has three, and says so
# in [what we chose](../book/choices.md).

# %% tags=["hide-input"]
swapped = unit[:, list(skeleton.flip)]
number_table(
    {
        f"{channels} channel{'s' if channels > 1 else ''}": {
            "largest change of a pixel when left and right are exchanged": float(
                (
                    draw_skeleton(unit, skeleton, size=32, gamma=config.gamma, channels=channels)
                    - draw_skeleton(
                        swapped, skeleton, size=32, gamma=config.gamma, channels=channels
                    )
                )
                .abs()
                .max()
            )
        }
        for channels in (1, 3)
    },
    digits=3,
)

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
    for gamma in gammas.tolist():
        both = torch.cat([pose, targets])
        drawn, goal = draw_skeleton(both, skeleton, size=32, gamma=gamma, channels=channels).chunk(
            2
        )
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
number_table(
    {
        f"{name}, {kinds[c]}": {
            "strict": float(error_2d_percent(pose, targets, image_size=1).mean()),
            "left and right forgiven": float(
                side_tolerant_error_2d_percent(
                    pose, targets, image_size=1, skeleton=skeleton
                ).mean()
            ),
        }
        for (name, c), (pose, _) in fits.items()
    },
    first="2D error, % of the side",
)

# %% mystnb={"figure": {"name": "fig-kappa-fit-poses", "caption": "One of the fits with growing γ: where it began, where it ended with one channel and with three, and the truth."}, "image": {"alt": "Four stick figures in a row: the mean pose, two fitted poses, and the true pose."}} tags=["hide-input"]
figure = plots.new_figure(7.0, 2.6)
shown = {
    "start": start_pose,
    "1 channel": fits["γ from 20 to 500", 1][0][3],
    "3 channels": fits["γ from 20 to 500", 3][0][3],
    "truth": targets[3],
}
for ax, (title, pose) in zip(figure.subplots(1, 4), shown.items(), strict=True):
    plots.draw_pose_2d(ax, pose, skeleton, linewidth=1.8)
    ax.set(xlim=(0.1, 0.9), ylim=(0.95, 0.1), title=title)
    ax.set_axis_off()
plots.side_legend(figure, skeleton, loc="outside lower center", ncols=3)
figure

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
# - **A limb on the wrong side.** With one channel nothing says which leg is the left one. The gap
#   between the two columns of the table is that error.
# - **Neighbours that trade pixels.** A pixel pulls its nearest bone only. Where bones cross, a
#   pixel may pull the wrong one; the fit then stays in a local minimum.
#
# The paper gives neither γ nor the size of its skeleton images. Ours, for coordinates in which the
# picture spans $[0, 1]$:

# %% tags=["hide-input"]
number_table(
    {
        "skeleton images": {"γ": config.gamma, "side (px)": config.skeleton_size},
        "where the fit of limbs to silhouettes begins": {
            "γ": config.silhouette_gamma,
            "side (px)": config.skeleton_size,
        },
    },
    digits=0,
)

# %% [markdown]
# ## Exercise
#
# How wide is a limb in pixels, measured between the two places where its brightness is a half? Find
# the width at the side and γ of the table above, and the γ that would make it two pixels.
#
# *Hint:* solve $\exp(-\gamma d^2) = \tfrac12$ for $d$.

# %% tags=["hide-cell"]
side, log2 = config.skeleton_size, torch.log(torch.tensor(2.0))
width_px = 2 * side * torch.sqrt(log2 / config.gamma)
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
provenance_box(
    page="01_renderer",
    parameters={
        **{"data": data, "data_root": data_root, "data_train": data_train, "data_test": data_test},
        **{"preset": preset, "seed": seed},
    },
)
