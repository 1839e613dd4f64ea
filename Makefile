# `make` alone lists what there is. Every command sets up `.venv` first; that is quick when nothing changed.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow fuzz coverage faults-teeth compat chaos ledger ledger-teeth chaos-teeth attacks attacks-teeth check format bench sdks

BIN := .venv/bin
UV := .uv/bin/uv
UV_VERSION := 0.13.8
WORKERS ?= 4
# The tests start dozens of processes: without it each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE
OPENAPI := tools/openapi
SDKS := tools/sdks
NODE := $(abspath $(OPENAPI)/.venv/bin)
ARGS ?=
SEED ?= 1
REV ?= origin/main
SECONDS ?= 60
TURNS ?= 1000

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.complete ## Make .venv with everything in it

.venv/.complete: pyproject.toml uv.lock $(UV)
	$(UV) sync --quiet --frozen --extra embedded --compile-bytecode
	@touch $@

# uv lives by itself: installing it asks nothing of the machine's Python but pip.
$(UV): Makefile
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target .uv uv==$(UV_VERSION)
	@touch $@

run: setup ## Start everything on this machine: make run ARGS="--port 9000 --workers 2"
	@exec $(BIN)/statewright dev $(ARGS)

test: setup ## Run the tests but those of test-slow and fuzz: make test ARGS="tests/sessions -k retry"
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not fuzz" --durations=15 $(ARGS)

test-slow: setup ## Run the tests that start and kill real processes, under faults too
	$(BIN)/pytest -n 2 -m slow --durations=15 $(ARGS)

fuzz: setup ## Run the tests of random values and requests with four times as many of them
	$(BIN)/pytest -n $(WORKERS) --durations=15 --hypothesis-profile=thorough -m "hypothesis or fuzz" $(ARGS)

coverage: setup ## Run the tests and show what they do not reach; takes twice as long
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term-missing:skip-covered $(ARGS)

faults-teeth: setup ## Show that the fault tests fail without the fence, the sweeper, the idempotency key
	$(BIN)/python -m tests.faults.mutate $(ARGS)

chaos: setup ## Run random sessions under random faults: make chaos SEED="1 2" SECONDS=60; ARGS=--help for more
	$(BIN)/python -m tests.chaos.run --seed $(SEED) --seconds $(SECONDS) $(ARGS)

ledger: setup ## Run turns that call tools under faults, and check each call: make ledger TURNS=200 SEED=7
	$(BIN)/python -m tests.ledger.run --turns $(TURNS) --seed $(SEED) $(ARGS)

ledger-teeth: setup ## Show that the ledger run finds it when a safeguard is off
	$(BIN)/python -m tests.ledger.teeth $(ARGS)

compat: setup ## Run an earlier commit's API and worker beside this tree's: make compat REV=1bd7663
	$(BIN)/python -m tests.faults.compat $(REV)

chaos-teeth: setup ## Show that the chaos run finds it when a safeguard is off
	$(BIN)/python -m tests.chaos.teeth $(ARGS)

attacks: setup ## Attack a running service at full size, and show what that costs: make attacks ARGS="search maps"
	$(BIN)/python -m tests.attacks.full.run $(ARGS)

attacks-teeth: setup ## Show that the tests of attacks fail without each safeguard
	$(BIN)/python -m tests.attacks.mutate $(ARGS)

CHECKS := check-format check-lint check-types check-imports check-migrations check-openapi
.PHONY: $(CHECKS)

check: setup ## Check format, lint, types, imports between layers, and that the migrations make the models' tables
	@$(MAKE) --no-print-directory --keep-going --jobs=$(words $(CHECKS)) --output-sync=target $(CHECKS)

check-format:
	$(BIN)/ruff format --check

check-lint:
	$(BIN)/ruff check

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports --no-logo

check-migrations:
	$(BIN)/pytest -q tests/db/test_migrate.py

check-openapi: $(OPENAPI)/.complete
	@mkdir -p build
	$(BIN)/statewright openapi > build/openapi.json
	PATH=$(NODE):$$PATH $(OPENAPI)/node_modules/.bin/redocly lint --config $(OPENAPI)/redocly.yaml --max-problems 50 build/openapi.json
	PATH=$(NODE):$$PATH $(OPENAPI)/node_modules/.bin/spectral lint --ruleset $(OPENAPI)/spectral.yaml --fail-severity warn build/openapi.json

# The linters run on Node, which comes from PyPI: a fresh machine has none.
$(OPENAPI)/.complete: uv.lock $(OPENAPI)/package-lock.json $(UV)
	UV_PROJECT_ENVIRONMENT=$(OPENAPI)/.venv $(UV) sync --quiet --frozen --only-group openapi
	cd $(OPENAPI) && PATH=$(NODE):$$PATH npm ci --loglevel=error
	@touch $@

sdks: setup $(SDKS)/.complete ## Generate SDKs by six generators, and have each drive an agent
	$(BIN)/python -m tools.sdks.run $(ARGS)

# Generators and what they run on come from PyPI and npm; a compiler of Java from Debian.
$(SDKS)/.complete: uv.lock $(SDKS)/package-lock.json $(UV)
	UV_PROJECT_ENVIRONMENT=$(SDKS)/.venv $(UV) sync --quiet --frozen --only-group sdks
	cd $(SDKS) && PATH=$(abspath $(SDKS)/.venv/bin):$$PATH npm ci --loglevel=error
	@touch $@

format: setup ## Format, and fix what lint can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup ## Measure speed
	$(BIN)/python -m bench.run $(ARGS)
