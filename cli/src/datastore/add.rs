use std::path::PathBuf;

use cleanroom_spec::{EncryptionMode, Format};

use super::{S3Args, open};
use crate::credential::Azure;
use crate::secretstore::https as https_url;
use crate::stores::{
    self, DataStore, DataStores, SecretStores, StoreType, SupportedSecret, absolute,
};
use crate::{CliError, deks};

/// Encryption modes of a datastore.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// The clean room encrypts.
    #[value(name = "CSE")]
    Cse,
    /// The storage service encrypts, with our key.
    #[value(name = "CPK")]
    Cpk,
    /// The storage service encrypts, with its own key: it can read everything. Our key seals the manifest only.
    #[value(name = "SSE")]
    Sse,
}

impl From<Mode> for EncryptionMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Cse => Self::Cse,
            Mode::Cpk => Self::Cpk,
            Mode::Sse => Self::Sse,
        }
    }
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
    #[arg(long, value_enum)]
    pub backingstore_type: StoreType,
    /// ARM id or blob URL of the account, or URL of the S3-compatible service.
    #[arg(long)]
    pub backingstore_id: String,
    /// Container, or bucket; the datastore's name by default.
    #[arg(long)]
    pub container_name: Option<String>,
    /// Layout of files under CSE: `v2` (by default), `cse-v1`, `cse-v1-4m`, `azure-cse-2.1` or `azure-cse-2.1-sealed`.
    #[arg(long)]
    pub format: Option<Format>,
    /// How the files of Azure client-side encryption call the data key: the name that the wrapped key will have.
    #[arg(long)]
    pub key_id: Option<String>,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Adds a datastore: container, key, entry. A container that cannot be made yet (a role that has not reached the service)
/// leaves nothing behind, so that the command can be repeated; a key is never made twice.
pub(crate) async fn add(args: AddArgs, azure: &Azure) -> Result<DataStore, CliError> {
    let stores: DataStores = stores::read(&args.config)?;
    if stores.find(&args.name).is_ok() {
        return Err(CliError::Exists {
            kind: "datastore",
            name: args.name,
        });
    }
    if args.format.is_some() && args.encryption_mode != Mode::Cse {
        return Err(CliError::Argument {
            argument: "--format",
            reason: "needs --encryption-mode CSE".to_owned(),
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
    let url = match args.backingstore_type {
        StoreType::AzureBlobStorage => account_url(&args.backingstore_id)?,
        StoreType::AwsS3 => https_url("--backingstore-id", &args.backingstore_id)?,
    };
    let mut store = DataStore {
        store_name: args.container_name.unwrap_or_else(|| args.name.clone()),
        name: args.name,
        secretstore_config,
        secretstore_name: args.secretstore,
        encryption_mode: args.encryption_mode.into(),
        store_type: args.backingstore_type,
        store_provider_url: url,
        s3: None,
        format: args.format.filter(|format| *format != Format::V2),
        key_id: args.key_id,
        manifest_hmac: None,
        pending_manifest_hmac: None,
        encrypted_manifest_hmac: None,
    };
    let key = deks::path(&folder.store_provider_url, &store.name);
    deks::must_be_new(&key)?;
    match args.s3.place(&store)? {
        None => {
            open::container(&store, azure, None)?
                .create_container()
                .await?;
            deks::create(&key)?;
        }
        Some(place) => {
            // A dataset made exactly a folder (`upload --mirror`) would take the other's files away.
            let mut others = stores.datastores.iter();
            if let Some(other) = others.find(|other| place.overlaps(other, &store)) {
                return Err(CliError::Exists {
                    kind: "in or around this place, datastore",
                    name: other.name.clone(),
                });
            }
            let access = place.try_access_key(&store, azure).await?;
            deks::create(&key)?;
            store.s3 = Some(place.seal(&store, &access)?);
        }
    }
    stores::update(&args.config, |stores| {
        stores.datastores.push(store.clone());
        Ok(store)
    })
}

/// Blob URL of an account, from its ARM id or its URL.
fn account_url(id: &str) -> Result<String, CliError> {
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
