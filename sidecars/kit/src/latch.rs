use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sidecar_http::{Coded, chain};
use tokio::sync::watch;

/// The latches that are not open.
type Closed = BTreeMap<&'static str, Condition>;

/// What is known of a condition that does not hold.
#[derive(Clone, Debug)]
enum Condition {
    /// It may hold later; why not yet, if that is known.
    Waiting(Option<String>),
    /// It will never hold.
    Failed(Failure),
}

/// Why a process will never be ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    /// Stable code of the error that ended the start.
    pub(crate) code: String,
    /// The latch and the error.
    pub(crate) message: String,
}

/// Why a process is not ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotReady {
    /// These latches are closed: `name`, or `name (reason)`.
    Waiting(Vec<String>),
    /// It never will be.
    Failed(Failure),
}

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
            closed.insert(name, Condition::Waiting(None));
        });
        Latch {
            name,
            readiness: self.clone(),
        }
    }

    /// Whether every latch is open.
    fn check(&self) -> Result<(), NotReady> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = Vec::new();
        for (name, condition) in closed.iter() {
            match condition {
                Condition::Failed(failure) => return Err(NotReady::Failed(failure.clone())),
                Condition::Waiting(Some(reason)) => waiting.push(format!("{name} ({reason})")),
                Condition::Waiting(None) => waiting.push((*name).to_owned()),
            }
        }
        match waiting.is_empty() {
            true => Ok(()),
            false => Err(NotReady::Waiting(waiting)),
        }
    }

    /// Returns when every latch is open or one has failed, or with the closed ones after `within`.
    pub(crate) async fn wait(&self, within: Duration) -> Result<(), NotReady> {
        let mut changes = self.changes.subscribe();
        let settled = async {
            while matches!(self.check(), Err(NotReady::Waiting(_))) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(within, settled).await;
        self.check()
    }

    fn set(&self, change: impl FnOnce(&mut Closed)) {
        change(&mut self.closed.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_replace(());
    }
}

/// One condition that `/ready` waits for.
///
/// Only [`Latch::open`] satisfies it. A latch dropped on an error path keeps the process unready: readiness means that
/// the key arrived, and a failed task must never be able to claim that. Whoever knows that the condition will never
/// hold says so with [`Latch::fail`], so that nobody waits for it.
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
        let reason = Condition::Waiting(Some(reason.into()));
        self.readiness.set(|closed| {
            closed.insert(self.name, reason);
        });
    }

    /// The condition will never hold: `/ready` answers at once from now on, with this stable code and reason; never a
    /// secret.
    pub fn fail(self, code: &str, reason: &str) {
        tracing::error!(latch = self.name, code, error = reason, "never ready");
        let failure = Failure {
            code: code.to_owned(),
            message: format!("failed: {}: {reason}", self.name),
        };
        self.readiness.set(|closed| {
            closed.insert(self.name, Condition::Failed(failure));
        });
    }

    /// Opens, or fails with the error that keeps the condition from ever holding.
    pub fn settle<E: Coded>(self, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.open(),
            Err(error) => self.fail(error.code(), &chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(names: &[&str]) -> Result<(), NotReady> {
        let names = names.iter().map(|name| (*name).to_owned());
        Err(NotReady::Waiting(names.collect()))
    }

    #[tokio::test]
    async fn a_dropped_latch_never_makes_the_process_ready() {
        let readiness = Readiness::new();
        drop(readiness.latch("key"));
        let waited = readiness.wait(Duration::from_millis(10)).await;
        assert_eq!(waited, waiting(&["key"]));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_latch() {
        let readiness = Readiness::new();
        let (first, second) = (readiness.latch("key"), readiness.latch("mount"));
        first.open();
        assert_eq!(readiness.check(), waiting(&["mount"]));
        let asked = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait(Duration::from_secs(30)).await }
        });
        second.explain("the shim is mounting");
        assert_eq!(
            readiness.check(),
            waiting(&["mount (the shim is mounting)"])
        );
        second.open();
        assert_eq!(asked.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_failure_and_no_other_latch_hides_it() {
        let readiness = Readiness::new();
        let (first, second) = (readiness.latch("a"), readiness.latch("mount"));
        let asked = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait(Duration::from_secs(3600)).await }
        });
        second.fail("CR-TEST-0001", "no such container");
        let failed = Err(NotReady::Failed(Failure {
            code: "CR-TEST-0001".to_owned(),
            message: "failed: mount: no such container".to_owned(),
        }));
        assert_eq!(asked.await.unwrap(), failed);
        first.open();
        assert_eq!(readiness.wait(Duration::ZERO).await, failed);
    }
}
