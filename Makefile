# What a developer types; `make` alone lists it. The work is done by cargo and by scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test jitter soak servers survival chaos chance lint fmt deny bench

# Where a fresh shell may not look for cargo.
export PATH := $(PATH):$(HOME)/.cargo/bin
SHELL := bash

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The dev profile: a first build takes half the time of a release build, and is quick enough to try.
run: ## start all of Herald in one process, with a page to try it (options: make run ARGS=--help)
	@scripts/setup.sh run
	@cargo run --locked --package herald-cli --bin herald -- dev $(ARGS)

test: ## install what the tests need, then lint, build and test everything
	@scripts/test.sh

# Of the tests that prove that no notice is lost, those that take longer than a test should, on
# binaries as they are shipped.
define full
	@scripts/setup.sh test
	@cargo build --release --locked --package herald-gateway --package herald-notifier --package herald-loadgen --bins
	@cargo test --release --locked --package herald-e2e --test it -- \
		--ignored --nocapture --test-threads 1 $(1)
endef

jitter: ## let 2,000 clients come and go for a minute, and print how their notices fared
	$(call full,lossless::jitter::full_)

soak: ## try a socket that does not read, and 10,000 sessions whose channel is cut
	$(call full,lossless::slow::full_ lossless::channel::full_)

servers: ## kill, freeze and cut Redis, and have Sentinel and Cluster replace masters, under load
	$(call full,servers::)

survival: ## restart and kill gateways under thousands of clients, and print how these fared
	$(call full,survival::)

chaos: export HERALD_CHAOS_SEED = $(SEED)
chaos: export HERALD_CHAOS_SECONDS = $(SECONDS)
chaos: export HERALD_CHAOS_REDIS = $(REDIS)
chaos: ## let everything go wrong under load, as a seed says (SECONDS=n, SEED=n, REDIS=sentinel|cluster; KILLS=yes)
	$(call full,chaos::full_$(if $(KILLS),gateways,whatever))

chance: ## try delivery with a million random interleavings (CASES=n, SEED=n)
	@HERALD_CASES=$(or $(CASES),1000000) $(if $(SEED),HERALD_SEED=$(SEED)) \
		cargo test --locked --package herald-gateway --lib interleavings -- --nocapture

lint: ## check formatting and clippy's findings, as CI does
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format all Rust code
	@cargo fmt --all

deny: ## check the licences, sources and versions of all dependencies
	@scripts/deny.sh

# Timings decide nothing here: it fails only if it cannot run. BENCH=quick takes some 3 minutes.
bench: ## measure Herald beside other systems, into docs/benchmarks.md (BENCH=quick is shorter)
	@scripts/setup.sh bench
	@cargo build --release --locked --bins -p herald-gateway -p herald-notifier -p herald-cli -p herald-bench
	@cargo run --release --locked -q -p herald-bench --bin herald-bench -- $(or $(BENCH),full) $(ARGS)
