# Everything here works on a machine with git, make and Python 3.11 or newer: what is missing is set up first.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format bench golden docs locale lock bundle clean
.DELETE_ON_ERROR:

python := .venv/bin/python
# Processes of the test run: all cores, as the tests wait for servers more than they compute.
workers ?= auto
tests ?=
# `make bench bench=--full` measures five million events.
bench ?=

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: ## The virtual environment .venv with what running needs
	@scripts/setup.sh runtime

setup-dev: ## The same with what tests and checks need
	@scripts/setup.sh dev

demo: setup ## Half an hour of firewall and mail traffic through the whole pipeline, into ./.demo
	@bin/soc demo

test: setup-dev ## All tests; real servers are started where possible (tests="-k name" narrows)
	@$(python) -m pytest -n $(workers) --dist loadgroup $(tests)

check: setup-dev ## Format, lint, types, layers, dependencies
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	.venv/bin/lint-imports
	.venv/bin/deptry .

format: setup-dev ## Format the code and mend what can be mended without thought
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

bench: setup-dev ## Measure speed, size and memory; prints the table of docs/performance.md
	@$(python) -m bench $(bench)

golden: setup-dev ## Write the expected output of parsers and commands anew; read the diff before you commit it
	@SOC_GOLDEN=write $(python) -m pytest -q -p no:xdist tests -k golden

docs: setup-dev locale ## Write docs/reference and THIRD_PARTY.md anew
	@$(python) -m scripts.make_reference
	@$(python) -m scripts.make_third_party

locale: setup-dev ## Collect the texts to translate and compile soc/locale
	@$(python) -m scripts.make_locale

lock: ## Resolve the dependencies anew, with hashes (needs uv)
	@scripts/lock.sh

bundle: setup-dev ## One archive that installs without a network: dist/soc-<version>-<platform>.tar.gz
	@$(python) -m scripts.make_bundle

clean: ## Remove what can be made again
	rm -rf .venv .demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
