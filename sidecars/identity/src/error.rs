use std::sync::Arc;

use governance_client::GovernanceError;
use sidecar_http::{Coded, Fault, HttpsError};
use thiserror::Error;

/// Why there is no token.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// An argument of the process is not usable.
    #[error("--identities: {reason}")]
    Configuration {
        /// What is wrong.
        reason: String,
    },
    /// The authority is not usable.
    #[error("--authority: {reason}")]
    Authority {
        /// What is wrong.
        reason: &'static str,
    },
    /// A member of the request is missing or not usable.
    #[error("{name} {reason}")]
    Request {
        /// The member.
        name: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The policy names no such identity.
    #[error("clientId {client_id:?} is not an identity of this clean room")]
    UnknownClient {
        /// As asked for.
        client_id: String,
    },
    /// The caller may have tokens for vaults only.
    #[error("uid {uid} may have tokens for vaults only, not for {scope:?}")]
    NotForCaller {
        /// The caller.
        uid: u32,
        /// As asked for, shortened.
        scope: String,
    },
    /// Entra ID refused the credential or the scope.
    #[error("Entra ID refused: {error}: {description}")]
    Refused {
        /// OAuth's word, such as `invalid_client`.
        error: String,
        /// Entra ID's sentence, with its AADSTS number.
        description: String,
    },
    /// Entra ID cannot answer now.
    #[error("Entra ID is not available: {description}")]
    Unavailable {
        /// Status or sentence.
        description: String,
    },
    /// Entra ID's answer is not a token.
    #[error("Entra ID's answer: {what}")]
    Answer {
        /// What is wrong.
        what: &'static str,
    },
    /// No ID token from the governance sidecar.
    #[error("ID token")]
    IdToken(#[from] GovernanceError),
    /// Entra ID cannot be reached.
    #[error(transparent)]
    Https(#[from] HttpsError),
}

impl Coded for IdentityError {
    fn code(&self) -> &str {
        match self {
            Self::Configuration { .. } | Self::Authority { .. } => "CR-ID-0001",
            Self::Request { .. } => "CR-ID-0002",
            Self::UnknownClient { .. } => "CR-ID-0003",
            Self::Refused { .. } => "CR-ID-0004",
            Self::Unavailable { .. } => "CR-ID-0005",
            Self::Answer { .. } => "CR-ID-0006",
            Self::NotForCaller { .. } => "CR-ID-0007",
            Self::IdToken(error) => error.code(),
            Self::Https(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Configuration { .. }
            | Self::Authority { .. }
            | Self::Request { .. }
            | Self::UnknownClient { .. } => Fault::Caller,
            Self::Refused { .. } | Self::NotForCaller { .. } => Fault::Denied,
            Self::Unavailable { .. } => Fault::Upstream { retry: true },
            Self::Answer { .. } => Fault::Upstream { retry: false },
            Self::IdToken(error) => error.fault(),
            Self::Https(error) => error.fault(),
        }
    }
}

/// One error for everyone who waited for the same token.
#[derive(Clone, Debug, Error)]
#[error(transparent)]
pub struct SharedError(Arc<IdentityError>);

impl From<IdentityError> for SharedError {
    fn from(error: IdentityError) -> Self {
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
