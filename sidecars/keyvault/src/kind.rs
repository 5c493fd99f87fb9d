use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which of the two services a vault is. Configuration says so; a host name never does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum VaultKind {
    /// Azure Key Vault.
    KeyVault,
    /// Azure Key Vault Managed HSM.
    ManagedHsm,
}

/// A text that names no kind of vault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a vault is \"KeyVault\" or \"ManagedHsm\"")]
pub struct UnknownVaultKind;

impl VaultKind {
    /// The audience of access tokens in the public cloud.
    pub const fn audience(self) -> &'static str {
        Cloud::Public.audience(self)
    }

    /// The scope to ask Entra ID for: the audience and `/.default`.
    pub const fn scope(self) -> &'static str {
        Cloud::Public.scope(self)
    }

    /// The name in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyVault => "KeyVault",
            Self::ManagedHsm => "ManagedHsm",
        }
    }
}

impl fmt::Display for VaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for VaultKind {
    type Err = UnknownVaultKind;

    fn from_str(text: &str) -> Result<Self, UnknownVaultKind> {
        [Self::KeyVault, Self::ManagedHsm]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownVaultKind)
    }
}

/// Which Azure a vault belongs to, and so for whom its access tokens are. Configuration says so; a host name never does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Cloud {
    /// The public one.
    #[default]
    #[serde(rename = "AzureCloud")]
    Public,
    /// China, operated by 21Vianet.
    #[serde(rename = "AzureChinaCloud")]
    China,
    /// US Government.
    #[serde(rename = "AzureUSGovernment")]
    UsGovernment,
}

/// A text that names no cloud.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a cloud is \"AzureCloud\", \"AzureChinaCloud\" or \"AzureUSGovernment\"")]
pub struct UnknownCloud;

impl Cloud {
    /// The audience of access tokens for a vault of this kind.
    pub const fn audience(self, kind: VaultKind) -> &'static str {
        match (self, kind) {
            (Self::Public, VaultKind::KeyVault) => "https://vault.azure.net",
            (Self::Public, VaultKind::ManagedHsm) => "https://managedhsm.azure.net",
            (Self::China, VaultKind::KeyVault) => "https://vault.azure.cn",
            (Self::China, VaultKind::ManagedHsm) => "https://managedhsm.azure.cn",
            (Self::UsGovernment, VaultKind::KeyVault) => "https://vault.usgovcloudapi.net",
            (Self::UsGovernment, VaultKind::ManagedHsm) => "https://managedhsm.usgovcloudapi.net",
        }
    }

    /// The scope to ask Entra ID for: the audience and `/.default`.
    pub const fn scope(self, kind: VaultKind) -> &'static str {
        match (self, kind) {
            (Self::Public, VaultKind::KeyVault) => "https://vault.azure.net/.default",
            (Self::Public, VaultKind::ManagedHsm) => "https://managedhsm.azure.net/.default",
            (Self::China, VaultKind::KeyVault) => "https://vault.azure.cn/.default",
            (Self::China, VaultKind::ManagedHsm) => "https://managedhsm.azure.cn/.default",
            (Self::UsGovernment, VaultKind::KeyVault) => "https://vault.usgovcloudapi.net/.default",
            (Self::UsGovernment, VaultKind::ManagedHsm) => {
                "https://managedhsm.usgovcloudapi.net/.default"
            }
        }
    }

    /// The name in configurations, as Azure's own tools have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "AzureCloud",
            Self::China => "AzureChinaCloud",
            Self::UsGovernment => "AzureUSGovernment",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(text: &str) -> Result<Self, UnknownCloud> {
        [Self::Public, Self::China, Self::UsGovernment]
            .into_iter()
            .find(|cloud| cloud.as_str() == text)
            .ok_or(UnknownCloud)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_scopes_follow_audiences() {
        let kinds = [VaultKind::KeyVault, VaultKind::ManagedHsm];
        for cloud in [Cloud::Public, Cloud::China, Cloud::UsGovernment] {
            assert_eq!(cloud.as_str().parse(), Ok(cloud));
            let json = serde_json::to_value(cloud).unwrap();
            assert_eq!(json, cloud.as_str());
            for kind in kinds {
                let scope = format!("{}/.default", cloud.audience(kind));
                assert_eq!(cloud.scope(kind), scope);
            }
        }
        for kind in kinds {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.audience(), Cloud::Public.audience(kind));
        }
        assert_eq!("vault.azure.cn".parse::<Cloud>(), Err(UnknownCloud));
        assert_eq!("keyvault".parse::<VaultKind>(), Err(UnknownVaultKind));
    }
}
