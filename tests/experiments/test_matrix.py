"""The questions are read and checked; every cell of the matrix is a run that can be made."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.run import ROOT, Experiment, hold, matrix, read_experiment, read_experiments
from selfpose.config import Config
from selfpose.data.source_names import GENERATED


def written(folder: Path, **changes: Any) -> Path:
    content = {
        "name": "x",
        "question": "Why?",
        "base": {"input": "poses", "networks.delta": 9.0},
        "variants": {"a": {"lifting.steps": 7}, "b": {}},
        "presets": {
            "quick": {"seeds": [0, 1], "overrides": {"flow.steps": 3}},
            "smoke": {"seeds": [3], "variants": ["b"], "book": False},
        },
        **changes,
    }
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def items() -> list[Experiment]:
    return read_experiments()


@pytest.mark.parametrize("preset", ["smoke", "quick", "standard"])
@pytest.mark.parametrize("data", [*GENERATED, "cmu"])
def test_the_book_has_what_its_pages_need_and_ends_in_minutes(
    items: list[Experiment], preset: str, data: str
) -> None:
    everything = [run.folder for i in items for run in i.runs(preset=preset, data=data)]
    book = [run.folder for i in items for run in i.runs(preset=preset, data=data, book=True)]
    assert len(everything) == len(set(everything))
    assert set(book) < set(everything)
    assert {"end_to_end/selfpose/seed0", "lifting/selfpose/seed0"} <= set(book)
    assert "ablation_lifting/full/seed0" in book
    assert not any(name.startswith(("sweep", "ablation_images")) for name in book)


def test_the_first_variant_of_a_comparison_is_the_methods_own(items: list[Experiment]) -> None:
    default = Config.for_run(preset="standard").flat()
    for item in items:
        if "standard" not in item.presets:
            continue
        (first, *_) = item.runs(preset="standard", data=item.data[0])
        parameters = first.config.flat()
        if item.over:
            assert parameters[item.over] == default[item.over]
        if item.name != "build_up":
            assert all(value for name, value in parameters.items() if name.startswith("terms."))


def test_every_run_has_a_valid_config(items: list[Experiment]) -> None:
    for item in items:
        for preset in item.presets:
            for variant in item.variants:
                assert item.run(preset=preset, variant=variant, seed=0).config.preset == preset


def test_runs_take_their_overrides_from_base_preset_and_variant(tmp_path: Path) -> None:
    item = read_experiment(written(tmp_path))
    runs = item.runs(preset="quick", data="cmu")
    assert [run.folder for run in runs] == ["x/a/seed0", "x/a/seed1", "x/b/seed0", "x/b/seed1"]
    assert runs[0].overrides == {"networks.delta": 9.0, "flow.steps": 3, "lifting.steps": 7}
    assert [run.folder for run in item.runs(preset="smoke", data="cmu")] == ["x/b/seed3"]
    assert item.runs(preset="smoke", data="cmu", book=True) == []
    assert item.runs(preset="standard", data="cmu") == []
    config = item.run(preset="quick", variant="a", seed=8).config
    assert (config.seed, config.lifting.steps, config.input) == (8, 7, "poses")


def test_a_row_named_as_a_variant_of_the_method_is_one(tmp_path: Path) -> None:
    item = read_experiment(written(tmp_path, variants={"paper": {}, "b": {}}))
    assert [run.config.variant for run in item.runs(preset="quick", data="cmu")] == [
        *("paper", "paper", "selfpose", "selfpose")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": {"input": "poses", "lifting.stepps": 3}}, "did you mean 'lifting.steps'"),
        ({"presets": {"quik": {"seeds": [0]}}}, "did you mean 'quick'"),
        ({"presets": {"quick": {"seeds": []}}}, "must list its seeds"),
        ({"presets": {"quick": {"seeds": [0], "variants": ["c"]}}}, "unknown variant 'c'"),
        ({"presets": {"quick": None}}, "x.yaml: "),
        ({"question": "A statement."}, "must be one"),
        ({"base": {"input": "video"}}, "Known: images, poses"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"name": "other"}, "unknown name 'other'"),
        ({"data": ["cmuu"]}, "did you mean 'cmu'"),
        ({"over": "networks.delte"}, "did you mean 'networks.delta'"),
    ],
)
def test_mistakes_are_told_with_the_file(tmp_path: Path, change: dict, message: str) -> None:
    written(tmp_path, **change)
    with pytest.raises(ValueError, match=r"x\.yaml: ") as caught:
        matrix(preset="quick", data="embedded", folder=tmp_path)
    assert message in str(caught.value)


def test_a_folder_of_runs_is_held_by_one_process_and_free_when_it_ends(tmp_path: Path) -> None:
    code = "import sys, time, pathlib; from experiments.run import hold\n"
    code += "lock = hold(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another make or campaign"):
            hold(tmp_path)
        holder.kill()
    hold(tmp_path).release()


@pytest.mark.slow
def test_snakemake_finds_a_job_for_every_run_and_page_of_the_book() -> None:
    command = [sys.executable, "-m", "experiments.run", "make", "book", "--preset", "smoke"]
    command += ["--", "--dry-run", "--forceall"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = shown.stdout + shown.stderr
    book = [run.folder for run in matrix(preset="smoke", data="embedded", book=True)]
    for run in matrix(preset="smoke", data="embedded"):
        name = f"run_{run.experiment}_{run.variant}_seed{run.seed}"
        assert (name in text) == (run.folder in book)
    assert all(f"page_{path.stem}" in text for path in ROOT.glob("notebooks/[0-9]*.ipynb"))
