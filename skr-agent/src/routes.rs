use std::sync::Arc;

use attestation::Attester;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use sidecar_http::{Callers, Peer, Routes, WireError, services};

use crate::Agent;
use crate::wire::{
    AttestRequest, CombinedAnswer, KeyAnswer, RawAnswer, ReleaseRequest, TokenAnswer, read,
};

type Shared<A> = State<Arc<Agent<A>>>;

/// The routes of skr-agent: keys for `secrets`, evidence for `governance`, and what upstream's clients use over `--tcp`.
pub fn routes<A: Attester>(agent: Arc<Agent<A>>) -> Routes {
    let nobody = || Callers::Only(Vec::new());
    Routes::new()
        .route(
            "/key/release",
            post(release::<A>).with_state(Arc::clone(&agent)),
            Callers::Only(vec![services::SECRETS.uid]),
        )
        .route(
            "/attest/combined",
            post(combined::<A>).with_state(Arc::clone(&agent)),
            Callers::Only(vec![services::GOVERNANCE.uid]),
        )
        .route(
            "/attest/maa",
            post(maa::<A>).with_state(Arc::clone(&agent)),
            nobody(),
        )
        .route("/attest/raw", post(raw::<A>).with_state(agent), nobody())
}

async fn release<A: Attester>(
    State(agent): Shared<A>,
    peer: Peer,
    body: Bytes,
) -> Result<Response, WireError> {
    let request = read::<ReleaseRequest>(&body)?.check()?;
    let released = agent.release(request, peer.uid()).await?;
    Ok(Json(KeyAnswer { key: &released.jwk }).into_response())
}

async fn combined<A: Attester>(
    State(agent): Shared<A>,
    body: Bytes,
) -> Result<Json<CombinedAnswer>, WireError> {
    let runtime = read::<AttestRequest>(&body)?.runtime()?;
    Ok(Json(agent.evidence(&runtime).await?.into()))
}

async fn maa<A: Attester>(
    State(agent): Shared<A>,
    body: Bytes,
) -> Result<Json<TokenAnswer>, WireError> {
    let request = read::<AttestRequest>(&body)?;
    let (endpoint, runtime) = (request.maa_endpoint()?, request.runtime()?);
    let token = agent.token(&endpoint, &runtime).await?;
    Ok(Json(TokenAnswer {
        token: token.jwt().to_owned(),
    }))
}

async fn raw<A: Attester>(
    State(agent): Shared<A>,
    body: Bytes,
) -> Result<Json<RawAnswer>, WireError> {
    let runtime = read::<AttestRequest>(&body)?.runtime()?;
    let report = agent.report(&runtime).await?;
    Ok(Json(RawAnswer {
        report: report.to_hex(),
    }))
}

#[cfg(test)]
mod tests;
