# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint golden generate clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(READY) ## Create the virtual environment in .venv

demo: $(READY) ## Apply the examples to a cluster and show what happens (KEEP=1 leaves it running)
	@$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

test: lint ## Lint, type-check and run every test
	$(BIN)/python -m pytest

lint: $(READY) ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

golden: $(READY) ## Regenerate the outcomes of the golden files
	$(BIN)/python -m tests.golden

generate: $(READY) ## Regenerate the CRD manifest and the README's reference table
	$(BIN)/python -m crds.generate

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
