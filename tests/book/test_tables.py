"""Tables, numbers of records, and links, pages and commands that lead back to the records."""

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from small_book import a_record

from book.kit.provenance import (
    changed_parameters,
    record_link,
    record_links,
    record_name,
    record_page,
    rerun_command,
    write_record_pages,
)
from book.kit.tables import linked_groups, number_table, quoted, show_source
from experiments.records import published_records
from selfpose.cli import parse_overrides
from selfpose.config import Config

FIELD = "metrics.p_mpjpe_mm"


def test_numbers_get_their_digits_and_what_is_absent_a_dash() -> None:
    table = number_table(
        {"a <b>": {"x": 1.26, "n": 3, "why": "late"}, "c": {"x": None, "y": float("nan")}},
        first="pose",
    ).data
    cells = re.findall(r'<td\s+class="([^"]*)"\s*>(.*?)</td>', table)
    assert [text for _, text in cells] == ["1.3", "3", "late", "–", "–", "–", "–", "–"]
    assert ["number" in kind for kind, _ in cells] == [True, True, False, True] * 2
    assert "a &lt;b&gt;" in table
    assert ">pose<" in table


def test_one_record_is_quoted_plainly_and_several_with_their_spread() -> None:
    runs = [a_record(error=80.0), a_record(error=83.0, seed=1)]
    assert quoted(runs[0], FIELD, digits=2) == "80.00"
    assert quoted(runs, FIELD) == "81.5 ± 2.1 (2)"
    assert quoted(runs[:1], FIELD) == "80.0 (1)"
    assert quoted(runs, "parameters.networks.image_size") == "64 ± 0 (2)"
    assert quoted(runs[0], "device") == "cpu (x86_64, 1 threads)"
    assert quoted(runs[0], "metrics.nothing") == quoted([], FIELD) == "–"


def test_rows_and_tables_link_their_records() -> None:
    runs = [a_record(error=80.0), a_record(error=83.0, seed=1)]
    table = linked_groups({"both": runs, "none": []}, {"P-MPJPE, mm": FIELD}).data
    assert "81.5 ± 2.1 (2)" in table
    assert all(record_link(run, f"seed {run['seed']}") in table for run in runs)
    table = number_table({"all": {"error": 80.0}}, records=runs[:1]).data
    assert record_links(runs[:1]) in table


def test_a_record_is_named_by_what_it_says_not_where_it_lay() -> None:
    run = a_record(experiment="../mine/x")
    assert record_name({**run, "path": "elsewhere"}) == record_name(run)
    assert record_name({**run, "seed": 1}) != record_name(run)
    assert "/" not in record_name(run)


def test_the_command_makes_the_very_parameters_again() -> None:
    for record in published_records():
        words = shlex.split(rerun_command(record))
        options = dict(zip(words[2::2], words[3::2], strict=True))
        settings = tuple(word for flag, word in pairwise(words) if flag == "--set")
        config = Config.for_run(
            preset=options["--preset"],
            variant=options["--variant"],
            overrides=parse_overrides(settings),
            seed=int(options["--seed"]),
            input=options["--input"],
        )
        assert config.to_dict() == record["parameters"]
        assert options["--label"] == record["variant"]
        assert len(settings) == len(changed_parameters(record))


def test_pages_of_records_hold_every_value(tmp_path: Path) -> None:
    record = a_record()
    write_record_pages([record], tmp_path)
    name = record_name(record)
    assert json.loads((tmp_path / f"{name}.json").read_text()) == record
    page = (tmp_path / f"{name}.html").read_text()
    assert page == record_page(record)
    assert "metrics.p_mpjpe_mm" in page
    assert ".venv/bin/selfpose train --data embedded --input poses" in page


def test_sources_are_shown_without_their_docstring() -> None:
    shown = show_source(quoted, Config.with_).data
    assert shown.startswith("```python\n# book/kit/tables.py\ndef quoted(")
    assert "def with_(" in shown
    assert '"""' not in shown


@pytest.mark.parametrize("run", [{"commit": None, "commit_dirty": None}, {"commit_dirty": True}])
def test_a_record_without_a_clean_commit_says_so(run: dict) -> None:
    page = record_page(a_record(**run))
    assert ("no known commit" in page) or ("commit 0123456 with changes" in page)
