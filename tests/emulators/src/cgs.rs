//! The governance service on CCF: members, signed governance, contracts, consent, events, secrets and ID tokens.
//!
//! In memory, one node, one view. What runs as JavaScript in the real service (the constitution, the application) is
//! written out in Rust, so constitutions cannot be replaced and ballots are the two that clients send. Receipts are not
//! served. The weaknesses of the real service that [`Strictness`] names are closed by default and can be opened.
mod actions;
mod attested;
mod consent;
mod contracts;
mod cose;
mod documents;
mod events;
mod gov;
mod hooks;
mod identity;
mod ledger;
mod member;
mod oidc;
mod policy;
mod proposals;
mod query;
mod reply;
mod resolve;
mod routes;
mod secrets;
mod service;
mod state;
mod wrap;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use rustls_pki_types::CertificateDer;

pub use self::attested::{ReportVerifier, SnpClaims, UvmClaims, amd_verifier};
use self::identity::Identity;
pub use self::query::QueryDecoding;
use self::state::State;

/// The certificate with which a client proved its key in the TLS handshake, DER; a request extension.
#[derive(Clone, Debug)]
pub struct ClientCertificate(
    /// DER.
    pub Vec<u8>,
);

/// Why CGS cannot be made, or a test cannot arrange it.
#[derive(Debug, thiserror::Error)]
pub enum CgsError {
    /// A certificate of the service could not be issued.
    #[error("a certificate could not be issued")]
    Certificate(#[from] rcgen::Error),
    /// A member's certificate is no X.509 certificate with an elliptic-curve key.
    #[error("member certificate: {0}")]
    Member(String),
    /// A key could not be made.
    #[error("the {0} could not be made")]
    Key(&'static str),
}

/// Which weaknesses of the real service are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent weakness"
)]
pub struct Strictness {
    /// Evidence without endorsement of the utility VM is refused.
    pub require_uvm_endorsements: bool,
    /// An ID token's subject is the contract that asks.
    pub token_subject_is_contract: bool,
    /// An ID token lives 10 minutes at most, starts about now, and has a numeric `exp` and `iat`.
    pub bounded_tokens: bool,
    /// Tokens, secrets and documents need the contract accepted and its execution enabled.
    pub consent_for_secrets: bool,
    /// The signing key of a signed call is the one that answers are encrypted to, bound by the report.
    pub one_key: bool,
    /// Event timestamps are digits, and each pair of contract and scope has events of its own.
    pub sound_events: bool,
    /// `set_member` never replaces a member, and no contract, policy or specification passes without an electorate.
    pub protect_members: bool,
}

impl Strictness {
    /// Everything closed.
    #[must_use]
    pub const fn strict() -> Self {
        Self::all(true)
    }

    /// As the real service is.
    #[must_use]
    pub const fn upstream() -> Self {
        Self::all(false)
    }

    const fn all(on: bool) -> Self {
        Self {
            require_uvm_endorsements: on,
            token_subject_is_contract: on,
            bounded_tokens: on,
            consent_for_secrets: on,
            one_key: on,
            sound_events: on,
            protect_members: on,
        }
    }
}

/// How a CGS behaves.
#[derive(Clone)]
pub struct CgsConfig {
    /// How long a write stays pending; none: for ever.
    pub commit_delay: Option<Duration>,
    /// Judges attestation evidence.
    pub verifier: ReportVerifier,
    /// The service's clock.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Closed weaknesses.
    pub strictness: Strictness,
    /// How a query string reaches the application.
    pub query_decoding: QueryDecoding,
    /// `exp`, `nbf` and `iat` of ID tokens as numbers; the real service copies them as strings.
    pub numeric_dates: bool,
}

impl CgsConfig {
    /// One second to commit, the system's clock, strict, queries decoded as by CCF before 7.0.10.
    #[must_use]
    pub fn new(verifier: ReportVerifier) -> Self {
        Self {
            commit_delay: Some(Duration::from_secs(1)),
            verifier,
            now: Arc::new(SystemTime::now),
            strictness: Strictness::strict(),
            query_decoding: QueryDecoding::Whole,
            numeric_dates: false,
        }
    }
}

impl fmt::Debug for CgsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CgsConfig")
            .field("commit_delay", &self.commit_delay)
            .field("strictness", &self.strictness)
            .field("query_decoding", &self.query_decoding)
            .field("numeric_dates", &self.numeric_dates)
            .finish_non_exhaustive()
    }
}

/// One CGS; clones share it.
#[derive(Clone)]
pub struct Cgs {
    inner: Arc<Inner>,
}

struct Inner {
    config: CgsConfig,
    identity: Identity,
    state: Mutex<State>,
}

impl fmt::Debug for Cgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cgs")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Cgs {
    /// An open service without members; it makes its identity now.
    ///
    /// # Errors
    /// The identity cannot be made.
    pub fn new(config: CgsConfig) -> Result<Self, CgsError> {
        let identity = Identity::generate()?;
        let state = Mutex::new(State::new(config.commit_delay));
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                identity,
                state,
            }),
        })
    }

    /// The service's routes: `/app`, `/gov` and `/node`. Members are told by the extension [`ClientCertificate`].
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// The service identity, self-signed, PEM.
    #[must_use]
    pub fn service_cert_pem(&self) -> String {
        self.inner.identity.service_pem()
    }

    /// What the node presents: its certificate and the service's, DER, and its key, PKCS#8 DER.
    #[must_use]
    pub fn node_tls(&self) -> (Vec<CertificateDer<'static>>, Vec<u8>) {
        self.inner.identity.node_tls()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
