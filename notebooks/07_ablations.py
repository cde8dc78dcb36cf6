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
# # Ablations
#
# **Goal.** What does each term and each choice buy? Leave it out, or change it, and measure.
#
# **In the paper.** Its ablation groups three terms as $\mathcal{L}_{base}$ without naming them and
# adds the others one by one {cite}`sosa2023self`. In its line of work the base is the geometric core,
# $\mathcal{L}_{2D} + \mathcal{L}_{3D} + \mathcal{L}_{def}$; that is our reading, and because each of
# Λ's five terms is also left out on its own, the reading does not matter.
#
# **Time and device.** Seconds: this page reads records. `make book` runs the lifting ablation alone;
# all other questions take longer, and `make experiments` or `selfpose campaign` runs them. Where this
# build has no runs of a question, its answer comes from the committed records, and says so.

# %% tags=["parameters"]
data = "embedded"
data_root = ""
data_train = ""
data_test = ""
preset = "quick"
seed = 0
cache = "build/cache"
runs = "build/embedded-quick/runs"

# %% tags=["hide-input"]
from selfpose.notebooks import check_parameters

check_parameters(
    globals(),
    ["data", "data_root", "data_train", "data_test", "preset", "seed", "cache", "runs"],
)

# %% tags=["hide-input"]
from pathlib import Path

import torch

from selfpose.answers import ablation_figure, answer_rows, answer_sentence, describe, records_for
from selfpose.config import BASE_TERMS, LIFTING_TERMS, Config
from selfpose.figures import error_bars
from selfpose.lifting import lifting_terms
from selfpose.metrics import procrustes, root_centred
from selfpose.pages import number_table, show_source
from selfpose.pipeline import load
from selfpose.plots import pose_row_3d
from selfpose.records import WEIGHTS, published_records, read_records
from selfpose.runs import DataChoice
from selfpose.widgets import figure_slider
from selfpose.workflow import read_experiments

experiments = {e.name: e for e in read_experiments()}
built, committed = read_records(runs), published_records()
records = [r for r in built if r["experiment"] == "ablation_lifting"]

# %% [markdown]
# ```{prf:definition} Ablation
# :label: def-ablation
#
# The same run, from the same seed on the same data, with one part left out. Its effect is the
# difference of the errors; one seed gives an anecdote, several give a spread.
# ```
#
# The total that Λ is trained by, with weights $w$ that are 1 unless a record says otherwise:
#
# $$
# \mathcal{L}_\Lambda = w_{2D}\mathcal{L}_{2D} + w_{3D}\mathcal{L}_{3D} + w_{def}\mathcal{L}_{def}
#   + w_{NF}\mathcal{L}_{NF} + w_{bl}\mathcal{L}_{bl}
# $$ (eq-lifting-total)
#
# Leaving a term out sets its weight to zero, nothing else.

# %% tags=["hide-input"]
show_source(lifting_terms, Config.weight)

# %% [markdown]
# A tiny example: which weights does an ablation leave?

# %%
number_table(
    {
        name: {term: Config(drop=drop).weight(term) for term in LIFTING_TERMS}
        for name, drop in {
            "full": (),
            "without NF": ("NF",),
            "base only": tuple(t for t in LIFTING_TERMS if t not in BASE_TERMS),
        }.items()
    },
    first="weights",
)

# %% [markdown]
# ## Lifting: each term left out

# %% tags=["hide-input"]
variants = experiments["ablation_lifting"].variants
of = {v: [r for r in records if r["variant"] == v] for v in variants}


def mean(values):
    return sum(values) / len(values) if values else None


columns = {
    "P-MPJPE, mm": "p_mpjpe_mm",
    "with reflection, mm": "p_mpjpe_reflection_mm",
    "N-MPJPE, mm": "n_mpjpe_mm",
    "elevation, deg": "elevation_mean_deg",
}
rows = {
    name: {"changes": describe(variants[name], name)}
    | {title: mean([r["metrics"][key] for r in found]) for title, key in columns.items()}
    | {"runs": len(found), "seconds a run": mean([r["duration_s"] for r in found])}
    for name, found in of.items()
}
number_table(rows, first="variant")

# %% mystnb={"figure": {"caption": "Lifting from true 2D poses with terms left out. Dots are runs, bars their mean; the line is the flat pose, which knows no depth at all.", "name": "fig-ablation-lifting"}, "image": {"alt": "Bars of P-MPJPE for the full method and for the method without each of its five lifting terms, beside the flat pose's error."}} tags=["hide-input"]
flat = [r["baselines"]["flat"]["p_mpjpe_mm"] for r in records]
error_bars(
    {name: [r["metrics"]["p_mpjpe_mm"] for r in found] for name, found in of.items()},
    xlabel="P-MPJPE, mm (proper rotation)",
    references={"flat pose": sum(flat) / len(flat)} if flat else None,
)

# %% tags=["hide-input"]
from IPython.display import Markdown

full = rows["full"]["P-MPJPE, mm"] if rows.get("full") else None
effects = {
    name: row["P-MPJPE, mm"] - full
    for name, row in rows.items()
    if name != "full" and full is not None and row["P-MPJPE, mm"] is not None
}
worst = max(effects, key=effects.get) if effects else None
counts = sorted({row["runs"] for row in rows.values()})
Markdown(
    f"In these runs, **{worst}** ({describe(variants[worst], worst)}) costs most: "
    f"{effects[worst]:+.0f} mm of P-MPJPE. Runs behind each row: {', '.join(map(str, counts))}. "
    "A difference of a few millimetres on one seed is not a finding."
    if worst
    else "Not enough runs for a comparison: see the table for what is missing."
)

# %% [markdown]
# ## The pose that each ablation breaks
#
# Pick a variant and see the same test poses lifted by it, aligned with the truth, which stands at
# the left end of the slider.

# %% tags=["hide-input"]
present = [name for name, found in of.items() if found]
config = Config.from_dict(of[present[0]][0]["parameters"])
dataset = DataChoice(
    name=data,
    data_root=data_root,
    data_train=data_train,
    data_test=data_test,
    cache=cache,
).load(config)
chosen = torch.linspace(0, len(dataset.test) - 1, 4).round().long()
truth = dataset.test.poses_3d[chosen]


def figure_of_variant(name):
    root = dataset.skeleton.root
    if name == "truth":
        poses = [root_centred(pose, root) for pose in truth]
        return pose_row_3d(poses, ["true pose"] * len(poses), dataset.skeleton)
    pipeline = load(Path(runs) / of[name][0]["path"] / WEIGHTS)
    lifted = procrustes(pipeline.predict_from_poses(dataset.test.poses_2d[chosen]).pose_3d, truth)
    poses, titles = [], []
    for k in range(len(chosen)):
        distance = (lifted[k] - truth[k]).norm(dim=-1).mean()
        poses += [root_centred(lifted[k], root)]
        titles += [f"{float(distance):.0f} mm"]
    return pose_row_3d(poses, titles, dataset.skeleton)


figure_slider(
    figure_of_variant,
    ["truth", *present],
    start=1,
    label="variant",
    describe=lambda name: (
        "Four true test poses."
        if name == "truth"
        else f"Four test poses lifted by the variant {name}, aligned with the truth, with the "
        "error of each in millimetres."
    ),
)

# %% [markdown]
# ## One question after the other
#
# Each answer below is a table, a figure and a sentence that is made from the numbers, with the number
# of seeds behind it. A difference is *beyond the spread of seeds* if Welch's t-test says so at 5 % for
# all comparisons of that answer together (Bonferroni). Fewer than three seeds are an anecdote. All seeds
# share one data set: the test says whether training again would show the difference, not whether other
# people and motions would. Where the variants are no numbers, the first is what the others are compared
# with.

# %% tags=["hide-input"]
from IPython.display import display


def evidence(name):
    return records_for(experiments[name], built, committed, data=data, preset=preset)


def show_answer(name):
    found = evidence(name)
    display(number_table(answer_rows(found), first=name))
    display(Markdown(answer_sentence(found)))


# %% [markdown]
# ### How far does the geometric core come?
#
# The paper's own order: first $\mathcal{L}_{base}$, then the prior on 2D poses, then the bone lengths.

# %% tags=["hide-input"]
show_answer("build_up")

# %% mystnb={"figure": {"caption": "Lifting from true 2D poses, built up term by term.", "name": "fig-build-up"}, "image": {"alt": "Bars of P-MPJPE for the geometric core, with the flow prior, and with the bone lengths too."}} tags=["hide-input"]
ablation_figure(evidence("build_up"))

# %% [markdown]
# ### Is it worth learning the camera's elevation?
#
# It can be drawn from an assumed distribution; here Λ predicts it, and the cycle takes its distribution
# from the batch. The variant `fixed` is told the truth: it assumes N(10°, 10°), and our studio draws its
# cameras from that very distribution (cut off at −15° and 40°). On pictures of unknown cameras nobody has
# this number, so `fixed` is the best case of assuming. `fixed_wrong` assumes N(25°, 5°).

# %% tags=["hide-input"]
show_answer("elevation")

# %% mystnb={"figure": {"caption": "Lifting with the elevation learnt, with the true distribution assumed, and with a wrong one.", "name": "fig-elevation"}, "image": {"alt": "Bars of P-MPJPE with learnt elevation and with two fixed distributions of it."}} tags=["hide-input"]
ablation_figure(evidence("elevation"))

# %% [markdown]
# ### How far away is the camera assumed to be?
#
# Δ sets the perspective: with a large Δ, the camera sees the person almost without it. The paper takes 10.

# %% tags=["hide-input"]
show_answer("sweep_delta")

# %% mystnb={"figure": {"caption": "Lifting over the assumed depth Δ.", "name": "fig-sweep-delta"}, "image": {"alt": "P-MPJPE over the depth of the camera, each run a dot."}} tags=["hide-input"]
ablation_figure(evidence("sweep_delta"))

# %% [markdown]
# ### How much of a 2D pose should the prior see?
#
# The flow works on the first principal components of 2D poses. Few leave out what tells a plausible pose;
# many let it model noise.

# %% tags=["hide-input"]
show_answer("sweep_flow")

# %% mystnb={"figure": {"caption": "Lifting over the number of dimensions that the flow prior sees.", "name": "fig-sweep-flow"}, "image": {"alt": "P-MPJPE over the number of principal components, each run a dot."}} tags=["hide-input"]
ablation_figure(evidence("sweep_flow"))

# %% [markdown]
# ### How many unpaired poses are enough?
#
# All that the method knows of the human body comes from this set. The variant `all` takes the number of
# the preset, which stands in its row.

# %% tags=["hide-input"]
show_answer("sweep_unpaired")

# %% mystnb={"figure": {"caption": "Lifting over the size of the unpaired set.", "name": "fig-sweep-unpaired"}, "image": {"alt": "P-MPJPE over the number of unpaired poses on a logarithmic axis, each run a dot."}} tags=["hide-input"]
ablation_figure(evidence("sweep_unpaired"))

# %% [markdown]
# ### What if the unpaired poses show other people?
#
# Pictures and tests stay those of motion capture; the unpaired poses are generated ones, of other bodies
# in other motions. The bone lengths stay.

# %% tags=["hide-input"]
show_answer("domain_gap")

# %% mystnb={"figure": {"caption": "Lifting of motion capture with its own and with generated unpaired poses.", "name": "fig-domain-gap"}, "image": {"alt": "Bars of P-MPJPE with unpaired poses of the same and of another data set."}} tags=["hide-input"]
ablation_figure(evidence("domain_gap"))

# %% [markdown]
# ### Pictures: what does each term and each addition buy?
#
# From here on the runs start from pictures. Three measures: the 2D error with the left and right of each
# limb forgiven, the share of pictures on which the person faces the right way, and the 3D error, which
# needs both.

# %% tags=["hide-input"]
show_answer("ablation_images")

# %% mystnb={"figure": {"caption": "Training from pictures with parts left out or changed. The dotted line is the full variant.", "name": "fig-ablation-images"}, "image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for the full method, for each part left out, and for the variant paper."}} tags=["hide-input"]
ablation_figure(evidence("ablation_images"))

# %% [markdown]
# Some rows change more than the one part that names them. Without puppets, `drop_puppet` has nothing to
# distil from and takes pictures at every step instead of every second one, and it keeps the small weight
# of D that suits the full method; `drop_puppet_strong_D` gives D the weight 1. `one_channel` has no left
# and right to exchange, so it lacks `side` too. `paper` changes many parts at once. What these rows lose
# is not the share of one part.

# %% [markdown]
# ### How strongly should Ω redraw?
#
# λ weighs ‖κ(Ω(s)) − s‖², which asks of Φ to draw what Ω can read. The paper takes 0.1.

# %% tags=["hide-input"]
show_answer("sweep_lambda")

# %% mystnb={"figure": {"caption": "Training from pictures over the weight λ of redrawing.", "name": "fig-sweep-lambda"}, "image": {"alt": "Three panels over lambda: 2D error, facing right and P-MPJPE, each run a dot."}} tags=["hide-input"]
ablation_figure(evidence("sweep_lambda"))

# %% [markdown]
# ### How thin should the lines be?
#
# γ sets the width of the limbs in skeleton images: large is thin. The paper does not state it.

# %% tags=["hide-input"]
show_answer("sweep_gamma")

# %% mystnb={"figure": {"caption": "Training from pictures over γ.", "name": "fig-sweep-gamma"}, "image": {"alt": "Three panels over gamma: 2D error, facing right and P-MPJPE, each run a dot."}} tags=["hide-input"]
ablation_figure(evidence("sweep_gamma"))

# %% [markdown]
# ### How much does the background matter?
#
# The same people before nothing, one colour, shapes, and clutter.

# %% tags=["hide-input"]
show_answer("background")

# %% mystnb={"figure": {"caption": "Training from pictures with four kinds of background.", "name": "fig-background"}, "image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for each kind of background."}} tags=["hide-input"]
ablation_figure(evidence("background"))

# %% [markdown]
# ## What goes wrong, and how to see it
#
# An ablation made in a regime where the *full* method fails says nothing: with the bone term strong
# from the start, random depth signs hide every other effect. So look at the full variant first: is
# it clearly below the flat pose? Only then compare.
#
# ```{admonition} Exercise
# :class: tip
# The column *with reflection* forgives mirror images. For which variant should the two columns
# differ most, and what would that mean?
# ```
#
# ```{dropdown} Solution
# For one that leaves depth signs undecided: the consistency terms and the bone lengths accept a pose
# and its depth flip alike, only the prior on 2D poses can tell them apart, by what the pose looks
# like from the side. If the columns agree, the variant's poses are wrong in another way than by
# flipping as a whole: joint by joint, or by being flat.
# ```
#
# **Summary.** One change at a time, on the same seed and data. Each question is a file in `experiments/`;
# `make experiments` runs all with several seeds, and [one command](../book/rerun) runs a single cell
# of a table again.
