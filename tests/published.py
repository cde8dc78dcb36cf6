"""Do the published weights evaluate to their records? ``python tests/published.py [CMU_FOLDER]``.

Prints, for each weights file below ``results/``, the largest difference of a metric from its
record, and a digest of all that was measured. On the machine of the record the difference is 0;
elsewhere convolutions round otherwise (some 1e-4). Two versions of the library on one machine must
print the same digests.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from selfpose.config import Config
from selfpose.evaluation.scores import evaluate
from selfpose.files import check_file
from selfpose.model import load
from selfpose.run import WEIGHTS, DataChoice, read_record

RESULTS = Path(__file__).resolve().parents[1] / "results"


def evaluate_published(folder: Path, data_root: str = "") -> tuple[dict[str, Any], float]:
    """What a published run's weights evaluate to, and the largest difference from its record."""
    record = read_record(folder)
    config = Config.from_dict(record["parameters"])
    # The parts are drawn apart: however small the others, the test part is the same.
    config = config.with_({"data.n_unlabelled": 1, "data.n_unpaired": 1})
    data = DataChoice(name=record["dataset"], data_root=data_root).load(config, progress=False)
    measured = evaluate(load(check_file(folder, WEIGHTS, record)), data.test)
    now, then = measured["metrics"], record["metrics"]
    return measured, max(abs(now[name] - value) for name, value in then.items())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for path in sorted(RESULTS.rglob(WEIGHTS)):
        needs_folder = read_record(path.parent)["dataset"] == "cmu"
        if needs_folder and len(sys.argv) < 2:
            print(f"{path.parent.relative_to(RESULTS)}: skipped, give the folder of motion capture")
            continue
        measured, difference = evaluate_published(path.parent, sys.argv[1] if needs_folder else "")
        digest = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()[:16]
        print(f"{path.parent.relative_to(RESULTS)}: {difference:.2g} {digest}", flush=True)
