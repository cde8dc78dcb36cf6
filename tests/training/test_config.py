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
    flatten,
    unflatten,
)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_presets_and_variants_build_and_round_trip(preset: str, variant: str) -> None:
    config = Config.for_run(preset=preset, variant=variant, seed=4)
    assert (config.preset, config.variant, config.seed) == (preset, variant, 4)
    assert Config.from_dict(config.to_dict()) == config
    assert unflatten(flatten(config.to_dict())) == config.to_dict()
    flat = config.flat()
    for name, value in {**PRESETS[preset], **VARIANTS[variant]}.items():
        assert flat[name] == value


def test_later_layers_win() -> None:
    smoke = Config.for_run(preset="smoke")
    assert smoke.pictures.steps == PRESETS["smoke"]["pictures.steps"]
    assert Config.for_run(preset="smoke", overrides={"pictures.steps": 7}).pictures.steps == 7
    assert (
        Config.for_run(variant="paper", overrides={"networks.channels": 3}).networks.channels == 3
    )
    assert smoke.with_({"seed": 5}).with_({"flow.lr": "1e-3"}).flow.lr == 1e-3  # YAML's text


def test_the_paper_variant_holds_exactly_the_seven_terms() -> None:
    config = Config.for_run(variant="paper")
    assert [t for t in TERMS if config.terms[t]] == list(PAPER_TERMS)
    assert len(PAPER_TERMS) == 7
    assert set(BASE_TERMS) < set(LIFTING_TERMS) < set(PAPER_TERMS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"pictures.stepz": 3},
            "unknown parameter 'pictures.stepz'; did you mean 'pictures.steps'",
        ),
        ({"terms.omega": 3.0}, "did you mean 'terms.Omega'"),
        ({"pictures.steps": 2.5}, "pictures.steps must be of the kind int, got 2.5"),
        ({"pictures.steps": True}, "pictures.steps must be of the kind int"),
        ({"lifting.lr": "fast"}, "lifting.lr must be of the kind float, got 'fast'"),
        ({"lifting.lr": math.nan}, "lifting.lr must be finite"),
        ({"lifting.lr": -1e-3}, "lifting.lr must not be negative"),
        ({"terms.bl": None}, "terms.bl must be of the kind float"),
        ({"pictures.augment": "yes"}, "pictures.augment must be of the kind bool"),
        ({"data.difficulty": "hard"}, "unknown value of data.difficulty: 'hard'"),
        ({"pictures.batch": 1}, "pictures.batch must be at least 2"),
        ({"networks.channels": 2}, "networks.channels must be 1 or 3"),
        ({"pictures.ema": 1.0}, "pictures.ema must lie below 1"),
        ({"data.n_test": 0}, "data.n_test must be at least 1"),
        ({"terms.puppet": 0}, "'distil' needs the term 'puppet'"),
        ({"terms.puppet": 0, "terms.distil": 0}, "picture_every must be 1 without"),
        ({"networks.channels": 1}, "'side' needs networks.channels=3"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.for_run(preset="smoke", overrides=values)


def test_unknown_presets_and_variants_get_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown preset 'smke'; did you mean 'smoke'"):
        Config.for_run(preset="smke")
    with pytest.raises(ValueError, match="unknown variant 'papr'; did you mean 'paper'"):
        Config.for_run(variant="papr")
