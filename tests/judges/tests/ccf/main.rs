//! The `ccf` package against ours: it reads what our members sign, and the emulated CGS reads what it signs.
//!
//! A message of ours is right if the package would have made the same bytes of the same inputs: then whoever reads the
//! package's messages reads ours. Requests to `/app` are not signed at all, their members are known by the connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
mod headers;
mod member;
mod program;
mod recorded;
mod service;
mod signed;

/// The proposal that the recorder knows.
const PROPOSAL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ACCEPT: &str = "export function vote (proposal, proposerId) { return true }";
const REJECT: &str = "export function vote (proposal, proposerId) { return false }";
