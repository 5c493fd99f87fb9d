//! Between the kernel's requests and the file system.

mod adapter;
mod attributes;

use std::os::fd::OwnedFd;

use blob_fs::FileSystem;
use fuser::{Config, Session, SessionACL};
use tokio::sync::oneshot;

use self::adapter::Adapter;
use crate::ShimError;

/// Readers of the device, each with a queue of its own; work is done on the runtime.
const THREADS: usize = 4;

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
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
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
