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
from experiments.notebooks import check_parameters

check_parameters(
    globals(),
    [
        *["experiment", "variant", "label", "data", "data_root", "data_train", "data_test"],
        *["preset", "input", "seed", "out", "overrides", "cache"],
    ],
)

# %% tags=["hide-input"]
import torch

from selfpose import imaging
from selfpose import losses
from selfpose.extras import puppets
from selfpose.extras import sides
from selfpose.extras import thickness
from selfpose.config import Config
from selfpose.evaluation.scores import errors, predict_test
from book.kit.figures import joint_bars, prediction_figure
from selfpose.extras.foreground import static_foreground
from selfpose.lifting import bone_weight, lifting_terms
from book.kit.pages import linked_table, number_table, show_source
from selfpose.model import load
from book.kit.plots import learning_curves, picture_row, use_style
from book.kit.provenance import commit_text, provenance_box
from book.kit.quotes import quoted
from experiments.records import WEIGHTS, read_history
from selfpose.run import DataChoice, run_experiment
from selfpose.training import build_pipeline
from book.kit.widgets import figure_slider

use_style()

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
# easiest consistent solution. The variant `selfpose` adds four terms, each with its own name, each
# off in `paper`:
#
# - `sil`: the camera is taken to stand still, so the median of a clip's pictures is its background,
#   and what differs from it is the person. A thickly drawn κ(Ω(s)) is compared with that
#   silhouette. Its gradient reaches Φ through Ω, but not Ω's weights.
# - `puppet`: a picture that we paint ourselves. An unpaired pose $u$ is given the depths that Λ says
#   it has, limbs as thick as silhouettes say (below), the colours that a picture shows along the limbs
#   that Ω saw in it, and a background that the medians gave. Nothing of that is a label, but the pose of
#   the puppet is known, for we chose it.
# - `distil`: on the same puppets Λ learns to lift what Ω sees, errors and all, as it lifts $u$.
# - `side`: for every pose there is a twin, the same stick figure with left and right exchanged.
#   Silhouettes cannot tell them apart, but poses can where the camera looks down. A small prior learns
#   this from the unpaired poses, and all pictures of a clip decide together which twin each shows.
#
# A puppet that is seen from the front looks much like its twin seen from behind, so a squared error
# would teach Φ the mean of the two: a body without sides. The loss is that of a mixture, with
# $\tilde u$ for the twin, $\pi$ for the share of the right naming and $\sigma$ for the accuracy of Ω:
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
# With `puppet_forgiving` below 1, $r = 1$ from that share of the steps on: Φ finds the joints, and must then
# find out which way a body faces. [When it goes wrong](09_diagnosis.ipynb) says when it can.
#
# How thick are the limbs of a puppet, and of the body that `sil` draws? Nobody says, and it must not be
# learnt from poses that are still wrong: thick limbs cover a silhouette best while they stand in the
# wrong place, and puppets with thick limbs hide their own joints. So it is measured before the first
# step, from sets alone. Let $S$ be the silhouettes and $\kappa_g(u)$ the drawing of an unpaired pose with
# one $\gamma$ for each limb, made solid. Then
#
# $$
# g = \operatorname*{arg\,min}_g \sum_f \lvert f \rvert^2 \bigl( P_S(f) - P_g(f) \bigr)^2,
# \qquad P(f) = \operatorname{E} \lvert \mathcal{F}[\cdot](f) \rvert^2,
# $$ (eq-thickness)
#
# over frequencies $f$ in cycles a padded picture, of which half the plane is enough: a mean power
# spectrum does not know where a body stands, and hardly which moments were taken, but thin limbs
# have finer outlines than thick ones. The factor lets outlines count beside bulk. The sum is
# divided by that of $\lvert f \rvert^2 P_S(f)^2$, limbs that mirror each other share one $\gamma$,
# and a small weight on the variance of $\log g$ keeps limbs that the spectrum says nothing of near
# the others.

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
# The code in full, with `view` for the pictures, `pose` for $u$ and `drawn` for $w$:

# %% mystnb={"code_prompt_show": "The whole stage, selfpose/imaging.py", "code_prompt_hide": "The whole stage, selfpose/imaging.py"} tags=["hide-cell"]
show_source(imaging.image_stage)

# %% [markdown]
# Λ is trained by the rotation cycle ([](03_rotation_cycle)) and the flow prior
# ([](04_flow_prior)). Its five terms, summed with their weights:

# %% tags=["hide-input"]
show_source(lifting_terms, bone_weight)

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
tiny = Config.for_run(preset="smoke", overrides={"n_unlabelled": 320, "n_test": 16, "batch": 8})
demo = DataChoice(name="embedded").load(tiny, progress=False)
untrained = build_pipeline(demo, tiny)
predicted = untrained.predict(demo.test.images[:4])
number_table(
    {
        "picture x": {"shape": str(tuple(demo.test.images[:4].shape))},
        "skeleton image s = Φ(x)": {"shape": str(tuple(predicted.skeleton_image.shape))},
        "2D pose y = Ω(s), pixels": {"shape": str(tuple(predicted.pose_2d.shape))},
        "3D pose v, from Λ(y)": {"shape": str(tuple(predicted.pose_3d.shape))},
        "elevation α, from Λ(y)": {"shape": str(tuple(predicted.elevation.shape))},
    },
    first="tensor",
)

# %% [markdown]
# Five pictures, and the puppets that are painted from them with poses of other people. The limbs'
# colours were read along the *true* joints here, since these networks are untrained; in the
# training they are read along Ω's. Their thickness is the one of {eq}`eq-thickness`, from all pictures.

# %% mystnb={"figure": {"caption": "Above: pictures. Below: puppets in their colours, posed as unpaired poses, before backgrounds of other cameras.", "name": "fig-puppets"}, "image": {"alt": "Two rows of five small pictures: generated people above, and below figures made of round limbs in the same colours and other poses."}} tags=["hide-input"]
draw = torch.Generator().manual_seed(seed)
front, scenes = static_foreground(demo.unlabelled.images, demo.unlabelled.sequence)
some = torch.arange(0, 320, 64) + 20  # one of each clip
x = demo.unlabelled.images[some].float() / 255
pose = demo.unpaired[some] / demo.image_size
gamma = thickness.fit_thickness(
    thickness.solid(front).float(),
    demo.unpaired / demo.image_size,
    demo.skeleton,
    start=600.0,
    generator=draw,
)
colour = puppets.sample_limb_colours(
    x,
    front[some, None].float() / 255,
    demo.ceiling.poses_2d[some] / demo.image_size,
    demo.skeleton,
    generator=draw,
)
figure, cover = puppets.draw_puppets(
    pose,
    torch.zeros_like(pose[..., 0]),
    puppets.vary_radius(puppets.half_brightness_radius(gamma), 5, generator=draw),
    colour,
    puppets.draw_light(5, generator=draw),
    demo.skeleton.bones,
    size=demo.image_size,
)
painted = cover * figure + (1 - cover) * scenes.roll(1, 0).float() / 255
columns = torch.cat([x, painted], dim=-2)
picture_row((255 * columns).to(torch.uint8), height=2.9)

# %% [markdown]
# ## The run
#
# A finished run of the same parameters is read back, a killed one continues from its checkpoint;
# nothing is ever overwritten.

# %%
config = Config.for_run(
    preset=preset,
    variant=variant,
    overrides={"input": input, "seed": seed, **overrides},
)
choice = DataChoice(
    name=data,
    data_root=data_root,
    data_train=data_train,
    data_test=data_test,
    cache=cache,
)
dataset = choice.load(config)
record = run_experiment(
    config, out=out, data=choice, dataset=dataset, experiment=experiment, label=label or None
)
pipeline = load(f"{out}/{WEIGHTS}")
history = read_history(out)


# %% tags=["hide-input"]
def told(field):
    """Words of this run's record."""
    return quoted(record, field, form="text", digits=0)


linked_table(
    {
        name: {"this run": value}
        for name, value in {
            "data": told("dataset"),
            "preset": told("preset"),
            "variant": told("variant"),
            "terms left out": ", ".join(config.drop) or "none",
            "pictures": told("counts.unlabelled"),
            "unpaired poses": told("counts.unpaired"),
            "test pictures": told("counts.test"),
            "seed": told("seed"),
            "commit": commit_text(record),
            "device": told("device"),
            "seconds": quoted(record, "duration_s", digits=0),
        }.items()
    },
    first="what",
    words=["this run"],
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
shown = "images" if "images" in history else "lifting"
rows = history[shown].reset_index().to_dict("records")
rows = [{k: v for k, v in row.items() if v == v} for row in rows]  # what was not measured: absent
panels = {
    "images": {
        "the game": ["critic", "D", "margin"],
        "alignment": {"alignment_own": "own", "alignment_shuffled": "shuffled"},
        "2D error, % of the picture": {
            "error_2d_percent": "strict",
            "error_2d_percent_side_tolerant": "sides forgiven",
        },
    },
    "lifting": {
        "consistency": ["2D", "3D", "def"],
        "prior and bones": ["NF", "bl"],
        "P-MPJPE, mm": {"p_mpjpe_mm": "as it is", "flipped_p_mpjpe_mm": "depths flipped"},
    },
}[shown]
present = {key for row in rows for key in row}
panels = {
    title: {k: (terms[k] if isinstance(terms, dict) else k) for k in terms if k in present}
    for title, terms in panels.items()
}
learning_curves(rows, {title: terms for title, terms in panels.items() if terms})

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
linked_table(
    {
        row: {t: quoted(record, f"{place}.{n}") for n, t in names.items()}
        for row, place in places.items()
    },
    first="from pictures" if input == "images" else "from true 2D poses",
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
order = error.argsort()
ranks = torch.linspace(0, len(order) - 1, 9).round().long().tolist()


def figure_of_rank(rank):
    index = int(order[rank])
    return prediction_figure(
        dataset.test.images[index],
        prediction,
        index,
        dataset.skeleton,
        truth_2d=dataset.test.poses_2d[index],
        truth_3d=dataset.test.poses_3d[index],
    )


figure_slider(
    figure_of_rank,
    ranks,
    label="rank of the picture",
    format=lambda rank: f"{rank + 1} of {len(order)}: {float(error[order[rank]]):.0f} mm",
    describe=lambda rank: (
        f"Picture, prediction and true 3D pose of test picture {rank + 1} of {len(order)} in order "
        f"of error; P-MPJPE {float(error[order[rank]]):.0f} mm."
    ),
)

# %% mystnb={"figure": {"caption": "3D error of each joint after Procrustes alignment.", "name": "fig-training-joints"}, "image": {"alt": "Bars of the mean 3D error of each joint on the test set."}} tags=["hide-input"]
joint_bars(record["by_joint"], metric="p_mpjpe_mm", ylabel="P-MPJPE, mm")

# %% [markdown]
# ## What this preset can and cannot show
#
# `quick` trains small networks for some minutes on 64-pixel pictures. That is enough to see the
# skeletons settle on the people, arms included, and Λ learn depth from the cycle. It is not enough
# to see on a picture of 64 pixels which foot stands nearer: which way a person faces stays uncertain
# (`facing right` in the table, where a coin gives a half), and the supervised networks, trained as
# briefly, do not know it either. Longer trainings with these settings lower the 2D error and leave facing where it
# is ([results](06_results) has their records); what moves it stands under [when it goes wrong](09_diagnosis).
#
# ## What goes wrong, and how to see it
#
# | symptom | cause | cure |
# | --- | --- | --- |
# | alignment: own = shuffled | Φ ignores the picture; the game alone does not tie it | the terms `puppet` and `sil` |
# | sides forgiven error falls, strict stays | twins are mixed up | longer training, more pixels; `side` |
# | flipped P-MPJPE below P-MPJPE | bone term too strong too early | `bone_start`, `bone_ramp` |
# | margin of D grows without end | D wins | larger `r1`, smaller `lr_d` |
# | spread falls towards 0 | one skeleton for all pictures | weaker 3D terms into Φ, D that sees the batch |
# | elevation of the wrong sign | the prior did not decide | more flow steps, noise on its poses |
#
# ## Exercise
#
# Train without puppets: run the papermill command of [the page on reruns](../book/rerun) with
# `-p input images -y "overrides: {drop: [puppet, distil], picture_every: 1}"` and a folder of its own. Before you
# look: which of the curves above will tell you first that it is the weaker run?
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
provenance_box(record)
