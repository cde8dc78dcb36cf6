"""Numbers lead back to their records, and commands make those records again."""

import json
import shlex
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import campaign
from book.kit import status
from selfpose.cli import parse_overrides
from selfpose.config import Config
from selfpose.files import refuse_unknown
from book.kit.provenance import (
    changed_parameters,
    data_fingerprint,
    is_as_defined,
    leaves,
    provenance_box,
    record_page,
    rerun_command,
    write_record_pages,
)
from book.kit.quotes import (
    field_value,
    quote_from_attributes,
    quoted,
    record_href,
    record_link,
    record_name,
)
from experiments.records import published_records, read_record, write_json
from book.kit.status import cells_of_build, count_states, run_state, status_tables
from experiments.workflow import matrix, run_config

FIELD = "metrics.p_mpjpe_mm"


def a_record(*, error: float = 80.0, seed: int = 0, **more: Any) -> dict[str, Any]:
    config = Config.for_run(preset="quick", overrides={"input": "poses", "seed": seed})
    return {
        "schema": 1,
        "experiment": "lifting",
        "variant": "selfpose",
        "dataset": "embedded",
        "preset": "quick",
        "input": "poses",
        "seed": seed,
        "parameters": config.to_dict(),
        "data": {"source": "embedded figure generator"},
        "commit": "0123456789abcdef",
        "commit_dirty": False,
        "versions": {"python": "3.11.7", "torch": "2.5.0"},
        "device": "cpu (x86_64, 1 threads)",
        "started": "2026-01-02T03:04:05+00:00",
        "duration_s": 33.4,
        "metrics": {"p_mpjpe_mm": error, "facing_right_percent": 50.0},
        "baselines": {"mean_pose": {"p_mpjpe_mm": 100.0}, "supervised": None},
        **more,
    }


class Elements(HTMLParser):
    """Every element's attributes, and the text in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], list[str]]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1][1].append(data)


def quotes_in(text: str) -> list[tuple[dict[str, str | None], str]]:
    return [(a, "".join(words)) for a, words in Elements(text).found if "data-form" in a]


def test_a_record_has_one_address_wherever_it_lies_and_another_when_it_changes() -> None:
    record = a_record()
    assert record_name(record) == record_name({**record, "path": "anywhere/seed0"})
    assert record_name(record) == record_name(json.loads(json.dumps(record)))
    assert record_name(record) != record_name(a_record(error=80.01))
    assert record_name(record).startswith("embedded-quick/lifting/selfpose/seed0-")


def test_names_of_users_cannot_leave_the_folder_of_records() -> None:
    name = record_name(a_record() | {"experiment": "../../etc", "variant": "a b/c"})
    assert name.count("/") == 3
    assert ".." not in name.split("/")
    assert " " not in name


@given(
    errors=st.lists(st.floats(1, 500), min_size=1, max_size=5),
    others=st.lists(st.floats(1, 500), max_size=3),
    digits=st.integers(0, 3),
    scale=st.sampled_from([1, 100]),
)
def test_a_quote_survives_the_page(errors, others, digits, scale) -> None:
    runs = [a_record(error=e, seed=k) for k, e in enumerate(errors)]
    rest = [a_record(error=e, seed=50 + k) for k, e in enumerate(others)]
    value = quoted(runs, FIELD, digits=digits, scale=scale, against=rest)
    ((attributes, shown),) = quotes_in(str(value))
    known = {record_name(r): r for r in [*runs, *rest]}
    again = quote_from_attributes(attributes, known)
    assert again.text == value.text == shown
    assert str(again) == str(value)


def test_forms_of_a_quote_against_numbers_worked_out_apart() -> None:
    runs = [a_record(error=e, seed=k) for k, e in enumerate((80.0, 90.0, 100.0))]
    rest = [a_record(error=70.0, seed=9)]
    assert quoted(runs[0], FIELD).text == "80.0"
    deviation = statistics.stdev([80.0, 90.0, 100.0])
    assert quoted(runs, FIELD).text == f"90.0 ± {deviation:.1f} (3)"
    assert quoted(runs, FIELD, against=rest).text == "+20.0"
    assert quoted(rest, FIELD, against=runs).text == "-20.0"
    assert quoted(runs[1], FIELD, over="baselines.mean_pose.p_mpjpe_mm", scale=100).text == "90.0"
    assert quoted(runs[0], (FIELD, "metrics.facing_right_percent")).text == "65.0"
    assert quoted(runs, form="count").text == "3"
    assert quoted(runs[0], "started", form="text", digits=10).text == "2026-01-02"
    assert quoted(runs[0], "device", form="text", digits=0).text == runs[0]["device"]


@pytest.mark.parametrize(
    "value",
    [
        quoted(a_record(), "metrics.no_such"),
        quoted(a_record(), "baselines.supervised.p_mpjpe_mm"),
        quoted([], FIELD),
        quoted(a_record(), FIELD, over="metrics.no_such"),
        quoted(a_record(), "nothing", form="text"),
    ],
)
def test_what_no_record_holds_is_a_dash_without_a_link(value) -> None:
    assert str(value) == value.marked() == "–"


def test_bad_quotes_are_refused(without_shape_checks: None) -> None:
    with pytest.raises(ValueError, match="did you mean 'plain'"):
        quoted(a_record(), FIELD, form="plan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 digits or more"):
        quoted(a_record(), FIELD, digits=-1)
    with pytest.raises(ValueError, match="needs a field"):
        quoted(a_record())
    with pytest.raises(ValueError, match="against"):
        quoted(a_record(), FIELD, form="change")
    with pytest.raises(ValueError, match="no record embedded-quick"):
        quote_from_attributes(quoted(a_record(), FIELD).attributes, {})


def test_links_lead_to_the_page_and_the_line_of_the_field(tmp_path: Path) -> None:
    runs = [a_record(seed=seed) for seed in (0, 1)]
    (first, second) = write_record_pages([*runs, {**runs[0], "path": "elsewhere"}], tmp_path)
    assert read_record(tmp_path / f"{second}.json") == runs[1]
    page = tmp_path / f"{first}.html"
    href, _, anchor = record_href(runs[0], FIELD, top="top").partition("#")
    assert href == f"top/_static/records/{page.relative_to(tmp_path)}"
    assert f'<tr id="{anchor}">' in page.read_text(encoding="utf-8")
    assert 'aria-label="record of lifting/selfpose/seed0"' in record_link(runs[0], "seed 0")
    assert record_name(runs[1]) in str(quoted(runs, FIELD))


def test_a_records_page_holds_each_of_its_values() -> None:
    record = a_record()
    page = record_page(record)
    for path, value in leaves(record):
        assert f'<tr id="{path}">' in page
        assert field_value(record, path) == value
    assert rerun_command(record) in page
    evil = record_page(a_record(device="<script>alert(1)</script>"))
    assert "<script>" not in evil


def test_cells_of_experiments_are_made_again_by_name_and_their_parameters_are_the_same() -> None:
    for run in matrix(preset="quick", data="embedded"):
        config = run_config(run, preset="quick").to_dict()
        record = a_record(
            experiment=run.experiment, variant=run.variant, seed=run.seed, parameters=config
        )
        assert is_as_defined(record)
        words = shlex.split(rerun_command(record))
        assert words[words.index("--cell") + 1] == run.folder
        cells = campaign.choose_runs(preset="quick", data="embedded", cells=[run.folder])
        assert run_config(cells[0], preset="quick").to_dict() == config


def test_other_runs_are_spelled_out_so_that_the_command_has_all_their_parameters() -> None:
    config = Config.for_run(
        preset="smoke",
        overrides={"input": "images", "seed": 3, "drop": ["bl"], "delta": 7.5, "steps": 11},
    )
    own = config.to_dict()
    record = a_record(experiment="mine", variant="my row", preset="smoke", seed=3, parameters=own)
    words = shlex.split(rerun_command(record))
    options = dict(zip(words[2::2], words[3::2], strict=True))
    settings = tuple(words[k + 1] for k, word in enumerate(words) if word == "--set")
    again = Config.for_run(
        preset=options["--preset"],
        variant=options["--variant"],
        overrides={
            **parse_overrides(settings),
            "input": options["--input"],
            "seed": int(options["--seed"]),
        },
    )
    assert again == config
    assert set(changed_parameters(record)) == {"drop", "delta", "steps"}


def test_commands_of_published_records_name_what_exists() -> None:
    for record in published_records():
        words = shlex.split(rerun_command(record))
        if "--cell" in words:
            assert words[1] == "campaign"
            assert is_as_defined(record)
        else:
            assert words[1] == "train"
            refuse_unknown(changed_parameters(record), record["parameters"], "parameter")


def test_the_fingerprint_tells_data_apart() -> None:
    assert data_fingerprint(a_record(data_files="abc")) == "abc"
    assert data_fingerprint(a_record()) == data_fingerprint(a_record(error=1.0))
    assert data_fingerprint(a_record()) != data_fingerprint(a_record(data={"source": "other"}))


def test_the_box_says_what_made_the_page(tmp_path: Path) -> None:
    runs = [a_record(seed=seed, commit_dirty=bool(seed)) for seed in (0, 1)]
    box = provenance_box(runs, command="make book PRESET=smoke").data
    assert box.startswith("<details")
    assert "<summary>" in box
    for wanted in (
        *("make book PRESET=smoke", "0123456 with uncommitted changes", "torch 2.5.0"),
        *("cpu (x86_64, 1 threads)", "2026-01-02", data_fingerprint(runs[0]), "0, 1"),
        *("git checkout 0123456", record_href(runs[1]), *map(rerun_command, runs)),
    ):
        assert wanted in box
    write_json(tmp_path / "record.json", runs[0])
    assert record_name(runs[0]) in provenance_box(tmp_path).data
    assert "no record" in provenance_box().data
    values = {"preset": "smoke", "data_root": "/somewhere/motion", "data_train": "", "seed": 3}
    own = provenance_box(page="02_lifting", parameters=values).data
    alone = "notebooks/02_lifting.ipynb out.ipynb -p preset smoke -p data_root FOLDER -p seed 3"
    assert f"<code>.venv/bin/papermill {alone}</code>" in own
    assert "seed = 3" in own
    assert "somewhere" not in own
    with pytest.raises(FileNotFoundError, match="no folder of runs"):
        provenance_box(tmp_path / "nowhere")


# --- the status of all runs ---------------------------------------------------------------------


def test_what_a_folder_says_of_its_run(tmp_path: Path) -> None:
    assert status.LOG == campaign.LOG
    folder = tmp_path / "run"
    assert run_state(folder) == "missing"
    (folder / "checkpoint").mkdir(parents=True)
    assert run_state(folder) == "stopped"
    (folder / status.LOG).write_text("step 3\nselfpose.stages.TrainingDiverged: loss is NaN\n")
    assert run_state(folder) == "failed"
    (folder / status.LOG).write_text("stopped at step 3\n")
    assert run_state(folder) == "stopped"
    (folder / "notebook.failed.ipynb").touch()
    assert run_state(folder) == "failed"
    (folder / "record.json").touch()
    assert run_state(folder) == "done"


def test_every_run_of_the_matrix_is_listed_once_with_its_link_or_its_command(
    tmp_path: Path,
) -> None:
    runs = matrix(preset="quick", data="embedded")
    done, beside = a_record(), a_record(seed=77)
    for record in (done, beside):
        folder = tmp_path / f"lifting/selfpose/seed{record['seed']}"
        folder.mkdir(parents=True)
        write_json(folder / "record.json", record)
    cells = cells_of_build(preset="quick", data="embedded", runs=tmp_path)
    counts = count_states(cells)
    assert counts["done"] == 2
    assert sum(counts.values()) == len(runs) + 1
    assert {run.folder for run in runs} | {"lifting/selfpose/seed77"} == {c.folder for c in cells}
    page = status_tables(cells).data
    assert page.count("data-form") == 2 * 5
    for cell in cells:
        assert (record_link(cell.record, cell.row) if cell.record else cell.command) in page
    known = {record_name(r): r for r in (done, beside)}
    assert all(quote_from_attributes(a, known).text == shown for a, shown in quotes_in(page))


def test_a_command_to_run_again_names_no_parameter_that_came_later() -> None:
    """The commit that it is to be given at would not know it."""
    some = next(r for r in published_records() if r["input"] == "images")
    parameters = some["parameters"] | {"limb_thickness": "learned"}  # not as preset
    known = sorted(set(parameters) - {"limb_thickness"})
    record = {**some, "experiment": "trial", "parameters": parameters, "stated": known}
    assert "limb_thickness" not in rerun_command(record)
    named = {**record, "stated": sorted(parameters)}
    assert "limb_thickness" in rerun_command(named)
