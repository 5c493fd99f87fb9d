//! `cleanroom secretstore`

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use clap::Subcommand;
use url::Url;

use crate::CliError;
use crate::stores::{
    self, SecretStore, SecretStoreType, SecretStores, SupportedSecret, absolute,
    key_store_configuration,
};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretStoreCommand {
    /// Names a place for keys.
    Add {
        /// Unique name.
        #[arg(long)]
        name: String,
        /// File that lists the secret stores.
        #[arg(long, env = "CLEANROOM_SECRETSTORE_CONFIG_FILE")]
        config: PathBuf,
        /// Kind of store.
        #[arg(long)]
        backingstore_type: SecretStoreType,
        /// ARM id or URL of a vault.
        #[arg(long)]
        backingstore_id: Option<String>,
        /// Folder of a local store.
        #[arg(long)]
        backingstore_path: Option<PathBuf>,
        /// URL of the attestation service that a released key demands; for key stores.
        #[arg(long)]
        attestation_endpoint: Option<String>,
        /// What stands behind a URL; an ARM id tells by itself.
        #[arg(long, default_value = "KeyVault", value_parser = ["KeyVault", "ManagedHsm"])]
        vault_kind: String,
    },
}

pub(crate) fn run(command: SecretStoreCommand) -> Result<(), CliError> {
    let SecretStoreCommand::Add {
        name,
        config,
        backingstore_type,
        backingstore_id,
        backingstore_path,
        attestation_endpoint,
        vault_kind,
    } = command;
    let mut stores: SecretStores = stores::read(&config)?;
    if stores.find(&name).is_ok() {
        return Err(CliError::Exists {
            kind: "secret store",
            name,
        });
    }
    let missing = |argument| CliError::Argument {
        argument,
        reason: "is needed for this kind of store".to_owned(),
    };
    let (url, configuration, supported) = match backingstore_type {
        SecretStoreType::LocalFile => {
            let path = absolute(&backingstore_path.ok_or_else(|| missing("--backingstore-path"))?)?;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|error| CliError::io(path.display().to_string(), error))?;
            (
                path.display().to_string(),
                String::new(),
                SupportedSecret::Secret,
            )
        }
        SecretStoreType::AzureKeyVault => {
            let (url, _) = vault(
                &backingstore_id.ok_or_else(|| missing("--backingstore-id"))?,
                &vault_kind,
            )?;
            (url, String::new(), SupportedSecret::Secret)
        }
        SecretStoreType::AzureKeyVaultManagedHsm => {
            let (url, kind) = vault(
                &backingstore_id.ok_or_else(|| missing("--backingstore-id"))?,
                &vault_kind,
            )?;
            let authority =
                attestation_endpoint.ok_or_else(|| missing("--attestation-endpoint"))?;
            let authority = https("--attestation-endpoint", &authority)?;
            (
                url,
                key_store_configuration(&authority, &kind),
                SupportedSecret::Key,
            )
        }
    };
    stores.secretstores.push(SecretStore {
        name,
        secret_store_type: backingstore_type,
        store_provider_url: url,
        configuration,
        supported_secret_types: vec![supported],
    });
    stores::write(&config, &stores)
}

/// URL and kind of a vault, from its ARM id or its URL.
fn vault(id: &str, kind: &str) -> Result<(String, String), CliError> {
    if !id.starts_with('/') {
        return Ok((https("--backingstore-id", id)?, kind.to_owned()));
    }
    let mut segments = id.rsplit('/');
    let (name, resource) = (
        segments.next().unwrap_or_default(),
        segments.next().unwrap_or_default(),
    );
    match resource.to_ascii_lowercase().as_str() {
        "vaults" => Ok((
            format!("https://{name}.vault.azure.net"),
            "KeyVault".to_owned(),
        )),
        "managedhsms" => Ok((
            format!("https://{name}.managedhsm.azure.net"),
            "ManagedHsm".to_owned(),
        )),
        _ => Err(CliError::Argument {
            argument: "--backingstore-id",
            reason: "is neither a vault's nor a managed HSM's resource id".to_owned(),
        }),
    }
}

/// An https URL without a trailing slash.
pub(crate) fn https(argument: &'static str, text: &str) -> Result<String, CliError> {
    let refused = |reason: &str| CliError::Argument {
        argument,
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refused("is no URL"))?;
    if url.scheme() != "https"
        || url.host_str().is_none()
        || !url.username().is_empty()
        || url.query().is_some()
    {
        return Err(refused("is no plain https URL"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
