"""What a notebook's first two lines check, and what its last one tells."""

from typing import Any

import pytest
from small_book import a_record

from book.kit.page import Page, notebook_defaults, start_page

NAME = "05_full_training"


def started(**values: Any) -> Page:
    return start_page(NAME, {**notebook_defaults(NAME), **values})


def test_the_parameters_of_a_notebook_become_the_librarys() -> None:
    page = started(seed=3, data="cmu", data_root="mocap", overrides={"terms.bl": 0})
    config = page.config({"data.n_test": 64}, input="poses")
    assert (config.seed, config.input, config.data.n_test) == (3, "poses", 64)
    assert config.terms["bl"] == 0
    assert (page.data.name, page.data.data_root) == ("cmu", "mocap")


def test_unknown_parameters_and_wrong_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="'sed'; did you mean 'seed'"):
        started(In=["", "seed = 0", "# Parameters\nsed = 3\n"])
    with pytest.raises(ValueError, match="seed should be like 0, but is 'one'"):
        started(seed="one")


def test_the_box_names_the_command_the_commit_and_every_run_once() -> None:
    page = started(seed=3, data_root="/home/me/mocap", overrides={"terms.bl": 0})
    assert page.command.endswith(
        "-p data_root FOLDER -p preset quick -p input images -p seed 3 -p out build/single "
        """-y '{"overrides": {"terms.bl": 0}}' -p cache build/cache"""
    )
    box = page.provenance_box([a_record(), a_record(), a_record(seed=1)]).data
    assert "runs (2)" in box
    assert "commit 0123456" in box
    assert "/home/me" not in box
    assert "runs (0)" in page.provenance_box().data
