use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::watch::Watch;
use crate::{CallError, UnixReply, trace, wire};

const BODY_CAP: usize = 16 << 20;
/// How long one long poll of `/ready` is held by the callee.
const READY_POLL: Duration = Duration::from_secs(20);

/// Calls one sidecar over its socket, after checking that the socket is served by the uid the policy gives it.
#[derive(Clone, Debug)]
pub struct UnixClient {
    socket: PathBuf,
    server_uid: u32,
    deadline: Duration,
}

/// For a sidecar that ended to come back, in [`UnixClient::wait_ready`].
const GONE: Duration = Duration::from_secs(5);

impl UnixClient {
    /// A client of the socket that `server_uid` must serve; 30 s per call.
    pub fn new(socket: impl Into<PathBuf>, server_uid: u32) -> Self {
        Self {
            socket: socket.into(),
            server_uid,
            deadline: Duration::from_secs(30),
        }
    }

    /// The same client with another deadline per call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The callee's name, from its socket.
    pub fn service(&self) -> String {
        let stem = self.socket.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    /// One call; any status is an answer.
    ///
    /// # Errors
    /// No connection, another user behind the socket, a broken connection, or the deadline.
    pub async fn call(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
    ) -> Result<UnixReply, CallError> {
        self.bounded(self.deadline, self.exchange(method, path_and_query, body))
            .await
    }

    /// GET a JSON answer.
    ///
    /// # Errors
    /// As [`UnixClient::call`]; a status other than 2xx is [`CallError::Refused`].
    pub async fn get_json<A: DeserializeOwned>(&self, path: &str) -> Result<A, CallError> {
        let reply = self.call(Method::GET, path, None).await?;
        self.parse(reply)
    }

    /// POST a JSON body, expect a JSON answer.
    ///
    /// # Errors
    /// As [`UnixClient::call`]; a status other than 2xx is [`CallError::Refused`].
    pub async fn post_json<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(question).map_err(|source| self.unreadable(source))?;
        let reply = self.call(Method::POST, path, Some(body.into())).await?;
        self.parse(reply)
    }

    /// Passes an answer with a 2xx status and turns any other into [`CallError::Refused`].
    ///
    /// # Errors
    /// The callee's own error.
    pub fn expect_success(&self, reply: UnixReply) -> Result<UnixReply, CallError> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        let (code, message) = match serde_json::from_slice::<wire::Body>(&reply.body) {
            Ok(body) => (body.error.code, body.error.message),
            Err(_) => (
                "CR-HTTP-0015".to_owned(),
                format!("status {} without an error body", reply.status),
            ),
        };
        Err(CallError::Refused {
            service: self.service(),
            status: reply.status,
            code,
            message,
        })
    }

    /// Waits until the callee says that it is ready: watches for its socket, then holds `GET /ready` open.
    ///
    /// # Errors
    /// [`CallError::Deadline`], or [`CallError::Refused`] naming what was still missing at the end.
    pub async fn wait_ready(&self, within: Duration) -> Result<(), CallError> {
        let end = Instant::now() + within;
        let mut missing = None;
        let waiting = async {
            loop {
                let mut watch =
                    Watch::above(&self.socket).map_err(|source| self.unconnected(source))?;
                match self.ask_ready(end).await {
                    Ok(reply) if reply.status == StatusCode::OK => return Ok(()),
                    Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {
                        // The callee held the question as long as it was asked to: ask again.
                        missing = self.expect_success(reply).err();
                    }
                    Ok(reply) => return self.expect_success(reply).map(|_| ()),
                    Err(CallError::Connect { source, .. }) => {
                        // A socket file that nobody listens on is what a killed process leaves. A sidecar that restarts
                        // replaces it at once.
                        let left = source.kind() == io::ErrorKind::ConnectionRefused;
                        let changed = watch.changed();
                        let changed = if left {
                            let Ok(changed) = tokio::time::timeout(GONE, changed).await else {
                                return Err(CallError::Gone {
                                    service: self.service(),
                                });
                            };
                            changed
                        } else {
                            changed.await
                        };
                        changed.map_err(|source| self.unconnected(source))?;
                    }
                    Err(error @ CallError::Impostor { .. }) => return Err(error),
                    // The callee went away while it held the question.
                    Err(_) if Instant::now() < end => tokio::task::yield_now().await,
                    Err(error) => return Err(error),
                }
            }
        };
        match tokio::time::timeout_at(end, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(missing.unwrap_or(CallError::Deadline {
                service: self.service(),
                seconds: within.as_secs(),
            })),
        }
    }

    /// Connects and checks who serves: for a listener, `SO_PEERCRED` is the user that called `listen`.
    ///
    /// # Errors
    /// No connection, or another user behind the socket.
    pub async fn connect(&self) -> Result<UnixStream, CallError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| self.unconnected(source))?;
        let cred = stream
            .peer_cred()
            .map_err(|source| self.unconnected(source))?;
        if cred.uid() != self.server_uid {
            return Err(CallError::Impostor {
                service: self.service(),
                expected: self.server_uid,
                actual: cred.uid(),
            });
        }
        Ok(stream)
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn ask_ready(&self, end: Instant) -> Result<UnixReply, CallError> {
        let left = end.saturating_duration_since(Instant::now());
        // A little less than what is left, so that the callee can still say what is missing.
        let hold = (left * 9 / 10).min(READY_POLL);
        let question = format!("/ready?wait_ms={}", hold.as_millis());
        self.bounded(left, self.exchange(Method::GET, &question, None))
            .await
    }

    async fn bounded<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(deadline, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Deadline {
                service: self.service(),
                seconds: deadline.as_secs(),
            }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
    ) -> Result<UnixReply, CallError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.broken(source))?;
        let connection = tokio::spawn(connection);
        let mut request = http::Request::new(Body::from(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = path_and_query
            .parse()
            .map_err(|source: http::uri::InvalidUri| self.broken(source))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        trace::inject(headers);
        let response = sender
            .send_request(request)
            .await
            .map_err(|source| self.broken(source))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_CAP)
            .collect()
            .await
            .map_err(|source| self.broken(source))?
            .to_bytes();
        drop(sender);
        connection.abort();
        Ok(UnixReply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn parse<A: DeserializeOwned>(&self, reply: UnixReply) -> Result<A, CallError> {
        let reply = self.expect_success(reply)?;
        serde_json::from_slice(&reply.body).map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: serde_json::Error) -> CallError {
        CallError::Unreadable {
            service: self.service(),
            source,
        }
    }

    fn unconnected(&self, source: io::Error) -> CallError {
        CallError::Connect {
            service: self.service(),
            source,
        }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CallError {
        CallError::Broken {
            service: self.service(),
            source: source.into(),
        }
    }
}
