use std::time::Duration;

use sidecar_http::{Coded, Fault, HttpsError};
use thiserror::Error;

/// Why an operation on blob storage failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The configuration cannot work.
    #[error("blob storage: {0}")]
    Config(String),
    /// No blob of this name.
    #[error("blob storage: there is no such blob")]
    NotFound,
    /// No such container or account.
    #[error("blob storage: there is no such container")]
    NoContainer,
    /// A blob of this name exists already.
    #[error("blob storage: the blob exists already")]
    Exists,
    /// The blob is not the version that was expected.
    #[error("blob storage: the blob was changed by somebody else")]
    Changed,
    /// The blocks of this commit are gone: another writer committed in between.
    #[error("blob storage: the staged blocks are gone, another writer committed")]
    BlocksGone,
    /// The token was not accepted, nor a fresh one.
    #[error("blob storage: the token was not accepted ({code})")]
    Unauthenticated {
        /// The service's error code.
        code: String,
    },
    /// The identity holds no role that allows it.
    #[error("blob storage: the identity may not do that ({code})")]
    Forbidden {
        /// The service's error code.
        code: String,
    },
    /// The blob is encrypted by the service under another customer-provided key, or under none.
    #[error("blob storage: the blob is encrypted under another customer-provided key")]
    WrongKey,
    /// The service answered without proof that it used the customer-provided key.
    #[error("blob storage: the answer does not show that the customer-provided key was used")]
    KeyNotUsed,
    /// The blob is leased by somebody.
    #[error("blob storage: the blob is leased")]
    Leased,
    /// The account takes no more data.
    #[error("blob storage: the account is full")]
    Full,
    /// The directory has something in it.
    #[error("blob storage: the directory is not empty")]
    NotEmpty,
    /// A refusal with no meaning of its own here.
    #[error("blob storage: {operation} was refused with status {status} ({code})")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// The service's error code.
        code: String,
    },
    /// The service does not serve at the moment; repeated in vain.
    #[error("blob storage: {operation} failed with status {status} ({code})")]
    Unavailable {
        /// What was asked.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// The service's error code.
        code: String,
    },
    /// The answer is not what was asked for.
    #[error("blob storage: unexpected answer to {operation}: {reason}")]
    Answer {
        /// What was asked.
        operation: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// No answer.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// No token to show.
    #[error("blob storage: no token: {0}")]
    Token(Box<dyn Coded>),
    /// The operation took longer than its bound.
    #[error("blob storage: no result within {} s", .0.as_secs())]
    Deadline(Duration),
}

impl Coded for StoreError {
    fn code(&self) -> &str {
        match self {
            Self::Config(_) => "CR-BLOB-0001",
            Self::NotFound => "CR-BLOB-0002",
            Self::NoContainer => "CR-BLOB-0003",
            Self::Exists => "CR-BLOB-0004",
            Self::Changed => "CR-BLOB-0005",
            Self::BlocksGone => "CR-BLOB-0006",
            Self::Unauthenticated { .. } => "CR-BLOB-0007",
            Self::Forbidden { .. } => "CR-BLOB-0008",
            Self::WrongKey => "CR-BLOB-0009",
            Self::KeyNotUsed => "CR-BLOB-0010",
            Self::Leased => "CR-BLOB-0011",
            Self::Refused { .. } => "CR-BLOB-0012",
            Self::Unavailable { .. } => "CR-BLOB-0013",
            Self::Answer { .. } => "CR-BLOB-0014",
            Self::Deadline(_) => "CR-BLOB-0015",
            Self::Full => "CR-BLOB-0016",
            Self::NotEmpty => "CR-BLOB-0017",
            Self::Https(error) => error.code(),
            Self::Token(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Unauthenticated { .. } | Self::Forbidden { .. } | Self::WrongKey => Fault::Denied,
            Self::KeyNotUsed | Self::Full | Self::Answer { .. } => Fault::Upstream { retry: false },
            Self::Leased | Self::Unavailable { .. } | Self::Deadline(_) => {
                Fault::Upstream { retry: true }
            }
            Self::Https(error) => error.fault(),
            Self::Token(error) => error.fault(),
            _ => Fault::Caller,
        }
    }
}

impl StoreError {
    /// The meaning of a refusal: HTTP status and the service's error code (Blob service REST error codes).
    pub(crate) fn of(operation: &'static str, status: u16, code: &str) -> Self {
        let code = || code.to_owned();
        match (status, code().as_str()) {
            (404, "ContainerNotFound" | "ResourceNotFound" | "FilesystemNotFound") => {
                Self::NoContainer
            }
            (404, _) => Self::NotFound,
            (409, "BlobAlreadyExists" | "PathAlreadyExists") => Self::Exists,
            (409, "DirectoryNotEmpty" | "DirectoryIsNotEmpty") => Self::NotEmpty,
            (
                409,
                "BlobUsesCustomerSpecifiedEncryption"
                | "BlobDoesNotUseCustomerSpecifiedEncryption"
                | "BlobCustomerSpecifiedEncryptionMismatch",
            ) => Self::WrongKey,
            (412, "LeaseIdMissing")
            | (409, "LeaseIdMismatchWithBlobOperation" | "LeaseAlreadyPresent") => Self::Leased,
            (412, _) => Self::Changed,
            (400, "InvalidBlockList" | "InvalidBlobOrBlock") => Self::BlocksGone,
            (507, _) | (_, "AccountIsFull" | "QuotaExceeded" | "InsufficientStorage") => Self::Full,
            (401, _) | (403, "AuthenticationFailed") => Self::Unauthenticated { code: code() },
            (403, _) => Self::Forbidden { code: code() },
            (408 | 429 | 500.., _) => Self::Unavailable {
                operation,
                status,
                code: code(),
            },
            _ => Self::Refused {
                operation,
                status,
                code: code(),
            },
        }
    }
}
