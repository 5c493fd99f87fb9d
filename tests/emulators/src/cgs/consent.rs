//! Consent: execution is on once the contract is accepted and off while any member says so; logging and telemetry are
//! off until a proposal turns them on.
use serde_json::{Value, json};

use super::actions::OPTIONS;
use super::attested::CleanRoom;
use super::reply::{Answer, Refusal, Reply};
use super::routes::Exchange;
use super::state::State;

pub(super) fn for_member(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    Reply::json(&status(ex.state, &ex.param(0), &ex.param(1))?)
}

pub(super) fn for_clean_room(ex: &mut Exchange<'_>) -> Answer {
    let (contract, option) = (ex.param(0), ex.param(1));
    known(&option)?;
    CleanRoom::admit(ex, &contract, &[])?;
    Reply::json(&status(ex.state, &contract, &option)?)
}

fn known(option: &str) -> Result<(), Refusal> {
    if matches!(option, "execution" | "logging" | "telemetry") {
        return Ok(());
    }
    Err(Refusal::bad(
        "InvalidOption",
        format!("There is no option {option}."),
    ))
}

fn status(state: &State, contract: &str, option: &str) -> Result<Value, Refusal> {
    known(option)?;
    if let Err((code, message)) = execution(state, contract)
        && (option == "execution" || code == NOT_ACCEPTED)
    {
        return Ok(json!({"status": "disabled", "reason": {"code": code, "message": message}}));
    }
    if option == "execution" {
        return Ok(json!({"status": "enabled"}));
    }
    let table = if option == "logging" {
        &state.tables.logging
    } else {
        &state.tables.telemetry
    };
    let enabled = table.get(contract).copied().unwrap_or(false);
    // Proposals to disable never show: the real service loses them too, and they are in force at once.
    let name = format!("set_contract_runtime_options_enable_{option}");
    let open =
        state.open_proposals(|action| action.name == name && action.text("contractId") == contract);
    Ok(json!({"status": if enabled { "enabled" } else { "disabled" }, "proposalIds": open}))
}

const NOT_ACCEPTED: &str = "ContractNotAccepted";

/// Why the contract may not be executed, as code and message.
fn execution(state: &State, contract: &str) -> Result<(), (&'static str, String)> {
    if !state.tables.contracts.accepted.contains_key(contract) {
        return Err((
            NOT_ACCEPTED,
            "Contract does not exist or has not been accepted.".to_owned(),
        ));
    }
    let said = state.tables.execution.get(contract).into_iter().flatten();
    let against: Vec<&str> = said
        .filter(|(_, enabled)| !**enabled)
        .map(|(id, _)| id.as_str())
        .collect();
    if against.is_empty() {
        return Ok(());
    }
    let members = against.join(",");
    let message = format!("Contract has been disabled by the following member(s): m[{members}].");
    Err(("ContractDisabled", message))
}

/// Refuses what a clean room asks for under a contract that may not be executed, when the service is strict about it.
pub(super) fn for_secrets(ex: &Exchange<'_>, contract: &str) -> Result<(), Refusal> {
    if !ex.cgs.config.strictness.consent_for_secrets {
        return Ok(());
    }
    execution(ex.state, contract).map_err(|(code, message)| Refusal::forbidden(code, message))
}

pub(super) fn enable(ex: &mut Exchange<'_>) -> Answer {
    switch(ex, true)
}

pub(super) fn disable(ex: &mut Exchange<'_>) -> Answer {
    switch(ex, false)
}

/// A member says what it wants itself; no vote.
fn switch(ex: &mut Exchange<'_>, enabled: bool) -> Answer {
    let (member, _) = ex.member()?;
    let contract = ex.param(0);
    if !ex.state.tables.contracts.accepted.contains_key(&contract) {
        return Err(Refusal::bad(
            NOT_ACCEPTED,
            "Contract does not exist or has not been accepted.",
        ));
    }
    ex.state.ledger.write();
    ex.state
        .tables
        .execution
        .entry(contract)
        .or_default()
        .insert(member, enabled);
    Ok(Reply::empty())
}

pub(super) fn service_option(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let option = ex.param(0);
    if !OPTIONS.contains(&option.as_str()) {
        return Err(Refusal::bad(
            "InvalidOption",
            format!("There is no option {option}."),
        ));
    }
    let enabled = ex
        .state
        .tables
        .options
        .get(&option)
        .copied()
        .unwrap_or(false);
    Reply::json(&json!({"status": if enabled { "enabled" } else { "disabled" }}))
}
