//! Refusals in the service's own form: status, code header, XML body.
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

/// What an operation answers.
pub(super) type Reply = Result<Response<Body>, BlobFault>;

/// A refusal.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct BlobFault {
    status: u16,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl BlobFault {
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

    /// As the endpoint for hierarchical names writes it.
    pub(super) fn into_json(self, head: bool) -> Response<Body> {
        let body = serde_json::json!({"error": {"code": self.code, "message": self.message}});
        let is_bare = head || self.status == 304;
        let mut response = self.into_response(true);
        if !is_bare {
            *response.body_mut() = Body::from(body.to_string());
        }
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json;charset=utf-8"),
        );
        response
    }

    /// A HEAD has no body: the code is in the header alone.
    pub(super) fn into_response(self, head: bool) -> Response<Body> {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
            self.code,
            quick_xml::escape::escape(&self.message)
        );
        let mut response = Response::new(if head || self.status == 304 {
            Body::empty()
        } else {
            Body::from(body)
        });
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert("x-ms-error-code", HeaderValue::from_static(self.code));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/xml"),
        );
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

pub(super) fn no_container() -> BlobFault {
    BlobFault::new(
        404,
        "ContainerNotFound",
        "The specified container does not exist.",
    )
}

pub(super) fn no_blob() -> BlobFault {
    BlobFault::new(404, "BlobNotFound", "The specified blob does not exist.")
}

/// The same refusal under another code, where the two endpoints differ.
pub(super) fn renamed(codes: &[(&str, u16, &'static str)]) -> impl Fn(BlobFault) -> BlobFault {
    move |mut fault| {
        let found = codes.iter().find(|(code, ..)| *code == fault.code);
        if let Some((_, status, code)) = found {
            (fault.status, fault.code) = (*status, code);
        }
        fault
    }
}

pub(super) fn bad_header(name: &str) -> BlobFault {
    BlobFault::new(
        400,
        "InvalidHeaderValue",
        format!("The value of header {name} is not in the correct format."),
    )
}

pub(super) fn bad_query(name: &str) -> BlobFault {
    BlobFault::new(
        400,
        "InvalidQueryParameterValue",
        format!("The value of query parameter {name} is invalid."),
    )
}

pub(super) fn not_implemented(what: &str) -> BlobFault {
    BlobFault::new(
        501,
        "NotImplemented",
        format!("This emulator does not do {what}."),
    )
}
