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
# **Goal.** What does each term buy? Leave each out and measure.
#
# **In the paper.** Its ablation groups three terms as $\mathcal{L}_{base}$ without naming them and
# adds the others one by one {cite}`sosa2023self`. In its line of work the base is the geometric core,
# $\mathcal{L}_{2D} + \mathcal{L}_{3D} + \mathcal{L}_{def}$; that is our reading, and because each of
# Λ's five terms is also left out on its own, the reading does not matter. The terms of Φ, Ω and D take
# longer to train: `experiments/ablation_images.yaml` leaves those out under the preset `standard`.
#
# **Time and device.** Seconds: this page reads records. The runs behind it took what the table's
# last column says.

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

from selfpose.config import BASE_TERMS, LIFTING_TERMS, Config
from selfpose.figures import error_bars
from selfpose.metrics import procrustes, root_centred
from selfpose.pages import number_table, show_source
from selfpose.pipeline import load
from selfpose.plots import pose_row_3d
from selfpose.records import WEIGHTS, read_records
from selfpose.runs import DataChoice
from selfpose.training import lifting_terms
from selfpose.widgets import figure_slider
from selfpose.workflow import read_experiments

experiments = {e.name: e for e in read_experiments()}
records = [r for r in read_records(runs) if r["experiment"] == "ablation_lifting"]

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
    name: {"left out": ", ".join(variants[name].get("drop", [])) or "nothing"}
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
    f"In these runs, leaving out **{', '.join(variants[worst]['drop'])}** costs most: "
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
# **Summary.** One term at a time, on the same seed and data. The figure answers the question in
# `experiments/ablation_lifting.yaml`; `make experiments` runs it with several seeds.
