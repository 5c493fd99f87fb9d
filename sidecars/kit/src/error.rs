use std::io;

use sidecar_http::{Coded, Fault, HttpsError};
use thiserror::Error;

/// Why a process cannot be what it should be.
#[derive(Debug, Error)]
pub enum KitError {
    /// The extra roots cannot be read.
    #[error("--extra-roots: {reason}")]
    ExtraRoots {
        /// What is wrong.
        reason: String,
    },
    /// Extra roots are for virtual environments only.
    #[error("--extra-roots is refused without --insecure-virtual")]
    ExtraRootsInProduction,
    /// The roots do not make a TLS client.
    #[error("--extra-roots")]
    Trust(#[source] HttpsError),
    /// The TCP listener would be reachable from outside.
    #[error("--tcp {address}: only loopback addresses are allowed")]
    NotLoopback {
        /// What was asked for.
        address: std::net::SocketAddr,
    },
    /// Callers would refuse a socket of another user.
    #[error("{service} must run as uid {expected}, it runs as uid {actual}")]
    WrongUser {
        /// The service.
        service: String,
        /// The uid that the policy gives it.
        expected: u32,
        /// The uid it has.
        actual: u32,
    },
    /// The socket cannot be bound.
    #[error("cannot serve {path}")]
    Bind {
        /// Socket path or address.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log file cannot be opened.
    #[error("log file {path}")]
    LogFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A hardening step failed.
    #[error("hardening: {step}: {reason}")]
    Harden {
        /// Which step.
        step: &'static str,
        /// Why.
        reason: String,
    },
}

impl Coded for KitError {
    fn code(&self) -> &str {
        match self {
            Self::ExtraRoots { .. } | Self::Trust(_) => "CR-KIT-0001",
            Self::ExtraRootsInProduction => "CR-KIT-0002",
            Self::NotLoopback { .. } => "CR-KIT-0003",
            Self::WrongUser { .. } => "CR-KIT-0004",
            Self::Bind { .. } => "CR-KIT-0005",
            Self::Harden { .. } => "CR-KIT-0006",
            Self::LogFile { .. } => "CR-KIT-0007",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Bind { .. } | Self::Harden { .. } => Fault::Platform,
            _ => Fault::Caller,
        }
    }
}
