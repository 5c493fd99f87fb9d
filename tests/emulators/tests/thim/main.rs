//! The product's endorsement store against the services that have certificates, in every mood.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod common;
mod evidence;
mod failures;
mod kds;
mod keeping;
mod order;
