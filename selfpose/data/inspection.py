"""What is in a data set, and what is wrong with it: ``selfpose data check``."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from selfpose.data.checks import bone_lengths, check_clip
from selfpose.data.crop import crop_picture, points_to_crop
from selfpose.data.dataset import PoseDataset
from selfpose.data.pictures import read_pictures
from selfpose.data.plan import PARTS, Plan, Recipe, divide, look
from selfpose.data.prepare import subject_boxes
from selfpose.data.reader import SPLITS, Clip, Reader
from selfpose.data.rows import even_rows
from selfpose.skeleton import Skeleton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW_POSES = 300
"""Fewer unpaired poses than this make a poor prior."""
STILL = 0.75
"""Share of the picture in which the median must be a background. Subjects that move through it
hide each place for less than half of the time; only where they stay put it is none."""
N_WATCHED, SAMPLE_PX = 24, 160
SIDE_COLOURS = {"left": "#0072B2", "right": "#D55E00", "centre": "#444444"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture as it will be cropped, with its 2D pose where there is one (pixels of the crop)."""

    image: UInt8[Tensor, "3 S S"]
    pose: Float[Tensor, "J 2"] | None
    title: str


@dataclass(kw_only=True)
class Inspection:
    """What was found: ``facts`` by name, what is wrong (``findings``), what should be known."""

    skeleton: Skeleton
    facts: dict[str, Any]
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def report(self) -> str:
        """The whole as text."""
        joints = zip(self.skeleton.joints, self.skeleton.joint_sides, strict=True)
        order = ", ".join(f"{k} {name} ({side})" for k, (name, side) in enumerate(joints))
        lines = [f"{name}: {value}" for name, value in self.facts.items()]
        lines += [f"joints, in the order of every pose: {order}"]
        lines += [f"WRONG: {text}" for text in self.findings[:8]]
        lines += [f"NOTE: {text}" for text in self.notes]
        if not self.findings:
            lines.append("nothing wrong was found; look at the samples: is left on the left?")
        return "\n".join(lines)


def inspect_reader(
    reader: Reader, recipe: Recipe, *, name: str, progress: bool = True
) -> Inspection:
    """Look through a source of files: every clip's labels, and a few pictures."""
    found = Inspection(skeleton=reader.skeleton, facts={"data set": name, **reader.describe()})
    pieces, lengths = [], []
    shown: tuple[dict[str, Clip], ...] = ({}, {})  # with and without pictures, one of a subject
    try:
        for split in SPLITS:
            counts: Counter[str] = Counter()
            bar = tqdm(reader.clips(split), f"{split} clips", unit=" clips", disable=not progress)
            for clip in bar:
                pieces.append(look(clip, split))
                found.findings += [
                    f"{clip.name}: {text}" for text in check_clip(clip, reader.skeleton)
                ]
                there = [
                    w for w in ("pictures", "poses_2d", "poses_3d") if getattr(clip, w) is not None
                ]
                counts.update({what: len(clip) for what in there}, clips=1)
                poses = clip.poses_2d if clip.poses_3d is None else clip.poses_3d
                lengths += [] if poses is None else [bone_lengths(poses, reader.skeleton)]
                kept = shown[clip.pictures is None]
                if len(kept) < N_WATCHED:
                    kept.setdefault(clip.subject or clip.name, clip)
            found.facts[split] = ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing"
        found.facts |= _bones(lengths, reader.skeleton)
        plan = divide(reader.name, pieces, recipe)
        found.facts |= {
            part: f"{plan.frames(part)} frames of {len(plan.of(part))} clips" for part in PARTS
        }
        found.samples = [s for kept in shown for s in _samples(list(kept.values())[:4])]
        found.notes = list(_notes(plan, shown[0].values()))
    except (ValueError, OSError) as error:
        found.findings.insert(0, str(error))
    return found


def _bones(lengths: list[ndarray], skeleton: Skeleton) -> dict[str, str]:
    """Median and spread of each bone's length over clips."""
    names = [" – ".join(skeleton.joints[i] for i in bone) for bone in skeleton.bones]
    return {
        f"bone {name}": f"{np.nanmedian(of):.1f} ± {np.nanstd(of):.1f} (mm, or px of 2D poses)"
        for name, of in zip(names, np.array(lengths).T, strict=False)
    }


def _notes(plan: Plan, clips: Iterable[Clip]) -> Iterator[str]:
    """What is not wrong, but should be known before a training."""
    if not any(p.poses_2d or p.poses_3d for p in plan.of("test")):
        yield "no test picture is labelled: training works, but no error can be measured"
    if (n := plan.frames("unpaired")) < FEW_POSES:
        yield f"{n} unpaired poses are few: the prior wants {FEW_POSES} or more"
    if not plan.shows_background:
        yield (
            "the pictures show no static background (clips of cameras that stand still, 8 frames "
            "or more): train with --variant loose, which needs none"
        )
        return
    names = {piece.clip for piece in plan.of("unlabelled")}
    for clip in clips:
        if clip.name in names and (share := background_share(clip)) < STILL:
            yield (
                f"clip {clip.name!r} does not stand still: in {1 - share:.0%} of the picture its "
                "median is not its background. Does the camera move, are several cameras mixed, or "
                "does the subject stay in one place? Divide such clips or leave them out, or train "
                "with --variant loose, which needs no background"
            )


def background_share(clip: Clip) -> float:
    """Share of the picture whose median is met in more than half of some pictures of a clip."""
    assert clip.pictures is not None
    some = [clip.pictures[int(k)] for k in even_rows(len(clip), most=9)]
    pictures = (Image.fromarray(pixels) for pixels in read_pictures(some))
    small = [np.asarray(p.resize((96, 96), Image.Resampling.BOX)) for p in pictures]
    return still_share(np.stack(small))


def still_share(pictures: Num[ndarray, "n H W 3"]) -> float:
    """Share of the pixels that are near their median in more than half of the pictures.

    >>> wall, light = np.full((5, 4, 4, 3), 90), 30 * np.arange(5).reshape(5, 1, 1, 1)
    >>> still_share(wall), still_share(wall + light)
    (1.0, 0.0)
    """
    near = np.abs(pictures - np.median(pictures, axis=0)).max(axis=-1) <= 16  # noise, shadows
    return float((near.mean(axis=0) > 0.5).mean())


def _samples(clips: list[Clip]) -> Iterator[Sample]:
    """A frame or more of some clips, as they will be cropped; poses without pictures on grey."""
    for clip in clips:
        for row in even_rows(len(clip), most=4 // len(clips)):
            crop, sizes = np.full((SAMPLE_PX, SAMPLE_PX, 3), 235, dtype=np.uint8), None
            if clip.pictures is not None:
                (picture,) = read_pictures([clip.pictures[int(row)]])
                sizes = [picture.shape[1::-1]]
            (box,) = subject_boxes(clip, np.array([row]), sizes)
            if clip.pictures is not None:
                crop = crop_picture(picture, box, size=SAMPLE_PX)
            pose = None
            if clip.poses_2d is not None:
                pose = torch.from_numpy(points_to_crop(clip.poses_2d[row], box, size=SAMPLE_PX))
            image = torch.from_numpy(crop).permute(2, 0, 1)
            yield Sample(image=image, pose=pose, title=f"{clip.name} {row}")


def inspect_dataset(dataset: PoseDataset) -> Inspection:
    """Look through a data set in memory: the generated and the rendered ones."""
    test = dataset.test
    facts = {"data set": dataset.name, "picture": f"{dataset.image_size} px", **dataset.provenance}
    facts |= {part: f"{len(getattr(dataset, part))} frames" for part in PARTS}
    lengths = [bone_lengths(test.poses_3d.double().numpy(), dataset.skeleton)]
    return Inspection(
        skeleton=dataset.skeleton,
        facts=facts | _bones(lengths, dataset.skeleton),
        samples=[
            Sample(image=test.images[k], pose=test.poses_2d[k], title=test.activity[k])
            for k in even_rows(len(test), most=8).tolist()
        ],
    )


def sample_figure(inspection: Inspection) -> "Figure":
    """The sample pictures with their skeletons: left blue, right vermillion."""
    from matplotlib.figure import Figure

    samples, skeleton = inspection.samples, inspection.skeleton
    rows = max(1, -(-len(samples) // 4))
    figure = Figure(figsize=(7.0, 1.55 * rows + 0.4), layout="constrained")
    for k, sample in enumerate(samples):
        ax = figure.add_subplot(rows, 4, k + 1)
        size = sample.image.shape[-1]
        ax.imshow(sample.image.permute(1, 2, 0).numpy(), extent=(0, size, size, 0))
        for (i, j), side in zip(skeleton.bones, skeleton.bone_sides, strict=True):
            if sample.pose is not None:
                ax.plot(*sample.pose[[i, j]].T, color=SIDE_COLOURS[side], linewidth=2)
        ax.set(xlim=(0, size), ylim=(size, 0))
        ax.set_axis_off()
        ax.set_title(sample.title[-28:], fontsize=6)
    figure.suptitle("blue: the subject's left; vermillion: its right", fontsize=7)
    return figure
