# Every target sets up what it needs: python3 (3.10 or newer) and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVER := $(BIN)/python -m tests.live.server
LIVE := $(addprefix tests/,contract langchain llama_index faults durability loop load reliability live cli examples)

.PHONY: demo test check server server-stop live record bench bench-faults fuzz nightly clean

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

bench: $(READY)  ## what the package costs, as ratios, in one table
	$(BIN)/python -m benchmarks

bench-faults: $(READY)  ## the same faults through this client and the official one. ON="--url … --model-handle …": a server
	$(BIN)/python -m benchmarks.faults $(ON)

fuzz: $(READY)  ## looks for bytes that break the reading of streams, for SECONDS (60)
	$(BIN)/python -m pip install --quiet --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60)

nightly: $(READY)  ## the planner's properties on longer and other scenarios each time: EXAMPLES (100000), a quarter of an hour
	LETTA_PROPERTY_EXAMPLES=$(or $(EXAMPLES),100000) $(BIN)/python -m pytest -n 2 tests/properties

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist
