//! From root to a served mount, and back to nothing.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use blob_fs::{Buffers, FileSystem, Options};
use blob_store::{
    AzureConfig, AzureStore, BlobStore, CustomerKey, S3Config, S3Credentials, S3Store,
};
use cleanroom_crypto::Dek;
use sidecar_http::services::{self, IDENTITY, SECRETS};
use sidecar_http::{Coded, HttpsClient, Room};
use sidecar_kit::{CommonArgs, EXIT_CONFIG, EXIT_FAILED, Privileges, Process, run_process};
use tokio::sync::oneshot;

use crate::args::Store;
use crate::mount::{Guard, Mounted, become_user, mount};
use crate::routes::{Ready, routes};
use crate::{Args, ReadAhead, ShimError, content_memory, fuse, marker, tune_allocator};

/// How long the sidecars that a mount needs may take to come up.
const PEERS: Duration = Duration::from_secs(300);
/// What was written must reach storage within the time that a container gets to stop.
const FINISH: Duration = Duration::from_secs(15);

/// Runs a shim: mounts as root, becomes its own user, then runs as every other sidecar. Must be called before any thread
/// is started.
pub fn start(args: Args, common: CommonArgs) -> ExitCode {
    tune_allocator();
    let service = services::shim(&args.access_name, args.uid);
    let prepared = args.check().and_then(|()| {
        // A probe runs beside the process that holds the mount.
        let mounted = match common.probe {
            true => None,
            false => Some(mount(&args.mount_path, args.uid, args.is_read_only())?),
        };
        become_user(args.uid)?;
        Ok(mounted)
    });
    let mounted = match prepared {
        Ok(mounted) => mounted,
        Err(error) => {
            let text = sidecar_http::chain(&error);
            let _ = writeln!(std::io::stderr(), "{}: {text}", error.code());
            return ExitCode::from(match error {
                ShimError::Config(_) => EXIT_CONFIG,
                _ => EXIT_FAILED,
            });
        }
    };
    run_process(service, common, Privileges::none(), |process| async move {
        match mounted {
            Some(mounted) => run(args, mounted, process).await,
            None => Ok(ExitCode::FAILURE),
        }
    })
}

async fn run(args: Args, mounted: Mounted, process: Process) -> anyhow::Result<ExitCode> {
    let Mounted {
        device,
        read_ahead,
        guard,
    } = mounted;
    let latch = process.latch("mount");
    let ready = Ready::default();
    let (ended, mut end) = oneshot::channel();
    let stopping = process.stopping();
    let served = routes(&ready, &stopping);
    let boot = boot(&args, &process, (device, read_ahead), ended, &ready);
    let serving = process.serve(served);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        // A start that failed is the outcome, also where nobody is left to be served.
        biased;
        error = async {
            match boot.await {
                // Served until asked to stop; then `serving` drains and ends.
                Ok(()) => {
                    marker::ready(&args).await;
                    latch.open();
                    let _ = (&mut end).await;
                    ShimError::Unmounted.into()
                }
                Err(error) => {
                    marker::error(&args, &error).await;
                    latch.fail(marker::code(&error), &format!("{error:#}"));
                    // Whoever waits for this dataset hears why, as long as the room lasts.
                    stopping.cancelled().await;
                    error
                }
            }
        } => {
            process.stop();
            serving.await.and(Err(error))
        }
        outcome = &mut serving => outcome,
    };
    // From here on nobody may call any more; what was written is brought home first.
    process.stop();
    let finished = finish(&ready).await;
    unmount(guard).await;
    outcome.and(finished).map(|()| ExitCode::SUCCESS)
}

/// Key, tokens, store, file system, kernel; in the end a listing that worked.
#[tracing::instrument(name = "shim.boot", skip_all, fields(access = args.access_name))]
async fn boot(
    args: &Args,
    process: &Process,
    (device, read_ahead): (OwnedFd, Option<ReadAhead>),
    ended: oneshot::Sender<()>,
    ready: &OnceLock<FileSystem>,
) -> anyhow::Result<()> {
    let (secrets, identity) = (process.client(&SECRETS), process.client(&IDENTITY));
    match args.is_keyed() {
        true => {
            tokio::try_join!(secrets.wait_ready(PEERS), identity.wait_ready(PEERS)).map(drop)?
        }
        false => identity.wait_ready(PEERS).await?,
    }
    let dek = Arc::new(crate::key::obtain(args, process).await?);
    let memory = content_memory(args.memory());
    let buffers = Arc::new(Buffers::of(memory));
    let room = Arc::clone(&buffers);
    let room = Room::new(move |length| room.room(length));
    let store = store(args, process, &dek, room).await?;
    let options = Options {
        read_only: args.is_read_only(),
        ttl: Duration::from_secs(if args.is_read_only() { 60 } else { 5 }),
        memory,
        buffers: Some(buffers),
        key_id: args.key.wrapped_dek_secret.clone().unwrap_or_default(),
        ..Options::default()
    };
    let fs = match args.manifest_hmac {
        Some(contract) => FileSystem::pinned(store, dek, args.mode(), options, contract)
            .await
            .context("the manifest")?,
        None => {
            let fs = FileSystem::new(store, dek, args.mode(), options);
            fs.probe().await.context("the first listing")?;
            fs
        }
    };
    fuse::serve(fs.clone(), device, ended).await?;
    // Without it, reading front to back is slower.
    match read_ahead.map(ReadAhead::raise) {
        Some(Ok(())) => {}
        outcome => tracing::info!(?outcome, "the kernel's read-ahead stays as it is"),
    }
    tracing::info!(
        mode = ?args.mode(),
        read_only = args.is_read_only(),
        pinned = args.manifest_hmac.is_some(),
        "mounted"
    );
    let _ = ready.set(fs);
    Ok(())
}

async fn store(
    args: &Args,
    process: &Process,
    dek: &Dek,
    room: Room,
) -> anyhow::Result<Arc<dyn BlobStore>> {
    match args.store {
        Store::Azure => azure(args, process, dek, room).await,
        Store::S3 => s3(args, process, dek, room),
    }
}

fn s3(args: &Args, process: &Process, dek: &Dek, room: Room) -> anyhow::Result<Arc<dyn BlobStore>> {
    let (endpoint, region, sealed) = args.s3()?;
    let place = (endpoint, args.container.as_str(), region);
    let credentials = S3Credentials::open(sealed, dek, place)?;
    let mut config = S3Config::new(endpoint.clone(), &args.container, region, credentials);
    config.prefix.clone_from(&args.sub_directory);
    config.room = Some(room);
    let store = S3Store::new(config, HttpsClient::new(&process.common().trust()?)?)?;
    if !args.is_read_only() {
        let store = store.clone();
        tokio::spawn(async move {
            match store.remove_abandoned().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "staged blocks of ended writers removed"),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "staged blocks of ended writers stay");
                }
            }
        });
    }
    Ok(Arc::new(store))
}

async fn azure(
    args: &Args,
    process: &Process,
    dek: &Dek,
    room: Room,
) -> anyhow::Result<Arc<dyn BlobStore>> {
    let identity = process.client(&IDENTITY);
    let tokens = crate::tokens::source(identity, &args.tenant_id, &args.client_id);
    let mut config = AzureConfig::new(args.endpoint()?, &args.container, Arc::new(tokens));
    config.prefix.clone_from(&args.sub_directory);
    config.room = Some(room);
    if args.mode() == blob_fs::Mode::Cpk {
        config.key = Some(Arc::new(CustomerKey::new(dek)));
    }
    let client = HttpsClient::new(&process.common().trust()?)?;
    let store = AzureStore::new(config.clone(), client.clone())?;
    let found = store.is_hierarchical().await;
    let found = found.context("whether the account's names are hierarchical")?;
    if args.hierarchical().is_some_and(|said| said != found) {
        return Err(ShimError::Names { found }.into());
    }
    if !found {
        return Ok(Arc::new(store));
    }
    let dfs = args.dfs_endpoint()?.ok_or(ShimError::NoDfsEndpoint)?;
    config.dfs_endpoint = Some(dfs);
    Ok(Arc::new(AzureStore::new(config, client)?))
}

async fn finish(ready: &OnceLock<FileSystem>) -> anyhow::Result<()> {
    let Some(fs) = ready.get().filter(|fs| !fs.is_read_only()) else {
        return Ok(());
    };
    let finished = tokio::time::timeout(FINISH, fs.finish()).await;
    finished.context("files were not committed in time")??;
    Ok(())
}

async fn unmount(guard: Guard) {
    let unmounted = tokio::task::spawn_blocking(|| guard.unmount()).await;
    if let Ok(Err(error)) = unmounted {
        tracing::warn!(code = error.code(), %error, "the mount stays behind");
    }
}
