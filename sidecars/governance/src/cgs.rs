use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use governance_client::{TRANSACTION_HEADER, TransactionId};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sidecar_http::{HttpsClient, Pace, Request, Response, Trust};
use url::Url;

use crate::{Config, GovError};

const HOP: &str = "CGS";
const BODY_CAP: usize = 1 << 20;
const FIRST_POLL: Duration = Duration::from_millis(20);
const SLOWEST_POLL: Duration = Duration::from_millis(500);

/// An answer of CGS with a 2xx status.
#[derive(Debug)]
pub struct Answer {
    /// Its `x-ms-` headers, the transaction id among them.
    pub headers: HeaderMap,
    /// Its body, at most 1 MiB.
    pub body: Bytes,
}

impl Answer {
    /// Where in the ledger the answer comes from.
    ///
    /// # Errors
    /// [`GovError::Answer`] if the header is missing or not a transaction id.
    pub fn transaction(&self) -> Result<TransactionId, GovError> {
        self.headers
            .get(TRANSACTION_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok())
            .ok_or(GovError::Answer {
                what: "no transaction id",
            })
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`GovError::Answer`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, GovError> {
        serde_json::from_slice(&self.body).map_err(|_| GovError::Answer {
            what: "JSON of another shape",
        })
    }
}

/// The connection to CGS for one contract. The pinned service certificate is the only root; a node is whoever holds a
/// certificate signed by it, whatever its name.
#[derive(Debug)]
pub struct Cgs {
    https: HttpsClient,
    endpoint: Url,
    contract: String,
    commit_deadline: Duration,
    seen: Mutex<Option<TransactionId>>,
}

impl Cgs {
    /// Prepares the connection.
    ///
    /// # Errors
    /// [`GovError::Config`] if the service certificate is no certificate.
    pub fn new(config: &Config) -> Result<Self, GovError> {
        let trust =
            Trust::only_pem_any_name(&config.service_cert).map_err(|error| GovError::Config {
                argument: "--service-cert",
                reason: error.to_string(),
            })?;
        Ok(Self {
            https: HttpsClient::new(&trust)?,
            endpoint: config.endpoint.clone(),
            contract: config.contract.clone(),
            commit_deadline: config.commit_deadline,
            seen: Mutex::new(None),
        })
    }

    /// The contract of this clean room.
    pub fn contract(&self) -> &str {
        &self.contract
    }

    pub(crate) const fn commit_deadline(&self) -> Duration {
        self.commit_deadline
    }

    /// Asks something that may be asked again, below the contract's path.
    pub(crate) async fn ask(
        &self,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, GovError> {
        let request = self.request(Method::POST, path, query, body);
        accept(self.https.send_retrying(&request).await?)
    }

    /// Sends once: the caller decides whether it may be sent again.
    pub(crate) async fn put(
        &self,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, GovError> {
        let request = self.request(Method::PUT, path, query, body);
        accept(self.https.send(&request).await?)
    }

    /// Waits until the ledger has committed a transaction.
    pub(crate) async fn committed(&self, transaction: TransactionId) -> Result<(), GovError> {
        let mut pace = Pace::new(FIRST_POLL, SLOWEST_POLL, self.commit_deadline);
        loop {
            let failure = match self.state_of(transaction).await {
                Ok(State::Committed) => {
                    self.observe(transaction);
                    return Ok(());
                }
                Ok(State::Invalid) => return Err(GovError::RolledBack { transaction }),
                Ok(State::Unknown | State::Pending) => None,
                // The next poll is the retry.
                Err(error) if error.is_ambiguous() => Some(error),
                Err(error) => return Err(error),
            };
            if !pace.pause().await {
                if let Some(error) = failure {
                    tracing::warn!(%transaction, error = sidecar_http::chain(&error), "commit not observed");
                }
                return Err(GovError::NotCommitted {
                    transaction,
                    seconds: self.commit_deadline.as_secs(),
                });
            }
        }
    }

    /// Refuses an answer from a state older than one that this process has seen committed: a host that routes us to a
    /// cut-off node must not prolong an old consent.
    pub(crate) fn fresh(&self, answered: TransactionId) -> Result<(), GovError> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Some(seen) if answered < seen => Err(GovError::Stale { answered, seen }),
            _ => Ok(()),
        }
    }

    fn observe(&self, transaction: TransactionId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(Some(transaction));
    }

    async fn state_of(&self, transaction: TransactionId) -> Result<State, GovError> {
        #[derive(Deserialize)]
        struct Status {
            status: State,
        }
        let mut url = self.endpoint.clone();
        url.set_path("/app/tx");
        url.set_query(Some(&format!("transaction_id={transaction}")));
        let request = Request::get(HOP, url)
            .deadline(self.commit_deadline.min(Duration::from_secs(5)))
            .body_cap(BODY_CAP);
        let answer = accept(self.https.send(&request).await?)?;
        Ok(answer.json::<Status>()?.status)
    }

    fn request(&self, method: Method, path: &str, query: Option<&str>, body: Bytes) -> Request {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("/app/contracts/{}/{path}", self.contract));
        url.set_query(query);
        Request::new(HOP, method, url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .budget(Duration::from_secs(25))
            .deadline(Duration::from_secs(10))
            .body_cap(BODY_CAP)
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
enum State {
    Unknown,
    Pending,
    Committed,
    Invalid,
}

fn accept(response: Response) -> Result<Answer, GovError> {
    if !response.status.is_success() {
        return Err(refusal(response.status, &response.body));
    }
    let headers = response
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Ok(Answer {
        headers,
        body: response.body,
    })
}

/// CGS' own error, cut to a sane length and to one line.
fn refusal(status: StatusCode, body: &[u8]) -> GovError {
    #[derive(Deserialize)]
    struct Body {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        details: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default)]
        message: String,
    }
    let clean = |text: &str, cap: usize| -> String {
        text.chars().filter(|c| !c.is_control()).take(cap).collect()
    };
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { error }) => {
            let details = error.details.iter().map(|detail| detail.message.as_str());
            let message: Vec<&str> = std::iter::once(error.message.as_str())
                .chain(details)
                .filter(|text| !text.is_empty())
                .collect();
            GovError::Cgs {
                status,
                code: clean(&error.code, 64),
                message: clean(&message.join(": "), 1024),
            }
        }
        Err(_) => GovError::Cgs {
            // A redirect or another odd status must not reach our caller as it is.
            status: if status.is_client_error() || status.is_server_error() {
                status
            } else {
                StatusCode::BAD_GATEWAY
            },
            code: "CR-GOV-0006".to_owned(),
            message: "no error body".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use sidecar_http::Coded;

    use super::*;

    #[test]
    fn a_refusal_keeps_status_and_code_and_loses_control_characters() {
        let body = br#"{"error":{"code":"VerifySnpAttestationFailed","message":"claim\r\nx","details":[{"message":"d"}]}}"#;
        let error = refusal(StatusCode::BAD_REQUEST, body);
        assert_eq!(error.code(), "VerifySnpAttestationFailed");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert!(error.to_string().ends_with("claimx: d"), "{error}");
    }

    #[test]
    fn an_answer_without_an_error_body_gets_a_code_of_ours() {
        let error = refusal(StatusCode::TEMPORARY_REDIRECT, b"<html>");
        assert_eq!(
            (error.code(), error.status()),
            ("CR-GOV-0006", StatusCode::BAD_GATEWAY)
        );
    }
}
