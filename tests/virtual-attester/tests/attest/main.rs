//! The virtual attester against a world of emulators, over TLS.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod common;
mod evidence;
mod keyprovider;
mod release;
mod routes;
mod upsets;
mod verification;
