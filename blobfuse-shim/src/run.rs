//! From root to a served mount, and back to nothing.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use blob_fs::{FileSystem, Options};
use blob_store::{AzureConfig, AzureStore, BlobStore, CustomerKey};
use cleanroom_crypto::Dek;
use sidecar_http::services::{self, IDENTITY, SECRETS};
use sidecar_http::{Coded, HttpsClient};
use sidecar_kit::{CommonArgs, EXIT_CONFIG, EXIT_FAILED, Privileges, Process, run_process};
use tokio::sync::oneshot;

use crate::mount::{Guard, Mounted, become_user, mount};
use crate::routes::{Ready, routes};
use crate::{Args, ShimError, fuse, marker};

/// How long the sidecars that a mount needs may take to come up.
const PEERS: Duration = Duration::from_secs(300);
/// What was written must reach storage within the time that a container gets to stop.
const FINISH: Duration = Duration::from_secs(15);

/// Runs a shim: mounts as root, becomes its own user, then runs as every other sidecar. Must be called before any thread
/// is started.
pub fn start(args: Args, common: CommonArgs) -> ExitCode {
    give_memory_back();
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

/// Buffers of file content are large and short-lived: each is a mapping of its own, so that the budget is what stays
/// resident. By default the C library keeps them in one heap per thread.
#[allow(unsafe_code)]
fn give_memory_back() {
    // SAFETY: sets two numbers, before any thread is started.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

async fn run(args: Args, mounted: Mounted, process: Process) -> anyhow::Result<ExitCode> {
    let Mounted { device, guard } = mounted;
    let latch = process.latch("mount");
    let ready = Ready::default();
    let (ended, mut end) = oneshot::channel();
    let stopping = process.stopping();
    let served = routes(&ready, &stopping);
    let boot = boot(&args, &process, device, ended, &ready);
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
    device: OwnedFd,
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
    let store = store(args, process, &dek).await?;
    let options = Options {
        read_only: args.is_read_only(),
        ttl: Duration::from_secs(if args.is_read_only() { 60 } else { 5 }),
        memory: args.memory(),
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
    tracing::info!(
        mode = ?args.mode(),
        read_only = args.is_read_only(),
        pinned = args.manifest_hmac.is_some(),
        "mounted"
    );
    let _ = ready.set(fs);
    Ok(())
}

async fn store(args: &Args, process: &Process, dek: &Dek) -> anyhow::Result<Arc<dyn BlobStore>> {
    let identity = process.client(&IDENTITY);
    let tokens = crate::tokens::source(identity, &args.tenant_id, &args.client_id);
    let mut config = AzureConfig::new(args.endpoint()?, &args.container, Arc::new(tokens));
    config.prefix.clone_from(&args.sub_directory);
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
