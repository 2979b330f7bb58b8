# Every target works on a fresh clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
ALL := not long and not gpu and not browser and not tex and not parity
FAST := not slow and $(ALL)
# The Python of make gpu, the folder of its records, the steps to be repeated, as ONLY=3,memory, and a factor for its limits.
GPU_PYTHON ?= $(BIN)/python
GPU_OUT ?= results/gpu
ONLY ?=
SLOWER ?= 1
# One thread a process: two test processes on two cores are faster than one with two threads, and never fight.
export OMP_NUM_THREADS ?= 1

# Makes the kernels of a processor with AVX2 and without AVX-512 run on any x86 machine, as on AMD's Zen 2 and Zen 3.
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2

.PHONY: install quickstart test smoke test-browser test-slow test-slurm test-long test-parity test-cpus check docs bench bench-rewards gpu gpu-more

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
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m '$(FAST)'

# The commands end to end at the smallest size, then wheel, editable install, repository root and type checker.
smoke: install
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/smoke
	$(BIN)/python -m pytest -m 'slow' tests/packaging

# Pages in the system's Chromium, and the tables of reports in LaTeX (apt-get install chromium texlive-latex-recommended);
# fails where one of them is missing.
test-browser: install
	$(BIN)/python -m pytest -m 'browser or tex'

# tests/packaging is a part of smoke.
test-slow: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'slow and $(ALL)' --ignore=tests/packaging

# Jobs and a table in a real Slurm of one node, which this starts and ends: as root, on Debian with slurm-wlm and munge.
test-slurm: install
	$(BIN)/python -m pip install -e '.[dev,slurm]' -c constraints.txt
	BENCH_TEST_SLURM=1 $(BIN)/python -m pytest tests/runtime/backends/slurm tests/runtime/backends/test_table.py

# What is too large for every change: real sizes of every method, on tensors without numbers.
test-long: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'long'

# Our rewards beside the authors' packages, at their real sizes with random weights: installs 6 GB, needs a Python 3.10 and
# 16 GB of memory, and takes an hour or more (docs/parity.md).
test-parity: install
	$(BIN)/python -m pytest -m 'parity'

# The fast and slow tests with the kernels of other processors, with one and with two threads. Hours: each of the ten
# combinations takes as long as test and test-slow together. All of them run, also after a failure, which fails the target.
test-cpus: install
	@failed=; \
	for kernels in "ATEN_CPU_CAPABILITY=default" "ATEN_CPU_CAPABILITY=avx2" "ONEDNN_MAX_CPU_ISA=AVX2" "$(AVX2)" "MKL_CBWR=COMPATIBLE"; do \
	    for threads in 1 2; do \
	        echo "== $$kernels OMP_NUM_THREADS=$$threads"; \
	        env $$kernels OMP_NUM_THREADS=$$threads $(BIN)/python -m pytest -n 2 --dist loadgroup -m '$(ALL)' \
	            --ignore=tests/packaging || failed="$$failed$$kernels OMP_NUM_THREADS=$$threads\n"; \
	    done; \
	done; \
	if [ -n "$$failed" ]; then printf "failed under:\n$$failed"; exit 1; fi

# How fast this is beside what people run today: ratios, a table and its record in results/speed/. Ten to fifteen minutes.
bench: install
	$(BIN)/python -m tests.bench.speed

# Images a second and peak memory of each reward at its real size, with random weights: needs 12 GB of memory.
bench-rewards: install
	$(BIN)/python -m tests.bench.rewards

# Everything once on one GPU with random weights at real size, ten and eight minutes (docs/gpu.md); without a GPU the
# methods train on fake CUDA tensors. On a machine where nothing is installed: make gpu GPU_PYTHON=python3
gpu gpu-more: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),install)
	env -u OMP_NUM_THREADS PYTHONPATH="$(CURDIR):$$PYTHONPATH" $(GPU_PYTHON) -m tests.gpu \
		--part $(if $(filter gpu,$@),first,more) --out "$(GPU_OUT)" --slower $(SLOWER) $(if $(ONLY),--only $(ONLY))

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site in site/, which opens without a server; a broken link fails.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "the documentation is in $(CURDIR)/site/index.html"
