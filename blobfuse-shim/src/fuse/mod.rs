//! Between the kernel's requests and the file system.

mod adapter;
mod attributes;

use std::os::fd::OwnedFd;

use blob_fs::FileSystem;
use fuser::{Config, InitFlags, KernelConfig, Session, SessionACL};
use tokio::sync::oneshot;

use self::adapter::Adapter;
use crate::ShimError;

/// Readers of the device, each with a queue of its own; work is done on the runtime.
const THREADS: usize = 4;
/// Largest write of one request; the kernel's own limit without tuning.
const WRITE: u32 = 1 << 20;
/// Reads that the kernel may have under way: enough to hide the round trip to storage.
const BACKGROUND: u16 = 64;

/// How the session is served: by several threads, for every user of the mount.
pub fn config() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}

/// Asks the kernel for what makes a session fast; what it cannot do it does not get. Nothing here is needed for
/// correctness. The kernel's write-back cache is not wanted: it would tell of errors too late, and read before it writes.
pub fn negotiate(config: &mut KernelConfig) {
    for capability in [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_ASYNC_DIO] {
        if config.add_capabilities(capability).is_err() {
            tracing::info!(?capability, "the kernel lacks a capability");
        }
    }
    let _ = config.set_max_write(WRITE);
    let _ = config.set_max_background(BACKGROUND);
}

/// Shakes hands with the kernel and serves the mount on threads of its own until it ends; `ended` tells when.
///
/// # Errors
/// [`ShimError::System`] if the kernel does not take part.
pub async fn serve(
    fs: FileSystem,
    device: OwnedFd,
    ended: oneshot::Sender<()>,
) -> Result<(), ShimError> {
    let adapter = Adapter::new(fs, tokio::runtime::Handle::current());
    let config = config();
    let session = tokio::task::spawn_blocking(move || {
        Session::from_fd(adapter, device, SessionACL::All, config)
    });
    let session = session
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(ShimError::io("the FUSE handshake"))?;
    std::thread::Builder::new()
        .name("fuse".to_owned())
        .spawn(move || {
            if let Err(error) = session.run() {
                tracing::debug!(%error, "the FUSE session ended");
            }
            let _ = ended.send(());
        })
        .map_err(ShimError::io("starting a thread"))?;
    Ok(())
}
