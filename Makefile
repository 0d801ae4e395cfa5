# What a developer does with Tarn, each by one word. `make` alone lists the words.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Build products and tools live outside the checkout, so that a fresh clone builds on what is there.
CACHE_DIR := $(abspath $(or $(TARN_CACHE_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tarn))
export CARGO_TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),$(TARN_TARGET_DIR),$(CACHE_DIR)/target))

TARN := $(CARGO_TARGET_DIR)/debug/tarn
# Where walks through the dashboard leave what they saw.
export TARN_SCREENSHOTS ?= $(CARGO_TARGET_DIR)/screenshots

# SECONDS is read from the command line or the environment only. Recipes must not name it as a
# shell variable: bash has one of its own that counts up.
DEMO_FLAGS := $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: check
check: ## Check formatting and lints
	cargo fmt --all --check
	$(MAKE) --no-print-directory $(DASHBOARD)
	cd dashboard && npm run --silent check
	cargo clippy --workspace --all-targets -- -D warnings

# The page is embedded in the binary, so it is built before cargo runs, and again only when something
# that it is made of has changed.
DASHBOARD := dashboard/dist/index.html
DASHBOARD_SOURCES := $(shell find dashboard -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.gen.d.ts') \
	openapi/edge.json openapi/cloud.json

.PHONY: dashboard
dashboard: $(DASHBOARD) ## Build the web page into dashboard/dist

$(DASHBOARD): dashboard/node_modules/.package-lock.json $(DASHBOARD_SOURCES)
	cd dashboard && npm run --silent build
	touch "$@"

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json dashboard/package.json
	command -v npm >/dev/null || scripts/setup.sh >/dev/null
	cd dashboard && npm ci --silent
	touch "$@"

# Everything is built by one cargo call over the whole workspace, because building a single package
# resolves other features and would compile the large dependencies twice.
.PHONY: test
test: $(DASHBOARD) ## Install what the tests need, build, and run every test
	cd dashboard && npm run --silent test
	venv="$$(scripts/setup.sh)"; \
	cargo build --workspace --bins --tests; \
	cargo build --quiet --locked --bins --examples --manifest-path tests/clients/rust/Cargo.toml; \
	export TARN_BIN="$(TARN)" TARN_PYTHON="$$venv/bin/python" TARN_WEED="$$venv/bin/weed"; \
	cargo test --workspace --no-fail-fast

.PHONY: walk
walk: $(DASHBOARD) ## Walk through the dashboard with a real browser
	venv="$$(scripts/setup.sh)"; \
	cargo build --workspace --bins --tests; \
	export TARN_BIN="$(TARN)" TARN_PYTHON="$$venv/bin/python" TARN_WEED="$$venv/bin/weed"; \
	cargo test --workspace --test scenarios dashboard:: -- --nocapture

.PHONY: build
build: $(DASHBOARD) ## Build the tarn binary in the development profile
	cargo build --workspace --bin tarn

.PHONY: demo
demo: build ## Run the demo, for a while if SECONDS=n is given
	"$(TARN)" demo $(DEMO_FLAGS)

.PHONY: bench
bench: $(DASHBOARD) ## Run the benchmarks on a release build
	venv="$$(scripts/setup.sh)"; \
	cargo build --release --workspace --bin tarn --bin mqtt-load --bin bare-http; \
	export TARN_BIN="$(CARGO_TARGET_DIR)/release/tarn" TARN_MQTT_LOAD="$(CARGO_TARGET_DIR)/release/mqtt-load"; \
	export TARN_BARE_HTTP="$(CARGO_TARGET_DIR)/release/bare-http"; \
	core="$$(cargo build --release --workspace --bench core --message-format=json | sed -n 's/.*"executable":"\([^"]*\/core-[^"]*\)".*/\1/p' | tail -1)"; \
	"$$venv/bin/python" tests/python/bench.py --core "$$core" --json "$(CARGO_TARGET_DIR)/bench/main_road.json" $(BENCH_FLAGS); \
	"$$venv/bin/python" tests/python/bench_broker.py --json "$(CARGO_TARGET_DIR)/bench/broker.json" $(BENCH_BROKER_FLAGS); \
	TARN_WEED="$$venv/bin/weed" "$$venv/bin/python" tests/python/bench_twins.py --json "$(CARGO_TARGET_DIR)/bench/twins.json" $(BENCH_TWINS_FLAGS); \
	TARN_WEED="$$venv/bin/weed" "$$venv/bin/python" tests/python/bench_stores.py --json "$(CARGO_TARGET_DIR)/bench/stores.json" $(BENCH_STORES_FLAGS); \
	"$$venv/bin/python" tests/python/bench_api.py --core "$$core" --json "$(CARGO_TARGET_DIR)/bench/api.json" $(BENCH_API_FLAGS); \
	cargo build --release --workspace --example load; \
	"$$venv/bin/python" tests/python/bench_rules.py --load "$(CARGO_TARGET_DIR)/release/examples/load" --json "$(CARGO_TARGET_DIR)/bench/rules.json" $(BENCH_RULES_FLAGS)

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cd dashboard && npm run --silent format

.PHONY: openapi
openapi: build ## Write openapi/edge.json and openapi/cloud.json anew
	for side in edge cloud; do \
		"$(TARN)" openapi "$$side" > "openapi/$$side.json.new"; \
		mv "openapi/$$side.json.new" "openapi/$$side.json"; \
	done

.PHONY: clean
clean: ## Remove build products (the tools of the tests stay)
	cargo clean
