"""Numbers typed into prose: found wherever readers see them, and held against their sources."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from selfpose.config import Config
from selfpose.given_numbers import (
    GIVEN,
    link_given_numbers,
    named_value,
    prose_number_problems,
    read_given,
)
from selfpose.notebooks import repository_root
from selfpose.prose import markdown_passages, plain_text, read_prose, script_passages
from selfpose.prose_numbers import number_value, numbers_in
from selfpose.site import tell_duration
from selfpose.site_checks import site_problems

ROOT = repository_root()
RECORD = "results/embedded-quick/lifting/selfpose/seed0/record.json"


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def problems(root: Path, page: str = "", declared: str = "") -> list[str]:
    """What is wrong with a book of one page, and a file of declarations for it."""
    write(root, "book/page.md", page)
    if declared:
        write(root, GIVEN, "book/page.md:\n" + declared)
    return list(prose_number_problems(root))


# --- the book itself ----------------------------------------------------------------------------


def test_no_number_of_the_book_is_typed_by_hand() -> None:
    assert list(prose_number_problems(ROOT)) == []


def test_every_page_is_looked_at() -> None:
    prose = read_prose(ROOT)
    pages = {"README.md"}
    for folder, suffix in (("book", ".md"), ("notebooks", ".py"), ("experiments", ".yaml")):
        pages |= {f"{folder}/{p.name}" for p in (ROOT / folder).iterdir() if p.suffix == suffix}
    assert pages <= set(prose)
    assert all(prose[page] for page in pages)


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "notebooks").glob("*.py")))
def test_a_result_typed_into_any_cell_of_prose_is_found(page: str) -> None:
    script = (ROOT / "notebooks" / page).read_text(encoding="utf-8")
    first, *cells = script.split("# %% [markdown]\n")
    planted = [f"# It reaches {k}.739 mm.\n#\n{cell}" for k, cell in enumerate(cells)]
    found = [p for p in script_passages("# %% [markdown]\n".join([first, *planted])) if ".739" in p]
    assert cells
    assert found == [f"It reaches {k}.739 mm." for k in range(len(cells))]


# --- where numbers are looked for ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("It errs by 4.5 mm.", "# Only 3 % wrong", "- one\n- it takes 40 s", "> by 12\u00a0px"),
        *("| run | error |\n| --- | --- |\n| a | 81.2 |", "| a | 81 mm |", "Term\n: misses 5 mm"),
        *("```{admonition} Note\nIt takes two minutes.\n```", ":::{tip}\nBy 9 %.\n:::"),
        *('```{figure} a.svg\n:alt: "Falls by 12 mm"\n:name: fig\n```', "$0.25$ of them"),
        *(
            "**81** mm",
            "`81.2` mm",
            "$81.2$ mm",
            "[81.2](x.md)",
            "three times as good",
            "it halves",
        ),
        *("81 ± 2 (3)", "about a\nminute", "half the error", "a third of it", "twofold gain"),
        *("```sh\nmake book\n```\nIt takes 3 hours.", "$$\nx\n$$ (eq-x)\nIt is 4 cm off."),
    ],
)
def test_numbers_with_a_unit_are_found(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, f"# Page\n\n{text}\n\nNothing here.\n")
    assert problem.startswith("book/page.md: ")
    assert "\n" not in problem
    assert GIVEN in problem


@pytest.mark.parametrize(
    "text",
    [
        *("```sh\nsleep 5 s\n```", "```text\n81.2 mm\n```", "$$\n0.5 \\, mm\n$$", "`gamma = 0.5`"),
        *("[page](a_4.5_mm.md)", "https://example.org/4.5", "Python 3.11", "arXiv 2304.02349"),
        *(
            "17 joints in 2D",
            "{cite:p}`a2.5`",
            "the three poses",
            "in some minutes",
            "a second one",
        ),
        *(
            "```{bibliography}\n:all:\n```",
            "<img width='4.5 mm'>",
            "version 1.0.4",
            "take it twice",
        ),
    ],
)
def test_what_is_no_number_of_a_result_is_left_alone(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, f"# Page\n\n{text}\n") == []


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("# %% [markdown]\n# It errs by 4.5 mm.\n", True),
        ('# %%\nMarkdown("It errs by 4.5 mm.")\n', True),
        ('# %%\nMarkdown(f"The {name} errs by 4.5 mm.")\n', True),
        ("# %%\n# It errs\n# by 4.5 mm.\nx = 1\n", True),
        ('# %% mystnb={"figure": {"caption": "Errs by 4.5 mm."}} tags=["a"]\nx = 1\n', True),
        ('# %%\nMarkdown(f"It errs by {error:.1f} mm.")\n', False),
        ("# %%\nx = 4.5\n", False),
        ("# %%\ndef f():\n    '''Moves by 4.5 mm.'''\n    return 1\n", False),
        ("# %%\n%time x = '4.5 mm'\n", False),
    ],
)
def test_notebooks_are_read_by_their_cells(tmp_path: Path, cell: str, found: bool) -> None:
    write(tmp_path, "notebooks/01_page.py", cell)
    assert len(problems(tmp_path)) == found


def test_questions_and_modules_that_write_sentences_are_read(tmp_path: Path) -> None:
    write(tmp_path, "experiments/a.yaml", "name: a\nquestion: Why 4.5 mm?\n# Costs 3 %.\n")
    write(tmp_path, "selfpose/answers.py", '"""At 5 %."""\nx = f"It gains {a} of 7.5 mm."\n')
    write(tmp_path, "selfpose/other.py", 'x = "4.5 mm"\n')
    found = problems(tmp_path)
    assert [line.partition(":")[0] for line in found] == [
        *("experiments/a.yaml",) * 2,
        "selfpose/answers.py",
    ]


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "notebooks/01_page.py", "# %%\nx = (\n")
    with pytest.raises(ValueError, match=r"notebooks/01_page\.py: its prose"):
        problems(tmp_path)


@drawn(st.decimals(min_value=0, max_value=9999, places=2), st.sampled_from(["mm", "%", "px", "s"]))
def test_any_number_before_a_unit_is_found_whole(number, unit) -> None:
    for text in (f"{number}", f"{int(number)}"):
        passage = f"It is {text} {unit} there, 17 joints in all"
        ((start, end),) = numbers_in(passage)
        assert passage[start:end] == text
        assert number_value(passage[start:end]) == float(text)


def test_the_sentence_is_named_and_no_other(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "First of all. It errs by\n4.5 mm. And then more.\n")
    assert "“It errs by 4.5 mm.”" in problem


def test_tables_are_read_by_rows() -> None:
    table = "| a | b |\n| --- | --- |\n| `x` | [it](y.md) |"
    assert list(markdown_passages(table))[-1] == "… | it"


# --- declarations -------------------------------------------------------------------------------

PAGE = "The weight λ is 0.1, as it was. Errors are small.\n"
TEXT = "  - text: weight λ is 0.1\n"


@pytest.mark.parametrize(
    "source",
    [
        *("parameter: lam", "parameter: quick.lam", "parameter: paper.lam", "definition: so it is"),
        *("parameter: weight_Omega\n    over: selfpose.weight_Omega\n    times: 0.1",),
        *("parameter: [lam]", "parameter: selfpose.camera.REFERENCE_LENGTH_2D", "example: made up"),
    ],
)
def test_a_declared_number_may_stand(tmp_path: Path, source: str) -> None:
    assert problems(tmp_path, PAGE, f"{TEXT}    {source}\n") == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("parameter: gamma", "says 0.1, but gamma is 500"),
        ("parameter: lam\n    times: 100", "says 0.1, but lam is 10"),
        ("parameter: lamm", "nothing named lamm"),
        ("parameter: preset", "nothing named preset"),
        ("parameter: selfpose.camera.NOTHING", "nothing named selfpose.camera.NOTHING"),
        ("parameter: selfpose.nothing.X", "nothing named selfpose.nothing.X"),
        ("parameter: [lam, gamma]", "holds 1 numbers and is given 2 names"),
        ("record: results/x\n    field: a", "no record"),
        ("paper: sosa2023self", "references.bib"),
    ],
)
def test_a_declaration_is_held_against_its_source(tmp_path: Path, source: str, said: str) -> None:
    (problem,) = problems(tmp_path, PAGE, f"{TEXT}    {source}\n")
    assert problem.startswith("book/page.md: 'weight λ is 0.1'")
    assert said in problem


def test_a_changed_number_in_the_page_is_found(tmp_path: Path) -> None:
    declared = f"{TEXT}    parameter: lam\n"
    found = problems(tmp_path, PAGE.replace("0.1", "0.2"), declared)
    assert len(found) == 2  # typed by hand, and a declaration of what is no longer there
    assert "'0.2' is typed by hand" in found[0]
    assert "no longer says 'weight λ is 0.1'" in found[1]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (f"{TEXT}    definition: a\n  - text: Errors are small\n    definition: b\n", "no number"),
        (f"{TEXT}    definition: a\nbook/gone.md:\n{TEXT}    definition: b\n", "no such page"),
    ],
)
def test_idle_declarations_are_found(tmp_path: Path, declared: str, said: str) -> None:
    (problem,) = problems(tmp_path, PAGE, declared)
    assert said in problem


def test_words_that_stand_twice_cover_too_much(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, f"{PAGE}\n{PAGE}", f"{TEXT}    parameter: lam\n")
    assert "2 times; give more words" in problem


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (f"{TEXT}", "say where it comes from by one of parameter"),
        (f"{TEXT}    paper: a\n    example: b\n", "say where it comes from"),
        (f"{TEXT}    definition: ''\n", "must say from where"),
        (f"{TEXT}    definition: true\n", "must say from where"),
        (f"{TEXT}    definition: a\n    times: 2\n", "unknown key of the definition"),
        (f"{TEXT}    record: a\n", "needs `field`"),
        (f"{TEXT}    record: a\n    field: b\n    form: wide\n", "form"),
        ("  - text: is 0.1\n    definition: a\n", "give more of the words"),
        ("  - definition: a\n", "needs `text`"),
        ("  - weight\n", "is no declaration"),
        ("  text: a\n", "a list of declarations"),
        ("  - [", "no YAML"),
    ],
)
def test_broken_declarations_are_refused(tmp_path: Path, declared: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        problems(tmp_path, PAGE, declared)
    assert "\n" not in str(error.value)


def test_a_number_of_a_record_has_to_be_what_the_record_holds(tmp_path: Path) -> None:
    record = json.loads((ROOT / RECORD).read_text(encoding="utf-8"))
    error = record["metrics"]["p_mpjpe_mm"]
    write(tmp_path, "run/record.json", json.dumps(record))
    source = "    record: run/record.json\n    field: metrics.p_mpjpe_mm\n"
    for shown, digits in ((f"{error:.1f}", 1), (f"{error:.0f}", 0)):
        text = f"lifting errs by {shown} mm"
        declared = f"  - text: {text}\n{source}    digits: {digits}\n"
        assert problems(tmp_path, f"Here {text}.\n", declared) == []
    text = f"lifting errs by {error + 0.1:.1f} mm"
    (problem,) = problems(tmp_path, f"Here {text}.\n", f"  - text: {text}\n{source}")
    assert f"its record says {error:.1f}" in problem
    (problem,) = problems(tmp_path, f"Here {text}.\n", f"  - text: {text}\n{source.rstrip()}_x\n")
    assert "holds no metrics.p_mpjpe_mm_x" in problem


def test_a_number_of_a_record_leads_there_in_the_page(tmp_path: Path) -> None:
    record = json.loads((ROOT / RECORD).read_text(encoding="utf-8"))
    error = f"{record['metrics']['p_mpjpe_mm']:.1f}"
    write(tmp_path, "run/record.json", json.dumps(record))
    given = f"  - text: an error of {error} mm\n    record: run/record.json\n"
    write(tmp_path, GIVEN, f"book/a.md:\n{given}    field: metrics.p_mpjpe_mm\n")
    page = f"It has an error\nof {error} mm, and {error} mm again."
    declared = read_given(tmp_path)
    linked = link_given_numbers(page, declared, page="book/a.md", root=tmp_path)
    assert linked.startswith('It has an error\nof <a class="record"')
    assert f">{error}</a> mm, and {error} mm again." in linked
    assert plain_text(linked) == plain_text(page)
    assert link_given_numbers(page, declared, page="book/b.md", root=tmp_path) == page


def test_names_stand_for_what_the_library_holds(tmp_path: Path) -> None:
    def value(name: str) -> float:
        return named_value(name, root=ROOT, page="notebooks/11_own_body.py")

    assert value("steps") == Config().steps
    assert value("standard.steps") == Config.for_run(preset="standard").steps
    assert value("paper.weight_D") == Config.for_run(variant="paper").weight_D
    assert value("experiments/sweep_delta/delta_5.delta") == 5.0
    assert value("selfpose.data.studio.CameraSpread.elevation_range.1") == 40.0
    assert value("page.HEIGHT") == 72.0
    with pytest.raises(ValueError, match=r"page\.NOTHING"):
        value("page.NOTHING")


def test_papers_have_to_stand_in_the_bibliography(tmp_path: Path) -> None:
    write(tmp_path, "book/references.bib", "@article{known2020a,\n title={A}}\n")
    assert problems(tmp_path, PAGE, f"{TEXT}    paper: known2020a\n") == []
    (problem,) = problems(tmp_path, PAGE, f"{TEXT}    paper: known2020\n")
    assert "no known2020 in" in problem


def test_without_declarations_there_are_none(tmp_path: Path) -> None:
    assert read_given(tmp_path) == []
    assert problems(tmp_path) == []


# --- the site -----------------------------------------------------------------------------------


def test_the_check_of_a_site_finds_numbers_of_its_sources(tmp_path: Path) -> None:
    write(tmp_path, "site/index.html", "<p>nothing</p>")
    assert site_problems(tmp_path / "site", root=tmp_path) == []
    write(tmp_path, "book/page.md", "It errs by 4.5 mm.\n")
    (problem,) = site_problems(tmp_path / "site", root=tmp_path)
    assert "typed by hand" in problem


@pytest.mark.parametrize(("seconds", "shown"), [(63.4, "63 s"), (300.0, "5 min")])
def test_a_page_tells_how_long_its_own_run_took(seconds: float, shown: str) -> None:
    paragraph = "# Page\n\n**Time and device:** seconds."
    cells = [nbformat.v4.new_markdown_cell(text) for text in (paragraph, "more")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert tell_duration(notebook).cells[0].source == paragraph
    notebook.metadata["papermill"] = {"duration": seconds}
    told = tell_duration(notebook)
    assert told.cells[0].source.startswith(paragraph)
    assert shown in told.cells[0].source
    assert told.cells[1].source == "more"
