//! The owner's own files: which stores exist and where. No secret is in them in clear.

use std::io::Write;
use std::path::{Path, PathBuf};

use blob_format::FormatError;
use blob_format::manifest::ManifestHmac;
use cleanroom_spec::{EncryptionMode, Format, S3Access};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::CliError;
use crate::transfer::{Coming, Known};

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

/// Kinds of storage services.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
pub(crate) enum StoreType {
    /// Azure Blob Storage.
    #[serde(rename = "Azure_BlobStorage")]
    #[value(name = "Azure_BlobStorage")]
    AzureBlobStorage,
    /// An S3-compatible service.
    #[serde(rename = "Aws_S3")]
    #[value(name = "Aws_S3")]
    AwsS3,
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
    pub store_type: StoreType,
    pub store_provider_url: String,
    /// Container, or bucket.
    pub store_name: String,
    /// Where in S3-compatible storage, and the access key, sealed under the data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Access>,
    /// Layout of a client-side encrypted dataset; format v2 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How the envelopes of Azure client-side encryption call the data key, where that is not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Keyed root of the manifest that was written from here last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hmac: Option<String>,
    /// Keyed root of a manifest that was about to be written when a command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_manifest_hmac: Option<String>,
    /// Keyed root of the manifest that `encrypt` wrote last; it may reach storage with another tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_manifest_hmac: Option<String>,
}

impl DataStore {
    /// The layout of its files under CSE.
    pub(crate) fn layout(&self) -> Format {
        self.format.unwrap_or(Format::V2)
    }

    /// How the envelopes of Azure client-side encryption call the data key: the name of the secret that holds it wrapped.
    pub(crate) fn key_id(&self) -> String {
        let made = || wrapped_name(&self.name, &default_kek_name(&self.name));
        self.key_id.clone().unwrap_or_else(made)
    }

    /// Its place in S3-compatible storage; nothing for Azure.
    pub(crate) fn s3(&self) -> Result<Option<&S3Access>, CliError> {
        match (self.store_type, &self.s3) {
            (StoreType::AzureBlobStorage, None) => Ok(None),
            (StoreType::AwsS3, Some(access)) => Ok(Some(access)),
            _ => Err(CliError::Argument {
                argument: "storeType",
                reason: format!(
                    "datastore {:?}: there is an `s3` beside Aws_S3, and beside nothing else",
                    self.name
                ),
            }),
        }
    }

    /// Whether the place of a dataset, with a folder in it, is this one's or lies inside or around it.
    pub(crate) fn overlaps(&self, other: &Self, folder: &str) -> bool {
        let own = self.s3.as_ref().map_or("", |access| &access.prefix);
        let whole = |folder: &str| match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let (left, right) = (whole(own), whole(folder));
        (&self.store_provider_url, &self.store_name)
            == (&other.store_provider_url, &other.store_name)
            && (left.starts_with(&right) || right.starts_with(&left))
    }

    /// The recorded manifest, if any.
    pub(crate) fn manifest(&self) -> Result<Option<ManifestHmac>, FormatError> {
        self.manifest_hmac.as_deref().map(str::parse).transpose()
    }

    /// Every manifest of ours that storage may have.
    pub(crate) fn known(&self) -> Result<Known, FormatError> {
        let others = [&self.pending_manifest_hmac, &self.encrypted_manifest_hmac];
        let others = others.into_iter().flatten().map(|root| root.parse());
        Ok(Known {
            written: self.manifest()?,
            perhaps: others.collect::<Result<_, _>>()?,
        })
    }

    /// Notes a manifest that is about to be written. What it takes the place of is in storage now.
    pub(crate) fn expect(&mut self, coming: &Coming) {
        if let Some(over) = coming.over {
            self.settle(&over.to_string());
        }
        self.pending_manifest_hmac = Some(coming.root.to_string());
    }

    /// Notes the manifest that is in storage.
    pub(crate) fn settle(&mut self, root: &str) {
        if self.encrypted_manifest_hmac.as_deref() == Some(root) {
            self.encrypted_manifest_hmac = None;
        }
        self.pending_manifest_hmac = None;
        self.manifest_hmac = Some(root.to_owned());
    }
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
    pub(crate) fn find_mut(&mut self, name: &str) -> Result<&mut DataStore, CliError> {
        let found = self.datastores.iter_mut().find(|store| store.name == name);
        found.ok_or_else(|| CliError::NotFound {
            kind: "datastore",
            name: name.to_owned(),
        })
    }

    pub(crate) fn find(&self, name: &str) -> Result<&DataStore, CliError> {
        let found = self.datastores.iter().find(|store| store.name == name);
        found.ok_or_else(|| CliError::NotFound {
            kind: "datastore",
            name: name.to_owned(),
        })
    }
}

/// Changes the list of datastores while no other command does.
pub(crate) fn update<T>(
    path: &Path,
    change: impl FnOnce(&mut DataStores) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let failed = |error| CliError::io(path.display().to_string(), error);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // The file itself is replaced, so the folder is what can be locked.
    let folder = std::fs::File::open(folder).map_err(failed)?;
    folder.lock().map_err(failed)?;
    let mut stores = read(path)?;
    let value = change(&mut stores)?;
    write(path, &stores)?;
    Ok(value)
}

/// Name of the secret that holds a datastore's key, wrapped under a key encryption key.
pub(crate) fn wrapped_name(datastore: &str, kek: &str) -> String {
    format!("wrapped-{datastore}-dek-{kek}")
}

/// Made from the access name, so that it does not depend on how a path was typed.
pub(crate) fn default_kek_name(access_name: &str) -> String {
    let id = Uuid::new_v3(&Uuid::NAMESPACE_X500, access_name.as_bytes())
        .simple()
        .to_string();
    format!("{}-kek", id.get(..8).unwrap_or(&id))
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
    let whole = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    let written = whole();
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
