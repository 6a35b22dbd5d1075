# What a developer types; `make` alone lists it. The work is done by cargo and by scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test jitter soak servers survival chaos chance lint fmt deny bench overhead micro instructions storm manifests compose-test

# Where a fresh shell may not look for cargo.
export PATH := $(PATH):$(HOME)/.cargo/bin
SHELL := bash

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

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

manifests: ## check deploy/kubernetes and docker-compose.yml: schemas, our rules, and the binaries' own word
	@scripts/ci/manifests.sh

compose-test: ## build the images, start docker-compose.yml, and stop and kill its gateways under load (root)
	@scripts/ci/compose-test.sh

deny: ## check the licences, sources and versions of all dependencies
	@scripts/deny.sh

# Timings decide nothing here: it fails only if it cannot run. BENCH=quick takes some 5 minutes, standard
# about 20 and has all that the goals speak of; everything takes about 80.
bench: ## measure Herald beside other systems, into docs/benchmarks.md (BENCH=quick|standard is shorter)
	@scripts/setup.sh bench
	@cargo build --release --locked --bins -p herald-gateway -p herald-notifier -p herald-cli -p herald-loadgen -p herald-bench
	@cargo run --release --locked -q -p herald-bench --bin herald-bench -- $(or $(BENCH),full) $(ARGS)

# Built first, since both kinds of a binary go by the same name.
BUILT := $(or $(CARGO_TARGET_DIR),target)/release
SERVICES := -p herald-gateway -p herald-notifier

overhead: ## measure what telemetry costs beside binaries that have none, into target/overhead.md
	@scripts/setup.sh bench
	@cargo build --release --locked --bins $(SERVICES) --features bare
	@install -D --target-directory $(BUILT)/bare $(BUILT)/herald-gateway $(BUILT)/herald-notifier
	@cargo build --release --locked --bins $(SERVICES) -p herald-loadgen -p herald-bench
	@cargo run --release --locked -q -p herald-bench --bin herald-bench -- overhead \
		--out target/overhead.md --records target/overhead.jsonl $(ARGS)

micro: ## time the hot pieces with Criterion (ARGS=name for some; ARGS="--save-baseline x" and "--baseline x" to compare)
	@scripts/setup.sh run
	@cargo bench --locked -p herald-backplane -p herald-gateway -p herald-notifier --bench hot -- $(ARGS)

# Instructions and not time, so that it may fail wherever it runs. Release code under valgrind: no part of `make test`.
instructions: ## count the instructions of the hot pieces; fails where they became more (ACCEPT=yes keeps the new counts)
	@scripts/setup.sh instructions
	@cargo run --locked -q -p herald-measure --bin herald-instructions -- $(if $(ACCEPT),--accept)

storm: ## simulate clients that return all at once (STORM="outage --clients 1000000 --gateways 50"; STORM=--help)
	@cargo run --release --locked -q -p herald-bench --bin herald-storm -- $(STORM)
