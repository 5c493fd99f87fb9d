use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanroom_crypto::rsa::PrivateKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::SkrError;

const BITS: usize = 2048;

/// Transfer keys: each is for one release and is moved out of here, so that none can be used twice.
///
/// Finding the primes is what a release would wait for most, so one key may be made ahead, see
/// [`TransferKeys::keep_one_ready`].
#[derive(Debug, Default)]
pub(crate) struct TransferKeys {
    ready: Mutex<Option<PrivateKey>>,
    taken: Notify,
}

impl TransferKeys {
    /// The key that is ready, or a new one.
    pub(crate) async fn take(&self) -> Result<PrivateKey, SkrError> {
        let ready = self.ready().take();
        self.taken.notify_one();
        match ready {
            Some(key) => Ok(key),
            None => generate().await,
        }
    }

    /// Makes a key whenever none is ready, until `stopping`; then the one that is ready is wiped.
    pub(crate) async fn keep_one_ready(&self, stopping: &CancellationToken) {
        loop {
            if self.ready().is_none() {
                let made = tokio::select! {
                    made = generate() => made,
                    () = stopping.cancelled() => break,
                };
                match made {
                    Ok(key) => *self.ready() = Some(key),
                    // The next release makes its own, and says why it cannot.
                    Err(error) => tracing::warn!(%error, "no transfer key was made ahead"),
                }
            }
            tokio::select! {
                () = self.taken.notified() => {}
                () = stopping.cancelled() => break,
            }
        }
        self.ready().take();
    }

    /// The next key to be taken.
    #[cfg(test)]
    pub(crate) fn make_ready(&self, key: PrivateKey) {
        *self.ready() = Some(key);
    }

    fn ready(&self) -> MutexGuard<'_, Option<PrivateKey>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Off the event loop, because it takes long.
async fn generate() -> Result<PrivateKey, SkrError> {
    let made = tokio::task::spawn_blocking(|| PrivateKey::generate(BITS)).await;
    match made {
        Ok(key) => Ok(key?),
        Err(_) => Err(attestation::AttestError::Stopping.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    async fn until(condition: impl Fn() -> bool) {
        let met = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), met)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn the_key_that_is_ready_is_given_once_and_another_takes_its_place() {
        let keys = Arc::new(TransferKeys::default());
        let stopping = CancellationToken::new();
        let worker = tokio::spawn({
            let (keys, stopping) = (Arc::clone(&keys), stopping.clone());
            async move { keys.keep_one_ready(&stopping).await }
        });
        let mut seen = Vec::new();
        for _ in 0..2 {
            until(|| keys.ready().is_some()).await;
            let ahead = keys.ready().as_ref().unwrap().public_key();
            assert_eq!(keys.take().await.unwrap().public_key(), ahead);
            assert!(!seen.contains(&ahead));
            seen.push(ahead);
        }
        until(|| keys.ready().is_some()).await;
        stopping.cancel();
        worker.await.unwrap();
        assert!(keys.ready().is_none());
    }

    #[tokio::test]
    async fn without_a_worker_every_release_makes_its_own() {
        let keys = TransferKeys::default();
        let (first, second) = (keys.take().await.unwrap(), keys.take().await.unwrap());
        assert_ne!(first.public_key(), second.public_key());
        assert!(keys.ready().is_none());
    }
}
