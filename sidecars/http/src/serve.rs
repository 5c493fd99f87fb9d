use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Peer, Routes};

/// What a listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for a client to send its request head.
    pub head: Duration,
    /// Time for open requests to finish once the process stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// Binds a service's socket.
///
/// The name appears only when the socket accepts: it is bound beside and renamed, so whoever watches the directory never
/// meets a socket that refuses. A socket left by a dead process is replaced.
///
/// # Errors
/// The directory is missing or not ours.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    // Every user may connect; who may call is decided by SO_PEERCRED, not by the file's mode.
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o666))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

/// Serves a Unix socket until `stopping`, then lets open requests finish.
///
/// # Errors
/// The listener broke.
pub async fn serve_unix(
    listener: UnixListener,
    routes: Routes,
    limits: Limits,
    stopping: CancellationToken,
) -> io::Result<()> {
    let server = Server::new(routes, limits);
    loop {
        let permit = server.permit(&stopping).await;
        let Some(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(cred) => server.spawn(
                    stream,
                    Peer::Unix {
                        uid: cred.uid(),
                        gid: cred.gid(),
                    },
                    permit,
                ),
                Err(error) => tracing::warn!(%error, "peer without credentials dropped"),
            },
            Err(error) if transient(&error) => tokio::task::yield_now().await,
            Err(error) => return Err(error),
        }
    }
    server.drain().await;
    Ok(())
}

/// Serves the measured `--tcp` listener; no peer checks.
///
/// # Errors
/// The listener broke.
pub async fn serve_tcp(
    listener: TcpListener,
    routes: Routes,
    limits: Limits,
    stopping: CancellationToken,
) -> io::Result<()> {
    let server = Server::new(routes, limits);
    loop {
        let Some(permit) = server.permit(&stopping).await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, from)) => server.spawn(stream, peer(from), permit),
            Err(error) if transient(&error) => tokio::task::yield_now().await,
            Err(error) => return Err(error),
        }
    }
    server.drain().await;
    Ok(())
}

const fn peer(from: SocketAddr) -> Peer {
    Peer::Tcp(from)
}

/// Errors of one connection, not of the listener.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

struct Server {
    router: Router,
    http: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    slots: Arc<Semaphore>,
    limits: Limits,
}

type Permit = tokio::sync::OwnedSemaphorePermit;

impl Server {
    fn new(routes: Routes, limits: Limits) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head);
        http.http2().timer(TokioTimer::new());
        Self {
            router: routes.into_router(),
            http,
            graceful: GracefulShutdown::new(),
            slots: Arc::new(Semaphore::new(limits.connections)),
            limits,
        }
    }

    async fn permit(&self, stopping: &CancellationToken) -> Option<Permit> {
        tokio::select! {
            permit = Arc::clone(&self.slots).acquire_owned() => permit.ok(),
            () = stopping.cancelled() => None,
        }
    }

    fn spawn<S>(&self, stream: S, peer: Peer, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = error.as_ref(), "connection ended");
            }
            drop(permit);
        });
    }

    async fn drain(self) {
        let within = self.limits.drain;
        if tokio::time::timeout(within, self.graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("open requests were cut off at the end of the drain time");
        }
    }
}
