use std::time::Duration;

use attestation::{AttestError, Check};
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyvault::KeyVaultError;
use serde::Serialize;
use sidecar_http::{Coded, Fault, HttpsError, Peer, WireError};

use crate::SkrError;

/// What a caller is told to wait, in seconds, where the service that failed did not say. The agent itself has already
/// tried for a minute.
const WAIT: Duration = Duration::from_secs(5);

/// An error as its caller gets it: for a sidecar of the group `{"error":{"code","message"},…}`, over `--tcp` as upstream's
/// clients read it, `{"error":"<text>",…}`; both with the same members beside.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    #[serde(skip)]
    status: StatusCode,
    error: Text,
    code: String,
    upstream_status: Option<u16>,
    retryable: bool,
    /// Where the group's own evidence does not verify: what failed, as `cleanroom attest verify` shows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
    #[serde(skip)]
    wait: Duration,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Coded { code: String, message: String },
}

impl Failure {
    /// The answer for `peer`. Logs the error, as every answer with one does.
    pub(crate) fn new(error: &SkrError, peer: Peer) -> Self {
        let WireError {
            status,
            code,
            message,
        } = WireError::of(error);
        let text = match peer {
            Peer::Tcp(_) => Text::Plain(message),
            Peer::Unix { .. } => Text::Coded {
                code: code.clone(),
                message,
            },
        };
        Self {
            status,
            error: text,
            code,
            upstream_status: upstream_status(error).map(|status| status.as_u16()),
            retryable: retryable(error),
            checks: failed_checks(error),
            wait: asked_wait(error).unwrap_or(WAIT),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, retryable, wait) = (self.status, self.retryable, self.wait);
        let mut response = (status, Json(self)).into_response();
        if retryable {
            let wait = HeaderValue::from(wait.as_secs());
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }
}

/// Whether the same request may succeed later.
pub(crate) fn retryable(error: &SkrError) -> bool {
    error.fault() == Fault::Upstream { retry: true }
}

/// The status that MAA or the vault answered with, where one of them refused.
pub(crate) fn upstream_status(error: &SkrError) -> Option<StatusCode> {
    match error {
        SkrError::Attest(error) => match error.cause() {
            AttestError::MaaRefused { status, .. } => Some(*status),
            _ => None,
        },
        SkrError::KeyVault(error) => match error {
            KeyVaultError::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            KeyVaultError::Forbidden { .. } => Some(StatusCode::FORBIDDEN),
            KeyVaultError::NotFound { .. } => Some(StatusCode::NOT_FOUND),
            KeyVaultError::Unavailable { status, .. } | KeyVaultError::Rejected { status, .. } => {
                Some(*status)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The checks of the verifier that the group's own evidence fails.
fn failed_checks(error: &SkrError) -> Vec<Check> {
    match error {
        SkrError::Attest(error) => match error.cause() {
            AttestError::Unverified { failed } => failed.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether a service gave no answer in time.
pub(crate) fn timed_out(error: &SkrError) -> bool {
    let deadline = |error: &HttpsError| matches!(error, HttpsError::Deadline { .. });
    match error {
        SkrError::Attest(error) => match error.cause() {
            AttestError::Https(error) => deadline(error),
            _ => false,
        },
        SkrError::KeyVault(KeyVaultError::Https(error)) => deadline(error),
        _ => false,
    }
}

/// How long the service that failed asks to be left alone.
fn asked_wait(error: &SkrError) -> Option<Duration> {
    match error {
        SkrError::Attest(error) => match error.cause() {
            AttestError::MaaRefused { retry_after, .. } => *retry_after,
            _ => None,
        },
        SkrError::KeyVault(KeyVaultError::Unavailable { retry_after, .. }) => *retry_after,
        _ => None,
    }
}
