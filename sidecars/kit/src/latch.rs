use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// The conditions that `/ready` waits for.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    closed: Arc<Mutex<BTreeSet<&'static str>>>,
    changes: Arc<watch::Sender<()>>,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self {
            closed: Arc::default(),
            changes: Arc::new(watch::Sender::new(())),
        }
    }

    pub(crate) fn latch(&self, name: &'static str) -> Latch {
        self.set(|closed| {
            closed.insert(name);
        });
        Latch {
            name,
            readiness: self.clone(),
        }
    }

    /// The names of the latches that are not open.
    pub(crate) fn closed(&self) -> Vec<&'static str> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.iter().copied().collect()
    }

    /// Returns when every latch is open, or with the closed ones after `within`.
    pub(crate) async fn wait(&self, within: Duration) -> Result<(), Vec<&'static str>> {
        let mut changes = self.changes.subscribe();
        let opened = async {
            while !self.closed().is_empty() {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(within, opened).await;
        match self.closed() {
            closed if closed.is_empty() => Ok(()),
            closed => Err(closed),
        }
    }

    fn set(&self, change: impl FnOnce(&mut BTreeSet<&'static str>)) {
        change(&mut self.closed.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
    }
}

/// One condition that `/ready` waits for.
///
/// Only [`Latch::open`] satisfies it. A latch dropped on an error path keeps the process unready: readiness means that
/// the key arrived, and a failed task must never be able to claim that.
#[derive(Debug)]
#[must_use = "an unopened latch keeps the process unready for good"]
pub struct Latch {
    name: &'static str,
    readiness: Readiness,
}

impl Latch {
    /// The condition holds.
    pub fn open(self) {
        tracing::debug!(latch = self.name, "latch opened");
        self.readiness.set(|closed| {
            closed.remove(self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_latch_never_makes_the_process_ready() {
        let readiness = Readiness::new();
        drop(readiness.latch("key"));
        assert_eq!(
            readiness.wait(Duration::from_millis(10)).await,
            Err(vec!["key"])
        );
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_latch() {
        let readiness = Readiness::new();
        let (first, second) = (readiness.latch("key"), readiness.latch("mount"));
        first.open();
        assert_eq!(readiness.closed(), ["mount"]);
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait(Duration::from_secs(30)).await }
        });
        second.open();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
