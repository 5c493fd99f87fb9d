//! The guest devices over doubles that the kernel serves: FUSE files with the drivers' ioctls, and a configfs.
//!
//! Needs root and `/dev/fuse`, as the mounts of the product do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod configfs;
mod guest;
mod mounted;
mod tsm;

use attestation::REPORT_LEN;

const REPORT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/vectors/attestation/snp_report.bin"
));

/// A report as hardware would give it for this question; its signature is nobody's business here.
fn answer(report_data: &[u8]) -> Vec<u8> {
    let mut report = REPORT.to_vec();
    report[0x50..0x90].copy_from_slice(report_data);
    assert_eq!(report.len(), REPORT_LEN);
    report
}
