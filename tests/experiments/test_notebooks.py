"""Notebooks run whole or not at all, refuse unknown parameters, and are pairs of files."""

import json
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest

from experiments.run import ROOT, run_notebook

SCRIPT = """\
# %% tags=["parameters"]
seed = 0
started = ""

# %%
import sys, time
from pathlib import Path

print("working", file=sys.stderr)
assert seed < 5, "seed is too large"
if started:
    Path(started).touch()
    time.sleep(600)
print("seed", seed)
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "toy.ipynb"
    content = jupytext.reads(SCRIPT, fmt="py:percent")
    content.metadata["kernelspec"] = {"name": "python3", "language": "python"}
    jupytext.write(content, path)
    return path


def test_a_run_uses_its_parameters_and_shows_its_progress(notebook, tmp_path, capsys) -> None:
    out = run_notebook(notebook, tmp_path / "deep" / "out.ipynb", {"seed": 3}, label="toy")
    cells = nbformat.read(out, as_version=4).cells
    texts = [o.text for c in cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert "seed 3\n" in texts
    assert "toy │ working" in capsys.readouterr().err
    assert [path.name for path in out.parent.iterdir()] == ["out.ipynb"]


def test_a_failed_run_leaves_no_result_and_says_where_it_came_to(notebook, tmp_path) -> None:
    out = tmp_path / "out.ipynb"
    out.write_text("an older result")
    with pytest.raises(RuntimeError, match="seed is too large") as caught:
        run_notebook(notebook, out, {"seed": 7})
    assert "out.failed.ipynb" in str(caught.value)
    assert not out.exists()
    assert nbformat.read(tmp_path / "out.failed.ipynb", as_version=4).cells


def test_an_unknown_parameter_is_refused_before_anything_happens(notebook, tmp_path) -> None:
    out = tmp_path / "out.ipynb"
    out.write_text("an older result")
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        run_notebook(notebook, out, {"sead": 7})
    assert out.read_text() == "an older result"


@pytest.mark.slow
def test_a_run_ends_when_the_process_that_ordered_it_is_killed(notebook, tmp_path) -> None:
    started, out = tmp_path / "started", tmp_path / "out.ipynb"
    words = [str(notebook), str(out), json.dumps({"started": str(started)})]
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'experiments.run',"
    code += " 'notebook', *sys.argv[1:]]); print(p.pid, flush=True); p.wait()"
    orderer = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert orderer.stdout
    with orderer.stdout as said:
        run = int(said.readline())
        while not started.exists():
            assert orderer.poll() is None
            time.sleep(0.1)
        orderer.kill()
        orderer.wait()
    end = time.monotonic() + 60
    while psutil.pid_exists(run) and psutil.Process(run).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not out.exists()


@pytest.mark.parametrize("script", sorted(ROOT.glob("notebooks/[0-9]*.py")), ids=lambda p: p.stem)
def test_the_notebooks_of_the_book_are_pairs_without_outputs(script: Path) -> None:
    left = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    right = jupytext.read(script)
    kept = ("tags", "mystnb")
    for a, b in zip(left.cells, right.cells, strict=True):
        assert (a.cell_type, a.source.strip()) == (b.cell_type, b.source.strip()), "make pairs"
        assert [a.metadata.get(key) for key in kept] == [b.metadata.get(key) for key in kept]
        assert not a.get("outputs")
    assert "widgets" not in left.metadata
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in left.cells) == 1
