//! Our storage client and our file format against Azurite, a blob service that others wrote.
//!
//! Azurite takes unsigned tokens, ignores checksums and customer-provided keys in loose mode, and knows no roles: those
//! are judged elsewhere. What it stores is looked at through plain requests as well, past our client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod conditions;
mod content;
mod format;
mod listing;
mod lost_answers;
mod refusals;
mod server;
