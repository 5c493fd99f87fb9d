mod keys;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cleanroom_crypto::random;
use http::header;
use serde::{Deserialize, Serialize};
use sidecar_http::{ApiVersion, HttpsClient, Request, Response};
use url::Url;

use self::keys::KeyCache;
use crate::endpoint::origin;
use crate::error::shown;
use crate::token::{Expected, MaaToken, SigningKeys, verify_token};
use crate::{AttestError, Evidence, RuntimeData, Verified};

const HOP: &str = "MAA";
const API_VERSION: ApiVersion = ApiVersion::preset("2022-08-01");
const ANSWER_CAP: usize = 1 << 20;
/// Signing keys are used for so long without asking whether they still stand.
const KEEP_KEYS: Duration = Duration::from_secs(60 * 60);
const KEYS_PAUSE: Duration = Duration::from_secs(30);

/// A client of Microsoft Azure Attestation. Clones share the signing keys they fetched.
#[derive(Clone, Debug)]
pub struct MaaClient {
    https: HttpsClient,
    version: ApiVersion,
    user_agent: Option<String>,
    keys: KeyCache,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    report: String,
    runtime_data: Part,
    init_time_data: Part,
    nonce: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    data: String,
    data_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    snp_report: String,
    vcek_cert_chain: String,
    endorsements: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endorsements {
    uvm: [String; 1],
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalBody {
    code: String,
    message: String,
}

impl MaaClient {
    /// A client over `https`, which holds deadlines, retries and trust. It asks under api-version 2022-08-01.
    pub fn new(https: HttpsClient) -> Self {
        Self {
            https,
            version: API_VERSION,
            user_agent: None,
            keys: KeyCache::new(KEEP_KEYS, KEYS_PAUSE),
        }
    }

    /// Asks under another api-version.
    #[must_use]
    pub fn with_api_version(self, version: ApiVersion) -> Self {
        Self { version, ..self }
    }

    /// Names itself so in `User-Agent`. A text that HTTP does not allow there fails every request.
    #[must_use]
    pub fn with_user_agent(self, name: impl Into<String>) -> Self {
        Self {
            user_agent: Some(name.into()),
            ..self
        }
    }

    /// Has the evidence judged and checks the token: it must come from `endpoint`, be about this evidence and answer this
    /// question (a fresh nonce).
    ///
    /// # Errors
    /// MAA was not reached, refused, or gave a token that is not about this evidence.
    #[tracing::instrument(name = "maa.attest", skip_all, fields(endpoint = %origin(endpoint)))]
    pub async fn attest(
        &self,
        endpoint: &Url,
        evidence: &Evidence,
        runtime: &RuntimeData,
    ) -> Result<Verified<MaaToken>, AttestError> {
        // The service echoes a number as text; text is what its interface promises.
        let nonce = u64::from_le_bytes(random::bytes::<8>()?).to_string();
        let question = question(evidence, runtime, nonce.clone())?;
        let mut url = endpoint.clone();
        url.set_path("/attest/SevSnpVm");
        url.set_query(Some(&format!("api-version={}", self.version)));
        let mut request = Request::post(HOP, url).json(&question).body_cap(ANSWER_CAP);
        if let Some(name) = &self.user_agent {
            request = request.header(header::USER_AGENT, name);
        }
        let issuer = origin(endpoint);
        let fetch = || self.signing_keys(endpoint);
        let (answer, known) = tokio::try_join!(
            self.ask(endpoint, &request),
            self.keys.get(&issuer, fetch())
        )?;
        let token = answer.json::<Answer>(HOP)?.token;
        let expected = Expected::of(&evidence.report, issuer.clone(), nonce);
        let token = match verify_token(&token, &known.keys, &expected, now()) {
            // The endpoint may sign with a key that it did not have when it was last asked.
            Err(unknown @ AttestError::UnknownKey { .. }) => {
                match self.keys.renew(&issuer, &known, fetch()).await? {
                    Some(newer) => verify_token(&token, &newer.keys, &expected, now()),
                    None => Err(unknown),
                }
            }
            outcome => outcome,
        }?;
        if token.compliance().is_none() {
            tracing::warn!("MAA gives the utility VM no compliance status; vaults will refuse it");
        }
        Ok(token)
    }

    async fn signing_keys(&self, endpoint: &Url) -> Result<SigningKeys, AttestError> {
        let mut url = endpoint.clone();
        url.set_path("/certs");
        let request = Request::get(HOP, url).body_cap(ANSWER_CAP);
        SigningKeys::from_json(&self.ask(endpoint, &request).await?.body)
    }

    async fn ask(&self, endpoint: &Url, request: &Request) -> Result<Response, AttestError> {
        let answer = self.https.send_retrying(request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        let or_none = |text: String| {
            if text.is_empty() {
                "without a reason".to_owned()
            } else {
                shown(&text)
            }
        };
        Err(AttestError::MaaRefused {
            endpoint: origin(endpoint),
            status: answer.status,
            retry_after: answer.retry_after(),
            code: or_none(refusal.error.code),
            message: or_none(refusal.error.message),
        })
    }
}

/// Padded base64url at all four levels, as the service's own sidecar sends it.
fn question(
    evidence: &Evidence,
    runtime: &RuntimeData,
    nonce: String,
) -> Result<Question, AttestError> {
    let endorsements = Endorsements {
        uvm: [URL_SAFE.encode(&evidence.uvm_endorsements)],
    };
    let inner = Inner {
        snp_report: URL_SAFE.encode(evidence.report.as_bytes()),
        vcek_cert_chain: URL_SAFE.encode(&evidence.endorsements_pem),
        endorsements: packed(&endorsements)?,
    };
    Ok(Question {
        report: packed(&inner)?,
        runtime_data: Part {
            data: URL_SAFE.encode(runtime.as_bytes()),
            data_type: "JSON",
        },
        init_time_data: Part::default(),
        nonce,
    })
}

fn packed<T: Serialize>(value: &T) -> Result<String, AttestError> {
    let json = serde_json::to_vec(value).map_err(|error| AttestError::BadReport {
        reason: format!("cannot be written: {error}"),
    })?;
    Ok(URL_SAFE.encode(json))
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
