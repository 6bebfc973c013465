# The targets that people type. `make help` lists them.
.PHONY: help up down build test lint format sim chaos bench fuzz
.DEFAULT_GOAL := help
SEED ?= 1
COUNT ?= 1
WEATHER ?= mixed
FUZZ ?= 50
WHAT ?=
RUNS ?= 5
KILLS ?= 30
SWIFT_FLAGS := -c release
# Quiet but for errors; what does not build is not run.
quietly = @mkdir -p .build && { swift build $(SWIFT_FLAGS) $(1) > .build/make.log 2>&1 \
	|| { grep -E 'error:' .build/make.log || tail -n 20 .build/make.log; exit 1; }; }

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

up: ## build and start three masters and two workers on this machine; repeat to repair
	@sh Sources/tern/Scripts/up.sh

down: ## remove the cluster and everything that it put on this machine
	@sh Sources/tern/Scripts/down.sh

build: ## build every program
	swift build $(SWIFT_FLAGS)

test: ## build everything and run every test
	@sh Sources/tern/Scripts/test.sh

lint: ## check the format
	swift format lint --strict --recursive Sources Tests chaos bench Package.swift

format: ## format the code in place
	swift format --in-place --recursive Sources Tests chaos bench Package.swift

sim: ## run the simulator: SEED=n COUNT=n WEATHER=name
	$(call quietly,--product tern)
	.build/release/tern sim --seed $(SEED) --count $(COUNT) --weather $(WEATHER)

chaos: ## faults on a running cluster under load; needs `make up`
	$(call quietly,--product chaos)
	.build/release/chaos

bench: ## compare the store with etcd on this machine, 10 minutes: WHAT="puts failover ..." or all, RUNS=n KILLS=n
	@command -v etcd >/dev/null || (echo "installing etcd-server to compare with" && apt-get install -y -q \
		--no-install-recommends --no-remove etcd-server)
	$(call quietly,--product tern)
	$(call quietly,--product bench)
	.build/release/bench $(WHAT) --runs $(RUNS) --kills $(KILLS)

fuzz: ## long runs of the seeded mutators: FUZZ=n times what make test does
	$(call quietly,--build-tests)
	TIMES=$(FUZZ) swift test $(SWIFT_FLAGS) --skip-build --no-parallel --disable-testable-imports --filter FuzzTests
