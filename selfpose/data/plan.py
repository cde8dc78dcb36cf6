"""Which frames of a source go to which part of the method's data."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from selfpose.data.reader import SPLITS, Clip, Reader, Split
from selfpose.extras.foreground import MIN_FRAMES

Part = Literal["unlabelled", "unpaired", "test"]
PARTS: tuple[Part, ...] = ("unlabelled", "unpaired", "test")
HELD_OUT = 5
"""One in so many clips is tested on where the source names no test split."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How frames become the method's data.

    Parameters
    ----------
    image_size
        Side of the square pictures, px.
    every
        Take every so many frames of the clips to learn from. Test clips are taken whole.
    crop
        ``subject``: the square about the subject in each frame, as the source's boxes or 2D poses
        tell. ``whole``: the whole picture, padded to a square: the choice where nothing is known of
        the pictures.
    pose_share
        Share of the training subjects (of the clips, where there is one subject) whose 2D poses
        are the unpaired ones; the pictures come from the others.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    image_size: int = 64
    every: int = 1
    crop: Literal["subject", "whole"] = "subject"
    pose_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("image_size", "every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        if not isinstance(self.pose_share, int | float):
            raise ValueError(f"pose_share must be a number, got {self.pose_share!r}")
        if self.image_size < 8:
            raise ValueError(f"image_size must be 8 or more, got {self.image_size}")
        if self.every < 1:
            raise ValueError(f"every must be 1 or more, got {self.every}")
        if self.crop not in ("subject", "whole"):
            raise ValueError(f"crop must be 'subject' or 'whole', got {self.crop!r}")
        if not 0 < self.pose_share < 1:
            raise ValueError(f"pose_share must lie between 0 and 1, got {self.pose_share}")


@dataclass(frozen=True, kw_only=True)
class Usable:
    """Which frames of a clip can be used: (T,) booleans.

    ``valid``: the source does not call them invalid. ``posed``: of these, every joint's place in
    the picture is known, and in space too where the clip has 3D poses.
    """

    valid: NDArray[np.bool_]
    posed: NDArray[np.bool_]

    @classmethod
    def of(cls, clip: Clip) -> "Usable":
        """Look at a clip's labels."""
        valid = np.ones(len(clip), dtype=bool) if clip.valid is None else np.asarray(clip.valid)
        if clip.poses_3d is not None:
            solid = np.isfinite(clip.poses_3d).all(axis=(1, 2))
            valid = valid & solid if solid.any() else valid
        if clip.poses_2d is None:
            return cls(valid=valid, posed=np.zeros(len(clip), dtype=bool))
        return cls(valid=valid, posed=valid & np.isfinite(clip.poses_2d).all(axis=(1, 2)))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one part takes of a clip: it fills the part's rows ``first`` to ``first + n``.

    ``span`` is the share of the clip's frames that it chooses from; ``pictures``, ``poses_2d`` and
    ``poses_3d`` say what the clip has.
    """

    clip: str
    split: Split
    part: Part
    subject: str
    activity: str
    static: bool
    pictures: bool
    poses_2d: bool
    poses_3d: bool
    span: tuple[float, float] = (0.0, 1.0)
    first: int = 0
    n: int = 0

    def rows(self, usable: Usable, recipe: Recipe) -> NDArray[np.int64]:
        """Numbers of the clip's frames that the piece takes."""
        mask = usable.posed if self.part == "unpaired" or self.poses_2d else usable.valid
        start, stop = (round(share * len(mask)) for share in self.span)
        chosen = np.flatnonzero(mask[start:stop]) + start
        return chosen if self.part == "test" else chosen[:: recipe.every]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The pieces in the order of the source, and how many frames were left out, by cause."""

    pieces: tuple[Piece, ...]
    left_out: dict[str, int]

    def of(self, part: Part) -> tuple[Piece, ...]:
        """The pieces of one part."""
        return tuple(p for p in self.pieces if p.part == part)

    def frames(self, part: Part) -> int:
        """How many rows a part has."""
        return sum(p.n for p in self.of(part))

    def all_have(self, part: Part, what: Literal["poses_2d", "poses_3d"]) -> bool:
        """Whether every clip of a part has 2D or 3D poses."""
        return all(getattr(p, what) for p in self.of(part))

    @property
    def shows_background(self) -> bool:
        """Whether every clip to learn from stands still and is long enough for a median."""
        return all(p.static and p.n >= MIN_FRAMES for p in self.of("unlabelled"))

    def to_json(self) -> str:
        """As text; :meth:`read` reads it back."""
        return json.dumps({"pieces": [asdict(p) for p in self.pieces], "left_out": self.left_out})

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """The plan that a file holds."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        pieces = (Piece(**{**p, "span": tuple(p["span"])}) for p in stored["pieces"])
        return cls(pieces=tuple(pieces), left_out=stored["left_out"])


def make_plan(reader: Reader, recipe: Recipe, *, progress: bool = False) -> Plan:
    """Look at the labels of every clip once, and at no picture.

    Frames that the source calls invalid are left out, and those without a whole 2D pose where one
    is needed: as unpaired pose, and as label. So are clips too short for a background where the
    others have one.

    Raises
    ------
    ValueError
        If a part would be empty, or two clips share a name.
    """
    found: list[tuple[Piece, Usable]] = []
    for split in SPLITS:
        bar = tqdm(reader.clips(split), desc=f"{split} clips", unit=" clips", disable=not progress)
        found += [look(clip, split) for clip in bar]
    return divide(reader.name, found, recipe)


def look(clip: Clip, split: Split) -> tuple[Piece, Usable]:
    """What a clip could give, and which of its frames are usable: from its labels alone."""
    usable = Usable.of(clip)
    deep = clip.poses_3d is not None and bool(np.isfinite(clip.poses_3d).all(axis=(1, 2)).any())
    piece = Piece(
        clip=clip.name,
        split=split,
        part="test" if split == "test" else "unlabelled",
        subject=clip.subject,
        activity=clip.activity,
        static=clip.static,
        pictures=clip.pictures is not None,
        poses_2d=bool(usable.posed.any()),
        poses_3d=deep,
    )
    return piece, usable


def divide(name: str, found: list[tuple[Piece, Usable]], recipe: Recipe) -> Plan:
    """Share out what :func:`look` found of a source's clips, in their order, as :func:`make_plan`.

    Raises
    ------
    ValueError
        If a part would be empty, or two clips share a name; begins with the source's ``name``.
    """
    names = [(piece.split, piece.clip) for piece, _ in found]
    if len(set(names)) < len(names):
        twice = sorted({clip for clip in names if names.count(clip) > 1})
        raise ValueError(f"{name}: two clips share the name {twice[0][1]!r}")
    left_out = {
        "invalid in the source": sum(int((~u.valid).sum()) for _, u in found),
        "with a joint missing": sum(
            int((u.valid & ~u.posed).sum()) for piece, u in found if piece.poses_2d
        ),
    }
    shared = _share(_hold_out(found), recipe.pose_share)
    counted = [(replace(p, n=len(p.rows(u, recipe)))) for p, u in shared]
    kept = [p for p in counted if p.n]
    facts: tuple[Literal["poses_2d", "poses_3d"], ...] = ("poses_2d", "poses_3d")
    for what in facts:  # a test part is labelled as a whole, or not at all
        tests = [p for p in kept if p.part == "test"]
        bare = [p for p in tests if not getattr(p, what)]
        if 0 < len(bare) < len(tests):
            left_out[f"of test clips without {what}"] = sum(p.n for p in bare)
            kept = [p for p in kept if p.part != "test" or getattr(p, what)]
    still = [p for p in kept if p.part == "unlabelled"]
    short = [p for p in still if p.n < MIN_FRAMES]
    if all(p.static for p in still) and len(short) < len(still):
        left_out[f"in clips of fewer than {MIN_FRAMES}"] = sum(p.n for p in short)
        kept = [p for p in kept if p.part != "unlabelled" or p.n >= MIN_FRAMES]
    _require_parts(name, kept)
    pieces, filled = [], dict.fromkeys(PARTS, 0)
    for piece in kept:
        pieces.append(replace(piece, first=filled[piece.part]))
        filled[piece.part] += piece.n
    return Plan(pieces=tuple(pieces), left_out={k: n for k, n in left_out.items() if n})


def _hold_out(found: list[tuple[Piece, Usable]]) -> list[tuple[Piece, Usable]]:
    """Without a test split some clips become one: labelled ones if there are any."""
    if any(p.split == "test" and p.pictures for p, _ in found):
        return found
    seen = [p for p, _ in found if p.pictures]
    best = [p for p in seen if p.poses_3d] or [p for p in seen if p.poses_2d] or seen
    if len(best) == 1:  # of a single clip the last frames
        share = 1 - 1 / HELD_OUT
        parts = [
            replace(best[0], span=(0.0, share)),
            replace(best[0], part="test", span=(share, 1.0)),
        ]
        return [(new, u) for p, u in found for new in (parts if p == best[0] else [p])]
    # Whole subjects where they are named: nobody is both learnt from and tested on.
    named = len({p.subject for p in best}) > 1
    groups = sorted({p.subject for p in best}) if named else [p.clip for p in best]
    chosen = set(groups[HELD_OUT // 2 :: HELD_OUT] or groups[-1:])
    return [
        (replace(p, part="test") if (p.subject if named else p.clip) in chosen else p, u)
        for p, u in found
    ]


def _share(found: list[tuple[Piece, Usable]], pose_share: float) -> list[tuple[Piece, Usable]]:
    """Of the clips with both pictures and poses some give their poses, the others pictures.

    No subject gives both where there are two or more: the poses are then of other people. A source
    with poses that have no pictures has its unpaired poses already.
    """
    if any(p.part != "test" and not p.pictures for p, _ in found):
        return [
            (replace(p, part="unpaired") if p.part != "test" and not p.pictures else p, u)
            for p, u in found
        ]
    both = [p for p, _ in found if p.part != "test" and p.poses_2d]
    subjects = sorted({p.subject for p in both})
    by_clip = len(subjects) < 2
    groups = [p.clip for p in both] if by_clip else subjects
    # Every second group, every third …: so many that their share is as asked, spread evenly.
    posing = {
        group
        for k, group in enumerate(groups)
        if math.floor((k + 1) * pose_share) > math.floor(k * pose_share)
    }
    if len(groups) > 1:  # however few there are, one gives poses and one gives pictures
        posing = (posing or {groups[-1]}) - ({groups[0]} if len(posing) == len(groups) else set())

    def gives_poses(p: Piece) -> bool:
        return p.part != "test" and p.poses_2d and (p.clip if by_clip else p.subject) in posing

    return [(replace(p, part="unpaired") if gives_poses(p) else p, u) for p, u in found]


def _require_parts(name: str, pieces: list[Piece]) -> None:
    missing: dict[Part, str] = {
        "unlabelled": "pictures to learn from",
        "unpaired": "2D poses with every joint known",
        "test": "pictures to test on",
    }
    for piece in pieces:
        missing.pop(piece.part, None)
    if missing:
        raise ValueError(
            f"{name}: the source gives no {' and no '.join(missing.values())}. Pictures and 2D "
            "poses are taken from different subjects, or from different clips of one, and the "
            "test pictures from others again: a source needs three clips, or poses of its own "
            "beside two clips of pictures"
        )


__all__ = [
    "HELD_OUT",
    "PARTS",
    "Part",
    "Piece",
    "Plan",
    "Recipe",
    "Usable",
    "divide",
    "look",
    "make_plan",
]
