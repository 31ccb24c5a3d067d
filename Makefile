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

# One set of features for all tests, so that everything is compiled once. It builds the binaries, too: those that the
# tests start, and that `test` deploys to the emulator.
TEST_FLAGS = --profile $(PROFILE) --workspace --features relay-aws/emulator,relay-cli/emulator $(CARGO_FLAGS)

.PHONY: test
test: prerequisites ## Test everything: Rust, AWS on emulators of its own, the binary against other people's libraries
	cargo test $(TEST_FLAGS) --no-run
	scripts/with-emulator.sh ministack cargo test $(TEST_FLAGS)
	$(MAKE) --no-print-directory interop package
	scripts/with-emulator.sh up $(MAKE) --no-print-directory on-localstack deployed

.PHONY: test-interop
test-interop: build interop ## Only the tests of the binary against other people's libraries and DuckDB, and of the README

.PHONY: test-adapters
test-adapters: ## Only the adapters to SQS, DynamoDB and S3, on MiniStack and on LocalStack
	scripts/with-emulator.sh ministack cargo test $(TEST_FLAGS) --test emulator
	scripts/with-emulator.sh up $(MAKE) --no-print-directory on-localstack

.PHONY: test-deployed
test-deployed: build functions ## Only the deployed template, end to end on LocalStack
	scripts/with-emulator.sh up $(MAKE) --no-print-directory deployed

.PHONY: interop
interop:
	python=$$(scripts/python.sh venv) && \
	  RELAY_BIN=$(RELAY_BIN) scripts/with-emulator.sh ministack "$$python" -m pytest tests/interop

.PHONY: on-localstack
on-localstack:
	cargo test $(TEST_FLAGS) --test emulator conformance::

.PHONY: deployed
deployed:
	tools=$$(localstack/start.sh tools) && \
	  PYTHONDONTWRITEBYTECODE=1 RELAY_BIN=$(RELAY_BIN) "$$tools/python" -m pytest tests/aws

# The tools (cargo-lambda, SAM CLI, cfn-lint, pytest) are installed, pinned, into .localstack.
.PHONY: template
template: ## Check the template for AWS: lint, and what it has to say
	tools=$$(localstack/start.sh tools) && export PATH="$$tools:$$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 && \
	  sam validate --lint --template-file template.yaml && cfn-lint template.yaml infra/*.yaml && \
	  PYTHONDONTWRITEBYTECODE=1 python -m pytest -q tests/template

.PHONY: functions
functions: ## Build the Lambda functions for an emulator
	cargo build --profile $(PROFILE) --package relay-functions --bins $(CARGO_FLAGS)
	$(MAKE) --no-print-directory package

# For this machine; into the folders that the template names.
.PHONY: package
package:
	for function in ingest registry dispatch drain sweep; do \
	  mkdir -p target/lambda/$$function && \
	  strip -o target/lambda/$$function/bootstrap $(dir $(RELAY_BIN))$$function || exit 1; \
	done

.PHONY: deploy
deploy: ## Build the Lambda functions for AWS (arm64) and deploy the stack
	tools=$$(localstack/start.sh tools) && export PATH="$$tools:$$PATH" SAM_CLI_TELEMETRY=0 && \
	  rustup target add aarch64-unknown-linux-gnu && \
	  cargo lambda build --profile deploy --arm64 --package relay-functions --lambda-dir target/lambda && \
	  sam deploy --template-file template.yaml $(SAM_FLAGS)

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
check: lint deny template test ## All that CI checks
