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
        match self {
            Self::KeyVault => "https://vault.azure.net",
            Self::ManagedHsm => "https://managedhsm.azure.net",
        }
    }

    /// The scope to ask Entra ID for: the audience and `/.default`.
    pub const fn scope(self) -> &'static str {
        match self {
            Self::KeyVault => "https://vault.azure.net/.default",
            Self::ManagedHsm => "https://managedhsm.azure.net/.default",
        }
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
