# Two commands are all the set-up there is: `make demo` and `make test`. Each installs what it needs into .venv.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DEVELOPING := $(VENV)/developing
STUDIO := $(CURDIR)/.venv-labelstudio

export GX_ANALYTICS_ENABLED := false
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help demo ui test test-services test-long check format bench clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(DEVELOPING): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## the whole flow on made-up dresses, in ./var
	$(BIN)/dataops demo

ui: $(INSTALLED)  ## Dagster on http://127.0.0.1:3000, on ./var
	$(BIN)/dataops ui

test: $(DEVELOPING)  ## all tests that need no server of their own
	$(BIN)/python -m pytest -m 'not services and not long' -n auto --dist loadfile --no-loadscope-reorder

# Label Studio and Dagster need versions of the same packages that exclude each other: an environment each
$(STUDIO)/installed: dataops_assets/labels/label_studio_constraints.txt | $(INSTALLED)
	DATAOPS_LABEL_STUDIO_ENV=$(STUDIO) $(BIN)/dataops labelstudio install
	@touch $@

test-services: $(DEVELOPING) $(STUDIO)/installed  ## tests against a live Dagster daemon and webserver, a live Label Studio, and other readers of label files
	DATAOPS_LABEL_STUDIO_ENV=$(STUDIO) $(BIN)/python -m pytest -m 'services and not long'

test-long: $(DEVELOPING)  ## the long forms: every fault, the largest deliveries
	$(BIN)/python -m pytest -m long

check: $(DEVELOPING)  ## formatting, lint, types, definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/dg check yaml
	$(BIN)/dg check defs
	$(BIN)/dataops check

format: $(DEVELOPING)  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPING)  ## each claim of speed, as a ratio
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## remove what was made here, but not your data in ./var
	rm -rf $(VENV) $(STUDIO) $(STUDIO).lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
