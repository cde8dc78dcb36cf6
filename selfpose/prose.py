"""The prose of the pages, taken out of their sources: what an author typed and no run computed.

Markdown files, the Markdown cells, captions, texts and comments of notebooks (percent scripts), the
questions of experiments, and the texts of the modules that write sentences into pages. Code blocks,
displayed formulas and addresses are left out.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SOURCES = ("README.md", "book/*.md", "notebooks/*.py", "experiments/*.yaml")
"""Files whose prose readers see."""
WRITERS = ("answers", "diagnosis", "figures", "pages", "plots", "provenance", "status")
"""Modules of the library that put sentences into pages."""

_NUMBER_ALONE = re.compile(r"[\d\s.,+−–±%()-]*\d[\d\s.,+−–±%()-]*(mm|px|s|min|°|points)?")
_FENCE = re.compile(r"\s*(`{3,}|:{3,}|~{3,})\s*(\S*)")
_STARTS = re.compile(r"^\s*([-*+]|\d+\.|#+|:)\s+")


# --- Markdown -----------------------------------------------------------------------------------


def plain_text(markdown: str) -> str:
    """A passage of Markdown as it reads, on one line; code becomes ``…`` unless it is a number.

    >>> plain_text("It **falls**, see [here](x.md),\\n  by `4.5 mm` with `gamma = 500`.")
    'It falls, see here, by 4.5 mm with ….'
    """
    text = re.sub(r"<!--.*?-->", " ", markdown, flags=re.S)
    text = re.sub(r"\{[\w:+-]+\}`[^`]*`", "…", text)

    def code(match: re.Match[str]) -> str:
        return match[2] if _NUMBER_ALONE.fullmatch(match[2]) else "…"

    text = re.sub(r"(`+)(.+?)\1", code, text, flags=re.S)
    text = re.sub(r"!?\[([^\]]*)\]\([^)\s]*\)", r"\1", text)
    text = re.sub(r"</?[a-zA-Z][^<>]*>|https?://\S+", " ", text)
    text = re.sub(r"\*|\$|(?<!\w)_|_(?!\w)|\\(?=[%$])", "", text)
    return " ".join(text.split())


def markdown_passages(text: str) -> Iterator[str]:
    """Paragraphs, headings, list items and rows of tables, each as :func:`plain_text`.

    Directives (definitions, admonitions, figures) are prose, code blocks and displayed formulas are
    not; of a directive's options the alternative text of a picture is.
    """
    block: list[str] = []
    code, formula = "", False

    def ended() -> Iterator[str]:
        if shown := plain_text("\n".join(block)):
            yield shown
        block.clear()

    for line in text.splitlines():
        fence = _FENCE.match(line)
        if code:
            code = "" if fence and fence[1].startswith(code) and not fence[2] else code
        elif formula or line.strip().startswith("$$"):
            yield from ended()
            formula = line.count("$$") % 2 != formula
        elif fence:
            yield from ended()
            code = fence[1] if fence[1][0] != ":" and fence[2][:1] not in ("{", "") else ""
        elif option := re.match(r"\s*:([a-z-]+):(.*)", line):
            yield from ended()
            if option[1] in ("alt", "caption") and (shown := plain_text(option[2])):
                yield shown
        elif line.lstrip().startswith("|"):
            yield from ended()
            cells = [plain_text(cell) for cell in line.strip().strip("|").split("|")]
            yield " | ".join(cells)
        elif not line.strip():
            yield from ended()
        else:
            if _STARTS.match(line):
                yield from ended()
            block.append(_STARTS.sub("", line))
    yield from ended()


# --- Python and YAML ----------------------------------------------------------------------------


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def code_texts(source: str) -> Iterator[str]:
    """The texts in a piece of Python that are no docstrings; what an f-string computes is ``…``."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.JoinedStr):
            parts = node.values
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.value
        else:
            for child in ast.iter_child_nodes(node):
                if not _is_docstring(child):
                    yield from walk(child)

    # the magics and shell lines of notebooks are no Python
    lines = [re.sub(r"^\s*[%!].*", "", line) for line in source.splitlines()]
    for text in walk(ast.parse("\n".join(lines))):
        yield from markdown_passages(text)


def script_passages(text: str) -> Iterator[str]:
    """The prose of a notebook in percent format: cells of Markdown, captions, texts in code."""
    for cell in re.split(r"^# %%", text, flags=re.M)[1:]:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            lines = [re.sub(r"^# ?", "", line) for line in body.splitlines()]
            yield from markdown_passages("\n".join(lines))
            continue
        if options := re.search(r"mystnb=(\{.*\})", head):
            # the dictionary ends where its braces balance; tags may follow
            found, _ = json.JSONDecoder().raw_decode(options[1])
            yield from map(plain_text, _strings(found))
        yield from code_texts(body)
        # comments are read on the page as well; those of several lines are one passage
        marked = [re.sub(r"^\s*# ?(.*)|.*", lambda m: m[1] or "", x) for x in body.splitlines()]
        yield from markdown_passages("\n".join(marked))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _strings(child)
    elif isinstance(value, str):
        yield value


def read_prose(root: Path) -> dict[str, list[str]]:
    """The passages of every source below a repository, by its path there.

    Raises
    ------
    ValueError
        If a script is no Python or an experiment no YAML; the message names the file.
    """
    paths = [path for pattern in SOURCES for path in sorted(root.glob(pattern))]
    paths += [p for name in WRITERS if (p := root / "selfpose" / f"{name}.py").is_file()]
    found = {}
    for path in paths:
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        try:
            if path.suffix == ".md":
                passages = markdown_passages(text)
            elif path.suffix == ".yaml":
                comments = re.findall(r"^\s*# *(.*)", text, flags=re.M)
                question = str(yaml.safe_load(text).get("question", ""))
                passages = iter([question, *map(plain_text, comments)])
            elif name.startswith("notebooks/"):
                passages = script_passages(text)
            else:
                passages = code_texts(text)
            found[name] = [passage for passage in passages if passage]
        except (SyntaxError, yaml.YAMLError, AttributeError) as error:
            raise ValueError(
                f"{name}: its prose cannot be read: {' '.join(str(error).split())}"
            ) from None
    return found


__all__ = [
    "SOURCES",
    "WRITERS",
    "code_texts",
    "markdown_passages",
    "plain_text",
    "read_prose",
    "script_passages",
]
