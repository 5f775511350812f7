.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO := demo
VIDEO ?= $(DEMO)/bikes.mp4
CLIPS ?= $(VIDEO)

.PHONY: help demo test check format bench clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; give it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(DEMO)/bikes.mp4: | $(VENV)/.installed
	$(BIN)/python -m infra.demo_clip $@

demo: $(VENV)/.installed $(if $(filter $(DEMO)/bikes.mp4,$(VIDEO)),$(DEMO)/bikes.mp4) ## Convert a short real clip, or VIDEO=path, and say where the result lies
	$(BIN)/spatialdreamer convert "$(VIDEO)" --output $(DEMO)/out
	@echo "Look at $(DEMO)/out: the stereo file, report.html and manifest.parquet."

test: $(VENV)/.installed-dev ## Install and run all checks and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev $(if $(filter $(DEMO)/bikes.mp4,$(CLIPS)),$(DEMO)/bikes.mp4) ## Measure speed and print one table; CLIPS="a.mp4 b.mp4" takes others
	$(BIN)/python -m benchmarks $(CLIPS)

clean: ## Remove the virtual environment and the demo
	rm -rf $(VENV) $(DEMO)
