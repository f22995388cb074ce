# make run: a node; make devnet: a network of them; make test: every test; make lint: what CI checks besides;
# make bench: how fast it is. See docs/development.rst.

PORT ?= 3334
ARGS ?=
SECONDS ?= 600
TESTS ?= tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)

BIN := .venv/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

# --port and --listen exclude each other, so a --listen in ARGS takes the place of PORT.
PORT_OPTION := $(if $(filter --listen% -l%,$(ARGS)),,--port $(PORT))

.PHONY: run devnet soak test lint bench bench-quick venv test-venv bench-venv clean

# exec: the shell gives way to twistd, so that signals reach it. No pidfile: two nodes may run from one checkout.
run: venv
	@exec $(BIN)/twistd -n --pidfile= distributor $(PORT_OPTION) $(ARGS)

# Query nodes need graphql-core, which a node does not.
devnet: test-venv
	@exec $(BIN)/python -m distributor.devnet $(ARGS)

# A devnet in turmoil, and clients that compare every byte: docs/devnet.rst.
soak: test-venv
	@$(BIN)/python -m tools.soak --seconds $(SECONDS) $(ARGS)

test: test-venv
	@$(BIN)/python tools/run_trial.py $(TESTS)

lint: test-venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/run_trial.py tests.test_rooms

# Takes most of an hour, and wants the machine for itself. It installs no peer: it says what it misses.
bench: bench-venv
	@$(BIN)/python -m benchmarks

# Less than two minutes, and not more than an impression.
bench-quick: venv
	@$(BIN)/python -m benchmarks --quick

venv: .venv/installed
test-venv: .venv/installed-for-tests
bench-venv: .venv/installed-for-benchmarks

# The .pth file is all that an editable install would do for a program without scripts or metadata of its own, and needs
# nothing built. Listing the plugins writes Twisted's cache of them once, here.
.venv/installed: requirements.lock
	@echo "Installing into .venv ..."
	@$(PYTHON) -m venv --clear .venv
	@$(PIP_INSTALL) -r requirements.lock
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/distributor-checkout.pth"
	@$(BIN)/python -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
	@touch $@

.venv/installed-for-tests: requirements-dev.lock .venv/installed
	@echo "Installing what tests need ..."
	@$(PIP_INSTALL) -r requirements.lock -r requirements-dev.lock
	@touch $@

.venv/installed-for-benchmarks: requirements-bench.lock .venv/installed
	@echo "Installing what the plot needs ..."
	@$(PIP_INSTALL) -r requirements.lock -r requirements-bench.lock
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis
