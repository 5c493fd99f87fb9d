//! The agent's program against a software TPM (`swtpm`) behind a device file, as a confidential virtual machine has it.
//!
//! Needs root, `/dev/fuse` and `swtpm`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod device;
mod evidence;
mod frames;
mod hcl;
mod machine;
mod metadata;
mod upsets;
mod verifier;
