use std::sync::Arc;

use attestation::AttestError;
use axum::http::StatusCode;
use cleanroom_crypto::CryptoError;
use keyvault::KeyVaultError;
use sidecar_http::{CallError, Coded, Fault};
use thiserror::Error;

use crate::failure;

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
    /// The body does not arrive, or is too large.
    #[error("the request body: {reason}")]
    Unread {
        /// What is wrong.
        reason: String,
    },
    /// The endpoint is none that a caller may name.
    #[error("{member} {endpoint} is not among those that {argument} allows")]
    NotAllowed {
        /// The member of the request.
        member: &'static str,
        /// The endpoint.
        endpoint: String,
        /// The argument with the list.
        argument: &'static str,
    },
    /// The caller brings no access token and none can be got.
    #[error("access_token is missing, and no token can be got for {vault}: {reason}")]
    NoToken {
        /// The vault.
        vault: String,
        /// What would have to be set.
        reason: &'static str,
    },
    /// The identity sidecar gave no token.
    #[error("access token for {vault}")]
    Identity {
        /// The vault.
        vault: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// A key provider message is not what its protocol says.
    #[error("key provider message: {reason}")]
    KeyProvider {
        /// What is wrong.
        reason: String,
    },
    /// A wrapping key cannot be read from the key directory.
    #[error("wrapping key {path:?}: {reason}")]
    WrappingKey {
        /// The path of the request.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What was wrapped does not open with the released key.
    #[error("the wrapped data of key {kid} does not open")]
    Unwrap {
        /// The key.
        kid: String,
        /// Why.
        #[source]
        source: CryptoError,
    },
    /// A variable of the environment is not usable.
    #[error("environment variable {name}: {reason}")]
    Environment {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        reason: String,
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
            Self::Unread { .. } => "CR-SKR-0080",
            Self::NotAllowed { .. } => "CR-SKR-0081",
            Self::NoToken { .. } => "CR-SKR-0082",
            // The hop that failed names the error.
            Self::Identity { source, .. } => source.code(),
            Self::KeyProvider { .. } => "CR-SKR-0083",
            Self::WrappingKey { .. } => "CR-SKR-0084",
            Self::Unwrap { .. } => "CR-SKR-0085",
            Self::Environment { .. } => "CR-SKR-0086",
            Self::Attest(error) => error.code(),
            Self::KeyVault(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Body(_)
            | Self::Missing { .. }
            | Self::RuntimeData { .. }
            | Self::Kid { .. }
            | Self::Unread { .. }
            | Self::NoToken { .. }
            | Self::KeyProvider { .. }
            | Self::WrappingKey { .. }
            | Self::Unwrap { .. }
            | Self::Environment { .. } => Fault::Caller,
            Self::NotAllowed { .. } => Fault::Denied,
            Self::Identity { source, .. } => source.fault(),
            Self::Crowded { .. } => Fault::Upstream { retry: true },
            Self::TransferKey(_) => Fault::Platform,
            Self::Attest(error) => error.fault(),
            Self::KeyVault(error) => error.fault(),
        }
    }

    fn status(&self) -> StatusCode {
        if failure::timed_out(self) {
            return StatusCode::GATEWAY_TIMEOUT;
        }
        self.fault().status()
    }
}

/// One error for everyone who waited for the same release.
#[derive(Clone, Debug, Error)]
#[error(transparent)]
pub(crate) struct SharedError(Arc<SkrError>);

impl std::ops::Deref for SharedError {
    type Target = SkrError;

    fn deref(&self) -> &SkrError {
        &self.0
    }
}

impl From<SkrError> for SharedError {
    fn from(error: SkrError) -> Self {
        Self(Arc::new(error))
    }
}
