use std::fmt;

use bytes::Bytes;
use cleanroom_crypto::Zeroizing;
use cleanroom_crypto::ec::EcPrivateKey;
use cleanroom_crypto::rsa::{PrivateKey, PublicKey};
use http::header;
use serde::Deserialize;
use serde_json::json;
use sidecar_http::{ApiVersion, HttpsClient, Request, Response};
use url::Url;

use crate::released::{oct_jwk, with_key_ops};
use crate::wire::{API_VERSION, HOP, Object, accept, decode};
use crate::{KeyVaultError, ReleasePolicy};

/// Imports and reads key encryption keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyClient {
    https: HttpsClient,
    version: ApiVersion,
}

/// A key to be imported.
#[derive(Clone, Copy)]
pub enum ImportKey<'a> {
    /// An RSA key: `RSA-HSM`.
    Rsa(&'a PrivateKey),
    /// An elliptic curve key: `EC-HSM`.
    Ec(&'a EcPrivateKey),
    /// A symmetric key: `oct-HSM`.
    Oct(&'a [u8]),
}

impl fmt::Debug for ImportKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportKey(..)")
    }
}

/// The public side of a key in a vault.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// URL with version.
    pub kid: String,
    /// Whether it may be released at all.
    pub exportable: bool,
    /// Under which evidence it is released.
    pub release_policy: Option<ReleasePolicy>,
    /// The public key; `None` if it is no RSA key.
    pub public_key: Option<PublicKey>,
}

#[derive(Deserialize)]
struct Bundle {
    key: Jwk,
    #[serde(default)]
    attributes: Attributes,
    release_policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    exportable: bool,
}

#[derive(Deserialize)]
struct Policy {
    data: String,
}

impl KeyClient {
    /// A client over `https`. It asks under api-version 7.4.
    pub const fn new(https: HttpsClient) -> Self {
        Self {
            https,
            version: API_VERSION,
        }
    }

    /// Asks under another api-version.
    #[must_use]
    pub fn with_api_version(self, version: ApiVersion) -> Self {
        Self { version, ..self }
    }

    /// Imports a key into the vault's HSM, to be released under `policy`. A key of the same name gets a new version.
    ///
    /// RSA keys encrypt and wrap, elliptic curve keys sign, symmetric keys (which only a managed HSM takes) wrap.
    ///
    /// # Errors
    /// [`KeyVaultError::Import`] for a symmetric key of another length than 1 to 64 bytes; the vault's refusal.
    #[tracing::instrument(name = "keyvault.import", skip_all, fields(vault = vault.host_str(), name = name))]
    pub async fn import(
        &self,
        vault: &Url,
        name: &str,
        key: ImportKey<'_>,
        policy: &ReleasePolicy,
        access_token: &str,
    ) -> Result<KeyInfo, KeyVaultError> {
        let url = Object::Key.url(vault, name, None, &self.version)?;
        let request = Request::put(HOP, url)
            .bearer(access_token)
            .header(header::CONTENT_TYPE, "application/json")
            .body(import_body(key, policy)?);
        let response = self.https.send_retrying(&request).await?;
        KeyInfo::read(&accept(response, Object::Key, name)?)
    }

    /// [`KeyClient::import`] of an RSA key.
    ///
    /// # Errors
    /// The vault's refusal.
    pub async fn import_rsa(
        &self,
        vault: &Url,
        name: &str,
        key: &PrivateKey,
        policy: &ReleasePolicy,
        access_token: &str,
    ) -> Result<KeyInfo, KeyVaultError> {
        let key = ImportKey::Rsa(key);
        self.import(vault, name, key, policy, access_token).await
    }

    /// The current version of a key (or the one of `name/version`), `None` if there is no such key.
    ///
    /// # Errors
    /// The vault's refusal.
    #[tracing::instrument(name = "keyvault.key", skip_all, fields(vault = vault.host_str(), name = name))]
    pub async fn get(
        &self,
        vault: &Url,
        name: &str,
        access_token: &str,
    ) -> Result<Option<KeyInfo>, KeyVaultError> {
        let url = Object::Key.url(vault, name, None, &self.version)?;
        let request = Request::get(HOP, url).bearer(access_token);
        let response = self.https.send_retrying(&request).await?;
        match accept(response, Object::Key, name) {
            Ok(response) => KeyInfo::read(&response).map(Some),
            Err(KeyVaultError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KeyInfo {
    fn read(response: &Response) -> Result<Self, KeyVaultError> {
        let bundle: Bundle = response.json(HOP)?;
        let public_key = match (bundle.key.kty.as_str(), &bundle.key.n, &bundle.key.e) {
            ("RSA" | "RSA-HSM", Some(n), Some(e)) => {
                let n = decode(n, "n is not base64url")?;
                let e = decode(e, "e is not base64url")?;
                let key = PublicKey::from_n_e(&n, &e);
                Some(key.map_err(|_| KeyVaultError::Answer {
                    what: "the public key is not usable",
                })?)
            }
            _ => None,
        };
        let policy = bundle
            .release_policy
            .map(|policy| ReleasePolicy::from_wire(&policy.data));
        Ok(Self {
            kid: bundle.key.kid,
            exportable: bundle.attributes.exportable,
            release_policy: policy.transpose()?,
            public_key,
        })
    }
}

/// The import with the private key, in memory that is wiped when the last try is over.
fn import_body(key: ImportKey<'_>, policy: &ReleasePolicy) -> Result<Bytes, KeyVaultError> {
    let (jwk, ops, size) = match key {
        ImportKey::Rsa(key) => (key.to_jwk(), ["encrypt", "wrapKey"], None),
        ImportKey::Ec(key) => (key.to_jwk(), ["sign", "verify"], None),
        ImportKey::Oct(key) if (1..=64).contains(&key.len()) => {
            (oct_jwk(key), ["wrapKey", "unwrapKey"], Some(8 * key.len()))
        }
        ImportKey::Oct(_) => {
            return Err(KeyVaultError::Import {
                what: "a symmetric key has 1 to 64 bytes",
            });
        }
    };
    let jwk = with_key_ops(jwk, &ops.map(str::to_owned));
    let tail = json!({"attributes": {"enabled": true, "exportable": true}, "hsm": true, "release_policy": policy.to_wire()});
    let tail = tail.to_string();
    let size = size.map_or_else(String::new, |bits| format!(",\"key_size\":{bits}"));
    let mut body = Zeroizing::new(Vec::with_capacity(jwk.len() + size.len() + tail.len() + 32));
    let mut put = |part: &str| body.extend_from_slice(part.as_bytes());
    put("{\"key\":");
    // The type as the HSM's: {…"kty":"RSA"…} becomes {…"kty":"RSA-HSM"…}.
    let (before, kty) = jwk.split_once("\"kty\":\"").unwrap_or((&jwk, ""));
    let (kty, after) = kty.split_once('"').unwrap_or_default();
    put(before);
    put("\"kty\":\"");
    put(kty);
    put("-HSM\"");
    put(after.strip_suffix('}').unwrap_or(after));
    put(&size);
    put("},");
    put(tail.strip_prefix('{').unwrap_or_default());
    Ok(Bytes::from_owner(body))
}

#[cfg(test)]
mod tests {
    use cleanroom_crypto::ec::Curve;
    use serde_json::Value;

    use super::*;

    fn body(key: ImportKey<'_>) -> Value {
        let authority = Url::parse("https://maa.example").unwrap();
        let policy = ReleasePolicy::for_host_data(&authority, &[7; 32]).unwrap();
        serde_json::from_slice(&import_body(key, &policy).unwrap()).unwrap()
    }

    #[test]
    fn an_import_is_an_exportable_hsm_key_with_its_policy() {
        let key = PrivateKey::generate(2048).unwrap();
        let body = body(ImportKey::Rsa(&key));
        assert_eq!(body["key"]["kty"], "RSA-HSM");
        assert_eq!(body["key"]["key_ops"], json!(["encrypt", "wrapKey"]));
        assert_eq!(body["hsm"], true);
        assert_eq!(body["attributes"]["exportable"], true);
        assert_eq!(body["release_policy"]["immutable"], false);
        let jwk = body["key"].to_string();
        let back = PrivateKey::from_jwk(&jwk).unwrap();
        assert_eq!(back.public_key(), key.public_key());
        assert_eq!(format!("{:?}", ImportKey::Rsa(&key)), "ImportKey(..)");
    }

    #[test]
    fn curves_and_symmetric_keys_are_imported_as_such() {
        let key = EcPrivateKey::generate(Curve::P521).unwrap();
        let body = body(ImportKey::Ec(&key));
        let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
        for name in ["crv", "d", "x", "y"] {
            assert_eq!(body["key"][name], jwk[name]);
        }
        assert_eq!(body["key"]["kty"], "EC-HSM");
        let body = self::body(ImportKey::Oct(&[1; 32]));
        assert_eq!(
            body["key"],
            json!({
                "kty": "oct-HSM", "key_size": 256, "key_ops": ["wrapKey", "unwrapKey"],
                "k": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            })
        );
    }

    #[test]
    fn a_symmetric_key_of_a_length_that_no_vault_takes_is_refused() {
        let authority = Url::parse("https://maa.example").unwrap();
        let policy = ReleasePolicy::for_host_data(&authority, &[7; 32]).unwrap();
        for length in [0, 65] {
            let refused = import_body(ImportKey::Oct(&vec![1; length]), &policy);
            assert!(matches!(refused, Err(KeyVaultError::Import { .. })));
        }
        assert!(import_body(ImportKey::Oct(&[1; 64]), &policy).is_ok());
    }
}
