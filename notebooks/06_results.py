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
# # Results
#
# **Goal.** Every result of this build in one place, beside what it must beat and what it could
# reach.
#
# **In the paper.** Its results on Human3.6M and MPI-INF-3DHP {cite}`sosa2023self,ionescu2014human36m,mehta2017monocular`.
# Neither can be shipped; the tables here are of the data that this book was built with, and the
# recipe runs unchanged on yours.
#
# **Time and device.** Seconds on one CPU core: this page trains nothing. It reads the records
# of the runs, loads two networks and puts the test pictures through them.

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
from experiments.notebooks import check_parameters, repository_root

check_parameters(
    globals(),
    ["data", "data_root", "data_train", "data_test", "preset", "seed", "cache", "runs"],
)

# %% tags=["hide-input"]
from pathlib import Path

import torch
from IPython.display import Markdown, display

from selfpose.evaluation.scores import scores as evaluation
from selfpose import metrics
from book.kit.caveats import below_no_floor
from selfpose.config import Config
from selfpose.evaluation.scores import errors, errors_2d, predict_test
from book.kit.figures import (
    error_bars,
    joint_bars,
    monitor_figure,
    prediction_figure,
    prediction_rows,
    snapshot_figure,
)
from book.kit.pages import linked_groups, linked_table, number_table, show_source
from selfpose.model import load
from book.kit.plots import picture_row, use_style
from book.kit.provenance import provenance_box, rerun_command
from book.kit.quotes import quoted, record_link
from experiments.records import (
    WEIGHTS,
    published_records,
    published_weights,
    read_history,
    read_records,
)
from selfpose.run import DataChoice
from selfpose.evaluation.snapshots import snapshots_of_run
from book.kit.view3d import pose_views
from book.kit.widgets import figure_slider

use_style()
records = read_records(runs)
committed = published_records()
results = repository_root() / "results"

# %% [markdown]
# ## What is measured
#
# ```{prf:definition} P-MPJPE
# :label: def-p-mpjpe
#
# The mean distance of the joints from the truth after the best similarity transform,
#
# $$
# \text{P-MPJPE}(v, g) = \frac{1}{J} \sum_j
#   \lVert s R v_j + t - g_j \rVert , \qquad s > 0,\; R \in SO(3),
# $$ (eq-p-mpjpe)
#
# with $s$, $R$ and $t$ those that minimise the *squared* distances. $R$ is a *proper* rotation: with reflections
# allowed, a pose with all depths flipped would score zero.
# ```

# %% tags=["hide-input"]
show_source(metrics.p_mpjpe, metrics.procrustes)

# %% [markdown]
# A tiny example: a pose, its mirror image, and the two variants of the metric that circulate under
# one name.

# %%
pose = torch.randn(1, 17, 3, generator=torch.Generator().manual_seed(0)) * 300
mirrored = pose * torch.tensor([-1.0, 1.0, 1.0])
number_table(
    {
        "proper rotation": {
            "shape of the poses": str(tuple(pose.shape)),
            "P-MPJPE, mm": float(metrics.p_mpjpe(mirrored, pose)),
        },
        "reflection allowed": {
            "shape of the poses": str(tuple(pose.shape)),
            "P-MPJPE, mm": float(metrics.p_mpjpe(mirrored, pose, reflection=True)),
        },
    },
    first="a pose against its mirror image",
)

# %% [markdown]
# ## The runs of this build
#
# Mean ± standard deviation over seeds (number of runs); [how to read the
# numbers](../book/reading_numbers) says what each measures. *flat*: the run's 2D pose with equal depths.
# *mean pose*: the best constant. *nearest neighbour*: the 3D pose of the training picture whose true
# 2D pose is nearest to the run's (in 2D: the nearest unpaired pose); its 3D poses are labels, which
# the method never sees. *supervised*: the same networks with labels, trained as long as
# the preset allows. They are a ceiling only where they were trained long enough: in the shortest
# presets, the supervised Φ and Ω stop early too, and an error of theirs above the run's own says that.

# %% tags=["hide-input"]
main = [r for r in records if r["experiment"] in ("end_to_end", "lifting")]
own = [r for r in main if r["variant"] == "selfpose"]
floors = ["flat", "mean_pose", "nearest_neighbour", "supervised"]


def cells_of(chosen, *names):
    """Records by what they are runs of, one group a row."""
    groups = {}
    for r in chosen:
        groups.setdefault(" · ".join(str(r[name]) for name in names), []).append(r)
    return groups


def table(chosen, metric, title, baselines=floors, by=("experiment", "variant"), digits=1):
    """One metric of the runs, and of the baselines over the same runs."""
    columns = {title: f"metrics.{metric}"}
    columns |= {b.replace("_", " "): f"baselines.{b}.{metric}" for b in baselines}
    return linked_groups(cells_of(chosen, *by), columns, first="runs", digits=digits)


table(main, "p_mpjpe_mm", "P-MPJPE, mm")

# %% tags=["hide-input"]
table(main, "n_mpjpe_mm", "N-MPJPE, mm")

# %% tags=["hide-input"]
for name in dict.fromkeys(r["experiment"] for r in own):
    same = [r for r in own if r["experiment"] == name]
    if told := below_no_floor(same, "p_mpjpe_mm", "P-MPJPE", "mm"):
        display(Markdown(f"`{name}`: {told} How much a longer training gains, the aims below say."))

# %% [markdown]
# The end-to-end run starts from pictures and `lifting` from true 2D poses, so the second shows what
# the rotation cycle can do and the difference between the two what the pictures cost. How well the
# 2D poses sit on the people, first strictly, then with the left and right of each limb forgiven:

# %% tags=["hide-input"]
pictured = [r for r in main if r["input"] == "images"]
table(pictured, "error_2d_percent", "2D error, %", floors[1:], digits=2)

# %% tags=["hide-input"]
table(
    pictured,
    "error_2d_percent_side_tolerant",
    "2D error, sides forgiven, %",
    floors[1:],
    digits=2,
)

# %% [markdown]
# Which way do they face? The share of pictures that fit better as they are than with all left and
# right exchanged; a coin would give a half.

# %% tags=["hide-input"]
table(pictured, "facing_right_percent", "facing right, %", floors[1:])

# %% [markdown]
# Runs that measured the noise of $\Omega$ on puppets lift not what it read, but the [expected
# pose](04_flow_prior.ipynb) given that, {eq}`eq-expected`, and answer with the expected shape, {eq}`eq-shape`.
# What each changes, on the same pictures, with the same networks, in this build and in the published records
# of people:

# %% tags=["hide-input"]
STEPS = {"as read": "_as_seen", "Λ of the expected": "_lifted", "expected": ""}
CELL = ("experiment", "variant", "dataset", "preset")
refined = {  # a run of this build in place of a committed one with the same seed
    tuple(r[field] for field in (*CELL, "seed")): r
    for r in [*committed, *main]
    if r["experiment"] == "end_to_end" and "p_mpjpe_mm_as_seen" in r["metrics"]
}
refined_cells = cells_of(refined.values(), *CELL)
linked_groups(
    refined_cells,
    {f"P-MPJPE {how}, mm": f"metrics.p_mpjpe_mm{ending}" for how, ending in STEPS.items()},
    first="runs",
)

# %% tags=["hide-input"]
linked_groups(
    refined_cells,
    {f"N-MPJPE {how}, mm": f"metrics.n_mpjpe_mm{ending}" for how, ending in STEPS.items()},
    first="runs",
)

# %% tags=["hide-input"]
linked_groups(
    refined_cells,
    {
        f"2D {how}, sides forgiven, %": f"metrics.error_2d_percent_side_tolerant{STEPS[how]}"
        for how in ("as read", "expected")
    },
    first="runs",
    digits=2,
)

# %% [markdown]
# Does the skeleton image belong to its picture? From each run's history, at its last step: `own` is the
# difference of the skeleton image from the drawing of the true pose, `shuffled` from that of another
# picture; `spread` is the variety of the drawn poses as a share of the true variety.

# %% tags=["hide-input"]
last = {
    r["path"]: read_history(Path(runs) / r["path"])["images"].dropna().iloc[-1] for r in pictured
}
number_table(
    {
        path: {
            "own": row["alignment_own"],
            "shuffled": row["alignment_shuffled"],
            "spread": row["spread"],
        }
        for path, row in last.items()
    },
    digits=3,
    first="from this run's history",
)

# %% mystnb={"figure": {"caption": "3D error of each run (dots) and their mean (bars); the lines are the floor and the ceiling of lifting.", "name": "fig-results"}, "image": {"alt": "Bars of P-MPJPE for the end-to-end and the lifting runs, with lines for the flat pose, the mean pose and full supervision."}} tags=["hide-input"]
groups = {
    f"{name} ({where})": [r["metrics"]["p_mpjpe_mm"] for r in own if r["experiment"] == name]
    for name, where in (("end_to_end", "from pictures"), ("lifting", "from true 2D"))
}
others = [r["baselines"] for r in own if r["experiment"] == "lifting"]
lines = {
    name.replace("_", " "): sum(b[name]["p_mpjpe_mm"] for b in others) / len(others)
    for name in floors
    if others and all(b.get(name) for b in others)
}
error_bars(groups, xlabel="P-MPJPE, mm (proper rotation)", references=lines)

# %% [markdown]
# ## While they learn
#
# The same test pictures, looked at now and then during the training, one line a seed. They are a
# sample, so that a curve does not end at the number of the table, which is of all. Runs of this
# build where it has more than one or the committed ones have no more, else the committed ones of most
# seeds.

# %% tags=["hide-input"]
here = Path(runs)


def seeds_of(experiment, stage):
    """Histories of one experiment by seed: this build's, or the most that are committed."""
    name, root = "this build", here
    chosen = [r for r in own if r["experiment"] == experiment]
    groups = {}  # the committed ones by data and preset
    for r in committed:
        if (r["experiment"], r["variant"]) == (experiment, "selfpose"):
            groups.setdefault((r["dataset"], r["preset"]), []).append(r)
    # At equal numbers this build's data come before others.
    most = max(groups, key=lambda g: (len(groups[g]), g[0] == data), default=None)
    if len(chosen) < 2 and most and len(groups[most]) > len(chosen):
        name, root, chosen = f"results, {', '.join(most)}", results, groups[most]
    found = {f"seed {r['seed']}": read_history(root / r["path"]).get(stage) for r in chosen}
    return name, chosen, {seed: history for seed, history in found.items() if history is not None}


image_source, image_runs, image_curves = seeds_of("end_to_end", "images")
lifting_source, lifting_runs, lifting_curves = seeds_of("lifting", "lifting")
linked_table(
    {
        "from pictures": {"runs": quoted(image_runs, form="count", digits=0), "from": image_source},
        "lifting": {"runs": quoted(lifting_runs, form="count", digits=0), "from": lifting_source},
    },
    first="curves",
    records={"from pictures": image_runs, "lifting": lifting_runs},
)

# %% mystnb={"figure": {"caption": "Training on pictures, one line a seed. Dotted: a coin's choice of sides, and the variety of the true poses.", "name": "fig-results-curves"}, "image": {"alt": "Three panels over the steps of the training on pictures: 2D error with sides forgiven, share of pictures facing right, and the spread of the drawn poses."}} tags=["hide-input"]
monitor_figure(
    image_curves,
    {
        "error_2d_percent_side_tolerant": "2D error, sides forgiven, %",
        "facing_right_percent": "facing right, %",
        "spread": "spread",
    },
    levels={"facing_right_percent": 50.0, "spread": 1.0},
)

# %% mystnb={"figure": {"caption": "Lifting from true 2D poses, one line a seed.", "name": "fig-results-curves-lifting"}, "image": {"alt": "Three panels over the steps of the training of the lifting network: 3D error, 3D error were all depths flipped, and mean elevation."}} tags=["hide-input"]
monitor_figure(
    lifting_curves,
    {
        "p_mpjpe_mm": "P-MPJPE, mm",
        "flipped_p_mpjpe_mm": "P-MPJPE if flipped, mm",
        "elevation_mean_deg": "elevation, mean, degrees",
    },
)

# %% [markdown]
# ## By activity
#
# One number hides that some motions are harder. P-MPJPE in mm, mean ± standard deviation over all
# seeds of this build (number of runs):

# %% tags=["hide-input"]
first = {}
for r in own:
    first.setdefault(r["experiment"], r)
activities = sorted({a for r in first.values() for a in r["by_activity"]})


def by_activity(activity):
    """A row: how many test pictures, and the error of each experiment's runs."""
    row = {"pictures": quoted(next(iter(first.values())), f"by_activity.{activity}.n", digits=0)}
    for name in first:
        same = [r for r in own if r["experiment"] == name]
        field = f"by_activity.{activity}.p_mpjpe_mm"
        row[name] = quoted(same, field, form="spread")
    return row


linked_table({activity: by_activity(activity) for activity in activities}, first="activity")

# %% mystnb={"figure": {"caption": "2D error of each joint from pictures, left and right of each limb forgiven.", "name": "fig-results-joints"}, "image": {"alt": "Bars of the 2D error of each joint in percent of the picture."}} tags=["hide-input"]
joint_bars(
    first["end_to_end"]["by_joint"],
    metric="error_2d_percent_side_tolerant",
    ylabel="2D error, % of the picture",
)

# %% [markdown]
# ## From picture to 3D
#
# The end-to-end run on pictures that it has never seen, in order of error. White: the truth. What
# follows down to the failures is computed here, with the weights of one run.

# %% tags=["hide-input"]
folder = Path(runs) / first["end_to_end"]["path"]
pipeline = load(folder / WEIGHTS)
config = Config.from_dict(first["end_to_end"]["parameters"])
dataset = DataChoice(
    name=data,
    data_root=data_root,
    data_train=data_train,
    data_test=data_test,
    cache=cache,
).load(config)
prediction = predict_test(pipeline, dataset.test)
values = errors(prediction, dataset.test, dataset.skeleton)
error = values["error_2d_percent_side_tolerant"]
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


display(Markdown(f"The weights are those of {record_link(first['end_to_end'])}."))
figure_slider(
    figure_of_rank,
    ranks,
    label="rank by 2D error",
    format=lambda rank: f"{rank + 1} of {len(order)}: {float(error[order[rank]]):.1f} %",
    describe=lambda rank: (
        f"Picture, skeleton image, 2D pose, 3D pose and truth of test picture {rank + 1} of "
        f"{len(order)} in order of 2D error, {float(error[order[rank]]):.1f} % of the picture."
    ),
)

# %% mystnb={"figure": {"caption": "The best, the median and the worst test picture by 2D error, sides forgiven. White: the truth.", "name": "fig-results-best-worst"}, "image": {"alt": "Three rows of picture, skeleton image, 2D pose, 3D pose and true 3D pose: the best, the median and the worst picture of the test set."}} tags=["hide-input"]
places = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
prediction_rows(
    prediction,
    {f"{name}, {float(error[order[k]]):.1f} %": int(order[k]) for name, k in places.items()},
    dataset.test,
    dataset.skeleton,
)

# %% [markdown]
# ### Turn them
#
# The same three in 3D, prediction over truth, aligned as P-MPJPE aligns them: place, scale and rotation
# are forgiven, so what still differs is the shape of the pose. A pose can look right
# as the camera sees it and be wrong in depth: turn it by a quarter.

# %% tags=["hide-input"]
root = dataset.skeleton.root


def aligned(k):
    """Prediction and truth of a test picture, root-centred, mm."""
    truth = dataset.test.poses_3d[k]
    fitted = metrics.procrustes(prediction.pose_3d[k], truth)
    return {
        "prediction": metrics.root_centred(fitted, root),
        "truth": metrics.root_centred(truth, root),
    }


def three_words():
    return ", ".join(
        f"{float(values['p_mpjpe_mm'][int(order[k])]):.0f} mm in the {name} picture"
        for name, k in places.items()
    )


pose_views(
    {name: aligned(int(order[k])) for name, k in places.items()},
    dataset.skeleton,
    label="Best, median and worst picture: prediction over truth",
    description=(
        "Three pairs of stick figures, the predicted pose laid over the true one, for the test "
        f"pictures with the best, the median and the worst 2D error. P-MPJPE: {three_words()}."
    ),
    azimuth=-60,
)

# %% [markdown]
# ## Through the training
#
# A run from pictures keeps snapshots: at a few steps, most of them early, the averaged networks (those
# that are evaluated in the end) look at the same test pictures, spread evenly over the test set. The
# slider goes through these steps. Before the first, no network has seen a picture: Φ is untrained, Ω
# has learnt to read drawings, and Λ to lift, from unpaired poses. Each row is named by its 2D error at
# that step, sides forgiven; the slider names their mean. White: the truth. The 3D pose is aligned with
# the true one as P-MPJPE aligns it.

# %% tags=["hide-input"]
candidates = [(here, r) for r in own if r["experiment"] == "end_to_end"]
candidates += [
    (results, r)
    for r in committed
    if (r["experiment"], r["variant"], r["dataset"]) == ("end_to_end", "selfpose", data)
]
snapshots, filmed = next(
    (
        (found, r)
        for place, r in candidates
        if (found := snapshots_of_run(place / r["path"], r)) and found.shows(dataset.test.images)
    ),
    (None, None),
)


def snapshot_errors(k):
    """2D error of each picture in a snapshot, sides forgiven, % of the picture."""
    size = dataset.image_size
    seen = snapshots.prediction(k, image_size=size).pose_2d
    truth = dataset.test.poses_2d[snapshots.rows]
    found = errors_2d(seen, truth, dataset.skeleton, image_size=size)
    return found["error_2d_percent_side_tolerant"].tolist()


def figure_of_snapshot(k):
    names = [f"{e:.1f} %" for e in snapshot_errors(k)]
    return snapshot_figure(snapshots, k, dataset.test, dataset.skeleton, names=names)


def describe_snapshot(k):
    each = ", ".join(f"{e:.1f}" for e in snapshot_errors(k))
    return (
        f"After {int(snapshots.steps[k])} of {int(snapshots.steps[-1])} steps: a row for each of "
        f"{len(snapshots.rows)} test pictures, with skeleton image, 2D pose and 3D pose "
        "as the networks drew them then, and the true 3D pose. 2D error, sides forgiven, in % of "
        f"the picture, from the top row: {each}."
    )


def format_snapshot(k):
    mean = sum(snapshot_errors(k)) / len(snapshots.rows)
    return f"{int(snapshots.steps[k])} of {int(snapshots.steps[-1])}: {mean:.1f} %"


if snapshots:
    display(Markdown(f"The run is {record_link(filmed)}."))
    display(
        figure_slider(
            figure_of_snapshot,
            range(len(snapshots)),
            label="steps of training",
            format=format_snapshot,
            describe=describe_snapshot,
        )
    )
else:
    display(
        Markdown(
            "*Missing: no run holds snapshots of these test pictures.* Runs of before the library "
            f"kept them have none. This command trains {record_link(first['end_to_end'])} again, "
            "with them:\n\n"
            f"```sh\n{rerun_command(first['end_to_end'])}\n```\n\n"
            'This page then shows them if it is run with the parameter `runs="build/again"`.'
        )
    )

# %% [markdown]
# ## Failures
#
# What do the worst pictures have in common? The tenth with the largest 3D error beside the rest,
# computed here from the same predictions: if
# 2D is as good there as elsewhere, depth failed; if facing is wrong, sides did.

# %% tags=["hide-input"]
mixed = metrics.mixed_sides(prediction.pose_2d, dataset.test.poses_2d, dataset.skeleton)
values["sides_mixed_percent"] = 100.0 * mixed.double()
values["wrong_depth_signs_percent"] = metrics.wrong_depth_signs_percent(
    prediction.pose_3d, dataset.test.poses_3d, dataset.skeleton
)
hard = values["p_mpjpe_mm"] >= values["p_mpjpe_mm"].quantile(0.9)
columns = {
    "P-MPJPE, mm": "p_mpjpe_mm",
    "2D error, %": "error_2d_percent",
    "sides forgiven, %": "error_2d_percent_side_tolerant",
    "facing right, %": "facing_right_percent",
    "sides mixed, %": "sides_mixed_percent",
    "wrong depth signs, %": "wrong_depth_signs_percent",
}
number_table(
    {
        name: {"pictures": int(chosen.sum())}
        | {
            title: evaluation.mean_errors({key: values[key][chosen]})[key]
            for title, key in columns.items()
        }
        for name, chosen in {"worst tenth": hard, "the rest": ~hard}.items()
    },
    first="computed here, by 3D error",
)


# %% tags=["hide-input"]
def times(key, of=lambda value: value):
    """How many times larger a mean is over the worst tenth than over the rest."""
    here, there = (of(float(values[key][c].double().mean())) for c in (hard, ~hard))
    return f"{here / there:.1f}" if there else "–"


display(
    Markdown(
        "Over the worst tenth, as a multiple of the rest: 2D error with sides forgiven "
        f"{times('error_2d_percent_side_tolerant')}, mixed sides {times('sides_mixed_percent')}, "
        "facing wrong "
        f"{times('facing_right_percent', of=lambda share: 100 - share)}, wrong depth signs "
        f"{times('wrong_depth_signs_percent')}. The largest of these is where to look first."
    )
)

# %% mystnb={"figure": {"caption": "The predicted 2D poses of the test pictures with the largest 3D error, one of each clip, with that error.", "name": "fig-results-failures"}, "image": {"alt": "Pictures of people with the predicted stick figure over each, the worst of the test set by 3D error."}} tags=["hide-input"]
by_clip = {}
for k in values["p_mpjpe_mm"].argsort(descending=True).tolist():
    by_clip.setdefault(int(dataset.test.sequence[k]), k)
worst = list(by_clip.values())[:7]
picture_row(
    [dataset.test.images[k] for k in worst],
    [f"{float(values['p_mpjpe_mm'][k]):.0f} mm" for k in worst],
    poses=[prediction.pose_2d[k] for k in worst],
    skeleton=dataset.skeleton,
)

# %% [markdown]
# ## A longer training, loaded
#
# Weights are committed beside some of the published records. Here the longest training from pictures
# meets the test pictures of *this* build. Where it was trained on other data, other people move in
# other ways before other cameras, and nothing was adapted.

# %% mystnb={"figure": {"caption": "Published weights on this build's test pictures: quartiles by 2D error, sides forgiven. White: the truth.", "name": "fig-results-published"}, "image": {"alt": "Five rows of picture, skeleton image, 2D pose, 3D pose and true 3D pose, from the best to the worst by 2D error."}} tags=["hide-input"]
shipped = next(
    (
        found
        for name in ("cmu", "embedded")
        if (found := published_weights("end_to_end", "selfpose", name))
    ),
    None,
)
if shipped:
    published = load(shipped[0])
    fits = published.skeleton.joints == dataset.skeleton.joints
    if not fits or published.architecture.image_size != dataset.image_size:
        shipped = None  # trained on another body, or on pictures of another size
if shipped:
    longer = predict_test(published, dataset.test)
    its_errors = errors(longer, dataset.test, dataset.skeleton)
    its_order = its_errors["error_2d_percent_side_tolerant"].argsort()
    quartiles = torch.linspace(0, len(its_order) - 1, 5).round().long()
    its_rows = {f"{k * 25} %": int(its_order[r]) for k, r in enumerate(quartiles)}
    display(prediction_rows(longer, its_rows, dataset.test, dataset.skeleton))
else:
    display(
        Markdown("*Missing: no weights for this body and pictures of this size are committed.*")
    )

# %% tags=["hide-input"]
if shipped:
    TITLES = {
        "error_2d_percent": "2D, %",
        "error_2d_percent_side_tolerant": "2D, sides forgiven, %",
        "facing_right_percent": "facing right, %",
        "p_mpjpe_mm": "P-MPJPE, mm",
    }
    its_record = shipped[1]
    its_mean = {name: float(value.double().mean()) for name, value in its_errors.items()}
    where = f"{its_record['dataset']}, {its_record['preset']}, seed {its_record['seed']}"
    pair = {
        f"published, on its own test set ({where})": [its_record],
        f"this build's run ({data}, {preset})": [first["end_to_end"]],
    }
    display(
        linked_groups(
            pair, {title: f"metrics.{name}" for name, title in TITLES.items()}, first="weights"
        ),
        number_table(
            {
                f"published, on this build's test pictures ({data})": {
                    title: its_mean[name] for name, title in TITLES.items()
                }
            },
            first="computed here",
        ),
    )

# %% [markdown]
# ## Published records
#
# Some runs are committed under `results/` as records: other seeds, the variant `paper`, motion
# capture that cannot be shipped. Commit, device, duration and every parameter stand in each record.
# Runs of the other experiments stand on [the page on ablations](07_ablations.ipynb), hands, animals and
# a lamp on [other bodies](08_other_bodies.ipynb), and everything under [all runs](12_status.ipynb).

# %% tags=["hide-input"]
who = ("dataset", "preset", "experiment", "variant")
listed = ("end_to_end", "lifting", "new_subject")
committed = [r for r in committed if r["experiment"] in listed]
if committed:
    display(table(committed, "p_mpjpe_mm", "P-MPJPE, mm", by=who))
else:
    display(Markdown("*None are committed.*"))

# %% tags=["hide-input"]
if images := [r for r in committed if r["input"] == "images"]:
    metric = "error_2d_percent_side_tolerant"
    display(table(images, metric, "2D error, sides forgiven, %", floors[1:], by=who, digits=2))
else:
    display(Markdown("*None are committed.*"))

# %% [markdown]
# ## What was aimed at
#
# Before the trainings from pictures we wrote down what would count as working. The published one of
# the longest preset, beside those aims, and the longest before cameras that look down, with a loss that
# insists on sides (`cameras/high`); a dash stands for what a record does not hold. What is not
# met stays in the table. Why facing is hard, what was tried and what helps, stands under
# [which way a person faces](09_diagnosis.ipynb).

# %% tags=["hide-input"]
side, strict = "error_2d_percent_side_tolerant", "error_2d_percent"
floor = "baselines.mean_pose.p_mpjpe_mm"
wrists = [f"by_joint.{joint}.{side}" for joint in ("left_wrist", "right_wrist")]
AIMS = {
    "2D error, sides forgiven, % of the picture": ("at most", 3.5, f"metrics.{side}", ""),
    "2D error, strict, %": ("below", 6.0, f"metrics.{strict}", ""),
    "2D error of the wrists, sides forgiven, %": ("at most", 7.0, wrists, ""),
    "facing right, % of the pictures": ("at least", 80.0, "metrics.facing_right_percent", ""),
    "P-MPJPE, % of the mean pose's": ("at most", 85.0, "metrics.p_mpjpe_mm", floor),
    "P-MPJPE with sides given, % of the mean pose's": (
        *("at most", 65.0, "metrics.p_mpjpe_sides_given_mm", floor),
    ),
}


def held_against(record, kind, aim, fields, over):
    """What a record says, and whether that meets the aim."""
    options = {"over": over, "scale": 100 if over else 1}
    exact = quoted(record, fields, digits=9, **options).text
    met = "–"
    if exact != met:
        value = float(exact)
        reached = {"at most": value <= aim, "below": value < aim, "at least": value >= aim}[kind]
        met = "yes" if reached else "no"
    return quoted(record, fields, **options), met


def row_of_aim(kind, aim, *rest):
    """A row: what was aimed at, and what each record says of it."""
    row = {"aim": f"{kind} {aim:g}"}
    for name, record in judged.items():
        row[name], row[f"met, {name}"] = held_against(record, kind, aim, *rest)
    return row


both = {"usual cameras": shipped, "from above": published_weights("cameras", "high", "cmu")}
judged = {name: found[1] for name, found in both.items() if found}
if shipped:
    display(
        linked_table(
            {name: row_of_aim(*aim) for name, aim in AIMS.items()},
            first="what",
            words=["aim", *(f"met, {name}" for name in judged)],
        )
    )
else:
    display(Markdown("*Missing: no such run is committed.*"))

# %% [markdown]
# ## What goes wrong, and how to see it
#
# A 3D number without its 2D number says little: if 2D is wrong by left and right, a perfect Λ lifts
# the wrong person. A P-MPJPE far above its reflected twin (`p_mpjpe_reflection_mm` in the record)
# means flipped depths. [When it goes wrong](09_diagnosis.ipynb) shows each failure beside a healthy
# run. And a baseline missing from a table is worse than a bad result.
#
# ## Exercise
#
# The mean pose needs no picture and no learning, yet its P-MPJPE is far better than its N-MPJPE.
# Why does Procrustes alignment flatter it?
#
# ```{dropdown} Solution
# The alignment turns and scales the constant pose onto each truth, so facing, camera elevation and
# size are forgiven: only the bend of the limbs is left to be wrong, and people stand upright most of
# the time. N-MPJPE, which forgives scale alone, puts the mean pose where it belongs.
# ```
#
# ## Summary
#
# Lifting is judged against the flat pose and its supervised ceiling, the whole method
# against the mean pose. Each number of a run leads to its record, with seed, commit and device; what
# was computed here says so.

# %% tags=["hide-input"]
shown = [*main, *image_runs, *lifting_runs, *committed, *judged.values()]
shown += [filmed] if filmed else []
provenance_box(shown)
