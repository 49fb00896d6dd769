# Everything runs in .venv, made on first use: only python3.11, make and pip are needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-train check docs clean

demo: .venv/installed
	$(BIN)/multiview demo --out out/demo --force

test: .venv/installed-test
	$(BIN)/python -m pytest -n auto --dist loadfile

# What needs torch. Its usual build brings gigabytes of CUDA; a CPU build of the same version is
# preferred by pip wherever one is on offer (2.13.0+cpu is above 2.13.0). Another: make TORCH=...
TORCH ?= torch==2.13.*
test-train: .venv/installed-train
	$(BIN)/python -m pytest tests/train tests/test_train_data.py tests/test_train_stage.py \
		tests/test_train_confidence.py tests/test_bootstrap_finder.py

check: .venv/installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in out/docs/site. Needs no network; a broken link is an error.
docs: .venv/installed-docs
	$(BIN)/python docs/site.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "multiview needs Python 3.11 or newer: make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-check: .venv/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[check]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/installed-train: .venv/installed-test
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	touch $@

clean:
	rm -rf .venv out
