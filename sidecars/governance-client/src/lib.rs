//! What a sidecar asks of the governance sidecar: the parties' consent, an audit event, an ID token.
//!
//! [`GovernanceClient`] speaks to the sidecar's socket. Its answers are proofs: a [`Consent`] exists only if the service
//! said `enabled`, and a [`TransactionId`] comes back from [`GovernanceClient::put_event`] only after the event is
//! committed.

mod client;
mod consent;
mod error;
mod query;
mod transaction;

pub use client::GovernanceClient;
pub use consent::{Consent, ConsentStatus, Reason, Scope};
pub use error::GovernanceError;
pub use query::{MAX_QUERY_VALUE, check_query_value};
pub use transaction::{TRANSACTION_HEADER, TransactionId};
