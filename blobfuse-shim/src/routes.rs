//! What the code launcher asks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use blob_fs::{FileSystem, Finding, FsError, Sealed};
use serde::{Deserialize, Serialize};
use sidecar_http::services::CODE_LAUNCHER;
use sidecar_http::{Callers, Routes, WireError};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::ShimError;

/// The file system, once it is mounted and has answered.
pub(crate) type Ready = Arc<OnceLock<FileSystem>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    nonce: String,
}

/// What the launcher asks for: findings behind the first `seen`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    seen: usize,
    /// Whether to wait for one.
    wait: bool,
}

#[derive(Debug, Serialize)]
struct Found {
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Empty {}

/// How long a question for findings is held.
const HOLD: Duration = Duration::from_secs(20);

pub(crate) fn routes(ready: &Ready, stopping: &CancellationToken) -> Routes {
    let launcher = || Callers::Only(vec![CODE_LAUNCHER.uid]);
    let (challenged, sealing) = (Arc::clone(ready), Arc::clone(ready));
    let (asked, stopping) = (Arc::clone(ready), stopping.clone());
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
        .route(
            "/findings",
            post(async move |Json(question): Json<Asked>| {
                findings(&asked, &question, &stopping).await
            }),
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

/// Files that were refused, for the audit log.
async fn findings(
    ready: &Ready,
    asked: &Asked,
    stopping: &CancellationToken,
) -> Result<Json<Found>, WireError> {
    let fs = ready.get().ok_or(ShimError::NotReady)?;
    let hold = if asked.wait { HOLD } else { Duration::ZERO };
    let waited = tokio::select! {
        biased;
        waited = tokio::time::timeout(hold, fs.next_findings(asked.seen)) => waited.ok(),
        // Draining must not wait for somebody who waits for us.
        () = stopping.cancelled() => None,
    };
    let findings = waited.unwrap_or_default();
    Ok(Json(Found { findings }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blob_fs::{Mode, Options, ROOT};
    use blob_store::testing::{Failure, Faulty, MemoryStore, Operation};
    use blob_store::{BlobStore, Condition};
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

    #[tokio::test(start_paused = true)]
    async fn a_question_for_findings_is_held_until_there_is_one_or_the_process_stops() {
        let memory = MemoryStore::default();
        let dek = Arc::new(Dek::from_slice(&[7; 32]).unwrap());
        let mode = Mode::CseV2(blob_format::Params::default());
        let fs = FileSystem::new(Arc::new(memory.clone()), dek, mode, Options::default());
        let put = memory.put_blob("a", vec![0; 200].into(), &Condition::Always);
        put.await.unwrap();
        let ready = Ready::default();
        ready.set(fs.clone()).unwrap();
        let stopping = CancellationToken::new();
        let ask = async |seen, wait| {
            let answer = findings(&ready, &Asked { seen, wait }, &stopping).await;
            answer.unwrap().0.findings
        };
        assert_eq!(ask(0, false).await, []);
        let started = tokio::time::Instant::now();
        assert_eq!(ask(0, true).await, []);
        assert_eq!(started.elapsed(), HOLD);
        let attr = fs.look_up(ROOT, "a").await.unwrap();
        let (found, opened) = tokio::join!(ask(0, true), fs.open(attr.ino, false, false));
        assert!(opened.is_err());
        assert_eq!(found.len(), 1);
        assert_eq!(ask(0, false).await, found);
        assert_eq!(ask(1, false).await, []);
        stopping.cancel();
        assert_eq!(ask(1, true).await, []);
        assert_eq!(started.elapsed(), HOLD, "not held any more");
    }
}
