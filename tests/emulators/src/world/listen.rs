//! The accept loops: TLS, HTTP/1.1 and HTTP/2, and a transport that can be cut below an answer.
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatch::{Cut, Dispatch};
use super::wiring;

/// A client that does not finish its handshake in this time is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts until `stop`; every connection is a task of `tasks`.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    dispatch: Arc<Dispatch>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let work = connection(
                    socket,
                    acceptor.clone(),
                    Arc::clone(&dispatch),
                    stop.child_token(),
                );
                tasks.spawn(work);
            }
            // Out of descriptors, most likely: yield instead of spinning, the next accept says more.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn connection(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    dispatch: Arc<Dispatch>,
    cut: CancellationToken,
) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let Some(acceptor) = acceptor else {
        return serve(socket, None, dispatch, cut).await;
    };
    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake timed out"),
    };
    let client = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|cert| cert.to_vec());
    serve(stream, client, dispatch, cut).await;
}

async fn serve<S>(
    stream: S,
    client: Option<Vec<u8>>,
    dispatch: Arc<Dispatch>,
    cut: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let token = cut.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (dispatch, client, token) = (Arc::clone(&dispatch), client.clone(), token.clone());
        async move {
            let mut request = request.map(Body::new);
            if let Some(der) = client {
                wiring::present(&mut request, der);
            }
            dispatch.answer(request, &token).await.map_err(|Cut| Cut)
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Dropping the future drops the socket: no close_notify, no last frame, as when a middlebox goes.
        () = cut.cancelled() => {}
        served = serving => if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        },
    }
}
