use std::sync::Arc;

use cleanroom_crypto::CryptoError;
use keyvault::KeyVaultError;
use sidecar_http::{CallError, Coded, Fault};
use thiserror::Error;

/// Why a data encryption key was not unwrapped. Every failure of a hop begins with its stage: `identity`, `skr`, `secret`
/// or `decrypt`.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// An argument of the process is not usable.
    #[error("--grants: {reason}")]
    Configuration {
        /// What is wrong.
        reason: String,
    },
    /// The body is not the JSON of the route.
    #[error("the request body is not the expected JSON")]
    Body(#[source] serde_json::Error),
    /// An endpoint in the request is not usable.
    #[error("{member}: {reason}")]
    Endpoint {
        /// The member.
        member: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The caller was granted nothing.
    #[error("nothing is granted to {caller}")]
    NoGrant {
        /// `uid <n>` or `this caller`.
        caller: String,
    },
    /// The caller was granted something else.
    #[error("the request differs from what is granted for {access}: {members}")]
    NotGranted {
        /// The granted access point.
        access: String,
        /// The members that differ.
        members: String,
    },
    /// No token from the identity sidecar.
    #[error("identity: access token for the {purpose}")]
    Identity {
        /// `key encryption key` or `wrapped key`.
        purpose: &'static str,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The key encryption key was not released.
    #[error("skr: release of key encryption key {kid}")]
    Release {
        /// Its name.
        kid: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The wrapped key could not be read.
    #[error("secret: wrapped key {kid}")]
    WrappedKey {
        /// Its name.
        kid: String,
        /// Why.
        #[source]
        source: KeyVaultError,
    },
    /// Another key, or another wrapped key, came back than the one asked for.
    #[error("{stage}: {actual:?} came back, asked for {expected:?} of {vault}")]
    Other {
        /// `skr` or `secret`.
        stage: &'static str,
        /// What was asked for.
        expected: String,
        /// Where.
        vault: String,
        /// What came back, shortened.
        actual: String,
    },
    /// The released key is not an RSA key.
    #[error("skr: key encryption key {kid} is no RSA key")]
    Kek {
        /// Its name.
        kid: String,
        /// Why.
        #[source]
        source: CryptoError,
    },
    /// The wrapped key is not base64.
    #[error("secret: wrapped key {kid} is not base64")]
    Encoding {
        /// Its name.
        kid: String,
    },
    /// The wrapped key does not open, or is no key of 32 bytes.
    #[error("decrypt: wrapped key {kid} does not open with key encryption key {kek}")]
    Decrypt {
        /// Its name.
        kid: String,
        /// The key that was released.
        kek: String,
        /// Why.
        #[source]
        source: CryptoError,
    },
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl Coded for SecretsError {
    fn code(&self) -> &str {
        match self {
            Self::Configuration { .. } => "CR-SECRETS-0001",
            Self::Body(_) => "CR-SECRETS-0002",
            Self::Endpoint { .. } => "CR-SECRETS-0003",
            Self::NoGrant { .. } => "CR-SECRETS-0010",
            Self::NotGranted { .. } => "CR-SECRETS-0011",
            Self::Kek { .. } => "CR-SECRETS-0020",
            Self::Encoding { .. } => "CR-SECRETS-0021",
            Self::Decrypt { .. } => "CR-SECRETS-0022",
            Self::Other { .. } => "CR-SECRETS-0023",
            Self::Stopping => "CR-SECRETS-0030",
            // The hop that failed has already named it; its code is in every user's search.
            Self::Identity { source, .. } | Self::Release { source, .. } => source.code(),
            Self::WrappedKey { source, .. } => source.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Configuration { .. } | Self::Body(_) | Self::Endpoint { .. } => Fault::Caller,
            Self::NoGrant { .. } | Self::NotGranted { .. } => Fault::Denied,
            // What the owner put into the vaults does not fit together.
            Self::Kek { .. }
            | Self::Encoding { .. }
            | Self::Decrypt { .. }
            | Self::Other { .. } => Fault::Upstream { retry: false },
            Self::Stopping => Fault::Upstream { retry: true },
            Self::Identity { source, .. } | Self::Release { source, .. } => source.fault(),
            Self::WrappedKey { source, .. } => source.fault(),
        }
    }
}

/// One error for everyone who waited for the same key.
#[derive(Clone, Debug, Error)]
#[error(transparent)]
pub struct SharedError(Arc<SecretsError>);

impl From<SecretsError> for SharedError {
    fn from(error: SecretsError) -> Self {
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
