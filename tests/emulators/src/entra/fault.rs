//! Refusals as the service words them: OAuth's `error`, and a number behind `AADSTS`.
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct EntraFault {
    status: StatusCode,
    error: &'static str,
    number: u32,
    text: String,
}

impl EntraFault {
    pub(super) fn new(
        status: StatusCode,
        error: &'static str,
        number: u32,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error,
            number,
            text: text.into(),
        }
    }

    pub(super) fn request(number: u32, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", number, text)
    }

    /// The client did not prove who it is.
    pub(super) fn proof(number: u32, text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", number, text)
    }

    pub(super) fn tenant(tenant: &str) -> Self {
        Self::request(90002, format!("Tenant '{tenant}' not found."))
    }

    pub(super) fn client(client_id: &str, tenant: &str) -> Self {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'."
        );
        Self::new(
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
            700_016,
            text,
        )
    }
}

impl IntoResponse for EntraFault {
    fn into_response(self) -> Response {
        let (trace, correlation) = (Uuid::new_v4(), Uuid::new_v4());
        let timestamp = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}",
                self.number, self.text
            ),
            "error_codes": [self.number],
            "timestamp": timestamp,
            "trace_id": trace.to_string(),
            "correlation_id": correlation.to_string(),
        });
        (self.status, Json(body)).into_response()
    }
}
