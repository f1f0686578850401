# The one door: people and CI use the same targets. Everything is made inside this folder (.venv, .cache, .pytest_tmp, target);
# outside it only the download caches of cargo and pip grow.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Versions are in constraints.txt.
BUILD_TOOLS := maturin
RUNTIME := numpy rich
TEST_TOOLS := pytest hypothesis regex tiktoken zstandard mypy ruff cryptography
# The oldest and the newest that the extra allows; neither is in .venv, so that nothing else can need one.
PROTOBUFS := 6.33.5 7.36.2
BENCH_TOOLS := langchain-core matplotlib msgspec orjson protobuf scikit-learn

SOURCES := $(shell find rust python -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null) \
	Cargo.toml Cargo.lock pyproject.toml README.md LICENSE NOTICE

.PHONY: help demo test lint bench clean need
.DELETE_ON_ERROR:

help: ## show this
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /\t/' | expand -t 10

demo: .venv/wheel ## build the wheel, install it, prune the recorded tool traces
	@$(BIN)/pycontext demo

test: .venv/wheel .venv/test $(PROTOBUFS:%=.cache/protobuf-%/done) ## all tests: the Rust core, then everything through Python
	cargo test --release --locked --package pycontext-core
	$(BIN)/python -m pytest

lint: .venv/wheel .venv/test ## formatting, lints and types; the stub against the built module
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd .venv && bin/python -m mypy.stubtest pycontext._core --mypy-config-file ../pyproject.toml

bench: .venv/wheel .venv/bench ## measure, print one table, keep it in benches/README.md
	$(BIN)/python -m benches

clean: ## remove all that was made
	rm -rf .venv .cache .pytest_tmp target

need:
	@.ci/need "$(PYTHON)"

.venv/build: constraints.txt Makefile | need
	$(PYTHON) -m venv .venv
	$(PIP) $(BUILD_TOOLS) $(RUNTIME)
	@touch $@

.venv/wheel: .venv/build $(SOURCES)
	@rm -f target/wheels/*.whl
	$(BIN)/maturin build --release --locked --interpreter $(BIN)/python --out target/wheels
	$(PIP) --no-deps --force-reinstall target/wheels/*.whl
	@touch $@

.venv/test: .venv/build
	$(PIP) $(TEST_TOOLS)
	@touch $@

.cache/protobuf-%/done: | .venv/build
	$(PIP) --no-deps --upgrade --target $(@D) protobuf==$*
	@touch $@

.venv/bench: .venv/test
	$(PIP) $(BENCH_TOOLS)
	@touch $@
