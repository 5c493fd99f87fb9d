use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio_util::sync::CancellationToken;

type Outcome<V, E> = Result<Arc<V>, E>;
type Flight<V, E> = Shared<BoxFuture<'static, Outcome<V, E>>>;
type Table<K, V, E> = Arc<Mutex<Entries<K, V, E>>>;

/// One operation per key at a time. Its success serves everyone who asks meanwhile or within `keep` after, then it is
/// dropped, and with the last asker's copy wiped; its failure serves only those who waited for it.
///
/// At most `limit` operations and kept results exist at once: the oldest kept result makes room for a new operation, an
/// operation never does.
#[derive(Debug)]
pub struct Flights<K, V, E> {
    table: Table<K, V, E>,
    limit: usize,
    keep: Duration,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Entries<K, V, E> {
    slots: HashMap<K, Slot<V, E>>,
    started: u64,
}

#[derive(Debug)]
struct Slot<V, E> {
    flight: Flight<V, E>,
    /// The how-manieth operation of this table it is.
    number: u64,
    /// Ends the keeping of the result.
    forget: CancellationToken,
}

impl<K, V, E> Flights<K, V, E>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A table that keeps successes for `keep` (zero: not at all) and drops all of them when `stopping` is cancelled.
    pub fn new(limit: usize, keep: Duration, stopping: CancellationToken) -> Self {
        let entries = Entries {
            slots: HashMap::new(),
            started: 0,
        };
        Self {
            table: Arc::new(Mutex::new(entries)),
            limit,
            keep,
            stopping,
        }
    }

    /// Joins the operation of `key`, or starts it. `None`: `limit` others are under way.
    ///
    /// The operation goes on when its first asker leaves: others may be waiting for it.
    pub async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<Outcome<V, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let flight = {
            let mut entries = lock(&self.table);
            match entries.slots.get(&key).filter(|slot| self.serves(slot)) {
                Some(slot) => slot.flight.clone(),
                None => {
                    if !entries.make_room(&key, self.limit) {
                        return None;
                    }
                    let flight = start()
                        .map(|outcome| outcome.map(Arc::new))
                        .boxed()
                        .shared();
                    let forget = self.stopping.child_token();
                    entries.started += 1;
                    let slot = Slot {
                        flight: flight.clone(),
                        number: entries.started,
                        forget: forget.clone(),
                    };
                    entries.slots.insert(key.clone(), slot);
                    self.drive(key, flight.clone(), forget);
                    flight
                }
            }
        };
        Some(flight.await)
    }

    /// A flight that is over stays in the table until its own task runs again; whether it may still answer is decided
    /// here and not by that task.
    fn serves(&self, slot: &Slot<V, E>) -> bool {
        match slot.flight.peek() {
            None => true,
            Some(Ok(_)) => !self.keep.is_zero() && !slot.forget.is_cancelled(),
            Some(Err(_)) => false,
        }
    }

    fn drive(&self, key: K, flight: Flight<V, E>, forget: CancellationToken) {
        let landing = Landing {
            table: Arc::clone(&self.table),
            key,
            flight: flight.clone(),
        };
        let keep = self.keep;
        tokio::spawn(async move {
            // Removed on every way out of this task.
            let _landing = landing;
            if flight.await.is_ok() {
                tokio::select! {
                    () = tokio::time::sleep(keep) => {}
                    () = forget.cancelled() => {}
                }
            }
        });
    }
}

impl<K, V, E> Entries<K, V, E>
where
    K: Clone + Eq + Hash,
    E: Clone,
{
    /// Whether one more operation fits, for which the oldest kept result may have to go.
    fn make_room(&mut self, key: &K, limit: usize) -> bool {
        // What is left of an earlier operation of this key is replaced.
        if self.slots.contains_key(key) || self.slots.len() < limit {
            return true;
        }
        let landed = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.flight.peek().is_some())
            .min_by_key(|(_, slot)| slot.number);
        let Some(oldest) = landed.map(|(key, _)| key.clone()) else {
            return false;
        };
        if let Some(slot) = self.slots.remove(&oldest) {
            slot.forget.cancel();
        }
        true
    }
}

struct Landing<K: Eq + Hash, V, E> {
    table: Table<K, V, E>,
    key: K,
    flight: Flight<V, E>,
}

impl<K: Eq + Hash, V, E> Drop for Landing<K, V, E> {
    fn drop(&mut self) {
        let mut entries = lock(&self.table);
        // A later flight of the same key is not this one's to remove.
        if entries
            .slots
            .get(&self.key)
            .is_some_and(|slot| slot.flight.ptr_eq(&self.flight))
        {
            entries.slots.remove(&self.key);
        }
    }
}

fn lock<K, V, E>(table: &Mutex<Entries<K, V, E>>) -> MutexGuard<'_, Entries<K, V, E>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const LIMIT: usize = 4;
    const LONG: Duration = Duration::from_secs(3600);

    fn flights(keep: Duration) -> Flights<&'static str, u32, String> {
        Flights::new(LIMIT, keep, CancellationToken::new())
    }

    async fn until_forgotten(flights: &Flights<&'static str, u32, String>) {
        let forgotten = async {
            while !lock(&flights.table).slots.is_empty() {
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
        let flights = Flights::new(LIMIT, LONG, stopping.clone());
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
    async fn with_nothing_kept_a_result_answers_nobody_who_asks_after_it() {
        let flights = flights(Duration::ZERO);
        for call in 0..3 {
            // At once, before the table can have been tidied up.
            let answer = flights.join("dek", || async move { Ok(call) }).await;
            assert_eq!(*answer.unwrap().unwrap(), call);
        }
    }

    #[tokio::test]
    async fn the_oldest_kept_result_makes_room_and_is_dropped() {
        let flights = Flights::<usize, usize, String>::new(LIMIT, LONG, CancellationToken::new());
        let mut results = Vec::new();
        for key in 0..=LIMIT {
            let answer = flights.join(key, || async move { Ok(key) }).await;
            results.push(answer.unwrap().unwrap());
            assert!(lock(&flights.table).slots.len() <= LIMIT);
        }
        let dropped = async {
            while Arc::strong_count(&results[0]) > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), dropped)
            .await
            .unwrap();
        let kept = flights.join(1, || async { Ok(99) }).await;
        assert_eq!(*kept.unwrap().unwrap(), 1);
        let gone = flights.join(0, || async { Ok(99) }).await;
        assert_eq!(*gone.unwrap().unwrap(), 99);
    }

    #[tokio::test]
    async fn operations_under_way_are_bounded_and_none_makes_room_for_another() {
        let flights = Flights::<usize, u32, String>::new(LIMIT, LONG, CancellationToken::new());
        let gate = Arc::new(Notify::new());
        let waiting = |key| {
            let gate = Arc::clone(&gate);
            flights.join(key, || async move {
                gate.notified().await;
                Ok(0)
            })
        };
        let mut under_way: Vec<_> = (0..LIMIT).map(|key| Box::pin(waiting(key))).collect();
        for flight in &mut under_way {
            assert!(futures::poll!(flight).is_pending());
        }
        assert!(flights.join(LIMIT, || async { Ok(0) }).await.is_none());
        gate.notify_waiters();
        for flight in under_way {
            assert!(flight.await.unwrap().is_ok());
        }
        assert!(flights.join(LIMIT, || async { Ok(0) }).await.is_some());
    }
}
