use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{AttestError, SigningKeys};

/// Most endpoints whose keys are held; callers name endpoints.
const CAPACITY: u64 = 32;

/// The signing keys of every endpoint that was asked, fetched once for a time.
#[derive(Clone, Debug)]
pub(super) struct KeyCache {
    cache: Cache<String, Arc<Fetched>>,
    /// Between two fetches because of an unknown key: a token can name any key it likes.
    pause: Duration,
}

/// The keys of one fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: SigningKeys,
    at: Instant,
    refresh: Mutex<()>,
}

impl Fetched {
    fn new(keys: SigningKeys) -> Arc<Self> {
        Arc::new(Self {
            keys,
            at: Instant::now(),
            refresh: Mutex::new(()),
        })
    }
}

impl KeyCache {
    pub(super) fn new(keep: Duration, pause: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(keep)
            .build();
        Self { cache, pause }
    }

    /// The keys of `origin`; one fetch for everybody who asks meanwhile.
    pub(super) async fn get(
        &self,
        origin: &str,
        fetch: impl Future<Output = Result<SigningKeys, AttestError>>,
    ) -> Result<Arc<Fetched>, AttestError> {
        let fetch = async { fetch.await.map(Fetched::new) };
        Ok(self.cache.try_get_with_by_ref(origin, fetch).await?)
    }

    /// Keys of `origin` newer than `stale`, which lacks one; `None` if they were fetched too short a time ago.
    pub(super) async fn renew(
        &self,
        origin: &str,
        stale: &Arc<Fetched>,
        fetch: impl Future<Output = Result<SigningKeys, AttestError>>,
    ) -> Result<Option<Arc<Fetched>>, AttestError> {
        let _one_at_a_time = stale.refresh.lock().await;
        if let Some(current) = self.cache.get(origin).await
            && !Arc::ptr_eq(&current, stale)
        {
            return Ok(Some(current));
        }
        if stale.at.elapsed() < self.pause {
            return Ok(None);
        }
        let fresh = Fetched::new(fetch.await?);
        self.cache
            .insert(origin.to_owned(), Arc::clone(&fresh))
            .await;
        Ok(Some(fresh))
    }
}
