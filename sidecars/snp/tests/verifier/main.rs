//! The verifier held against real evidence, against forged evidence, and against another verifier.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod accepted;
mod changed;
mod forge;
mod page;
mod real;
mod refused;
mod sev_crate;
mod vectors;
