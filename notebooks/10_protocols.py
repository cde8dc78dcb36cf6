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
# # One name, many numbers
#
# **Goal.** Know what a printed P-MPJPE, N-MPJPE, PCK or AUC can mean, and see on one set of
# predictions how far the meanings lie apart.
#
# **In the paper.** It compares on Human3.6M {cite}`ionescu2014human36m` and MPI-INF-3DHP
# {cite}`mehta2017monocular`, by metrics whose definitions differ from code to code
# {cite}`sosa2023self`. The variants on this page are those of public evaluation code. Which one stands
# behind a table is often not said.
#
# **Time and device.** Seconds on one CPU core: this page trains nothing.

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
import dataclasses

import pandas as pd
import torch

from book.kit import plots
from book.kit.page import start_page
from book.kit.tables import number_table, show_source
from book.kit.widgets import figure_slider
from experiments.records import published_weights
from selfpose import metrics
from selfpose.camera import azimuth_rotation
from selfpose.evaluation import protocols
from selfpose.evaluation.protocols import PoseResults, side_by_side, with_parts
from selfpose.model import load

page = start_page("10_protocols", globals())
dataset = page.data.load(page.config({"data.n_unlabelled": 64}, input="poses"))
skeleton, test = dataset.skeleton, dataset.test

# %% [markdown]
# ## One set of predictions
#
# The published lifting network, on the true 2D poses of the test set. One picture does not tell size,
# so its poses have no unit: one factor for the whole set makes millimetres of them, and is kept for
# everything below.

# %% tags=["hide-input"]
found = [published_weights("lifting", "selfpose", name) for name in (data, "embedded", "cmu")]
weights, record = next(pair for pair in found if pair)
pipeline = load(weights)
pixels = test.poses_2d * (pipeline.architecture.image_size / dataset.image_size)
unscaled = PoseResults(
    skeleton=skeleton,
    predicted=pipeline.predict_from_poses(pixels).pose_3d,
    target=test.poses_3d,
    unit="free",
    action=test.activity,
    sequence=tuple(str(number) for number in test.sequence.tolist()),
    number=torch.arange(len(test)),
)
results = dataclasses.replace(unscaled, predicted=unscaled.in_mm, unit="mm")
counts = {
    "poses": len(test),
    "joints": skeleton.n_joints,
    "actions": len(set(results.action)),
    "sequences": len(set(results.sequence)),
}
number_table({"test set": counts}, records=[record])

# %% [markdown]
# ## Two scales called N
#
# ```{prf:definition} N-MPJPE
# :label: def-n-mpjpe
#
# MPJPE {cite}`rhodin2018learning` after the root-centred prediction $p$ was multiplied by the scale
# that brings it nearest, in the sum of squares, to the root-centred truth $g$:
#
# $$
# s = \frac{\langle p, g \rangle}{\langle p, p \rangle}
# \qquad\text{and not}\qquad
# s' = \frac{\lVert g \rVert}{\lVert p \rVert} \;\ge\; s .
# $$ (eq-two-scales)
# ```
#
# The second scale gives the prediction the size of the truth; so does the evaluation code of
# {cite:t}`wandt2022elepose`. The two agree for a perfect pose and part with the angle between $p$ and
# $g$: $s / s'$ is its cosine. So the least-squares scale shrinks what is wrong.

# %% tags=["hide-input"]
show_source(metrics.scale_to_target, metrics.ratio_scale_to_target)

# %% [markdown]
# A tiny example: one true pose, turned about the vertical by some angle, as the prediction.

# %%
pose = metrics.root_centred(test.poses_3d[:1].double(), skeleton.root)
rows = {}
for angle in (0.0, 30.0, 60.0, 90.0):
    turned = pose @ azimuth_rotation(torch.deg2rad(torch.tensor(angle, dtype=torch.float64))).mT
    least = metrics.scale_to_target(turned, pose, root=skeleton.root)
    ratio = metrics.ratio_scale_to_target(turned, pose, root=skeleton.root)
    rows[f"{angle:.0f}°"] = {
        "size after least squares": float(least.norm() / pose.norm()),
        "size after ratio of norms": float(ratio.norm() / pose.norm()),
        "N-MPJPE, least squares": float(metrics.mpjpe(least, pose, root=skeleton.root)),
        "N-MPJPE, ratio of norms": float(metrics.mpjpe(ratio, pose, root=skeleton.root)),
        "P-MPJPE": float(metrics.p_mpjpe(turned, pose)),
    }
number_table(rows, digits=2, first="turned by")

# %% [markdown]
# ## Three alignments called Procrustes
#
# [The results page](06_results.ipynb) defines {eq}`eq-p-mpjpe` with a proper rotation. Code that does
# not look at the determinant also admits mirror images. And code that looks at it can mend it in the
# wrong place: it turns the camera's $z$ axis and not that of the smallest singular value.

# %% tags=["hide-input"]
show_source(metrics.procrustes, metrics.procrustes_z_turned)

# %% [markdown]
# ## Side by side
#
# Every variant of the two protocols, on the same predictions: the alignments and scales above; 14 or
# 17 joints; all poses or every 64th, as Human3.6M's test frames are often thinned; averaged over
# frames, over actions or over sequences. (Here every 64th of the poses is a handful, so that row shows
# above all what a small sample does.)

# %% tags=["hide-input"]
METRICS = {
    "mpjpe_mm": "MPJPE, mm",
    "n_mpjpe_mm": "N-MPJPE, mm",
    "p_mpjpe_mm": "P-MPJPE, mm",
    "pck150_percent": "PCK@150, %",
    "auc0to150_percent": "AUC 0–150, %",
}


def printed(name):
    """What papers print over a number of that full name: "PCK" is said of N-PCK and P-PCK too."""
    metric = name.split(".")[0]
    return METRICS[metric if metric in METRICS else metric[2:]]


def variant_dots(numbers):
    """A panel for each printed name, a row for each variant, a dot for each series of numbers."""
    first = next(iter(numbers.values()))
    panels = {title: [n for n in first if printed(n) == title] for title in METRICS.values()}
    panels = {title: names for title, names in panels.items() if names}
    heights = [len(names) + 1.8 for names in panels.values()]
    figure = plots.new_figure(7.0, 0.27 * sum(heights) + 0.3)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        shared = set.intersection(*(set(name.split(".")) for name in names))
        for series, of in numbers.items():
            labels = [
                ", ".join(part for part in name.split(".")[1:] if part not in shared)
                for name in sorted(names, key=first.get)
            ]
            values = [of[name] for name in sorted(names, key=first.get)]
            ax.plot(values, [label.replace("_", " ") or "all" for label in labels], MARKERS[series])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_title(title, loc="left")
    return figure


MARKERS = {"predicted": "C0o", "all depths turned": "C1x"}
numbers = side_by_side(results)
spreads = pd.Series(numbers).groupby(printed, sort=False).agg(["count", "min", "max"])
spreads.columns = ["variants", "smallest", "largest"]
spreads["apart"] = spreads["largest"] - spreads["smallest"]
number_table(spreads.to_dict("index"), first="what a table would print")

# %% mystnb={"figure": {"caption": "One set of predictions under every variant of MPJPE, N-MPJPE and P-MPJPE, each in order. A paper prints one of these dots.", "name": "fig-variants-mm"}, "image": {"alt": "Three panels of dots, one row for each variant of MPJPE, N-MPJPE and P-MPJPE, in millimetres."}} tags=["hide-input"]
variant_dots({"predicted": {name: v for name, v in numbers.items() if "_mm" in name}})

# %% [markdown]
# On predictions that are mostly right, scale and reflection hardly matter: the choice of frames and of
# joints moves more. This is how a variant goes unnoticed. An average over actions or sequences gives
# each of them one voice, however many frames it has; where all are equally long, it changes nothing.

# %% [markdown]
# ## A mirrored prediction
#
# Now turn all depths of the same predictions about their roots. Each projects to nearly the same
# picture and is wrong about which limb is nearer. The variants of one name part company.


# %% mystnb={"figure": {"caption": "The predictions (dots) and the same with all depths turned (crosses), over all frames. Where a mirror image is forgiven, the two coincide.", "name": "fig-variants-flipped"}, "image": {"alt": "Panels of dots and crosses, one row a variant: the flipped poses are far off except where reflections are allowed."}} tags=["hide-input"]
def with_flipped(chosen):
    """The results with the depths of the chosen predictions turned about their roots."""
    flipped = metrics.flip_depth(results.predicted, root=skeleton.root)
    return dataclasses.replace(
        results, predicted=torch.where(chosen[:, None, None], flipped, results.predicted)
    )


every = torch.ones(len(test), dtype=torch.bool)
flipped = side_by_side(with_flipped(every))
plain = {
    name: {k: v for k, v in with_parts(values, "over_frames").items() if "every_64th" not in k}
    for name, values in {"predicted": numbers, "all depths turned": flipped}.items()
}
variant_dots(plain)

# %% [markdown]
# With reflections allowed a mirrored pose is as good as its original. With the wrong axis turned it is
# worse than it deserves. And the least-squares scale hides a part of the fault in N-MPJPE, by shrinking
# the pose: a small pose is nowhere very far off.
#
# The same, with only some of the depths turned. Move the slider: the share of poses, drawn at random,
# that are inside out.

# %% tags=["hide-input"]
shares = [10 * k for k in range(11)]
order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
mixed = {}
for share in shares:
    chosen = torch.zeros(len(test), dtype=torch.bool)
    chosen[order[: round(share / 100 * len(test))]] = True
    mixed[share] = side_by_side(with_flipped(chosen))

CURVES = {
    "error, mm": {
        "N, ratio of norms": ("n_mpjpe_mm", "ratio_of_norms_scale"),
        "N, least squares": ("n_mpjpe_mm", "least_squares_scale"),
        "P, z turned": ("p_mpjpe_mm", "z_turned"),
        "P, proper rotation": ("p_mpjpe_mm", "proper_rotation"),
        "P, reflection allowed": ("p_mpjpe_mm", "reflection_allowed"),
    },
    "joints, %": {
        "N-PCK, ratio of norms": ("n_pck150_percent", "17_joints", "ratio_of_norms_scale"),
        "N-PCK, least squares": ("n_pck150_percent", "17_joints", "least_squares_scale"),
        "N-PCK, 14 joints": ("n_pck150_percent", "14_joints", "least_squares_scale"),
        "N-AUC, least squares": ("n_auc0to150_percent", "17_joints", "least_squares_scale"),
    },
}


def at(share, parts):
    """The number of these parts, over all frames, with that share of the poses inside out."""
    wanted = with_parts(mixed[share], "all_frames", "over_frames", *parts)
    return next(iter(wanted.values()))


def show_share(share):
    figure = plots.new_figure(7.0, 3.4)
    for ax, (ylabel, curves) in zip(figure.subplots(1, 2), CURVES.items(), strict=True):
        for name, parts in curves.items():
            (line,) = ax.plot(shares, [at(s, parts) for s in shares], linewidth=1.2, label=name)
            ax.plot(share, at(share, parts), "o", color=line.get_color())
        ax.axvline(share, color="#444444", linewidth=0.8, linestyle=":")
        ax.set(xlabel="poses inside out, %", ylabel=ylabel, ylim=(0, None))
        ax.legend(fontsize=7, loc="lower left" if "%" in ylabel else "upper left")
    return figure


def describe_share(share):
    said = (
        f"{name} {at(share, parts):.1f}"
        for curves in CURVES.values()
        for name, parts in curves.items()
    )
    return f"With {share} % of the poses inside out: " + "; ".join(said) + "."


figure_slider(
    show_share,
    shares,
    label="inside out",
    format=lambda share: f"{share} %",
    describe=describe_share,
    start=5,
)

# %% [markdown]
# ## The pelvis, always right
#
# PCK is taken with the pelvises aligned, so the pelvis itself has no error. The official list of
# MPI-INF-3DHP has 14 joints in 8 groups, without it; a list of 17 joints in 9 groups, with it, also
# circulates. Of the other two joints that come in, head and spine, the second is near the pelvis too.
#
# The pelvis alone lifts the PCK of the 16 other joints by a seventeenth of what it lacks to 100 %,
# which is most for the worst poses:


# %% tags=["hide-input"]
def pck_with_and_without(some):
    """PCK@150 (%) of all joints but the root, and of all."""
    errors = metrics.joint_errors(some.predicted, some.target.double(), root=skeleton.root)
    others = [j for j in range(skeleton.n_joints) if j != skeleton.root]
    without = float(metrics.percent_below(errors[:, others], 150.0).mean())
    return {
        "16 joints": without,
        "and the pelvis": float(metrics.percent_below(errors, 150.0).mean()),
        "by the formula": (16 * without + 100) / 17,
    }


number_table(
    {
        "predicted": pck_with_and_without(results),
        "all depths turned": pck_with_and_without(with_flipped(every)),
    },
    digits=2,
    first="PCK@150, %",
)

# %% [markdown]
# ## A perfect AUC is 96.77
#
# AUC is the mean of PCK over the thresholds 0, 5, …, 150 mm. PCK counts errors *below* the threshold,
# and no error is below 0: the first of 31 values is lost, and 30/31 is left. Code for hands counts errors
# *up to* the threshold {cite}`zimmermann2017learning,zimmermann2019freihand`, so there a perfect
# prediction has 100. The truth as its own prediction:

# %%
truth = dataclasses.replace(results, predicted=results.target)
perfect = with_parts(protocols.evaluate_mpi_inf_3dhp(truth), "given_scale", "over_frames")
print({name: round(value, 2) for name, value in perfect.items() if "auc" in name})

# %% [markdown]
# ## What goes wrong, and how to see it
#
# - **Two papers, one column.** Before comparing, find for each: reflection or not, which scale, which
#   joints, which frames, which average. Where the code is not public, ask, or compare with neither.
# - **A reflection in the code.** Evaluate the truth with its depths turned: a P-MPJPE of 0 says that
#   mirror images are forgiven.
# - **Two truths.** MPI-INF-3DHP gives each pose twice: as measured (`annot3`) and on a body of one
#   height (`univ_annot3`). A prediction has another error against each.
# - **Metres.** PCK@150 of two poses in metres is 100 %. The evaluators here refuse predictions whose size
#   cannot be millimetres.
# - **Displaced truth.** Three sequences of Human3.6M's subject S9 have a ground truth that does not lie
#   on the person {cite}`iskakov2019learnable`. Numbers with and without them differ, most of all where
#   crops were made from that truth.

# %% [markdown]
# ## Exercise
#
# Multiply every prediction by 0.9, as if the camera's focal length had been wrong. Which numbers change?
# And which of them would have changed, had the predictions come without a unit, as our network gives
# them? Decide first, then compute.

# %% tags=["hide-cell"]
shrunk = side_by_side(dataclasses.replace(results, predicted=0.9 * results.predicted))
free = side_by_side(unscaled)
free_shrunk = side_by_side(dataclasses.replace(unscaled, predicted=0.9 * unscaled.predicted))


def largest_change(before, after, metric):
    """Largest change of any variant of a metric."""
    return max(abs(after[k] - v) for k, v in before.items() if k.split(".")[0] == metric)


rows = {}
for metric in ("mpjpe_mm", "n_mpjpe_mm", "p_mpjpe_mm", "pck150_percent", "n_pck150_percent"):
    rows[metric] = {
        "in mm": largest_change(numbers, shrunk, metric),
        "without a unit": largest_change(free, free_shrunk, metric),
    }
number_table(rows, digits=2, first="largest change")
# N and P forgive the scale of each pose, so they stay. MPJPE and PCK see it where the predictions
# are in millimetres. Without a unit the one factor for the set is measured anew and takes it away:
# then a network's own size is not judged at all, and the number's name must say so.

# %% [markdown]
# ## Summary
#
# A metric's name is not a definition. On good predictions the variants lie close together, which is
# why they are mixed up; on inside-out ones they lie worlds apart. The evaluators of
# `selfpose.evaluation.protocols` return every variant under a name that says which it is. This book prints N- and
# P-MPJPE with the least-squares scale and a proper rotation, over all frames. What our own choices are
# beyond that stands under [what we chose](../book/choices.md).

# %% tags=["hide-input"]
page.provenance_box(record)
