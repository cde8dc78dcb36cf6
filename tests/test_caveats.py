"""Short runs are said to be short, and floors that are not beaten are named."""

import re
from typing import Any

from book.kit.caveats import below_no_floor, shortened
from selfpose.config import Config


def run(*, error: float, floor: float | None = 100.0, **steps: int) -> dict[str, Any]:
    baseline = {} if floor is None else {"mean_pose": {"p_mpjpe_mm": floor}}
    return {
        **{"experiment": "x", "variant": "full", "seed": 0, "dataset": "cmu", "preset": "quick"},
        "input": "images",
        "path": "x/full/seed0",
        "parameters": Config.for_run(preset="quick").to_dict() | steps,
        "metrics": {"p_mpjpe_mm": error},
        "baselines": baseline,
    }


def test_only_what_was_cut_is_told() -> None:
    full = Config.for_run(preset="quick")
    assert shortened(run(error=1.0)) == ""
    assert shortened(run(error=1.0, steps=2 * full.steps)) == ""
    told = shortened(run(error=1.0, steps=250, flow_steps=300))
    assert told == (
        f"shortened to 250 of {full.steps} steps of pictures, 300 of {full.flow_steps} steps of "
        "the prior"
    )
    assert shortened({**run(error=1.0, steps=250), "input": "poses"}) == ""


def test_a_floor_that_is_not_beaten_is_named_with_its_number() -> None:
    def said(*records: dict[str, Any]) -> str:
        marked = below_no_floor(records, "p_mpjpe_mm", "P-MPJPE", "mm")
        return re.sub(r"<[^>]+>", "", marked)

    assert said(run(error=99.0)) == ""
    assert "does not beat the mean pose here (100.0 mm)" in said(run(error=136.4))
    assert "P-MPJPE" in said(run(error=90.0), run(error=120.0))  # on the average
    assert said(run(error=136.4, floor=None)) == ""
    assert said() == ""
