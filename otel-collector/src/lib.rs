//! The telemetry collector of a group.
//!
//! OTLP comes in over gRPC and HTTP on one socket; OTLP/JSON lines per service and signal go out to files inside the
//! encrypted VM. Nothing leaves the room from here: the launcher copies the files into the sink of the party that owns
//! them, if the parties agreed.

mod error;
mod exporters;
mod json;
mod receivers;
mod signal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Json;
use axum::routing::get;
use serde_json::json;
use sidecar_http::{Callers, Routes, WireError, services};
use sidecar_kit::Process;

pub use error::CollectorError;
pub use exporters::file::{FileExporter, Limits};
pub use signal::{Received, Signal};

/// What an operator types.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory of the files, `<service>.traces`, `.metrics` and `.log`.
    #[arg(long, default_value = "/mnt/telemetry/infrastructure")]
    pub telemetry_path: PathBuf,
}

/// Runs the collector until it is asked to stop.
///
/// # Errors
/// The directory cannot be written, or the socket cannot be bound.
pub async fn run(args: Args, process: Process) -> anyhow::Result<ExitCode> {
    let exporter = Arc::new(FileExporter::open(args.telemetry_path, Limits::default())?);
    process.serve(routes(exporter)).await?;
    Ok(ExitCode::SUCCESS)
}

/// OTLP over gRPC (`opentelemetry.proto.collector.*`) and over HTTP (`/v1/{traces,metrics,logs}`), for every sidecar;
/// `GET /complete`, by which the launcher learns whether all of it was written.
pub fn routes(exporter: Arc<FileExporter>) -> Routes {
    let complete = Arc::clone(&exporter);
    receivers::http::routes(Arc::clone(&exporter))
        .quiet_route(
            "/complete",
            get(async move || {
                complete
                    .complete()
                    .map(|()| Json(json!({})))
                    .map_err(WireError::from)
            }),
            Callers::Only(vec![services::CODE_LAUNCHER.uid]),
        )
        .merge(receivers::grpc::router(exporter), Callers::AnySidecar)
        .body_limit(receivers::MAX_MESSAGE)
}
