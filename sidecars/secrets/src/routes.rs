use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use cleanroom_crypto::{Dek, Zeroizing};
use http::header::{CONTENT_TYPE, HeaderValue};
use sidecar_http::{Callers, Peer, Routes, WireError};

use crate::{SecretsError, UnwrapRequest, Unwrapper};

const BODY_LIMIT: usize = 64 << 10;

/// The one route of the secrets sidecar, for the shims.
pub fn routes(unwrapper: Arc<Unwrapper>) -> Routes {
    Routes::new()
        .route(
            "/secrets/unwrap",
            post(unwrap).with_state(unwrapper),
            Callers::Shims,
        )
        .body_limit(BODY_LIMIT)
}

async fn unwrap(
    State(unwrapper): State<Arc<Unwrapper>>,
    peer: Peer,
    body: Bytes,
) -> Result<Response, WireError> {
    let request: UnwrapRequest = serde_json::from_slice(&body).map_err(SecretsError::Body)?;
    let dek = unwrapper.unwrap(peer, &request).await?;
    Ok(answer(&dek))
}

/// `{"value":"<base64>"}`, in memory that is wiped when it is sent.
fn answer(dek: &Dek) -> Response {
    let value = Zeroizing::new(BASE64_STANDARD.encode(dek.expose()));
    let mut body = Zeroizing::new(Vec::with_capacity(value.len() + 16));
    for part in ["{\"value\":\"", &value, "\"}"] {
        body.extend_from_slice(part.as_bytes());
    }
    let mut response = Response::new(Body::from(Bytes::from_owner(body)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
