use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use thiserror::Error;

use crate::retry::retrying;
use crate::{Coded, Fault, Request, Response, Trust};

pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// Why an HTTPS request gave no answer.
#[derive(Debug, Error)]
pub enum HttpsError {
    /// The roots cannot be read.
    #[error("trusted roots: {reason}")]
    Roots {
        /// What is wrong.
        reason: String,
    },
    /// The TLS client cannot be made.
    #[error("TLS: {reason}")]
    Tls {
        /// What is wrong.
        reason: String,
    },
    /// The request itself is not valid.
    #[error("{hop}: {reason}")]
    Invalid {
        /// The service.
        hop: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// No connection: name, network, or the peer's certificate.
    #[error("{hop}: no connection")]
    Connect {
        /// The service.
        hop: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No whole answer in time.
    #[error("{hop}: no answer within {seconds} s")]
    Deadline {
        /// The service.
        hop: &'static str,
        /// The time given to one try.
        seconds: u64,
    },
    /// The connection broke, or the body ended early.
    #[error("{hop}: the answer broke off")]
    Broken {
        /// The service.
        hop: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is larger than any honest one.
    #[error("{hop}: the answer exceeds {cap} bytes")]
    TooLarge {
        /// The service.
        hop: &'static str,
        /// The cap.
        cap: usize,
    },
    /// The answer is not what the protocol promises.
    #[error("{hop}: unreadable answer")]
    Unreadable {
        /// The service.
        hop: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl HttpsError {
    fn of(request: &Request, error: reqwest::Error) -> Self {
        // The URL may carry a query with a secret.
        let source = error.without_url();
        let hop = request.hop;
        if source.is_timeout() {
            Self::Deadline {
                hop,
                seconds: request.deadline.as_secs(),
            }
        } else if source.is_connect() {
            Self::Connect { hop, source }
        } else {
            Self::Broken { hop, source }
        }
    }
}

impl Coded for HttpsError {
    fn code(&self) -> &str {
        match self {
            Self::Roots { .. } => "CR-HTTP-0020",
            Self::Tls { .. } => "CR-HTTP-0021",
            Self::Invalid { .. } => "CR-HTTP-0022",
            Self::Connect { .. } => "CR-HTTP-0023",
            Self::Deadline { .. } => "CR-HTTP-0024",
            Self::Broken { .. } => "CR-HTTP-0025",
            Self::TooLarge { .. } => "CR-HTTP-0026",
            Self::Unreadable { .. } => "CR-HTTP-0027",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Roots { .. } | Self::Tls { .. } | Self::Invalid { .. } => Fault::Caller,
            Self::Connect { .. } | Self::Deadline { .. } | Self::Broken { .. } => {
                Fault::Upstream { retry: true }
            }
            Self::TooLarge { .. } | Self::Unreadable { .. } => Fault::Upstream { retry: false },
        }
    }
}

/// An HTTPS client with explicit trust, no redirects, no proxy, and bounds on time and size.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    client: reqwest::Client,
    patience: Option<Patience>,
}

/// Bounds of every request of a client, whatever it allows itself.
#[derive(Clone, Copy, Debug)]
struct Patience {
    deadline: Duration,
    budget: Duration,
}

impl HttpsClient {
    /// A client without a certificate of its own.
    ///
    /// # Errors
    /// The TLS configuration is not usable.
    pub fn new(trust: &Trust) -> Result<Self, HttpsError> {
        Self::build(trust, None)
    }

    /// A client that shows a certificate.
    ///
    /// # Errors
    /// Certificate or key are not readable PEM, or do not belong together.
    pub fn with_identity(trust: &Trust, cert: &[u8], key: &[u8]) -> Result<Self, HttpsError> {
        Self::build(trust, Some((cert, key)))
    }

    fn build(trust: &Trust, identity: Option<(&[u8], &[u8])>) -> Result<Self, HttpsError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.config(identity)?)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(60));
        for (host, address) in trust.overrides() {
            builder = builder.resolve(host, *address);
        }
        let client = builder.build().map_err(|error| HttpsError::Tls {
            reason: crate::chain(&error),
        })?;
        Ok(Self {
            client,
            patience: None,
        })
    }

    /// The same client with less patience than its requests have: `deadline` for one try, `budget` for all.
    #[must_use]
    pub fn with_patience(self, deadline: Duration, budget: Duration) -> Self {
        let patience = Some(Patience { deadline, budget });
        Self { patience, ..self }
    }

    fn bounded<'a>(&self, request: &'a Request) -> Cow<'a, Request> {
        let Some(patience) = self.patience else {
            return Cow::Borrowed(request);
        };
        let mut request = request.clone();
        request.deadline = request.deadline.min(patience.deadline);
        request.budget = request.budget.min(patience.budget);
        Cow::Owned(request)
    }

    /// Sends once. Any status is an answer.
    ///
    /// # Errors
    /// No connection, no whole answer in time, or one that is too large.
    pub async fn send(&self, request: &Request) -> Result<Response, HttpsError> {
        request.check()?;
        exchange(&self.client, &self.bounded(request)).await
    }

    /// Sends until there is an answer that repeating cannot improve: at most four tries, or as many as
    /// [`Request::until_budget`] allows, within the request's budget, with growing jittered pauses, honouring `Retry-After`
    /// as far as the budget goes. Only for requests that may be repeated.
    ///
    /// # Errors
    /// The last try's. A last answer of 408, 429 or 5xx is returned as the answer it is.
    pub async fn send_retrying(&self, request: &Request) -> Result<Response, HttpsError> {
        request.check()?;
        retrying(&self.client, &self.bounded(request)).await
    }
}

/// One try over any client, within the request's deadline and body cap.
pub(crate) async fn exchange(
    client: &reqwest::Client,
    request: &Request,
) -> Result<Response, HttpsError> {
    let mut headers = request.headers.clone();
    if request.body.is_empty() && ["POST", "PUT", "PATCH"].contains(&request.method.as_str()) {
        // hyper states no length where there is no body; RFC 9110 §8.6 asks for one, and Azure answers 411 without.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let exchange = async {
        let mut answer = client
            .request(request.method.clone(), request.url.clone())
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await
            .map_err(|error| HttpsError::of(request, error))?;
        // Room for all of it at once, as far as its length may be believed: growing copies, and holds twice as much.
        let length = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
        let length = length.min(request.body_cap);
        let room = request.room.as_ref();
        let mut body = room.map_or_else(|| Vec::with_capacity(length), |room| room.give(length));
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| HttpsError::of(request, error))?
        {
            if body.len() + chunk.len() > request.body_cap {
                return Err(HttpsError::TooLarge {
                    hop: request.hop,
                    cap: request.body_cap,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: Bytes::from(body),
        })
    };
    match tokio::time::timeout(request.deadline, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HttpsError::Deadline {
            hop: request.hop,
            seconds: request.deadline.as_secs(),
        }),
    }
}
