"""Failing runs beside healthy ones: found where they lie, from one place, and put into words."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from selfpose.evaluation.scores import scores as evaluation
from experiments.campaign import choose_runs
from selfpose.cli import campaign
from selfpose.config import LIFTING_TERMS, Config
from selfpose.data.dataset import PoseDataset
from book.kit.diagnosis import (
    FAILURES,
    Failure,
    failure_figure,
    failure_sentence,
    find_comparison,
    finished_seed,
    places,
)
from book.kit.quotes import record_href
from experiments.records import SCHEMA
from selfpose.training import build_pipeline
from experiments.workflow import read_experiments

FAILURE = Failure(
    title="too much",
    stage="lifting",
    cells=(("diagnosis/bad", "diagnosis/good"), ("ablation/bad", "ablation/good")),
    columns={"e": "error"},
)


def whole_record(cell: str, seed: int = 0) -> dict[str, Any]:
    """The least that a record has to hold."""
    experiment, variant = cell.split("/")
    named = {"experiment": experiment, "variant": variant, "seed": seed, "schema": SCHEMA}
    more = {"dataset": "embedded", "preset": "quick", "commit": None, "device": "cpu"}
    empty: dict[str, Any] = {k: {} for k in ("parameters", "versions", "metrics", "baselines")}
    return {**named, **more, **empty, "started": "2020-01-01", "duration_s": 1}


def finish(folder: Path, cell: str, error: float, *, seed: int = 0, stage: str = "lifting") -> None:
    """A finished run with one logged number."""
    run = folder / cell / f"seed{seed}"
    run.mkdir(parents=True)
    (run / "record.json").write_text(json.dumps(whole_record(cell, seed)))
    rows = [{"step": 0.0, "e": 9.0}, {"step": 20.0, "e": error}]
    (run / "history.json").write_text(json.dumps({stage: rows}))


def last(frame: pd.DataFrame) -> float:
    return float(frame["e"].iloc[-1])


def test_both_runs_come_from_one_place(tmp_path: Path) -> None:
    build, committed = tmp_path / "build", tmp_path / "results"
    finish(build, "diagnosis/bad", 1.0)
    finish(committed / "cmu-quick", "diagnosis/good", 2.0)
    where = places(build, data="embedded", results=committed)
    assert find_comparison(FAILURE, where) is None
    finish(committed / "cmu-quick", "diagnosis/bad", 3.0)
    found = find_comparison(FAILURE, where)
    assert found is not None
    assert (last(found.failing), last(found.healthy)) == (3, 2)
    assert found.where.endswith("results/cmu-quick")
    finish(build, "diagnosis/good", 4.0)
    found = find_comparison(FAILURE, where)
    assert found is not None
    assert (last(found.failing), last(found.healthy)) == (1, 4)
    assert found.where.endswith("this build")


def test_the_better_pair_comes_before_the_nearer_place(tmp_path: Path) -> None:
    build, committed = tmp_path / "build", tmp_path / "results"
    for cell in ("ablation/bad", "ablation/good"):
        finish(build, cell, 1.0)
    where = places(build, data="embedded", results=committed)
    assert where == [("this build", build)]
    found = find_comparison(FAILURE, where)
    assert found is not None
    assert found.records[0]["experiment"] == "ablation"
    for cell in ("diagnosis/bad", "diagnosis/good"):
        finish(committed / "embedded-quick", cell, 2.0)
    found = find_comparison(FAILURE, places(build, data="embedded", results=committed))
    assert found is not None
    assert last(found.failing) == 2


def test_own_data_come_before_other_data(tmp_path: Path) -> None:
    for name in ("cmu-quick", "embedded-quick", "embedded-standard"):
        (tmp_path / name).mkdir()
    names = [name for name, _ in places(tmp_path / "runs", data="embedded", results=tmp_path)]
    assert names[0] == "this build"
    assert [name.rpartition("/")[2] for name in names[1:]] == [
        *("embedded-quick", "embedded-standard", "cmu-quick")
    ]


def test_an_unfinished_run_is_no_run(tmp_path: Path) -> None:
    finish(tmp_path, "a/b", 1.0, seed=2)
    (tmp_path / "a" / "b" / "seed0").mkdir()
    seed = finished_seed(tmp_path, "a/b")
    assert seed is not None
    assert seed.name == "seed2"
    assert finished_seed(tmp_path, "a/c") is None


def test_a_run_without_the_stage_shows_nothing(tmp_path: Path) -> None:
    for cell in ("diagnosis/bad", "diagnosis/good"):
        finish(tmp_path, cell, 1.0, stage="images")
    assert find_comparison(FAILURE, [("this build", tmp_path)]) is None


@pytest.mark.parametrize("data", ["embedded", "cmu"])
@pytest.mark.parametrize("preset", ["quick", "standard"])
@pytest.mark.parametrize("name", FAILURES)
def test_what_is_missing_is_told_with_a_command_that_makes_both_runs(
    name: str, preset: str, data: str, tmp_path: Path
) -> None:
    missing = failure_sentence(FAILURES[name], None, data=data, preset=preset)
    assert missing.startswith("*Missing")
    (command,) = re.findall("`(.*?)`", missing)
    program, what, *words = command.replace("FOLDER", str(tmp_path)).split()
    assert (program, what) == (".venv/bin/selfpose", "campaign")
    options = campaign.make_context(what, words).params
    assert options["data"] == data
    runs = choose_runs(preset=options["preset"], data=data, cells=options["cells"])
    cells = [f"{run.experiment}/{run.variant}" for run in runs]
    assert cells == list(reversed(FAILURES[name].cells[0]))


def test_an_older_history_shows_the_monitor_that_it_has(tmp_path: Path) -> None:
    """Both runs of a comparison show the same quantity."""
    columns = {"newer": "spread", "e": "error"}
    failure = Failure(
        title="x", stage="lifting", cells=FAILURE.cells, columns=columns, older={"newer": "older"}
    )
    rows = {"bad": {"older": 1.0}, "good": {"older": 2.0, "newer": 3.0}}

    def shown() -> list[float]:
        for name, row in rows.items():
            folder = tmp_path / "diagnosis" / name / "seed0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "record.json").write_text(json.dumps(whole_record(f"diagnosis/{name}")))
            history = {"lifting": [{"step": 0.0, "e": 1.0, **row}]}
            (folder / "history.json").write_text(json.dumps(history))
        found = find_comparison(failure, [("this build", tmp_path)])
        assert found is not None
        return [float(h["newer"].iloc[-1]) for h in (found.failing, found.healthy)]

    assert shown() == [1, 2]
    rows["bad"]["newer"] = 5.0
    assert shown() == [5, 3]


def test_the_sentence_says_the_last_numbers(tmp_path: Path) -> None:
    finish(tmp_path, "diagnosis/bad", 7.25)
    finish(tmp_path, "diagnosis/good", 2.0)
    found = find_comparison(FAILURE, [("this build", tmp_path)])
    assert found is not None
    said = failure_sentence(FAILURE, found, data="embedded", preset="quick")
    assert said.startswith("At the last step, too much against healthy: error 7.25 against 2 (")
    assert "from the histories of" in said
    assert ">diagnosis/bad/seed0</a> beside <a" in said
    for record in found.records:
        assert f'href="{record_href(record)}"' in said
    (ax,) = failure_figure(FAILURE, found).axes
    assert [line.get_label() for line in ax.lines] == ["healthy", "too much"]
    named = dataclasses.replace(FAILURE, beside="usual")
    (ax,) = failure_figure(named, found).axes
    assert [line.get_label() for line in ax.lines] == ["usual", "too much"]
    old = Failure(title="x", stage="lifting", cells=FAILURE.cells, columns={"newer": "newer"})
    assert "before the monitors" in failure_sentence(old, found, data="embedded", preset="quick")


@pytest.mark.parametrize("changes", [{"cells": ()}, {"columns": {}}])
def test_an_empty_failure_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="needs cells to compare and columns"):
        Failure(
            **(
                {"title": "x", "stage": "images", "cells": (("a/b", "a/c"),)}
                | {"columns": {"e": "e"}}
                | changes
            )
        )


def test_every_failure_is_an_experiment_that_can_be_run() -> None:
    experiments = {e.name: e for e in read_experiments()}
    for name, failure in FAILURES.items():
        for cell in failure.cells[0]:
            experiment, variant = cell.split("/")
            assert variant in experiments[experiment].variants
            images = experiments[experiment].base["input"] == "images"
            assert failure.stage == ("images" if images else "lifting")
        assert failure.cells[0][0].endswith(f"/{name}")


def test_every_column_of_a_failure_is_logged(tiny_dataset: PoseDataset) -> None:
    """A mistyped column would show an empty panel for ever."""
    config = Config.for_run(preset="smoke")
    pipeline = build_pipeline(tiny_dataset, config)
    networks = torch.nn.ModuleDict({"phi": pipeline.phi, "omega": pipeline.omega})
    lifting = {*evaluation.monitor_lifting(pipeline, tiny_dataset), *LIFTING_TERMS}
    images = {
        *evaluation.monitor_images(pipeline, networks, tiny_dataset, gamma=config.gamma),
        *("D", "critic", "margin"),
    }
    for failure in FAILURES.values():
        logged = lifting if failure.stage == "lifting" else images
        levels = {name for name in (failure.levels or {}).values() if isinstance(name, str)}
        assert {*failure.columns, *(failure.levels or {}), *levels} <= logged
