//! Entra ID: access tokens for principals with a secret or a federated assertion, and the part of the resource manager
//! that registers federated credentials.
//!
//! An assertion is verified as the service does it: the registered issuer, subject and audience, the issuer's discovery
//! document and keys as published, the signature, the lifetime. Not here: users, consent, conditional access.
mod arm;
mod assertion;
mod fault;
pub mod jwt;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use self::fault::EntraFault;
use self::jwt::{Jwt, SigningKey};

/// Reads a published document; the error says why there is none.
pub type Fetcher = Arc<dyn Fn(Url) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Access tokens live so long, in seconds.
const LIFETIME: i64 = 3600;
/// The audiences that exist in this world.
const RESOURCES: [&str; 5] = [
    "https://vault.azure.net",
    "https://managedhsm.azure.net",
    "https://storage.azure.com",
    "https://management.azure.com",
    "https://containerregistry.azure.net",
];

/// The service; clones share one state.
#[derive(Clone)]
pub struct Entra(Arc<Inner>);

struct Inner {
    base: String,
    fetch: Fetcher,
    key: SigningKey,
    tenants: Mutex<BTreeMap<String, Tenant>>,
}

#[derive(Debug, Default)]
struct Tenant {
    clients: BTreeMap<String, Client>,
}

#[derive(Clone, Debug, Default)]
struct Client {
    /// Resource name of a managed identity.
    identity: Option<String>,
    secret: Option<String>,
    federated: BTreeMap<String, FederatedCredential>,
}

/// Whose assertions a client accepts in place of a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FederatedCredential {
    /// `iss`, exactly.
    pub issuer: String,
    /// `sub`, exactly.
    pub subject: String,
    /// `aud`, one of these; the service takes exactly one.
    pub audiences: Vec<String>,
}

/// Who a verified token speaks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principal {
    /// `tid`.
    pub tenant_id: String,
    /// `appid`.
    pub client_id: String,
    /// `oid`.
    pub object_id: String,
}

impl std::fmt::Debug for Entra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entra")
            .field("base", &self.0.base)
            .finish_non_exhaustive()
    }
}

impl Entra {
    /// A service at `base_url` (`https://<host>[:<port>]`) that reads issuers' documents by `fetch`.
    ///
    /// # Errors
    /// No signing key could be made.
    pub fn new(base_url: &str, fetch: Fetcher) -> anyhow::Result<Self> {
        let key = SigningKey::generate().context("the signing key of Entra ID")?;
        let base = base_url.trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner {
            base,
            fetch,
            key,
            tenants: Mutex::default(),
        })))
    }

    /// `https://<host>[:<port>]`, without a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.0.base
    }

    /// Adds a tenant; one that exists stays as it is.
    pub fn add_tenant(&self, tenant: &str) {
        self.tenants(|tenants| {
            tenants.entry(tenant.to_owned()).or_default();
        });
    }

    /// Adds an application with a client secret.
    pub fn add_service_principal(&self, tenant: &str, client_id: &str, secret: &str) {
        self.client(tenant, client_id, |client| {
            client.secret = Some(secret.to_owned())
        });
    }

    /// Adds a user-assigned managed identity with the resource name `name`.
    pub fn add_managed_identity(&self, tenant: &str, client_id: &str, name: &str) {
        self.client(tenant, client_id, |client| {
            client.identity = Some(name.to_owned())
        });
    }

    /// Registers whose assertions a client accepts, under a name; one of the same name is replaced.
    pub fn add_federated_credential(
        &self,
        tenant: &str,
        client_id: &str,
        name: &str,
        credential: FederatedCredential,
    ) {
        self.client(tenant, client_id, |client| {
            client.federated.insert(name.to_owned(), credential);
        });
    }

    /// The object id of a client: stable, and not its client id.
    #[must_use]
    pub fn object_id(tenant: &str, client_id: &str) -> String {
        Uuid::new_v3(
            &Uuid::NAMESPACE_URL,
            format!("{tenant}/{client_id}").as_bytes(),
        )
        .to_string()
    }

    /// Judges an access token for `audience`: its signature, issuer, audience and lifetime.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, token: &str, audience: &str) -> Result<Principal, String> {
        let jwt = Jwt::parse(token)?;
        if jwt.header("alg") != Some("RS256") || !self.0.key.public().verifies(&jwt) {
            return Err("the token is not signed by this authority".to_owned());
        }
        let text = |name: &str| {
            jwt.claim(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        if text("aud").trim_end_matches('/') != audience.trim_end_matches('/') {
            return Err(format!(
                "the token is for {}, not for {audience}",
                text("aud")
            ));
        }
        let now = OffsetDateTime::now_utc().unix_timestamp();
        if jwt.date("exp").is_none_or(|exp| exp <= now) {
            return Err("the token has expired".to_owned());
        }
        Ok(Principal {
            tenant_id: text("tid"),
            client_id: text("appid"),
            object_id: text("oid"),
        })
    }

    /// Issues an access token without asking for a credential; `lifetime` in seconds, negative for an expired one.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn issue(
        &self,
        tenant: &str,
        client_id: &str,
        audience: &str,
        lifetime: i64,
    ) -> anyhow::Result<String> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let oid = Self::object_id(tenant, client_id);
        self.0.key.sign(
            "RS256",
            &json!({
                "aud": audience, "iss": self.issuer(tenant), "iat": now.min(now + lifetime), "nbf": now.min(now + lifetime),
                "exp": now + lifetime, "appid": client_id, "appidacr": "2", "idtyp": "app", "oid": oid, "sub": oid,
                "tid": tenant, "uti": Uuid::new_v4().simple().to_string(), "ver": "1.0",
            }),
        )
    }

    /// The token service's routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{tenant}/oauth2/v2.0/token", post(token::answer))
            .route(
                "/{tenant}/v2.0/.well-known/openid-configuration",
                get(discovery),
            )
            .route("/{tenant}/discovery/v2.0/keys", get(keys))
            .route("/common/discovery/instance", get(instance))
            .with_state(self.clone())
    }

    /// The resource manager's routes.
    pub fn arm_router(&self) -> Router {
        Router::new()
            .route(arm::PATH, put(arm::put).get(arm::get).delete(arm::delete))
            .with_state(self.clone())
    }

    fn issuer(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.0.base)
    }

    fn known(&self, tenant: &str) -> Result<(), EntraFault> {
        self.tenants(|tenants| tenants.contains_key(tenant))
            .then_some(())
            .ok_or_else(|| EntraFault::tenant(tenant))
    }

    fn find(&self, tenant: &str, client_id: &str) -> Result<Client, EntraFault> {
        self.known(tenant)?;
        let found = self.tenants(|tenants| tenants.get(tenant)?.clients.get(client_id).cloned());
        found.ok_or_else(|| EntraFault::client(client_id, tenant))
    }

    fn client<T>(&self, tenant: &str, client_id: &str, change: impl FnOnce(&mut Client) -> T) -> T {
        self.tenants(|tenants| {
            let tenant = tenants.entry(tenant.to_owned()).or_default();
            change(tenant.clients.entry(client_id.to_owned()).or_default())
        })
    }

    fn tenants<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Tenant>) -> T) -> T {
        f(&mut self
            .0
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

async fn discovery(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, EntraFault> {
    entra.known(&tenant)?;
    let base = &entra.0.base;
    Ok(Json(json!({
        "issuer": entra.issuer(&tenant),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })))
}

async fn keys(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, EntraFault> {
    entra.known(&tenant)?;
    Ok(Json(json!({"keys": [entra.0.key.jwk()]})))
}

/// What SDKs ask before they trust an authority they do not know by heart.
async fn instance(State(entra): State<Entra>) -> Json<Value> {
    let host = entra.0.base.trim_start_matches("https://");
    Json(json!({
        "tenant_discovery_endpoint": format!("{}/common/v2.0/.well-known/openid-configuration", entra.0.base),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}

#[cfg(test)]
mod tests;
