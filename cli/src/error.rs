use std::io;
use std::path::{Path, PathBuf};

use attestation::AttestError;
use blob_format::FormatError;
use blob_store::StoreError;
use cleanroom_crypto::CryptoError;
use cleanroom_spec::SpecError;
use http::StatusCode;
use image_layers::{ImageError, LayerError};
use keyvault::KeyVaultError;
use policy::PolicyError;
use policy_simulate::SimulateError;
use sidecar_http::{Coded, Fault, HttpsError};
use thiserror::Error;

use crate::governance::GovCliError;
use crate::transfer::Failed;

/// Why a command of a data owner failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// A file or folder.
    #[error("{what}")]
    Io {
        /// Which one.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A configuration file of ours.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An argument.
    #[error("{argument}: {reason}")]
    Argument {
        /// The flag.
        argument: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A name that is in no list.
    #[error("there is no {kind} {name:?}")]
    NotFound {
        /// Secret store, datastore, identity.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that is taken.
    #[error("{kind} {name:?} exists already")]
    Exists {
        /// Secret store, datastore.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A store that cannot hold this kind of secret.
    #[error("secret store {name:?} cannot hold a {wanted}")]
    UnsupportedStore {
        /// The store.
        name: String,
        /// Secret or key.
        wanted: &'static str,
    },
    /// A data key that would be lost.
    #[error("{path} holds a data key already; it is never overwritten")]
    KeyExists {
        /// The key's file.
        path: PathBuf,
    },
    /// A data key that is none.
    #[error("{path} is no data key of 32 bytes")]
    BadKey {
        /// The key's file.
        path: PathBuf,
    },
    /// Nobody to log in as.
    #[error("no credential: {reason}")]
    Credential {
        /// What was tried.
        reason: String,
    },
    /// The token service said no.
    #[error("Entra ID refused: {reason}")]
    Login {
        /// Its reason.
        reason: String,
    },
    /// A downloaded dataset is not what its writer sealed.
    #[error("dataset {dataset:?}: {reason}")]
    Dataset {
        /// The dataset.
        dataset: String,
        /// What is wrong.
        reason: String,
    },
    /// Files that failed while the others were transferred.
    #[error("dataset {dataset:?}: {} files failed, {} first: {}", .failed.len(), path_of(.failed), message_of(.failed))]
    Files {
        /// The dataset.
        dataset: String,
        /// Which, sorted.
        failed: Vec<Failed>,
    },
    /// Files that are not what the manifest lists.
    #[error("dataset {dataset:?}: {} files are not what the manifest lists, {} first: {}", .failed.len(), path_of(.failed), message_of(.failed))]
    Unverified {
        /// The dataset.
        dataset: String,
        /// Which, sorted.
        failed: Vec<Failed>,
    },
    /// A file that changed while it was read.
    #[error("{path} changed while it was read; nothing of it was committed")]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// Another command works on the same.
    #[error("{path} is in use: another transfer of this dataset runs on this machine")]
    Busy {
        /// The file that both need.
        path: PathBuf,
    },
    /// The contract has no accepted policy to bind keys to.
    #[error(
        "no clean room policy found under contract {contract_id:?}: it must be proposed and accepted first"
    )]
    NoPolicy {
        /// The contract.
        contract_id: String,
    },
    /// The specification.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The deployment.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Blob storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Evidence.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The agent that evidence was asked of.
    #[error("skr-agent answered {status}: {message}")]
    Agent {
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// A wrapped key that is none.
    #[error("secret {name:?} is not base64 of a wrapped key")]
    Wrapped {
        /// The secret.
        name: String,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] KeyVaultError),
    /// The encrypted format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Cryptography.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// HTTPS.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// An image and its layers.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A policy's text.
    #[error("policy")]
    Simulate(#[from] SimulateError),
    /// Published images.
    #[error(transparent)]
    Published(#[from] image_builder::ImageError),
    /// The governance service.
    #[error(transparent)]
    Governance(#[from] Box<GovCliError>),
}

fn path_of(failed: &[Failed]) -> &str {
    failed.first().map_or("", |one| &one.path)
}

fn message_of(failed: &[Failed]) -> &str {
    failed.first().map_or("", |one| &one.message)
}

impl CliError {
    /// The single files behind it.
    pub(crate) fn files(&self) -> &[Failed] {
        match self {
            Self::Files { failed, .. } | Self::Unverified { failed, .. } => failed,
            _ => &[],
        }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Coded for CliError {
    fn code(&self) -> &str {
        match self {
            Self::Io { .. } => "CR-CLI-0001",
            Self::File { .. } => "CR-CLI-0002",
            Self::Argument { .. } => "CR-CLI-0003",
            Self::NotFound { .. } => "CR-CLI-0004",
            Self::Exists { .. } => "CR-CLI-0005",
            Self::UnsupportedStore { .. } => "CR-CLI-0006",
            Self::KeyExists { .. } => "CR-CLI-0007",
            Self::BadKey { .. } => "CR-CLI-0008",
            Self::Credential { .. } => "CR-CLI-0009",
            Self::Login { .. } => "CR-CLI-0010",
            Self::Dataset { .. } => "CR-CLI-0011",
            Self::NoPolicy { .. } => "CR-CLI-0012",
            Self::Format(_) => "CR-CLI-0013",
            Self::Crypto(_) => "CR-CLI-0014",
            Self::Agent { .. } => "CR-CLI-0015",
            Self::Wrapped { .. } => "CR-CLI-0016",
            Self::Files { .. } => "CR-CLI-0017",
            Self::Unverified { .. } => "CR-CLI-0018",
            Self::Changing { .. } => "CR-CLI-0019",
            Self::Busy { .. } => "CR-CLI-0020",
            Self::Attest(error) => error.code(),
            Self::Spec(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Https(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Simulate(error) => error.code(),
            Self::Published(error) => error.code(),
            Self::Governance(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } | Self::Crypto(_) => Fault::Platform,
            Self::Credential { .. } | Self::Login { .. } | Self::NoPolicy { .. } => Fault::Denied,
            Self::Agent { .. } => Fault::Upstream { retry: false },
            Self::Attest(error) => error.fault(),
            Self::Spec(error) => error.fault(),
            Self::Policy(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Vault(error) => error.fault(),
            Self::Https(error) => error.fault(),
            Self::Simulate(error) => error.fault(),
            Self::Image(error) => fault_of_image(error),
            Self::Published(image_builder::ImageError::Signature { .. }) => Fault::Denied,
            Self::Governance(error) => error.fault(),
            _ => Fault::Caller,
        }
    }
}

/// Who must act when an image has no hashes.
fn fault_of_image(error: &ImageError) -> Fault {
    match error {
        ImageError::Layer { source, .. } | ImageError::Alone { source, .. } => match source {
            LayerError::Read { .. } | LayerError::Worker | LayerError::Write { .. } => {
                Fault::Platform
            }
            _ => Fault::Caller,
        },
        ImageError::Read { .. } | ImageError::CacheWrite { .. } => Fault::Platform,
        ImageError::Remote { .. } => Fault::Upstream { retry: true },
        ImageError::Realm { .. } => Fault::Upstream { retry: false },
        ImageError::Denied { .. } => Fault::Denied,
        _ => Fault::Caller,
    }
}
