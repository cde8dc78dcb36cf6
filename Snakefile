# The runs behind each table and the pages made of them. The matrix itself is data: experiments/.
# Start it by `make book` or `make experiments`; both end in `python -m experiments.run make`.
import json
import os
import sys
from pathlib import Path
from shlex import quote

from papermill import inspect_notebook

from experiments.run import FOLDER, matrix, read_experiment
from selfpose.files import library_digest

DATA = config.get("data", "embedded")
PRESET = config.get("preset", "quick")
PLACES = {key: str(config.get(key, "")) for key in ("data_root", "data_train", "data_test")}
HERE = f"build/{DATA}-{PRESET}"
RUNS = f"{HERE}/runs"
EXECUTED = f"{HERE}/notebooks"
TRAINING = "05_full_training"
NOTEBOOKS = sorted(path.stem for path in Path("notebooks").glob("[0-9]*.ipynb"))
# What notebooks may take; prepared data are the same for every run, and kept.
COMMON = {"data": DATA, **PLACES, "cache": "build/cache", "preset": PRESET, "runs": RUNS}
# All that can change a run: editing a page, a figure or a notebook trains nothing again.
LIBRARY = library_digest()

CELLS = matrix(preset=PRESET, data=DATA)
RECORDS = [f"{RUNS}/{run.folder}/record.json" for run in CELLS]
BOOK = matrix(preset=PRESET, data=DATA, book=True)
BOOK_RECORDS = [f"{RUNS}/{run.folder}/record.json" for run in BOOK]
# What `make experiments` or a campaign has left is shown, too, but not made for a page.
BESIDE = [path for path in RECORDS if path not in BOOK_RECORDS and Path(path).is_file()]
KIT = [str(path) for path in Path("book/kit").rglob("*.py")]
PUBLISHED = [str(path) for path in Path("results").rglob("record.json")]
SITE = [str(p) for p in Path("book").rglob("*") if p.is_file() and p.suffix != ".pyc"]
# The page on training shows this run.
SHOWN = read_experiment(FOLDER / "end_to_end.yaml").run(preset=PRESET, variant="selfpose", seed=0)
# One thread each: two jobs side by side then finish sooner than one job with two.
RUN_NOTEBOOK = f"exec env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 {quote(sys.executable)} -m experiments.run notebook"


def parameters(name, values):
    """Those of the values that the notebook has parameters for, as one word of a command line."""
    known = inspect_notebook(f"notebooks/{name}.ipynb")
    return json.dumps({key: value for key, value in values.items() if key in known})


def of_run(run):
    """What the notebook on training takes to do one run, or to show it once it is done."""
    names = {"experiment": run.experiment, "variant": run.method, "label": run.variant}
    choices = {"input": run.input, "seed": run.seed, "overrides": run.overrides}
    return {**COMMON, **names, **choices, "out": f"{RUNS}/{run.folder}"}


rule book:
    input:
        "build/site/index.html",
    default_target: True


rule experiments:
    input:
        RECORDS,


for run in CELLS:

    rule:
        name:
            f"run_{run.experiment}_{run.variant}_seed{run.seed}"
        message:
            f"training {run.folder} ({DATA}, {PRESET})"
        output:
            f"{RUNS}/{run.folder}/record.json",
        params:
            notebook=f"notebooks/{TRAINING}.ipynb",
            executed=f"{RUNS}/{run.folder}/notebook.ipynb",
            label=run.folder,
            values=parameters(TRAINING, of_run(run)),
            library=LIBRARY,
        # the trainings from pictures take longest: they start first
        priority: 20 if run.input == "images" else 10
        shell:
            RUN_NOTEBOOK + " {params.notebook} {params.executed} {params.values:q}"
            " --label {params.label}"


for name in NOTEBOOKS:
    takes = inspect_notebook(f"notebooks/{name}.ipynb")

    rule:
        name:
            f"page_{name}"
        message:
            f"running notebooks/{name}.ipynb"
        input:
            f"notebooks/{name}.ipynb",
            KIT + PUBLISHED,
            BOOK_RECORDS if "runs" in takes else [],
            f"{RUNS}/{SHOWN.folder}/record.json" if name == TRAINING else [],
        output:
            f"{EXECUTED}/{name}.ipynb",
        params:
            values=parameters(name, of_run(SHOWN) if name == TRAINING else COMMON),
            beside=[(path, os.path.getmtime(path)) for path in BESIDE if "runs" in takes],
            library=LIBRARY,
        shell:
            RUN_NOTEBOOK + " {input[0]} {output} {params.values:q}"


rule site:
    message:
        "building the site"
    input:
        [f"{EXECUTED}/{name}.ipynb" for name in NOTEBOOKS],
        "_config.yml",
        "_toc.yml",
        SITE,
    output:
        "build/site/index.html",
    localrule: True
    shell:
        f"exec {quote(sys.executable)} -m book.kit.site make --executed {EXECUTED}"
        f" --stage {HERE}/book --out build/site"
