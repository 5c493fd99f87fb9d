//! The AMD side under a test root: issuing reports, and judging reports, chains and utility VM endorsements.
//!
//! Everything here chains to keys that are public (`tests/vectors/attestation-mock`). The judge is written from AMD's
//! layout and shares nothing with the product's parser.

mod chain;
mod context;
mod issue;
mod mint;
mod platform;
mod report;
mod uvm;

pub use chain::{ark_pem, chain_pem};
pub use context::{host_amd_cert, write_context};
pub use issue::{issue_report, issue_report_on};
pub use mint::{mint_authorities, mint_crl, mint_vcek};
pub use platform::{Platform, Product};
pub use report::{SnpReport, verify_report};
pub use uvm::{UvmEndorsement, uvm_endorsement, verify_uvm};

use thiserror::Error;

/// Why evidence is refused; each text names what was expected and what was found.
#[derive(Debug, Error)]
pub enum AmdError {
    /// The report's layout, or what it says.
    #[error("attestation report: {0}")]
    Report(String),
    /// The certificates beside it.
    #[error("certificate chain: {0}")]
    Chain(String),
    /// The report's signature.
    #[error("attestation report: the signature does not verify under the certificate's key")]
    Signature,
    /// The endorsement of the utility VM.
    #[error("utility VM endorsement: {0}")]
    Uvm(String),
    /// A key or a certificate of the test root is unusable.
    #[error("test root: {0}")]
    Root(&'static str),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// host_data of the two published policies that allow everything.
const ALLOW_ALL: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];

fn refuse_allow_all(host_data: &[u8]) -> Result<(), AmdError> {
    let host_data = hex::encode(host_data);
    if ALLOW_ALL.contains(&host_data.as_str()) {
        return Err(AmdError::Report(format!(
            "host_data {host_data} belongs to a policy that allows everything"
        )));
    }
    Ok(())
}

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../vectors/attestation-mock/",
            $name
        ))
    };
}
use vector;

/// Measurement of the utility VM that every issued report carries: 48 bytes.
pub const MEASUREMENT: [u8; 48] = [0xab; 48];
