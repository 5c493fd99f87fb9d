//! Upsets: what goes wrong on the way between a caller and a service, ordered by a test; and the log of requests.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Requests kept per service; older ones are dropped.
const KEPT_REQUESTS: usize = 20_000;

/// One planned fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upset {
    /// Which service: `blob`, `dfs`, `registry`, `cgs`, `maa`, `vault`, `entra`, `arm`, `thim`,
    /// `acccache` or `kds`.
    pub service: String,
    /// Only requests whose path and query contain this text; empty means all.
    #[serde(default)]
    pub path_contains: String,
    /// Only requests of this method; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What happens.
    pub kind: Kind,
    /// To how many requests it happens.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Upset {
    /// The next request to `service` meets `kind`.
    #[must_use]
    pub fn next(service: &str, kind: Kind) -> Self {
        Self {
            service: service.to_owned(),
            path_contains: String::new(),
            method: None,
            kind,
            times: 1,
        }
    }

    /// Only where path and query contain `text`.
    #[must_use]
    pub fn at(mut self, text: &str) -> Self {
        text.clone_into(&mut self.path_contains);
        self
    }

    /// Only requests of `method`.
    #[must_use]
    pub fn on(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// So many requests meet it.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// The kinds of fault.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The front end answers with this status; the service never sees the request.
    Status(u16),
    /// The front end answers 429 and asks for so many seconds of patience (`Retry-After`).
    Throttle(u64),
    /// The same, with a date so many seconds from now.
    ThrottleUntil(u64),
    /// The service answers after so many milliseconds.
    Delay(u64),
    /// The connection is cut before the service sees the request.
    Reset,
    /// The service does its work and the connection is cut instead of the answer.
    LoseAnswer,
    /// The headers are right, half of the body arrives, the connection is cut.
    TruncateBody,
    /// One letter or digit in the middle of the body is another one: somebody on the way changed it.
    TamperBody,
}

/// One request as it came in and was answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Host as named by the client, without port.
    pub host: String,
    /// Status of the answer; 0 where the connection was cut instead.
    pub status: u16,
    /// How long the emulator had it, in microseconds.
    #[serde(default)]
    pub micros: u64,
}

/// Planned faults and the request log of one world.
#[derive(Clone, Debug, Default)]
pub struct Upsets(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    planned: Vec<Upset>,
    log: HashMap<String, VecDeque<RequestRecord>>,
}

impl Upsets {
    /// Plans a fault.
    pub fn plan(&self, upset: Upset) {
        self.with(|state| state.planned.push(upset));
    }

    /// Forgets every planned fault.
    pub fn calm(&self) {
        self.with(|state| state.planned.clear());
    }

    /// The requests that `service` got, oldest first.
    #[must_use]
    pub fn requests(&self, service: &str) -> Vec<RequestRecord> {
        self.with(|state| {
            state
                .log
                .get(service)
                .map(|log| log.iter().cloned().collect())
                .unwrap_or_default()
        })
    }

    pub(crate) fn take(&self, service: &str, method: &str, path: &str) -> Option<Kind> {
        self.with(|state| {
            let index = state.planned.iter().position(|upset| {
                upset.service == service
                    && path.contains(&upset.path_contains)
                    && upset
                        .method
                        .as_deref()
                        .is_none_or(|m| m.eq_ignore_ascii_case(method))
                    && upset.times > 0
            })?;
            let upset = state.planned.get_mut(index)?;
            upset.times -= 1;
            let kind = upset.kind;
            if upset.times == 0 {
                state.planned.remove(index);
            }
            Some(kind)
        })
    }

    pub(crate) fn record(&self, service: &str, record: RequestRecord) {
        self.with(|state| {
            let log = state.log.entry(service.to_owned()).or_default();
            if log.len() >= KEPT_REQUESTS {
                log.pop_front();
            }
            log.push_back(record);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upset_meets_only_its_service_path_and_method_and_only_so_often() {
        let upsets = Upsets::default();
        upsets.plan(
            Upset::next("blob", Kind::Status(503))
                .at("comp=block")
                .on("put")
                .times(2),
        );
        assert_eq!(upsets.take("maa", "PUT", "/c/b?comp=block"), None);
        assert_eq!(upsets.take("blob", "GET", "/c/b?comp=block"), None);
        assert_eq!(upsets.take("blob", "PUT", "/c/b"), None);
        assert_eq!(
            upsets.take("blob", "PUT", "/c/b?comp=block"),
            Some(Kind::Status(503))
        );
        assert_eq!(
            upsets.take("blob", "PUT", "/c/b?comp=block"),
            Some(Kind::Status(503))
        );
        assert_eq!(upsets.take("blob", "PUT", "/c/b?comp=block"), None);
    }

    #[test]
    fn upsets_read_from_the_json_that_other_processes_send() {
        let upset: Upset =
            serde_json::from_str(r#"{"service":"maa","kind":{"delay":250}}"#).unwrap();
        assert_eq!(upset, Upset::next("maa", Kind::Delay(250)));
        let upset: Upset = serde_json::from_str(
            r#"{"service":"cgs","path_contains":"/events","kind":"reset","times":3}"#,
        )
        .unwrap();
        assert_eq!(
            upset,
            Upset::next("cgs", Kind::Reset).at("/events").times(3)
        );
        assert!(
            serde_json::from_str::<Upset>(r#"{"service":"cgs","kind":"reset","often":3}"#).is_err()
        );
    }

    #[test]
    fn the_request_log_is_bounded() {
        let upsets = Upsets::default();
        let record = |path: &str| RequestRecord {
            method: "GET".into(),
            path: path.into(),
            host: "h".into(),
            status: 200,
            micros: 0,
        };
        for n in 0..=KEPT_REQUESTS {
            upsets.record("blob", record(&n.to_string()));
        }
        let kept = upsets.requests("blob");
        assert_eq!(kept.len(), KEPT_REQUESTS);
        assert_eq!(kept.first().map(|r| r.path.as_str()), Some("1"));
    }
}
