//! Microsoft Azure Attestation for SEV-SNP evidence under the test root.

mod evidence;
mod token;

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use evidence::{Judged, Question};
use token::Signer;

/// One attestation provider; clones share its key.
#[derive(Clone, Debug)]
pub struct Maa {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    issuer: String,
    signer: Signer,
}

/// Why evidence gets no token.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self {
            code: "InvalidParameter",
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::info!(message = self.message, "evidence refused");
        let body = json!({"error": {"code": self.code, "message": self.message}});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

const API_VERSIONS: [&str; 3] = ["2020-10-01", "2022-08-01", "2025-06-01"];

impl Maa {
    /// A provider whose tokens say `iss` = `issuer`, an `https://` origin; it makes its signing key now.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn new(issuer: String) -> anyhow::Result<Self> {
        let issuer = issuer.trim_end_matches('/').to_owned();
        let signer = Signer::generate(&issuer)?;
        Ok(Self {
            inner: Arc::new(Inner { issuer, signer }),
        })
    }

    /// The issuer of its tokens.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// The published keys: `{"keys":[{"kid","kty","use","x5c"}]}`.
    pub fn jwks(&self) -> Value {
        self.inner.signer.jwks()
    }

    /// The certificates behind [`Maa::jwks`] as (kid, DER).
    pub fn signing_certificates(&self) -> Vec<(String, Vec<u8>)> {
        vec![self.inner.signer.certificate()]
    }

    /// Signs any claims with the provider's key: for tests of those who check tokens.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.inner.signer.sign(&self.inner.issuer, claims)
    }

    /// The service's routes.
    pub fn router(&self) -> Router {
        Router::new()
            // Both spellings are in use by clients.
            .route("/attest/SevSnpVm", post(attest))
            .route("/attest/SevSnpVM", post(attest))
            .route("/certs", get(certs))
            .route("/.well-known/openid-configuration", get(discovery))
            .with_state(self.clone())
    }

    fn token(&self, question: &Question) -> Result<String, Refusal> {
        let judged = Judged::of(question)?;
        let claims = token::claims(&self.inner.issuer, &judged).map_err(internal)?;
        self.sign(&claims).map_err(internal)
    }
}

fn internal(error: anyhow::Error) -> Refusal {
    Refusal {
        code: "InternalServerError",
        message: error.to_string(),
    }
}

async fn attest(
    State(maa): State<Maa>,
    Query(version): Query<Version>,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    match version.api_version.as_deref() {
        Some(known) if API_VERSIONS.contains(&known) => {}
        other => {
            return Err(Refusal {
                code: "UnsupportedApiVersion",
                message: format!("api-version {other:?}"),
            });
        }
    }
    let Json(question) = question.map_err(|error| Refusal::new(error.body_text()))?;
    Ok(Json(json!({"token": maa.token(&question)?})))
}

async fn certs(State(maa): State<Maa>) -> Json<Value> {
    Json(maa.jwks())
}

async fn discovery(State(maa): State<Maa>) -> Json<Value> {
    let issuer = maa.issuer();
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/certs"),
        "response_types_supported": ["token", "none"],
        "id_token_signing_alg_values_supported": ["RS256", "none"],
    }))
}

#[cfg(test)]
mod tests;
