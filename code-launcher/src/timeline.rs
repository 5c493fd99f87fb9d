use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// When each phase was over, in Unix milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(Arc<Mutex<Map<String, Value>>>);

/// The first mark; what people read counts from it.
const ORIGIN: &str = "launcher_started";

impl Timeline {
    /// Begins with the start of the launcher.
    pub(crate) fn begin() -> Self {
        let timeline = Self::default();
        timeline.mark(ORIGIN);
        timeline
    }

    /// Records the end of a phase.
    pub(crate) fn mark(&self, phase: &str) {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases.insert(phase.to_owned(), at.into());
    }

    /// Whether a phase is over.
    pub(crate) fn has(&self, phase: &str) -> bool {
        self.phases().contains_key(phase)
    }

    /// Logs the phases in milliseconds since the start, and writes them in Unix milliseconds for whoever deployed the room.
    pub(crate) fn publish(&self, scratch: &Path) {
        let phases = self.phases();
        let origin = phases.get(ORIGIN).and_then(Value::as_u64).unwrap_or(0);
        let since: Map<String, Value> = phases
            .iter()
            .filter_map(|(name, at)| {
                Some((name.clone(), at.as_u64()?.saturating_sub(origin).into()))
            })
            .collect();
        let since = Value::Object(since);
        tracing::info!(phases = %since, "boot_timeline");
        write(&scratch.join("timeline.json"), &Value::Object(phases));
    }

    /// Writes the room's exit code and all phases.
    pub(crate) fn conclude(&self, scratch: &Path, exit_code: u8) {
        let account = json!({"exit_code": exit_code, "phases": self.phases()});
        write(&scratch.join("exit.json"), &account);
    }

    fn phases(&self) -> Map<String, Value> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An account that cannot be written changes nothing of what happened.
fn write(path: &Path, value: &Value) {
    if let Err(error) = std::fs::write(path, value.to_string()) {
        tracing::warn!(%error, path = %path.display(), "not written");
    }
}
