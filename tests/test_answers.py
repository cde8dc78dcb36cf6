"""Answers of experiments: their arithmetic, where records come from, what is said without any."""

from typing import Any

import pytest

from selfpose.answers import (
    MEASURES,
    Evidence,
    ablation_figure,
    answer_rows,
    answer_sentence,
    is_clear,
    records_for,
)
from selfpose.workflow import Experiment


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
        **{"preset": "quick", "parameters": {"delta": delta}, "metrics": metrics},
        **more,
    }


THREE = [record("full", 40.0), record("b", 50.0), record("c", 38.0)]


def evidence(records: list[dict[str, Any]], **options: Any) -> Evidence:
    return records_for(experiment(**options), records, [], data="embedded", preset="quick")


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
    said = answer_sentence(evidence(THREE))
    assert said.startswith("P-MPJPE is 40.0 mm with `full`; worst with `b` (+10.0 mm)")
    assert "best with `c` (-2.0 mm)" in said
    assert "one seed behind each number" in said
    worse = answer_sentence(evidence([record("full", 40.0), record("b", 50.0), record("c", 41.0)]))
    assert "no variant makes it better" in worse
    pair = answer_sentence(evidence(THREE[:2]))
    assert "; worse with `b` (+10.0 mm)." in pair
    assert "Missing: `c`; `.venv/bin/selfpose campaign --experiments x" in pair


def test_seeds_say_whether_a_difference_is_one() -> None:
    seeds = [
        record(variant, error + jitter, seed)
        for variant, error in (("full", 40.0), ("b", 50.0), ("c", 40.4))
        for seed, jitter in enumerate((-1.0, 0.0, 1.0))
    ]
    said = answer_sentence(evidence(seeds))
    assert "`b` (+10.0 mm, beyond the spread of seeds)" in said
    assert "3 seeds behind each number" in said
    assert answer_rows(evidence(seeds))["b"] == {
        "changes": "delta = 5.0",
        "P-MPJPE, mm": "50.0 ± 1.0 (3)",
    }
    assert "2 to 3 seeds" in answer_sentence(evidence(seeds[1:]))
    assert is_clear([1.0], [2.0, 3.0]) is None


def test_a_sweep_is_read_in_the_order_of_its_numbers() -> None:
    swept = evidence(THREE, over="delta")
    assert swept.variants == ["b", "full", "c"]
    said = answer_sentence(swept)
    assert said.startswith("P-MPJPE is best at `delta` = 20 (38.0 mm) and worst at 5 (50.0 mm).")
    assert "It falls all along as `delta` grows." in said
    (ax,) = ablation_figure(swept).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "10", "20"]
    line = max(ax.lines, key=lambda drawn: len(drawn.get_xdata()))
    assert list(line.get_ydata()) == [50.0, 40.0, 38.0]


def test_pictures_are_judged_by_three_measures() -> None:
    found = evidence(THREE, input_="images")
    said = answer_sentence(found)
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
    assert set(answer_rows(nothing)) == {"full", "b", "c"}
    assert answer_rows(nothing)["b"]["P-MPJPE, mm"] == "–"
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
