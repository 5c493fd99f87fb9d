use std::time::{Duration, SystemTime};

use base64::Engine as _;
use cleanroom_crypto::keywrap::unwrap_rsa_aes;
use cleanroom_crypto::random;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use rustls_pki_types::TrustAnchor;
use serde::{Deserialize, Serialize};
use sidecar_http::{ApiVersion, HttpsClient, Request, Trust};
use url::Url;

use crate::released::{Material, ReleasedKey};
use crate::wire::{API_VERSION, B64URL, HOP, Object, accept, decode};
use crate::{KeyVaultError, jws};

/// The wrapping asked for. The service's default uses SHA-1 for its OAEP.
const WRAPPING: &str = "RSA_AES_KEY_WRAP_256";
const ANSWER_CAP: usize = 1 << 20;

/// Has keys released. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReleaseClient {
    https: HttpsClient,
    version: ApiVersion,
    anchors: Vec<TrustAnchor<'static>>,
}

#[derive(Serialize)]
struct Question<'a> {
    enc: &'static str,
    nonce: &'a str,
    target: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    value: String,
}

#[derive(Deserialize)]
struct Payload {
    request: Echoed,
    response: Given,
}

#[derive(Deserialize)]
struct Echoed {
    enc: Option<String>,
    nonce: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    key: GivenKey,
}

#[derive(Deserialize)]
struct GivenKey {
    key: WrappedKey,
}

#[derive(Deserialize)]
struct WrappedKey {
    key_hsm: String,
    kid: String,
    kty: String,
    #[serde(default)]
    key_ops: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    ciphertext: String,
}

impl ReleaseClient {
    /// A client that believes signatures which chain to `trust`. It asks under api-version 7.4.
    pub fn new(https: HttpsClient, trust: Trust) -> Self {
        Self {
            https,
            version: API_VERSION,
            anchors: trust.anchors(),
        }
    }

    /// Asks under another api-version.
    #[must_use]
    pub fn with_api_version(self, version: ApiVersion) -> Self {
        Self { version, ..self }
    }

    /// Has the key `kid` (a name, or name and version as `name/version`; without version the current one) released to
    /// the holder of `transfer_key`, whose public half `maa_token` vouches for.
    ///
    /// The answer is believed only if the vault's certificate signed it, it echoes wrapping, nonce and key, it was wrapped
    /// for `transfer_key`, and the material is a key of the type it names. The clock judges the certificates' validity. A
    /// nonce that is not echoed at all is let pass: freshness follows from the transfer key, and older interfaces of the
    /// service answer without.
    ///
    /// # Errors
    /// [`KeyVaultError`]: the vault's refusal in its own words, or what in the answer is not as asked.
    #[tracing::instrument(name = "keyvault.release", skip_all, fields(vault = vault.host_str(), kid = kid))]
    pub async fn release(
        &self,
        vault: &Url,
        kid: &str,
        access_token: &str,
        maa_token: &str,
        transfer_key: &PrivateKey,
    ) -> Result<ReleasedKey, KeyVaultError> {
        let nonce = random::bytes::<16>().map_err(KeyVaultError::Random)?;
        let nonce = B64URL.encode(nonce);
        let question = Question {
            enc: WRAPPING,
            nonce: &nonce,
            target: maa_token,
        };
        let url = Object::Key.url(vault, kid, Some("release"), &self.version)?;
        let request = Request::post(HOP, url)
            .bearer(access_token)
            .json(&question)
            .body_cap(ANSWER_CAP);
        // A release changes nothing in the vault, so asking again is safe.
        let response = self.https.send_retrying(&request).await?;
        let answer: Answer = accept(response, Object::Key, kid)?.json(HOP)?;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let asked = Asked {
            vault,
            kid,
            nonce: &nonce,
            transfer_key,
        };
        asked.open(&answer.value, &self.anchors, now)
    }
}

/// A release that a vault was asked for, as its answer must reflect it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The vault.
    pub vault: &'a Url,
    /// The key: `name` or `name/version`.
    pub kid: &'a str,
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// The key that the attestation token names.
    pub transfer_key: &'a PrivateKey,
}

impl Asked<'_> {
    /// Opens the vault's answer, member `value` of its JSON: a JWS signed under `anchors`, whose certificates must be in
    /// force at `now`, the time since 1970.
    ///
    /// # Errors
    /// What in the answer is not as asked.
    pub fn open(
        &self,
        jws: &str,
        anchors: &[TrustAnchor<'_>],
        now: Duration,
    ) -> Result<ReleasedKey, KeyVaultError> {
        let Self {
            vault,
            kid,
            nonce,
            transfer_key,
        } = *self;
        let host = vault.domain().ok_or(KeyVaultError::Url {
            reason: "no host name",
        })?;
        let payload: Payload = jws::verify(jws, host, anchors, now)?;
        echo(
            "request.enc",
            WRAPPING,
            payload.request.enc.as_deref().unwrap_or_default(),
        )?;
        if let Some(actual) = &payload.request.nonce {
            echo("request.nonce", nonce, actual)?;
        }
        if let Some(asked) = &payload.request.kid {
            same_key("request.kid", vault, kid, asked)?;
        }
        let key = payload.response.key.key;
        let version = same_key("response.key.key.kid", vault, kid, &key.kid)?;
        let Some(version) = version else {
            return Err(KeyVaultError::Answer {
                what: "the released key has no version",
            });
        };
        let envelope = decode(&key.key_hsm, "key_hsm is not base64url")?;
        let envelope: Envelope =
            serde_json::from_slice(&envelope).map_err(|_| KeyVaultError::Answer {
                what: "key_hsm is not the expected JSON",
            })?;
        let wrapped = decode(&envelope.ciphertext, "the wrapped key is not base64url")?;
        let clear = unwrap_rsa_aes(transfer_key, OaepHash::Sha256, &wrapped)
            .map_err(KeyVaultError::Unwrap)?;
        let material = Material::read(&key.kty, clear)?;
        Ok(ReleasedKey::new(key.kid, version, key.key_ops, material))
    }
}

/// Checks that `url` is the key that was asked for; its version, if it has one.
fn same_key(
    member: &'static str,
    vault: &Url,
    kid: &str,
    url: &str,
) -> Result<Option<String>, KeyVaultError> {
    let differs = |expected: String| KeyVaultError::Echo {
        member,
        expected,
        actual: url.chars().take(300).collect(),
    };
    let (name, version) = Object::Key.split(kid)?;
    let expected = || match version {
        Some(version) => format!("{vault}keys/{name}/{version}"),
        None => format!("{vault}keys/{name}"),
    };
    let parsed = Url::parse(url).map_err(|_| differs(expected()))?;
    // The service names itself without the port under which a client reaches it.
    let port = parsed.port().is_none_or(|port| vault.port() == Some(port));
    let path = parsed.path().strip_prefix("/keys/").unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let here = parsed.scheme() == "https" && parsed.domain() == vault.domain() && port;
    match Object::Key.split(path) {
        // Names are compared as the service does: without regard to case.
        Ok((found, at))
            if here
                && found.eq_ignore_ascii_case(name)
                && (version.is_none() || at.is_none() || at == version) =>
        {
            Ok(at.map(str::to_owned))
        }
        _ => Err(differs(expected())),
    }
}

fn echo(member: &'static str, expected: &str, actual: &str) -> Result<(), KeyVaultError> {
    if expected == actual {
        return Ok(());
    }
    Err(KeyVaultError::Echo {
        member,
        expected: expected.to_owned(),
        actual: actual.chars().take(100).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_asked_one_by_vault_name_and_version() {
        let vault = Url::parse("https://litware.vault.azure.net:8443").unwrap();
        let same = |kid, url| same_key("kid", &vault, kid, url);
        for (kid, url, version) in [
            (
                "kek",
                "https://litware.vault.azure.net/keys/kek/01",
                Some("01"),
            ),
            (
                "kek",
                "https://litware.vault.azure.net:8443/keys/kek/01",
                Some("01"),
            ),
            (
                "kek/01",
                "https://litware.vault.azure.net/keys/kek/01",
                Some("01"),
            ),
            ("kek", "https://litware.vault.azure.net/keys/kek/", None),
        ] {
            assert_eq!(same(kid, url).unwrap().as_deref(), version, "{url}");
        }
        for (kid, url) in [
            ("kek", "https://fabrikam.vault.azure.net/keys/kek/01"),
            ("kek", "https://litware.vault.azure.net:9/keys/kek/01"),
            ("kek", "https://litware.vault.azure.net/keys/kek2/01"),
            ("kek", "https://litware.vault.azure.net/secrets/kek/01"),
            ("kek", "http://litware.vault.azure.net/keys/kek/01"),
            ("kek/02", "https://litware.vault.azure.net/keys/kek/01"),
            ("kek", "kek"),
        ] {
            assert!(same(kid, url).is_err(), "{kid} {url}");
        }
    }
}
