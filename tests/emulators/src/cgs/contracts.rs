//! Contracts: drafts by any member, final by one proposal.
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::ledger::TxId;
use super::reply::{Answer, Refusal, Reply};
use super::routes::{Exchange, text};
use super::state::{Articles, Draft, State};

/// One kind of article: how its proposals and errors name it.
pub(super) struct Kind {
    pub(super) action: &'static str,
    pub(super) id_argument: &'static str,
    pub(super) argument: &'static str,
    pub(super) accepted: &'static str,
    pub(super) exists: &'static str,
    pub(super) missing: &'static str,
    pub(super) of: fn(&mut State) -> &mut Articles,
}

pub(super) const CONTRACT: Kind = Kind {
    action: "set_contract",
    id_argument: "contractId",
    argument: "contract",
    accepted: "ContractAlreadyAccepted",
    exists: "ContractAlreadyExists",
    missing: "ContractNotFound",
    of: |state| &mut state.tables.contracts,
};

pub(super) fn list(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    ids(&ex.state.tables.contracts)
}

/// A bare array of `{"id"}`.
pub(super) fn ids(articles: &Articles) -> Answer {
    let ids: Vec<Value> = articles.drafts.keys().map(|id| json!({"id": id})).collect();
    Reply::json(&ids)
}

pub(super) fn get(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let id = ex.param(0);
    Reply::json(&read(ex.state, &CONTRACT, &id)?)
}

pub(super) fn put(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let (id, body) = (ex.param(0), ex.json()?);
    let data = new_version(ex.state, &CONTRACT, &id, &body)?;
    let version = ex.state.ledger.write();
    ex.state.tables.contracts.drafts.insert(
        id,
        Draft {
            data,
            contract_id: None,
            version,
        },
    );
    Ok(Reply::empty())
}

/// The data of a write that names the current version, or none where there is nothing yet.
pub(super) fn new_version(
    state: &mut State,
    kind: &Kind,
    id: &str,
    body: &Value,
) -> Result<Value, Refusal> {
    let articles = (kind.of)(state);
    if articles.accepted.contains_key(id) {
        return Err(Refusal::not_allowed(
            kind.accepted,
            format!("{id} has been accepted and cannot change."),
        ));
    }
    let falsy = |data: &&Value| {
        data.is_null() || **data == "" || **data == false || data.as_f64() == Some(0.0)
    };
    let data = body.get("data").filter(|data| !falsy(data));
    let data = data.ok_or_else(|| Refusal::bad("DataMissing", "The body has no data."))?;
    match (articles.drafts.get(id), text(body, "version")) {
        (Some(draft), None) => Err(Refusal::new(
            StatusCode::CONFLICT,
            kind.exists,
            format!(
                "{id} exists; name its version, {}, to change it.",
                draft.version
            ),
        )),
        (Some(draft), Some(version)) if draft.version.to_string() != version => {
            let message = format!(
                "The operation specified version {version}, the current one is {}.",
                draft.version
            );
            Err(Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                message,
            ))
        }
        _ => Ok(data.clone()),
    }
}

/// The resource: final, under an open proposal, or a draft.
pub(super) fn read(state: &mut State, kind: &Kind, id: &str) -> Result<Value, Refusal> {
    let resource =
        |stage: &str, data: &Value, contract: Option<&str>, version: &str, proposal: &str| {
            let mut resource = Map::new();
            let fields = [
                ("id", id),
                ("state", stage),
                ("version", version),
                ("proposalId", proposal),
            ];
            for (name, value) in fields
                .into_iter()
                .chain(contract.map(|id| ("contractId", id)))
            {
                resource.insert(name.to_owned(), json!(value));
            }
            resource.insert("data".to_owned(), data.clone());
            resource
        };
    if let Some(accepted) = (kind.of)(state).accepted.get(id) {
        let version = accepted.version.to_string();
        let contract = accepted.contract_id.as_deref();
        let mut resource = resource(
            "Accepted",
            &accepted.data,
            contract,
            &version,
            &accepted.proposal_id,
        );
        let votes: Vec<Value> = accepted
            .votes
            .iter()
            .map(|(member, vote)| json!({"memberId": member, "vote": vote}))
            .collect();
        resource.insert("finalVotes".to_owned(), Value::Array(votes));
        return Ok(Value::Object(resource));
    }
    let proposed = |action: &super::proposals::Action| {
        action.name == kind.action && action.text(kind.id_argument) == id
    };
    if let Some(proposal_id) = state.open_proposals(proposed).first() {
        let actions = state
            .proposals
            .get(proposal_id)
            .map(|proposal| proposal.actions.as_slice())
            .unwrap_or_default();
        let argument = actions
            .iter()
            .find(|action| proposed(action))
            .and_then(|action| action.args.get(kind.argument));
        let argument = argument.unwrap_or(&Value::Null);
        let data = argument.get("data").unwrap_or(&Value::Null);
        let version = text(argument, "version").unwrap_or_default();
        return Ok(Value::Object(resource(
            "Proposed",
            data,
            text(argument, "contractId"),
            version,
            proposal_id,
        )));
    }
    let draft = (kind.of)(state).drafts.get(id);
    let draft =
        draft.ok_or_else(|| Refusal::missing(kind.missing, format!("There is no {id}.")))?;
    let version = TxId::to_string(&draft.version);
    Ok(Value::Object(resource(
        "Draft",
        &draft.data,
        draft.contract_id.as_deref(),
        &version,
        "",
    )))
}
