"""Numbers that lead back to their records.

A number that a page shows is a :class:`Quote`: it knows its records and which of their fields it
was made of, and it is written with both into the page. So a reader can follow it to its record, and
:mod:`book.kit.site_checks` can make it again from there. Records are addressed by what they say:
the same record has the same address in every build, whichever folder it was read from.
"""

import hashlib
import html
import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd

from selfpose.files import refuse_unknown
from experiments.records import Record, mean_and_spread, with_later_parameters

SITE_RECORDS = "_static/records"
"""Where the site keeps its records, below its own top."""
NONE = "–"
"""What stands for a number that no record holds."""
FORMS = ("plain", "spread", "change", "text", "count")
Form = Literal["plain", "spread", "change", "text", "count"]


# --- addresses --------------------------------------------------------------------------------


def record_name(record: Record) -> str:
    """A record's address within the site: what it is of, and a digest of what it says.

    ``dataset-preset/experiment/variant/seed0-1a2b3c4d``. The folder that it was read from is no
    part of it, nor whether parameters that came later were filled in.
    """
    content = {key: value for key, value in record.items() if key not in ("path", "stated")}
    content["parameters"] = with_later_parameters(record["parameters"])
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    parts = (
        f"{record['dataset']}-{record.get('preset', 'none')}",
        str(record["experiment"]),
        str(record["variant"]),
        f"seed{record['seed']}-{digest}",
    )
    # a name of a user's own must neither leave the folder nor break a list of names
    return "/".join(re.sub(r"[^\w.-]+", "_", part).lstrip(".") or "_" for part in parts)


def record_href(record: Record, field: str = "", *, top: str = "..") -> str:
    """The address of a record's page, or of one of its fields there, from a page of the site.

    ``top`` leads from that page to the top of the site; all pages of this book lie one folder deep.
    """
    anchor = f"#{quote(field)}" if field else ""
    return f"{top}/{SITE_RECORDS}/{quote(record_name(record))}.html{anchor}"


def record_link(record: Record, text: str = "", *, top: str = "..") -> str:
    """A link (HTML) to a record's page; by default it reads ``experiment/variant/seed0``."""
    cell = f"{record['experiment']}/{record['variant']}/seed{record['seed']}"
    label = f' aria-label="record of {html.escape(cell)}"' if text else ""
    return (
        f'<a class="record-link" data-record="{record_name(record)}"{label} '
        f'href="{html.escape(record_href(record, top=top))}">{html.escape(text or cell)}</a>'
    )


def field_value(record: Record, field: str) -> Any:
    """A value of a record by its dotted path; ``None`` where there is none.

    >>> field_value({"baselines": {"flat": {"p_mpjpe_mm": 114.0}}}, "baselines.flat.p_mpjpe_mm")
    114.0
    """
    value: Any = record
    for key in field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


# --- quotes -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A number (or a word) of one record or several, as a page shows it.

    Parameters
    ----------
    records
        Whose it is.
    fields
        Dotted paths into each record; of several, the mean is taken.
    digits
        After the point; for the form ``text``, how many characters (0: all).
    form
        ``plain``: the mean over the records; ``spread``: mean ± standard deviation (number of
        records); ``change``: the mean with its sign, against that of other records; ``text``: words
        of the first record; ``count``: the number of records.
    over
        A field that each record's number is divided by.
    scale
        A factor, for instance 100 for percent.
    against
        For ``change``: the records whose mean is taken off.

    Raises
    ------
    ValueError
        For an unknown form, negative digits, no field, or ``against`` with another form.
    """

    records: tuple[Record, ...]
    fields: tuple[str, ...]
    digits: int = 1
    form: str = "plain"
    over: str = ""
    scale: float | int = 1
    against: tuple[Record, ...] = ()

    def __post_init__(self) -> None:
        refuse_unknown([self.form], FORMS, "form of a quote")
        if self.digits < 0:
            raise ValueError(f"a quote has 0 digits or more, not {self.digits}")
        if not self.fields and self.form != "count":
            raise ValueError("a quote needs a field of its records, e.g. metrics.p_mpjpe_mm")
        if bool(self.against) != (self.form == "change"):
            raise ValueError("a quote has records to compare `against` if its form is `change`")

    def _number(self, record: Record) -> float | None:
        values = [field_value(record, field) for field in self.fields]
        below = field_value(record, self.over) if self.over else 1.0
        if not all(isinstance(v, int | float) for v in [*values, below]) or not below:
            return None
        return self.scale * statistics.fmean(values) / below

    def _numbers(self, records: Iterable[Record]) -> list[float]:
        return [number for r in records if (number := self._number(r)) is not None]

    @property
    def text(self) -> str:
        """What is shown, without any link; a dash where no record holds it."""
        if self.form == "count":
            return str(len(self.records))
        if self.form == "text":
            value = field_value(self.records[0], self.fields[0]) if self.records else None
            return NONE if value in (None, "") else str(value)[: self.digits or None]
        values = self._numbers(self.records)
        if self.form == "spread":
            return mean_and_spread(pd.Series(values, dtype=float), self.digits)
        if not values:
            return NONE
        if self.form == "change":
            others = self._numbers(self.against)
            if not others:
                return NONE
            return f"{statistics.fmean(values) - statistics.fmean(others):+.{self.digits}f}"
        return f"{statistics.fmean(values):.{self.digits}f}"

    @property
    def attributes(self) -> dict[str, str]:
        """What :func:`quote_from_attributes` makes the quote from again, for the element."""
        found = {"data-record": " ".join(map(record_name, self.records))}
        if self.fields:
            found["data-field"] = ";".join(self.fields)
        found |= {"data-digits": str(self.digits), "data-form": self.form}
        if self.over:
            found["data-over"] = self.over
        if self.scale != 1:
            found["data-scale"] = repr(float(self.scale))
        if self.against:
            found["data-against"] = " ".join(map(record_name, self.against))
        return found

    def marked(self) -> str:
        """The number as an element (HTML) that names its records, without any link."""
        shown = html.escape(self.text)
        if shown == NONE or not self.records:
            return shown
        return f'<span class="record"{self._marks}>{shown}</span>'

    @property
    def _marks(self) -> str:
        return "".join(f' {k}="{html.escape(v)}"' for k, v in self.attributes.items())

    def html(self, *, links: bool = True) -> str:
        """The number as an element that names its records, with links to them.

        One record is linked by the number itself; of several, each is linked by its seed in
        brackets behind the number. ``links=False`` leaves these brackets out, for tables that list
        the records of a row in a column of their own.
        """
        everyone = [*self.records, *self.against]
        shown = html.escape(self.text)
        if shown == NONE:
            return shown
        if len(everyone) != 1:
            return f"{self.marked()} {record_links(everyone)}" if links else self.marked()
        href = html.escape(record_href(everyone[0], self.fields[0] if self.fields else ""))
        return f'<a class="record"{self._marks} href="{href}">{shown}</a>'

    __str__ = html
    _repr_html_ = html
    _repr_markdown_ = html


def quoted(
    records: Record | Iterable[Record],
    fields: str | Iterable[str] = (),
    *,
    digits: int = 1,
    form: Form | None = None,
    over: str = "",
    scale: float | int = 1,
    against: Iterable[Record] = (),
) -> Quote:
    """A number of a record or of several, for a sentence or a table; see :class:`Quote`.

    In a sentence it is used like a text: ``f"It reaches {quoted(record, field)} mm."``, shown as
    Markdown or HTML, is a number with a link to its record. By default one record is quoted
    plainly, several with their spread, and as a change where there are others to compare with.

    >>> run = {"dataset": "embedded", "experiment": "lifting", "variant": "selfpose", "seed": 0}
    >>> quoted(run | {"metrics": {"p_mpjpe_mm": 81.25}}, "metrics.p_mpjpe_mm", digits=2).text
    '81.25'
    """
    chosen = (records,) if isinstance(records, dict) else tuple(records)
    fields = (fields,) if isinstance(fields, str) else tuple(fields)
    others = tuple(against)
    if form is None:
        form = "change" if others else "plain" if len(chosen) == 1 else "spread"
    return Quote(
        records=chosen,
        fields=fields,
        digits=digits,
        form=form,
        over=over,
        scale=scale,
        against=others,
    )


def quote_from_attributes(
    attributes: Mapping[str, str | None], records: Mapping[str, Record]
) -> Quote:
    """The quote that an element of a page claims to be, made from the site's own records.

    Parameters
    ----------
    attributes
        Of the element.
    records
        By :func:`record_name`.

    Raises
    ------
    ValueError
        If it names a record that the site does not hold, or is no whole quote.
    """

    def named(attribute: str) -> tuple[Record, ...]:
        names = (attributes.get(attribute) or "").split()
        if missing := [name for name in names if name not in records]:
            raise ValueError(f"no record {missing[0]} in the site")
        return tuple(records[name] for name in names)

    return Quote(
        records=named("data-record"),
        fields=tuple(field for field in (attributes.get("data-field") or "").split(";") if field),
        digits=int(attributes.get("data-digits") or 0),
        form=attributes.get("data-form") or "plain",
        over=attributes.get("data-over") or "",
        scale=float(attributes.get("data-scale") or 1),
        against=named("data-against"),
    )


def record_links(records: Sequence[Record]) -> str:
    """Links to several records in brackets, each by its seed; where variants differ, in full."""
    if not records:
        return ""
    one_cell = len({(r["experiment"], r["variant"], r["dataset"]) for r in records}) == 1
    links = [record_link(r, f"seed {r['seed']}" if one_cell else "") for r in records]
    return f'<span class="record-links">({", ".join(links)})</span>'


__all__ = [
    "FORMS",
    "NONE",
    "SITE_RECORDS",
    "Form",
    "Quote",
    "field_value",
    "quote_from_attributes",
    "quoted",
    "record_href",
    "record_link",
    "record_links",
    "record_name",
]
