//! Where telemetry comes from.

pub(crate) mod grpc;
pub(crate) mod http;

/// Largest request in bytes, as the OpenTelemetry collector's own default.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;
