# tokentest. "make vmtest" and "make test" install and build what they need.

KERNEL ?= deb:6.12
CASES ?=
ARGS ?=
# KDIR is a kernel tree that make has built, there or below O= (or KBUILD_OUTPUT=). Each patch of SERIES is tested on BASE.
KDIR ?=
SERIES ?=
BASE ?= HEAD

# The agent's image is built with the same setting, so both share compiled packages.
GOENV := CGO_ENABLED=0
BIN := bin/tokentest

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "make vmtest takes KERNEL=deb:7.3 or KERNEL=path/to/bzImage, CASES='map_create/any/*', ARGS='--full';"
	@echo "KDIR=~/linux tests a tree that make has built (with O=, if set); SERIES=x.mbox KDIR=~/linux BASE=v6.12 tests each patch of a series."

# What --version prints. A release sets it; otherwise it is a tag or a commit, if git is there and trusts the checkout.
VERSION ?= $(or $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null),unknown)
DAY ?= $(shell git log -1 --format=%cs 2>/dev/null)
LINK = -s -w -E tokentest/harness/cli.Start -X tokentest/harness/builtin.version=$(VERSION) -X tokentest/harness/builtin.day=$(DAY)
SMALL = $(shell scripts/small.sh)

build: agents ## build bin/tokentest, with all that it needs embedded
	@$(GOENV) go build -trimpath -ldflags '$(LINK)' $(SMALL) -o $(BIN) ./harness/cmd/tokentest

# The guest's programs, which the command embeds. They are compiled only if their sources differ.
agents:
	@$(GOENV) go run -trimpath ./images/pack

# A make in a kernel tree passes its variables on. O and KBUILD_OUTPUT name its objects, not this project's.
HASH := \#
TREE := $(or $(O),$(KBUILD_OUTPUT),$(KDIR))
override KERNEL := $(if $(KDIR),tree:$(TREE),$(KERNEL))
FROM_SOURCE := $(SERIES)$(filter src:% git:%,$(KERNEL))$(findstring +,$(KERNEL))
WHICH = $(if $(SERIES),series $(SERIES) --base '$(if $(KDIR),git:$(KDIR)$(HASH)$(BASE),$(KERNEL))',run --kernel '$(KERNEL)')

setup: ## install what is missing: QEMU, and a compiler if KERNEL is built from source
	@scripts/setup.sh --kernel '$(KERNEL)'
	@$(if $(FROM_SOURCE),scripts/setup-build.sh)

vmtest: setup build ## boot KERNEL and run CASES on it; installs what is missing first
	@$(BIN) --version >&2
	@$(BIN) $(WHICH) $(foreach c,$(CASES),'$(c)') $(ARGS)

test: ## run the tests that need no machine, no root and no network
	go vet ./...
	go test ./...

# The guest's programs must compile for each of these, 32-bit ones included.
GUESTS := 386 arm arm64 s390x riscv64 ppc64le loong64

guests: ## run the guest's tests as programs of other architectures, with qemu-user where it is installed
	@scripts/guests.sh

lint: ## gofmt, vet, also of the guest for other architectures, shellcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	@for arch in $(GUESTS); do GOARCH=$$arch CGO_ENABLED=0 go vet ./images/init ./images/init32 ./harness/guest || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh scripts/action/*.sh .ci/run; else echo "lint: shellcheck is not installed; shell scripts are not checked"; fi

bench: ## time the default suite against a bare boot of the same kernel
	@scripts/setup.sh
	@$(MAKE) -s build
	@$(BIN) bench --kernel $(KERNEL) $(CASES) $(ARGS)

generate: ## rewrite cases/uapi from the kernel's headers
	@scripts/setup.sh
	@scripts/generate.sh

# TREES are unpacked sources of kernels, oldest first: RELEASE=DIR,RELEASE=DIR.
helpers: ## rewrite cases/uapi/zhelpers.go, which capability guards which helper, from the kernel sources TREES
	cd cases/uapi && go run ./gen -helpers '$(TREES)'

golden: ## rewrite the expanded matrices that tests compare with
	go test ./cases -run Golden -update

parity: ## rewrite results/parity.md: which case covers which upstream assertion
	@$(MAKE) -s build
	@mkdir -p results
	@$(BIN) list parity > results/parity.md

decisions: ## rewrite results/decision-points.md: which case covers which decision of the kernel
	@$(MAKE) -s build
	@mkdir -p results
	@$(BIN) list decisions > results/decision-points.md

defects: ## rewrite results/defects: a report and a C program for each known defect of the kernel
	@$(MAKE) -s build
	@scripts/defects.sh

cover: ## rewrite results/cover.md: which code of 6.12 and 7.3 the cases execute
	@scripts/setup.sh
	@$(MAKE) -s build
	@scripts/cover.sh results/cover.md deb:6.12 deb:7.3

mutation: ## rewrite results/mutation.md: which changes of 7.3 and 6.12 the cases notice
	@scripts/setup.sh
	@$(MAKE) -s build
	@scripts/mutation.sh results/mutation.md deb:7.3 deb:6.12

profile: ## rewrite results/profile.md: what a guest spends its instructions on
	@scripts/setup.sh
	@$(MAKE) -s build
	@scripts/profile.sh results/profile.md deb:6.12 deb:7.3

dist: ## make a release in dist: static programs for amd64 and arm64, checksums, bill of materials
	@DAY='$(DAY)' scripts/dist.sh '$(VERSION)'

PREFIX ?= /usr/local
install: ## copy the program, manual pages, completion and vmtest.mk below PREFIX; builds them if bin/tokentest is missing
	@test -x $(BIN) || $(MAKE) -s build
	@scripts/install.sh $(BIN) '$(DESTDIR)$(PREFIX)'

uninstall: ## remove what make install has copied
	@scripts/install.sh --remove '$(DESTDIR)$(PREFIX)'

deb: dist ## make Debian packages in dist
	@scripts/deb.sh '$(VERSION)'

image: dist ## make a container image (OCI layout) in dist/image, with QEMU from Debian's packages
	@scripts/image.sh '$(VERSION)'

reproduce: ## make the release twice and check that it is the same byte for byte
	@DAY='$(DAY)' scripts/reproduce.sh '$(VERSION)'

anywhere: ## check that bin/tokentest runs without its sources and without Go, for an ordinary user
	@scripts/setup.sh jq
	@$(MAKE) -s build
	@scripts/anywhere.sh $(KERNEL)

BASELINE := results/baseline/suite.jsonl.gz
baseline: setup build ## run the suite on 6.12, 7.3 and 6.1, and store the decisions in results/baseline
	@scripts/baseline.sh $(BASELINE) deb:6.12 deb:7.3 deb:6.1

canary: ## inject faults into the harness and check that each turns a run red
	@scripts/setup.sh jq
	@$(MAKE) -s build
	@scripts/canary.sh $(KERNEL)

FUZZTIME ?= 30s
fuzz: ## fuzz the parsers of guest output, FUZZTIME each
	go test ./harness/splat -run '^$$' -fuzz FuzzScan -fuzztime $(FUZZTIME)
	go test ./harness/wire -run '^$$' -fuzz FuzzReader -fuzztime $(FUZZTIME)

clean: ## remove bin and the stored runs
	rm -rf bin dist results/runs

.PHONY: help setup build agents vmtest test guests lint bench generate helpers golden parity decisions defects cover mutation profile dist install uninstall deb image reproduce anywhere baseline canary fuzz clean
