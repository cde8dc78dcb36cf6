"""The two lines that every notebook begins with.

>>> from book.kit.page import start_page
>>> page = start_page("01_renderer", globals())  # doctest: +SKIP
"""

import ast
import datetime
import html
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from IPython.display import HTML, display

from book.kit.plots import use_style
from book.kit.provenance import (
    changed_parameters,
    commit_text,
    parameters_text,
    record_link,
    record_name,
)
from book.kit.widgets import elements
from experiments.records import RESULTS, published_records, read_records
from experiments.run import ROOT
from selfpose.config import Config
from selfpose.files import refuse_unknown
from selfpose.run import DataChoice, Record, environment

FOLDERS = ("data_root", "data_train", "data_test", "cache")


@dataclass(frozen=True)
class Page:
    """What a notebook's parameters say, in the library's words."""

    name: str
    parameters: dict[str, Any]
    begun: float = field(default_factory=time.monotonic)

    @property
    def data(self) -> DataChoice:
        """The data set that was chosen."""
        own = {name: self.parameters[name] for name in FOLDERS if name in self.parameters}
        return DataChoice(name=self.parameters["data"], **own)

    def config(self, overrides: Mapping[str, Any] | None = None, **more: Any) -> Config:
        """All parameters of a run: those of the page, then overrides by dotted name."""
        names = [n for n in ("preset", "variant", "seed", "input") if n in self.parameters]
        changed = {**self.parameters.get("overrides", {}), **(overrides or {})}
        chosen = {name: self.parameters[name] for name in names}
        return Config.for_run(overrides=changed, **(chosen | more))

    @cached_property
    def records(self) -> list[Record]:
        """The records of this build's runs."""
        return read_records(self.parameters["runs"])

    @cached_property
    def published(self) -> list[Record]:
        """The records that are committed with the source."""
        return published_records()

    def folder(self, record: Record) -> Path:
        """Where the weights and the history of one of these records lie."""
        built = any(record is own for own in self.records)
        return (Path(self.parameters["runs"]) if built else RESULTS) / record["path"]

    @property
    def command(self) -> str:
        """What runs this notebook alone; ``FOLDER`` stands for places on one's own machine."""
        words = [".venv/bin/papermill", f"notebooks/{self.name}.ipynb", "out.ipynb"]
        for name, value in self.parameters.items():
            if isinstance(value, dict):
                words += ["-y", json.dumps({name: value})]
            elif value != "":
                words += ["-p", name, "FOLDER" if str(value).startswith("/") else str(value)]
        return shlex.join(words)

    def provenance_box(self, records: Record | Sequence[Record] = ()) -> HTML:
        """A folded box that ends a page: what made it, and the runs whose records it shows."""
        chosen = [records] if isinstance(records, dict) else records
        runs = list({record_name(record): record for record in chosen}.values())
        now = environment("cpu")
        facts = {
            "Made by": f"make book, at {commit_text(now)}",
            "This notebook alone": self.command,
            "When": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "Seconds": f"{time.monotonic() - self.begun:.0f}",
            "Device": now["device"],
            "Versions": ", ".join(f"{name} {number}" for name, number in now["versions"].items()),
        }
        lines = [f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items()]
        return HTML(
            "<details class='provenance'><summary>Where this page comes from: commit, parameters, "
            f"device, runs ({len(runs)})</summary><dl>{''.join(lines)}</dl>{_runs_table(runs)}"
            "</details>"
        )


def _runs_table(records: Sequence[Record]) -> str:
    rows = [
        {
            "run": record_link(record),
            "data": f"{record['dataset']}, {record['preset']}",
            "commit": commit_text(record),
            "device": html.escape(record["device"]),
            "date": record["started"][:10],
            "seconds": f"{record['duration_s']:.0f}",
            "changed parameters": html.escape(parameters_text(changed_parameters(record))),
        }
        for record in records
    ]
    if not rows:
        return ""
    with pd.option_context("display.max_colwidth", None):
        table = pd.DataFrame(rows).to_html(escape=False, index=False, border=0)
    return (
        '<div class="provenance-runs" tabindex="0" role="group" aria-label="The runs behind this '
        f'page">{table}</div>'
    )


def notebook_defaults(name: str) -> dict[str, Any]:
    """What the ``parameters`` cell of a committed notebook sets."""
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", ())]
    return _assigned("".join(tagged[0]["source"]))


def _assigned(source: str) -> dict[str, Any]:
    lines = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in lines}


def start_page(name: str, namespace: Mapping[str, Any]) -> Page:
    """Check the parameters, seed torch, and make figures and sliders those of the book.

    Parameters
    ----------
    name
        Of the notebook, for instance ``01_renderer``.
    namespace
        The notebook's ``globals()``.

    Raises
    ------
    ValueError
        If a parameter is set that the notebook does not have (papermill only warns of those), or
        to a value of another kind.
    """
    defaults = notebook_defaults(name)
    for cell in namespace.get("In", ()):
        if cell.startswith("# Parameters\n"):  # as papermill writes
            refuse_unknown(_assigned(cell), defaults, f"parameter of {name}")
    for key, default in defaults.items():
        kinds = (float, int) if isinstance(default, float) else type(default)
        if not isinstance(namespace[key], kinds):
            raise ValueError(f"{key} should be like {default!r}, but is {namespace[key]!r}")
    parameters = {key: namespace[key] for key in defaults}
    torch.manual_seed(parameters.get("seed", 0))
    use_style()
    display(elements())
    return Page(name, parameters)
