"""A book of one page and one executed notebook, with this book's settings, scripts and styles."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import yaml

from experiments.run import ROOT, run_notebook
from selfpose.config import Config
from selfpose.files import write_json

PAGE = """\
# Start

A formula $x^2$, {cite:t}`sosa2023self`, and {eq}`eq-one`.
An error of {{ "%.1f" | format(standard.metrics.p_mpjpe_mm) }} mm ({{ standard.link }}), with
Δ = {{ config.networks.delta }}.

$$
a = b
$$ (eq-one)

```{bibliography}
```
"""

CELLS = [
    ("parameters", "runs = ''"),
    (
        "hide-input",
        """\
import sys

import torch
from IPython.display import display

from book.kit.page import Page
from book.kit.plots import new_figure
from book.kit.tables import linked_groups, number_table, quoted, show_source
from book.kit.view3d import pose_view, pose_views
from book.kit.widgets import elements, figure_slider, figure_slider_2d
from selfpose.camera import project
from selfpose.skeleton import HUMAN_17

page = Page("toy", {"runs": runs})
display(elements())
print("half", "done", file=sys.stderr)


def draw(a, b=1):
    figure = new_figure(2, 1.5)
    figure.add_subplot().plot([0, a], [0, b])
    return figure


pose = torch.randn(17, 3, generator=torch.Generator().manual_seed(0))""",
    ),
    ("hide-input", "show_source(project)"),
    ("", "figure_slider(draw, [1, 2, 3], label='length', describe=lambda a: f'to {a}')"),
    (
        "",
        "figure_slider_2d(draw, [1, 2], [1, 2], labels=('across', 'up'), start=(0, 1),"
        " describe=lambda a, b: f'to {a}, {b}')",
    ),
    (
        "",
        "pose_views({'over': {'prediction': pose, 'truth': 1.1 * pose}, 'alone': pose},"
        " HUMAN_17, label='Two panels', description='A pose twice.')",
    ),
    (
        "",
        "pose_view(torch.stack([pose, 0.8 * pose, 0.6 * pose]), HUMAN_17, label='Shrinking',"
        " description='A pose that shrinks.', frames=['1.0', '0.8', '0.6'], frame_label='size',"
        " frame_descriptions=['large', 'middle', 'small'])",
    ),
    ("figure", "draw(1)"),
    ("", "linked_groups({'all': page.records}, {'P-MPJPE, mm': 'metrics.p_mpjpe_mm'})"),
    ("", "page.provenance_box(page.records)"),
]


def a_record(*, error: float = 80.0, seed: int = 0, **more: Any) -> dict[str, Any]:
    """A record as a run of lifting writes it."""
    config = Config.for_run(input="poses", seed=seed)
    return {
        "schema": 2,
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


def write_book(root: Path) -> None:
    """``book/index.md``, ``notebooks/toy`` run into ``executed``, and two records of runs."""
    for seed in range(2):
        (root / "runs" / f"seed{seed}").mkdir(parents=True)
        record = a_record(error=80.0 + 3 * seed, seed=seed)
        write_json(root / "runs" / f"seed{seed}" / "record.json", record)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["parse"]["myst_substitutions"] = {"standard": "runs/seed0"}
    (root / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "book" / "index.md").write_text(PAGE, encoding="utf-8")
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "notebooks/toy"}]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    figure = {"figure": {"caption": "A line.", "name": "fig-line"}, "image": {"alt": "A line."}}
    heading = "# Views\nWith {eq}`eq-one`, $\\boldsymbol{y}$, {numref}`fig-line`."
    cells = [nbformat.v4.new_markdown_cell(heading)]
    for tag, source in CELLS:
        metadata = {"mystnb": figure} if tag == "figure" else {"tags": [tag]} if tag else {}
        cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    (root / "notebooks").mkdir()
    nbformat.write(notebook, root / "notebooks" / "toy.ipynb")
    values = {"runs": str(root / "runs")}
    run_notebook(root / "notebooks" / "toy.ipynb", root / "executed" / "toy.ipynb", values)
