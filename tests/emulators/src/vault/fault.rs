//! Refusals in the service's shape.
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct VaultFault {
    status: StatusCode,
    code: &'static str,
    inner: Option<&'static str>,
    message: String,
    challenge: Option<String>,
}

impl VaultFault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            inner: None,
            message: message.into(),
            challenge: None,
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadParameter", message)
    }

    pub(super) fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Self {
            inner: Some(inner),
            ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
        }
    }

    pub(super) fn unauthorized(challenge: String, message: impl Into<String>) -> Self {
        let fault = Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message);
        Self {
            challenge: Some(challenge),
            ..fault
        }
    }

    /// A refusal of secure key release, `AKV.SKR.<number>`.
    pub(super) fn release(number: u16, message: &str) -> Self {
        Self::bad(format!("AKV.SKR.{number}: {message}"))
    }

    /// `kind` is `Key` or `Secret`.
    pub(super) fn missing(kind: &'static str, noun: &str, name: &str) -> Self {
        let code = if kind == "Key" {
            "KeyNotFound"
        } else {
            "SecretNotFound"
        };
        let text = format!("A {noun} with (name/id) {name} was not found in this key vault.");
        Self::new(StatusCode::NOT_FOUND, code, text)
    }

    pub(super) fn no_route(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            message,
        )
    }
}

impl IntoResponse for VaultFault {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(inner), Some(members)) = (self.inner, error.as_object_mut()) {
            members.insert("innererror".to_owned(), json!({"code": inner}));
        }
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        if let Some(Ok(value)) = self.challenge.map(|text| HeaderValue::from_str(&text)) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
