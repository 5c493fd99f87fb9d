//! SEV-SNP attestation reports, what endorses them, and the verifier of both.
//!
//! Nothing here reads a file, opens a connection or looks at a clock: what is judged and what it is judged by are arguments.
//! Every input is hostile, and none can make this crate panic.
//!
//! [`Report::parse`] and [`EndorsementChain::from_pem`] read; neither verifies.

mod certificate;
mod chain;
mod check;
mod endorsement;
mod error;
mod report;
mod tcb;

pub use chain::EndorsementChain;
pub use check::{Check, CheckId, Verdict};
pub use endorsement::Endorsement;
pub use error::SnpError;
pub use report::{ALLOW_ALL_HOST_DATA, Cpuid, REPORT_LEN, Report, SigningKey, is_allow_all};
pub use tcb::{Product, Tcb};
