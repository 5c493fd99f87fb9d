//! One subscriber: JSON lines on stderr (or in a log file) always, OTLP to the collector's socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithTonicConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use sidecar_http::services::{OTEL_COLLECTOR, Service};
use sidecar_http::{UnixClient, wait_for_path};
use tonic::transport::{Channel, Endpoint};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::CommonArgs;
use crate::log_file::LogFile;

/// How long a first export waits for the collector, which starts at the same time as everybody.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(10);

/// The providers, to flush and shut down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Installs the subscriber. Must run inside the runtime that will carry the exports.
    pub(crate) fn install(
        service: &Service,
        common: &CommonArgs,
        log_file: Option<LogFile>,
    ) -> Self {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let level = common.log_level;
        let writer = match log_file {
            Some(file) => BoxMakeWriter::new(file),
            None => BoxMakeWriter::new(std::io::stderr),
        };
        let local = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(writer)
            .with_filter(own_targets(level));
        let registry = Registry::default().with(local);
        if *service == OTEL_COLLECTOR {
            // The collector would export into itself.
            let _ = registry.try_init();
            return Self::default();
        }
        let channel = channel(common.client(&OTEL_COLLECTOR));
        let resource = Resource::builder()
            .with_service_name(service.name.clone().into_owned())
            .build();
        let spans = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_channel(channel.clone())
            .build();
        let records = opentelemetry_otlp::LogExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .build();
        let (spans, records) = match (spans, records) {
            (Ok(spans), Ok(records)) => (spans, records),
            (Err(error), _) | (_, Err(error)) => {
                let _ = registry.try_init();
                tracing::warn!(%error, "telemetry stays local");
                return Self::default();
            }
        };
        let traces = SdkTracerProvider::builder()
            .with_batch_exporter(spans)
            .with_resource(resource.clone())
            .build();
        let logs = SdkLoggerProvider::builder()
            .with_batch_exporter(records)
            .with_resource(resource)
            .build();
        let _ = registry
            .with(
                tracing_opentelemetry::layer()
                    .with_tracer(traces.tracer("sidecar"))
                    .with_filter(own_targets(level)),
            )
            .with(OpenTelemetryTracingBridge::new(&logs).with_filter(own_targets(level)))
            .try_init();
        global::set_tracer_provider(traces.clone());
        Self {
            traces: Some(traces),
            logs: Some(logs),
        }
    }

    /// Hands everything recorded so far to the collector. Blocks: call it from a blocking thread.
    pub(crate) fn flush(&self) {
        let traces = self.traces.as_ref().map(SdkTracerProvider::force_flush);
        let logs = self.logs.as_ref().map(SdkLoggerProvider::force_flush);
        for outcome in [traces, logs].into_iter().flatten() {
            if let Err(error) = outcome {
                tracing::debug!(%error, "telemetry was not flushed");
            }
        }
    }

    /// Flushes and ends the exporters; records made later go to stderr only.
    pub(crate) fn shutdown(&self) {
        let within = Duration::from_secs(5);
        if let Some(traces) = &self.traces {
            let _ = traces.shutdown_with_timeout(within);
        }
        if let Some(logs) = &self.logs {
            let _ = logs.shutdown_with_timeout(within);
        }
    }
}

/// The exporter's own transport would otherwise be exported, and that export again.
fn own_targets(level: Level) -> Targets {
    let mut targets = Targets::new().with_default(level);
    for transport in [
        "h2",
        "hyper",
        "hyper_util",
        "opentelemetry",
        "opentelemetry_sdk",
        "opentelemetry_otlp",
        "reqwest",
        "rustls",
        "tonic",
        "tower",
    ] {
        targets = targets.with_target(transport, tracing_subscriber::filter::LevelFilter::OFF);
    }
    targets
}

/// A channel to the collector's socket that checks, at every connection, who serves it.
fn channel(collector: UnixClient) -> Channel {
    static WARNED: AtomicBool = AtomicBool::new(false);
    Endpoint::from_static("http://otel-collector")
        .timeout(Duration::from_secs(10))
        .connect_with_connector_lazy(tower::service_fn(move |_| {
            let collector = collector.clone();
            async move {
                let _ = tokio::time::timeout(COLLECTOR_PATIENCE, wait_for_path(collector.socket()))
                    .await;
                match collector.connect().await {
                    Ok(stream) => Ok(TokioIo::new(stream)),
                    Err(error) => {
                        if !WARNED.swap(true, Ordering::Relaxed) {
                            tracing::warn!(
                                error = sidecar_http::chain(&error),
                                "telemetry is not collected"
                            );
                        }
                        Err(error)
                    }
                }
            }
        }))
}
