"""Arrays from other people's files, read without running anything that stands in them.

``.npz`` without object arrays, MATLAB's ``.mat`` of version 5 and of 7.3 (which is HDF5), HDF5, and
RHD's pickles.
"""

import pickle
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from jaxtyping import Float


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes one ``ValueError`` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # parsers raise what they like
        raise ValueError(f"{path}: cannot be read ({error}); is it whole?") from error


def load_npz(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays; object arrays, which are pickles, are refused."""
    with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names}


def load_h5(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named datasets, by their paths in the file."""
    with reading(path), h5py.File(path, "r") as file:
        return {name: file[name][()] for name in names}


def load_mat(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """The named variables: arrays in MATLAB's axes, a cell array as the list of its arrays."""
    with reading(path):
        if not h5py.is_hdf5(path):
            found = scipy.io.loadmat(path, variable_names=list(names))
            arrays = {name: found[name] for name in names}
            return {n: list(v.T.flat) if v.dtype == object else v for n, v in arrays.items()}
        with h5py.File(path, "r") as file:  # its axes stand in the reverse of MATLAB's order
            arrays = {name: file[name][()].T for name in names}
            cells = {n: v.T.flat for n, v in arrays.items() if v.dtype == object}
            return arrays | {n: [file[c][()].T for c in v] for n, v in cells.items()}


class _Dtype:
    """Stands for ``numpy.dtype`` while a pickle is read."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = state[1] + self.code  # the order of bytes


class _Array:
    """Stands for an array while a pickle is read: numpy sees no claim of the file unchecked."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if not re.fullmatch(r"[<>|=]?[biuf][1248]", dtype.code):
            raise pickle.UnpicklingError(f"holds an array of {dtype.code!r}, expected numbers")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # written by Python 2
        self.array = np.frombuffer(raw, dtype.code).reshape(shape, order="F" if fortran else "C")


class _Unpickler(pickle.Unpickler):
    """Knows the names that numpy's arrays are pickled by, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        match module.replace("numpy._core", "numpy.core"), name:
            case "numpy", "dtype":
                return _Dtype
            case "numpy", "ndarray":
                return None  # is named beside the next one, and not needed
            case "numpy.core.multiarray", "_reconstruct":
                return lambda *_: _Array()
            case "_codecs", "encode":  # bytes, by Python 3 for Python 2
                return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"asks for {module}.{name}, which is refused: nothing was run")


def load_pickle(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """RHD's samples by number, each a dict of arrays; a pickle of anything else is refused.

    A pickle is a program that calls functions by name. This one gets stand-ins in their place.
    """
    with reading(path), path.open("rb") as file:
        samples = _Unpickler(file, encoding="latin1").load()
        return {n: {key: v.array for key, v in s.items()} for n, s in samples.items()}


def expect(path: Path, name: str, array: Any, *shape: int | None) -> Float[np.ndarray, "..."]:
    """An array as float64; an error if it is not finite or of another shape (``None``: any)."""
    with reading(path):
        array = np.asarray(array, np.float64)
    wanted = tuple(m if n is None else n for n, m in zip(shape, array.shape, strict=False))
    if len(shape) != array.ndim or array.shape != wanted or not np.isfinite(array).all():
        message = f"found {array.shape}, expected finite numbers of the shape {shape}"
        raise ValueError(f"{path}: {name}: {message}")
    return array
