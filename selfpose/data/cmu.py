"""CMU motion capture as a data set: real motion, drawn by the same studio as the embedded data.

From Acclaim files to the figure's points in a world frame (x right, y down, z forward, floor at
y = 0, millimetres), from folders of trials to three disjoint parts, and from clips to pictures.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from selfpose._typing import Float, Int, Tensor
from selfpose.data.acclaim import (
    AcclaimMotion,
    AcclaimSkeleton,
    global_transforms,
    read_amc,
    read_asf,
    rest_positions,
)
from selfpose.data.background import Difficulty
from selfpose.data.points import FIGURE_POINTS
from selfpose.data.protocol import ImageSet, LabelledSet, PoseDataset
from selfpose.data.studio import film, project_only
from selfpose.metrics import with_measured_bones
from selfpose.skeleton import HUMAN_17

ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217."
)
# The end of an Acclaim bone that each point is; the others are built in `motion_to_points`.
BONE_ENDS = {
    "hip": "root",
    "right_hip": "rhipjoint",
    "right_knee": "rfemur",
    "right_ankle": "rtibia",
    "left_hip": "lhipjoint",
    "left_knee": "lfemur",
    "left_ankle": "ltibia",
    "spine": "upperback",
    "thorax": "lowerneck",
    "left_shoulder": "lclavicle",
    "left_elbow": "lhumerus",
    # The Acclaim forearm is two bones, "radius" and then "wrist", whose end is the wrist joint.
    "left_wrist": "lwrist",
    "right_shoulder": "rclavicle",
    "right_elbow": "rhumerus",
    "right_wrist": "rwrist",
    "left_toe": "ltoes",
    "right_toe": "rtoes",
}
CROWN_OF_HEAD_BONE = 0.5  # the head bone ends inside the skull; the crown lies half of it further
NOSE_MM = 110.0  # from the middle of the head to the tip of the nose
HAND_MM = 160.0  # from wrist to finger tips: the Acclaim fingers end at the markers, half-way

FRAMES_PER_SECOND = 120
FRAME_STEP = 12  # clips are taken at 10 frames a second, so that people move within them
SHORT_CLIP_FRAMES = 16  # of unpaired poses and test pictures: few, for many cameras
MIN_TEST_FRAMES_PER_TRIAL = 4
FLOOR_QUANTILE = 0.25  # of the seconds' lowest foot points: most trials climb for less than 3/4
FLOOR_RANGE_MM = 150.0
SUPPORT_WINDOW_FRAMES = 2 * FRAMES_PER_SECOND + 1

PARTS = ("images", "unpaired", "test")
SPLIT_SHARES = {"images": 0.4, "unpaired": 0.4, "test": 0.2}

_ACTIVITIES_BY_SUBJECT: dict[str, dict[tuple[int, ...], str]] = {
    "01": {tuple(range(1, 13)): "playground"},
    "02": {(1, 2): "walk", (4,): "jump and balance", (6,): "bend and lift", (7, 8, 9): "swordplay"},
    "03": {(1, 2, 3): "uneven terrain"},
}
ACTIVITIES = {
    f"{subject}_{number:02}": activity
    for subject, groups in _ACTIVITIES_BY_SUBJECT.items()
    for numbers, activity in groups.items()
    for number in numbers
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One recording: a motion and the skeleton that it goes with.

    Parameters
    ----------
    name
        The motion's file name without its ending, after the subject if it does not begin with it.
    subject
        The skeleton's file name without its ending: at CMU the subject's number.
    activity
        What the person does, or ``unknown``.
    asf, amc
        The two files.
    """

    name: str
    subject: str
    activity: str
    asf: Path
    amc: Path


def find_trials(folder: str | Path) -> tuple[Trial, ...]:
    """Every trial under a folder, sorted by name; each motion with the skeleton that it needs.

    A motion's skeleton is, in this order: the ASF file beside it that has its name's beginning
    (``02.asf`` for ``02_07.amc``), the only ASF file beside it, the only one anywhere under the
    folder that has its name's beginning.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no ASF or no AMC file.
    ValueError
        If a motion has no skeleton, or two have the same name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; name one with CMU's .asf and .amc files, such as subjects/"
        )
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    skeletons = [path for path in files if path.suffix.lower() == ".asf"]
    motions = [path for path in files if path.suffix.lower() == ".amc"]
    for suffix, found in ((".asf", skeletons), (".amc", motions)):
        if not found:
            raise FileNotFoundError(
                f"{folder}: neither it nor a folder in it holds a {suffix} file; CMU motion "
                "capture needs skeletons (.asf) and motions (.amc)"
            )
    trials: dict[str, Trial] = {}
    for amc in motions:
        asf = _skeleton_of(amc, skeletons)
        if asf is None:
            raise ValueError(
                f"{amc}: no skeleton goes with it; put {amc.stem.split('_')[0]}.asf beside it"
            )
        name = amc.stem if amc.stem.startswith(asf.stem) else f"{asf.stem}/{amc.stem}"
        if name in trials:
            raise ValueError(
                f"two trials are named {name!r}: {trials[name].amc} and {amc}; keep one, so that "
                "no motion is both learnt from and tested on"
            )
        trials[name] = Trial(
            name=name,
            subject=asf.stem,
            activity=ACTIVITIES.get(amc.stem, "unknown"),
            asf=asf,
            amc=amc,
        )
    return tuple(trials[name] for name in sorted(trials))


def _skeleton_of(amc: Path, skeletons: Sequence[Path]) -> Path | None:
    beside = [path for path in skeletons if path.parent == amc.parent]

    def namesakes(paths: Sequence[Path]) -> list[Path]:
        return [path for path in paths if path.stem == amc.stem.split("_")[0]]

    for candidates in (namesakes(beside), beside, namesakes(skeletons)):
        if len(candidates) == 1:
            return candidates[0]
    return None


def motion_to_points(skeleton: AcclaimSkeleton, motion: AcclaimMotion) -> Float[Tensor, "T P 3"]:
    """The figure's points over time, in the world frame but with the laboratory's zero as floor.

    Acclaim's frame (y up, right-handed) becomes x right, y down, z forward by a half-turn about
    x, a proper rotation. The head is the crown; the neck lies half-way from the thorax to it; the
    nose lies in front of the head's middle, where the head bone faces.

    Parameters
    ----------
    skeleton, motion
        As :mod:`selfpose.data.acclaim` reads them.

    Returns
    -------
    (T, 22, 3) float64 millimetres, points in the order of ``FIGURE_POINTS``.

    Raises
    ------
    ValueError
        If the skeleton lacks one of the bones that the points are made of.
    """
    joints = skeleton.joints
    hands = {"left_hand": "lfingers", "right_hand": "rfingers"}
    needed = {*BONE_ENDS.values(), *hands.values(), "upperneck", "head"}
    if missing := sorted(needed - set(joints)):
        raise ValueError(
            f"the skeleton {skeleton.name!r} has no {', '.join(missing)}; expected the bones that "
            "the CMU database names"
        )
    ends, turns = global_transforms(skeleton, motion)

    def end(bone: str) -> Float[Tensor, "T 3"]:
        return ends[:, joints.index(bone)]

    points = {name: end(bone) for name, bone in BONE_ENDS.items()}
    points["head"] = end("head") + CROWN_OF_HEAD_BONE * (end("head") - end("upperneck"))
    points["neck"] = (points["thorax"] + points["head"]) / 2
    middle = (points["neck"] + points["head"]) / 2
    points["nose"] = middle + NOSE_MM * turns[:, joints.index("head")] @ _rest_forward(skeleton)
    for hand, bone in hands.items():
        wrist = points[hand.replace("hand", "wrist")]
        points[hand] = wrist + HAND_MM * torch.nn.functional.normalize(end(bone) - wrist, dim=-1)
    half_turn = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return torch.stack([points[name] for name in FIGURE_POINTS], dim=1) * half_turn


def _rest_forward(skeleton: AcclaimSkeleton) -> Float[Tensor, " 3"]:
    """Where the rest pose looks: left × up, level."""
    rest = rest_positions(skeleton)
    left = rest[skeleton.joints.index("lclavicle")] - rest[skeleton.joints.index("rclavicle")]
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return torch.nn.functional.normalize(torch.linalg.cross(left, up), dim=0)


def floor_height(points: Float[Tensor, "T P 3"]) -> float:
    """y of the floor that a trial was recorded on, millimetres, world frame.

    Each second's lowest foot point is taken, for in a second of walking or running some foot
    lands; the floor is the lower quartile of these heights, which neither a single bad frame nor
    the trials that leave the floor for a climbing frame can move far. CMU's laboratory zero is its
    floor to a few centimetres, so a trial whose feet never come within 150 mm of it is taken to
    be above a floor at zero.
    """
    feet = [i for i, name in enumerate(FIGURE_POINTS) if name.endswith(("toe", "ankle"))]
    lowest = points[:, feet, 1].amax(dim=1)
    window = min(len(lowest), FRAMES_PER_SECOND)
    landings = lowest.unfold(0, window, max(1, window // 10)).amax(dim=1)
    floor = float(landings.quantile(1 - FLOOR_QUANTILE))
    return floor if abs(floor) <= FLOOR_RANGE_MM else 0.0


def read_trial(trial: Trial) -> Float[Tensor, "T P 3"]:
    """The figure's points of a trial: (T, 22, 3) float32 millimetres, 120 frames a second.

    World frame: x right, y down, z forward, floor at y = 0 (see :func:`floor_height`).

    Raises
    ------
    ValueError
        If one of the two files is broken, or they do not go together.
    """
    skeleton = read_asf(trial.asf)
    points = motion_to_points(skeleton, read_amc(trial.amc, skeleton))
    points[..., 1] -= floor_height(points)
    return points.float()


def lower_to_floor(points: Float[Tensor, "T P 3"]) -> Float[Tensor, "T P 3"]:
    """Bring someone who climbs back into view: take the height of what they stand on away.

    That height is the running median over two seconds of the lowest point's, so that steps and
    jumps stay as they are. Poses relative to their root do not change.
    """
    lowest = points[..., 1].amax(dim=1)
    half = SUPPORT_WINDOW_FRAMES // 2
    padded = torch.cat([lowest[:1].expand(half), lowest, lowest[-1:].expand(half)])
    support = padded.unfold(0, SUPPORT_WINDOW_FRAMES, 1).median(dim=1).values
    lowered = points.clone()
    lowered[..., 1] -= support[:, None]
    return lowered


def split_trials(
    trials: Sequence[Trial], *, shares: Mapping[str, float]
) -> dict[str, tuple[Trial, ...]]:
    """Share trials out so that each part has of every subject and activity as far as it goes.

    Deterministic: largest groups (one subject, one activity) first, in order of names; each trial
    goes to a part that has none of its group or, failing that, to the one that has least, for its
    share, of the group, then of the activity, then of the subject, then of everything.

    Raises
    ------
    ValueError
        If there are fewer trials than parts.
    """
    if len(trials) < len(shares):
        raise ValueError(
            f"expected at least {len(shares)} trials, one for each of the disjoint parts "
            f"{', '.join(shares)}; got {len(trials)}: {[trial.name for trial in trials]}"
        )
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: t.name):
        groups.setdefault((trial.subject, trial.activity), []).append(trial)
    largest_first = sorted(groups.values(), key=lambda group: (-len(group), group[0].name))
    parts: dict[str, list[Trial]] = {part: [] for part in shares}

    def holding(part: str, trial: Trial) -> tuple[float, ...]:
        """What the part would hold, for its share, with this trial in it; closest kin first."""
        there = parts[part]
        same_activity = [other for other in there if other.activity == trial.activity]
        same_subject = [other for other in there if other.subject == trial.subject]
        same_both = [other for other in same_activity if other in same_subject]
        kin = (same_both, same_activity, same_subject, there)
        return (float(bool(same_both)), *((len(others) + 1) / shares[part] for others in kin))

    queue = [trial for group in largest_first for trial in group]
    for i, trial in enumerate(queue):
        empty = [part for part in parts if not parts[part]]
        candidates = empty if len(queue) - i <= len(empty) else list(parts)
        parts[min(candidates, key=lambda part: holding(part, trial))].append(trial)
    return {part: tuple(sorted(ts, key=lambda t: t.name)) for part, ts in parts.items()}


def clip_frames(
    n_frames: int, *, n_images: int, frames_per_clip: int, generator: torch.Generator
) -> list[Int[Tensor, " _"]]:
    """Which frames of a trial make up its clips, ``n_images`` in all.

    Clips begin at even distances and reach to the end; their frames are evenly spaced, 10 a
    second or further apart where fewer clips would not cover the trial, denser where it is short.

    Returns
    -------
    For each clip the increasing indices of its frames; lengths differ by one at most.
    """
    length = min(frames_per_clip, n_frames)
    n_clips = -(-n_images // length)
    clips = []
    for i in range(n_clips):
        size = n_images // n_clips + (i < n_images % n_clips)
        window = min(n_frames, max(size * FRAME_STEP, -(-n_frames // n_clips)))
        start = (n_frames - window) * (i / (n_clips - 1) if n_clips > 1 else 0.0)
        phase = float(torch.rand((), generator=generator, dtype=torch.float64))
        steps = torch.arange(size, dtype=torch.float64) + phase
        clips.append((start + steps * (window / size)).long().clamp(max=n_frames - 1))
    return clips


def load_cmu(
    *,
    root: str | Path | None = None,
    train_root: str | Path | None = None,
    test_root: str | Path | None = None,
    image_size: int = 64,
    n_unlabelled: int = 8192,
    n_unpaired: int = 8192,
    n_test: int = 1024,
    frames_per_clip: int = 64,
    difficulty: Difficulty = "structured",
    seed: int = 0,
    progress: bool = True,
    on_error: str = "raise",
) -> PoseDataset:
    """CMU motion capture as pictures, unpaired 2D poses and a labelled test set.

    The three parts come from disjoint sets of trials, and have their own cameras, clothes and
    backgrounds. Every trial of a part gives it the same number of frames.

    Parameters
    ----------
    root
        One folder whose trials are split in three (:func:`split_trials`).
    train_root, test_root
        Instead of ``root``: two folders; every trial of ``test_root`` is tested on, those of
        ``train_root`` are split between pictures and unpaired poses.
    image_size
        Side of the pictures, pixels.
    n_unlabelled, n_unpaired, n_test
        How many pictures, 2D poses, test pictures; the test set grows where that would be less
        than four for a trial.
    frames_per_clip
        Most pictures that share a camera, a background and clothes; short trials give fewer, and
        so do test pictures and unpaired poses, which are to hold many cameras.
    difficulty
        Of the backgrounds, see :mod:`selfpose.data.background`.
    seed
        Of cameras, appearances and backgrounds; the split of trials does not depend on it.
    progress
        Whether to show progress bars.
    on_error
        What to do with a trial that cannot be read: ``raise``, or ``skip`` with a warning and its
        name in the provenance.

    Raises
    ------
    FileNotFoundError
        If a folder, or motion capture in it, is missing.
    ValueError
        If the folders are not named as above, a number is not positive, a file is broken, or
        there are fewer trials than parts.
    """
    given = (root is not None, train_root is not None, test_root is not None)
    if given not in ((True, False, False), (False, True, True)):
        raise ValueError(
            "name either `root`, one folder whose trials are split, or both `train_root` and "
            f"`test_root`; got root={root}, train_root={train_root}, test_root={test_root}"
        )
    counts = {"images": n_unlabelled, "unpaired": n_unpaired, "test": n_test}
    for what, value in (*counts.items(), ("frames_per_clip", frames_per_clip)):
        if value < 1:
            raise ValueError(f"{what}: expected a positive number, got {value}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")

    skipped: dict[str, str] = {}
    motions: dict[Path, Tensor] = {}

    def readable(folder: str | Path | None) -> tuple[Trial, ...]:
        assert folder is not None
        trials = find_trials(folder)
        for trial in tqdm(trials, desc="reading motion", unit="trial", disable=not progress):
            try:
                motions[trial.amc] = read_trial(trial)
            except ValueError as error:
                if on_error == "raise":
                    raise
                skipped[trial.name] = str(error)
                warnings.warn(f"left out trial {trial.name}: {error}", stacklevel=3)
        return tuple(trial for trial in trials if trial.amc in motions)

    if root is not None:
        parts = split_trials(readable(root), shares=SPLIT_SHARES)
    else:
        tested = readable(test_root)
        if not tested:
            raise ValueError(f"{test_root}: none of its trials could be read: {skipped}")
        parts = split_trials(readable(train_root), shares={"images": 0.5, "unpaired": 0.5})
        parts["test"] = tested
    digests = {part: {t.name: _digest(t) for t in parts[part]} for part in PARTS}
    learnt = {digest for part in ("images", "unpaired") for digest in digests[part].values()}
    if leaked := [name for name, digest in digests["test"].items() if digest in learnt]:
        warnings.warn(
            f"the test folder holds trials that are learnt from as well: {', '.join(leaked)}; "
            "errors on them are not errors on new motion",
            stacklevel=2,
        )
    counts["test"] = max(n_test, MIN_TEST_FRAMES_PER_TRIAL * len(parts["test"]))

    short = min(frames_per_clip, SHORT_CLIP_FRAMES)
    lengths = {"images": frames_per_clip, "unpaired": short, "test": short}
    clips = {
        part: _clips(parts[part], motions, n=counts[part], length=lengths[part], seed=(seed, part))
        for part in PARTS
    }

    def labelled(part: str, description: str) -> LabelledSet:
        # Clips are numbered through the parts: a number stands for one clip of the whole data set.
        return _film_labelled(
            *clips[part],
            first_clip=sum(len(clips[other][0]) for other in PARTS[: PARTS.index(part)]),
            image_size=image_size,
            difficulty=difficulty,
            seed=(seed, part),
            progress=progress,
            description=description,
        )

    ceiling = labelled("images", "unlabelled pictures")
    unpaired = [
        project_only(group, image_size=image_size, seed=film_seed)
        for film_seed, group, _ in _by_length(clips["unpaired"][0], seed=(seed, "unpaired"))
    ]
    # b̄ of the bone-length loss, from the bodies of the unpaired part.
    skeleton = with_measured_bones(HUMAN_17, torch.cat([shot.poses_3d for shot in unpaired]))
    provenance: dict[str, Any] = {
        "source": "CMU Graphics Lab Motion Capture Database",
        "acknowledgement": ACKNOWLEDGEMENT,
        "split": {part: [trial.name for trial in parts[part]] for part in PARTS},
        "subjects": {part: sorted({t.subject for t in parts[part]}) for part in PARTS},
        "activities": {part: dict(Counter(t.activity for t in parts[part])) for part in PARTS},
        "sha256": digests,
        "skipped": skipped,
        "also_learnt_from": leaked,
        "counts": counts,
        "image_size": image_size,
        "clips": {part: len(clips[part][0]) for part in PARTS},
        "frames_per_clip": lengths,
        "difficulty": difficulty,
        "seed": seed,
    }
    return PoseDataset(
        name="cmu",
        skeleton=skeleton,
        unlabelled=ImageSet(images=ceiling.images, sequence=ceiling.sequence),
        unpaired=torch.cat([shot.poses_2d for shot in unpaired]),
        test=labelled("test", "test pictures"),
        ceiling=ceiling,
        provenance=provenance,
    )


Seed = tuple[int, str]


def _derived_seed(*parts: int | str) -> int:
    """One seed for one purpose: different words give unrelated streams."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def _digest(trial: Trial) -> str:
    return hashlib.sha256(trial.asf.read_bytes() + trial.amc.read_bytes()).hexdigest()


def _clips(
    trials: Sequence[Trial], motions: Mapping[Path, Tensor], *, n: int, length: int, seed: Seed
) -> tuple[list[Float[Tensor, "_ P 3"]], list[str]]:
    """``n`` frames in clips, as many from each trial, and what the person does in each clip."""
    generator = torch.Generator().manual_seed(_derived_seed(*seed, "clips"))
    clips: list[Tensor] = []
    activities: list[str] = []
    for i, trial in enumerate(trials):
        share = n // len(trials) + (i < n % len(trials))
        if not share:
            continue
        points = lower_to_floor(motions[trial.amc])
        frames = clip_frames(
            len(points), n_images=share, frames_per_clip=length, generator=generator
        )
        clips += [points[indices] for indices in frames]
        activities += [trial.activity] * len(frames)
    return clips, activities


def _by_length(
    clips: Sequence[Float[Tensor, "_ P 3"]], *, seed: Seed
) -> list[tuple[int, Float[Tensor, "C _ P 3"], list[int]]]:
    """Clips of equal length together: a seed, the stack, and their numbers among all."""
    lengths = [len(clip) for clip in clips]
    groups = []
    for length in sorted(set(lengths)):
        numbers = [i for i, n in enumerate(lengths) if n == length]
        stack = torch.stack([clips[i] for i in numbers])
        groups.append((_derived_seed(*seed, "film", length), stack, numbers))
    return groups


def _film_labelled(
    clips: Sequence[Float[Tensor, "_ P 3"]],
    activities: Sequence[str],
    *,
    first_clip: int,
    image_size: int,
    difficulty: Difficulty,
    seed: Seed,
    progress: bool,
    description: str,
) -> LabelledSet:
    """Film clips of several lengths; pictures come back clip by clip, as the clips stand."""
    images, shots, clip_of = [], [], []
    for film_seed, stack, numbers in _by_length(clips, seed=seed):
        shot = film(
            stack,
            image_size=image_size,
            seed=film_seed,
            difficulty=difficulty,
            progress=progress,
            description=description,
        )
        assert shot.images is not None
        images.append(shot.images)
        shots.append(shot)
        clip_of.append(torch.tensor(numbers)[shot.sequence])
    clip = torch.cat(clip_of)
    order = clip.argsort(stable=True)
    return LabelledSet(
        images=torch.cat(images)[order],
        sequence=clip[order] + first_clip,
        poses_2d=torch.cat([shot.poses_2d for shot in shots])[order],
        poses_3d=torch.cat([shot.poses_3d for shot in shots])[order],
        activity=tuple(activities[int(i)] for i in clip[order]),
    )


__all__ = [
    "ACKNOWLEDGEMENT",
    "ACTIVITIES",
    "Trial",
    "clip_frames",
    "find_trials",
    "floor_height",
    "load_cmu",
    "lower_to_floor",
    "motion_to_points",
    "read_trial",
    "split_trials",
]
