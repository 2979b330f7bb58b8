# Every target works on a fresh clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
FAST := not slow and not gpu and not browser
# One thread a process: two test processes on two cores are faster than one with two threads, and never fight.
export OMP_NUM_THREADS ?= 1

.PHONY: install quickstart test smoke test-browser test-slow check bench bench-rewards

install: .venv/installed

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -e '.[dev]' -c constraints.txt
	touch $@

# The paper's Table 2 on the embedded shapes world: one reward, one seed, minutes on a CPU.
quickstart: install
	env -u OMP_NUM_THREADS $(BIN)/bench reproduce tailorpo:2 --track shapes --quick

test: install
	$(BIN)/python -m pytest -n 2 -m '$(FAST)'

# The commands end to end at the smallest size, then wheel, editable install, repository root and type checker.
smoke: install
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/smoke
	$(BIN)/python -m pytest -m 'slow' tests/packaging

# A report in the system's Chromium (apt-get install chromium); fails where there is none.
test-browser: install
	$(BIN)/python -m pytest -m 'browser'

# tests/packaging is a part of smoke.
test-slow: install
	$(BIN)/python -m pytest -n 2 -m 'slow and not gpu and not browser' --ignore=tests/packaging

# How fast this is beside what people run today: ratios, a table and its record in results/speed/. Ten to fifteen minutes.
bench: install
	$(BIN)/python -m tests.bench.speed

# Images a second and peak memory of each reward at its real size, with random weights: needs 12 GB of memory.
bench-rewards: install
	$(BIN)/python -m tests.bench.rewards

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
