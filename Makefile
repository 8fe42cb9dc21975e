# What people and .ci/run do with luafarm. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
WHEEL_BIN := .venv-wheel/bin
HTTP ?= 127.0.0.1:8080

SOURCES := setup.py pyproject.toml README.md LICENSE \
	$(shell find luafarm fcgi broker vmhost -name '*.py' -o -name '*.lua')

# Tests wait more than they compute: some modules of them side by side, each in one process.
TEST := pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: chaos hostile libraries simulate help setup run test test-all check fmt lint types layers unit \
	process compiled packages wheel bench bench-quick bench-live manual clean
.DELETE_ON_ERROR:

help:           ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# ---- environments --------------------------------------------------------------------

setup: .venv/.ready       ## make .venv: the source tree, editable, with all tools

# What serves and nothing else, so that the first `make run` is quick: plain modules.
.venv/.serves: pyproject.toml setup.py .ci/prepare
	@echo "1 of 3: a Python that can make virtual environments"
	@.ci/prepare $(PYTHON)
	@echo "2 of 3: a virtual environment in .venv"
	@$(PYTHON) -m venv .venv
	@echo "3 of 3: luafarm and the packages that it needs"
	@LUAFARM_COMPILE=0 $(BIN)/pip install --quiet --editable .
	@touch $@

.venv/.ready: .venv/.serves
	LUAFARM_COMPILE=0 $(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

wheel: .venv-wheel/.ready ## build the wheel into dist/ and install it into .venv-wheel

.venv-wheel/.ready: .venv/.ready $(SOURCES)
	rm -rf build dist .venv-wheel
	$(BIN)/python -m build --wheel --outdir dist . >build-wheel.log 2>&1 || \
		{ cat build-wheel.log; exit 1; }
	rm build-wheel.log
	$(PYTHON) -m venv .venv-wheel
	rm -rf build
	$(WHEEL_BIN)/pip install --quiet dist/*.whl
	cd / && $(CURDIR)/$(WHEEL_BIN)/luafarm --help >/dev/null
	cd / && $(CURDIR)/$(WHEEL_BIN)/luafarm --version
	touch $@

packages:       ## install the web servers that the tests use (as root, on Debian)
	.ci/prepare $(PYTHON) test
	tests/servers/packages.sh test

# ---- running -------------------------------------------------------------------------

run: .venv/.serves        ## serve the examples on http://127.0.0.1:8080/ (HTTP=...)
	@echo "Plain Python, to try it; 'pip install .' compiles what is hot, for speed."
	@$(BIN)/luafarm up examples --http $(HTTP)

bench: .venv-wheel/.ready ## measure against php-fpm, Lua in nginx, mod_lua, uWSGI
	tests/servers/packages.sh bench
	$(WHEEL_BIN)/python -m bench

bench-quick: .venv-wheel/.ready ## count the main paths, compare with the kept figures
	tests/servers/packages.sh guard
	$(WHEEL_BIN)/python -m bench.guard

bench-live: .venv-wheel/.ready ## deploys, little room and overload, on a live farm
	tests/servers/packages.sh bench
	$(WHEEL_BIN)/python -m bench.live deploys
	$(WHEEL_BIN)/python -m bench.live zipf
	$(WHEEL_BIN)/python -m bench.live mix
	$(WHEEL_BIN)/python -m bench.live overload --seconds 20
	$(WHEEL_BIN)/python -m bench.live overload --seconds 20 --waits

simulate: .venv-wheel/.ready ## judge the policies by simulation, against their targets
	$(WHEEL_BIN)/python -m bench.simulate

# ---- checking ------------------------------------------------------------------------

test: packages          ## everything that must pass, from nothing
	$(MAKE) --jobs 4 --output-sync lint types layers wheel
	$(BIN)/$(TEST)
	$(MAKE) compiled

test-all: packages      ## the same in every dialect, with other random examples
	$(MAKE) --jobs 4 --output-sync lint types layers wheel
	$(BIN)/$(TEST) --every-dialect --hypothesis-profile fresh
	$(MAKE) compiled ON_WHEEL="tests/conformance tests/fcgi tests/luafarm tests/wheel"

check: lint types layers unit    ## what must be green before every commit

fmt: .venv/.ready         ## rewrite the files as the linter wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/.ready
	$(BIN)/mypy
	$(BIN)/basedpyright

layers: .venv/.ready
	$(BIN)/lint-imports

unit: .venv/.ready        ## tests without processes
	$(BIN)/$(TEST) -m "not process"

process: .venv/.ready     ## tests with real processes, sockets and web servers
	$(BIN)/$(TEST) -m process

hostile: .venv/.ready     ## attack with hostile scripts, and with captured VM hosts
	$(BIN)/python -m tests.hostile
	$(BIN)/python -m tests.hostile --bystander
	$(BIN)/python -m tests.captured

libraries: .venv/.ready   ## compare widely used libraries with plain Lua, into the manual
	tests/servers/packages.sh test
	$(BIN)/python -m tests.libraries --write

CHAOS ?= --seconds 600

chaos: .venv/.ready       ## do everything to a farm behind nginx (CHAOS="--seed N ...")
	tests/servers/packages.sh test
	$(BIN)/python -m tests.chaos $(CHAOS)

# What has compiled code on its way once more, against the installed wheel and away from
# the source tree, which would hide it: the hot modules, and a farm of them by FastCGI.
ON_WHEEL := tests/conformance tests/fcgi tests/luafarm/wire tests/wheel

compiled: .venv-wheel/.ready ## tests against the compiled wheel
	$(WHEEL_BIN)/pip install --quiet pytest pytest-timeout pytest-xdist hypothesis
	rm -rf build/compiled && mkdir -p build/compiled
	cp -r pyproject.toml setup.py bench tests build/compiled/
	cd build/compiled && $(CURDIR)/$(WHEEL_BIN)/python -m $(TEST) -o pythonpath= \
		--deselect tests/luafarm/command/test_manual.py $(ON_WHEEL)

manual: .venv/.ready      ## rewrite docs/settings.md and config/luafarm.toml
	$(BIN)/python -m luafarm.command.manual

clean:          ## remove everything that make made
	rm -rf .venv .venv-wheel build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
