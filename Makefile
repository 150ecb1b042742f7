# Niyanta. `make help` lists the targets.

SHELL := /bin/bash -eo pipefail
.DEFAULT_GOAL := help

# How long `make test` simulates.
SIMULATE ?= 90s

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS   := bin/golangci-lint bin/oapi-codegen bin/wire bin/mockgen bin/protoc-gen-go bin/protoc-gen-connect-go bin/protogen
# The build tags of what only a target of its own runs; `make verify` checks that it still builds.
MEASURED := cycles,defects,explain,noisy,plots,recovery,retention,scale,streams,trace,typescript
# Everything that `make generate` writes.
GENERATED := $(shell git ls-files '*.gen.go' '*.pb.go' '*.connect.go' '*wire_gen.go' '*mock_*.go' docs/operations/settings.md docs/operations/metrics.md docs/cli 2>/dev/null)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: build demo-build ## the main job: two workers, one is killed half way, the result must be right; UI=1: watch it in the console
	bin/sourcestats-demo -bin bin $(if $(UI),-ui)

demo-python: build ## the same in Python: its own library is counted, one of two workers is killed half way
	PYTHONPATH=sdk/python/src "$$(scripts/python find)" examples/pystats/demo.py -program bin/niyanta

demo-production: build demo-build ## the same on PostgreSQL, NATS and Redis, which it starts
	go build -o bin/nats-server github.com/nats-io/nats-server/v2
	WORKERS=0 scripts/production-set bin/sourcestats-demo -bin bin -join

demo-build:
	@CGO_ENABLED=0 go build -trimpath -o bin/sourcestats-worker ./examples/sourcestats/worker
	@CGO_ENABLED=0 go build -trimpath -o bin/sourcestats-demo ./examples/sourcestats/demo

dev: build ## everything in one process, in memory
	bin/niyanta dev

build: ## bin/niyanta
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/niyanta ./cmd/niyanta

console: ## build the web console into adapters/console/dist, where it is committed
	scripts/console build

test: ## tests under the race detector; of what is dear a part, which it prints
	scripts/ensure-deps browser
	@mkdir -p bin && rm -f bin/contract-table.* bin/*.txt
	NIYANTA_TEST_CONTRACT_TABLE=$(CURDIR)/bin/contract-table.$$$$ NIYANTA_TEST_LEFT=$(CURDIR)/bin/left.txt \
	  NIYANTA_TEST_CHAOS_SUMMARY=$(CURDIR)/bin/chaos.txt NIYANTA_TEST_MODEL_SUMMARY=$(CURDIR)/bin/model.txt \
	  go test -race -timeout 20m $$(go list ./... | grep -vE '$(ONE_THREAD)')
	@scripts/contract-table bin/contract-table.*
	@$(MAKE) --no-print-directory -j 2 .test-simulation .test-days .test-crashpoints .test-kubernetes .test-python
	@cat bin/crashpoints.txt bin/exhaustive-*.txt bin/model.txt bin/simulation.txt bin/chaos.txt
	@echo "Left to make test-all:" && sort bin/left.txt | sed 's/^/  /'

# The race detector finds nothing in these packages, which have one thread each, and makes them ten times slower.
ONE_THREAD := /simulation(/days|/crashpoints)?$$
.test-simulation:
	@NIYANTA_TEST_SIMULATION_SUMMARY=$(CURDIR)/bin/simulation.txt NIYANTA_TEST_EXHAUSTIVE_SUMMARY=$(CURDIR)/bin/exhaustive- go test ./simulation -count=1 -budget $(SIMULATE) >bin/simulation.log || { cat bin/simulation.log; exit 1; }
.test-days:
	@go test ./simulation/days -count=1 >bin/days.log || { cat bin/days.log; exit 1; }
.test-crashpoints:
	@NIYANTA_TEST_CRASHPOINTS_SUMMARY=$(CURDIR)/bin/crashpoints.txt go test ./simulation/crashpoints -count=1 -sample 8 >bin/crashpoints.log || { cat bin/crashpoints.log; exit 1; }
.test-kubernetes:
	@go -C deploy/kubernetes test ./... >bin/kubernetes.log || { cat bin/kubernetes.log; exit 1; }
.test-python:
	@scripts/python smoke

test-all: test ## and whole what `make test` tries only in part: crash points, random sequences, simulation, chaos, upgrades, the console, planted defects, recovery (an hour)
	$(MAKE) --no-print-directory portable
	$(MAKE) --no-print-directory python
	$(MAKE) --no-print-directory conformance
	$(MAKE) --no-print-directory suites
	$(MAKE) --no-print-directory crashpoints
	$(MAKE) --no-print-directory model
	$(MAKE) --no-print-directory alike
	$(MAKE) --no-print-directory sim SEEDS=10000
	$(MAKE) --no-print-directory chaos
	$(MAKE) --no-print-directory upgrade
	$(MAKE) --no-print-directory recovery
	$(MAKE) --no-print-directory browser
	$(MAKE) --no-print-directory defects

python: ## the Python SDK: types, tests with real workers on each store, wheel and sdist (ten minutes)
	scripts/ensure-deps
	scripts/python all

suites: ## whole what `make test` runs in part: stores behind pgbouncer, read replicas, the worker protocol and failures on every transport (ten minutes)
	scripts/ensure-deps
	go test ./adapters/postgres ./bootstrap -run 'BehindAPooler|Replicas|OnTheProductionSet|PublicKinds|Storms' -timeout 30m -count=1 -whole

python-figures: ## how long recovery from the end of a Python worker takes with every default in force, and its throughput (minutes)
	scripts/ensure-deps
	scripts/python figures

conformance: ## workers in Go, Python and Node.js against each rule of the protocol (minutes)
	scripts/ensure-deps browser
	go test ./sdk/conformance -timeout 20m -count=1 -v -whole

lint: bin/golangci-lint ## static checks
	bin/golangci-lint run ./...

generate: $(TOOLS) ## API, wiring, mocks and the pages of settings and metrics, from their sources
	@# What Wire writes carries a directive of its own, which would change go.sum.
	PATH="$(CURDIR)/bin:$$PATH" go generate -skip 'go run -mod=mod' ./...

openapi: bin/oasdiff ## the OpenAPI file is clean and compatible with its baseline, and a TypeScript client of it works
	scripts/openapi

openapi-baseline: ## accept the OpenAPI file as it is: from now on it may only grow
	cp api/openapi/niyanta-v1.yaml api/openapi/baseline/niyanta-v1.yaml

verify: ## generated code, modules and formatting are current, and the OpenAPI file is sound
	@mkdir -p bin && sha256sum $(GENERATED) > bin/.generated.before
	@$(MAKE) --no-print-directory generate
	@sha256sum --check --quiet bin/.generated.before || { echo "generated code was stale: commit what 'make generate' wrote"; exit 1; }
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l) && test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C tools/oasdiff mod tidy -diff
	go -C tools/s3 mod tidy -diff
	go -C tools/sbom mod tidy -diff
	go -C bench mod tidy -diff
	go -C deploy/kubernetes mod tidy -diff
	go vet -tags $(MEASURED) ./...
	go -C bench vet ./...
	go -C deploy/kubernetes vet ./...
	GOOS=darwin GOARCH=arm64 go build ./cmd/... ./sdk/... ./examples/...
	go build -tags noconsole ./...
	@$(MAKE) --no-print-directory openapi
	scripts/console verify

sbom: build bin/cyclonedx-gomod ## the bill of materials of bin/niyanta, which the image has too: bin/niyanta.cdx.json
	bin/cyclonedx-gomod bin -json -std -version "$$(git describe --tags --always)" -output bin/niyanta.cdx.json bin/niyanta

portable: ## it builds on the other systems: whole on macOS and on Linux for ARM, without tests on Windows
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOOS=linux GOARCH=arm64 go build ./...
	GOOS=windows GOARCH=amd64 go build ./cmd/... ./sdk/... ./examples/...

bench: ## benchmarks, with the machine they ran on
	@go version; grep -m1 'model name' /proc/cpuinfo; nproc
	go test -run '^$$' -bench . -benchmem ./core/... ./bootstrap/...

bench-peers: build ## Niyanta beside River and Asynq on the same servers (half an hour, on an idle machine); writes docs/PERFORMANCE.md
	scripts/ensure-deps
	go build -o bin/nats-server github.com/nats-io/nats-server/v2
	@mkdir -p docs/plots/data
	go -C bench build -o ../bin/bench . && cd bench && ../bin/bench -rounds $(or $(ROUNDS),5) -write ../docs
	go -C tools build -o ../bin/plot ./plot
	scripts/plots peers-

capacity: build ## what a fleet of 500 workers, 1,000,000 waiting, three coordinators and SOAK=20m cost (40 minutes, on an idle machine); writes docs/CAPACITY.md
	scripts/ensure-deps
	go build -o bin/nats-server github.com/nats-io/nats-server/v2
	go -C bench build -o ../bin/bench . && cd bench && ../bin/bench -capacity -rounds $(or $(ROUNDS),3) -soak $(or $(SOAK),20m) -write ../docs

profile: build ## where a drain of N=60000 workloads spends its time: CPU, allocations, statements; in bin/profile
	scripts/ensure-deps
	go build -o bin/nats-server github.com/nats-io/nats-server/v2
	go -C bench build -o ../bin/bench . && cd bench && ../bin/bench -drain $(or $(N),60000) -profile ../bin/profile

sim: ## simulate SEEDS=n runs with faults, from seed FROM=1 on, or replay SEED=n with its trace
	go test ./simulation -run WhateverGoesWrong -timeout 0 -count=1 -v $(if $(SEED),-seed $(SEED),-from $(or $(FROM),1) -seeds $(or $(SEEDS),2000))

defects: ## plant each known mistake in turn, with NEW=1 those that are new; the tests must notice (an hour); writes docs/defects.md
	go test -tags defects -run Killed -timeout 0 -count=1 ./contracttests/defects -write docs/defects.md $(if $(NEW),-new)

crashpoints: ## harm EACH=n boundaries of each kind of the write path on PostgreSQL, one after the other; 3: a quarter of an hour, 0: all, hours
	go test ./simulation/crashpoints -timeout 0 -count=1 -v -each $(or $(EACH),3)

model: ## run SEQUENCES=n random sequences of commands on PostgreSQL and memory, which must agree (minutes)
	go test ./bootstrap -run OnRandomSequences -timeout 0 -count=1 -v -sequences $(or $(SEQUENCES),300)

alike: ## send REQUESTS=n generated requests to PostgreSQL and memory, which must answer alike (minutes), with SEED=n again
	go test ./bootstrap -run OnGeneratedRequests -timeout 0 -count=1 -v -requests $(or $(REQUESTS),20000) -requests-seed $(or $(SEED),1)

upgrade: ## run the previous version beside the new one under load, in every order and back, and its contract suite on the new schema (ten minutes)
	scripts/ensure-deps
	go test ./chaos ./adapters/postgres -run "Upgrade|Previous" -timeout 30m -count=1 -v -whole

chaos: ## break real processes and servers under load for DURATION (default 5m), with SEED=n again; report in bin/chaos.md
	@mkdir -p bin
	go test ./chaos -timeout 0 -count=1 -duration $(or $(DURATION),5m) $(if $(SEED),-seed $(SEED)) $(if $(DEFAULTS),-defaults) -report $(CURDIR)/bin/chaos.md

browser: ## the console in Chromium, on memory and PostgreSQL, every page in each size and scheme (minutes); screenshots in bin/browser
	scripts/ensure-deps browser
	go test ./console/browser -timeout 40m -count=1 -v -whole -shots $(CURDIR)/bin/browser

console-scale: ## the console beside 1,000,000 finished and 100,000 waiting, on PostgreSQL: pages, scrolling, a batch of 50,000, memory (minutes)
	scripts/ensure-deps browser
	go test -tags scale ./console/browser -run BesideAMillion -timeout 40m -count=1 -v -shots $(CURDIR)/bin/browser

recovery: ## how long recovery takes with every default in force (minutes)
	go test -tags recovery -run 'RecoveryTimes|RecoveryFigures' -timeout 40m -count=1 -v ./cmd/niyanta

cycles: ## how long scheduling cycles take whatever waits, on PostgreSQL (minutes); draw with `make plots`
	go test -tags cycles -run CyclesWhateverWaits -timeout 30m -count=1 -v ./bootstrap -csv $(CURDIR)/docs/plots/data/cycles.csv

noisy: ## how much a tenant at 20 times its rate moves another's p95, on PostgreSQL (two minutes)
	go test -tags noisy -run TenantAt20TimesItsRate -timeout 10m -count=1 -v ./bootstrap

large-checkpoints: ## how much memory a coordinator and a worker in one process need for a checkpoint of 2 GiB (a minute)
	CHECKPOINT_MIB=2048 go test -run OfAnySize_IsNeverWholeInMemory -timeout 15m -count=1 -v ./bootstrap

retention: ## how much moving 1,000,000 finished workloads to the archive slows submissions, on PostgreSQL (half an hour)
	go test -tags retention -run OfManyWorkloads -timeout 2h -count=1 -v ./bootstrap

streams: ## what 5,000 idle streams cost a coordinator, on PostgreSQL: memory, and the p95 of submissions (minutes)
	go test -tags streams -run Streams_OfIdle -timeout 20m -count=1 -v ./bootstrap

explain: ## what PostgreSQL does for each hot statement, list and read beside ROWS=1000000 workloads (half an hour)
	go test -tags explain -run HotStatements -timeout 60m -count=1 -v ./adapters/postgres -rows $(or $(ROWS),1000000)

trace: ## replays the trace of a GPU cluster in TRACE=folder, see docs/SCHEDULING.md (minutes)
	go test -tags trace ./simulation/trace -run TestReplay_ -timeout 60m -count=1 -v -folder $(abspath $(TRACE)) \
	  -csv $(CURDIR)/docs/plots/data/trace-waits.csv

plots: ## days on the scheduler under each policy, as plots in docs/plots (a minute)
	@mkdir -p docs/plots/data
	go test -tags plots ./simulation/days -run Plots -timeout 15m -count=1 -v -write $(CURDIR)/docs/plots/data
	go -C tools build -o ../bin/plot ./plot
	scripts/plots

fuzz: ## fuzz every decoder, a minute each
	go test -run '^$$' -fuzz FuzzBody -fuzztime 1m ./adapters/http
	go test -run '^$$' -fuzz FuzzCursor -fuzztime 1m ./adapters/http
	go test -run '^$$' -fuzz FuzzCleanReports -fuzztime 1m ./adapters/http
	go test -run '^$$' -fuzz FuzzCleanResult -fuzztime 1m ./core/domain
	go test -run '^$$' -fuzz FuzzEnvelope -fuzztime 1m ./adapters/messaging

clean: ## remove what was built
	rm -rf bin

# Development tools are pinned in a module of their own, so that they never enter the product's graph.
bin/golangci-lint: PKG := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
bin/oapi-codegen:  PKG := github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
bin/wire:          PKG := github.com/google/wire/cmd/wire
bin/mockgen:       PKG := go.uber.org/mock/mockgen
bin/protoc-gen-go: PKG := google.golang.org/protobuf/cmd/protoc-gen-go
bin/protoc-gen-connect-go: PKG := connectrpc.com/connect/cmd/protoc-gen-connect-go
bin/protogen:      PKG := ./protogen
$(TOOLS): tools/go.mod tools/go.sum
	@mkdir -p bin
	go -C tools build -o ../$@ $(PKG)
bin/cyclonedx-gomod: tools/sbom/go.mod tools/sbom/go.sum
	@mkdir -p bin
	go -C tools/sbom build -o ../../$@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
bin/oasdiff: tools/oasdiff/go.mod tools/oasdiff/go.sum
	@mkdir -p bin
	go -C tools/oasdiff build -o ../../$@ github.com/oasdiff/oasdiff

.PHONY: help demo demo-python demo-production demo-build dev build test test-all lint generate openapi openapi-baseline verify sbom portable python python-figures conformance suites .test-simulation .test-days .test-crashpoints .test-kubernetes .test-python bench bench-peers capacity profile sim defects crashpoints model alike browser console console-scale chaos upgrade recovery cycles noisy streams retention large-checkpoints explain plots fuzz trace clean
