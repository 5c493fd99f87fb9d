//! Secrets of a contract: members write them, its clean rooms read them wrapped.
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::attested::{CleanRoom, ENCRYPTED};
use super::reply::{Answer, Refusal, Reply};
use super::routes::Exchange;
use super::{consent, wrap};

/// Longest value, in UTF-16 units as JavaScript counts.
const LONGEST: usize = 25_600;

pub(super) fn put(ex: &mut Exchange<'_>) -> Answer {
    let (member, _) = ex.member()?;
    let (contract, name) = (ex.param(0), ex.param(1));
    let mut body = ex.json()?;
    let value = match body.get_mut("value").map(Value::take) {
        Some(Value::String(value)) if !value.is_empty() => Zeroizing::new(value),
        _ => return Err(Refusal::bad("ValueMissing", "The body has no value.")),
    };
    let length = value.encode_utf16().count();
    if length > LONGEST {
        let message = format!(
            "Length of the value should not exceed {LONGEST} characters. Input is {length} characters."
        );
        return Err(Refusal::bad("ValueTooLarge", message));
    }
    let id = format!("{member}:{name}");
    ex.state.ledger.write();
    ex.state.secrets.insert((contract, id.clone()), value);
    Reply::json(&json!({"secretId": id}))
}

pub(super) fn get(ex: &mut Exchange<'_>) -> Answer {
    let (contract, id) = (ex.param(0), ex.param(1));
    let room = CleanRoom::admit(ex, &contract, ENCRYPTED)?;
    let key = room.encryption_key()?;
    consent::for_secrets(ex, &contract)?;
    // The code is spelled as v4 spells it.
    let missing = || {
        Refusal::missing(
            "SecertNotFound",
            "A secret with the specified id was not found.",
        )
    };
    let value = ex.state.secrets.get(&(contract, id)).ok_or_else(missing)?;
    wrap::wrapped(&key, value.as_bytes())
}
