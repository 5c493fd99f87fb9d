//! What the code launcher asks.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::routing::post;
use blob_fs::{FileSystem, FsError, Sealed};
use serde::{Deserialize, Serialize};
use sidecar_http::services::CODE_LAUNCHER;
use sidecar_http::{Callers, Routes, WireError};
use tracing::Instrument;

use crate::ShimError;

/// The file system, once it is mounted and has answered.
pub(crate) type Ready = Arc<OnceLock<FileSystem>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    nonce: String,
}

#[derive(Serialize)]
struct Empty {}

pub(crate) fn routes(ready: &Ready) -> Routes {
    let launcher = || Callers::Only(vec![CODE_LAUNCHER.uid]);
    let (challenged, sealing) = (Arc::clone(ready), Arc::clone(ready));
    Routes::new()
        .route(
            "/readiness",
            post(async move |Json(challenge): Json<Challenge>| {
                challenge_mount(&challenged, &challenge)
            }),
            launcher(),
        )
        .route(
            "/seal",
            post(async move || seal(&sealing).await),
            launcher(),
        )
}

/// The launcher reads the nonce back from inside the mount: a volume that the host put there cannot know it.
fn challenge_mount(ready: &Ready, challenge: &Challenge) -> Result<Json<Empty>, WireError> {
    let fs = ready.get().ok_or(ShimError::NotReady)?;
    let nonce = challenge.nonce.as_str();
    if !(16..=128).contains(&nonce.len()) || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ShimError::Nonce.into());
    }
    fs.set_nonce(nonce);
    Ok(Json(Empty {}))
}

async fn seal(ready: &Ready) -> Result<Json<Sealed>, WireError> {
    let fs = ready.get().ok_or(ShimError::NotReady)?.clone();
    // A caller that goes away does not cut it.
    let sealing = tokio::spawn(async move { fs.seal().await }.in_current_span());
    Ok(Json(sealing.await.unwrap_or(Err(FsError::Handle))?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blob_fs::{Mode, Options, ROOT};
    use blob_store::testing::{Failure, Faulty, MemoryStore, Operation};
    use cleanroom_crypto::Dek;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_does_not_cut_the_seal() {
        let faulty = Faulty::new(MemoryStore::default());
        let options = Options {
            read_only: false,
            ..Options::default()
        };
        let dek = Arc::new(Dek::from_slice(&[7; 32]).unwrap());
        let fs = FileSystem::new(Arc::new(faulty.clone()), dek, Mode::Cpk, options);
        let (_, opened) = fs.create(ROOT, "a").await.unwrap();
        fs.write(opened.handle, 0, b"content").await.unwrap();
        let ready = Ready::default();
        ready.set(fs).unwrap();
        faulty.fail(Operation::Put, Failure::Slow(Duration::from_secs(2)));
        let caller = timeout(Duration::from_secs(1), seal(&ready)).await;
        assert!(caller.is_err(), "gone before the commit");
        let Json(sealed) = seal(&ready).await.unwrap();
        assert_eq!((sealed.files, sealed.bytes), (1, 7));
    }
}
