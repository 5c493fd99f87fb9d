use std::time::{Duration, SystemTime};

use bytes::Bytes;
use governance_client::TransactionId;
use serde_json::{Map, Value};
use sidecar_http::{HttpsError, Pace};
use tokio::sync::Mutex;

use crate::chain::{Linked, Place};
use crate::{Answer, Cgs, Chain, GovError, Room};

/// How long one event is sent again before its caller hears of the failure.
const DELIVERY: Duration = Duration::from_secs(40);

/// Delivers events one at a time and in order.
///
/// CGS has no idempotency key, so an event whose answer got lost may be recorded although it failed here. It stays the
/// pending one and goes out first next time, **with the same bytes**: a second record of it has the same process id and
/// number and the same data, and whoever lists the events drops it. An event that CGS refuses at its first attempt was
/// not recorded and is not counted; one refused after an attempt of unknown outcome is counted, so that its number is
/// never given to another event, and shows as a gap if it was not recorded.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chain: Chain,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    place: Place,
    data: Map<String, Value>,
    event: Linked,
    body: Bytes,
    attempts: u32,
    transaction: Option<TransactionId>,
}

impl Journal {
    pub(crate) fn new(contract: &str) -> Result<Self, GovError> {
        Ok(Self {
            state: Mutex::new(State {
                chain: Chain::new(contract)?,
                pending: None,
            }),
        })
    }

    /// Records an event; back when it is committed.
    pub(crate) async fn put(
        &self,
        cgs: &Cgs,
        room: &Room,
        place: Place,
        data: Map<String, Value>,
    ) -> Result<Answer, GovError> {
        // The lock is fair: events go out in the order in which they came.
        let mut state = self.state.lock().await;
        if let Some(pending) = &state.pending {
            let again = pending.place == place && pending.data == data;
            let outcome = state.deliver(cgs).await;
            match outcome {
                outcome if again => return outcome,
                Ok(_) => {}
                Err(error) if state.pending.is_some() => {
                    return Err(GovError::Blocked(Box::new(error)));
                }
                Err(error) => {
                    tracing::error!(error = sidecar_http::chain(&error), "an event was lost");
                }
            }
        }
        let now = SystemTime::now();
        let event = state.chain.link(&place, &data, now)?;
        let body = room.signed(&event.bytes, now)?;
        // From here on a dropped connection of the caller leaves the event pending.
        state.pending = Some(Pending {
            place,
            data,
            event,
            body,
            attempts: 0,
            transaction: None,
        });
        state.deliver(cgs).await
    }
}

impl State {
    /// Sends the pending event until it is committed, refused, or the time is over.
    async fn deliver(&mut self, cgs: &Cgs) -> Result<Answer, GovError> {
        let within = DELIVERY.min(cgs.commit_deadline() * 2);
        let mut pace = Pace::new(Duration::from_millis(100), Duration::from_secs(5), within);
        loop {
            let Some(pending) = &mut self.pending else {
                return Err(GovError::Answer {
                    what: "nothing to deliver",
                });
            };
            match pending.attempt(cgs).await {
                Ok(answer) => {
                    self.settle();
                    return Ok(answer);
                }
                Err(error) if !error.is_ambiguous() => {
                    if pending.attempts > 1 {
                        self.settle();
                    } else {
                        self.pending = None;
                    }
                    return Err(error);
                }
                // Its transaction is known: asking again later is better than recording it twice.
                Err(error @ GovError::NotCommitted { .. }) => return Err(error),
                Err(error) => {
                    if !pace.pause().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.chain.advance(&pending.event);
        }
    }
}

impl Pending {
    async fn attempt(&mut self, cgs: &Cgs) -> Result<Answer, GovError> {
        if let Some(transaction) = self.transaction {
            match cgs.committed(transaction).await {
                Ok(()) => return Ok(committed_earlier(transaction)),
                Err(GovError::RolledBack { .. }) => self.transaction = None,
                Err(error) => return Err(error),
            }
        }
        self.attempts += 1;
        let query = self.place.query();
        let sent = cgs.put("events", query.as_deref(), self.body.clone()).await;
        if let Err(GovError::Https(HttpsError::Connect { .. })) = sent {
            // Nothing left this machine.
            self.attempts -= 1;
        }
        let answer = sent?;
        let transaction = answer.transaction()?;
        self.transaction = Some(transaction);
        match cgs.committed(transaction).await {
            Ok(()) => Ok(answer),
            Err(error) => {
                if matches!(error, GovError::RolledBack { .. }) {
                    self.transaction = None;
                }
                Err(error)
            }
        }
    }
}

fn committed_earlier(transaction: TransactionId) -> Answer {
    let value = http::HeaderValue::from_str(&transaction.to_string());
    let header = http::HeaderName::from_static(governance_client::TRANSACTION_HEADER);
    Answer {
        headers: value
            .into_iter()
            .map(|value| (header.clone(), value))
            .collect(),
        body: Bytes::new(),
    }
}

impl Place {
    fn query(&self) -> Option<String> {
        let id = self.id.as_ref().map(|id| format!("id={id}"));
        let scope = (!self.scope.is_empty()).then(|| format!("scope={}", self.scope));
        let parts: Vec<String> = id.into_iter().chain(scope).collect();
        (!parts.is_empty()).then(|| parts.join("&"))
    }
}
