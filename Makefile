# Everything a person or CI does with Ignite. `make help` lists it.
# Needs Go, Python 3 and git; a C compiler as well where the race detector is used.

SHELL := /bin/bash -eu -o pipefail
.DEFAULT_GOAL := help

# Tools that do not belong in go.mod: their own dependencies would drown ours.
BUF_VERSION           := v1.75.0
GOLANGCI_LINT_VERSION := v2.15.0
STATICCHECK_VERSION   := v0.8.2
GRPCURL_VERSION       := v1.9.4
# Carries google/api/*.proto, which the contract imports.
GOOGLEAPIS_MODULE     := github.com/grpc-ecosystem/grpc-gateway@v1.16.0

TOOLS := $(CURDIR)/.tools
BUF := $(TOOLS)/buf-$(BUF_VERSION)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
STATICCHECK := $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)
GRPCURL := $(TOOLS)/grpcurl-$(GRPCURL_VERSION)
GOOGLEAPIS := $(TOOLS)/googleapis/google/api

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# How long each fuzz target runs in `make fuzz`: a count, since a time now and then ends in a false alarm (golang/go#75804).
FUZZTIME ?= 2000x

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Put bin/ignited and bin/ignite in place
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: run
run: build ## Run Ignite here with the two example apps deployed
	@./examples/run.sh

.PHONY: test
test: ## Run every test, race detector on, the short form of the fault suite among them
	go test -race -shuffle=on -timeout 12m $$(go list ./... | grep -v /fault)
	cd examples/stream && go test -race ./...
	cd examples/go-function && go test -race ./...
	go test -race -count=1 -parallel 8 -timeout 15m -v ./fault

.PHONY: fault
fault: ## Break the real server in every way, more than 200 kills (half an hour)
	go test -race -count=1 -parallel 8 -timeout 3h -v ./fault -long

# How long the soak lasts.
SOAK ?= 1h

.PHONY: soak
soak: ## Run the server at half its maximum for SOAK (1h) and see that it stays flat
	go test -count=1 -timeout 3h -v -run '^TestSoak$$' ./fault -soak $(SOAK)

.PHONY: e2e
e2e: ## Run only the tests of the whole binary
	go test -race -shuffle=on -timeout 10m ./cmd/...

.PHONY: docker-test
docker-test: ## Run the tests that need a Docker engine, one of their own where they can start it
	.ci/docker

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@go list ./... | while read -r package; do \
	  for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
	    echo "fuzz $$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$package" || exit 1; \
	  done; \
	done

.PHONY: bench
bench: build ## Measure the whole system and print a table (minutes)
	go run ./bench

.PHONY: lint
lint: $(GOLANGCI_LINT) $(STATICCHECK) $(BUF) $(GOOGLEAPIS) ## Vet, staticcheck, golangci-lint, buf
	go vet ./...
	go vet -tags faults ./cmd/ignited
	$(STATICCHECK) ./...
	$(GOLANGCI_LINT) run ./...
	$(BUF) lint
	$(BUF) breaking proto --against proto/released.binpb

.PHONY: generate
generate: $(BUF) $(GOOGLEAPIS) ## Generate Go and OpenAPI from the contract
	$(BUF) generate
	gofmt -w proto

.PHONY: generate-check
generate-check: generate ## Fail if generating changes anything
	@git diff --exit-code -- proto || { echo 'generated files differ from the contract: run make generate and commit' >&2; exit 1; }
	@test -z "$$(git status --porcelain -- proto)" || { git status --short -- proto; exit 1; }

.PHONY: release-contract
release-contract: $(BUF) $(GOOGLEAPIS) ## Take today's contract as what later changes must not break
	$(BUF) build proto --exclude-source-info -o proto/released.binpb

.PHONY: check
check: build generate-check lint test fuzz ## What CI runs

.PHONY: tools
tools: $(BUF) $(GOLANGCI_LINT) $(STATICCHECK) $(GRPCURL) ## Build the pinned tools into .tools

.PHONY: clean
clean: ## Remove what was built here; leaves the data of make run alone
	rm -rf bin .tools

# install puts the newest of a tool beside its version, so that a changed pin is noticed.
define install
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS)/install go install $(1)
	mv $(TOOLS)/install/$(2) $@
endef

$(BUF):
	$(call install,github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION),buf)
$(GOLANGCI_LINT):
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION),golangci-lint)
$(STATICCHECK):
	$(call install,honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION),staticcheck)
$(GRPCURL):
	$(call install,github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION),grpcurl)

$(GOOGLEAPIS):
	@mkdir -p $@
	@dir=$$(go mod download -json $(GOOGLEAPIS_MODULE) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); \
	for file in annotations http; do install -m 0644 "$$dir/third_party/googleapis/google/api/$$file.proto" $@/; done
