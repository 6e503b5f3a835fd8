# Every target does its own set-up; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo up test check docs mutants chaos lock clean

BIN := .venv/bin
INSTALLED := .venv/installed
TESTS ?= tests

# What tools leave behind goes below var/, which `make clean` removes.
CACHE := $(CURDIR)/var/cache
export RUFF_CACHE_DIR := $(CACHE)/ruff
export MYPY_CACHE_DIR := $(CACHE)/mypy
export PYTHONPYCACHEPREFIX := $(CACHE)/python
export COVERAGE_FILE := $(CACHE)/coverage
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
export PYTEST_DEBUG_TEMPROOT := $(CACHE)/tmp

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 17

demo: $(INSTALLED) ## Run the main job for several tenants on real servers, show it, stop everything
	@$(BIN)/genius demo

up: $(INSTALLED) ## Start the whole system and stay until Ctrl-C
	@$(BIN)/genius up

test: $(INSTALLED) ## Run the tests on real servers (TESTS=path picks some)
	@mkdir -p "$(PYTEST_DEBUG_TEMPROOT)"
	$(BIN)/pytest -n 3 --dist worksteal -o cache_dir="$(CACHE)/pytest" $(TESTS)

check: $(INSTALLED) ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir "$(CACHE)/imports"

docs: $(INSTALLED) ## Build the documentation into var/site; a link that leads nowhere fails
	$(BIN)/mkdocs --quiet build

mutants: $(INSTALLED) ## Break the fair-share scripts one by one; every break must be found
	@$(BIN)/python -m tests.mutants.run

chaos: $(INSTALLED) ## Break everything while jobs run; nothing may be lost or done twice
	@$(BIN)/python -m tests.chaos

lock: $(INSTALLED) ## Renew requirements.lock from pyproject.toml
	@test -x var/uv/bin/uv || { python3 -m venv var/uv && var/uv/bin/pip install --quiet uv; }
	var/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group dev --extra embedded \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock pyproject.toml

clean: ## Remove .venv and var/, with the embedded servers' data
	rm -rf .venv var *.egg-info

$(INSTALLED): requirements.lock pyproject.toml deploy/setup.sh
	@sh deploy/setup.sh
