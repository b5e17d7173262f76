# Two commands do everything on a fresh machine with Python 3.11+ and make: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input -q

.PHONY: help run test lint bench calibrate fuzz accuracy docs clean
help:            ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*##/\t/' | expand -t 12

$(VENV)/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $(VENV)/core $@

run: $(VENV)/core            ## set up, then count a model, translate a throughput into MFU, answer a claim, look at this machine
	$(BIN)/flopsight count llama-3.1-8b --depth 2
	$(BIN)/flopsight mfu llama-3.1-8b --tokens-per-s 24000 --on 8xH100-SXM --phase train --seq 8192
	$(BIN)/flopsight can dense:1T --on 8xH100-SXM --tokens-per-s 33.33
	$(BIN)/flopsight hardware here

test: $(VENV)/dev            ## set up with the test tools, then run every test
	$(BIN)/python -m pytest

lint: $(VENV)/dev            ## format, style, types, layers
	$(BIN)/ruff format --check src tests tools
	$(BIN)/ruff check src tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev            ## speed of counts and predictions, as ratios against a baseline in the same run
	$(PIP) install --no-deps --target $(VENV)/peers llm-analysis==0.2.2 fire termcolor
	$(BIN)/python tools/bench.py

calibrate: $(VENV)/dev            ## fit the kernels' coefficients anew from published measurements (a dev extra)
	$(PIP) install -c constraints.txt -e '.[calibrate]'
	$(BIN)/python -m tools.calibrate

accuracy: $(VENV)/dev            ## write docs/accuracy.md from rows of published measurements: make accuracy ROWS=folder
	$(BIN)/python tools/accuracy.py $(ROWS)

fuzz: $(VENV)/dev            ## coverage-guided fuzzing of everything that reads a file
	$(PIP) install -c constraints.txt atheris
	for target in json safetensors gguf; do $(BIN)/python tests/fuzz/run_atheris.py $$target -runs=100000 || exit 1; done
	$(BIN)/python tests/fuzz/run_atheris.py config -runs=3000

docs: $(VENV)/dev            ## regenerate the generated pages
	$(BIN)/python tools/make_docs.py

clean:            ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
