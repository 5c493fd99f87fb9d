use sidecar_http::{Coded, Fault};
use thiserror::Error;

use crate::PcrSelection;

/// Why evidence of a confidential virtual machine is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EvidenceError {
    /// The blob is not an HCL report over an SNP report.
    #[error("HCL report: {field}: expected {expected}, actual {actual}")]
    Hcl {
        /// The field.
        field: &'static str,
        /// What the layout asks for.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// The runtime claims cannot be read.
    #[error("runtime claims: {reason}")]
    Claims {
        /// What is wrong.
        reason: String,
    },
    /// The SNP report does not bind the claims beside it.
    #[error(
        "report_data: expected the SHA-256 of the runtime claims and zeros {expected}, actual {actual}"
    )]
    Unbound {
        /// Hex of what the claims demand.
        expected: String,
        /// Hex of what the report has.
        actual: String,
    },
    /// The guest bound something else.
    #[error("user-data: expected {expected}, actual {actual}")]
    UserData {
        /// Hex of what was asked for.
        expected: String,
        /// Hex of what the claims have, or `none`.
        actual: String,
    },
    /// The bytes are not a quote.
    #[error("TPM quote: {field}: expected {expected}, actual {actual}")]
    Quote {
        /// The field.
        field: &'static str,
        /// What the layout asks for.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// The attestation key in the claims did not sign the quote.
    #[error("TPM quote: its signature does not verify under HCLAkPub")]
    QuoteSignature,
    /// The quote was made for another request.
    #[error("TPM quote: nonce: expected {expected}, actual {actual}")]
    Nonce {
        /// Hex of the nonce asked for.
        expected: String,
        /// Hex of the nonce in the quote.
        actual: String,
    },
    /// Values of other PCRs stand beside the quote than it is about.
    #[error("TPM quote: PCRs: expected {expected}, actual {actual}")]
    PcrSelection {
        /// The PCRs that are quoted or were asked for.
        expected: PcrSelection,
        /// The PCRs that are there.
        actual: PcrSelection,
    },
    /// The values beside the quote are not the quoted ones.
    #[error("TPM quote: digest of the PCRs: quoted {expected}, of the values {actual}")]
    PcrDigest {
        /// Hex of the digest in the quote.
        expected: String,
        /// Hex of the digest of the values.
        actual: String,
    },
    /// No such PCR.
    #[error("PCR {index}: expected 0 to 23")]
    PcrIndex {
        /// What was given.
        index: i64,
    },
    /// The report beside the HCL report is not the one inside it.
    #[error("snpReport is not the report inside hclReport")]
    ForeignReport,
    /// The attestation key's certificate does not fit.
    #[error("AK certificate: {reason}")]
    AkCertificate {
        /// What is wrong.
        reason: String,
    },
    /// A member of the evidence cannot be read.
    #[error("evidence: {reason}")]
    Wire {
        /// What is wrong.
        reason: String,
    },
}

impl Coded for EvidenceError {
    fn code(&self) -> &str {
        match self {
            Self::Hcl { .. } => "CR-CVM-0001",
            Self::Claims { .. } => "CR-CVM-0002",
            Self::Unbound { .. } => "CR-CVM-0003",
            Self::UserData { .. } => "CR-CVM-0004",
            Self::Quote { .. } => "CR-CVM-0005",
            Self::QuoteSignature => "CR-CVM-0006",
            Self::Nonce { .. } => "CR-CVM-0007",
            Self::PcrSelection { .. } => "CR-CVM-0008",
            Self::PcrDigest { .. } => "CR-CVM-0009",
            Self::PcrIndex { .. } => "CR-CVM-0010",
            Self::ForeignReport => "CR-CVM-0011",
            Self::AkCertificate { .. } => "CR-CVM-0012",
            Self::Wire { .. } => "CR-CVM-0013",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::PcrIndex { .. } | Self::Wire { .. } => Fault::Caller,
            _ => Fault::Denied,
        }
    }
}
