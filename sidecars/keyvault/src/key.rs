use bytes::Bytes;
use cleanroom_crypto::Zeroizing;
use cleanroom_crypto::rsa::{PrivateKey, PublicKey};
use http::header;
use serde::Deserialize;
use serde_json::json;
use sidecar_http::{HttpsClient, Request, Response};
use url::Url;

use crate::release::with_key_ops;
use crate::wire::{HOP, Object, accept, decode};
use crate::{KeyVaultError, ReleasePolicy};

/// Imports and reads key encryption keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyClient {
    https: HttpsClient,
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
    /// A client over `https`.
    pub const fn new(https: HttpsClient) -> Self {
        Self { https }
    }

    /// Imports `key` as an HSM key that encrypts, wraps, and is released under `policy`. A key of the same name gets a
    /// new version.
    ///
    /// # Errors
    /// The vault's refusal.
    #[tracing::instrument(name = "keyvault.import", skip_all, fields(vault = vault.host_str(), name = name))]
    pub async fn import_rsa(
        &self,
        vault: &Url,
        name: &str,
        key: &PrivateKey,
        policy: &ReleasePolicy,
        access_token: &str,
    ) -> Result<KeyInfo, KeyVaultError> {
        let url = Object::Key.url(vault, name, None)?;
        let request = Request::put(HOP, url)
            .bearer(access_token)
            .header(header::CONTENT_TYPE, "application/json")
            .body(import_body(key, policy));
        let response = self.https.send_retrying(&request).await?;
        KeyInfo::read(&accept(response, Object::Key, name)?)
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
        let url = Object::Key.url(vault, name, None)?;
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
fn import_body(key: &PrivateKey, policy: &ReleasePolicy) -> Bytes {
    let ops = ["encrypt".to_owned(), "wrapKey".to_owned()];
    let jwk = with_key_ops(key.to_jwk(), &ops);
    let tail = json!({"attributes": {"enabled": true, "exportable": true}, "hsm": true, "release_policy": policy.to_wire()});
    let tail = tail.to_string();
    let tail = tail.strip_prefix('{').unwrap_or_default();
    let mut body = Zeroizing::new(Vec::with_capacity(jwk.len() + tail.len() + 32));
    body.extend_from_slice(b"{\"key\":");
    match jwk.split_once("\"kty\":\"RSA\"") {
        Some((before, after)) => {
            body.extend_from_slice(before.as_bytes());
            body.extend_from_slice(b"\"kty\":\"RSA-HSM\"");
            body.extend_from_slice(after.as_bytes());
        }
        None => body.extend_from_slice(jwk.as_bytes()),
    }
    body.extend_from_slice(b",");
    body.extend_from_slice(tail.as_bytes());
    Bytes::from_owner(body)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_import_is_an_exportable_hsm_key_with_its_policy() {
        let key = PrivateKey::generate(2048).unwrap();
        let authority = Url::parse("https://maa.example").unwrap();
        let policy = ReleasePolicy::for_host_data(&authority, &[7; 32]);
        let body: Value = serde_json::from_slice(&import_body(&key, &policy)).unwrap();
        assert_eq!(body["key"]["kty"], "RSA-HSM");
        assert_eq!(body["key"]["key_ops"], json!(["encrypt", "wrapKey"]));
        assert_eq!(body["hsm"], true);
        assert_eq!(body["attributes"]["exportable"], true);
        assert_eq!(body["release_policy"]["immutable"], false);
        let jwk = body["key"].to_string();
        let back = PrivateKey::from_jwk(&jwk).unwrap();
        assert_eq!(back.public_key(), key.public_key());
    }
}
