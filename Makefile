# The manual of this checkout: `make` lists what can be done. No target needs uv, a compiler or a container.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
SOURCES := src tests tools bench

.PHONY: help demo test quick check venv bench fuzz faults docs models lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

# -- the users' two ---------------------------------------------------------------------------------------------------

demo: $(VENV)/.demo ## start everything, send by API and SMTP, show each step, stay up (ONCE=1: stop after the proof)
	@$(BIN)/python tools/demo.py $(if $(ONCE),--once)

test: $(VENV)/.test $(VENV)/.peers check ## all that CI runs: checks, both databases, real servers and clients, short fault campaign
	$(PYTEST)

# -- every day --------------------------------------------------------------------------------------------------------

quick: $(VENV)/.test ## seconds: no real servers, SQLite only
	$(PYTEST) -q -m "not slow and not postgres and not faults"

check: $(VENV)/.test ## format, lint, types, layers, structure, generated pages
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/make_standards_page.py --check
	$(BIN)/python tools/make_configuration_page.py --check
	$(if $(wildcard tools/make_operations_page.py),$(BIN)/python tools/make_operations_page.py --check)
	$(PYTEST) -q tests/structure

venv: $(VENV)/.test ## .venv with everything in it

# -- long ones --------------------------------------------------------------------------------------------------------

bench: $(VENV)/.test $(VENV)/.peers ## accept, relay and relay with DKIM beside Postfix and Haraka
	@[ -x build/haraka/node_modules/.bin/haraka ] || ! command -v npm >/dev/null || \
	  npm install --silent --no-audit --no-fund --ignore-scripts --prefix build/haraka Haraka || true
	$(BIN)/python bench/run.py

fuzz: $(VENV)/.test ## every property test with thousands of examples
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) -q -m "hypothesis and not postgres" --timeout 1800

faults: $(VENV)/.test $(VENV)/.peers ## the long fault campaigns (SEEDS=50 rounds of each)
	MAILSTEAD_SEEDS=$(or $(SEEDS),50) $(PYTEST) -m faults --timeout 3600

# -- made files -------------------------------------------------------------------------------------------------------

docs: $(VENV)/.test ## write the generated pages: operations, configuration, standards
	$(BIN)/python tools/make_standards_page.py
	$(BIN)/python tools/make_configuration_page.py
	$(if $(wildcard tools/make_operations_page.py),$(BIN)/python tools/make_operations_page.py)

models: $(VENV)/.test ## write the operation tables from the installed botocore
	$(BIN)/python tools/make_models.py

lock: $(VENV)/.all ## write requirements*.lock from newest releases that pyproject.toml allows
	$(BIN)/python tools/make_lock.py

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist tmp-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# -- the environment: stamps make the second run instant --------------------------------------------------------------

PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --quiet

$(BIN)/python:
	@PYTHON=$(PYTHON) sh tools/need-pip.sh
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.demo: requirements-demo.lock requirements.lock pyproject.toml | $(BIN)/python
	@PYTHON=$(PYTHON) sh tools/need-pip.sh
	$(PIP) install -r requirements-demo.lock
	$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.test: requirements-test.lock $(VENV)/.demo
	$(PIP) install -r requirements-test.lock
	@touch $@

$(VENV)/.all: pyproject.toml | $(BIN)/python
	@PYTHON=$(PYTHON) sh tools/need-pip.sh
	$(PIP) install --upgrade --upgrade-strategy eager -e .[cluster,demo,test]
	@touch $@

$(VENV)/.peers: tools/peers-install.sh | $(BIN)/python
	@sh tools/peers-install.sh $@
