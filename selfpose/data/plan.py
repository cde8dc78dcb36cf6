"""Which frames of a source go to which part of the method's data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from tqdm import tqdm

from selfpose.data.reader import SPLITS, Clip, Reader, Split
from selfpose.extras.foreground import MIN_FRAMES

Part = Literal["unlabelled", "unpaired", "test"]
PARTS: tuple[Part, ...] = ("unlabelled", "unpaired", "test")
HELD_OUT = 5
"""One in so many clips is tested on where the source names no test split."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How frames become the method's data: the side of the square pictures, px; and every so many
    frames of the clips to learn from are taken. Test clips are taken whole."""

    image_size: int = 64
    every: int = 1

    def __post_init__(self) -> None:
        if not all(isinstance(n, int) and n >= 1 for n in (self.image_size, self.every)):
            raise ValueError(f"image_size and every must be whole numbers from 1, got {self}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """What one part takes of a clip: the frames ``rows``. The rest says what the clip has."""

    clip: str
    split: Split
    part: Part
    subject: str
    activity: str
    static: bool
    pictures: bool
    poses_2d: bool
    poses_3d: bool
    frames: int
    rows: Int[ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The pieces in the order of the source."""

    pieces: tuple[Piece, ...]

    def of(self, part: Part) -> tuple[Piece, ...]:
        """The pieces of one part."""
        return tuple(p for p in self.pieces if p.part == part)

    def frames(self, part: Part) -> int:
        """How many rows a part has."""
        return sum(len(p.rows) for p in self.of(part))

    @property
    def shows_background(self) -> bool:
        """Whether every clip to learn from stands still and is long enough for a median."""
        return all(p.static and len(p.rows) >= MIN_FRAMES for p in self.of("unlabelled"))


def make_plan(reader: Reader, recipe: Recipe, *, progress: bool = False) -> Plan:
    """Look at the labels of every clip once, and at no picture."""
    found: list[Piece] = []
    for split in SPLITS:
        bar = tqdm(reader.clips(split), desc=f"{split} clips", unit=" clips", disable=not progress)
        found += [look(clip, split) for clip in bar]
    return divide(reader.name, found, recipe)


def look(clip: Clip, split: Split) -> Piece:
    """What a clip could give: the frames that the source does not call invalid and, where there
    are poses, in which every joint's place is known."""
    usable = np.ones(len(clip), dtype=bool) if clip.valid is None else np.asarray(clip.valid)
    deep = flat = np.zeros(len(clip), dtype=bool)
    if clip.poses_3d is not None:
        deep = np.isfinite(clip.poses_3d).all(axis=(1, 2))
        usable = usable & deep if deep.any() else usable
    if clip.poses_2d is not None:
        flat = usable & np.isfinite(clip.poses_2d).all(axis=(1, 2))
        usable = flat if flat.any() or clip.pictures is None else usable
    return Piece(
        clip=clip.name,
        split=split,
        part="test" if split == "test" else "unlabelled",
        subject=clip.subject,
        activity=clip.activity,
        static=clip.static,
        pictures=clip.pictures is not None,
        poses_2d=bool(flat.any()),
        poses_3d=bool(deep.any()),
        frames=len(clip),
        rows=np.flatnonzero(usable),
    )


def divide(name: str, found: Sequence[Piece], recipe: Recipe) -> Plan:
    """Share out what :func:`look` found of the clips of the source ``name``, in their order.

    Clips too short for a background are left out where the others have one.
    """
    every = {"unlabelled": recipe.every, "unpaired": recipe.every, "test": 1}
    kept = [replace(p, rows=p.rows[:: every[p.part]]) for p in _share(_hold_out(found))]
    kept = [p for p in kept if len(p.rows)]
    for what in ("poses_2d", "poses_3d"):  # a test part is labelled as a whole, or not at all
        if any(getattr(p, what) for p in kept if p.part == "test"):
            kept = [p for p in kept if p.part != "test" or getattr(p, what)]
    filmed = [p for p in kept if p.part == "unlabelled"]
    short = [p for p in filmed if len(p.rows) < MIN_FRAMES]
    if all(p.static for p in filmed) and len(short) < len(filmed):
        kept = [p for p in kept if p not in short]
    if missing := set(PARTS) - {p.part for p in kept}:
        raise ValueError(
            f"{name}: the source gives no frames for {', '.join(sorted(missing))}. Pictures and 2D "
            "poses with every joint known are taken from different subjects, or from different "
            "clips of one, and the test pictures from others again: a source needs three clips, or "
            "poses of its own beside two clips of pictures"
        )
    return Plan(pieces=tuple(kept))


def _hold_out(found: Sequence[Piece]) -> list[Piece]:
    """Without a test split some clips become one: labelled ones if there are any."""
    if any(p.split == "test" and p.pictures for p in found):
        return list(found)
    seen = [p for p in found if p.pictures]
    best = [p for p in seen if p.poses_3d] or [p for p in seen if p.poses_2d] or seen
    if len(best) == 1:  # of a single clip the last frames
        film, cut = best[0], round((1 - 1 / HELD_OUT) * best[0].frames)
        halves = [replace(film, rows=film.rows[film.rows < cut])]
        halves += [replace(film, rows=film.rows[film.rows >= cut], part="test")]
        return [part for p in found for part in (halves if p is film else [p])]
    # Whole subjects where they are named: nobody is both learnt from and tested on.
    named = len({p.subject for p in best}) > 1
    groups = sorted({p.subject for p in best}) if named else [p.clip for p in best]
    held = set(groups[HELD_OUT // 2 :: HELD_OUT] or groups[-1:])
    return [
        replace(p, part="test") if (p.subject if named else p.clip) in held else p for p in found
    ]


def _share(found: Sequence[Piece]) -> list[Piece]:
    """Of the clips with both pictures and poses every second subject gives its poses, the others
    their pictures: every second clip where there is one subject. A source with poses that have no
    pictures has its unpaired poses already."""
    learnt = [p for p in found if p.part != "test"]
    giving = {p for p in learnt if not p.pictures}
    if not giving:
        both = [p for p in learnt if p.poses_2d]
        subjects = sorted({p.subject for p in both})
        odd = set(subjects[1::2])
        giving = {p for p in both if p.subject in odd} if odd else set(both[1::2])
    return [replace(p, part="unpaired") if p in giving else p for p in found]
