use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Identity, PrivacyProxySettings};

/// A dataset of the room: a source it reads, or a sink it writes.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPoint {
    /// Unique name; the directory below `/mnt/remote`.
    pub name: String,
    /// Read-only or read-write.
    #[serde(rename = "type")]
    pub kind: AccessPointType,
    /// Always empty in this version.
    #[serde(default)]
    pub path: String,
    /// Where the cipher text is.
    pub store: Resource,
    /// Who may reach it.
    pub identity: Identity,
    /// How it is encrypted.
    pub protection: PrivacyProxySettings,
}

/// Whether a dataset is read or written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AccessPointType {
    /// A sink.
    #[serde(rename = "Volume_ReadWrite")]
    ReadWrite,
    /// A source.
    #[serde(rename = "Volume_ReadOnly")]
    ReadOnly,
}

/// Something at a provider.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource {
    /// Name at the provider: container, key, secret, image.
    pub name: String,
    /// Kind of resource.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Name in the owner's local configuration; for an image its reference.
    pub id: String,
    /// The provider.
    pub provider: ServiceEndpoint,
}

/// Kinds of resources.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ResourceType {
    /// A container of blobs.
    #[serde(rename = "Azure_BlobStorage")]
    AzureBlobStorage,
    /// A OneLake path.
    #[serde(rename = "Azure_OneLake")]
    AzureOneLake,
    /// A bucket of an S3-compatible service.
    #[serde(rename = "Aws_S3")]
    AwsS3,
    /// A key or secret of a vault.
    AzureKeyVault,
    /// An image.
    AzureContainerRegistry,
}

/// A service and how to talk to it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceEndpoint {
    /// The protocol.
    pub protocol: ProtocolType,
    /// The address.
    pub url: String,
    /// JSON text, or empty. Of S3-compatible storage: `region`, `sealedAccessKey` and, for a folder of the bucket, `prefix`.
    #[serde(default)]
    pub configuration: String,
}

/// Protocols of services.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ProtocolType {
    /// Entra ID by a federated credential.
    #[serde(rename = "AzureAD_Federated")]
    AzureAdFederated,
    /// Entra ID by a managed identity of the machine.
    #[serde(rename = "AzureAD_ManagedIdentity")]
    AzureAdManagedIdentity,
    /// Entra ID by a secret.
    #[serde(rename = "AzureAD_Secret")]
    AzureAdSecret,
    /// CGS by attestation.
    #[serde(rename = "Attested_OIDC")]
    AttestedOidc,
    /// A secret of a vault.
    #[serde(rename = "AzureKeyVault_Secret")]
    AzureKeyVaultSecret,
    /// A key that is released to attested code only.
    #[serde(rename = "AzureKeyVault_SecureKey")]
    AzureKeyVaultSecureKey,
    /// A key.
    #[serde(rename = "AzureKeyVault_Key")]
    AzureKeyVaultKey,
    /// A certificate.
    #[serde(rename = "AzureKeyVault_Certificate")]
    AzureKeyVaultCertificate,
    /// Blob storage.
    #[serde(rename = "Azure_BlobStorage")]
    AzureBlobStorage,
    /// OneLake.
    #[serde(rename = "Azure_OneLake")]
    AzureOneLake,
    /// S3-compatible object storage.
    #[serde(rename = "Aws_S3")]
    AwsS3,
    /// A registry.
    AzureContainerRegistry,
}
