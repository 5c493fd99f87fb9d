//! Where telemetry comes from.

pub(crate) mod grpc;
pub(crate) mod http;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use sidecar_http::{Coded, Fault};
use tonic::{Code, Status};

use crate::{CollectorError, FileExporter};

/// What a client shall do: only `Unavailable` is repeated.
fn code(error: &CollectorError) -> Code {
    match error {
        CollectorError::TooLarge { .. } => Code::ResourceExhausted,
        _ if error.fault() == Fault::Platform => Code::Unavailable,
        _ => Code::InvalidArgument,
    }
}

/// Largest request in bytes, as the OpenTelemetry collector's own default.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// Counts a batch as lost unless its sender is told that it was written: a batch that is too large, cannot be read, breaks off
/// or makes a handler panic is as little in the files as one that the disk had no room for.
pub(crate) async fn counted(
    State(exporter): State<Arc<FileExporter>>,
    request: Request,
    next: Next,
) -> Response {
    let batch = exporter.expect();
    let answer = next.run(request).await;
    // An error of gRPC has the HTTP status 200.
    let status = answer.headers().get(Status::GRPC_STATUS);
    if answer.status().is_success() && status.is_none_or(|status| status == "0") {
        batch.written();
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::{Body, Bytes};
    use axum::http::{StatusCode, header};
    use flate2::write::GzEncoder;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
    use prost::Message;
    use sidecar_http::{Peer, services};
    use tower::ServiceExt;

    use super::*;
    use crate::Limits;

    const GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

    /// A collector that is asked, request by request, and then whether it has all.
    struct Collector {
        router: axum::Router,
        exporter: Arc<FileExporter>,
        folder: tempfile::TempDir,
    }

    impl Collector {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let limits = Limits::default();
            let exporter = Arc::new(FileExporter::open(folder.path().to_owned(), limits).unwrap());
            let uid = services::IDENTITY.uid;
            let router =
                crate::routes(Arc::clone(&exporter)).router_as(Peer::Unix { uid, gid: uid });
            Self {
                router,
                exporter,
                folder,
            }
        }

        async fn send(&self, path: &str, kind: &str, coding: &str, body: Body) -> Response {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, kind)
                .header(header::CONTENT_ENCODING, coding)
                .body(body)
                .unwrap();
            self.router.clone().oneshot(request).await.unwrap()
        }

        fn lost(&self) -> u64 {
            match self.exporter.complete() {
                Ok(()) => 0,
                Err(CollectorError::Incomplete { batches }) => batches,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn batch() -> Vec<u8> {
        let spans = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans::default()],
        };
        spans.encode_to_vec()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    }

    #[tokio::test]
    async fn every_refused_batch_counts_as_not_written() {
        let collector = Collector::new();
        let protobuf = "application/x-protobuf";
        let bomb = {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&vec![0; MAX_MESSAGE + 1]).unwrap();
            gzip.finish().unwrap()
        };
        let torn = || {
            let pieces = [
                Ok(Bytes::from_static(b"{")),
                Err(std::io::Error::other("the sender is gone")),
            ];
            Body::from_stream(futures::stream::iter(pieces))
        };
        let refused = [
            (
                "/v1/traces",
                protobuf,
                "identity",
                Body::from(vec![0xff; 9]),
                400,
            ),
            (
                "/v1/logs",
                "application/json",
                "identity",
                Body::from("{"),
                400,
            ),
            (
                "/v1/metrics",
                "text/plain",
                "identity",
                Body::from("x"),
                400,
            ),
            ("/v1/traces", protobuf, "br", Body::from(batch()), 400),
            ("/v1/traces", protobuf, "gzip", Body::from("no gzip"), 400),
            ("/v1/traces", protobuf, "gzip", Body::from(bomb), 413),
            (
                "/v1/logs",
                protobuf,
                "identity",
                Body::from(vec![0; MAX_MESSAGE + 1]),
                413,
            ),
            ("/v1/logs", "application/json", "identity", torn(), 400),
        ];
        let mut lost = 0;
        for (path, kind, coding, body, status) in refused {
            let answer = collector.send(path, kind, coding, body).await;
            assert_eq!(answer.status(), status, "{path} {kind} {coding}");
            lost += 1;
            assert_eq!(collector.lost(), lost, "{path} {kind} {coding}");
        }
        for message in [
            framed(&[0xff; 9]),
            framed(&vec![0; MAX_MESSAGE + 1]),
            vec![0, 0],
        ] {
            let answer = collector.send(GRPC, "application/grpc", "identity", message.into());
            let answer = answer.await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_ne!(answer.headers()[Status::GRPC_STATUS], "0");
            lost += 1;
            assert_eq!(collector.lost(), lost);
        }
        // Where a file should be is a folder.
        std::fs::create_dir(collector.folder.path().join("unknown_service.traces")).unwrap();
        let answer = collector.send("/v1/traces", protobuf, "identity", batch().into());
        assert_eq!(answer.await.status(), 503);
        assert_eq!(collector.lost(), lost + 1);
    }

    #[tokio::test]
    async fn a_batch_whose_request_is_given_up_counts_and_a_written_one_does_not() {
        let collector = Collector::new();
        let answer = collector.send(
            "/v1/traces",
            "application/x-protobuf",
            "identity",
            batch().into(),
        );
        assert_eq!(answer.await.status(), 200);
        let answer = collector.send(
            GRPC,
            "application/grpc",
            "identity",
            framed(&batch()).into(),
        );
        let answer = answer.await;
        assert_eq!(answer.headers().get(Status::GRPC_STATUS), None);
        assert_eq!(collector.lost(), 0);
        let endless = Body::from_stream(futures::stream::pending::<std::io::Result<Bytes>>());
        let waiting = collector.send("/v1/logs", "application/json", "identity", endless);
        let mut waiting = Box::pin(waiting);
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        assert_eq!(collector.lost(), 0);
        drop(waiting);
        assert_eq!(collector.lost(), 1);
    }

    #[tokio::test]
    async fn who_may_not_send_cannot_make_a_run_incomplete() {
        let collector = Collector::new();
        let uid = 1000;
        let router =
            crate::routes(Arc::clone(&collector.exporter)).router_as(Peer::Unix { uid, gid: uid });
        for path in ["/v1/traces", GRPC] {
            let request = Request::post(path).body(Body::from("x")).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 403);
        }
        let request = Request::get("/v1/traces").body(Body::empty()).unwrap();
        let answer = collector.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(collector.lost(), 0);
    }
}
