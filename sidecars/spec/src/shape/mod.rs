//! Which keys a specification knows and where, and which shape a document has.
//!
//! Three shapes are read: 2.0.0, 4.0.0 and HEAD (what upstream wrote after 4.0.0). The first and the last become 4.0.0 by an
//! adapter each; a document with members of 2.0.0 beside members of a later shape is refused, because no tool wrote it and
//! nobody can say what its author meant. The types refuse unknown keys too, but stop at the first and cannot suggest.

mod head;
mod keys;
mod v2;

use serde_json::Value;

use crate::{Problem, SpecError, configuration};

/// What stands at one place of the document.
#[derive(Clone, Copy)]
enum Shape {
    /// A scalar, or a map with names of the user's choice.
    Any,
    /// The same, and null means absent.
    Optional,
    /// A `configuration`: JSON in one of its encodings; null means empty.
    Text,
    /// A list of objects.
    List(fn() -> &'static [(&'static str, Self)]),
    /// A list of objects, of which upstream writes a single one without the list.
    Services(fn() -> &'static [(&'static str, Self)]),
    /// An object with these keys.
    Object(fn() -> &'static [(&'static str, Self)]),
}

use Shape::{Any, List, Object, Optional, Services, Text};

type Keys = &'static [(&'static str, Shape)];

/// The versions of the specification.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Version {
    V2,
    V4,
    Head,
}

impl Version {
    const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "2.0.0",
            Self::V4 => "4.0.0",
            Self::Head => "HEAD",
        }
    }

    fn keys(self) -> fn() -> Keys {
        match self {
            Self::V2 => v2::specification,
            Self::V4 => keys::specification,
            Self::Head => head::specification,
        }
    }
}

/// Members that only one shape has, or that 2.0.0 has not, with their places.
type Marks = Vec<(Version, String)>;

/// Deeper nesting than any honest document has (identities may stand behind identities).
const MAX_DEPTH: usize = 24;
/// Names at least this similar (Jaro-Winkler, 0 to 1) are suggested.
const SIMILAR: f64 = 0.75;

/// The document in the 4.0.0 shape with every `configuration` as JSON.
///
/// # Errors
/// Every unknown key, every member of a second shape and every member without a counterpart, at its place in `value`.
pub(crate) fn current(mut value: Value) -> Result<Value, SpecError> {
    let mut marks = v2::marks(&value);
    marks.extend(head::marks(&mut value));
    let older = marks.iter().any(|(version, _)| *version == Version::V2);
    if older && marks.iter().any(|(version, _)| *version != Version::V2) {
        return Err(SpecError::Shape(mixed(&value, marks)));
    }
    let version = match marks.iter().find(|(version, _)| *version != Version::V4) {
        Some((version, _)) => *version,
        None => Version::V4,
    };
    let unknown = unknown_keys(&value, version);
    settle(&mut value, Object(version.keys()));
    let lost = match version {
        Version::V2 => v2::adapt(&mut value),
        Version::V4 => Vec::new(),
        Version::Head => head::adapt(&mut value),
    };
    match (unknown.is_empty(), lost.is_empty()) {
        (true, true) => Ok(value),
        (false, true) => Err(SpecError::UnknownKeys(unknown)),
        (_, false) => Err(SpecError::Shape(unknown.into_iter().chain(lost).collect())),
    }
}

/// One problem for every mark, and the keys that neither shape knows.
fn mixed(value: &Value, marks: Marks) -> Vec<Problem> {
    let later = unknown_keys(value, Version::Head);
    let unknown = unknown_keys(value, Version::V2)
        .into_iter()
        .filter(|one| later.iter().any(|other| other.path == one.path));
    let mut problems: Vec<Problem> = unknown.collect();
    problems.extend(marks.into_iter().map(|(version, path)| {
        let other = if version == Version::V2 {
            "members of a later shape"
        } else {
            "members of the 2.0.0 shape"
        };
        let message = format!(
            "belongs to the {} shape, and the document has {other} too",
            version.as_str()
        );
        Problem::new("CR-SPEC-0013", path, message)
    }));
    problems
}

/// A member that 4.0.0 cannot say.
fn lost(path: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem::new("CR-SPEC-0014", path, message)
}

/// How an entry of a list is called in paths.
fn label(item: &Value, index: usize) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => index.to_string(),
    }
}

fn join(path: &str, member: &str) -> String {
    if path.is_empty() {
        member.to_owned()
    } else {
        format!("{path}.{member}")
    }
}

/// Every key that the shape does not know, each with the nearest one it does.
fn unknown_keys(value: &Value, version: Version) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(value, Object(version.keys()), "", 0, &mut problems);
    problems
}

fn walk(value: &Value, shape: Shape, path: &str, depth: usize, problems: &mut Vec<Problem>) {
    if depth > MAX_DEPTH {
        problems.push(Problem::new("CR-SPEC-0010", path, "nested too deeply"));
        return;
    }
    match (shape, value) {
        (Object(keys) | Services(keys), Value::Object(members)) => {
            let keys = keys();
            for (name, member) in members {
                let place = join(path, name);
                match keys.iter().find(|(known, _)| known == name) {
                    Some((_, shape)) => walk(member, *shape, &place, depth + 1, problems),
                    None => {
                        problems.push(Problem::new("CR-SPEC-0011", place, suggestion(name, keys)));
                    }
                }
            }
        }
        (List(keys) | Services(keys), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let place = format!("{path}[{}]", label(item, index));
                walk(item, Object(keys), &place, depth + 1, problems);
            }
        }
        // A wrong type is the deserializer's to report.
        (Any | Optional | Text | Object(_) | List(_) | Services(_), _) => {}
    }
}

fn suggestion(name: &str, keys: Keys) -> String {
    let nearest = keys
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, known)) => format!("unknown key; did you mean {known:?}?"),
        None => {
            let known: Vec<&str> = keys.iter().map(|(known, _)| *known).collect();
            format!("unknown key; known here: {}", known.join(", "))
        }
    }
}

/// Rewrites what every shape may say in more than one way.
fn settle(value: &mut Value, shape: Shape) {
    match (shape, value) {
        (Object(keys), Value::Object(members)) => {
            let keys = keys();
            let of = |name: &str| keys.iter().find(|(known, _)| *known == name);
            members.retain(|name, member| {
                !(member.is_null() && matches!(of(name), Some((_, Optional))))
            });
            for (name, member) in members {
                if let Some((_, shape)) = of(name) {
                    settle(member, *shape);
                }
            }
        }
        (List(keys) | Services(keys), Value::Array(items)) => {
            for item in items {
                settle(item, Object(keys));
            }
        }
        (Services(keys), one @ Value::Object(_)) => {
            settle(one, Object(keys));
            *one = Value::Array(vec![one.take()]);
        }
        (Text, text @ Value::Null) => *text = Value::String(String::new()),
        (Text, Value::String(text)) => {
            if let Some(json) = configuration::rewritten(text) {
                *text = json;
            }
        }
        (Any | Optional | Text | Object(_) | List(_) | Services(_), _) => {}
    }
}
