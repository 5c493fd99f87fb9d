use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method};
use serde::Deserialize;
use sidecar_http::{CallError, UnixClient, UnixReply};
use zeroize::Zeroizing;

use crate::{
    Consent, ConsentStatus, GovernanceError, Scope, TRANSACTION_HEADER, TransactionId,
    check_query_value,
};

const CONSENT: Duration = Duration::from_secs(30);
const TOKEN: Duration = Duration::from_secs(60);
/// Delivery (40 s) and commit (30 s), twice: an event left over from an earlier failure is delivered first.
const EVENT: Duration = Duration::from_secs(150);
/// For a sidecar that went away to be ready again: its socket has to be served within five seconds of them.
const RETURN: Duration = Duration::from_secs(10);

/// Asks the governance sidecar. Cheap to clone.
///
/// A sidecar whose process ended is given five seconds to come back, once; from then on every operation fails at once
/// with [`CallError::Gone`], for all clones, unless somebody serves the socket again.
#[derive(Clone, Debug)]
pub struct GovernanceClient {
    socket: UnixClient,
    gone: Arc<AtomicBool>,
}

impl GovernanceClient {
    /// A client of the sidecar behind `socket`. Its own deadline is replaced by the one of each operation: 30 s for
    /// consent, 60 s for a token, 150 s for a committed event.
    pub fn new(socket: UnixClient) -> Self {
        Self {
            socket,
            gone: Arc::default(),
        }
    }

    /// Asks whether the parties consent, now.
    ///
    /// # Errors
    /// [`GovernanceError::Disabled`] if they do not; anything else means that there was no answer, which is not consent.
    #[tracing::instrument(skip_all, fields(%scope))]
    pub async fn consent(&self, scope: Scope) -> Result<Consent, GovernanceError> {
        let path = format!("/consentcheck/{scope}");
        let reply = self.call(CONSENT, Method::POST, &path, None).await?;
        let status: ConsentStatus =
            serde_json::from_slice(&reply.body).map_err(GovernanceError::Unreadable)?;
        status.judge(scope, transaction(&reply.headers)?)
    }

    /// Records an audit event and returns when it is committed to the ledger.
    ///
    /// `data` is a JSON object without a member `chain`; its numbers are integers below 2^53. The empty scope is the one
    /// that a listing shows by default. Asking again after a failure with [`sidecar_http::Fault::Upstream`] does not
    /// duplicate: the sidecar delivers the same bytes with the same sequence number.
    ///
    /// # Errors
    /// CGS refused the event, or its commit could not be observed within the deadline.
    #[tracing::instrument(skip_all, fields(scope))]
    pub async fn put_event(
        &self,
        scope: &str,
        data: &serde_json::Value,
    ) -> Result<TransactionId, GovernanceError> {
        let path = if scope.is_empty() {
            "/events".to_owned()
        } else {
            check_query_value("scope", scope)?;
            format!("/events?scope={scope}")
        };
        let body = serde_json::to_vec(data).map_err(GovernanceError::Unreadable)?;
        let reply = self.call(EVENT, Method::PUT, &path, Some(body)).await?;
        transaction(&reply.headers)?.ok_or(GovernanceError::Answer {
            what: "no transaction id",
        })
    }

    /// An ID token of the contract for a token exchange: `subject` must be the contract's id, `tenant` the tenant whose
    /// issuer URL signs for it, `audience` usually `api://AzureADTokenExchange`. Valid for five minutes.
    ///
    /// # Errors
    /// A value is unsafe, the subject is not the own contract, or CGS refuses.
    #[tracing::instrument(skip_all, fields(tenant, audience))]
    pub async fn id_token(
        &self,
        subject: &str,
        tenant: &str,
        audience: &str,
    ) -> Result<Zeroizing<String>, GovernanceError> {
        check_query_value("sub", subject)?;
        check_query_value("tenantId", tenant)?;
        check_query_value("aud", audience)?;
        #[derive(Deserialize)]
        struct Token {
            value: String,
        }
        let path = format!("/oauth/token?sub={subject}&tenantId={tenant}&aud={audience}");
        let reply = self.call(TOKEN, Method::POST, &path, None).await?;
        let token: Token =
            serde_json::from_slice(&reply.body).map_err(GovernanceError::Unreadable)?;
        Ok(Zeroizing::new(token.value))
    }

    async fn call(
        &self,
        deadline: Duration,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<UnixReply, GovernanceError> {
        let socket = self.socket.clone().with_deadline(deadline);
        let body = body.map(bytes::Bytes::from);
        let reply = match socket.call(method.clone(), path, body.clone()).await {
            Err(CallError::Connect { .. }) => {
                self.await_return().await?;
                socket.call(method, path, body).await?
            }
            called => called?,
        };
        self.gone.store(false, Ordering::Relaxed);
        Ok(socket.expect_success(reply)?)
    }

    /// Returns when somebody serves the socket again; nobody is waited for twice.
    async fn await_return(&self) -> Result<(), CallError> {
        let gone = || CallError::Gone {
            service: self.socket.service(),
        };
        if self.gone.load(Ordering::Relaxed) {
            return Err(gone());
        }
        match self.socket.wait_ready(RETURN).await {
            // Its socket refuses, or is not there at all.
            Err(
                CallError::Gone { .. } | CallError::Connect { .. } | CallError::Deadline { .. },
            ) => {
                self.gone.store(true, Ordering::Relaxed);
                Err(gone())
            }
            outcome => outcome,
        }
    }
}

fn transaction(headers: &HeaderMap) -> Result<Option<TransactionId>, GovernanceError> {
    let Some(value) = headers.get(TRANSACTION_HEADER) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| GovernanceError::Answer {
        what: "a transaction id that is not text",
    })?;
    text.parse().map(Some)
}
