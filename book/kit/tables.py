"""What a page shows that is no figure: the library's own source, and tables of numbers."""

import ast
import hashlib
import html
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown
from pandas.io.formats.style import Styler

from book.kit.provenance import record_links
from experiments.records import mean_and_spread
from selfpose.run import Record

NONE = "–"
"""What stands for a number that there is not."""


def source_without_docstring(thing: Any) -> str:
    """The source of a function, method or class without its own docstring; comments stay.

    >>> from selfpose.camera import project
    >>> print(source_without_docstring(project).splitlines()[-1].strip())
    return points[..., :2] / points[..., 2:]
    """
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
        del lines[node.body[0].lineno - 1 : node.body[0].end_lineno]
    return "\n".join(lines).strip()


def show_source(*things: Any) -> Markdown:
    """The code of library functions as a highlighted block: page and code cannot diverge."""
    blocks = [
        f"# {thing.__module__.replace('.', '/')}.py\n{source_without_docstring(thing)}"
        for thing in things
    ]
    return Markdown("```python\n" + "\n\n\n".join(blocks) + "\n```")


def field_value(record: Record, field: str) -> Any:
    """A value of a record by its dotted path; ``None`` where there is none.

    >>> field_value({"baselines": {"flat": {"p_mpjpe_mm": 114.0}}}, "baselines.flat.p_mpjpe_mm")
    114.0
    """
    value: Any = record
    for key in field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def quoted(records: Record | Sequence[Record], field: str, *, digits: int = 1) -> str:
    """What one record says, or several: then the mean ± standard deviation (number of records).

    >>> quoted({"metrics": {"p_mpjpe_mm": 81.25}}, "metrics.p_mpjpe_mm", digits=2)
    '81.25'
    >>> quoted([{"duration_s": 60.0}, {"duration_s": 62.0}], "duration_s")
    '61.0 ± 1.4 (2)'
    """
    if isinstance(records, dict):
        return _text(field_value(records, field), digits)
    values = [field_value(record, field) for record in records]
    whole = values and all(isinstance(value, int) for value in values)
    return mean_and_spread(pd.Series(values, dtype=float), 0 if whole else digits)


def _text(value: Any, digits: int) -> str:
    if value is None or value != value:
        return NONE
    if isinstance(value, bool | str | int):
        return str(value)
    return f"{float(value):.{digits}f}"


def number_table(
    rows: Mapping[str, Mapping[str, Any]],
    *,
    digits: int = 1,
    first: str = "",
    records: Mapping[str, Sequence[Record]] | Sequence[Record] = (),
) -> HTML:
    """A table of named rows, to end a cell with.

    Parameters
    ----------
    rows
        Name → column → a number, a text (for instance of :func:`quoted`) or ``None``, a dash.
    digits
        Of numbers, after the point; whole numbers have none.
    first
        Heads the row names.
    records
        The records that the numbers are from: of the whole table, or by row name.
    """
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = {n: [_text(row.get(c), digits) for c in columns] for n, row in rows.items()}
    table = pd.DataFrame.from_dict(cells, orient="index", columns=columns)
    table.columns.name = first or None
    numbers = table.map(lambda text: bool(re.match(r"[+−-]?\d", text)) or text == NONE).all()
    heads, below = list(numbers), ""
    classes = pd.DataFrame("", index=table.index, columns=columns)
    classes.loc[:, numbers] = "number"
    if isinstance(records, Mapping):
        table["records"] = [record_links(records.get(name, ())) or NONE for name in table.index]
        heads.append(False)
    elif records:
        below = f'<p class="table-records">From {record_links(records)}.</p>'
    digest = hashlib.sha256(table.to_json().encode()).hexdigest()[:8]
    style = Styler(table, uuid=digest, cell_ids=False)
    style = style.set_table_attributes('class="dataframe"')
    style = style.set_td_classes(classes).format(escape="html", subset=columns)
    style = style.apply_index(lambda _: ["text-align: right" if n else "" for n in heads], axis=1)
    # a word joiner: names such as P-MPJPE are not broken at their hyphens
    style = style.format_index(escape="html", axis=0)
    style = style.format_index(lambda title: html.escape(title).replace("-", "-\u2060"), axis=1)
    return HTML(style.to_html() + below)


def linked_groups(
    groups: Mapping[str, Sequence[Record]],
    columns: Mapping[str, str],
    *,
    first: str = "",
    digits: int = 1,
) -> HTML:
    """A table with one row a group of runs: mean ± spread (number of runs), and their records.

    Parameters
    ----------
    groups
        Row name → the records behind it.
    columns
        Title → dotted path in the records, for instance ``metrics.p_mpjpe_mm``.
    first, digits
        As in :func:`number_table`.
    """
    rows = {
        name: {title: quoted(found, field, digits=digits) for title, field in columns.items()}
        for name, found in groups.items()
    }
    return number_table(rows, first=first, records=groups)
