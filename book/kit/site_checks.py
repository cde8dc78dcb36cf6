"""What a built site must hold before readers get it: true numbers, whole links, no trace of a host.

Everything is read from the finished files, as a browser would from a folder on disk, and each
problem is one line that names its page. The browser's own tests (sliders, requests, contrast) are
under ``tests/``.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from book.kit.quotes import NONE, SITE_RECORDS, quote_from_attributes
from experiments.records import Record, check_record

Attributes = dict[str, str | None]
VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "source", "wbr", "col", "embed"})
MEASURED = re.compile(r"[+−–-]?\d+(\.\d+)?( ± \d+(\.\d+)?)?( \(\d+\))?( ?(%|mm|px|s|°|points))?")
"""A cell that is nothing but a number: words may contain numbers, these are none."""
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|work|mnt|private|var/folders)/[\w.-]+"
    r"|\b[A-Z]:\\+Users\\+\w+"
)
HOSTS = (
    *("files.pythonhosted.org", "pypi.org/simple", "registry.npmjs.org"),
    *("localhost:", "127.0.0.1", "0.0.0.0:"),
)
INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
"""Environment variables that name where packages come from: their hosts must not be published."""
SPELLED = ("book/*.md", "README.md", "notebooks/*.py", "selfpose/**/*.py")
"""Pages, notebooks (their percent scripts) and docstrings."""


# --- reading pages ----------------------------------------------------------------------------


@dataclass(kw_only=True)
class Page:
    """What the checks need of an HTML page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    quotes: list[tuple[Attributes, str]] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    """Fills a :class:`Page`; numbers of results tables that stand in no quote end in ``loose``."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._open: list[tuple[str, Attributes]] = []
        self._quoted: list[str] | None = None
        self._bare: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.page.ids.update(v for k in ("id", "name") if (v := found.get(k)))
        if tag == "a" and found.get("href"):
            self.page.links.append(found["href"] or "")
        loads = tag == "link" and (found.get("rel") or "") in ("stylesheet", "icon", "preload")
        source = found.get("href") if loads else found.get("src")
        if source:
            self.page.loaded.append(source)
        if tag in VOID:
            return
        self._open.append((tag, found))
        if "data-record" in found and "data-form" in found:
            self._quoted = []
        elif tag == "td" and self._in_results():
            self._bare = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def _in_results(self) -> bool:
        tables = [a for tag, a in self._open if tag == "table"]
        return bool(tables) and "results" in (tables[-1].get("class") or "").split()

    def handle_data(self, data: str) -> None:
        if self._quoted is not None:
            self._quoted.append(data)
        elif self._bare is not None and not any(
            tag == "code" or "data-record" in found for tag, found in self._open
        ):
            self._bare.append(data)

    def handle_endtag(self, tag: str) -> None:
        # what HTML lets authors leave open (p, li) ends with what it stands in
        if not any(opened == tag for opened, _ in self._open):
            return
        while self._open:
            opened, found = self._open.pop()
            self._close(opened, found)
            if opened == tag:
                return

    def _close(self, tag: str, found: Attributes) -> None:
        if self._quoted is not None and "data-record" in found:
            self.page.quotes.append((found, "".join(self._quoted).strip()))
            self._quoted = None
        elif tag == "td" and self._bare is not None:
            text = " ".join("".join(self._bare).split())
            self._bare = None
            words = "data-words" in found
            if MEASURED.fullmatch(text) if words else re.search(r"\d", text):
                self.page.loose.append(text)


def read_page(path: Path) -> Page:
    """Read one HTML file."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader.page


def read_pages(site: Path) -> dict[str, Page]:
    """Every page of a site by its path within it; what comes with scripts from others is left out.

    Raises
    ------
    FileNotFoundError
        If there is no site.
    """
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site}: holds no site (no index.html); `make book` builds it")
    paths = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
    own = [p for p in paths if not p.startswith("_static/") or p.startswith(SITE_RECORDS)]
    return {path: read_page(site / path) for path in own}


# --- the checks -------------------------------------------------------------------------------


def read_site_records(site: Path) -> dict[str, Record]:
    """The records that a site carries, by their names.

    Raises
    ------
    ValueError
        If one is no record.
    """
    folder = site / SITE_RECORDS
    found = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        found[name] = check_record(json.loads(path.read_text(encoding="utf-8")), str(path))
    return found


def record_problems(pages: dict[str, Page], records: dict[str, Record]) -> Iterator[str]:
    """Numbers that their record does not hold, and numbers of results tables that name no record.

    Each quote is made again from the records in the site, by what the page says of it, and has to
    read as the page does.
    """
    for name, page in pages.items():
        for text in page.loose:
            yield f"{name}: a table of results holds {text!r}, which names no record"
        for attributes, text in page.quotes:
            where = f"{attributes.get('data-field')} of {attributes.get('data-record')}"
            try:
                made = quote_from_attributes(attributes, records).text
            except ValueError as error:
                yield f"{name}: {text!r} ({where}): {error}"
                continue
            if made != text or made == NONE:
                yield f"{name}: shows {text!r}, but {where} gives {made!r}"


def link_problems(site: Path, pages: dict[str, Page]) -> Iterator[str]:
    """Links and anchors that lead nowhere within the site, and files asked of other hosts."""
    site = site.resolve()
    for name, page in pages.items():
        here = site / name
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{name}: loads {link} from another host"
        for link in dict.fromkeys([*page.links, *page.loaded]):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(here.parent / unquote(parts.path)))
            target = target if parts.path else here
            if not target.is_relative_to(site):
                yield f"{name}: the link {link} leaves the site"
            elif not target.is_file():
                yield f"{name}: the link {link} leads to no file"
            elif parts.fragment not in ("", "top") and target.suffix == ".html":
                found = pages.get(target.relative_to(site).as_posix())
                if found is not None and unquote(parts.fragment) not in found.ids:
                    yield f"{name}: the link {link} leads to no such anchor"


def machine_problems(site: Path, *, places: Iterable[str | Path] = ()) -> Iterator[str]:
    """Absolute paths of a machine, and hosts of package registries, in pages, sources and records.

    ``places`` are folders of this machine to look for besides the usual ones.
    """
    indices = (word for v in INDEX_VARIABLES for word in os.environ.get(v, "").split())
    hosts = {*HOSTS, *(h for word in indices if (h := urlsplit(word).hostname))}
    looked_for = [str(place) for place in places if len(str(place)) > 3]
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        foreign = name.startswith("_static/") and not name.startswith(SITE_RECORDS)
        if foreign or path.suffix not in (".html", ".json", ".js", ".md", ".ipynb"):
            continue
        text = path.read_text(encoding="utf-8")
        for match in {m.group() for m in MACHINE_PATH.finditer(text)}:
            yield f"{name}: holds the path {match}, of the machine that built it"
        for word in {*looked_for, *hosts}:
            if word in text:
                yield f"{name}: holds {word}, of the machine that built it or of a registry"


def spelling_problems(root: Path) -> list[str]:
    """Misspelt words in pages, notebooks, README and docstrings, as codespell finds them.

    Words that are right all the same stand in ``pyproject.toml`` under ``[tool.codespell]``.

    Raises
    ------
    ModuleNotFoundError
        If codespell is not installed.
    """
    if find_spec("codespell_lib") is None:
        raise ModuleNotFoundError("codespell is not installed; `make venv` installs it")
    files = [str(p.relative_to(root)) for pattern in SPELLED for p in sorted(root.glob(pattern))]
    if not files:
        return []
    settings = root / "pyproject.toml"
    options = ["--toml", str(settings)] if settings.is_file() else []
    command = [sys.executable, "-m", "codespell_lib", *options, *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode and not done.stdout.strip():
        raise ValueError(f"codespell could not be run: {done.stderr.strip()}")
    return [f"spelling: {line}" for line in done.stdout.splitlines()]


def site_problems(site: Path, *, root: Path) -> list[str]:
    """Everything that is wrong with a built site, a line each; empty if nothing is.

    Parameters
    ----------
    site
        The folder with its ``index.html``.
    root
        The repository that it was built from: its prose is looked at for spelling and for numbers
        that nothing computes, and its path must not appear.
    """
    pages = read_pages(site)
    problems = [*record_problems(pages, read_site_records(site)), *link_problems(site, pages)]
    problems += machine_problems(site, places=[root.resolve(), sys.prefix])
    return problems + spelling_problems(root)


# --- its size ---------------------------------------------------------------------------------


def site_report(site: Path, *, seconds: float) -> str:
    """The size of the site and of its pages, and how long it took to build, as lines of text."""
    sizes = {p: p.stat().st_size for p in site.rglob("*") if p.is_file()}
    pages = {
        p.relative_to(site).as_posix(): n for p, n in sizes.items() if p.suffix == ".html" and n
    }
    records = sum(n for name, n in pages.items() if name.startswith("_static/"))
    own = {name: n for name, n in pages.items() if not name.startswith("_static/")}
    lines = [f"{n / 1e6:8.2f} MB  {name}" for name, n in sorted(own.items())]
    lines.append(f"{records / 1e6:8.2f} MB  pages of records")
    lines.append(f"{sum(sizes.values()) / 1e6:8.2f} MB  the site, {len(sizes)} files")
    lines.append(f"{seconds:8.1f} s   to build and check it")
    return "\n".join(lines)


__all__ = [
    "Page",
    "link_problems",
    "machine_problems",
    "read_page",
    "read_pages",
    "read_site_records",
    "record_problems",
    "site_problems",
    "site_report",
    "spelling_problems",
]
