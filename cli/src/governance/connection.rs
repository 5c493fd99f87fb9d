use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};
use sidecar_http::{HttpsClient, Pace, Request, Response, Trust};
use tokio::time::Instant;
use url::Url;

use super::cose::{self, Message};
use super::signer::Signer;
use super::{GovCliError, Workspace};

const HOP: &str = "CGS";
const API_VERSION: &str = "api-version=2024-07-01";
const TRANSACTION: &str = "x-ms-ccf-transaction-id";
/// A signature transaction, and with it the commit, comes about every second.
const COMMIT: Duration = Duration::from_secs(30);
/// Loading old ledger files takes a node a while.
const HISTORY: Duration = Duration::from_secs(120);

/// A member's connection to CGS: mutual TLS, pinned to the service certificate, whatever the node's name.
#[derive(Debug)]
pub struct Connection {
    https: HttpsClient,
    endpoint: Url,
    signer: Signer,
}

impl Connection {
    /// Prepares the connection of a governance client.
    ///
    /// # Errors
    /// The certificates or the key are not usable.
    pub fn open(workspace: &Workspace) -> Result<Self, GovCliError> {
        let trust = Trust::only_pem_any_name(workspace.service_cert_pem.as_bytes())?;
        Ok(Self {
            https: HttpsClient::with_identity(&trust, &workspace.cert, &workspace.key)?,
            endpoint: workspace.ccf_endpoint.clone(),
            signer: Signer::of(&workspace.cert, &workspace.key)?,
        })
    }

    /// The own member id.
    pub fn member_id(&self) -> &str {
        self.signer.id()
    }

    /// Reads `/app/…` or `/node/…`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, GovCliError> {
        let response = self
            .https
            .send_retrying(&self.request(Method::GET, path, None))
            .await?;
        answer(&response)
    }

    /// Reads `/gov/…`.
    pub(crate) async fn gov(&self, path: &str) -> Result<Value, GovCliError> {
        let request = self.request(Method::GET, path, Some(API_VERSION));
        answer(&self.https.send_retrying(&request).await?)
    }

    /// Asks `/app/…` something that changes nothing and has no body.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value, GovCliError> {
        let response = self
            .https
            .send_retrying(&self.request(Method::POST, path, None))
            .await?;
        answer(&response)
    }

    /// Changes `/app/…` and waits for the commit. Never sent twice: the service has no idempotency key.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, GovCliError> {
        let request = self.request(method, path, None);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.write(&request).await
    }

    /// Sends a signed message to `/gov/…` and waits for the commit.
    pub(crate) async fn signed(
        &self,
        path: &str,
        message: Message<'_>,
        payload: &[u8],
    ) -> Result<Value, GovCliError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let body = cose::sign(&self.signer, message, now, payload)?;
        let request = self
            .request(Method::POST, path, Some(API_VERSION))
            .header(CONTENT_TYPE, "application/cose")
            .body(body);
        self.write(&request).await
    }

    /// Makes a proposal of one action.
    pub(crate) async fn propose(&self, action: &str, args: Value) -> Result<Value, GovCliError> {
        let actions = json!({"actions": [{"name": action, "args": args}]});
        let payload = serde_json::to_vec(&actions).map_err(|error| GovCliError::Answer {
            what: error.to_string(),
        })?;
        self.signed("/gov/members/proposals:create", Message::Proposal, &payload)
            .await
    }

    /// Reads the ledger: follows 202 until the range is loaded. `path` may carry a query.
    pub(crate) async fn history(&self, path: &str) -> Result<Value, GovCliError> {
        let end = Instant::now() + HISTORY;
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        loop {
            let request = self.request(Method::GET, path, query);
            let response = self.https.send_retrying(&request).await?;
            // Right after a write the end of the range is not committed yet.
            let uncommitted = response.status.as_u16() == 500 && mentions(&response, "committed");
            if response.status.as_u16() != 202 && !uncommitted {
                return answer(&response);
            }
            let asked = response
                .headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok())
                .unwrap_or(1);
            let pause = Duration::from_secs(asked)
                .clamp(Duration::from_millis(100), Duration::from_secs(10));
            if Instant::now() + pause >= end {
                return Err(GovCliError::Loading {
                    seconds: HISTORY.as_secs(),
                });
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn write(&self, request: &Request) -> Result<Value, GovCliError> {
        let response = self.https.send(request).await?;
        let value = answer(&response)?;
        match response.header(TRANSACTION) {
            Some(transaction) => self.committed(transaction).await?,
            None => {
                return Err(GovCliError::Answer {
                    what: "no transaction id".to_owned(),
                });
            }
        }
        Ok(value)
    }

    async fn committed(&self, transaction: &str) -> Result<(), GovCliError> {
        #[derive(Deserialize)]
        enum State {
            Unknown,
            Pending,
            Committed,
            Invalid,
        }
        #[derive(Deserialize)]
        struct Status {
            status: State,
        }
        if transaction.len() > 41 || !transaction.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(GovCliError::Answer {
                what: "a transaction id that is not <view>.<seqno>".to_owned(),
            });
        }
        let (first, slowest) = (Duration::from_millis(20), Duration::from_millis(500));
        let mut pace = Pace::new(first, slowest, COMMIT);
        let query = format!("transaction_id={transaction}");
        loop {
            let request = self.request(Method::GET, "/app/tx", Some(&query));
            let status: Status = self.https.send_retrying(&request).await?.json(HOP)?;
            match status.status {
                State::Committed => return Ok(()),
                State::Invalid => {
                    return Err(GovCliError::RolledBack {
                        transaction: transaction.to_owned(),
                    });
                }
                State::Unknown | State::Pending => {}
            }
            if !pace.pause().await {
                return Err(GovCliError::NotCommitted {
                    transaction: transaction.to_owned(),
                    seconds: COMMIT.as_secs(),
                });
            }
        }
    }

    fn request(&self, method: Method, path: &str, query: Option<&str>) -> Request {
        let mut url = self.endpoint.clone();
        url.set_path(path);
        url.set_query(query);
        Request::new(HOP, method, url).body_cap(16 << 20)
    }
}

fn mentions(response: &Response, word: &str) -> bool {
    String::from_utf8_lossy(&response.body).contains(word)
}

/// The body of a 2xx answer, `null` where there is none.
fn answer(response: &Response) -> Result<Value, GovCliError> {
    if !response.status.is_success() {
        return Err(refusal(response));
    }
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    Ok(response.json(HOP)?)
}

fn refusal(response: &Response) -> GovCliError {
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
    // A terminal obeys control characters.
    let clean = |text: &str, cap: usize| -> String {
        text.chars().filter(|c| !c.is_control()).take(cap).collect()
    };
    let status = response.status.as_u16();
    match serde_json::from_slice::<Body>(&response.body) {
        Ok(Body { error }) => {
            let texts: Vec<&str> = std::iter::once(error.message.as_str())
                .chain(error.details.iter().map(|detail| detail.message.as_str()))
                .filter(|text| !text.is_empty())
                .collect();
            GovCliError::Refused {
                status,
                code: clean(&error.code, 64),
                message: clean(&texts.join(": "), 2048),
            }
        }
        Err(_) => GovCliError::Refused {
            status,
            code: "NoErrorBody".to_owned(),
            message: "the answer has no error body".to_owned(),
        },
    }
}
