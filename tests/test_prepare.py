"""From clips to prepared data: places, parts, resuming, verifying."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from selfpose.data import prepare as preparation
from selfpose.data.plan import Recipe, make_plan
from selfpose.data.prepare import prepare
from selfpose.data.prepared import open_prepared, verify
from selfpose.data.reader import Camera, Clip, Frame, Split
from selfpose.data.rows import even_rows
from selfpose.data.inspection import inspect_reader
from selfpose.metrics import bone_lengths
from selfpose.skeleton import Skeleton

BODY = Skeleton(
    name="stick",
    joints=("base", "middle", "tip"),
    bones=((0, 1), (1, 2)),
    root=0,
    top=2,
)
CAMERA = Camera(focal=(300.0, 300.0), principal=(80.0, 60.0))
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])


def bodies(n: int, seed: int) -> NDArray[np.float64]:
    """(n, 3, 3) mm: two bones of 300 and 150 mm, somewhere before the camera."""
    draw = np.random.default_rng(seed)
    turns = draw.normal(size=(n, 2, 3))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    steps = turns * np.array([300.0, 150.0])[:, None]
    base = draw.uniform([-400, -300, 2500], [400, 300, 3000], (n, 1, 3))
    return np.concatenate([base, base + np.cumsum(steps, axis=1)], axis=1)


class Sticks:
    """A source of pictures with a coloured square at each joint; ``breaks_at`` cuts it short."""

    name = "sticks"
    skeleton = BODY

    def __init__(self, root: Path, **facts: Any) -> None:
        self.root, self.facts = root, {"subjects": 4, "frames": 12, "test": True, **facts}

    def describe(self) -> dict[str, object]:
        return {"format": "made up"}

    def clips(self, split: Split) -> Iterator[Clip]:
        for subject in range(self.facts["subjects"]):
            if (subject == 0 and self.facts["test"]) == (split == "test"):
                yield self.clip(subject)

    def clip(self, subject: int) -> Clip:
        n = self.facts["frames"]
        pose = bodies(n, subject)
        flat = CAMERA.project(pose)
        frames = []
        for k in range(n):
            path = self.root / f"{subject}-{k}.png"
            frames.append(Frame(path=path))
            if not path.is_file():
                pixels = np.full((120, 160, 3), 90 + subject, dtype=np.uint8)
                for (x, y), colour in zip(flat[k], COLOURS, strict=True):
                    place = (slice(max(0, int(y) - 2), int(y) + 3),
                             slice(max(0, int(x) - 2), int(x) + 3))  # fmt: skip
                    pixels[place] = colour
                Image.fromarray(pixels).save(path)
        labels = {"poses_2d": flat, "poses_3d": pose, "camera": CAMERA}
        return Clip(
            name=f"S{subject}",
            subject=f"S{subject}",
            activity="wave",
            pictures=tuple(frames),
            static=self.facts.get("static", True),
            **{k: v for k, v in labels.items() if k not in self.facts.get("without", ())},
        )


def test_joints_lie_where_the_crop_shows_them(tmp_path: Path) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(image_size=64), progress=False)
    seen = 0
    for image, pose in zip(data.test.images, data.test.poses_2d, strict=True):
        for (x, y), colour in zip(pose.tolist(), COLOURS, strict=True):
            if 3 <= x < 61 and 3 <= y < 61:
                shown = image[:, int(y), int(x)].float()
                others = [c for c in COLOURS if (c != colour).any()]
                gap = (shown - torch.tensor(colour)).abs().sum()
                seen += int(all(gap < (shown - torch.tensor(c)).abs().sum() for c in others))
    assert seen >= 0.8 * 3 * len(data.test)  # a square may cover another


def test_the_pose_seen_through_the_crop_keeps_its_shape_and_projects_into_it(
    tmp_path: Path,
) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(image_size=64), progress=False)
    lengths = bone_lengths(data.test.poses_3d, BODY)
    torch.testing.assert_close(lengths, torch.tensor([300.0, 150.0]).expand(len(lengths), 2))
    # The box lies before the turned camera's axis, so the box's middle is the picture's.
    pose = data.test.poses_3d
    rays = pose[..., :2] / pose[..., 2:]
    flat = data.test.poses_2d - 32
    scale = (rays * flat).sum() / rays.square().sum()
    residual = (flat - scale * rays).norm(dim=-1)
    by_frame = (rays * flat).sum(dim=(1, 2)) / rays.square().sum(dim=(1, 2))
    residual = (flat - by_frame[:, None, None] * rays).norm(dim=-1)
    assert float(residual.max()) < 1.5  # px; the crop is affine, the turn is not quite


def test_subjects_give_pictures_or_poses_and_never_both(tmp_path: Path) -> None:
    plan = make_plan(Sticks(tmp_path, subjects=7), Recipe())
    people = {
        part: {p.subject for p in plan.of(part)} for part in ("unlabelled", "unpaired", "test")
    }
    assert people["test"] == {"S0"}
    assert people["unlabelled"]
    assert people["unpaired"]
    assert not people["unlabelled"] & people["unpaired"]
    assert people["unlabelled"] | people["unpaired"] == {f"S{k}" for k in range(1, 7)}
    assert [p.first for p in plan.of("unpaired")] == [0, 12, 24]


def test_a_clip_alone_is_cut_into_its_beginning_and_its_end(tmp_path: Path) -> None:
    class Own(Sticks):
        def clips(self, split: Split) -> Iterator[Clip]:
            if split == "train":
                clip = self.clip(1)
                yield Clip(name="film", pictures=clip.pictures, static=True)
                yield Clip(name="poses", poses_2d=self.clip(2).poses_2d)

    data = prepare(Own(tmp_path, frames=20), tmp_path / "out", Recipe(), progress=False)
    assert (len(data.unlabelled), len(data.test), len(data.unpaired)) == (16, 4, 20)
    assert data.ceiling is None
    assert not data.test.knows_2d
    assert not data.test.knows_3d
    assert data.skeleton.relative_bone_lengths is not None
    first, second = data.skeleton.relative_bone_lengths
    assert 1.6 < first / second < 2.4  # the truth is 2


def test_the_foreground_is_what_moves_though_the_crop_follows_it(tmp_path: Path) -> None:
    data = prepare(Sticks(tmp_path, frames=30), tmp_path / "o", Recipe(), progress=False)
    front = data.unlabelled.foreground
    assert front is not None
    differs = (data.unlabelled.images.int() - 91).abs().amax(dim=1) > 40  # grey about 91..94
    assert ((front > 127) == differs).float().mean() > 0.97
    assert data.unlabelled.backgrounds is not None
    assert len(data.unlabelled.backgrounds) == len(data.unlabelled.sequence.unique())
    moving = prepare(
        Sticks(tmp_path, frames=30, static=False), tmp_path / "m", Recipe(), progress=False
    )
    assert moving.unlabelled.foreground is None


@pytest.mark.parametrize("kills", [(3,), (1, 2, 5)])
def test_a_killed_preparation_goes_on_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: tuple[int, ...]
) -> None:
    monkeypatch.setattr(preparation, "BLOCK", 5)
    source = Sticks(tmp_path)
    whole = prepare(source, tmp_path / "whole", Recipe(), progress=False)
    real, read = preparation._Writer.write_block, []

    for kill in kills:
        calls = iter(range(100))

        def cut(self: Any, *args: Any, kill: int = kill, calls: Any = calls) -> None:
            real(self, *args)
            read.append(args)
            if next(calls) == kill:
                raise KeyboardInterrupt

        monkeypatch.setattr(preparation._Writer, "write_block", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "cut", Recipe(), progress=False)
        with pytest.raises((FileNotFoundError, ValueError)):
            open_prepared(tmp_path / "cut")
    monkeypatch.setattr(preparation._Writer, "write_block", real)
    again = prepare(source, tmp_path / "cut", Recipe(), progress=False)
    for part in ("unlabelled", "test"):
        for name in ("images", "sequence", "foreground", "backgrounds"):
            one, two = getattr(getattr(whole, part), name), getattr(getattr(again, part), name)
            assert (one is None) == (two is None)
            assert one is None or torch.equal(one, two)
    assert torch.equal(whole.unpaired, again.unpaired)
    assert torch.equal(whole.test.poses_3d, again.test.poses_3d)
    assert whole.ceiling is not None
    assert again.ceiling is not None
    assert torch.equal(whole.ceiling.poses_2d, again.ceiling.poses_2d)
    blocks = {args[3].start for args in read if args[1].part == "unlabelled"}
    assert len([a for a in read if a[1].part == "unlabelled"]) <= len(blocks) + len(kills)


def test_verifying_finds_a_changed_byte_and_a_missing_file(tmp_path: Path) -> None:
    prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    assert verify(tmp_path / "out") > 0
    target = tmp_path / "out" / "unpaired.npy"
    kept = target.read_bytes()
    target.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"unpaired\.npy: differs"):
        verify(tmp_path / "out")
    target.unlink()
    with pytest.raises(ValueError, match=r"unpaired\.npy: is missing"):
        verify(tmp_path / "out")


def test_opened_data_are_mapped_and_never_written_back(tmp_path: Path) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    data.unlabelled.images.zero_()
    assert open_prepared(tmp_path / "out").unlabelled.images.any()
    verify(tmp_path / "out")


def test_every_n_th_frame_is_learnt_from_and_all_are_tested_on(tmp_path: Path) -> None:
    plan = make_plan(Sticks(tmp_path), Recipe(every=5))
    assert {p.n for p in plan.of("unlabelled") + plan.of("unpaired")} == {3}
    assert {p.n for p in plan.of("test")} == {12}


def test_frames_without_labels_or_called_invalid_are_counted(tmp_path: Path) -> None:
    class Gaps(Sticks):
        def clip(self, subject: int) -> Clip:
            clip = super().clip(subject)
            assert clip.poses_2d is not None
            flat = clip.poses_2d.copy()
            flat[2, 1] = np.nan
            valid = np.ones(len(clip), dtype=bool)
            valid[:2] = False
            return Clip(**{**vars(clip), "poses_2d": flat, "valid": valid})

    plan = make_plan(Gaps(tmp_path), Recipe())
    assert plan.left_out == {"invalid in the source": 8, "with a joint missing": 4}
    assert {p.n for p in plan.pieces} == {9}


def test_looking_through_a_source_reads_every_clip_once_and_plans_the_same(tmp_path: Path) -> None:
    class Counted(Sticks):
        def clips(self, split: Split) -> Iterator[Clip]:
            asked.append(split)
            return super().clips(split)

    asked: list[Split] = []
    found = inspect_reader(Counted(tmp_path), Recipe(every=3), name="sticks", progress=False)
    assert asked == ["train", "test"]
    assert found.plan == make_plan(Sticks(tmp_path), Recipe(every=3))


def test_a_source_that_breaks_off_has_no_plan_and_one_finding(tmp_path: Path) -> None:
    class Broken(Sticks):
        def clips(self, split: Split) -> Iterator[Clip]:
            yield from super().clips(split)
            if split == "train":
                raise ValueError("labels.txt: broken")

    found = inspect_reader(Broken(tmp_path), Recipe(), name="sticks", progress=False)
    assert found.findings == ["labels.txt: broken"]
    assert found.plan is None
    assert {split: n["clips"] for split, n in found.counts.items()} == {"train": 3, "test": 1}


@given(n=st.integers(0, 10**6), most=st.integers(1, 5000))
def test_even_rows_rise_from_the_first_to_the_last_in_even_steps(n: int, most: int) -> None:
    rows = even_rows(n, most=most)
    assert len(rows) == min(n, most)
    if len(rows) > 1:
        assert (rows[0], rows[-1]) == (0, n - 1)
        steps = np.diff(rows)
        assert steps.min() >= 1
        assert np.ptp(steps) <= 2


def test_the_test_part_keeps_who_where_and_which_frame(tmp_path: Path) -> None:
    class Numbered(Sticks):
        def clip(self, subject: int) -> Clip:
            clip = super().clip(subject)
            valid = np.ones(len(clip), dtype=bool)
            valid[3] = False
            return Clip(**{**vars(clip), "numbers": 64 * np.arange(len(clip)), "valid": valid})

    test = prepare(Numbered(tmp_path), tmp_path / "out", Recipe(), progress=False).test
    assert test.number is not None
    assert test.number.tolist() == [64 * k for k in range(12) if k != 3]
    assert set(test.clip or ()) == set(test.subject or ()) == {"S0"}


@pytest.mark.parametrize("crop", ["subject", "whole"])
def test_poses_and_pictures_have_one_scale(tmp_path: Path, crop: Any) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(crop=crop), progress=False)
    assert data.ceiling is not None

    def extent(pose: torch.Tensor) -> float:
        return float((pose.amax(dim=1) - pose.amin(dim=1)).amax(dim=1).mean())

    sizes = [extent(p) for p in (data.unpaired, data.test.poses_2d, data.ceiling.poses_2d)]
    assert max(sizes) < 1.4 * min(sizes)


def test_nobody_is_in_two_parts_where_subjects_are_named(tmp_path: Path) -> None:
    class Twice(Sticks):  # two clips of each subject, as COCO has two bodies in one picture
        def clips(self, split: Split) -> Iterator[Clip]:
            for clip in super().clips(split):
                yield clip
                yield Clip(**{**vars(clip), "name": f"{clip.name}#2"})

    plan = make_plan(Twice(tmp_path, subjects=9, test=False), Recipe())
    people = [{p.subject for p in plan.of(part)} for part in ("unlabelled", "unpaired", "test")]
    assert all(people)
    assert sum(map(len, people)) == len(set.union(*people)) == 9


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_whatever_the_share_some_give_poses_and_some_pictures(tmp_path: Path, share: float) -> None:
    plan = make_plan(Sticks(tmp_path, subjects=4), Recipe(pose_share=share))
    assert plan.frames("unlabelled")
    assert plan.frames("unpaired")


def test_frames_without_3d_are_left_out_where_others_have_it(tmp_path: Path) -> None:
    class Holes(Sticks):
        def clip(self, subject: int) -> Clip:
            clip = super().clip(subject)
            assert clip.poses_3d is not None
            solid = clip.poses_3d.copy()
            solid[4] = np.nan
            return Clip(**{**vars(clip), "poses_3d": solid})

    data = prepare(Holes(tmp_path), tmp_path / "out", Recipe(), progress=False)
    assert len(data.test) == 11
    assert data.test.knows_3d


def test_two_at_once_prepare_once(tmp_path: Path) -> None:
    source = Sticks(tmp_path)
    list(source.clips("train"))
    begun: list[int] = []
    real = preparation._prepare

    def counted(*args: Any, **options: Any) -> None:
        begun.append(1)
        real(*args, **options)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(3) as pool:
        patch.setattr(preparation, "_prepare", counted)
        folder = tmp_path / "out"
        made = list(pool.map(lambda _: prepare(source, folder, Recipe(), progress=False), range(3)))
    assert len(begun) == 1
    assert all(torch.equal(made[0].unpaired, other.unpaired) for other in made)
    verify(tmp_path / "out")


def test_an_array_lost_half_way_is_no_silent_row_of_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_finish", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    (tmp_path / "out" / "test.images.npy").unlink()
    with pytest.raises(ValueError, match=r"test\.images\.npy is gone"):
        prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)


def test_a_shortened_array_is_named_when_opened(tmp_path: Path) -> None:
    prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    path = tmp_path / "out" / "unpaired.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"unpaired\.npy: not what was prepared"):
        open_prepared(tmp_path / "out")


def test_a_broken_picture_is_named_and_a_mended_one_is_enough(tmp_path: Path) -> None:
    source = Sticks(tmp_path)
    list(source.clips("train"))
    broken = tmp_path / "1-7.png"
    kept = broken.read_bytes()
    broken.write_bytes(kept[:40])
    with pytest.raises(ValueError, match=r"1-7\.png: not a readable picture"):
        prepare(source, tmp_path / "out", Recipe(), progress=False)
    broken.write_bytes(kept)
    assert len(prepare(source, tmp_path / "out", Recipe(), progress=False).unlabelled) == 24


def test_a_source_too_small_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no 2D poses with every joint known"):
        make_plan(Sticks(tmp_path, without=("poses_2d", "poses_3d")), Recipe())
    with pytest.raises(ValueError, match="pictures to learn from"):
        make_plan(Sticks(tmp_path, subjects=1), Recipe())


def test_files_that_changed_since_the_plan_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_finish", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    (tmp_path / "out" / "progress.json").write_text("{}")
    with pytest.raises(ValueError, match="files changed since the preparation began"):
        prepare(Sticks(tmp_path, frames=9), tmp_path / "out", Recipe(), progress=False)
    with pytest.raises(ValueError, match="no longer there"):
        prepare(Sticks(tmp_path, subjects=3), tmp_path / "out", Recipe(), progress=False)


def test_a_preparation_holds_no_more_than_a_few_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "BLOCK", 8)
    pictures = Sticks(tmp_path, frames=8).clip(1).pictures
    assert pictures is not None

    class Many(Sticks):
        """Clips of the same few pictures again and again: any number of frames, and few files."""

        def clip(self, subject: int) -> Clip:
            flat = CAMERA.project(bodies(40, subject))
            return Clip(
                name=f"S{subject}", subject=f"S{subject}", pictures=pictures * 5, poses_2d=flat
            )

    source = Many(tmp_path, subjects=60)
    tracemalloc.start()
    data = prepare(source, tmp_path / "out", Recipe(), progress=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.unlabelled) + len(data.unpaired) + len(data.test) == 40 * 60
    # Pictures take 57,600 bytes as they are read, 12,288 as they are stored; checksums a few MiB.
    assert most < 12_000_000 < 40 * 60 * 12_288
