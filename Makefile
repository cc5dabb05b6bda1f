# The project's chores. `make` alone lists them.
#
# ARGS goes to the command that a target runs: make demo ARGS='--calls 200 --kills 3'

# Pinned, so that a finding is the code's and not the day's.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := go run golang.org/x/vuln/cmd/govulncheck@v1.8.0

FUZZTIME ?= 10s

# By what all waits of the tests are multiplied: make test PATIENCE=4 where the tests get a quarter of what
# they need; a whole number. A package that takes longer than the limit hangs.
PATIENCE ?= 1
export WARREN_PATIENCE := $(PATIENCE)
LIMIT = $(shell expr 40 '*' $(PATIENCE))m

# Go where its own instructions put it, and Debian's rabbitmq-server and pgbouncer, for a PATH that names neither.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin

# All modules: this one and, by go.work, the nested ones. Expanded by the recipe's shell.
ALL := $$(go list -m -f '{{.Dir}}/...')

INTEROP_PACKAGE := $(wildcard test/interop/package.json)
INTEROP_MODULES := $(INTEROP_PACKAGE:%/package.json=%/node_modules/.package-lock.json)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps-$(if $(findstring postgres,$(ARGS)),store,broker) ## Calls, kills and their count on one machine; installs the servers that are missing
	@go run ./cmd/warren demo --rabbitmq $(ARGS)

# The quick ones first.
SERVERS := /test/(rabbit|postgres|redis|e2e|interop|docs|bench|simulation|chaos|amqptest)|/store/(pgstore|redisstore)|/cmd/
.PHONY: test
test: deps $(INTEROP_MODULES) ## go vet and every test, with the race detector and real servers
	@echo '== 1 of 3: go vet'
	go vet $(ALL)
	@echo '== 2 of 3: the packages that need no server'
	CGO_ENABLED=1 go test -race -vet=off -timeout $(LIMIT) $$(go list $(ALL) | grep -Ev '$(SERVERS)')
	@echo '== 3 of 3: the packages that start brokers and databases; the longest take minutes'
	CGO_ENABLED=1 go test -race -vet=off -timeout $(LIMIT) $$(go list $(ALL) | grep -E '$(SERVERS)')

# What cannot be installed fails its own tests, with the command that gets it, and no others.
.PHONY: test-interop
test-interop: GO_ON := yes
test-interop: deps $(INTEROP_MODULES) ## Every AMQP library as client and as server, and a table of what was found
	cd test/interop && go test -count=1 -timeout $(LIMIT) -run 'TestEvery|TestCallsOfAmqpTools' -args -results

.PHONY: bench
bench: deps-broker ## Calls per second and latency, side by side with plain AMQP
	@go run ./cmd/warren bench $(ARGS)

.PHONY: mutants
mutants: deps-broker deps-store ## Break the framework in known ways, and have chaos runs find each: ten minutes of runs, and the builds
	WARREN_MUTANTS=all go test -count=1 -v -timeout 60m -run Caught ./test/chaos/mutants

.PHONY: fuzz
fuzz: ## Each fuzz function for FUZZTIME (10s)
	@sh scripts/fuzz.sh $(FUZZTIME)

.PHONY: cover
cover: deps $(INTEROP_MODULES) ## Tests with statement coverage over all packages of all modules, in cover.out
	go test -vet=off -timeout $(LIMIT) -coverpkg=github.com/warren-rpc/warren/... -coverprofile=cover.out $(ALL)
	@go tool cover -func=cover.out | tail -n 1

# govulncheck needs the vulnerability database. Being unable to read it is no finding; all else that it
# reports is.
.PHONY: lint
lint: ## golangci-lint, and govulncheck where its database can be reached
	$(GOLANGCI_LINT) run $(ALL)
	@if out=$$($(GOVULNCHECK) $(ALL) 2>&1); then echo "$$out"; \
	elif echo "$$out" | grep -q 'fetching vulnerabilities'; then \
		echo 'lint: govulncheck skipped: the vulnerability database cannot be reached' >&2; \
	else echo "$$out" >&2; exit 1; fi

.PHONY: deps
deps: ## Install what demo, test and bench need (apt, root or sudo); does nothing if all is there
	@echo '== what the tests need' >&2
	@sh scripts/deps.sh || [ -n "$(GO_ON)" ]

.PHONY: deps-broker deps-store
deps-broker deps-store: deps-%:
	@sh scripts/deps.sh $*

# npm writes the hidden lock file last, so its age tells whether node_modules is current.
test/interop/node_modules/.package-lock.json: test/interop/package.json test/interop/package-lock.json | deps
	cd test/interop && npm ci --no-audit --no-fund --ignore-scripts >&2 && touch $(@:test/interop/%=%) || [ -n "$(GO_ON)" ]
