//! What the fuzz targets share: a bound on memory, the mock attestation root, and who signs for the fuzzer.

mod memory;
pub mod mock;
pub mod sign;
pub mod storage;
pub mod tarball;

pub use memory::{bounded, within};

/// JSON, if each part of it can be read: what skips a member does not look for broken escapes or endless numbers in it.
pub fn whole(json: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(json).ok()
}

/// A file of `tests/vectors`.
#[macro_export]
macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/", $name))
    };
}

/// A text file of `tests/vectors`.
#[macro_export]
macro_rules! vector_text {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/", $name))
    };
}
