"""What a pickle would make an unpickler do, counted before it does it.

A few hundred bytes can ask for more work than any machine does: a tuple that holds the last one
twice, a hundred times over, has 2¹⁰⁰ members to whoever walks it, and a dict that takes it as a key
walks it to hash it, within Python's own C code, where nothing can stop it. Here the stack machine
runs on the sizes of the things alone.
"""

import pickletools
from typing import Any

_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_SETS = {"EMPTY_SET", "ADDITEMS", "FROZENSET"}
_SHAPES = {
    opcode.name: (
        pickletools.markobject in opcode.stack_before,
        [*opcode.stack_before, pickletools.markobject].index(pickletools.markobject),
        len(opcode.stack_after),
    )
    for opcode in pickletools.opcodes
}
"""For each opcode: does it take all down to a mark, how many below that, how many does it leave."""
HASHED_PER_BYTE = 8
"""Members of keys that may be hashed for each byte: plain pickles stay below one."""


def refuse_endless(data: bytes) -> None:
    """Refuse what is no pickle, holds sets, or would take memory or time beyond its length.

    Raises
    ------
    ValueError
        Says what is wrong. Nothing has been built.
    """
    stack: list[int] = []  # how many members each thing has, counted as often as they are met
    marks: list[int] = []
    memo: dict[Any, int] = {}
    left = HASHED_PER_BYTE * len(data)
    enough = left + 1  # to be refused when hashed; larger numbers would take memory themselves
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in _GET:
                stack.append(memo[argument or 0])
            elif name in _PUT:
                if (argument or 0) > len(data):
                    raise ValueError("a memo index beyond its end")
                memo[argument or 0] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "DUP":
                stack.append(stack[-1])
            elif name == "POP" and marks and marks[-1] == len(stack):
                marks.pop()
            elif name in _SETS:
                raise ValueError("holds a set, where arrays and plain containers are read")
            else:
                taken, leaves = _take(name, stack, marks)
                left -= sum(_hashed(name, taken))
                if left < 0:
                    raise ValueError("its keys, shared within each other, would take forever")
                size = min(enough, 1 + sum(taken)) if name in _TUPLES else _size(argument)
                stack.extend([size] * leaves)
    except (IndexError, KeyError):
        raise ValueError("broken, or not a pickle: its stack does not hold what it takes") from None
    except ValueError as error:
        raise ValueError(f"broken, or not a pickle: {error}") from None


def _take(name: str, stack: list[int], marks: list[int]) -> tuple[list[int], int]:
    """What an opcode takes from the stack, the lowest first, and how many things it leaves."""
    to_mark, below, leaves = _SHAPES[name]
    start = (marks.pop() if to_mark else len(stack)) - below
    if start < 0:
        raise IndexError
    taken = stack[start:]
    del stack[start:]
    return taken, leaves


def _hashed(name: str, taken: list[int]) -> list[int]:
    """The keys among what an opcode takes."""
    if name in ("SETITEM", "SETITEMS"):
        return taken[1::2]
    return taken[::2] if name == "DICT" else []


def _size(argument: Any) -> int:
    """Of a thing that stands in the pickle itself; large whole numbers are hashed word by word."""
    return 1 + argument.bit_length() // 64 if isinstance(argument, int) else 1


__all__ = ["HASHED_PER_BYTE", "refuse_endless"]
