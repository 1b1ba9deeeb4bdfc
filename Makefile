# Everything a developer does often. `make help` lists it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CSV ?=
DATA_DIR ?= .telemetry
RUN_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv run test check lint types format docs lock servers bench bench-page image compose kind clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

venv: $(VENV)/.ready ## make .venv with the locked dependencies and the command .venv/bin/telemetry

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

run: venv ## run the whole stack on this machine (CSV=path feeds your own DCGM export)
	$(BIN)/telemetry up --data-dir $(DATA_DIR) $(if $(CSV),--csv "$(CSV)") $(RUN_ARGS)

test: export PYTHONDONTWRITEBYTECODE =  # processes by the hundred start from compiled modules
test: venv ## run every test
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder

check: lint types ## run the linters and the type checker

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

format: venv ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv ## write docs/configuration.md and the chart's schema from the options tables
	$(BIN)/python -m cli.reference > docs/configuration.md
	$(BIN)/python -m cli.chart_schema > build-schema.json
	mv build-schema.json charts/telemetry-stack/values.schema.json

lock: venv ## resolve the dependencies again into the lock files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --extra dev \
		--python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate \
		--extra nvml --extra kafka --extra nats --extra redis --extra parquet \
		--constraint requirements.lock --python-version 3.11 pyproject.toml -o requirements.image.lock

servers: ## get the servers to test and measure against that Debian does not package
	tests/servers/get influxd
	tests/servers/get kafka
	tests/servers/get nats-server
	tests/servers/get helm
	tests/servers/get kubernetes

bench: venv ## measure the queue beside its peers, its latency and a long backlog
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.backlog

bench-page: venv ## measure what benchmarks/README.md shows, and write it there
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python -m benchmarks

image: ## build the container image
	docker build --tag telemetry-stack:0.1.0 .

compose: ## run the whole stack in containers, with InfluxDB, Prometheus and Grafana
	deploy/make-secrets
	docker compose up --build

kind: ## install the dev values on a KIND cluster of this machine
	deploy/kind/up

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
