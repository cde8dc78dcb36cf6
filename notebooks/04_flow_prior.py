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
# # The flow prior
#
# **Goal:** learn from 2D poses alone how likely a 2D pose is, and find out whether that number can
# tell a person from a sheet of paper, and from a person turned inside out.
#
# **Where it stands in the paper:** the normalizing flow is the only part that is trained beforehand
# and then frozen. The loss $L_{NF} = -\log p(\tilde y)$ judges the pose that the
# [rotation cycle](03_rotation_cycle.ipynb) sees at its far end {cite:p}`sosa2023self`. The flow on
# principal components is that of {cite:t}`wandt2022elepose`; its building block, the affine
# coupling, that of {cite:t}`dinh2017density`.
#
# **Time and device:** seconds on one CPU core, most of them for training two flows.

# %% tags=["parameters"]
data = "embedded"  # or "cmu", with the folders below
data_root = ""
data_train = ""
data_test = ""
preset = "quick"  # "smoke" is smaller
seed = 0
cache = ""  # a folder for prepared data

# %% tags=["hide-input"]
import dataclasses

import torch

from book.kit import plots
from book.kit.page import start_page
from book.kit.tables import number_table, show_source
from book.kit.widgets import figure_slider
from selfpose import losses
from selfpose.camera import azimuth_rotation, lift, rotate_about_root
from selfpose.cycle import project_ahead, view_change
from selfpose.data.draws import PoseDraws
from selfpose.evaluation.baselines import true_depth_offsets
from selfpose.extras.posterior import HARDER, expected_pose, expected_shape
from selfpose.flow import AffineCoupling, FlowPrior, WhiteningPCA
from selfpose.metrics import p_mpjpe
from selfpose.skeleton import mirror_pose
from selfpose.steps import Training, descend
from selfpose.train import build_pipeline, train_flow

page = start_page("04_flow_prior", globals())
config = page.config({"input": "poses", "data.n_unlabelled": 64})
whole = page.data.load(config)
skeleton = whole.skeleton
# The last tenth of the unpaired poses, from other clips, is kept back to see what was learnt.
n_learnt = len(whole.unpaired) - len(whole.unpaired) // 10
dataset = dataclasses.replace(whole, unpaired=whole.unpaired[:n_learnt])
pipeline = build_pipeline(dataset, config)
sets = {
    name: pipeline.scale.pixels_to_plane(poses, skeleton.root)
    for name, poses in (
        ("learnt from", dataset.unpaired),
        ("kept back", whole.unpaired[n_learnt:]),
        ("test set", whole.test.poses_2d),
    )
}
{name: tuple(poses.shape) for name, poses in sets.items()}

# %% [markdown]
# ## Definition
#
# ```{prf:definition} Normalizing flow
# :label: def-flow
# A flow is an invertible map $f$ from poses to noise, trained so that real poses become standard
# normal noise. The density of a pose is that of its noise times the change of volume on the way, as
# in {eq}`eq-flow`.
# ```
#
# $$
# \log p(y) = \log \mathcal N\bigl(f(c);\, 0, I\bigr)
#   + \log \Bigl|\det \frac{\partial f}{\partial c}\Bigr|, \qquad c = \mathrm{PCA}(y)
# $$ (eq-flow)
#
# A map that is easy to invert and whose determinant is cheap: leave one half of the coordinates as
# they are, and let them decide how the other half is scaled and shifted. A fixed rotation before
# each block mixes the halves.

# %% tags=["hide-input"]
show_source(AffineCoupling.forward, AffineCoupling.inverse, FlowPrior.log_prob)

# %% [markdown]
# ## By hand
#
# A small block with random weights, in double precision: back and forth it must be the identity, and
# the log-determinant it reports must be that of its Jacobian, worked out by automatic
# differentiation.

# %%
block = AffineCoupling(6, 16).double()
block.rotation = torch.linalg.qr(block.rotation).Q  # orthogonal to double precision, too
for parameter in block.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
x = torch.randn(5, 6, dtype=torch.float64)
with torch.no_grad():
    y, log_det = block(x)
    back = block.inverse(y)
jacobian = torch.func.jacrev(lambda one: block(one)[0])(x[0]).detach()
print("x", tuple(x.shape), "→ y", tuple(y.shape), "and log-determinant", tuple(log_det.shape))
print(f"largest |x − inverse(y)|: {float((back - x).abs().max()):.1e}")
print(
    f"log-determinant: {float(log_det[0]):.6f}, of the Jacobian: "
    f"{float(torch.linalg.slogdet(jacobian).logabsdet):.6f}"
)

# %% [markdown]
# ## Principal components first
#
# Joints move together, so 2D poses fill far fewer directions than they have coordinates. A density
# over directions in which nothing varies would be infinite; the PCA drops them and scales the rest
# to unit variance. The root contributes two coordinates that are always zero. What the components
# that are kept cannot say, the prior cannot judge.

# %% tags=["hide-input"]
show_source(WhiteningPCA.fit, WhiteningPCA.forward)

# %% mystnb={"figure": {"name": "fig-pca-spectrum", "caption": "Share of the variance of 2D poses that is left out when only the first components are kept (logarithmic). The line marks how many the flow keeps."}, "image": {"alt": "A falling curve on a logarithmic axis against the number of principal components, with a vertical line at the number kept."}} tags=["hide-input"]
spectrum = WhiteningPCA(n_features=2 * skeleton.n_joints, n_components=2 * skeleton.n_joints - 2)
spectrum.fit(sets["learnt from"].flatten(1))
variance = spectrum.scale.square()
left_out = 1 - variance.cumsum(0) / variance.sum()
figure = plots.new_figure(6.0, 2.7)
ax = figure.add_subplot()
ax.semilogy(range(1, len(left_out)), left_out[:-1].clamp(min=1e-7), marker="o", markersize=3)
ax.axvline(config.flow.components, color="#444444", linestyle=":")
ax.set(xlabel="components kept", ylabel="variance left out")
figure

# %% [markdown]
# ## Training
#
# By maximum likelihood, on the unpaired poses and their mirror twins. This is the stage of the full
# training:

# %% tags=["hide-input"]
show_source(train_flow)

# %% [markdown]
# Here the same loop trains two flows for half of the steps, to see what one detail does that the
# paper does not mention: a little noise on the training poses. Now and then it reports the
# likelihood of poses kept back.


# %%
@torch.no_grad()
def mean_log_prob(flow):
    return {name: float(flow.log_prob(poses[:1024]).mean()) for name, poses in sets.items()}


def trained_flow(noise):
    """A flow trained with that noise on its poses, and the history of its training."""
    c, made = config.flow, build_pipeline(dataset, config)
    flow, poses = made.flow, PoseDraws(made, dataset, config)
    flow.pca.fit(poses.all().flatten(1))
    adam = torch.optim.Adam(flow.parameters(), lr=c.lr)
    training = Training(identity={"noise": noise}, seed=seed)
    for step in training.steps(
        "flow",
        c.steps // 2,
        {"flow": flow, "adam": adam},
        monitor=lambda: mean_log_prob(flow),
        log_every=max(1, c.steps // 400),
    ):
        u = poses.draw(c.batch, noise=noise, generator=step.generator)
        descend(adam, {"NLL": losses.flow_loss(flow.log_prob(u))}, step)
    return flow.eval(), training.history["flow"]


trained = {f"noise {noise:g}": trained_flow(noise) for noise in (config.flow.noise, 0.0)}
flow, plain_flow = (made for made, _ in trained.values())

# %% mystnb={"figure": {"name": "fig-flow-training", "caption": "Mean log-likelihood of three sets of poses while the flow is trained, with noise on the training poses and without."}, "image": {"alt": "Two panels of rising curves of log-likelihood against steps; without noise the curve of the poses learnt from leaves the other two behind."}} tags=["hide-input"]
figure = plots.new_figure(7.0, 2.9)
for ax, (name, (_, history)) in zip(
    figure.subplots(1, 2, sharey=True), trained.items(), strict=True
):
    rows = [row for row in history if "kept back" in row][1:]  # without the first, far below
    for which in sets:
        ax.plot([row["step"] for row in rows], [row[which] for row in rows], label=which)
    ax.set(title=name, xlabel="step")
figure.axes[0].set_ylabel("log p (nats)")
figure.axes[0].legend()
figure

# %%
rows = {name: mean_log_prob(made) for name, (made, _) in trained.items()}
for row in rows.values():
    row["gap, learnt − kept back"] = row["learnt from"] - row["kept back"]
number_table(rows, first="mean log p (nats)")

# %% [markdown]
# A gap between poses learnt from and poses kept back is *overfitting*: the flow remembers frames.
# Noise fills the space between neighbouring frames and narrows the gap. A prior that has learnt its
# examples by heart gives every new pose a low and jagged score, and Λ would climb those jags.
#
# ## There and back
#
# The inverse is exact, not learnt: pose → noise → pose returns the pose, less what the PCA left out.

# %%
kept = sets["test set"]
with torch.no_grad():
    noise = flow.pose_to_noise(kept)
    back = flow.noise_to_pose(noise)
    code = flow.pca(kept.flatten(1))
    code_back = flow.noise_to_code(flow.code_to_noise(code)[0])
    missed_px = pipeline.scale.plane_to_pixels(back - kept, torch.zeros(len(kept), 2))
print("poses", tuple(kept.shape), "→ noise", tuple(noise.shape))
print(f"code → noise → code, largest error: {float((code_back - code).abs().max()):.1e}")
print(f"pose → noise → pose, mean error: {float(missed_px.norm(dim=-1).mean()):.2f} px")
print(f"the noise of test poses: mean {float(noise.mean()):+.2f}, s.d. {float(noise.std()):.2f}")

# %% [markdown]
# ## Turn it: samples
#
# Standard normal noise, sent backwards, becomes poses. The *temperature* scales the noise: near
# zero, everybody is the typical pose; above one, poses leave what people do.


# %% tags=["hide-input"]
@torch.no_grad()
def samples_at(temperature):
    draw = torch.Generator().manual_seed(seed)
    return flow.sample(256, temperature=temperature, generator=draw)


def show_samples(temperature):
    poses = {f"{k + 1}": pose for k, pose in enumerate(samples_at(temperature)[:6])}
    return plots.pose_row(poses, skeleton, reach=0.15, height=2.0)


@torch.no_grad()
def describe_samples(temperature):
    value = float(flow.log_prob(samples_at(temperature)).mean())
    return (
        f"Six poses drawn at temperature {temperature:g}; the mean log-likelihood of 256 such "
        f"poses is {value:.0f} nats."
    )


figure_slider(
    show_samples,
    [0.0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0],
    label="temperature",
    format=lambda temperature: f"{temperature:g}",
    describe=describe_samples,
    start=5,
)

# %% [markdown]
# ## What the prior is for: true, flat, flipped
#
# The page before ended with bodies that the cycle cannot tell apart. Here they are turned by random
# azimuths, and the prior looks at what the other camera sees. One thing is still unknown: by which
# elevation the turn is made upright. So the curves run over the angle that Λ would have predicted,
# the same for all test poses; the same angle is put back in.

# %% mystnb={"figure": {"name": "fig-prior-elevation", "caption": "Mean log-likelihood of the test poses after a random turn, against the elevation assumed for the camera, when lifted with true, no, and flipped depths."}, "image": {"alt": "Three curves of log-likelihood over the assumed elevation; true and flipped depths peak on opposite sides of zero, flat depths in the middle."}} tags=["hide-input"]
depth = true_depth_offsets(pipeline, whole.test.poses_2d, whole.test.poses_3d)
ways = {"true": depth, "flat": torch.zeros_like(depth), "flipped": -depth}
turns = (2 * torch.rand(len(depth), generator=torch.Generator().manual_seed(seed)) - 1) * torch.pi


@torch.no_grad()
def likelihood_after_turn(offsets, assumed_deg):
    angle = torch.full((len(offsets),), torch.deg2rad(torch.tensor(float(assumed_deg))).item())
    R = view_change(angle, turns, angle)
    seen = project_ahead(rotate_about_root(lift(kept, offsets), R, root=skeleton.root))
    return float(flow.log_prob(seen).clamp(min=-200).mean())


assumed = list(range(-40, 41, 5))
over_angle = {name: [likelihood_after_turn(d, a) for a in assumed] for name, d in ways.items()}
figure = plots.new_figure(6.4, 3.0)
ax = figure.add_subplot()
for name, curve in over_angle.items():
    ax.plot(assumed, curve, label=name)
ax.set(xlabel="assumed elevation α (°)", ylabel="log p(ỹ) (nats)")
ax.legend(title="depths")
figure

# %%
rows = {}
for name, curve in over_angle.items():
    best = max(range(len(assumed)), key=curve.__getitem__)
    rows[name] = {
        "best assumed elevation (°)": assumed[best],
        "log p there (nats)": curve[best],
        "log p at the opposite angle": curve[len(assumed) - 1 - best],
    }
number_table(rows, first="depths")

# %% [markdown]
# Three things can be read off, and the second and third are easily missed.
#
# - At the right elevation the prior clearly prefers the truth to the flip. No term of the cycle did.
# - The flip has a best angle of its own, on the other side of zero: turned inside out and looked at
#   from below, a body seen from far away gives the same pictures. What is left between the two best
#   values of the table is due to cameras looking down more often than up, and to perspective; it is
#   all that chooses the sign of depth. So the method needs the predicted elevation.
# - The sheet need not score badly. Turned, it is a thin, bland figure near the typical pose, and
#   there a density is high: compare its row with the others. What rules the sheet out is
#   the bone-length term, as the table of [the page before](03_rotation_cycle.ipynb) shows, together
#   with a Λ that must find the turned body again. The terms need each other.
#
# ## Asked once more: the expected pose
#
# The paper asks for what poses look like only while $\Lambda$ learns. We ask again at the end, when
# pictures are read. $\Omega$ reads each joint as if for itself; where it is unsure, legs come out in
# lengths that nobody has. What pose is to be expected, given what was read? Take a pose $u$ to be one
# of the unpaired poses $u^{(i)}$, all equally likely, put anywhere and with each joint $j$ moved by a
# normal kernel of width $h_j$; and what is read, $y$, to be $u$ with a normal error of standard
# deviation $\sigma_j$. Then
#
# $$
# \begin{aligned}
# \hat y_j &= \bar u_j + \frac{h_j^2}{h_j^2 + \sigma_j^2} \, (y_j - \bar u_j), \qquad
# \bar u = \sum_i \omega_i \, u^{(i)}, \\
# \omega_i &\propto \exp \Bigl( - \sum_j \frac{\lVert y_j - u^{(i)}_j \rVert^2}{2 (h_j^2 + \sigma_j^2)} \Bigr) ,
# \end{aligned}
# $$ (eq-expected)
#
# with each $u^{(i)}$ put where it fits $y$ best: the mean of all poses that may have been read as $y$,
# each by how well it explains it, and from there a part of the way back to $y$. Of bodies with a left
# and a right the $u^{(i)}$ are mirrored, too. How far $\Omega$ errs at each joint is measured on
# puppets, whose poses are known, when a training ends. That is $h$; and since pictures are harder than
# puppets, $\sigma$ is larger by a factor that we tuned (`HARDER`). Errors are taken as independent of
# each other, which they are not. It is ours, not the paper's (`extras.refine=false` leaves it out).

# %% tags=["hide-input"]
show_source(expected_pose)

# %% [markdown]
# Poses that the flow did not learn from, each joint moved by normal noise of one size. How far are they
# off before, and after?

# %%
noises = [0.005, 0.01, 0.02, 0.04]
kick = torch.randn(kept.shape, generator=torch.Generator().manual_seed(seed))
read = {sigma: kept + sigma * kick for sigma in noises}
found = {}
for sigma, seen in read.items():
    each = torch.full((skeleton.n_joints,), sigma)
    found[sigma] = expected_pose(seen, each, sets["learnt from"], width=each / HARDER)


print("read", tuple(read[0.01].shape), "→ expected", tuple(found[0.01].shape))
number_table(
    {
        f"{10 * sigma:g}": {
            "error as read": float(10 * (read[sigma] - kept).norm(dim=-1).mean()),
            "of the expected pose": float(10 * (found[sigma] - kept).norm(dim=-1).mean()),
        }
        for sigma in noises
    },
    first="noise (hip–head lengths)",
    digits=3,
)

# %% mystnb={"figure": {"name": "fig-expected-pose", "caption": "A true pose; the same with the second largest noise; and the pose to be expected given that."}, "image": {"alt": "Three stick figures: a true pose, one with shaken joints, and one that is smooth again."}} tags=["hide-input"]
shown = {"true": kept[0], "read": read[0.02][0], "expected": found[0.02][0]}
plots.pose_row(shown, skeleton, reach=0.18)

# %% [markdown]
# Where joints are read more surely than the unpaired poses lie apart, there is nothing to gain. Errors
# of $\Omega$ are not normal noise of known size, though: they come in whole limbs. What is left of the
# gain then is measured with [the results](06_results.ipynb) and for [other bodies](08_other_bodies.ipynb).
#
# ### And in 3D: the expected shape
#
# Depth is no linear function of a 2D pose, so what $\Lambda$ lifts from an expected pose is not the 3D
# pose to be expected. The same weights $\omega_i$ tell that too. Let $v^{(i)}$ be what $\Lambda$ makes
# of $u^{(i)}$. 3D errors forgive where a body stands, how large it is and, in P-MPJPE, how it is turned;
# so does the mean:
#
# $$
# \hat v = \operatorname*{arg\,min}_{\lVert v \rVert = 1} \sum_i \omega_i \min_{a, R, t} \bigl\lVert a R\, v^{(i)} + t - v \bigr\rVert^2,
# \qquad \det R = 1 ,
# $$ (eq-shape)
#
# with $v$ centred. The poses are moved onto the mean and averaged, a few times over
# {cite}`gower1975generalized`; only the likeliest (`LIKELIEST`) are asked. What $\Omega$ most often has
# wrong is the naming of left and right as a whole; so the $\omega_i$ of both namings of $y$ are taken
# together. In the end $\hat v$ is moved onto $\Lambda(\hat y)$: a shape does not know how it is turned,
# its size and its place. So N-MPJPE has nothing to gain by it, and $\hat v$ no longer projects onto
# $\hat y$.

# %% tags=["hide-input"]
show_source(expected_shape)

# %% [markdown]
# By hand: one body of the test set, turned about the vertical in several ways, each as likely as the
# others. Their plain mean is a body that nobody has, thinner than it was; the expected shape is
# the body.

# %%
body = whole.test.poses_3d[0]
angles = torch.deg2rad(torch.tensor([0.0, 60.0, 120.0]))
turned = rotate_about_root(body, azimuth_rotation(angles), root=skeleton.root)
shape = expected_shape(torch.zeros(len(turned)), turned, turned[1])
print("poses", tuple(turned.shape), "→ shape", tuple(shape.shape))
for name, mean in {"plain mean": turned.mean(dim=0), "expected shape": shape}.items():
    print(f"{name}: P-MPJPE to the body {float(p_mpjpe(mean, body)):.1f} mm")

# %% [markdown]
# ## What goes wrong, and how to see it
#
# - **Overfitting:** compare poses learnt from with poses kept back, as above, before anything
#   else is trained on the prior.
# - **Outliers:** a few poses with a terrible score carry the mean, and a gradient as large. Losses
#   are clipped by the norm of their gradient for this reason. (The curves above cut single poses off
#   at −200 nats.)
# - **Collapse to the typical pose:** a flow's highest density lies at poses that hardly occur. If
#   predictions score *higher* than real poses do, they have become bland; temperature zero above
#   shows what they become. The expected pose goes that way by design, as far as the noise lets it.
# - **Numbers of two priors:** densities depend on the PCA's scale. Only compare poses under one prior.
#
# ## Exercise
#
# The flow was shown mirror twins. What does it think of (a) mirrored test poses, (b) poses in which
# left and right labels are exchanged, without mirroring?

# %% tags=["hide-cell"]
with torch.no_grad():
    answers = {
        "as they are": flow.log_prob(kept),
        "mirrored": flow.log_prob(mirror_pose(kept, skeleton)),
        "labels exchanged": flow.log_prob(kept[:, list(skeleton.flip)]),
    }
number_table({name: {"mean log p (nats)": float(v.mean())} for name, v in answers.items()})
# Mirrored poses are as likely, up to chance. Exchanged labels make a person who faces the other way
# with joints that bend wrongly; how much the prior minds tells how well it can choose the facing.

# %% [markdown]
# ## Summary
#
# PCA, coupling blocks, maximum likelihood, an exact inverse; noise against learning by heart. The
# prior is the only term that can choose between a pose and its depth flip, and it can because
# cameras look down more often than up. All parts are ready now: [the full
# training](05_full_training.ipynb).

# %% tags=["hide-input"]
page.provenance_box()
