"""From clips to prepared data: places, parts, resuming, verifying."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from selfpose.data import pictures as pictures_module
from selfpose.data import prepare as preparation
from selfpose.data.inspection import inspect_reader
from selfpose.data.plan import Recipe, make_plan
from selfpose.data.prepare import open_prepared, prepare
from selfpose.data.reader import Camera, Clip, Frame, Split
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


@pytest.mark.parametrize("kills", [(3,), (1, 2)])
def test_a_killed_preparation_goes_on_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: tuple[int, ...]
) -> None:
    monkeypatch.setattr(preparation, "BLOCK", 5)
    monkeypatch.setattr(preparation, "NOTED_FRAMES", 1)
    source = Sticks(tmp_path, subjects=6)
    whole = prepare(source, tmp_path / "whole", Recipe(), progress=False)
    real, written = preparation._write_piece, []

    for kill in kills:
        calls = iter(range(100))

        def cut(clip: Clip, *args: Any, kill: int = kill, calls: Any = calls) -> None:
            real(clip, *args)
            if next(calls) == kill:
                raise KeyboardInterrupt
            written.append(clip.name)

        monkeypatch.setattr(preparation, "_write_piece", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "cut", Recipe(), progress=False)
        with pytest.raises(FileNotFoundError):
            open_prepared(tmp_path / "cut")
    monkeypatch.setattr(preparation, "_write_piece", real)
    again = prepare(source, tmp_path / "cut", Recipe(), progress=False)
    assert len(written) == len(set(written))  # what was noted is not written again
    assert whole.ceiling is not None
    assert again.ceiling is not None
    for one, other in zip(
        (whole.unlabelled, whole.test, whole.ceiling),
        (again.unlabelled, again.test, again.ceiling),
        strict=True,
    ):
        for name, value in vars(one).items():
            same = getattr(other, name)
            assert torch.equal(value, same) if isinstance(value, torch.Tensor) else value == same
    assert torch.equal(whole.unpaired, again.unpaired)


def test_opened_data_are_mapped_and_never_written_back(tmp_path: Path) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    data.unlabelled.images.zero_()
    assert open_prepared(tmp_path / "out").unlabelled.images.any()


def test_every_n_th_frame_is_learnt_from_and_all_are_tested_on(tmp_path: Path) -> None:
    plan = make_plan(Sticks(tmp_path), Recipe(every=5))
    assert {len(p.rows) for p in plan.of("unlabelled") + plan.of("unpaired")} == {3}
    assert {len(p.rows) for p in plan.of("test")} == {12}


def test_frames_without_labels_or_called_invalid_are_left_out(tmp_path: Path) -> None:
    class Gaps(Sticks):
        def clip(self, subject: int) -> Clip:
            clip = super().clip(subject)
            assert clip.poses_2d is not None
            assert clip.poses_3d is not None
            flat, solid = clip.poses_2d.copy(), clip.poses_3d.copy()
            flat[2, 1] = solid[4] = np.nan
            valid = np.arange(len(clip)) > 1
            return Clip(**{**vars(clip), "poses_2d": flat, "poses_3d": solid, "valid": valid})

    plan = make_plan(Gaps(tmp_path), Recipe())
    assert {tuple(p.rows) for p in plan.pieces} == {(3, *range(5, 12))}


def test_a_source_that_breaks_off_has_no_plan_and_one_finding(tmp_path: Path) -> None:
    class Broken(Sticks):
        def clips(self, split: Split) -> Iterator[Clip]:
            yield from super().clips(split)
            raise ValueError("labels.txt: broken")

    found = inspect_reader(Broken(tmp_path), Recipe(), name="sticks", progress=False)
    assert found.findings == ["labels.txt: broken"]
    assert "unlabelled" not in found.facts


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


def test_poses_and_pictures_have_one_scale(tmp_path: Path) -> None:
    data = prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
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


def test_two_at_once_prepare_once(tmp_path: Path) -> None:
    source = Sticks(tmp_path)
    list(source.clips("train"))
    begun: list[int] = []
    real = preparation._write

    def counted(*args: Any, **options: Any) -> Any:
        begun.append(1)
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(3) as pool:
        patch.setattr(preparation, "_write", counted)
        folder = tmp_path / "out"
        made = list(pool.map(lambda _: prepare(source, folder, Recipe(), progress=False), range(3)))
    assert len(begun) == 1
    assert all(torch.equal(made[0].unpaired, other.unpaired) for other in made)


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
    with pytest.raises(ValueError, match="no frames for unpaired"):
        make_plan(Sticks(tmp_path, without=("poses_2d", "poses_3d")), Recipe())
    with pytest.raises(ValueError, match="no frames for unlabelled"):
        make_plan(Sticks(tmp_path, subjects=1), Recipe())


def test_other_files_are_prepared_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preparation that was killed does not go on with another source."""
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "_finish", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(Sticks(tmp_path), tmp_path / "out", Recipe(), progress=False)
    data = prepare(Sticks(tmp_path, frames=9), tmp_path / "out", Recipe(), progress=False)
    assert len(data.test) == 9
    assert data.test.images.flatten(1).any(dim=1).all()


def test_a_preparation_holds_no_more_than_a_few_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "BLOCK", 8)
    monkeypatch.setattr(pictures_module, "BLOCK", 8)
    pictures = Sticks(tmp_path, frames=8).clip(1).pictures
    assert pictures is not None

    class Many(Sticks):
        """Clips of the same few pictures again and again: any number of frames, and few files."""

        def clip(self, subject: int) -> Clip:
            flat = CAMERA.project(bodies(40, subject))
            return Clip(
                name=f"S{subject}", subject=f"S{subject}", pictures=pictures * 5, poses_2d=flat
            )

    source = Many(tmp_path, subjects=24)
    tracemalloc.start()
    data = prepare(source, tmp_path / "out", Recipe(image_size=128), progress=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.unlabelled) + len(data.test) >= 40 * 12
    # Pictures take 57,600 bytes as they are read, 49,152 as they are stored.
    assert most < 6_000_000 < 40 * 12 * 49_152
