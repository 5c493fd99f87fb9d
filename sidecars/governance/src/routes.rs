use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use governance_client::Scope;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sidecar_http::services::{CODE_LAUNCHER, IDENTITY};
use sidecar_http::{Callers, Routes, WireError};

use crate::{GovError, Governance};

const EVENT_MAX: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    id: Option<String>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TokenQuery {
    sub: String,
    tenant_id: String,
    aud: String,
}

#[derive(Serialize)]
struct Token<'a> {
    value: &'a str,
}

/// The sidecar's routes. Consent and events belong to the launcher, tokens to `identity`. Parameters that are unknown or
/// given twice are refused: CGS would take the last of two, after the check of the first.
pub fn routes(governance: Arc<Governance>) -> Routes {
    let launcher = || Callers::Only(vec![CODE_LAUNCHER.uid]);
    let mut routes = Routes::new().body_limit(EVENT_MAX);
    for scope in Scope::ALL {
        let governance = Arc::clone(&governance);
        let check = post(async move || consent(&governance, scope).await);
        routes = routes.route(&format!("/consentcheck/{scope}"), check, launcher());
    }
    let events = Arc::clone(&governance);
    routes
        .route(
            "/events",
            put(
                async move |query: Result<Query<EventQuery>, QueryRejection>,
                            data: Result<Json<Value>, JsonRejection>| {
                    event(&events, query, data).await
                },
            ),
            launcher(),
        )
        .route(
            "/oauth/token",
            post(
                async move |query: Result<Query<TokenQuery>, QueryRejection>| {
                    token(&governance, query).await
                },
            ),
            Callers::Only(vec![IDENTITY.uid]),
        )
}

async fn consent(governance: &Governance, scope: Scope) -> Result<Response, WireError> {
    let answer = governance.consent(scope).await?;
    Ok(with_headers(
        answer.headers,
        ([(header::CONTENT_TYPE, "application/json")], answer.body),
    ))
}

async fn event(
    governance: &Governance,
    query: Result<Query<EventQuery>, QueryRejection>,
    data: Result<Json<Value>, JsonRejection>,
) -> Result<Response, WireError> {
    let Query(query) = query.map_err(|error| unusable(error.body_text()))?;
    let Json(data) = data.map_err(|error| unusable(error.body_text()))?;
    let answer = governance
        .put_event(query.id.as_deref(), &query.scope, data)
        .await?;
    Ok(with_headers(answer.headers, ()))
}

async fn token(
    governance: &Governance,
    query: Result<Query<TokenQuery>, QueryRejection>,
) -> Result<Response, WireError> {
    let Query(query) = query.map_err(|error| unusable(error.body_text()))?;
    let (token, headers) = governance
        .token(&query.sub, &query.tenant_id, &query.aud)
        .await?;
    Ok(with_headers(headers, Json(Token { value: &token })))
}

fn with_headers(headers: HeaderMap, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().extend(headers);
    response
}

const fn unusable(reason: String) -> GovError {
    GovError::Request { reason }
}
