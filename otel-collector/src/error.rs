use std::io;

use axum::http::StatusCode;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Why a batch was not taken.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// The telemetry directory is not usable.
    #[error("telemetry directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("telemetry of {service} cannot be written")]
    Write {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The batch cannot be read.
    #[error("{signal} request: {reason}")]
    Malformed {
        /// Traces, metrics or logs.
        signal: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The body is neither protobuf nor JSON.
    #[error("content type {0:?} is neither application/x-protobuf nor application/json")]
    MediaType(String),
    /// The request is larger than any exporter's batch, as sent or unpacked.
    #[error("{signal} request: more than {limit} bytes")]
    TooLarge {
        /// Traces, metrics or logs.
        signal: &'static str,
        /// The limit.
        limit: usize,
    },
    /// More services than a group has.
    #[error("telemetry of more than {limit} services; {service:?} is refused")]
    TooManyServices {
        /// The limit.
        limit: usize,
        /// The service that came too late.
        service: String,
    },
    /// What was gathered is not all that was sent.
    #[error("{batches} batches of telemetry were not written")]
    Incomplete {
        /// How many.
        batches: u64,
    },
}

impl Coded for CollectorError {
    fn code(&self) -> &str {
        match self {
            Self::Directory { .. } => "CR-OTEL-0001",
            Self::Write { .. } => "CR-OTEL-0002",
            Self::Malformed { .. } | Self::TooLarge { .. } => "CR-OTEL-0003",
            Self::MediaType(_) => "CR-OTEL-0004",
            Self::TooManyServices { .. } => "CR-OTEL-0005",
            Self::Incomplete { .. } => "CR-OTEL-0006",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Directory { .. } | Self::Write { .. } | Self::Incomplete { .. } => {
                Fault::Platform
            }
            _ => Fault::Caller,
        }
    }

    /// OTLP/HTTP clients repeat a batch after 503 and drop it after 400, 413 and 500.
    fn status(&self) -> StatusCode {
        match self {
            Self::Directory { .. } | Self::Write { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => self.fault().status(),
        }
    }
}
