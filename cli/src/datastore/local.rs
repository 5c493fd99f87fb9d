use std::path::PathBuf;
use std::sync::Arc;

use super::remote::of_folder;
use super::{Limits, Pin, Which, open, warn_of_unpinned};
use crate::CliError;
use crate::transfer::{Download, Engine, Known, Upload};

#[derive(clap::Args, Debug)]
pub(crate) struct EncryptArgs {
    #[command(flatten)]
    which: Which,
    /// Folder of the clear files.
    #[arg(long, alias = "src")]
    source_path: PathBuf,
    /// Folder for the encrypted files and their manifest, under the same names.
    #[arg(long, alias = "dst")]
    destination_path: PathBuf,
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args, Debug)]
pub(crate) struct DecryptArgs {
    #[command(flatten)]
    which: Which,
    /// Folder of the encrypted files.
    #[arg(long, alias = "src")]
    source_path: PathBuf,
    /// Folder for the clear files, under the same names.
    #[arg(long, alias = "dst")]
    destination_path: PathBuf,
    #[command(flatten)]
    pin: Pin,
    #[command(flatten)]
    limits: Limits,
}

pub(super) async fn encrypt(args: &EncryptArgs) -> Result<(), CliError> {
    let store = args.which.store()?;
    let (from, to) = (&args.source_path, &args.destination_path);
    std::fs::create_dir_all(to).map_err(|error| CliError::io(to.display().to_string(), error))?;
    must_be_apart(from, to)?;
    let journal = Arc::new(args.which.journal(&of_folder("encrypt", to)?)?);
    let upload = Upload {
        to: &*open::local(&store, to, Some(&journal))?,
        engine: &Engine::new(&args.limits),
        journal: &journal,
        known: &in_folder(store.known()?),
        // Nothing has reached storage: what is recorded of it stays.
        expect: &|coming| {
            let root = coming.root.to_string();
            args.which.note(&store.name, |store| {
                store.encrypted_manifest_hmac = Some(root)
            })
        },
        mirror: false,
    };
    let moved = upload.run(from).await?;
    crate::print(&moved.to_json())
}

pub(super) async fn decrypt(args: &DecryptArgs) -> Result<(), CliError> {
    let store = args.which.store()?;
    let (from, to) = (&args.source_path, &args.destination_path);
    std::fs::create_dir_all(to).map_err(|error| CliError::io(to.display().to_string(), error))?;
    must_be_apart(from, to)?;
    let download = Download {
        from: &open::local(&store, from, None)?,
        engine: &Engine::new(&args.limits),
        journal: &Arc::new(args.which.journal(&of_folder("decrypt", to)?)?),
        pinned: &args.pin.of(&store)?,
    };
    let moved = download.run(to).await?;
    warn_of_unpinned(&store, &moved);
    crate::print(&moved.to_json())
}

/// A folder need not have the manifest that was written to storage.
fn in_folder(mut known: Known) -> Known {
    known.perhaps.extend(known.written.take());
    known
}

/// A folder inside the other would be read while it is written.
fn must_be_apart(one: &std::path::Path, other: &std::path::Path) -> Result<(), CliError> {
    let real = |path: &std::path::Path| {
        let real = path.canonicalize();
        real.map_err(|error| CliError::io(path.display().to_string(), error))
    };
    let (one, other) = (real(one)?, real(other)?);
    if one.starts_with(&other) || other.starts_with(&one) {
        return Err(CliError::Argument {
            argument: "--destination-path",
            reason: "the two folders lie in one another".to_owned(),
        });
    }
    Ok(())
}
