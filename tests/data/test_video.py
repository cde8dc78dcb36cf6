"""Videos: frame for frame what was written, upright, streamed; broken ones refused."""

import builtins
from pathlib import Path

import numpy as np
import pytest

from selfpose.data.folder import PictureFolder
from selfpose.data.video import count_frames, frame_size, read_frames

av = pytest.importorskip("av")

N, WIDTH, HEIGHT = 12, 64, 48


def grey(number: int) -> int:
    return 20 + 17 * number


def write_video(path: Path, *, codec: str = "libx264", n: int = N) -> Path:
    """Frame k is of grey 20 + 17 k with a white upper left quarter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for k in range(n):
            pixels = np.full((HEIGHT, WIDTH, 3), grey(k), dtype=np.uint8)
            pixels[: HEIGHT // 2, : WIDTH // 2] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def turn_clockwise(path: Path) -> None:
    """Writes the matrix of a quarter turn into the MP4's track header (ISO/IEC 14496-12, tkhd).

    (x, y) → (-y, x): what points right in the stored frame points down when shown.
    """
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # flags; times, id, length; reserved; layer
    one = (1 << 16).to_bytes(4, "big")
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    assert content[start : start + 4] == one
    content[start : start + 36] = b"".join(
        [zero, one, zero, minus, zero, zero, zero, zero, (1 << 30).to_bytes(4, "big")]
    )
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("avi", "mjpeg"), ("mkv", "mpeg4")]
)
def test_frames_come_back_by_number(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_video(tmp_path / f"walk.{suffix}", codec=codec)
    assert count_frames(path) == N
    assert frame_size(path) == (WIDTH, HEIGHT)
    wanted = [0, 3, 4, 11]
    frames = list(read_frames(path, wanted))
    assert [f.shape for f in frames] == [(HEIGHT, WIDTH, 3)] * 4
    for number, frame in zip(wanted, frames, strict=True):
        assert abs(int(np.median(frame[HEIGHT // 2 + 4 :])) - grey(number)) <= 4
        assert frame[: HEIGHT // 2 - 4, : WIDTH // 2 - 4].min() > 235


def test_a_telephones_rotation_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4")
    turn_clockwise(path)
    assert frame_size(path) == (HEIGHT, WIDTH)
    (frame,) = read_frames(path, [2])
    assert frame.shape == (WIDTH, HEIGHT, 3)
    # Turned clockwise, the upper left quarter becomes the upper right one
    corners = frame[[4, 4, -4, -4], [4, -4, 4, -4]].mean(axis=1) > 200
    assert corners.tolist() == [False, True, False, False]


def test_frames_are_decoded_as_they_are_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "walk.mp4")
    frames = read_frames(path, range(N + 5))
    assert next(frames).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match=f"frame {N} cannot be decoded"):
        list(frames)


def test_a_video_is_a_clip_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    path = write_video(tmp_path / "pictures/walk.mp4")
    poses = np.random.default_rng(0).uniform(1, 47, (5, 17, 2))
    np.save(tmp_path / "poses.npy", poses)
    from selfpose.skeleton import HUMAN_17

    clip, _ = PictureFolder(root=tmp_path, skeleton=HUMAN_17).clips("train")
    assert clip.static
    assert [(f.path, f.index) for f in clip.pictures] == [(path, i) for i in range(N)]
    np.testing.assert_array_equal(clip.boxes, [[WIDTH / 2, HEIGHT / 2, WIDTH]] * N)


def test_without_the_decoder_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "walk.mp4")
    imported = builtins.__import__

    def without_av(name: str, *args: object, **options: object) -> object:
        if name == "av":
            raise ImportError(name)
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ValueError, match=r"pip install 'selfpose\[video\]'"):
        count_frames(path)


BROKEN = {
    "none": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a video\n" * 50),
    "without its index": lambda path: path.write_bytes(
        write_video(path.with_name("whole.mp4")).read_bytes()[:400]
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_video_gives_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken.mp4"
    BROKEN[kind](path)
    for read in (count_frames, frame_size):
        with pytest.raises((ValueError, FileNotFoundError), match=r"broken\.mp4"):
            read(path)
