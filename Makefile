# The chores of the house. `make` alone lists them; every one of them sets up .venv by itself the first time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench browser clean

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# `make TORCH_INDEX=URL` looks for torch on another index as well, e.g. one that carries builds for your hardware.
TORCH_INDEX ?=
PYTEST_WORKERS ?= 3
PYTEST_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check

help: ## list the chores
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1  \t\2/p' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the pinned versions

$(READY): pyproject.toml constraints.txt
	@python=$$(for one in python3 python3.13 python3.12 python3.11; do \
	    "$$one" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$one" && break; \
	  done); \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer, with its venv module, is needed." >&2; exit 1; fi; \
	test -x $(BIN)/python || "$$python" -m venv $(VENV)
	@echo "Installing the pinned versions into $(VENV) (a few minutes the first time) ..."
	@$(PIP) install --quiet --retries 1 --constraint constraints.txt \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@$(PIP) install --quiet --constraint constraints.txt hatchling editables
	@$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@# Their schedulers alone are tested: timm would bring torchvision (whose wheels fit no CPU build of torch),
	@# torchtitan data sets and trackers.
	@$(PIP) install --quiet --constraint constraints.txt --no-deps timm torchtitan spmd_types
	@touch $@

demo: $(READY) ## search and verify a schedule on real data, in a few minutes; results in demo/
	@mkdir -p demo
	$(BIN)/schedsearch launch --task digits --space quick --trials 24 --study demo-$(shell date +%Y%m%d-%H%M%S) \
	  --storage sqlite:///demo/schedsearch.db --mlflow sqlite:///demo/mlflow.db --output-dir demo/results

test: $(READY) browser ## run every test (PYTEST_ARGS="-k name" for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

lint: $(READY) ## ruff, mypy strict, and what may import what
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## the long measurements behind the figures in README: hours (not in CI)
	@$(PIP) install --quiet --constraint constraints.txt 'ray[tune]'
	@for one in logs.py descriptions.py fit_priors.py reference.py ask_cost.py "search.py run" "search.py report" \
	  "overhead.py --repeats 3" queue_cost.py examples.py faults.py "faults.py whole" studies.py \
	  rounding.py peers.py "peers.py verified" scale.py; do echo "== $$one"; $(BIN)/python benchmarks/$$one || exit 1; done

browser: # the report's looks are tested in a real browser: on Debian as root it is fetched, elsewhere those tests say so
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	echo "No chromium here: the tests that open the report in a browser are skipped." >&2

clean: ## remove .venv, build leftovers and the demo's results
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
