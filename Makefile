PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CODE := $(wildcard efcheck counterexamples proofs_numeric figures benchmarks tests)

.PHONY: audit test check lint fast slow doctest figures bench wheel clean

audit: $(STAMP)
	$(BIN)/efcheck audit

test: $(STAMP) fast doctest

check: lint fast doctest

lint: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy

fast: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal  # tests of a file stay together, with what they share

slow: $(STAMP)  # before a release; more than two hours
	$(BIN)/python -m pytest -m "slow or ddp"

doctest: $(STAMP)
	$(BIN)/python -m pytest --doctest-modules efcheck --ignore=efcheck/train/_triton.py  # imports triton, which only GPU machines have

figures: $(STAMP)
	$(BIN)/efcheck figures --out out

bench: $(STAMP)
	$(BIN)/python benchmarks/simulate.py

wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Installs again only when what is to be installed has changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,worst-case,train]'
	touch $@
