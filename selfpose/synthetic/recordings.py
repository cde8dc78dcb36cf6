"""From recorded motion to pictures, unpaired 2D poses and a labelled test set.

Whatever the files' format: folders of trials are split into three disjoint parts, trials cut into
clips, and clips filmed by the studio that films the generated people.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from tqdm import tqdm

from jaxtyping import Float, Int
from torch import Tensor
from selfpose.synthetic.background import Difficulty
from selfpose.data.points import FIGURE_POINTS
from selfpose.data.dataset import ImageSet, LabelledSet, PoseDataset
from selfpose.synthetic.studio import CameraSpread, film, project_only
from selfpose.metrics import with_measured_bones
from selfpose.skeleton import HUMAN_17

FRAMES_PER_SECOND = 120
FRAME_STEP = 12  # clips are taken at 10 frames a second, so that people move within them
SHORT_CLIP_FRAMES = 16  # of unpaired poses and test pictures: few, for many cameras
MIN_TEST_FRAMES_PER_TRIAL = 4
FLOOR_QUANTILE = 0.25  # of the seconds' lowest foot points: most trials climb for less than 3/4
FLOOR_RANGE_MM = 150.0
SUPPORT_WINDOW_FRAMES = 2 * FRAMES_PER_SECOND + 1

PARTS = ("images", "unpaired", "test")
SPLIT_SHARES = {"images": 0.4, "unpaired": 0.4, "test": 0.2}


@runtime_checkable
class Recording(Protocol):
    """One recorded motion: hashable, its name unique in its folder."""

    @property
    def name(self) -> str:
        """What tables and provenance call it."""
        ...

    @property
    def subject(self) -> str:
        """Who moves."""
        ...

    @property
    def activity(self) -> str:
        """What they do, or ``unknown``."""
        ...


SomeRecording = TypeVar("SomeRecording", bound=Recording)


@dataclass(frozen=True, kw_only=True)
class RecordingFormat:
    """How recordings of one format are found and read.

    Parameters
    ----------
    name
        Of the data set.
    find
        Folder → its recordings, in order of name.
    read
        A recording → (T, 22, 3) mm, ``FIGURE_POINTS`` in the world frame (y down, floor at 0), 120
        frames a second.
    digest
        A digest of a recording's files.
    facts
        JSON-able, for the provenance: where the data come from.
    """

    name: str
    find: Callable[[Path], Sequence[Any]]
    read: Callable[[Any], Tensor]
    digest: Callable[[Any], str]
    facts: Mapping[str, str] = field(default_factory=dict)


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
    trials: Sequence[SomeRecording], *, shares: Mapping[str, float]
) -> dict[str, tuple[SomeRecording, ...]]:
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
    groups: dict[tuple[str, str], list[SomeRecording]] = {}
    for trial in sorted(trials, key=lambda t: t.name):
        groups.setdefault((trial.subject, trial.activity), []).append(trial)
    largest_first = sorted(groups.values(), key=lambda group: (-len(group), group[0].name))
    parts: dict[str, list[SomeRecording]] = {part: [] for part in shares}

    def holding(part: str, trial: SomeRecording) -> tuple[float, ...]:
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


def load_recordings(
    format: RecordingFormat,
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
    camera_elevation: float = 10.0,
    seed: int = 0,
    progress: bool = True,
    on_error: str = "raise",
) -> PoseDataset:
    """Recorded motion as pictures, unpaired 2D poses and a labelled test set.

    The three parts come from disjoint sets of trials, and have their own cameras, clothes and
    backgrounds. Every trial of a part gives it the same number of frames.

    Parameters
    ----------
    format
        Of the files: how they are found and read.
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
        Of the backgrounds, see :mod:`selfpose.synthetic.background`.
    camera_elevation
        Mean elevation of the cameras, degrees; positive looks down.
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
    motions: dict[Recording, Tensor] = {}

    def readable(folder: str | Path | None) -> tuple[Recording, ...]:
        assert folder is not None
        trials: Sequence[Recording] = format.find(Path(folder))
        for trial in tqdm(trials, desc="reading motion", unit="trial", disable=not progress):
            try:
                motions[trial] = format.read(trial)
            except ValueError as error:
                if on_error == "raise":
                    raise
                skipped[trial.name] = str(error)
                warnings.warn(f"left out trial {trial.name}: {error}", stacklevel=3)
        return tuple(trial for trial in trials if trial in motions)

    if root is not None:
        parts = split_trials(readable(root), shares=SPLIT_SHARES)
    else:
        tested = readable(test_root)
        if not tested:
            raise ValueError(f"{test_root}: none of its trials could be read: {skipped}")
        parts = split_trials(readable(train_root), shares={"images": 0.5, "unpaired": 0.5})
        parts["test"] = tested
    digests = {part: {t.name: format.digest(t) for t in parts[part]} for part in PARTS}
    learnt = {digest for part in ("images", "unpaired") for digest in digests[part].values()}
    if leaked := [name for name, digest in digests["test"].items() if digest in learnt]:
        warnings.warn(
            f"the test folder holds trials that are learnt from as well: {', '.join(leaked)}; "
            "errors on them are not errors on new motion",
            stacklevel=2,
        )
    counts["test"] = max(n_test, MIN_TEST_FRAMES_PER_TRIAL * len(parts["test"]))

    cameras = CameraSpread(elevation_mean=camera_elevation)
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
            cameras=cameras,
            seed=(seed, part),
            progress=progress,
            description=description,
        )

    ceiling = labelled("images", "unlabelled pictures")
    unpaired = [
        project_only(group, image_size=image_size, seed=film_seed, cameras=cameras)
        for film_seed, group, _ in _by_length(clips["unpaired"][0], seed=(seed, "unpaired"))
    ]
    # b̄ of the bone-length loss, from the bodies of the unpaired part.
    skeleton = with_measured_bones(HUMAN_17, torch.cat([shot.poses_3d for shot in unpaired]))
    provenance: dict[str, Any] = {
        **format.facts,
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
        "camera_elevation": camera_elevation,
        "seed": seed,
    }
    return PoseDataset(
        name=format.name,
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


def _clips(
    trials: Sequence[Recording],
    motions: Mapping[Recording, Tensor],
    *,
    n: int,
    length: int,
    seed: Seed,
) -> tuple[list[Float[Tensor, "_ P 3"]], list[str]]:
    """``n`` frames in clips, as many from each trial, and what the person does in each clip."""
    generator = torch.Generator().manual_seed(_derived_seed(*seed, "clips"))
    clips: list[Tensor] = []
    activities: list[str] = []
    for i, trial in enumerate(trials):
        share = n // len(trials) + (i < n % len(trials))
        if not share:
            continue
        points = lower_to_floor(motions[trial])
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
    cameras: CameraSpread,
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
            cameras=cameras,
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
    "MIN_TEST_FRAMES_PER_TRIAL",
    "SPLIT_SHARES",
    "Recording",
    "RecordingFormat",
    "clip_frames",
    "floor_height",
    "load_recordings",
    "lower_to_floor",
    "split_trials",
]
