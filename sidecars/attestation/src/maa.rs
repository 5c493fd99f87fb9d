use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cleanroom_crypto::random;
use serde::{Deserialize, Serialize};
use sidecar_http::{HttpsClient, Request, Response};
use url::Url;

use crate::endpoint::origin;
use crate::error::shown;
use crate::token::{Expected, MaaToken, SigningKeys, Verified, verify_token};
use crate::{AttestError, Evidence, RuntimeData};

const HOP: &str = "MAA";
const API_VERSION: &str = "2022-08-01";
const ANSWER_CAP: usize = 1 << 20;

/// A client of Microsoft Azure Attestation.
#[derive(Clone, Debug)]
pub struct MaaClient {
    https: HttpsClient,
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
    /// A client over `https`, which holds deadlines, retries and trust.
    pub const fn new(https: HttpsClient) -> Self {
        Self { https }
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
        url.set_query(Some(&format!("api-version={API_VERSION}")));
        let request = Request::post(HOP, url).json(&question).body_cap(ANSWER_CAP);
        let (answer, keys) =
            tokio::try_join!(self.ask(endpoint, &request), self.signing_keys(endpoint))?;
        let token = answer.json::<Answer>(HOP)?.token;
        let expected = Expected::of(&evidence.report, origin(endpoint), nonce);
        let token = match verify_token(&token, &keys, &expected, now()) {
            // The endpoint may have changed its key between the two answers.
            Err(AttestError::UnknownKey { .. }) => {
                let keys = self.signing_keys(endpoint).await?;
                verify_token(&token, &keys, &expected, now())
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
        Ok(self.ask(endpoint, &request).await?.json(HOP)?)
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
mod tests {
    use super::*;
    use crate::Report;
    use serde_json::Value;

    fn unpacked(text: &Value) -> Vec<u8> {
        URL_SAFE.decode(text.as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_question_is_packed_as_the_service_expects() {
        let report: &[u8] = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/attestation/snp_report.bin"
        ));
        let evidence = Evidence {
            report: Report::parse(report).unwrap(),
            endorsements_pem: "pem".to_owned(),
            uvm_endorsements: vec![0xd2, 0x84],
            endorsed_tcb: "7308000000000003".to_owned(),
        };
        let runtime = RuntimeData::new(*b"{}");
        let question = question(&evidence, &runtime, "7".to_owned()).unwrap();
        let question = serde_json::to_value(question).unwrap();
        assert_eq!(question["nonce"], "7");
        assert_eq!(question["runtimeData"]["data"], "e30=");
        assert_eq!(question["runtimeData"]["dataType"], "JSON");
        assert_eq!(question["initTimeData"]["data"], "");
        assert_eq!(question["initTimeData"]["dataType"], "");
        let inner: Value = serde_json::from_slice(&unpacked(&question["report"])).unwrap();
        assert_eq!(unpacked(&inner["SnpReport"]), report);
        assert_eq!(unpacked(&inner["VcekCertChain"]), b"pem");
        let endorsements: Value =
            serde_json::from_slice(&unpacked(&inner["Endorsements"])).unwrap();
        assert_eq!(unpacked(&endorsements["Uvm"][0]), [0xd2, 0x84]);
    }
}
