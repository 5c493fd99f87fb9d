use cleanroom_crypto::Zeroizing;
use serde::Deserialize;
use serde_json::json;
use sidecar_http::{ApiVersion, HttpsClient, Request, Response};
use url::Url;

use crate::KeyVaultError;
use crate::wire::{API_VERSION, HOP, Object, accept};

/// Reads and writes secrets: wrapped data encryption keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SecretClient {
    https: HttpsClient,
    version: ApiVersion,
}

/// A secret out of a vault; wiped on drop, never printed.
pub struct SecretValue {
    id: String,
    value: Zeroizing<String>,
}

impl SecretValue {
    /// URL with version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretValue")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Bundle {
    id: String,
    value: String,
}

impl SecretClient {
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

    /// Reads a secret: the current version, or the one of `name/version`.
    ///
    /// # Errors
    /// The vault's refusal.
    #[tracing::instrument(name = "keyvault.secret", skip_all, fields(vault = vault.host_str(), name = name))]
    pub async fn get(
        &self,
        vault: &Url,
        name: &str,
        access_token: &str,
    ) -> Result<SecretValue, KeyVaultError> {
        let url = Object::Secret.url(vault, name, None, &self.version)?;
        let request = Request::get(HOP, url).bearer(access_token);
        let response = self.https.send_retrying(&request).await?;
        read(&accept(response, Object::Secret, name)?)
    }

    /// Writes a secret; one of the same name gets a new version. `value` is a wrapped key, which is no secret to the
    /// vault that holds the wrapping key.
    ///
    /// # Errors
    /// The vault's refusal.
    #[tracing::instrument(name = "keyvault.set_secret", skip_all, fields(vault = vault.host_str(), name = name))]
    pub async fn set(
        &self,
        vault: &Url,
        name: &str,
        value: &str,
        access_token: &str,
    ) -> Result<SecretValue, KeyVaultError> {
        let url = Object::Secret.url(vault, name, None, &self.version)?;
        let request = Request::put(HOP, url)
            .bearer(access_token)
            .json(&json!({"value": value}));
        let response = self.https.send_retrying(&request).await?;
        read(&accept(response, Object::Secret, name)?)
    }
}

fn read(response: &Response) -> Result<SecretValue, KeyVaultError> {
    let bundle: Bundle = response.json(HOP)?;
    Ok(SecretValue {
        id: bundle.id,
        value: Zeroizing::new(bundle.value),
    })
}
