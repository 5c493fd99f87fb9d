//! Answers and refusals in CCF's shapes.
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) type Answer = Result<Reply, Refusal>;

/// An answer.
pub(super) struct Reply {
    status: StatusCode,
    content: Option<&'static str>,
    body: Vec<u8>,
    retry_after: Option<&'static str>,
}

impl Reply {
    const fn bare(status: StatusCode) -> Self {
        Self {
            status,
            content: None,
            body: Vec::new(),
            retry_after: None,
        }
    }

    /// 200 without a body, as a handler that returns nothing.
    pub(super) const fn empty() -> Self {
        Self::bare(StatusCode::OK)
    }

    /// 204.
    pub(super) const fn no_content() -> Self {
        Self::bare(StatusCode::NO_CONTENT)
    }

    /// 202: the range is being loaded.
    pub(super) const fn loading() -> Self {
        let mut reply = Self::bare(StatusCode::ACCEPTED);
        reply.retry_after = Some("1");
        reply
    }

    /// 200 with JSON, members in the order of the type.
    pub(super) fn json<T: Serialize>(value: &T) -> Answer {
        let body = serde_json::to_vec(value).map_err(|e| Refusal::exception(e.to_string()))?;
        Ok(Self {
            content: Some("application/json"),
            body,
            ..Self::empty()
        })
    }

    /// 200 with a script.
    pub(super) fn script(text: &str) -> Self {
        Self {
            content: Some("text/javascript"),
            body: text.as_bytes().to_vec(),
            ..Self::empty()
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in [
            (header::CONTENT_TYPE, self.content),
            (header::RETRY_AFTER, self.retry_after),
        ] {
            if let Some(value) = value {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}

/// A refusal: `{"error":{"code","message","details"?}}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
    headers: Vec<(header::HeaderName, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// 400.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 403.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404.
    pub(super) fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 405, which the application says of things in the wrong state.
    pub(super) fn not_allowed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, code, message)
    }

    /// 500: what the application would have thrown.
    pub(super) fn exception(message: impl Into<String>) -> Self {
        let mut refusal = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "Exception thrown while executing.",
        );
        refusal
            .details
            .push(json!({"code": "JSException", "message": message.into(), "trace": ""}));
        refusal
    }

    /// 401: no policy of the endpoint accepted the caller.
    pub(super) fn unauthenticated(policy: &'static str, message: impl Into<String>) -> Self {
        let code = "InvalidAuthenticationInfo";
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, code, "Invalid info");
        refusal
            .details
            .push(json!({"auth_policy": policy, "code": code, "message": message.into()}));
        if policy == COSE_POLICY {
            let realm = "COSE-SIGN1 realm=\"Signed request access\"".to_owned();
            refusal.headers.push((header::WWW_AUTHENTICATE, realm));
        }
        refusal
    }

    /// 405 for a path that has other verbs.
    pub(super) fn verb(allowed: &[&'static str]) -> Self {
        let mut refusal = Self::not_allowed(
            "UnsupportedHttpVerb",
            format!("Allowed methods: {}.", allowed.join(", ")),
        );
        refusal.headers.push((header::ALLOW, allowed.join(", ")));
        refusal
    }
}

/// Name of the policy that reads signed messages.
pub(super) const COSE_POLICY: &str = "member_cose_sign1";
/// Name of the policy that reads client certificates.
pub(super) const CERT_POLICY: &str = "member_cert";

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::info!(code = self.code, message = self.message, details = ?self.details, "refused");
        let mut error = json!({"code": self.code, "message": self.message});
        if let (false, Some(error)) = (self.details.is_empty(), error.as_object_mut()) {
            error.insert("details".to_owned(), Value::Array(self.details));
        }
        let mut response = (self.status, axum::Json(json!({"error": error}))).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
