//! Gathers OTLP telemetry into files per service.
