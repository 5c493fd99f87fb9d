# make demo          the main job on embedded defaults; JSON=1 ends with one JSON line for scripts, COMPOSE=1 runs the room
#                    as containers of docker-compose
# make test          everything CI checks
# make cvm           the attestation agent of confidential VMs, a workspace of its own: lint, tests against a software TPM,
#                    and its image started in Docker
# make image-cvm     its image, from a published binary, in .work/image-cvm
# make fuzz          searches on with the fuzz targets: TARGET=name for one, SECONDS=n for each (docs/fuzzing.md)
# make images        the images of the room, from published binaries, in .work/images, with their manifest, bills of
#                    materials and provenance (docs/images.md)
# make bench-skr     what a key release costs beyond MAA and the vault, and an idle skr-agent; last line one JSON object
# make bench-policy  root hashes against the physical floor, and a room's from a warm cache; last line one JSON object
# make bench-mount   the mount beside its ceiling, its own modes and gocryptfs; PART=memory, storage or rss for one part
#                    of it; last line one JSON object (docs/benchmarks.md)
# make bench-compose image sizes, memory and start of the room as containers, with published binaries
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never

# Where cargo leaves the binaries; the target is named in .cargo/config.toml.
BIN = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/debug

.PHONY: demo test setup build lint unit fuzz-smoke fuzz cvm images image-cvm bench-skr bench-mount bench-policy bench-compose
demo: build
	@$(if $(COMPOSE),COMPOSE=1 tests/with-docker) tests/demo/run $(BIN) $(if $(JSON),--json)

test: setup lint unit fuzz-smoke cvm

setup:
	@tests/setup

build: setup
	@cargo build --workspace --bins --locked --quiet

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

# The binaries first: the end-to-end tests start them.
unit: setup
	tests/setup judges
	cargo build --workspace --bins --locked --quiet
	tests/with-docker cargo test --workspace --locked --quiet

# Alone, it costs less than all binaries.
$(BIN)/image: | setup
	cargo build --locked --quiet -p image-builder --bins

# Cargo reads the folder's own configuration only from inside it.
CVM = $(or $(CARGO_TARGET_DIR),skr-agent/cvm/target)/x86_64-unknown-linux-gnu
cvm: setup $(BIN)/image
	cd skr-agent/cvm && cargo fmt --check
	cd skr-agent/cvm && cargo clippy --all-targets --locked --quiet -- -D warnings
	cd skr-agent/cvm && cargo test --locked --quiet
	images/cvm/build $(BIN)/image $(CVM)/debug/cvm-attestation-agent .work/image-cvm-debug
	tests/with-docker images/cvm/smoke $(BIN)/image .work/image-cvm-debug

image-cvm: setup $(BIN)/image
	cd skr-agent/cvm && cargo build --bins --locked --quiet --profile dist
	images/cvm/build $(BIN)/image $(CVM)/dist/cvm-attestation-agent .work/image-cvm --gzip
	tests/with-docker images/cvm/smoke $(BIN)/image .work/image-cvm

# Each fuzz target: its corpus, then 5 s of search.
fuzz-smoke: setup
	tests/fuzz/run smoke

fuzz: setup
	tests/fuzz/run search "$(TARGET)" $(or $(SECONDS),600)

# Published binaries, with link-time optimisation: some minutes.
DIST = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/dist
images: setup
	cargo build --workspace --bins --locked --quiet --profile dist
	images/build $(DIST) .work/images --gzip --publish

RELEASE = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/release
bench-skr: setup
	@cargo build --locked --quiet --release -p bench-skr -p virtual-attester --bins
	@$(RELEASE)/bench-skr $(RELEASE)

bench-policy: images
	@cargo build --locked --quiet --release -p bench-policy
	@mkdir -p .work
	@$(RELEASE)/bench-policy .work .work/images

# The mount is statically linked as it ships; the measured processes end with this one.
bench-mount: setup
	@cargo build --locked --quiet --release -p bench-mount
	@$(RELEASE)/bench-mount $(PART)

bench-compose: images
	tests/with-docker tests/bench/compose $(DIST) .work/images
