//! SEV-SNP attestation reports, what endorses them, and the verifier of both.
//!
//! Nothing here reads a file, opens a connection or looks at a clock: what is judged and what it is judged by are arguments.
//! Every input is hostile, and none can make this crate panic.
//!
//! [`Report::parse`], [`EndorsementChain::from_pem`] and [`UvmEndorsement::parse`] read; none verifies. [`verify`] holds
//! [`Material`] against [`Requirements`] and gives a [`Verification`]: the table of all checks, and for evidence that passes
//! them all a [`VerifiedReport`], which nothing else can make.

mod certificate;
mod chain;
mod check;
mod crl;
mod endorsement;
mod error;
mod report;
mod requirements;
mod roots;
mod table;
mod tcb;
mod uvm;
mod verification;
mod verify;

pub use chain::EndorsementChain;
pub use check::{Check, CheckId, Verdict};
pub use endorsement::Endorsement;
pub use error::SnpError;
pub use report::{ALLOW_ALL_HOST_DATA, Cpuid, REPORT_LEN, Report, SigningKey, is_allow_all};
pub use requirements::{
    AuthorKey, Chips, Measurement, MinimumTcb, PlatformInfo, Requirements, report_data,
};
pub use roots::Roots;
pub use tcb::{Product, Tcb};
pub use uvm::{UvmEndorsement, UvmRoots};
pub use verification::{Verification, VerifiedReport};
pub use verify::{Material, verify};
