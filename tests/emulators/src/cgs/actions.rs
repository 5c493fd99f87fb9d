//! What a proposal can do: the check of its arguments when it is made, its effect when it is accepted (§3.1).
use serde_json::Value;

use super::ledger::TxId;
use super::member::Member;
use super::oidc::Issuer;
use super::policy;
use super::proposals::{Action, Proposal};
use super::state::{Accepted, Tables};

/// Service options that `set_cgs_runtime_options` knows.
pub(super) const OPTIONS: [&str; 4] = [
    "autoapprove-constitution-proposal",
    "autoapprove-jsapp-proposal",
    "autoapprove-deploymentspec-proposal",
    "autoapprove-cleanroompolicy-proposal",
];

/// `<consent>_<logging|telemetry>` with the prefix cut: whether it enables, and which.
fn runtime_option(name: &str) -> Option<(bool, &str)> {
    let rest = name.strip_prefix("set_contract_runtime_options_")?;
    let (enable, option) = match rest.split_once('_')? {
        ("enable", option) => (true, option),
        ("disable", option) => (false, option),
        _ => return None,
    };
    matches!(option, "logging" | "telemetry").then_some((enable, option))
}

/// Checks an action's arguments; the text is what follows `failed validation: Error: `.
pub(super) fn validate(
    action: &Action,
    tables: &Tables,
    protect_members: bool,
) -> Result<(), String> {
    match action.name.as_str() {
        "set_contract" => {
            need(action, "contractId", "string")?;
            need(action, "contract", "object")
        }
        "set_document" => {
            need(action, "documentId", "string")?;
            need(action, "document", "object")
        }
        "set_deployment_spec" => {
            need(action, "contractId", "string")?;
            need(action, "spec", "object")?;
            accepted(action, tables, "Deployment spec")
        }
        "set_clean_room_policy" => {
            need(action, "contractId", "string")?;
            need(action, "type", "string")?;
            need(action, "claims", "object")?;
            policy::check(action)?;
            accepted(action, tables, "Clean room policy")
        }
        "enable_oidc_issuer" => need(action, "kid", "string"),
        "set_oidc_issuer_url" => need(action, "issuer_url", "string"),
        "oidc_issuer_enable_rotate_signing_key" => Ok(()),
        "set_cgs_runtime_options" => {
            need(action, "option", "string")?;
            let known = OPTIONS.contains(&action.text("option"));
            let status = matches!(action.text("status"), "enabled" | "disabled");
            if known && status {
                Ok(())
            } else {
                Err("option or status is not a known one".to_owned())
            }
        }
        "set_member" => {
            need(action, "cert", "string")?;
            let (id, _) = Member::read(action.text("cert"), Value::Null)?;
            if protect_members && tables.members.contains_key(&id) {
                return Err(format!(
                    "member {id} exists; a member's data is set by set_member_data"
                ));
            }
            Ok(())
        }
        "set_member_data" => {
            need(action, "member_id", "string")?;
            need(action, "member_data", "object")?;
            known_member(action, tables)
        }
        "remove_member" => {
            need(action, "member_id", "string")?;
            known_member(action, tables)
        }
        "set_recovery_threshold" => {
            let threshold = action
                .args
                .get("recovery_threshold")
                .and_then(Value::as_u64);
            let valid = threshold.is_some_and(|threshold| (1..=255).contains(&threshold));
            if valid {
                Ok(())
            } else {
                Err("recovery_threshold must be an integer from 1 to 255".to_owned())
            }
        }
        "transition_service_to_open" => need(action, "next_service_identity", "string"),
        name if runtime_option(name).is_some() => {
            need(action, "contractId", "string")?;
            accepted(action, tables, "Runtime options")
        }
        name => Err(format!("no such action: {name}")),
    }
}

fn need(action: &Action, name: &str, kind: &str) -> Result<(), String> {
    let value = action.args.get(name);
    let actual = match value {
        None => "undefined",
        Some(Value::String(_)) => "string",
        Some(Value::Number(_)) => "number",
        Some(Value::Bool(_)) => "boolean",
        Some(_) => "object",
    };
    let fits = actual == kind && value.is_some_and(|value| kind != "object" || value.is_object());
    if !fits {
        return Err(format!("{name} must be of type {kind} but is {actual}"));
    }
    if value.is_some_and(|value| value == "") {
        Err(format!("{name} must not be empty"))
    } else {
        Ok(())
    }
}

fn accepted(action: &Action, tables: &Tables, what: &str) -> Result<(), String> {
    let contract = action.text("contractId");
    if tables.contracts.accepted.contains_key(contract) {
        return Ok(());
    }
    Err(format!(
        "{what} can only be proposed once contract '{contract}' has been accepted."
    ))
}

fn known_member(action: &Action, tables: &Tables) -> Result<(), String> {
    let id = action.text("member_id");
    if tables.members.contains_key(id) {
        Ok(())
    } else {
        Err(format!("no member {id}"))
    }
}

/// Puts every action into effect, or says which did not work; then `tables` is to be thrown away.
pub(super) fn apply(
    tables: &mut Tables,
    id: &str,
    proposal: &Proposal,
    tx: TxId,
) -> Result<(), String> {
    for action in &proposal.actions {
        one(tables, id, proposal, action, tx)
            .map_err(|reason| format!("Failed to apply {}: {reason}", action.name))?;
    }
    Ok(())
}

fn one(
    tables: &mut Tables,
    id: &str,
    proposal: &Proposal,
    action: &Action,
    tx: TxId,
) -> Result<(), String> {
    let contract = action.text("contractId").to_owned();
    match action.name.as_str() {
        "set_contract" => {
            let article = article(action, "contract", id, proposal, tx);
            tables.contracts.accepted.insert(contract, article);
        }
        "set_document" => {
            let article = article(action, "document", id, proposal, tx);
            tables
                .documents
                .accepted
                .insert(action.text("documentId").to_owned(), article);
        }
        "set_deployment_spec" => {
            let spec = action.args.get("spec").cloned().unwrap_or_default();
            tables.specs.insert(contract, spec);
        }
        "set_clean_room_policy" => {
            policy::change(tables.policies.entry(contract).or_default(), action)?
        }
        "enable_oidc_issuer" => {
            let kid = action.text("kid").to_owned();
            tables.issuer.get_or_insert(Issuer { kid, request: 1 });
        }
        "set_oidc_issuer_url" => tables.issuer_url = Some(action.text("issuer_url").to_owned()),
        "oidc_issuer_enable_rotate_signing_key" => {
            tables
                .issuer
                .as_mut()
                .ok_or("the OIDC issuer is not enabled")?
                .request += 1;
        }
        "set_cgs_runtime_options" => {
            tables.options.insert(
                action.text("option").to_owned(),
                action.text("status") == "enabled",
            );
        }
        "set_member" => {
            let data = action.args.get("member_data").cloned().unwrap_or_default();
            let (id, mut member) = Member::read(action.text("cert"), data)?;
            let optional = |name: &str| {
                Some(action.text(name))
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            };
            member.encryption_key = optional("encryption_pub_key");
            if member.encryption_key.is_some() {
                member.recovery_role =
                    optional("recovery_role").unwrap_or_else(|| "Participant".to_owned());
            }
            tables.members.insert(id, member);
        }
        "set_member_data" => {
            let member = tables
                .members
                .get_mut(action.text("member_id"))
                .ok_or("no such member")?;
            member.data = action.args.get("member_data").cloned().unwrap_or_default();
        }
        "remove_member" => {
            tables.members.remove(action.text("member_id"));
        }
        "set_recovery_threshold" => {
            tables.recovery_threshold = action
                .args
                .get("recovery_threshold")
                .and_then(Value::as_u64)
                .unwrap_or(1);
        }
        "transition_service_to_open" => {}
        name => match runtime_option(name) {
            Some((enable, "logging")) => drop(tables.logging.insert(contract, enable)),
            Some((enable, _)) => drop(tables.telemetry.insert(contract, enable)),
            None => return Err("no such action".to_owned()),
        },
    }
    Ok(())
}

fn article(action: &Action, argument: &str, id: &str, proposal: &Proposal, tx: TxId) -> Accepted {
    let proposed = action.args.get(argument).unwrap_or(&Value::Null);
    Accepted {
        data: proposed.get("data").cloned().unwrap_or_default(),
        contract_id: proposed
            .get("contractId")
            .and_then(Value::as_str)
            .map(str::to_owned),
        version: tx,
        proposal_id: id.to_owned(),
        votes: proposal.votes(),
    }
}
