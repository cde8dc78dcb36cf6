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
# # When it goes wrong
#
# **Goal.** Recognise each known failure in the first minutes of a training, from its log, and know
# its cause.
#
# **In the paper.** It reports final errors {cite}`sosa2023self`. But the losses of this method are no
# guide to them: a body turned inside out satisfies most of the terms as well as the true one does,
# and an adversarial game has no value that must fall. So a training needs other numbers beside its
# losses. They are ours.
#
# **The numbers.** Tables and curves that are computed here say so. Each figure shows the histories of two
# runs, of one seed each; the box at the end leads to their records.
#
# **Time and device.** Seconds on one CPU core: this page trains nothing but a small prior. It reads
# the histories of runs that were made to fail.

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
from dataclasses import replace
from math import log

import torch

from book.kit import plots
from book.kit.figures import learning_curves, variants_figure
from book.kit.page import start_page
from book.kit.tables import linked_groups, number_table, show_source
from experiments.records import published_weights, read_history
from selfpose import metrics
from selfpose.data.draws import PoseDraws
from selfpose.evaluation import scores
from selfpose.extras.sides import SidePrior, side_accuracy, side_prior_loss
from selfpose.steps import Training, descend
from selfpose.train import build_pipeline

page = start_page("09_diagnosis", globals())
config = page.config(input="poses")
dataset = page.data.load(config)
skeleton, test = dataset.skeleton, dataset.test
compared = []


def compare(experiment, failing, healthy, *columns):
    """Monitors of two variants: of this build if it has both, else of the committed runs."""
    for records in (page.records, page.published):
        same = [r for r in records if r["experiment"] == experiment]
        pair = [next((r for r in same if r["variant"] == v), None) for v in (healthy, failing)]
        if all(pair):
            break
    pair = pair if all(pair) else []
    compared.extend(pair)
    stage = "lifting" if "lifting" in experiment else "images"
    histories = {r["variant"]: read_history(page.folder(r))[stage] for r in pair}
    # a coin; the variety of real poses; a critic that cannot tell drawings apart; real poses
    levels = {"wrong_depth_signs_percent": 50.0, "flipped_poses_percent": 50.0}
    levels |= {"spread": 1.0, "spread_turned": 1.0, "critic": 2 * log(2), "margin": 0.0}
    for history in histories.values():
        if "log_p_unpaired" in history:
            real = float(history["log_p_unpaired"].dropna().iloc[-1])
            levels |= {"log_p_turned": real, "log_p_predicted": real}
    return learning_curves(
        histories,
        {column: column for column in columns},  # by their names in the log
        levels=levels,
    )


# %% [markdown]
# ## What is watched
#
# ```{prf:definition} Monitor
# :label: def-monitor
#
# A number that is measured now and then during a training, for a reader of the log, and that teaches
# the networks nothing. Some monitors need the labels of a few test pictures; nothing inside a run
# depends on them, but [our settings](../book/choices.md) were chosen by watching them.
# ```
#
# Two of them need no label at all, so they also work on data that nobody has labelled. They hold what
# the networks make against what people do, as the unpaired poses $u$ show it: the variety of the
# poses $\hat y$, and their likelihood under the [flow prior](04_flow_prior.ipynb),
#
# $$
# \text{spread} = \frac{\operatorname{mean}_k \operatorname{sd}(\hat y_k)}
#   {\operatorname{mean}_k \operatorname{sd}(u_k)}, \qquad
# \text{score} = \operatorname{median} \log p(\hat y)
#   \;\text{ beside }\; \operatorname{median} \log p(u) ,
# $$ (eq-monitors)
#
# with $k$ over the root-centred coordinates and the deviation over poses. Healthy is a spread near one
# and a score close to that of $u$. A score *above* that of real poses is no success: the
# highest density lies at a bland pose that hardly occurs.

# %% tags=["hide-input"]
show_source(scores.depth_errors, scores.alignment, metrics.wrong_depth_signs_percent)

# %% [markdown]
# ## By hand
#
# Take true test poses, spoil them in one way at a time, and see which monitors answer.

# %%
flip_depth = torch.tensor([1.0, 1.0, -1.0])
centred = metrics.root_centred(test.poses_3d, skeleton.root)
wrist, elbow = skeleton.index("left_wrist"), skeleton.index("left_elbow")
forearm = centred.clone()
forearm[:, wrist, 2] = 2 * centred[:, elbow, 2] - centred[:, wrist, 2]
arms = next(limb for limb in skeleton.limbs if any(wrist in pair for pair in limb))
one_limb = list(range(skeleton.n_joints))
for left, right in arms:
    one_limb[left], one_limb[right] = right, left
everybody = list(skeleton.flip)
mean_2d = metrics.root_centred(test.poses_2d, skeleton.root).mean(dim=0)
mean_2d = mean_2d + test.poses_2d[:, skeleton.root : skeleton.root + 1]

faults = {
    "nothing": (test.poses_2d, centred),
    "arms exchanged": (test.poses_2d[:, one_limb], centred[:, one_limb]),
    "all sides exchanged": (test.poses_2d[:, everybody], centred[:, everybody]),
    "left forearm flipped": (test.poses_2d, forearm),
    "all depths flipped": (test.poses_2d, centred * flip_depth),
    "one pose for all": (mean_2d, centred.mean(dim=0).expand_as(centred)),
}
true_spread = scores.pose_spread(test.poses_2d, skeleton.root)


def monitors(pose_2d, pose_3d):
    """What the log would say of these predictions."""
    plain = scores.mean_errors(
        scores.errors_2d(pose_2d, test.poses_2d, skeleton, image_size=dataset.image_size)
    )
    depth = scores.depth_errors(pose_3d, test.poses_3d, skeleton)
    swapped = metrics.swapped_limbs(pose_2d, test.poses_2d, skeleton)
    mixed = metrics.mixed_sides(pose_2d, test.poses_2d, skeleton)
    return {
        "2D, %": plain["error_2d_percent"],
        "forgiven, %": plain["error_2d_percent_side_tolerant"],
        "limbs swapped, %": 100 * float(swapped.float().mean()),
        "sides mixed, %": 100 * float(mixed.float().mean()),
        "facing right, %": plain["facing_right_percent"],
        "wrong signs, %": depth["wrong_depth_signs_percent"],
        "flipped, %": depth["flipped_poses_percent"],
        "P-MPJPE, mm": depth["p_mpjpe_mm"],
        "spread": float(scores.pose_spread(pose_2d, skeleton.root) / true_spread),
    }


said = {name: monitors(*poses) for name, poses in faults.items()}
print("2D poses", tuple(test.poses_2d.shape), "and 3D poses", tuple(centred.shape))
number_table(said, first="what is wrong, computed here")

# %% [markdown]
# The table reads from left to right. Exchanged sides spoil the columns on depth, too: the twin of a
# person faces the other way, which is much like a person turned inside out. So depth signs can be
# judged only where the sides are right, or given: in lifting, not from pictures. A single flipped
# forearm makes no pose look flipped as a whole, and only the share of wrong depth signs names it. An
# exchanged limb and an exchanged body are told apart by *sides mixed*. And one pose for all can have
# a smaller 2D error than right poses with all sides exchanged, but it has no spread.

# %% [markdown]
# ## Depth signs that froze
#
# **Cause.** The bone-length term cannot tell a bone that points to the camera from one that points
# away. Strong from the first step, it drives each bone's depth away from zero, to whichever side it
# happened to lean, and the way back leads over bones that are too short. The prior never gets to
# choose. The elevation, which it must be right about to choose at all, stays small or drifts below
# zero: a camera from below is the other half of a body turned inside out.
#
# **Cure.** `lifting.bone_start`, `lifting.bone_ramp`: first the prior, then the lengths.

# %% mystnb={"figure": {"caption": "Lifting with the bone-length term from the first step, beside a run in which it comes late. Dotted: a coin's choice.", "name": "fig-diagnosis-bone"}, "image": {"alt": "Six panels of monitors over the steps of two lifting runs: wrong depth signs, poses better flipped, elevation, its deviation, and the errors as lifted and if flipped."}} tags=["hide-input"]
compare(
    "diagnosis_lifting",
    "early_bone",
    "healthy",
    "wrong_depth_signs_percent",
    "flipped_poses_percent",
    "elevation_mean_deg",
    "p_mpjpe_mm",
    "flipped_p_mpjpe_mm",
    "elevation_sd_deg",
)

# %% [markdown]
# ## A prior that is too strong
#
# **Cause.** $-\log p(\tilde y)$ is smallest at the mode. With a large weight, Λ is paid for turned
# bodies that look typical, not for bodies with the right bones or bodies that survive the cycle.
#
# **How to see it.** The bone-length term climbs and stays high, the turned poses lose variety, and the
# elevation wanders off. The score hardly tells: the 2D poses are given, and Λ can only bend depths and
# tilt the camera, so it stays below that of real poses in both runs. Where a network can also move the
# 2D poses, as in the last failure of this page, the score rises above theirs, and much more is lost.
#
# **Cure.** Weights of the order of one.

# %% mystnb={"figure": {"caption": "Lifting with the prior's weight raised a thousandfold, beside a healthy run. Dotted: the score and the spread of real poses.", "name": "fig-diagnosis-flow"}, "image": {"alt": "Six panels over the steps of two lifting runs: the median log-likelihood of turned poses, the bone-length term, the elevation, the spread, wrong depth signs and the 3D error."}} tags=["hide-input"]
compare(
    "diagnosis_lifting",
    "strong_flow",
    "healthy",
    "log_p_turned",
    "bl",
    "elevation_mean_deg",
    "spread_turned",
    "wrong_depth_signs_percent",
    "p_mpjpe_mm",
)

# %% [markdown]
# ## Skeletons that ignore the picture
#
# **Cause.** D judges whether a skeleton image looks like *some* person's. Nothing in the seven terms
# asks whose. Φ finds one plausible skeleton, or one for each background, and D cannot object.
#
# **How to see it.** The skeleton image is compared with the truth of its own picture and with that of
# another. If the two numbers are equal, Φ draws without looking. If the first is smaller and the spread
# is still near zero, Φ follows the place of the person and draws the same figure there, whatever the
# pose. The spread needs no label.
#
# **Cure.** Something that ties the drawing to the picture: the silhouette, or a stronger use of the
# data, see [our choices](../book/choices.md).

# %% mystnb={"figure": {"caption": "The seven terms alone, beside the full method. The skeleton image's difference from the truth of its own picture, and of another one.", "name": "fig-diagnosis-paper"}, "image": {"alt": "Four panels over the steps of two trainings on pictures: difference from the own picture's truth, from another's, the spread of poses and the 2D error."}} tags=["hide-input"]
compare(
    "diagnosis_images",
    "paper",
    "healthy",
    "alignment_own",
    "alignment_shuffled",
    "spread",
    "error_2d_percent_side_tolerant",
)

# %% [markdown]
# ## Which way a person faces
#
# Three channels and a decided Ω give whole bodies, but which of the two twins? For a camera that is
# level and far away, 2D poses cannot know it, however exact they are. Mirror a person in the plane of
# the picture, so that near and far change places: what was the left hand is now a right one, and no
# joint has moved in the picture. So with $\bar y$ for the pose $y$ whose left and right are exchanged,
#
# $$
# p(\bar y) = p(y) \quad\text{for a level, distant camera,}
# $$ (eq-twins)
#
# as long as people are as likely as their mirror images, and face the camera as often as they turn their
# backs. Two things break the tie. Perspective: near limbs look larger, if by little. And a camera that
# looks down: depth then shows as height, and of two feet the nearer stands lower.
#
# How much, is measured here. A prior on sides learns from unpaired poses seen by cameras that are level
# on average, by the usual ones, and from above, and judges others of the same kind, known less and less
# well:


# %% mystnb={"figure": {"caption": "How often the prior on sides names a true 2D pose right, when its joints are known up to a mean error, for cameras of three mean elevations. Dotted: a coin.", "name": "fig-diagnosis-facing"}, "image": {"alt": "A curve for each of three camera elevations: share of poses named right over the mean error of their joints in percent of the picture."}} tags=["hide-input"]
def share_named_right(elevation, levels):
    """Percent of held-out poses that a prior on sides names right, for each level of noise."""
    # enough poses for a curve in the smallest preset, too
    few = {"data.n_unlabelled": 64, "data.n_test": 64, "data.camera_elevation": elevation}
    few["data.n_unpaired"] = max(config.data.n_unpaired, 4096)
    seen = page.data.load(config.with_(few), progress=False)
    held = len(seen.unpaired) // 8  # the last ones: at most one clip is cut
    learnt = replace(seen, unpaired=seen.unpaired[:-held])
    pipeline, prior = build_pipeline(seen, config), SidePrior(skeleton=skeleton)
    poses = PoseDraws(pipeline, learnt, config)
    adam = torch.optim.Adam(prior.parameters(), lr=1e-3)
    training = Training(identity={}, seed=seed, progress=False)
    n_steps = max(config.extras.side_steps, 500)
    for step in training.steps("sides", n_steps, {}):
        noise = config.extras.side_noise * float(torch.rand((), generator=step.generator))
        u = poses.draw(config.flow.batch, noise=noise, generator=step.generator)
        descend(adam, {"NLL": side_prior_loss(prior(u))}, step)
    plane = pipeline.scale.pixels_to_plane(seen.unpaired[-held:], skeleton.root)
    generator = torch.Generator().manual_seed(seed)
    shares = [100 * side_accuracy(prior, plane, noise=x, generator=generator) for x in levels]
    # The mean length of a Gaussian step in two dimensions is √(π/2) of its deviation.
    to_percent = 100 * float(pipeline.plane_to_unit(torch.tensor(1.0))) * (torch.pi / 2) ** 0.5
    return [x * to_percent for x in levels], shares


cameras = {"level": 0.0, "usual": 10.0, "from above": 25.0}
levels = [0.0, 0.002, 0.004, 0.008, 0.012, 0.016, 0.024]
named = {name: share_named_right(degrees, levels) for name, degrees in cameras.items()}
figure = plots.new_figure(5.4, 2.8)
ax = figure.subplots()
for (name, (errors, shares)), marker in zip(named.items(), "sod", strict=True):
    ax.plot(errors, shares, marker=marker, label=f"{name}, {cameras[name]:.0f}°")
ax.axhline(50, linestyle=":", color="grey")
ax.legend(title="camera", fontsize=8, title_fontsize=8)
ax.set(xlabel="mean error of the joints, % of the picture", ylabel="named right, %", ylim=(0, 102))
figure

# %% [markdown]
# From above, poses tell their sides even where joints are known only so well. From the usual
# camera it is a matter of few pixels, and independent errors are the kind case: the errors
# of Ω lean towards whatever twin it has in mind.
#
# **Cause.** So the hint is weak, and a loss that does not insist on it never teaches it. The mixture of
# {eq}`eq-puppet` is content with either naming, and a network trained by it alone settles on one
# for all: it calls nearly everybody's left the side that lies left in the picture, as if all walked away.
#
# **Cure.** First forgive, then insist: with `extras.puppet_forgiving` below 1, after that share of the steps
# only the right naming of a puppet counts. It is a cure where pictures hold the answer. Where they hardly
# do, a squared error that insists teaches the mean of both twins: a 2D error that no forgiving lowers, and
# poses without depth. That is why it is off by default. Both losses, before the usual cameras and from
# above, on the same motions; `usual` and `high` insist:

# %% tags=["hide-input"]
variants = ("usual_forgiving", "usual", "high_forgiving", "high")
mine = [r for r in page.records if r["experiment"] == "cameras"]
theirs = [r for r in page.published if (r["experiment"], r["preset"]) == ("cameras", "quick")]
of_cameras = mine if len({r["variant"] for r in mine}) > 1 else theirs
by_camera = {v: [r for r in of_cameras if r["variant"] == v] for v in variants}
measures = {
    "2D error, sides forgiven, %": "error_2d_percent_side_tolerant",
    "facing right, %": "facing_right_percent",
    "P-MPJPE, mm": "p_mpjpe_mm",
}
linked_groups(by_camera, {t: f"metrics.{m}" for t, m in measures.items()}, first="cameras")

# %% mystnb={"figure": {"caption": "Training from pictures with a loss that forgives exchanged sides or insists on them, before the usual cameras and from above.", "name": "fig-diagnosis-cameras"}, "image": {"alt": "Three panels of bars: 2D error, facing right and P-MPJPE for two losses and two elevations of the cameras."}} tags=["hide-input"]
variants_figure(by_camera, measures)

# %% [markdown]
# So short a training shows the direction. Two long ones, preset `standard`, each tested before its own
# cameras:

# %% tags=["hide-input"]
standard = {
    "from above, insisting": ("cameras", "high", "cmu"),
    "usual cameras, forgiving": ("end_to_end", "selfpose", "cmu"),
}
found = {name: published_weights(*what, presets=["standard"]) for name, what in standard.items()}
longer = {name: [pair[1]] if pair else [] for name, pair in found.items()}
linked_groups(
    longer,
    {
        "2D, %": "metrics.error_2d_percent",
        "sides forgiven, %": "metrics.error_2d_percent_side_tolerant",
        "facing right, %": "metrics.facing_right_percent",
        "P-MPJPE, mm": "metrics.p_mpjpe_mm",
        "mean pose's P-MPJPE, mm": "baselines.mean_pose.p_mpjpe_mm",
        "N-MPJPE, mm": "metrics.n_mpjpe_mm",
    },
    first="run",
)

# %% [markdown]
# So from above it can be learnt which way people face, and N-MPJPE, which minds how a body is
# turned, is smaller. What is called right is still called so by a mean of twins where the network
# is unsure, and that costs depth: the run of the usual cameras, which forgives and guesses, has the
# smaller P-MPJPE. It does not help to ask the prior about the poses that a trained network reads: a
# network that has decided draws the pose that goes with its decision. Where the camera is nearly level,
# appearance would have to tell: faces, hair and shirt fronts. What is missing is a first hint that is
# right much more often than wrong. What should help is more pixels, more people, and cameras that look
# down.
#
# ## D wins
#
# **Cause.** A critic that learns faster than Φ tells drawings apart by their faintest flaw. Its answers
# saturate, and what they say about the pose drowns in what they say about the flaw.
#
# **How to see it.** The margin, D's mean answer to real drawings less that to Φ's, runs away, and the
# loss of D goes towards zero; at a draw it is $2 \log 2$. When Φ changes the details that such a D is
# confident about, the margin swings back as far. The opposite is as bad: a margin of zero for long means a
# critic that has nothing to say. Both runs below are without puppets and differ in nothing but the critic.
# Neither finds the people, so the 2D error says nothing of the cause. The margin does.
#
# **Cure.** A smaller `pictures.lr_d`, or the gradient penalty `pictures.r1`.

# %% mystnb={"figure": {"caption": "A critic with eight times the learning rate and no gradient penalty, beside the same run with the usual critic; both without puppets, neither a good run. Dotted: a critic that cannot tell.", "name": "fig-diagnosis-critic"}, "image": {"alt": "Four panels over the steps of two trainings on pictures: margin of the critic, its loss, the loss of the skeleton network against it, and the 2D error."}} tags=["hide-input"]
compare(
    "diagnosis_images",
    "strong_critic",
    "plain",
    "margin",
    "critic",
    "D",
    "error_2d_percent_side_tolerant",
)

# %% [markdown]
# ## All together, too soon
#
# **Cause.** In the paper all networks learn at once, so the prior's gradient flows through Λ's input
# into Ω and Φ. Moving the 2D poses to the mode of the prior is the shortest way to please it. Λ in turn
# learns from 2D poses that are noise at first, and settles the camera's elevation on that noise.
#
# **How to see it.** The score of the predicted poses stays above that of real ones while their spread
# stays small, where in a healthy run bland poses are but the beginning; the elevation settles at an
# angle without meaning, the same for all. The 3D error misleads: one bland pose for everybody is never
# far off after alignment, and it can beat the other run, whose 2D poses vary and, in a training as short
# as this, are still wrong. Look at the spread first.
#
# **Cure.** `lifting.source: unpaired`: Λ learns from 2D poses of people, and its terms stay out of Φ and Ω.

# %% mystnb={"figure": {"caption": "Λ trained on the predicted poses from the first step, beside Λ trained on the unpaired poses beforehand; both without puppets. Dotted: real poses.", "name": "fig-diagnosis-joint"}, "image": {"alt": "Six panels over the steps of two trainings on pictures: log-likelihood and spread of predicted 2D poses, mean and deviation of the elevation, 3D error and wrong depth signs."}} tags=["hide-input"]
compare(
    "diagnosis_images",
    "joint_lifting",
    "plain",
    "log_p_predicted",
    "spread",
    "elevation_mean_deg",
    "p_mpjpe_mm",
    "wrong_depth_signs_percent",
    "elevation_sd_deg",
)

# %% [markdown]
# ## A first look at a log
#
# | step | look at | stop if |
# | --- | --- | --- |
# | 100 of lifting | poses better flipped; elevation | half of the poses, or an elevation below zero |
# | end of lifting | wrong depth signs; bone-length term; spread of turned poses | above a third; it climbs; it falls |
# | 200 on pictures | own against another's picture; spread | they are equal; near zero |
# | 200 on pictures | margin of D | it runs away, or stays at zero |
# | end | limbs exchanged; facing | both at a half: one channel, or nothing that names sides |
#
# ## Exercise
#
# A colleague's run has a 2D error of 9 %, of 4 % with sides forgiven, faces right on 52 % of the
# pictures, and 6 % wrong depth signs when Λ is given true 2D poses. What is broken, and what would you
# not touch? Which further number would you ask for?
#
# ```{dropdown} Solution
# Φ finds the people (4 %), and Λ is sound: leave both alone. What is broken is the choice of sides, and
# facing is at chance. Ask for *sides mixed*. Near zero, whole bodies are exchanged: each skeleton is a
# person's, and something must tell front from back. Near a half, each limb throws its own coin: Φ or Ω
# does not yet know left from right at all.
# ```
#
# ## Summary
#
# Losses fall in failing runs, too. Depth signs, spread, score, own against another's picture, sides, and
# D's margin each name one cause, most of them early in the training. They are in the
# `history.json` of every run.

# %% tags=["hide-input"]
long_runs = [r for found in longer.values() for r in found]
page.provenance_box([*compared, *of_cameras, *long_runs])
