# `make book` builds the site, `make test` runs the tests; `make help` lists the rest.
# Everything happens in .venv, made by the first target that needs it.

DATA ?= embedded
DATA_ROOT ?=
DATA_TRAIN ?=
DATA_TEST ?=
PRESET ?= quick
JOBS ?= 2
PORT ?= 8000
# Words for Snakemake, for instance SNAKEMAKE="--executor slurm --jobs 50"
SNAKEMAKE ?=

# The first of these that is Python 3.11 or later makes the environment; PYTHON=... overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v "$$p"; break; }; done)
UV_VERSION := 0.13.9
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help venv book experiments test check-site lint format pairs front bench serve lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  DATA=embedded|cmu  DATA_ROOT=folder  PRESET=smoke|quick|standard  JOBS=2"

venv: $(READY)  ## make .venv from the lock (the other targets do it by themselves)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "selfpose needs Python 3.11 or later, and none was found" \
	"(looked for python3, python3.11 to python3.14). Install one, or name it:" \
	"make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info \
	>= (3, 11) else f"selfpose needs Python 3.11 or later; $(PYTHON) is {v}")'
	@test -x $(PY) || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "could not make a" \
	"virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing the locked packages into $(VENV) (once; a few gigabytes on Linux)"
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(PY) -m uv pip install --python $(PY) --require-hashes -r requirements.lock
	@$(PY) -m uv pip install --python $(PY) --quiet --no-deps --editable .
	@touch $@

WORKFLOW = $(PY) -m experiments.workflow
PLACES = --data "$(DATA)" --data-root "$(DATA_ROOT)" --data-train "$(DATA_TRAIN)" \
	--data-test "$(DATA_TEST)" --jobs "$(JOBS)"

book: $(READY)  ## notebooks, the experiments of PRESET, the site
	@$(WORKFLOW) book --preset "$(PRESET)" $(PLACES) -- $(SNAKEMAKE)
	@echo "the site: $(CURDIR)/build/site/index.html"

experiments: PRESET = standard
experiments: $(READY)  ## the GPU-sized matrix (PRESET=standard), records only
	@$(WORKFLOW) experiments --preset "$(PRESET)" $(PLACES) -- $(SNAKEMAKE)
	@echo "the records: $(CURDIR)/build/$(DATA)-$(PRESET)/runs"

test: $(READY)  ## the tests
	@$(PY) -m pytest -n 2

check-site: $(READY)  ## try every page of the built site in a browser (a minute or two)
	@test -f build/site/index.html || { echo "there is no site in build/site: make book" >&2; exit 1; }
	@SELFPOSE_SITE="$(CURDIR)/build/site" $(PY) -m pytest -n 2 -k given_site tests/test_browser.py

lint: $(READY)  ## style, types, and whether each notebook's two files agree
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy selfpose
	$(PY) -m experiments.notebooks pair check

format: $(READY)  ## put the sources into the house style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

pairs: $(READY)  ## write each notebook's .ipynb from its .py
	$(PY) -m experiments.notebooks pair sync

RUN ?= results/cmu-standard/end_to_end/selfpose/seed0

	$(PY) -m selfpose.front "$(RUN)" --data-root "$(DATA_ROOT)"

bench: $(READY)  ## measure speed, for instance pictures a second
	$(PY) -m selfpose.bench

serve: $(READY)  ## serve the built site on this machine
	$(PY) -m book.kit.site serve --port $(PORT)

lock: $(READY)  ## renew requirements.lock and environment.yml from pyproject.toml
	$(PY) -m uv pip compile pyproject.toml --all-extras --universal --generate-hashes \
	--no-emit-index-url --python-version 3.11 --quiet -o requirements.lock
	@{ printf '%s\n' '# Written by `make lock` from requirements.lock, for conda and Binder.' \
	'name: selfpose' 'channels: [conda-forge]' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:'; \
	sed -n 's/^\([A-Za-z0-9][^ ]*==.*[^ ]\) *\\$$/      - "\1"/p' requirements.lock; \
	echo '      - "-e ."'; } > environment.yml

clean:  ## remove what was built (build/ and caches), keep .venv
	rm -rf build .snakemake .pytest_cache .mypy_cache .ruff_cache
