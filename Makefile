# make run: everything on this machine. make test: every check but the long ones, each on one database at least; make test-long: the rest. Each target says what it needs and how to get it.
PYTHON ?=
PORT ?=
INSTANCE ?= instance
BIN := .venv/bin
SHELL := /bin/sh
# Tests wait for parts more than they compute: three processes keep two processors busy. By file, because a file shares its parts.
TESTS_AT_ONCE := -n 3 --dist loadfile --no-loadscope-reorder
.DELETE_ON_ERROR:
.PHONY: run test test-long lint bench catalogues clean

run: .venv/run.stamp
	@exec $(BIN)/counterseal up --evaluation --instance "$(INSTANCE)" $(if $(PORT),--port $(PORT))

test: .venv/test.stamp tests/node_modules/.stamp lint
	@.ci/programs
	$(BIN)/python -m pytest -m "not long" $(TESTS_AT_ONCE)

test-long: .venv/test.stamp tests/node_modules/.stamp
	@.ci/programs
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m pytest -m "not long" --both $(TESTS_AT_ONCE)

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/test.stamp
	$(BIN)/python -m tests.bench

# What pages say, for translators: webapp/translations/<language>/LC_MESSAGES/<room>.po.
catalogues: .venv/test.stamp
	$(BIN)/python -m tests.catalogues

clean:
	rm -rf .venv dist tests/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment needs pip in it; Debian leaves that to a package of its own.
.venv/bin/pip:
	@.ci/python "$(PYTHON)"

# Each stamp is younger than pyproject.toml: what is installed is not installed again.
.venv/run.stamp: pyproject.toml | .venv/bin/pip
	@echo "Installing what Counterseal needs (once; the downloads take a minute or two)."
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[demo]'
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[test]'
	@touch .venv/run.stamp $@

tests/node_modules/.stamp: tests/package.json
	@command -v npm >/dev/null || { echo "The tests need Node.js 20 or later and npm. On Debian: sudo apt-get install nodejs npm"; exit 1; }
	cd tests && npm install --no-package-lock --no-audit --no-fund
	@touch $@
