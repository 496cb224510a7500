# For users: `make demo` and `make test`. Each target installs the locked dependencies into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
INSTALL = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
DEMO_LAKE ?= demo-lake
RUNTIME_MB := 85

.PHONY: demo test test-slow lint types check lock bench docs site clean

demo: $(VENV)/.runtime  ## run the whole workflow against a mock of the API
	@$(BIN)/brewhouse demo --lake $(DEMO_LAKE)

test test-slow: export PYTHONDONTWRITEBYTECODE =  # otherwise each process compiles the tests, for seconds

test: $(VENV)/.dev $(VENV)/.linters  ## run the tests
	@$(BIN)/python -m pytest -n auto --dist loadgroup

test-slow: $(VENV)/.dev  ## run the loops of kills, faults and corrupt files as well, which take long
	@$(BIN)/python -m pytest -n auto --dist loadgroup -m slow

lint: $(VENV)/.dev  ## check style, formatting and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev  ## run the strict type checker
	@$(BIN)/mypy

check: lint types test

lock: $(VENV)/.uv  ## pin the dependencies again, with hashes and for every platform
	@$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 $(LOCK_FLAGS) pyproject.toml requirements/build.in --group dev -o requirements/dev.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --extra console --constraint requirements/dev.lock \
		$(LOCK_FLAGS) pyproject.toml requirements/build.in -o requirements/runtime.lock  # so that the extras fit on top
	@$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 $(LOCK_FLAGS) requirements/linters.in -o requirements/linters.lock
	@for python in 3.11 3.13; do $(UV) pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version $$python --python-platform x86_64-manylinux_2_34 --only-binary :all: \
		--extra aws --extra alerts --extra lineage --constraint requirements/dev.lock \
		$(LOCK_FLAGS) pyproject.toml -o src/brewhouse/aws/python$$python.lock || exit 1; done  # for Glue, which has PySpark and pandas

bench: $(VENV)/.dev  ## run the benchmarks of docs/performance.md
	@$(BIN)/python -m benchmarks

docs: $(VENV)/.dev  ## generate the reference pages from the code
	@$(BIN)/python docs/prepare.py
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/trace.py

site: $(VENV)/.dev  ## build the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:
	rm -rf $(VENV) $(DEMO_LAKE) site

# An interrupted `python -m venv` leaves an environment without Python or pip: it is made again.
$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Brewhouse needs Python 3.11 or later; $(PYTHON) is older. Use another one: make PYTHON=python3.12 demo" >&2; exit 1; }
	@{ test -f $(VENV)/pyvenv.cfg && $(BIN)/python -c '' && { command -v uv || $(BIN)/python -m pip --version; }; } >/dev/null 2>&1 || \
		$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "$(PYTHON) -m venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@command -v uv >/dev/null 2>&1 || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml | $(VENV)/.uv
	@echo "Installing $$(grep -c '^[a-z].*==' $<) packages into $(VENV), about $(RUNTIME_MB) MB" >&2
	@$(INSTALL) --require-hashes -r requirements/runtime.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq src || true  # the sources may be read-only
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/.uv
	@echo "Installing $$(grep -c '^[a-z].*==' $<) packages into $(VENV)" >&2
	@$(INSTALL) --require-hashes -r requirements/dev.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq src || true  # the sources may be read-only
	@touch $@ $(VENV)/.runtime

$(VENV)/.linters: requirements/linters.lock | $(VENV)/.uv  # apart, since checkov needs older versions of libraries
	@$(BIN)/python -m venv --without-pip $(VENV)/linters
	@$(UV) pip install --quiet --require-hashes --python $(VENV)/linters/bin/python -r requirements/linters.lock
	@touch $@
