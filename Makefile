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
PY := .venv/bin/python
READY := .venv/.ready
MAKE_IN = $(PY) -m experiments.run make --data "$(DATA)" --data-root "$(DATA_ROOT)" \
	--data-train "$(DATA_TRAIN)" --data-test "$(DATA_TEST)" --jobs "$(JOBS)" --preset "$(PRESET)"

.DEFAULT_GOAL := help
.PHONY: help venv book experiments test check-site lint format pairs bench serve lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  DATA=embedded|hand|quadruped|machine|cmu  DATA_ROOT=folder  PRESET=smoke|quick|standard"

venv: $(READY)  ## make .venv from the lock (the other targets do it by themselves)

$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "selfpose needs" \
	"Python 3.11 or later; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(PY) || "$(PYTHON)" -m venv .venv || { rm -rf .venv; echo "could not make a virtual" \
	"environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing the locked packages into .venv (once; a few gigabytes on Linux)"
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(PY) -m uv pip install --python $(PY) --require-hashes -r requirements.lock
	@$(PY) -m uv pip install --python $(PY) --quiet --no-deps --editable .
	@touch $@

book: $(READY)  ## notebooks, the experiments of PRESET, the site
	@$(MAKE_IN) book -- $(SNAKEMAKE)
	@echo "the site: $(CURDIR)/build/site/index.html"

experiments: PRESET = standard
experiments: $(READY)  ## the GPU-sized matrix (PRESET=standard), records only
	@$(MAKE_IN) experiments -- $(SNAKEMAKE)
	@echo "the records: $(CURDIR)/build/$(DATA)-$(PRESET)/runs"

test: $(READY)  ## the tests
	@$(PY) -m pytest -n 2

check-site: $(READY)  ## try every page of the built site in a browser (a minute or two)
	@test -f build/site/index.html || { echo "there is no site in build/site: make book" >&2; exit 1; }
	@SELFPOSE_SITE="$(CURDIR)/build/site" $(PY) -m pytest -n 2 -k given_site tests

lint: $(READY)  ## style, types, and imports that run one way
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

format: $(READY)  ## put the sources into the house style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

pairs: $(READY)  ## bring each notebook's .py and .ipynb in step, the newer one wins
	$(PY) -m jupytext --sync notebooks/*.py

bench: $(READY)  ## measure speed, for instance pictures a second
	$(PY) tests/bench.py

serve: $(READY)  ## serve the built site on this machine
	$(PY) -m http.server --directory build/site --bind 127.0.0.1 $(PORT)

lock: $(READY)  ## renew requirements.lock and environment.yml from pyproject.toml
	$(PY) -m uv pip compile pyproject.toml --all-extras --universal --generate-hashes \
	--no-emit-index-url --python-version 3.11 --quiet -o requirements.lock
	@{ printf '%s\n' '# Written by `make lock` from requirements.lock, for conda and Binder.' \
	'name: selfpose' 'channels: [conda-forge]' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:'; \
	sed -n 's/^\([A-Za-z0-9][^ ]*==.*[^ ]\) *\\$$/      - "\1"/p' requirements.lock; \
	echo '      - "-e ."'; } > environment.yml

clean:  ## remove what was built (build/ and caches), keep .venv
	rm -rf build .snakemake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
