"""What a page shows that is no figure: the library's own source, and small tables of numbers.

Numbers that a page computes stand in a :func:`number_table`; numbers of records in a
:func:`linked_table`, where each is a quote that leads to its record.
"""

import ast
import html
import inspect
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown

from book.kit.quotes import NONE, Quote, quoted, record_links
from experiments.records import Record


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
    frame = number_frame(rows, digits=digits, first=first)
    kinds = {title: number_class(row.get(title) for row in rows.values()) for title in frame}
    lines = [
        _row(name, [f"<td{kinds[title]}>{html.escape(text)}</td>" for title, text in row.items()])
        for name, row in frame.iterrows()
    ]
    return _table([(first, ""), *kinds.items()], lines, classes="dataframe")


def number_class(values: Iterable[Any]) -> str:
    """The attribute of a column's head and cells: numbers stand below each other, words do not.

    >>> number_class([1.5, None]), number_class(["text", 2])
    (' class="number"', '')
    """
    known = [value for value in values if value is not None]
    words = any(isinstance(v, bool | str) or getattr(v, "form", "") == "text" for v in known)
    return ' class="number"' if known and not words else ""


def _row(name: Any, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{html.escape(str(name))}</th>{"".join(cells)}</tr>'


_HYPHENED = re.compile(r"\w+-\w+")
"""A name such as P-MPJPE, which a narrow column would break at its hyphen."""


def _table(heads: Sequence[tuple[str, str]], lines: Sequence[str], *, classes: str) -> HTML:
    """Title and attribute of each column, then the rows."""
    head = "".join(
        f'<th scope="col"{kind}>'
        + _HYPHENED.sub(r'<span class="unbroken">\g<0></span>', html.escape(str(title)))
        + "</th>"
        for title, kind in heads
    )
    return HTML(
        f'<table class="{classes}"><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table>"
    )


def linked_table(
    rows: Mapping[str, Mapping[str, Any]],
    *,
    first: str = "",
    words: Collection[str] = (),
    records: Mapping[str, Sequence[Record]] | None = None,
) -> HTML:
    """A table of results: its numbers are quotes, and each row may list its records.

    The site's check makes every number of such a table again from the records that it names, and
    refuses one that names none.

    Parameters
    ----------
    rows
        Name → column → a :class:`book.kit.quotes.Quote`, or words. ``None`` is a dash.
    first
        Heads the row names.
    words
        Columns that describe and do not measure (``gamma = 500``): numbers in them are not checked.
    records
        Name → the records of that row, linked in a last column.

    Raises
    ------
    ValueError
        If a number is given as such: it would lead nowhere.
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    kinds = {title: number_class(row.get(title) for row in rows.values()) for title in columns}
    lines = []
    for name, row in rows.items():
        # a column of its own links several records; without one, the numbers have to
        cells = [
            _cell(row.get(title), title, words, kind=kind, links=not records)
            for title, kind in kinds.items()
        ]
        if records:
            cells.append(f"<td>{record_links(records.get(name, ())) or NONE}</td>")
        lines.append(_row(name, cells))
    heads = [(first, ""), *kinds.items(), *([("records", "")] if records else [])]
    return _table(heads, lines, classes="dataframe results")


def _cell(value: Any, column: str, words: Collection[str], *, kind: str, links: bool) -> str:
    if isinstance(value, Quote):
        return f"<td{kind}>{value.html(links=links)}</td>"
    if value is None:
        return f"<td{kind}>{NONE}</td>"
    if not isinstance(value, str):
        raise ValueError(
            f"the column {column!r} holds the bare number {value!r}: quote it from its record "
            "(book.kit.quotes.quoted), or show computed numbers in a number_table"
        )
    mark = " data-words" if column in words else ""
    return f"<td{mark}>{html.escape(value)}</td>"


def linked_groups(
    groups: Mapping[str, Sequence[Record]],
    columns: Mapping[str, str],
    *,
    first: str = "",
    digits: int | Mapping[str, int] = 1,
    notes: Mapping[str, Mapping[str, str]] | None = None,
) -> HTML:
    """A table of results with one row a group of runs: mean ± spread (number of runs), linked.

    Parameters
    ----------
    groups
        Row name → the records behind it; a row without any is shown as missing.
    columns
        Title → dotted path in the records, for instance ``metrics.p_mpjpe_mm``.
    first
        Heads the row names.
    digits
        After the point, for all columns or by title.
    notes
        Row name → column → words that stand before the numbers.
    """
    notes = notes or {}
    rows: dict[str, dict[str, Any]] = {}
    for name, found in groups.items():
        of = {t: digits if isinstance(digits, int) else digits.get(t, 1) for t in columns}
        numbers: dict[str, Any] = {
            title: quoted(found, field, digits=of[title], form="spread")
            for title, field in columns.items()
        }
        rows[name] = {**notes.get(name, {}), **(numbers if found else dict.fromkeys(columns))}
    described = {title for note in notes.values() for title in note}
    return linked_table(rows, first=first, words=described, records=groups)


__all__ = [
    "linked_groups",
    "linked_table",
    "number_frame",
    "number_table",
    "show_source",
    "source_without_docstring",
]
