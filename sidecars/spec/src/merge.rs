use serde_json::Value;

use crate::{Problem, SpecError, Specification};

/// Joins the fragments of the parties into one specification: lists by name, everything else by key. Equal entries are
/// fine; entries of one name with different content, and differing values, are conflicts.
///
/// # Errors
/// [`SpecError::Conflicts`] with every conflict by name and path.
pub fn merge(fragments: &[Specification]) -> Result<Specification, SpecError> {
    let mut conflicts = Vec::new();
    let mut merged = Value::Null;
    for fragment in fragments {
        let value = serde_json::to_value(fragment).map_err(SpecError::unreadable)?;
        join(&mut merged, value, "", &mut conflicts);
    }
    if !conflicts.is_empty() {
        return Err(SpecError::Conflicts(conflicts));
    }
    match merged {
        Value::Null => Ok(Specification::default()),
        merged => Specification::from_value(merged),
    }
}

fn join(left: &mut Value, right: Value, path: &str, conflicts: &mut Vec<Problem>) {
    match (left, right) {
        (_, Value::Null) => {}
        (left @ Value::Null, right) => *left = right,
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in right {
                let place = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                join(
                    left.entry(key).or_insert(Value::Null),
                    value,
                    &place,
                    conflicts,
                );
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for item in right {
                join_item(left, item, path, conflicts);
            }
        }
        (left, right) if *left == right => {}
        (left, right) => conflicts.push(Problem::new(
            "CR-SPEC-0012",
            path,
            format!("{} here, {} there", brief(left), brief(&right)),
        )),
    }
}

fn join_item(list: &mut Vec<Value>, item: Value, path: &str, conflicts: &mut Vec<Problem>) {
    let name = item.get("name").and_then(Value::as_str);
    let same = name.and_then(|name| {
        let other = list
            .iter()
            .find(|other| other.get("name").and_then(Value::as_str) == Some(name));
        other.map(|other| (name.to_owned(), other))
    });
    match same {
        None if list.contains(&item) => {}
        None => list.push(item),
        Some((_, other)) if *other == item => {}
        Some((name, other)) => {
            differences(other, &item, &format!("{path}[{name}]"), conflicts);
        }
    }
}

/// The places at which two entries of one name differ.
fn differences(left: &Value, right: &Value, path: &str, conflicts: &mut Vec<Problem>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                );
                differences(a, b, &format!("{path}.{key}"), conflicts);
            }
        }
        (a, b) if a == b => {}
        (a, b) => conflicts.push(Problem::new(
            "CR-SPEC-0012",
            path,
            format!("{} here, {} there", brief(a), brief(b)),
        )),
    }
}

/// A value for an error text: short, on one line.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
