use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Identity, Policy, Resource, SpecError, configuration};

/// How a dataset, image or endpoint is protected.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrivacyProxySettings {
    /// Which proxy.
    pub proxy_type: ProxyType,
    /// Whether clear text passes.
    pub proxy_mode: ProxyMode,
    /// What the proxy allows.
    #[serde(default)]
    pub privacy_policy: Option<Policy>,
    /// JSON text, or empty where nothing is to be said.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::protection_configuration")]
    pub configuration: String,
    /// The wrapped key and the key that wraps it.
    #[serde(default)]
    pub encryption_secrets: Option<EncryptionSecrets>,
    /// Who may reach the vaults.
    #[serde(default)]
    pub encryption_secret_access_identity: Option<Identity>,
}

/// The two keys of a dataset.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionSecrets {
    /// The data encryption key, wrapped.
    pub dek: EncryptionSecret,
    /// The key encryption key.
    pub kek: EncryptionSecret,
}

/// A named key.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionSecret {
    /// Name.
    pub name: String,
    /// Where it is.
    pub secret: CleanroomSecret,
}

/// A secret at a vault.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CleanroomSecret {
    /// What it is.
    pub secret_type: SecretType,
    /// Where it is.
    pub backing_resource: Resource,
}

/// The content of `configuration` of a key encryption key's provider: who must vouch for a room before it gets the key.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRelease {
    /// URL of the attestation service.
    pub authority: String,
    /// Which service the vault is.
    #[serde(default)]
    pub vault_kind: VaultKind,
}

/// Which service a vault is. Said here, never guessed from a host name.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum VaultKind {
    /// Azure Key Vault.
    #[default]
    KeyVault,
    /// Azure Key Vault Managed HSM.
    ManagedHsm,
}

impl VaultKind {
    /// The name in configurations and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyVault => "KeyVault",
            Self::ManagedHsm => "ManagedHsm",
        }
    }
}

impl EncryptionSecret {
    /// Reads the provider's `configuration` of a key encryption key.
    ///
    /// # Errors
    /// [`SpecError::Configuration`]: JSON in none of its encodings, or an unknown member.
    pub fn key_release(&self) -> Result<KeyRelease, SpecError> {
        let json = configuration::json(&self.secret.backing_resource.provider.configuration)?;
        serde_json::from_str(&json).map_err(|error| SpecError::Configuration {
            reason: error.to_string(),
        })
    }
}

/// What a secret is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SecretType {
    /// Text.
    Secret,
    /// A certificate.
    Certificate,
    /// A key.
    Key,
}

/// Whether clear text passes a proxy.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ProxyMode {
    /// Encrypted.
    Secure,
    /// Clear.
    Open,
}

/// Which proxy stands before a resource.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ProxyType {
    /// A OneLake source.
    #[serde(rename = "SecureVolume__ReadOnly__Azure__OneLake")]
    ReadOnlyOneLake,
    /// A blob source. The second spelling is of the time before 2.0.0.
    #[serde(
        rename = "SecureVolume__ReadOnly__Azure__BlobStorage",
        alias = "SecureVolume__ReadOnly__AzureStorage__BlobContainer"
    )]
    ReadOnlyBlobStorage,
    /// A OneLake sink.
    #[serde(rename = "SecureVolume__ReadWrite__Azure__OneLake")]
    ReadWriteOneLake,
    /// A blob sink.
    #[serde(
        rename = "SecureVolume__ReadWrite__Azure__BlobStorage",
        alias = "SecureVolume__ReadWrite__AzureStorage__BlobContainer"
    )]
    ReadWriteBlobStorage,
    /// A source in an S3-compatible store.
    #[serde(rename = "SecureVolume__ReadOnly__Aws__S3")]
    ReadOnlyS3,
    /// A sink in an S3-compatible store.
    #[serde(rename = "SecureVolume__ReadWrite__Aws__S3")]
    ReadWriteS3,
    /// HTTP.
    #[serde(rename = "API")]
    Api,
    /// HTTP with a policy.
    #[serde(rename = "SecureAPI")]
    SecureApi,
}

/// Who encrypts a dataset.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum EncryptionMode {
    /// The room (client side).
    #[serde(rename = "CSE")]
    Cse,
    /// The storage service, with our key.
    #[serde(rename = "CPK")]
    Cpk,
    /// The storage service, with its own key.
    #[serde(rename = "SSE")]
    Sse,
}

impl EncryptionMode {
    /// The mode as command lines spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cse => "CSE",
            Self::Cpk => "CPK",
            Self::Sse => "SSE",
        }
    }
}

/// Layout of a client-side encrypted dataset. Pinned here, never chosen by what storage holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Format {
    /// Extents with salts and a sealed trailer (crate `blob-format`).
    #[serde(rename = "v2")]
    V2,
    /// Upstream's, in blocks of 16 MiB.
    #[serde(rename = "cse-v1")]
    CseV1,
    /// Upstream's up to 4.0.0, in blocks of 4 MiB.
    #[serde(rename = "cse-v1-4m")]
    CseV1Mib4,
    /// The Azure SDKs' client-side encryption 2.0 and 2.1.
    #[serde(rename = "azure-cse-2.1")]
    AzureCse,
    /// The same, and every file carries a seal of its length and name.
    #[serde(rename = "azure-cse-2.1-sealed")]
    AzureCseSealed,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::V2,
        Self::CseV1,
        Self::CseV1Mib4,
        Self::AzureCse,
        Self::AzureCseSealed,
    ];

    /// The name in contracts and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::CseV1 => "cse-v1",
            Self::CseV1Mib4 => "cse-v1-4m",
            Self::AzureCse => "azure-cse-2.1",
            Self::AzureCseSealed => "azure-cse-2.1-sealed",
        }
    }
}

impl FromStr for Format {
    type Err = SpecError;

    /// Reads a name.
    ///
    /// # Errors
    /// [`SpecError::Configuration`] for any other.
    fn from_str(name: &str) -> Result<Self, SpecError> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            SpecError::Configuration {
                reason: format!("the format {name:?} is none of {names}"),
            }
        })
    }
}

/// The content of `protection.configuration`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectionConfiguration {
    /// Always `KEK`: the data key is wrapped.
    #[serde(rename = "KeyType", default = "kek")]
    pub key_type: String,
    /// Who encrypts.
    #[serde(rename = "EncryptionMode")]
    pub encryption_mode: EncryptionMode,
    /// Layout; only with `CSE`.
    #[serde(rename = "format", default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Lower hex of HMAC-SHA-256 over the manifest's tree head, keyed from the data key; pins a source's content.
    #[serde(
        rename = "manifestHmac",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub manifest_hmac: Option<String>,
}

fn kek() -> String {
    "KEK".to_owned()
}

impl ProtectionConfiguration {
    /// The configuration of a new dataset: `CSE` in the v2 format, others without one.
    pub fn new(encryption_mode: EncryptionMode) -> Self {
        Self {
            key_type: kek(),
            encryption_mode,
            format: (encryption_mode == EncryptionMode::Cse).then_some(Format::V2),
            manifest_hmac: None,
        }
    }

    /// The JSON text that goes into the specification.
    ///
    /// # Errors
    /// None in practice: every member is serialisable.
    pub fn to_text(&self) -> Result<String, SpecError> {
        serde_json::to_string(self).map_err(|error| SpecError::Configuration {
            reason: error.to_string(),
        })
    }
}

impl PrivacyProxySettings {
    /// Reads `configuration`.
    ///
    /// # Errors
    /// [`SpecError::Configuration`]: JSON in none of its encodings, an unknown member, or a format without client-side encryption.
    pub fn configuration(&self) -> Result<ProtectionConfiguration, SpecError> {
        let refused = |reason: String| SpecError::Configuration { reason };
        let json = configuration::json(&self.configuration)?;
        let read: ProtectionConfiguration =
            serde_json::from_str(&json).map_err(|error| refused(error.to_string()))?;
        if read.key_type != "KEK" {
            return Err(refused(format!("KeyType {:?} is not KEK", read.key_type)));
        }
        match (read.encryption_mode, read.format) {
            (EncryptionMode::Cse, None) => {
                Err(refused("EncryptionMode CSE needs a format".to_owned()))
            }
            (EncryptionMode::Cpk | EncryptionMode::Sse, Some(_)) => {
                Err(refused("a format needs EncryptionMode CSE".to_owned()))
            }
            (EncryptionMode::Sse, None) if read.manifest_hmac.is_some() => Err(refused(
                "manifestHmac needs a key, which EncryptionMode SSE has not".to_owned(),
            )),
            _ => match &read.manifest_hmac {
                Some(hmac) if !is_sha256(hmac) => Err(refused(
                    "manifestHmac is not 64 lower case hexadecimal digits".to_owned(),
                )),
                _ => Ok(read),
            },
        }
    }
}

/// 64 lower case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
