//! Audit events: signed by clean rooms, read from the ledger page by page.
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::attested::CleanRoom;
use super::reply::{Answer, Refusal, Reply};
use super::routes::{Exchange, text};
use super::state::Event;

/// Last millisecond of 13 digits.
const LATEST: f64 = 9_999_999_999_999.0;
const PAGE: u64 = 2000;

pub(super) fn put(ex: &mut Exchange<'_>) -> Answer {
    let contract = ex.param(0);
    let body = ex.json()?;
    let missing = |code, name: &str| Err(Refusal::bad(code, format!("The body has no {name}.")));
    let absent = |name: &str| {
        body.get(name)
            .is_none_or(|value| value.is_null() || value == "")
    };
    if absent("attestation") {
        return missing("AttestationMissing", "attestation");
    }
    if absent("timestamp") {
        return missing("TimestampMissing", "timestamp");
    }
    // A number has no padStart.
    let timestamp = text(&body, "timestamp")
        .ok_or_else(|| Refusal::exception("not a function"))?
        .to_owned();
    // Compared as a number; what is none passes.
    if timestamp.parse::<f64>().is_ok_and(|at| at > LATEST) {
        return Err(Refusal::bad(
            "TimestampTooLarge",
            format!("The timestamp {timestamp} is too large."),
        ));
    }
    if ex.cgs.config.strictness.sound_events && !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::bad(
            "TimestampInvalid",
            "The timestamp is not in milliseconds since 1970.",
        ));
    }
    if absent("sign") {
        return missing("SignatureMissing", "sign");
    }
    let room = CleanRoom::judged(ex, &contract, body)?;
    let data = room.signed_data(ex)?;
    let data: Value =
        serde_json::from_slice(&data).map_err(|e| Refusal::exception(format!("data: {e}")))?;
    let (map, id, _) = place(ex);
    let seqno = ex.state.ledger.write().seqno;
    ex.state.events.push(Event {
        map,
        id,
        seqno,
        timestamp: format!("{timestamp:0>13}"),
        data,
    });
    Ok(Reply::no_content())
}

/// The map and key that a call is about, and its scope.
fn place(ex: &Exchange<'_>) -> ((String, String), String, String) {
    let contract = ex.param(0);
    let scope = ex.query.get("scope").unwrap_or_default().to_owned();
    let id = ex.query.get("id").unwrap_or(&contract).to_owned();
    (
        map(
            ex.cgs.config.strictness.sound_events,
            contract,
            scope.clone(),
        ),
        id,
        scope,
    )
}

/// The real service joins contract and scope with a dash, so that `a` with scope `b` is `a-b` without one.
pub(super) fn map(sound: bool, contract: String, scope: String) -> (String, String) {
    match (sound, scope.is_empty()) {
        (true, _) => (contract, scope),
        (false, true) => (contract, String::new()),
        (false, false) => (format!("{contract}-{scope}"), String::new()),
    }
}

/// One event of a listing; the order of members is the service's.
#[derive(Serialize)]
pub(super) struct Item {
    scope: String,
    id: String,
    seqno: u64,
    timestamp: String,
    timestamp_iso: String,
    data: Value,
}

#[derive(Serialize)]
struct Listing {
    value: Vec<Item>,
    #[serde(rename = "nextLink", skip_serializing_if = "Option::is_none")]
    next_link: Option<String>,
}

pub(super) fn list(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let (map, id, scope) = place(ex);
    let (from, to) = (number(ex, "from_seqno")?, number(ex, "to_seqno")?);
    let last = ex
        .state
        .events
        .iter()
        .rfind(|event| event.map == map && event.id == id);
    if from.is_none() && to.is_none() {
        let value = last
            .map(|event| item(event, &scope))
            .transpose()?
            .into_iter()
            .collect();
        return Reply::json(&Listing {
            value,
            next_link: None,
        });
    }
    let committed = ex.state.ledger.committed().seqno;
    let from = from.unwrap_or(1);
    let last = ex
        .state
        .events
        .iter()
        .rfind(|event| event.map == map && event.id == id);
    let to = to
        .or_else(|| last.map(|event| event.seqno))
        .unwrap_or(committed);
    if to < from {
        return Err(Refusal::exception("to_seqno must be >= from_seqno"));
    }
    if to > committed {
        return Err(Refusal::exception("End of range must be committed"));
    }
    let end = to.min(from.saturating_add(number(ex, "max_seqno_per_page")?.unwrap_or(PAGE)));
    if !ex.state.load(format!("events {map:?} {id} {from} {end}")) {
        return Ok(Reply::loading());
    }
    let within =
        |event: &&Event| event.map == map && event.id == id && (from..=end).contains(&event.seqno);
    let value = ex
        .state
        .events
        .iter()
        .filter(within)
        .map(|event| item(event, &scope))
        .collect::<Result<_, _>>()?;
    let contract = ex.param(0);
    let next_link = (end < to).then(|| {
        let next = end + 1;
        format!(
            "/app/contracts/{contract}/events?from_seqno={next}&to_seqno={to}&id={id}&scope={scope}"
        )
    });
    Reply::json(&Listing { value, next_link })
}

fn number(ex: &Exchange<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let read = |value: &str| {
        value
            .parse()
            .map_err(|_| Refusal::exception(format!("{name} is not an integer")))
    };
    ex.query.get(name).map(read).transpose()
}

pub(super) fn item(event: &Event, scope: &str) -> Result<Item, Refusal> {
    Ok(Item {
        scope: scope.to_owned(),
        id: event.id.clone(),
        seqno: event.seqno,
        timestamp: event.timestamp.clone(),
        timestamp_iso: iso(&event.timestamp)?,
        data: event.data.clone(),
    })
}

/// Milliseconds since 1970 as `2024-06-05T12:53:04.758Z`.
fn iso(timestamp: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::exception("RangeError: Invalid time value");
    let milliseconds: i128 = timestamp.parse().map_err(|_| invalid())?;
    let nanoseconds = milliseconds.checked_mul(1_000_000).ok_or_else(invalid)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| invalid())?;
    let (date, time) = (at.date(), at.time());
    let (month, day) = (u8::from(date.month()), date.day());
    let (hour, minute, second, millisecond) = time.as_hms_milli();
    Ok(format!(
        "{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z",
        date.year()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_in_utc_with_milliseconds() {
        assert_eq!(iso("1717591984758").unwrap(), "2024-06-05T12:53:04.758Z");
        assert_eq!(iso("0000000000000").unwrap(), "1970-01-01T00:00:00.000Z");
        assert!(iso("0000000000abc").is_err());
    }

    #[test]
    fn contracts_and_scopes_are_told_apart_only_when_sound() {
        let at =
            |sound, contract: &str, scope: &str| map(sound, contract.to_owned(), scope.to_owned());
        assert_eq!(at(false, "c1", "x"), at(false, "c1-x", ""));
        assert_ne!(at(true, "c1", "x"), at(true, "c1-x", ""));
    }
}
