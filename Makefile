# What a developer types; `make` alone lists it. The work is done by cargo and by scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test lint fmt deny

# Where a fresh shell may not look for cargo.
export PATH := $(PATH):$(HOME)/.cargo/bin
SHELL := bash

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The dev profile: a first build takes half the time of a release build, and is quick enough to try.
run: ## start all of Herald in one process, with a page to try it (options: make run ARGS=--help)
	@scripts/setup.sh run
	@cargo run --locked --package herald-cli --bin herald -- dev $(ARGS)

test: ## install what the tests need, then lint, build and test everything
	@scripts/test.sh

lint: ## check formatting and clippy's findings, as CI does
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format all Rust code
	@cargo fmt --all

deny: ## check the licences, sources and versions of all dependencies
	@scripts/deny.sh
