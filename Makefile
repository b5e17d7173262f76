# Two commands do everything on a fresh machine with Python 3.11+ and make: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input -q

PEERS  := $(VENV)/peers-counters

.PHONY: help run test lint bench peers calibrate fuzz accuracy gpu-check docs clean
help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*##/\t/' | expand -t 12

$(VENV)/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/torch: $(VENV)/core
	$(PIP) install -c constraints.txt torch==2.13.0
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt $(VENV)/torch
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $(VENV)/core $(VENV)/torch $@

run: $(VENV)/torch            ## set up, count a model, turn a throughput into MFU, answer a claim, look at this machine, run a model on it
	$(BIN)/flopsight count llama-3.1-8b --depth 2
	$(BIN)/flopsight mfu llama-3.1-8b --tokens-per-s 24000 --on 8xH100-SXM --phase train --seq 8192
	$(BIN)/flopsight can dense:1T --on 8xH100-SXM --tokens-per-s 33.33
	$(BIN)/flopsight hardware here
	$(BIN)/flopsight bench smollm2-135m --phase prefill,decode,train --seq 128 --seconds 40

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

# a folder of its own: none of these may decide what the tests run with; thop and ultralytics-thop share a name
$(PEERS): Makefile
	rm -rf $@
	DS_BUILD_OPS=0 $(PIP) install --no-deps --target $@ fvcore==0.1.5.post20221221 iopath==0.1.10 yacs==0.1.8 \
		tabulate==0.10.0 termcolor==3.3.0 portalocker==4.4.2 deepspeed==0.19.8 hjson==3.1.0 msgpack==1.2.4 \
		py-cpuinfo==9.0.0 ninja==1.13.2 einops==0.8.2 psutil==7.2.2 pydantic==2.14.3 pydantic-core==2.50.4 \
		typing-inspection==0.4.5 annotated-types==0.8.0 accelerate==1.15.0 calflops==0.3.2 ptflops==0.7.5 \
		thop==0.1.1.post2209072238 torchinfo==1.8.0 torchprofile==0.1.0

peers: $(VENV)/dev $(PEERS)            ## other counters beside ours on the zoo; writes docs/concepts/counting-peers.md
	$(BIN)/python -m tools.peers $(PEERS)

calibrate: $(VENV)/dev            ## fit the kernels' coefficients anew from published measurements (a dev extra)
	$(PIP) install -c constraints.txt -e '.[calibrate]'
	$(BIN)/python -m tools.calibrate

accuracy: $(VENV)/dev            ## write docs/accuracy.md from rows of published measurements: make accuracy ROWS=folder
	$(BIN)/python tools/accuracy.py $(ROWS)

fuzz: $(VENV)/dev            ## coverage-guided fuzzing of everything that reads a file
	$(PIP) install -c constraints.txt atheris
	for target in json safetensors gguf; do $(BIN)/python tests/fuzz/run_atheris.py $$target -runs=100000 || exit 1; done
	$(BIN)/python tests/fuzz/run_atheris.py config -runs=3000
	for name in $$($(BIN)/python -m tests.fuzz.trace_files); do \
		$(BIN)/python tests/fuzz/run_atheris.py trace-$$name -runs=60000 || exit 1; done

gpu-check: $(VENV)/dev            ## on a machine with a GPU: ceilings, counts and utilization beside its own counters, kept in data/measured
	$(PIP) install nvidia-ml-py
	$(BIN)/python -m tools.gpu.check

docs: $(VENV)/dev            ## regenerate the generated pages
	$(BIN)/python tools/make_docs.py

clean:            ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
