//! Whether what lies at a dataset's path is what its shim mounted.

use std::path::PathBuf;

use cleanroom_crypto::random;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};
use serde_json::json;
use sidecar_http::services::Service;
use sidecar_kit::Process;

use crate::{Config, LaunchError};

/// Waits until a dataset's shim is ready and proves that it is the one behind the mount: the shim is told a nonce over its
/// socket, and the nonce is read inside the mount, on a FUSE file system. The host arranges volumes; it cannot know it.
#[tracing::instrument(skip_all, fields(dataset = %shim.name))]
pub(crate) async fn prove(
    config: &Config,
    shim: &Service,
    process: &Process,
) -> Result<PathBuf, LaunchError> {
    let dataset = shim.name.clone().into_owned();
    let failed = |source| LaunchError::Dataset {
        dataset: dataset.clone(),
        source,
    };
    let client = process.client(shim);
    client
        .wait_ready(config.args.start_deadline())
        .await
        .map_err(failed)?;
    let nonce = random::bytes::<16>().map_err(|_| LaunchError::Mount {
        dataset: dataset.clone(),
        reason: "no random bytes".to_owned(),
    })?;
    let nonce = hex::encode(nonce);
    let _: serde_json::Value = client
        .post_json("/readiness", &json!({"nonce": nonce}))
        .await
        .map_err(failed)?;
    let path = config.args.remote_mounts.join(&*shim.name);
    let mount = path.clone();
    // The file system behind it is remote: a blocking read must not hold the runtime.
    let read = tokio::task::spawn_blocking(move || {
        let kind = statfs(&mount)?.filesystem_type();
        let text = std::fs::read_to_string(mount.join(".cleanroom/nonce"))?;
        std::io::Result::Ok((kind, text))
    })
    .await;
    let refused = |reason: String| LaunchError::Mount {
        dataset: dataset.clone(),
        reason,
    };
    match read {
        Ok(Ok((FUSE_SUPER_MAGIC, text))) if text.trim() == nonce => Ok(path),
        Ok(Ok((FUSE_SUPER_MAGIC, _))) => Err(refused("the mount is another shim's".to_owned())),
        Ok(Ok(_)) => Err(refused("there is no FUSE file system".to_owned())),
        Ok(Err(error)) => Err(refused(format!("the nonce cannot be read: {error}"))),
        Err(error) => Err(refused(error.to_string())),
    }
}
