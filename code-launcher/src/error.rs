use std::io;
use std::path::PathBuf;

use governance_client::GovernanceError;
use sidecar_http::{CallError, Coded, Fault};
use thiserror::Error;

/// Why an application was not started, or not ended in order.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The arguments are not usable.
    #[error("configuration: {reason}")]
    Config {
        /// Every problem.
        reason: String,
    },
    /// The launcher was started without its root half.
    #[error("the runner is missing: the launcher starts as root")]
    NoRunner,
    /// Consent is missing or could not be asked.
    #[error("execution of the application is not allowed")]
    Consent(#[source] GovernanceError),
    /// The start event was not committed.
    #[error("the start event was not committed; nothing was started")]
    StartEvent(#[source] GovernanceError),
    /// A dataset is not ready.
    #[error("dataset {dataset:?} is not ready")]
    Dataset {
        /// Access name.
        dataset: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// What lies at the mount point is not what the shim mounted.
    #[error("dataset {dataset:?}: {reason}")]
    Mount {
        /// Access name.
        dataset: String,
        /// What was found.
        reason: String,
    },
    /// Not everything was ready in time.
    #[error("not ready within {seconds} s: {missing}")]
    Deadline {
        /// The deadline.
        seconds: u64,
        /// What was missing.
        missing: String,
    },
    /// The registry gave no image.
    #[error("image {reference}: {what}")]
    Pull {
        /// The image.
        reference: String,
        /// What was being fetched.
        what: String,
        /// Why.
        #[source]
        source: Box<registry_client::RegistryError>,
    },
    /// The image is not what its digest says, or not usable.
    #[error("image {reference}: {reason}")]
    Image {
        /// The image.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer cannot be unpacked.
    #[error("layer entry {entry:?}: {reason}")]
    Layer {
        /// The entry.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// The room has run already.
    #[error("{path} records an earlier start; a room runs its application once")]
    SecondStart {
        /// The record.
        path: PathBuf,
    },
    /// Limits cannot be enforced on this machine.
    #[error(
        "no writable cgroup to enforce cpu and memory limits in; the contract does not say `limits: best-effort`"
    )]
    Limits,
    /// The OCI runtime failed before the application ran.
    #[error("the application was not started: {reason}")]
    Runtime {
        /// What it said.
        reason: String,
    },
    /// Logs or telemetry did not get into their sink.
    #[error("nothing was exported: {reason}")]
    Export {
        /// What happened.
        reason: String,
    },
    /// The runner is gone.
    #[error("the runner does not answer")]
    RunnerGone,
    /// The runner let a deadline pass; a dataset's mount may be stuck.
    #[error("the runner has not answered for {seconds} s")]
    RunnerLate {
        /// The deadline.
        seconds: u64,
    },
    /// A file of the room.
    #[error("{what}")]
    Io {
        /// Which one.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Asked to stop before the application was started.
    #[error("asked to stop before the application was started")]
    Stopped,
}

impl LaunchError {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.into(),
            source: source.into(),
        }
    }
}

impl Coded for LaunchError {
    fn code(&self) -> &str {
        match self {
            Self::Config { .. } => "CR-LAUNCH-0001",
            Self::NoRunner => "CR-LAUNCH-0002",
            Self::Consent(error) | Self::StartEvent(error) => error.code(),
            Self::Dataset { source, .. } => source.code(),
            Self::Mount { .. } => "CR-LAUNCH-0003",
            Self::Deadline { .. } => "CR-LAUNCH-0004",
            Self::Pull { .. } => "CR-LAUNCH-0005",
            Self::Image { .. } => "CR-LAUNCH-0006",
            Self::Layer { .. } => "CR-LAUNCH-0007",
            Self::SecondStart { .. } => "CR-LAUNCH-0008",
            Self::Limits => "CR-LAUNCH-0009",
            Self::Runtime { .. } => "CR-LAUNCH-0010",
            Self::RunnerGone | Self::RunnerLate { .. } => "CR-LAUNCH-0011",
            Self::Io { .. } => "CR-LAUNCH-0012",
            Self::Stopped => "CR-LAUNCH-0013",
            Self::Export { .. } => "CR-LAUNCH-0014",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Config { .. }
            | Self::SecondStart { .. }
            | Self::Layer { .. }
            | Self::Image { .. } => Fault::Caller,
            Self::Consent(error) | Self::StartEvent(error) => error.fault(),
            Self::Dataset { source, .. } => source.fault(),
            Self::Mount { .. } => Fault::Denied,
            Self::Deadline { .. } | Self::Pull { .. } => Fault::Upstream { retry: true },
            _ => Fault::Platform,
        }
    }
}
