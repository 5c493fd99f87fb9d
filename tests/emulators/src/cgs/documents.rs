//! Documents of a contract: they follow contracts, and clean rooms read them once accepted.
use super::attested::{CleanRoom, ENCRYPTED};
use super::contracts::{Kind, ids, new_version, read};
use super::reply::{Answer, Refusal, Reply};
use super::routes::{Exchange, text};
use super::state::Draft;
use super::{consent, wrap};

const DOCUMENT: Kind = Kind {
    action: "set_document",
    id_argument: "documentId",
    argument: "document",
    accepted: "DocumentAlreadyAccepted",
    exists: "DocumentAlreadyExists",
    missing: "DocumentNotFound",
    of: |state| &mut state.tables.documents,
};

pub(super) fn list(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    ids(&ex.state.tables.documents)
}

pub(super) fn get(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let id = ex.param(0);
    Reply::json(&read(ex.state, &DOCUMENT, &id)?)
}

pub(super) fn put(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let (id, body) = (ex.param(0), ex.json()?);
    let missing = || Refusal::bad("ContractIdMissing", "The body has no contractId.");
    let contract = text(&body, "contractId").ok_or_else(missing)?.to_owned();
    let data = new_version(ex.state, &DOCUMENT, &id, &body)?;
    let contracts = &ex.state.tables.contracts;
    if !contracts.drafts.contains_key(&contract) && !contracts.accepted.contains_key(&contract) {
        return Err(Refusal::missing(
            "ContractNotFound",
            format!("There is no contract {contract}."),
        ));
    }
    let version = ex.state.ledger.write();
    ex.state.tables.documents.drafts.insert(
        id,
        Draft {
            data,
            contract_id: Some(contract),
            version,
        },
    );
    Ok(Reply::empty())
}

pub(super) fn accepted(ex: &mut Exchange<'_>) -> Answer {
    let (contract, id) = (ex.param(0), ex.param(1));
    let room = CleanRoom::admit(ex, &contract, ENCRYPTED)?;
    let key = room.encryption_key()?;
    consent::for_secrets(ex, &contract)?;
    let missing = || {
        Refusal::missing(
            "DocumentNotFound",
            format!("There is no accepted document {id}."),
        )
    };
    let document = ex
        .state
        .tables
        .documents
        .accepted
        .get(&id)
        .ok_or_else(missing)?;
    if document.contract_id.as_deref() != Some(contract.as_str()) {
        return Err(Refusal::bad(
            "ContractIdMismatch",
            format!("Document {id} belongs to another contract."),
        ));
    }
    let document = read(ex.state, &DOCUMENT, &id)?;
    wrap::wrapped(&key, document.to_string().as_bytes())
}
