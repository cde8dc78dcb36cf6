"""Every choice of a run: layers, kinds of value, and helpful refusals."""

import math
from typing import Any

import pytest

from selfpose.config import (
    BASE_TERMS,
    LIFTING_TERMS,
    PAPER_TERMS,
    PRESETS,
    TERMS,
    VARIANTS,
    Config,
)
from selfpose.files import refuse_unknown
from selfpose.model import Architecture


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_presets_and_variants_build_and_round_trip(preset: str, variant: str) -> None:
    config = Config.for_run(preset=preset, variant=variant, seed=4)
    assert (config.preset, config.variant, config.seed) == (preset, variant, 4)
    assert Config.from_dict(config.to_dict()) == config
    for name, value in {**PRESETS[preset], **VARIANTS[variant]}.items():
        assert getattr(config, name) == value


def test_later_layers_win() -> None:
    assert Config.for_run(preset="smoke").steps == PRESETS["smoke"]["steps"]
    assert Config.for_run(preset="smoke", overrides={"steps": 7}).steps == 7
    assert Config.for_run(preset="smoke", overrides={"steps": 7}, steps=8).steps == 8
    assert Config.for_run(variant="paper", overrides={"channels": 3}).channels == 3


def test_the_paper_variant_holds_exactly_the_seven_terms() -> None:
    config = Config.for_run(variant="paper")
    assert [t for t in TERMS if config.weight(t)] == list(PAPER_TERMS)
    assert len(PAPER_TERMS) == 7
    assert set(BASE_TERMS) < set(LIFTING_TERMS) < set(PAPER_TERMS)


def test_dropped_terms_weigh_nothing() -> None:
    config = Config(drop=("bl", "NF"), weight_2D=3.0)
    assert config.weight("bl") == config.weight("NF") == 0
    assert config.weight("2D") == 3
    with pytest.raises(ValueError, match="unknown term"):
        config.weight("2d loss")


def test_architecture_takes_the_config_over() -> None:
    config = Config(width_phi=12, gamma=300.0, delta=9.0)
    assert config.architecture == Architecture(
        **{name: getattr(config, name) for name in Architecture.__dataclass_fields__}
    )
    assert config.architecture.width_phi == 12


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "unknown parameter 'stepz'; did you mean 'steps'"),
        ({"weight_omega": 3.0}, "did you mean 'weight_Omega'"),
        ({"drop": ["Lbl"]}, "unknown term to drop 'Lbl'; did you mean 'bl'"),
        ({"drop": "bl"}, "drop must be a list of terms, got 'bl'"),
        ({"drop": None}, "drop must be a list of terms, got None"),
        ({"drop": 5}, "drop must be a list of terms, got 5"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"steps": "10"}, "steps must be a whole number"),
        ({"steps": None}, "steps must be a whole number"),
        ({"lift_lr": "fast"}, "lift_lr must be a number, got 'fast'"),
        ({"lift_lr": True}, "lift_lr must be a number"),
        ({"lift_lr": math.nan}, "lift_lr must be finite"),
        ({"lift_lr": "inf"}, "lift_lr must be finite"),
        ({"lift_lr": -1e-3}, "lift_lr must not be negative"),
        ({"augment": 1}, "augment must be true or false"),
        ({"augment": "yes"}, "augment must be true or false"),
        ({"difficulty": 3}, "difficulty must be a text"),
        ({"input": "videos"}, "input must be 'images' or 'poses'"),
        ({"lift_from": "nothing"}, "lift_from must be"),
        ({"batch": 1}, "batch must be 2 or more"),
        ({"channels": 2}, "channels must be 1 or 3"),
        ({"puppet_forgiving": 30.0}, "puppet_forgiving is a share of the steps, 0 to 1, got 30"),
        ({"ema": 1.0}, "ema must lie below 1"),
        ({"n_test": 0}, "n_test must be positive"),
        ({"width_phi": 0}, "width_phi must be positive"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.for_run(preset="smoke", overrides=values)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"preset": "smke"}, "unknown preset 'smke'; did you mean 'smoke'"),
        ({"variant": "papr"}, "unknown variant 'papr'; did you mean 'paper'"),
    ],
)
def test_unknown_presets_and_variants_get_the_nearest_name(
    names: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Config.for_run(**names)


def test_whole_numbers_serve_where_numbers_are_asked() -> None:
    assert Config.from_dict({"lift_lr": 1}).lift_lr == 1
    assert Config(seed=-3).seed == -3


def test_exponents_without_a_dot_are_numbers() -> None:
    """YAML 1.1 reads 1e-3 as a text; a user means the number."""
    assert Config.from_dict({"lift_lr": "1e-3"}).lift_lr == 1e-3


def test_configs_cannot_be_changed_in_place() -> None:
    config = Config()
    with pytest.raises(AttributeError):
        config.steps = 3  # type: ignore[misc]
    assert config.with_(steps=3).steps == 3
    with pytest.raises(ValueError, match="batch must be 2"):
        config.with_(batch=0)


def test_a_name_like_no_other_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown fruit 'zzz'. Known: apple, pear"):
        refuse_unknown(["zzz"], ["apple", "pear"], "fruit")
