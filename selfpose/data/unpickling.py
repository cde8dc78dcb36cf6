"""An unpickler that runs nothing.

A pickle is a program: it names functions and says what to call them with. This unpickler hands out
nothing but stand-ins of this module: the few names that numpy's arrays need are mapped to them,
every other name is refused before it is looked up. The arrays are built afterwards from what the
stand-ins were told, so that not even numpy's own functions see the file's claims unchecked (a real
``numpy.dtype`` can be told flags by which plain bytes are taken for addresses of objects).
"""

import io
import math
import pickle
import re
import reprlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selfpose.data.pickle_scan import refuse_endless

_MAX_DEPTH = 32  # of containers within each other


def unpickle(data: bytes) -> Any:
    """The content of a pickle that holds numpy arrays and plain containers.

    Raises
    ------
    ValueError
        Names what the pickle asks for that is not admitted. Broken pickles raise whatever
        :mod:`pickle` raises: :mod:`selfpose.data.safe` makes one error of it.
    """
    refuse_endless(data)
    stream = io.BytesIO(data)
    result = _Unpickler(stream, encoding="latin1").load()
    if stream.read(1):
        raise ValueError("holds more after the end of its pickle")
    return _to_python(result, {}, 0)


def _short(value: Any) -> str:
    """For a message: what is shared within itself could fill all memory."""
    return reprlib.repr(value)[:60]


class _Dtype:
    """Stands for ``numpy.dtype``."""

    __slots__ = ("order", "text")
    order: Literal["<", ">", "="]

    def __init__(self, text: Any, *_: Any) -> None:
        if not isinstance(text, str) or not re.fullmatch(r"[<>|=]?(\?|[biufcSUO]\d*)", text):
            raise ValueError(f"the pickle asks for the dtype {_short(text)}, which is not admitted")
        self.text = text
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = "<" if state[1] == "<" else ">" if state[1] == ">" else "="
        if any(part is not None for part in state[2:5]):
            raise ValueError("the pickle asks for a structured dtype, which is not admitted")

    def to_numpy(self) -> np.dtype[Any]:
        return np.dtype(self.text).newbyteorder(self.order)


class _Array:
    """Stands for an array until the whole pickle is read."""

    __slots__ = ("dtype", "order", "raw", "shape")

    def __init__(self) -> None:
        self.shape: Any = None

    def __setstate__(self, state: Any) -> None:
        # numpy: (version, shape, dtype, is it in Fortran's order?, bytes or list of objects)
        self.shape, self.dtype, fortran, self.raw = state[-4:]
        self.order = "F" if fortran else "C"


class _Name:
    """What the pickle gets for an admitted name: to be called, and nothing else."""

    __slots__ = ("_meaning",)

    def __init__(self, meaning: Callable[..., Any]) -> None:
        self._meaning = meaning

    def __call__(self, *args: Any) -> Any:
        return self._meaning(*args)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("the pickle tries to change what a name means")


def _to_array(*_: Any) -> _Array:
    return _Array()


def _to_scalar(dtype: Any, raw: Any = None) -> _Array:
    """A scalar is kept as an array of the shape (): the walk below takes it out."""
    array = _Array()
    array.__setstate__((None, dtype, False, raw))
    return array


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", raw))
    return array


def _encode(text: Any, encoding: Any = None) -> bytes:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise ValueError(f"the pickle asks for text in the encoding {_short(encoding)}")
    return text.encode("latin-1")


def _no_bytes(*args: Any) -> bytes:
    if args:
        raise ValueError("the pickle calls bytes with arguments")
    return b""


def _not_callable(*_: Any) -> None:
    raise ValueError("the pickle calls numpy.ndarray itself")


_MEANINGS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _not_callable,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): meaning
        for core in ("core", "_core")  # numpy 1 and 2
        for module, name, meaning in (
            ("multiarray", "_reconstruct", _to_array),
            ("multiarray", "scalar", _to_scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        meaning = _MEANINGS.get((module, name))
        if meaning is None:
            raise ValueError(
                f"the pickle asks for {module}.{name}, which is refused: only numpy arrays and "
                "plain containers are read, and nothing of the file has been run"
            )
        return _Name(meaning)


def _to_python(value: Any, done: dict[int, tuple[Any, Any]], depth: int) -> Any:
    """Replace the stand-ins by arrays; what the pickle shares stays shared."""
    if value is None or type(value) in (str, bytes, int, float, complex, bool):
        return value
    if id(value) in done:
        return done[id(value)][1]
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    made: Any
    if type(value) is dict:
        made = {_to_key(k): _to_python(v, done, depth + 1) for k, v in value.items()}
    elif type(value) in (list, tuple):
        made = type(value)(_to_python(v, done, depth + 1) for v in value)
    elif type(value) is bytearray:
        made = bytes(value)
    elif type(value) is _Array:
        made = _to_ndarray(value, done, depth)
    else:
        what = type(value).__name__.lstrip("_")
        raise ValueError(f"the pickle holds a {what}: only arrays and plain containers are read")
    done[id(value)] = (value, made)  # with the value itself, lest its id be used again
    return made


def _to_key(key: Any) -> Any:
    if type(key) is _Array:
        return _to_ndarray(key, {}, 0)
    if type(key) is tuple:
        return tuple(_to_key(k) for k in key)
    if key is None or type(key) in (str, bytes, int, float, bool):
        return key
    raise ValueError(f"the pickle has a {type(key).__name__} as a key")


def _to_ndarray(array: _Array, done: dict[int, tuple[Any, Any]], depth: int) -> Any:
    if not hasattr(array, "raw") or type(array.dtype) is not _Dtype:
        raise ValueError("the pickle holds an array without content")
    dtype = array.dtype.to_numpy()
    scalar = array.shape is None
    shape = () if scalar else array.shape
    if type(shape) is int:
        shape = (shape,)
    if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"the pickle holds an array of shape {_short(shape)}")
    raw, count = array.raw, math.prod(shape)
    if dtype.kind == "O":
        if type(raw) is not list or len(raw) != count or scalar:
            raise ValueError("the pickle holds an array of objects whose size is not its shape's")
        made = np.empty(count, dtype=object)
        for i, item in enumerate(raw):
            made[i] = _to_python(item, done, depth + 1)
        return _shaped(made, shape, array.order)
    if type(raw) is str:  # Python 2
        raw = raw.encode("latin-1")
    if type(raw) not in (bytes, bytearray) or len(raw) != count * dtype.itemsize:
        raise ValueError(f"the pickle holds an array whose content does not fill {shape} {dtype}")
    if dtype.itemsize == 0:  # nothing in the file stands against a huge shape
        if count > 1:
            raise ValueError(f"the pickle holds an array of {count:,} texts without letters")
        return np.zeros(shape, dtype)
    flat = np.frombuffer(bytes(raw), dtype).astype(dtype.newbyteorder("="))
    return flat[0] if scalar else _shaped(flat, shape, array.order)


def _shaped(flat: NDArray[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    return flat.reshape(shape, order="F" if order == "F" else "C")


__all__ = ["unpickle"]
