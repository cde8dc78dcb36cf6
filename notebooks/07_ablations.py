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
# **Time and device.** Seconds on one CPU core: this page reads records and lifts four poses
# with each of a few networks. `make book` runs the lifting ablation alone;
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
from experiments.notebooks import check_parameters

check_parameters(
    globals(),
    ["data", "data_root", "data_train", "data_test", "preset", "seed", "cache", "runs"],
)

# %% tags=["hide-input"]
from pathlib import Path

import torch
from IPython.display import Markdown, display

from book.kit.answers import ablation_figure, answer_sentence, answer_table, describe, records_for
from selfpose.config import BASE_TERMS, LIFTING_TERMS, Config
from book.kit.figures import error_bars
from selfpose.lifting import lifting_terms
from selfpose.metrics import procrustes, root_centred
from book.kit.pages import number_table, show_source
from selfpose.model import load
from book.kit.plots import new_figure, use_style
from book.kit.provenance import provenance_box
from book.kit.quotes import record_link
from experiments.records import RESULTS, WEIGHTS, published_records, read_history, read_records
from selfpose.run import DataChoice
from selfpose.training import build_pipeline
from book.kit.view3d import pose_views
from book.kit.widgets import figure_slider
from experiments.workflow import read_experiments

use_style()
experiments = {e.name: e for e in read_experiments()}
built, committed = read_records(runs), published_records()
answers = {}


def evidence(name):
    """The records that answer an experiment's question: this build's, or committed ones."""
    if name not in answers:
        answers[name] = records_for(experiments[name], built, committed, data=data, preset=preset)
    return answers[name]


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
# Leaving a term out sets its weight to zero, nothing else. To fit many rows into one build, the runs
# of this page are shorter than those of [the results](06_results.ipynb); the sentence below each table
# says how short. So compare a row with the first row of its own table, never with another page.

# %% tags=["hide-input"]
show_source(lifting_terms, Config.weight)

# %% [markdown]
# A tiny example with shapes: eight 2D poses go round the cycle of an untrained Λ, and each term is one
# number. The weights that an ablation leaves decide which of them there are:

# %%
tiny = Config.for_run(preset="smoke", overrides={"n_unlabelled": 320, "n_test": 16})
demo = DataChoice(name="embedded").load(tiny, progress=False)
untrained = build_pipeline(demo, tiny)
y = untrained.scale.pixels_to_plane(demo.unpaired[:8], demo.skeleton.root)


def weighted_terms(drop):
    """Every term of the batch and their sum, by name, with the terms in `drop` left out."""
    generator = torch.Generator().manual_seed(0)  # the same turns for every row
    with torch.no_grad():
        terms, _ = lifting_terms(
            untrained, y, tiny.with_(drop=drop), bone_share=1.0, generator=generator
        )
    total = sum(terms.values())
    shapes = {"poses": str(tuple(y.shape)), "total's shape": str(tuple(total.shape))}
    return shapes | {term: terms.get(term) for term in LIFTING_TERMS} | {"total": total}


number_table(
    {
        "full": weighted_terms(()),
        "without NF": weighted_terms(("NF",)),
        "base only": weighted_terms(tuple(t for t in LIFTING_TERMS if t not in BASE_TERMS)),
    },
    digits=2,
    first="terms of a batch",
)

# %% [markdown]
# ## Pick a term: what is lost without it?
#
# The slider goes through the seven terms of the paper, then through our four. The words say what a term
# asks for and what its absence permits; the curves say what these runs made of it. Left: the error on
# test data while each run learns, with all terms and without this one. Right: where all runs of that
# ablation end. Terms of Λ are judged by lifting true 2D poses, the others by the 2D poses that come out of
# pictures. A small difference is no finding, and a short run may not need a term that a long one does:
# the answers below say which differences are larger than the spread of seeds, where there are enough.

# %% tags=["hide-input"]
TERM_WORDS = {
    "D": (
        "A skeleton image must look like a drawing of some person's pose.",
        "Without it only puppets and silhouettes give it that form; the paper has neither.",
    ),
    "Omega": (
        "Ω must read drawings of poses, and what it reads must draw the same image again.",
        "Without it Ω learns from puppets alone, and reading and drawing may part.",
    ),
    "2D": (
        "After the trip round, the pose must project onto the 2D pose that it came from.",
        "Without it the two other terms of consistency ask nearly the same.",
    ),
    "3D": (
        "What is lifted from the new view must be the pose that was turned.",
        "Without it Λ may lift one body differently from each side, if it comes back.",
    ),
    "def": (
        "The difference between two poses must survive the trip.",
        "Without it only each pose by itself has to.",
    ),
    "NF": (
        "What is seen from the new view must look like people's 2D poses.",
        "Without it any depths that survive the trip will do, however odd the body.",
    ),
    "bl": (
        "Bones must have the known relative lengths.",
        "Without it proportions in depth are left to the prior on views.",
    ),
    "sil": (
        "Ours. The skeleton must lie on what differs from the background.",
        "Without it puppets alone tie the drawing to the picture.",
    ),
    "side": (
        "Ours. Left and right must be named as the unpaired poses suggest.",
        "Without it nothing tells a person from the twin that faces the other way.",
    ),
    "puppet": (
        "Ours. The known pose of a painted picture must be found; distil goes with it.",
        "Without it the silhouette alone ties the drawing to the picture.",
    ),
    "distil": (
        "Ours. Λ must lift what Ω sees in painted pictures as it lifts their true poses.",
        "Without it Λ meets the errors of Ω for the first time at the test.",
    ),
}


def ablation_of(term):
    """The records to judge a term by, its variant, the measure, and the stage that logs it."""
    lifts = term in LIFTING_TERMS
    found = evidence("ablation_lifting" if lifts else "ablation_images")
    variant = f"drop_{term.lower() if lifts else term}"
    return found, variant, found.measures[0], "lifting" if lifts else "images"


def mean(values):
    return sum(values) / len(values)


def figure_of_term(term):
    found, variant, measure, stage = ablation_of(term)
    reference = found.variants[0]
    figure = new_figure(7.0, 3.1)
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    for name, colour, dashes in ((reference, "#0072B2", "-"), (variant, "#D55E00", "--")):
        for k, r in enumerate(found.of(name)):
            history = read_history((RESULTS if found.committed else Path(runs)) / r["path"])[stage]
            logged = history[measure.column].dropna() if measure.column in history else []
            label = {reference: "all terms", variant: f"without {term}"}[name] if k == 0 else None
            if len(logged):
                left.plot(logged.index, logged, dashes, color=colour, label=label)
    if left.lines:
        left.legend(fontsize=8)
    left.set_xlabel("step", fontsize=8)
    left.set_ylabel(measure.label, fontsize=8)
    for row, name in enumerate(found.variants):
        values = found.values(name, measure)
        if not values:
            right.text(0, row, " missing", va="center", fontsize=7)
            continue
        colour = {reference: "#0072B2", variant: "#D55E00"}.get(name, "#cccccc")
        right.barh(row, mean(values), color=colour, height=0.7)
    labels = [
        describe(changed) if set(changed) == {"drop"} and name != "base_only" else name
        for name, changed in found.experiment.variants.items()
    ]
    right.set_yticks(range(len(labels)), [label.replace("_", " ") for label in labels])
    right.set_ylim(len(labels) - 0.5, -0.5)
    right.set_xlabel(measure.label, fontsize=8)
    for ax in (left, right):
        ax.tick_params(labelsize=7)
    figure.suptitle("\n".join(TERM_WORDS[term]), fontsize=9)
    return figure


def words_of_term(term):
    asks = " ".join(TERM_WORDS[term])
    found, variant, measure, _ = ablation_of(term)
    ends = [found.values(name, measure) for name in (found.variants[0], variant)]
    if not all(ends):
        return f"{asks} Missing: no runs with and without it. {found.command} makes them."
    full, without = (f"{mean(v):.{measure.digits}f} {measure.unit}" for v in ends)
    seeds = f"{len(ends[1])} seed{'s' * (len(ends[1]) > 1)}"
    return (
        f"{asks} {measure.title}: {full} with all terms, {without} without {term} ({seeds}; "
        f"{found.data} data, preset {found.preset})."
    )


figure_slider(
    figure_of_term,
    list(TERM_WORDS),
    start=list(TERM_WORDS).index("NF"),
    label="term",
    describe=words_of_term,
)

# %% [markdown]
# ## Lifting: each term left out

# %% tags=["hide-input"]
lifting = evidence("ablation_lifting")
answer_table(
    lifting,
    columns={
        "P-MPJPE, mm": "metrics.p_mpjpe_mm",
        "with reflection, mm": "metrics.p_mpjpe_reflection_mm",
        "N-MPJPE, mm": "metrics.n_mpjpe_mm",
        "elevation, deg": "metrics.elevation_mean_deg",
        "seconds a run": "duration_s",
    },
    digits={"seconds a run": 0},
)

# %% mystnb={"figure": {"caption": "Lifting from true 2D poses with terms left out. Dots are runs, bars their mean; the line is the flat pose, which knows no depth at all.", "name": "fig-ablation-lifting"}, "image": {"alt": "Bars of P-MPJPE for the full method and for the method without each of its five lifting terms, beside the flat pose's error."}} tags=["hide-input"]
flat = [r["baselines"]["flat"]["p_mpjpe_mm"] for r in lifting.records]
error_bars(
    {name: lifting.values(name, lifting.measures[0]) for name in lifting.variants},
    xlabel="P-MPJPE, mm (proper rotation)",
    references={"flat pose": mean(flat)} if flat else None,
)

# %% tags=["hide-input"]
Markdown(answer_sentence(lifting))

# %% [markdown]
# Two rows may surprise. Without the prior alone (`drop_nf`) the poses can be worse than without prior
# *and* bone lengths (`base_only`): bone lengths demand depth and do not say which way, so each limb
# takes a sign by chance, and signs by chance are worse than hardly any depth. And the core alone can end
# below the flat pose although nothing in it has seen people; why, we have not found out. Perspective,
# which tells near from far a little, and the learnt elevation are what we would look at first.

# %% [markdown]
# ## The pose that each ablation breaks
#
# Pick a variant and see what it makes of the same four test poses (solid), aligned with the truth
# (dashed) as P-MPJPE aligns them. Turn them by a quarter: what a variant breaks, it mostly breaks along
# the line of sight, where the picture does not show it.

# %% tags=["hide-input"]
weights = {
    r["variant"]: (path, r)
    for r in reversed(built)  # the lowest seed stays
    if r["experiment"] == "ablation_lifting"
    and (path := Path(runs) / r["path"] / WEIGHTS).is_file()
}
present = [name for name in lifting.variants if name in weights]
if len(present) > 1:
    dataset = DataChoice(
        name=data,
        data_root=data_root,
        data_train=data_train,
        data_test=data_test,
        cache=cache,
    ).load(Config.from_dict(weights[present[0]][1]["parameters"]), progress=False)
    chosen = torch.linspace(0, len(dataset.test) - 1, 4).round().long()
    truth, root = dataset.test.poses_3d[chosen], dataset.skeleton.root
    lifted = {}
    for name in present:
        pose = load(weights[name][0]).predict_from_poses(dataset.test.poses_2d[chosen]).pose_3d
        lifted[name] = procrustes(pose, truth)


def words_of_variant(name):
    each = ", ".join(f"{float(d):.0f}" for d in (lifted[name] - truth).norm(dim=-1).mean(dim=-1))
    return f"The poses as the variant {name} lifts them; P-MPJPE of each in mm: {each}."


if len(present) > 1:
    links = ", ".join(record_link(weights[name][1], name) for name in present)
    display(Markdown(f"Lifted here with the weights of this build's runs: {links}."))
    solid = {name: root_centred(pose, root) for name, pose in lifted.items()}
    display(
        pose_views(
            {
                f"pose {k + 1}": {
                    "this variant": torch.stack([solid[name][k] for name in present]),
                    "truth": root_centred(truth[k], root),
                }
                for k in range(len(chosen))
            },
            dataset.skeleton,
            label="The pose that each ablation breaks",
            description="Four test poses as a variant lifts them, each over the true pose.",
            frames=present,
            frame_label="variant",
            frame_descriptions=[words_of_variant(name) for name in present],
            azimuth=-60,
            height=240,
        )
    )
else:
    display(Markdown(f"**Missing**: this build has no weights of them. `{lifting.command}`"))

# %% [markdown]
# ## One question after the other
#
# Each answer below is a table, a figure and a sentence that is made from the numbers, with the number
# of seeds behind it. A difference is *beyond the spread of seeds* if Welch's t-test says so at 5 % for
# all comparisons of that answer together (Bonferroni). Fewer than three seeds are an anecdote. All seeds
# of a row share one data set: the test says whether training again would show the difference, not whether other
# people and motions would. Where the variants are no numbers, the first is what the others are compared
# with.


# %% tags=["hide-input"]
def show_answer(name):
    display(answer_table(evidence(name)))
    display(Markdown(answer_sentence(evidence(name))))


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
#
# All rows but one lift poses as they were read, so that rows with and without puppets compare: without
# puppets nothing says how far Ω errs. `refined` is the full method as it is used elsewhere, with the [expected
# pose](04_flow_prior.ipynb) lifted and the expected shape as its answer. `learned_thickness` learns how thick
# limbs are beside Φ, as runs of the questions below do, which were made before limbs were
# [measured](05_full_training.ipynb).

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
# ### Was it the data's luck?
#
# Other people, cameras, backgrounds and light, drawn from another seed; settings as they are. How far the
# camera's elevation matters is told where [sides are decided](09_diagnosis.ipynb).

# %% tags=["hide-input"]
show_answer("other_data")

# %% mystnb={"figure": {"caption": "Training from pictures on data of three seeds.", "name": "fig-other-data"}, "image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for data made with three seeds."}} tags=["hide-input"]
ablation_figure(evidence("other_data"))

# %% [markdown]
# ## What goes wrong, and how to see it
#
# An ablation made in a regime where the *full* method fails says nothing: with the bone term strong
# from the start, random depth signs hide every other effect. So look at the full variant first: is
# it clearly below the flat pose? Only then compare.
#
# ## Exercise
#
# The column *with reflection* forgives mirror images. For which variant should the two columns
# differ most, and what would that mean?
#
# ```{dropdown} Solution
# For one whose depth signs froze the wrong way over large parts of the body: `early_bl`. Its mirror
# image fits much better than the pose itself, because the bone lengths, strong from the first step, accept
# a pose and its depth flip alike. Where the columns agree, the poses are wrong in another way: without
# `NF` nothing says what a person looks like from elsewhere, and depths that merely survive the trip are
# as wrong in the mirror.
# ```
#
# ## Summary
#
# One change at a time, on the same seed and data. Each question is a file in `experiments/`;
# `make experiments` runs all with several seeds, and [one command](../book/rerun) runs a single cell
# of a table again.

# %% tags=["hide-input"]
provenance_box([r for found in answers.values() for r in found.records])
