use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use cleanroom_crypto::random;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use tokio::time::Instant;
use tracing::Instrument;

use super::EndorsementTiming;

/// Values that are fetched: one fetch per key at a time, whoever asks. A value is kept; when it is old it is fetched again,
/// and used on if that fails. A failure is kept too, for a while that grows with each: nobody is asked in between.
///
/// Bounded: at the limit the value that was not used for longest goes.
pub(super) struct Shelf<K, V, E> {
    slots: Cache<K, Slot<V, E>>,
    timing: EndorsementTiming,
}

impl<K, V, E> fmt::Debug for Shelf<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Slot<V, E> {
    value: Option<Arc<V>>,
    /// Of the last fetch, if it failed.
    error: Option<E>,
    failures: u32,
    /// When it is time to fetch again.
    until: Instant,
}

impl<V, E: Clone> Clone for Slot<V, E> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            error: self.error.clone(),
            failures: self.failures,
            until: self.until,
        }
    }
}

impl<V, E: Clone> Slot<V, E> {
    fn fresh(value: V, timing: &EndorsementTiming) -> Self {
        Self {
            value: Some(Arc::new(value)),
            error: None,
            failures: 0,
            until: Instant::now() + timing.fresh,
        }
    }

    fn failed(before: Option<Self>, error: E, timing: &EndorsementTiming) -> Self {
        let failures = before.as_ref().map_or(0, |slot| slot.failures);
        let value = before.and_then(|slot| slot.value);
        Self {
            value,
            error: Some(error),
            failures: failures.saturating_add(1),
            until: Instant::now() + pause(failures, timing),
        }
    }

    fn is_current(&self) -> bool {
        Instant::now() < self.until
    }

    /// A value however old is better than none.
    fn outcome(self) -> Option<Result<Arc<V>, E>> {
        match (self.value, self.error) {
            (Some(value), _) => Some(Ok(value)),
            (None, Some(error)) => Some(Err(error)),
            (None, None) => None,
        }
    }
}

/// Doubles with each failure before, up to the longest, and up to a quarter more, so that the groups of one host do not
/// ask in step.
fn pause(failures: u32, timing: &EndorsementTiming) -> Duration {
    let doubled = timing.first_pause.saturating_mul(1 << failures.min(16));
    let pause = doubled.min(timing.longest_pause);
    let jitter = random::bytes::<1>().map_or(0, |[byte]| u32::from(byte));
    pause + pause * jitter / 1024
}

impl<K, V, E> Shelf<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(super) fn new(limit: u64, timing: EndorsementTiming) -> Self {
        let slots = Cache::builder()
            .max_capacity(limit)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { slots, timing }
    }

    /// Puts a value that came without being fetched.
    pub(super) async fn put(&self, key: K, value: V) {
        self.slots
            .insert(key, Slot::fresh(value, &self.timing))
            .await;
    }

    /// The value of `key`, by `fetch` if it is time. `None`: the process is stopping.
    ///
    /// The fetch goes on when its first asker leaves: others may be waiting for it.
    pub(super) async fn get<F>(
        &self,
        key: K,
        fetch: impl FnOnce() -> F + Send + 'static,
    ) -> Option<Result<Arc<V>, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        if let Some(slot) = self.slots.get(&key).await
            && slot.is_current()
        {
            return slot.outcome();
        }
        let (slots, timing) = (self.slots.clone(), self.timing);
        let flight = async move {
            let computed = slots.entry(key).and_compute_with(|entry| async move {
                let before = entry.map(moka::Entry::into_value);
                if before.as_ref().is_some_and(Slot::is_current) {
                    // Somebody else's fetch ended while this one waited for its turn.
                    return Op::Nop;
                }
                Op::Put(match fetch().await {
                    Ok(value) => Slot::fresh(value, &timing),
                    Err(error) => Slot::failed(before, error, &timing),
                })
            });
            match computed.await {
                CompResult::Inserted(entry)
                | CompResult::ReplacedWith(entry)
                | CompResult::Unchanged(entry) => entry.into_value().outcome(),
                CompResult::StillNone(_) | CompResult::Removed(_) => None,
            }
        };
        tokio::spawn(flight.in_current_span()).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    type Texts = Shelf<u32, String, String>;

    fn shelf(timing: EndorsementTiming) -> Texts {
        Shelf::new(4, timing)
    }

    async fn get(
        shelf: &Texts,
        key: u32,
        answer: Result<&str, &str>,
    ) -> (Result<String, String>, bool) {
        let asked = Arc::new(AtomicU32::new(0));
        let (inside, answer) = (
            Arc::clone(&asked),
            answer.map(str::to_owned).map_err(str::to_owned),
        );
        let outcome = shelf
            .get(key, move || async move {
                inside.fetch_add(1, Ordering::SeqCst);
                answer
            })
            .await
            .unwrap();
        (
            outcome.map(|value| (*value).clone()),
            asked.load(Ordering::SeqCst) > 0,
        )
    }

    fn ok(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn no(text: &str) -> Result<String, String> {
        Err(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_until_it_is_old_and_then_used_on_if_nobody_answers() {
        let timing = EndorsementTiming::default();
        let shelf = shelf(timing);
        assert_eq!(get(&shelf, 1, Ok("a")).await, (ok("a"), true));
        assert_eq!(get(&shelf, 1, Ok("b")).await, (ok("a"), false));
        tokio::time::advance(timing.fresh).await;
        assert_eq!(get(&shelf, 1, Err("down")).await, (ok("a"), true));
        // Not asked again at once.
        assert_eq!(get(&shelf, 1, Ok("b")).await, (ok("a"), false));
        tokio::time::advance(timing.first_pause * 2).await;
        assert_eq!(get(&shelf, 1, Ok("b")).await, (ok("b"), true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_kept_for_a_while_that_grows() {
        let timing = EndorsementTiming::default();
        let shelf = shelf(timing);
        let mut expected = timing.first_pause;
        for _ in 0..12 {
            assert_eq!(get(&shelf, 1, Err("down")).await, (no("down"), true));
            let almost = expected - Duration::from_millis(1);
            tokio::time::advance(almost).await;
            assert_eq!(get(&shelf, 1, Ok("a")).await, (no("down"), false));
            // At most a quarter of jitter.
            tokio::time::advance(expected / 4 + Duration::from_millis(2)).await;
            expected = (expected * 2).min(timing.longest_pause);
        }
        assert_eq!(get(&shelf, 1, Ok("a")).await, (ok("a"), true));
    }

    #[tokio::test]
    async fn one_fetch_serves_all_who_ask_meanwhile_even_if_the_first_leaves() {
        let shelf = Arc::new(shelf(EndorsementTiming::default()));
        let (gate, asked) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let (shelf, gate, asked) = (Arc::clone(&shelf), Arc::clone(&gate), Arc::clone(&asked));
            async move {
                let fetch = move || async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok("a".to_owned())
                };
                shelf.get(1, fetch).await.unwrap()
            }
        };
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, ask()).await.is_err());
        let askers: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
        gate.notify_one();
        for asker in askers {
            assert_eq!(*asker.await.unwrap().unwrap(), "a");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_shelf_is_bounded_and_keys_do_not_wait_for_each_other() {
        let shelf = shelf(EndorsementTiming::default());
        for key in 0..100 {
            assert_eq!(get(&shelf, key, Ok("a")).await, (ok("a"), true));
        }
        shelf.slots.run_pending_tasks().await;
        assert!(shelf.slots.entry_count() <= 4);
        assert_eq!(get(&shelf, 99, Ok("b")).await, (ok("a"), false));
    }
}
