# Two commands: `make demo` sets everything up and runs the main job, `make test` sets everything up and tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint types docs

demo: $(INSTALLED)
	$(BIN)/dv demo

test: lint types
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# What is made from the app itself: the reference, the completion scripts, the table of methods.
docs: $(INSTALLED)
	$(BIN)/python -m dreamvideo_cli.reference docs/cli.md
	$(BIN)/python -m dreamvideo_cli.completions completions
	$(BIN)/python -m engine.methods.page docs/methods.md

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
