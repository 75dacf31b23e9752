# make up     build Sampan and run the demo cluster of manifests/ in the foreground
# make down   stop its pods; the data stays (`make down PURGE=1` removes all)
# make check  what CI asks first: format, lints, the rules of the house, documentation
# make test   every test, on real Docker with a real kubectl
# make bench  the figures, beside their budgets
# make conformance  prove every operator with the large budget
# make upstream  Kubernetes' own conformance suite against a cluster on Docker (`FOCUS=sig-apps PROCS=4`)
#
# A fresh Debian with Rust is enough: what is missing is installed.

TARGET    := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
DATA      ?= .sampan
MANIFESTS ?= manifests
# A debug build starts a newcomer in half the time of a release build; `make up RELEASE=1` builds the latter.
MODE      := $(if $(RELEASE),release,debug)
SAMPAN     = $(TARGET)/$(MODE)/sampan
# What is built already, in whichever mode.
BUILT     := $(firstword $(wildcard $(SAMPAN) $(TARGET)/debug/sampan $(TARGET)/release/sampan))

.DEFAULT_GOAL := help
.PHONY: help up down build check fmt clippy tidy doc test bench conformance upstream docker busybox images database kubectl

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

up: docker build images
	$(SAMPAN) up --data $(DATA) --manifests $(MANIFESTS)

# Nobody waits for a build to end pods.
down: $(if $(BUILT),,build)
	$(or $(BUILT),$(SAMPAN)) down --data $(DATA) $(if $(PURGE),--purge)

build:
	cargo build --locked --package sampan $(if $(RELEASE),--release)

docker:
	@scripts/docker

busybox:
	@scripts/busybox

images:
	@scripts/images

database:
	@scripts/database

kubectl:
	@scripts/kubectl

check: fmt clippy tidy doc

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace -- -D warnings

tidy:
	cargo test --locked --quiet --package sampan-tidy

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

test: docker busybox build images database
	KUBECTL="$$(scripts/kubectl)" SAMPAN="$(abspath $(SAMPAN))" SAMPAN_TEST_DOCKER=required cargo test --locked --workspace --no-fail-fast

bench: docker images
	cargo build --locked --release --package sampan --package sampan-bench
	SAMPAN="$(abspath $(TARGET))/release/sampan" $(TARGET)/release/bench $(ONLY)

upstream: docker busybox build
	SAMPAN="$(abspath $(SAMPAN))" tests/upstream/run

conformance: build
	$(SAMPAN) conformance all --budget large
