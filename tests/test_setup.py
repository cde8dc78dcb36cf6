"""The set-up's files agree; the matrix is read, checked, and depends on what it must."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from selfpose.config import Config
from selfpose.synthetic.embedded import load_embedded
from selfpose.data.dataset import PoseDataset
from selfpose.data.readers import READERS
from selfpose.data.source_names import FILES, SOURCES
from experiments.notebooks import repository_root
from selfpose.training import train
from experiments.workflow import (
    PRESENTATION,
    Experiment,
    hold_lock,
    library_files,
    matrix,
    read_experiment,
    read_experiments,
    run_config,
    snakemake_command,
)

ROOT = repository_root()


def locked() -> list[str]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return re.findall(r"^([A-Za-z0-9][^\n]*?==[^\n]*?) *\\$", text, flags=re.MULTILINE)


def test_the_lock_has_hashes_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert len(blocks) == len(locked())
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_holds_every_requirement() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [line for group in groups for line in group]
    names = {re.split(r"[=; ]", line)[0] for line in locked()}
    assert {re.split(r"[<>=; ]", line)[0].lower() for line in wanted} <= names


def test_conda_gets_the_locked_packages() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (packages,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert packages == [*locked(), "-e ."]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_help_lists_every_target_and_an_old_python_is_refused(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"make {target} " in shown for target in phony[1].split())

    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old-python"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.exit(\\"3.9 only\\")"\n')
    old.chmod(0o755)
    refused = subprocess.run(
        ["make", "venv", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert not (tmp_path / ".venv").exists()


def test_the_citation_is_readable() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "version"} <= set(citation)


def test_the_top_level_holds_little() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    shown = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    top = {name.partition("/")[0] for name in shown}
    assert {name for name in top if not name.startswith(".")} <= {
        *("book", "notebooks", "selfpose", "tests", "experiments", "results", "_config.yml"),
        *("_toc.yml", "environment.yml", "README.md", "pyproject.toml", "requirements.lock"),
        *("Makefile", "Snakefile", "LICENSE", "CITATION.cff"),
    }


# --- the matrix


def test_every_source_of_files_has_a_reader() -> None:
    assert set(READERS) == set(FILES)
    assert len(set(SOURCES)) == len(SOURCES)


def test_every_experiment_is_valid_for_every_preset_it_names() -> None:
    experiments = read_experiments()
    assert experiments
    for item in experiments:
        for preset in item.presets:
            for data in item.data:
                assert item.runs(preset=preset, data=data)
    folders = [run.folder for run in matrix(preset="quick", data="embedded")]
    assert len(folders) == len(set(folders))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": {"a": {"lift_stepps": 3}}}, "did you mean 'lift_steps'"),
        ({"presets": {"quik": {"seeds": [0]}}}, "did you mean 'quick'"),
        ({"presets": {"quick": {"seeds": [-1]}}}, "whole numbers from 0"),
        ({"presets": {"quick": {"seeds": [0], "variants": ["b"]}}}, "unknown variant in"),
        ({"question": "A statement."}, "must be a question"),
        ({"base": {"input": "video"}}, "images or poses"),
        ({"colour": 1}, "unknown key in x.yaml 'colour'"),
        ({"name": "other"}, "must agree"),
        ({"variants": {}}, "names no variant"),
        ({"variants": ["a"]}, "must each hold keys and values"),
        ({"presets": {"quick": None}}, "presets.quick must hold keys and values"),
        ({"data": ["cmuu"]}, "did you mean 'cmu'"),
        ({"over": "deltas"}, "did you mean 'delta'"),
        ({"presets": {"quick": {"seeds": [0], "book": "no"}}}, "book must be true or false"),
    ],
)
def test_bad_experiments_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    content = {
        "name": "x",
        "question": "Why?",
        "base": {"input": "poses"},
        "variants": {"a": {}},
        "presets": {"quick": {"seeds": [0]}},
        **change,
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        matrix(preset="quick", data="embedded", folder=tmp_path)


def test_unreadable_experiments_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_experiment(tmp_path / "nowhere.yaml")
    for text, message in (("a: [", "not YAML"), ("- 1", "keys and values"), ("name: x", "lacks")):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_experiment(tmp_path / "x.yaml")


def test_runs_take_their_overrides_from_base_and_variant() -> None:
    item = Experiment(
        name="x",
        question="Why?",
        base={"input": "poses", "lift_steps": 5, "delta": 9.0},
        variants={"a": {"lift_steps": 7}, "b": {}},
        presets={"quick": {"seeds": [0, 1]}, "smoke": {"seeds": [3], "variants": ["b"]}},
    )
    assert [run.folder for run in item.runs(preset="quick", data="cmu")] == [
        *("x/a/seed0", "x/a/seed1", "x/b/seed0", "x/b/seed1")
    ]
    assert item.runs(preset="quick", data="cmu")[0].overrides == {"lift_steps": 7, "delta": 9.0}
    assert [run.folder for run in item.runs(preset="smoke", data="cmu")] == ["x/b/seed3"]
    assert item.runs(preset="standard", data="cmu") == []


def test_one_cell_can_have_a_seed_that_the_file_does_not_list() -> None:
    item = Experiment(
        name="x",
        question="Why?",
        base={"input": "poses", "delta": 9.0},
        variants={"a": {"lift_steps": 7}},
        presets={"quick": {"seeds": [0], "overrides": {"flow_steps": 3}}},
    )
    run = item.run(preset="quick", variant="a", seed=8)
    assert run.folder == "x/a/seed8"
    assert run.overrides == {"delta": 9.0, "flow_steps": 3, "lift_steps": 7}
    assert run_config(run, preset="quick").seed == 8
    for change in ({"preset": "standard"}, {"variant": "b"}):
        with pytest.raises(ValueError, match="unknown"):
            item.run(**{"preset": "quick", "variant": "a", "seed": 0, **change})


@pytest.mark.parametrize("preset", ["smoke", "quick", "standard"])
def test_the_book_runs_a_part_of_the_experiments(preset: str) -> None:
    everything = [run.folder for run in matrix(preset=preset, data="cmu")]
    book = [run.folder for run in matrix(preset=preset, data="cmu", book=True)]
    assert set(book) < set(everything)
    # what the pages cannot do without
    assert {"end_to_end/selfpose/seed0", "lifting/selfpose/seed0"} <= set(book)
    assert "ablation_lifting/full/seed0" in book
    # minutes, not hours
    assert sum(folder.startswith("end_to_end/selfpose") for folder in book) <= 3
    assert any(folder.startswith("end_to_end/paper") for folder in book) == (preset == "standard")
    assert not any(name.startswith(("sweep", "ablation_images")) for name in book)


def test_the_first_variant_of_a_comparison_is_the_methods_own() -> None:
    for item in read_experiments():
        first = item.runs(preset=next(iter(item.presets)), data=item.data[0])[0]
        config = run_config(first, preset="standard")
        if item.over:
            assert getattr(config, item.over) == getattr(
                Config.for_run(preset="standard"), item.over
            )
        assert config.drop == () or item.name == "build_up"


@pytest.mark.slow
def test_every_variant_of_every_experiment_trains() -> None:
    """A few steps each, on next to no data: no cell of the matrix is broken from the start."""
    few = {"n_unlabelled": 16, "n_unpaired": 64, "n_test": 8}
    steps = dict.fromkeys(("flow_steps", "lift_steps", "side_steps", "omega_steps", "steps"), 2)
    batches = {"batch": 4, "flow_batch": 8, "lift_batch": 8}
    datasets: dict[int, PoseDataset] = {}  # by the size of their pictures
    seen = []
    for item in read_experiments():
        for variant in item.variants:
            run = item.run(preset=next(iter(item.presets)), variant=variant, seed=0)
            config = run_config(run, preset="smoke").with_(**few, **steps, **batches)
            if config not in seen:
                seen.append(config)
                size = config.image_size
                if size not in datasets:
                    datasets[size] = load_embedded(**few, image_size=size, progress=False)
                _, runner = train(datasets[size], config, progress=False)
                assert len(runner.history) > 1
    assert len(seen) > 20


# --- what depends on what


def test_library_files_follow_imports_and_leave_presentation_out(tmp_path: Path) -> None:
    package = tmp_path / "selfpose"
    (package / "data").mkdir(parents=True)
    sources = {
        "__init__.py": "",
        "camera.py": "",
        "training.py": "from selfpose import camera\nfrom .data import points",
        "plots.py": "import selfpose.training",
        "unused.py": "",
        "data/__init__.py": "",
        "data/points.py": "from ..skeleton import HUMAN_17",
        "skeleton.py": "",
    }
    for name, text in sources.items():
        (package / name).write_text(text)
    source = "import torch\nfrom selfpose.training import train\nfrom book.kit.plots import show"
    common = {"__init__", "camera", "training", "data/__init__", "data/points", "skeleton"}
    for leave_out, expected in (((), common | {"plots"}), (PRESENTATION, common)):
        found = library_files(source, leave_out=leave_out, root=tmp_path)
        assert set(found) == {f"selfpose/{name}.py" for name in expected}


def test_trainings_depend_on_the_method_and_not_on_its_pictures() -> None:
    found = library_files(
        "from selfpose.config import Config\nimport book.kit.widgets", leave_out=PRESENTATION
    )
    assert "selfpose/config.py" in found
    assert "selfpose/widgets.py" not in found


# --- the lock


def test_the_lock_is_exclusive_and_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "build" / ".lock"
    code = "import sys, time; from experiments.workflow import hold_lock; hold_lock(sys.argv[1]);"
    with subprocess.Popen(
        [sys.executable, "-c", code + "print('held', flush=True); time.sleep(600)", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=str(holder.pid)):
            hold_lock(path)
        holder.kill()
        holder.wait()
    os.close(hold_lock(path))


def test_empty_settings_are_not_passed_on() -> None:
    command = snakemake_command("book", config={"data": "embedded", "data_root": ""}, jobs=2)
    assert "data=embedded" in command
    assert not any(word.startswith("data_root") for word in command)


@pytest.mark.slow
def test_snakemake_finds_a_job_for_every_run_and_page() -> None:
    if not (ROOT / "notebooks" / "07_ablations.ipynb").is_file():
        pytest.skip("the notebooks are not there")
    shown = subprocess.run(
        [*snakemake_command("book", config={"preset": "smoke"}, jobs=1), "--dry-run", "--forceall"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    text = shown.stdout + shown.stderr
    book = [run.folder for run in matrix(preset="smoke", data="embedded", book=True)]
    for run in matrix(preset="smoke", data="embedded"):
        name = f"run_{run.experiment}_{run.variant}_seed{run.seed}"
        assert (name in text) == (run.folder in book)
    assert "page_01_renderer" in text
