use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyvault::VaultKind;
use serde::Deserialize;
use sidecar_http::{Peer, services};
use url::{Position, Url};

use crate::SecretsError;

pub(crate) const MAX_GRANTS: usize = 1000;

/// `POST /secrets/unwrap`: a wrapped data encryption key, the key that wraps it, and as whom to get both.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnwrapRequest {
    /// Client id of the identity that reads both.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Name of the secret that holds the wrapped key.
    pub kid: String,
    /// Vault of that secret.
    pub akv_endpoint: String,
    /// The key encryption key.
    pub kek: KekReference,
    /// Upstream lets callers bring a token; here a caller has none to bring, and one that is not null is refused.
    #[serde(default)]
    pub access_token: Option<serde::de::IgnoredAny>,
}

/// A key encryption key and the authority whose evidence releases it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KekReference {
    /// Name of the key.
    pub kid: String,
    /// Its vault.
    pub akv_endpoint: String,
    /// The MAA instance.
    pub maa_endpoint: String,
    /// As [`UnwrapRequest::access_token`].
    #[serde(default)]
    pub access_token: Option<serde::de::IgnoredAny>,
}

/// What one uid may have unwrapped.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Name of the access point.
    pub access: String,
    /// The shim's user.
    pub uid: u32,
    /// Kind of the vault with the key encryption key; measured, never guessed from its name.
    pub kek_vault_kind: VaultKind,
    pub(crate) wanted: Wanted,
}

/// A request with parsed endpoints, the form in which requests are compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) client_id: String,
    pub(crate) tenant_id: String,
    pub(crate) kid: String,
    pub(crate) vault: Url,
    pub(crate) kek: String,
    pub(crate) kek_vault: Url,
    pub(crate) maa: Url,
}

/// All grants of the group.
#[derive(Clone, Debug)]
pub struct Grants(Vec<Grant>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    access: String,
    uid: u32,
    request: UnwrapRequest,
    kek_vault_kind: VaultKind,
}

impl Grants {
    /// Reads base64 of a JSON list of `{"access","uid","request","kekVaultKind"}`.
    ///
    /// # Errors
    /// [`SecretsError::Configuration`] naming what is wrong: a uid that is no shim's or has two grants, an endpoint.
    pub fn from_base64(text: &str) -> Result<Self, SecretsError> {
        let refuse = |reason: String| SecretsError::Configuration { reason };
        let json = BASE64_STANDARD
            .decode(text.trim())
            .map_err(|error| refuse(format!("not base64: {error}")))?;
        let written: Vec<Written> = serde_json::from_slice(&json)
            .map_err(|error| refuse(format!("not the expected JSON: {error}")))?;
        if written.len() > MAX_GRANTS {
            return Err(refuse(format!("more than {MAX_GRANTS}")));
        }
        let mut uids = BTreeSet::new();
        let mut grants = Vec::with_capacity(written.len());
        for grant in written {
            let named = |what: &str| refuse(format!("{}: {what}", grant.access));
            if !services::is_shim(grant.uid) {
                return Err(named(&format!("uid {} is no shim's", grant.uid)));
            }
            if !uids.insert(grant.uid) {
                return Err(named(&format!("uid {} has two grants", grant.uid)));
            }
            let wanted = Wanted::of(&grant.request).map_err(|error| named(&error.to_string()))?;
            if grant.request.brings_token() {
                return Err(named("a grant carries no token"));
            }
            grants.push(Grant {
                uid: grant.uid,
                kek_vault_kind: grant.kek_vault_kind,
                wanted,
                access: grant.access,
            });
        }
        Ok(Self(grants))
    }

    /// The grant that allows this caller this request.
    ///
    /// # Errors
    /// [`SecretsError::NoGrant`], or [`SecretsError::NotGranted`] with the members that differ.
    pub fn admit(&self, peer: Peer, request: &UnwrapRequest) -> Result<&Grant, SecretsError> {
        let wanted = Wanted::of(request)?;
        let differs = |grant: &Grant| {
            let mut members = grant.wanted.differences(&wanted);
            if request.brings_token() {
                members.push("accessToken");
            }
            members
        };
        let none = |caller: String| SecretsError::NoGrant { caller };
        let grant = match peer.uid() {
            Some(uid) => self
                .0
                .iter()
                .find(|grant| grant.uid == uid)
                .ok_or_else(|| none(format!("uid {uid}")))?,
            // Standing alone there are no uids; the request itself selects its grant.
            None => {
                let same = self.0.iter().find(|grant| differs(grant).is_empty());
                same.ok_or_else(|| none("this caller".to_owned()))?
            }
        };
        match differs(grant).as_slice() {
            [] => Ok(grant),
            members => Err(SecretsError::NotGranted {
                access: grant.access.clone(),
                members: members.join(", "),
            }),
        }
    }
}

impl UnwrapRequest {
    const fn brings_token(&self) -> bool {
        self.access_token.is_some() || self.kek.access_token.is_some()
    }
}

impl Wanted {
    fn of(request: &UnwrapRequest) -> Result<Self, SecretsError> {
        Ok(Self {
            client_id: request.client_id.to_ascii_lowercase(),
            tenant_id: request.tenant_id.to_ascii_lowercase(),
            kid: request.kid.clone(),
            vault: endpoint("akvEndpoint", &request.akv_endpoint)?,
            kek: request.kek.kid.clone(),
            kek_vault: endpoint("kek.akvEndpoint", &request.kek.akv_endpoint)?,
            maa: endpoint("kek.maaEndpoint", &request.kek.maa_endpoint)?,
        })
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        [
            ("clientId", self.client_id == other.client_id),
            ("tenantId", self.tenant_id == other.tenant_id),
            ("kid", self.kid == other.kid),
            ("akvEndpoint", self.vault == other.vault),
            ("kek.kid", self.kek == other.kek),
            ("kek.akvEndpoint", self.kek_vault == other.kek_vault),
            ("kek.maaEndpoint", self.maa == other.maa),
        ]
        .into_iter()
        .filter_map(|(member, same)| (!same).then_some(member))
        .collect()
    }
}

/// An https origin; `https://` may be left out, a port is kept.
fn endpoint(member: &'static str, text: &str) -> Result<Url, SecretsError> {
    let refuse = |reason| SecretsError::Endpoint { member, reason };
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&whole).map_err(|_| refuse("not a host name or https URL"))?;
    if url.scheme() != "https" || url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("not https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds credentials"));
    }
    if &url[Position::BeforePath..] != "/" {
        return Err(refuse("holds a path, query or fragment"));
    }
    Ok(url)
}
