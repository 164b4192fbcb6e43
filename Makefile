# make help says what there is. Whatever a target needs, it installs or builds.
SHELL := /bin/bash
.DEFAULT_GOAL := build
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOFILES = $(shell git ls-files --cached --others --exclude-standard '*.go')

.PHONY: help build older deps runtime release release-check smoke example-image test-image kubectl registry-clients vm-image vm demo test fmt vet lint unit cross e2e fuzz bench microbench scale crash soak limits generate clean

help: ## what the targets do
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: runtime ## bin/covey: the one binary, everything inside
	CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/covey ./cmd/covey

older: build ## bin/covey-older: what a covey of before protocol version 2 would be, for the tests of an upgrade
	CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=v0.0.0-older -X covey.dev/covey/store/protocol.speaks=1" -o bin/covey-older ./cmd/covey

deps: ## Debian packages that the build and the tests need, those that are missing
	@.ci/deps

runtime: deps ## the shim and runc that bin/covey carries
	@agent/containerd/build/build.sh

release: ## dist/: covey for amd64, arm64, armv7 and riscv64 as the last commit has it, with checksums and what is inside
	@.ci/deps release
	@.ci/release

release-check: release ## that another build of the same commit gives the same files
	@again=$$(mktemp -d) && trap 'rm -rf "$$again"' EXIT && DIST=$$again .ci/release && diff dist/SHA256SUMS "$$again/SHA256SUMS" && echo "the same files"

smoke: release ## that what was built for other machines starts, under qemu
	@.ci/smoke

example-image: ## bin/hello.tar: the example's image, without Docker and without a registry
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o bin/hello ./examples/hello
	go run ./examples/image -o bin/hello.tar -name hello:1.0 -entrypoint /hello bin/hello:/hello

test-image: deps ## bin/busybox.tar: the shell that the end-to-end tests run in containers
	go run ./examples/image -o bin/busybox.tar -name busybox:1 \
		$$(busybox --list | sed -e '/^busybox$$/d' -e 's,.*,-symlink /bin/&=busybox,') "$$(command -v busybox):/bin/busybox"

kubectl: ## bin/kubectl, the real one, at the version in e2e/go.mod
	cd e2e && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o ../bin/kubectl \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" ./kubectl

demo: build example-image ## a node, a service, its death and its healing; Ctrl-C ends it
	@examples/demo.sh

registry-clients: ## bin/crane and the conformance tests of the OCI distribution specification, at the versions in e2e/go.mod
	cd e2e && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o ../bin/crane github.com/google/go-containerregistry/cmd/crane
	cd e2e && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o ../bin/conformance github.com/opencontainers/distribution-spec/conformance

test: fmt vet lint unit cross e2e ## all that CI runs

fmt:
	@out=$$(gofmt -l $(GOFILES)); if [ -n "$$out" ]; then echo "not formatted by gofmt:"; echo "$$out"; exit 1; fi

vet: runtime
	go vet ./...
	cd e2e && go vet ./...

lint: ## golangci-lint, at the version in .ci/lint/go.mod
	@.ci/golangci-lint run ./...
	@cd e2e && ../.ci/golangci-lint run ./...

unit: runtime ## the tests of the packages, with the race detector
	go test -race -timeout 30m ./...
	go test -run 'Scale$$' ./node/gossip

cross: ## that covey compiles for other machines, of 64 and of 32 bits
	@for arch in arm64 arm; do echo "$$arch"; export CGO_ENABLED=0 GOOS=linux GOARCH=$$arch GOARM=7; \
		go vet ./... && go build -trimpath -o /dev/null ./cmd/covey || exit 1; done

e2e: build older example-image test-image kubectl registry-clients vm-image ## the real binary with real containers, driven by the real kubectl
	cd e2e && go test -count=1 -timeout 45m -p 1 ./... # one package after the other: both are more than two cores can do at once

vm-image: deps ## bin/vm: a kernel and a small Debian for virtual machines
	@.ci/vm-image

CUTS = 20
vm: build test-image example-image vm-image ## three virtual machines as a cluster whose plugs are pulled, CUTS times beside what CI does
	cd e2e && COVEY_VM_POWER_CUTS=$(CUTS) go test -count=1 -timeout 120m -v ./vm

FUZZTIME = 1m
fuzz: runtime ## each fuzz target for FUZZTIME; what they find goes to testdata/fuzz
	@.ci/fuzz $(FUZZTIME)

crash: build example-image test-image kubectl ## kills a node under load 300 times and checks that nothing is lost, doubled or left over
	cd e2e && COVEY_CRASHES=300 go test -count=1 -timeout 60m -run AcknowledgedWritesSurviveCrashes -v .

SOAK = 8h
soak: build example-image test-image kubectl ## five nodes under random faults for SOAK: whether what clients see is linearizable, and watches complete
	cd e2e && COVEY_SOAK=$(SOAK) go test -count=1 -timeout 0 -run ConsistencyUnderFaults -v .

bench: build example-image test-image kubectl ## covey beside its peers: memory, CPU, writes and times, as tables (docs/benchmarks.md); BENCH='-only members,faults' takes another hour
	@cd e2e && go run ./bench $(BENCH)

limits: build example-image test-image kubectl ## many and large objects, watchers and pods, as tables; minutes, and some GB of memory
	cd e2e && COVEY_LIMITS=yes go test -count=1 -timeout 60m -run Limits -v . | grep -v '^=== '

scale: ## 1,000 members of the gossip and 5 servers under 5,000 nodes in one process, as in docs/scale.md; minutes, and some GB of memory
	COVEY_SCALE=1000 go test -count=1 -timeout 60m -run 'Scale$$' -v ./node/gossip
	go test -run - -bench StatusesOf5000Nodes -benchtime 3x ./store

microbench: ## the benchmarks of the packages; compare two runs with benchstat
	go test -run '^$$' -bench . -benchmem -count 5 ./store/... ./scheduler/... ./api/...

generate: ## what is generated and committed: OpenAPI documents, docs/fields.md
	go generate ./...

clean: ## removes what was built
	rm -rf bin dist agent/containerd/assets/*/*.zst agent/containerd/assets/.built-*
