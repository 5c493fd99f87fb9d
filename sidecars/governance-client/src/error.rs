use sidecar_http::{CallError, Coded, Fault};
use thiserror::Error;

use crate::Scope;

/// Why the governance sidecar gave no consent, no committed event or no token.
#[derive(Debug, Error)]
pub enum GovernanceError {
    /// The parties do not consent.
    #[error("{scope} is disabled: {reason}: {message}")]
    Disabled {
        /// What was asked for.
        scope: Scope,
        /// CGS' code, such as `ContractDisabled` or `ContractNotAccepted`.
        reason: String,
        /// CGS' sentence.
        message: String,
    },
    /// A value that cannot be put into a query unescaped.
    #[error("{name} {reason}")]
    UnsafeValue {
        /// The parameter.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what the route promises.
    #[error("governance answered with {what}")]
    Answer {
        /// What was found instead.
        what: &'static str,
    },
    /// The answer is not JSON of the promised shape.
    #[error("governance answered with unreadable JSON")]
    Unreadable(#[source] serde_json::Error),
    /// The sidecar could not be asked, or refused; a refusal of CGS keeps CGS' code.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl GovernanceError {
    /// Whether the sidecar's process ended and nobody took its place: asking again is of no use.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Call(CallError::Gone { .. }))
    }
}

impl Coded for GovernanceError {
    fn code(&self) -> &str {
        match self {
            Self::Disabled { .. } => "CR-GOV-0020",
            Self::UnsafeValue { .. } => "CR-GOV-0021",
            Self::Answer { .. } | Self::Unreadable(_) => "CR-GOV-0022",
            Self::Call(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Disabled { .. } => Fault::Denied,
            Self::UnsafeValue { .. } => Fault::Caller,
            Self::Answer { .. } | Self::Unreadable(_) => Fault::Upstream { retry: false },
            Self::Call(error) => error.fault(),
        }
    }
}
