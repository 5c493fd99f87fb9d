//! The sidecar against a CGS whose every answer the test writes, and against the emulated one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step is a failed test"
)]

mod consent_and_tokens;
mod emulator;
mod events;
mod support;
