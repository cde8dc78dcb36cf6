"""Files written whole or not at all; digests of files; names that users give."""

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

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
