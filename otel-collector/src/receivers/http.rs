use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use sidecar_http::{Callers, Routes, WireError};

use crate::{CollectorError, FileExporter, Signal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `POST /v1/{traces,metrics,logs}` with protobuf or JSON (OTLP specification, "OTLP/HTTP Request").
pub(crate) fn routes(exporter: Arc<FileExporter>) -> Routes {
    add::<ExportTraceServiceRequest>(
        add::<ExportMetricsServiceRequest>(
            add::<ExportLogsServiceRequest>(Routes::new(), &exporter),
            &exporter,
        ),
        &exporter,
    )
}

fn add<S: Signal>(routes: Routes, exporter: &Arc<FileExporter>) -> Routes {
    let exporter = Arc::clone(exporter);
    routes.quiet_route(
        &format!("/v1/{}", S::NAME),
        post(async move |headers: HeaderMap, body: Bytes| {
            take::<S>(exporter, &headers, &body).await
        }),
        Callers::AnySidecar,
    )
}

async fn take<S: Signal>(
    exporter: Arc<FileExporter>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, WireError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map_or("", |value| value.split(';').next().unwrap_or(value).trim());
    let malformed = |reason: String| CollectorError::Malformed {
        signal: S::NAME,
        reason,
    };
    let batch = match media_type {
        PROTOBUF => S::decode(body.as_ref()).map_err(|error| malformed(error.to_string()))?,
        JSON => serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?,
        other => return Err(CollectorError::MediaType(other.to_owned()).into()),
    };
    tokio::task::spawn_blocking(move || exporter.export(batch))
        .await
        .map_err(|error| malformed(error.to_string()))??;
    let answer = S::Response::default();
    Ok(match media_type {
        PROTOBUF => ([(header::CONTENT_TYPE, PROTOBUF)], answer.encode_to_vec()).into_response(),
        _ => (StatusCode::OK, axum::Json(answer)).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use sidecar_http::Peer;
    use tower::ServiceExt;

    use super::*;
    use crate::Limits;

    async fn post(uid: u32, path: &str, media_type: &str, body: Vec<u8>) -> StatusCode {
        let directory = tempfile::tempdir().unwrap();
        let exporter = FileExporter::open(directory.path().to_owned(), Limits::default()).unwrap();
        let router = crate::routes(Arc::new(exporter)).router_as(Peer::Unix { uid, gid: uid });
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from(body))
            .unwrap();
        router.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn both_encodings_are_taken_and_others_refused() {
        let empty = br#"{"resourceSpans":[]}"#.to_vec();
        assert_eq!(post(10029, "/v1/traces", PROTOBUF, Vec::new()).await, 200);
        assert_eq!(post(10029, "/v1/traces", JSON, empty.clone()).await, 200);
        assert_eq!(post(10029, "/v1/traces", "text/plain", empty).await, 400);
        assert_eq!(
            post(10029, "/v1/traces", PROTOBUF, vec![0xff; 9]).await,
            400
        );
        assert_eq!(post(10029, "/v1/logs", JSON, b"{".to_vec()).await, 400);
    }

    #[tokio::test]
    async fn the_application_and_root_cannot_send() {
        assert_eq!(post(1000, "/v1/traces", PROTOBUF, Vec::new()).await, 403);
        assert_eq!(post(0, "/v1/traces", PROTOBUF, Vec::new()).await, 403);
        let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(post(1000, grpc, "application/grpc", Vec::new()).await, 403);
    }
}
