//! Who asks and what the principal may do; the version of the interface.
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use http::{Uri, header};

use super::Vault;
use super::fault::VaultFault;
use crate::entra::Principal;
use crate::world::VaultKind;

/// Secure key release is in all of them.
const API_VERSIONS: [&str; 7] = [
    "7.3-preview",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-07-01",
    "2026-04-01",
];

impl VaultKind {
    /// The audience of its access tokens.
    #[must_use]
    pub const fn audience(self) -> &'static str {
        match self {
            Self::KeyVault => "https://vault.azure.net",
            Self::ManagedHsm => "https://managedhsm.azure.net",
        }
    }
}

/// A principal whose token was verified.
#[derive(Debug)]
pub(super) struct Caller {
    principal: Principal,
    /// Of the owner's tenant.
    officer: bool,
    /// Named by `allow`.
    allowed: bool,
}

impl Caller {
    /// Imports keys and sets secrets.
    pub(super) fn may_write(&self, action: &str) -> Result<(), VaultFault> {
        self.demand(self.officer, action)
    }

    /// Reads public keys and secrets.
    pub(super) fn may_read(&self, action: &str) -> Result<(), VaultFault> {
        self.demand(self.officer || self.allowed, action)
    }

    /// Has keys released.
    pub(super) fn may_release(&self) -> Result<(), VaultFault> {
        self.demand(
            self.allowed,
            "Microsoft.KeyVault/vaults/keys/release/action",
        )
    }

    fn demand(&self, holds: bool, action: &str) -> Result<(), VaultFault> {
        if holds {
            return Ok(());
        }
        let text = format!(
            "Caller is not authorized to perform action on resource. Caller: appid={};oid={} Action: '{action}'",
            self.principal.client_id, self.principal.object_id
        );
        Err(VaultFault::forbidden("ForbiddenByRbac", text))
    }
}

impl FromRequestParts<Vault> for Caller {
    type Rejection = VaultFault;

    async fn from_request_parts(parts: &mut Parts, vault: &Vault) -> Result<Self, VaultFault> {
        let config = &vault.0.config;
        let audience = config.kind.audience();
        // A client learns here whom to ask for which token, before anything else is judged.
        let challenge = format!(
            "Bearer authorization=\"{}/{}\", resource=\"{audience}\"",
            config.entra.base_url(),
            config.owner_tenant
        );
        let refuse = |text: String| VaultFault::unauthorized(challenge.clone(), text);
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| {
            refuse("AKV10000: Request is missing a Bearer or PoP token.".to_owned())
        })?;
        let principal = config
            .entra
            .verify(token, audience)
            .map_err(|why| refuse(format!("AKV10022: The token was not accepted: {why}.")))?;
        ApiVersion::of(&parts.uri)?;
        let allowed = vault.state(|state| {
            state.allowed.contains(&principal.client_id)
                || state.allowed.contains(&principal.object_id)
        });
        Ok(Self {
            officer: principal.tenant_id == config.owner_tenant,
            allowed,
            principal,
        })
    }
}

/// The version of the interface that a request names; [`Caller`] has checked it.
pub(super) struct ApiVersion(pub(super) String);

impl ApiVersion {
    fn of(uri: &Uri) -> Result<Self, VaultFault> {
        let query = uri.query().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        match pairs.find(|(name, _)| name == "api-version") {
            Some((_, version)) if API_VERSIONS.contains(&&*version) => {
                Ok(Self(version.into_owned()))
            }
            Some((_, version)) => Err(VaultFault::bad(format!(
                "The api-version '{version}' is not supported."
            ))),
            None => Err(VaultFault::bad("api-version must be specified")),
        }
    }
}

impl FromRequestParts<Vault> for ApiVersion {
    type Rejection = VaultFault;

    async fn from_request_parts(parts: &mut Parts, _: &Vault) -> Result<Self, VaultFault> {
        Self::of(&parts.uri)
    }
}

pub(super) async fn no_route(State(_): State<Vault>, _: Caller, uri: Uri) -> VaultFault {
    VaultFault::no_route(format!("{} is no route of this vault.", uri.path()))
}
