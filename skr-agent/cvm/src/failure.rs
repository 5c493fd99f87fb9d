use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sidecar_http::{Peer, WireError};

use crate::CvmError;

/// What a caller is told to wait, in seconds.
const WAIT: HeaderValue = HeaderValue::from_static("5");

/// An error as its caller gets it: `{"error":{"code","message"},"code","retryable"}`. Inside `error`, a sidecar of the
/// group gets our code, and a client over `--tcp` the word that the agent of `Azure/azure-cleanroom` uses.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    status: StatusCode,
    error: Inner,
    code: String,
    retryable: bool,
}

#[derive(Debug, Serialize)]
struct Inner {
    code: String,
    message: String,
}

impl Failure {
    /// The answer for `peer`. Logs the error, as every answer with one does.
    pub(crate) fn new(error: &CvmError, peer: Peer) -> Self {
        let WireError {
            status,
            code,
            message,
        } = WireError::of(error);
        let inner = match peer {
            Peer::Tcp(_) => error.upstream_code().to_owned(),
            Peer::Unix { .. } => code.clone(),
        };
        Self {
            status,
            error: Inner {
                code: inner,
                message,
            },
            code,
            retryable: error.retryable(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, retryable) = (self.status, self.retryable);
        let mut response = (status, Json(self)).into_response();
        if retryable {
            response.headers_mut().insert(RETRY_AFTER, WAIT);
        }
        response
    }
}
