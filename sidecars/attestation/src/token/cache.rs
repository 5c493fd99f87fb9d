use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use url::Url;

use super::{MaaToken, SKEW};
use crate::endpoint::origin;
use crate::{AttestError, RuntimeData, Verified};

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct TokenId {
    endpoint: String,
    runtime: [u8; 32],
}

type Token = Arc<Verified<MaaToken>>;

/// A place that eviction empties at once, whenever the cache gets round to dropping it.
pub(super) type Place = Arc<Mutex<Option<Token>>>;

/// Checked tokens, each kept until five minutes before it expires, by endpoint and by the digest of the runtime data that
/// it vouches for. Equal questions at the same time cause one fetch.
///
/// What is evicted (for age, for room, by [`TokenCache::forget`]) is wiped with its last user's copy. The clock of a
/// token's life is how long it is kept, not the host's time of day: a token is as long good as the service signed.
#[derive(Clone, Debug)]
pub struct TokenCache(pub(super) Cache<TokenId, Place>);

struct UntilExpiry;

impl Expiry<TokenId, Place> for UntilExpiry {
    fn expire_after_create(&self, _: &TokenId, place: &Place, _: Instant) -> Option<Duration> {
        Some(
            peek(place)
                .map(|token| token.lifetime())
                .unwrap_or_default(),
        )
    }
}

impl MaaToken {
    /// How long a token may be used that was made just now.
    pub(super) fn lifetime(&self) -> Duration {
        let seconds = self.exp.saturating_sub(self.iat).saturating_sub(SKEW);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }
}

impl TokenCache {
    /// An empty cache of at most `capacity` tokens.
    pub fn new(capacity: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            // What was just fetched stays, what was not asked for longest goes.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(UntilExpiry)
            .eviction_listener(|_, place: Place, _| drop(take(&place)))
            .build();
        Self(cache)
    }

    /// The token over `runtime` by `endpoint`: the kept one, or the one of `fetch`. Its checks are those of a token made just
    /// now, so a kept token is not checked again.
    ///
    /// # Errors
    /// Those of `fetch`, given to everybody who waited for it and kept for nobody; a token that is about other runtime
    /// data; [`AttestError::Forgotten`] if it was evicted in this very moment.
    pub async fn get(
        &self,
        endpoint: &Url,
        runtime: &RuntimeData,
        fetch: impl Future<Output = Result<Verified<MaaToken>, AttestError>>,
    ) -> Result<Token, AttestError> {
        let id = TokenId {
            endpoint: origin(endpoint),
            runtime: runtime.digest(),
        };
        let fetch = async {
            let token = fetch.await?;
            token.equals(
                "x-ms-sevsnpvm-reportdata",
                &hex::encode(runtime.report_data()),
            )?;
            Ok(Arc::new(Mutex::new(Some(Arc::new(token)))))
        };
        let place = self.0.try_get_with(id, fetch).await?;
        peek(&place).ok_or(AttestError::Forgotten)
    }

    /// Wipes the token over `runtime` by `endpoint`: a vault took it for stale, or its transfer key is gone.
    pub async fn forget(&self, endpoint: &Url, runtime: &RuntimeData) {
        let id = TokenId {
            endpoint: origin(endpoint),
            runtime: runtime.digest(),
        };
        if let Some(place) = self.0.remove(&id).await {
            drop(take(&place));
        }
    }

    /// Wipes every token.
    pub async fn clear(&self) {
        self.0.invalidate_all();
        self.0.run_pending_tasks().await;
    }
}

fn peek(place: &Place) -> Option<Token> {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn take(place: &Place) -> Option<Token> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
