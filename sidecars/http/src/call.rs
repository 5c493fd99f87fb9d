use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::{Coded, Fault};

/// A whole answer of a sidecar.
#[derive(Debug)]
pub struct UnixReply {
    /// HTTP status, whatever it is.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most 16 MiB.
    pub body: Bytes,
}

/// A call to another sidecar that gave no usable answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nothing listens on the socket.
    #[error("{service}: no connection to its socket")]
    Connect {
        /// The callee.
        service: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its process ended and left its socket behind.
    #[error("{service}: the process ended; its socket is still there and nobody listens")]
    Gone {
        /// The callee.
        service: String,
    },
    /// Another user holds the socket.
    #[error("{service}: its socket is served by uid {actual}, expected uid {expected}")]
    Impostor {
        /// The callee.
        service: String,
        /// The uid that the policy gives to the callee.
        expected: u32,
        /// The uid that the kernel reports.
        actual: u32,
    },
    /// The answer did not come in time.
    #[error("{service}: no answer within {seconds} s")]
    Deadline {
        /// The callee.
        service: String,
        /// The deadline.
        seconds: u64,
    },
    /// The connection broke.
    #[error("{service}: the connection broke")]
    Broken {
        /// The callee.
        service: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the route promises.
    #[error("{service}: unreadable answer")]
    Unreadable {
        /// The callee.
        service: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The callee said no.
    #[error("{service} refused with {status}: {code}: {message}")]
    Refused {
        /// The callee.
        service: String,
        /// Its status.
        status: StatusCode,
        /// Its stable code.
        code: String,
        /// Its message.
        message: String,
    },
}

impl Coded for CallError {
    fn code(&self) -> &str {
        match self {
            Self::Connect { .. } => "CR-HTTP-0010",
            Self::Impostor { .. } => "CR-HTTP-0011",
            Self::Gone { .. } => "CR-HTTP-0016",
            Self::Deadline { .. } => "CR-HTTP-0012",
            Self::Broken { .. } => "CR-HTTP-0013",
            Self::Unreadable { .. } => "CR-HTTP-0014",
            // The first hop that failed names the error for everybody behind it.
            Self::Refused { code, .. } => code,
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Connect { .. }
            | Self::Gone { .. }
            | Self::Deadline { .. }
            | Self::Broken { .. } => Fault::Upstream { retry: true },
            Self::Impostor { .. } => Fault::Denied,
            Self::Unreadable { .. } => Fault::Upstream { retry: false },
            Self::Refused { status, .. } => Fault::of_status(*status),
        }
    }
}
