# `make` lists what there is. `make test` is the one command that tests everything.

# One profile for the broker, its tests and the bench, so that dependencies are compiled once.
PROFILE ?= release
# For example `--locked`, as CI has it.
CARGO_FLAGS ?=

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Cargo keeps the `dev` profile's output in `debug`.
RELAY_BIN ?= $(abspath $(TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/relay)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: prerequisites
prerequisites: ## Name what this machine lacks for building and testing
	@scripts/prerequisites.sh

.PHONY: build
build: ## Build the `relay` binary
	cargo build --profile $(PROFILE) --workspace $(CARGO_FLAGS)

.PHONY: run
run: ## Start the broker on 127.0.0.1:8080, with its data in ./relay-data
	cargo run --profile $(PROFILE) $(CARGO_FLAGS) -- serve

.PHONY: test
test: prerequisites ## Test everything: Rust, then the binary against other people's libraries
	cargo test --profile $(PROFILE) --workspace $(CARGO_FLAGS)
	$(MAKE) --no-print-directory test-interop

.PHONY: test-interop
test-interop: build ## Only the tests of the binary against other people's libraries, and of the README
	python=$$(scripts/python.sh venv) && RELAY_BIN=$(RELAY_BIN) "$$python" -m pytest tests/interop

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Check the format, then clippy, with warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features $(CARGO_FLAGS) -- -D warnings

.PHONY: deny
deny: ## Check the dependencies: banned crates, licences, sources
	scripts/deny.sh check bans licenses sources

.PHONY: check
check: lint deny test ## All that CI checks
