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
# **Time and device.** Seconds on one CPU core: this page reads records. `make book` runs the lifting
# ablation alone; all other questions take longer, and `make experiments` runs them. Where this
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
import torch
from IPython.display import Markdown, display

from book.kit.figures import error_bars, variants_figure
from book.kit.page import start_page
from book.kit.plots import new_figure
from book.kit.tables import linked_groups, show_source
from book.kit.widgets import figure_slider
from experiments.records import read_history
from experiments.run import read_experiments
from selfpose.config import LIFTING_TERMS, Config
from selfpose.run import DataChoice
from selfpose.train import build_pipeline, lifting_terms

page = start_page("07_ablations", globals())
experiments = {e.name: e for e in read_experiments()}
built, committed = page.records, page.published

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
show_source(lifting_terms)

# %% [markdown]
# A tiny example with shapes: eight 2D poses go round the cycle of an untrained Λ, and each term is one
# number. A weight of zero leaves a term out:

# %%
small = {"data.n_unlabelled": 320, "data.n_test": 16, "terms.NF": 0}
tiny = Config.for_run(preset="smoke", overrides=small)
demo = DataChoice(name="embedded").load(tiny, progress=False)
untrained = build_pipeline(demo, tiny)
y = untrained.scale.pixels_to_plane(demo.unpaired[:8], demo.skeleton.root)
turns = torch.Generator().manual_seed(0)
with torch.no_grad():
    terms, _ = lifting_terms(untrained, y, tiny, bone_share=1.0, generator=turns)
print("poses", tuple(y.shape))
for term, value in terms.items():
    print(f"{term:>4s} {float(value):.2f}, shape {tuple(value.shape)}")

# %% [markdown]
# ## How questions are answered here
#
# Each answer is a table, a figure and a sentence that is made from the numbers. The runs are this
# build's where it has two variants or more, else the committed ones. A number of one seed is an
# anecdote; of several, a mean ± standard deviation. All seeds of a row share one data set: the spread
# is that of training again, not that of other people and motions. The first variant is what the others
# are compared with.


# %% tags=["hide-input"]
def runs_of(name):
    """Runs of an experiment by variant: this build's, or the committed group of most variants."""
    groups = {}
    for r in [*committed, *built]:
        if r["experiment"] == name and r["variant"] in experiments[name].variants:
            key = (r in built, r["dataset"] == data, r["dataset"], r["preset"])
            groups.setdefault(key, {}).setdefault(r["variant"], []).append(r)
    enough = {key: found for key, found in groups.items() if len(found) > 1}
    if not enough:
        return {}
    found = enough[max(enough, key=lambda key: (key[0], len(enough[key]), key[1]))]
    return {variant: found.get(variant, []) for variant in experiments[name].variants}


MEASURES = {
    "poses": {"P-MPJPE, mm": "p_mpjpe_mm"},
    "images": {
        "2D error, sides forgiven, %": "error_2d_percent_side_tolerant",
        "facing right, %": "facing_right_percent",
        "P-MPJPE, mm": "p_mpjpe_mm",
    },
}
cells = {name: runs_of(name) for name in experiments}


def values(name, variant, metric):
    return [r["metrics"][metric] for r in cells[name].get(variant, [])]


def mean(numbers):
    return sum(numbers) / len(numbers)


def show_answer(name, columns=None, *, draw=True):
    """Table and figure of an experiment, and its best and worst variant by the first measure."""
    experiment, found = experiments[name], cells[name]
    measures = MEASURES[experiment.base["input"]]
    if not found:
        display(Markdown("**Missing**: no runs yet. `make experiments` makes them."))
        return
    fields = columns or {title: f"metrics.{metric}" for title, metric in measures.items()}
    rows = {}
    for variant, changed in experiment.variants.items():
        changes = ", ".join(f"{name} = {value}" for name, value in changed.items())
        rows[f"{variant} ({changes})" if changes else variant] = found[variant]
    display(linked_groups(rows, fields, first=name))
    title, metric = next(iter(measures.items()))
    means = {variant: mean(values(name, variant, metric)) for variant in found if found[variant]}
    seeds = " to ".join(str(n) for n in sorted({len(same) for same in found.values() if same}))
    one = next(r for same in found.values() for r in same)
    display(
        Markdown(
            f"{title.split(',')[0]} is smallest with `{min(means, key=means.get)}` and largest "
            f"with `{max(means, key=means.get)}` ({one['dataset']} data, preset `{one['preset']}`; "
            f"seeds behind each number: {seeds})."
        )
    )
    if draw:
        display(variants_figure(found, measures, over=experiment.over))


# %% [markdown]
# ## Pick a term: what is lost without it?
#
# The slider goes through the seven terms of the paper, then through our four. The title says what a term
# asks for. Left: the error on test data while each run learns, with all terms and without this one.
# Right: where all runs of that ablation end. Terms of Λ are judged by lifting true 2D poses, the others
# by the 2D poses that come out of pictures. A small difference is no finding, and a short run may not
# need a term that a long one does.

# %% tags=["hide-input"]
TERM_WORDS = {
    "D": "A skeleton image must look like a drawing of some person's pose.",
    "Omega": "Ω must read drawings of poses, and what it reads must draw the same image again.",
    "2D": "After the trip round, the pose must project onto the 2D pose that it came from.",
    "3D": "What is lifted from the new view must be the pose that was turned.",
    "def": "The difference between two poses must survive the trip.",
    "NF": "What is seen from the new view must look like people's 2D poses.",
    "bl": "Bones must have the known relative lengths.",
    "sil": "Ours. The skeleton must lie on what differs from the background.",
    "side": "Ours. Left and right must be named as the unpaired poses suggest.",
    "puppet": "Ours. The known pose of a painted picture must be found; distil goes with it.",
    "distil": "Ours. Λ must lift what Ω sees in painted pictures as it lifts their true poses.",
}


def ablation_of(term):
    """The experiment to judge a term by, its variant, title and metric, and the logging stage."""
    lifts = term in LIFTING_TERMS
    name = "ablation_lifting" if lifts else "ablation_images"
    title, metric = next(iter(MEASURES["poses" if lifts else "images"].items()))
    variant = f"drop_{term.lower() if lifts else term}"
    return name, variant, title, metric, "lifting" if lifts else "images"


def figure_of_term(term):
    name, variant, title, metric, stage = ablation_of(term)
    colours = {"full": "#0072B2", variant: "#D55E00"}
    figure = new_figure(7.0, 3.1)
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
    for shown, colour in colours.items():
        for r in cells[name].get(shown, []):
            logged = read_history(page.folder(r))[stage][metric].dropna()
            left.plot(logged, color=colour)
    left.set(xlabel="step", ylabel=title)
    groups = {v: values(name, v, metric) for v in cells[name]}
    error_bars(groups, xlabel=title, highlight=colours, ax=right)
    for ax in (left, right):
        ax.tick_params(labelsize=7)
    figure.suptitle(TERM_WORDS[term], fontsize=9)
    return figure


def words_of_term(term):
    name, variant, title, metric, _ = ablation_of(term)
    full, without = (values(name, v, metric) for v in ("full", variant))
    if not full or not without:
        return f"{TERM_WORDS[term]} Missing: no runs with and without it."
    return (
        f"{TERM_WORDS[term]} {title}: {mean(full):.1f} with all terms (blue), {mean(without):.1f} "
        f"without {term} (orange); seeds: {len(without)}."
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
show_answer(
    "ablation_lifting",
    columns={
        "P-MPJPE, mm": "metrics.p_mpjpe_mm",
        "with reflection, mm": "metrics.p_mpjpe_reflection_mm",
        "N-MPJPE, mm": "metrics.n_mpjpe_mm",
        "elevation, deg": "metrics.elevation_mean_deg",
        "seconds a run": "duration_s",
    },
    draw=False,
)

# %% mystnb={"figure": {"caption": "Lifting from true 2D poses with terms left out. Dots are runs, bars their mean; the line is the flat pose, which knows no depth at all.", "name": "fig-ablation-lifting"}, "image": {"alt": "Bars of P-MPJPE for the full method and for the method without each of its five lifting terms, beside the flat pose's error."}} tags=["hide-input"]
lifting = cells["ablation_lifting"]
flat = [r["baselines"]["flat"]["p_mpjpe_mm"] for found in lifting.values() for r in found]
error_bars(
    {variant: values("ablation_lifting", variant, "p_mpjpe_mm") for variant in lifting},
    xlabel="P-MPJPE, mm (proper rotation)",
    references={"flat pose": mean(flat)} if flat else None,
)

# %% [markdown]
# Two rows may surprise. Without the prior alone (`drop_nf`) the poses can be worse than without prior
# *and* bone lengths (`base_only`): bone lengths demand depth and do not say which way, so each limb
# takes a sign by chance, and signs by chance are worse than hardly any depth. And the core alone can end
# below the flat pose although nothing in it has seen people; why, we have not found out. Perspective,
# which tells near from far a little, and the learnt elevation are what we would look at first.

# %% [markdown]
# ## One question after the other
#
# ### How far does the geometric core come?
#
# The paper's own order: first $\mathcal{L}_{base}$, then the prior on 2D poses, then the bone lengths.

# %% mystnb={"image": {"alt": "Bars of P-MPJPE for the geometric core, with the flow prior, and with the bone lengths too."}} tags=["hide-input"]
show_answer("build_up")

# %% [markdown]
# ### Is it worth learning the camera's elevation?
#
# It can be drawn from an assumed distribution; here Λ predicts it, and the cycle takes its distribution
# from the batch. The variant `fixed` is told the truth: it assumes N(10°, 10°), and our studio draws its
# cameras from that very distribution (cut off at −15° and 40°). On pictures of unknown cameras nobody has
# this number, so `fixed` is the best case of assuming. `fixed_wrong` assumes N(25°, 5°).

# %% mystnb={"image": {"alt": "Bars of P-MPJPE with learnt elevation and with two fixed distributions of it."}} tags=["hide-input"]
show_answer("elevation")

# %% [markdown]
# ### How far away is the camera assumed to be?
#
# Δ sets the perspective: with a large Δ, the camera sees the person almost without it. The paper takes 10.

# %% mystnb={"image": {"alt": "P-MPJPE over the depth of the camera, each run a dot."}} tags=["hide-input"]
show_answer("sweep_delta")

# %% [markdown]
# ### How much of a 2D pose should the prior see?
#
# The flow works on the first principal components of 2D poses. Few leave out what tells a plausible pose;
# many let it model noise.

# %% mystnb={"image": {"alt": "P-MPJPE over the number of principal components, each run a dot."}} tags=["hide-input"]
show_answer("sweep_flow")

# %% [markdown]
# ### How many unpaired poses are enough?
#
# All that the method knows of the human body comes from this set. The variant `all` takes the number of
# the preset, which stands in its row.

# %% mystnb={"image": {"alt": "P-MPJPE over the number of unpaired poses on a logarithmic axis, each run a dot."}} tags=["hide-input"]
show_answer("sweep_unpaired")

# %% [markdown]
# ### What if the unpaired poses show other people?
#
# Pictures and tests stay those of motion capture; the unpaired poses are generated ones, of other bodies
# in other motions. The bone lengths stay.

# %% mystnb={"image": {"alt": "Bars of P-MPJPE with unpaired poses of the same and of another data set."}} tags=["hide-input"]
show_answer("domain_gap")

# %% [markdown]
# ### Pictures: what does each term and each addition buy?
#
# From here on the runs start from pictures. Three measures: the 2D error with the left and right of each
# limb forgiven, the share of pictures on which the person faces the right way, and the 3D error, which
# needs both.

# %% tags=["hide-input"]
show_answer("ablation_images", draw=False)

# %% mystnb={"figure": {"caption": "Training from pictures with parts left out or changed. The dotted line is the full variant.", "name": "fig-ablation-images"}, "image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for the full method, for each part left out, and for the variant paper."}} tags=["hide-input"]
variants_figure(cells["ablation_images"], MEASURES["images"])

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

# %% mystnb={"image": {"alt": "Three panels over lambda: 2D error, facing right and P-MPJPE, each run a dot."}} tags=["hide-input"]
show_answer("sweep_lambda")

# %% [markdown]
# ### How thin should the lines be?
#
# γ sets the width of the limbs in skeleton images: large is thin. The paper does not state it.

# %% mystnb={"image": {"alt": "Three panels over gamma: 2D error, facing right and P-MPJPE, each run a dot."}} tags=["hide-input"]
show_answer("sweep_gamma")

# %% [markdown]
# ### How much does the background matter?
#
# The same people before nothing, one colour, shapes, and clutter.

# %% mystnb={"image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for each kind of background."}} tags=["hide-input"]
show_answer("background")

# %% [markdown]
# ### Was it the data's luck?
#
# Other people, cameras, backgrounds and light, drawn from another seed; settings as they are. How far the
# camera's elevation matters is told where [sides are decided](09_diagnosis.ipynb).

# %% mystnb={"image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for data made with three seeds."}} tags=["hide-input"]
show_answer("other_data")

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
page.provenance_box([r for found in cells.values() for same in found.values() for r in same])
