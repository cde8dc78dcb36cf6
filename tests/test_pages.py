"""Tables: numbers computed on a page, and numbers of records that lead back to them."""

import re
import statistics

import pytest
from test_provenance import a_record, quotes_in

from book.kit.pages import linked_groups, linked_table, number_frame, number_table
from book.kit.quotes import quote_from_attributes, quoted, record_link, record_name

FIELD = "metrics.p_mpjpe_mm"


def test_numbers_get_their_digits_and_what_is_absent_a_dash() -> None:
    frame = number_frame({"a": {"x": 1.26, "n": 3}, "b": {"x": None, "y": float("nan")}}, digits=1)
    assert frame.loc["a"].tolist() == ["1.3", "3", "–"]
    assert frame.loc["b"].tolist() == ["–", "–", "–"]
    assert "1.3" in number_table({"a": {"x": 1.26}}).data


def test_a_row_of_a_linked_table_quotes_its_records() -> None:
    run = a_record(error=81.26)
    table = linked_table({"all <terms>": {"error": quoted(run, FIELD), "none": None}}, first="run")
    assert "81.3" in table.data
    assert "all &lt;terms&gt;" in table.data
    assert 'class="dataframe results"' in table.data
    assert f"{record_name(run)}.html#{FIELD}" in table.data


def test_heads_and_cells_of_a_column_are_aligned_alike() -> None:
    linked = linked_table({"a": {"error": quoted(a_record(error=81.26), FIELD), "why": "late"}})
    computed = number_table({"a": {"P-MPJPE": 1.26, "why": "late"}, "b": {"P-MPJPE": None}})
    for table, number in ((linked.data, "error"), (computed.data, "P-MPJPE")):
        heads = re.findall(r'<th scope="col"(.*?)>(.*?)</th>', table)
        kinds = {re.sub("<.*?>", "", title): kind for kind, title in heads}
        assert kinds == {"": "", number: ' class="number"', "why": ""}
        cells = re.findall(r"<td(.*?)>", table)
        assert cells == [kinds[number], ""] * (len(cells) // 2)


def test_bare_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'error' holds the bare number 81\.2"):
        linked_table({"full": {"error": 81.2}})


def test_groups_of_runs_show_mean_and_spread_and_list_their_records() -> None:
    groups = {
        "full": [a_record(error=e, seed=k) for k, e in enumerate((80.0, 82.0, 90.0))],
        "one": [a_record(error=70.0)],
        "missing": [],
    }
    columns = {"P-MPJPE, mm": FIELD, "seconds": "duration_s"}
    notes = {"full": {"changes": "gamma = 500"}, "missing": {"changes": "nothing"}}
    table = linked_groups(groups, columns, first="variant", digits={"seconds": 0}, notes=notes).data
    known = {record_name(r): r for records in groups.values() for r in records}
    shown = [text for attributes, text in quotes_in(table)]
    deviation = statistics.stdev((80.0, 82.0, 90.0))
    assert shown == [f"84.0 ± {deviation:.1f} (3)", "33 ± 0 (3)", "70.0 (1)", "33 (1)"]
    for attributes, text in quotes_in(table):
        assert quote_from_attributes(attributes, known).text == text
    for record in known.values():
        assert record_link(record, f"seed {record['seed']}") in table
    last = table[table.index(">missing<") :]
    assert last.count(">–</td>") == len(columns) + 1
    assert "<td data-words>gamma = 500</td>" in table
