use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_format::manifest::ManifestHmac;
use cleanroom_crypto::digest;
use serde_json::json;

use super::{Limits, Pin, Which, journal, open, warn_of_pins, warn_of_unpinned};
use crate::CliError;
use crate::credential::Azure;
use crate::stores::{self, DataStore, DataStores};
use crate::transfer::{Convert, Download, Engine, Known, Moved, Upload};

#[derive(clap::Args, Debug)]
pub(crate) struct UploadArgs {
    #[command(flatten)]
    which: Which,
    /// The folder.
    #[arg(long)]
    src: PathBuf,
    /// Make the dataset exactly the folder: what else is in the container is removed. Without it, files that the manifest
    /// lists and the folder does not have stay.
    #[arg(long)]
    mirror: bool,
    /// Keyed root of the manifest in storage that is vouched for; by default the one that was written from here last.
    #[arg(long, value_name = "HEX")]
    manifest_hmac: Option<ManifestHmac>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args, Debug)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    which: Which,
    /// The folder.
    #[arg(long)]
    dst: PathBuf,
    #[command(flatten)]
    pin: Pin,
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    which: Which,
    /// Datastore to write, in the same list.
    #[arg(long)]
    to: String,
    #[command(flatten)]
    pin: Pin,
    #[command(flatten)]
    limits: Limits,
}

pub(super) async fn upload(args: &UploadArgs, azure: &Azure) -> Result<(), CliError> {
    let store = args.which.store()?;
    open::sweep(&store, azure).await?;
    let upload = Upload {
        to: &*open::remote(&store, azure)?,
        engine: &Engine::new(&args.limits),
        journal: &Arc::new(args.which.journal("upload")?),
        known: &match args.manifest_hmac {
            Some(given) => Known::only(given),
            None => store.known()?,
        },
        expect: &|coming| args.which.note(&store.name, |store| store.expect(coming)),
        mirror: args.mirror,
    };
    let moved = upload.run(&args.src).await?;
    if let Some(root) = &moved.root {
        args.which.note(&store.name, |store| store.settle(root))?;
        warn_of_pins(&store, root);
    }
    crate::print(&moved.to_json())
}

pub(super) async fn download_again(args: &DownloadArgs, azure: &Azure) -> Result<(), CliError> {
    let store = args.which.store()?;
    let pinned = args.pin.of(&store)?;
    let (config, limits) = (&args.which.config, &args.limits);
    let moved = fetch(config, &store, &args.dst, &pinned, limits, azure).await?;
    if args.pin.is_recorded() && !pinned.is_any() {
        args.which.found(&store, moved.root.as_deref())?;
    }
    Ok(())
}

/// Downloads what a room wrote, as `datastore download`; which manifest it wrote is not known here.
pub(crate) async fn download(
    config: &Path,
    name: &str,
    dst: &Path,
    azure: &Azure,
) -> Result<(), CliError> {
    let stores: DataStores = stores::read(config)?;
    fetch(
        config,
        stores.find(name)?,
        dst,
        &Known::default(),
        &Limits::default(),
        azure,
    )
    .await
    .map(|_| ())
}

/// Downloads to `<dst>/<datastore>/<container>/`, the layout that azcopy leaves, and prints what came.
async fn fetch(
    config: &Path,
    store: &DataStore,
    dst: &Path,
    pinned: &Known,
    limits: &Limits,
    azure: &Azure,
) -> Result<Moved, CliError> {
    let target = dst.join(&store.name).join(&store.store_name);
    let download = Download {
        from: &open::remote(store, azure)?,
        engine: &Engine::new(limits),
        journal: &Arc::new(journal(
            config,
            &store.name,
            &of_folder("download", &target)?,
        )?),
        pinned,
    };
    let moved = download.run(&target).await?;
    warn_of_unpinned(store, &moved);
    let mut shown = moved.to_json();
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("folder".to_owned(), json!(target));
    }
    crate::print(&shown)?;
    Ok(moved)
}

pub(super) async fn convert(args: &ConvertArgs, azure: &Azure) -> Result<(), CliError> {
    let stores: DataStores = stores::read(&args.which.config)?;
    let (from, to) = (stores.find(&args.which.name)?, stores.find(&args.to)?);
    let folder = to.s3()?.map_or("", |access| &access.prefix);
    if from.overlaps(to, folder) {
        return Err(CliError::Argument {
            argument: "--to",
            reason: "is the same container; the old dataset stays until the new one is verified"
                .to_owned(),
        });
    }
    open::sweep(to, azure).await?;
    // Two engines of half the memory.
    let half = Limits {
        memory_mb: args.limits.memory_mb / 2,
        ..args.limits
    };
    let convert = Convert {
        from: &open::remote(from, azure)?,
        to: &open::remote(to, azure)?,
        reading: &Engine::new(&Limits {
            quiet: true,
            ..half
        }),
        writing: &Engine::new(&half),
        journal: &journal(&args.which.config, &to.name, &format!("from.{}", from.name))?,
        pinned: &args.pin.demanded(from)?,
        known: &to.known()?,
        expect: &|coming| args.which.note(&to.name, |store| store.expect(coming)),
    };
    let moved = convert.run().await?;
    warn_of_unpinned(from, &moved);
    if let Some(root) = &moved.root {
        args.which.note(&to.name, |store| store.settle(root))?;
        warn_of_pins(to, root);
    }
    crate::print(&moved.to_json())
}

/// Names the journal of a folder.
pub(super) fn of_folder(what: &str, folder: &Path) -> Result<String, CliError> {
    let folder = stores::absolute(folder)?;
    let digest = hex::encode(digest::sha256(folder.as_os_str().as_encoded_bytes()));
    Ok(format!("{what}-{}", digest.get(..16).unwrap_or_default()))
}
