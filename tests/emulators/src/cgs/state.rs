//! Everything the service keeps.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::ledger::{Ledger, TxId};
use super::member::{Member, Status};
use super::oidc::{Issuer, SigningKey};
use super::proposals::Proposal;

pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) tables: Tables,
    pub(super) proposals: BTreeMap<String, Proposal>,
    /// Each state a proposal was in: (id, seqno, state).
    pub(super) proposal_history: Vec<(String, u64, &'static str)>,
    /// `created_at` and a digest of recent proposals, sorted.
    pub(super) recent: Vec<(u64, [u8; 32])>,
    /// The digest each member was last shown.
    pub(super) state_digests: BTreeMap<String, String>,
    pub(super) events: Vec<Event>,
    /// Historical ranges that were asked for before.
    pub(super) loaded: BTreeSet<String>,
    /// (contract, secret id) to value.
    pub(super) secrets: BTreeMap<(String, String), Zeroizing<String>>,
}

/// What governance actions change, in one value: a failed action leaves none of it changed.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) members: BTreeMap<String, Member>,
    pub(super) contracts: Articles,
    pub(super) documents: Articles,
    /// Contract to the members that said something about its execution.
    pub(super) execution: BTreeMap<String, BTreeMap<String, bool>>,
    pub(super) logging: BTreeMap<String, bool>,
    pub(super) telemetry: BTreeMap<String, bool>,
    pub(super) policies: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    pub(super) specs: BTreeMap<String, Value>,
    pub(super) options: BTreeMap<String, bool>,
    pub(super) issuer: Option<Issuer>,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) issuer_url: Option<String>,
    pub(super) tenant_issuers: BTreeMap<String, String>,
    pub(super) recovery_threshold: u64,
}

impl Tables {
    /// Members whose votes count.
    pub(super) fn electorate(&self) -> impl Iterator<Item = &String> {
        self.collaborators(Status::Active)
    }

    /// Members whose votes are missing until they activate.
    pub(super) fn dormant(&self) -> impl Iterator<Item = &String> {
        self.collaborators(Status::Accepted)
    }

    fn collaborators(&self, status: Status) -> impl Iterator<Item = &String> {
        self.members
            .iter()
            .filter(move |(_, m)| m.status == status && m.is_collaborator())
            .map(|(id, _)| id)
    }
}

/// Contracts or documents: drafts that one proposal makes final.
#[derive(Clone, Default)]
pub(super) struct Articles {
    pub(super) drafts: BTreeMap<String, Draft>,
    pub(super) accepted: BTreeMap<String, Accepted>,
}

#[derive(Clone)]
pub(super) struct Draft {
    pub(super) data: Value,
    pub(super) contract_id: Option<String>,
    pub(super) version: TxId,
}

#[derive(Clone)]
pub(super) struct Accepted {
    pub(super) data: Value,
    pub(super) contract_id: Option<String>,
    pub(super) version: TxId,
    pub(super) proposal_id: String,
    pub(super) votes: BTreeMap<String, bool>,
}

/// One write of an event.
pub(super) struct Event {
    /// The map that holds it.
    pub(super) map: (String, String),
    pub(super) id: String,
    pub(super) seqno: u64,
    pub(super) timestamp: String,
    pub(super) data: Value,
}

impl State {
    pub(super) fn new(commit_delay: Option<Duration>) -> Self {
        Self {
            ledger: Ledger::new(commit_delay),
            tables: Tables {
                recovery_threshold: 1,
                ..Tables::default()
            },
            proposals: BTreeMap::new(),
            proposal_history: Vec::new(),
            recent: Vec::new(),
            state_digests: BTreeMap::new(),
            events: Vec::new(),
            loaded: BTreeSet::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// Whether a historical range was asked for before; it is from now on.
    pub(super) fn load(&mut self, range: String) -> bool {
        /// Ranges kept in memory; all are dropped when there are more.
        const KEPT: usize = 4096;
        if self.loaded.len() >= KEPT {
            self.loaded.clear();
        }
        !self.loaded.insert(range)
    }
}
