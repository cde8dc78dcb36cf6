"""The set-up's files agree with each other, and the README with what there is."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from selfpose.cli import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = re.findall(r"^([A-Za-z0-9][^\n]*?==[^\n]*?) *\\$", LOCK, flags=re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_the_lock_has_hashes_and_names_no_host() -> None:
    assert "://" not in LOCK
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK)[1:]
    assert len(blocks) == len(LOCKED)
    assert all("--hash=sha256:" in block for block in blocks)


def test_conda_gets_the_locked_packages() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (packages,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert packages == [*LOCKED, "-e ."]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_exist(words: list[str]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert words[1] in targets
    elif words[0].endswith("/papermill"):
        from papermill import inspect_notebook

        given = [words[i + 1] for i, word in enumerate(words) if word == "-p"]
        assert set(given) <= set(inspect_notebook(str(ROOT / words[1])))
    elif words[0].endswith("/selfpose"):
        command: click.Command = cli
        for word in words[1:]:
            if not isinstance(command, click.Group):
                break
            command = commands_of(command)[word]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= known


def commands_of(group: click.Group) -> dict[str, click.Command]:
    """With those that come with the experiments, as the installed command line has them."""
    from experiments.campaign import campaign
    from experiments.records import publish_command

    more = {"campaign": campaign, "publish": publish_command} if group is cli else {}
    return {**group.commands, **more}
