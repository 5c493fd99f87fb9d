//! The owner's own files: which stores exist and where. No secret is in them.

use std::path::{Path, PathBuf};

use cleanroom_spec::EncryptionMode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::CliError;

/// A place for keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretStore {
    pub name: String,
    pub secret_store_type: SecretStoreType,
    /// Folder of a local store, URL of a vault.
    pub store_provider_url: String,
    /// JSON text for key stores: `authority`, `vaultKind`.
    #[serde(default)]
    pub configuration: String,
    pub supported_secret_types: Vec<SupportedSecret>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
pub(crate) enum SecretStoreType {
    #[serde(rename = "Azure_KeyVault")]
    #[value(name = "Azure_KeyVault")]
    AzureKeyVault,
    #[serde(rename = "Azure_KeyVault_Managed_HSM")]
    #[value(name = "Azure_KeyVault_Managed_HSM")]
    AzureKeyVaultManagedHsm,
    #[serde(rename = "Local_File")]
    #[value(name = "Local_File")]
    LocalFile,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum SupportedSecret {
    Secret,
    Key,
}

/// An encrypted dataset of the owner.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DataStore {
    pub name: String,
    /// File that describes the store of the data key; absolute.
    #[serde(rename = "secretstore_config")]
    pub secretstore_config: PathBuf,
    #[serde(rename = "secretstore_name")]
    pub secretstore_name: String,
    pub encryption_mode: EncryptionMode,
    pub store_type: String,
    pub store_provider_url: String,
    /// Container.
    pub store_name: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretStores {
    #[serde(default)]
    pub secretstores: Vec<SecretStore>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataStores {
    #[serde(default)]
    pub datastores: Vec<DataStore>,
}

impl SecretStores {
    pub(crate) fn find(&self, name: &str) -> Result<&SecretStore, CliError> {
        let found = self.secretstores.iter().find(|store| store.name == name);
        found.ok_or_else(|| CliError::NotFound {
            kind: "secret store",
            name: name.to_owned(),
        })
    }
}

impl SecretStore {
    pub(crate) fn must_hold(&self, wanted: SupportedSecret) -> Result<&Self, CliError> {
        if self.supported_secret_types.contains(&wanted) {
            return Ok(self);
        }
        Err(CliError::UnsupportedStore {
            name: self.name.clone(),
            wanted: match wanted {
                SupportedSecret::Secret => "secret",
                SupportedSecret::Key => "releasable key",
            },
        })
    }
}

impl DataStores {
    pub(crate) fn find(&self, name: &str) -> Result<&DataStore, CliError> {
        let found = self.datastores.iter().find(|store| store.name == name);
        found.ok_or_else(|| CliError::NotFound {
            kind: "datastore",
            name: name.to_owned(),
        })
    }
}

/// Reads a file of ours; a missing one is empty.
pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_saphyr::from_str(&text).map_err(|error| CliError::file(path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(CliError::io(path.display().to_string(), error)),
    }
}

/// Writes a file of ours whole or not at all.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), CliError> {
    let value = serde_json::to_value(value).map_err(|error| CliError::file(path, error))?;
    let text = serde_saphyr::to_string(&value).map_err(|error| CliError::file(path, error))?;
    write_text(path, &text)
}

/// Writes a text whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), CliError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(|error| CliError::io(path.display().to_string(), error))
}

/// A path as it will mean the same from every folder.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::io(path.display().to_string(), error))
}

/// `configuration` of a key store.
pub(crate) fn key_store_configuration(authority: &str, vault_kind: &str) -> String {
    json!({"authority": authority, "vaultKind": vault_kind}).to_string()
}
