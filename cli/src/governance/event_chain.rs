//! The chain that the governance sidecar writes into every event (`data.chain`), seen by a reader.

use std::collections::BTreeMap;

use cleanroom_crypto::digest::sha256;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    boot_id: String,
    contract: String,
    prev: String,
    scope: String,
    seq: u64,
    time: String,
}

/// One run of a clean room: how far its events are accounted for.
struct Run {
    last: u64,
    hash: String,
    seen: BTreeMap<u64, String>,
}

/// The problems of a listing in ledger order; none if every event of every run is there once, unchanged, in order, and
/// in the listing it was written to. An event recorded twice with the same bytes is the trace of a retry. The end of a
/// run cannot be seen in a chain: its last event is the application's end, or the run was cut off.
pub(crate) fn verify(events: &[Value], contract: &str, scope: &str) -> Vec<String> {
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let mut problems = Vec::new();
    for event in events {
        let seqno = event
            .get("seqno")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let mut problem = |text: String| problems.push(format!("event at {seqno}: {text}"));
        let data = event.get("data").cloned().unwrap_or_default();
        let Some(link) = data.get("chain") else {
            problem("it carries no chain".to_owned());
            continue;
        };
        let link: Link = match serde_json::from_value(link.clone()) {
            Ok(link) => link,
            Err(error) => {
                problem(format!("its chain is unreadable: {error}"));
                continue;
            }
        };
        if link.contract != contract {
            problem(format!("it was written for contract {}", link.contract));
        }
        if link.scope != scope {
            problem(format!("it was written to scope {:?}", link.scope));
        }
        if link.time.is_empty() {
            problem("it carries no time".to_owned());
        }
        let hash = digest(data);
        let run = runs.entry(link.boot_id.clone()).or_insert_with(|| Run {
            last: 0,
            hash: "0".repeat(64),
            seen: BTreeMap::new(),
        });
        if let Some(before) = run.seen.get(&link.seq) {
            if *before != hash {
                problem(format!(
                    "there are two different events {} of one run",
                    link.seq
                ));
            }
            continue;
        }
        if link.seq != run.last + 1 {
            problem(format!(
                "it is number {} of its run, expected {}",
                link.seq,
                run.last + 1
            ));
        } else if link.prev != run.hash {
            problem("the event before it was changed or replaced".to_owned());
        }
        run.last = link.seq;
        run.seen.insert(link.seq, hash.clone());
        run.hash = hash;
    }
    problems
}

/// The listing as people read it: without chains, and without the repetitions that retries left behind.
pub(crate) fn hidden(events: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    let mut shown = Vec::new();
    for mut event in events {
        let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) else {
            shown.push(event);
            continue;
        };
        let repeated =
            data.contains_key("chain") && !seen.insert(digest(Value::Object(data.clone())));
        data.remove("chain");
        if !repeated {
            shown.push(event);
        }
    }
    shown
}

/// SHA-256 of the canonical JSON: no spaces, members sorted by their bytes.
fn digest(mut data: Value) -> String {
    data.sort_all_objects();
    hex::encode(sha256(data.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Three events of one run, as the sidecar writes them.
    fn run(boot: &str) -> Vec<Value> {
        let mut prev = "0".repeat(64);
        (1..=3)
            .map(|seq| {
                let data = json!({"source": "code-launcher", "message": format!("event {seq}"), "chain": {
                    "boot_id": boot, "contract": "c1", "scope": "", "seq": seq, "prev": prev, "time": "2024-06-05T12:53:04Z"}});
                prev = digest(data.clone());
                json!({"seqno": 100 + seq, "scope": "", "id": "c1", "data": data})
            })
            .collect()
    }

    #[test]
    fn a_complete_run_has_no_problems_whatever_the_order_of_members() {
        assert_eq!(verify(&run("a"), "c1", ""), Vec::<String>::new());
        let text = serde_json::to_string(&run("a")).unwrap();
        let again: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(verify(&again, "c1", ""), Vec::<String>::new());
    }

    #[test]
    fn a_removed_event_is_found() {
        for index in [0, 1] {
            let mut events = run("a");
            events.remove(index);
            assert_eq!(verify(&events, "c1", "").len(), 1, "{index}");
        }
    }

    #[test]
    fn a_changed_event_is_found_by_the_one_after_it() {
        let mut events = run("a");
        events[1]["data"]["message"] = json!("something else");
        assert_eq!(
            verify(&events, "c1", ""),
            ["event at 103: the event before it was changed or replaced"]
        );
    }

    #[test]
    fn an_event_moved_from_elsewhere_or_swapped_is_found() {
        assert_eq!(verify(&run("a"), "c2", "").len(), 3);
        assert_eq!(verify(&run("a"), "c1", "dataset").len(), 3);
        let mut events = run("a");
        events.swap(0, 1);
        assert!(!verify(&events, "c1", "").is_empty());
        let mut bare = run("a");
        bare[0]["data"].as_object_mut().unwrap().remove("chain");
        assert!(verify(&bare, "c1", "")[0].contains("carries no chain"));
    }

    #[test]
    fn a_retry_is_no_problem_and_listed_once_but_a_fork_is() {
        let mut events = run("a");
        events.insert(2, events[1].clone());
        assert_eq!(verify(&events, "c1", ""), Vec::<String>::new());
        assert_eq!(hidden(events.clone()).len(), 3);
        events[2]["data"]["message"] = json!("fork");
        assert_eq!(
            verify(&events, "c1", ""),
            ["event at 102: there are two different events 2 of one run"]
        );
    }

    #[test]
    fn runs_are_told_apart() {
        let mut events = run("a");
        events.extend(run("b"));
        assert_eq!(verify(&events, "c1", ""), Vec::<String>::new());
    }

    #[test]
    fn people_see_no_chains() {
        let shown = hidden(run("a"));
        assert_eq!(
            shown[0]["data"],
            json!({"source": "code-launcher", "message": "event 1"})
        );
    }

    #[test]
    fn the_hash_is_over_the_very_text_that_the_sidecar_signs() {
        let prev = "0".repeat(64);
        let signed = format!(
            r#"{{"chain":{{"boot_id":"00","contract":"c1","prev":"{prev}","scope":"","seq":1,"time":"1970-01-01T00:00:00Z"}},"message":"a","source":"code-launcher"}}"#
        );
        let listed = json!({"source": "code-launcher", "message": "a", "chain": {
            "time": "1970-01-01T00:00:00Z", "seq": 1, "scope": "", "prev": prev, "contract": "c1", "boot_id": "00"}});
        assert_eq!(digest(listed), hex::encode(sha256(signed.as_bytes())));
    }
}
