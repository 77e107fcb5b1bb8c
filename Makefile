# Two words do everything: `make demo` and `make test`. Both need nothing but a Python 3.11 to 3.13.
#
# On Linux without an NVIDIA GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
TORCH_INDEX ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint completions clean

help:
	@echo "make demo         a performer, its avatar, its scores and a video, in demo/"
	@echo "make test         the test suite"
	@echo "make lint         ruff"
	@echo "make completions  write completions/ again"
	@echo "make clean        remove .venv and demo/"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "emoga needs Python 3.11, 3.12 or 3.13 on the PATH" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/emoga demo --output demo --resume

test: $(INSTALLED)
	OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

completions: $(INSTALLED)
	$(BIN)/python -m emoga_cli.completion completions

clean:
	rm -rf $(VENV) demo
