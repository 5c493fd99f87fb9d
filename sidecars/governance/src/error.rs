use cleanroom_crypto::CryptoError;
use governance_client::{GovernanceError, TransactionId};
use http::StatusCode;
use sidecar_http::{CallError, Coded, Fault, HttpsError};
use thiserror::Error;

/// Why the governance sidecar refused or failed.
#[derive(Debug, Error)]
pub enum GovError {
    /// An argument cannot be used.
    #[error("{argument} {reason}")]
    Config {
        /// The argument.
        argument: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be used.
    #[error("{reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
    /// The evidence has not arrived yet.
    #[error("the clean room has no attestation evidence yet")]
    NotReady,
    /// The attestation service gave evidence that does not bind our key.
    #[error("the evidence is not usable: {reason}")]
    Evidence {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A token for somebody else was asked for.
    #[error("tokens are issued for contract {own} only, not for {asked}")]
    Subject {
        /// The contract of this clean room.
        own: String,
        /// The subject that was asked for.
        asked: String,
    },
    /// CGS refused; its status and code are passed on.
    #[error("CGS refused with {status}: {message}")]
    Cgs {
        /// Its status.
        status: StatusCode,
        /// Its code, such as `VerifySnpAttestationFailed`.
        code: String,
        /// Its message.
        message: String,
    },
    /// CGS answered with something its interface does not know.
    #[error("CGS answered with {what}")]
    Answer {
        /// What was found instead.
        what: &'static str,
    },
    /// The ledger dropped the transaction: it will never be committed.
    #[error("transaction {transaction} was rolled back by CGS")]
    RolledBack {
        /// The transaction.
        transaction: TransactionId,
    },
    /// The transaction was not seen committed in time; it may still be.
    #[error("transaction {transaction} was not committed within {seconds} s")]
    NotCommitted {
        /// The transaction.
        transaction: TransactionId,
        /// The deadline.
        seconds: u64,
    },
    /// CGS answered from a state older than one this process has seen.
    #[error(
        "CGS answered from transaction {answered}, older than {seen} which it committed before"
    )]
    Stale {
        /// Where the answer comes from.
        answered: TransactionId,
        /// What was seen before.
        seen: TransactionId,
    },
    /// An event recorded earlier could not be delivered yet; events keep their order.
    #[error("an earlier event is still undelivered")]
    Blocked(#[source] Box<Self>),
    /// The connection to CGS.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The attestation service of the group.
    #[error("attestation evidence")]
    Agent(#[from] CallError),
    /// A value that is not safe in a query.
    #[error(transparent)]
    Unsafe(#[from] GovernanceError),
    /// Key generation, signature or unwrapping.
    #[error("cryptography")]
    Crypto(#[from] CryptoError),
}

impl GovError {
    /// Whether CGS may have recorded what was sent: the outcome is unknown, not a refusal.
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self {
            Self::Cgs { status, code, .. } => {
                status.is_server_error()
                    || matches!(status.as_u16(), 408 | 429)
                    || code == "FrontendNotOpen"
            }
            Self::Https(_)
            | Self::RolledBack { .. }
            | Self::NotCommitted { .. }
            | Self::Answer { .. } => true,
            _ => false,
        }
    }
}

impl Coded for GovError {
    fn code(&self) -> &str {
        match self {
            Self::Config { .. } => "CR-GOV-0001",
            Self::Request { .. } => "CR-GOV-0002",
            Self::NotReady => "CR-GOV-0003",
            Self::Evidence { .. } => "CR-GOV-0004",
            Self::Subject { .. } => "CR-GOV-0005",
            // The parties look up CGS' own words.
            Self::Cgs { code, .. } => code,
            Self::Answer { .. } => "CR-GOV-0007",
            Self::RolledBack { .. } => "CR-GOV-0008",
            Self::NotCommitted { .. } => "CR-GOV-0009",
            Self::Stale { .. } => "CR-GOV-0010",
            Self::Blocked(_) => "CR-GOV-0011",
            Self::Crypto(_) => "CR-GOV-0012",
            Self::Https(error) => error.code(),
            Self::Agent(error) => error.code(),
            Self::Unsafe(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Config { .. } | Self::Request { .. } => Fault::Caller,
            Self::Subject { .. } => Fault::Denied,
            Self::Cgs { status, .. } => Fault::of_status(*status),
            Self::NotReady
            | Self::RolledBack { .. }
            | Self::NotCommitted { .. }
            | Self::Stale { .. }
            | Self::Blocked(_) => Fault::Upstream { retry: true },
            Self::Answer { .. } | Self::Evidence { .. } => Fault::Upstream { retry: false },
            Self::Crypto(_) => Fault::Platform,
            Self::Https(error) => error.fault(),
            Self::Agent(error) => error.fault(),
            Self::Unsafe(error) => error.fault(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Cgs { status, .. } => *status,
            _ => self.fault().status(),
        }
    }
}
