"""Names given by users: refuse the unknown ones, and say which was probably meant."""

import difflib
from collections.abc import Iterable


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


__all__ = ["refuse_unknown"]
