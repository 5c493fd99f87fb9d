//! Both ends of a Unix socket, with the kernel between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::time::Duration;

use axum::Json;
use axum::routing::{get, post};
use sidecar_http::{
    CallError, Callers, Coded, Fault, Limits, Peer, Routes, UnixClient, WireError, bind_unix,
    serve_unix,
};
use tokio_util::sync::CancellationToken;

const SIDECAR: Peer = Peer::Unix {
    uid: 10029,
    gid: 10029,
};

fn routes() -> Routes {
    Routes::new()
        .route(
            "/echo",
            post(async |body: Json<serde_json::Value>| body),
            Callers::AnySidecar,
        )
        .route("/shims", get(async || "ok"), Callers::Shims)
        .route("/one", get(async || "ok"), Callers::Only(vec![10093]))
        .route("/root", get(async || "ok"), Callers::Only(vec![0]))
        .route(
            "/refuse",
            get(async || -> Result<(), WireError> {
                Err(WireError::new(
                    http::StatusCode::FORBIDDEN,
                    "CR-TEST-0001",
                    "no",
                ))
            }),
            Callers::AnySidecar,
        )
}

async fn status(path: &str, uid: u32) -> u16 {
    use tower::ServiceExt;
    let router = routes().router_as(Peer::Unix { uid, gid: uid });
    let request = http::Request::get(path)
        .body(axum::body::Body::empty())
        .unwrap();
    router.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn each_route_admits_its_callers_and_nobody_else() {
    assert_eq!(status("/shims", 10020).await, 200);
    assert_eq!(status("/shims", 10029).await, 403);
    assert_eq!(status("/one", 10093).await, 200);
    assert_eq!(status("/one", 10084).await, 403);
    assert_eq!(status("/refuse", 1000).await, 403);
}

#[tokio::test]
async fn root_calls_nothing_even_where_a_table_names_it() {
    assert_eq!(status("/root", 0).await, 403);
}

/// Serves the routes on a socket of the test's own user.
async fn serve() -> (tempfile::TempDir, std::path::PathBuf, CancellationToken) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("peer.sock");
    let listener = bind_unix(&socket).unwrap();
    let stopping = CancellationToken::new();
    tokio::spawn(serve_unix(
        listener,
        Routes::new().quiet_route("/ready", get(async || "{}"), Callers::AnySidecar),
        Limits::default(),
        stopping.clone(),
    ));
    (directory, socket, stopping)
}

#[tokio::test]
async fn a_socket_served_by_another_user_is_an_impostor() {
    let (_directory, socket, _stopping) = serve().await;
    let own = nix::unistd::geteuid().as_raw();
    let error = UnixClient::new(&socket, own + 1)
        .call(http::Method::GET, "/ready", None)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Impostor { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Denied);
    // The twin: the right user is talked to (and then decides for itself).
    UnixClient::new(&socket, own)
        .call(http::Method::GET, "/ready", None)
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_there_is_a_retryable_fault_that_names_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let client = UnixClient::new(directory.path().join("identity.sock"), 0);
    let error = client
        .call(http::Method::GET, "/status", None)
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Upstream { retry: true });
    assert!(error.to_string().starts_with("identity: "), "{error}");
}

#[tokio::test]
async fn waiting_for_a_socket_that_never_comes_ends_at_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let client = UnixClient::new(directory.path().join("identity/identity.sock"), 0);
    let error = client
        .wait_ready(Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn waiting_notices_a_directory_and_a_socket_that_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("identity/identity.sock");
    let own = nix::unistd::geteuid().as_raw();
    let waiting = tokio::spawn({
        let client = UnixClient::new(&socket, own);
        async move { client.wait_ready(Duration::from_secs(20)).await }
    });
    tokio::task::yield_now().await;
    std::fs::create_dir(directory.path().join("identity")).unwrap();
    let listener = bind_unix(&socket).unwrap();
    let router = axum::Router::new().route("/ready", get(async || "{}"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_keeps_the_code_and_the_fault_of_the_hop_that_refused() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("secrets.sock");
    let listener = bind_unix(&socket).unwrap();
    let router = routes().router_as(SIDECAR);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = UnixClient::new(&socket, nix::unistd::geteuid().as_raw());
    let error = client
        .get_json::<serde_json::Value>("/refuse")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-TEST-0001");
    assert_eq!(error.fault(), Fault::Denied);
    let echoed: serde_json::Value = client
        .post_json("/echo", &serde_json::json!({"a": 1}))
        .await
        .unwrap();
    assert_eq!(echoed["a"], 1);
}

#[tokio::test]
async fn open_requests_finish_when_the_process_stops() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("peer.sock");
    let listener = bind_unix(&socket).unwrap();
    let (started, go) = (CancellationToken::new(), CancellationToken::new());
    let stopping = CancellationToken::new();
    let (in_handler, release) = (started.clone(), go.clone());
    // Over the socket the test's own user is no sidecar, so the handler is reached with the TCP rule.
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    drop(listener);
    let server = tokio::spawn(sidecar_http::serve_tcp(
        tcp,
        Routes::new().quiet_route(
            "/slow",
            get(async move || {
                in_handler.cancel();
                release.cancelled().await;
                "done"
            }),
            Callers::AnySidecar,
        ),
        Limits::default(),
        stopping.clone(),
    ));
    let request = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    started.cancelled().await;
    stopping.cancel();
    go.cancel();
    server.await.unwrap().unwrap();
    assert!(request.await.unwrap().ends_with("done"));
}
