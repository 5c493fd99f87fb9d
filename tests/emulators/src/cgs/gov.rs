//! `/gov/members`: signed proposals, ballots, withdrawals and acknowledgements.
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::actions as acts;
use super::cose::{Kind, Signed, authenticate};
use super::member::Status;
use super::proposals::{Action, Proposal, Stage};
use super::reply::{Answer, Refusal, Reply};
use super::routes::{Exchange, text};
use super::service::check_api_version;

/// Proposals that are kept to recognise replays.
pub(super) const RECENT: usize = 100;
/// Later than any honest clock.
const LATEST: u64 = 9_999_999_999;
/// Actions of one proposal.
const ACTIONS: usize = 256;

const ACCEPT: &str = "export function vote (proposal, proposerId) { return true }";
const REJECT: &str = "export function vote (proposal, proposerId) { return false }";

#[derive(Deserialize)]
struct Payload {
    actions: Vec<Action>,
}

pub(super) fn create(ex: &mut Exchange<'_>) -> Answer {
    let signed = authenticate(ex, Kind::Proposal)?;
    fresh(ex, &signed)?;
    let invalid = |message: String| Refusal::bad("ProposalFailedToValidate", message);
    let payload: Payload = serde_json::from_slice(&signed.payload)
        .map_err(|e| invalid(format!("The proposal is not valid: {e}")))?;
    if payload.actions.is_empty() || payload.actions.len() > ACTIONS {
        return Err(invalid(format!(
            "A proposal has 1 to {ACTIONS} actions, this one {}.",
            payload.actions.len()
        )));
    }
    let strictness = ex.cgs.config.strictness;
    for (position, action) in payload.actions.iter().enumerate() {
        acts::validate(action, &ex.state.tables, strictness.protect_members).map_err(|reason| {
            invalid(format!(
                "{} at position {position} failed validation: Error: {reason}",
                action.name
            ))
        })?;
    }
    let id = Sha256::new_with_prefix(ex.state.ledger.root())
        .chain_update(signed.digest)
        .finalize();
    let id = hex::encode(id);
    remember(ex, &signed);
    ex.state
        .proposals
        .insert(id.clone(), Proposal::new(signed.signer, payload.actions));
    ex.state.settle(&id, strictness);
    shown(ex, &id)
}

/// Neither from the far future, nor older than half of the recent ones, nor one of them.
fn fresh(ex: &Exchange<'_>, signed: &Signed) -> Result<(), Refusal> {
    let at = signed.created_at;
    if at > LATEST {
        return Err(Refusal::bad(
            "InvalidCreatedAt",
            format!("Header parameter created_at value is too large: {at}."),
        ));
    }
    let recent = &ex.state.recent;
    if let Some((median, _)) = recent.get(recent.len() / 2)
        && at < *median
    {
        let message =
            format!("Proposal created too long ago: {at}, created_at must be at least {median}.");
        return Err(Refusal::bad("ProposalCreatedTooLongAgo", message));
    }
    if recent.contains(&(at, signed.replay)) {
        return Err(Refusal::bad(
            "ProposalReplay",
            "Proposal submission replay, already exists.",
        ));
    }
    Ok(())
}

fn remember(ex: &mut Exchange<'_>, signed: &Signed) {
    let recent = &mut ex.state.recent;
    recent.push((signed.created_at, signed.replay));
    recent.sort_unstable();
    if recent.len() > RECENT {
        recent.remove(0);
    }
}

pub(super) fn list(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    let all: Vec<Value> = ex
        .state
        .proposals
        .iter()
        .map(|(id, proposal)| proposal.shown(id))
        .collect();
    Reply::json(&json!({"value": all}))
}

pub(super) fn show(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    shown(ex, &ex.param(0))
}

fn shown(ex: &Exchange<'_>, id: &str) -> Answer {
    Reply::json(&find(ex, id)?.shown(id))
}

pub(super) fn actions(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    let actions: Vec<Value> = find(ex, &ex.param(0))?
        .actions
        .iter()
        .map(Action::shown)
        .collect();
    Reply::json(&json!({"actions": actions}))
}

fn find<'s>(ex: &'s Exchange<'_>, id: &str) -> Result<&'s Proposal, Refusal> {
    let missing = || Refusal::missing("ProposalNotFound", format!("Could not find proposal {id}."));
    ex.state.proposals.get(id).ok_or_else(missing)
}

fn open<'s>(ex: &'s Exchange<'_>, id: &str) -> Result<&'s Proposal, Refusal> {
    let proposal = find(ex, id)?;
    if proposal.is_open() {
        return Ok(proposal);
    }
    let message = format!(
        "Proposal {id} is currently in state {}.",
        proposal.stage.name()
    );
    Err(Refusal::bad("ProposalNotOpen", message))
}

/// The proposal in the path, which the message must name too.
fn named(ex: &Exchange<'_>, signed: &Signed) -> Result<String, Refusal> {
    let id = ex.param(0);
    if signed.proposal_id.as_deref() == Some(id.as_str()) {
        return Ok(id);
    }
    Err(Refusal::bad(
        "InvalidResourceName",
        "The signed proposal id does not match the one in the URL.",
    ))
}

fn own(signed: &Signed, member: &str) -> Result<(), Refusal> {
    if signed.signer == member {
        return Ok(());
    }
    let message = format!(
        "The message is signed by {}, the path names {member}.",
        signed.signer
    );
    Err(Refusal::bad("InvalidAuthenticationInfo", message))
}

pub(super) fn withdraw(ex: &mut Exchange<'_>) -> Answer {
    let signed = authenticate(ex, Kind::Withdrawal)?;
    let id = named(ex, &signed)?;
    let Some(proposal) = ex.state.proposals.get(&id) else {
        return Ok(Reply::no_content());
    };
    if proposal.proposer != signed.signer {
        let message = format!(
            "Proposal {id} can only be withdrawn by its proposer {}.",
            proposal.proposer
        );
        return Err(Refusal::forbidden("AuthorizationFailed", message));
    }
    open(ex, &id)?;
    ex.state.enter(&id, Stage::Withdrawn);
    shown(ex, &id)
}

pub(super) fn submit(ex: &mut Exchange<'_>) -> Answer {
    let signed = authenticate(ex, Kind::Ballot)?;
    let id = named(ex, &signed)?;
    own(&signed, &ex.param(1))?;
    let proposal = open(ex, &id)?;
    let payload: Value = serde_json::from_slice(&signed.payload)
        .map_err(|e| Refusal::bad("InvalidInput", format!("The ballot is not JSON: {e}")))?;
    let ballot = text(&payload, "ballot").unwrap_or_default();
    if let Some((_, before)) = proposal.ballots.get(&signed.signer) {
        if before == ballot {
            return shown(ex, &id);
        }
        let message = format!(
            "Member {} has already submitted a different ballot.",
            signed.signer
        );
        return Err(Refusal::bad("VoteAlreadyExists", message));
    }
    let vote = vote(ballot).ok_or_else(|| {
        Refusal::bad(
            "InvalidInput",
            format!("Ballots are `{ACCEPT}` or `{REJECT}` here."),
        )
    })?;
    let ballot = ballot.to_owned();
    if let Some(proposal) = ex.state.proposals.get_mut(&id) {
        proposal.ballots.insert(signed.signer, (vote, ballot));
    }
    ex.state.settle(&id, ex.cgs.config.strictness);
    shown(ex, &id)
}

/// The two scripts that clients send, whatever their white space.
fn vote(ballot: &str) -> Option<bool> {
    let bare = |script: &str| script.split_whitespace().collect::<String>();
    let ballot = bare(ballot);
    [(ACCEPT, true), (REJECT, false)]
        .into_iter()
        .find(|(script, _)| bare(script) == ballot)
        .map(|(_, vote)| vote)
}

pub(super) fn ballot(ex: &mut Exchange<'_>) -> Answer {
    check_api_version(ex)?;
    let (id, member) = (ex.param(0), ex.param(1));
    let missing = || {
        Refusal::missing(
            "VoteNotFound",
            format!("Member {member} has not voted on proposal {id}."),
        )
    };
    let (_, script) = find(ex, &id)?.ballots.get(&member).ok_or_else(missing)?;
    Ok(Reply::script(script))
}

pub(super) fn update_digest(ex: &mut Exchange<'_>) -> Answer {
    let signed = authenticate(ex, Kind::StateDigest)?;
    own(&signed, &ex.param(0))?;
    ex.state.ledger.write();
    let digest = hex::encode(ex.state.ledger.root());
    ex.state
        .state_digests
        .insert(signed.signer.clone(), digest.clone());
    Reply::json(&json!({"memberId": signed.signer, "stateDigest": digest}))
}

pub(super) fn ack(ex: &mut Exchange<'_>) -> Answer {
    let signed = authenticate(ex, Kind::Ack)?;
    own(&signed, &ex.param(0))?;
    let payload: Value = serde_json::from_slice(&signed.payload).unwrap_or_default();
    let given = text(&payload, "stateDigest");
    if given.is_none()
        || given
            != ex
                .state
                .state_digests
                .get(&signed.signer)
                .map(String::as_str)
    {
        let message = "Submitted state digest is not the one that this member was last given.";
        return Err(Refusal::bad("StateDigestMismatch", message));
    }
    ex.state.ledger.write();
    if let Some(member) = ex.state.tables.members.get_mut(&signed.signer) {
        member.status = Status::Active;
    }
    Ok(Reply::no_content())
}

/// `/app/proposals/{id}/historical`: every state a proposal was in, also after CCF forgot it.
pub(super) fn historical(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let id = ex.param(0);
    let seen = &ex.state.proposal_history;
    let states: Vec<Value> = seen
        .iter()
        .filter(|(of, _, _)| *of == id)
        .map(|(_, seqno, state)| json!({"seqno": seqno, "proposalState": state, "proposalId": id}))
        .collect();
    let last = states.last().map(Value::to_string).unwrap_or_default();
    if !ex.state.load(format!("proposal {id} {last}")) {
        return Ok(Reply::loading());
    }
    Reply::json(&json!({"value": states}))
}
