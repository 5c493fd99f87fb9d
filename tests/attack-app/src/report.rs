use std::collections::BTreeMap;
use std::io;

use nix::errno::Errno;
use serde::Serialize;

/// What every attempt met.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Report(BTreeMap<String, Attempt>);

#[derive(Debug, Serialize)]
pub(crate) struct Attempt {
    /// The attack worked.
    pub(crate) ok: bool,
    /// An errno by name, or why there was nothing to attack.
    pub(crate) stopped_by: Option<String>,
}

impl Report {
    /// Records an attempt whose success is somebody's failure.
    pub(crate) fn tried<T>(&mut self, attempt: impl Into<String>, outcome: Result<T, Errno>) {
        let stopped_by = outcome.err().map(|errno| format!("{errno:?}"));
        self.add(attempt, stopped_by);
    }

    /// Records an attempt by what the standard library says.
    pub(crate) fn tried_io<T>(&mut self, attempt: impl Into<String>, outcome: io::Result<T>) {
        let stopped_by = outcome.err().map(|error| match error.raw_os_error() {
            Some(number) => format!("{:?}", Errno::from_raw(number)),
            None => format!("{:?}", error.kind()),
        });
        self.add(attempt, stopped_by);
    }

    /// Records an attempt that found nothing to attack.
    pub(crate) fn nothing(&mut self, attempt: impl Into<String>, why: &str) {
        self.add(attempt, Some(why.to_owned()));
    }

    fn add(&mut self, attempt: impl Into<String>, stopped_by: Option<String>) {
        let ok = stopped_by.is_none();
        let met = Attempt { ok, stopped_by };
        match self.0.entry(attempt.into()) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(met)),
            // A later failure must not hide an earlier success.
            std::collections::btree_map::Entry::Occupied(mut entry) if !entry.get().ok => {
                entry.insert(met);
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }

    /// Whether no attack worked.
    pub(crate) fn all_stopped(&self) -> bool {
        self.0.values().all(|attempt| !attempt.ok)
    }

    pub(crate) fn to_json(&self) -> io::Result<String> {
        serde_json::to_string(self).map_err(io::Error::from)
    }

    #[cfg(test)]
    pub(crate) fn worked(&self, attempt: &str) -> bool {
        self.0.get(attempt).is_some_and(|attempt| attempt.ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_stays_on_record() {
        let mut report = Report::default();
        report.tried("mount", Err::<(), _>(Errno::EPERM));
        assert!(report.all_stopped());
        report.tried("mount", Ok(()));
        report.tried("mount", Err::<(), _>(Errno::EPERM));
        assert!(report.worked("mount") && !report.all_stopped());
    }

    #[test]
    fn an_obstacle_is_named_by_its_errno() {
        let mut report = Report::default();
        report.tried_io(
            "raw",
            Err::<(), _>(io::Error::from_raw_os_error(libc::EPERM)),
        );
        let text = report.to_json().unwrap();
        assert_eq!(text, r#"{"raw":{"ok":false,"stopped_by":"EPERM"}}"#);
    }
}
