"""Files are there whole or not at all, also when the disk really refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from selfpose.files import hold_folder, write_whole

REFUSED = """
import resource, signal, sys
from pathlib import Path
import safetensors.torch, torch
from selfpose.files import hold_folder, write_whole

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
tensors = {"a": torch.zeros(100_000)}
for write in (torch.save, safetensors.torch.save_file):
    try:
        write_whole(Path(sys.argv[1]), lambda part: write(tensors, part))
    except OSError as error:
        print(error)
"""


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, lambda part: part.write_text("one") and None)

    def fail(part: Path) -> None:
        part.write_text("tw")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_whole(path, fail)
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_refuses_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(path)], capture_output=True, text=True, check=True
    )
    messages = done.stdout.splitlines()
    assert len(messages) == 2
    assert all(f"{path}: could not be written" in message for message in messages)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_held_by_one_and_let_go(tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path, busy="taken"),
        pytest.raises(ValueError, match="taken"),
        hold_folder(tmp_path, busy="taken"),
    ):
        pass
    with hold_folder(tmp_path, busy="taken"):
        assert not list(tmp_path.iterdir())
