# Every command works on a fresh checkout: it makes .venv, installs what it needs, and skips what is up to date.

PYTHON ?= python3
# Passed on to the program that a target runs: `make test ARGS="-k journal"`.
ARGS ?=

# -P keeps the checkout off sys.path: `hub`, `listeners` and `stores` must not be importable beside `hubwire`.
RUN := .venv/bin/python -P
INSTALL = $(PYTHON) .ci/install_wheel.py
# A process a core; one that has done its tests takes over some of another.
PYTEST := $(RUN) -m pytest --numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-runtimes quick check lint types architecture docs sizes tools bench page screenshots redaction torture chaos clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: python ## Run a live multi-agent scenario, tail it and verify its log
	@$(INSTALL) web
	@.venv/bin/hubwire demo $(ARGS)

test: python ## Run the tests against the wheel
	@$(INSTALL) test frameworks
	$(PYTEST) $(ARGS)

test-runtimes: python ## Test the adapters of agent runtimes, each in an environment of its own; ARGS="--lowest agno"
	@$(PYTHON) .ci/test_runtimes.py $(ARGS)

quick: python ## Run the tests but the slow ones, in some minutes
	@$(INSTALL) test
	$(PYTEST) -m "not slow" $(ARGS)

check: lint types architecture docs sizes ## Lint, format, types, architecture, docs; shows sizes (`make -k check`: all of it)

lint: tools
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) .ci/hubwire_build.py check

types: tools
	$(RUN) -m mypy --package hubwire
	$(RUN) -m mypy tests $(wildcard examples/*.py) .ci/*.py docs/hooks/*.py
	@# With --verifytypes, pyright asks the first python on the PATH and pays no heed to --pythonpath (1.1.414).
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(RUN) -m pyright --verifytypes hubwire --ignoreexternal

architecture: tools
	$(RUN) -m pytest tests/test_architecture.py

# NO_MKDOCS_2_WARNING: the theme advertises what follows it. The site is read from the disk, or by any web server.
docs: python ## Build the documentation into site/
	@$(INSTALL) docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet && echo "the documentation is in site/index.html"

sizes: tools ## Show how far the code is from its targets of size; ARGS=--all for every place
	@$(RUN) .ci/sizes.py $(ARGS)

page: tools ## Bundle the page of the dashboard in place, for an editable install
	@$(RUN) .ci/hubwire_build.py

screenshots: python ## Make the pictures of the dashboard: each view, light and dark, wide and narrow
	@$(INSTALL) test docs
	@$(RUN) .ci/screenshots.py $(ARGS)

tools: python
	@$(INSTALL) test lint

bench: python ## Measure against the physical limit and AG2
	@$(INSTALL) test bench || $(INSTALL) test
	.venv/bin/python benchmarks/run.py $(ARGS)

torture: python ## Harm logs by kills, failing calls, losses of power and damage; ARGS="kills --rounds 100" for a part
	@$(INSTALL) test
	@PYTHONPATH=tests nice -n 19 $(RUN) -m torture $(ARGS)

chaos: python ## Kill and stop hubs and NATS servers in turn, and judge the stream; ARGS="--rounds 20 --seed 7"
	@$(INSTALL) test
	@PYTHONPATH=tests nice -n 5 $(RUN) -m chaos $(ARGS)

redaction: python ## Print how much of its corpus the redactor finds; ARGS=--all for what is missed or wrong
	@$(INSTALL) test
	@.venv/bin/python benchmarks/redaction.py $(ARGS)

clean: ## Remove whatever the other commands have made
	rm -rf .venv .build build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf listeners/dashboard/_page listeners/dashboard/_page.fresh listeners/dashboard/web/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hubwire needs Python 3.11 or newer, and '$(PYTHON)' is not. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
