"""One thread for work made of many small steps, where a second one only costs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch on one thread, then on as many as before.

    Two threads that meet after each small operation wait for each other most of the time, and by
    far most of it on a machine that has other work. One thread also gives the same bits anywhere.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


__all__ = ["single_thread"]
