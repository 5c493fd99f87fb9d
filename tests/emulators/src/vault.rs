//! One vault: Key Vault or Managed HSM, with keys that leave it only under their release policy.
//!
//! Tokens are verified by [`Entra`], attestation tokens by the issuers' certificates, the policy is evaluated claim by
//! claim, the release is wrapped for the transfer key in the token and signed by the vault's certificate. Roles are
//! simple: principals of the owner's tenant import, set and read; only principals named by [`Vault::allow`] release (and
//! read). Not here: deletion, recovery, creation, cryptographic
//! operations, certificates.
mod auth;
mod evidence;
mod fault;
mod keys;
mod listing;
mod material;
mod policy;
mod release;
mod secrets;
mod signer;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::{get, post, put};
use serde_json::Value;
use time::OffsetDateTime;

pub use self::evidence::Issuers;
use self::fault::VaultFault;
pub use self::signer::VaultSigner;
use crate::entra::Entra;
use crate::world::VaultKind;

/// What a vault is made from.
#[derive(Debug)]
pub struct VaultConfig {
    /// `https://<host>[:<port>]`, as key and secret identifiers name it.
    pub origin: String,
    /// Which service.
    pub kind: VaultKind,
    /// Tenant of its owner.
    pub owner_tenant: String,
    /// The authority of access tokens.
    pub entra: Entra,
    /// The attestation providers whose tokens it can verify.
    pub issuers: Issuers,
    /// The certificate that signs releases.
    pub signer: VaultSigner,
}

/// The vault; clones share one state.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    config: VaultConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    allowed: BTreeSet<String>,
    keys: BTreeMap<String, Vec<KeyVersion>>,
    secrets: BTreeMap<String, Vec<SecretVersion>>,
    mischief: Option<Mischief>,
    tampering: Option<Tampering>,
}

#[derive(Clone)]
struct KeyVersion {
    version: String,
    created: i64,
    key_ops: Vec<String>,
    life: Life,
    exportable: bool,
    policy: Option<Value>,
    immutable: bool,
    tags: Option<Value>,
    material: Material,
}

/// When a key works.
#[derive(Clone, Copy)]
struct Life {
    enabled: bool,
    not_before: Option<i64>,
    expires: Option<i64>,
}

#[derive(Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        pkcs8: Vec<u8>,
    },
    Ec {
        curve: &'static str,
        x: Vec<u8>,
        y: Vec<u8>,
        pkcs8: Vec<u8>,
    },
    Oct(Vec<u8>),
}

#[derive(Clone)]
struct SecretVersion {
    version: String,
    created: i64,
    value: String,
    content_type: Option<String>,
    tags: Option<Value>,
}

/// Changes the payload of a release before it is signed: the vault a client must not believe.
pub type Mischief = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Changes the signed answer of a release: somebody on the way.
pub type Tampering = Arc<dyn Fn(String) -> String + Send + Sync>;

/// Whether the claims of a token of `issuer` satisfy a release policy, as this vault judges; the error names what differs.
/// For tests that hold another judge against this one.
///
/// # Errors
/// The policy is not one of the grammar, or the first clause that fails.
pub fn satisfies(policy: &Value, issuer: &str, claims: &Value) -> Result<(), PolicyError> {
    policy::check(policy).map_err(PolicyError::Grammar)?;
    policy::evaluate(policy, issuer, claims).map_err(PolicyError::Clause)
}

/// Why a policy is not satisfied.
#[derive(Debug)]
pub enum PolicyError {
    /// It is not one of the grammar.
    Grammar(String),
    /// A clause fails.
    Clause(String),
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("origin", &self.0.config.origin)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// An empty vault.
    #[must_use]
    pub fn new(config: VaultConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            state: Mutex::default(),
        }))
    }

    /// Gives a principal, by client id or object id, the roles of a clean room: release keys, read keys and secrets.
    pub fn allow(&self, principal: &str) {
        self.state(|state| {
            state.allowed.insert(principal.to_owned());
        });
    }

    /// Takes the roles of [`Vault::allow`] away.
    pub fn disallow(&self, principal: &str) {
        self.state(|state| {
            state.allowed.remove(principal);
        });
    }

    /// From now on every release is changed so before it is signed; `None` ends it.
    pub fn misbehave(&self, mischief: Option<Mischief>) {
        self.state(|state| state.mischief = mischief);
    }

    /// From now on every signed answer of a release is changed so on its way; `None` ends it.
    pub fn tamper(&self, tampering: Option<Tampering>) {
        self.state(|state| state.tampering = tampering);
    }

    /// The current value of a secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<String> {
        self.state(|state| Some(state.secrets.get(name)?.last()?.value.clone()))
    }

    /// Sets a secret past the interface.
    pub fn set_secret(&self, name: &str, value: &str) {
        let secret = SecretVersion {
            version: version(),
            created: OffsetDateTime::now_utc().unix_timestamp(),
            value: value.to_owned(),
            content_type: None,
            tags: None,
        };
        self.state(|state| {
            state
                .secrets
                .entry(name.to_owned())
                .or_default()
                .push(secret)
        });
    }

    /// The release policy of the current version of a key.
    #[must_use]
    pub fn release_policy(&self, name: &str) -> Option<Value> {
        self.state(|state| state.keys.get(name)?.last()?.policy.clone())
    }

    /// Replaces the release policy of the current version of a key past the interface.
    pub fn set_release_policy(&self, name: &str, policy: Value) {
        self.state(|state| {
            if let Some(key) = state
                .keys
                .get_mut(name)
                .and_then(|versions| versions.last_mut())
            {
                key.policy = Some(policy);
            }
        });
    }

    /// How many versions a key has.
    #[must_use]
    pub fn key_versions(&self, name: &str) -> usize {
        self.state(|state| state.keys.get(name).map_or(0, Vec::len))
    }

    /// Signs any payload as a release, with this vault's certificate: for tests of those who check releases.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, payload: &Value) -> anyhow::Result<String> {
        self.0.config.signer.sign(payload)
    }

    /// The service's routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/keys", get(listing::keys))
            .route("/keys/{name}/versions", get(listing::key_versions))
            .route(
                "/keys/{name}",
                put(keys::import).get(keys::current).patch(update::current),
            )
            .route("/keys/{name}/", get(keys::current).patch(update::current))
            .route(
                "/keys/{name}/{version}",
                get(keys::version).patch(update::version),
            )
            .route("/keys/{name}/release", post(release::current))
            .route("/keys/{name}/{version}/release", post(release::version))
            .route("/secrets", get(listing::secrets))
            .route("/secrets/{name}/versions", get(listing::secret_versions))
            .route("/secrets/{name}", put(secrets::set).get(secrets::current))
            .route("/secrets/{name}/", get(secrets::current))
            .route("/secrets/{name}/{version}", get(secrets::version))
            .fallback(auth::no_route)
            .with_state(self.clone())
    }

    fn find_key(&self, name: &str, version: Option<&str>) -> Result<KeyVersion, VaultFault> {
        self.state(|state| {
            let versions = state.keys.get(name)?;
            // Clients that want the current version leave the version's segment of the path empty.
            match version.filter(|version| !version.is_empty()) {
                None => versions.last().cloned(),
                Some(version) => versions.iter().find(|key| key.version == version).cloned(),
            }
        })
        .ok_or_else(|| VaultFault::missing("Key", "key", name))
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn version() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests;
