use std::sync::Arc;

use attestation::Attester;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde::Serialize;
use sidecar_http::{Callers, Peer, Routes, services};

use crate::error::SharedError;
use crate::failure::Failure;
use crate::wire::{
    AttestRequest, CombinedAnswer, KeyAnswer, RawAnswer, ReleaseRequest, TokenAnswer, read,
};
use crate::{Agent, SkrError, keyprovider};

type Shared<A> = State<Arc<Agent<A>>>;
type Body = Result<Bytes, BytesRejection>;

/// The routes of skr-agent, HTTP and gRPC: keys for `secrets`, evidence for `governance`, and what upstream's clients use
/// over `--tcp`.
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
        .route(
            "/attest/raw",
            post(raw::<A>).with_state(Arc::clone(&agent)),
            nobody(),
        )
        .and(keyprovider::routes(agent))
}

async fn release<A: Attester>(State(agent): Shared<A>, peer: Peer, body: Body) -> Response {
    let outcome = async {
        let release = read::<ReleaseRequest>(&whole(body)?)?.check()?;
        agent.release(release, peer.uid()).await
    };
    match outcome.await {
        Ok(released) => {
            // Upstream's answer has the key alone; our own sidecars compare which key it is.
            let kid = peer.uid().map(|_| released.kid.as_str());
            let key = &released.jwk;
            Json(KeyAnswer { key, kid }).into_response()
        }
        Err(error) => Failure::new(&error, peer).into_response(),
    }
}

async fn combined<A: Attester>(State(agent): Shared<A>, peer: Peer, body: Body) -> Response {
    answer(peer, async {
        let runtime = read::<AttestRequest>(&whole(body)?)?.runtime()?;
        let evidence = agent.evidence(&runtime).await.map_err(SkrError::from)?;
        Ok(CombinedAnswer::of(&evidence))
    })
    .await
}

async fn maa<A: Attester>(State(agent): Shared<A>, peer: Peer, body: Body) -> Response {
    answer(peer, async {
        let request = read::<AttestRequest>(&whole(body)?)?;
        let (endpoint, runtime) = (request.maa_endpoint()?, request.runtime()?);
        let token = agent.token(&endpoint, &runtime).await?;
        Ok(TokenAnswer {
            token: token.jwt().to_owned(),
        })
    })
    .await
}

async fn raw<A: Attester>(State(agent): Shared<A>, peer: Peer, body: Body) -> Response {
    answer(peer, async {
        let runtime = read::<AttestRequest>(&whole(body)?)?.runtime()?;
        let report = agent.report(&runtime).await?;
        Ok(RawAnswer {
            report: report.to_hex(),
        })
    })
    .await
}

async fn answer<T: Serialize>(
    peer: Peer,
    outcome: impl Future<Output = Result<T, SharedError>>,
) -> Response {
    match outcome.await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => Failure::new(&error, peer).into_response(),
    }
}

fn whole(body: Body) -> Result<Bytes, SkrError> {
    body.map_err(|rejection| SkrError::Unread {
        reason: rejection.body_text(),
    })
}

#[cfg(test)]
mod tests;
