use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use sidecar_http::{Callers, Peer, Routes, services};

use crate::failure::Failure;
use crate::{Agent, Asked, CvmError};

/// A request has less than 1 KiB.
const BODY_CAP: usize = 16 << 10;

/// The route of the agent: evidence for `governance`, and over `--tcp` for whoever reaches the address.
pub fn routes(agent: Arc<Agent>) -> Routes {
    let method = post(attest)
        .fallback(async |peer: Peer| Failure::new(&CvmError::Method, peer).into_response())
        .with_state(agent);
    let callers = Callers::Only(vec![services::GOVERNANCE.uid]);
    Routes::new()
        .route("/snp/attest", method, callers)
        .body_limit(BODY_CAP)
}

async fn attest(
    State(agent): State<Arc<Agent>>,
    peer: Peer,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let outcome = async {
        let body = body.map_err(|rejection| CvmError::Body {
            reason: rejection.body_text(),
        })?;
        agent.attest(&Asked::read(&body)?).await
    };
    match outcome.await {
        Ok(attestation) => Json(attestation).into_response(),
        Err(error) => Failure::new(&error, peer).into_response(),
    }
}
