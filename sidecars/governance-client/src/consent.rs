use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{GovernanceError, TransactionId};

/// What the parties consent to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Running the application; on by default once the contract is accepted, switched off by any single party.
    Execution,
    /// Exporting the application's logs; off by default.
    Logging,
    /// Exporting telemetry of the infrastructure; off by default.
    Telemetry,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Execution, Self::Logging, Self::Telemetry];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Logging => "logging",
            Self::Telemetry => "telemetry",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Proof that CGS said `enabled`. Only [`crate::GovernanceClient::consent`] makes one.
#[derive(Debug)]
#[must_use = "consent that nobody looks at protects nothing"]
pub struct Consent {
    scope: Scope,
    as_of: Option<TransactionId>,
}

impl Consent {
    /// What was consented to.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// The ledger position that the answer was read at, where CGS told it.
    pub const fn as_of(&self) -> Option<TransactionId> {
        self.as_of
    }
}

/// The answer of CGS to a question for consent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ConsentStatus {
    /// `enabled` or `disabled`; only the first is consent.
    pub status: String,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Open proposals that would change the answer.
    #[serde(default, rename = "proposalIds", skip_serializing_if = "Vec::is_empty")]
    pub proposal_ids: Vec<String>,
}

/// Why consent is missing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Reason {
    /// CGS' code, such as `ContractDisabled`.
    pub code: String,
    /// CGS' sentence; names the members that disabled the contract.
    pub message: String,
}

impl ConsentStatus {
    pub(crate) fn judge(
        self,
        scope: Scope,
        as_of: Option<TransactionId>,
    ) -> Result<Consent, GovernanceError> {
        match self.status.as_str() {
            "enabled" => Ok(Consent { scope, as_of }),
            "disabled" => {
                let reason = self.reason.unwrap_or_else(|| Reason {
                    code: "NotEnabled".to_owned(),
                    message: match self.proposal_ids.as_slice() {
                        [] => format!("the parties have not enabled {scope}"),
                        open => format!(
                            "the parties have not enabled {scope} yet; open proposals: {}",
                            open.join(", ")
                        ),
                    },
                });
                Err(GovernanceError::Disabled {
                    scope,
                    reason: reason.code,
                    message: reason.message,
                })
            }
            _ => Err(GovernanceError::Answer {
                what: "a consent status that is neither enabled nor disabled",
            }),
        }
    }
}
