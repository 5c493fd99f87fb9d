//! The 2.0.0 shape: one endpoint instead of a network, mounts instead of datasets of an application, no start type.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shape::{Any, List, Object, Optional};
use super::{Keys, Marks, Version, join, keys, label, lost};
use crate::{PrivacyProxySettings, Problem};

pub(super) fn specification() -> Keys {
    &[
        ("sandbox", Object(keys::sandbox)),
        ("identities", List(keys::identity)),
        ("datasources", List(keys::access_point)),
        ("datasinks", List(keys::access_point)),
        ("applications", List(application)),
        ("applicationEndpoints", List(endpoint)),
        ("governance", Object(keys::governance)),
    ]
}
fn application() -> Keys {
    &[
        ("name", Any),
        ("image", Object(keys::image)),
        ("command", Optional),
        ("environmentVariables", Any),
        ("runtimeSettings", Object(runtime)),
    ]
}
fn runtime() -> Keys {
    &[
        ("ports", Any),
        ("mounts", Any),
        ("resource", Object(keys::resources)),
    ]
}
fn endpoint() -> Keys {
    &[
        ("type", Any),
        ("port", Any),
        ("protection", Object(keys::protection)),
    ]
}

/// What 2.0.0 has and later shapes have not, and the other way round.
pub(super) fn marks(value: &Value) -> Marks {
    let mut marks = Marks::new();
    let mut mark = |version, holder: Option<&Value>, path: &str, member: &str| {
        if holder.is_some_and(|holder| holder.get(member).is_some()) {
            marks.push((version, join(path, member)));
        }
    };
    mark(Version::V2, Some(value), "", "applicationEndpoints");
    mark(Version::V4, Some(value), "", "network");
    for (index, application) in list(value, "applications").enumerate() {
        let path = format!("applications[{}]", label(application, index));
        let runtime = format!("{path}.runtimeSettings");
        mark(
            Version::V2,
            application.get("runtimeSettings"),
            &runtime,
            "mounts",
        );
        for member in ["startType", "datasources", "datasinks"] {
            mark(Version::V4, Some(application), &path, member);
        }
    }
    marks
}

fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(member)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Makes 4.0.0 of 2.0.0; gives what cannot be said there.
pub(super) fn adapt(value: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names = |member| -> Vec<String> {
        list(value, member)
            .filter_map(|point| point.get("name")?.as_str().map(ToOwned::to_owned))
            .collect()
    };
    let (sources, sinks) = (names("datasources"), names("datasinks"));
    let network = network(value, &mut problems);
    let Some(specification) = value.as_object_mut() else {
        return problems;
    };
    specification.remove("applicationEndpoints");
    if let Some(network) = network {
        specification.insert("network".to_owned(), network);
    }
    let applications = specification
        .get_mut("applications")
        .and_then(Value::as_array_mut);
    for (index, application) in applications.into_iter().flatten().enumerate() {
        let path = format!("applications[{}]", label(application, index));
        let Some(application) = application.as_object_mut() else {
            continue;
        };
        let mut data = [
            ("datasources", sources.as_slice(), Map::new()),
            ("datasinks", sinks.as_slice(), Map::new()),
        ];
        let mounts = application
            .get_mut("runtimeSettings")
            .and_then(Value::as_object_mut)
            .and_then(|runtime| runtime.remove("mounts"));
        let place = format!("{path}.runtimeSettings.mounts");
        match mounts {
            Some(Value::Object(mounts)) => {
                for (source, target) in &mounts {
                    if let Err(message) = mount(source, target, &mut data) {
                        problems.push(lost(format!("{place}[{source}]"), message));
                    }
                }
            }
            Some(_) => problems.push(lost(place, "no map of src=<name> to dst=<path>")),
            None => problems.push(lost(
                place,
                "missing; {} if the application reads and writes nothing",
            )),
        }
        for (member, _, map) in data {
            application.insert(member.to_owned(), Value::Object(map));
        }
        // The launcher of 2.0.0 ran its application at once and waited for no caller.
        application.insert("startType".to_owned(), json!("Auto"));
    }
    problems
}

/// Puts one mount among the sources or the sinks, whichever has its name.
fn mount(
    source: &str,
    target: &Value,
    data: &mut [(&str, &[String], Map<String, Value>)],
) -> Result<(), String> {
    // 2.0.0 cut both at '=' and silently dropped what came after a second one.
    let value_of = |text: &str, key: &str| {
        let value = text.strip_prefix(key)?.strip_prefix('=')?;
        (!value.is_empty() && !value.contains('=')).then(|| value.to_owned())
    };
    let name = value_of(source, "src").ok_or("the key is not src=<name of a dataset>")?;
    let path = target.as_str().and_then(|target| value_of(target, "dst"));
    let path = path.ok_or("the value is not dst=<path in the application>")?;
    let mut owners = data
        .iter_mut()
        .filter(|(_, names, _)| names.contains(&name));
    match (owners.next(), owners.next()) {
        (Some((_, _, map)), None) => {
            map.insert(name, Value::String(path));
            Ok(())
        }
        (None, _) => Err(format!(
            "{name:?} is neither a datasource nor a datasink of this document, so nobody can tell whether it is read or \
             written; a fragment of 2.0.0 can be read once the fragments are merged"
        )),
        (Some(_), Some(_)) => Err(format!("{name:?} is both a datasource and a datasink")),
    }
}

/// The network of 4.0.0: the one endpoint as inbound HTTP.
fn network(value: &Value, problems: &mut Vec<Problem>) -> Option<Value> {
    let endpoints = match value.get("applicationEndpoints") {
        None | Some(Value::Null) => return None,
        Some(Value::Array(endpoints)) => endpoints,
        Some(_) => {
            problems.push(lost("applicationEndpoints", "no list"));
            return None;
        }
    };
    let mut policy = None;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("applicationEndpoints[{}]", label(endpoint, index));
        if index > 0 {
            problems.push(lost(
                path.clone(),
                "a second endpoint; 2.0.0 could deploy only one",
            ));
        }
        // The only type that any tool wrote; it says nothing that `protection` does not.
        if endpoint.get("type") != Some(&json!("Open")) {
            problems.push(lost(format!("{path}.type"), "is not \"Open\""));
        }
        let port = endpoint.get("port");
        let served = |application: &Value| {
            let ports = application.pointer("/runtimeSettings/ports");
            port.is_some_and(|port| {
                ports
                    .and_then(Value::as_array)
                    .is_some_and(|all| all.contains(port))
            })
        };
        if !list(value, "applications").any(served) {
            let message = "is not among the ports of an application";
            problems.push(lost(format!("{path}.port"), message));
        }
        match endpoint.get("protection") {
            None => problems.push(lost(format!("{path}.protection"), "missing")),
            Some(protection) => match PrivacyProxySettings::deserialize(protection) {
                Ok(_) => policy = Some(protection.clone()),
                Err(error) => problems.push(lost(format!("{path}.protection"), error.to_string())),
            },
        }
    }
    policy.map(|policy| json!({"http": {"inbound": {"enabled": true, "policy": policy}}}))
}
