//! Microsoft Azure Attestation for SEV-SNP evidence under the test root.

mod evidence;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
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

/// One attestation provider; clones share its keys.
#[derive(Clone, Debug)]
pub struct Maa {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    state: RwLock<Provider>,
}

struct Provider {
    /// The last one signs, all are published.
    signers: Vec<Signer>,
    mischief: Option<Mischief>,
}

/// Changes header and claims of a token before it is signed: the provider a client must not believe.
pub type Mischief = Arc<dyn Fn(&mut Value, &mut Value) + Send + Sync>;

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maa")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
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
        let state = RwLock::new(Provider {
            signers: vec![Signer::generate(&issuer)?],
            mischief: None,
        });
        Ok(Self {
            inner: Arc::new(Inner { issuer, state }),
        })
    }

    /// The issuer of its tokens.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// The published keys: `{"keys":[{"kid","kty","use","x5c"}]}`.
    pub fn jwks(&self) -> Value {
        let keys: Vec<_> = self.read(|state| state.signers.iter().map(Signer::jwk).collect());
        json!({"keys": keys})
    }

    /// The certificates behind [`Maa::jwks`] as (kid, DER).
    pub fn signing_certificates(&self) -> Vec<(String, Vec<u8>)> {
        self.read(|state| state.signers.iter().map(Signer::certificate).collect())
    }

    /// Signs any claims with the provider's key: for tests of those who check tokens.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.signer(|signer| signer.sign(&signer.header(self.issuer()), claims))
    }

    /// From now on signs with a new key, published beside the old one.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let signer = Signer::generate(self.issuer())?;
        self.write(|state| state.signers.push(signer));
        Ok(())
    }

    /// From now on header and claims of every token are changed so before it is signed; `None` ends it.
    pub fn misbehave(&self, mischief: Option<Mischief>) {
        self.write(|state| state.mischief = mischief);
    }

    fn signer<T>(&self, f: impl FnOnce(&Signer) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.read(|state| f(state.signers.last().context("a provider without a key")?))
    }

    fn read<T>(&self, f: impl FnOnce(&Provider) -> T) -> T {
        f(&self
            .inner
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut Provider) -> T) -> T {
        f(&mut self
            .inner
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner))
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
        let mut claims = token::claims(self.issuer(), &judged).map_err(internal)?;
        let mischief = self.read(|state| state.mischief.clone());
        self.signer(|signer| {
            let mut header = signer.header(self.issuer());
            if let Some(mischief) = mischief {
                mischief(&mut header, &mut claims);
            }
            signer.sign(&header, &claims)
        })
        .map_err(internal)
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
