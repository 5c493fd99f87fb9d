use attestation::AttestError;
use cvm_evidence::EvidenceError;
use http::StatusCode;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

use crate::tpm::TpmFailure;

/// Why there is no evidence.
#[derive(Debug, Error)]
pub enum CvmError {
    /// The body does not arrive, is too large, or is not the JSON of the route.
    #[error("the request body: {reason}")]
    Body {
        /// What is wrong.
        reason: String,
    },
    /// A required member is missing or empty.
    #[error("{member} is missing or empty")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// A member is not base64.
    #[error("{member} is not base64: {reason}")]
    Base64 {
        /// The member.
        member: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A member has another length than it may have.
    #[error("{member}: expected {expected}, actual {actual} bytes")]
    Length {
        /// The member.
        member: &'static str,
        /// What it may have.
        expected: &'static str,
        /// What it has.
        actual: usize,
    },
    /// The route has another method.
    #[error("this route has only POST")]
    Method,
    /// The TPM cannot be used.
    #[error(transparent)]
    Tpm(#[from] TpmFailure),
    /// Too many requests wait for the TPM, or they take too long.
    #[error("the TPM serves one request at a time and others were first: {reason}")]
    Crowded {
        /// Which limit was met.
        reason: String,
    },
    /// The TPM did not answer.
    #[error("the TPM did not answer within {seconds} s")]
    Deadline {
        /// The deadline.
        seconds: u64,
    },
    /// The process that uses the TPM gave no answer.
    #[error("the process that uses the TPM: {reason}")]
    Worker {
        /// What became of it.
        reason: String,
    },
    /// The TPM's attestation key is not the one that the SNP report binds.
    #[error(
        "the key at 0x81000003 is not HCLAkPub of the HCL report: the TPM was cleared or replaced under the report"
    )]
    ForeignAk,
    /// What was collected does not hold together.
    #[error(transparent)]
    Evidence(EvidenceError),
    /// The SNP report, or the certificates for it.
    #[error(transparent)]
    Attest(#[from] AttestError),
}

impl From<EvidenceError> for CvmError {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error)
    }
}

impl CvmError {
    /// Whether a report that is made anew may cure it: another process wrote `user-data`, the paravisor was just
    /// writing, a PCR was extended between quote and reading, or the certificates are for newer firmware than the
    /// report.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Evidence(error) => matches!(
                error,
                EvidenceError::Hcl { .. }
                    | EvidenceError::Unbound { .. }
                    | EvidenceError::UserData { .. }
                    | EvidenceError::PcrDigest { .. }
            ),
            Self::Attest(error) => matches!(error.cause(), AttestError::TcbMismatch { .. }),
            _ => false,
        }
    }

    /// Whether it is how the guest was launched, which never changes.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Attest(error) if matches!(
            error.cause(),
            AttestError::Debuggable { .. } | AttestError::AllowAll { .. }
        ))
    }

    /// Whether the same request may succeed later.
    pub(crate) fn retryable(&self) -> bool {
        self.fault() == Fault::Upstream { retry: true }
    }

    /// The code of the agent in `Azure/azure-cleanroom`, whose clients know no other.
    pub(crate) fn upstream_code(&self) -> &'static str {
        match self {
            Self::Body { .. } => "InvalidRequestBody",
            Self::Missing { member: "nonce" } => "MissingNonce",
            Self::Missing { .. } => "MissingReportData",
            Self::Base64 {
                member: "nonce", ..
            } => "InvalidNonce",
            Self::Base64 { .. } => "InvalidReportData",
            Self::Length {
                member: "nonce", ..
            } => "InvalidNonceSize",
            Self::Length { .. } => "InvalidReportDataSize",
            Self::Method => "MethodNotAllowed",
            Self::Evidence(EvidenceError::PcrIndex { .. }) => "InvalidPCRSelection",
            Self::Attest(error) => match error.cause() {
                AttestError::NoEndorsements { .. } | AttestError::TcbMismatch { .. } => {
                    "THIMFetchFailed"
                }
                _ => "AttestationFailed",
            },
            Self::Worker { .. } => "InternalError",
            _ => "AttestationFailed",
        }
    }
}

impl Coded for CvmError {
    fn code(&self) -> &str {
        match self {
            Self::Body { .. } => "CR-CVM-0020",
            Self::Missing { .. } => "CR-CVM-0021",
            Self::Base64 { .. } => "CR-CVM-0022",
            Self::Length { .. } => "CR-CVM-0023",
            Self::Method => "CR-CVM-0024",
            Self::Tpm(failure) => failure.code(),
            Self::Crowded { .. } => "CR-CVM-0040",
            Self::Deadline { .. } => "CR-CVM-0041",
            Self::Worker { .. } => "CR-CVM-0042",
            Self::ForeignAk => "CR-CVM-0043",
            Self::Evidence(error) => error.code(),
            Self::Attest(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Body { .. }
            | Self::Missing { .. }
            | Self::Base64 { .. }
            | Self::Length { .. }
            | Self::Method => Fault::Caller,
            Self::Tpm(failure) => failure.fault(),
            Self::Crowded { .. } | Self::Deadline { .. } => Fault::Upstream { retry: true },
            Self::Worker { .. } | Self::ForeignAk => Fault::Platform,
            Self::Evidence(error @ EvidenceError::PcrIndex { .. }) => error.fault(),
            // The evidence is this machine's own: nobody was denied anything.
            Self::Evidence(_) => Fault::Platform,
            Self::Attest(_) if self.is_final() => Fault::Platform,
            Self::Attest(error) => error.fault(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            _ => self.fault().status(),
        }
    }
}
