# make demo and make test need Python 3.11, pip, make and a shell; everything else comes from the project's own files.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test check format contract compose-demo clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY) ## Install what the project needs into .venv

demo: $(READY) ## Run the main job on embedded servers (FILE=catalogue.xml, ONCE=1 ends by itself)
	@$(BIN)/python -m deploy.demo $(if $(FILE),--file "$(FILE)") $(if $(ONCE),--once)

test: $(READY) ## Run all tests
	@$(BIN)/python -m pytest

check: $(READY) ## Judge style, types, import walls and the contract (what CI runs beside the tests)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest tests/contract

format: $(READY) ## Put the code into its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

contract: $(READY) ## Freeze new messages and write asyncapi.json
	@$(BIN)/python -m shared.contract.released
	@$(BIN)/python -m shared.contract.asyncapi

compose-demo: $(READY) ## Build the images, run the main job through docker-compose, take it down again
	@PYTHON=$(BIN)/python deploy/compose-demo.sh

clean: ## Remove what was made, the environment too
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/contract/judge/node_modules
