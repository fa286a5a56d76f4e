# The same few commands for people and CI. The virtual environment is made once; its stamps say what it holds,
# so a second `make demo` or `make test` does no set-up. pip's own settings (PIP_INDEX_URL, …) are respected.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-run
DEV_READY := $(VENV)/.ready-dev
DOCS_READY := $(VENV)/.ready-docs
DEMO := losssearch-runs/demo
PYTEST_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all check docs format bench env clean

help:  ## Show these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(RUN_READY)  ## Search a loss on a bundled data set and show what came of it
	rm -rf $(DEMO)
	$(BIN)/losssearch search builtin:digits_longtail --target target --metric balanced_accuracy --trials 64 \
		--seed 0 --out $(DEMO)
	@echo
	@echo "The loss, standing alone:   $(BIN)/python $(DEMO)/export/loss.py"
	@echo "Every trial, in MLflow:     $(BIN)/losssearch ui $(DEMO)"
	@echo "The leaderboard once more:  $(BIN)/losssearch leaderboard $(DEMO)"

# Two processes, each with whole files: what a file builds once is built once.
test: $(DEV_READY)  ## Run the tests (PYTEST_ARGS=… adds options)
	.ci/with-services $(BIN)/pytest -n 2 --dist loadfile -m "not nightly" $(PYTEST_ARGS)

test-all: $(DEV_READY)  ## Run the tests, with those that take minutes
	.ci/with-services $(BIN)/pytest -n 2 --dist loadfile $(PYTEST_ARGS)

check: $(DEV_READY)  ## Lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS_READY)  ## Build the documentation with its API reference into build/docs
	$(BIN)/python -m sphinx -q -E -W --keep-going -c docs . build/docs
	@echo "Open build/docs/README.html"

format: $(DEV_READY)  ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY)  ## Compare trials per minute with one at a time and with Ray Tune
	$(BIN)/python -m benchmarks.throughput

env:  ## Write .env with new secrets, for docker-compose
	@deploy/make-env

clean:  ## Remove the virtual environment, caches and the demo's folder
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "losssearch needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and by itself: the largest wheel, and the one whose build (CPU or CUDA) the machine decides.
$(RUN_READY): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(DEV_READY): $(RUN_READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(DOCS_READY): $(RUN_READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@
