use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::Coded;

/// The error body on the wire: `{"error":{"code","message"}}`.
#[derive(Clone, Debug)]
pub struct WireError {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// Stable code.
    pub code: String,
    /// What happened and who must act; never a secret.
    pub message: String,
}

impl WireError {
    /// An error with an explicit status.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// The answer that reports `error`, which is logged here: the one place where a refused request is.
    pub fn of(error: &impl Coded) -> Self {
        let wire = Self::new(error.status(), error.code(), chain(error));
        if wire.status.is_server_error() {
            tracing::warn!(code = wire.code, error = wire.message, "request failed");
        } else {
            tracing::info!(code = wire.code, error = wire.message, "request refused");
        }
        wire
    }
}

impl<E: Coded> From<E> for WireError {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) error: Inner,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Inner {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl IntoResponse for WireError {
    fn into_response(self) -> Response {
        let body = Body {
            error: Inner {
                code: self.code,
                message: self.message,
            },
        };
        (self.status, Json(body)).into_response()
    }
}

/// An error and its sources as one line, joined with `": "`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
