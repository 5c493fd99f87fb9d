//! `cleanroom datastore`

mod add;
mod local;
pub(crate) mod open;
mod remote;
mod s3;
mod verify;

use std::path::{Path, PathBuf};

use blob_format::manifest::ManifestHmac;
use clap::Subcommand;

pub(crate) use self::add::{AddArgs, Mode, add};
pub(crate) use self::remote::download;
pub(crate) use self::s3::{S3Args, fits_s3};
use crate::CliError;
use crate::credential::Access;
use crate::stores::{self, DataStore, DataStores};
use crate::transfer::{Journal, Known, Limits, Moved};

#[derive(Debug, Subcommand)]
pub(crate) enum DataStoreCommand {
    /// Makes a data key and a container; a bucket must be there.
    Add(AddArgs),
    /// Seals another access key for a datastore in S3-compatible storage.
    SealAccessKey(s3::SealArgs),
    /// Encrypts and uploads the files of a folder, and writes the manifest that lists them.
    Upload(remote::UploadArgs),
    /// Downloads, verifies and decrypts to `<dst>/<datastore>/<container>/`.
    Download(remote::DownloadArgs),
    /// Encrypts the files of a folder into another one, to be uploaded with any tool.
    Encrypt(local::EncryptArgs),
    /// Verifies and decrypts a folder of encrypted files into another one.
    Decrypt(local::DecryptArgs),
    /// Writes a datastore into another one, in that one's format and under its key.
    Convert(remote::ConvertArgs),
    /// Compares a datastore, or a folder of its encrypted files, with the manifest.
    Verify(verify::VerifyArgs),
}

/// A datastore.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Which {
    /// Datastore.
    #[arg(long, alias = "datastore-name")]
    pub(crate) name: String,
    /// File that lists the datastores.
    #[arg(
        long,
        alias = "datastore-config",
        env = "CLEANROOM_DATASTORE_CONFIG_FILE"
    )]
    pub(crate) config: PathBuf,
}

/// What the manifest of a datastore must be.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Pin {
    /// Keyed root that the manifest must have; by default the one of the manifest that was written from here last.
    #[arg(long, value_name = "HEX")]
    manifest_hmac: Option<ManifestHmac>,
    /// Take the manifest that is there, also an old one.
    #[arg(long, conflicts_with = "manifest_hmac")]
    any_manifest: bool,
}

impl Which {
    fn store(&self) -> Result<DataStore, CliError> {
        let stores: DataStores = stores::read(&self.config)?;
        stores.find(&self.name).cloned()
    }

    /// The journal of what was done with the datastore.
    fn journal(&self, what: &str) -> Result<Journal, CliError> {
        journal(&self.config, &self.name, what)
    }

    /// Changes what is noted of a datastore.
    fn note(&self, name: &str, change: impl FnOnce(&mut DataStore)) -> Result<(), CliError> {
        stores::update(&self.config, |stores| {
            change(stores.find_mut(name)?);
            Ok(())
        })
    }

    /// Notes that storage has a manifest of ours which was not known to have reached it.
    fn found(&self, store: &DataStore, root: Option<&str>) -> Result<(), CliError> {
        match root {
            Some(root) if store.manifest_hmac.as_deref() != Some(root) => {
                warn_of_pins(store, root);
                self.note(&store.name, |store| store.settle(root))
            }
            _ => Ok(()),
        }
    }
}

impl Pin {
    fn of(&self, store: &DataStore) -> Result<Known, CliError> {
        match self {
            Self {
                any_manifest: true, ..
            } => Ok(Known::default()),
            Self {
                manifest_hmac: Some(given),
                ..
            } => Ok(Known::only(*given)),
            _ => Ok(store.known()?),
        }
    }

    /// As [`Pin::of`]; an unknown manifest is an error, as an old dataset with its old manifest would pass.
    fn demanded(&self, store: &DataStore) -> Result<Known, CliError> {
        let pinned = self.of(store)?;
        if pinned.is_any() && !self.any_manifest {
            return Err(CliError::Argument {
                argument: "--manifest-hmac",
                reason: format!(
                    "no manifest of {:?} was written from here; give its keyed root, or take any with --any-manifest",
                    store.name
                ),
            });
        }
        Ok(pinned)
    }

    /// Whether what passes is a manifest of ours, to be noted.
    const fn is_recorded(&self) -> bool {
        self.manifest_hmac.is_none() && !self.any_manifest
    }
}

/// Journals lie beside the list of datastores, in `<list>.state`.
fn journal(config: &Path, name: &str, what: &str) -> Result<Journal, CliError> {
    let mut folder = config.as_os_str().to_owned();
    folder.push(".state");
    Journal::open(Path::new(&folder), &format!("{name}.{what}"))
}

pub(crate) async fn run(command: DataStoreCommand, access: &Access) -> Result<(), CliError> {
    match command {
        DataStoreCommand::Add(args) => add(args, &access.azure()?).await.map(|_| ()),
        DataStoreCommand::SealAccessKey(args) => s3::seal_again(&args, &access.azure()?).await,
        DataStoreCommand::Upload(args) => remote::upload(&args, &access.azure()?).await,
        DataStoreCommand::Download(args) => remote::download_again(&args, &access.azure()?).await,
        DataStoreCommand::Encrypt(args) => local::encrypt(&args).await,
        DataStoreCommand::Decrypt(args) => local::decrypt(&args).await,
        DataStoreCommand::Convert(args) => remote::convert(&args, &access.azure()?).await,
        DataStoreCommand::Verify(args) => verify::run(&args, access).await,
    }
}

/// Says what a person must know of a new manifest.
#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
fn warn_of_pins(store: &DataStore, root: &str) {
    if let Some(before) = &store.manifest_hmac
        && before != root
    {
        eprintln!(
            "{}: the dataset changed. A contract that pins the manifest {before} no longer matches it: rooms under that \
             contract refuse the files until `config add-datasource` is run again and the contract is accepted anew",
            store.name
        );
    }
}

/// Says what cannot be noticed without a manifest, or with any.
#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
fn warn_of_unpinned(store: &DataStore, moved: &Moved) {
    match (&moved.root, moved.pinned) {
        (None, _) => eprintln!(
            "{}: there is no manifest, so a missing or older file cannot be noticed",
            store.name
        ),
        (Some(root), Some(false)) => eprintln!(
            "{}: the manifest {root} was not pinned, so an older dataset with its older manifest cannot be noticed; compare \
             it with what its writer says",
            store.name
        ),
        (Some(_), _) => {}
    }
}
