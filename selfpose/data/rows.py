"""Which rows of many to look at."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray


def even_rows(n: int, *, most: int) -> Int[ndarray, " m"]:
    """At most so many of n rows, from the first to the last, spread evenly; none of them twice.

    >>> even_rows(100, most=4).tolist(), even_rows(2, most=4).tolist()
    ([0, 33, 66, 99], [0, 1])
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
