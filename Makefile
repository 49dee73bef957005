# Everything that a checkout needs: Python 3.11 (or newer) and make. The first target that is called makes the
# environment in .venv; nothing is installed outside it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
TRAFFIC := .venv-traffic
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test slow chaos fuzz lint format bench bench-alerts bench-rarity bench-rules bench-traffic notebook clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/.run  ## run the reference case: an Il-62 goes to North Korea and nobody sees it land
	@$(BIN)/flightwatch demo

test: $(VENV)/.dev  ## the tests, in about three minutes on two cores
	@$(BIN)/python -m pytest -q

slow: $(VENV)/.dev  ## the tests that take longer, and properties with six times as many examples
	@$(BIN)/python -m pytest -q -m 'slow or (hypothesis and not chaos and not fuzz)' --hypothesis-profile thorough --dist worksteal

chaos: $(VENV)/.dev  ## kills the program at random moments and counts what is lost
	@$(BIN)/python -m pytest -q -m chaos

fuzz: $(VENV)/.dev  ## hostile input in bulk: a hundred thousand replies or files for each parser
	@$(BIN)/python -m pytest -q -m fuzz --dist load

lint: $(VENV)/.dev  ## style, types, layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev  ## put the code into shape
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: $(VENV)/.dev  ## how fast it is, as ratios of one run
	@$(BIN)/python benchmarks/bench.py

bench-alerts: $(VENV)/.dev  ## how long from a feed's answer to the message at Slack
	@$(BIN)/python benchmarks/latency.py

bench-rarity: $(VENV)/.dev  ## how good rarity is on flight lists: make bench-rarity LISTS="list.csv:21 jet.csv:180"
	@$(BIN)/python benchmarks/rarity.py $(LISTS)

bench-rules: $(VENV)/.dev  ## fifty rules over ten million legs: make bench-rules LEGS=1000000 for fewer
	@$(BIN)/python benchmarks/backtest.py --legs $(or $(LEGS),10000000)

bench-traffic: $(VENV)/.dev $(TRAFFIC)/.made  ## the same positions through flightwatch and the traffic library
	@$(BIN)/python benchmarks/against_traffic.py $(TRAFFIC)/bin/python

notebook: $(VENV)/.notebooks  ## open the notebook on what the demo left
	@$(BIN)/jupyter lab notebooks/flagged_flights.ipynb

clean:  ## remove the environment and what the demo left
	rm -rf $(VENV) $(TRAFFIC) data/demo

$(VENV)/bin/python:
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "flightwatch needs Python 3.11 or newer; call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing flightwatch ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing flightwatch and what its tests need ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.notebooks: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing flightwatch and what its notebooks need ..."
	@$(PIP) --editable '.[notebooks]'
	@touch $@ $(VENV)/.run

# traffic needs a pandas older than ours
$(TRAFFIC)/.made:
	@echo "Making the environment of the traffic library in $(TRAFFIC) ..."
	@$(PYTHON) -m venv $(TRAFFIC)
	@$(TRAFFIC)/bin/python -m pip install --quiet --disable-pip-version-check 'traffic==2.13' 'pandas==2.3.3'
	@touch $@
