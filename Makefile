# Two commands: `make demo` sets everything up and runs the main job, `make test` sets everything up and tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint types docs

demo: $(INSTALLED)
	$(BIN)/dv demo

# A process a core, one thread each; a file's tests share what they set up, and stay together. Files begin in their order:
# by their number of tests, the longest single ones would come last and alone. Types are checked beside, and told after.
test: lint
	$(BIN)/mypy > .venv/types.txt 2>&1 & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder; \
	failed=$$?; wait $$types || failed=1; cat .venv/types.txt; exit $$failed

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# What is made from the app itself: the reference, the completion scripts, the table of methods.
docs: $(INSTALLED)
	$(BIN)/python -m dreamvideo_cli.terminal.reference docs/cli.md
	$(BIN)/python -m dreamvideo_cli.terminal.shell_scripts completions
	$(BIN)/python -m engine.methods.page docs/methods.md

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
