# make demo and make test need Python 3.11, pip, make and a shell; everything else comes from the project's own files.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test simulate check format contract release fuzz chaos flood bad-messages month soak compose-demo clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY) ## Install what the project needs into .venv

demo: $(READY) ## Run the main job on embedded servers (NODES=3 on three nodes, FILE=catalogue.xml, ONCE=1)
	@$(BIN)/python -m deploy.demo $(if $(FILE),--file "$(FILE)") $(if $(NODES),--nodes $(NODES)) $(if $(ONCE),--once)

test: $(READY) ## Run all tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

SEEDS ?= 1000

simulate: $(READY) ## Run simulated worlds full of faults (SEEDS=1000, JSON at the end)
	@$(BIN)/python -m deploy.simulation --seeds $(SEEDS) --json

check: $(READY) ## Judge style, types, import walls and the contract (what CI runs beside the tests)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest tests/contract

format: $(READY) ## Put the code into its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

contract: $(READY) ## Freeze new messages and write asyncapi.json and docs/api/*.json
	@$(BIN)/python -m shared.contract.released
	@$(BIN)/python -m shared.contract.asyncapi
	@$(BIN)/python -m shared.kit.documents

release: $(READY) ## Freeze the OpenAPI documents as the release that later ones are compared with
	@$(BIN)/python -m shared.kit.documents release

fuzz: $(READY) ## Try every service with schemathesis (CASES=2000 for each, SERVICE=courses for one)
	@$(BIN)/python -W error -m tests.fuzz $(or $(CASES),2000) $(SERVICE)

chaos: $(READY) ## Hurt three nodes and a hub, heal, demand equality (ROUNDS=12, SEED=7, SECONDS=300, DEEP=1 for sends and files, too)
	@$(BIN)/python -m deploy.chaos $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(DEEP),--deep)

flood: $(READY) ## Let one institution flood the node beside twelve others (COUNT=10000, SECONDS=300), JSON to var/flood.json
	@$(BIN)/python -m deploy.load.flood $(if $(COUNT),--count $(COUNT)) $(if $(SECONDS),--seconds $(SECONDS))

bad-messages: $(READY) ## Measure how long the next message waits behind each kind of bad one (ROUNDS=10), JSON to var/bad_messages.json
	@$(BIN)/python -m deploy.load.bad_messages --rounds $(or $(ROUNDS),10)

month: $(READY) ## Cut thirteen nodes off for a month of virtual time, heal, demand equality (NODES=13, MESSAGES=834)
	@$(BIN)/python -m deploy.month --json $(if $(NODES),--nodes $(NODES)) $(if $(MESSAGES),--messages $(MESSAGES))

soak: $(READY) ## Work for an hour while a process is killed every minute (MINUTES=60, RATE=50), JSON to var/soak.json
	@$(BIN)/python -m deploy.load.soak --minutes $(or $(MINUTES),60) --rate $(or $(RATE),50)

compose-demo: $(READY) ## Build the images, run the main job through docker-compose, take it down again (NODES=2: two projects and a hub)
	@PYTHON=$(BIN)/python NODES=$(or $(NODES),1) deploy/compose-demo.sh

clean: ## Remove what was made, the environment too
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/contract/judge/node_modules
