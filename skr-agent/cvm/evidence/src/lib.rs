//! Evidence of an Azure confidential virtual machine (SEV-SNP with a virtual TPM).
//!
//! The chain of trust: AMD's root → the chip's key → the SNP report → its `report_data`, which is the hash of the runtime
//! claims → the TPM's attestation key in these claims → a quote over nonce and PCRs. What the guest wants to bind beside the
//! nonce stands in the claims as `user-data`. The paravisor keeps report and claims together as one [`HclReport`].
//!
//! Everything here reads bytes that somebody else wrote and does no IO; the TPM is the agent's matter.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod ak_certificate;
mod claims;
mod encoding;
mod error;
mod hcl;
mod pcrs;
mod quote;
mod reader;
mod self_check;
#[cfg(test)]
mod vectors;
mod wire;

pub use ak_certificate::AkCertificate;
pub use claims::RuntimeClaims;
pub use error::EvidenceError;
pub use hcl::{HclReport, SNP_REPORT_LEN};
pub use pcrs::{PCRS, PcrSelection, PcrValues};
pub use quote::Quote;
pub use self_check::{Bound, self_check};
pub use wire::{AttestRequest, Attestation, Evidence, ImageReference};
