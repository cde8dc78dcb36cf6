"""Answers of experiments: their arithmetic, where records come from, what is said without any."""

import html
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from book.kit.answers import (
    MEASURES,
    Evidence,
    ablation_figure,
    answer_sentence,
    answer_table,
    changes_of,
    describe,
    is_clear,
    records_for,
    welch_p_value,
)
from experiments.campaign import choose_runs
from selfpose.cli import campaign
from selfpose.data.source_names import GENERATED
from book.kit.quotes import quote_from_attributes, record_name
from book.kit.site_checks import read_page
from experiments.workflow import Experiment, campaign_command, read_experiments


def experiment(over: str = "", input_: str = "poses", **more: Any) -> Experiment:
    return Experiment(
        name="x",
        question="Why?",
        base={"input": input_},
        variants={"full": {"delta": 10.0}, "b": {"delta": 5.0}, "c": {"delta": 20.0}},
        presets={"quick": {"seeds": [0]}, "standard": {"seeds": [0, 1]}},
        over=over,
        **more,
    )


def record(variant: str, error: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    delta = {"full": 10.0, "b": 5.0, "c": 20.0}.get(variant, 0.0)
    metrics = {
        "p_mpjpe_mm": error,
        "error_2d_percent_side_tolerant": error / 10,
        "facing_right_percent": 100 - error,
    }
    return {
        **{"experiment": "x", "variant": variant, "seed": seed, "dataset": "embedded"},
        **{"preset": "quick", "input": "poses", "metrics": metrics},
        "parameters": {"delta": delta, "lift_steps": 1500, "flow_steps": 1000},
        **more,
    }


VARIANTS_OF_X = {"full": 10.0, "b": 5.0, "c": 20.0}
THREE = [record("full", 40.0), record("b", 50.0), record("c", 38.0)]


def evidence(records: list[dict[str, Any]], **options: Any) -> Evidence:
    return records_for(experiment(**options), records, [], data="embedded", preset="quick")


def plain(marked: str) -> str:
    """What a reader sees of a text with links."""
    return html.unescape(re.sub(r"<[^>]+>", "", marked))


def table_of(found: Evidence, **options: Any) -> dict[str, dict[str, str]]:
    """An answer's table as a reader sees it: variant, then column."""
    rows = [
        [plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", answer_table(found, **options).data)
    ]
    return {name: dict(zip(rows[0][1:], cells, strict=True)) for name, *cells in rows[1:]}


def test_this_builds_records_go_first_and_others_are_named() -> None:
    here = [record("full", 40.0), record("b", 50.0)]
    committed = [
        record("full", 30.0, preset="standard"),
        record("b", 31.0, preset="standard"),
        *(record(v, 20.0, dataset="cmu", preset="standard") for v in ("full", "b", "c")),
        *(record(v, 35.0) for v in ("full", "b", "c")),
    ]
    item = experiment()
    found = records_for(item, here, committed, data="embedded", preset="quick")
    assert (len(found.records), found.committed) == (2, False)
    # one variant compares nothing; the same data go first, then the fuller set
    found = records_for(item, here[:1], committed, data="embedded", preset="quick")
    assert found.committed
    assert (found.data, found.preset, len(found.records)) == ("embedded", "quick", 3)
    found = records_for(item, [], committed[:2], data="embedded", preset="quick")
    assert "committed records, embedded data, preset `standard`" in answer_sentence(found)
    found = records_for(item, [], committed[:5], data="cmu", preset="quick")
    assert (found.data, found.preset) == ("cmu", "standard")
    found = records_for(item, here[:1], committed[:1], data="embedded", preset="quick")
    assert not found.committed


def test_records_of_other_experiments_and_variants_do_not_count() -> None:
    strangers = [record("full", 1.0, experiment="y"), record("gone", 1.0)]
    assert evidence([*THREE, *strangers]).records == evidence(THREE).records


def test_the_sentence_compares_with_the_first_variant() -> None:
    said = plain(answer_sentence(evidence(THREE)))
    assert said.startswith("P-MPJPE is 40.0 mm with `full`; worst with b (+10.0 mm)")
    assert "best with c (-2.0 mm)" in said
    assert "one seed behind each number" in said
    worse = answer_sentence(evidence([record("full", 40.0), record("b", 50.0), record("c", 41.0)]))
    assert "no variant makes it better" in worse
    pair = plain(answer_sentence(evidence(THREE[:2])))
    assert "; worse with b (+10.0 mm)." in pair
    assert "Missing: `c`; `.venv/bin/selfpose campaign --experiments x" in pair


@pytest.mark.parametrize("input_", ["poses", "images"])
@pytest.mark.parametrize("over", ["", "delta"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_every_number_of_an_answer_can_be_made_again_from_its_records(
    seeds: int, over: str, input_: str, tmp_path: Path
) -> None:
    chosen = [
        record(r["variant"], r["metrics"]["p_mpjpe_mm"] + 1.3 * k, k)
        for r in THREE
        for k in range(seeds)
    ]
    found = evidence(chosen, over=over, input_=input_)
    sentence = answer_sentence(found)
    (tmp_path / "page.html").write_text(f"{sentence}\n{answer_table(found).data}")
    page = read_page(tmp_path / "page.html")
    assert not page.loose
    known = {record_name(r): r for r in chosen}
    for attributes, text in page.quotes:
        assert quote_from_attributes(attributes, known).text == text
    measured = re.findall(r"[+-]?\d+\.\d+(?= (?:mm|%|points))", plain(sentence))
    assert measured
    assert set(measured) <= {text for _, text in page.quotes}
    # a row of several runs lists them all
    assert len(re.findall('class="record-link"', answer_table(found).data)) == len(chosen)


def test_seeds_say_whether_a_difference_is_one() -> None:
    seeds = [
        record(variant, error + jitter, seed)
        for variant, error in (("full", 40.0), ("b", 50.0), ("c", 40.4))
        for seed, jitter in enumerate((-1.0, 0.0, 1.0))
    ]
    said = plain(answer_sentence(evidence(seeds)))
    assert "`b` (+10.0 mm, beyond the spread of seeds)" in said
    assert "3 seeds behind each number" in said
    assert table_of(evidence(seeds))["b"] == {
        "changes": "delta = 5.0",
        "P-MPJPE, mm": "50.0 ± 1.0 (3)",
        "records": "(seed 0, seed 1, seed 2)",
    }
    assert "3 seeds behind each number, those of a row on the same data.)" in said
    fewer = answer_sentence(evidence(seeds[1:]))
    assert "2 to 3 seeds" in fewer
    assert "where there are fewer than 3, an anecdote" in fewer
    assert "spread of seeds" not in fewer
    assert is_clear([1.0, 1.1], [2.0, 3.0, 4.0]) is None


@given(
    st.lists(st.floats(-9, 9), min_size=2, max_size=6),
    st.lists(st.floats(-9, 9), min_size=2, max_size=6),
)
def test_the_p_value_is_that_of_scipy(a: list[float], b: list[float]) -> None:
    assume(max(np.var(a), np.var(b)) > 1e-6)
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert math.isclose(welch_p_value(a, b), expected, rel_tol=1e-4, abs_tol=1e-9)


def test_runs_that_agree_to_the_last_digit_differ_or_do_not() -> None:
    assert welch_p_value([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert welch_p_value([1.0, 1.0], [2.0, 2.0]) == 0.0


def test_who_looks_at_more_variants_needs_a_larger_difference() -> None:
    a, b = [1.0, 2.0, 3.0], [4.0, 5.0, 6.5]
    assert welch_p_value(a, b) < 0.05
    assert is_clear(a, b)
    assert is_clear(a, b, comparisons=12) is False
    with pytest.raises(ValueError, match="comparisons must be"):
        is_clear(a, b, comparisons=0)


def test_records_of_other_parameters_are_left_out_and_counted() -> None:
    same = [record("full", 40.0, parameters={"delta": 10.0, "steps": 5, "seed": 0})]
    same += [record("b", 50.0, parameters={"delta": 5.0, "steps": 5, "seed": 3}, seed=3)]
    others = [
        record("b", 1.0, parameters={"delta": 5.0, "steps": 9, "seed": 0}),  # other steps
        record("b", 1.0, parameters={"delta": 7.0, "steps": 5, "seed": 0}),  # another b
        record("c", 1.0, parameters={"delta": 20.0, "seed": 0}),  # of an older version
    ]
    found = evidence([*others, *same])
    assert list(found.records) == same
    assert "3 more records of other parameters left out." in answer_sentence(found)
    assert "left out" not in answer_sentence(evidence(same))
    # where there are several sets, the one with more variants counts
    steps = {"steps": 9}
    longer = [record(v, 9.0, parameters={"delta": d, **steps}) for v, d in VARIANTS_OF_X.items()]
    assert list(evidence([*same, *longer]).records) == longer
    files = [{**r, "data_files": "other"} for r in same[1:]]
    assert evidence([same[0], *files]).left_out == 1


def test_two_versions_of_a_whole_variant_are_not_pooled() -> None:
    item = Experiment(
        name="x",
        question="Why?",
        base={"input": "images"},
        variants={"full": {}, "paper": {}},
        presets={"quick": {"seeds": [0]}},
    )
    full = record("full", 40.0, parameters={"channels": 3, "steps": 5})
    paper = [
        record("paper", 50.0, k, parameters={"channels": 1, "lr_phi": rate, "steps": 5})
        for k, rate in enumerate((1.0, 2.0, 2.0))
    ]
    full["parameters"]["lr_phi"] = 3.0
    found = records_for(item, [full, *paper], [], data="embedded", preset="quick")
    assert list(found.records) == [full, *paper[1:]]


def test_a_variant_of_the_method_is_named() -> None:
    assert describe({}, "paper") == "the variant paper"
    assert describe({"delta": 5.0}, "paper") == "the variant paper, delta = 5.0"
    assert describe({}, "selfpose") == describe({}, "full") == "nothing"
    (row,) = [e for e in read_experiments() if e.name == "ablation_images"]
    found = records_for(row, [], [], data="embedded", preset="quick")
    assert changes_of(found, "paper") == "the variant paper"


def parsed(command: str) -> dict[str, Any]:
    """What the command line makes of it."""
    program, name, *words = command.split()
    assert (program, name) == (".venv/bin/selfpose", "campaign")
    return campaign.make_context(name, words).params


@pytest.mark.parametrize(("preset", "data"), [("quick", "embedded"), ("standard", "cmu")])
def test_printed_commands_make_the_runs_that_are_missing(
    preset: str, data: str, tmp_path: Path
) -> None:
    for item in read_experiments():
        found = records_for(item, [], [], data=data, preset=preset)
        one = campaign_command(item, preset=preset, data=data, variants=list(item.variants)[:1])
        commands = [found.command, one]
        for number, command in enumerate(commands):
            options = parsed(command.replace("FOLDER", str(tmp_path)))
            names = [name for name in options["experiments"].split(",") if name]
            choice = {"preset": options["preset"], "data": options["data"]}
            runs = choose_runs(**choice, experiments=names, cells=options["cells"])
            assert {run.experiment for run in runs} == {item.name}
            assert ("--data-root" in command) == (choice["data"] not in GENERATED)
            if preset in item.presets and number == 0:
                assert {run.variant for run in runs} == set(item.variants)


def test_a_sweep_is_read_in_the_order_of_its_numbers() -> None:
    swept = evidence(THREE, over="delta")
    assert swept.variants == ["b", "full", "c"]
    said = plain(answer_sentence(swept))
    assert said.startswith("P-MPJPE is best at `delta` = 20 (38.0 mm) and worst at 5 (50.0 mm).")
    assert "It falls all along as `delta` grows." in said
    (ax,) = ablation_figure(swept).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "10", "20"]
    line = max(ax.lines, key=lambda drawn: len(drawn.get_xdata()))
    assert list(line.get_ydata()) == [50.0, 40.0, 38.0]


def test_pictures_are_judged_by_three_measures() -> None:
    found = evidence(THREE, input_="images")
    said = plain(answer_sentence(found))
    assert said.startswith("2D error, sides forgiven is 4.00 % with `full`")
    assert "Facing right: best 62.0 % (`c`), worst 50.0 % (`b`)." in said
    assert len(ablation_figure(found).axes) == len(MEASURES["images"]) == 3


def test_missing_records_are_told_with_the_command_that_makes_them() -> None:
    nothing = evidence([])
    assert answer_sentence(nothing) == (
        "**Missing**: none of the 3 variants has records. `.venv/bin/selfpose campaign "
        "--experiments x --preset quick --data embedded` makes them."
    )
    assert "missing" in ablation_figure(nothing).texts[0].get_text()
    assert set(table_of(nothing)) == {"full", "b", "c"}
    assert table_of(nothing)["b"]["P-MPJPE, mm"] == "–"
    abroad = records_for(experiment(data=("cmu",)), [], [], data="embedded", preset="smoke")
    assert "--preset quick --data cmu --data-root FOLDER" in answer_sentence(abroad)
    partly = evidence(THREE[:1])
    assert "only `full` of the 3 variants" in answer_sentence(partly)
    marks = [text.get_text().strip() for text in ablation_figure(partly).axes[0].texts]
    assert marks == ["missing", "missing"]


@pytest.mark.parametrize("over", ["", "delta"])
def test_variants_without_runs_keep_their_place(over: str) -> None:
    found = evidence(THREE[1:], over=over)
    assert set(found.variants) == {"full", "b", "c"}
    if over:
        assert found.position("full") == 10.0
    ablation_figure(found)


def test_the_row_of_the_presets_own_number_says_it() -> None:
    (item,) = [e for e in read_experiments() if e.name == "sweep_unpaired"]
    found = records_for(item, [], [], data="embedded", preset="quick")
    assert changes_of(found, "all") == "n_unpaired = 8192, as in the preset"
    assert changes_of(found, "poses_100") == "n_unpaired = 100"
    assert table_of(found)["poses_100"]["changes"] == "n_unpaired = 100"


def test_a_table_of_other_columns_says_what_changes_all_the_same() -> None:
    shown = table_of(
        evidence(THREE), columns={"error": "metrics.p_mpjpe_mm", "none": "a.b"}, digits=2
    )
    assert list(shown["c"]) == ["changes", "error", "none", "records"]
    assert shown["c"]["error"] == "38.00 (1)"
    assert {row["none"] for row in shown.values()} == {"–"}
