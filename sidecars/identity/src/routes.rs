use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::routing::get;
use keyvault::VaultKind;
use serde::{Deserialize, Serialize};
use sidecar_http::{Callers, Peer, Routes, WireError, services};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{AccessToken, IdentityError, Tokens};

type Shared = State<Arc<Tokens>>;

/// The routes of the identity sidecar, for `secrets`, the shims and the launcher; for `skr-agent` one of them, and tokens
/// for vaults alone: it releases keys for callers that bring none.
pub fn routes(tokens: Arc<Tokens>) -> Routes {
    let callers = |and: &[u32]| {
        let shims = (0..).map_while(services::shim_uid);
        let fixed = [services::SECRETS.uid, services::CODE_LAUNCHER.uid];
        let all = fixed.into_iter().chain(and.iter().copied()).chain(shims);
        Callers::Only(all.collect())
    };
    Routes::new()
        .route(
            "/metadata/identity/oauth2/token",
            get(by_scope).with_state(Arc::clone(&tokens)),
            callers(&[services::SKR_AGENT.uid]),
        )
        .route(
            "/metadata/identity/{tenant}/{client}/oauth2/token",
            get(by_resource).post(by_form).with_state(tokens),
            callers(&[]),
        )
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeQuery {
    scope: String,
    tenant_id: String,
    client_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer<'a> {
    token: &'a str,
    /// ISO 8601.
    expires_on: String,
    refresh_on: Option<&'a str>,
    token_type: &'a str,
}

async fn by_scope(
    State(tokens): Shared,
    peer: Peer,
    query: Result<Query<ScopeQuery>, QueryRejection>,
) -> Result<Json<serde_json::Value>, WireError> {
    let Query(query) = query.map_err(|_| unreadable("query"))?;
    admit(peer, &query.scope)?;
    let token = tokens
        .get(&query.tenant_id, &query.client_id, &query.scope)
        .await?;
    let expires_on = token.expires_on().replace_nanosecond(0);
    let expires_on = expires_on
        .unwrap_or_else(|_| token.expires_on())
        .format(&Rfc3339);
    let answer = TokenAnswer {
        token: token.expose(),
        expires_on: expires_on.unwrap_or_default(),
        refresh_on: None,
        token_type: "Bearer",
    };
    Ok(Json(
        serde_json::to_value(answer).map_err(|_| unreadable("answer"))?,
    ))
}

/// Whether the caller may have a token for the scope: skr-agent sends tokens to vaults and nowhere else.
fn admit(peer: Peer, scope: &str) -> Result<(), IdentityError> {
    let vaults = [VaultKind::KeyVault, VaultKind::ManagedHsm].map(VaultKind::scope);
    match peer.uid() {
        Some(uid) if uid == services::SKR_AGENT.uid && !vaults.contains(&scope) => {
            Err(IdentityError::NotForCaller {
                uid,
                scope: scope.chars().take(64).collect(),
            })
        }
        _ => Ok(()),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    resource: String,
}

/// The shape of an instance metadata service; times are numbers of seconds.
#[derive(Serialize)]
struct MsiAnswer {
    access_token: String,
    refresh_token: &'static str,
    expires_in: u64,
    expires_on: i64,
    token_type: &'static str,
    resource: String,
}

async fn by_resource(
    state: Shared,
    path: Path<(String, String)>,
    query: Result<Query<Resource>, QueryRejection>,
) -> Result<Json<MsiAnswer>, WireError> {
    let Query(query) = query.map_err(|_| unreadable("query"))?;
    msi(&state, path, query).await
}

async fn by_form(
    state: Shared,
    path: Path<(String, String)>,
    form: Result<Form<Resource>, FormRejection>,
) -> Result<Json<MsiAnswer>, WireError> {
    let Form(form) = form.map_err(|_| unreadable("form"))?;
    msi(&state, path, form).await
}

async fn msi(
    tokens: &Tokens,
    Path((tenant, client)): Path<(String, String)>,
    Resource { resource }: Resource,
) -> Result<Json<MsiAnswer>, WireError> {
    if resource.is_empty() {
        let reason = "is missing or empty";
        return Err(IdentityError::Request {
            name: "resource",
            reason,
        }
        .into());
    }
    let token = tokens
        .get(&tenant, &client, &format!("{resource}/.default"))
        .await?;
    Ok(Json(MsiAnswer::of(&token, resource)))
}

impl MsiAnswer {
    fn of(token: &AccessToken, resource: String) -> Self {
        Self {
            access_token: token.expose().to_owned(),
            refresh_token: "",
            expires_in: token.expires_in(),
            expires_on: OffsetDateTime::unix_timestamp(token.expires_on()),
            token_type: "Bearer",
            resource,
        }
    }
}

fn unreadable(name: &'static str) -> WireError {
    IdentityError::Request {
        name,
        reason: "is not readable",
    }
    .into()
}
