"""No number is typed by hand: those in prose are computed by their page, or declared as given.

A number with a unit that an author types ages in silence: the run behind it is made again and the
sentence stays. Results are therefore quoted from records (:mod:`selfpose.quotes`). What else may
stand in prose, sizes, thresholds, numbers of papers, is listed in ``book/given_numbers.yml``; those
that the library itself holds are compared with it, those of records with the record.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import yaml

from selfpose.config import PRESETS, VARIANTS, Config
from selfpose.names import refuse_unknown
from selfpose.prose import plain_text, read_prose
from selfpose.prose_numbers import number_value, numbers_in
from selfpose.quotes import Form, Quote, field_value, quoted
from selfpose.records import read_record
from selfpose.workflow import read_experiment

GIVEN = "book/given_numbers.yml"
KINDS = ("parameter", "record", "paper", "definition", "example")
"""Where a declared number may come from; the first two are checked against what they name."""
FEWEST_LETTERS = 8
"""Of the words about a number: fewer would cover numbers that nobody has looked at."""
_EXTRA = {
    "parameter": ("times", "over"),
    "record": ("field", "digits", "form", "scale", "over"),
}

# --- declarations -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Given:
    """A number that prose may hold, with where it comes from.

    Parameters
    ----------
    page
        Path of the source.
    text
        The words about the number, as they read in the page, long enough to be found there once.
    kind
        One of :data:`KINDS`.
    source
        For ``parameter``: names as :func:`named_value` reads them, one for each number of the text
        or one for all. For ``record``: paths of records. For ``paper``: a key of the bibliography.
        For ``definition`` and ``example``: why, in words.
    options
        What else the kind takes: ``times`` and ``over`` (a parameter that the value is divided by);
        ``field``, ``digits``, ``form``, ``scale`` and ``over`` of :func:`selfpose.quotes.quoted`.
    """

    page: str
    text: str
    kind: str
    source: tuple[str, ...]
    options: dict[str, Any]

    def __post_init__(self) -> None:
        where = f"{GIVEN}, {self.page}"
        if not self.text:
            raise ValueError(f"{where}: a declaration needs `text`, the words about the number")
        bare = self.text
        for start, end in reversed(numbers_in(bare)):
            bare = bare[:start] + bare[end:]
        if sum(map(str.isalpha, bare)) < FEWEST_LETTERS:
            raise ValueError(f"{where}, {self.text!r}: give more of the words about the number")
        if not self.source or not all(self.source):
            raise ValueError(f"{where}, {self.text!r}: `{self.kind}` must say from where, in words")
        refuse_unknown(
            self.options, _EXTRA.get(self.kind, ()), f"key of the {self.kind} of {self.text!r}"
        )
        if self.kind == "record" and not isinstance(self.options.get("field"), str):
            raise ValueError(f"{where}, {self.text!r}: a record needs `field`, a path in it")
        if self.options.get("form", "plain") not in get_args(Form):
            raise ValueError(f"{where}, {self.text!r}: no form of quotes: {self.options['form']}")


def read_given(root: Path) -> list[Given]:
    """The declared numbers of a repository; none where there is no such file.

    Raises
    ------
    ValueError
        For a file or a declaration that is not as it should be, with the page and the text.
    """
    path = root / GIVEN
    if not path.is_file():
        return []
    try:
        pages = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{GIVEN}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(pages, dict) or not all(isinstance(v, list) for v in pages.values()):
        raise ValueError(f"{GIVEN}: must hold a list of declarations for each page")
    return [_given(str(page), item) for page, items in pages.items() for item in items]


def _given(page: str, item: Any) -> Given:
    if not isinstance(item, dict):
        raise ValueError(f"{GIVEN}, {page}: {item!r} is no declaration; give `text` and its source")
    text = plain_text(str(item.get("text", "")))
    kinds = [kind for kind in KINDS if kind in item]
    if len(kinds) != 1:
        raise ValueError(
            f"{GIVEN}, {page}, {text!r}: say where it comes from by one of {', '.join(KINDS)}"
        )
    sources = item[kinds[0]] if isinstance(item[kinds[0]], list) else [item[kinds[0]]]
    options = {key: value for key, value in item.items() if key not in ("text", kinds[0])}
    return Given(
        page=page,
        text=text,
        kind=kinds[0],
        source=tuple(s.strip() if isinstance(s, str) else "" for s in sources),
        options=options,
    )


def named_value(name: str, *, root: Path, page: str) -> float:
    """The number that a name stands for.

    ``gamma``: a parameter of :class:`selfpose.config.Config`, as the defaults have it;
    ``standard.steps`` or ``paper.weight_D``: as a preset or a variant of the method has it;
    ``experiments/sweep_delta/delta_5.delta``: as a variant of an experiment sets it;
    ``selfpose.answers.LEVEL``: a constant of the library, or ``selfpose.runs.Choice.size``, the
    default of a field; ``page.WIDTH``: a number that the page's own code sets.

    Raises
    ------
    ValueError
        If there is no such number.
    """
    before, _, last = name.rpartition(".")
    value: Any = None
    if name.startswith("experiments/"):
        experiment, _, variant = before.partition("/")[2].partition("/")
        path = root / "experiments" / f"{experiment}.yaml"
        if path.is_file():
            value = read_experiment(path).variants.get(variant, {}).get(last)
    elif before == "page":
        value = _assigned(root / page, last)
    elif before in PRESETS:
        value = getattr(Config.for_run(preset=before), last, None)
    elif before in VARIANTS or not before:
        value = getattr(Config.for_run(variant=before or "selfpose"), last, None)
    elif before.startswith("selfpose."):
        value = _constant(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"nothing named {name} is a number")
    return float(value)


def _constant(name: str) -> Any:
    parts = name.split(".")
    for length in range(len(parts) - 1, 1, -1):
        try:
            value: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, tuple | list):
                value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
            else:
                value = getattr(value, part, None)
        return value
    return None


def _assigned(path: Path, name: str) -> Any:
    if path.suffix != ".py" or not path.is_file():
        return None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                for left, right in pairs:
                    if isinstance(left, ast.Name) and left.id == name:
                        return right.value if isinstance(right, ast.Constant) else None
    return None


# --- the check ----------------------------------------------------------------------------------


def given_problem(given: Given, *, root: Path) -> str:
    """What is wrong with a declaration's own source; empty if nothing is."""
    at = f"{given.page}: {given.text!r}"
    numbers = [given.text[a:b] for a, b in numbers_in(given.text)]
    if not numbers:
        return f"{at} holds no number that needs a source; remove it from {GIVEN}"
    try:
        if given.kind == "parameter":
            names = given.source * len(numbers) if len(given.source) == 1 else given.source
            if len(names) != len(numbers):
                return f"{at} holds {len(numbers)} numbers and is given {len(names)} names"
            for number, name in zip(numbers, names, strict=True):
                value = named_value(name, root=root, page=given.page)
                value *= given.options.get("times", 1)
                if over := given.options.get("over"):
                    value /= named_value(over, root=root, page=given.page)
                if abs(abs(value) - number_value(number)) > 1e-9 * max(1.0, abs(value)):
                    return f"{at} says {number}, but {name} is {value:g}; mend the sentence"
        elif given.kind == "record":
            quote = _quote(given, root=root)
            if any(field_value(r, given.options["field"]) is None for r in quote.records):
                return f"{at}: the record {given.source[0]} holds no {given.options['field']}"
            shown = quote.text
            if shown not in numbers:
                return f"{at} says {', '.join(numbers)}, but its record says {shown}"
        elif given.kind == "paper":
            keys = (root / "book" / "references.bib").read_text(encoding="utf-8")
            if not re.search(rf"@\w+\{{{re.escape(given.source[0])},", keys):
                return f"{at}: no {given.source[0]} in book/references.bib"
    except (FileNotFoundError, TypeError, ValueError) as error:
        return f"{at}: its source in {GIVEN} is wrong: {error}"
    return ""


def _quote(given: Given, *, root: Path) -> Quote:
    records = [read_record(root / path) for path in given.source]
    options = {k: v for k, v in given.options.items() if k != "field"}
    return quoted(records, given.options["field"], **options)


def link_given_numbers(markdown: str, declared: list[Given], *, page: str, root: Path) -> str:
    """A page's Markdown in which numbers that were declared as a record's lead to that record.

    Parameters
    ----------
    markdown
        The whole page or a part of it; what it does not say is passed over.
    declared
        The declarations of all pages (:func:`read_given`).
    page, root
        Its path in the repository, as the declarations name it, and the repository.
    """
    for given in declared:
        if given.page != page or given.kind != "record":
            continue
        # the words as they stand in the source, where lines break
        words = r"\s+".join(re.escape(word) for word in given.text.split())
        if found := re.search(words, markdown):
            quote = _quote(given, root=root)
            linked = found[0].replace(quote.text, quote.html(), 1)
            markdown = markdown[: found.start()] + linked + markdown[found.end() :]
    return markdown


def _sentence(passage: str, start: int) -> str:
    ends = [m.end() for m in re.finditer(r"[.!?;] +(?=[^\Wa-z]|[(…])", passage)]
    begin = max([0, *(end for end in ends if end <= start)])
    end = min([len(passage), *(end for end in ends if end > start)])
    return passage[begin:end].strip()


def prose_number_problems(root: Path) -> Iterator[str]:
    """Numbers in prose that no page computes and nobody declared, and declarations that are wrong.

    Parameters
    ----------
    root
        The repository.

    Yields
    ------
    str
        A line each: the page, the sentence, and the cure.

    Raises
    ------
    ValueError
        If a source or the file of declarations cannot be read.
    """
    declared = read_given(root)
    prose = read_prose(root)
    used = [0] * len(declared)
    for page, passages in prose.items():
        own = [(k, given) for k, given in enumerate(declared) if given.page == page]
        for passage in passages:
            spans = []
            for k, given in own:
                for match in re.finditer(re.escape(given.text), passage):
                    spans.append(match.span())
                    used[k] += 1
            for start, end in numbers_in(passage):
                if not any(a <= start and end <= b for a, b in spans):
                    yield (
                        f"{page}: {passage[start:end]!r} is typed by hand in "
                        f"“{_sentence(passage, start)}”; quote it from its record "
                        f"(selfpose.quotes.quoted), leave it out, or say in {GIVEN} where it "
                        "comes from"
                    )
    for k, given in enumerate(declared):
        if not used[k]:
            known = "" if given.page in prose else " (no such page)"
            yield f"{given.page}{known}: no longer says {given.text!r}; remove it from {GIVEN}"
        elif used[k] > 1:
            yield f"{given.page}: says {given.text!r} {used[k]} times; give more words in {GIVEN}"
        elif problem := given_problem(given, root=root):
            yield problem


__all__ = [
    "GIVEN",
    "KINDS",
    "Given",
    "given_problem",
    "link_given_numbers",
    "named_value",
    "prose_number_problems",
    "read_given",
]
