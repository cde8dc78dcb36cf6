"""The checks of a site pass a good one, and name what is wrong with each kind of bad one."""

from pathlib import Path

import pytest
from test_provenance import a_record

from experiments.notebooks import repository_root
from book.kit.pages import linked_groups, linked_table, number_table
from book.kit.provenance import provenance_box, write_record_pages
from book.kit.quotes import quoted, record_link
from book.kit.site_checks import (
    link_problems,
    machine_problems,
    read_pages,
    read_site_records,
    record_problems,
    site_problems,
    site_report,
    spelling_problems,
)

FIELD = "metrics.p_mpjpe_mm"
RUNS = [a_record(error=80.0 + 3 * seed, seed=seed) for seed in range(3)]


def write(site: Path, name: str, body: str) -> None:
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    text = f'<!DOCTYPE html><html lang="en"><body>{body}</body></html>'
    (site / name).write_text(text, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages and its records, with every kind of number and link."""
    site = tmp_path / "site"
    write_record_pages(RUNS, site / "_static" / "records")
    groups = linked_groups(
        {"full": RUNS, "one": RUNS[:1], "none": []},
        {"error": FIELD, "seconds": "duration_s"},
        notes={"full": {"changes": "gamma = 500"}},
    )
    single = linked_table({"a": {"share": quoted(RUNS[0], FIELD, scale=0.5), "rest": "none"}})
    computed = number_table({"pose": {"error": 12.5}})
    sentence = f"<p>It falls by {quoted(RUNS[:1], FIELD, against=RUNS[1:])} mm<br>in all.</p>"
    places = '<a href="../index.html#start">up</a> <a href="#here">here</a> <p id="here">1 2</p>'
    parts = [groups.data, single.data, computed.data, sentence, places, record_link(RUNS[1])]
    write(site, "notebooks/page.html", "".join([*parts, provenance_box(RUNS).data]))
    link = '<a id="start" href="notebooks/page.html#here">page</a>'
    write(site, "index.html", f'{link}<a href="https://example.org/#x">out</a>')
    return site


def problems_of_numbers(site: Path) -> list[str]:
    return list(record_problems(read_pages(site), read_site_records(site)))


def edit(site: Path, old: str, new: str, name: str = "notebooks/page.html") -> None:
    text = (site / name).read_text(encoding="utf-8")
    assert old in text
    (site / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_good_site_has_no_problems(site: Path, tmp_path: Path) -> None:
    assert len(read_site_records(site)) == 3
    assert len(read_pages(site)["notebooks/page.html"].quotes) == 9
    assert site_problems(site, root=tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">83.0 ± 3.0 (3)<", ">83.1 ± 3.0 (3)<"),
        (">80.0 (1)<", ">80 (1)<"),
        (">40.0<", ">41.0<"),
        (">-4.5<", ">+4.5<"),
        (">33.4 (1)<", ">33.4 (2)<"),
    ],
)
def test_a_number_that_is_not_its_records_is_found(site: Path, old: str, new: str) -> None:
    edit(site, old, new)
    (problem,) = problems_of_numbers(site)
    assert problem.startswith("notebooks/page.html: shows ")
    assert new.strip("><") in problem
    assert old.strip("><") in problem


def test_a_record_that_changed_under_its_page_is_found(site: Path) -> None:
    (path,) = (site / "_static" / "records").rglob("seed1-*.json")
    path.write_text(path.read_text().replace('"p_mpjpe_mm": 83.0', '"p_mpjpe_mm": 84.0'))
    found = problems_of_numbers(site)
    assert len(found) == 2  # the group's mean, and the change against it
    path.unlink()
    assert any("no record embedded-quick/lifting" in line for line in problems_of_numbers(site))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("<td>81.2</td>", True),
        ("<td><b>about 80</b> mm</td>", True),
        ("<td data-words>81.2 ± 0.3 (3)</td>", True),
        ("<td data-words>47 %</td>", True),
        ("<td data-words>delta = 5, without NF</td>", False),
        ("<td><code>campaign --cell a/b/seed0</code></td>", False),
        ("<td>none</td>", False),
        (f"<td>{record_link(RUNS[0])}</td>", False),
    ],
)
def test_numbers_of_results_tables_need_a_record(site: Path, cell: str, found: bool) -> None:
    table = '<table class="dataframe results"><tbody><tr><th>seed0</th>{}</tr></tbody></table>'
    write(site, "notebooks/other.html", table.format(cell))
    assert len(problems_of_numbers(site)) == found
    write(site, "notebooks/other.html", table.format(cell).replace(" results", ""))
    assert problems_of_numbers(site) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<a href="nowhere.html">x</a>', "leads to no file"),
        ('<a href="../notebooks">x</a>', "leads to no file"),  # a browser on a disk lists a folder
        ('<a href="page.html#gone">x</a>', "no such anchor"),
        ('<a href="#gone">x</a>', "no such anchor"),
        ('<a href="../../outside.html">x</a>', "leaves the site"),
        ('<img src="../_images/gone.png" alt="">', "leads to no file"),
        ('<script src="https://cdn.example.org/a.js"></script>', "from another host"),
        ('<link rel="stylesheet" href="//cdn.example.org/a.css">', "from another host"),
    ],
)
def test_links_that_lead_nowhere_are_found(site: Path, body: str, found: str) -> None:
    assert list(link_problems(site, read_pages(site))) == []
    write(site, "notebooks/other.html", body)
    (problem,) = link_problems(site, read_pages(site))
    assert problem.startswith("notebooks/other.html")
    assert found in problem


@pytest.mark.parametrize(
    "text",
    [
        *("/home/someone/data", "'/root/book/x.py'", r"C:\Users\someone\x", "/tmp/pytest-1"),
        *("http://localhost:8888/lab", "from files.pythonhosted.org", "pip.internal.example"),
        "PLACE/selfpose/pages.py",
    ],
)
def test_traces_of_a_machine_are_found(site: Path, monkeypatch, text: str) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://who:secret@pip.internal.example/simple")
    assert list(machine_problems(site, places=["/opt/place"])) == []
    write(site, "book/other.html", f"<p>{text.replace('PLACE', '/opt/place')}</p>")
    found = list(machine_problems(site, places=["/opt/place"]))
    assert found
    assert all(line.startswith("book/other.html: holds") for line in found)
    assert not any("secret" in line for line in found)


@pytest.mark.parametrize(
    "text",
    [
        *("https://example.org/home/someone", "DATA_ROOT=~/mocap", "DATA_ROOT=/folder/of/motion"),
        *("results/mnt/x", "notebooks/home/page"),
    ],
)
def test_other_paths_are_no_traces(site: Path, text: str) -> None:
    write(site, "book/other.html", f"<p>{text}</p>")
    assert list(machine_problems(site)) == []


def test_misspelt_words_are_found_but_for_the_listed_ones(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.md").write_text("Two seperate joints, to and fro.\n")
    (tmp_path / "pyproject.toml").write_text('[tool.codespell]\nignore-words-list = "fro"\n')
    (problem,) = spelling_problems(tmp_path)
    assert "page.md:1" in problem
    assert "separate" in problem


def test_the_books_own_words_are_spelt_right() -> None:
    assert spelling_problems(repository_root()) == []


def test_the_report_has_every_page_and_the_sum_of_all_files(site: Path) -> None:
    report = site_report(site, seconds=12.34)
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert f"{total / 1e6:.2f} MB  the site, 8 files" in report
    assert "notebooks/page.html" in report
    assert "12.3 s" in report


def test_a_folder_without_a_site_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no index\.html"):
        site_problems(tmp_path, root=tmp_path)
