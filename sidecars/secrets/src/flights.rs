use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

type Flight<T, E> = Shared<BoxFuture<'static, Result<Arc<T>, E>>>;
type Open<T, E> = Arc<Mutex<BTreeMap<u32, Flight<T, E>>>>;

/// One operation per uid at a time: whoever asks meanwhile gets the same result. Nothing is kept after it.
pub(crate) struct Flights<T, E>(Open<T, E>);

impl<T, E> Flights<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the operation of `uid`, or starts it. It goes on when its first asker leaves.
    pub(crate) async fn join<F>(&self, uid: u32, start: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let flight = {
            let mut open = lock(&self.0);
            match open.get(&uid) {
                // A flight that has landed stays in the table until its task runs again; it must answer nobody else.
                Some(flight) if flight.peek().is_none() => flight.clone(),
                _ => {
                    let flight = start()
                        .map(|outcome| outcome.map(Arc::new))
                        .boxed()
                        .shared();
                    open.insert(uid, flight.clone());
                    let landing = Landing {
                        open: Arc::clone(&self.0),
                        uid,
                        flight: flight.clone(),
                    };
                    let driven = flight.clone();
                    tokio::spawn(async move {
                        let _landing = landing;
                        let _ = driven.await;
                    });
                    flight
                }
            }
        };
        flight.await
    }
}

/// Removes a flight on every way out of its task.
struct Landing<T, E> {
    open: Open<T, E>,
    uid: u32,
    flight: Flight<T, E>,
}

impl<T, E> Drop for Landing<T, E> {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        // A newer flight may have taken the place.
        if open
            .get(&self.uid)
            .is_some_and(|flight| flight.ptr_eq(&self.flight))
        {
            open.remove(&self.uid);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn askers_of_one_uid_share_an_operation_and_nothing_is_kept_after_it() {
        let (flights, calls) = (Flights::<u32, String>::new(), AtomicU32::new(0));
        let gate = Arc::new(Notify::new());
        let ask = |uid| {
            flights.join(uid, || {
                let (call, gate) = (calls.fetch_add(1, Ordering::SeqCst), Arc::clone(&gate));
                async move {
                    gate.notified().await;
                    Ok(call)
                }
            })
        };
        let open = async { gate.notify_one() };
        let (one, two, ()) = futures::join!(ask(10020), ask(10020), open);
        assert_eq!((*one.unwrap(), *two.unwrap()), (0, 0));
        // At once, before the table can have been tidied up.
        gate.notify_one();
        assert_eq!(*ask(10020).await.unwrap(), 1);
    }
}
