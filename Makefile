# make demo          the main job on embedded defaults; JSON=1 ends with one JSON line for scripts, COMPOSE=1 runs the room
#                    as containers of docker-compose
# make test          everything CI checks
# make fuzz          searches on with the fuzz targets: TARGET=name for one, SECONDS=n for each (docs/fuzzing.md)
# make images        the images of the room, from published binaries, in .work/images
# make bench-skr     what a key release costs beyond MAA and the vault, and an idle skr-agent; last line one JSON object
# make bench-compose image sizes, memory and start of the room as containers, with published binaries
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TERM_COLOR ?= never

# Where cargo leaves the binaries; the target is named in .cargo/config.toml.
BIN = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/debug

.PHONY: demo test setup build lint unit fuzz-smoke fuzz images bench-skr bench-compose
demo: build
	@$(if $(COMPOSE),COMPOSE=1 tests/with-docker) tests/demo/run $(BIN) $(if $(JSON),--json)

test: setup lint unit fuzz-smoke

setup:
	@tests/setup

build: setup
	@cargo build --workspace --bins --locked --quiet

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

# The binaries first: the end-to-end tests start them.
unit: setup
	cargo build --workspace --bins --locked --quiet
	tests/with-docker cargo test --workspace --locked --quiet

# Every parser of foreign input: its corpus, then 5 s of search.
fuzz-smoke: setup
	tests/fuzz/run smoke

fuzz: setup
	tests/fuzz/run search "$(TARGET)" $(or $(SECONDS),600)

# Published binaries, with link-time optimisation: some minutes.
DIST = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/dist
images: setup
	cargo build --workspace --bins --locked --quiet --profile dist
	images/build $(DIST) .work/images --gzip

RELEASE = $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/release
bench-skr: setup
	@cargo build --locked --quiet --release -p bench-skr -p virtual-attester --bins
	@$(RELEASE)/bench-skr $(RELEASE)

bench-compose: images
	tests/with-docker tests/bench/compose $(DIST) .work/images
