use std::io::Read;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Serialize;
use sidecar_http::{Callers, Routes, WireError};

use super::MAX_MESSAGE;
use crate::{CollectorError, FileExporter, Signal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `POST /v1/{traces,metrics,logs}` with protobuf or JSON, plain or gzip (OTLP specification, "OTLP/HTTP Request").
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
    let counted = from_fn_with_state(Arc::clone(exporter), super::counted);
    let exporter = Arc::clone(exporter);
    routes.quiet_route(
        &format!("/v1/{}", S::NAME),
        post(
            async move |headers: HeaderMap, body: Result<Bytes, BytesRejection>| {
                let json = media_type(&headers) == JSON;
                match take::<S>(exporter, &headers, body).await {
                    Ok(answer) => encoded(json, StatusCode::OK, &answer),
                    Err(error) => refusal(json, error),
                }
            },
        )
        .route_layer(counted),
        Callers::AnySidecar,
    )
}

fn media_type(headers: &HeaderMap) -> &str {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map_or("", |value| value.split(';').next().unwrap_or(value).trim())
}

async fn take<S: Signal>(
    exporter: Arc<FileExporter>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<S::Response, CollectorError> {
    let malformed = |reason: String| CollectorError::Malformed {
        signal: S::NAME,
        reason,
    };
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large::<S>(),
        _ => malformed(rejection.body_text()),
    })?;
    let body = match headers.get(header::CONTENT_ENCODING) {
        None => body,
        Some(coding) if coding == "identity" => body,
        Some(coding) if coding == "gzip" => unpack::<S>(&body)?,
        Some(coding) => return Err(malformed(format!("content encoding {coding:?}"))),
    };
    let batch = match media_type(headers) {
        PROTOBUF => S::decode(body).map_err(|error| malformed(error.to_string()))?,
        JSON => serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?,
        other => return Err(CollectorError::MediaType(other.to_owned())),
    };
    match tokio::task::spawn_blocking(move || exporter.export(batch)).await {
        Ok(written) => written.map(|()| S::Response::default()),
        Err(error) => Err(CollectorError::Write {
            service: S::NAME.to_owned(),
            source: error.into(),
        }),
    }
}

const fn too_large<S: Signal>() -> CollectorError {
    CollectorError::TooLarge {
        signal: S::NAME,
        limit: MAX_MESSAGE,
    }
}

/// A small body may unpack to a large one: the limit holds for both.
fn unpack<S: Signal>(body: &[u8]) -> Result<Bytes, CollectorError> {
    let mut unpacked = Vec::new();
    GzDecoder::new(body)
        .take(MAX_MESSAGE as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| CollectorError::Malformed {
            signal: S::NAME,
            reason: format!("gzip: {error}"),
        })?;
    if unpacked.len() > MAX_MESSAGE {
        return Err(too_large::<S>());
    }
    Ok(unpacked.into())
}

/// `google.rpc.Status`, which OTLP/HTTP wants as the body of an error.
#[derive(Clone, PartialEq, prost::Message, serde::Serialize)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn refusal(json: bool, error: CollectorError) -> Response {
    let code = super::code(&error);
    let wire = WireError::from(error);
    let status = RpcStatus {
        code: code.into(),
        message: format!("{}: {}", wire.code, wire.message),
    };
    encoded(json, wire.status, &status)
}

/// An answer in the encoding of its request.
fn encoded(json: bool, status: StatusCode, message: &(impl Message + Serialize)) -> Response {
    if json {
        return (status, axum::Json(message)).into_response();
    }
    let headers = [(header::CONTENT_TYPE, PROTOBUF)];
    (status, headers, message.encode_to_vec()).into_response()
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
