"""The README's commands exist, and one notebook of the book really runs."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from selfpose.cli import cli
from experiments.notebooks import notebook_parameters, run_notebook
from experiments.records import read_record

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_the_readme_shows_the_two_commands_first() -> None:
    assert COMMANDS[:2] == ["make book", "make test"]


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert named <= targets


def test_every_papermill_command_names_real_parameters() -> None:
    shown = [shlex.split(c) for c in COMMANDS if "papermill" in c]
    assert shown
    for words in shown:
        known = notebook_parameters(ROOT / words[1])
        given = [words[i + 1] for i, word in enumerate(words) if word == "-p"]
        assert given
        assert set(given) <= set(known)


def test_every_selfpose_command_has_real_options() -> None:
    shown = [shlex.split(c)[1:] for c in COMMANDS if c.startswith(".venv/bin/selfpose")]
    assert shown
    for words in shown:
        command, names = cli.commands[words[0]], words[:1]
        if isinstance(command, click.Group):
            command, names = command.commands[words[1]], words[:2]
        known = {name for option in command.params for name in option.opts}
        assert {w for w in words if w.startswith("--")} <= known
        assert CliRunner().invoke(cli, [*names, "--help"]).exit_code == 0


def test_every_module_that_the_readme_names_exists() -> None:
    rows = re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 10
    for name in names:
        inside = ROOT / "selfpose" / name
        beside = ROOT / "selfpose" / "data" / name
        assert any(p.exists() for p in (ROOT / name, inside, beside)) or name == "results/", name


@pytest.mark.parametrize("variant", ["selfpose", "paper"])
def test_the_training_notebook_runs_and_leaves_a_record(tmp_path: Path, variant: str) -> None:
    run_notebook(
        ROOT / "notebooks" / "05_full_training.ipynb",
        tmp_path / "run.ipynb",
        {
            "preset": "smoke",
            "variant": variant,
            "out": str(tmp_path / "run"),
            "cache": "",
            "overrides": {"steps": 4, "lift_steps": 8, "flow_steps": 8, "supervised": False},
        },
        progress=False,
    )
    record = read_record(tmp_path / "run")
    assert record["variant"] == variant
    assert record["parameters"]["steps"] == 4
    assert record["baselines"]["supervised"] is None
    assert (tmp_path / "run.ipynb").is_file()
