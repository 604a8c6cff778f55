# `make demo` and `make test` do all their own set-up. `make help` lists the targets.
# What is installed is exactly what requirements/ lists, by version and hash.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what it imports. pip would compile all that is installed, which takes ten seconds (--no-compile below).
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Three processes of tests for two cores, since tests also wait; those that share a server stay together (tests/kinds.py).
PYTEST := $(BIN)/python -m pytest --numprocesses $(shell expr $$(nproc) \* 3 / 2)
# Targets side by side, as many as there are cores. What each prints stays together.
SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=$(shell nproc) --output-sync=target
# The tests start the program hundreds of times, which would compile it anew each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo unit check test lint mypy ruff docs site pictures messages bench chaos fuzz dist clean lock packages

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.run ## the whole job on a sample day, into demo/
	@$(BIN)/newsletter demo --output demo

unit: $(VENV)/.dev ## the pure tests, which need no server, no database and no other process: seconds
	@$(SIDE_BY_SIDE) unit-a-i unit-j-z

# The tests of the files whose names begin so. pytest-xdist takes 2 ms for each test, half as long as the test; and a file
# that is named on the command line is imported even when it has no such test (tests/kinds.py).
unit-%: $(VENV)/.dev
	@$(BIN)/python -m pytest --quiet -m unit --ignore-glob='tests/test_[!$*]*.py'

component-%: $(VENV)/.dev
	@$(BIN)/python -m pytest --quiet -m 'unit or component' --ignore-glob='tests/test_[!$*]*.py'

check: $(VENV)/.dev ## unit, the tests with SQLite and web pages, lint: what a change must pass before it is committed
	@$(SIDE_BY_SIDE) component-a-r component-s-z lint

test: lint packages ## lint, and every test, with real servers: minutes
	@$(PYTEST)

lint: site mypy ruff ## the docs site, mypy and ruff alone

mypy: $(VENV)/.dev
	@$(BIN)/mypy --num-workers auto

ruff: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .

docs: $(VENV)/.dev ## generate the reference: docs/configuration.md, docs/commands.md, the comments in config.yaml
	@$(BIN)/python -m docs.generate

# Every warning is an error, such as a dead link. A page that was read before would not be warned of again (-E).
site: $(VENV)/.dev ## the docs as a site, into build/site
	@$(BIN)/python -m sphinx -q -E -W --keep-going -n -d build/doctrees -c docs . build/site

pictures: $(VENV)/.dev ## make docs/gallery anew: mails and pages in a browser, commands in a terminal
	@$(BIN)/python -m docs.screens
	@$(BIN)/python -m docs.gallery

messages: $(VENV)/.dev ## bring the catalogues in locale/ up to date with the words in templates and code
	@$(BIN)/python -m tests.messages

bench: $(VENV)/.dev ## the figures of the README
	@$(BIN)/python -m bench

chaos: $(VENV)/.dev ## every fault of a misbehaving server, on 200 and 5,000 readers, both databases
	@for store in sqlite postgresql; do for number in 200 5000; do \
	  echo "$$store, $$number readers" && $(BIN)/python -m tests.chaos --store $$store --recipients $$number || exit 1; \
	done; done

fuzz: $(VENV)/.dev ## ten minutes of damaged feeds, mails, lists, configurations and links, always the same ones
	@$(BIN)/python -m tests.fuzz

lock: $(VENV)/.dev ## write requirements/ anew from pyproject.toml
	@tests/setup/lock.sh $(BIN)

dist: $(VENV)/.dev ## wheel and sdist, into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation

clean: ## remove what the other targets made
	@rm -rf $(VENV) demo preview build dist .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages:
	@tests/setup/packages.sh

$(VENV)/bin/python:
	@tests/setup/venv.sh $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements/run.txt
	@tests/setup/link.sh $(VENV)
	@touch $@

$(VENV)/.dev: requirements/build.txt requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --no-compile --require-hashes --no-deps -r requirements/build.txt
	@$(PIP) install --no-compile --require-hashes --no-deps --no-build-isolation -r requirements/dev.txt
	@tests/setup/link.sh $(VENV)
	@touch $@ $(VENV)/.run
