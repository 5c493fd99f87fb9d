//! Events that did not reach the ledger: kept until the end of the room, then sealed into the telemetry sink.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use governance_client::GovernanceError;
use serde::Serialize;
use sidecar_http::{Coded, chain};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{APPLICATION_FOLDER, AUDIT_FOLDER};

/// Name of the file in the telemetry sink: one JSON object a line, in the order in which the events failed.
const FILE: &str = "undelivered-events.jsonl";
/// Events of one scope; a room tells a short story.
const MOST: usize = 64;
/// Each mount tells of 65 files at most, and of its end.
const MOST_OF_DATASETS: usize = 4096;
/// Bytes of one message and of one reason.
const LONGEST: usize = 16 << 10;

/// One event as it would have stood in the ledger, and why it does not.
#[derive(Clone, Debug, Serialize)]
struct Record {
    contract_id: String,
    scope: String,
    source: &'static str,
    message: String,
    /// RFC 3339, when it was given up.
    time: String,
    code: String,
    reason: String,
}

/// The undelivered events of a room.
#[derive(Debug)]
pub(super) struct Undelivered {
    contract_id: String,
    records: Mutex<Vec<Record>>,
}

impl Undelivered {
    pub(super) fn new(contract_id: &str) -> Self {
        Self {
            contract_id: contract_id.to_owned(),
            records: Mutex::default(),
        }
    }

    /// Keeps an event that was given up; `error` is the last try's, none if there was no answer in time.
    pub(super) fn keep(&self, scope: &str, message: &str, error: Option<&GovernanceError>) {
        let (code, reason) = match error {
            Some(error) => (error.code().to_owned(), chain(error)),
            None => ("CR-LAUNCH-0015".to_owned(), "no answer in time".to_owned()),
        };
        tracing::error!(
            scope,
            event = message,
            code,
            reason,
            "an event is undelivered"
        );
        let record = Record {
            contract_id: self.contract_id.clone(),
            scope: scope.to_owned(),
            source: "code-launcher",
            message: cut(message.to_owned()),
            time: OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default(),
            code,
            reason: cut(reason),
        };
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        // Start and exit have the default scope: never too many, and never left out. No scope takes the place of another.
        let most = match scope {
            "" => usize::MAX,
            "dataset" => MOST_OF_DATASETS,
            _ => MOST,
        };
        if records.iter().filter(|one| one.scope == scope).count() < most {
            records.push(record);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Writes them where the export finds them.
    pub(super) fn write(&self, telemetry: &Path) -> io::Result<()> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = telemetry.join(APPLICATION_FOLDER).join(AUDIT_FOLDER);
        std::fs::create_dir_all(&folder)?;
        let mut file = std::fs::File::create(folder.join(FILE))?;
        for record in records.iter() {
            writeln!(file, "{}", serde_json::to_string(record)?)?;
        }
        Ok(())
    }
}

fn cut(mut text: String) -> String {
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sidecar_http::CallError;

    use super::*;

    #[test]
    fn every_event_is_one_line_with_what_the_ledger_would_have_and_why_it_has_not() {
        let telemetry = tempfile::tempdir().unwrap();
        let kept = Undelivered::new("c1");
        assert!(kept.is_empty());
        let error = CallError::Gone {
            service: "governance".to_owned(),
        };
        kept.keep("", "app ended\nwith 0", Some(&error.into()));
        kept.keep("dataset", &"é".repeat(LONGEST), None);
        for _ in 0..2 * MOST {
            kept.keep("launcher", "again", None);
        }
        kept.keep("dataset", "output sealed: 00", None);
        kept.write(telemetry.path()).unwrap();
        let written = telemetry.path().join("application/audit").join(FILE);
        let text = std::fs::read_to_string(written).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        // One scope takes no other's place.
        assert_eq!(lines.len(), 3 + MOST);
        assert_eq!(lines.last().unwrap()["message"], "output sealed: 00");
        let mut first = lines[0].clone();
        let time = first["time"].take();
        OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).unwrap();
        let expected = json!({
            "contract_id": "c1", "scope": "", "source": "code-launcher", "message": "app ended\nwith 0", "time": null,
            "code": "CR-HTTP-0016",
            "reason": "governance: the process ended; its socket is still there and nobody listens",
        });
        assert_eq!(first, expected);
        assert_eq!(lines[1]["message"].as_str().unwrap().len(), LONGEST);
        assert_eq!(lines[1]["code"], "CR-LAUNCH-0015");
    }
}
