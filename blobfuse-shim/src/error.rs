use std::io;

use sidecar_http::{CallError, Coded, Fault};
use thiserror::Error;

/// Why a shim does not serve its mount.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShimError {
    /// The command line or the environment cannot work.
    #[error("configuration: {0}")]
    Config(String),
    /// Only root can mount.
    #[error("not started as root: mounting needs CAP_SYS_ADMIN")]
    NotRoot,
    /// A system call on the way to the mount.
    #[error("{step} failed")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `secrets` did not give the key.
    #[error("no data encryption key")]
    Key(#[source] CallError),
    /// What `secrets` gave is no key.
    #[error("secrets answered with something that is not a key of 32 bytes")]
    NotAKey,
    /// `identity` gave no token.
    #[error("no storage token: {0}")]
    Token(#[from] CallError),
    /// The token's expiry cannot be read.
    #[error("identity answered with an unreadable token")]
    NotAToken,
    /// The mount is not ready yet.
    #[error("the mount is not ready yet")]
    NotReady,
    /// The nonce is not hexadecimal, or too short or too long.
    #[error("the nonce must be 16 to 128 hexadecimal digits")]
    Nonce,
    /// The account's names are not of the kind that the command line says.
    #[error("the account's names are {}, the command line says {}", kind(*.found), kind(!*.found))]
    Names {
        /// Whether they are hierarchical.
        found: bool,
    },
    /// The endpoint for hierarchical names cannot be told from the blob endpoint.
    #[error(
        "the account's names are hierarchical, and its blob endpoint does not tell the other one"
    )]
    NoDfsEndpoint,
    /// The mount went away while it was served.
    #[error("the file system was unmounted by somebody else")]
    Unmounted,
}

const fn kind(hierarchical: bool) -> &'static str {
    if hierarchical { "hierarchical" } else { "flat" }
}

impl ShimError {
    pub(crate) fn system(step: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |errno| Self::System {
            step,
            source: errno.into(),
        }
    }

    pub(crate) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { step, source }
    }
}

impl Coded for ShimError {
    fn code(&self) -> &str {
        match self {
            Self::Config(_) => "CR-MOUNT-0030",
            Self::NotRoot => "CR-MOUNT-0031",
            Self::System { .. } => "CR-MOUNT-0032",
            Self::NotAKey => "CR-MOUNT-0033",
            Self::NotAToken => "CR-MOUNT-0034",
            Self::NotReady => "CR-MOUNT-0035",
            Self::Nonce => "CR-MOUNT-0036",
            Self::Unmounted => "CR-MOUNT-0037",
            Self::Names { .. } => "CR-MOUNT-0050",
            Self::NoDfsEndpoint => "CR-MOUNT-0051",
            Self::Key(error) | Self::Token(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Config(_) | Self::Nonce | Self::Names { .. } | Self::NoDfsEndpoint => {
                Fault::Caller
            }
            Self::NotRoot | Self::System { .. } | Self::Unmounted => Fault::Platform,
            Self::NotAKey | Self::NotAToken => Fault::Upstream { retry: false },
            Self::NotReady => Fault::Upstream { retry: true },
            Self::Key(error) | Self::Token(error) => error.fault(),
        }
    }
}
