//! Trace context across the hops of a group (W3C `traceparent`).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Peer;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(key.as_bytes()),
            http::HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}

/// Runs a handler inside a span whose parent is the caller's.
pub(crate) async fn serve(request: Request, next: Next) -> Response {
    let span = tracing::info_span!(
        "serve",
        otel.name = format!("{} {}", request.method(), request.uri().path()),
        otel.kind = "server",
        peer.uid = request
            .extensions()
            .get::<Peer>()
            .and_then(|peer| peer.uid()),
        http.response.status_code = tracing::field::Empty,
    );
    let parent = global::get_text_map_propagator(|p| p.extract(&Headers(request.headers())));
    // Without an OpenTelemetry layer (tests) there is nothing to attach to.
    let _ = span.set_parent(parent);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// Puts the current span into the headers of an outgoing call.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let mut context = tracing::Span::current().context();
    if !context.span().span_context().is_valid() {
        // Outside every span of its own, a process still acts within its boot trace.
        context = Context::current();
    }
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut HeadersMut(headers)));
}
