//! Where telemetry comes from.

pub(crate) mod grpc;
pub(crate) mod http;

use sidecar_http::{Coded, Fault};
use tonic::Code;

use crate::CollectorError;

/// What a client shall do: only `Unavailable` is repeated.
fn code(error: &CollectorError) -> Code {
    match error {
        CollectorError::TooLarge { .. } => Code::ResourceExhausted,
        _ if error.fault() == Fault::Platform => Code::Unavailable,
        _ => Code::InvalidArgument,
    }
}

/// Largest request in bytes, as the OpenTelemetry collector's own default.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;
