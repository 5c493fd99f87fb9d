//! Proposals and what happens when one is decided.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::state::State;
use super::{Strictness, actions, resolve};

/// One action of a proposal.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Action {
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Value,
}

impl Action {
    /// A text argument, empty if it is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.args
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn shown(&self) -> Value {
        json!({"name": self.name, "args": self.args})
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Accepted,
    Rejected,
    Withdrawn,
    Failed,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Accepted => "Accepted",
            Self::Rejected => "Rejected",
            Self::Withdrawn => "Withdrawn",
            Self::Failed => "Failed",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) proposer: String,
    pub(super) actions: Vec<Action>,
    /// Member to its vote and the script it came as.
    pub(super) ballots: BTreeMap<String, (bool, String)>,
    pub(super) stage: Stage,
    failure: Option<String>,
}

impl Proposal {
    pub(super) const fn new(proposer: String, actions: Vec<Action>) -> Self {
        Self {
            proposer,
            actions,
            ballots: BTreeMap::new(),
            stage: Stage::Open,
            failure: None,
        }
    }

    pub(super) fn votes(&self) -> BTreeMap<String, bool> {
        self.ballots
            .iter()
            .map(|(member, (vote, _))| (member.clone(), *vote))
            .collect()
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn shown(&self, id: &str) -> Value {
        let mut shown = json!({
            "proposalId": id,
            "proposerId": self.proposer,
            "proposalState": self.stage.name(),
            "ballotCount": self.ballots.len(),
        });
        if let Some(shown) = shown.as_object_mut() {
            if !self.is_open() {
                shown.insert("finalVotes".to_owned(), json!(self.votes()));
            }
            if let Some(reason) = &self.failure {
                shown.insert("failure".to_owned(), json!({"reason": reason, "trace": ""}));
            }
        }
        shown
    }
}

impl State {
    /// Open proposals with an action that `wanted` picks.
    pub(super) fn open_proposals(&self, wanted: impl Fn(&Action) -> bool) -> Vec<String> {
        let picked =
            |proposal: &Proposal| proposal.is_open() && proposal.actions.iter().any(&wanted);
        self.proposals
            .iter()
            .filter(|(_, proposal)| picked(proposal))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Puts a new or changed proposal to the constitution, and its actions into effect once it is accepted.
    pub(super) fn settle(&mut self, id: &str, strictness: Strictness) {
        let tx = self.ledger.write();
        let Some(proposal) = self.proposals.get(id) else {
            return;
        };
        let verdict = resolve::resolve(
            id,
            proposal,
            &self.proposals,
            &self.tables,
            strictness.protect_members,
        );
        let (stage, failure) = match verdict {
            Stage::Accepted => {
                let mut tables = self.tables.clone();
                match actions::apply(&mut tables, id, proposal, tx) {
                    Ok(()) => {
                        self.tables = tables;
                        (Stage::Accepted, None)
                    }
                    Err(reason) => (Stage::Failed, Some(reason)),
                }
            }
            other => (other, None),
        };
        if let Some(proposal) = self.proposals.get_mut(id) {
            proposal.failure = failure;
        }
        self.enter(id, stage);
    }

    /// Writes a proposal's stage. CCF keeps the last decided proposal only, besides those that are open.
    pub(super) fn enter(&mut self, id: &str, stage: Stage) {
        let seqno = self.ledger.write().seqno;
        if let Some(proposal) = self.proposals.get_mut(id) {
            proposal.stage = stage;
            self.proposal_history
                .push((id.to_owned(), seqno, stage.name()));
        }
        if stage != Stage::Open {
            self.proposals
                .retain(|other, proposal| other == id || proposal.is_open());
        }
    }
}
