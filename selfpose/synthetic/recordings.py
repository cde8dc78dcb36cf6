"""CMU motion capture as a data set: real motion, drawn as the generated people are.

Acclaim files become the figure's points in a world frame (x right, y down, z forward, floor at
y = 0, millimetres); recordings are split into three disjoint parts and cut into clips, and these
are filmed.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from selfpose.data import acclaim
from selfpose.data.dataset import PoseDataset
from selfpose.synthetic.backgrounds import Difficulty
from selfpose.synthetic.people import FIGURE_POINTS, HUMAN
from selfpose.synthetic.studio import CameraSpread, Clips, film_parts

ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created "
    "with funding from NSF EIA-0196217."
)
# The end of an Acclaim bone that each point is; the others are built in `motion_to_points`. The
# forearm is two bones, "radius" and then "wrist", whose end is the wrist joint.
_SIDE_POINTS = ["hip", "knee", "ankle", "shoulder", "elbow", "wrist", "toe", "hand"]
_SIDE_BONES = ["hipjoint", "femur", "tibia", "clavicle", "humerus", "wrist", "toes", "fingers"]
BONE_ENDS = {"hip": "root", "spine": "upperback", "thorax": "lowerneck"} | {
    f"{side}_{point}": side[0] + bone
    for side in ("left", "right")
    for point, bone in zip(_SIDE_POINTS, _SIDE_BONES, strict=True)
}
CROWN_OF_HEAD_BONE = 0.5  # the head bone ends inside the skull; the crown lies half of it further
NOSE_MM = 110.0  # from the middle of the head to the tip of the nose
HAND_MM = 160.0  # from wrist to finger tips: the Acclaim fingers end at the markers, half-way

FRAMES_PER_SECOND = 120
FRAME_STEP = 12  # clips are taken at 10 frames a second, so that people move within them
SHORT_CLIP_FRAMES = 16  # of unpaired poses and test pictures: few, for many cameras
MIN_TEST_FRAMES = 4  # of each recording that is tested on
FLOOR_QUANTILE = 0.25  # of the seconds' lowest foot points: most recordings climb for less than 3/4
FLOOR_RANGE_MM = 150.0
SUPPORT_WINDOW_FRAMES = 2 * FRAMES_PER_SECOND + 1
SPLIT_SHARES = {"images": 0.4, "unpaired": 0.4, "test": 0.2}

# What is done in the recordings of subjects 01 to 03.
ACTIVITIES = {
    **{f"01_{number:02}": "playground" for number in range(1, 13)},
    **dict.fromkeys(("02_01", "02_02"), "walk"),
    "02_04": "jump and balance",
    "02_06": "bend and lift",
    **dict.fromkeys(("02_07", "02_08", "02_09"), "swordplay"),
    **dict.fromkeys(("03_01", "03_02", "03_03"), "uneven terrain"),
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A motion file (.amc), the skeleton file (.asf) that it goes with, and what is known of it.

    ``name`` is the motion file's, after the subject if it does not begin with it; ``subject`` the
    skeleton file's, at CMU the subject's number.
    """

    name: str
    subject: str
    activity: str
    asf: Path
    amc: Path

    def digest(self) -> str:
        """SHA-256 of both files."""
        return hashlib.sha256(self.asf.read_bytes() + self.amc.read_bytes()).hexdigest()


def find_recordings(folder: str | Path) -> tuple[Recording, ...]:
    """Every motion under a folder, sorted by name, with the skeleton that it needs.

    That is, in this order: the ASF file beside it that has its name's beginning (``02.asf`` for
    ``02_07.amc``), the only ASF file beside it, the only one anywhere with its name's beginning.
    """
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    skeletons, motions = ([p for p in files if p.suffix.lower() == s] for s in (".asf", ".amc"))
    if not (skeletons and motions):
        raise FileNotFoundError(
            f"{folder}: expected skeletons (.asf) and motions (.amc), as CMU's subjects/ holds "
            f"them; found {len(skeletons)} and {len(motions)}"
        )
    found: dict[str, Recording] = {}
    for amc in motions:
        beside = [path for path in skeletons if path.parent == amc.parent]
        subject = amc.stem.split("_")[0]
        near, far = ([p for p in ps if p.stem == subject] for ps in (beside, skeletons))
        asf = next((paths[0] for paths in (near, beside, far) if len(paths) == 1), None)
        if asf is None:
            raise ValueError(f"{amc}: no skeleton goes with it; put {subject}.asf beside it")
        name = amc.stem if amc.stem.startswith(asf.stem) else f"{asf.stem}/{amc.stem}"
        if name in found:
            raise ValueError(f"two recordings are named {name!r}: {found[name].amc} and {amc}")
        activity = ACTIVITIES.get(amc.stem, "unknown")
        found[name] = Recording(name=name, subject=asf.stem, activity=activity, asf=asf, amc=amc)
    return tuple(found[name] for name in sorted(found))


def motion_to_points(
    skeleton: acclaim.AcclaimSkeleton, motion: acclaim.AcclaimMotion
) -> Float[Tensor, "T 22 3"]:
    """``FIGURE_POINTS`` over time, mm, in the world frame but with the laboratory's zero as floor.

    Acclaim's frame (y up, right-handed) becomes x right, y down, z forward by a half-turn about
    x, a proper rotation. The head is the crown; the neck lies half-way from the thorax to it; the
    nose lies in front of the head's middle, where the head bone faces.
    """
    joints = skeleton.joints
    if missing := sorted({*BONE_ENDS.values(), "upperneck", "head"} - set(joints)):
        raise ValueError(
            f"the skeleton {skeleton.name!r} has no {', '.join(missing)}; expected the bones that "
            "the CMU database names"
        )
    ends, turns = acclaim.global_transforms(skeleton, motion)
    points = {name: ends[:, joints.index(bone)] for name, bone in BONE_ENDS.items()}
    head, below = ends[:, joints.index("head")], ends[:, joints.index("upperneck")]
    points["head"] = head + CROWN_OF_HEAD_BONE * (head - below)
    points["neck"] = (points["thorax"] + points["head"]) / 2
    middle = (points["neck"] + points["head"]) / 2
    # Where the rest pose looks: left × up, level.
    rest = acclaim.rest_positions(skeleton)
    left = rest[joints.index("lclavicle")] - rest[joints.index("rclavicle")]
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    forward = normalize(torch.linalg.cross(left, up), dim=0)
    points["nose"] = middle + NOSE_MM * turns[:, joints.index("head")] @ forward
    for side in ("left", "right"):
        wrist = points[f"{side}_wrist"]
        points[f"{side}_hand"] = wrist + HAND_MM * normalize(points[f"{side}_hand"] - wrist, dim=-1)
    half_turn = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    return torch.stack([points[name] for name in FIGURE_POINTS], dim=1) * half_turn


def read_recording(recording: Recording) -> Float[Tensor, "T 22 3"]:
    """``FIGURE_POINTS`` in mm, 120 frames a second, world frame, the floor at y = 0."""
    skeleton = acclaim.read_asf(recording.asf)
    points = motion_to_points(skeleton, acclaim.read_amc(recording.amc, skeleton))
    points[..., 1] -= floor_height(points)
    return points.float()


def floor_height(points: Float[Tensor, "T 22 3"]) -> float:
    """y of the floor of a recording, mm, world frame.

    Each second's lowest foot point is taken, for in a second of walking or running some foot
    lands; the floor is the lower quartile of these heights, which neither a single bad frame nor
    a climbing frame can move far. CMU's laboratory zero is its floor to a few centimetres, so
    feet that never come within 150 mm of it are taken to be above a floor at zero.
    """
    feet = [i for i, name in enumerate(FIGURE_POINTS) if name.endswith(("toe", "ankle"))]
    lowest = points[:, feet, 1].amax(dim=1)
    window = min(len(lowest), FRAMES_PER_SECOND)
    landings = lowest.unfold(0, window, max(1, window // 10)).amax(dim=1)
    floor = float(landings.quantile(1 - FLOOR_QUANTILE))
    return floor if abs(floor) <= FLOOR_RANGE_MM else 0.0


def lower_to_floor(points: Float[Tensor, "T 22 3"]) -> Float[Tensor, "T 22 3"]:
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


def split_recordings(
    recordings: Sequence[Recording], shares: Mapping[str, float]
) -> dict[str, tuple[Recording, ...]]:
    """Share recordings out so that each part has of every subject and activity as far as it goes.

    Deterministic: largest groups (one subject, one activity) first, in order of names; each
    recording goes to a part that has none of its group or, failing that, to the one that has
    least, for its share, of the group, then of the activity, then of the subject, then of all.
    """
    if len(recordings) < len(shares):
        raise ValueError(
            f"expected {len(shares)} recordings or more, one for each of the parts "
            f"{', '.join(shares)}; got {len(recordings)}"
        )
    groups: dict[tuple[str, str], list[Recording]] = {}
    for recording in sorted(recordings, key=lambda r: r.name):
        groups.setdefault((recording.subject, recording.activity), []).append(recording)
    parts: dict[str, list[Recording]] = {part: [] for part in shares}

    def holding(recording: Recording, part: str) -> tuple[float, ...]:
        """What the part would hold, for its share, with this one in it; closest kin first."""
        there = parts[part]
        same_activity = [r for r in there if r.activity == recording.activity]
        same_subject = [r for r in there if r.subject == recording.subject]
        same_both = [r for r in same_activity if r in same_subject]
        kin = (same_both, same_activity, same_subject, there)
        return (float(bool(same_both)), *((len(others) + 1) / shares[part] for others in kin))

    largest_first = sorted(groups.values(), key=lambda group: (-len(group), group[0].name))
    queue = [recording for group in largest_first for recording in group]
    for i, recording in enumerate(queue):
        empty = [part for part in parts if not parts[part]]
        candidates = empty if len(queue) - i <= len(empty) else list(parts)
        parts[min(candidates, key=partial(holding, recording))].append(recording)
    return {part: tuple(sorted(rs, key=lambda r: r.name)) for part, rs in parts.items()}


def clip_frames(
    n_frames: int, *, n_images: int, frames_per_clip: int, generator: torch.Generator
) -> list[Int[Tensor, " _"]]:
    """Which frames of a recording make up its clips, ``n_images`` in all, lengths alike to one.

    Clips begin at even distances and reach to the end; their frames are evenly spaced, 10 a
    second or further apart where fewer clips would not cover the recording, denser where it is
    short.
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


def _derived_seed(*parts: int | str) -> int:
    """One seed for one purpose: different words give unrelated streams."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def _cut(recordings: Sequence[Recording], n: int, length: int, seed: tuple[int, str]) -> Clips:
    """``n`` frames in clips, as many from each recording."""
    generator = torch.Generator().manual_seed(_derived_seed(*seed, "clips"))
    clips = Clips([], [], lambda length: _derived_seed(*seed, "film", length))
    for i, recording in enumerate(recordings):
        if share := n // len(recordings) + (i < n % len(recordings)):
            points = lower_to_floor(read_recording(recording))
            frames = clip_frames(
                len(points), n_images=share, frames_per_clip=length, generator=generator
            )
            clips.points.extend(points[rows] for rows in frames)
            clips.activity.extend([recording.activity] * len(frames))
    return clips


def _parts(
    root: str | Path | None, train_root: str | Path | None, test_root: str | Path | None
) -> tuple[dict[str, tuple[Recording, ...]], dict[str, dict[str, str]]]:
    """The recordings of images, unpaired and test, and the digests of their files by name."""
    if root is not None:
        parts = split_recordings(find_recordings(root), SPLIT_SHARES)
    else:
        assert train_root is not None
        assert test_root is not None
        parts = split_recordings(find_recordings(train_root), {"images": 0.5, "unpaired": 0.5})
        parts["test"] = find_recordings(test_root)
    digests = {part: {r.name: r.digest() for r in rs} for part, rs in parts.items()}
    learnt = {*digests["images"].values(), *digests["unpaired"].values()}
    if leaked := [name for name, digest in digests["test"].items() if digest in learnt]:
        raise ValueError(
            f"the test folder holds recordings that are learnt from as well: {', '.join(leaked)}"
        )
    return parts, digests


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
    camera_elevation: float = 10.0,
    seed: int = 0,
    progress: bool = True,
) -> PoseDataset:
    """Recorded motion as pictures, unpaired 2D poses and a labelled test set.

    The parts come from disjoint sets of recordings, as many frames from each, and have their own
    cameras, clothes and backgrounds. ``root`` is one folder whose recordings are split in three
    (:func:`split_recordings`, whatever the seed); or else every recording of ``test_root`` is
    tested on, and those of ``train_root`` are split between pictures and unpaired poses. ``n_test``
    grows where it would be less than four for a recording, and short recordings give clips of less
    than ``frames_per_clip``. All else is as in
    :func:`selfpose.synthetic.generated.load_embedded`.
    """
    parts, digests = _parts(root, train_root, test_root)
    counts = {"images": n_unlabelled, "unpaired": n_unpaired}
    counts["test"] = max(n_test, MIN_TEST_FRAMES * len(parts["test"]))
    short = min(frames_per_clip, SHORT_CLIP_FRAMES)
    lengths = {"images": frames_per_clip, "unpaired": short, "test": short}
    return film_parts(
        "cmu",
        {p: (_cut(parts[p], n, lengths[p], (seed, p)), n) for p, n in counts.items()},
        model=HUMAN,
        cameras=CameraSpread(elevation_mean=camera_elevation),
        image_size=image_size,
        difficulty=difficulty,
        progress=progress,
        provenance={
            "source": "CMU Graphics Lab Motion Capture Database",
            "acknowledgement": ACKNOWLEDGEMENT,
            "split": {part: [r.name for r in rs] for part, rs in parts.items()},
            "subjects": {part: sorted({r.subject for r in rs}) for part, rs in parts.items()},
            "activities": {p: dict(Counter(r.activity for r in rs)) for p, rs in parts.items()},
            "sha256": digests,
            "counts": counts,
            "frames_per_clip": lengths,
            "seed": seed,
        },
    )
