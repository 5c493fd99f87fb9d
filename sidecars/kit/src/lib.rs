//! The process skeleton of every sidecar: arguments, hardening, telemetry, readiness, drain, exit code.
