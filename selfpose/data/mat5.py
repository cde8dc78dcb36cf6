"""MATLAB files of version 5, read with every length checked.

scipy reads them too, but takes types and lengths on trust: a damaged file then ends the process
instead of raising an error. Numbers, text, cells and structs are all that data sets hold.

Source: MathWorks, MAT-File Format, "Level 5 MAT-File Format".
"""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Types of stored content: numbers, then text in UTF-8, UTF-16, UTF-32.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_STORED |= {12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
# Classes of arrays in memory.
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_NUMBERS |= {14: "i8", 15: "u8"}
_OTHERS = {3: "an object", 5: "a sparse array", 16: "a function", 17: "an opaque object"}
_LOGICAL, _COMPLEX = 0x0200, 0x0800
_MAX_DEPTH = 32


def read_mat5(path: Path, *, names: tuple[str, ...] | None, limit: int) -> dict[str, Any]:
    """The variables of a file: numbers as arrays of MATLAB's shape, text, lists, dicts.

    Parameters
    ----------
    names
        The variables to read; all if ``None``. Those that are missing are left out.
    limit
        Bytes that one variable may have, unpacked.

    Raises
    ------
    ValueError
        Says what is broken, or not admitted. Packed variables that are damaged raise
        ``zlib.error``.
    """
    found = {}
    data = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]))
    if order is None or data[124:126] not in (b"\x00\x01", b"\x01\x00"):
        raise ValueError("not a MATLAB file of version 5 or 7.3: it does not begin like one")
    for kind, content in _elements(data[_HEADER:], order):
        body = content
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj()
            body = memoryview(unpacked.decompress(content, limit))
            if unpacked.unconsumed_tail:
                raise ValueError(f"a variable takes more than the limit of {limit:,} bytes")
            if not unpacked.eof:
                raise ValueError("a packed variable is cut off")
            inner = list(_elements(body, order))
            if len(inner) != 1:
                raise ValueError("a packed variable holds several")
            kind, body = inner[0]
        if len(body) > limit:
            raise ValueError(f"a variable takes more than the limit of {limit:,} bytes")
        if kind != _MATRIX:
            raise ValueError(f"holds an element of the type {kind} where a variable is expected")
        name = _name(body, order)
        if names is None or name in names:
            found[name] = _array(body, order, name, 0)
    return found


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """The elements that stand one after another: a type and its content."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("is cut off, or damaged: an element's beginning is missing")
        kind, size = (int(n) for n in np.frombuffer(data[at : at + 8], f"{order}u4"))
        start = at + 8
        if kind >> 16:  # a small element: four bytes at most, in the place of the size
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError("is damaged: a small element of more than four bytes")
            at += 8
        else:
            # Elements begin at multiples of eight bytes, but for packed ones.
            at = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError(f"is cut off, or damaged: {size:,} bytes are missing in part")
        yield kind, data[start : start + size]


def _next(parts: Iterator[tuple[int, memoryview]], what: str) -> tuple[int, memoryview]:
    part = next(parts, None)
    if part is None:
        raise ValueError(f"is damaged: {what} is missing")
    return part


def _head(parts: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags with the class, dimensions and name, with which every array begins."""
    kind, content = _next(parts, "an array's class")
    if kind != 6 or len(content) != 8:
        raise ValueError("is damaged: an array has no class")
    flags = int(np.frombuffer(content, f"{order}u4")[0])
    kind, content = _next(parts, "an array's shape")
    if kind != 5 or len(content) % 4 or not 8 <= len(content) <= 128:
        raise ValueError("is damaged: an array has no shape")
    shape = tuple(int(n) for n in np.frombuffer(content, f"{order}i4"))
    if min(shape) < 0:
        raise ValueError(f"is damaged: an array of the shape {shape}")
    kind, content = _next(parts, "an array's name")
    if kind not in (1, 2, 16):
        raise ValueError("is damaged: an array has no name")
    return flags, shape, bytes(content).rstrip(b"\x00").decode("utf-8")


def _name(data: memoryview, order: str) -> str:
    return _head(_elements(data, order), order)[2]


def _array(data: memoryview, order: str, name: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"{name}: nested more than {_MAX_DEPTH} deep")
    if len(data) == 0:
        return np.zeros((0, 0))
    parts = _elements(data, order)
    flags, shape, _ = _head(parts, order)
    count, kind = math.prod(shape), flags & 0xFF
    made: Any
    if kind in _NUMBERS:
        made = _numbers(parts, order, count, name).astype(_NUMBERS[kind])
        if flags & _COMPLEX:
            made = made + 1j * _numbers(parts, order, count, name)
        made = made.astype(bool) if flags & _LOGICAL else made
        made = made.reshape(shape, order="F")
    elif kind == _CHAR:
        made = _letters(parts, order, shape, name)
    elif kind == _CELL:
        _check_count(count, data, name)
        made = [_member(parts, order, f"{name}{{{n + 1}}}", depth) for n in range(count)]
    elif kind == _STRUCT:
        _check_count(count, data, name)
        fields = _fields(parts, order, name)
        structs = [
            {f: _member(parts, order, f"{name}.{f}", depth) for f in fields} for _ in range(count)
        ]
        made = structs[0] if count == 1 else structs
    else:
        what = _OTHERS.get(kind, f"an array of the unknown class {kind}")
        raise ValueError(f"{name} is {what}: only numbers, text, cells and structs are read")
    if next(parts, None) is not None:
        raise ValueError(f"{name}: is damaged: holds more than its shape {shape}")
    return made


def _check_count(count: int, data: memoryview, name: str) -> None:
    if count > len(data) // 8:  # each member takes eight bytes at least, but for empty structs
        raise ValueError(f"{name}: is damaged: {count:,} members in {len(data):,} bytes")


def _member(parts: Iterator[tuple[int, memoryview]], order: str, name: str, depth: int) -> Any:
    kind, content = _next(parts, name)
    if kind != _MATRIX:
        raise ValueError(f"{name}: is damaged: is no array")
    return _array(content, order, name, depth + 1)


def _numbers(
    parts: Iterator[tuple[int, memoryview]], order: str, count: int, name: str
) -> NDArray[Any]:
    """Numbers may be stored in a smaller type than the array's own."""
    kind, content = _next(parts, name)
    if kind not in _STORED:
        raise ValueError(f"{name}: is damaged: numbers of the unknown type {kind}")
    dtype = np.dtype(order + _STORED[kind])
    if len(content) != count * dtype.itemsize:
        raise ValueError(
            f"{name}: is damaged: {len(content):,} bytes for {count:,} numbers of {dtype}"
        )
    return np.frombuffer(content, dtype)


def _letters(
    parts: Iterator[tuple[int, memoryview]], order: str, shape: tuple[int, ...], name: str
) -> str:
    if math.prod(shape) == 0:
        next(parts, None)
        return ""
    kind, content = _next(parts, name)
    if kind not in _TEXT:
        raise ValueError(f"{name}: is damaged: text of the unknown type {kind}")
    code = _TEXT[kind] + ({"<": "-le", ">": "-be"}[order] if kind in (4, 17, 18) else "")
    letters = bytes(content).decode(code)
    if len(letters) != math.prod(shape):
        raise ValueError(f"{name}: is damaged: {len(letters)} letters, its shape is {shape}")
    rows = shape[0]  # letters stand column by column
    return "\n".join(letters[row::rows] for row in range(rows))


def _fields(parts: Iterator[tuple[int, memoryview]], order: str, name: str) -> list[str]:
    kind, content = _next(parts, f"{name}'s fields")
    length = int(np.frombuffer(content, f"{order}i4")[0]) if (kind, len(content)) == (5, 4) else 0
    kind, content = _next(parts, f"{name}'s fields")
    if kind not in (1, 2) or length < 1 or len(content) % length:
        raise ValueError(f"{name}: is damaged: a struct without names of its fields")
    names = [
        bytes(content[at : at + length]).split(b"\x00")[0].decode("utf-8")
        for at in range(0, len(content), length)
    ]
    if len(set(names)) != len(names) or "" in names:
        raise ValueError(f"{name}: is damaged: a struct's fields have no distinct names")
    return names


__all__ = ["read_mat5"]
