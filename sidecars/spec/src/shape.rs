//! Which keys a specification knows, and where.
//!
//! The types refuse unknown keys too, but stop at the first and cannot suggest. A test holds this table and the types
//! together.

use serde_json::Value;

use crate::Problem;

/// What stands at one place of the document.
#[derive(Clone, Copy)]
enum Shape {
    /// A scalar, or a map with names of the user's choice.
    Any,
    /// A list of objects.
    List(fn() -> &'static [(&'static str, Self)]),
    /// An object with these keys.
    Object(fn() -> &'static [(&'static str, Self)]),
}

use Shape::{Any, List, Object};

type Keys = &'static [(&'static str, Shape)];

fn specification() -> Keys {
    &[
        ("sandbox", Object(sandbox)),
        ("identities", List(identity)),
        ("datasources", List(access_point)),
        ("datasinks", List(access_point)),
        ("applications", List(application)),
        ("network", Object(network)),
        ("governance", Object(governance)),
    ]
}
fn sandbox() -> Keys {
    &[
        ("sandboxType", Any),
        ("privacyPolicy", Object(policy)),
        ("configuration", Any),
    ]
}
fn identity() -> Keys {
    &[
        ("name", Any),
        ("clientId", Any),
        ("tenantId", Any),
        ("tokenIssuer", Object(token_issuer)),
    ]
}
fn token_issuer() -> Keys {
    &[
        ("issuerType", Any),
        ("issuer", Object(endpoint)),
        ("secret", Object(secret)),
        ("secretAccessIdentity", Object(identity)),
        ("federatedIdentity", Object(identity)),
    ]
}
fn endpoint() -> Keys {
    &[("protocol", Any), ("url", Any), ("configuration", Any)]
}
fn resource() -> Keys {
    &[
        ("name", Any),
        ("type", Any),
        ("id", Any),
        ("provider", Object(endpoint)),
    ]
}
fn secret() -> Keys {
    &[("secretType", Any), ("backingResource", Object(resource))]
}
fn access_point() -> Keys {
    &[
        ("name", Any),
        ("type", Any),
        ("path", Any),
        ("store", Object(resource)),
        ("identity", Object(identity)),
        ("protection", Object(protection)),
    ]
}
fn protection() -> Keys {
    &[
        ("proxyType", Any),
        ("proxyMode", Any),
        ("privacyPolicy", Object(policy)),
        ("configuration", Any),
        ("encryptionSecrets", Object(encryption_secrets)),
        ("encryptionSecretAccessIdentity", Object(identity)),
    ]
}
fn encryption_secrets() -> Keys {
    &[
        ("dek", Object(encryption_secret)),
        ("kek", Object(encryption_secret)),
    ]
}
fn encryption_secret() -> Keys {
    &[("name", Any), ("secret", Object(secret))]
}
fn policy() -> Keys {
    &[("policy", Object(policy_source))]
}
fn policy_source() -> Keys {
    &[
        ("policyDocument", Any),
        ("documentType", Any),
        ("authenticityReceipt", Any),
        ("identity", Object(identity)),
        ("backingResource", Object(resource)),
    ]
}
fn document() -> Keys {
    &[
        ("documentType", Any),
        ("authenticityReceipt", Any),
        ("identity", Object(identity)),
        ("backingResource", Object(resource)),
    ]
}
fn application() -> Keys {
    &[
        ("name", Any),
        ("image", Object(image)),
        ("startType", Any),
        ("command", Any),
        ("environmentVariables", Any),
        ("datasources", Any),
        ("datasinks", Any),
        ("runtimeSettings", Object(runtime)),
    ]
}
fn image() -> Keys {
    &[
        ("executable", Object(document)),
        ("protection", Object(protection)),
        ("enforcementPolicy", Object(policy)),
    ]
}
fn runtime() -> Keys {
    &[("ports", Any), ("resource", Object(resources))]
}
fn resources() -> Keys {
    &[("requests", Object(requests))]
}
fn requests() -> Keys {
    &[("cpu", Any), ("memoryInGB", Any)]
}
fn network() -> Keys {
    &[
        ("http", Object(http)),
        ("tcp", Object(tcp)),
        ("dns", Object(dns)),
    ]
}
fn http() -> Keys {
    &[
        ("inbound", Object(direction)),
        ("outbound", Object(direction)),
    ]
}
fn direction() -> Keys {
    &[("enabled", Any), ("policy", Object(protection))]
}
fn tcp() -> Keys {
    &[("outbound", Object(tcp_outbound))]
}
fn tcp_outbound() -> Keys {
    &[("enabled", Any), ("allowedIPs", List(address))]
}
fn address() -> Keys {
    &[("address", Any), ("port", Any)]
}
fn dns() -> Keys {
    &[("enabled", Any), ("port", Any)]
}
fn governance() -> Keys {
    &[
        ("consent", List(service)),
        ("audit", List(service)),
        ("telemetry", Object(telemetry)),
    ]
}
fn service() -> Keys {
    &[
        ("url", Any),
        ("method", Any),
        ("validResponses", Any),
        ("identity", Object(identity)),
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
        ("consent", List(service)),
        ("metrics", Object(access_point)),
        ("traces", Object(access_point)),
        ("logs", Object(access_point)),
    ]
}
fn application_telemetry() -> Keys {
    &[("consent", List(service)), ("logs", Object(access_point))]
}

/// Deeper nesting than any honest document has (identities may stand behind identities).
const MAX_DEPTH: usize = 24;
/// Names at least this similar (Jaro-Winkler, 0 to 1) are suggested.
const SIMILAR: f64 = 0.75;

/// Every key that the specification does not know, each with the nearest one it does.
pub(crate) fn unknown_keys(value: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(value, Object(specification), "", 0, &mut problems);
    problems
}

fn walk(value: &Value, shape: Shape, path: &str, depth: usize, problems: &mut Vec<Problem>) {
    if depth > MAX_DEPTH {
        problems.push(Problem::new("CR-SPEC-0010", path, "nested too deeply"));
        return;
    }
    match (shape, value) {
        (Object(keys), Value::Object(members)) => {
            let keys = keys();
            for (name, member) in members {
                let place = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match keys.iter().find(|(known, _)| known == name) {
                    Some((_, shape)) => walk(member, *shape, &place, depth + 1, problems),
                    None => {
                        problems.push(Problem::new("CR-SPEC-0011", place, suggestion(name, keys)))
                    }
                }
            }
        }
        (List(keys), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let label = match item.get("name").and_then(Value::as_str) {
                    Some(name) => name.to_owned(),
                    None => index.to_string(),
                };
                walk(
                    item,
                    Object(keys),
                    &format!("{path}[{label}]"),
                    depth + 1,
                    problems,
                );
            }
        }
        // A wrong type is the deserializer's to report.
        _ => {}
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
