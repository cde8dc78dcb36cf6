# The runs behind each table and the pages made of them. The matrix itself is data: experiments/.
# Start it by `make book` or `make experiments`; both end in `python -m experiments.workflow`.
import os
import shlex
import sys
from pathlib import Path

import yaml

from experiments.notebooks import notebook_parameters
from book.kit.site import toc_documents
from experiments.workflow import PRESENTATION, library_files, matrix

DATA = config.get("data", "embedded")
PRESET = config.get("preset", "quick")
PLACES = {key: str(config.get(key, "")) for key in ("data_root", "data_train", "data_test")}
# Prepared data are kept between runs; they are the same for every run of a preset.
COMMON = {"data": DATA, **PLACES, "cache": "build/cache"}
HERE = f"build/{DATA}-{PRESET}"
RUNS = f"{HERE}/runs"
EXECUTED = f"{HERE}/notebooks"
TRAINING = "05_full_training"
SHOWN_RUN = config.get("shown", "end_to_end/selfpose/seed0")

try:
    CELLS = matrix(preset=PRESET, data=DATA)
    BOOK_CELLS = matrix(preset=PRESET, data=DATA, book=True)
except (FileNotFoundError, ValueError) as error:
    sys.exit(f"Error: {error}")
RECORDS = [f"{RUNS}/{run.folder}/record.json" for run in CELLS]
BOOK_RECORDS = [f"{RUNS}/{run.folder}/record.json" for run in BOOK_CELLS]
# What `make experiments` or a campaign has left beside them is shown too, but not made for a page.
BESIDE = [path for path in RECORDS if path not in BOOK_RECORDS and Path(path).is_file()]
# Committed records stand in a table of the page on results.
PUBLISHED = sorted(str(path) for path in Path("results").rglob("record.json"))
DOCUMENTS = toc_documents(yaml.safe_load(Path("_toc.yml").read_text(encoding="utf-8")))
NOTEBOOKS = [Path(name).name for name in DOCUMENTS if name.startswith("notebooks/")]
# Pages that name the folder of runs read the records of all of them, and pages after the training
# the published ones.
AFTER_RUNS = [n for n in NOTEBOOKS if "runs" in notebook_parameters(f"notebooks/{n}.ipynb")]
# Each job gets one thread: two jobs side by side then finish sooner than one job with two.
ONE_THREAD = "OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
RUN_NOTEBOOK = f"exec env {ONE_THREAD} {shlex.quote(sys.executable)} -m experiments.notebooks run"


def options(values):
    """The parameters as words of a command line."""
    return " ".join(f"-p {shlex.quote(f'{name}={value!r}')}" for name, value in values.items())


def known(name, values):
    """Those of the values that the notebook has a parameter for."""
    names = notebook_parameters(f"notebooks/{name}.ipynb")
    return {key: value for key, value in values.items() if key in names}


def page_options(name):
    """Those of the common parameters that a page's notebook knows."""
    return options(known(name, {**COMMON, "preset": PRESET, "runs": RUNS}))


def run_options(run):
    """The parameters of the notebook on training for one cell."""
    return options(
        {
            "experiment": run.experiment,
            "variant": run.method,
            "label": run.variant,
            **known(TRAINING, COMMON),
            "preset": PRESET,
            "input": run.input,
            "seed": run.seed,
            "out": f"{RUNS}/{run.folder}",
            "overrides": run.overrides,
        }
    )


def library(name, leave_out=()):
    """The library files that a notebook's result depends on."""
    script = Path(f"notebooks/{name}.py").read_text(encoding="utf-8")
    return library_files(script, leave_out=leave_out)


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
            "run_" + "_".join((run.experiment, run.variant, f"seed{run.seed}"))
        message:
            f"training {run.folder} ({DATA}, {PRESET})"
        input:
            notebook=f"notebooks/{TRAINING}.ipynb",
            library=library(TRAINING, leave_out=PRESENTATION),
        output:
            record=f"{RUNS}/{run.folder}/record.json",
            weights=f"{RUNS}/{run.folder}/weights.safetensors",
            history=f"{RUNS}/{run.folder}/history.json",
        params:
            # No output: a run that `selfpose campaign` finished has none, and is as good.
            notebook=f"{RUNS}/{run.folder}/notebook.ipynb",
            label=f"{run.experiment}/{run.variant}/{run.seed}",
            options=run_options(run),
        # the trainings from pictures take longest: they start first
        priority: 20 if run.input == "images" else 10
        threads: 1
        shell:
            RUN_NOTEBOOK + " {input.notebook} {params.notebook}"
            " --label {params.label} {params.options}"


for name in NOTEBOOKS:
    if name == TRAINING:
        continue

    rule:
        name:
            f"page_{name}"
        message:
            f"running notebooks/{name}.ipynb"
        input:
            notebook=f"notebooks/{name}.ipynb",
            library=library(name),
            records=(BOOK_RECORDS if name in AFTER_RUNS else [])
            + (PUBLISHED if name > TRAINING else []),
        output:
            f"{EXECUTED}/{name}.ipynb",
        params:
            # a change of these runs the page again, as a newer input would
            beside=[(p, os.path.getmtime(p)) for p in BESIDE] if name in AFTER_RUNS else [],
            label=name,
            options=page_options(name),
        threads: 1
        shell:
            RUN_NOTEBOOK + " {input.notebook} {output} --label {params.label} {params.options}"


# The page on training is one of the runs: the first training from pictures. Where that was
# finished without a notebook, the notebook reads the finished run.
rule page_training:
    message:
        "taking {input.record} as the page on training"
    input:
        record=f"{RUNS}/{SHOWN_RUN}/record.json",
        notebook=f"notebooks/{TRAINING}.ipynb",
    output:
        f"{EXECUTED}/{TRAINING}.ipynb",
    params:
        ready=f"{RUNS}/{SHOWN_RUN}/notebook.ipynb",
        label=TRAINING,
        options=next((run_options(run) for run in CELLS if run.folder == SHOWN_RUN), ""),
    localrule: True
    shell:
        "test -f {params.ready} || " + RUN_NOTEBOOK.removeprefix("exec ") + " {input.notebook}"
        " {params.ready} --label {params.label} {params.options} && cp {params.ready} {output}"


rule site:
    message:
        "building the site"
    input:
        [f"{EXECUTED}/{name}.ipynb" for name in NOTEBOOKS],
        "_config.yml",
        "_toc.yml",
        ["selfpose/site.py", "selfpose/site_checks.py", "selfpose/provenance.py"],
        [str(path) for path in sorted(Path("book").rglob("*")) if path.is_file()],
    output:
        "build/site/index.html",
    params:
        executed=EXECUTED,
        staged=f"{HERE}/book",
    localrule: True
    shell:
        f"exec {shlex.quote(sys.executable)} -m book.kit.site make "
        "--executed {params.executed} --stage {params.staged} --out build/site"
