"""Files that are written whole or not at all; names given by users."""

import difflib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


def write_whole(path: Path, write: Callable[[Path], object], *, shared: bool = False) -> None:
    """Write a file under another name, then rename: it is there whole or not at all.

    ``shared`` gives each process a name of its own, for files that several may write at once.

    Raises
    ------
    OSError
        If it cannot be written; an older file of that name is then still there.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        write(partial)
        os.replace(partial, path)
    except (RuntimeError, SafetensorError) as error:
        # torch and safetensors do not say OSError when a disk is full
        raise OSError(f"{path}: could not be written ({error}); is the disk full?") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Be the only process inside, of those on this machine; the others wait.

    The operating system lets go of the lock by itself when its holder dies.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def hold_folder(folder: Path, *, busy: str) -> Iterator[None]:
    """Be the only process of this machine that writes into a folder; leaves no file there.

    Raises
    ------
    ValueError
        With the words ``busy``, if another one holds the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(busy) from None
        except OSError:
            pass  # some network file systems lock no folders: go on as before
        yield
    finally:
        os.close(descriptor)

def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ``ValueError`` for the first name that is not known, with the nearest right one.

    >>> refuse_unknown(["seed"], ["seed", "preset"], "parameter")
    >>> refuse_unknown(["sead"], ["seed", "preset"], "parameter")
    Traceback (most recent call last):
    ValueError: unknown parameter 'sead'; did you mean 'seed'? Known: seed, preset
    """
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"unknown {what} {name!r}{hint} Known: {', '.join(known) or 'none'}")


__all__ = ["hold", "hold_folder", "refuse_unknown", "write_whole"]
