"""Running notebooks whole or not at all, refusing unknown parameters, and the pairs of files."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import pytest

from experiments.notebooks import (
    ProgressLines,
    check_parameters,
    notebook_parameters,
    pair_differences,
    parse_value,
    repository_root,
    run_notebook,
    sync_pair,
    sync_script,
)

SCRIPT = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A title

# %% tags=["parameters"]
preset = "quick"
seed = 0

# %%
from experiments.notebooks import check_parameters

check_parameters(globals(), ["preset", "seed"])

# %% tags=["hide-input"]
import sys

print("working", file=sys.stderr)
assert seed < 5, "seed is too large"
print(preset, seed)
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    script = tmp_path / "toy.py"
    script.write_text(SCRIPT, encoding="utf-8")
    return sync_pair(script)


def texts(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [o.text for c in cells for o in c.get("outputs", []) if o.output_type == "stream"]


def test_parameters_are_read_with_their_defaults(notebook: Path) -> None:
    assert notebook_parameters(notebook) == {"preset": '"quick"', "seed": "0"}


def test_a_run_uses_its_parameters_and_shows_its_progress(notebook: Path, tmp_path, capsys) -> None:
    out = run_notebook(notebook, tmp_path / "deep" / "out.ipynb", {"seed": 3}, label="toy")
    assert "quick 3\n" in texts(out)
    shown = capsys.readouterr().err
    assert "toy │ working" in shown
    assert "5/5" in shown
    assert [p.name for p in out.parent.iterdir()] == ["out.ipynb"]


def test_a_failed_run_leaves_no_result_and_says_where_it_came_to(notebook, tmp_path) -> None:
    out = tmp_path / "out.ipynb"
    out.write_text("an older result")
    with pytest.raises(RuntimeError, match="seed is too large") as caught:
        run_notebook(notebook, out, {"seed": 7}, progress=False)
    assert "out.failed.ipynb" in str(caught.value)
    assert not out.exists()
    assert nbformat.read(tmp_path / "out.failed.ipynb", as_version=4).cells


def test_an_unknown_parameter_is_refused_before_anything_happens(notebook, tmp_path) -> None:
    out = tmp_path / "out.ipynb"
    out.write_text("an older result")
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        run_notebook(notebook, out, {"sead": 7})
    assert out.read_text() == "an older result"


def test_missing_notebooks_and_parameters_cells_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        notebook_parameters(tmp_path / "nowhere.ipynb")
    bare = tmp_path / "bare.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), bare)
    with pytest.raises(ValueError, match="tagged 'parameters'"):
        notebook_parameters(bare)


def test_the_command_line_refuses_with_a_message_and_runs_with_values(notebook, tmp_path) -> None:
    command = [sys.executable, "-m", "experiments.notebooks", "run", str(notebook)]
    out = str(tmp_path / "out.ipynb")
    bad = subprocess.run(
        [*command, out, "-p", "presett=smoke"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert "did you mean 'preset'" in bad.stderr
    assert "Traceback" not in bad.stderr
    subprocess.run(
        [*command, out, "-p", "preset=smoke", "-p", "seed=2", "--quiet"],
        check=True,
        cwd=repository_root(),
    )
    assert "smoke 2\n" in texts(Path(out))


def test_plain_papermill_with_an_unknown_name_stops_at_the_check(notebook, tmp_path) -> None:
    import papermill

    with pytest.raises(papermill.PapermillExecutionError, match="did you mean 'seed'"):
        papermill.execute_notebook(
            notebook, tmp_path / "out.ipynb", {"sead": 1}, progress_bar=False
        )


@pytest.mark.slow
def test_a_run_ends_when_the_process_that_ordered_it_is_killed(tmp_path: Path) -> None:
    script, started = tmp_path / "long.py", tmp_path / "started"
    cells = (
        '# %% tags=["parameters"]\nstarted = ""\n\n# %%\nfrom pathlib import Path\n'
        "import time\nPath(started).touch()\ntime.sleep(600)\n"
    )
    script.write_text(SCRIPT.partition("# %%")[0] + cells, encoding="utf-8")
    notebook = sync_pair(script)
    orderer = subprocess.Popen(["sleep", "600"])
    command = [sys.executable, "-m", "experiments.notebooks", "run", str(notebook)]
    command += [str(tmp_path / "out.ipynb"), "-p", f"started={started}", "--quiet"]
    environment = {**os.environ, "SELFPOSE_WATCH": f"{os.uname().nodename}:{orderer.pid}"}
    run = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, cwd=repository_root()
    )
    try:
        while not started.exists():
            assert run.poll() is None
            time.sleep(0.1)
        orderer.kill()
        orderer.wait()
        assert run.wait(timeout=60) != 0
        # whoever comes too late to be watched does not begin
        late = subprocess.run(
            command, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        assert "has ended" in late.stderr
    finally:
        for process in (orderer, run):
            process.kill()
            process.wait()
    assert not (tmp_path / "out.ipynb").exists()


def test_check_parameters_ignores_what_is_no_parameter() -> None:
    namespace = {"seed": 1, "In": [], "Out": {}, "_i": "x", "os": os, "open": open}
    check_parameters(namespace, ["seed"])
    with pytest.raises(ValueError, match="sed"):
        check_parameters({**namespace, "sed": 2}, ["seed"])
    with pytest.raises(ValueError, match="does not set preset"):
        check_parameters(namespace, ["seed", "preset"])


def test_values_are_literals_or_text() -> None:
    assert parse_value("{'drop': ['2D']}") == {"drop": ["2D"]}
    assert parse_value("~/a b") == "~/a b"


def test_redrawn_bars_become_few_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines(sys.stdout, label="a", every=3600)
    for percent in range(100):
        lines.write(f"\r\x1b[31m{percent} %")
    lines.write("\nwarned\nhalf")
    lines.close()
    assert capsys.readouterr().out.splitlines() == ["a │ 0 %", "a │ 99 %", "a │ warned", "a │ half"]


# --- pairs


def test_a_synchronised_pair_agrees_and_stays_the_same_bytes(notebook: Path) -> None:
    script = notebook.with_suffix(".py")
    assert pair_differences(notebook, script) == []
    before = notebook.read_bytes()
    sync_pair(script)
    assert notebook.read_bytes() == before
    sync_script(notebook)
    assert pair_differences(notebook, script) == []


@pytest.mark.parametrize("change", ["source", "tags", "cells", "outputs", "widgets", "missing"])
def test_every_disagreement_of_a_pair_is_found(notebook: Path, change: str) -> None:
    script = notebook.with_suffix(".py")
    content = nbformat.read(notebook, as_version=4)
    if change == "source":
        content.cells[-1].source += "\n1 + 1"
    elif change == "tags":
        content.cells[-1].metadata.tags = []
    elif change == "cells":
        content.cells.pop()
    elif change == "outputs":
        content.cells[-1].execution_count = 3
    elif change == "widgets":
        content.metadata["widgets"] = {}
    nbformat.write(content, notebook)
    if change == "missing":
        notebook.unlink()
    assert len(pair_differences(notebook, script)) == 1


def scripts() -> list[Path]:
    return sorted((repository_root() / "notebooks").glob("[0-9]*.py"))


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.stem)
def test_the_notebooks_of_the_book_are_pairs(script: Path) -> None:
    assert pair_differences(script.with_suffix(".ipynb"), script) == []
    cells = jupytext.read(script).cells
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
