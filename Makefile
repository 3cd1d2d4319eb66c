# Lab-O. `make run` is all one needs to see it; `make help` tells the rest.
#   PYTHON=python3.12 make run       another Python
#   LABO_PORTAL_PORT=8090 make run   another port
#   make test PYTEST_ARGS="tests/booking -k B2"

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PYTEST_ARGS ?=
BENCH_ARGS ?=
WORKERS ?= 2
COMPILE = uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -p 3.11

export PYTHONDONTWRITEBYTECODE=
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: bench bench-pretix faults help run python setup setup-dev test check lint format types imports contracts documents release pytest lock

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

run: setup  ## start the whole system, and load the demonstration at the first start; Ctrl-C stops it
	@$(BIN)/python -m deploy.cli up

setup: python
	@$(PYTHON) deploy/setup.py

setup-dev: python
	@$(PYTHON) deploy/setup.py --dev

python:
	@command -v $(PYTHON) >/dev/null || { echo "Lab-O needs Python 3.11 or newer, and there is no '$(PYTHON)' here: install it first." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Lab-O needs Python 3.11 or newer, and '$(PYTHON)' is older: \
	install one, then say which (make PYTHON=python3.11 run)." >&2; exit 1; }

test: check pytest  ## all that CI runs: lint, types, import and message contracts, tests with coverage

check: lint types imports contracts

lint: setup-dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup-dev  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup-dev  ## basedpyright, strict
	$(BIN)/basedpyright

imports: setup-dev  ## import contracts between services, kernel and deployment
	$(BIN)/lint-imports

contracts: setup-dev  ## the documents agree with the contracts, and these keep what the last release promised
	$(BIN)/python -m deploy.contracts check

documents: setup-dev  ## write schemas, AsyncAPI, event catalogue and list of refusals from the contracts
	$(BIN)/python -m deploy.contracts generate

release: setup-dev  ## make today's contracts the promise that later ones are compared with
	$(BIN)/python -m deploy.contracts release

pytest: setup-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report=term $(PYTEST_ARGS)

faults: setup-dev  ## the fault matrix: processes and servers killed, wires cut, streams lost, planted bugs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/faults

containers:  ## the same system in containers (Docker with compose v2; docs/containers.md)
	docker build -f deploy/Dockerfile -t labo:dev .
	mkdir -p .secrets
	docker run --rm --network none --user $$(id -u):$$(id -g) -v "$$PWD/.secrets:/secrets" labo:dev python -m deploy.containers.secrets /secrets
	docker compose up -d --no-build --wait
	@echo "Lab-O: https://labo.localhost:$${LABO_PORT:-8443}   (trust .secrets/edge/ca.crt, or accept the warning)"

bench: setup-dev  ## measure bookings, relay, start and memory, each beside its limit (BENCH_ARGS="--rounds 1 --only relay")
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-pretix: setup-dev  ## the same, with pretix from PyPI beside it (installed apart; minutes)
	$(BIN)/python -m tests.bench --pretix $(BENCH_ARGS)

lock:  ## resolve the dependencies of pyproject.toml again (needs uv)
	$(COMPILE) -o requirements.lock
	$(COMPILE) --group dev -o requirements-dev.lock
