//! The grammar of release policies, and its evaluation over the claims of a token.
use std::cmp::Ordering;

use serde_json::{Map, Value};

const OPERATORS: [&str; 7] = [
    "equals",
    "notEquals",
    "less",
    "lessOrEquals",
    "greater",
    "greaterOrEquals",
    "exists",
];
const MAX_DEPTH: usize = 8;

/// Whether a policy is one of the grammar.
pub(super) fn check(policy: &Value) -> Result<(), String> {
    let members = policy.as_object().ok_or("not an object")?;
    let version = members.get("version").and_then(Value::as_str);
    if !matches!(version, Some("1.0.0" | "0.2")) {
        return Err("version must be 1.0.0".to_owned());
    }
    if let Some(other) = members
        .keys()
        .find(|name| !["version", "anyOf"].contains(&name.as_str()))
    {
        return Err(format!("unknown member {other}"));
    }
    let elements = list(members.get("anyOf"), "anyOf")?;
    for element in elements {
        let members = element
            .as_object()
            .ok_or("an element of anyOf is not an object")?;
        let authority = members
            .get("authority")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !authority.starts_with("https://") {
            return Err("authority must be an https URL".to_owned());
        }
        let rest: Map<_, _> = members
            .iter()
            .filter(|(name, _)| *name != "authority")
            .map(clone)
            .collect();
        if rest.contains_key("claim") {
            return Err("an element of anyOf is a group, not a claim".to_owned());
        }
        check_condition(&Value::from(rest), 0)?;
    }
    Ok(())
}

fn clone((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn check_condition(condition: &Value, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("nested too deeply".to_owned());
    }
    let members = condition
        .as_object()
        .ok_or("a condition is not an object")?;
    if let Some(claim) = members.get("claim") {
        let operators: Vec<_> = members.keys().filter(|name| *name != "claim").collect();
        return match operators.as_slice() {
            [one] if OPERATORS.contains(&one.as_str()) && claim.is_string() => {
                check_operand(one, &members[one.as_str()])
            }
            _ => Err(format!(
                "the condition on {claim} needs exactly one known operator"
            )),
        };
    }
    match members.iter().collect::<Vec<_>>().as_slice() {
        [(name, parts)] if ["anyOf", "allOf"].contains(&name.as_str()) => list(Some(parts), name)?
            .iter()
            .try_for_each(|part| check_condition(part, depth + 1)),
        _ => Err("a condition is one claim, anyOf or allOf".to_owned()),
    }
}

fn check_operand(operator: &str, operand: &Value) -> Result<(), String> {
    let known = text(operand);
    let good = match operator {
        "equals" | "notEquals" => known.is_some(),
        "exists" => known.is_some_and(|text| text == "true" || text == "false"),
        _ => number(operand).is_some(),
    };
    if good {
        Ok(())
    } else {
        Err(format!("{operator} cannot compare with {operand}"))
    }
}

fn list<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a Vec<Value>, String> {
    value
        .and_then(Value::as_array)
        .filter(|parts| !parts.is_empty())
        .ok_or_else(|| format!("{name} must be a list with at least one element"))
}

/// Whether the claims of a token of `issuer` satisfy the policy; the error names the first thing that differs.
pub(super) fn evaluate(policy: &Value, issuer: &str, claims: &Value) -> Result<(), String> {
    let elements = list(policy.get("anyOf"), "anyOf")?;
    let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
    let mut refusal = None;
    for element in elements {
        let authority = element
            .get("authority")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if trimmed(authority) != trimmed(issuer) {
            let text = format!("authority: expected {authority:?}, actual {issuer:?}");
            refusal.get_or_insert(text);
            continue;
        }
        match group(element, claims) {
            Ok(()) => return Ok(()),
            // What a matching authority says is more to the point than another authority's name.
            Err(text) => refusal = Some(text),
        }
    }
    Err(refusal.unwrap_or_else(|| "the policy has no element".to_owned()))
}

fn group(condition: &Value, claims: &Value) -> Result<(), String> {
    if let Some(all) = condition.get("allOf").and_then(Value::as_array) {
        return all.iter().try_for_each(|part| one(part, claims));
    }
    let any = list(condition.get("anyOf"), "anyOf")?;
    let refusals: Vec<_> = any
        .iter()
        .map_while(|part| one(part, claims).err())
        .collect();
    if refusals.len() < any.len() {
        Ok(())
    } else {
        Err(refusals.join("; or "))
    }
}

fn one(condition: &Value, claims: &Value) -> Result<(), String> {
    let Some(claim) = condition.get("claim").and_then(Value::as_str) else {
        return group(condition, claims);
    };
    let members = condition
        .as_object()
        .ok_or("a condition is not an object")?;
    let (operator, expected) = members
        .iter()
        .find(|(name, _)| *name != "claim")
        .ok_or("no operator")?;
    let actual = look_up(claims, claim);
    let order = actual.and_then(|actual| compare(actual, expected));
    let holds = match operator.as_str() {
        "exists" => text(expected) == Some(actual.is_some().to_string()),
        // A missing claim satisfies nothing, not even a difference; a list, an object or null equals nothing.
        "equals" => actual.is_some_and(|actual| matches(actual, expected)),
        "notEquals" => actual.is_some_and(|actual| !matches(actual, expected)),
        "less" => order == Some(Ordering::Less),
        "lessOrEquals" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "greater" => order == Some(Ordering::Greater),
        "greaterOrEquals" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    };
    if holds {
        return Ok(());
    }
    let actual = actual.map_or_else(|| "none".to_owned(), ToString::to_string);
    Err(format!(
        "claim {claim}: expected {operator} {expected}, actual {actual}"
    ))
}

/// A claim by its whole name, or into objects by dots; lists are not entered.
fn look_up<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let members = claims.as_object()?;
    if let Some(value) = members.get(name) {
        return Some(value);
    }
    let (head, rest) = name.split_once('.')?;
    look_up(members.get(head)?, rest)
}

/// `false` and `"false"`, `0` and `"0"` are the same: policies in use write both.
fn text(value: &Value) -> Option<String> {
    if value.is_null() || value.is_array() || value.is_object() {
        return None;
    }
    let text = value.as_str().map(ToOwned::to_owned);
    Some(text.unwrap_or_else(|| value.to_string()))
}

fn matches(actual: &Value, expected: &Value) -> bool {
    text(actual).is_some() && text(actual) == text(expected)
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn compare(actual: &Value, expected: &Value) -> Option<Ordering> {
    Some(number(actual)?.cmp(&number(expected)?))
}
