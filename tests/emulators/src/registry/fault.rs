//! Refusals in the distribution specification's form.
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

pub(super) type Reply = Result<Response<Body>, Fault>;

/// A refusal.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Fault {
    status: u16,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl Fault {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body =
            serde_json::json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

pub(super) fn no_repository() -> Fault {
    Fault::new(404, "NAME_UNKNOWN", "repository name not known to registry")
}

pub(super) fn no_manifest() -> Fault {
    Fault::new(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

pub(super) fn no_blob() -> Fault {
    Fault::new(404, "BLOB_UNKNOWN", "blob unknown to registry")
}

pub(super) fn no_upload() -> Fault {
    Fault::new(
        404,
        "BLOB_UPLOAD_UNKNOWN",
        "blob upload unknown to registry",
    )
}

pub(super) fn wrong_digest(stated: &str, actual: &str) -> Fault {
    Fault::new(
        400,
        "DIGEST_INVALID",
        format!("the content is {actual}, not {stated}"),
    )
}
