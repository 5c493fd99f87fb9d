//! The constitution's rules: whether a proposal is decided, asked when it is made and after
//! every ballot.
use std::collections::{BTreeMap, BTreeSet};

use super::member::{Member, flag};
use super::proposals::{Action, Proposal, Stage};
use super::state::Tables;

/// What an operator may pass alone, besides members that are operators themselves.
const OPERATORS: [&str; 2] = ["set_recovery_threshold", "transition_service_to_open"];
/// What an operator may pass while there is no collaborator yet.
const BOOTSTRAP: [&str; 5] = [
    "set_member",
    "set_member_data",
    "set_recovery_threshold",
    "transition_service_to_open",
    "enable_oidc_issuer",
];
/// What one ballot against it rejects.
const VETO: [&str; 6] = [
    "set_contract",
    "set_clean_room_policy",
    "set_deployment_spec",
    "set_contract_runtime_options_enable_logging",
    "set_contract_runtime_options_enable_telemetry",
    "set_document",
];
/// What any member may do at once.
const CLOSING: [&str; 2] = [
    "set_contract_runtime_options_disable_logging",
    "set_contract_runtime_options_disable_telemetry",
];

pub(super) fn resolve(
    id: &str,
    proposal: &Proposal,
    all: &BTreeMap<String, Proposal>,
    tables: &Tables,
    protect_members: bool,
) -> Stage {
    let proposer = tables.members.get(&proposal.proposer);
    let actions = &proposal.actions;
    let operator = proposer.is_some_and(Member::is_operator);
    if operator && actions.iter().all(|action| operator_passes(action, tables)) {
        return Stage::Accepted;
    }
    if superseded(id, actions, all, tables) {
        return Stage::Rejected;
    }
    let opposed = proposal.ballots.values().any(|(vote, _)| !vote);
    if opposed
        && actions
            .iter()
            .any(|action| VETO.contains(&action.name.as_str()))
    {
        return Stage::Rejected;
    }
    if actions
        .iter()
        .all(|action| CLOSING.contains(&action.name.as_str()))
    {
        return Stage::Accepted;
    }
    if proposer.is_some_and(|member| member.role("contractOperator"))
        && autoapproved(actions, tables)
    {
        return Stage::Accepted;
    }
    let contract = actions.iter().any(|action| action.name == "set_contract");
    if contract && tables.dormant().next().is_some() {
        return Stage::Open;
    }
    let electorate: Vec<_> = tables.electorate().collect();
    if electorate.is_empty() && protect_members {
        let founding = operator
            && actions
                .iter()
                .all(|action| BOOTSTRAP.contains(&action.name.as_str()));
        return if founding {
            Stage::Accepted
        } else {
            Stage::Open
        };
    }
    let in_favour = electorate
        .iter()
        .filter(|m| proposal.ballots.get(**m).is_some_and(|(vote, _)| *vote))
        .count();
    if in_favour == electorate.len() {
        Stage::Accepted
    } else {
        Stage::Open
    }
}

fn operator_passes(action: &Action, tables: &Tables) -> bool {
    match action.name.as_str() {
        "set_member" => action
            .args
            .get("member_data")
            .is_some_and(|data| flag(data, "isOperator")),
        "remove_member" => tables
            .members
            .get(action.text("member_id"))
            .is_some_and(Member::is_operator),
        other => OPERATORS.contains(&other),
    }
}

/// A contract or document has one open proposal at most, none once it is final, and a contract's stands alone.
fn superseded(
    id: &str,
    actions: &[Action],
    all: &BTreeMap<String, Proposal>,
    tables: &Tables,
) -> bool {
    let others = || {
        all.iter()
            .filter(|(other, proposal)| *other != id && proposal.is_open())
    };
    for (name, argument, articles) in [
        ("set_contract", "contractId", &tables.contracts),
        ("set_document", "documentId", &tables.documents),
    ] {
        let wanted: Vec<_> = actions
            .iter()
            .filter(|a| a.name == name)
            .map(|a| a.text(argument))
            .collect();
        let distinct: BTreeSet<_> = wanted.iter().collect();
        let mixed = name == "set_contract" && !wanted.is_empty() && wanted.len() != actions.len();
        let taken = |wanted: &&str| {
            let same = |action: &Action| action.name == name && action.text(argument) == *wanted;
            articles.accepted.contains_key(*wanted)
                || others().any(|(_, other)| other.actions.iter().any(same))
        };
        if mixed || distinct.len() != wanted.len() || wanted.iter().any(taken) {
            return true;
        }
    }
    false
}

fn autoapproved(actions: &[Action], tables: &Tables) -> bool {
    actions.iter().all(|action| {
        let option = match action.name.as_str() {
            "set_deployment_spec" => "autoapprove-deploymentspec-proposal",
            "set_clean_room_policy" => "autoapprove-cleanroompolicy-proposal",
            _ => return false,
        };
        tables.options.get(option).copied().unwrap_or(false)
    })
}
