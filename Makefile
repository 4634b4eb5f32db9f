# "make demo" shows what Larder does; "make test" runs all tests. Both get what they need with scripts/setup.sh.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := larder
.PHONY: larder tools cosign setup setup-demo setup-release setup-slow setup-fresh demo linter test test-plain test-setup test-slow test-fresh fuzz fuzz-briefly bench lint clean
.PHONY: release release-tools test-release publish-images

# The same settings for every go command, whatever the environment says: one build cache then serves them all.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath
export GOWORK := off
# A test that lacks something fails. In a plain "go test" it is skipped, and says what it needs.
export LARDER_TEST := all
# What the linter keeps from run to run.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.cache/golangci-lint
# Where runc and ip are, for users who don't have these on their PATH.
export PATH := $(PATH):/usr/sbin:/sbin

# Containers and network namespaces need root.
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),$(CURDIR)/scripts/as-root.sh)
# How long each fuzz target runs, which do, and how many at a time.
FUZZTIME ?= 10m
TARGETS ?= .
JOBS ?= 1
# More flags for go test: -v, -run …
TESTFLAGS ?=
# What go test vets is a part of what lint vets. The limit is for what hangs, on machines of any speed.
GO_TEST = go test -vet=off -timeout 60m $(if $(AS_ROOT),-exec $(AS_ROOT)) $(TESTFLAGS)
# The packages whose tests run builders, which use all CPUs: one after the other.
BUILDERS := ./cmd/larder ./docs ./frontend ./frontend/harm ./internal/inbuild

# One go command for all: what they share is compiled once, and they are linked at the same time.
larder:
	@echo 'make: compiling larder: nothing to do, or three to four minutes on two cores if it is the first time'
	@scripts/build.sh -o bin/ ./cmd/larder ./cmd/larder-frontend ./examples/demo

# The real things that tests run: buildkitd, buildctl, buildx, registry, crane.
tools:
	@echo 'make: compiling the tools that tests run: nothing to do, or a few minutes if it is the first time'
	@mkdir -p bin/tools
	@cd tools && ../scripts/build.sh -o ../bin/tools/ tool

# What slow tests check signatures with. Its module has what neither the tools nor Larder need.
cosign:
	@echo 'make: compiling cosign: nothing to do, or two minutes on two cores if it is the first time'
	@mkdir -p bin/tools
	@cd tools/cosign && ../../scripts/build.sh -o ../../bin/tools/ tool

# The linter has a module of its own: what it needs is no matter to the tools.
linter:
	@echo 'make: compiling the linter: nothing to do, or two minutes on two cores if it is the first time'
	@mkdir -p bin/tools
	@cd tools/lint && ../../scripts/build.sh -o ../../bin/tools/ tool

setup:
	@scripts/setup.sh test

setup-demo:
	@scripts/setup.sh demo

setup-release:
	@scripts/setup.sh release

setup-slow:
	@scripts/setup.sh slow

setup-fresh:
	@scripts/setup.sh fresh

demo: setup-demo larder
	@mkdir -p .cache
	@bin/larder plan --json examples/hello > .cache/hello-plan.json
	@echo 'make: building examples/hello with larder: a second, or two minutes on two cores if it is the first time'
	@start=$$(date +%s%3N); \
	$(AS_ROOT) bin/larder build --builder embedded -o type=oci,dest=.cache/hello.tar examples/hello; \
	took=$$(($$(date +%s%3N) - start))ms; \
	$(AS_ROOT) bin/demo -image .cache/hello.tar -plan .cache/hello-plan.json -took $$took

test-setup: setup larder tools

test: test-setup lint
	$(GO_TEST) -p 1 $(BUILDERS)
	go list ./... | grep -vxF "$$(go list $(BUILDERS))" | xargs $(GO_TEST)
	go -C examples/tests build -o "$(CURDIR)/.cache/dictionary" ./services/dictionary
	export DICTIONARY="$(CURDIR)/.cache/dictionary"; for module in hello alpine bake dialect existing tests; do go -C examples/$$module test $(TESTFLAGS) ./...; done
	$(MAKE) --no-print-directory fuzz-briefly

# What "go test ./..." runs without root and without anything that make compiles, and what it leaves out.
test-plain:
	@mkdir -p .cache
	@if ! LARDER_TEST='' go test -v $(TESTFLAGS) ./... >.cache/test-plain.log 2>&1; then \
		grep -E '^ *(--- FAIL|FAIL|panic:)' .cache/test-plain.log; echo 'see .cache/test-plain.log' >&2; exit 1; fi
	@grep -E '^ok' .cache/test-plain.log
	@echo 'left out, by what it needs:'
	@grep -oE ': needs .*' .cache/test-plain.log | sort | uniq -c | sort -rn

# Every fuzz target for FUZZTIME, or those that TARGETS, a regular expression of PACKAGE.FuzzNAME, matches; JOBS of them at a time.
# What fails is kept in testdata/fuzz.
fuzz:
	FUZZTIME="$(FUZZTIME)" TARGETS="$(TARGETS)" JOBS="$(JOBS)" scripts/fuzz.sh

# Whether every target works: in so short a time on a busy machine their rate says nothing.
fuzz-briefly:
	FUZZTIME=5s CORPUS=none JOBS=2 PARALLEL=1 MIN_RATE=0 scripts/fuzz.sh

# Tests that take longer than CI has: what needs C compilers or other releases of Go, the frontend's own image, builders
# apart from each other, builds in surroundings that differ, a minute of many clients, and the commands of most documents.
test-slow: setup setup-slow larder tools cosign lint
	$(GO_TEST) -tags slow -run '^TestSlow' -p 1 -count=1 -timeout 3h $(BUILDERS) ./internal/bundle/serve

# The README's commands in a bare Debian that has nothing cached, as root and as a user with sudo.
test-fresh: setup-fresh
	$(AS_ROOT) scripts/test-fresh.sh

# What nfpm, which makes packages for distributions, and crane, which pushes images, are compiled to.
release-tools:
	@mkdir -p bin/tools
	@cd packaging/nfpm && ../../scripts/build.sh -o ../../bin/tools/ tool
	@cd tools && ../scripts/build.sh -o ../bin/tools/ github.com/google/go-containerregistry/cmd/crane

# A release of the commit that is checked out: docs/dev/releasing.md. VERSION, DIST, ARCHES and FLAGS are scripts/release.sh's.
release: setup-release larder release-tools
	scripts/release.sh

# Whether a release works: the one in the folder DIST, or else one of this machine's architecture that is built for it.
test-release: setup setup-release setup-fresh larder tools release-tools
	$(AS_ROOT) scripts/test-release.sh

# Pushes the images of a release: make publish-images DIST=dist REGISTRY=ghcr.io/larder-build
publish-images: release-tools
	scripts/publish-images.sh "$(DIST)" "$(REGISTRY)"

# Larder beside its peers, into docs/explanation/benchmarks.md: takes over an hour on two cores.
bench: setup larder tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/google/ko@v0.19.1
	$(GO_TEST) -tags bench -count=1 -timeout 3h -v ./bench

# Without gosec, whose findings in this tree are none, among 200 that aren't real, and without govulncheck, whose answer
# depends on the day and on a database in the network.
lint: linter
	unformatted=$$(gofmt -l bench cmd docs examples frontend internal llb packaging); \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on: $$unformatted" >&2; exit 1; fi
	scripts/lint-shell.sh
	go vet -tags bench,slow,release ./...
	bin/tools/golangci-lint run ./...
	for module in hello alpine bake dialect existing runtime static tests version; do go -C examples/$$module vet ./...; done
	GOWORK='' go -C examples/workspace vet ./api ./worker

clean:
	rm -rf bin .cache
