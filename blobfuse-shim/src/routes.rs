//! What the code launcher asks.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::routing::post;
use blob_fs::{FileSystem, FsError, Sealed};
use serde::{Deserialize, Serialize};
use sidecar_http::services::CODE_LAUNCHER;
use sidecar_http::{Callers, Routes, WireError};

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
    let sealing = tokio::spawn(async move { fs.seal().await });
    Ok(Json(sealing.await.unwrap_or(Err(FsError::Handle))?))
}
