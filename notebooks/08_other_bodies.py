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
import tempfile
from pathlib import Path

import torch
from IPython.display import Markdown, display

from book.kit.figures import learning_curves, prediction_figure, prediction_slider
from book.kit.page import start_page
from book.kit.plots import new_figure, picture_row
from book.kit.tables import linked_groups, number_table, show_source
from book.kit.view3d import pose_view
from experiments.records import published_weights, read_history
from selfpose.config import Config
from selfpose.evaluation.scores import errors, predict_test
from selfpose.metrics import procrustes, with_measured_bones
from selfpose.model import load
from selfpose.run import DataChoice, run_experiment
from selfpose.skeleton import HUMAN_17
from selfpose.train import fitting_components

page = start_page("08_other_bodies", globals())
names = [name.strip() for name in bodies.split(",") if name.strip()]
sizes = {"data.n_unlabelled": 1024, "data.n_test": 512}
sizes |= {"lifting.steps": lift_steps, "flow.steps": flow_steps}
config = Config.for_run(
    preset=preset,
    overrides={} if preset == "smoke" else sizes,
    input="poses",
    seed=seed,
    supervised_steps=0,
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

# %% tags=["hide-input"]
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
            "components of the prior": fitting_components(config.flow.components, body.n_joints),
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
figure = new_figure(7.0, 1.3 * len(data))
for part, dataset in zip(
    figure.subfigures(len(data), squeeze=False)[:, 0], data.values(), strict=True
):
    rows = torch.linspace(0, len(dataset.test) - 1, 7).round().long().tolist()
    picture_row(
        [dataset.test.images[k] for k in rows],
        [dataset.test.activity[k] for k in rows],
        poses=[dataset.test.poses_2d[k] for k in rows],
        skeleton=dataset.skeleton,
        figure=part,
    )
figure

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

rows = {}
for name, record in lifted.items():
    own = record["metrics"]["p_mpjpe_mm"]
    mean_pose = record["baselines"]["mean_pose"]["p_mpjpe_mm"]
    rows[name] = {
        "Λ, P-MPJPE mm": own,
        "mean pose": mean_pose,
        "flat": record["baselines"]["flat"]["p_mpjpe_mm"],
        "Λ over mean pose, %": 100 * own / mean_pose,
        "seconds": record["duration_s"],
    }
number_table(rows, first="lifting from true 2D")

# %% [markdown]
# ## From pictures
#
# The whole method with the settings that the people of this book were trained with, but for three
# numbers and the precision of convolutions. There are more steps. Pictures have twice the side, for
# a finger or a paw is a few pixels wide even so; skeleton images are as large as before. And since
# such pictures take their time, fewer are seen among the puppets (`extras.picture_every`). Training
# takes a good while for each body (the last column below has the seconds), so this page loads the
# weights that are committed with their records. The box at the end has the commands that make them.

# %% tags=["hide-input"]
shipped = {name: published_weights("other_bodies", "selfpose", name) for name in names}
if missing := [name for name, found in shipped.items() if found is None]:
    display(Markdown(f"*Not yet published: {', '.join(missing)}.*"))
shipped = {name: found for name, found in shipped.items() if found is not None}
committed = [r for r in page.published if r["experiment"] == "other_bodies"]


def runs_of(name, variant):
    """The committed runs of a body, of the preset whose weights are loaded."""
    wanted = (name, variant, shipped[name][1]["preset"])
    return [r for r in committed if (r["dataset"], r["variant"], r["preset"]) == wanted]


trained = {name: runs_of(name, "selfpose") for name in shipped}

# %% tags=["hide-input"]
linked_groups(
    trained,
    {
        "picture, px": "parameters.networks.image_size",
        "steps": "parameters.pictures.steps",
        "2D error as read, %": "metrics.error_2d_percent_as_seen",
        "2D error, %": "metrics.error_2d_percent",
        "sides forgiven, %": "metrics.error_2d_percent_side_tolerant",
        "mean pose 2D, %": "baselines.mean_pose.error_2d_percent",
        "seconds": "duration_s",
    },
    first="from pictures",
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
# moves little. Where 3D is hardly below the mean pose although 2D is far below, compare with the lifting
# from true 2D above: Λ then gets poses that are still too rough for it.

# %% tags=["hide-input"]
pipelines = {name: load(path) for name, (path, _) in shipped.items()}
tests, predictions, error, order = {}, {}, {}, {}
for name, (_, record) in shipped.items():
    # The record's test pictures, which do not depend on how many others there are.
    few = Config.from_dict(record["parameters"]).with_({"data.n_unlabelled": 64})
    tests[name] = DataChoice(name=name, cache=cache).load(few, progress=False).test
    predictions[name] = predict_test(pipelines[name], tests[name])
    found = errors(predictions[name], tests[name], pipelines[name].skeleton)
    error[name] = found["p_mpjpe_mm"]
    order[name] = error[name].argsort()

# %% mystnb={"figure": {"caption": "For each body the best, the median and the worst test picture by 3D error. White in the second and third column: the truth.", "name": "fig-bodies-best-worst"}, "image": {"alt": "Three rows for each body: picture, skeleton image, 2D pose, 3D pose and true 3D pose."}} tags=["hide-input"]
figure = new_figure(7.0, 4.3 * len(shipped)) if shipped else None
parts = figure.subfigures(len(shipped), squeeze=False)[:, 0] if shipped else []
for name, part in zip(shipped, parts, strict=True):
    ranks = {"best": 0, "median": len(order[name]) // 2, "worst": len(order[name]) - 1}
    rows = {place: int(order[name][rank]) for place, rank in ranks.items()}
    rows = {f"{name}\n{place}, {float(error[name][k]):.0f} mm": k for place, k in rows.items()}
    prediction_figure(predictions[name], rows, tests[name], pipelines[name].skeleton, figure=part)
figure

# %% [markdown]
# The median pictures again, as poses that turn: drag them, or use the arrow keys. The prediction is
# moved onto the truth by the best similarity transform.

# %% tags=["hide-input"]
for name in shipped:
    index = int(order[name][len(order[name]) // 2])
    truth = tests[name].poses_3d[index].double()
    moved = procrustes(predictions[name].pose_3d[index].double(), truth)
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
    body = next(iter(shipped))
    display(
        prediction_slider(
            predictions[body], tests[body], pipelines[body].skeleton, error[body], unit="mm P-MPJPE"
        )
    )

# %% [markdown]
# ## How far it comes, and what goes wrong
#
# The *mean pose* of the table is a strong constant where a body has no sides: every training pose is
# moved onto the mean before it is averaged, and the constant is turned and scaled onto each test pose
# before it is measured. A body that is mostly rigid is nearly known after that, and a P-MPJPE a
# little above or below this constant says little.
#
# Do puppets teach what pictures ask? The loss on puppets below falls to the end, if less and less.
# The error on pictures does something else: the hand's is smallest early and rises again, the
# quadruped's stops falling before the end, the lamp's still falls. Puppets show the poses of the
# training and the look of its pictures, and the test pictures show other individuals, so a part may
# be learning by heart. A part, we guess, is what puppets lack: a dog's spine lies at the top of its
# trunk, where a puppet has it in the middle; a hand ends in a sleeve, a puppet in a wrist.

# %% mystnb={"figure": {"caption": "Puppets and pictures in the same training (first seed of each body). Left: the squared loss on one batch of puppets, averaged over neighbouring steps. Right: the 2D error on some test pictures, sides forgiven, as the averaged networks read them. The first hundred steps, far above, are left out.", "name": "fig-bodies-gap"}, "image": {"alt": "Two panels of curves over the steps of training, one curve a body. The loss on puppets falls; the 2D error of the hand rises after its first third, that of the quadruped levels off, that of the lamp falls to the end."}} tags=["hide-input"]
histories = {}
for name, (path, _) in shipped.items():
    histories[name] = read_history(path.parent)["images"].loc[100:]
    smooth = histories[name]["puppet"].rolling(11, center=True, min_periods=1).mean()
    histories[name]["puppet"] = smooth
learning_curves(
    histories,
    {
        "loss on puppets": "puppet",
        "2D error, sides forgiven, %": "error_2d_percent_side_tolerant",
    },
    across=2,
)

# %% [markdown]
# - **A body that is not upright.** The cycle turns bodies about the vertical and takes out a camera
#   elevation of a few tens of degrees. Hands that point anywhere break that: here forearms are
#   within some 40° of the vertical. For others turn the pictures, or expect depth to suffer.
# - **Fingers that run into one.** A hand has 20 bones in a small space. Drawn as thick as a person's
#   limbs, they fill the skeleton images of {numref}`fig-bodies-best-worst` with one white patch, and
#   fingers are the part that $\Omega$ reads worst. The measured thickness ({eq}`eq-thickness`) helps and
#   is still too large: the palm has no bones to fill it, and the sleeve is no limb of any puppet.
# - **Head or tail?** An animal's outline is nearly the same from both ends. Where the quadruped is
#   wrong by much, it mostly looks the other way, or its skeleton image has a head at both ends. Heat maps of
#   $\Omega$ then have two peaks, and a soft-argmax puts each joint between them.
# - **Mirrors.** A right hand in a mirror is a left one. Showing a body without mirror pairs mirrored,
#   as is done with people, makes its depths ambiguous, so it is not done.
# - **Sides.** Animals have pairs of legs that look alike. Over all pictures the quadruped's are named as if by
#   a coin; by activity the share runs from few to nearly all, and differs by seed. How a body is named decides
#   how it is turned, so N-MPJPE follows it. P-MPJPE does not: that of Λ alone is no smaller with sides put
#   right by the truth (*sides given* below). Puppets that [insist on sides](09_diagnosis.ipynb) did not help
#   (`insisting`, one seed).
# - **A root and a top too near each other.** Their mean distance is the unit. If it is small against
#   the body, every number in method units is large, and $\Delta$ no longer means a far camera.

# %% tags=["hide-input"]
sided = [name for name in trained if pipelines[name].skeleton.has_sides]
insisting = {f"{name}, insisting": runs_of(name, "insisting") for name in sided}
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
page.provenance_box([r for found in [*trained.values(), *insisting.values()] for r in found])
