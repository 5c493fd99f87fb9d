use std::sync::Arc;

use axum::Router;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use sidecar_http::{Coded, Fault, chain};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::MAX_MESSAGE;
use crate::{CollectorError, FileExporter, Signal};

#[derive(Clone)]
struct Receiver(Arc<FileExporter>);

impl Receiver {
    async fn take<S: Signal>(&self, batch: S) -> Result<Response<S::Response>, Status> {
        let exporter = Arc::clone(&self.0);
        let taken = tokio::task::spawn_blocking(move || exporter.export(batch))
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        match taken {
            Ok(dropped) => {
                if dropped > 0 {
                    tracing::warn!(dropped, signal = S::NAME, "resources without service.name");
                }
                Ok(Response::new(S::Response::default()))
            }
            Err(error) => Err(status(&error)),
        }
    }
}

fn status(error: &CollectorError) -> Status {
    let text = format!("{}: {}", error.code(), chain(error));
    match error.fault() {
        Fault::Platform => Status::unavailable(text),
        _ => Status::invalid_argument(text),
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner()).await
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request.into_inner()).await
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take(request.into_inner()).await
    }
}

/// The three OTLP services.
pub(crate) fn router(exporter: Arc<FileExporter>) -> Router {
    let receiver = Receiver(exporter);
    let gzip = CompressionEncoding::Gzip;
    tonic::service::Routes::new(
        TraceServiceServer::new(receiver.clone())
            .accept_compressed(gzip)
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .add_service(
        MetricsServiceServer::new(receiver.clone())
            .accept_compressed(gzip)
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .add_service(
        LogsServiceServer::new(receiver)
            .accept_compressed(gzip)
            .max_decoding_message_size(MAX_MESSAGE),
    )
    .into_axum_router()
}
