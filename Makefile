# One entry for each task; CI calls the same ones. `make demo` and `make test` need only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
BENCHMARKS := cutter encoder_speed embed_job block_reading skeletonize nodes_pairs augment training_data tissue rates aggregation search
LONG_BENCHMARKS := methods pinky40 faults collapse_warning distill demo_seeds fib25_settings methods_settings
NOTEBOOKS := $(patsubst %.py,%.ipynb,$(wildcard notebooks/0*.py))
READY := $(VENV)/.installed
export OMP_NUM_THREADS ?= 2

.PHONY: demo test hunt lint docs notebooks bench bench-long clean
.DEFAULT_GOAL := demo

demo: $(READY)  ## the whole story on made tissue, offline, in minutes
	$(BIN)/segclr demo --out runs/demo

test: $(READY)  ## the whole test suite, a process a core, the tests of a file one after another
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist loadfile

hunt: $(READY)  ## the tests that draw their cases, with other and many more cases than `make test` draws
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal --hypothesis-profile=hunt -m hypothesis --timeout=7200

lint: $(READY)  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff check --isolated --select F821 benchmarks tests	# mypy, which finds undefined names elsewhere, does not read these
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## the documentation: site/index.html; strict, and nothing in it is loaded from elsewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: $(NOTEBOOKS)  ## run each notebook whose source is newer than it, on made tissue, offline, in minutes

notebooks/%.ipynb: notebooks/%.py | $(READY)
	$(BIN)/jupytext --quiet --to ipynb --execute $<

bench: $(READY)  ## ratios against stated baselines, on this machine
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-long: $(READY)  ## whole runs over seeds and settings: hours
	for name in $(LONG_BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## everything that is made
	rm -rf $(VENV) runs dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "segclr needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test,docs,lint]'
	touch $(READY)
