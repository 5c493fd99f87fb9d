use std::io;
use std::path::PathBuf;

use cleanroom_crypto::CryptoError;
use sidecar_http::{Coded, Fault, HttpsError, chain};
use thiserror::Error;

/// Why a governance command failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GovCliError {
    /// There is no governance client of this name.
    #[error(
        "there is no governance client {name}: create it with `cleanroom governance client deploy`"
    )]
    NoClient {
        /// Its name.
        name: String,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file exists and is never overwritten.
    #[error("{path} exists; it is never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An argument cannot be used.
    #[error("{argument}: {reason}")]
    Argument {
        /// The argument.
        argument: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key cannot be used.
    #[error("member certificate and key: {reason}")]
    Key {
        /// What is wrong with them.
        reason: String,
    },
    /// CGS said no.
    #[error("CGS refused with {status}: {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// CGS' code, such as `ContractNotFound`.
        code: String,
        /// CGS' message.
        message: String,
    },
    /// The write was not seen committed in time; it may still be.
    #[error(
        "transaction {transaction} was not committed within {seconds} s; look before you repeat it"
    )]
    NotCommitted {
        /// The transaction.
        transaction: String,
        /// The deadline.
        seconds: u64,
    },
    /// The ledger dropped the write.
    #[error("transaction {transaction} was rolled back; repeat the command")]
    RolledBack {
        /// The transaction.
        transaction: String,
    },
    /// CGS answered with something its interface does not know.
    #[error("CGS answered with {what}")]
    Answer {
        /// What was found instead.
        what: String,
    },
    /// The ledger range was not loaded in time.
    #[error("CGS has not loaded its ledger within {seconds} s; try again")]
    Loading {
        /// The deadline.
        seconds: u64,
    },
    /// The contract changed since it was looked at.
    #[error("contract {contract} has version {actual}, not {expected}: look at it again")]
    VersionChanged {
        /// The contract.
        contract: String,
        /// The version asked for.
        expected: String,
        /// The version it has.
        actual: String,
    },
    /// The contract is in another state than the command needs.
    #[error("contract {contract} is {actual}, not {expected}")]
    State {
        /// The contract.
        contract: String,
        /// The state it is in.
        actual: String,
        /// The state that the command needs.
        expected: &'static str,
    },
    /// The vote is for something else than the contract's open proposal.
    #[error("the open proposal of contract {contract} is {open}, not {asked}")]
    ProposalMismatch {
        /// The contract.
        contract: String,
        /// Its open proposal.
        open: String,
        /// The proposal that was named.
        asked: String,
    },
    /// The policy would admit anything.
    #[error("host data {hash} belongs to a policy that admits any container; it is refused")]
    AllowAll {
        /// The value.
        hash: String,
    },
    /// The events do not form a chain.
    #[error("the audit events are not complete and unchanged: {}", problems.join("; "))]
    Chain {
        /// Every problem found.
        problems: Vec<String>,
    },
    /// The answer has no such member.
    #[error("the answer has no member {path}")]
    Query {
        /// The path asked for.
        path: String,
    },
    /// A deployment could not be generated; the code is the generator's.
    #[error("{}", chain(.0.as_ref()))]
    Deployment(Box<dyn Coded>),
    /// The answer could not be printed.
    #[error("standard output")]
    Output(#[source] io::Error),
    /// The connection to CGS.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// Key generation or random bytes.
    #[error("cryptography")]
    Crypto(#[from] CryptoError),
}

impl Coded for GovCliError {
    fn code(&self) -> &str {
        match self {
            Self::NoClient { .. } => "CR-GOVCLI-0001",
            Self::Content { .. } => "CR-GOVCLI-0002",
            Self::Exists { .. } => "CR-GOVCLI-0003",
            Self::File { .. } => "CR-GOVCLI-0004",
            Self::Argument { .. } => "CR-GOVCLI-0005",
            Self::Key { .. } => "CR-GOVCLI-0006",
            Self::Refused { .. } => "CR-GOVCLI-0010",
            Self::NotCommitted { .. } => "CR-GOVCLI-0011",
            Self::RolledBack { .. } => "CR-GOVCLI-0012",
            Self::Answer { .. } => "CR-GOVCLI-0013",
            Self::Loading { .. } => "CR-GOVCLI-0014",
            Self::VersionChanged { .. } => "CR-GOVCLI-0020",
            Self::State { .. } => "CR-GOVCLI-0021",
            Self::ProposalMismatch { .. } => "CR-GOVCLI-0022",
            Self::AllowAll { .. } => "CR-GOVCLI-0023",
            Self::Chain { .. } => "CR-GOVCLI-0030",
            Self::Query { .. } => "CR-GOVCLI-0031",
            Self::Deployment(error) => error.code(),
            Self::Output(_) => "CR-GOVCLI-0032",
            Self::Crypto(_) => "CR-GOVCLI-0033",
            Self::Https(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NoClient { .. }
            | Self::Content { .. }
            | Self::Exists { .. }
            | Self::Argument { .. }
            | Self::Key { .. }
            | Self::VersionChanged { .. }
            | Self::State { .. }
            | Self::ProposalMismatch { .. }
            | Self::Query { .. } => Fault::Caller,
            Self::Deployment(error) => error.fault(),
            Self::AllowAll { .. } | Self::Chain { .. } => Fault::Denied,
            Self::Refused { status, .. } => http_fault(*status),
            Self::NotCommitted { .. } | Self::RolledBack { .. } | Self::Loading { .. } => {
                Fault::Upstream { retry: true }
            }
            Self::Answer { .. } => Fault::Upstream { retry: false },
            Self::File { .. } | Self::Output(_) | Self::Crypto(_) => Fault::Platform,
            Self::Https(error) => error.fault(),
        }
    }
}

fn http_fault(status: u16) -> Fault {
    reqwest::StatusCode::from_u16(status).map_or(Fault::Upstream { retry: false }, Fault::of_status)
}
