# Every target sets up what it needs: python3 (3.10 or newer) and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVER := $(BIN)/python -m tests.live.server
LIVE := $(addprefix tests/,contract langchain llama_index faults durability loop load reliability live cli examples)

# The cells of the matrix, a Python version each, which uv finds (pyenv shows it those that it is told of). `lowest` has
# every lower bound of pyproject.toml, `core` those that the frameworks would raise, `newest-3.13` the newest of all.
PYTHONS := 3.10 3.11 3.12 3.13
MATRIX := lowest core newest-$(lastword $(PYTHONS))
UV := PYENV_VERSION=$(shell echo $(PYTHONS) | tr ' ' :) $(BIN)/uv run --isolated --no-project --python
LOWEST := $(firstword $(PYTHONS)) --resolution lowest-direct
BOUNDS := python -m tests.packaging.bounds
SUITE := python -m pytest -n 2
CORE := $(addprefix tests/,cli contract core coverage delivery fuzz hostile loop planner recorded)
FRAMEWORKS := $(addprefix --ignore=tests/,cli/test_prune.py contract/test_this_package.py hostile/test_secrets.py \
	planner/test_docs.py)

.PHONY: demo test check server server-stop live record bench bench-faults fuzz nightly clean dist packages notes matrix

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(READY)  ## the main job, on LETTA_BASE_URL or on the embedded double
	$(BIN)/python examples/demo.py

test: $(READY)  ## everything that needs no server
	$(BIN)/python -m pytest -n 2 tests
	$(BIN)/python -m pytest -n 2 tests/contract --backend recorded
	$(BIN)/python -m pytest -n 2 tests/contract --backend cloud-double

check: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

server: $(READY)  ## build (once, cached) and boot a real Letta server; prints its URL. REDIS=0 boots one without Redis
	$(SERVER) start $(if $(filter 0,$(REDIS)),--no-redis)

server-stop: $(READY)  ## end exactly what `make server` started
	$(SERVER) stop

live: $(READY)  ## the suites that talk to a server, on real ones, with and without Redis
	$(SERVER) run -- $(BIN)/python -m pytest -n 5 --timeout 300 $(LIVE) --backend live

record: $(READY)  ## the cassettes again, from a real server
	$(SERVER) run -- $(BIN)/python -m pytest -n 4 --dist loadfile --timeout 300 tests/contract --backend live --record

bench: $(READY)  ## what the package costs, as ratios, in one table. PLOT=FILE.svg draws it, too
	$(if $(PLOT),$(BIN)/python -m pip install --quiet --editable '.[bench]')
	$(BIN)/python -m benchmarks $(if $(PLOT),--plot $(PLOT))

bench-faults: $(READY)  ## the same faults through this client and the official one. ON="--url … --model-handle …": a server
	$(BIN)/python -m benchmarks.faults $(ON)

fuzz: $(READY)  ## looks for bytes that break the reading of streams, for SECONDS (60)
	$(BIN)/python -m pip install --quiet --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60)

nightly: $(READY)  ## the planner's properties on longer and other scenarios each time: EXAMPLES (100000), a quarter of an hour
	LETTA_PROPERTY_EXAMPLES=$(or $(EXAMPLES),100000) $(BIN)/python -m pytest -n 2 tests/properties

dist: $(READY)  ## the sdist and the wheel, in dist/
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

packages: $(READY)  ## the wheel in clean environments, an extra at a time, and its types; needs the package index
	$(BIN)/python -m pytest -n 2 -m index tests/packaging

matrix: $(addprefix matrix-,$(MATRIX))  ## the suites on the oldest and on the newest Python, frameworks and libraries

matrix-lowest: $(READY)
	$(UV) $(LOWEST) --with-editable '.[dev]' sh -c '$(BOUNDS) dev --without dev-core && $(SUITE) tests'

matrix-core: $(READY)
	$(UV) $(LOWEST) --with-editable '.[dev-core]' sh -c '$(BOUNDS) dev-core && $(SUITE) $(CORE) $(FRAMEWORKS)'

matrix-newest-%: $(READY)
	$(UV) $* --with-editable '.[dev]' $(SUITE) tests

notes: $(READY)  ## what the changelog says of this version, which TAG (v0.1.0) has to name
	@test "$(TAG)" = "v$$($(BIN)/hatchling version)"
	@awk '/^## \[/ { on = index($$0, "[$(TAG:v%=%)]"); next } on { print; found = 1 } END { exit !found }' CHANGELOG.md

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist
