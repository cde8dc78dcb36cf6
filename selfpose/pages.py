"""What a page shows that is no figure: the library's own source, and small tables of numbers."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown


def source_without_docstring(thing: Any) -> str:
    """The source of a function, method or class without its own docstring; comments stay.

    >>> from selfpose.camera import project
    >>> print(source_without_docstring(project).splitlines()[-1].strip())
    return points[..., :2] / points[..., 2:]

    Raises
    ------
    TypeError
        If Python does not know where the thing was written.
    """
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or not ast.get_docstring(node):
        return source
    docstring = node.body[0]
    lines = source.splitlines()
    del lines[docstring.lineno - 1 : docstring.end_lineno]
    return "\n".join(lines) + "\n"


def show_source(*things: Any) -> Markdown:
    """The code of library functions as a highlighted block: page and code cannot diverge."""
    blocks = []
    for thing in things:
        where = f"# {thing.__module__.replace('.', '/')}.py"
        blocks.append(f"{where}\n{source_without_docstring(thing).strip()}")
    return Markdown("```python\n" + "\n\n\n".join(blocks) + "\n```")


def number_frame(
    rows: Mapping[str, Mapping[str, Any]], *, digits: int = 1, first: str = ""
) -> pd.DataFrame:
    """Rows of named numbers as texts with that many digits; absent numbers are dashes.

    >>> number_frame({"flat": {"P-MPJPE": 114.26}}, first="pose").loc["flat", "P-MPJPE"]
    '114.3'
    """

    def text(value: Any) -> str:
        if value is None or (isinstance(value, float) and value != value):
            return "–"
        if isinstance(value, bool | str | int):
            return str(value)
        return f"{float(value):.{digits}f}"

    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = {key: [text(row.get(name)) for name in columns] for key, row in rows.items()}
    table = pd.DataFrame.from_dict(cells, orient="index", columns=columns)
    table.columns.name = first or None
    return table


def number_table(
    rows: Mapping[str, Mapping[str, Any]], *, digits: int = 1, first: str = ""
) -> HTML:
    """The table of :func:`number_frame`, to end a cell with; ``first`` heads the row names."""
    with pd.option_context("display.max_colwidth", None):
        return HTML(number_frame(rows, digits=digits, first=first).to_html(border=0))


__all__ = ["number_frame", "number_table", "show_source", "source_without_docstring"]
