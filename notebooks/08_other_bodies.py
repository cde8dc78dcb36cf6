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
# # Other bodies
#
# **Goal.** To see that nothing in the method is about people, and how far it comes with others: the
# same code and, but for the length of the training and the pictures' size and share, the same
# settings learn hands, four-legged animals and a desk lamp. From true 2D poses all of them are lifted well; from
# pictures 2D poses are found, and depth is only as good as they are.
#
# **In the paper.** It evaluates on people and reports hands besides {cite}`sosa2023self`. It says
# nothing of animals or machines; what becomes of them is measured here.
#
# **Time and device.** Minutes on one CPU core: the page draws its pictures, trains one
# lifting network for each body, and loads the networks that were trained from pictures.

# %% tags=["parameters"]
bodies = "hand,quadruped,machine"
preset = "quick"
lift_steps = 600
flow_steps = 500
seed = 0
cache = "build/cache"

# %% tags=["hide-input"]
from experiments.notebooks import check_parameters

check_parameters(globals(), ["bodies", "preset", "lift_steps", "flow_steps", "seed", "cache"])

# %% tags=["hide-input"]
import tempfile
from pathlib import Path

import torch
from IPython.display import Markdown, display

from selfpose import metrics
from book.kit.answers import records_for
from selfpose.config import Config
from selfpose.evaluation.scores import errors, predict_test
from book.kit.figures import joint_bars, prediction_figure, prediction_rows
from book.kit.pages import linked_groups, number_table, show_source
from selfpose.model import load
from book.kit.plots import learning_curves, picture_row, stack_figures, use_style
from book.kit.provenance import provenance_box
from experiments.records import published_records, published_weights, read_history
from selfpose.run import DataChoice, run_experiment
from selfpose.skeleton import HUMAN_17
from selfpose.training import fitting_components
from book.kit.view3d import pose_view
from book.kit.widgets import figure_slider
from experiments.workflow import read_experiments

use_style()
names = [name.strip() for name in bodies.split(",") if name.strip()]
sizes = {"n_unlabelled": 1024, "n_test": 512, "lift_steps": lift_steps, "flow_steps": flow_steps}
config = Config.for_run(
    preset=preset,
    input="poses",
    seed=seed,
    supervised=False,
    overrides={} if preset == "smoke" else sizes,
)
data = {name: DataChoice(name=name, cache=cache).load(config, progress=False) for name in names}

# %% [markdown]
# ## What a body is
#
# ```{prf:definition} Body
# :label: def-body
#
# A *body* is a tree: joints, bones $C = \{(i, j)\}$ from parent to child, a *root* about which poses
# are centred, a *top* whose mean distance from the root is the unit of length, the pairs of joints
# that change places in a mirror, and one number $\bar b_n$ for each bone, its length over the mean:
#
# $$
# \bar b_n = \frac{\lVert v_i - v_j \rVert}{\frac{1}{B}\sum_{(k, l) \in C} \lVert v_k - v_l \rVert},
# \qquad n = (i, j) .
# $$ (eq-relative-bones)
# ```
#
# Everything else takes its shape from that: $\kappa$ draws $B$ limbs, $\Omega$ and $\Lambda$ have
# $2J$ and $J$ outputs, the prior works on $2J$ numbers. A few parts need more than a tree, and are
# then left out by themselves: a body without mirror pairs has no sides to decide, so the term *side*
# is off, and its skeleton image uses one channel of the three.

# %%
from selfpose.metrics import with_measured_bones

show_source(with_measured_bones)

# %%
skeletons = {"people": HUMAN_17} | {name: data[name].skeleton for name in names}
number_table(
    {
        name: {
            "joints": body.n_joints,
            "bones": body.n_bones,
            "mirror pairs": len(body.mirror_pairs),
            "shape of a pose": str((body.n_joints, 3)),
            "components of the prior": fitting_components(config.flow_components, body.n_joints),
            "root": body.joints[body.root],
            "top": body.joints[body.top],
        }
        for name, body in skeletons.items()
    },
    first="body",
)

# %% [markdown]
# ## The pictures
#
# Drawn by the library, as the people are: rounded cones with their own colours, light and
# backgrounds, seen by static cameras. The movements are made up: joint angles that wander within
# their limits, a rhythm for gaits. Left and right look alike, as on the animal itself.

# %% mystnb={"figure": {"caption": "Test pictures of each body with their true 2D poses. Left is blue, right vermillion, what has no side grey.", "name": "fig-bodies-pictures"}, "image": {"alt": "Rows of small pictures of hands, of four-legged animals and of desk lamps before patterned backgrounds, with stick figures drawn over them."}} tags=["hide-input"]
figures = []
for dataset in data.values():
    rows = torch.linspace(0, len(dataset.test) - 1, 7).round().long().tolist()
    figures.append(
        picture_row(
            [dataset.test.images[k] for k in rows],
            [dataset.test.activity[k] for k in rows],
            poses=[dataset.test.poses_2d[k] for k in rows],
            skeleton=dataset.skeleton,
        )
    )
stack_figures(figures)

# %% [markdown]
# ## Lifting, trained here
#
# $\Lambda$ learns from unpaired 2D poses alone, as on the page on
# [lifting](02_lifting.ipynb), for some hundred steps, and is tested from the true 2D poses of
# individuals that it never saw. *Flat* gives every joint the root's depth.

# %%
lifted = {}
for name, dataset in data.items():
    with tempfile.TemporaryDirectory() as folder:
        lifted[name] = run_experiment(config, dataset=dataset, out=Path(folder), progress=False)

number_table(
    {
        name: {
            "Λ, P-MPJPE mm": record["metrics"]["p_mpjpe_mm"],
            "mean pose": record["baselines"]["mean_pose"]["p_mpjpe_mm"],
            "flat": record["baselines"]["flat"]["p_mpjpe_mm"],
            "Λ over mean pose, %": 100
            * record["metrics"]["p_mpjpe_mm"]
            / record["baselines"]["mean_pose"]["p_mpjpe_mm"],
            "seconds": record["duration_s"],
        }
        for name, record in lifted.items()
    },
    first="lifting from true 2D",
)

# %% [markdown]
# ## From pictures
#
# The whole method with the settings that the people of this book were trained with, but for three
# numbers and the precision of convolutions. There are more steps. Pictures have twice the side, for
# a finger or a paw is a few pixels wide even so; skeleton images are as large as before. And since
# such pictures take their time, fewer are seen among the puppets (`picture_every`). Training takes
# a good while for each body (the last column below has the seconds), so this page loads the weights
# that are committed with their records.
# The commands that make them again:

# %% tags=["hide-input"]
shipped = {name: published_weights("other_bodies", "selfpose", name) for name in names}
display(
    Markdown(
        "\n".join(
            ["```sh"]
            + [
                f"selfpose campaign --data {name} --preset quick --cell other_bodies/selfpose/seed0"
                for name in names
            ]
            + ["```"]
        )
    )
)
if missing := [name for name, found in shipped.items() if found is None]:
    display(Markdown(f"*Not yet published: {', '.join(missing)}.*"))
shipped = {name: found for name, found in shipped.items() if found is not None}
experiment = {e.name: e for e in read_experiments()}["other_bodies"]
committed = published_records()
evidence = {
    name: records_for(
        experiment,
        [],
        [r for r in committed if (r["dataset"], r["preset"]) == (name, record["preset"])],
        data=name,
        preset=record["preset"],
    )
    for name, (_, record) in shipped.items()
}
trained = {name: found.of("selfpose") for name, found in evidence.items()}

# %% tags=["hide-input"]
linked_groups(
    trained,
    {
        "picture, px": "parameters.image_size",
        "steps": "parameters.steps",
        "2D error as read, %": "metrics.error_2d_percent_as_seen",
        "2D error, %": "metrics.error_2d_percent",
        "sides forgiven, %": "metrics.error_2d_percent_side_tolerant",
        "mean pose 2D, %": "baselines.mean_pose.error_2d_percent",
        "seconds": "duration_s",
    },
    first="from pictures",
    digits={"seconds": 0, "picture, px": 0, "steps": 0},
)

# %% tags=["hide-input"]
linked_groups(
    trained,
    {
        "P-MPJPE as read, mm": "metrics.p_mpjpe_mm_as_seen",
        "Λ of the expected, mm": "metrics.p_mpjpe_mm_lifted",
        "P-MPJPE, mm": "metrics.p_mpjpe_mm",
        "mean pose 3D, mm": "baselines.mean_pose.p_mpjpe_mm",
        "flat, mm": "baselines.flat.p_mpjpe_mm",
    },
    first="from pictures",
)

# %% [markdown]
# *As read* is what $\Omega$ read, and $\Lambda$ on that. The other columns are of the [expected
# pose](04_flow_prior.ipynb) given that, of what $\Lambda$ lifts from it, and of the expected shape, which is the
# answer. P-MPJPE, which looks at the shape of a body, gains most; N-MPJPE, which minds how it is turned,
# moves little.

# %% tags=["hide-input"]
below = {
    error: [
        name
        for name, found in trained.items()
        if all(r["metrics"][error] < r["baselines"]["mean_pose"][error] for r in found)
    ]
    for error in ("error_2d_percent", "p_mpjpe_mm", "n_mpjpe_mm")
}
said = {error: ", ".join(names) or "none of them" for error, names in below.items()}
display(
    Markdown(
        f"Below the mean pose with every seed, in 2D: {said['error_2d_percent']}. In 3D by "
        f"P-MPJPE: {said['p_mpjpe_mm']}; by N-MPJPE, which forgives no turn: "
        f"{said['n_mpjpe_mm']}. "
        "Where 3D is hardly below although 2D is far below, compare with the lifting from true 2D "
        "above: Λ then gets poses that are still too rough for it."
    )
)

# %% tags=["hide-input"]
pipelines = {name: load(path) for name, (path, _) in shipped.items()}
tests = {
    name: DataChoice(name=name, cache=cache)
    .load(
        # The record's test pictures, which do not depend on how many others there are.
        Config.from_dict(record["parameters"]).with_(n_unlabelled=64),
        progress=False,
    )
    .test
    for name, (_, record) in shipped.items()
}
predictions = {name: predict_test(pipelines[name], tests[name]) for name in shipped}
error = {
    name: errors(predictions[name], tests[name], pipelines[name].skeleton)["p_mpjpe_mm"]
    for name in shipped
}
order = {name: error[name].argsort() for name in shipped}

# %% mystnb={"figure": {"caption": "For each body the best, the median and the worst test picture by 3D error. White in the second and third column: the truth.", "name": "fig-bodies-best-worst"}, "image": {"alt": "Three rows for each body: picture, skeleton image, 2D pose, 3D pose and true 3D pose."}} tags=["hide-input"]
figures = []
for name in shipped:
    ranks = {"best": 0, "median": len(order[name]) // 2, "worst": len(order[name]) - 1}
    rows = {
        f"{name}\n{place}, {float(error[name][order[name][k]]):.0f} mm": int(order[name][k])
        for place, k in ranks.items()
    }
    figures.append(prediction_rows(predictions[name], rows, tests[name], pipelines[name].skeleton))
stack_figures(figures) if figures else None

# %% [markdown]
# The median pictures again, as poses that turn: drag them, or use the arrow keys. The prediction is
# moved onto the truth by the best similarity transform.

# %% tags=["hide-input"]
for name in shipped:
    index = int(order[name][len(order[name]) // 2])
    truth = tests[name].poses_3d[index].double()
    moved = metrics.procrustes(predictions[name].pose_3d[index].double(), truth)
    display(
        pose_view(
            {"prediction": moved, "truth": truth},
            pipelines[name].skeleton,
            label=f"The median {name}, in 3D",
            description=(
                f"Predicted and true 3D pose of a {name}, one over the other; their mean distance "
                f"is {float(error[name][index]):.0f} mm."
            ),
        )
    )

# %% [markdown]
# The slider runs through one body's test pictures in order of 3D error.

# %% tags=["hide-input"]
if shipped:
    chosen = next(iter(shipped))
    places = torch.linspace(0, len(order[chosen]) - 1, 9).round().long().tolist()

    def figure_of(place):
        index = int(order[chosen][place])
        return prediction_figure(
            tests[chosen].images[index],
            predictions[chosen],
            index,
            pipelines[chosen].skeleton,
            truth_2d=tests[chosen].poses_2d[index],
            truth_3d=tests[chosen].poses_3d[index],
        )

    def words(place):
        shown = float(error[chosen][order[chosen][place]])
        return (
            f"Picture, skeleton image, 2D pose, 3D pose and truth of a {chosen}, {place + 1} of "
            f"{len(order[chosen])} in order of 3D error: {shown:.0f} mm."
        )

    display(
        figure_slider(
            figure_of,
            places,
            label=f"{chosen}, rank by 3D error",
            format=lambda place: f"{place + 1} of {len(order[chosen])}",
            describe=words,
        )
    )

# %% mystnb={"figure": {"caption": "3D error by joint, after Procrustes alignment of the whole body.", "name": "fig-bodies-joints"}, "image": {"alt": "Bars, one for each joint of a body, of its mean 3D error in millimetres."}} tags=["hide-input"]
bars = [
    joint_bars(
        record["by_joint"],
        metric="p_mpjpe_mm",
        ylabel=f"{record['dataset']}: 3D error, mm",
    )
    for _, record in shipped.values()
]
stack_figures(bars) if bars else None

# %% [markdown]
# ## How far it comes, and what goes wrong
#
# The *mean pose* of the table is a strong constant where a body has no sides: every training pose is
# moved onto the mean before it is averaged, and the constant is turned and scaled onto each test pose
# before it is measured. A body that is mostly rigid is nearly known after that, and a P-MPJPE a
# little above or below this constant says little; N-MPJPE, which forgives size alone, says more:

# %% tags=["hide-input"]
linked_groups(
    trained,
    {
        "N-MPJPE as read, mm": "metrics.n_mpjpe_mm_as_seen",
        "N-MPJPE, mm": "metrics.n_mpjpe_mm",
        "mean pose": "baselines.mean_pose.n_mpjpe_mm",
        "flat": "baselines.flat.n_mpjpe_mm",
    },
    first="from pictures, turned by nobody",
)

# %% [markdown]
# Do puppets teach what pictures ask? The loss on puppets below falls to the end, if less and less.
# The error on pictures does something else: the hand's is smallest early and rises again, the
# quadruped's stops falling before the end, the lamp's still falls. Puppets show the poses of the
# training and the look of its pictures, and the test pictures show other individuals, so a part may
# be learning by heart. A part, we guess, is what puppets lack: a dog's spine lies at the top of its
# trunk, where a puppet has it in the middle; a hand ends in a sleeve, a puppet in a wrist.

# %% mystnb={"figure": {"caption": "Puppets and pictures in the same training (first seed of each body). Left: the squared loss on one batch of puppets, averaged over neighbouring steps. Right: the 2D error on some test pictures, sides forgiven, as the averaged networks read them. The first hundred steps, far above, are left out.", "name": "fig-bodies-gap"}, "image": {"alt": "Two panels of curves over the steps of training, one curve a body. The loss on puppets falls; the 2D error of the hand rises after its first third, that of the quadruped levels off, that of the lamp falls to the end."}} tags=["hide-input"]
measured = {
    "puppet": "loss on puppets",
    "error_2d_percent_side_tolerant": "2D error, sides forgiven, %",
}
curves = []
for name, (path, _) in shipped.items():
    history = read_history(path.parent)["images"].loc[100:, list(measured)]
    history["puppet"] = history["puppet"].rolling(11, center=True, min_periods=1).mean()
    curves += [
        {"step": step, **{f"{column} {name}": x for column, x in row.dropna().items()}}
        for step, row in history.iterrows()
    ]
panels = {title: {f"{c} {name}": name for name in shipped} for c, title in measured.items()}
learning_curves(curves, panels, columns=2) if curves else None

# %% [markdown]
# - **A body that is not upright.** The cycle turns bodies about the vertical and takes out a camera
#   elevation of a few tens of degrees. Hands that point anywhere break that: here forearms are
#   within some 40° of the vertical. For others turn the pictures, or expect depth to suffer.
# - **Fingers that run into one.** A hand has 20 bones in a small space. Drawn as thick as a person's
#   limbs, they fill the skeleton images of {numref}`fig-bodies-best-worst` with one white patch, and fingers are the
#   part that $\Omega$ reads worst. In trials, thinner lines, neighbouring fingers in different channels and
#   pictures cropped about the hand did not help. What did was puppets that look more like hands: their
#   fingers were like sausages as long as thickness was learnt from poses that were still wrong, and their
#   colours partly those of the background. Now limbs are [measured](05_full_training.ipynb) before any
#   pose is seen ({eq}`eq-thickness`). It could be better still: the palm, which has no bones to fill it,
#   and the sleeve, which moves as the hand does and is no limb of any puppet, make the measured fingers
#   too thick; told the true thickness, which no user knows, a trial came out better again.
#   (These trials left no records.)
# - **Head or tail?** An animal's outline is nearly the same from both ends. Where the quadruped is
#   wrong by much, it mostly looks the other way, or its skeleton image has a head at both ends. Heat maps of
#   $\Omega$ then have two peaks, and a soft-argmax puts each joint between them.
# - **Mirrors.** A right hand in a mirror is a left one. Showing a body without mirror pairs mirrored,
#   as is done with people, makes its depths ambiguous, so it is not done.
# - **Sides.** Animals have pairs of legs that look alike. Over all pictures the quadruped's are named as if by
#   a coin; by activity the share runs from few to nearly all, and differs by seed: one naming holds for a whole
#   kind of pictures. How a body is named decides how it is turned, so N-MPJPE follows it. P-MPJPE does not: that
#   of Λ alone is no smaller with sides put right by the truth (*sides given* below), for Λ has learnt from the
#   namings that it met. Puppets that [insist on sides](09_diagnosis.ipynb) did not help (`insisting`, one seed).
# - **A root and a top too near each other.** Their mean distance is the unit. If it is small against
#   the body, every number in method units is large, and $\Delta$ no longer means a far camera.

# %% tags=["hide-input"]
sided = [name for name in trained if pipelines[name].skeleton.has_sides]
insisting = {f"{name}, insisting": evidence[name].of("insisting") for name in sided}
linked_groups(
    {name: trained[name] for name in sided} | {n: found for n, found in insisting.items() if found},
    {
        "facing right, %": "metrics.facing_right_percent",
        "2D, sides forgiven, %": "metrics.error_2d_percent_side_tolerant",
        "P-MPJPE, mm": "metrics.p_mpjpe_mm",
        "Λ alone, mm": "metrics.p_mpjpe_mm_lifted",
        "sides given, mm": "metrics.p_mpjpe_sides_given_mm",
        "N-MPJPE, mm": "metrics.n_mpjpe_mm",
    },
    first="from pictures",
)

# %% [markdown]
# ## Exercise
#
# The lamp has 8 joints, so that a pose has 16 numbers, and the prior keeps fewer components than for
# people. Why not all that vary?
#
# ```{admonition} Solution
# :class: dropdown
#
# The two coordinates of the root are always zero, so 14 vary. Of these the last ones are nearly
# determined by the others: the foot, the knob and the stem are one rigid piece. Scaled to unit
# variance they would be noise, and a flow that has to model noise punishes good poses for it. The
# sweep over the number of components on the page on [ablations](07_ablations.ipynb) shows what
# keeping everything does to people.
# ```

# %% [markdown]
# ## Summary
#
# A body is a small tree of names and numbers. Given pictures of one from static cameras, and 2D
# poses of others, the method runs unchanged. [Your own body](11_own_body.ipynb) does it for one that
# the library does not know.

# %% tags=["hide-input"]
provenance_box([r for found in [*trained.values(), *insisting.values()] for r in found])
