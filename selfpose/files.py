"""Files written whole or not at all; digests of files; names that users give."""

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, then rename: it is there whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; an older file of that name is then still there.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(partial)
        os.replace(partial, path)
    except (RuntimeError, SafetensorError) as error:
        # torch and safetensors do not say OSError when a disk is full
        raise OSError(f"{path}: could not be written ({error}); is the disk full?") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN is refused, it is not JSON."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(folder: str | Path, name: str, record: Mapping[str, Any]) -> Path:
    """A file beside a record, if it is the one that the record was made with.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or its digest is not the record's.
    """
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not beside its record")
    if file_digest(path) != record["files"].get(name):
        raise ValueError(
            f"{path}: not the {path.stem} that the record was made with (its digest differs)"
        )
    return path


def hold(folder: Path, busy: str = "another make or campaign works here; wait for it") -> FileLock:
    """A lock on a folder of runs, as long as the answer lives; free when its holder ends.

    Raises ``ValueError``, saying ``busy``, if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{folder}: {busy}") from None
    return lock


@cache
def library_digest() -> str:
    """A digest of the package's source as it was when first asked for: all that can change a run.

    It is made of the hashes that git gives to files, so that the commit of a library that ran where
    there is no git can be found later.
    """
    package = Path(__file__).resolve().parent
    lines = []
    for path in package.rglob("*.py"):
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        lines.append(f"{path.relative_to(package.parent).as_posix()} {blob.hexdigest()}")
    return lines_digest(lines)


def lines_digest(lines: Iterable[str]) -> str:
    """SHA-256 of lines of text in any order, hexadecimal."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def refuse_unknown(names: Iterable[Any], known: Iterable[Any], what: str) -> None:
    """Raise ``ValueError`` for the first name that is not known, with the nearest right one.

    >>> refuse_unknown(["sead"], ["seed", "preset"], "parameter")
    Traceback (most recent call last):
    ValueError: unknown parameter 'sead'; did you mean 'seed'? Known: seed, preset
    """
    known = [str(name) for name in known]
    for name in names:
        if str(name) not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(known) or 'none'}")
