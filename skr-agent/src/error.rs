use std::sync::Arc;

use attestation::AttestError;
use cleanroom_crypto::CryptoError;
use keyvault::KeyVaultError;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Why a request to skr-agent failed.
#[derive(Debug, Error)]
pub enum SkrError {
    /// The body is not the JSON of the route.
    #[error("the request body is not the expected JSON")]
    Body(#[source] serde_json::Error),
    /// A required member is missing or empty.
    #[error("{member} is missing or empty")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// runtime_data is not base64.
    #[error("runtime_data is not base64: {reason}")]
    RuntimeData {
        /// What is wrong.
        reason: String,
    },
    /// kid names no key of the vault.
    #[error("kid: {reason}")]
    Kid {
        /// What is wrong.
        reason: &'static str,
    },
    /// Too many different releases at once.
    #[error("too many key releases at once; at most {limit}")]
    Crowded {
        /// The limit.
        limit: usize,
    },
    /// Evidence or MAA.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The vault.
    #[error(transparent)]
    KeyVault(#[from] KeyVaultError),
    /// The transfer key cannot be made.
    #[error("transfer key")]
    TransferKey(#[from] CryptoError),
}

impl Coded for SkrError {
    fn code(&self) -> &str {
        match self {
            Self::Body(_) => "CR-SKR-0030",
            Self::Missing { .. } => "CR-SKR-0031",
            Self::RuntimeData { .. } => "CR-SKR-0032",
            Self::Kid { .. } => "CR-SKR-0033",
            Self::Crowded { .. } => "CR-SKR-0034",
            Self::TransferKey(_) => "CR-SKR-0035",
            Self::Attest(error) => error.code(),
            Self::KeyVault(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Body(_) | Self::Missing { .. } | Self::RuntimeData { .. } | Self::Kid { .. } => {
                Fault::Caller
            }
            Self::Crowded { .. } => Fault::Upstream { retry: true },
            Self::TransferKey(_) => Fault::Platform,
            Self::Attest(error) => error.fault(),
            Self::KeyVault(error) => error.fault(),
        }
    }
}

/// One error for everyone who waited for the same release.
#[derive(Clone, Debug, Error)]
#[error(transparent)]
pub(crate) struct SharedError(#[from] Arc<SkrError>);

impl From<SkrError> for SharedError {
    fn from(error: SkrError) -> Self {
        Self(Arc::new(error))
    }
}

impl Coded for SharedError {
    fn code(&self) -> &str {
        self.0.code()
    }

    fn fault(&self) -> Fault {
        self.0.fault()
    }
}
