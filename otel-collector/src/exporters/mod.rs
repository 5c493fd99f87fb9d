//! Where telemetry goes.

pub(crate) mod file;
