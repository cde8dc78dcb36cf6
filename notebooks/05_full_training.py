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
# # Full training: from pictures and unpaired poses to 3D
#
# **Goal.** Train the whole method and look at what it learnt, step by step, beside what it must
# beat.
#
# **In the paper.** Its training section: the networks Φ, Ω, Λ and the discriminator D learn from
# unlabelled pictures and from 2D poses that belong to other people. Nothing here is paired, and no
# 3D pose is ever shown to the networks {cite}`sosa2023self`.
#
# **Time and device.** The table under *The run* says how long this run took, and on what.

# %% tags=["parameters"]
experiment = "single"
variant = "selfpose"
label = ""
data = "embedded"
data_root = ""
data_train = ""
data_test = ""
preset = "quick"
input = "images"
seed = 0
out = "build/single"
overrides = {}
cache = "build/cache"

# %% tags=["hide-input"]
import torch
from torch import nn

from book.kit.figures import joint_bars, learning_curves, prediction_slider
from book.kit.page import start_page
from book.kit.plots import picture_row
from book.kit.tables import field_value, linked_groups, number_table, show_source
from experiments.records import read_history
from selfpose import losses, train
from selfpose.config import Config
from selfpose.data.draws import PictureDraws
from selfpose.evaluation.scores import errors, predict_test
from selfpose.extras import puppets, sides, thickness
from selfpose.extras.terms import ExtraTerms
from selfpose.model import load
from selfpose.run import WEIGHTS, DataChoice, run_experiment
from selfpose.steps import Step

page = start_page("05_full_training", globals())

# %% [markdown]
# ## The game for the skeleton image
#
# Φ draws a skeleton image $s = \Phi(x)$ of the person in the picture $x$. Two things make it a
# skeleton. The discriminator compares it with drawings $w = \kappa(u)$ of real, unpaired 2D poses
# $u$:
#
# $$
# \mathcal{L}_D = \mathbb{E}_w[\log D(w)] + \mathbb{E}_s[\log(1 - D(s))],
# $$ (eq-adversarial)
#
# which D maximises; Φ minimises its non-saturating form, $-\mathbb{E}_s[\log D(s)]$.

# %% tags=["hide-input"]
show_source(losses.discriminator_loss, losses.adversarial_loss)

# %% [markdown]
# And Ω must be able to read it: Ω learns to invert κ on drawings whose pose is known, and the pose
# that it reads from $s$ must draw $s$ again:
#
# $$
# \mathcal{L}_\Omega = \lVert \Omega(\kappa(u)) - u \rVert^2
#   + \lambda\, \lVert \kappa(\Omega(s)) - s \rVert^2, \qquad \lambda = 0.1.
# $$ (eq-omega)

# %% tags=["hide-input"]
show_source(losses.regressor_loss, losses.redrawing_loss)

# %% [markdown]
# ```{prf:definition} Unpaired
# :label: def-unpaired
#
# A set of 2D poses is *unpaired* with a set of pictures if no pose of the first was taken from a
# picture of the second. Here the poses even come from other moments, other cameras and, in the
# embedded data, other people.
# ```
#
# ## What ties the drawing to the picture
#
# The two losses above are content with any plausible skeleton, whatever the picture shows: the
# adversarial term compares *distributions*. The variant `paper` trusts the networks to find the
# easiest consistent solution. The variant `selfpose` adds four terms, each of weight 0 in `paper`:
#
# - `sil`: the camera is taken to stand still, so the median of a clip's pictures is its background,
#   and what differs from it is the person. A thickly drawn κ(Ω(s)) is compared with that
#   silhouette. Its gradient reaches Φ through Ω, but not Ω's weights.
# - `puppet`: a picture that we paint ourselves. An unpaired pose $u$ is given the depths that Λ says
#   it has, limbs as thick as silhouettes say (below), the colours of a picture along the limbs that Ω
#   saw in it, and a background from the medians. Nothing of that is a label, but the pose of the
#   puppet is known, for we chose it.
# - `distil`: on the same puppets Λ learns to lift what Ω sees, errors and all, as it lifts $u$.
# - `side`: for every pose there is a twin, the same stick figure with left and right exchanged.
#   Silhouettes cannot tell them apart, but poses can where the camera looks down. A small prior learns
#   this from the unpaired poses, and all pictures of a clip decide together which twin each shows.
#
# A puppet seen from the front looks much like its twin seen from behind, so a squared error would
# teach Φ the mean of the two: a body without sides. The loss is that of a mixture, with $\tilde u$
# for the twin, $\pi$ for the share of the right naming and $\sigma$ for the accuracy of Ω:
#
# $$
# \begin{aligned}
# r &= \frac{\pi\, e^{-\lVert y - u \rVert^2 / 2\sigma^2}}
#     {\pi\, e^{-\lVert y - u \rVert^2 / 2\sigma^2} + (1 - \pi)\, e^{-\lVert y - \tilde u \rVert^2 / 2\sigma^2}}, \\[1ex]
# \mathcal{L}_{puppet} &= r\, \ell(u) + (1 - r)\, \ell(\tilde u),
# \end{aligned}
# $$ (eq-puppet)
#
# where $y = \Omega(s)$ for the puppet's skeleton image $s$ and
# $\ell(u) = \lVert y - u \rVert^2 + \lVert s - \kappa(u) \rVert^2$. No gradient flows through $r$.
# With `extras.puppet_forgiving` below 1, $r = 1$ from that share of the steps on: Φ must then find out
# which way a body faces. [When it goes wrong](09_diagnosis.ipynb) says when it can.
#
# The thickness of limbs must not be learnt from poses that are still wrong. So it is measured before
# the first step, from sets alone. Let $S$ be the silhouettes and $\kappa_g(u)$ the drawing of an
# unpaired pose with one $\gamma$ for each limb, made solid. Then
#
# $$
# g = \operatorname*{arg\,min}_g \sum_f \lvert f \rvert^2 \bigl( P_S(f) - P_g(f) \bigr)^2,
# \qquad P(f) = \operatorname{E} \lvert \mathcal{F}[\cdot](f) \rvert^2,
# $$ (eq-thickness)
#
# over frequencies $f$: a mean power spectrum does not know where a body stands, but thin limbs have
# finer outlines than thick ones. Limbs that mirror each other share one $\gamma$.

# %% tags=["hide-input"]
show_source(losses.puppet_loss, puppets.draw_puppets)

# %% tags=["hide-input"]
show_source(thickness.edge_spectrum, thickness.fit_thickness)

# %% tags=["hide-input"]
show_source(losses.silhouette_loss, losses.distillation_loss, sides.side_loss, sides.clip_log_odds)

# %% [markdown]
# ## One step
#
# Each step draws a batch of unpaired poses $u$ and a batch of pictures $x$:
#
# 1. κ draws $w = \kappa(u)$, and Ω learns to read it.
# 2. Puppets are painted in the poses $u$; Φ and Ω learn to find them, and Λ to lift what Ω saw.
# 3. Φ turns the pictures into $s$; $D$ takes its own step on $w$ and $s$, then judges $s$.
# 4. Ω reads $y$ off $s$; $s$ is compared with $\kappa(y)$ and with the silhouette, and its sides with
#    what the clip decided.
# 5. One step down for Φ and Ω together; averaged copies of them follow slowly, and are what is kept.
#
# In the variant `selfpose`, 3 and 4 happen at every second step. In the variant `paper` there is no
# puppet, no silhouette and no side, and Λ learns at the same time, from the terms of the cycle on $y$.
#
# The loop in full, with `view` for the pictures $x$:

# %% tags=["hide-input"]
show_source(train.train_pictures)

# %% [markdown]
# The additions of this step, and D's own step:

# %% tags=["hide-input"]
show_source(ExtraTerms.puppet_terms, ExtraTerms.picture_terms, train.critic_step)

# %% [markdown]
# Ω has had a head start on drawings by then:

# %% tags=["hide-input"]
show_source(train.train_regressor)

# %% [markdown]
# Before all pictures, Λ is trained by the rotation cycle ([](03_rotation_cycle)) and the flow prior
# ([](04_flow_prior)). Its five terms, summed with their weights:

# %% tags=["hide-input"]
show_source(train.train_lifting, train.lifting_terms, train.bone_weight)

# %% [markdown]
# The weight of $\mathcal{L}_{bl}$ starts at zero and rises later. The bone-length term cannot tell
# a pose from its depth flip; strong from the first step, it freezes whatever depth signs chance
# gave, joint by joint, before the prior can decide. The paper does not mention this; the variant
# `early_bl` of [the ablations](07_ablations) shows what it does to the error.
#
# ## A tiny example with shapes
#
# One batch through the three networks, untrained and small:

# %%
small = {"data.n_unlabelled": 320, "data.n_test": 16, "pictures.batch": 5}
plain = {"pictures.augment": False, "extras.swap_background": False}
tiny = Config.for_run(preset="smoke", overrides=small | plain)
demo = DataChoice(name="embedded").load(tiny, progress=False)
untrained = train.build_pipeline(demo, tiny)
predicted = untrained.predict(demo.test.images[:4])
print("picture x               ", tuple(demo.test.images[:4].shape))
print("skeleton image s = Φ(x) ", tuple(predicted.skeleton_image.shape))
print("2D pose y = Ω(s), pixels", tuple(predicted.pose_2d.shape))
print("3D pose v, from Λ(y)    ", tuple(predicted.pose_3d.shape))
print("elevation α, from Λ(y)  ", tuple(predicted.elevation.shape))

# %% [markdown]
# Five pictures, and the puppets that are painted from them with poses of other people. The limbs'
# colours are read along the *true* joints here, since these networks are untrained; in the training
# they are read along Ω's. Their thickness is the one of {eq}`eq-thickness`.

# %% mystnb={"figure": {"caption": "Above: pictures. Below: puppets in their colours, posed as unpaired poses, before backgrounds of other cameras.", "name": "fig-puppets"}, "image": {"alt": "Two rows of five small pictures: generated people above, and below figures made of round limbs in the same colours and other poses."}} tags=["hide-input"]
draw = torch.Generator().manual_seed(seed)
pictures = PictureDraws(demo, tiny, untrained.device)
averaged = nn.ModuleDict({"phi": untrained.phi, "omega": untrained.omega})
extras = ExtraTerms(untrained, averaged, pictures, tiny)
extras.begin(Step(stage="demo", number=0, of=1, generator=draw))
view, u = pictures.draw_images(draw), pictures.draw_poses(draw)
seen = demo.ceiling.poses_2d[view.rows] / demo.image_size
columns = torch.cat([view.image, extras.paint(view, seen, u, draw)], dim=-2)
picture_row((127.5 * (columns + 1)).to(torch.uint8), height=2.9)

# %% [markdown]
# ## The run
#
# A finished run of the same parameters is read back, a killed one continues from its checkpoint;
# nothing is ever overwritten.

# %%
config = page.config()
dataset = page.data.load(config)
record = run_experiment(
    config, out=out, data=page.data, dataset=dataset, experiment=experiment, label=label or None
)
pipeline = load(f"{out}/{WEIGHTS}")
history = read_history(out)

# %% tags=["hide-input"]
linked_groups(
    {f"{record['dataset']}, {record['preset']}, {record['variant']}": [record]},
    {
        "pictures": "counts.unlabelled",
        "unpaired poses": "counts.unpaired",
        "test pictures": "counts.test",
        "seconds": "duration_s",
    },
    first="this run",
    digits=0,
)

# %% [markdown]
# ## Did it learn?
#
# The first thing to look at is never the loss. For Λ it is the error beside the error *were every
# depth flipped*: if the second is the lower one, the signs froze the wrong way. For Φ it is the
# alignment: the difference between the skeleton image and the drawing of the true pose of its own
# picture, beside that of a shuffled one. Equal lines mean that Φ draws plausible people that have
# nothing to do with the picture. (These curves use test labels; the training never does. They are
# drawn from this run's history, which lies beside its record.)

# %% mystnb={"figure": {"caption": "Curves of this run. The terms are weighted as in the total.", "name": "fig-training-curves"}, "image": {"alt": "Learning curves of the training: losses, the error of the lifted poses beside their depth-flipped twins, alignment with own and shuffled pictures, and 2D errors."}} tags=["hide-input"]
PANELS = {
    "images": {
        "the game": {"critic": "loss of D", "D": "loss of Φ", "margin": "margin"},
        "alignment": {"alignment_own": "own", "alignment_shuffled": "shuffled"},
        "2D error, % of the picture": {
            "error_2d_percent": "strict",
            "error_2d_percent_side_tolerant": "sides forgiven",
        },
    },
    "lifting": {
        "consistency": {"2D": "2D", "3D": "3D", "def": "def"},
        "prior and bones": {"NF": "NF", "bl": "bl"},
        "P-MPJPE, mm": {"p_mpjpe_mm": "as it is", "flipped_p_mpjpe_mm": "depths flipped"},
    },
}
shown = "images" if "images" in history else "lifting"
learning_curves({"this run": history[shown]}, PANELS[shown])

# %% tags=["hide-input"]
names = {
    "p_mpjpe_mm": "P-MPJPE, mm",
    "n_mpjpe_mm": "N-MPJPE, mm",
    "error_2d_percent": "2D error, %",
    "error_2d_percent_side_tolerant": "2D, sides forgiven, %",
    "facing_right_percent": "facing right, %",
}
places = {"this run": "metrics"}
places |= {b.replace("_", " "): f"baselines.{b}" for b, v in record["baselines"].items() if v}
number_table(
    {
        row: {title: field_value(record, f"{place}.{name}") for name, title in names.items()}
        for row, place in places.items()
    },
    first="from pictures" if input == "images" else "from true 2D poses",
    records=[record],
)

# %% [markdown]
# *flat* is the run's own 2D pose with all depths equal, *mean pose* the best constant, *supervised*
# the same networks trained for this preset's time with the labels that the method never sees.
# P-MPJPE aligns by a proper rotation and a scale; mirrored poses are not forgiven.

# %% [markdown]
# ## Look at the poses
#
# The slider runs over the test pictures from the best to the worst 3D error. White lines are the
# true 2D pose. From pictures, and where puppets took part, the 2D pose is the [expected
# one](04_flow_prior.ipynb) given what $\Omega$ read, {eq}`eq-expected`, and the 3D pose the
# expected shape, {eq}`eq-shape`.

# %% tags=["hide-input"]
prediction = predict_test(pipeline, dataset.test)
error = errors(prediction, dataset.test, dataset.skeleton)["p_mpjpe_mm"]
prediction_slider(prediction, dataset.test, dataset.skeleton, error, unit="mm P-MPJPE")

# %% mystnb={"figure": {"caption": "3D error of each joint after Procrustes alignment.", "name": "fig-training-joints"}, "image": {"alt": "Bars of the mean 3D error of each joint on the test set."}} tags=["hide-input"]
joint_bars(record["by_joint"], metric="p_mpjpe_mm", ylabel="P-MPJPE, mm")

# %% [markdown]
# ## What this preset can and cannot show
#
# `quick` trains small networks for some minutes on 64-pixel pictures. That is enough to see the
# skeletons settle on the people, arms included, and Λ learn depth from the cycle. It is not enough
# to see which foot stands nearer: which way a person faces stays uncertain (`facing right` in the
# table, where a coin gives a half). Longer trainings lower the 2D error and leave facing where it
# is ([results](06_results)); what moves it stands under [when it goes wrong](09_diagnosis).
#
# ## What goes wrong, and how to see it
#
# | symptom | cause | cure |
# | --- | --- | --- |
# | alignment: own = shuffled | Φ ignores the picture; the game alone does not tie it | the terms `puppet` and `sil` |
# | sides forgiven error falls, strict stays | twins are mixed up | longer training, more pixels; `side` |
# | flipped P-MPJPE below P-MPJPE | bone term too strong too early | `lifting.bone_start`, `lifting.bone_ramp` |
# | margin of D grows without end | D wins | larger `pictures.r1`, smaller `pictures.lr_d` |
# | spread falls towards 0 | one skeleton for all pictures | weaker 3D terms into Φ, D that sees the batch |
# | elevation of the wrong sign | the prior did not decide | more flow steps, noise on its poses |
#
# ## Exercise
#
# Train without puppets: run the papermill command of [the page on reruns](../book/rerun) with
# `-p input images -y "overrides: {terms.puppet: 0, terms.distil: 0, extras.picture_every: 1}"` and a folder of
# its own. Before you look: which of the curves above will tell you first that it is the weaker run?
#
# ```{dropdown} Solution
# The spread and the 2D error. The losses of the game look as healthy as before, and the two alignment
# curves still part, since the silhouette pulls the skeleton onto the person; but arms that no
# silhouette shows stay where the mean arm is.
# ```
#
# ## Summary
#
# One stage for the prior, one for Λ, one for sides, one for Ω's head start, one for the game. Watch the
# monitors, not the losses. Each number of the two tables leads to this run's record, and the next pages gather the
# records of all runs.

# %% tags=["hide-input"]
page.provenance_box([record])
