use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// When each phase of the start was over, in Unix milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(Arc<Mutex<Map<String, Value>>>);

impl Timeline {
    /// Records the end of a phase.
    pub(crate) fn mark(&self, phase: &str) {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases.insert(phase.to_owned(), at.into());
    }

    /// Writes the timeline for people and for whoever deployed the room.
    pub(crate) fn publish(&self, path: &Path) {
        let phases = Value::Object(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        );
        tracing::info!(%phases, "boot_timeline");
        if let Err(error) = std::fs::write(path, phases.to_string()) {
            tracing::warn!(%error, "the timeline is not written");
        }
    }
}
