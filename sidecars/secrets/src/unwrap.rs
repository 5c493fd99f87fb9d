use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use cleanroom_crypto::{Dek, Zeroizing};
use keyvault::{SecretClient, VaultKind};
use serde::{Deserialize, Deserializer, Serialize};
use sidecar_http::{HttpsClient, Peer, UnixClient};
use sidecar_kit::Flights;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use url::form_urlencoded;

use crate::grants::MAX_GRANTS;
use crate::object::is_asked;
use crate::{Grant, Grants, SecretsError, SharedError, UnwrapRequest};

const TOKEN: Duration = Duration::from_secs(120);
const RELEASE: Duration = Duration::from_secs(180);

/// Unwraps data encryption keys for those who were granted them.
pub struct Unwrapper {
    grants: Grants,
    hops: Arc<Hops>,
    flights: Flights<u32, Dek, SharedError>,
}

struct Hops {
    identity: UnixClient,
    skr: UnixClient,
    secrets: SecretClient,
}

impl fmt::Debug for Unwrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwrapper")
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "secret")]
    token: Zeroizing<String>,
}

#[derive(Serialize)]
struct ReleaseQuestion<'a> {
    maa_endpoint: &'a str,
    akv_endpoint: &'a str,
    kid: &'a str,
    access_token: &'a str,
}

#[derive(Deserialize)]
struct Released {
    #[serde(deserialize_with = "secret")]
    key: Zeroizing<String>,
    /// The key's URL in its vault.
    kid: String,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

impl Unwrapper {
    /// An unwrapper that asks the two sidecars behind `identity` and `skr`, and vaults over `https`.
    pub fn new(grants: Grants, identity: UnixClient, skr: UnixClient, https: HttpsClient) -> Self {
        let hops = Hops {
            identity: identity.with_deadline(TOKEN),
            skr: skr.with_deadline(RELEASE),
            secrets: SecretClient::new(https),
        };
        Self {
            grants,
            hops: Arc::new(hops),
            // A data encryption key is its shim's; nothing is kept of it after the flight.
            flights: Flights::new(MAX_GRANTS, Duration::ZERO, CancellationToken::new()),
        }
    }

    /// The data encryption key of a request, if it is the caller's to ask for. Equal questions at the same time cause
    /// one walk.
    ///
    /// # Errors
    /// The request is not granted (no call was made then), or the hop that failed.
    pub async fn unwrap(
        &self,
        peer: Peer,
        request: &UnwrapRequest,
    ) -> Result<Arc<Dek>, SharedError> {
        let grant = self.grants.admit(peer, request)?.clone();
        let hops = Arc::clone(&self.hops);
        let uid = grant.uid;
        let walk = || async move { Ok(hops.walk(&grant).await?) }.in_current_span();
        match self.flights.join(uid, walk).await {
            Some(outcome) => outcome,
            // There are as many flights as grants at most.
            None => Err(SecretsError::Stopping.into()),
        }
    }
}

impl Hops {
    #[tracing::instrument(name = "secrets.unwrap", skip_all, fields(access = grant.access, kek = grant.wanted.kek))]
    async fn walk(&self, grant: &Grant) -> Result<Dek, SecretsError> {
        let (kek, wrapped) = tokio::try_join!(self.kek(grant), self.wrapped(grant))?;
        let wanted = &grant.wanted;
        let opened = tokio::task::spawn_blocking(move || {
            let clear = kek.decrypt_oaep(OaepHash::Sha256, &wrapped)?;
            Dek::from_slice(&clear)
        });
        let dek = opened.await.map_err(|_| SecretsError::Stopping)?;
        dek.map_err(|source| SecretsError::Decrypt {
            kid: wanted.kid.clone(),
            kek: wanted.kek.clone(),
            source,
        })
    }

    async fn kek(&self, grant: &Grant) -> Result<PrivateKey, SecretsError> {
        let wanted = &grant.wanted;
        let token = self
            .token(grant, grant.kek_vault_kind, "key encryption key")
            .await?;
        let question = ReleaseQuestion {
            maa_endpoint: wanted.maa.as_str(),
            akv_endpoint: wanted.kek_vault.as_str(),
            kid: &wanted.kek,
            access_token: &token,
        };
        let released: Released = self
            .skr
            .post_json("/key/release", &question)
            .await
            .map_err(|source| SecretsError::Release {
                kid: wanted.kek.clone(),
                source,
            })?;
        if !is_asked(&released.kid, &wanted.kek_vault, "keys", &wanted.kek) {
            return Err(SecretsError::Other {
                stage: "skr",
                expected: wanted.kek.clone(),
                vault: wanted.kek_vault.to_string(),
                actual: shown(&released.kid),
            });
        }
        PrivateKey::from_jwk(&released.key).map_err(|source| SecretsError::Kek {
            kid: wanted.kek.clone(),
            source,
        })
    }

    async fn wrapped(&self, grant: &Grant) -> Result<Vec<u8>, SecretsError> {
        let wanted = &grant.wanted;
        // Only Key Vault keeps secrets, wherever the key encryption key is.
        let token = self
            .token(grant, VaultKind::KeyVault, "wrapped key")
            .await?;
        let read = self.secrets.get(&wanted.vault, &wanted.kid, &token).await;
        let value = read.map_err(|source| SecretsError::WrappedKey {
            kid: wanted.kid.clone(),
            source,
        })?;
        if !is_asked(value.id(), &wanted.vault, "secrets", &wanted.kid) {
            return Err(SecretsError::Other {
                stage: "secret",
                expected: wanted.kid.clone(),
                vault: wanted.vault.to_string(),
                actual: shown(value.id()),
            });
        }
        BASE64_STANDARD
            .decode(value.expose())
            .map_err(|_| SecretsError::Encoding {
                kid: wanted.kid.clone(),
            })
    }

    async fn token(
        &self,
        grant: &Grant,
        kind: VaultKind,
        purpose: &'static str,
    ) -> Result<Zeroizing<String>, SecretsError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("scope", kind.scope())
            .append_pair("tenantId", &grant.wanted.tenant_id)
            .append_pair("clientId", &grant.wanted.client_id)
            .append_pair("apiVersion", "2018-02-01")
            .finish();
        let path = format!("/metadata/identity/oauth2/token?{query}");
        let answer: Result<Token, _> = self.identity.get_json(&path).await;
        match answer {
            Ok(answer) => Ok(answer.token),
            Err(source) => Err(SecretsError::Identity { purpose, source }),
        }
    }
}

/// Foreign text as an error may show it.
fn shown(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
