use std::io;

use policy::PolicyError;
use policy_simulate::SimulateError;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

use crate::CliError;
use crate::governance::GovCliError;

/// Why a group is not started.
#[derive(Debug, Error)]
pub enum DeployError {
    /// An unknown or unsupported target.
    #[error("--target {target:?}: only `local` and `compose` can be deployed from here")]
    Target {
        /// What was asked for.
        target: String,
    },
    /// The contract has no accepted deployment.
    #[error("contract {contract_id:?} has no accepted deployment template")]
    NotAccepted {
        /// The contract.
        contract_id: String,
    },
    /// CGS gave no answer.
    #[error("the accepted deployment cannot be read")]
    Governance(#[from] Box<GovCliError>),
    /// The group cannot be expressed for this target.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The directory of an earlier group.
    #[error("{path} exists already; a group starts in a new directory")]
    GroupDirExists {
        /// The directory.
        path: String,
    },
    /// A namespace, mount or user cannot be arranged.
    #[error("{step}: {reason}")]
    Namespace {
        /// Which step.
        step: &'static str,
        /// Why.
        reason: String,
    },
    /// A capability that this machine does not know.
    #[error("unknown capability {name:?}")]
    Capability {
        /// The name.
        name: String,
    },
    /// A container did not start.
    #[error("container {name} cannot be started")]
    Start {
        /// The container.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The init container failed.
    #[error("init container {name} failed with exit code {code}")]
    Init {
        /// The container.
        name: String,
        /// Its exit code.
        code: u8,
    },
    /// FUSE mounts of one container would not reach the others.
    #[error(
        "{path} lies on no shared mount, so that no mount of a dataset would reach the application: \
         mount --bind {path} {path} && mount --make-shared {path} on a folder above it"
    )]
    NotShared {
        /// The directory.
        path: String,
    },
    /// Docker did not do what it was asked to.
    #[error("{command}: {reason}")]
    Docker {
        /// The command.
        command: String,
        /// What it said.
        reason: String,
    },
    /// The policy of the deployment does not allow a container that was about to start.
    #[error(
        "container {container} is not started, the policy of the deployment refuses {point}: {reason}"
    )]
    Denied {
        /// The container.
        container: String,
        /// What was asked.
        point: String,
        /// The policy's answer.
        reason: String,
    },
    /// The policy cannot be asked.
    #[error("the policy of the deployment")]
    Simulate(#[source] SimulateError),
    /// The images or their layers.
    #[error("images")]
    Images(#[source] Box<CliError>),
    /// A file of the group.
    #[error("group directory")]
    Io(#[from] io::Error),
    /// A JSON file.
    #[error("unreadable JSON")]
    Json(#[from] serde_json::Error),
}

impl From<nix::errno::Errno> for DeployError {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Coded for DeployError {
    fn code(&self) -> &str {
        match self {
            Self::Target { .. } => "CR-CLI-0101",
            Self::NotAccepted { .. } => "CR-CLI-0102",
            Self::Governance(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Images(error) => error.code(),
            Self::GroupDirExists { .. } => "CR-CLI-0103",
            Self::Namespace { .. } => "CR-CLI-0104",
            Self::Capability { .. } => "CR-CLI-0105",
            Self::Start { .. } => "CR-CLI-0106",
            Self::Init { .. } => "CR-CLI-0107",
            Self::Io(_) => "CR-CLI-0108",
            Self::Json(_) => "CR-CLI-0109",
            Self::NotShared { .. } => "CR-CLI-0110",
            Self::Docker { .. } => "CR-CLI-0111",
            Self::Denied { .. } => "CR-CLI-0112",
            Self::Simulate(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Governance(error) => error.fault(),
            Self::Policy(error) => error.fault(),
            Self::Images(error) => error.fault(),
            Self::Target { .. } | Self::GroupDirExists { .. } | Self::Json(_) => Fault::Caller,
            Self::NotAccepted { .. } | Self::Denied { .. } => Fault::Denied,
            Self::Simulate(error) => error.fault(),
            _ => Fault::Platform,
        }
    }
}
