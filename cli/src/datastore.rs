//! `cleanroom datastore`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_store::{AzureConfig, AzureStore, CustomerKey};
use clap::Subcommand;
use cleanroom_spec::EncryptionMode;
use serde_json::json;
use url::Url;

use crate::credential::{Access, Azure};
use crate::secretstore::https as https_url;
use crate::stores::{self, DataStore, DataStores, SecretStores, SupportedSecret, absolute};
use crate::{CliError, deks, transfer};

/// Encryption modes of a datastore.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// The clean room encrypts (format v2).
    #[value(name = "CSE")]
    Cse,
    /// The storage service encrypts, with our key.
    #[value(name = "CPK")]
    Cpk,
}

impl From<Mode> for EncryptionMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Cse => Self::Cse,
            Mode::Cpk => Self::Cpk,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataStoreCommand {
    /// Makes a data key and a container.
    Add(AddArgs),
    /// Encrypts and uploads the files of a folder.
    Upload {
        /// Datastore.
        #[arg(long)]
        name: String,
        /// File that lists the datastores.
        #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
        config: PathBuf,
        /// The folder.
        #[arg(long)]
        src: PathBuf,
    },
    /// Downloads, verifies and decrypts to `<dst>/<datastore>/<container>/`.
    Download {
        /// Datastore.
        #[arg(long)]
        name: String,
        /// File that lists the datastores.
        #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
        config: PathBuf,
        /// The folder.
        #[arg(long)]
        dst: PathBuf,
    },
}

#[derive(clap::Args, Debug)]
pub(crate) struct AddArgs {
    /// Unique name.
    #[arg(long)]
    pub name: String,
    /// File that lists the datastores.
    #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
    pub config: PathBuf,
    /// Local secret store for the data key.
    #[arg(long)]
    pub secretstore: String,
    /// File that lists the secret stores.
    #[arg(long, env = "CLEANROOM_SECRETSTORE_CONFIG_FILE")]
    pub secretstore_config: PathBuf,
    /// Who encrypts.
    #[arg(long)]
    pub encryption_mode: Mode,
    /// Kind of store.
    #[arg(long, value_parser = ["Azure_BlobStorage"])]
    pub backingstore_type: String,
    /// ARM id or blob URL of the account.
    #[arg(long)]
    pub backingstore_id: String,
    /// Container; the datastore's name by default.
    #[arg(long)]
    pub container_name: Option<String>,
}

pub(crate) async fn run(command: DataStoreCommand, access: &Access) -> Result<(), CliError> {
    match command {
        DataStoreCommand::Add(args) => add(args, &access.azure()?).await.map(|_| ()),
        DataStoreCommand::Upload { name, config, src } => {
            let stores: DataStores = stores::read(&config)?;
            let store = stores.find(&name)?;
            let sent = transfer::upload(&open(store, &access.azure()?)?, &src).await?;
            crate::print(&json!({"files": sent.files, "bytes": sent.bytes}))
        }
        DataStoreCommand::Download { name, config, dst } => {
            let stores: DataStores = stores::read(&config)?;
            let store = stores.find(&name)?;
            download(store, &dst, &access.azure()?).await
        }
    }
}

/// Adds a datastore: container, key, entry. A container that cannot be made yet (a role that has not reached the service)
/// leaves nothing behind, so that the command can be repeated; a key is never made twice.
pub(crate) async fn add(args: AddArgs, azure: &Azure) -> Result<DataStore, CliError> {
    let mut stores: DataStores = stores::read(&args.config)?;
    if stores.find(&args.name).is_ok() {
        return Err(CliError::Exists {
            kind: "datastore",
            name: args.name,
        });
    }
    let secretstore_config = absolute(&args.secretstore_config)?;
    let secret_stores: SecretStores = stores::read(&secretstore_config)?;
    let folder = secret_stores
        .find(&args.secretstore)?
        .must_hold(SupportedSecret::Secret)?;
    if folder.secret_store_type != stores::SecretStoreType::LocalFile {
        return Err(CliError::UnsupportedStore {
            name: folder.name.clone(),
            wanted: "data key on this machine",
        });
    }
    let store = DataStore {
        store_name: args.container_name.unwrap_or_else(|| args.name.clone()),
        name: args.name,
        secretstore_config,
        secretstore_name: args.secretstore,
        encryption_mode: args.encryption_mode.into(),
        store_type: args.backingstore_type,
        store_provider_url: account_url(&args.backingstore_id)?,
    };
    let key = deks::path(&folder.store_provider_url, &store.name);
    deks::must_be_new(&key)?;
    blobs(&store, azure, None)?.create_container().await?;
    deks::create(&key)?;
    stores.datastores.push(store.clone());
    stores::write(&args.config, &stores)?;
    Ok(store)
}

/// Blob URL of an account, from its ARM id or its URL.
pub(crate) fn account_url(id: &str) -> Result<String, CliError> {
    if !id.starts_with('/') {
        return https_url("--backingstore-id", id);
    }
    match id.rsplit_once("/storageAccounts/") {
        Some((_, name))
            if !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) =>
        {
            Ok(format!("https://{name}.blob.core.windows.net"))
        }
        _ => Err(CliError::Argument {
            argument: "--backingstore-id",
            reason: "is no storage account's resource id".to_owned(),
        }),
    }
}

/// An opened datastore.
pub(crate) struct Open {
    pub name: String,
    pub mode: EncryptionMode,
    pub dek: cleanroom_crypto::Dek,
    pub store: AzureStore,
}

pub(crate) fn open(store: &DataStore, azure: &Azure) -> Result<Open, CliError> {
    let dek = deks::load(store)?;
    let key = match store.encryption_mode {
        EncryptionMode::Cpk => Some(CustomerKey::new(&dek)),
        EncryptionMode::Cse | EncryptionMode::Sse => None,
    };
    Ok(Open {
        name: store.name.clone(),
        mode: store.encryption_mode,
        dek,
        store: blobs(store, azure, key)?,
    })
}

fn blobs(
    store: &DataStore,
    azure: &Azure,
    key: Option<CustomerKey>,
) -> Result<AzureStore, CliError> {
    let endpoint = Url::parse(&store.store_provider_url).map_err(|error| CliError::Argument {
        argument: "storeProviderUrl",
        reason: error.to_string(),
    })?;
    let mut config = AzureConfig::new(endpoint, &store.store_name, azure.storage_tokens());
    config.key = key.map(Arc::new);
    Ok(AzureStore::new(config, azure.client())?)
}

/// Downloads to `<dst>/<datastore>/<container>/`, the layout that azcopy leaves, and prints what came.
#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
pub(crate) async fn download(store: &DataStore, dst: &Path, azure: &Azure) -> Result<(), CliError> {
    let target = dst.join(&store.name).join(&store.store_name);
    let got = transfer::download(&open(store, azure)?, &target).await?;
    if got.root.is_none() {
        eprintln!(
            "{}: there is no manifest, so a missing or older file cannot be noticed",
            store.name
        );
    }
    crate::print(&json!({
        "files": got.files,
        "bytes": got.bytes,
        "folder": target,
        "manifestHmac": got.root,
    }))
}
