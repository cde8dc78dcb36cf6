"""What is in a data set, and the first thing that is wrong with it: ``selfpose data check``."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from jaxtyping import Float, UInt8
from torch import Tensor
from selfpose.data.checks import bone_lengths, findings
from selfpose.data.crop import crop_picture, points_to_crop
from selfpose.data.plan import PARTS, Piece, Plan, Recipe, Usable, divide, look
from selfpose.data.prepare import read_pictures, subject_boxes
from selfpose.data.dataset import PoseDataset
from selfpose.data.reader import SPLITS, Clip, Reader
from selfpose.data.rows import even_rows
from selfpose.data.standstill import STILL, background_share
from selfpose.extras.foreground import MIN_FRAMES
from book.kit.plots import draw_pose_2d, new_figure, picture_to_rgb, side_legend
from selfpose.skeleton import Skeleton

N_SAMPLES = 8
FEW_POSES = 300
"""Fewer unpaired poses than this make a poor prior: see the sweep over their number."""
SMALL_BODY = 0.3
"""Of the crop's side: a body whose pose extends less far shows its limbs in a few pixels."""
FLIPPED = 0.5
"""Mean poses that come so much nearer to each other when one is turned upside down are so."""
N_WATCHED = 24
"""Clips of which some pictures are compared with their median."""
SAMPLE_PX = 160


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture as it will be cropped, with its 2D pose where there is one (pixels of the crop)."""

    image: UInt8[Tensor, "3 S S"]
    pose: Float[Tensor, "J 2"] | None
    title: str


@dataclass(kw_only=True)
class Inspection:
    """What was found. ``findings`` is empty if nothing is wrong; its first line is the worst.

    ``unusual`` holds what may well be right: people who lie have their heads low.
    """

    name: str
    skeleton: Skeleton
    facts: dict[str, Any]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    bones: NDArray[np.float64] | None = None  # (clips, B), mm in 3D, else px
    unit: str = "mm"
    findings: list[str] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)
    plan: Plan | None = None
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self) -> str:
        """The whole as text: facts, joints, counts, bones, parts, findings."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"data set {self.name}, body {self.skeleton.name}"
        for key, value in self.facts.items():
            yield f"  {key}: {value}"
        yield f"joints, in the order of every pose ({self.skeleton.n_joints}):"
        sides = zip(self.skeleton.joints, self.skeleton.joint_sides, strict=True)
        yield "  " + ", ".join(f"{k} {name} ({side})" for k, (name, side) in enumerate(sides))
        for split, counts in self.counts.items():
            yield f"{split}: " + (
                ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing"
            )
        if self.bones is not None and len(self.bones):
            yield f"bone lengths, {self.unit}, median over clips (and spread between clips):"
            for k, (parent, child) in enumerate(self.skeleton.bones):
                names = f"{self.skeleton.joints[parent]} – {self.skeleton.joints[child]}"
                values = self.bones[:, k][np.isfinite(self.bones[:, k])]
                shown = (
                    f"{np.median(values):8.1f} ± {values.std():.1f}" if len(values) else "unknown"
                )
                yield f"  {names:>34s} {shown}"
        if self.plan is not None:
            yield "parts that the method gets:"
            for part in PARTS:
                clips = self.plan.of(part)
                people = sorted({c.subject for c in clips} - {""})
                of = f", subjects {', '.join(people[:12])}" if people else ""
                yield f"  {part}: {self.plan.frames(part)} frames of {len(clips)} clips{of}"
            for cause, n in self.plan.left_out.items():
                yield f"  left out: {n} frames {cause}"
        if self.findings:
            yield f"WRONG: {self.findings[0]}"
            yield from (f"  also: {text}" for text in self.findings[1:8])
            if len(self.findings) > 8:
                yield f"  and {len(self.findings) - 8} more"
        for text in self.unusual[:8]:
            yield f"unusual: {text}"
        yield from (f"NOTE: {text}" for text in self.notes)
        if not self.findings:
            drawn = any(sample.pose is not None for sample in self.samples)
            yield "nothing wrong was found" + (
                "; look at the samples: is left on the left?" if drawn else ""
            )


def inspect_reader(
    reader: Reader, recipe: Recipe, *, name: str, progress: bool = True
) -> Inspection:
    """Look through a source of files: every clip's labels, and a few pictures."""
    found = Inspection(name=name, skeleton=reader.skeleton, facts=dict(reader.describe()))
    deep: list[NDArray[np.float64]] = []
    flat: list[NDArray[np.float64]] = []
    shown: list[Clip] = []
    posing: list[Clip] = []
    watched: list[Clip] = []
    seen: dict[str, list[NDArray[np.float64]]] = {"labelled": [], "unpaired": []}
    said: Counter[str] = Counter()
    pieces: list[tuple[Piece, Usable]] = []
    whole = True
    for split in SPLITS:
        counts: Counter[str] = Counter()
        bar = tqdm(reader.clips(split), desc=f"{split} clips", unit=" clips", disable=not progress)
        try:
            for clip in bar:
                pieces.append(look(clip, split))
                counts["clips"] += 1
                counts["frames"] += len(clip)
                for what in ("pictures", "poses_2d", "poses_3d"):
                    counts[f"frames with {what}"] += len(clip) * (getattr(clip, what) is not None)
                for finding in findings(clip, reader.skeleton):
                    said[finding.text] += 1
                    if said[finding.text] == 1:
                        into = found.findings if finding.fault else found.unusual
                        into.append(f"{split} clip {clip.name!r}: {finding.text}")
                if clip.poses_3d is not None:
                    deep.append(bone_lengths(clip.poses_3d, reader.skeleton))
                elif clip.poses_2d is not None:
                    flat.append(bone_lengths(clip.poses_2d, reader.skeleton))
                if clip.pictures is not None:
                    _keep_spread(shown, clip, counts["clips"], most=N_SAMPLES)
                    if clip.static and split == "train":
                        _keep_spread(watched, clip, counts["clips"], most=N_WATCHED)
                if clip.poses_2d is not None and (clip.boxes is not None or clip.pictures):
                    kind = "labelled" if clip.pictures else "unpaired"
                    seen[kind] += _as_cropped(clip)
                    if clip.pictures is None and len(posing) < N_SAMPLES:
                        posing.append(clip)
        except (ValueError, FileNotFoundError) as error:
            found.findings.insert(0, str(error))
            whole = False
        found.counts[split] = {key: n for key, n in counts.items() if n}
    found.bones = np.array(deep or flat) if deep or flat else None
    found.unit = "mm" if deep else "px in the picture"
    if not whole:  # of a source that breaks off there is no plan
        return found
    try:
        found.plan = divide(reader.name, pieces, recipe)
        found.samples = [s for clip in shown for s in _samples(clip, recipe, len(shown))]
        found.samples += _pose_samples(posing, recipe)
        found.notes = [*_about_background(found.plan, watched), *_notes(found, seen)]
    except (ValueError, FileNotFoundError) as error:
        if str(error) not in found.findings:
            found.findings.insert(0, str(error))
    return found


def _about_background(plan: Plan, watched: list[Clip]) -> list[str]:
    """Whether what the plan takes for static cameras are such, by some pictures of some clips."""
    filmed = plan.of("unlabelled")
    if loose := [p for p in filmed if not (p.static and p.n >= MIN_FRAMES)]:
        text = (
            "the pictures show no static background (a clip of one camera that stands still, "
            f"{MIN_FRAMES} frames or more): train with --variant loose, which needs none"
        )
        if len(loose) < len(filmed):
            why = f"{loose[0].n} frames" if loose[0].static else "not known to stand still"
            text += (
                f". Or leave out the {len(loose)} of {len(filmed)} clips that have none, first "
                f"{loose[0].clip!r} ({why})"
            )
        return [text]
    names = {p.clip for p in filmed}
    shares = {c.name: background_share(c) for c in watched if c.name in names}
    moving = {name: share for name, share in shares.items() if share < STILL}
    if not moving:
        return []
    worst = min(moving, key=lambda name: moving[name])
    return [
        f"of {len(shares)} clips looked at, {len(moving)} did not stand still, worst {worst!r}: "
        f"in {1 - moving[worst]:.0%} of the picture the clip's median is not its background. Does "
        "the camera move, are several cameras mixed in one clip, or does the subject stay in one "
        "place? Divide such clips or leave them out, or train with --variant loose, which needs "
        "no background"
    ]


def _notes(found: Inspection, seen: dict[str, list[NDArray[np.float64]]]) -> list[str]:
    """What is not wrong, but should be known before a training.

    ``seen`` has poses (J, 2) over the side of their crop, of labelled pictures and unpaired ones.
    """
    notes = []
    assert found.plan is not None
    tests = found.plan.of("test")
    if not any(p.poses_2d or p.poses_3d for p in tests):
        notes.append("no test picture is labelled: training works, but no error can be measured")
    if (n := found.plan.frames("unpaired")) < FEW_POSES:
        notes.append(f"{n} unpaired poses are few: the prior wants {FEW_POSES} or more")
    for kind, poses in seen.items():
        if (
            poses
            and (side := float(np.median([np.ptp(p, axis=0).max() for p in poses]))) < SMALL_BODY
        ):
            notes.append(
                f"{kind} bodies extend over {side:.0%} of the picture's side: little is left of "
                f"their limbs at the size that networks see. Cut pictures to the subject (and say "
                "poses in pixels of what is cut out), or take a larger --image-size"
            )
    if not (seen["labelled"] and seen["unpaired"]):
        return notes
    means, lengths = {}, {}
    for kind, poses in seen.items():
        centred = np.stack(poses) - np.stack(poses)[:, [found.skeleton.root]]
        lengths[kind] = float(np.median(np.linalg.norm(centred[:, found.skeleton.top], axis=-1)))
        means[kind] = centred.mean(axis=0) / max(lengths[kind], 1e-9)
    ratio = lengths["unpaired"] / max(lengths["labelled"], 1e-9)
    if not 1 / 1.5 < ratio < 1.5:
        notes.append(
            f"unpaired poses are {ratio:.2f} times as large as the labelled bodies in the "
            "pictures; both must be seen at one scale (poses_size says the size of the "
            "picture that poses were measured in)"
        )
    # The heights alone: to which side a body points on average is chance.
    apart = np.abs(means["unpaired"] - means["labelled"])[:, 1].mean()
    turned = np.abs(means["unpaired"] + means["labelled"])[:, 1].mean()
    if apart > FLIPPED and turned < FLIPPED * apart:
        notes.append(
            "unpaired poses stand upside down beside the labelled ones: y counts downwards in "
            "both, from the picture's upper edge"
        )
    return notes


def _as_cropped(clip: Clip) -> list[NDArray[np.float64]]:
    """Some whole poses of a clip, (J, 2) over the side of their crop."""
    assert clip.poses_2d is not None
    if clip.boxes is None:  # the crop follows the pose, whose scale is then its own
        return []
    rows = even_rows(len(clip), most=256)
    poses = points_to_crop(clip.poses_2d[rows], clip.boxes[rows], size=1)
    return list(poses[np.isfinite(poses).all(axis=(1, 2))])


def _pose_samples(clips: list[Clip], recipe: Recipe) -> list[Sample]:
    """Unpaired poses, drawn on grey, as large as their pictures' crops would show them."""
    found = []
    for clip in clips[:4]:
        assert clip.poses_2d is not None
        rows = even_rows(len(clip), most=max(1, 4 // len(clips)))
        boxes = subject_boxes(clip, rows, recipe, shapes=None)
        for row, pose in zip(
            rows, points_to_crop(clip.poses_2d[rows], boxes, size=SAMPLE_PX), strict=True
        ):
            grey = torch.full((3, SAMPLE_PX, SAMPLE_PX), 235, dtype=torch.uint8)
            title = f"unpaired: {clip.name} {row}"
            found.append(Sample(image=grey, pose=torch.from_numpy(pose), title=title))
    return found


def _keep_spread(shown: list[Clip], clip: Clip, number: int, *, most: int) -> None:
    """Keep at most ``most`` clips, spread over those seen: every 1st, 2nd, 4th, … one."""
    if len(shown) == most:
        del shown[1::2]
    step = 1 << max(0, (number - 1).bit_length() - most.bit_length() + 1)
    if number % step == 0 or not shown:
        shown.append(clip)


def _samples(clip: Clip, recipe: Recipe, n_clips: int) -> list[Sample]:
    assert clip.pictures is not None
    rows = even_rows(len(clip), most=max(1, N_SAMPLES // n_clips))
    found = []
    with ThreadPoolExecutor(1) as pool:
        pictures = read_pictures([clip.pictures[int(k)] for k in rows], pool)
        for row, pixels in zip(rows, pictures, strict=True):
            shape = pixels.shape[1::-1]
            box = subject_boxes(clip, np.array([row]), recipe, shapes=[shape])[0]
            pose = None
            if clip.poses_2d is not None:
                pose = torch.from_numpy(points_to_crop(clip.poses_2d[row], box, size=SAMPLE_PX))
            crop = crop_picture(pixels, box, size=SAMPLE_PX).transpose(2, 0, 1)
            image = torch.from_numpy(np.ascontiguousarray(crop))
            found.append(Sample(image=image, pose=pose, title=f"{clip.name} {row}"))
    return found


def inspect_dataset(dataset: PoseDataset) -> Inspection:
    """Look through a data set in memory: the generated and the rendered ones."""
    test = dataset.test
    lengths = bone_lengths(test.poses_3d.double().numpy(), dataset.skeleton)
    sizes = {
        "unlabelled": len(dataset.unlabelled),
        "unpaired": len(dataset.unpaired),
        "test": len(test),
    }
    return Inspection(
        name=dataset.name,
        skeleton=dataset.skeleton,
        facts={"picture": f"{dataset.image_size} px", **dataset.provenance},
        counts={part: {"frames": n} for part, n in sizes.items()},
        bones=lengths[None],
        samples=[
            Sample(image=test.images[k], pose=test.poses_2d[k], title=test.activity[k])
            for k in even_rows(len(test), most=N_SAMPLES).tolist()
        ],
    )


def sample_figure(inspection: Inspection) -> Figure:
    """The sample pictures with their skeletons; left and right in the colours used everywhere."""
    samples, columns = inspection.samples, 4
    n_rows = max(1, -(-len(samples) // columns))
    figure = new_figure(7.0, 1.55 * n_rows + 0.4)
    for k, sample in enumerate(samples):
        ax = figure.add_subplot(n_rows, columns, k + 1)
        size = int(sample.image.shape[-1])
        ax.imshow(picture_to_rgb(sample.image), extent=(0, size, size, 0))
        if sample.pose is not None and bool(sample.pose.isfinite().all()):
            draw_pose_2d(ax, sample.pose, inspection.skeleton)
        ax.set_xlim(0, size)
        ax.set_ylim(size, 0)
        ax.set_axis_off()
        ax.set_title(sample.title[-28:], fontsize=6)
    if any(sample.pose is not None for sample in samples):
        side_legend(figure, inspection.skeleton, loc="lower center", ncols=3, fontsize=7)
    return figure


__all__ = [
    "Inspection",
    "Sample",
    "inspect_dataset",
    "inspect_reader",
    "sample_figure",
]
