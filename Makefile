# tokentest. "make vmtest" and "make test" do all the set-up themselves.

KERNEL ?= deb:6.12
CASES ?=
ARGS ?=
# A kernel tree that is built: KDIR, or below O= (or KBUILD_OUTPUT=). SERIES is tested patch by patch on BASE.
KDIR ?=
SERIES ?=
BASE ?= HEAD

# What the agent's image is built with, so that both share compiled packages.
GOENV := CGO_ENABLED=0
BIN := bin/tokentest

.DEFAULT_GOAL := help

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "make vmtest takes KERNEL=deb:7.3 or KERNEL=path/to/bzImage, CASES='map_create/any/*', ARGS='--full';"
	@echo "KDIR=~/linux for a tree that is built (O= is honoured); SERIES=x.mbox KDIR=~/linux BASE=v6.12 for each patch of a series."

build: ## build bin/tokentest
	@$(GOENV) go build -trimpath -o $(BIN) ./harness/cmd/tokentest

# The tree's own settings are not this project's: a make in a kernel tree hands them on.
HASH := \#
TREE := $(or $(O),$(KBUILD_OUTPUT),$(KDIR))
override KERNEL := $(if $(KDIR),tree:$(TREE),$(KERNEL))
FROM_SOURCE := $(SERIES)$(filter src:% git:%,$(KERNEL))$(findstring +,$(KERNEL))
WHICH = $(if $(SERIES),series $(SERIES) --base '$(if $(KDIR),git:$(KDIR)$(HASH)$(BASE),$(KERNEL))',run --kernel '$(KERNEL)')

setup: ## install what is missing: QEMU, and to build kernels a compiler
	@scripts/setup.sh
	@$(if $(FROM_SOURCE),scripts/setup-build.sh)

vmtest: setup build ## boot KERNEL and run CASES on it; installs what is missing first
	@$(BIN) $(WHICH) $(foreach c,$(CASES),'$(c)') $(ARGS)

test: ## run the tests that need no machine
	go vet ./...
	go test ./...

lint: ## gofmt, vet, shellcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; else echo "lint: no shellcheck here, shell scripts are unchecked"; fi

bench: ## time the default suite against a bare boot of the same kernel
	@scripts/setup.sh
	@$(MAKE) -s build
	@$(BIN) bench --kernel $(KERNEL) $(CASES) $(ARGS)

generate: ## make cases/uapi from the kernel's headers again
	@scripts/setup.sh
	@scripts/generate.sh

golden: ## write the expanded matrices that tests compare with
	go test ./cases -run Golden -update

parity: ## write results/parity.md: which case stands for which upstream assertion
	@$(MAKE) -s build
	@mkdir -p results
	@$(BIN) list parity > results/parity.md

BASELINE := results/baseline/suite.jsonl.gz
baseline: setup build ## run the suite on 6.12, 7.3 and 6.1, and keep their decisions in results/baseline
	@scripts/baseline.sh $(BASELINE) deb:6.12 deb:7.3 deb:6.1

canary: ## tell lies that must turn a run red
	@scripts/setup.sh
	@$(MAKE) -s build
	@scripts/canary.sh $(KERNEL)

FUZZTIME ?= 30s
fuzz: ## feed rubbish to what reads a guest's words, FUZZTIME for each
	go test ./harness/vm -run '^$$' -fuzz FuzzScan -fuzztime $(FUZZTIME)
	go test ./harness/wire -run '^$$' -fuzz FuzzReader -fuzztime $(FUZZTIME)

clean: ## remove what was built and the stored runs
	rm -rf bin results/runs

.PHONY: help setup build vmtest test lint bench generate golden parity baseline canary fuzz clean
