use std::collections::HashMap;
use std::time::SystemTime;

use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::random;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::GovError;

/// Name of the member of an event's data that carries the chain.
const MEMBER: &str = "chain";
/// JavaScript reads numbers as doubles; what CGS stores must hash to what was sent.
const MAX_INTEGER: u64 = (1 << 53) - 1;
/// An event's place is chosen by the launcher from a short list; more is a mistake.
const MAX_PLACES: usize = 64;

/// Where an event is listed: key and scope.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Place {
    pub(crate) id: Option<String>,
    pub(crate) scope: String,
}

/// The hash chains over the events of this process, one per listing.
///
/// CGS signs nothing about an event's order: the chain makes removal, replay, reordering and a move to another contract
/// or scope visible to whoever lists the events. Every event's data gets the member `chain` with the number of the event
/// (from 1), a random id of this process, the contract, the scope, the time, and in `prev` the SHA-256 of the previous
/// event's canonical JSON (64 zeros for the first).
#[derive(Debug)]
pub struct Chain {
    contract: String,
    boot_id: String,
    heads: HashMap<Place, Head>,
}

#[derive(Clone, Debug)]
struct Head {
    next: u64,
    prev: String,
}

/// An event with its chain member: the exact bytes that are signed.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) bytes: Vec<u8>,
    place: Place,
    seq: u64,
}

impl Chain {
    /// Starts the chains of this process.
    ///
    /// # Errors
    /// [`GovError::Crypto`] without random bytes.
    pub fn new(contract: &str) -> Result<Self, GovError> {
        Ok(Self {
            contract: contract.to_owned(),
            boot_id: hex::encode(random::bytes::<16>()?),
            heads: HashMap::new(),
        })
    }

    /// Links an event to the one before it without counting it yet.
    pub(crate) fn link(
        &self,
        place: &Place,
        data: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<Linked, GovError> {
        if data.contains_key(MEMBER) {
            return Err(refused(
                "the member `chain` is written by the governance sidecar",
            ));
        }
        for value in data.values() {
            check_numbers(value)?;
        }
        if self.heads.len() >= MAX_PLACES && !self.heads.contains_key(place) {
            return Err(refused("there are too many different scopes and ids"));
        }
        let head = self.heads.get(place).cloned().unwrap_or_else(|| Head {
            next: 1,
            prev: "0".repeat(64),
        });
        let millis = OffsetDateTime::from(now);
        let time = millis
            .replace_nanosecond(millis.nanosecond() / 1_000_000 * 1_000_000)
            .unwrap_or(millis)
            .format(&Rfc3339)
            .map_err(|_| refused("this machine's clock is outside the calendar"))?;
        let mut linked = data.clone();
        let member = json!({
            "boot_id": self.boot_id,
            "contract": self.contract,
            "prev": head.prev,
            "scope": place.scope,
            "seq": head.next,
            "time": time,
        });
        linked.insert(MEMBER.to_owned(), member);
        Ok(Linked {
            bytes: canonical_json(Value::Object(linked)).into_bytes(),
            place: place.clone(),
            seq: head.next,
        })
    }

    /// Counts an event: the next one links to it.
    pub(crate) fn advance(&mut self, event: &Linked) {
        let head = Head {
            next: event.seq + 1,
            prev: hex::encode(sha256(&event.bytes)),
        };
        self.heads.insert(event.place.clone(), head);
    }
}

/// JSON without spaces and with the members of every object sorted by their bytes: the text that the chain hashes.
pub fn canonical_json(mut value: Value) -> String {
    value.sort_all_objects();
    value.to_string()
}

fn check_numbers(value: &Value) -> Result<(), GovError> {
    match value {
        Value::Number(number) => {
            let exact = number
                .as_i64()
                .is_some_and(|n| n.unsigned_abs() <= MAX_INTEGER);
            if exact {
                Ok(())
            } else {
                Err(refused("an event carries only integers below 2^53"))
            }
        }
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
        _ => Ok(()),
    }
}

fn refused(reason: &str) -> GovError {
    GovError::Request {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Map<String, Value> {
        json!({"source": "code-launcher", "message": text})
            .as_object()
            .unwrap()
            .clone()
    }

    fn place(scope: &str) -> Place {
        Place {
            id: None,
            scope: scope.to_owned(),
        }
    }

    fn parsed(linked: &Linked) -> Value {
        serde_json::from_slice(&linked.bytes).unwrap()
    }

    #[test]
    fn each_event_names_the_hash_of_the_one_before() {
        let mut chain = Chain::new("c1").unwrap();
        let first = chain
            .link(&place(""), &event("a"), SystemTime::now())
            .unwrap();
        assert_eq!(parsed(&first)["chain"]["prev"], "0".repeat(64));
        assert_eq!(parsed(&first)["chain"]["seq"], 1);
        chain.advance(&first);
        let second = chain
            .link(&place(""), &event("b"), SystemTime::now())
            .unwrap();
        assert_eq!(
            parsed(&second)["chain"]["prev"],
            hex::encode(sha256(&first.bytes))
        );
        assert_eq!(parsed(&second)["chain"]["seq"], 2);
        assert_eq!(
            parsed(&second)["chain"]["boot_id"],
            parsed(&first)["chain"]["boot_id"]
        );
    }

    #[test]
    fn every_scope_has_a_chain_of_its_own() {
        let mut chain = Chain::new("c1").unwrap();
        let first = chain
            .link(&place(""), &event("a"), SystemTime::now())
            .unwrap();
        chain.advance(&first);
        let other = chain
            .link(&place("dataset"), &event("b"), SystemTime::now())
            .unwrap();
        assert_eq!(parsed(&other)["chain"]["seq"], 1);
        assert_eq!(parsed(&other)["chain"]["scope"], "dataset");
    }

    #[test]
    fn the_signed_bytes_are_sorted_and_compact() {
        let chain = Chain::new("c1").unwrap();
        let linked = chain
            .link(&place(""), &event("a"), SystemTime::UNIX_EPOCH)
            .unwrap();
        let text = String::from_utf8(linked.bytes).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"chain":{{"boot_id":"{}","contract":"c1","prev":"{}","scope":"","seq":1,"time":"1970-01-01T00:00:00Z"}},"message":"a","source":"code-launcher"}}"#,
                chain.boot_id,
                "0".repeat(64)
            )
        );
    }

    #[test]
    fn a_caller_cannot_write_the_chain_or_numbers_that_javascript_changes() {
        let chain = Chain::new("c1").unwrap();
        for data in [
            json!({"chain": {}}),
            json!({"n": 1.5}),
            json!({"n": [{"m": 9_007_199_254_740_992_u64}]}),
            json!({"n": -9_007_199_254_740_992_i64}),
        ] {
            let refused = chain.link(&place(""), data.as_object().unwrap(), SystemTime::now());
            assert!(matches!(refused, Err(GovError::Request { .. })), "{data}");
        }
    }
}
