//! The HEAD shape, which upstream writes after 4.0.0: 4.0.0 with a few more members and values of a dataset.
//!
//! Most of what it adds is what this room cannot do; then the place is said, and nothing is dropped.

use serde_json::Value;

use super::Shape::{Any, List, Object, Services};
use super::{Keys, Marks, Version, keys, label, lost};
use crate::Problem;

pub(super) fn specification() -> Keys {
    &[
        ("sandbox", Object(keys::sandbox)),
        ("identities", List(keys::identity)),
        ("datasources", List(access_point)),
        ("datasinks", List(access_point)),
        ("applications", List(keys::application)),
        ("network", Object(keys::network)),
        ("governance", Object(governance)),
    ]
}
fn access_point() -> Keys {
    &[
        ("name", Any),
        ("type", Any),
        ("path", Any),
        ("subdirectory", Any),
        ("store", Object(keys::resource)),
        ("identity", Object(keys::identity)),
        ("protection", Object(keys::protection)),
    ]
}
fn governance() -> Keys {
    &[
        ("consent", Services(keys::service)),
        ("audit", Services(keys::service)),
        ("telemetry", Object(telemetry)),
    ]
}
fn telemetry() -> Keys {
    &[
        ("infrastructure", Object(infrastructure)),
        ("application", Object(application_telemetry)),
    ]
}
fn infrastructure() -> Keys {
    &[
        ("consent", Services(keys::service)),
        ("metrics", Object(access_point)),
        ("traces", Object(access_point)),
        ("logs", Object(access_point)),
    ]
}
fn application_telemetry() -> Keys {
    &[
        ("consent", Services(keys::service)),
        ("logs", Object(access_point)),
    ]
}

/// Values that came after 4.0.0 and that nothing here stands for, with the members that may have them.
const LATER: [(&str, &[&str]); 3] = [
    ("type", &["Azure_BlobStorage_DataLakeGen2", "Cgs"]),
    (
        "protocol",
        &["Azure_BlobStorage_DataLakeGen2", "Cgs_Secret"],
    ),
    (
        "proxyType",
        &[
            "SecureVolume__ReadOnly__Azure__BlobStorage__DataLakeGen2",
            "SecureVolume__ReadWrite__Azure__BlobStorage__DataLakeGen2",
        ],
    ),
];

/// Every dataset of the document with its place; telemetry repeats whole ones.
fn access_points(value: &mut Value) -> Vec<(String, &mut Value)> {
    let mut points = Vec::new();
    let Some(specification) = value.as_object_mut() else {
        return points;
    };
    for (member, below) in specification {
        match (member.as_str(), below) {
            ("datasources" | "datasinks", Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    points.push((format!("{member}[{}]", label(item, index)), item));
                }
            }
            ("governance", governance) => {
                let telemetry = governance
                    .get_mut("telemetry")
                    .and_then(Value::as_object_mut);
                for (part, sinks) in telemetry.into_iter().flatten() {
                    for (sink, point) in sinks.as_object_mut().into_iter().flatten() {
                        if matches!(sink.as_str(), "metrics" | "traces" | "logs") {
                            points.push((format!("governance.telemetry.{part}.{sink}"), point));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    points
}

/// What only this shape has. A member that is merely missing is no mark: it is missing in 4.0.0 too.
pub(super) fn marks(value: &mut Value) -> Marks {
    let mut marks = Marks::new();
    for (path, point) in access_points(value) {
        let mut mark = |place: String| marks.push((Version::Head, place));
        if point.get("subdirectory").is_some() {
            mark(format!("{path}.subdirectory"));
        }
        if point.get("identity").is_some_and(Value::is_null) {
            mark(format!("{path}.identity"));
        }
        let kek = point.pointer("/protection/encryptionSecrets/kek");
        if kek.is_some_and(Value::is_null) {
            mark(format!("{path}.protection.encryptionSecrets.kek"));
        }
        later_values(point, &path, &mut |place, _| mark(place));
    }
    marks
}

fn later_values(value: &Value, path: &str, found: &mut impl FnMut(String, &str)) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let place = format!("{path}.{name}");
        let later = LATER
            .iter()
            .find(|(of, _)| of == name)
            .and_then(|(_, values)| values.iter().find(|later| member == **later));
        match later {
            Some(later) => found(place, later),
            None => later_values(member, &place, found),
        }
    }
}

/// Makes 4.0.0 of HEAD; gives what cannot be said there.
pub(super) fn adapt(value: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, point) in access_points(value) {
        later_values(point, &path, &mut |place, later| {
            problems.push(lost(
                place,
                format!("{later:?}: a room reaches blob storage, buckets and vaults only"),
            ));
        });
        let kek = point.pointer("/protection/encryptionSecrets/kek");
        if point.pointer("/protection/encryptionSecrets/dek").is_some()
            && kek.is_none_or(Value::is_null)
        {
            problems.push(lost(
                format!("{path}.protection.encryptionSecrets.kek"),
                "missing; a data key without a key that wraps it is not released to a room",
            ));
        }
        let Some(point) = point.as_object_mut() else {
            continue;
        };
        if point.get("identity").is_none_or(Value::is_null) {
            problems.push(lost(
                format!("{path}.identity"),
                "missing; nobody may reach the store",
            ));
        }
        match point.remove("subdirectory") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(_) => problems.push(lost(
                format!("{path}.subdirectory"),
                "must be empty: a dataset is a whole container",
            )),
        }
    }
    problems
}
