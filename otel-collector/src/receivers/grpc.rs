use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::IntoResponse;
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
use sidecar_http::{Coded, chain};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};

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
            Ok(()) => Ok(Response::new(S::Response::default())),
            Err(error) => Err(status(&error)),
        }
    }
}

fn status(error: &CollectorError) -> Status {
    let text = format!("{}: {}", error.code(), chain(error));
    Status::new(super::code(error), text)
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
    let counted = from_fn_with_state(Arc::clone(&exporter), super::counted);
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
    .route_layer(counted)
    .fallback(unknown)
    .layer(map_response(final_if_too_large))
}

/// tonic's own answer to any other path is a gRPC error with HTTP status 200, which an HTTP client takes for success.
async fn unknown(headers: HeaderMap) -> axum::response::Response {
    let grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        Status::unimplemented("no such service").into_http()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// tonic calls a message that is too large `OUT_OF_RANGE`, which OTLP clients repeat; `RESOURCE_EXHAUSTED` without a delay
/// to wait is final. Nothing else here is out of range.
async fn final_if_too_large(mut answer: axum::response::Response) -> axum::response::Response {
    let code = |code: Code| HeaderValue::from(i32::from(code));
    if let Some(status) = answer.headers_mut().get_mut(Status::GRPC_STATUS)
        && *status == code(Code::OutOfRange)
    {
        *status = code(Code::ResourceExhausted);
    }
    answer
}
