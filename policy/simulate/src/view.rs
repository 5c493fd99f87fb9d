//! A policy as one JSON value, in which order means nothing where the platform does not look at it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::map::Entry;
use serde_json::{Map, Value, json};

use crate::environment::sets;
use crate::{Answer, Container, Document, MountRule, candidate};

/// A place where two policies differ.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Change {
    /// Path from the top of the policy.
    pub place: String,
    /// What the first says; absent where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What the second says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Document {
    /// Everything that the policy says.
    pub fn view(&self) -> Value {
        let versions = |version: Option<crate::Version>| version.map(|version| version.to_string());
        let points: BTreeMap<_, _> = self
            .points
            .iter()
            .map(|(name, answer)| match answer {
                Answer::Framework => (name, json!("framework")),
                Answer::Constant(value) => (name, value.clone()),
            })
            .collect();
        json!({
            "hostData": self.sha256,
            "comments": self.comments,
            "apiVersion": versions(self.api_version),
            "frameworkVersion": versions(self.framework_version),
            "fragments": keyed(&self.fragments, |one| format!("{} of {}", one.feed, one.issuer), |one| json!(one)),
            "containers": keyed(&self.containers, container_name, container),
            "externalProcesses": keyed(&self.external_processes, |one| one.command.join(" "), |one| json!(one)),
            "flags": self.flags,
            "points": points,
            "reason": self.reason,
        })
    }

    /// Where another policy says something else. Two texts that differ only in their white space differ in their host data.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        changes(&self.view(), &other.view())
    }
}

/// Where two values differ, member by member.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn container_name(container: &Container) -> String {
    let name = container.name.as_ref().or(container.id.as_ref());
    name.cloned().unwrap_or_else(|| "unnamed".to_owned())
}

fn container(container: &Container) -> Value {
    let set = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let capabilities = container.capabilities.as_ref().map(|capabilities| {
        let names = [
            "ambient",
            "bounding",
            "effective",
            "inheritable",
            "permitted",
        ];
        let sets = names
            .into_iter()
            .zip(sets(capabilities).map(|one| set(one)));
        sets.collect::<BTreeMap<_, _>>()
    });
    let mounts = keyed(
        &container.mounts,
        |one| one.destination.clone(),
        |one| {
            json!(MountRule {
                options: set(&one.options),
                ..one.clone()
            })
        },
    );
    let environment = keyed(
        &container.env_rules,
        |rule| rule.pattern.clone(),
        |rule| json!({"required": rule.required, "strategy": rule.strategy}),
    );
    let mut value = json!(container);
    if let Some(members) = value.as_object_mut() {
        members.insert("capabilities".to_owned(), json!(capabilities));
        members.insert("env_rules".to_owned(), environment);
        members.insert("mounts".to_owned(), mounts);
        members.insert(
            "signals".to_owned(),
            json!(candidate::numbers(&container.signals)),
        );
    }
    value
}

/// Items by name; a second of the same name gets a number.
fn keyed<T>(items: &[T], name: impl Fn(&T) -> String, value: impl Fn(&T) -> Value) -> Value {
    let mut members = Map::new();
    // The number to begin with: a policy may list one name a hundred thousand times.
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for item in items {
        let name = name(item);
        let number = next.entry(name.clone()).or_insert(1);
        loop {
            let numbered = match *number {
                1 => name.clone(),
                number => format!("{name} #{number}"),
            };
            *number = number.saturating_add(1);
            if let Entry::Vacant(free) = members.entry(numbered) {
                free.insert(value(item));
                break;
            }
        }
    }
    members.into()
}

fn compare(place: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(
                    &format!("{place}/{}", escaped(name)),
                    old.get(name),
                    new.get(name),
                    found,
                );
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{place}/{index}"), Some(old), Some(new), found);
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(Change {
            place: place.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

/// A member's name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_listed_often_is_numbered_and_takes_no_longer_each_time() {
        let names: Vec<String> = std::iter::once("a #2".to_owned())
            .chain(std::iter::repeat_n("a".to_owned(), 80_000))
            .collect();
        let members = keyed(&names, String::clone, |name| json!(name));
        let members = members.as_object().unwrap();
        assert_eq!(members.len(), names.len());
        assert_eq!(members["a #2"], "a #2");
        assert!(members.contains_key("a #3") && members.contains_key("a #80001"));
    }
}
