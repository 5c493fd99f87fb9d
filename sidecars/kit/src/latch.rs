use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// The latches that are not open, each with the reason if it is known.
type Closed = BTreeMap<&'static str, Option<String>>;

/// The conditions that `/ready` waits for.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    closed: Arc<Mutex<Closed>>,
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
            closed.insert(name, None);
        });
        Latch {
            name,
            readiness: self.clone(),
        }
    }

    /// The latches that are not open: `name`, or `name (reason)`.
    pub(crate) fn closed(&self) -> Vec<String> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = closed.iter().map(|(name, reason)| match reason {
            Some(reason) => format!("{name} ({reason})"),
            None => (*name).to_owned(),
        });
        shown.collect()
    }

    /// Returns when every latch is open, or with the closed ones after `within`.
    pub(crate) async fn wait(&self, within: Duration) -> Result<(), Vec<String>> {
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

    fn set(&self, change: impl FnOnce(&mut Closed)) {
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

    /// Why the condition does not hold yet, as `/ready` tells it; never a secret.
    pub fn explain(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.readiness.set(|closed| {
            closed.insert(self.name, Some(reason));
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
            Err(vec!["key".to_owned()])
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
        second.explain("the shim is mounting");
        assert_eq!(readiness.closed(), ["mount (the shim is mounting)"]);
        second.open();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
