use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio_util::sync::CancellationToken;

/// Different operations at once.
pub(crate) const LIMIT: usize = 256;

type Outcome<V, E> = Result<Arc<V>, E>;
type Flight<V, E> = Shared<BoxFuture<'static, Outcome<V, E>>>;
type Entries<K, V, E> = Arc<Mutex<HashMap<K, Flight<V, E>>>>;

/// One operation per key at a time. Its success serves everyone who asks meanwhile or within `keep` after, then it is
/// dropped, and with the last asker's copy wiped; its failure serves only those who waited for it.
#[derive(Debug)]
pub(crate) struct Flights<K, V, E> {
    entries: Entries<K, V, E>,
    keep: Duration,
    stopping: CancellationToken,
}

impl<K, V, E> Flights<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(keep: Duration, stopping: CancellationToken) -> Self {
        Self {
            entries: Arc::default(),
            keep,
            stopping,
        }
    }

    /// Joins the operation of `key`, or starts it. `None`: there are too many others.
    ///
    /// The operation goes on when its first asker leaves: others may be waiting for it.
    pub(crate) async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<Outcome<V, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let flight = {
            let mut entries = lock(&self.entries);
            // A flight that has failed is over, even if its task has not cleared it away yet.
            let joinable = |flight: &&Flight<V, E>| !matches!(flight.peek(), Some(Err(_)));
            match entries.get(&key).filter(joinable) {
                Some(flight) => flight.clone(),
                None if entries.len() >= LIMIT => return None,
                None => {
                    let flight = start()
                        .map(|outcome| outcome.map(Arc::new))
                        .boxed()
                        .shared();
                    entries.insert(key.clone(), flight.clone());
                    self.drive(key, flight.clone());
                    flight
                }
            }
        };
        Some(flight.await)
    }

    fn drive(&self, key: K, flight: Flight<V, E>) {
        let entry = Entry {
            entries: Arc::clone(&self.entries),
            key,
            flight: flight.clone(),
        };
        let (keep, stopping) = (self.keep, self.stopping.clone());
        tokio::spawn(async move {
            // Removed on every way out of this task.
            let _entry = entry;
            if flight.await.is_ok() {
                tokio::select! {
                    () = tokio::time::sleep(keep) => {}
                    () = stopping.cancelled() => {}
                }
            }
        });
    }
}

struct Entry<K: Eq + Hash, V, E> {
    entries: Entries<K, V, E>,
    key: K,
    flight: Flight<V, E>,
}

impl<K: Eq + Hash, V, E> Drop for Entry<K, V, E> {
    fn drop(&mut self) {
        let mut entries = lock(&self.entries);
        // A later flight of the same key is not this one's to remove.
        if entries
            .get(&self.key)
            .is_some_and(|flight| flight.ptr_eq(&self.flight))
        {
            entries.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn flights(keep: Duration) -> Flights<&'static str, u32, String> {
        Flights::new(keep, CancellationToken::new())
    }

    async fn until_forgotten(flights: &Flights<&'static str, u32, String>) {
        let forgotten = async {
            while !lock(&flights.entries).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let within = Duration::from_secs(10);
        tokio::time::timeout(within, forgotten).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_never_answers_who_asks_after_it() {
        let flights = flights(LONG);
        let failed = flights.join("kek", || async { Err("down".to_owned()) });
        assert!(failed.await.unwrap().is_err());
        // No pause: on this single thread the failed flight's own task cannot have cleared it away in between.
        let next = flights.join("kek", || async { Ok(7) });
        assert_eq!(*next.await.unwrap().unwrap(), 7);
        tokio::task::yield_now().await;
        // And the late clearing of the failed one leaves the good one in place.
        let kept = flights.join("kek", || async { Ok(8) });
        assert_eq!(*kept.await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn many_askers_cause_one_operation() {
        let (flights, calls, gate) = (flights(LONG), AtomicU32::new(0), Arc::new(Notify::new()));
        let ask = || {
            flights.join("kek", || {
                let (call, gate) = (calls.fetch_add(1, Ordering::SeqCst), Arc::clone(&gate));
                async move {
                    gate.notified().await;
                    Ok(call)
                }
            })
        };
        let open = async { gate.notify_one() };
        let answers = futures::join!(ask(), ask(), ask(), open);
        for answer in [answers.0, answers.1, answers.2, ask().await] {
            assert_eq!(*answer.unwrap().unwrap(), 0);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_result_is_dropped_when_its_time_is_over() {
        let flights = flights(Duration::from_millis(10));
        let first = flights
            .join("kek", || async { Ok(1) })
            .await
            .unwrap()
            .unwrap();
        until_forgotten(&flights).await;
        assert_eq!(Arc::strong_count(&first), 1);
        let second = flights
            .join("kek", || async { Ok(2) })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(*second, 2);
    }

    #[tokio::test]
    async fn stopping_drops_every_result_at_once() {
        let stopping = CancellationToken::new();
        let flights = Flights::new(LONG, stopping.clone());
        let kept = flights
            .join("kek", || async { Ok(1) })
            .await
            .unwrap()
            .unwrap();
        stopping.cancel();
        until_forgotten(&flights).await;
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[tokio::test]
    async fn a_failure_serves_only_those_who_waited() {
        let (flights, calls) = (flights(LONG), AtomicU32::new(0));
        let failing = || {
            flights.join("kek", || {
                calls.fetch_add(1, Ordering::SeqCst);
                async {
                    tokio::task::yield_now().await;
                    Err("no".to_owned())
                }
            })
        };
        let (first, second) = futures::join!(failing(), failing());
        assert_eq!(first.unwrap().unwrap_err(), "no");
        assert_eq!(second.unwrap().unwrap_err(), "no");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        until_forgotten(&flights).await;
        let third = flights.join("kek", || async { Ok(7) }).await;
        assert_eq!(*third.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn an_asker_who_leaves_does_not_end_the_operation() {
        let (flights, gate) = (flights(LONG), Arc::new(Notify::new()));
        let inside = Arc::clone(&gate);
        let slow = flights.join("kek", || async move {
            inside.notified().await;
            Ok(1)
        });
        let short = Duration::from_millis(5);
        assert!(tokio::time::timeout(short, slow).await.is_err());
        gate.notify_one();
        let joined = flights.join("kek", || async { Ok(2) }).await;
        assert_eq!(*joined.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn the_number_of_operations_is_bounded() {
        let flights: Flights<usize, u32, String> = Flights::new(LONG, CancellationToken::new());
        for key in 0..LIMIT {
            flights
                .join(key, || async { Ok(0) })
                .await
                .unwrap()
                .unwrap();
        }
        assert!(flights.join(LIMIT, || async { Ok(0) }).await.is_none());
        assert!(flights.join(0, || async { Ok(0) }).await.is_some());
    }
}
