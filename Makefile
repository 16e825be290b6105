# `make serve` needs nothing but Python 3.11 or later: it makes .venv, installs the tested versions, and serves models/.
PORT ?= 8000
# Not from the environment: conda exports a HOST that is no address.
HOST := 127.0.0.1
ARGS ?=
# The first of these that runs and is new enough (a version manager may leave a name on PATH that does not run).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install serve test lint format bench clean

help:
	@echo "make install   .venv with the versions of constraints.txt"
	@echo "make serve     the API and the page, on http://$(HOST):$(PORT) (HOST=, PORT=, ARGS= for more options)"
	@echo "make test      the tests (ARGS='-k name' or ARGS=--run-slow)"
	@echo "make lint      ruff and pyright      make format   ruff, in place"
	@echo "make bench     every script of benchmarks/"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# Its REST client is tested against; the rest of it would bring Kubernetes and older versions of what we have.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps kserve
	@touch $@

serve: install
	$(BIN)/ebm serve --host $(HOST) --port $(PORT) $(ARGS)

test: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# Pyright looks for a newer pyright on the network unless told not to warn about it.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	@set -e; for script in benchmarks/[!_]*.py; do \
		if [ -f "$$script" ]; then echo "== $$script"; $(BIN)/python "$$script" $(ARGS); fi; done

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
