//! The clean room policy and the deployment specification of a contract.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::proposals::Action;
use super::reply::{Answer, Reply};
use super::routes::Exchange;

const TEXTS: [&str; 14] = [
    "x-ms-attestation-type",
    "x-ms-compliance-status",
    "x-ms-policy-hash",
    "vm-configuration-secure-boot-template-id",
    "vm-configuration-vmUniqueId",
    "x-ms-sevsnpvm-authorkeydigest",
    "x-ms-sevsnpvm-familyId",
    "x-ms-sevsnpvm-hostdata",
    "x-ms-sevsnpvm-idkeydigest",
    "x-ms-sevsnpvm-imageId",
    "x-ms-sevsnpvm-launchmeasurement",
    "x-ms-sevsnpvm-reportdata",
    "x-ms-sevsnpvm-reportid",
    "x-ms-ver",
];
const NUMBERS: [&str; 6] = [
    "x-ms-sevsnpvm-bootloader-svn",
    "x-ms-sevsnpvm-guestsvn",
    "x-ms-sevsnpvm-microcode-svn",
    "x-ms-sevsnpvm-snpfw-svn",
    "x-ms-sevsnpvm-tee-svn",
    "x-ms-sevsnpvm-vmpl",
];
const FLAGS: [&str; 5] = [
    "vm-configuration-secure-boot",
    "vm-configuration-tpm-enabled",
    "x-ms-sevsnpvm-is-debuggable",
    "x-ms-sevsnpvm-migration-allowed",
    "x-ms-sevsnpvm-smt-allowed",
];

/// Checks the claims of a `set_clean_room_policy`: known names, values of their type.
pub(super) fn check(action: &Action) -> Result<(), String> {
    if !matches!(action.text("type"), "add" | "remove") {
        return Err(format!(
            "Clean Room Policy with type '{}' is not supported",
            action.text("type")
        ));
    }
    for (claim, values) in claims(action) {
        let name = claim.as_str();
        let fits: fn(&Value) -> bool = if TEXTS.contains(&name) {
            Value::is_string
        } else if NUMBERS.contains(&name) {
            Value::is_number
        } else if FLAGS.contains(&name) {
            Value::is_boolean
        } else {
            return Err(format!("The claim {name} is not an allowed claim"));
        };
        if let Some(value) = values.iter().find(|value| !fits(value)) {
            return Err(format!("The claim {name} cannot have the value {value}"));
        }
    }
    Ok(())
}

fn claims(action: &Action) -> Vec<(&String, Vec<Value>)> {
    let claims = action.args.get("claims").and_then(Value::as_object);
    let values = |value: &Value| {
        value
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![value.clone()])
    };
    claims
        .into_iter()
        .flatten()
        .map(|(claim, value)| (claim, values(value)))
        .collect()
}

/// Adds values (a flag has one, the last), or removes values that are there.
pub(super) fn change(
    policy: &mut BTreeMap<String, Vec<Value>>,
    action: &Action,
) -> Result<(), String> {
    for (claim, values) in claims(action) {
        if action.text("type") == "add" {
            let held = policy.entry(claim.clone()).or_default();
            for value in values {
                if value.is_boolean() {
                    held.clear();
                }
                held.push(value);
            }
            continue;
        }
        let held = policy
            .get_mut(claim)
            .ok_or_else(|| format!("the policy has no claim {claim}"))?;
        for value in values {
            let at = held.iter().position(|held| *held == value);
            held.remove(
                at.ok_or_else(|| format!("the policy's claim {claim} has no value {value}"))?,
            );
        }
        if held.is_empty() {
            policy.remove(claim);
        }
    }
    Ok(())
}

/// Whether every claim that the policy names is there and has one of the policy's values.
pub(super) fn matches(
    policy: Option<&BTreeMap<String, Vec<Value>>>,
    claims: &Map<String, Value>,
) -> Result<(), String> {
    let policy = policy
        .filter(|policy| !policy.is_empty())
        .ok_or("The clean room policy is missing. Please propose a new clean room policy.")?;
    for (name, allowed) in policy {
        let value = claims
            .get(name)
            .ok_or_else(|| format!("Missing claim in attestation: {name}"))?;
        if !allowed.contains(value) {
            let [value, allowed] = [
                plain(value),
                allowed.iter().map(plain).collect::<Vec<_>>().join(","),
            ];
            return Err(format!(
                "Attestation claim {name}, value {value} does not match policy values: {allowed}"
            ));
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn get(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let id = ex.param(0);
    let open = open(ex, &id, "set_clean_room_policy");
    let policy = ex
        .state
        .tables
        .policies
        .get(&id)
        .cloned()
        .unwrap_or_default();
    Reply::json(&json!({"proposalIds": open, "policy": policy}))
}

pub(super) fn deployment_spec(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let id = ex.param(0);
    let open = open(ex, &id, "set_deployment_spec");
    let spec = ex.state.tables.specs.get(&id);
    let data = spec
        .and_then(|spec| spec.get("data"))
        .cloned()
        .unwrap_or_else(|| json!({}));
    Reply::json(&json!({"proposalIds": open, "data": data}))
}

fn open(ex: &Exchange<'_>, contract: &str, name: &str) -> Vec<String> {
    ex.state
        .open_proposals(|action| action.name == name && action.text("contractId") == contract)
}
