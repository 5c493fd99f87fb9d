//! What tests arrange and read without going through votes.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::events::{item, map};
use super::member::{Member, Status};
use super::oidc::Issuer;
use super::state::Accepted;
use super::{Cgs, CgsError};

impl Cgs {
    /// Adds an active member, as at the opening of the service, and gives its id. An operator has `isOperator` true in
    /// `member_data`, a collaborator `identifier` and `tenantId`.
    ///
    /// # Errors
    /// [`CgsError::Member`].
    pub fn add_member(&self, cert_pem: &str, member_data: Value) -> Result<String, CgsError> {
        let (id, mut member) = Member::read(cert_pem, member_data).map_err(CgsError::Member)?;
        member.status = Status::Active;
        self.change(|state| state.tables.members.insert(id.clone(), member));
        Ok(id)
    }

    /// Makes a contract final.
    pub fn accept_contract(&self, contract_id: &str, data: Value) {
        let mut state = self.state();
        state.ledger.begin();
        let version = state.ledger.write();
        let proposal_id = "0".repeat(64);
        let accepted = Accepted {
            data,
            contract_id: None,
            version,
            proposal_id,
            votes: BTreeMap::new(),
        };
        state
            .tables
            .contracts
            .accepted
            .insert(contract_id.to_owned(), accepted);
    }

    /// Replaces a contract's clean room policy by one host_data (hex SHA-256) that may not be debuggable.
    pub fn set_policy(&self, contract_id: &str, host_data: &str) {
        let policy = BTreeMap::from([
            (
                "x-ms-sevsnpvm-hostdata".to_owned(),
                vec![Value::from(host_data)],
            ),
            (
                "x-ms-sevsnpvm-is-debuggable".to_owned(),
                vec![Value::from(false)],
            ),
        ]);
        self.change(|state| state.tables.policies.insert(contract_id.to_owned(), policy));
    }

    /// What one member says about a contract's execution; the id may be any text.
    pub fn set_execution(&self, contract_id: &str, member_id: &str, enabled: bool) {
        self.change(|state| {
            let said = state
                .tables
                .execution
                .entry(contract_id.to_owned())
                .or_default();
            said.insert(member_id.to_owned(), enabled)
        });
    }

    /// Consent to the export of logs.
    pub fn set_logging(&self, contract_id: &str, enabled: bool) {
        self.change(|state| state.tables.logging.insert(contract_id.to_owned(), enabled));
    }

    /// Consent to the export of telemetry.
    pub fn set_telemetry(&self, contract_id: &str, enabled: bool) {
        self.change(|state| {
            state
                .tables
                .telemetry
                .insert(contract_id.to_owned(), enabled)
        });
    }

    /// Enables the token issuer, makes its key, and sets the issuer URL of a tenant.
    ///
    /// # Errors
    /// [`CgsError::Key`].
    pub fn enable_issuer(&self, tenant_id: &str, issuer_url: &str) -> Result<(), CgsError> {
        self.change(|state| {
            let kid = "emulated".to_owned();
            state
                .tables
                .issuer
                .get_or_insert(Issuer { kid, request: 1 });
            state
                .tables
                .tenant_issuers
                .insert(tenant_id.to_owned(), issuer_url.to_owned());
            state
                .tables
                .signing_key()
                .map(drop)
                .map_err(|_| CgsError::Key("token signing key"))
        })
    }

    /// The issuer's keys, none before there is one.
    #[must_use]
    pub fn jwks(&self) -> Option<Value> {
        self.state().tables.jwks().ok()
    }

    /// Every event of a contract and scope (`""` for none) in order, as a listing shows it.
    #[must_use]
    pub fn events(&self, contract_id: &str, scope: &str) -> Vec<Value> {
        let map = map(
            self.inner.config.strictness.sound_events,
            contract_id.to_owned(),
            scope.to_owned(),
        );
        let state = self.state();
        let own = state.events.iter().filter(|event| event.map == map);
        own.filter_map(|event| serde_json::to_value(item(event, scope).ok()?).ok())
            .collect()
    }

    /// From now on writes stay pending; `false` lets them go again.
    pub fn hold_commits(&self, hold: bool) {
        self.state().ledger.hold(hold);
    }

    /// How long writes stay pending from now on; none: for ever.
    pub fn set_commit_delay(&self, delay: Option<Duration>) {
        self.state().ledger.set_delay(delay);
    }

    fn change<T>(&self, change: impl FnOnce(&mut super::State) -> T) -> T {
        let mut state = self.state();
        state.ledger.begin();
        state.ledger.write();
        change(&mut state)
    }
}
