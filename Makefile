# Every target sets up first when needed: a virtual environment in .venv, torch before all else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# The tests and the small model are fastest with one thread a process.
ONE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: setup demo test slow check format docs bench bench-full clean
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/cliptune demo --fresh

test: $(READY)
	$(ONE) $(BIN)/python -m pytest -n 2 --dist loadgroup

slow: $(READY)
	$(ONE) $(BIN)/python -m pytest -n 2 --dist loadgroup -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python -m cliptune.method_page docs/methods

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

bench-full: $(READY)
	$(BIN)/python benchmarks/bench.py --full --out bench-full.json

clean:
	rm -rf .venv build dist runs studies demo-run bench.json bench-full.json
