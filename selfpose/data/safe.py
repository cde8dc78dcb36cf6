"""Reading other people's files without running anything that stands in them.

Pickles, and ``.npz`` files with object arrays, are programs: here they go through
:mod:`selfpose.data.unpickling`, which runs nothing. MATLAB and HDF5 files hold no programs, but may
be broken, declare arrays that no memory holds, or point at other files: that is refused too.

Every fault is one ``ValueError`` that names the file; a missing file is a ``FileNotFoundError``.
"""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from selfpose.data.mat5 import read_mat5
from selfpose.data.unpickling import unpickle

LIMIT = 16 * 2**30  # bytes of one array or pickle: more than any file that the readers know
_MAX_RATIO = 1032  # zlib cannot pack more bytes than this into one
_MAX_DEPTH = 32  # of cells and structs within each other


def load_pickle(path: str | Path, *, limit: int = LIMIT) -> Any:
    """Read a pickle of numpy arrays and plain containers; everything else in it is refused.

    Admitted are arrays and scalars of numbers, truth values and text, arrays of objects, and dict,
    list, tuple, str, bytes, int, float, complex, bool and None; pickle protocols 0 to 5, written
    under numpy 1 or 2, or under Python 2 (whose ``str`` come back as ``str``, read as latin-1).

    Raises
    ------
    ValueError
        Names the file, and the name that the pickle asked for or the fault in it. Nothing has run.
    FileNotFoundError
        If there is no such file.
    """
    path = _existing(path)
    _check_limit(path, "the file", path.stat().st_size, limit)
    with _one_error(path, "a pickle"):
        return unpickle(path.read_bytes())


def load_npz(
    path: str | Path, *, pickled: bool = False, limit: int = LIMIT
) -> dict[str, NDArray[Any]]:
    """Read the arrays of a ``.npz`` file.

    Parameters
    ----------
    pickled
        Read object arrays too, through the unpickler of :func:`load_pickle`; without it they are
        an error.
    limit
        Bytes that one array may have.

    Raises
    ------
    ValueError
        Names the file, the array and the fault: not an archive, cut off, damaged, an array that
        is larger than ``limit`` or than the file can hold.
    FileNotFoundError
        If there is no such file.
    """
    path = _existing(path)
    arrays = {}
    with _one_error(path, "a .npz file"), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                raise ValueError(f"holds {name!r}, which is no .npy array")
            if name in arrays:
                raise ValueError(f"holds {name!r} twice")
            arrays[name] = _npz_array(archive, info, name, pickled=pickled, limit=limit)
    return arrays


def load_mat(
    path: str | Path, *, names: tuple[str, ...] | None = None, limit: int = LIMIT
) -> dict[str, Any]:
    """Read a MATLAB file of version 5 (and 6, 7) or 7.3, which is HDF5.

    Both give the same: a dict of variables, in which a struct is a dict, a struct array a list of
    dicts, a cell array a flat list in MATLAB's (column-major) order, text a ``str``, and numbers an
    array of MATLAB's shape, two-dimensional at least.

    Parameters
    ----------
    names
        The variables to read; all of them if ``None``. One that is missing is an error.

    Raises
    ------
    ValueError
        Names the file and the fault.
    FileNotFoundError
        If there is no such file.
    """
    path = _existing(path)
    if h5py.is_hdf5(path):
        with open_h5(path) as file:
            there = [n for n in file if not n.startswith("#")]
            _check_names(names, there)
            done: dict[int, Any] = {}
            return {n: _h5_to_python(file, n, limit, done) for n in (names or there)}
    with _one_error(path, "a MATLAB file"):
        found = read_mat5(path, names=names, limit=limit)
        _check_names(names, list(found))
        return found


@contextmanager
def open_h5(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading; what goes wrong inside is one error that names it.

    Raises
    ------
    ValueError
        Names the file and the fault.
    FileNotFoundError
        If there is no such file.
    """
    path = _existing(path)
    with _one_error(path, "an HDF5 file"), h5py.File(path, "r") as file:
        yield file


def read_h5(file: h5py.File, name: str, *, limit: int = LIMIT) -> NDArray[Any]:
    """One dataset of an open HDF5 file, whole.

    Raises
    ------
    ValueError
        If it is missing, is no array, lies in another file, or declares more than the file holds.
    """
    return np.asarray(_h5_dataset(file, name, limit)[()])


# -- errors -----------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path


@contextmanager
def _one_error(path: Path, what: str) -> Iterator[None]:
    """Whatever a parser raises or warns of becomes one ``ValueError`` that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except FileNotFoundError:
        raise
    except RecursionError:
        raise ValueError(f"{path}: not {what} to be read: nested too deeply") from None
    except MemoryError:
        raise ValueError(f"{path}: not {what} to be read: it asks for too much memory") from None
    except Exception as error:  # parsers raise what they like
        fault = " ".join(str(error).split()) or type(error).__name__
        if fault.startswith(str(path)):
            raise ValueError(fault) from None
        if isinstance(error, ValueError) and type(error) is ValueError:
            raise ValueError(f"{path}: {fault}") from None
        raise ValueError(f"{path}: broken, or not {what}: {fault}") from None


def _check_limit(path: str | Path, what: str, size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(
            f"{path}: {what} takes {size:,} bytes, more than the limit of {limit:,}; "
            "if that is right, raise the limit"
        )


def _check_size(what: str, shape: tuple[int, ...], itemsize: int, held: int, limit: int) -> None:
    """Refuse a declared shape before memory is asked for."""
    size = math.prod(int(n) for n in shape) * max(itemsize, 1)
    if size > limit:
        raise ValueError(
            f"{what} declares the shape {tuple(shape)}: {size:,} bytes, more than the limit of "
            f"{limit:,}; if that is right, raise the limit"
        )
    if size > held:
        raise ValueError(
            f"{what} declares the shape {tuple(shape)}: {size:,} bytes, but the file holds at most "
            f"{held:,}; it is cut off or damaged"
        )


# -- npz --------------------------------------------------------------------------------------


def _npz_array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, *, pickled: bool, limit: int
) -> NDArray[Any]:
    what = f"the array {name!r}"
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{what} has the .npy version {version}; 1.0 and 2.0 are read")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
        held = min(info.file_size - stream.tell(), info.compress_size * _MAX_RATIO)
        if any(n < 0 for n in shape):
            raise ValueError(f"{what} declares the shape {shape}")
        if not dtype.hasobject:
            if dtype.kind == "V":
                raise ValueError(f"{what} has the structured dtype {dtype}: expected plain numbers")
            _check_size(what, shape, dtype.itemsize, held, limit)
        elif not pickled:
            raise ValueError(f"{what} holds Python objects: expected plain numbers or text")
        else:
            _check_limit(archive.filename or "", what, info.file_size, limit)
            array = unpickle(stream.read())
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise ValueError(f"{what} is not the array of shape {shape} that it declares")
            return array
    with archive.open(info) as stream:
        array = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{what} is followed by more than its shape {shape} holds")
    return array


# -- MATLAB and HDF5 --------------------------------------------------------------------------


def _check_names(names: tuple[str, ...] | None, found: list[str]) -> None:
    missing = [n for n in names or () if n not in found]
    if missing:
        raise ValueError(
            f"has no variable {missing[0]!r}; of those looked for or there it has "
            f"{', '.join(sorted(found)[:12]) or 'none'}"
        )


def _h5_dataset(place: h5py.Group, name: str, limit: int) -> h5py.Dataset:
    part: Any = place
    for step in name.split("/"):
        link = part.get(step, getlink=True) if isinstance(part, h5py.Group) else None
        if link is None:
            raise ValueError(f"has no dataset {name!r}")
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{name!r} points into another file, which is refused")
        part = part[step]
    if not isinstance(part, h5py.Dataset):
        raise ValueError(f"{name!r} is a group, expected a dataset")
    return _checked(part, name, limit)


def _checked(dataset: h5py.Dataset, name: str, limit: int) -> h5py.Dataset:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} takes its content from another file, which is refused")
    shape: tuple[int, ...] | None = dataset.shape
    if shape is None:
        raise ValueError(f"{name!r} is empty")
    held = dataset.id.get_storage_size()
    if dataset.compression is not None or dataset.id.get_create_plist().get_nfilters():
        held *= _MAX_RATIO
    _check_size(f"{name!r}", shape, dataset.dtype.itemsize, held, limit)
    return dataset


def _h5_to_python(file: h5py.File, name: str, limit: int, done: dict[int, Any]) -> Any:
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        raise ValueError(f"{name!r} points into another file, which is refused")
    return _h5_shared(file, file[name], name, limit, 0, done)


_OPEN = object()  # stands for what is being read


def _h5_shared(
    file: h5py.File, item: Any, name: str, limit: int, depth: int, done: dict[int, Any]
) -> Any:
    """One thing, read once however many references or links lead to it: they may double, and
    double again."""
    address = h5py.h5o.get_info(item.id).addr
    if done.get(address) is _OPEN:
        raise ValueError(f"{name!r} is nested within itself")
    if address not in done:
        done[address] = _OPEN
        done[address] = _h5_value(file, item, name, limit, depth, done)
    return done[address]


def _h5_value(
    file: h5py.File, item: Any, name: str, limit: int, depth: int, done: dict[int, Any]
) -> Any:
    """One variable of a version 7.3 file; its axes stand in the reverse of MATLAB's order."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"{name!r} is nested more than {_MAX_DEPTH} deep")
    if isinstance(item, h5py.Group):
        fields = {}
        for key in item:
            if isinstance(item.get(key, getlink=True), h5py.ExternalLink):
                raise ValueError(f"{name}.{key} points into another file, which is refused")
            fields[key] = _h5_shared(file, item[key], f"{name}.{key}", limit, depth + 1, done)
        return fields
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{name!r} is neither a group nor a dataset")
    kind = _text(item.attrs.get("MATLAB_class", b"double"))
    empty = bool(item.attrs.get("MATLAB_empty", 0))
    if empty and kind in ("cell", "char"):
        return [] if kind == "cell" else ""
    content = _checked(item, name, limit)[()]
    if isinstance(content, h5py.Reference):
        content = np.array(content, dtype=object)
    if item.dtype.kind == "O":
        if h5py.check_ref_dtype(item.dtype) is not h5py.Reference:
            raise ValueError(f"{name!r} holds neither numbers nor cells")
        # Reversed axes read row by row are MATLAB's columns read one after another.
        return [
            _h5_shared(file, file[ref], f"{name}{{{n}}}", limit, depth + 1, done)
            for n, ref in enumerate(content.ravel(), 1)
        ]
    array = np.asarray(content).T
    if empty:  # the shape stands in the place of the numbers
        shape = tuple(int(n) for n in array.ravel())
        if math.prod(shape) != 0 or len(shape) > _MAX_DEPTH:
            raise ValueError(f"{name!r} is said to be empty, with the shape {shape}")
        return np.zeros(shape)
    if kind == "char":
        return "\n".join("".join(chr(c) for c in row) for row in np.atleast_2d(array))
    return array.astype(bool) if kind == "logical" else array


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


__all__ = ["LIMIT", "load_mat", "load_npz", "load_pickle", "open_h5", "read_h5"]
